//! One pass over a build context: it reads each file once, hashes what it read and, where asked, copies the same bytes.
//!
//! Constraint: an agent may write in the folder meanwhile. Each step is relative to an open folder and follows
//! nothing; whatever is swapped in shows up in both the digest and the copy, or as an error.

use super::context_filter::{ContextFilter, require_no_repository};
use super::error::size;
use super::{ContextEntry, ContextError, Largest, Sha256Sum};
use crate::tree::{Folder, Found, TreeError};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

/// Read at once. In bytes.
const BLOCK: usize = 64 << 10;

/// The largest folders that an error names.
const NAMED: usize = 3;

/// How much a build context may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// All files together.
    pub(super) bytes: u64,
    /// Files, links and empty folders.
    pub(super) entries: usize,
    /// All paths that are looked at and all link targets together, in bytes: it bounds the memory, and the time that
    /// the ignore files take.
    pub(super) names: usize,
    /// Paths that are looked at, ignored ones included; what is in an ignored folder is not.
    pub(super) looked_at: usize,
    /// Folders in folders; each is one or two open files.
    pub(super) depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 512 << 20, entries: 100_000, names: 64 << 20, looked_at: 400_000, depth: 100 }
    }
}

/// Reads everything below `root` that `rules` keep, and copies it into the empty folder `into`.
pub(super) fn walk(
    root: &Folder,
    rules: &ContextFilter,
    into: Option<&Folder>,
    limits: Limits,
) -> Result<BTreeMap<Utf8PathBuf, ContextEntry>, ContextError> {
    let mut walk = Walk {
        rules,
        into,
        limits,
        below: Vec::new(),
        entries: BTreeMap::new(),
        kept: 0,
        bytes: 0,
        names: 0,
        looked_at: 0,
        exceeded: None,
        takes: BTreeMap::new(),
        block: vec![0; BLOCK],
    };
    walk.folder(root, Utf8Path::new(""), &rules.top())?;
    match walk.exceeded {
        None => {
            require_no_repository(root, &walk.entries)?;
            Ok(walk.entries)
        }
        Some(limit) => {
            let path = root.path().to_owned();
            Err(ContextError::TooLarge { path, limit, largest: largest(walk.takes) })
        }
    }
}

struct Walk<'a> {
    rules: &'a ContextFilter,
    into: Option<&'a Folder>,
    limits: Limits,
    /// The folders from the root to where the walk is: the name, and the copy once something is in it.
    below: Vec<(String, Option<Folder>)>,
    entries: BTreeMap<Utf8PathBuf, ContextEntry>,
    kept: usize,
    bytes: u64,
    names: usize,
    looked_at: usize,
    /// The limit that was exceeded. From then on nothing is read: sizes are added up for the message.
    exceeded: Option<String>,
    /// What each name in the context's own folder takes: bytes that are kept, and names that were looked at.
    takes: BTreeMap<String, (u64, u64)>,
    block: Vec<u8>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Folder,
        path: &Utf8Path,
        above: &[super::dockerignore::Above],
    ) -> Result<(), ContextError> {
        if self.below.len() > self.limits.depth {
            return Err(ContextError::TooDeep { path: folder.path().to_owned(), limit: self.limits.depth });
        }
        let (names, more) = folder.list_at_most(self.limits.looked_at - self.looked_at)?;
        self.looked_at += names.len();
        if more {
            self.exceed(format!("{} names to look at", self.limits.looked_at));
        }
        for (name, found) in names {
            let path = path.join(&name);
            self.takes(&path).1 += 1;
            self.read_name(path.as_str().len());
            if self.names > self.limits.names {
                return Ok(());
            }
            let verdict = self.rules.evaluate(above, &path);
            match found {
                Found::Folder if verdict.entered => {
                    let before = self.kept;
                    self.below.push((name.clone(), None));
                    self.folder(&folder.child(&name)?, &path, &verdict.above)?;
                    if self.kept == before && verdict.kept {
                        self.target()?;
                        self.add(path, ContextEntry::Folder, 0);
                    }
                    self.below.pop();
                }
                Found::Folder => {}
                _ if !verdict.kept => {}
                Found::File { size } => self.file(folder, &name, path, size)?,
                Found::Link => self.link(folder, &name, path)?,
                Found::Other(what) => {
                    return Err(ContextError::NotPlain { path: folder.path().join(name), what });
                }
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        folder: &Folder,
        name: &str,
        path: Utf8PathBuf,
        size: u64,
    ) -> Result<(), ContextError> {
        let left = self.limits.bytes - self.bytes;
        if size > left {
            self.exceed_bytes();
        }
        if self.exceeded.is_some() {
            self.count(&path, size);
            return Ok(());
        }
        let shown = folder.path().join(name);
        let failed = |source| TreeError::Io { doing: "read", path: shown.clone(), source };
        let Some(file) = folder.open_plain(name)? else {
            return Err(ContextError::Changed { path: shown });
        };
        let executable = file.metadata().map_err(failed)?.permissions().mode() & 0o100 != 0;
        let copy = self.target()?.map(|target| target.make_file(name, executable)).transpose()?;
        let read = stream(file, copy, left, &mut self.block).map_err(failed)?;
        if let Some((size, sha256)) = read {
            self.add(path, ContextEntry::File { sha256, size, executable }, size);
        } else {
            self.exceed_bytes(); // it grew since it was listed
            self.count(&path, left);
        }
        Ok(())
    }

    fn link(&mut self, folder: &Folder, name: &str, path: Utf8PathBuf) -> Result<(), ContextError> {
        let target = folder.link_target(name)?;
        if self.exceeded.is_none()
            && let Some(copy) = self.target()?
        {
            copy.make_link(name, &target)?;
        }
        self.read_name(target.len());
        self.add(path, ContextEntry::Link { target }, 0);
        Ok(())
    }

    fn read_name(&mut self, bytes: usize) {
        self.names += bytes;
        if self.names > self.limits.names {
            self.exceed(format!("{} of paths", size(self.limits.names as u64)));
        }
    }

    fn add(&mut self, path: Utf8PathBuf, entry: ContextEntry, size: u64) {
        self.count(&path, size);
        if self.exceeded.is_some() {
            return;
        }
        self.bytes += size;
        self.entries.insert(path, entry);
        if self.entries.len() > self.limits.entries {
            self.exceed(format!("{} files, links and empty folders", self.limits.entries));
        }
    }

    fn count(&mut self, path: &Utf8Path, size: u64) {
        self.kept += 1;
        let bytes = &mut self.takes(path).0;
        *bytes = bytes.saturating_add(size);
    }

    /// The account of the name in the context's own folder that `path` is below.
    fn takes(&mut self, path: &Utf8Path) -> &mut (u64, u64) {
        let first = path.components().next().map(|part| part.as_str().to_owned());
        self.takes.entry(first.unwrap_or_default()).or_default()
    }

    fn exceed_bytes(&mut self) {
        self.exceed(size(self.limits.bytes));
    }

    fn exceed(&mut self, limit: String) {
        self.exceeded.get_or_insert(limit);
        self.entries.clear();
    }

    /// The folder of the copy that belongs to where the walk is; made when the first thing is put into it.
    fn target(&mut self) -> Result<Option<&Folder>, TreeError> {
        let Some(root) = self.into else { return Ok(None) };
        for index in 0..self.below.len() {
            let (made, rest) = self.below.split_at_mut(index);
            let parent = made.last().and_then(|(_, folder)| folder.as_ref()).unwrap_or(root);
            if let Some((name, folder @ None)) = rest.first_mut() {
                *folder = Some(parent.make_new(name)?);
            }
        }
        Ok(Some(self.below.last().and_then(|(_, folder)| folder.as_ref()).unwrap_or(root)))
    }
}

/// Reads `from` to its end, and writes what it read. Gives the size and the sum, or nothing where there are more than
/// `limit` bytes.
fn stream(
    mut from: File,
    mut to: Option<File>,
    limit: u64,
    block: &mut [u8],
) -> std::io::Result<Option<(u64, Sha256Sum)>> {
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    loop {
        let count = match from.read(block) {
            Ok(0) => return Ok(Some((size, Sha256Sum(hash.finalize().into())))),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += count as u64;
        if size > limit {
            return Ok(None);
        }
        hash.update(&block[..count]);
        if let Some(to) = &mut to {
            to.write_all(&block[..count])?;
        }
    }
}

fn largest(takes: BTreeMap<String, (u64, u64)>) -> Vec<Largest> {
    let mut all: Vec<Largest> =
        takes.into_iter().map(|(name, (bytes, entries))| Largest { name, bytes, entries }).collect();
    all.sort_by(|a, b| (b.bytes, b.entries, &a.name).cmp(&(a.bytes, a.entries, &b.name)));
    all.truncate(NAMED);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Context;

    const TINY: Limits = Limits { bytes: 20, entries: 4, names: 40, looked_at: 8, depth: 2 };

    fn folder(files: &[(&str, usize)]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        for (path, size) in files {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, vec![b'x'; *size]).unwrap();
        }
        let folder = Folder::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
        (dir, folder)
    }

    fn exceeded(files: &[(&str, usize)]) -> (String, Vec<String>) {
        let (_dir, root) = folder(files);
        let error = walk(&root, &ContextFilter::default(), None, TINY).unwrap_err();
        let ContextError::TooLarge { limit, largest, .. } = error else { panic!("{error}") };
        (limit, largest.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_fits_to_the_last_byte_is_read() {
        for files in [&[("a", 20)][..], &[("a", 0), ("b", 0), ("c", 0), ("d", 0)], &[("a/b/c", 1)]] {
            let (_dir, root) = folder(files);
            assert_eq!(walk(&root, &ContextFilter::default(), None, TINY).unwrap().len(), files.len());
        }
    }

    #[test]
    fn every_limit_is_named_with_the_largest() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            exceeded(&[("a", 20), ("b/c", 9), ("b/d", 12), ("e", 1), ("f", 2)]),
            (
                "20 bytes".to_owned(),
                texts(&[
                    "b with 21 bytes in 3 entries",
                    "a with 20 bytes in 1 entry",
                    "f with 2 bytes in 1 entry"
                ])
            )
        );
        assert_eq!(
            exceeded(&[("a", 1), ("b/c", 0), ("b/d", 0), ("b/e", 0), ("b/f", 0)]),
            (
                "4 files, links and empty folders".to_owned(),
                texts(&["a with 1 byte in 1 entry", "b with 0 bytes in 5 entries"])
            )
        );
        let long = "x".repeat(20);
        assert_eq!(
            exceeded(&[(&format!("a/{long}"), 0), (&format!("b/{long}"), 0)]),
            (
                "40 bytes of paths".to_owned(),
                texts(&["a with 0 bytes in 2 entries", "b with 0 bytes in 2 entries"])
            )
        );
        let (limit, largest) = exceeded(&["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(|name| (name, 0)));
        assert_eq!((limit.as_str(), largest.len()), ("8 names to look at", 3));
    }

    #[test]
    fn a_file_that_grows_is_read_no_further_than_the_limit() {
        let (dir, root) = folder(&[("a", 0)]);
        // What the listing said is older than what is read: an endless file stands for one that grows.
        let endless = fs_err::File::open("/dev/zero").unwrap().into_parts().0;
        let copy = root.make_file("copy", false).unwrap();
        assert_eq!(stream(endless, Some(copy), 1000, &mut [0; 64]).unwrap(), None);
        assert_eq!(fs_err::metadata(dir.path().join("copy")).unwrap().len(), 960);
    }

    #[test]
    fn an_ignore_file_that_changes_during_the_walk_is_an_error() {
        let (dir, root) = folder(&[("Dockerfile", 1)]);
        fs_err::write(dir.path().join(".dockerignore"), "a\n").unwrap();
        let rules = ContextFilter::read(&root, Utf8Path::new("Dockerfile"), 100).unwrap();
        let entries = walk(&root, &rules, None, TINY).unwrap();
        rules.require_unchanged(&root, &entries).unwrap();
        let changes: [&dyn Fn(); 3] = [
            &|| fs_err::write(dir.path().join(".dockerignore"), "b\n").unwrap(),
            &|| fs_err::remove_file(dir.path().join(".dockerignore")).unwrap(),
            &|| fs_err::os::unix::fs::symlink("x", dir.path().join(".dockerignore")).unwrap(),
        ];
        for change in changes {
            change();
            let entries = walk(&root, &rules, None, TINY).unwrap();
            let error = rules.require_unchanged(&root, &entries).unwrap_err().to_string();
            let expected = format!(
                "{}/.dockerignore changed while bottle read the build context; try again when nothing writes there",
                root.path()
            );
            assert_eq!(error, expected);
        }
        fs_err::remove_file(dir.path().join("Dockerfile")).unwrap();
        let entries = walk(&root, &ContextFilter::default(), None, TINY).unwrap();
        rules.require_unchanged(&root, &entries).unwrap_err();
    }

    #[test]
    fn the_limits_hold_for_the_copy_too() {
        let (_dir, root) = folder(&[("Dockerfile", 1), ("a", 30)]);
        let (_target, into) = folder(&[]);
        let error = Context::take(&root, Utf8Path::new("Dockerfile"), Some(&into), TINY).unwrap_err();
        assert!(matches!(error, ContextError::TooLarge { .. }), "{error}");
        assert_eq!(into.entries().unwrap().len(), 1, "nothing of `a` was copied");
    }
}
