//! What a push would store: its pack, read as a whole before the server got a byte of it.
//!
//! A pack (gitformat-pack(5)) is read in two passes: all objects that stand whole, in the order of the file, then the
//! deltas, from their bases on. Each object is inflated at most twice, hashed, read strictly and scanned, whether a ref
//! reaches it or not: the server stores it. Blobs are streamed. Nothing of what is refused was sent.

mod delta;
mod found;
mod history;
mod limits;
mod names;
mod object;
mod objects;
mod read;
mod refused;
mod report;
mod rules;
mod scan;
mod source;
mod special;

pub use found::Found;
pub use limits::Limits;
pub use refused::{Refused, RefusedKind};
pub use rules::{Candidate, SecretScan};
pub use scan::{Effort, Exempted, Reading, Scan, Scanned, Scanners};

use super::object_id::ObjectId;
use crate::printable::printable_name;
use std::fs::File;

/// What becomes of one ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// Its full name.
    pub refname: &'a str,
    /// What it is; nothing for a new one.
    pub old: Option<ObjectId>,
    /// What it shall be; nothing to delete it.
    pub new: Option<ObjectId>,
}

/// What was found of a push that may go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Objects of the pack.
    pub objects: u32,
    /// Lines that would have refused it and that a comment exempts, for the audit: the first hundred.
    pub exempted: Vec<Exempted>,
    /// Of each update whether what it shall hold is not in the pack. The server has it, or refuses.
    pub unread: Vec<bool>,
}

/// Blocking. Reads the spooled pack; nothing has reached the server yet.
///
/// `shallow` are the commits at which the clone of the sender ends. `force` is whether an update may drop what the ref held. Whether refs may be made and deleted is not asked here.
pub fn inspect(
    pack: &File,
    updates: &[Update<'_>],
    shallow: &[ObjectId],
    force: bool,
    limits: &Limits,
    scan: &dyn Scan,
) -> Result<Inspected, Refused> {
    let length = pack.metadata().map_err(|error| Refused::unreadable(&error))?.len();
    let look = limits::Look::new(limits, scan, length);
    let objects = read::read(pack, length, &look)?;
    objects.special_files()?;
    history::is_whole(shallow, &objects)?;
    history::prove(updates, force, &objects)?;
    report::judge(updates, objects, &look)
}

/// A name that somebody else chose, in a line for a terminal.
fn shown(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let name = String::from_utf8_lossy(name);
    let name = printable_name(&name);
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests;
