//! One connection to an upstream, and one request on it.

use super::{
    Connected, PoolLimits, SendError,
    message::{Message, Outgoing, end_to_end},
};
use crate::intercept::{Protocol, limits::connection_window};
use http::{Response, StatusCode};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How much may wait to be sent on one HTTP/2 stream.
const SEND_BUFFER: usize = 64 * 1024;
/// What the HTTP/1 library reads ahead, heads included, and what it queues to be written.
const HTTP1_BUFFER: usize = 256 * 1024;
/// Fields of a response.
const MAX_FIELDS: usize = 256;
const MAX_FIELD_BYTES: u32 = 256 * 1024;
/// A peer that vanished without a word is noticed within a minute; one that is merely slow answers pings.
const PING: Duration = Duration::from_secs(30);

/// The sending half of an HTTP/1 connection, which ends when this is dropped, whatever it has not written yet.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Outgoing>,
    absolute_form: bool,
    _driver: Driver,
}

/// The sending half of an HTTP/2 connection.
pub(super) type Http2 = http2::SendRequest<Outgoing>;

/// A new connection, driven by a task of its own.
pub(super) enum Opened {
    One(Http1),
    Two(Http2),
}

/// A request that got no response.
pub(super) struct Failure<E> {
    pub(super) error: SendError<E>,
    /// Surely nothing of it was processed, and it can be sent again.
    pub(super) unprocessed: bool,
}

/// Begins HTTP on a connection.
pub(super) async fn open<E>(connected: Connected, limits: &PoolLimits) -> Result<Opened, SendError<E>> {
    let Connected { stream, protocol, absolute_form } = connected;
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            let handshake = builder.max_headers(MAX_FIELDS).max_buf_size(HTTP1_BUFFER).handshake(io);
            let (sender, connection) = handshake.await.map_err(SendError::Handshake)?;
            Ok(Opened::One(Http1 { sender, absolute_form, _driver: Driver(drive(connection)) }))
        }
        Protocol::Http2 => {
            let streams = u32::try_from(limits.streams_per_connection).unwrap_or(u32::MAX);
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(limits.stream_window)
                .initial_connection_window_size(connection_window(streams, limits.stream_window))
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(MAX_FIELD_BYTES)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .keep_alive_while_idle(true);
            let (sender, connection) = builder.handshake(io).await.map_err(SendError::Handshake)?;
            drive(connection);
            Ok(Opened::Two(sender))
        }
    }
}

/// Moves a connection's bytes until all senders are gone or the peer closes. Its errors reach those who wait for
/// responses.
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    task.abort_handle()
}

/// Ends a connection when it is dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Http1 {
    pub(super) async fn send<E>(&mut self, message: &Message) -> Result<Response<Incoming>, Failure<E>> {
        if let Err(error) = self.sender.ready().await {
            return Err(Failure { error: SendError::Send(error), unprocessed: true });
        }
        let request = message.http1(self.absolute_form);
        let sent = self.sender.try_send_request(request).await;
        judge(sent, message)
    }
}

pub(super) async fn send_http2<E>(
    sender: &mut Http2,
    message: &Message,
) -> Result<Response<Incoming>, Failure<E>> {
    if let Err(error) = sender.ready().await {
        return Err(Failure { error: SendError::Send(error), unprocessed: true });
    }
    let sent = sender.try_send_request(message.http2()).await;
    judge(sent, message)
}

fn judge<E>(
    sent: Result<Response<Incoming>, TrySendError<http::Request<Outgoing>>>,
    message: &Message,
) -> Result<Response<Incoming>, Failure<E>> {
    match sent {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Failure { error: SendError::Upgrade, unprocessed: false })
        }
        Ok(mut response) => {
            end_to_end(&mut response);
            Ok(response)
        }
        Err(mut refused) => {
            // A request that comes back was never written.
            let came_back = refused.take_message().is_some();
            let error = refused.into_error();
            let unprocessed = message.is_whole() && (came_back || was_refused(&error));
            Err(Failure { error: phase(error, message), unprocessed })
        }
    }
}

/// HTTP/2 says so itself: the stream was refused, or is behind the last one of a GOAWAY (RFC 9113 §8.7).
fn was_refused(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            let refused = h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            return refused || h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR);
        }
        source = cause.source();
    }
    false
}

fn phase<E>(error: hyper::Error, message: &Message) -> SendError<E> {
    match message.body_error() {
        Some(body) => SendError::RequestBody(body),
        None if error.is_parse() => SendError::Response(Box::new(error)),
        None => SendError::Send(error),
    }
}
