//! Why a request is not served, and by whose decision.

use super::own_secrets;
use crate::dlp::OwnSecret;
use crate::intercept::{BodyError, FaultKind, HeadFault, budget::NoRoom};
use crate::policy::{Reason, Refusal};
use crate::telemetry::audit::Verdict;
use crate::verdict::egress_proxy::malformed;
use bytes::Bytes;
use http::StatusCode;

/// A refusal with its author, and a status where the reason alone does not tell it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) refusal: Box<Refusal>,
    pub(super) by: Author,
    status: Option<StatusCode>,
    /// The answer to a push, which its client reads for what became of its refs.
    pub(super) report: Option<Bytes>,
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
        Self {
            refusal: Box::new(refusal),
            by: Author::Pipelock { finding },
            status: Some(status),
            report: None,
        }
    }

    /// A request that is no request, or not all of one.
    pub(super) fn malformed(fault: &HeadFault) -> Self {
        let refusal = match fault.kind {
            FaultKind::HeadTimeout => incomplete(&fault.kind.to_string()),
            kind => malformed(kind),
        };
        Self { status: Some(fault.kind.status()), ..refusal.into() }
    }

    /// The request's own body failed.
    pub(super) fn of_body(error: &BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Refusal::body_too_large(*limit).into(),
            BodyError::Malformed(kind) => {
                Self::malformed(&HeadFault { kind: *kind, method: None, target: None })
            }
            BodyError::Client(_) | BodyError::Upstream(_) | BodyError::TimedOut(_) => {
                incomplete(&error.to_string()).into()
            }
            BodyError::Refused(cause) if cause.is::<OwnSecret>() => {
                let message = format!(
                    "the body of the request is not sent: {cause}; take it out; retrying does not help"
                );
                Refusal::new(Reason::OwnSecret, message).into()
            }
            BodyError::Refused(cause) => match cause.downcast_ref::<NoRoom>() {
                Some(why) => own_secrets::no_room(*why).into(),
                None => Refusal::new(Reason::MalformedRequest, error.to_string()).into(),
            },
        }
    }

    /// A push that is refused in the words of its own protocol: its answer is a success of HTTP.
    pub(super) fn in_a_report(refusal: Refusal, report: Vec<u8>) -> Self {
        Self { status: Some(StatusCode::OK), report: Some(report.into()), ..refusal.into() }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| status_and_verdict(self.refusal.reason).0)
    }

    /// `Deny` where a rule refuses, `Error` where none does; whoever decided, and whatever the status.
    pub(super) fn verdict(&self) -> Verdict {
        status_and_verdict(self.refusal.reason).1
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
        Self { refusal: Box::new(refusal), by: Author::EgressProxy, status: None, report: None }
    }
}

/// The status and the verdict of a reason: 400 for what has no one meaning, 403 for what is forbidden, 5xx for what is
/// beyond us.
fn status_and_verdict(reason: Reason) -> (StatusCode, Verdict) {
    match reason {
        Reason::MalformedAuthority | Reason::MalformedTarget | Reason::MalformedRequest => {
            (StatusCode::BAD_REQUEST, Verdict::Deny)
        }
        Reason::RequestIncomplete | Reason::TlsFailed => (StatusCode::BAD_REQUEST, Verdict::Error),
        Reason::GitPush
        | Reason::PushNotAllowed
        | Reason::HostNotAllowed
        | Reason::PortNotAllowed
        | Reason::RuleExpired
        | Reason::MethodNotAllowed
        | Reason::PathNotAllowed
        | Reason::PathDenied
        | Reason::QueryNotAllowed
        | Reason::GraphqlNotAllowed
        | Reason::RpcNotAllowed
        | Reason::AuthorityMismatch
        | Reason::TlsRequired
        | Reason::UpgradeNotSupported
        | Reason::CredentialInRequest
        | Reason::OwnSecret
        | Reason::BlockedByPipelock
        | Reason::AddressNotAllowed => (StatusCode::FORBIDDEN, Verdict::Deny),
        Reason::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Verdict::Deny),
        Reason::CredentialUnavailable
        | Reason::UpstreamUnreachable
        | Reason::UpstreamInvalid
        | Reason::UpstreamTimeout => (StatusCode::BAD_GATEWAY, Verdict::Error),
        Reason::LimitReached | Reason::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, Verdict::Error),
    }
}

fn incomplete(what: &str) -> Refusal {
    Refusal::new(Reason::RequestIncomplete, format!("the request is incomplete: {what}; send it again"))
        .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_on_every_reason() {
        let failed = [
            "request_incomplete",
            "tls_failed",
            "credential_unavailable",
            "upstream_unreachable",
            "upstream_invalid",
            "upstream_timeout",
            "limit_reached",
            "shutting_down",
        ];
        let mut errors = Vec::new();
        for reason in Reason::ALL {
            let ours = Failure::from(Refusal::new(*reason, ""));
            // Never 401 or 407, which make clients ask for a password.
            assert!(matches!(ours.status().as_u16(), 400 | 403 | 413 | 502 | 503), "{reason}");
            // The same of pipelock, with a status that says the opposite.
            let status =
                if ours.status().is_client_error() { StatusCode::BAD_GATEWAY } else { StatusCode::FORBIDDEN };
            let pipelocks = Failure::by_pipelock(Refusal::new(*reason, ""), String::new(), status);
            assert_eq!(ours.verdict(), pipelocks.verdict(), "{reason}");
            if ours.verdict() == Verdict::Error {
                errors.push(reason.code());
            } else {
                assert_eq!(ours.verdict(), Verdict::Deny, "{reason}");
            }
        }
        assert_eq!(errors, failed);
    }

    #[test]
    fn what_is_not_whole_is_told_from_what_is_malformed() {
        for kind in FaultKind::ALL {
            let failure = Failure::malformed(&HeadFault { kind: *kind, method: None, target: None });
            let whole = *kind != FaultKind::HeadTimeout;
            let verdict = if whole { Verdict::Deny } else { Verdict::Error };
            assert_eq!((failure.verdict(), failure.status()), (verdict, kind.status()), "{kind}");
        }
        let of = |error| Failure::of_body(&error);
        assert_eq!(of(BodyError::Client("reset".into())).verdict(), Verdict::Error);
        assert_eq!(of(BodyError::TimedOut("late")).verdict(), Verdict::Error);
        assert_eq!(of(BodyError::TooLarge { limit: 1 }).verdict(), Verdict::Deny);
        assert_eq!(of(BodyError::Malformed(FaultKind::Chunk)).verdict(), Verdict::Deny);
    }
}
