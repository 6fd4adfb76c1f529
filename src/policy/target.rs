//! The target of a request in origin-form (RFC 9112 §3.2.1): a path, and a query that is never rewritten.

use super::path::{CanonicalPath, PathError, PathRules, check_raw};
use std::fmt;

/// Path and query, as they are decided on and as they are sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The path in canonical form.
    pub path: CanonicalPath,
    /// What follows the first `?`, byte for byte; `Some("")` for a bare `?`.
    pub query: Option<String>,
}

impl Target {
    /// Reads `/path?query`.
    ///
    /// The query passes as it is. Refused are bytes that no URI holds and that servers cut or fold: control
    /// characters, spaces, `#`, bytes outside ASCII. Other printable characters that RFC 3986 wants escaped
    /// (`{`, `|`, `"`, a lone `%`) pass, because browsers and WHATWG URL implementations send them so.
    pub fn parse(raw: &[u8], rules: PathRules) -> Result<Target, PathError> {
        let (path, query) = split(raw);
        let path = CanonicalPath::parse(path, rules)?;
        Ok(Target { path, query: query.map(read_query).transpose()? })
    }
}

/// Splits a raw target at the first `?`.
pub(super) fn split(raw: &[u8]) -> (&[u8], Option<&[u8]>) {
    match raw.iter().position(|b| *b == b'?') {
        Some(at) => (&raw[..at], Some(&raw[at + 1..])),
        None => (raw, None),
    }
}

fn read_query(raw: &[u8]) -> Result<String, PathError> {
    let mut text = String::with_capacity(raw.len());
    for byte in raw {
        check_raw(*byte)?;
        text.push(char::from(*byte));
    }
    Ok(text)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path.as_str())?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: PathRules = PathRules { allowlisted: true, encoded_slash: false };

    #[test]
    fn the_query_is_never_rewritten() {
        for raw in ["/a?", "/a?b=%61&c=%2f;d=+..", "/a?q={\"x\":[1|2]}&p=100%", "/a?b?c"] {
            assert_eq!(Target::parse(raw.as_bytes(), STRICT).unwrap().to_string(), raw);
        }
        assert_eq!(Target::parse(b"/a?", STRICT).unwrap().query.as_deref(), Some(""));
        assert_eq!(Target::parse(b"/%61", STRICT).unwrap().to_string(), "/a");
    }

    #[test]
    fn bytes_that_no_uri_holds_are_refused_in_the_query() {
        let cases: &[(&[u8], PathError)] = &[
            (b"/a?b#c", PathError::Fragment),
            (b"/a?b c", PathError::Control),
            (b"/a?b\tc", PathError::Control),
            (b"/a?b\0", PathError::Control),
            (b"/a?b\r\nX: y", PathError::Control),
            (b"/a?b\x7f", PathError::Control),
            ("/a?b=é".as_bytes(), PathError::NotAscii),
            (b"/a?b=\xff", PathError::NotAscii),
        ];
        for (raw, error) in cases {
            for rules in [STRICT, PathRules::default()] {
                assert_eq!(Target::parse(raw, rules).unwrap_err(), *error, "{}", raw.escape_ascii());
            }
        }
    }

    #[test]
    fn only_origin_form_is_a_target() {
        for raw in ["", "*", "example.test:443", "https://example.test/a", "?a", "a/b"] {
            assert_eq!(Target::parse(raw.as_bytes(), STRICT).unwrap_err(), PathError::NotAbsolute, "{raw}");
        }
    }
}
