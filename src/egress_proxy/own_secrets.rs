//! The credentials that this proxy holds: none leaves in what the agent sends, and none comes back. Bodies are searched as
//! they pass, and no more of them is held than what begins a credential.

use crate::dlp::{Incoming, Outgoing, OwnSecrets};
use crate::intercept::{Body, BodyError, body};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body of the agent's, which fails before a credential leaves in it.
pub(super) fn searched(inner: Body, own: &OwnSecrets) -> Body {
    if own.is_empty() || http_body::Body::is_end_stream(&inner) {
        return inner;
    }
    body::boxed(Passed { inner, stream: Way::Out(own.outgoing(), own.clone()), trailers: None, ended: false })
}

/// A response with a placeholder of the same length in the place of each.
pub(super) fn scrubbed(mut response: Response<Body>, own: &OwnSecrets) -> Response<Body> {
    if own.is_empty() {
        return response;
    }
    scrub_fields(response.headers_mut(), own);
    response.map(|inner| {
        if http_body::Body::is_end_stream(&inner) {
            return inner;
        }
        body::boxed(Passed {
            inner,
            stream: Way::Back(own.incoming(), own.clone()),
            trailers: None,
            ended: false,
        })
    })
}

fn scrub_fields(fields: &mut HeaderMap, own: &OwnSecrets) {
    for value in fields.values_mut() {
        let scrubbed = own.scrubbed(value.as_bytes());
        if let Some(value_without) = scrubbed.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            *value = value_without;
        }
    }
}

enum Way {
    Out(Outgoing, OwnSecrets),
    Back(Incoming, OwnSecrets),
}

impl Way {
    fn push(&mut self, chunk: Bytes) -> Result<Bytes, BodyError> {
        match self {
            Self::Out(stream, _) => stream.push(chunk).map_err(|own| BodyError::Refused(own.into())),
            Self::Back(stream, _) => Ok(stream.push(chunk)),
        }
    }

    fn finish(&mut self) -> Bytes {
        match self {
            Self::Out(stream, _) => stream.finish(),
            Self::Back(stream, _) => stream.finish(),
        }
    }

    fn held(&self) -> u64 {
        match self {
            Self::Out(stream, _) => stream.held() as u64,
            Self::Back(stream, _) => stream.held() as u64,
        }
    }

    fn trailers(&self, trailers: &mut HeaderMap) -> Result<(), BodyError> {
        match self {
            Self::Out(_, own) => {
                let mut texts =
                    trailers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
                match texts.find_map(|text| own.in_text(text)) {
                    Some(found) => Err(BodyError::Refused(found.into())),
                    None => Ok(()),
                }
            }
            Self::Back(_, own) => {
                scrub_fields(trailers, own);
                Ok(())
            }
        }
    }
}

/// A body that is searched while it passes.
struct Passed {
    inner: Body,
    stream: Way,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let passed = match ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()? {
                None => {
                    this.ended = true;
                    this.stream.finish()
                }
                Some(frame) => match frame.into_data() {
                    Ok(data) => this.stream.push(data)?,
                    Err(frame) => {
                        let mut trailers = frame.into_trailers().unwrap_or_default();
                        this.stream.trailers(&mut trailers)?;
                        (this.trailers, this.ended) = (Some(trailers), true);
                        this.stream.finish()
                    }
                },
            };
            // The last chunk of a body of known length is the last that is asked for.
            let passed = if !this.ended && http_body::Body::is_end_stream(&this.inner) {
                this.ended = true;
                [passed, this.stream.finish()].concat().into()
            } else {
                passed
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.held() == 0
            && self.trailers.is_none()
            && (self.ended || http_body::Body::is_end_stream(&self.inner))
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (http_body::Body::size_hint(&self.inner), self.stream.held());
        let mut whole = SizeHint::new();
        whole.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            whole.set_upper(upper + held);
        }
        whole
    }
}
