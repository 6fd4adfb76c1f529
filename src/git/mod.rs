//! What a git repository holds, read without a checkout.
//!
//! An agent may have written all of `.git`: its configuration, its references, the bytes of its objects. So git itself
//! is asked for two things only, what a revision names and what an object's bytes are; it runs without the network,
//! hooks, replaced objects, grafts and the commit graph, and is ended when it takes too long. Every object is checked
//! against its name, so what is read here is what others get who fetch the same commit.

mod attributes;
mod command;
mod object;
mod pipes;
mod trees;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use command::Objects;
use jiff::Timestamp;
use object::{Id, Kind, TreeEntry};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque, hash_map};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use trees::{Tree, Trees};

/// Why a repository can't be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no program.
    #[error("git can't be run: {0}; revisions are read with it, so install it, or compare files and folders")]
    NoProgram(std::io::Error),
    /// The name means nothing, or no commit.
    #[error("{revision} is not a revision of {repository}: {reason}")]
    Revision {
        /// As it was asked for.
        revision: String,
        /// The work tree's folder.
        repository: Utf8PathBuf,
        /// What git says, in one line.
        reason: String,
    },
    /// The histories have nothing in common, as far as they are here.
    #[error("{old} and {new} have no commit in common here{hint}")]
    NoMergeBase {
        /// The old revision.
        old: String,
        /// The new revision.
        new: String,
        /// What to do.
        hint: &'static str,
    },
    /// Two branches that were merged into each other.
    #[error(
        "{old} and {new} have several commits in common of which none comes from another: compare {new} with one of them: {bases}"
    )]
    SeveralMergeBases {
        /// The old revision.
        old: String,
        /// The new revision.
        new: String,
        /// In hexadecimal.
        bases: String,
    },
    /// What is at or above a path is not a plain folder or file.
    #[error("{path} of the commit is {what}, which bottle does not follow")]
    NotFollowed {
        /// In the repository.
        path: Utf8PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// A shallow or partial clone, or a damaged one.
    #[error("object {id} is not in the repository{hint}")]
    Missing {
        /// In hexadecimal.
        id: String,
        /// What to do.
        hint: &'static str,
    },
    /// The bytes under a name are others.
    #[error(
        "object {id} of the repository is not what its name says: the repository is damaged or was tampered with"
    )]
    Tampered {
        /// In hexadecimal.
        id: String,
    },
    /// It is not what git writes.
    #[error("object {id} of the repository can't be read: {problem}")]
    Malformed {
        /// In hexadecimal.
        id: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// It is larger than what is read.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// In the repository.
        path: Utf8PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// More folders and files than are looked at.
    #[error("the repository has more than {0} folders and files")]
    TooMany(usize),
    /// More bytes of commits, folders and files than are read.
    #[error(
        "more than {} GiB of the repository would be read; compare single bottles, or files that you checked out",
        MOST_BYTES >> 30
    )]
    TooMuch,
    /// git would wait for it.
    #[error("{0} is a pipe or a device, which git would never finish reading; remove it")]
    NotPlain(Utf8PathBuf),
    /// It did not answer.
    #[error("git did not answer in {0} seconds and was ended")]
    TimedOut(u64),
    /// It ended.
    #[error("git ended unexpectedly: {0}")]
    Ended(String),
}

/// A repository with a work tree.
#[derive(Debug)]
pub struct Repository {
    top: Utf8PathBuf,
    objects: Mutex<Option<Objects>>,
    trees: Mutex<Trees>,
    /// Digest and size of the files that were asked for.
    digests: Mutex<HashMap<Id, ([u8; 32], u64)>>,
    /// By a commit's tree.
    encodings: Mutex<HashMap<Id, Encodings>>,
    /// Bytes that were read so far.
    read: AtomicU64,
    /// Entries of folders that were walked through so far.
    walked: AtomicUsize,
}

/// What the `.gitattributes` of a commit say of encodings: each of them is read once, however many files are asked about.
#[derive(Debug, Default)]
struct Encodings {
    macros: HashSet<Vec<u8>>,
    of_texts: HashMap<Id, Vec<attributes::Encoding>>,
    /// Of a folder and all above it.
    covering: HashMap<Utf8PathBuf, Arc<Vec<(Utf8PathBuf, attributes::Encoding)>>>,
    /// By what some file system takes the folder for: many folders can be alike.
    of_folders: HashMap<String, Vec<(Utf8PathBuf, attributes::Encoding)>>,
}

/// A commit, by the name that a person gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// `HEAD~2`, `main`.
    pub revision: String,
    id: Id,
    tree: Id,
}

/// A commit, for a list of them. What it says of itself is whoever made it to believe.
#[derive(Clone, Debug)]
pub struct Past {
    /// The commit.
    pub commit: Commit,
    /// When it was made.
    pub time: Timestamp,
    /// The first line of its message.
    pub subject: String,
}

/// A file to which a checkout would give other characters than the commit has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reencoded {
    /// From the top.
    pub file: Utf8PathBuf,
    /// The `.gitattributes` that says so.
    pub by: Utf8PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// What stands at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link.
    Link,
    /// A folder.
    Folder,
    /// Another repository.
    Submodule,
}

/// A path of a commit with what stands there.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Relative to the folder that was listed; bytes that are no UTF-8 are replaced.
    pub path: Utf8PathBuf,
    /// What it is.
    pub kind: EntryKind,
    id: Id,
}

/// Folders and files that are looked at, at most.
pub const MOST: usize = 2_000_000;

/// The same of all walks through one repository: a tree of a few kilobytes can have any number of them.
const MOST_WALKED: usize = 2 * MOST;

/// Bytes that are read of one repository: a pack of a few megabytes can hold any number of them.
const MOST_BYTES: u64 = 2 << 30;

/// The paths that are kept of one folder take at most this, in bytes.
const MOST_NAMES: usize = 32 << 20;

/// `PATH_MAX` of Linux.
const LONGEST_PATH: usize = 4096;

/// Bytes of a `.gitattributes`, at most.
const MOST_ATTRIBUTES: u64 = 1 << 20;

/// Folders in folders that are entered, at most.
const DEPTH: usize = 200;

const SHALLOW: &str = "; this is a shallow clone, so fetch the rest (git fetch --unshallow)";

impl Repository {
    /// The repository whose work tree has `folder`, which is absolute and without links.
    #[must_use]
    pub fn find(folder: &Utf8Path) -> Option<Self> {
        let has = |folder: &&Utf8Path| folder.join(".git").symlink_metadata().is_ok();
        let top = folder.ancestors().find(has)?.to_owned();
        Some(Self {
            top,
            objects: Mutex::default(),
            trees: Mutex::default(),
            digests: Mutex::default(),
            encodings: Mutex::default(),
            read: AtomicU64::default(),
            walked: AtomicUsize::default(),
        })
    }

    /// The work tree's folder.
    #[must_use]
    pub fn top(&self) -> &Utf8Path {
        &self.top
    }

    /// The commit that `revision` names, in any way that git knows (`gitrevisions(7)`).
    pub fn commit(&self, revision: &str) -> Result<Commit, GitError> {
        let refused = |reason: String| GitError::Revision {
            revision: revision.to_owned(),
            repository: self.top.clone(),
            reason,
        };
        if revision.is_empty() || revision.starts_with('-') || revision.contains(char::is_control) {
            return Err(refused("git has no such names".to_owned()));
        }
        // git would wait for a pipe, and follow a link.
        for name in ["config", "HEAD"].map(|name| self.git().join(name)) {
            if name.symlink_metadata().is_ok_and(|kind| !kind.is_file()) {
                return Err(refused(format!("{name} is not a plain file; remove it")));
            }
        }
        self.require_no_pipes()?;
        let asked = format!("{revision}^{{commit}}");
        let said =
            command::output(&self.git(), &["rev-parse", "--verify", "--quiet", "--end-of-options", &asked])?;
        let name = match said {
            Ok(name) => name,
            Err(reason) if reason.is_empty() => {
                let hint = self.hint();
                return Err(refused(format!("there is no such commit{hint}")));
            }
            // It could quote any file that something in the repository leads to.
            Err(reason) if reason.contains("dubious ownership") => {
                return Err(refused("git does not read the repository of another user".to_owned()));
            }
            Err(_) => return Err(refused("git can't read the repository; `git fsck` says more".to_owned())),
        };
        let id = Id::parse(name.trim()).ok_or_else(|| refused("git names no commit".to_owned()))?;
        let text = self.commit_text(&id)?;
        let tree = object::tree_of(&id, &text)?;
        Ok(Commit { revision: revision.to_owned(), id, tree })
    }

    /// The commit that two have in common: where a branch began. Every commit on the way is checked against its name, so
    /// that no file of the repository (`shallow`, `info/grafts`, the commit graph) leads to another one.
    pub fn merge_base(&self, old: &Commit, new: &Commit) -> Result<Commit, GitError> {
        let known = self.ancestors([old.id.clone()])?;
        // Of what `new` comes from: the first of each line that `old` comes from as well.
        let (mut found, mut seen, mut next) = (Vec::new(), HashSet::new(), vec![new.id.clone()]);
        while let Some(id) = next.pop() {
            if !seen.insert(id.clone()) {
            } else if known.contains(&id) {
                found.push(id);
            } else {
                next.extend(object::parents_of(&self.commit_text(&id)?));
            }
        }
        // Without those that another one of them comes from: no commit comes from itself.
        if found.len() > 1 {
            let mut parents = Vec::new();
            for id in &found {
                parents.extend(object::parents_of(&self.commit_text(id)?));
            }
            let older = self.ancestors(parents)?;
            found.retain(|id| !older.contains(id));
        }
        let pair = || (old.revision.clone(), new.revision.clone());
        match found.as_slice() {
            [one] => {
                let base = self.commit(&one.to_string())?;
                Ok(Commit { revision: base.short(), ..base })
            }
            [] => {
                let (old, new) = pair();
                Err(GitError::NoMergeBase { old, new, hint: self.hint() })
            }
            several => {
                let (old, new) = pair();
                let bases = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Err(GitError::SeveralMergeBases { old, new, bases })
            }
        }
    }

    /// Commits and all that they come from.
    fn ancestors(&self, ids: impl IntoIterator<Item = Id>) -> Result<HashSet<Id>, GitError> {
        let mut next: Vec<Id> = ids.into_iter().collect();
        let mut seen: HashSet<Id> = next.iter().cloned().collect();
        while let Some(id) = next.pop() {
            if seen.len() > MOST {
                return Err(GitError::TooMany(MOST));
            }
            let parents = object::parents_of(&self.commit_text(&id)?).into_iter();
            next.extend(parents.filter(|parent| seen.insert(parent.clone())));
        }
        Ok(seen)
    }

    /// A commit and all that it comes from, itself first.
    pub fn history(&self, from: &Commit) -> Result<Vec<Past>, GitError> {
        let (mut seen, mut found) = (HashSet::from([from.id.clone()]), Vec::new());
        let mut next = VecDeque::from([from.id.clone()]);
        while let Some(id) = next.pop_front() {
            if found.len() > MOST {
                return Err(GitError::TooMany(MOST));
            }
            let text = self.commit_text(&id)?;
            let tree = object::tree_of(&id, &text)?;
            next.extend(object::parents_of(&text).into_iter().filter(|parent| seen.insert(parent.clone())));
            let (time, subject) = object::when_and_what(&text);
            found.push(Past { commit: Commit { revision: id.to_string(), id, tree }, time, subject });
        }
        Ok(found)
    }

    fn commit_text(&self, id: &Id) -> Result<Vec<u8>, GitError> {
        self.object(id, Kind::Commit, "a commit".into(), 1 << 20)
    }

    /// Which of these paths git would leave out of a commit, where they are in none; relative to the work tree.
    pub fn ignored(&self, paths: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        self.require_no_pipes()?;
        let above = paths.iter().flat_map(|path| path.ancestors().skip(1));
        let files: BTreeSet<Utf8PathBuf> = above.map(|it| self.top.join(it).join(".gitignore")).collect();
        match files.into_iter().find(|file| pipes::is_at(file)) {
            Some(file) => Err(GitError::NotPlain(file)),
            None => command::ignored(&self.git(), &self.top, paths),
        }
    }

    fn require_no_pipes(&self) -> Result<(), GitError> {
        pipes::below(&self.git()).map_or(Ok(()), |path| Err(GitError::NotPlain(path)))
    }

    /// What to do where something is missing.
    fn hint(&self) -> &'static str {
        let said = |arguments: &[&str]| command::output(&self.git(), arguments).ok().and_then(Result::ok);
        if said(&["rev-parse", "--is-shallow-repository"]).is_some_and(|said| said.trim() == "true") {
            SHALLOW
        } else if said(&["config", "--get", "extensions.partialClone"]).is_some() {
            "; this is a partial clone, and nothing is fetched for you: check the revision out once"
        } else {
            ""
        }
    }

    fn git(&self) -> Utf8PathBuf {
        self.top.join(".git")
    }

    /// The bytes of an object, checked against its name.
    fn object(&self, id: &Id, kind: Kind, path: &Utf8Path, limit: u64) -> Result<Vec<u8>, GitError> {
        let mut objects = lock(&self.objects);
        let objects = match &mut *objects {
            Some(objects) => objects,
            none => none.insert(Objects::start(&self.git())?),
        };
        let Some((found, size)) = objects.look(id)? else {
            return Err(GitError::Missing { id: id.to_string(), hint: self.hint() });
        };
        if found != kind {
            return Err(GitError::Malformed {
                id: id.to_string(),
                problem: "it is of another kind than its place says",
            });
        }
        if size > limit {
            return Err(GitError::TooLarge { path: path.to_owned(), limit });
        }
        if self.read.fetch_add(size, Ordering::Relaxed) + size > MOST_BYTES {
            return Err(GitError::TooMuch);
        }
        let bytes = objects.read(id, size)?;
        if id.is_of(kind, &bytes) { Ok(bytes) } else { Err(GitError::Tampered { id: id.to_string() }) }
    }

    /// What a tree holds; each is read and checked once, as far as the memory for them goes.
    fn list(&self, id: &Id, path: &Utf8Path) -> Result<Arc<Tree>, GitError> {
        if let Some(tree) = lock(&self.trees).get(id) {
            return Ok(tree);
        }
        let bytes = self.object(id, Kind::Tree, path, 64 << 20)?;
        let tree = Arc::new(Tree::new(object::entries(id, &bytes)?));
        lock(&self.trees).keep(id, &tree, bytes.len());
        Ok(tree)
    }

    /// What stands at `path` of a commit. What is reached through a link or another repository is refused.
    pub fn entry(&self, commit: &Commit, path: &Utf8Path) -> Result<Option<Entry>, GitError> {
        let mut at = Entry { path: path.to_owned(), kind: EntryKind::Folder, id: commit.tree.clone() };
        for part in path.components().filter(|part| *part != Utf8Component::CurDir) {
            match at.kind {
                EntryKind::Folder => {}
                EntryKind::File { .. } => return Ok(None),
                EntryKind::Link | EntryKind::Submodule => return Err(at.not_followed()),
            }
            let tree = self.list(&at.id, path)?;
            let Some(next) = tree.find(part.as_str()) else {
                return Ok(None);
            };
            at = Entry { kind: next.kind.clone(), id: next.id.clone(), ..at };
        }
        Ok(Some(at))
    }

    /// The first of these files of a commit, from its top, to which a checkout may give other characters than the
    /// commit has: an attribute in the commit says so.
    pub fn reencoded<'p>(
        &self,
        commit: &Commit,
        files: impl Iterator<Item = &'p Utf8Path>,
    ) -> Result<Option<Reencoded>, GitError> {
        let mut known = lock(&self.encodings);
        let known = match known.entry(commit.tree.clone()) {
            hash_map::Entry::Occupied(found) => found.into_mut(),
            hash_map::Entry::Vacant(free) => {
                let mut macros = HashSet::new();
                for (by, id) in self.attributes(commit, Utf8Path::new(""))? {
                    macros.extend(attributes::macros(&self.object(&id, Kind::Blob, &by, MOST_ATTRIBUTES)?));
                }
                free.insert(Encodings { macros, ..Encodings::default() })
            }
        };
        // Files come folder by folder: what covers a folder is looked up once for all of them.
        let mut last = None;
        for file in files {
            let folder = file.parent().unwrap_or(Utf8Path::new(""));
            let covering = match last.take() {
                Some((of, covering)) if of == folder => covering,
                _ => self.covering(commit, folder, known)?,
            };
            if !covering.is_empty() {
                let name = file.file_name().unwrap_or_default().to_ascii_lowercase();
                if let Some((by, encoding)) = covering.iter().find(|(_, it)| it.may_cover(name.as_bytes())) {
                    return Ok(Some(Reencoded {
                        file: file.to_owned(),
                        by: by.clone(),
                        line: encoding.line,
                    }));
                }
            }
            last = Some((folder, covering));
        }
        Ok(None)
    }

    /// What the `.gitattributes` of a folder and of all above it say of encodings.
    fn covering(
        &self,
        commit: &Commit,
        folder: &Utf8Path,
        known: &mut Encodings,
    ) -> Result<Arc<Vec<(Utf8PathBuf, attributes::Encoding)>>, GitError> {
        let unknown: Vec<&Utf8Path> =
            folder.ancestors().take_while(|it| !known.covering.contains_key(*it)).collect();
        let nearest = folder.ancestors().nth(unknown.len());
        let mut covering = nearest.and_then(|it| known.covering.get(it)).cloned().unwrap_or_default();
        for folder in unknown.into_iter().rev() {
            let own = self.encodings(commit, folder, known)?;
            if !own.is_empty() {
                covering = Arc::new(attributes::bounded([covering.as_slice(), own].concat()));
            }
            known.covering.insert(folder.to_owned(), Arc::clone(&covering));
        }
        Ok(covering)
    }

    /// What the `.gitattributes` of a folder say of encodings.
    fn encodings<'k>(
        &self,
        commit: &Commit,
        folder: &Utf8Path,
        known: &'k mut Encodings,
    ) -> Result<&'k [(Utf8PathBuf, attributes::Encoding)], GitError> {
        let alike: String =
            folder.iter().flat_map(|part| [attributes::folded(part), "/".to_owned()]).collect();
        if !known.of_folders.contains_key(&alike) {
            let mut all = Vec::new();
            for (by, id) in self.attributes(commit, folder)? {
                if !known.of_texts.contains_key(&id) {
                    let text = self.object(&id, Kind::Blob, &by, MOST_ATTRIBUTES)?;
                    known.of_texts.insert(id.clone(), attributes::encodings(&text, &known.macros));
                }
                let of_text = known.of_texts.get(&id).into_iter().flatten();
                all.extend(of_text.map(|encoding| (by.clone(), encoding.clone())));
            }
            known.of_folders.insert(alike.clone(), attributes::bounded(all));
        }
        Ok(known.of_folders.get(&alike).map_or(&[], Vec::as_slice))
    }

    /// What a file system could take for the `.gitattributes` of a folder, also where it takes one folder for another.
    /// A link is read like a file, as git does at a clone.
    fn attributes(&self, commit: &Commit, folder: &Utf8Path) -> Result<Vec<(Utf8PathBuf, Id)>, GitError> {
        let mut folders = vec![(commit.tree.clone(), Utf8PathBuf::new())];
        for part in folder.components().filter(|part| *part != Utf8Component::CurDir) {
            let (mut below, mut seen) = (Vec::new(), HashSet::new());
            for (tree, path) in &folders {
                let tree = self.list(tree, path)?;
                let alike = tree.alike(part.as_str()).filter(|entry| entry.kind == EntryKind::Folder);
                // The same folder under many names is read once.
                let new = alike.filter(|entry| seen.insert(entry.id.clone()));
                below.extend(new.map(|entry| (entry.id.clone(), path.join(&entry.name))));
            }
            folders = below;
        }
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for (tree, path) in &folders {
            for entry in self.list(tree, path)?.attributes() {
                let by = path.join(&entry.name);
                let is_text = matches!(entry.kind, EntryKind::File { .. } | EntryKind::Link);
                if is_text && seen.insert(entry.id.clone()) {
                    found.push((by, entry.id.clone()));
                }
            }
        }
        Ok(found)
    }

    /// The bytes of an entry: of a file, or the text of a link.
    pub fn read(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, GitError> {
        self.object(&entry.id, Kind::Blob, &entry.path, limit)
    }

    /// The SHA-256 and the size of a file; one that several commits or folders have is read once.
    pub fn digest(&self, entry: &Entry, limit: u64) -> Result<([u8; 32], u64), GitError> {
        if let Some(known) = lock(&self.digests).get(&entry.id) {
            return Ok(*known);
        }
        let bytes = self.read(entry, limit)?;
        let found = (Sha256::digest(&bytes).into(), bytes.len() as u64);
        lock(&self.digests).insert(entry.id.clone(), found);
        Ok(found)
    }

    /// Everything but folders below a folder of a commit that `keep` wants, sorted; nothing where there is no such folder.
    /// At most `most` entries are looked at.
    pub fn walk(
        &self,
        commit: &Commit,
        folder: &Utf8Path,
        most: usize,
        mut keep: impl FnMut(&Utf8Path) -> bool,
    ) -> Result<Option<Vec<Entry>>, GitError> {
        let id = match self.entry(commit, folder)? {
            None | Some(Entry { kind: EntryKind::File { .. }, .. }) => return Ok(None),
            Some(Entry { kind: EntryKind::Folder, id, .. }) => id,
            Some(other) => return Err(other.not_followed()),
        };
        let (mut found, mut seen, mut names) = (Vec::new(), 0, 0);
        let mut folders = vec![(id, Utf8PathBuf::new(), 0)];
        while let Some((tree, path, depth)) = folders.pop() {
            let entries = self.list(&tree, &path)?;
            seen += entries.all().len();
            let walked = self.walked.fetch_add(entries.all().len(), Ordering::Relaxed);
            if seen > most || walked > MOST_WALKED || depth > DEPTH {
                return Err(GitError::TooMany(most));
            }
            for TreeEntry { name, kind, id } in entries.all() {
                let (path, kind, id) = (path.join(name), kind.clone(), id.clone());
                if path.as_str().len() > LONGEST_PATH {
                    return Err(GitError::Malformed {
                        id: tree.to_string(),
                        problem: "a path in it is longer than 4096 bytes",
                    });
                }
                if kind == EntryKind::Folder {
                    folders.push((id, path, depth + 1));
                } else if keep(&path) {
                    names += path.as_str().len();
                    if names > MOST_NAMES {
                        return Err(GitError::TooMany(found.len()));
                    }
                    if path.as_str().contains(char::REPLACEMENT_CHARACTER) {
                        return Err(GitError::Malformed {
                            id: tree.to_string(),
                            problem: "a name in it is not UTF-8",
                        });
                    }
                    found.push(Entry { path, kind, id });
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Some(found))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// The name of the object: for a submodule, the commit that is checked out there.
    #[must_use]
    pub fn object(&self) -> String {
        self.id.to_string()
    }

    fn not_followed(&self) -> GitError {
        let what = if self.kind == EntryKind::Link { "a symbolic link" } else { "another repository" };
        GitError::NotFollowed { path: self.path.clone(), what }
    }
}

impl Commit {
    /// The whole name of the commit.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The first twelve characters of the commit's name: no repository has two that begin so.
    #[must_use]
    pub fn short(&self) -> String {
        self.id.to_string().chars().take(12).collect()
    }
}

#[cfg(test)]
mod tests;
