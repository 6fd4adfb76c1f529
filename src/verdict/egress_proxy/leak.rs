//! The fields that pipelock does not read: those that any route of this bottle injects (it is told to ignore them,
//! or it would take the injected credential for a leak), and the few that it ignores always. A secret of the
//! agent's in one of them is refused here.

use super::Ruleset;
use crate::dlp::Finding;
use crate::policy::{Reason, Refusal, Route, UNREAD_BY_PIPELOCK};
use http::{HeaderMap, HeaderName};

/// A secret in a field that pipelock does not read. Holds no byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The field's name.
    pub field: String,
    /// What was found; its offset is that in the field's value.
    pub finding: Finding,
}

impl<R> Ruleset<R> {
    /// The first secret in the fields of a request to a host that pipelock does not read.
    #[must_use]
    pub fn leak(&self, host: &str, headers: &HeaderMap) -> Option<Leak> {
        let scanner = self.scanners.of(host);
        let unread = UNREAD_BY_PIPELOCK.iter().copied();
        self.credential_fields.iter().map(HeaderName::as_str).chain(unread).find_map(|name| {
            let mut values = headers.get_all(name).iter();
            let finding = values.find_map(|value| scanner.text(value.as_bytes()))?;
            Some(Leak { field: name.to_owned(), finding })
        })
    }
}

impl Leak {
    pub(super) fn refusal(&self, route: &Route) -> Refusal {
        let message = format!(
            "the field {} of this request to {} carries a secret ({}), and no rule sends one there; take it out; \
             retrying does not help",
            self.field, route.host, self.finding.pattern
        );
        Refusal::new(Reason::CredentialInRequest, message).under(route)
    }
}
