//! Objects as git writes them (`gitformat-pack(5)`, `git-cat-file(1)`): their names, and what a commit and a tree hold.

use super::{EntryKind, GitError};
use aws_lc_rs::digest;
use jiff::Timestamp;
use std::collections::HashSet;
use std::fmt;

/// The name of an object: 20 bytes of SHA-1, or 32 of SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(Vec<u8>);

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
}

/// A line of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) id: Id,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }
}

impl Id {
    /// 40 or 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        matches!(bytes.len(), 20 | 32).then_some(Self(bytes))
    }

    /// Whether this is the name of these bytes.
    pub(super) fn is_of(&self, kind: Kind, bytes: &[u8]) -> bool {
        let algorithm = if self.0.len() == 20 { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 };
        let mut hash = digest::Context::new(algorithm);
        hash.update(format!("{} {}\0", kind.name(), bytes.len()).as_bytes());
        hash.update(bytes);
        hash.finish().as_ref() == self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// The tree of a commit, which its first line names.
pub(super) fn tree_of(id: &Id, commit: &[u8]) -> Result<Id, GitError> {
    let line = commit.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = line.strip_prefix(b"tree ").and_then(|name| std::str::from_utf8(name).ok());
    let malformed = || GitError::Malformed { id: id.to_string(), problem: "a commit begins with its tree" };
    name.and_then(Id::parse).ok_or_else(malformed)
}

/// The commits that a commit comes from: the lines after that of its tree.
pub(super) fn parents_of(commit: &[u8]) -> Vec<Id> {
    let lines = commit.split(|byte| *byte == b'\n').skip(1);
    let names = lines.map_while(|line| std::str::from_utf8(line.strip_prefix(b"parent ")?).ok());
    names.filter_map(Id::parse).collect()
}

/// When a commit was made, by its own word, and the first line of its message.
pub(super) fn when_and_what(commit: &[u8]) -> (Timestamp, String) {
    let text = String::from_utf8_lossy(commit);
    let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
    let made = head.lines().find_map(|line| line.strip_prefix("committer "));
    // NAME <MAIL> SECONDS ZONE
    let seconds = made.and_then(|line| line.rsplit_once("> ")?.1.split(' ').next()?.parse().ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_default();
    (time, message.lines().next().unwrap_or_default().to_owned())
}

/// What a tree holds: for each entry its mode in octal, a space, the name, a zero byte and the object's name in bytes.
pub(super) fn entries(id: &Id, tree: &[u8]) -> Result<Vec<TreeEntry>, GitError> {
    let malformed = |problem| GitError::Malformed { id: id.to_string(), problem };
    let (mut entries, mut names) = (Vec::new(), HashSet::new());
    let mut rest = tree;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(|| malformed("a name has no end"))?;
        let (head, after) = (&rest[..end], &rest[end + 1..]);
        let space =
            head.iter().position(|byte| *byte == b' ').ok_or_else(|| malformed("an entry has no mode"))?;
        let (mode, name) = (&head[..space], &head[space + 1..]);
        let kind = match mode {
            b"40000" | b"040000" => EntryKind::Folder,
            b"100644" | b"100664" => EntryKind::File { executable: false },
            b"100755" => EntryKind::File { executable: true },
            b"120000" => EntryKind::Link,
            b"160000" => EntryKind::Submodule,
            _ => return Err(malformed("an entry has a mode that git does not write")),
        };
        // `NAME_MAX` of Linux: a longer one can't be checked out.
        if name.len() > 255 {
            return Err(malformed("an entry has a name of more than 255 bytes"));
        }
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return Err(malformed("an entry has a name that no file has"));
        }
        let bytes = after.get(..id.0.len()).ok_or_else(|| malformed("an entry has no object"))?;
        rest = &after[id.0.len()..];
        // git writes each name once: of two, a checkout takes one and a reader the other.
        if !names.insert(name) {
            return Err(malformed("two entries have one name"));
        }
        let name = String::from_utf8_lossy(name).into_owned();
        entries.push(TreeEntry { name, kind, id: Id(bytes.to_vec()) });
    }
    Ok(entries)
}
