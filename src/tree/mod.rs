//! The rendered files on disk: atomic writes, the hand-edit guard, the comparison.
//!
//! Promises: either every file is replaced or the old tree is as it was (all new files are staged and synced before
//! the first rename); a file that did not change keeps its inode and time; a file that a person edited or that
//! somebody else put there is never overwritten or read past silently; no symbolic link is followed below the
//! project; no folder is ever replaced or removed, since containers have these folders mounted.
//!
//! Constraint: an agent may run, with the project mounted writable, while render works. So every step is relative to
//! an open folder, and never goes by a path twice.

mod compare;
mod copy;
mod folder;
mod plain;
mod replace;
mod untrusted;
mod write;

pub use compare::{Change, Comparison, Kind, read, unified_diff};
pub(crate) use folder::is_staged;
pub use folder::{Folder, Staged};
pub use plain::{Entry, LARGEST, open_plain, read_plain};
use plain::{FOLDER, LINK};
pub use replace::replace_plain;
pub use untrusted::Found;
pub use write::Written;

use crate::printable::printable_name;
use camino::{Utf8Path, Utf8PathBuf};
use std::borrow::Cow;

/// Names that are in the output folder besides the rendered files: bottle's own, but not committed.
pub const UNCOMMITTED: &[&str] = &[".env"];

/// Why the tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The operating system said no.
    #[error("can't {doing} {}: {source}", shown(path))]
    Io {
        /// What was tried: `read`, `write`, …
        doing: &'static str,
        /// The path of it.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A symbolic link, or another thing that is not a plain file or folder, where one is expected.
    #[error(
        "{} is {what}, which bottle does not follow: an agent could have put it there; remove it",
        shown(path)
    )]
    NotPlain {
        /// The path of it.
        path: Utf8PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A file that a person or a manifest named, and that is not a plain file.
    #[error("{} is {what}{}", shown(path), instead(what))]
    NotAFile {
        /// The path of it.
        path: Utf8PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A file that is not what was read a moment ago.
    #[error("{} was changed meanwhile; nothing was written", shown(path))]
    Changed {
        /// The path of it.
        path: Utf8PathBuf,
    },
    /// A file that nobody needs to be that large.
    #[error("{} is larger than {}", shown(path), size(*limit))]
    TooLarge {
        /// The path of it.
        path: Utf8PathBuf,
        /// As large as it may be, in bytes.
        limit: u64,
    },
    /// A file that bottle did not write.
    #[error(
        "{} is not bottle's, and Docker Compose could merge it into the stack; move it out of this folder",
        list(paths)
    )]
    Foreign {
        /// The path of it.
        paths: Vec<Utf8PathBuf>,
    },
    /// A file that bottle wrote and a person edited.
    #[error(
        "{} was edited by hand; put the change into the manifest, or give it up with `bottle render --force`",
        list(paths)
    )]
    Edited {
        /// The path of it.
        paths: Vec<Utf8PathBuf>,
    },
    /// A name that is not UTF-8, which no file of bottle's has.
    #[error("{} holds a file whose name is not UTF-8; move it out of this folder", shown(folder))]
    Name {
        /// In which folder.
        folder: Utf8PathBuf,
    },
    /// A symbolic link whose text is not UTF-8.
    #[error("{path} is a symbolic link to a name that is not UTF-8; remove it")]
    LinkTarget {
        /// The path of it.
        path: Utf8PathBuf,
    },
}

/// The paths that a refusal names at most.
const PATHS: usize = 20;

fn list(paths: &[Utf8PathBuf]) -> String {
    let mut names: Vec<_> = paths.iter().take(PATHS).map(|path| shown(path)).collect();
    if paths.len() > PATHS {
        names.push(format!("and {} more", paths.len() - PATHS).into());
    }
    names.join(", ")
}

fn shown(path: &Utf8Path) -> Cow<'_, str> {
    printable_name(path.as_str())
}

/// What to do about something that stands where a file is expected.
fn instead(what: &str) -> &'static str {
    match what {
        LINK => {
            ", which bottle does not follow: an agent could have put it there; remove it, or name the file that it \
             leads to"
        }
        FOLDER => " and no file; name a file",
        _ => " and no file: an agent could have put it there; remove it, or name a file",
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}
