//! Why a build context can't be read.

use crate::printable::printable_name;
use crate::tree::TreeError;
use camino::Utf8PathBuf;
use std::fmt;

/// Why a build context can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A folder or file could not be read or written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A pipe, socket or device.
    #[error("{path} in the build context is {what}; remove it or name it in .dockerignore")]
    NotPlain {
        /// The path of it.
        path: Utf8PathBuf,
        /// What stands there, with its article.
        what: &'static str,
    },
    /// The Dockerfile's path does not stay in the context by its letters.
    #[error("the Dockerfile {path} is not inside the build context; move it into the context")]
    DockerfileOutside {
        /// As it was given.
        path: Utf8PathBuf,
    },
    /// No plain file stands where the Dockerfile should be.
    #[error("the Dockerfile {path} {problem}; put a plain file into the build context")]
    Dockerfile {
        /// The path of it.
        path: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An ignore file that can't be used.
    #[error("{path}{}: {problem}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Ignore {
        /// The path of it.
        path: Utf8PathBuf,
        /// From 1; nothing where it is the whole file.
        line: Option<usize>,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Something wrote in the context while it was read.
    #[error("{path} changed while bottle read the build context; try again when nothing writes there")]
    Changed {
        /// The path of it.
        path: Utf8PathBuf,
    },
    /// git would take it for a repository, and builders run git there.
    #[error(
        "the build context {path} holds what a git repository consists of (HEAD, objects, refs), and a builder that asks \
         git about it would run what its config says; move them into a folder of the context, or name them in \
         .dockerignore"
    )]
    Repository {
        /// The context.
        path: Utf8PathBuf,
    },
    /// A copy would mix with what is there.
    #[error("{path} is not empty; the copy of the build context needs a folder of its own")]
    NotEmpty {
        /// The path of it.
        path: Utf8PathBuf,
    },
    /// More than an image is built from.
    #[error(
        "the build context {path} holds more than {limit}; name what the image does not need in .dockerignore \
         (the largest: {})",
        list(largest)
    )]
    TooLarge {
        /// The context.
        path: Utf8PathBuf,
        /// What was exceeded: `512 MiB`, `100000 files, links and empty folders`.
        limit: String,
        /// The entries of the context's own folder that hold most, the largest first.
        largest: Vec<Largest>,
    },
    /// Folders in folders in folders.
    #[error("{path} is nested more than {limit} folders deep; name it in .dockerignore")]
    TooDeep {
        /// The path of it.
        path: Utf8PathBuf,
        /// In folders below the context.
        limit: usize,
    },
    /// A private copy that is not what was agreed to.
    #[error(
        "the copy of the build context in {path} was damaged: it is {found}, and {expected} was agreed to; \
         render again"
    )]
    Damaged {
        /// The path of it.
        path: Utf8PathBuf,
        /// `sha256:<hex>`, as agreed.
        expected: String,
        /// `sha256:<hex>`, as found.
        found: String,
    },
}

/// A folder or file that takes much of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    /// In the context's own folder.
    pub name: String,
    /// Of all files in it that are not ignored.
    pub bytes: u64,
    /// Files, links and folders, itself included; what is in an ignored folder does not count.
    pub entries: u64,
}

impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries =
            if self.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", self.entries) };
        write!(f, "{} with {} in {entries}", printable_name(&self.name), size(self.bytes))
    }
}

fn list(largest: &[Largest]) -> String {
    largest.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A size for people: `12 bytes`, `1.5 KiB`, `512 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let mut tenths = bytes.saturating_mul(10);
    let mut unit = 0;
    while tenths >= 10_240 && unit < 3 {
        tenths /= 1024;
        unit += 1;
    }
    let name = ["bytes", "KiB", "MiB", "GiB"][unit];
    match (unit, tenths % 10) {
        (0, _) if bytes == 1 => "1 byte".to_owned(),
        (0, _) | (_, 0) => format!("{} {name}", tenths / 10),
        (_, tenth) => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (512 << 20, "512 MiB"),
            (2 << 30, "2 GiB"),
            (5 << 40, "5120 GiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
