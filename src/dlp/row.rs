//! What a row of the table of kinds is.

use super::site::{Look, Site};
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Personal data with a weak shape.
    Low,
    /// Personal data, or an identifier of a credential.
    Medium,
    /// A credential of limited reach, or with a shape that others share.
    High,
    /// A credential with a shape of its own, whatever it opens.
    Critical,
}

impl Severity {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// When a row matches.
pub(super) enum When {
    /// What it looks like, as a regular expression of the few things that [`Shape`] reads.
    Shape(&'static str),
    /// A value of this alphabet and one of these lengths, under a name that holds one of these words.
    Assigned { names: &'static [&'static str], alphabet: &'static str, lengths: &'static [usize] },
    /// What this function says, from one of these beginnings on.
    Special { heads: &'static [&'static str], look: fn(&Site<'_>) -> Look },
}

/// Whether a match that ends there is no finding, and how many bytes after it say so; `None` when that depends on bytes
/// that are not there yet.
pub(super) type Unless = fn(&Site<'_>, usize) -> Option<(bool, usize)>;

/// One row of the table.
#[expect(clippy::struct_excessive_bools, reason = "what is known of a shape, each of its own")]
pub(super) struct Pattern {
    pub(super) name: &'static str,
    /// Where the shape is described.
    pub(super) source: &'static str,
    pub(super) severity: Severity,
    pub(super) core: bool,
    pub(super) when: When,
    /// The credential is no longer than the shape: more letters after it make it a part of a word.
    pub(super) exact: bool,
    /// A part of a word is never one.
    pub(super) bounded: bool,
    /// Words have this shape, too.
    pub(super) random: bool,
    /// The last six characters of it are a checksum, in the tokens of later years.
    pub(super) crc: bool,
    pub(super) unless: Option<Unless>,
    /// It goes on over lines, to a line that ends it.
    pub(super) block: bool,
}

pub(super) const fn token(name: &'static str, source: &'static str, shape: &'static str) -> Pattern {
    Pattern {
        name,
        source,
        severity: Severity::Critical,
        core: false,
        when: When::Shape(shape),
        exact: false,
        bounded: false,
        random: false,
        crc: false,
        unless: None,
        block: false,
    }
}

pub(super) const fn assigned(
    name: &'static str,
    source: &'static str,
    names: &'static [&'static str],
    alphabet: &'static str,
    lengths: &'static [usize],
) -> Pattern {
    Pattern { when: When::Assigned { names, alphabet, lengths }, ..token(name, source, "") }
}

pub(super) const fn special(
    name: &'static str,
    source: &'static str,
    heads: &'static [&'static str],
    look: fn(&Site<'_>) -> Look,
) -> Pattern {
    Pattern { when: When::Special { heads, look }, ..token(name, source, "") }
}

impl Pattern {
    pub(super) const fn core(mut self) -> Self {
        self.core = true;
        self
    }

    pub(super) const fn high(mut self) -> Self {
        self.severity = Severity::High;
        self
    }

    pub(super) const fn medium(mut self) -> Self {
        self.severity = Severity::Medium;
        self
    }

    pub(super) const fn low(mut self) -> Self {
        self.severity = Severity::Low;
        self
    }

    pub(super) const fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    pub(super) const fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }

    pub(super) const fn random(mut self) -> Self {
        self.random = true;
        self
    }

    pub(super) const fn crc(mut self) -> Self {
        self.crc = true;
        self
    }

    pub(super) const fn block(mut self) -> Self {
        self.block = true;
        self
    }

    pub(super) const fn unless(mut self, unless: Unless) -> Self {
        self.unless = Some(unless);
        self
    }
}
