//! What the proxy asks of the runtime that uses it.

use super::{Body, BoxError, HeadFault, Stream};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Version};
use std::{net::SocketAddr, sync::Arc};

/// One runtime's decisions. One value serves every connection.
pub trait Handler: Send + Sync + 'static {
    /// What was decided at CONNECT and holds for the life of the tunnel.
    type Tunnel: Send + Sync + 'static;

    /// A well-formed CONNECT. The future is dropped when the client goes away.
    fn connect(&self, request: ConnectRequest) -> impl Future<Output = Connect<Self::Tunnel>> + Send;

    /// One request, in a tunnel or on the proxy connection itself.
    ///
    /// When [`Exchange::fault`] is set the request must be refused: it is a stand-in for one that was malformed,
    /// or it belongs to a tunnel whose names differ. The connection is closed after the answer.
    /// The future is dropped when the client goes away.
    fn exchange(
        &self,
        request: Request<Body>,
        exchange: Exchange<Self::Tunnel>,
    ) -> impl Future<Output = Answer> + Send;

    /// A CONNECT was granted, but no request came of it.
    fn tunnel_failed(&self, tunnel: &Tunnel<Self::Tunnel>, failure: &TunnelFailure);

    /// A spliced tunnel came to its end.
    fn spliced(&self, tunnel: &Tunnel<Self::Tunnel>, end: &SpliceEnd) {
        let _ = (tunnel, end);
    }

    /// Something happened that a metric counts.
    fn observe(&self, event: Event) {
        let _ = event;
    }
}

/// A client's connection to the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Counts the connections of one server from 1.
    pub id: u64,
    /// Where it came from.
    pub peer: Peer,
}

/// The other end of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A unix socket, whose peers have no address.
    Unix,
    /// A TCP address.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Unix => f.write_str("unix"),
            Peer::Tcp(address) => address.fmt(f),
        }
    }
}

/// The version of HTTP spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The protocol's name in ALPN (RFC 7301).
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        }
    }
}

/// A CONNECT whose head is well-formed.
#[derive(Debug)]
pub struct ConnectRequest {
    /// The connection it came on.
    pub client: Arc<Client>,
    /// The request target as received, in authority-form or what was sent in its place.
    pub target: String,
    /// Its fields.
    pub headers: HeaderMap,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
}

/// The answer to a CONNECT.
pub enum Connect<T> {
    /// End TLS here, with a leaf for `host`.
    Intercept {
        /// The name in canonical form: lower-case A-label. The TLS server name must equal it.
        host: String,
        /// Kept for the tunnel's life.
        state: T,
    },
    /// Pass the TLS bytes through once the server name was found to equal `host`.
    Splice {
        /// The name in canonical form.
        host: String,
        /// Kept for the tunnel's life.
        state: T,
        /// The connection to pass them to.
        upstream: Stream,
    },
    /// Answer this, without 2xx, and close the connection.
    Refuse(Response<Body>),
}

/// The answer to a request.
pub enum Answer {
    /// A final response.
    Response(Response<Body>),
    /// Another protocol from here on (RFC 9110 §7.8). Only for a request of HTTP/1.1 that asks for it and has been read
    /// to its end.
    Upgrade(Upgrade),
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Response(response)
    }
}

/// A connection that goes on in another protocol.
pub struct Upgrade {
    /// The fields of the answer 101, `Upgrade` among them; `Connection` is added.
    pub headers: HeaderMap,
    /// Serves the client's connection after that answer, for at most the time of a tunnel.
    pub serve: Box<dyn FnOnce(Stream) -> BoxFuture<'static, ()> + Send>,
}

/// A granted CONNECT.
#[derive(Debug)]
pub struct Tunnel<T> {
    /// The connection it is on.
    pub client: Arc<Client>,
    /// The name that CONNECT asked for, in canonical form.
    pub host: Box<str>,
    /// The name that TLS asked for, in lower case; `None` when there was none, or no ClientHello.
    pub sni: Option<Box<str>>,
    /// What is spoken inside.
    pub protocol: Protocol,
    /// What the handler decided.
    pub state: T,
}

/// What is known about a request beside the request.
#[derive(Debug)]
pub struct Exchange<T> {
    /// The connection it came on.
    pub client: Arc<Client>,
    /// The tunnel it came in; `None` on the proxy connection itself.
    pub tunnel: Option<Arc<Tunnel<T>>>,
    /// Counts the requests of one connection from 1.
    pub number: u64,
    /// The request target as received, with its fragment if it has one (HTTP/2: `:path` without).
    pub target: Bytes,
    /// Why it must be refused.
    pub fault: Option<Fault>,
    /// How it came.
    pub protocol: Protocol,
    /// When its head was complete.
    pub started: tokio::time::Instant,
}

impl<T> Clone for Exchange<T> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            tunnel: self.tunnel.clone(),
            number: self.number,
            target: self.target.clone(),
            fault: self.fault.clone(),
            protocol: self.protocol,
            started: self.started,
        }
    }
}

/// Why a request must be refused whatever the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its head is malformed; the request that comes with it is a stand-in.
    Head(HeadFault),
    /// TLS asked for another name than CONNECT, or for none: see [`Tunnel::sni`].
    Sni,
    /// As many requests of HTTP/2 are in flight as there may be.
    TooManyRequests {
        /// So many.
        limit: usize,
    },
}

/// Why no request came of a granted CONNECT.
#[derive(Debug, thiserror::Error)]
pub enum TunnelFailure {
    /// The first byte was not that of a TLS record.
    #[error("the tunnel does not begin with TLS: only TLS is served on CONNECT")]
    NotTls,
    /// The name in the ClientHello is not that of a spliced tunnel.
    #[error("the TLS server name is not the host of the CONNECT")]
    Sni,
    /// The client went away before its ClientHello was complete.
    #[error("the client closed the tunnel before its TLS handshake")]
    Closed,
    /// TLS could not be agreed on; most often the client does not trust the CA.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// It took too long, or too many others were at it.
    #[error("the TLS handshake was not complete in time")]
    Timeout,
    /// No certificate could be made for the name.
    #[error("no certificate for this host: {0}")]
    Leaf(#[source] BoxError),
}

/// What a spliced tunnel carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpliceEnd {
    /// Bytes from the client, its ClientHello included.
    pub sent: u64,
    /// Bytes to the client.
    pub received: u64,
    /// Why it ended, unless both sides closed in good order.
    pub error: Option<String>,
}

/// Something that a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted.
    ConnectionOpened,
    /// That connection ended.
    ConnectionClosed,
    /// A connection was refused since there are as many as there may be.
    ConnectionRefused,
    /// A request of HTTP/2 was refused since there are as many as there may be.
    StreamRefused,
    /// The listener could not accept (file descriptors ran out, for example); it goes on after a pause.
    AcceptFailed,
    /// A TLS handshake was completed.
    Handshake {
        /// What is spoken inside.
        protocol: Protocol,
    },
    /// A TLS handshake waits for others to finish.
    HandshakeQueued,
    /// A certificate was made, as opposed to found in the cache.
    LeafIssued,
    /// A connection was closed after its idle time.
    IdleClosed,
    /// A connection was closed since no byte had moved on it, or an exchange took too long.
    Stalled,
}

impl Event {
    /// What metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionOpened => "connection_opened",
            Self::ConnectionClosed => "connection_closed",
            Self::ConnectionRefused => "connection_refused",
            Self::StreamRefused => "stream_refused",
            Self::AcceptFailed => "accept_failed",
            Self::Handshake { .. } => "handshake",
            Self::HandshakeQueued => "handshake_queued",
            Self::LeafIssued => "leaf_issued",
            Self::IdleClosed => "idle_closed",
            Self::Stalled => "stalled",
        }
    }
}
