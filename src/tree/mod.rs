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
mod untrusted;
mod write;

pub use compare::{Change, Comparison, Kind, read};
pub(crate) use folder::is_staged;
pub use folder::{Entry, Folder, Staged};
pub use untrusted::Found;
pub use write::Written;

use camino::Utf8PathBuf;

/// Names that are in the output folder besides the rendered files: bottle's own, but not committed.
pub const UNCOMMITTED: &[&str] = &[".env"];

/// Why the tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The operating system said no.
    #[error("can't {doing} {path}: {source}")]
    Io {
        /// What was tried: `read`, `write`, …
        doing: &'static str,
        /// Where.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A symbolic link, or another thing that is not a plain file or folder, where one is expected.
    #[error("{path} is {what}, which bottle does not follow: an agent could have put it there; remove it")]
    NotPlain {
        /// Where.
        path: Utf8PathBuf,
        /// What stands there.
        what: &'static str,
    },
    /// A file that bottle did not write.
    #[error(
        "{} is not bottle's, and Docker Compose could merge it into the stack; move it out of this folder",
        list(paths)
    )]
    Foreign {
        /// Where.
        paths: Vec<Utf8PathBuf>,
    },
    /// A file that bottle wrote and a person edited.
    #[error(
        "{} was edited by hand; put the change into the manifest, or give it up with `bottle render --force`",
        list(paths)
    )]
    Edited {
        /// Where.
        paths: Vec<Utf8PathBuf>,
    },
    /// A name that is not UTF-8, which no file of bottle's has.
    #[error("{folder} holds a file whose name is not UTF-8; move it out of this folder")]
    Name {
        /// In which folder.
        folder: Utf8PathBuf,
    },
    /// A file that is larger than anything that belongs there.
    #[error("{path} is larger than {limit} bytes; make it smaller")]
    TooLarge {
        /// Where.
        path: Utf8PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// A symbolic link whose text is not UTF-8.
    #[error("{path} is a symbolic link to a name that is not UTF-8; remove it")]
    LinkTarget {
        /// Where.
        path: Utf8PathBuf,
    },
}

fn list(paths: &[Utf8PathBuf]) -> String {
    paths.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
}
