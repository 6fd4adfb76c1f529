//! Why a request is not served, and by whose decision.

use super::denial;
use crate::intercept::{BodyError, HeadFault};
use crate::policy::{Reason, Refusal};
use crate::verdict::egress_proxy::{body_too_large, malformed};
use http::StatusCode;

/// A refusal with its author, and a status where the reason alone does not tell it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) refusal: Box<Refusal>,
    pub(super) by: Author,
    status: Option<StatusCode>,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// This proxy.
    EgressProxy,
    /// pipelock, with what it found in its own words.
    Pipelock { finding: String },
}

impl Author {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::EgressProxy => "egress-proxy",
            Self::Pipelock { .. } => "pipelock",
        }
    }
}

impl Failure {
    /// pipelock's answer, passed on with its status.
    pub(super) fn by_pipelock(refusal: Refusal, finding: String, status: StatusCode) -> Self {
        Self { refusal: Box::new(refusal), by: Author::Pipelock { finding }, status: Some(status) }
    }

    /// A request that is no request.
    pub(super) fn malformed(fault: &HeadFault) -> Self {
        Self {
            refusal: Box::new(malformed(fault.kind)),
            by: Author::EgressProxy,
            status: Some(fault.kind.status()),
        }
    }

    /// The request's own body failed.
    pub(super) fn of_body(error: &BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => body_too_large(*limit).into(),
            BodyError::Malformed(kind) => {
                Self::malformed(&HeadFault { kind: *kind, method: None, target: None })
            }
            other => Refusal::new(Reason::MalformedRequest, other.to_string()).into(),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| denial::status(self.refusal.reason))
    }

    /// Forbidden, as opposed to failed.
    pub(super) fn is_denial(&self) -> bool {
        self.status().is_client_error()
    }

    /// Where the decision comes from: a place in the manifest, or the next proxy.
    pub(super) fn source(&self) -> Option<&str> {
        match self.by {
            Author::EgressProxy => self.refusal.source.as_deref(),
            Author::Pipelock { .. } => Some("pipelock"),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), by: Author::EgressProxy, status: None }
    }
}
