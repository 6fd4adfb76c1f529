//! What a pack may cost.

/// Growth that every pack may have, however small it is: what a ratio says of few bytes says nothing.
const FLOOR: u64 = 64 << 20;

/// What a pack may cost. Time is linear in `pack`, `objects` and `inflated`; memory is some times `resident` and `structure`,
/// and 100 bytes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the pack.
    pub pack: u64,
    /// Its objects.
    pub objects: u32,
    /// Bytes of all objects, inflated.
    pub inflated: u64,
    /// How many times the pack its objects may be, beside 64 MiB.
    pub ratio: u64,
    /// Bytes of one object, inflated. A blob of any size below is read as a stream.
    pub object: u64,
    /// Deltas from an object to the one that is written whole.
    pub depth: u32,
    /// Bytes of one object that has to be in memory at once: a commit, a tree, a tag, a delta and the base of one.
    pub resident: u64,
    /// Bytes of all bases of deltas that are kept at one time.
    pub bases: u64,
    /// Bytes of all commits, trees and tags, which are kept.
    pub structure: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack: 50 << 20,
            objects: 200_000,
            inflated: 2 << 30,
            ratio: 200,
            object: 256 << 20,
            // `git gc --aggressive` made chains of 250 for years; 50 is the rule now.
            depth: 250,
            resident: 16 << 20,
            bases: 64 << 20,
            structure: 64 << 20,
        }
    }
}

impl Limits {
    /// Bytes that the objects of a pack of so many bytes may be.
    pub(super) fn inflated_of(&self, pack: u64) -> u64 {
        self.inflated.min(pack.saturating_mul(self.ratio).saturating_add(FLOOR))
    }
}
