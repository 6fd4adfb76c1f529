//! What is done to every answer on its way to the client.

use crate::intercept::{
    Body, BodyError,
    activity::InFlight,
    alarm::Alarm,
    body::{boxed, full},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONNECTION};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// What an answer needs to be told.
pub(super) struct Ending {
    /// The connection is closed after it. Not for HTTP/2.
    pub(super) close: bool,
    /// Counts the exchange as in flight until the last byte is out.
    pub(super) in_flight: InFlight,
    /// When the exchange must be over.
    pub(super) deadline: Instant,
}

/// Makes the handler's answer ready to be sent.
pub(super) fn finish(mut response: Response<Body>, ending: Ending) -> Response<Body> {
    if response.status().is_informational() {
        tracing::error!(status = %response.status(), "the handler answered an informational status");
        response = plain(StatusCode::BAD_GATEWAY, "bottle: there was no final answer\n");
    }
    if ending.close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|inner| {
        let Ending { in_flight, deadline, .. } = ending;
        boxed(Timed { inner, deadline, alarm: Alarm::default(), _in_flight: in_flight })
    })
}

/// An answer of one line.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}

/// A body that must be over in time.
struct Timed {
    inner: Body,
    deadline: Instant,
    alarm: Alarm,
    _in_flight: InFlight,
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let ready @ Poll::Ready(_) = Pin::new(&mut this.inner).poll_frame(cx) {
            return ready;
        }
        match this.alarm.poll(this.deadline, cx) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err(BodyError::TimedOut("the time for one exchange is over"))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
