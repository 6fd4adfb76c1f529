//! What the upstream project's program takes: bodies without a content coding and whole responses. It refuses every other
//! one on a host that it looks into, so a request leaves decoded and asks for what passes. The embedded engine takes all.

use super::failure::Failure;
use crate::content_coding::{Coding, DecodeError, DecodedReader, Decoder};
use crate::intercept::{Body, BodyError, body};
use crate::policy::{Reason, Refusal, Route};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body::Frame;
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes that are decoded at once: what comes of them is held, up to a thousand times as much.
const STEP: usize = 256;

/// Fields by which a client asks for less than the whole response (RFC 9110 §13, §14).
const PARTIAL: [header::HeaderName; 4] =
    [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];

/// The request with a body that stands as it is, and fields that ask for such a response.
pub(super) fn request(request: Request<Body>, route: &Route) -> Result<Request<Body>, Failure> {
    let (mut parts, mut inner) = request.into_parts();
    let fields = &mut parts.headers;
    for name in PARTIAL {
        fields.remove(name);
    }
    fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let coding = Coding::from_fields(fields).map_err(|error| not_taken(&error.0, route))?;
    if let Some(coding) = coding {
        // The others take megabytes each.
        if !matches!(coding, Coding::Gzip | Coding::Deflate) {
            return Err(not_taken(coding.name(), route));
        }
        fields.remove(header::CONTENT_LENGTH);
        let broken = |error: DecodeError<Infallible>| Failure::of_body(&refused(&error));
        let decoder = Decoder::new(coding, Pieces::default()).map_err(broken)?;
        inner = body::boxed(Decoded { inner, decoder, input: Bytes::new(), trailers: None, ended: false });
    }
    fields.remove(header::CONTENT_ENCODING);
    Ok(Request::from_parts(parts, inner))
}

fn not_taken(coding: &str, route: &Route) -> Failure {
    let message = format!(
        "a body with the content coding {} does not pass to {}, since pipelock's program does not look through it; send \
         it plain or in gzip; retrying does not help",
        coding.escape_debug(),
        route.host
    );
    Refusal::new(Reason::MalformedRequest, message).under(route).into()
}

fn refused(error: &DecodeError<Infallible>) -> BodyError {
    BodyError::Refused(match error {
        DecodeError::Malformed(coding) => format!("the body is not valid {}", coding.name()).into(),
        DecodeError::Expansion(most) => format!("decoded, the body grows more than {most} times").into(),
        DecodeError::Reader(never) => match *never {},
    })
}

/// What was decoded and not passed on yet.
#[derive(Default)]
struct Pieces(VecDeque<Bytes>);

impl DecodedReader for Pieces {
    type Stop = Infallible;

    fn read(&mut self, text: &[u8]) -> Result<(), Infallible> {
        self.0.push_back(Bytes::copy_from_slice(text));
        Ok(())
    }
}

/// A body without its coding.
struct Decoded {
    inner: Body,
    decoder: Decoder<Pieces>,
    input: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Decoded {
    /// Decodes the next step of what has come, or the end.
    fn step(&mut self) -> Result<(), BodyError> {
        let step = self.input.split_to(self.input.len().min(STEP));
        let decoded = self.decoder.foresee(&step).and_then(|()| self.decoder.push(&step));
        decoded.map_err(|error| refused(&error))
    }
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(piece) = this.decoder.reader().0.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if !this.input.is_empty() {
                this.step()?;
                continue;
            }
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => this.input = data,
                Some(Err(frame)) => this.trailers = frame.into_trailers().ok(),
                None => {
                    this.decoder.finish().map_err(|error| refused(&error))?;
                    this.ended = true;
                }
            }
        }
    }

    /// What is decoded is known to be empty only where nothing comes.
    fn is_end_stream(&self) -> bool {
        self.input.is_empty() && self.trailers.is_none() && self.inner.is_end_stream() && self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Host;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::io::Write as _;

    fn route() -> Route {
        Route::open(Host::parse("api.example").unwrap(), "egress_proxy.routes[0]")
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn with(fields: &[(&str, &str)], body: &[u8], chunk: usize) -> Request<Body> {
        let chunks: Vec<_> =
            body.chunks(chunk).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
        let mut request = Request::new(body::boxed(StreamBody::new(futures_util::stream::iter(chunks))));
        for (name, value) in fields {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    }

    #[tokio::test]
    async fn a_body_leaves_decoded_however_it_comes() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| format!("{n} ").into_bytes()).collect();
        let encoded = gzip(&text);
        for chunk in [1, 255, 4096, encoded.len()] {
            let length = encoded.len().to_string();
            let fields = [("content-encoding", "gzip"), ("content-length", length.as_str())];
            let sent = request(with(&fields, &encoded, chunk), &route()).unwrap();
            assert!(!sent.headers().contains_key("content-encoding"));
            assert!(!sent.headers().contains_key("content-length"));
            assert_eq!(sent.into_body().collect().await.unwrap().to_bytes(), text);
        }
    }

    #[tokio::test]
    async fn the_response_is_asked_for_whole_and_plain() {
        let fields = [
            ("accept-encoding", "gzip"),
            ("accept-encoding", "br"),
            ("range", "bytes=1-2"),
            ("if-none-match", "\"a\""),
            ("if-match", "\"b\""),
            ("content-length", "2"),
        ];
        let sent = request(with(&fields, b"ok", 2), &route()).unwrap();
        let mut left: Vec<_> = sent
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(left, ["accept-encoding: identity", "content-length: 2", "if-match: \"b\""]);
        assert_eq!(sent.into_body().collect().await.unwrap().to_bytes(), "ok");
    }

    #[test]
    fn a_coding_that_is_not_decoded_here_is_refused() {
        for coding in ["br", "zstd", "compress", "gzip, gzip"] {
            let failure = request(with(&[("content-encoding", coding)], &[1], 1), &route()).unwrap_err();
            let said = failure.refusal.message.clone();
            assert!(said.contains(coding) && said.contains("send it plain or in gzip"), "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_no_gzip_or_breaks_off_does_not_end_well() {
        for body in [b"no gzip at all".to_vec(), gzip(b"some text")[..12].to_vec()] {
            let sent = request(with(&[("content-encoding", "gzip")], &body, 5), &route()).unwrap();
            let error = sent.into_body().collect().await.unwrap_err();
            assert_eq!(error.to_string(), "the body is not valid gzip");
        }
    }

    /// A bomb is held a step at a time, and refused when it has grown too much.
    #[tokio::test]
    async fn a_bomb_is_refused_and_takes_no_memory() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let mut body =
            request(with(&[("content-encoding", "gzip")], &bomb, 1 << 16), &route()).unwrap().into_body();
        let mut most = 0;
        let error = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => most = most.max(frame.data_ref().unwrap().len()),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.starts_with("decoded, the body grows more than "), "{error}");
        assert!(most <= 1 << 16, "{most}");
    }
}
