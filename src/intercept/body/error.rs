//! Why a body did not come to its end.

use crate::intercept::{BoxError, FaultKind};

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// The client, which sends the request and reads the response.
    Downstream,
    /// The server that the request is sent on to.
    Upstream,
    /// This program, or a rule of it.
    Proxy,
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client's body broke off.
    #[error("the client's request body broke off: {0}")]
    Client(#[source] BoxError),
    /// The client's body is malformed.
    #[error("the client's request body is malformed: {0}")]
    Malformed(FaultKind),
    /// The upstream's body broke off.
    #[error("the upstream's response body broke off: {0}")]
    Upstream(#[source] BoxError),
    /// It is longer than it may be.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// How long it may be.
        limit: u64,
    },
    /// It took too long.
    #[error("the body was not complete in time: {0}")]
    TimedOut(&'static str),
    /// A rule stopped it; the error is the rule's own and can be downcast.
    #[error("{0}")]
    Refused(#[source] BoxError),
}

impl BodyError {
    /// Who is at fault.
    #[must_use]
    pub fn party(&self) -> Party {
        match self {
            BodyError::Client(_) | BodyError::Malformed(_) | BodyError::TooLarge { .. } => Party::Downstream,
            BodyError::Upstream(_) => Party::Upstream,
            BodyError::TimedOut(_) | BodyError::Refused(_) => Party::Proxy,
        }
    }
}
