//! Drives the HTTP library over one connection until it ends, idles out or is drained.

use super::{Server, exchange::Conversation, tunnel};
use crate::intercept::{
    Client, Drain, Event, Handler, Limits, Stream,
    activity::Activity,
    head::{CheckedIo, Place},
    watch::Watch,
};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};

/// The buffer of the HTTP/1 library, which must hold a head and what is pipelined behind it.
const HTTP1_BUFFER: usize = 400 * 1024;
/// How much of one HTTP/2 stream is in flight, and of one connection: enough for fast links, and flat.
/// A connection has room for many streams whose upstreams stall, so that they hold up no others.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// How long a client is given to let go of an idle HTTP/2 connection.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves a client's connection, and the tunnel that may come of it.
pub(super) async fn serve<H: Handler>(
    server: Arc<Server<H>>,
    client: Arc<Client>,
    stream: Watch<Stream>,
    drain: Drain,
) {
    let conversation = Conversation::new(Arc::clone(&server), Arc::clone(&client), None);
    over_http1(stream, Place::Proxy, Arc::clone(&conversation), &drain).await;
    if let Some(granted) = conversation.granted() {
        tunnel::serve(server, client, granted, drain).await;
    }
}

/// HTTP/1, on the proxy connection or in a tunnel.
pub(super) async fn over_http1<H, S>(
    stream: S,
    place: Place,
    conversation: Arc<Conversation<H>>,
    drain: &Drain,
) where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Arc::clone(&conversation.server);
    let limits = &server.limits;
    let idle = Arc::clone(&server);
    let on_idle = move || idle.handler.observe(Event::IdleClosed);
    let io = CheckedIo::new(stream, place, limits, conversation.verdicts.clone(), on_idle);
    let mut builder = http1::Builder::new();
    // The check has a timer of its own for heads, which can answer.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_headers(limits.head_fields).max_buf_size(HTTP1_BUFFER.max(limits.head_bytes * 2));
    let service = service_fn(move |request| Arc::clone(&conversation).http1(request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note(ended, &*server.handler);
}

/// HTTP/2, in a tunnel.
pub(super) async fn over_http2<H, S>(stream: S, conversation: Arc<Conversation<H>>, drain: &Drain)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Arc::clone(&conversation.server);
    let activity = conversation.activity.clone();
    let service = service_fn(move |request| Arc::clone(&conversation).http2(request));
    let builder = http2_builder(&server.limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = idle(&activity, server.limits.idle) => {
            server.handler.observe(Event::IdleClosed);
            connection.as_mut().graceful_shutdown();
            match timeout(GOODBYE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    note(ended, &*server.handler);
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Waits until nothing has been in flight for `patience`.
async fn idle(activity: &Activity, patience: Duration) {
    loop {
        let until = activity.idle_since().unwrap_or_else(Instant::now) + patience;
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}

/// A connection that ends in an error is nothing to worry about: clients come and go.
fn note<H: Handler>(ended: Result<(), hyper::Error>, handler: &H) {
    let Err(error) = ended else { return };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            handler.observe(Event::Stalled);
        }
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    tracing::debug!(error = text, "a client's connection ended");
}
