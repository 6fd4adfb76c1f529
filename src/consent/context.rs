//! A build context as a value: what is in it, its digest, and how it differs from another.

use super::context_filter::{self, ContextFilter};
use super::dockerignore::MAX_FILE;
use super::error::size;
use super::walk::{Limits, walk};
use super::{ContextEntry, ContextError, Largest, Sha256Sum};
use crate::printable::printable_name;
use crate::tree::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The first bytes of what is hashed: another encoding gets another line.
const ENCODING: &[u8] = b"bottle build context 1\n";

/// What [`Context::text`] reads at most. In bytes.
const MAX_TEXT: u64 = 64 << 10;

/// All that an image is built from, without what `.dockerignore` leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// By the path in the context.
    entries: BTreeMap<Utf8PathBuf, ContextEntry>,
}

/// One path that differs between two build contexts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextChange {
    /// In the context.
    pub path: Utf8PathBuf,
    /// Nothing where it was added.
    pub old: Option<ContextEntry>,
    /// Nothing where it was removed.
    pub new: Option<ContextEntry>,
}

impl Context {
    /// Reads the build context in `root`. `dockerfile` is relative to it.
    ///
    /// Left out is what `.dockerignore` and `DOCKERFILE.dockerignore` both leave out, each where it is there; these two
    /// and the Dockerfile are always kept. Nothing is followed and nothing is waited for, whatever writes in the folder.
    pub fn read(root: &Folder, dockerfile: &Utf8Path) -> Result<Self, ContextError> {
        Self::take(root, dockerfile, None, Limits::default())
    }

    /// Reads the same and copies it into the empty folder `into`, in one pass: what this returns describes the bytes
    /// that were copied. Files get the mode 0644 or 0755, folders 0755; links stay links. After an error `into` holds a
    /// part.
    pub fn snapshot(root: &Folder, dockerfile: &Utf8Path, into: &Folder) -> Result<Self, ContextError> {
        if into.list_at_most(0)?.1 {
            return Err(ContextError::NotEmpty { path: into.path().to_owned() });
        }
        Self::take(root, dockerfile, Some(into), Limits::default())
    }

    /// Reads a copy that [`Context::snapshot`] made, and refuses one that has another digest than `expected`
    /// (`sha256:<hex>`).
    pub fn verify(copy: &Folder, expected: &str) -> Result<Self, ContextError> {
        let found = Self { entries: walk(copy, &ContextFilter::default(), None, Limits::default())? };
        let digest = found.digest();
        if digest == expected {
            return Ok(found);
        }
        let (path, expected) = (copy.path().to_owned(), expected.to_owned());
        Err(ContextError::Damaged { path, expected, found: digest })
    }

    /// The text of the file `path` of this context, read below `folder`: nothing where another text is there by now, where
    /// it has more than 64 KiB or is not UTF-8.
    #[must_use]
    pub fn text(&self, folder: &Folder, path: &Utf8Path) -> Option<String> {
        let Some(ContextEntry::File { sha256, .. }) = self.entries.get(path) else { return None };
        let parent = folder.find(path.parent()?).ok()??;
        let bytes = parent.read_at_most(path.file_name()?, MAX_TEXT).ok()??;
        let same = Sha256::digest(&bytes)[..] == sha256.0;
        String::from_utf8(bytes).ok().filter(|_| same)
    }

    /// The build context `root` out of files that are not on a disk, such as those of a commit: for each path whether it
    /// is executable, or nothing for a link; `read` gives a file's bytes or a link's text, and `digest` a file's SHA-256 and
    /// size. Empty folders are in no commit.
    pub fn from_files<E: From<ContextError>>(
        root: &Utf8Path,
        dockerfile: &Utf8Path,
        files: &BTreeMap<Utf8PathBuf, Option<bool>>,
        mut read: impl FnMut(&Utf8Path) -> Result<Vec<u8>, E>,
        mut digest: impl FnMut(&Utf8Path) -> Result<([u8; 32], u64), E>,
    ) -> Result<Self, E> {
        let rules = ContextFilter::parse(root, dockerfile, |path| {
            files.contains_key(path).then(|| read(path)).transpose()
        })?;
        let (mut entries, mut bytes, limit) = (BTreeMap::new(), 0, Limits::default().bytes);
        for (path, executable) in files.iter().filter(|(path, _)| rules.keeps(path)) {
            let entry = match executable {
                Some(executable) => {
                    let (sha256, length) = digest(path)?;
                    bytes += length;
                    if bytes > limit {
                        let largest = vec![Largest { name: path.to_string(), bytes: length, entries: 1 }];
                        let path = root.to_owned();
                        return Err(ContextError::TooLarge { path, limit: size(limit), largest }.into());
                    }
                    ContextEntry::File { sha256: Sha256Sum(sha256), size: length, executable: *executable }
                }
                None => ContextEntry::Link { target: String::from_utf8_lossy(&read(path)?).into_owned() },
            };
            entries.insert(path.clone(), entry);
        }
        Ok(Self { entries })
    }

    /// Without its empty folders, which are in no commit.
    #[must_use]
    pub fn without_empty_folders(mut self) -> Self {
        self.entries.retain(|_, entry| *entry != ContextEntry::Folder);
        self
    }

    pub(super) fn take(
        root: &Folder,
        dockerfile: &Utf8Path,
        into: Option<&Folder>,
        limits: Limits,
    ) -> Result<Self, ContextError> {
        context_filter::require_dockerfile(root, dockerfile)?;
        let rules = ContextFilter::read(root, dockerfile, MAX_FILE)?;
        let entries = walk(root, &rules, into, limits)?;
        rules.require_unchanged(root, &entries)?;
        Ok(Self { entries })
    }

    /// Every file, link and empty folder by its path.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Utf8PathBuf, ContextEntry> {
        &self.entries
    }

    /// All files together, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match entry {
            ContextEntry::File { size, .. } => *size,
            ContextEntry::Link { .. } | ContextEntry::Folder => 0,
        });
        sizes.sum()
    }

    /// `sha256:<hex>` over every path with what stands there; the same in every clone and under every umask.
    ///
    /// What is hashed: a line that names the encoding; then for each entry, in the order of the paths' bytes, one letter
    /// (`f` file, `x` executable file, `l` link, `d` empty folder), the length of the path (64 bits, little endian), the
    /// path, and for a file the 32 bytes of its SHA-256, for a link the length and the text of its target.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix(ENCODING);
        let text = |hash: &mut Sha256, text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        let mut sorted: Vec<_> = self.entries.iter().collect();
        sorted.sort_by_key(|(path, _)| path.as_str());
        for (path, entry) in sorted {
            hash.update(match entry {
                ContextEntry::File { executable: false, .. } => b"f",
                ContextEntry::File { executable: true, .. } => b"x",
                ContextEntry::Link { .. } => b"l",
                ContextEntry::Folder => b"d",
            });
            text(&mut hash, path.as_str());
            match entry {
                ContextEntry::File { sha256, .. } => hash.update(sha256.0),
                ContextEntry::Link { target } => text(&mut hash, target),
                ContextEntry::Folder => {}
            }
        }
        format!("sha256:{}", Sha256Sum(hash.finalize().into()))
    }

    /// What differs in `newer`, in the order of the paths.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Vec<ContextChange> {
        let mut changes = Vec::new();
        for (path, old) in &self.entries {
            let new = newer.entries.get(path);
            if new != Some(old) {
                changes.push(ContextChange { path: path.clone(), old: Some(old.clone()), new: new.cloned() });
            }
        }
        for (path, new) in newer.entries.iter().filter(|(path, _)| !self.entries.contains_key(*path)) {
            changes.push(ContextChange { path: path.clone(), old: None, new: Some(new.clone()) });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes
    }
}

/// One line: `changed: run.sh (file of 12 bytes, now executable)`. Nothing in a name can steer the terminal.
impl fmt::Display for ContextChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = printable_name(self.path.as_str());
        match (&self.old, &self.new) {
            (None, None) => write!(f, "same: {path}"),
            (None, Some(new)) => write!(f, "added: {path} ({new})"),
            (Some(old), None) => write!(f, "removed: {path} ({old})"),
            (Some(old), Some(new)) => write!(f, "changed: {path} ({})", difference(old, new)),
        }
    }
}

fn difference(old: &ContextEntry, new: &ContextEntry) -> String {
    match (old, new) {
        (
            ContextEntry::File { sha256: before, executable: was, .. },
            ContextEntry::File { sha256: after, executable: is, size: bytes },
        ) if before == after && was != is => {
            format!(
                "file of {}, {}",
                size(*bytes),
                if *is { "now executable" } else { "no longer executable" }
            )
        }
        (
            ContextEntry::File { size: before, executable: was, .. },
            ContextEntry::File { size: after, executable: is, .. },
        ) if before == after && was == is => format!("{new}, other content"),
        _ => format!("{old}, now {new}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, executable: bool) -> ContextEntry {
        let sha256 = Sha256Sum(Sha256::digest(content).into());
        ContextEntry::File { sha256, size: content.len() as u64, executable }
    }

    fn link(target: &str) -> ContextEntry {
        ContextEntry::Link { target: target.to_owned() }
    }

    fn context(entries: &[(&str, ContextEntry)]) -> Context {
        let entries = entries.iter().map(|(path, entry)| (Utf8PathBuf::from(path), entry.clone()));
        Context { entries: entries.collect() }
    }

    #[test]
    fn the_digest_is_the_one_that_its_encoding_says() {
        let context = context(&[
            ("a/b", file("1", true)),
            ("a-b", file("", false)),
            ("é", link("x")),
            ("z", ContextEntry::Folder),
        ]);
        let mut bytes = b"bottle build context 1\n".to_vec();
        bytes.extend(b"f\x03\0\0\0\0\0\0\0a-b"); // `-` is before `/`
        bytes.extend(Sha256::digest(b""));
        bytes.extend(b"x\x03\0\0\0\0\0\0\0a/b");
        bytes.extend(Sha256::digest(b"1"));
        bytes.extend(b"d\x01\0\0\0\0\0\0\0z");
        bytes.extend("l\x02\0\0\0\0\0\0\0é\x01\0\0\0\0\0\0\0x".as_bytes());
        assert_eq!(context.digest(), format!("sha256:{}", Sha256Sum(Sha256::digest(bytes).into())));
    }

    #[test]
    fn whatever_differs_has_another_digest() {
        let contexts = [
            context(&[]),
            context(&[("a", file("x", false))]),
            context(&[("a", file("x", true))]),
            context(&[("a", file("y", false))]),
            context(&[("b", file("x", false))]),
            context(&[("a", link("x"))]),
            context(&[("a", link("x\0"))]),
            context(&[("a", ContextEntry::Folder)]),
            context(&[("a", ContextEntry::Folder), ("b", ContextEntry::Folder)]),
            context(&[("a", link("")), ("b", link("c"))]),
            context(&[("a", link("bc")), ("b", link(""))]),
        ];
        let digests: std::collections::BTreeSet<String> = contexts.iter().map(Context::digest).collect();
        assert_eq!(digests.len(), contexts.len());
    }

    #[test]
    fn the_record_is_strict_and_comes_back_the_same() {
        let context = context(&[("a", file("x", true)), ("b/c", link("../a")), ("d", ContextEntry::Folder)]);
        let text = serde_json::to_string(&context).unwrap();
        assert_eq!(serde_json::from_str::<Context>(&text).unwrap(), context);
        let folder = r#"{"entries":{"d":{"kind":"folder"}}}"#;
        assert_eq!(serde_json::from_str::<Context>(folder).unwrap().entries.len(), 1);
        for bad in [
            r#"{"entries":{},"more":1}"#,
            r#"{"entries":{"d":{"kind":"pipe"}}}"#,
            r#"{"entries":{"d":{"kind":"link","target":"x","more":1}}}"#,
            r#"{"entries":{"d":{"kind":"file","sha256":"00","size":1,"executable":false}}}"#,
            "{}",
        ] {
            serde_json::from_str::<Context>(bad).expect_err(bad);
        }
    }

    #[test]
    fn every_change_is_one_line_in_the_order_of_the_paths() {
        let old = context(&[
            ("Dockerfile", file("FROM a\n", false)),
            ("gone", file("x", false)),
            ("link", link("a")),
            ("run.sh", file("x", false)),
            ("same", file("x", false)),
            ("tool", file("x", true)),
        ]);
        let new = context(&[
            ("Dockerfile", file("FROM b\n", false)),
            ("bad\u{202e}\n\u{1b}", link("\u{200b}\"")),
            ("empty", ContextEntry::Folder),
            ("link", link("b")),
            ("run.sh", file("x", true)),
            ("same", file("x", false)),
            ("tool", file("longer", true)),
        ]);
        let lines: Vec<String> = old.changes(&new).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "changed: Dockerfile (file of 7 bytes, other content)",
                r#"added: bad\u{202e}\u{a}\u{1b} (link to \u{200b}")"#,
                "added: empty (empty folder)",
                "removed: gone (file of 1 byte)",
                "changed: link (link to a, now link to b)",
                "changed: run.sh (file of 1 byte, now executable)",
                "changed: tool (executable file of 1 byte, now executable file of 6 bytes)",
            ]
        );
        assert_eq!(old.changes(&old), []);
    }
}
