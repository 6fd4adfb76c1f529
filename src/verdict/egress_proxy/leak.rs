//! The fields that pipelock does not read: those that any route of this bottle injects (it is told to ignore them,
//! or it would take the injected credential for a leak), and the few that it ignores always. A secret of the
//! agent's in one of them is refused here.

use super::Ruleset;
use crate::dlp::Finding;
use crate::policy::{Intent, Reason, Refusal, Route, UNREAD_BY_PIPELOCK};
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

impl<R> Ruleset<R> {
    /// A credential that bottle holds in what would leave: it leaves by its own route alone, which sets it after this.
    pub(super) fn own_secret(&self, intent: &Intent, headers: &HeaderMap, route: &Route) -> Option<Refusal> {
        if self.own.is_empty() {
            return None;
        }
        let host = intent.authority.host.as_str();
        let of_host = self.own.in_text(host.as_bytes()).map(|own| ("the host".to_owned(), own));
        let target = intent.target.to_string();
        let of_target = self.own.in_text(target.as_bytes()).map(|own| ("the target".to_owned(), own));
        let found = of_host.or(of_target).or_else(|| {
            headers.iter().find_map(|(name, value)| {
                let of_name = self.own.in_text(name.as_str().as_bytes());
                of_name.map(|own| ("the name of a field".to_owned(), own)).or_else(|| {
                    self.own.in_text(value.as_bytes()).map(|own| (format!("the field {name}"), own))
                })
            })
        });
        let (place, own) = found?;
        let message = format!(
            "{place} of this request to {} is not sent: {own}; take it out; retrying does not help",
            route.host
        );
        Some(Refusal::new(Reason::OwnSecret, message).under(route))
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
