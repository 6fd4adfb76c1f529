//! The table of kinds, read: which rows can match where, by a bit map of three bytes, so that most bytes of a text cost one
//! look.

use super::{judge::is_base64_url, kinds::TABLE, row::When, shape::Shape};
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
    by_head: Index<3>,
    /// Rows that begin with a dot and two letters, whichever: in the map they would stand for half of all texts.
    after_dot: Vec<u16>,
    /// Rows that match at the beginning of a word only, by its first two bytes.
    by_pair: Index<2>,
    pairs: Box<[u64; 1024]>,
}

/// Rows by the bytes that they begin with: a table of sixteen bits, and a list for each place of it that is not empty.
struct Index<const N: usize> {
    /// One more than a place in `lists`.
    places: Vec<u16>,
    lists: Vec<Vec<([u8; N], Vec<u16>)>>,
}

impl<const N: usize> Index<N> {
    fn new(rows: BTreeMap<[u8; N], Vec<u16>>, place: impl Fn([u8; N]) -> usize) -> Self {
        let mut index = Self { places: vec![0; 1 << 16], lists: Vec::new() };
        for (head, ids) in rows {
            let at = &mut index.places[place(head)];
            if *at == 0 {
                index.lists.push(Vec::new());
                *at = u16::try_from(index.lists.len()).unwrap_or_default();
            }
            index.lists[usize::from(*at) - 1].push((head, ids));
        }
        index
    }

    fn get(&self, head: [u8; N], place: usize) -> &[u16] {
        let Some(list) = usize::from(self.places[place]).checked_sub(1) else { return &[] };
        self.lists[list].iter().find(|(it, _)| *it == head).map_or(&[], |(_, ids)| ids)
    }
}

/// A row with more beginnings than this makes the map useless.
const MANY: usize = 1000;

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
        let mut after_dot = Vec::new();
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
            } else if heads.len() > MANY && heads.iter().all(|head| head[0] == b'.') {
                after_dot.push(id);
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
        let by_head = Index::new(by_head, fold);
        let by_pair = Index::new(by_pair, |pair| usize::from(u16::from_be_bytes(pair)));
        Self { rows, begins, by_head, after_dot, by_pair, pairs }
    }

    /// What says of most beginnings that there are none.
    pub(super) fn maps(&self) -> (Triples<'_>, Pairs<'_>) {
        (Triples(&self.begins), Pairs(&self.pairs))
    }

    /// The rows that can begin with these three bytes, wherever they stand.
    #[inline]
    pub(super) fn beginning_with(&self, head: [u8; 3]) -> &[u16] {
        let place = fold(head);
        if bit(&self.begins, place) { self.by_head.get(head, place) } else { &[] }
    }

    /// The rows that can begin with a dot and these two bytes.
    #[inline]
    pub(super) fn after_dot(&self, next: [u8; 2]) -> &[u16] {
        if next.into_iter().all(is_base64_url) { &self.after_dot } else { &[] }
    }

    /// The rows that can begin with these two bytes where a word begins.
    #[inline]
    pub(super) fn words_beginning_with(&self, pair: [u8; 2]) -> &[u16] {
        let place = usize::from(u16::from_be_bytes(pair));
        if bit(&self.pairs, place) { self.by_pair.get(pair, place) } else { &[] }
    }
}

/// Which three bytes rows can begin with, and some that none does.
#[derive(Clone, Copy)]
pub(super) struct Triples<'b>(&'b [u64; 1024]);

impl Triples<'_> {
    #[inline]
    pub(super) fn may_be(self, head: [u8; 3]) -> bool {
        bit(self.0, fold(head))
    }
}

/// Which two bytes rows can begin with where a word begins.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'b>(&'b [u64; 1024]);

impl Pairs<'_> {
    #[inline]
    pub(super) fn may_be(self, pair: [u8; 2]) -> bool {
        bit(self.0, usize::from(u16::from_be_bytes(pair)))
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
        assert!(set < 400, "{set} of 65536");
    }

    #[test]
    fn there_are_many_kinds() {
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert!(names.len() >= 230, "{}", names.len());
    }
}
