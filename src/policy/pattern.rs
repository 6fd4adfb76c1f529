//! Entries of a `path_allowlist`.
//!
//! An entry matches the path that it names and what lies below it, on whole segments and case-sensitively. `*` stands
//! for exactly one whole, non-empty segment, or for what follows an encoded slash in one (`/@acme%2F*`: the packages of a
//! scope), up to the next. An entry is written in the canonical form that requests are matched in;
//! any other spelling is an error that shows the canonical one.

use super::path::{CanonicalPath, PathError, PathRules, push_escape};
use serde::Serialize;
use std::fmt;

/// An entry of a `path_allowlist`, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: String,
    encoded_slash: bool,
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}", .canonical.as_deref().map(|c| format!("; write `{c}`")).unwrap_or_default())]
pub struct PathPatternError {
    /// What is wrong.
    pub problem: PathPatternProblem,
    /// The canonical spelling of what was probably meant, when there is one.
    pub canonical: Option<String>,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternProblem {
    /// The path of the entry has no canonical form.
    #[error("{0}")]
    Path(PathError),
    /// It has one, and is not written in it.
    #[error("the path is not in canonical form")]
    NotCanonical,
    /// `/a/`: an entry allows what lies below it anyway.
    #[error("the path ends in `/`, though an entry stands for itself and all that lies below it")]
    TrailingSlash,
    /// `/a*` or `/**`.
    #[error("`*` stands for one whole segment, or for what follows a `%2F` in one, and nothing else")]
    PartialStar,
    /// `/a?b=c`.
    #[error("a query is not matched, only the path is")]
    Query,
}

impl PathPattern {
    /// Reads an entry. `encoded_slash` is the route's option of that name.
    pub fn parse(text: &str, encoded_slash: bool) -> Result<PathPattern, PathPatternError> {
        let rules = PathRules { allowlisted: true, encoded_slash };
        let error = |problem| PathPatternError { problem, canonical: probably_meant(text, rules) };
        if text.contains('?') {
            return Err(error(PathPatternProblem::Query));
        }
        if text.split('/').any(|segment| segment.contains('*') && !is_star(segment, encoded_slash)) {
            return Err(error(PathPatternProblem::PartialStar));
        }
        let path =
            CanonicalPath::parse(text.as_bytes(), rules).map_err(|e| error(PathPatternProblem::Path(e)))?;
        if text.len() > 1 && text.ends_with('/') {
            return Err(error(PathPatternProblem::TrailingSlash));
        }
        if path.as_str() != text {
            return Err(error(PathPatternProblem::NotCanonical));
        }
        Ok(PathPattern { text: text.to_owned(), encoded_slash })
    }

    /// The entry as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the entry allows the path. A path that was read under other rules than a `path_allowlist`'s is
    /// never allowed, since its form says nothing.
    #[must_use]
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        let rules = PathRules { allowlisted: true, encoded_slash: self.encoded_slash };
        let mut segments = path.segments();
        path.rules() == rules
            && self.segments().all(|own| segments.next().is_some_and(|segment| segment_matches(own, segment)))
    }

    /// Whether every path that `other` allows is allowed by `self`, where each reads the path of a request under
    /// its own `encoded_slash`.
    ///
    /// An entry with `encoded_slash` allows `%2F` in whatever lies below it, so one without it never covers it; the
    /// other way round nothing but the segments counts, since `encoded_slash` changes the form of no path that both
    /// admit.
    #[must_use]
    pub fn covers(&self, other: &PathPattern) -> bool {
        let mut theirs = other.segments();
        (self.encoded_slash || !other.encoded_slash)
            && self.segments().all(|own| theirs.next().is_some_and(|segment| segment_covers(own, segment)))
    }

    /// Whether there is a path that both allow.
    #[must_use]
    pub fn overlaps(&self, other: &PathPattern) -> bool {
        let agree = |(own, theirs): (&str, &str)| segment_covers(own, theirs) || segment_covers(theirs, own);
        let read_alike =
            self.encoded_slash == other.encoded_slash || !(self.names_slash() || other.names_slash());
        read_alike && self.segments().zip(other.segments()).all(agree)
    }

    /// Whether the entry itself holds an encoded slash, so that it allows only paths that hold one.
    fn names_slash(&self) -> bool {
        self.text.contains("%2F")
    }

    /// The route's option of that name, under which the entry was read.
    pub(super) fn encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// The entry's own segments; none for `/`, which allows every path.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').skip(1).filter(|segment| !segment.is_empty())
    }
}

/// Whether every path that `new` allows is allowed by one of `old`.
///
/// No union of entries covers what none of them covers alone: a segment that no entry names, in the place of every
/// `*` of `new`, makes a path that only an entry which covers `new` allows. Where entries of `old` differ in
/// `encoded_slash` this can say no though all of them together would do; it never says yes wrongly.
#[must_use]
pub fn covers_all(old: &[PathPattern], new: &PathPattern) -> bool {
    old.iter().any(|old| old.covers(new))
}

/// `*`, or `…%2F*` where slashes may be encoded.
fn is_star(segment: &str, encoded_slash: bool) -> bool {
    let before = segment.strip_suffix('*');
    before.is_some_and(|before| {
        !before.contains('*') && (before.is_empty() || (encoded_slash && before.ends_with(SLASH)))
    })
}

/// An encoded slash in canonical form.
const SLASH: &str = "%2F";

pub(super) fn segment_matches(pattern: &str, segment: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => !segment.is_empty(),
        Some(scope) if scope.ends_with(SLASH) => {
            segment.strip_prefix(scope).is_some_and(|name| !name.is_empty() && !name.contains(SLASH))
        }
        _ => pattern == segment,
    }
}

/// Whether every segment that `theirs` matches is matched by `own`.
fn segment_covers(own: &str, theirs: &str) -> bool {
    own == theirs || segment_matches(own, theirs)
}

/// The nearest text that is an entry, if a few usual slips explain the difference.
fn probably_meant(text: &str, rules: PathRules) -> Option<String> {
    let path = text.split_once("://").map_or(text, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut meant = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
        meant.push('/');
        for byte in segment.bytes() {
            match byte {
                0..=0x20 | 0x7F.. => push_escape(&mut meant, byte),
                _ => meant.push(char::from(byte)),
            }
        }
    }
    let meant = meant.trim_end_matches("/**");
    let meant = if meant.is_empty() { "/" } else { meant };
    let meant = CanonicalPath::parse(meant.as_bytes(), rules).ok()?.as_str().to_owned();
    let is_star = |segment: &str| is_star(segment, rules.encoded_slash);
    let usable = meant != text && !meant.split('/').any(|segment| segment.contains('*') && !is_star(segment));
    usable.then_some(meant)
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for PathPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
