//! The client's body as the handler sees it.

use crate::intercept::{Body, BodyError, body, head::FramingFault};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::timeout;

/// How much of a body that nobody reads is read all the same, so that the connection can be used again.
const WORTH_DRAINING: u64 = 256 * 1024;
/// And how long that may take.
const DRAINING: Duration = Duration::from_millis(500);

/// What the handler left of a body.
#[derive(Clone, Default)]
pub(super) struct Leftover(Arc<Mutex<LeftoverBody>>);

#[derive(Default)]
enum LeftoverBody {
    /// Nothing, or somebody is still reading it.
    #[default]
    Nothing,
    Unread(Unread),
    /// It broke off: nothing after it can be read.
    Broken,
}

struct Unread {
    body: Incoming,
    /// The client waits for 100 Continue, which reading would send.
    awaited: bool,
}

/// Wraps the library's body: errors are told apart, and what is left of it when it is dropped is kept.
/// `expects` says that the client sends the body only when asked for it (`Expect: 100-continue`).
pub(super) fn wrap(body: Incoming, expects: bool) -> (Body, Leftover) {
    let leftover = Leftover::default();
    let unread = Some(Unread { body, awaited: expects });
    (body::boxed(RequestBody { unread, leftover: leftover.clone() }), leftover)
}

struct RequestBody {
    unread: Option<Unread>,
    leftover: Leftover,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(unread) = &mut self.unread else { return Poll::Ready(None) };
        unread.awaited = false;
        let frame = ready!(Pin::new(&mut unread.body).poll_frame(cx));
        // A chunked body says that it is over by giving nothing more, and only once.
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.unread = None;
        }
        if matches!(&frame, Some(Err(_))) {
            self.leftover.put(LeftoverBody::Broken);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(told_apart)))
    }

    fn is_end_stream(&self) -> bool {
        self.unread.as_ref().is_none_or(|unread| http_body::Body::is_end_stream(&unread.body))
    }

    fn size_hint(&self) -> SizeHint {
        self.unread
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |unread| http_body::Body::size_hint(&unread.body))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !http_body::Body::is_end_stream(self)
            && let Some(unread) = self.unread.take()
        {
            self.leftover.put(LeftoverBody::Unread(unread));
        }
    }
}

fn told_apart(error: hyper::Error) -> BodyError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        let framing = cause.downcast_ref::<FramingFault>().or_else(|| {
            let io = cause.downcast_ref::<std::io::Error>()?;
            io.get_ref()?.downcast_ref::<FramingFault>()
        });
        if let Some(FramingFault(kind)) = framing {
            return BodyError::Malformed(*kind);
        }
        source = cause.source();
    }
    BodyError::Client(Box::new(error))
}

impl Leftover {
    fn put(&self, left: LeftoverBody) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    /// Reads what the handler left unread, if that is little. Says whether the connection can be used again.
    pub(super) async fn drain(&self) -> bool {
        let left = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let unread = match left {
            LeftoverBody::Nothing => return true,
            LeftoverBody::Broken => return false,
            LeftoverBody::Unread(unread) => unread,
        };
        let little =
            http_body::Body::size_hint(&unread.body).upper().is_some_and(|most| most <= WORTH_DRAINING);
        if !little || unread.awaited {
            return false;
        }
        let mut body = unread.body;
        let drained = timeout(DRAINING, async {
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, hyper::Error>(())
        });
        matches!(drained.await, Ok(Ok(())))
    }
}
