//! From a granted CONNECT to requests in TLS, or to bytes that are passed through.

use super::{
    Server,
    connection::{over_http1, over_http2, taken_over, upgraded},
    exchange::{Conversation, Exit, Granted},
};
use crate::intercept::{
    Client, Drain, Event, Handler, Protocol, Stream, Tunnel, TunnelFailure,
    head::ConnectionKind,
    hello::{NoHello, read_hello},
    rewind::Rewind,
    splice::splice,
};
use crate::socket::Socket;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// What came of the client's first bytes.
enum Inside {
    Tls(Box<TlsStream<Rewind<Socket>>>),
    Raw { stream: Socket, hello: Bytes, upstream: Stream },
}

/// Serves a tunnel to its end.
pub(super) async fn serve<H: Handler>(
    server: Arc<Server<H>>,
    client: Arc<Client>,
    granted: Granted<H::Tunnel>,
    drain: Drain,
) {
    let Granted { host, state, upstream, upgrade } = granted;
    let host = host.into_boxed_str();
    let mut tunnel = Tunnel { client, host, sni: None, protocol: Protocol::Http1, state };
    let opening = timeout(server.limits.handshake, open(&server, &mut tunnel, upgrade, upstream));
    let opened = tokio::select! {
        opened = opening => opened.unwrap_or(Err(TunnelFailure::Timeout)),
        () = drain.started() => return,
    };
    match opened {
        Err(failure) => server.handler.tunnel_failed(&tunnel, &failure),
        Ok(Inside::Raw { stream, hello, upstream }) => {
            let end = splice(stream, upstream, hello, server.limits.total).await;
            server.handler.spliced(&tunnel, &end);
        }
        Ok(Inside::Tls(stream)) => {
            let tunnel = Arc::new(tunnel);
            server.handler.observe(Event::Handshake { protocol: tunnel.protocol });
            let client = Arc::clone(&tunnel.client);
            let total = server.limits.total;
            let conversation = Conversation::new(server, client, Some(Arc::clone(&tunnel)));
            match tunnel.protocol {
                Protocol::Http1 => {
                    let exit = over_http1(*stream, ConnectionKind::Tunnel, conversation, &drain).await;
                    if let Some(Exit::Upgrade(switched)) = exit {
                        upgraded::<TlsStream<Rewind<Socket>>>(switched, total).await;
                    }
                }
                Protocol::Http2 => over_http2(*stream, conversation, &drain).await,
            }
        }
    }
}

async fn open<H: Handler>(
    server: &Server<H>,
    tunnel: &mut Tunnel<H::Tunnel>,
    upgrade: OnUpgrade,
    upstream: Option<Stream>,
) -> Result<Inside, TunnelFailure> {
    let (mut stream, ahead) = taken_over::<Socket>(upgrade).await.ok_or(TunnelFailure::Closed)?;
    let hello = read_hello(&mut stream, ahead.into()).await.map_err(|none| match none {
        NoHello::NotTls => TunnelFailure::NotTls,
        NoHello::Closed => TunnelFailure::Closed,
        NoHello::Malformed(error) => TunnelFailure::Handshake(error),
    })?;
    tunnel.sni = hello.sni;
    let bytes = hello.bytes.freeze();
    if let Some(upstream) = upstream {
        let same = tunnel.sni.as_deref() == Some(&*tunnel.host);
        return if same {
            Ok(Inside::Raw { stream, hello: bytes, upstream })
        } else {
            Err(TunnelFailure::Sni)
        };
    }
    let Ok(_turn) = turn(server).await else { return Err(TunnelFailure::Timeout) };
    // A client that asks for another name gets a leaf for that name, so that it can read why it is refused.
    let name = tunnel.sni.as_deref().unwrap_or(&tunnel.host);
    let interception = server.interception.load_full();
    let on_issue = || server.handler.observe(Event::LeafIssued);
    let leaf = interception.leaf(name, on_issue).await.map_err(TunnelFailure::Leaf)?;
    let accepted = interception.accept(Rewind::new(bytes, stream), leaf).await;
    let (stream, protocol) = accepted.map_err(TunnelFailure::Handshake)?;
    tunnel.protocol = protocol;
    Ok(Inside::Tls(Box::new(stream)))
}

/// Waits for a turn at the handshake.
async fn turn<H: Handler>(
    server: &Server<H>,
) -> Result<tokio::sync::SemaphorePermit<'_>, tokio::sync::AcquireError> {
    if let Ok(turn) = server.handshakes.try_acquire() {
        return Ok(turn);
    }
    server.handler.observe(Event::HandshakeQueued);
    server.handshakes.acquire().await
}
