//! Paths: one canonical form, or none.
//!
//! On a route with a `path_allowlist` a [`CanonicalPath`] is the only form of its path that the gate knows: it is
//! matched, logged and sent. Unreserved characters stand for themselves, every other escape has upper-case digits
//! (RFC 3986 §6.2.2), characters that RFC 3986 does not allow raw are escaped, and whatever two servers could read
//! differently is refused: dot segments in any decoding, empty segments, `;`, `\`, encoded slashes (unless the route
//! admits them), double encoding, control characters, invalid UTF-8.
//!
//! Without a `path_allowlist` nothing is rewritten, and only what no reading makes harmless is refused.

use super::decoding::{TooDeep, any_decoding, bare_segment, decode_once, escape, folded};
use std::fmt;

/// What a route says about the form of its paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathRules {
    /// The route has a `path_allowlist`, so paths are brought into canonical form.
    pub allowlisted: bool,
    /// `%2F` may stand inside a segment, and stays encoded. Means nothing without `allowlisted`.
    pub encoded_slash: bool,
}

/// A path that every server reads the same way, under the rules of its route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: String,
    rules: PathRules,
}

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not in origin-form (RFC 9112 §3.2.1).
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `.` or `..` as a segment, literally or in any decoding.
    #[error("the path holds a `.` or `..` segment, literally or encoded")]
    DotSegment,
    /// `//`.
    #[error("the path holds an empty segment (`//`)")]
    EmptySegment,
    /// `;` in a segment: matrix parameters are cut off by some servers and matched by others.
    #[error("the path holds a `;`, which servers read differently")]
    Semicolon,
    /// `%2F` without `encoded_slash`.
    #[error("the path holds `%2F`; only a route that says `encoded_slash: true` admits it")]
    EncodedSlash,
    /// `\` or `%5C`.
    #[error("the path holds a backslash, which servers read differently")]
    Backslash,
    /// `%25` and two hexadecimal digits: an escape inside an escape.
    #[error("the path is percent-encoded twice")]
    DoubleEncoding,
    /// Encoded over more often than anything that works.
    #[error("the path is percent-encoded again and again")]
    TooDeep,
    /// `%` without two hexadecimal digits.
    #[error("the path holds a `%` that is no escape")]
    BadEscape,
    /// `#`: a fragment is never sent (RFC 9110 §4.2.5).
    #[error("the target holds a `#`; a fragment is not sent")]
    Fragment,
    /// `?` inside a path.
    #[error("a path holds no `?`")]
    Query,
    /// A space, a tab, NUL or another control character, raw or encoded.
    #[error("the target holds a space or control character")]
    Control,
    /// A byte over 0x7F that is not percent-encoded (RFC 3986 §2).
    #[error("the target holds a byte outside ASCII that is not percent-encoded")]
    NotAscii,
    /// Escapes that are no UTF-8, overlong forms included.
    #[error("the path is not UTF-8 when it is decoded")]
    NotUtf8,
}

impl CanonicalPath {
    /// Reads the path of a request target, without its query.
    pub fn parse(raw: &[u8], rules: PathRules) -> Result<CanonicalPath, PathError> {
        if raw.first() != Some(&b'/') {
            return Err(PathError::NotAbsolute);
        }
        let text = if rules.allowlisted { canonical(raw, rules.encoded_slash)? } else { unchanged(raw)? };
        if text.contains('%') {
            check_escapes(text.as_bytes())?;
        }
        check_segments(&text, rules.allowlisted)?;
        Ok(CanonicalPath { text, rules })
    }

    /// The path as it is matched and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The rules that the path was read under.
    #[must_use]
    pub fn rules(&self) -> PathRules {
        self.rules
    }

    /// What stands between the slashes, in order; a trailing slash gives a last, empty one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.text[1..].split('/')
    }
}

impl AsRef<str> for CanonicalPath {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What RFC 3986 lets stand for itself in every part of a URI (§2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand raw in a path (RFC 3986 §3.3), and `/`; without `;`.
fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' | b'/'
        )
}

/// Refuses what no part of a request target may hold.
pub(super) fn check_raw(byte: u8) -> Result<(), PathError> {
    match byte {
        b'#' => Err(PathError::Fragment),
        0..=0x20 | 0x7F => Err(PathError::Control),
        0x80.. => Err(PathError::NotAscii),
        _ => Ok(()),
    }
}

fn unchanged(raw: &[u8]) -> Result<String, PathError> {
    let mut text = String::with_capacity(raw.len());
    for (at, byte) in raw.iter().copied().enumerate() {
        check_raw(byte)?;
        match byte {
            b'\\' => return Err(PathError::Backslash),
            b'?' => return Err(PathError::Query),
            b'%' if escape(&raw[at..]).is_none() => return Err(PathError::BadEscape),
            _ => text.push(char::from(byte)),
        }
    }
    Ok(text)
}

fn canonical(raw: &[u8], encoded_slash: bool) -> Result<String, PathError> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        check_raw(*byte)?;
        match byte {
            b';' => return Err(PathError::Semicolon),
            b'\\' => return Err(PathError::Backslash),
            b'?' => return Err(PathError::Query),
            b'%' => {
                let [high, low, after @ ..] = tail else { return Err(PathError::BadEscape) };
                let value = escape(&[b'%', *high, *low]).ok_or(PathError::BadEscape)?;
                push_escaped(&mut text, value, encoded_slash)?;
                rest = after;
            }
            byte if is_path_byte(*byte) => text.push(char::from(*byte)),
            byte => push_escape(&mut text, *byte),
        }
    }
    Ok(text)
}

fn push_escaped(text: &mut String, value: u8, encoded_slash: bool) -> Result<(), PathError> {
    match value {
        b'/' if !encoded_slash => return Err(PathError::EncodedSlash),
        b'\\' => return Err(PathError::Backslash),
        value if is_unreserved(value) => text.push(char::from(value)),
        value => push_escape(text, value),
    }
    Ok(())
}

pub(super) fn push_escape(text: &mut String, value: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(value >> 4)]));
    text.push(char::from(DIGITS[usize::from(value & 0xF)]));
}

/// What the escapes stand for must be text without control characters.
fn check_escapes(text: &[u8]) -> Result<(), PathError> {
    let decoded = decode_once(text).unwrap_or_default();
    let decoded = std::str::from_utf8(&decoded).map_err(|_| PathError::NotUtf8)?;
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    Ok(())
}

/// Looks at the segments of every decoding. Without an allowlist only `..` is refused: nothing is matched that a
/// `.` or an empty segment could get around.
fn check_segments(text: &str, allowlisted: bool) -> Result<(), PathError> {
    if allowlisted && has_double_encoding(text.as_bytes()) {
        return Err(PathError::DoubleEncoding);
    }
    let mut wrong = None;
    let deep = any_decoding(text.as_bytes(), |reading| {
        wrong = wrong_segment(&folded(reading), allowlisted);
        wrong.is_some()
    });
    match (wrong, deep) {
        (Some(error), _) => Err(error),
        (None, Err(TooDeep)) => Err(PathError::TooDeep),
        (None, Ok(_)) => Ok(()),
    }
}

fn wrong_segment(path: &str, allowlisted: bool) -> Option<PathError> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match bare_segment(segment) {
            ".." => return Some(PathError::DotSegment),
            "." if allowlisted => return Some(PathError::DotSegment),
            // `#general` is a name, too.
            "" if segment.starts_with(['?', '#']) => {}
            "" if allowlisted && !(last && segment.is_empty()) => return Some(PathError::EmptySegment),
            _ => {}
        }
    }
    None
}

fn has_double_encoding(text: &[u8]) -> bool {
    text.windows(5).any(|w| w.starts_with(b"%25") && w[3].is_ascii_hexdigit() && w[4].is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
