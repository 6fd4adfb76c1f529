//! The table of kinds, read: which rows can match where, by a bit map of three bytes, so that most bytes of a text cost one
//! look.

use super::{kinds::TABLE, row::When, shape::Shape};
use std::{collections::BTreeMap, sync::LazyLock};

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
                for head in heads {
                    by_head.entry(head).or_default().push(id);
                }
            }
            let strength = shape.as_ref().map_or(f64::INFINITY, Shape::strength);
            let lead = shape.as_ref().filter(|_| !pattern.bounded).map_or(0, Shape::lead);
            rows.push(Row { shape, strength, lead });
        }
        let (mut begins, mut pairs) = (Box::new([0; 1024]), Box::new([0; 1024]));
        for head in by_head.keys() {
            set(&mut begins, fold(*head));
        }
        for pair in by_pair.keys() {
            set(&mut pairs, usize::from(u16::from_be_bytes(*pair)));
        }
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
