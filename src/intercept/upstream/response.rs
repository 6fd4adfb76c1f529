//! The body of a response, and the connection that it holds until it is over.

use super::connection::Http1;
use crate::intercept::{Body, BodyError, body};
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

/// What a response holds.
pub(super) enum Lease {
    /// An HTTP/1 connection, which goes back to its pool.
    One { connection: Http1, home: Box<dyn GoHome> },
    /// A place on an HTTP/2 connection.
    Two { _place: StreamCount },
}

/// Where a connection goes when its exchange is over.
pub(super) trait GoHome: Send {
    fn go_home(self: Box<Self>, connection: Http1);
}

/// One request on a shared connection.
pub(super) struct StreamCount(Arc<AtomicUsize>);

impl StreamCount {
    pub(super) fn new(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response whose body gives its connection back at its end.
pub(super) fn leased(response: Response<Incoming>, lease: Lease) -> Response<Body> {
    response.map(|inner| {
        let mut leased = Leased { inner, lease: Some(lease) };
        if http_body::Body::is_end_stream(&leased.inner) {
            leased.release();
        }
        body::boxed(leased)
    })
}

struct Leased {
    inner: Incoming,
    lease: Option<Lease>,
}

impl Leased {
    /// The response is whole. The connection goes back once the request is, too: an upstream may answer before
    /// it has read all of that.
    fn release(&mut self) {
        let Some(Lease::One { mut connection, home }) = self.lease.take() else { return };
        if connection.sender.is_ready() {
            home.go_home(connection);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    home.go_home(connection);
                }
            });
        }
    }
}

impl http_body::Body for Leased {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) if !http_body::Body::is_end_stream(&self.inner) => {}
            _ => self.release(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError::Upstream(Box::new(error)))))
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.inner)
    }
}
