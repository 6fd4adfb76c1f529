//! The fields that pipelock does not read: those that any route of this bottle injects (it is told to ignore them,
//! or it would take the injected credential for a leak), and the few that it ignores always. A secret of the
//! agent's in one of them is refused here.

use super::Ruleset;
use crate::policy::{Reason, Refusal, Route, UNREAD_BY_PIPELOCK};
use http::{HeaderMap, HeaderName};

/// Refuses a request whose unread fields carry a secret. The message names the field and the pattern, never a byte.
pub(super) fn search(headers: &HeaderMap, rules: &Ruleset, route: &Route) -> Result<(), Refusal> {
    let unread = UNREAD_BY_PIPELOCK.iter().copied();
    let names = rules.credential_fields.iter().map(HeaderName::as_str).chain(unread);
    for name in names {
        for value in headers.get_all(name) {
            if let Some(finding) = rules.scanner.text(value.as_bytes()) {
                return Err(leaked(name, &finding.pattern, route));
            }
        }
    }
    Ok(())
}

fn leaked(field: &str, pattern: &str, route: &Route) -> Refusal {
    let message = format!(
        "the field {field} of this request to {} carries a secret ({pattern}), and no rule sends one there; take it \
         out; retrying does not help",
        route.host
    );
    Refusal {
        rule: Some(route.id.clone()),
        source: Some(route.source.clone()),
        ..Refusal::new(Reason::CredentialInRequest, message)
    }
}
