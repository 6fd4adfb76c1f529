//! What a pack may cost.

use super::{Refused, Scan};

/// Growth that every pack may have, however small it is: what a ratio says of few bytes says nothing.
const FLOOR: u64 = 64 << 20;

/// What a pack may cost. Time is linear in `pack`, `objects` and `work`; memory is some times `resident` and `structure`,
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
    /// How many times what its objects may be inflated to may be read by the scanner, which looks into what it decodes.
    pub work: u64,
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
            work: 4,
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

    /// Bytes that the scanner may read for it in all.
    pub(super) fn work_of(&self, pack: u64) -> u64 {
        self.inflated_of(pack).saturating_mul(self.work)
    }
}

/// A look at one pack: its limits, and whether it may go on.
pub(super) struct Look<'l> {
    pub(super) limits: &'l Limits,
    pub(super) scan: &'l dyn Scan,
    /// Where the work of the scanner has to end.
    end: u64,
}

impl<'l> Look<'l> {
    /// At a pack of so many bytes.
    pub(super) fn new(limits: &'l Limits, scan: &'l dyn Scan, pack: u64) -> Self {
        Self { limits, scan, end: scan.work().saturating_add(limits.work_of(pack)) }
    }

    /// Asked again and again: no part of a look takes long.
    pub(super) fn goes_on(&self) -> Result<(), Refused> {
        if self.scan.stopped() {
            return Err(Refused::stopped());
        }
        if self.scan.work() > self.end {
            return Err(Refused::too_large(
                "to look into what is encoded in it takes more than is allowed for a pack of this size",
                "push fewer commits at a time, or keep what is encoded many times over out of the repository",
            ));
        }
        Ok(())
    }
}
