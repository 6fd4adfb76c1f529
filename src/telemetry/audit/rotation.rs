//! Rotation: a full file is renamed, and the oldest ones are removed.
//!
//! When `sent.jsonl` reaches [`FILE_BYTES`] it becomes `sent-0000000001.jsonl`, with a number that only grows, and the
//! oldest beyond [`FILES_KEPT`] is removed. That what is younger than [`RETENTION`] is never among these is for the
//! [budget](super::budget) to see to.

use super::Series;
use rustix::fs::{AtFlags, RenameFlags};
use std::{io, os::fd::OwnedFd, time::Duration};

/// The size at which a file is renamed and the next one begins: 8 MiB.
pub const FILE_BYTES: u64 = 8 << 20;
/// The files of each series that are kept, the live one included: 512 MiB.
pub const FILES_KEPT: usize = 64;
/// For how long a record of what was sent on stays at least, whatever a client does: 24 hours.
pub const RETENTION: Duration = Duration::from_hours(24);

/// Gives the live file the next number, and removes the oldest beyond `files_kept`.
pub(super) fn rename_live(folder: &OwnedFd, series: Series, files_kept: usize) -> io::Result<()> {
    let mut numbers = series.rotated(folder)?;
    let next = numbers.last().map_or(1, |last| last.saturating_add(1));
    let (from, to) = (series.live_name(), series.rotated_name(next));
    let renamed = rustix::fs::renameat_with(
        folder,
        &from,
        folder,
        &to,
        // Another process may have taken the number meanwhile.
        RenameFlags::NOREPLACE,
    );
    match renamed {
        // A shared folder of a virtual machine may not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            rustix::fs::renameat(folder, &from, folder, &to)?;
        }
        outcome => outcome?,
    }
    numbers.push(next);
    let surplus = (numbers.len() + 1).saturating_sub(files_kept);
    for number in &numbers[..surplus.min(numbers.len())] {
        match rustix::fs::unlinkat(folder, series.rotated_name(*number), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
