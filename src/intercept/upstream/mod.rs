//! The way out: connections to upstreams, kept and shared.

mod collector;
mod ends;
mod error;
mod http1;
mod http2;
mod message;
mod open;
mod pool;
mod pool_settings;
mod read_on;
mod tls;
mod upgrade;

pub use error::SendError;
pub use pool::Pool;
pub use pool_settings::{PoolLimits, PoolStats};
pub use tls::{Roots, TrustError, only_http1, secure};
pub use upgrade::Switched;

use super::{Protocol, Stream};
use std::{fmt::Debug, hash::Hash};

/// Bytes of the head of a response, and what is read ahead of an HTTP/1 body and waits to be written of one. Envoy has
/// 60 KiB for the head.
const MAX_HEAD_BYTES: u32 = 64 * 1024;

/// Makes connections.
pub trait Connector: Send + Sync + 'static {
    /// What a connection is for. Two requests share connections exactly when their keys are equal, so a key
    /// holds everything that must not be mixed: scheme, authority, trust, generation of the configuration.
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;
    /// Why there is none.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Makes one, within the connector's own time limit. TCP connections have `TCP_NODELAY`.
    fn connect(&self, key: &Self::Key) -> impl Future<Output = Result<Connected, Self::Error>> + Send;
}

/// A connection that is ready for HTTP.
pub struct Connected {
    /// Carries HTTP: where there is TLS, it is inside of this.
    pub stream: Stream,
    /// What was agreed on.
    pub protocol: Protocol,
    /// Requests are written in absolute-form: a plain proxy is at the other end.
    pub absolute_form: bool,
    /// Bytes of a response body that one HTTP/2 stream may send ahead of what is read of it. A stream carries no more
    /// than that in each round trip.
    pub stream_window: u32,
}
