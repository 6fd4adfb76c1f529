//! What a build context holds at one path.

use super::{Sha256Sum, error::size};
use crate::printable::printable_name;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What stands at one path of a build context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ContextEntry {
    /// A plain file.
    File {
        /// Of its bytes.
        sha256: Sha256Sum,
        /// In bytes.
        size: u64,
        /// Whether its owner may execute it. No other permission counts: the rest depends on the umask.
        executable: bool,
    },
    /// A symbolic link. What it points to is not followed.
    Link {
        /// The text of the link.
        target: String,
    },
    /// A folder with nothing in it; other folders follow from the paths.
    Folder,
}

impl fmt::Display for ContextEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { size: bytes, executable: false, .. } => write!(f, "file of {}", size(*bytes)),
            Self::File { size: bytes, .. } => write!(f, "executable file of {}", size(*bytes)),
            Self::Link { target } => write!(f, "link to {}", printable_name(target)),
            Self::Folder => f.write_str("empty folder"),
        }
    }
}
