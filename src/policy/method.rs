//! Methods: case-sensitive tokens (RFC 9110 §9.1), compared exactly.
//!
//! A rule that lists `GET` allows `GET` and nothing else, not even `HEAD`: a list is what it says. The manifest's
//! examples write `[GET, HEAD]`. A rule without a list allows [`Method::USUAL`]: a server may understand any other token
//! in a way of its own, and a token that nobody listed could carry anything.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The method of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(http::Method);

/// Why a text is not a method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a method: a method is a token such as GET (RFC 9110 §9.1), of {LONGEST_METHOD} bytes at most",
    .0.escape_default()
)]
pub struct MethodError(String);

/// Bytes of the longest method that can be listed, and that is read; `UPDATEREDIRECTREF` has 17.
pub const LONGEST_METHOD: usize = 32;

/// The HTTP Method Registry (RFC 9110 §16.1.1), in its order.
const REGISTERED: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

impl Method {
    /// `GET`.
    pub const GET: Method = Method(http::Method::GET);
    /// `HEAD`.
    pub const HEAD: Method = Method(http::Method::HEAD);
    /// `POST`.
    pub const POST: Method = Method(http::Method::POST);
    /// `PUT`.
    pub const PUT: Method = Method(http::Method::PUT);
    /// `DELETE`.
    pub const DELETE: Method = Method(http::Method::DELETE);

    /// What a rule without a list allows: the methods of RFC 9110 and PATCH, without CONNECT and TRACE.
    pub const USUAL: &'static [Method] = &[
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method(http::Method::PATCH),
        Method::DELETE,
        Method(http::Method::OPTIONS),
    ];

    /// Reads a token. Case is kept: `get` is a method of its own, and not `GET`.
    pub fn parse(text: &str) -> Result<Method, MethodError> {
        let read = http::Method::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= LONGEST_METHOD);
        read.map(Method).ok_or_else(|| MethodError(text.chars().take(2 * LONGEST_METHOD).collect()))
    }

    /// The token as it was read, case kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The methods that the registry has; a server can define others of its own.
    #[must_use]
    pub fn registered() -> &'static [&'static str] {
        REGISTERED
    }

    /// `Some("GET")` for `get`: a manifest that lists such a spelling surely means the other one.
    #[must_use]
    pub fn probably_meant(&self) -> Option<&'static str> {
        REGISTERED
            .iter()
            .copied()
            .find(|known| known.eq_ignore_ascii_case(self.as_str()) && *known != self.as_str())
    }

    /// CONNECT and TRACE, in any case: no rule can allow them. TRACE returns the credential that was injected,
    /// and CONNECT inside a tunnel is a tunnel that nobody looks into.
    #[must_use]
    pub fn is_never_allowed(&self) -> bool {
        ["CONNECT", "TRACE"].iter().any(|never| never.eq_ignore_ascii_case(self.as_str()))
    }
}

impl From<http::Method> for Method {
    fn from(method: http::Method) -> Method {
        Method(method)
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Method {
        Method(method.clone())
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Method, MethodError> {
        Method::parse(text)
    }
}

impl TryFrom<String> for Method {
    type Error = MethodError;

    fn try_from(text: String) -> Result<Method, MethodError> {
        Method::parse(&text)
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.as_str().to_owned()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_case_sensitive_token() {
        assert_ne!(Method::parse("get").unwrap(), Method::GET);
        assert_eq!(Method::parse("get").unwrap().probably_meant(), Some("GET"));
        assert_eq!(Method::GET.probably_meant(), None);
        for bad in ["", "GE T", "GET\r\n", "G\0", "GÉT", "GET/"] {
            assert!(Method::parse(bad).is_err(), "{bad:?}");
        }
        let said = Method::parse("GE T").unwrap_err().to_string();
        assert_eq!(
            said,
            "`GE T` is not a method: a method is a token such as GET (RFC 9110 §9.1), of 32 bytes at most"
        );
        assert!(Method::parse(&"A".repeat(32)).is_ok());
        assert!(Method::parse(&"A".repeat(33)).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn connect_and_trace_are_never_allowed_in_any_case() {
        for never in ["CONNECT", "TRACE", "trace", "Trace"] {
            assert!(Method::parse(never).unwrap().is_never_allowed());
        }
        assert!(!Method::GET.is_never_allowed());
    }
}
