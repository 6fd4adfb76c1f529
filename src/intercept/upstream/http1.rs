//! One HTTP/1 connection to an upstream, and one request on it.

use super::{
    MAX_HEAD_BYTES, Stream,
    error::{Failure, SendError},
    message::{CONTRADICTION, Message, Outgoing, end_to_end, one_length},
    open::Open,
    read_on::ReadOn,
};
use crate::intercept::{Body, BodyError, BoxError, body};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{task::AbortHandle, time::timeout};

/// Fields of a response.
pub(super) const MAX_FIELDS: usize = 256;
/// How long the rest of a request is sent after the whole response came, so that the connection can be used again.
const LINGER: Duration = Duration::from_secs(5);

/// The sending half of a connection, which ends when this is dropped, whatever it has not written yet.
pub(super) struct Http1 {
    sender: http1::SendRequest<Outgoing>,
    absolute_form: bool,
    driver: AbortHandle,
    _open: Open,
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http1 {
    /// Begins HTTP/1 on a connection.
    pub(super) async fn open(stream: Stream, absolute_form: bool, open: Open) -> Result<Self, hyper::Error> {
        let mut builder = http1::Builder::new();
        // As much is read ahead of a body, and waits to be written.
        builder.max_headers(MAX_FIELDS).max_buf_size(MAX_HEAD_BYTES as usize);
        let (sender, connection) = builder.handshake(TokioIo::new(ReadOn::new(stream))).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(Self { sender, absolute_form, driver: driver.abort_handle(), _open: open })
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its response. When the future, or the body of the response, is
    /// dropped, the connection ends; at the end of the response it goes home.
    pub(super) async fn send<E>(
        mut self,
        message: &Message,
        home: impl FnOnce(Self) + Send + 'static,
    ) -> Result<Response<Body>, Failure<E>> {
        if let Err(error) = self.sender.ready().await {
            return Err(Failure { error: SendError::Send(error.into()), unprocessed: true });
        }
        let request = message.http1(self.absolute_form);
        match self.sender.try_send_request(request).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failure { error: SendError::Upgrade, unprocessed: false })
            }
            // The library checks its buffer before it reads, so that a head may be larger.
            Ok(response) if head_bytes(&response) > MAX_HEAD_BYTES as usize => {
                let why = format!("its head is larger than {} KiB", MAX_HEAD_BYTES / 1024);
                Err(Failure { error: SendError::Response(why.into()), unprocessed: false })
            }
            Ok(mut response) => {
                if !one_length(response.headers_mut()) {
                    let error = SendError::Response(CONTRADICTION.into());
                    return Err(Failure { error, unprocessed: false });
                }
                end_to_end(&mut response);
                Ok(response.map(|inner| {
                    let end = http_body::Body::is_end_stream(&inner);
                    let mut body = ResponseBody { inner, lease: Some((self, Box::new(home))) };
                    if end {
                        body.release();
                    }
                    body::boxed(body)
                }))
            }
            Err(mut refused) => {
                // A request that comes back was never written.
                let unprocessed = refused.take_message().is_some() && message.is_whole();
                let error = refused.into_error();
                let malformed = error.is_parse();
                let error = match message.failure(error.into()) {
                    SendError::Send(error) if malformed => SendError::Response(explained(error)),
                    other => other,
                };
                Err(Failure { error, unprocessed })
            }
        }
    }
}

/// The library's words for a length that is none say little.
fn explained(error: BoxError) -> BoxError {
    if error.to_string().contains("content-length") { CONTRADICTION.into() } else { error }
}

/// As HTTP/2 counts them, which may be next (RFC 9113 §6.5.2).
pub(super) fn head_bytes(response: &Response<Incoming>) -> usize {
    response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Where a connection goes when its exchange is over.
type Home = Box<dyn FnOnce(Http1) + Send>;

/// The body of a response, and the connection that it holds until it is over.
struct ResponseBody {
    inner: Incoming,
    lease: Option<(Http1, Home)>,
}

impl ResponseBody {
    /// The response is whole. The connection goes home once the request is, too: an upstream may answer before it has
    /// read all of that.
    fn release(&mut self) {
        let Some((mut connection, home)) = self.lease.take() else { return };
        if connection.sender.is_ready() {
            home(connection);
        } else {
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(LINGER, connection.sender.ready()).await {
                    home(connection);
                }
            });
        }
    }
}

impl http_body::Body for ResponseBody {
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
