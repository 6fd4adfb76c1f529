//! Drives the HTTP library over one connection until it ends, idles out or is drained.

use super::exchange::{Abandoned, Conversation, Exit, Switched};
use crate::intercept::{
    Drain, Event, Handler, ServerLimits,
    activity::Activity,
    head::{CheckedIo, ConnectionKind},
    limits::connection_window,
    rewind::Rewind,
};
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::unbounded_channel,
    time::{Instant, sleep_until, timeout},
};

/// What the HTTP/1 library reads ahead, and what it queues to be written: at least two heads, so that one fits
/// behind what is pipelined in front of it.
const HTTP1_BUFFER: usize = 128 * 1024;
/// What one HTTP/2 stream may queue to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client is given to let go of an idle HTTP/2 connection.
const GOODBYE: Duration = Duration::from_secs(5);

/// HTTP/1, on the proxy connection or in a tunnel. Says what the connection goes on as.
pub(super) async fn over_http1<H, S>(
    stream: S,
    kind: ConnectionKind,
    conversation: Arc<Conversation<H>>,
    drain: &Drain,
) -> Option<Exit<H::Tunnel>>
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Arc::clone(&conversation.server);
    let limits = &server.limits;
    let idle = Arc::clone(&server);
    let on_idle = move || idle.handler.observe(Event::IdleClosed);
    let io = CheckedIo::new(stream, kind, limits, conversation.verdicts.clone(), on_idle);
    let mut builder = http1::Builder::new();
    // The check has a timer of its own for heads, which can answer.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_headers(limits.head_fields).max_buf_size(HTTP1_BUFFER.max(limits.head_bytes * 2));
    let (exit, mut exits) = unbounded_channel();
    let service = service_fn(move |request| {
        let (conversation, exit) = (Arc::clone(&conversation), exit.clone());
        async move {
            let (response, left) = conversation.http1(request).await?;
            // Received below, in the same task.
            left.map(|left| exit.send(left));
            Ok::<_, Abandoned>(response)
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    note(ended, &*server.handler);
    exits.try_recv().ok()
}

/// The connection as it was before HTTP, and what the client sent ahead of the answer. `None` when that was read as HTTP,
/// or the client is gone.
pub(super) async fn taken_over<S>(upgrade: OnUpgrade) -> Option<(S, Bytes)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let parts = upgrade.await.ok()?.downcast::<TokioIo<CheckedIo<S>>>().ok()?;
    // What the library has read ahead was checked as HTTP, and is not what follows it.
    parts.read_buf.is_empty().then(|| parts.io.into_inner().into_tunnel())?
}

/// Serves an upgraded connection, which was one over `S`, to its end.
pub(super) async fn upgraded<S>(switched: Switched, total: Duration)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some((stream, ahead)) = taken_over::<S>(switched.upgrade).await else { return };
    let served = (switched.serve)(Box::new(Rewind::new(ahead, stream)));
    if timeout(total, served).await.is_err() {
        tracing::debug!("the time for one upgraded connection is over");
    }
}

/// HTTP/2, in a tunnel.
pub(super) async fn over_http2<H, S>(stream: S, conversation: Arc<Conversation<H>>, drain: &Drain)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let server = Arc::clone(&conversation.server);
    let activity = conversation.activity.clone();
    let answering = Arc::clone(&conversation);
    let service = service_fn(move |request| Arc::clone(&answering).http2(request));
    let builder = http2_builder(&server.limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.started() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = conversation.spent.notified() => {
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

fn http2_builder(limits: &ServerLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(connection_window(limits.streams, limits.stream_window));
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
