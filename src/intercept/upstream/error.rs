//! Why a request got no response, and whose fault that is.

use crate::intercept::{BodyError, BoxError, Party};

/// Why a request got no response. `E` is the connector's error.
#[derive(Debug, thiserror::Error)]
pub enum SendError<E> {
    /// There is no connection.
    #[error("no connection to the upstream: {0}")]
    Connect(#[source] E),
    /// There is a connection, but HTTP could not be begun on it.
    #[error("the upstream does not speak HTTP on a new connection: {0}")]
    Handshake(#[source] BoxError),
    /// The request's own body failed while it was sent: see [`BodyError::party`].
    #[error("the request was not sent to its end: {0}")]
    RequestBody(#[source] BodyError),
    /// The connection failed before the whole request was sent, or before any of the response came.
    #[error("the upstream closed the connection without a response: {0}")]
    Send(#[source] BoxError),
    /// What came is not an HTTP response.
    #[error("the upstream's response is malformed: {0}")]
    Response(#[source] BoxError),
    /// The upstream switches protocols although nobody asked for it.
    #[error("the upstream answered 101 Switching Protocols, which was not asked for")]
    Upgrade,
    /// The request can't be written: its URI is not absolute.
    #[error("the request has no absolute URI")]
    NotAbsolute,
}

impl<E> SendError<E> {
    /// Who failed.
    #[must_use]
    pub fn party(&self) -> Party {
        match self {
            SendError::RequestBody(error) => error.party(),
            SendError::NotAbsolute => Party::Proxy,
            _ => Party::Upstream,
        }
    }
}

/// A request that got no response.
pub(super) struct Failure<E> {
    pub(super) error: SendError<E>,
    /// Surely nothing of it was processed, and it can be sent again.
    pub(super) unprocessed: bool,
}
