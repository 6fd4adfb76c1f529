//! The TLS-intercepting forward proxy that both runtimes are made of. Knows no policy and not who uses it.
//!
//! It promises a [`Handler`] one thing: whatever reaches [`Handler::exchange`] was read one way only. HTTP/1
//! heads are checked byte by byte before the HTTP library sees them ([`head`]), the tunnel's name, the TLS
//! server name and the raw request target are all visible ([`Exchange`]), and what is malformed arrives as a
//! [`Fault`] instead of a request. Bodies stream both ways, and a body that broke off on one side breaks off
//! on the other: no truncated message ever ends cleanly.
//!
//! The life of a connection: [`Listener`] → [`Server`] (limits) → HTTP/1.1 proxy connection → CONNECT →
//! ClientHello (`hello`) and leaf (`tls`) → HTTP/1.1 or HTTP/2 inside the tunnel → handler → [`Pool`]. An [`Upgrade`] ends HTTP on it.

mod activity;
mod alarm;
pub mod body;
pub(crate) mod budget;
mod drain;
mod handler;
pub mod head;
mod hello;
mod limits;
mod listener;
mod rewind;
mod server;
mod splice;
mod stream;
mod tls;
pub(crate) mod unread;
pub mod upstream;
pub mod websocket;
mod write_through;

pub use body::{Body, BodyEnd, BodyError, BodyOutcome, Meter, Party};
pub use drain::{Drain, Drained};
pub use handler::{
    Answer, Client, Connect, ConnectRequest, Event, Exchange, Fault, Handler, Peer, Protocol, SpliceEnd,
    Tunnel, TunnelFailure, Upgrade,
};
pub use head::{FaultKind, HeadFault};
pub use limits::ServerLimits;
pub use listener::{ListenError, Listener};
pub use server::Server;
pub use splice::splice;
pub use stream::Stream;
pub use tls::{Interception, IssueLeaf};
pub use upstream::{
    Connected, Connector, Pool, PoolLimits, PoolStats, Roots, SendError, Switched, TrustError, only_http1,
    secure,
};

/// An error of any kind, where this module only passes it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
