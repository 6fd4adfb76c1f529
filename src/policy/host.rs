//! Names of hosts, in the one form that is compared, logged and sent.
//!
//! A [`Host`] is lower-case ASCII in letters, digits and hyphens (RFC 952, RFC 1123 §2.1), internationalised
//! labels as A-labels (RFC 5890 §2.3.2.1), without a trailing dot, and never an IP address in any spelling.
//! Two hosts are the same host exactly when they are equal; nothing here compares prefixes or suffixes of letters.

use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest name that DNS carries, without the trailing dot (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// The name that egress-proxy answers itself, so that an agent can ask what it is allowed. No request for it ever
/// leaves, and no rule can name it.
pub const INTERNAL_HOST: &str = "bottle.internal";

/// The name of a host in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Arc<str>);

/// Why a text is not the name of a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// `https://…` where a name belongs.
    #[error("a host has no scheme: write the name alone, without `{scheme}://`")]
    Scheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// `name@host`.
    #[error("a host has no user information: nothing may stand before an `@`")]
    UserInfo,
    /// `host/path`, or a query or fragment.
    #[error("a host has no path: `{0}` and what follows does not belong here")]
    Path(char),
    /// `host:443` where a name alone belongs.
    #[error("a host has no port here: leave `:` and what follows away")]
    Port,
    /// `*.example.com`.
    #[error("a host has no wildcard: name each host")]
    Wildcard,
    /// An address in any notation that some resolver takes for one.
    #[error("`{0}` is an IP address; only names are allowed")]
    IpLiteral(String),
    /// A name outside ASCII.
    #[error("a host is ASCII{}", .a_label.as_deref().map(|a| format!(": write `{a}`")).unwrap_or_default())]
    NotAscii {
        /// The A-label form of the same name, when there is one.
        a_label: Option<String>,
    },
    /// Control bytes, spaces, underscores and whatever else is no letter, digit or hyphen.
    #[error("a host consists of letters, digits, hyphens and dots; `{}` is none of them", .0.escape_default())]
    Character(char),
    /// `a..b`, `.a`, or more than one trailing dot.
    #[error("the host has an empty label (two dots in a row, or a dot at the start)")]
    EmptyLabel,
    /// Over 63 characters between two dots.
    #[error("the label `{0}` is longer than 63 characters")]
    LongLabel(String),
    /// Over 253 characters.
    #[error("the host is longer than 253 characters")]
    Long,
    /// `-a` or `a-`.
    #[error("the label `{0}` begins or ends with a hyphen")]
    Hyphen(String),
    /// `xn--` before something that is not an A-label.
    #[error("`{0}` begins like an internationalised name but is none")]
    Punycode(String),
    /// A port that is no number from 1 to 65535, or has a sign, a leading zero or nothing at all.
    #[error("`{}` is not a port: a number from 1 to 65535", .0.escape_default())]
    BadPort(String),
    /// An authority without a port where one must be given.
    #[error("the port is missing: write HOST:PORT")]
    NoPort,
}

impl Host {
    /// Reads a name: case and one trailing dot are all that may differ from the canonical form.
    pub fn parse(text: &str) -> Result<Host, HostError> {
        reject_what_is_no_name(text)?;
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return Err(HostError::EmptyLabel);
        }
        if name.len() > MAX_HOST {
            return Err(HostError::Long);
        }
        let name = name.to_ascii_lowercase();
        for label in name.split('.') {
            check_label(label)?;
        }
        if name.rsplit('.').next().is_some_and(reads_as_number) {
            return Err(HostError::IpLiteral(name));
        }
        if name.split('.').any(|label| label.starts_with("xn--")) && !is_a_label_form(&name) {
            return Err(HostError::Punycode(name));
        }
        Ok(Host(name.into()))
    }

    /// Whether it always means the machine that resolves it (RFC 6761 §6.3): here a proxy's own container.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        &*self.0 == "localhost" || self.0.ends_with(".localhost")
    }

    /// Whether it is [`INTERNAL_HOST`].
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.as_str() == INTERNAL_HOST
    }

    /// What stands behind the first label; nothing where that is the whole.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }

    /// Lower case, A-labels, no trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names the mistake, in the order in which a person would see it.
fn reject_what_is_no_name(text: &str) -> Result<(), HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(HostError::Character(bad));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(HostError::Scheme { scheme: scheme.to_owned() });
    }
    if text.contains('@') {
        return Err(HostError::UserInfo);
    }
    if let Some(mark) = text.chars().find(|c| matches!(c, '/' | '?' | '#' | '\\')) {
        return Err(HostError::Path(mark));
    }
    if text.contains(['[', ']']) || text.matches(':').count() > 1 {
        return Err(HostError::IpLiteral(text.to_owned()));
    }
    if text.contains(':') {
        return Err(HostError::Port);
    }
    if text.contains('*') {
        return Err(HostError::Wildcard);
    }
    if !text.is_ascii() {
        return Err(HostError::NotAscii { a_label: a_label_of(text) });
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')) {
        Some(bad) => Err(HostError::Character(bad)),
        None => Ok(()),
    }
}

fn check_label(label: &str) -> Result<(), HostError> {
    if label.len() > MAX_LABEL {
        return Err(HostError::LongLabel(label.to_owned()));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(HostError::Hyphen(label.to_owned()));
    }
    Ok(())
}

/// Whether a last label makes the whole a number to `inet_aton` and to the WHATWG URL parser ("ends in a
/// number"): decimal, octal or hexadecimal. `127.1`, `0x7f000001` and `2130706433` are such names.
fn reads_as_number(label: &str) -> bool {
    label.bytes().all(|b| b.is_ascii_digit())
        || label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether every `xn--` label decodes (UTS 46) and encodes to itself again.
fn is_a_label_form(name: &str) -> bool {
    let (unicode, decoded) = idna::domain_to_unicode(name);
    decoded.is_ok() && idna::domain_to_ascii(&unicode).is_ok_and(|again| again == name)
}

fn a_label_of(text: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(text).ok()?;
    Host::parse(&ascii).ok().map(String::from)
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Host, HostError> {
        Host::parse(text)
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Host, HostError> {
        Host::parse(&text)
    }
}

impl From<Host> for String {
    fn from(host: Host) -> String {
        host.as_str().to_owned()
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host and a port: what CONNECT names, and what `Host` and `:authority` must equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// In canonical form.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl Authority {
    /// Reads `host:port`. Without a port, `default_port` is taken; where that is `None` (CONNECT, RFC 9110
    /// §9.3.6) the port must be there.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Authority, HostError> {
        let bracketed = text.contains(['[', ']']);
        let (host, port) = match text.split_once(':') {
            Some((host, port)) if !bracketed && !port.contains(':') && !text.contains("://") => {
                (host, Some(port))
            }
            _ => (text, None),
        };
        let host = Host::parse(host)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None => default_port.ok_or(HostError::NoPort)?,
        };
        Ok(Authority { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, HostError> {
    let digits = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| HostError::BadPort(text.to_owned()))
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests;
