//! What stands on disk against what would be rendered.

use super::folder::is_staged;
use super::{Entry, Folder, LARGEST, TreeError, UNCOMMITTED};
use crate::printable::printable_name;
use crate::render::Tree;
use crate::render::checksum::{self, Sealed};
use camino::{Utf8Path, Utf8PathBuf};

/// How one file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Would be written, and is not there.
    Missing,
    /// Ours as it was written, and another text would be written now.
    Outdated,
    /// Ours, and would not be written any more.
    Stale,
    /// Ours, and a person edited it.
    Edited,
    /// Not ours.
    Foreign,
}

/// One file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the output folder.
    pub path: Utf8PathBuf,
    /// How it differs.
    pub kind: Kind,
    /// What is on disk.
    pub old: Option<Vec<u8>>,
    /// What would be written.
    pub new: Option<Vec<u8>>,
}

/// Every file that differs, and what is on disk.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// In the order of their paths.
    pub changes: Vec<Change>,
    /// Bottle's files on disk as they are, edited or not; empty before the first render.
    pub on_disk: Tree,
}

impl Comparison {
    /// Compares the files below `folder` with `tree`. Fails on what is not a plain file.
    pub fn with_disk(folder: Option<&Folder>, tree: &Tree) -> Result<Self, TreeError> {
        let mut found = Tree::new();
        if let Some(folder) = folder {
            let mut left = LARGEST_TREE;
            collect(folder, Utf8Path::new(""), &mut left, &mut found)?;
        }
        let mut changes = Vec::new();
        for (path, new) in tree {
            let old = found.get(path);
            if let Some(kind) = change_of(old, new) {
                changes.push(Change { path: path.clone(), kind, old: old.cloned(), new: Some(new.clone()) });
            }
        }
        for (path, old) in found.iter().filter(|(path, _)| !tree.contains_key(*path)) {
            let kind = match checksum::verify(old) {
                Sealed::Intact | Sealed::Conflicted => Kind::Stale,
                Sealed::Edited => Kind::Edited,
                Sealed::Foreign => Kind::Foreign,
            };
            changes.push(Change { path: path.clone(), kind, old: Some(old.clone()), new: None });
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        found.retain(|_, bytes| checksum::verify(bytes) != Sealed::Foreign);
        Ok(Self { changes, on_disk: found })
    }

    /// Whether the tree on disk is what would be rendered.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.changes.is_empty()
    }

    /// The paths that differ in this way.
    pub fn paths(&self, kind: Kind) -> impl Iterator<Item = &Utf8Path> {
        self.changes.iter().filter(move |change| change.kind == kind).map(|change| change.path.as_path())
    }

    /// A unified diff of every file, with a line for what has no text to show.
    #[must_use]
    pub fn unified_diff(&self) -> String {
        self.changes.iter().map(Change::unified_diff).collect()
    }
}

impl Change {
    fn unified_diff(&self) -> String {
        let path = printable_name(self.path.as_str());
        let note = match self.kind {
            Kind::Foreign => return format!("{path}: not written by bottle\n"),
            Kind::Edited => format!("{path}: edited by hand\n"),
            Kind::Missing | Kind::Outdated | Kind::Stale => String::new(),
        };
        note + &unified_diff(&self.path, self.old.as_deref(), self.new.as_deref())
    }
}

/// How one file differs, `a/` and `b/` before its path; a side that does not have it is `/dev/null`.
#[must_use]
pub fn unified_diff(path: &Utf8Path, old: Option<&[u8]>, new: Option<&[u8]>) -> String {
    let path = printable_name(path.as_str());
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let name = |bytes: Option<&[u8]>, side: &str| match bytes {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (from, to) = (name(old, "a"), name(new, "b"));
    let (old, new) = (text(old), text(new));
    // Lines end with a line feed and nothing else: a CR alone would begin a line that no other tool sees.
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let diff = similar::TextDiff::configure().newline_terminated(true).diff_slices(&old, &new);
    diff.unified_diff().context_radius(3).header(&from, &to).to_string()
}

fn change_of(old: Option<&Vec<u8>>, new: &Vec<u8>) -> Option<Kind> {
    let Some(old) = old else { return Some(Kind::Missing) };
    if old == new {
        return None;
    }
    Some(match checksum::verify(old) {
        Sealed::Intact | Sealed::Conflicted => Kind::Outdated,
        Sealed::Edited => Kind::Edited,
        Sealed::Foreign => Kind::Foreign,
    })
}

/// As large as all rendered files together can be, in bytes.
const LARGEST_TREE: u64 = 4 * LARGEST;

/// Every file below a folder of bottle's own, whoever wrote it.
pub fn read(folder: &Folder) -> Result<Tree, TreeError> {
    let (mut found, mut left) = (Tree::new(), LARGEST_TREE);
    collect(folder, Utf8Path::new(""), &mut left, &mut found)?;
    Ok(found)
}

/// Every plain file below `folder` but the uncommitted and the staged ones.
fn collect(folder: &Folder, below: &Utf8Path, left: &mut u64, into: &mut Tree) -> Result<(), TreeError> {
    for (name, entry) in folder.entries()? {
        let path = below.join(&name);
        match entry {
            Entry::Other(what) => return Err(TreeError::NotPlain { path: folder.path().join(&name), what }),
            Entry::Folder => collect(&folder.child(&name)?, &path, left, into)?,
            Entry::File if is_staged(&name) || UNCOMMITTED.contains(&path.as_str()) => {}
            Entry::File => {
                if let Some(bytes) = folder.read(&name)? {
                    let rest = left.checked_sub(bytes.len() as u64);
                    let too_large =
                        || TreeError::TooLarge { path: folder.path().to_owned(), limit: LARGEST_TREE };
                    *left = rest.ok_or_else(too_large)?;
                    into.insert(path, bytes);
                }
            }
        }
    }
    Ok(())
}
