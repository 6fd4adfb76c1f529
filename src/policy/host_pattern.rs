//! What a rule names: one host, or every host that is exactly one label below another.

use super::host::{Host, HostError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The host of a rule: `api.example.com`, or `*.cdn.example`, which is one whole label and not the host below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// As it is written in a rule.
    text: Box<str>,
    /// The host itself, or what stands behind `*.`.
    named: Host,
}

/// Why a rule cannot name a text as its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Not a name.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `*`.
    #[error("`*` would be every host there is, which no rule allows")]
    Everything,
    /// `a.*.b`, `*a.b`, `*.*.b`.
    #[error("a `*` is the whole first label of a host, once: `*.cdn.example`")]
    Place,
    /// `*.com`.
    #[error(
        "`*.{0}` would be every name below `{0}`, which is no one's own: a wildcard has two labels behind it at least"
    )]
    Short(Host),
    /// The longest name that it could match is not a valid host.
    #[error("behind `*.` a host is longer than 251 characters")]
    Long,
}

/// A label and a dot at least.
const LONGEST_BASE: usize = 253 - 2;

impl HostPattern {
    /// Reads what a rule names: case and one trailing dot are all that may differ from the canonical form.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" || text == "*." {
            return Err(HostPatternError::Everything);
        }
        let Some(base) = text.strip_prefix("*.") else {
            return match Host::parse(text) {
                Err(HostError::Wildcard) => Err(HostPatternError::Place),
                host => Ok(host?.into()),
            };
        };
        let base = match Host::parse(base) {
            Err(HostError::Wildcard) => return Err(HostPatternError::Place),
            base => base?,
        };
        if !base.as_str().contains('.') {
            return Err(HostPatternError::Short(base));
        }
        if base.as_str().len() > LONGEST_BASE {
            return Err(HostPatternError::Long);
        }
        Ok(Self { text: format!("*.{base}").into(), named: base })
    }

    /// As it is written in a rule.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one host that it names.
    #[must_use]
    pub fn exact(&self) -> Option<&Host> {
        (!self.is_wildcard()).then_some(&self.named)
    }

    /// What stands behind `*.`.
    #[must_use]
    pub fn base(&self) -> Option<&Host> {
        self.is_wildcard().then_some(&self.named)
    }

    /// Whether it names more than one host.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.text.starts_with("*.")
    }

    /// Whether it names this host.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match self.base() {
            None => self.named == *host,
            Some(base) => host.parent() == Some(base.as_str()),
        }
    }

    /// Whether it names a host that always means the machine that resolves it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.named.is_loopback()
    }

    /// Whether it names what egress-proxy answers itself, or names below that.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.named.is_internal()
    }
}

impl From<Host> for HostPattern {
    fn from(named: Host) -> Self {
        Self { text: named.as_str().into(), named }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<Self, HostPatternError> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.text.into()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_exactly_one_label() {
        let pattern = HostPattern::parse("*.CDN.example.").unwrap();
        assert_eq!(pattern.as_str(), "*.cdn.example");
        let matches = |host: &str| pattern.matches(&Host::parse(host).unwrap());
        for host in ["a.cdn.example", "A.cdn.example.", "xn--bcher-kva.cdn.example", "1.cdn.example"] {
            assert!(matches(host), "{host}");
        }
        for host in [
            "cdn.example",
            "a.b.cdn.example",
            "acdn.example",
            "a.cdn.example.evil.test",
            "a.xcdn.example",
            "example",
            "cdn.example.a",
        ] {
            assert!(!matches(host), "{host}");
        }
        let exact = HostPattern::parse("cdn.example").unwrap();
        assert!(exact.matches(&Host::parse("cdn.example").unwrap()));
        assert!(!exact.matches(&Host::parse("a.cdn.example").unwrap()));
    }

    #[test]
    fn what_names_too_much_is_said_to() {
        let message = |text: &str| HostPattern::parse(text).unwrap_err().to_string();
        assert_eq!(message("*"), "`*` would be every host there is, which no rule allows");
        assert_eq!(message("*."), message("*"));
        assert_eq!(
            message("*.com"),
            "`*.com` would be every name below `com`, which is no one's own: a wildcard has two labels behind it at least"
        );
        assert_eq!(message("*.COM."), message("*.com"));
        let place = "a `*` is the whole first label of a host, once: `*.cdn.example`";
        for inner in [
            "a.*.cdn.example",
            "*a.cdn.example",
            "a*.cdn.example",
            "*.*.cdn.example",
            "**.cdn.example",
            "cdn.*",
        ] {
            assert_eq!(message(inner), place, "{inner}");
        }
        for no_host in [
            "*..cdn.example",
            "*.cdn.example:443",
            "*.10.0.0.1",
            "*.127.1",
            "*.cdn_x.example",
            "*.cdn.example/a",
            "https://*.cdn.example",
        ] {
            assert!(matches!(HostPattern::parse(no_host), Err(HostPatternError::Host(_))), "{no_host}");
        }
        let long = format!("*.{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(60));
        assert_eq!(HostPattern::parse(&long), Err(HostPatternError::Long));
    }
}
