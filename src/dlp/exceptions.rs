//! Patterns that pass to some hosts: which scanner reads what is sent where.

use super::{Scanner, Settings, SettingsError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Every pattern, or every host.
pub const EVERY: &str = "*";

/// Text that matches a pattern may be sent to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Where it stands in the manifest: `pipelock.except[0]`.
    pub source: String,
    /// The pattern's name; `*` for every one that is not of the core.
    pub pattern: String,
    /// A host in its canonical form; `*` for every one.
    pub host: String,
    /// Why, for whoever reviews it.
    pub reason: String,
}

impl Exception {
    /// Whether whatever `other` lets pass, this lets pass as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covers = |these: &str, those: &str| these == EVERY || these == those;
        covers(&self.pattern, &other.pattern) && covers(&self.host, &other.host)
    }
}

/// A scanner for each host that has an exception, and one for all others. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scanners {
    all: Scanner,
    anywhere: Scanner,
    hosts: HashMap<String, Scanner>,
}

impl Scanners {
    /// Builds them; an exception for a pattern that is not there, or that belongs to the core, is an error.
    pub fn new(settings: Settings, exceptions: &[Exception]) -> Result<Self, SettingsError> {
        let all = Scanner::new(settings)?;
        let (everywhere, at_hosts): (Vec<_>, Vec<_>) = exceptions.iter().partition(|it| it.host == EVERY);
        let anywhere = all.except(everywhere.iter().map(|it| it.pattern.as_str()))?;
        let mut hosts = HashMap::new();
        for exception in at_hosts {
            let so_far = hosts.get(&exception.host).unwrap_or(&anywhere);
            let scanner = so_far.except([exception.pattern.as_str()])?;
            hosts.insert(exception.host.clone(), scanner);
        }
        Ok(Self { all, anywhere, hosts })
    }

    /// What reads that which is sent to a host.
    #[must_use]
    pub fn of(&self, host: &str) -> &Scanner {
        self.hosts.get(host).unwrap_or(&self.anywhere)
    }

    /// The one without exceptions, for what is logged.
    #[must_use]
    pub fn all(&self) -> &Scanner {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CustomPattern, Severity};
    use super::*;

    fn exception(pattern: &str, host: &str) -> Exception {
        let text = str::to_owned;
        Exception {
            source: text("pipelock.except[0]"),
            pattern: text(pattern),
            host: text(host),
            reason: text("a test"),
        }
    }

    fn settings() -> Settings {
        let custom = CustomPattern::own("Ticket", "TICKET-[0-9]{6}");
        assert_eq!(custom.severity, Severity::High);
        Settings { custom: vec![custom], ..Settings::default() }
    }

    #[test]
    fn an_exception_is_good_for_its_host_and_its_pattern_only() {
        let iban = "GB33BUKB20201555555555";
        let github = format!("{}{}", "ghp_", "A1b2C3d4E5f6G7h8I9j0".repeat(2));
        let exceptions =
            [exception("Ticket", "a.example"), exception("IBAN", "*"), exception("*", "c.example")];
        let scanners = Scanners::new(settings(), &exceptions).unwrap();
        let found = |host: &str, text: &str| scanners.of(host).text(text).map(|it| it.pattern.to_string());
        let ticket = || Some("Ticket".to_owned());
        assert_eq!(found("a.example", "ticket-123456"), None);
        assert_eq!(found("b.example", "ticket-123456"), ticket());
        assert_eq!((found("a.example", iban), found("b.example", iban)), (None, None));
        assert_eq!(found("c.example", "TICKET-123456 and GB33BUKB20201555555555"), None);
        let core = Some("GitHub Token".to_owned());
        for host in ["a.example", "b.example", "c.example"] {
            assert_eq!(found(host, &github), core, "{host}");
        }
        assert_eq!(scanners.all().text(iban).map(|it| it.pattern.to_string()), Some("IBAN".to_owned()));
    }

    #[test]
    fn an_exception_for_nothing_is_an_error() {
        let error =
            |pattern: &str| Scanners::new(settings(), &[exception(pattern, "a.example")]).unwrap_err();
        assert_eq!(error("Tickets"), SettingsError::UnknownPattern("Tickets".to_owned()));
        assert_eq!(error("GitHub Token"), SettingsError::Core("GitHub Token".to_owned()));
    }

    #[test]
    fn a_wider_exception_covers_a_narrower_one() {
        let all = ["*", "IBAN"].map(|pattern| ["*", "a.example"].map(|host| exception(pattern, host)));
        let [[everything, every_pattern], [every_host, one]] = all;
        assert!(
            everything.covers(&every_pattern) && everything.covers(&every_host) && everything.covers(&one)
        );
        assert!(every_pattern.covers(&one) && every_host.covers(&one) && one.covers(&one));
        assert!(
            !one.covers(&every_host)
                && !every_pattern.covers(&every_host)
                && !every_host.covers(&every_pattern)
        );
    }
}
