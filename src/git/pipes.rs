//! Pipes and devices where git has files: it would wait for them, or read without end.

use camino::{Utf8Path, Utf8PathBuf};
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt as _;

/// Entries that are looked at. A repository of more is git's own affair, with its time limit.
const MOST: usize = 200_000;

/// Folders in git's own that it does not read for what is asked here.
const OTHERS: [&str; 4] = ["hooks", "lfs", "modules", "worktrees"];

/// The first pipe or device below git's folder, through links. A socket can't be opened, so nobody waits for it.
pub(super) fn below(git: &Utf8Path) -> Option<Utf8PathBuf> {
    let (mut folders, mut seen) = (vec![git.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = folder.read_dir_utf8() else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST {
                return None;
            }
            let Ok(kind) = entry.file_type() else { continue };
            let is_other = folder == git && OTHERS.contains(&entry.file_name());
            if kind.is_dir() && !is_other {
                folders.push(entry.into_path());
            } else if is_endless(kind) || kind.is_symlink() && is_at(entry.path()) {
                return Some(entry.into_path());
            }
        }
    }
    None
}

/// Whether a pipe or a device is there, through links.
pub(super) fn is_at(path: &Utf8Path) -> bool {
    fs_err::metadata(path).is_ok_and(|it| is_endless(it.file_type()))
}

fn is_endless(kind: FileType) -> bool {
    kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
}
