//! One HTTP/2 connection to an upstream, and one request on it.
//!
//! The HTTP library has a client of its own. That one does not reset a stream whose response is no longer wanted while
//! its request waits for the upstream's window (hyper 1.12): the stream, its part of the connection's window and what was read
//! of the request stay for as long as the connection does.

use super::{
    MAX_HEAD_BYTES, PoolLimits, SendError,
    ends::{Ends, Watched},
    error::Failure,
    message::{Message, Outgoing, end_to_end},
    open::Open,
};
use crate::intercept::{Body, BodyError, body, limits::connection_window, stream::Io};
use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason, RecvStream, SendStream,
    client::{Connection, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

/// Bytes that may wait to be sent on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that vanished without a word is noticed within a minute; one that is merely slow answers pings.
const PING: Duration = Duration::from_secs(30);
/// How long the rest of a request is sent after the whole response came (RFC 9113 §8.1 allows an upstream to answer
/// early). Its client reads the response in the meantime, instead of a reset.
const LINGER: Duration = Duration::from_secs(5);

/// The sending half of a connection. Clones share it; the connection ends when they and all streams are gone.
#[derive(Clone)]
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    driver: AbortHandle,
    streams: Arc<Streams>,
    ends: Ends,
}

/// The requests in flight on a connection, which is open for as long as anything refers to this.
struct Streams {
    count: AtomicUsize,
    _open: Open,
}

impl Http2 {
    /// Begins HTTP/2 on a connection.
    pub(super) async fn open(
        stream: impl Io,
        stream_window: u32,
        limits: &PoolLimits,
        open: Open,
    ) -> Result<Self, h2::Error> {
        let streams = u32::try_from(limits.streams_per_connection).unwrap_or(u32::MAX);
        let (stream, ends) = Watched::new(stream);
        let (sender, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(limits.streams_per_connection)
            .initial_window_size(stream_window)
            .initial_connection_window_size(connection_window(streams, stream_window))
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(stream)
            .await?;
        let pings = connection.ping_pong();
        let driver = tokio::spawn(drive(connection, pings)).abort_handle();
        let streams = Arc::new(Streams { count: AtomicUsize::new(0), _open: open });
        Ok(Self { sender, driver, streams, ends })
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// Whether another request may be in flight: `most` is our bound, and the upstream has one of its own.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.streams() < most.min(self.sender.current_max_send_streams())
    }

    /// Requests that are in flight.
    pub(super) fn streams(&self) -> usize {
        self.streams.count.load(Ordering::Relaxed)
    }

    /// Counts a request that is about to be sent.
    pub(super) fn count(&self) -> StreamCount {
        self.streams.count.fetch_add(1, Ordering::Relaxed);
        StreamCount(Arc::clone(&self.streams))
    }

    /// Sends a request and waits for the head of its response. When the future, or the body of the response, is
    /// dropped, the stream is reset.
    pub(super) async fn send<E>(
        self,
        message: &Message,
        count: StreamCount,
    ) -> Result<Response<Body>, Failure<E>> {
        // What h2 refuses was never written.
        let unsent = |error: h2::Error| Failure { error: SendError::Send(error.into()), unprocessed: true };
        let ends = self.ends;
        let mut sender = self.sender.ready().await.map_err(unsent)?;
        let (mut head, outgoing) = message.http2().into_parts();
        set_content_length(&mut head.headers, &head.method, outgoing.size_hint().exact());
        let whole = outgoing.is_end_stream();
        let (response, stream) = sender.send_request(Request::from_parts(head, ()), whole).map_err(unsent)?;
        let upload = (!whole).then(|| Upload(tokio::spawn(upload(outgoing, stream))));
        match response.await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failure { error: SendError::Upgrade, unprocessed: false })
            }
            Ok(mut response) => {
                end_to_end(&mut response);
                let length = response
                    .headers()
                    .get(CONTENT_LENGTH)
                    .and_then(|value| value.to_str().ok()?.parse().ok());
                Ok(response.map(|stream| {
                    let end = stream.is_end_stream();
                    let mut body = ResponseBody {
                        stream,
                        ends,
                        length,
                        data_done: end,
                        exchange: Some((upload, count)),
                    };
                    if end {
                        body.release();
                    }
                    body::boxed(body)
                }))
            }
            Err(error) => {
                let unprocessed = message.is_whole() && was_refused(&error);
                Err(Failure { error: message.failure(error.into()), unprocessed })
            }
        }
    }
}

/// One request on a connection.
pub(super) struct StreamCount(Arc<Streams>);

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Moves a connection's bytes until all who use it are gone, the peer closes, or it answers no ping. Its errors reach
/// those who wait for responses.
async fn drive(connection: Connection<impl Io, Bytes>, pings: Option<PingPong>) {
    let ended = tokio::select! {
        ended = connection => ended,
        ended = keep_alive(pings) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an upstream connection ended");
    }
}

/// Ends when the peer does not answer.
async fn keep_alive(pings: Option<PingPong>) -> Result<(), h2::Error> {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(PING).await;
        if !timeout(PING, pings.ping(Ping::opaque())).await.is_ok_and(|pong| pong.is_ok()) {
            tracing::debug!("an upstream answers no ping");
            return Ok(());
        }
    }
}

/// HTTP/2 says so itself: the stream was refused, or is behind the last one of a GOAWAY (RFC 9113 §8.7).
fn was_refused(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM)
        || error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

/// Says how long a body is, if that is known; methods that have none usually (RFC 9110 §8.6) say it only of one that
/// is not empty.
fn set_content_length(headers: &mut HeaderMap, method: &Method, length: Option<u64>) {
    let usual = !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT);
    if let Some(length) = length.filter(|length| *length > 0 || usual) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// A request body that is being sent; no more of it is sent when this is dropped.
struct Upload(JoinHandle<()>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a body. Ends early when the upstream wants no more of it.
async fn upload(mut body: Outgoing, mut stream: SendStream<Bytes>) {
    loop {
        let next = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Some),
        });
        let Some(frame) = next.await else { return };
        let sent = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                // Room is asked for when there is something to send: a body that pauses holds none of the connection's.
                if !data.is_empty() && !has_room(&mut stream).await {
                    return;
                }
                let last = body.is_end_stream();
                match stream.send_data(data, last) {
                    Ok(()) if !last => continue,
                    sent => sent,
                }
            }
            Some(Ok(Err(frame))) => match frame.into_trailers() {
                Ok(trailers) => stream.send_trailers(trailers),
                Err(_) => continue,
            },
            // Whoever reads it must not take it for whole.
            Some(Err(_)) => return stream.send_reset(Reason::INTERNAL_ERROR),
            None => stream.send_data(Bytes::new(), true),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a request body was not sent to its end");
        }
        return;
    }
}

/// Waits until the stream may send. Says whether it may.
async fn has_room(stream: &mut SendStream<Bytes>) -> bool {
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        loop {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(false);
            }
            if stream.capacity() > 0 {
                return Poll::Ready(true);
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
    })
    .await
}

/// The body of a response.
struct ResponseBody {
    stream: RecvStream,
    ends: Ends,
    /// What is left of it, as far as the upstream said.
    length: Option<u64>,
    data_done: bool,
    exchange: Option<(Option<Upload>, StreamCount)>,
}

impl ResponseBody {
    /// The response is whole, which ends the exchange.
    fn release(&mut self) {
        let Some((Some(mut upload), count)) = self.exchange.take() else { return };
        if upload.0.is_finished() {
            return;
        }
        tokio::spawn(async move {
            // What is not sent until then is not sent.
            let _ = timeout(LINGER, &mut upload.0).await;
            drop((upload, count));
        });
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut next = None;
        if !this.data_done {
            next = ready!(this.stream.poll_data(cx)).map(|data| data.map(Frame::data));
        }
        if next.is_none() {
            this.data_done = true;
            next = ready!(this.stream.poll_trailers(cx))
                .map(|trailers| trailers.map(Frame::trailers))
                .transpose();
        }
        match &next {
            Some(Ok(frame)) => {
                let read = frame.data_ref().map_or(0, Bytes::len);
                // An error means that the stream has ended, which needs no window.
                let _ = this.stream.flow_control().release_capacity(read);
                this.length = this.length.map(|length| length.saturating_sub(read as u64));
                if frame.is_trailers() || this.stream.is_end_stream() {
                    this.release();
                }
            }
            // What an upstream says once its response is whole: it wants no more of the request (RFC 9113 §8.1).
            Some(Err(error))
                if error.is_reset()
                    && error.reason() == Some(Reason::NO_ERROR)
                    && this.ends.contains(this.stream.stream_id().as_u32()) =>
            {
                next = None;
                this.release();
            }
            Some(Err(_)) => this.exchange = None,
            None => this.release(),
        }
        Poll::Ready(next.map(|frame| frame.map_err(|error| BodyError::Upstream(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length),
            None if self.stream.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}
