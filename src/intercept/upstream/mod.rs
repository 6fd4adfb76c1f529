//! The way out: connections to upstreams, kept and shared.

mod connection;
mod error;
mod limits;
mod message;
mod pool;
mod response;
mod tls;

pub use error::SendError;
pub use limits::{PoolLimits, PoolStats};
pub use pool::Pool;
pub use tls::{Roots, TrustError, secure};

use super::{Protocol, Stream};
use std::{fmt::Debug, hash::Hash};

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
    /// The bytes.
    pub stream: Stream,
    /// What was agreed on.
    pub protocol: Protocol,
    /// Requests are written in absolute-form: a plain proxy is at the other end.
    pub absolute_form: bool,
}
