//! What the query of a request must say: a parameter by name, once, with one of a few values.
//!
//! Servers read one query in several ways: by `&` or `;`, in any case, decoded once or twice, the first of two or the
//! last, `a[]` as `a`. So a named parameter is read strictly (WHATWG URL, `application/x-www-form-urlencoded`), and a
//! second one that any of those servers could take for it is refused. Parameters that are not named pass.

use super::decoding::{any_decoding, decode_once};
use std::fmt;

/// A parameter that must be there once, with one of these values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryRule {
    /// Decoded.
    pub name: String,
    /// Decoded; an empty list allows nothing.
    pub values: Vec<String>,
}

/// Why a query does not say what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// It is not there.
    #[error("the parameter `{0}` is missing")]
    Missing(String),
    /// It has none of the values.
    #[error("the parameter `{0}` has a value that is not allowed")]
    Value(String),
    /// It is there twice, or something is there that a server could take for it.
    #[error("the parameter `{0}` is there more than once, as some servers read the query")]
    Several(String),
}

impl QueryFault {
    /// The parameter that it is about.
    #[must_use]
    pub fn parameter(&self) -> &str {
        match self {
            Self::Missing(name) | Self::Value(name) | Self::Several(name) => name,
        }
    }
}

impl QueryRule {
    /// Looks at a whole query, without its `?`.
    pub fn check(&self, query: Option<&str>) -> Result<(), QueryFault> {
        let query = query.unwrap_or_default();
        let alike = plain(&self.name);
        let lenient = query.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
        match lenient.filter(|name| reads_as(name, &alike)).count() {
            0 => return Err(QueryFault::Missing(self.name.clone())),
            1 => {}
            _ => return Err(QueryFault::Several(self.name.clone())),
        }
        let mut strict = query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name)? == self.name).then_some(value)
        });
        let value = strict.next().ok_or_else(|| QueryFault::Missing(self.name.clone()))?;
        let allowed = decoded(value).is_some_and(|value| self.values.contains(&value));
        if allowed { Ok(()) } else { Err(QueryFault::Value(self.name.clone())) }
    }

    /// Whether a text can be written as a name or value: what servers read differently can't.
    #[must_use]
    pub fn is_plain(text: &str) -> bool {
        !text.chars().any(|c| c.is_control() || matches!(c, '%' | '&' | ';' | '+' | '#'))
            && text.trim() == text
    }

    /// Whether two names are one to some server.
    #[must_use]
    pub fn is_same_name(one: &str, other: &str) -> bool {
        plain(one) == plain(other)
    }
}

/// `action=list or show`.
impl fmt::Display for QueryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.values.join(" or "))
    }
}

/// As a form is read; nothing where that is no text.
fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let bytes = decode_once(spaced.as_bytes()).unwrap_or_else(|| spaced.clone().into_bytes());
    String::from_utf8(bytes).ok()
}

/// What is left of a name to a server that takes much for the same: no case, no index, no separators (PHP reads `a.b` and
/// `a b` as `a_b`), and nothing that stands around it.
fn plain(name: &str) -> String {
    let name = name.split(['[', ']', '\0']).find(|part| !part.is_empty()).unwrap_or_default();
    let kept = name
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '+' | '_' | '.' | '-' | '?' | '/'));
    kept.flat_map(char::to_lowercase).collect()
}

/// Whether a name as it came is `alike` in any decoding. One that is encoded over and over could be anything.
fn reads_as(name: &str, alike: &str) -> bool {
    any_decoding(name.as_bytes(), |decoded| plain(&String::from_utf8_lossy(decoded)) == alike).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str) -> Result<(), QueryFault> {
        let rule = QueryRule { name: "action".into(), values: vec!["read".into(), "list all".into()] };
        rule.check(Some(query))
    }

    #[test]
    fn a_named_parameter_is_there_once_with_one_of_its_values() {
        for good in [
            "action=read",
            "x=1&action=read&y=2",
            "action=%72ead",
            "%61ction=read",
            "action=list+all",
            "action=list%20all",
            "action=read&page=2",
            "x=action&action=read",
            "x;y=1&action=read",
            "transaction=write&action=read",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_some_server_reads_otherwise_is_refused() {
        let name = || "action".to_owned();
        for (bad, why) in [
            ("", QueryFault::Missing(name())),
            ("x=1", QueryFault::Missing(name())),
            ("Action=read", QueryFault::Missing(name())),
            ("action[]=read", QueryFault::Missing(name())),
            ("%2561ction=read", QueryFault::Missing(name())),
            ("x=1;action=read", QueryFault::Missing(name())),
            ("action=write", QueryFault::Value(name())),
            ("action", QueryFault::Value(name())),
            ("action=", QueryFault::Value(name())),
            ("action=Read", QueryFault::Value(name())),
            ("action=%2572ead", QueryFault::Value(name())),
            ("action=read%00", QueryFault::Value(name())),
            ("action=read%20", QueryFault::Value(name())),
            ("action=read=write", QueryFault::Value(name())),
            ("action=%ff", QueryFault::Value(name())),
            ("action=read;x=1", QueryFault::Value(name())),
            ("action=read&action=write", QueryFault::Several(name())),
            ("action=read&action=read", QueryFault::Several(name())),
            ("action=read;action=write", QueryFault::Several(name())),
            ("x=1;action=write&action=read", QueryFault::Several(name())),
            ("action=read&ACTION=write", QueryFault::Several(name())),
            ("action=read&action[]=write", QueryFault::Several(name())),
            ("action=read&action%5B0%5D=write", QueryFault::Several(name())),
            ("action=read&%61ction=write", QueryFault::Several(name())),
            ("action=read&%2561ction=write", QueryFault::Several(name())),
            ("action=read&%252561ction=write", QueryFault::Several(name())),
            ("action=read&+action=write", QueryFault::Several(name())),
            ("action=read&action%00x=write", QueryFault::Several(name())),
            ("action=read&?action=write", QueryFault::Several(name())),
            ("action=read&%25252525252561ction=write", QueryFault::Several(name())),
            ("action=read&ac_tion=write", QueryFault::Several(name())),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
        let none = QueryRule { name: "action".into(), values: Vec::new() };
        assert!(none.check(Some("action=")).is_err(), "an empty list allows nothing");
        assert!(none.check(None).is_err());
    }
}
