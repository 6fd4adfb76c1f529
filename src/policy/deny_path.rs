//! Entries of `deny_paths`.
//!
//! An entry is written as one of a `path_allowlist` and asked of the same canonical path. It matches more spellings:
//! an allowlist that misses one refuses too much, and here a miss would let through what a person closed. So escapes
//! are decoded, letters are compared without case, spaces and dots at the end of a segment are dropped, as some file
//! systems do, and so are an escaped `;`, `?` or `#` with what follows, where a server reads a decoded path again, characters
//! that nobody sees, and `.git`, since forges serve a repository under its name with and without it. A segment also matches with a format
//! behind it (`/hooks.json` for `/hooks`), since frameworks serve it so (Rails and Grape: `(.:format)`).

use super::{
    decoding::{bare_segment, decode_once, folded},
    path::CanonicalPath,
    pattern::{PathPattern, PathPatternError},
};
use std::fmt;

/// An entry of `deny_paths`, as it was written and as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DenyPath {
    pattern: PathPattern,
    /// Its segments as they are compared; `None` for `*`.
    segments: Vec<Option<String>>,
}

impl DenyPath {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<DenyPath, PathPatternError> {
        let pattern = PathPattern::parse(text, false)?;
        let segments = pattern.segments().map(|own| (own != "*").then(|| spelling(own))).collect();
        Ok(DenyPath { pattern, segments })
    }

    /// The entry as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.pattern.as_str()
    }

    /// Whether the entry refuses the path.
    #[must_use]
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        self.begins(path.segments().map(|segment| (!segment.is_empty()).then(|| Some(spelling(segment)))))
    }

    /// Whether the entry refuses every path that `allowed` allows.
    #[must_use]
    pub fn covers(&self, allowed: &PathPattern) -> bool {
        self.begins(allowed.segments().map(|segment| Some((segment != "*").then(|| spelling(segment)))))
    }

    /// Whether the entry refuses every path that `other` does.
    #[must_use]
    pub fn includes(&self, other: &DenyPath) -> bool {
        self.covers(&other.pattern)
    }

    /// What of the paths that `allowed` allows the entry refuses.
    #[must_use]
    pub fn within(&self, allowed: &PathPattern) -> Option<PathPattern> {
        let (mut own, mut theirs) = (self.pattern.segments(), allowed.segments());
        let mut text = String::new();
        loop {
            let segment = match (own.next(), theirs.next()) {
                (None, None) => break,
                (Some(own), None | Some("*")) => own,
                (None | Some("*"), Some(theirs)) => theirs,
                (Some(own), Some(theirs)) if is_served_as(&spelling(theirs), &spelling(own)) => theirs,
                (Some(_), Some(_)) => return None,
            };
            text = text + "/" + segment;
        }
        let text = if text.is_empty() { "/" } else { &text };
        PathPattern::parse(text, allowed.encoded_slash()).ok()
    }

    /// Whether the segments begin with the entry's: `Some(None)` is a `*`, and `None` the empty one after a slash.
    fn begins(&self, mut segments: impl Iterator<Item = Option<Option<String>>>) -> bool {
        self.segments.iter().all(|own| match (own, segments.next().flatten()) {
            (None, segment) => segment.is_some(),
            (Some(own), segment) => segment.flatten().is_some_and(|segment| is_served_as(&segment, own)),
        })
    }
}

/// Whether a spelling is `own`, or that with formats behind it. A format begins with a letter: `/v1.1` is no `/v1`.
fn is_served_as(spelled: &str, own: &str) -> bool {
    let is_format = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    match spelled.strip_prefix(own) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(|formats| formats.split('.').all(is_format)),
        None => false,
    }
}

/// What a server may take a segment for.
fn spelling(segment: &str) -> String {
    let decoded = decode_once(segment.as_bytes());
    let lower = folded(decoded.as_deref().unwrap_or(segment.as_bytes())).to_lowercase();
    let bare = bare_segment(&lower).trim_end_matches([' ', '.']);
    let bare = bare.strip_suffix(".git").unwrap_or(bare);
    if bare.is_empty() { lower } else { bare.to_owned() }
}

impl serde::Serialize for DenyPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for DenyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
