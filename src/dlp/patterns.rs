//! What a row of the table of kinds is, and which rows can match where: a bit map of the first three bytes, so that most
//! bytes of a text cost one look.

use super::{kinds::TABLE, shape::Shape, special::Site};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::LazyLock,
};

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

    pub(super) const fn unless(mut self, unless: Unless) -> Self {
        self.unless = Some(unless);
        self
    }
}

/// What a look at the bytes from a start says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No match begins here.
    No,
    /// It depends on bytes that are not there yet.
    More,
    /// A match of this many bytes, certain after that many.
    Match { length: usize, certain: usize },
}

/// A row, read.
pub(super) struct Row {
    pub(super) shape: Option<Shape>,
    /// How unlikely it is that chance makes it, in bits.
    pub(super) strength: f64,
    /// How far before the bytes that it is looked for by it begins.
    pub(super) lead: usize,
}

/// The table, read: which rows can begin with which bytes.
pub(super) struct Builtin {
    pub(super) rows: Vec<Row>,
    /// Of the first three bytes, folded to sixteen bits.
    begins: Box<[u64; 1024]>,
    by_head: BTreeMap<[u8; 3], Vec<u16>>,
    /// Rows that match at the beginning of a word only, by its first two bytes.
    by_pair: BTreeMap<[u8; 2], Vec<u16>>,
    pairs: Box<[u64; 1024]>,
}

fn fold(head: [u8; 3]) -> usize {
    let [a, b, c] = head.map(usize::from);
    (a | b << 8 | c << 16).wrapping_mul(0x9e37_79b1) >> 12 & 0xffff
}

fn bit(map: &[u64; 1024], at: usize) -> bool {
    map[at >> 6] & 1 << (at & 63) != 0
}

fn set(map: &mut [u64; 1024], at: usize) {
    map[at >> 6] |= 1 << (at & 63);
}

impl Builtin {
    fn new() -> Self {
        let mut rows = Vec::with_capacity(TABLE.len());
        let mut by_head: BTreeMap<[u8; 3], Vec<u16>> = BTreeMap::new();
        let mut by_pair: BTreeMap<[u8; 2], Vec<u16>> = BTreeMap::new();
        for (id, pattern) in (0..).zip(TABLE) {
            let shape = match &pattern.when {
                When::Shape(shape) => Shape::parse(shape),
                When::Assigned { .. } | When::Special { .. } => None,
            };
            let heads = match &pattern.when {
                When::Shape(_) if pattern.bounded => shape.as_ref().map(Shape::heads).unwrap_or_default(),
                When::Shape(_) => shape.as_ref().map(Shape::heads_after_lead).unwrap_or_default(),
                When::Special { heads, look: _ } => {
                    heads.iter().filter_map(|head| Shape::parse(head)).flat_map(|it| it.heads()).collect()
                }
                When::Assigned { .. } => Vec::new(),
            };
            if pattern.bounded {
                for [a, b, _] in heads {
                    let ids = by_pair.entry([a, b]).or_default();
                    if ids.last() != Some(&id) {
                        ids.push(id);
                    }
                }
            } else {
                heads.into_iter().for_each(|head| by_head.entry(head).or_default().push(id));
            }
            let strength = shape.as_ref().map_or(f64::INFINITY, Shape::strength);
            let lead = shape.as_ref().filter(|_| !pattern.bounded).map_or(0, Shape::lead);
            rows.push(Row { shape, strength, lead });
        }
        let (mut begins, mut pairs) = (Box::new([0; 1024]), Box::new([0; 1024]));
        by_head.keys().for_each(|head| set(&mut begins, fold(*head)));
        by_pair.keys().for_each(|pair| set(&mut pairs, usize::from(u16::from_be_bytes(*pair))));
        Self { rows, begins, by_head, by_pair, pairs }
    }

    /// The rows that can begin with these three bytes, wherever they stand.
    #[inline]
    pub(super) fn beginning_with(&self, head: [u8; 3]) -> &[u16] {
        if bit(&self.begins, fold(head)) {
            return self.by_head.get(&head).map_or(&[], Vec::as_slice);
        }
        &[]
    }

    /// The rows that can begin with these two bytes where a word begins.
    #[inline]
    pub(super) fn words_beginning_with(&self, pair: [u8; 2]) -> &[u16] {
        if bit(&self.pairs, usize::from(u16::from_be_bytes(pair))) {
            return self.by_pair.get(&pair).map_or(&[], Vec::as_slice);
        }
        &[]
    }
}

/// The table, read once and shared by every scanner of the process.
pub(super) static BUILTIN: LazyLock<Builtin> = LazyLock::new(Builtin::new);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_can_be_read_and_begins_where_it_is_looked_for() {
        for (pattern, row) in TABLE.iter().zip(&BUILTIN.rows) {
            if let When::Shape(shape) = pattern.when {
                assert!(row.shape.is_some(), "{}: {shape}", pattern.name);
            }
            assert!(!pattern.source.is_empty(), "{}", pattern.name);
        }
        // The map is of use only as long as it is mostly empty.
        let set: u32 = BUILTIN.begins.iter().map(|word| word.count_ones()).sum();
        assert!(set < 6000, "{set} of 65536");
    }

    #[test]
    fn there_are_many_kinds() {
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert!(names.len() >= 230, "{}", names.len());
    }
}
