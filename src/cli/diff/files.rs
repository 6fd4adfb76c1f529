//! The files of one side: those of a commit, or those of the disk. Both may be an agent's.

use crate::cli::{named_file, say, source};
use crate::consent::Context;
use crate::git::{self, Commit, Repository};
use crate::lock::{self, Lock};
use crate::manifest::{LARGEST, Loaded, Manifest};
use crate::plan::layout::normal;
use crate::plan::{AgentImage, Layout, Plan, Surroundings};
use crate::printable::printable_name;
use crate::render::{self, Tree, paths};
use crate::review::{BottleSide, ROOT, SideParts, folder_of_tree};
use crate::tree::{self, Folder};
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a side's files are.
#[derive(Debug)]
pub(super) enum Files {
    /// In a commit.
    Commit { repository: Arc<Repository>, commit: Commit },
    /// Below a folder; in a repository, that of its work tree.
    Disk {
        top: Utf8PathBuf,
        repository: Option<Arc<Repository>>,
        /// What the other side is, where it is a commit of this repository.
        compared_with: Option<Commit>,
    },
}

/// The bottles of one side, at most: a commit of a few hundred bytes can have any number of manifests.
const MOST_BOTTLES: usize = 5_000;

/// Which bottles of a side are meant; the paths are from the side's top.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Every manifest below a folder.
    All(Utf8PathBuf),
    /// One manifest.
    Manifest(Utf8PathBuf),
    /// One rendered tree.
    Tree(Utf8PathBuf),
}

impl Scope {
    /// Whether it is one bottle, wherever it lies.
    pub(super) fn is_one(&self) -> bool {
        !matches!(self, Self::All(_))
    }
}

/// A file of a build context, and a rendered file, are read up to this size, in bytes.
const LARGEST_FILE: u64 = 512 << 20;

/// Entries of a build context that are looked at, at most: as many as on a disk.
const MOST_LOOKED_AT: usize = 400_000;
const LARGEST_RENDERED: u64 = 16 << 20;

/// A bottle, with what it is paired by.
pub(super) type Keyed = (Utf8PathBuf, BottleSource);

impl Files {
    pub(super) fn repository(&self) -> Option<&Arc<Repository>> {
        match self {
            Self::Commit { repository, .. } => Some(repository),
            Self::Disk { repository, .. } => repository.as_ref(),
        }
    }

    /// What comes before a path where it is shown.
    pub(super) fn prefix(&self) -> String {
        match self {
            Self::Commit { commit, .. } => format!("{}:", commit.revision),
            Self::Disk { .. } => String::new(),
        }
    }

    /// What a path of a commit is; `here` is the current folder, for a path that begins with a dot.
    pub(super) fn scope_of(&self, path: &str, here: &Utf8Path) -> anyhow::Result<Scope> {
        let Self::Commit { repository, commit } = self else { bail!("{path} is not in a commit") };
        let below = here.strip_prefix(repository.top()).unwrap_or(Utf8Path::new(""));
        let path = if path.starts_with('.') { below.join(path) } else { Utf8PathBuf::from(path) };
        let path = from_top(&path);
        match repository.entry(commit, &path)?.map(|entry| entry.kind) {
            Some(git::EntryKind::Folder) if repository.entry(commit, &path.join(paths::LOCK))?.is_some() => {
                Ok(Scope::Tree(path))
            }
            Some(git::EntryKind::Folder) => Ok(Scope::All(path)),
            Some(_) => Ok(Scope::Manifest(path)),
            None => bail!("{} has no {}", commit.revision, printable_name(path.as_str())),
        }
    }

    /// The bottles of a scope at or below `only`, each with what it is paired by.
    pub(super) fn bottles(&self, scope: &Scope, only: &[Utf8PathBuf]) -> anyhow::Result<Vec<Keyed>> {
        let wanted = |path: &Utf8Path| only.is_empty() || only.iter().any(|only| path.starts_with(only));
        let one = |path: &Utf8Path, source: BottleSource| {
            let found = wanted(path).then(|| (Utf8PathBuf::new(), source));
            Ok(found.into_iter().collect())
        };
        match scope {
            Scope::All(folder) => {
                let (found, notes) = self.all(folder, source::is_manifest)?;
                for note in &notes {
                    say(note);
                }
                let found = found.into_iter();
                let key = |path: &Utf8Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
                let found: Vec<Utf8PathBuf> = found.filter(|path| wanted(path)).collect();
                ensure!(
                    found.len() <= MOST_BOTTLES,
                    "there are {} manifests, and at most {MOST_BOTTLES} are compared; name a folder of them: \
                     bottle diff OLD NEW -- FOLDER",
                    found.len()
                );
                let found = found.into_iter();
                Ok(found.map(|path| (key(&path), BottleSource::Manifest(path))).collect())
            }
            Scope::Manifest(path) if self.has(path)? => one(path, BottleSource::Manifest(path.clone())),
            Scope::Tree(path) if self.tree(path)?.is_some() => one(path, BottleSource::Tree(path.clone())),
            Scope::Manifest(_) | Scope::Tree(_) => Ok(Vec::new()),
        }
    }

    /// The folders of the rendered trees below a folder, each in a `.bottle`.
    pub(super) fn trees(&self, folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
        let out = |file: &Utf8Path| {
            let out = file.parent()?;
            (out.parent()?.file_name() == Some(".bottle")).then(|| out.to_owned())
        };
        let is_tree = |path: &Utf8Path| path.file_name() == Some(paths::COMPOSE) && out(path).is_some();
        let (found, _) = self.all(folder, is_tree)?; // what is left out was said with the manifests
        Ok(found.iter().filter_map(|file| out(file)).collect())
    }

    fn has(&self, path: &Utf8Path) -> anyhow::Result<bool> {
        match self {
            Self::Commit { repository, commit } => Ok(repository.entry(commit, path)?.is_some()),
            Self::Disk { top, .. } => Ok(top.join(path).symlink_metadata().is_ok()),
        }
    }

    /// Every file below a folder that `keep` wants, whatever it is, and what is to be said of what is left out.
    fn all(
        &self,
        folder: &Utf8Path,
        keep: impl Fn(&Utf8Path) -> bool,
    ) -> anyhow::Result<(Vec<Utf8PathBuf>, Vec<String>)> {
        match self {
            Self::Commit { repository, commit } => {
                let found = repository.walk(commit, folder, git::MOST, keep)?.unwrap_or_default();
                Ok((found.into_iter().map(|entry| folder.join(entry.path)).collect(), Vec::new()))
            }
            Self::Disk { top, repository, compared_with } => {
                let head = repository.as_ref().and_then(|repository| repository.commit("HEAD").ok());
                let commits: Vec<_> = head.iter().chain(compared_with).collect();
                let is_ours = |path: &Utf8Path| match repository {
                    Some(repository) => commits.iter().any(|commit| is_folder(repository, commit, path)),
                    None => false,
                };
                let (mut found, mut notes) = on_disk(top, folder, is_ours, keep)?;
                if let Some(repository) = repository {
                    leave_out_ignored(repository, &mut found, &mut notes)?;
                }
                Ok((found, notes))
            }
        }
    }

    /// The bytes of a plain file; nothing where there is none. A link is refused.
    fn read(&self, path: &Utf8Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Commit { repository, commit } => {
                let shown = || format!("{}{}", self.prefix(), printable_name(path.as_str()));
                let Some(entry) = repository.entry(commit, path)? else { return Ok(None) };
                match entry.kind {
                    git::EntryKind::File { .. } => {
                        Ok(Some(repository.read(&entry, limit).with_context(shown)?))
                    }
                    git::EntryKind::Link => {
                        bail!("{} is a symbolic link, which bottle does not follow", shown())
                    }
                    _ => bail!("{} is not a file", shown()),
                }
            }
            Self::Disk { top, .. } => {
                let parent = path.parent().unwrap_or(Utf8Path::new(""));
                let Some(folder) = Folder::open(top)?.find(parent)? else { return Ok(None) };
                let name = path.file_name().with_context(|| format!("{path} is not a file"))?;
                Ok(folder.read_at_most(name, limit)?)
            }
        }
    }

    /// Refuses files that a checkout would change: what is compared here is not what would be built or rendered.
    fn require_encoding<'p>(&self, files: impl Iterator<Item = &'p Utf8Path>) -> anyhow::Result<()> {
        let Self::Commit { repository, commit } = self else { return Ok(()) };
        let Some(git::Reencoded { file, by, line }) = repository.reencoded(commit, files)? else {
            return Ok(());
        };
        bail!(
            "{}{}: git gives this file another text at a checkout ({by}:{line}), so what \
             the commit has is not what would be used; remove the attribute for it",
            self.prefix(),
            printable_name(file.as_str()),
        );
    }

    /// The rendered files in a folder; nothing where it is not there. A link or another repository in it is refused.
    pub(super) fn tree(&self, folder: &Utf8Path) -> anyhow::Result<Option<Tree>> {
        let tree = match self {
            Self::Commit { repository, commit } => {
                let Some(entries) = repository.walk(commit, folder, git::MOST, |_| true)? else {
                    return Ok(None);
                };
                let mut tree = Tree::new();
                for entry in entries {
                    let shown =
                        || format!("{}{}", self.prefix(), printable_name(folder.join(&entry.path).as_str()));
                    ensure!(
                        matches!(entry.kind, git::EntryKind::File { .. }),
                        "{} is not a plain file, and `bottle render` writes nothing else",
                        shown()
                    );
                    let bytes = repository.read(&entry, LARGEST_RENDERED).with_context(shown)?;
                    tree.insert(entry.path, bytes);
                }
                let paths: Vec<Utf8PathBuf> = tree.keys().map(|path| folder.join(path)).collect();
                self.require_encoding(paths.iter().map(Utf8PathBuf::as_path))?;
                tree
            }
            Self::Disk { top, .. } => match Folder::open(top)?.find(folder)? {
                Some(folder) => tree::read(&folder)?,
                None => return Ok(None),
            },
        };
        Ok((!tree.is_empty()).then_some(tree))
    }

    /// What an image is built from, and the text of its Dockerfile; nothing where it lies outside of this side, or is not there.
    fn context(&self, plan: &Plan, folder: &Utf8Path) -> anyhow::Result<Option<(Context, Option<String>)>> {
        let AgentImage::Built(build) = &plan.agent.image else { return Ok(None) };
        let root = from_top(&folder.join(&build.context));
        if root.is_absolute() || root.starts_with("..") {
            return Ok(None);
        }
        let dockerfile = build.dockerfile.clone().unwrap_or_else(|| "Dockerfile".into());
        if !self.has(&root.join(&dockerfile))? {
            return Ok(None);
        }
        match self {
            Self::Commit { repository, commit } => {
                let entries = repository.walk(commit, &root, MOST_LOOKED_AT, |_| true)?.unwrap_or_default();
                let paths: Vec<Utf8PathBuf> = entries.iter().map(|entry| root.join(&entry.path)).collect();
                self.require_encoding(paths.iter().map(Utf8PathBuf::as_path))?;
                let executable = |kind: &git::EntryKind| match kind {
                    git::EntryKind::File { executable } => Some(*executable),
                    _ => None,
                };
                let files: BTreeMap<Utf8PathBuf, Option<bool>> =
                    entries.iter().map(|entry| (entry.path.clone(), executable(&entry.kind))).collect();
                let entries: BTreeMap<&Utf8Path, &git::Entry> =
                    entries.iter().map(|entry| (entry.path.as_path(), entry)).collect();
                let read = |path: &Utf8Path| match entries.get(path) {
                    // What is in it is not known here; another commit of it is another content.
                    Some(entry) if entry.kind == git::EntryKind::Submodule => Ok(entry.object().into_bytes()),
                    Some(entry) => Ok(repository.read(entry, LARGEST as u64)?),
                    None => bail!("{path} is not in the build context"),
                };
                let digest = |path: &Utf8Path| match entries.get(path) {
                    Some(entry) if matches!(entry.kind, git::EntryKind::File { .. }) => {
                        Ok(repository.digest(entry, LARGEST_FILE)?)
                    }
                    _ => bail!("{path} is not a file in the build context"),
                };
                let name = Utf8PathBuf::from(format!("{}{root}", self.prefix()));
                let text = self.read(&root.join(&dockerfile), LARGEST_RENDERED)?;
                let text = text.and_then(|text| String::from_utf8(text).ok());
                Ok(Some((Context::from_files(&name, &dockerfile, &files, read, digest)?, text)))
            }
            Self::Disk { top, .. } => {
                let Some(folder) = Folder::open(top)?.find(&root)? else { return Ok(None) };
                let context = Context::read(&folder, &dockerfile)?.without_empty_folders();
                let text = context.text(&folder, &dockerfile);
                Ok(Some((context, text)))
            }
        }
    }

    /// The certificates that a manifest names: from this side, or from the machine where they lie outside of it.
    fn extra_ca(&self, folder: &Utf8Path, file: &Utf8Path) -> anyhow::Result<String> {
        let place = || format!("`pipelock.extra_ca`: {file}");
        let bytes = self.named_file(folder, file, LARGEST as u64).with_context(place)?;
        String::from_utf8(bytes).with_context(place)
    }

    fn named_file(&self, folder: &Utf8Path, file: &Utf8Path, most: u64) -> anyhow::Result<Vec<u8>> {
        let path = normal(&folder.join(file));
        if path.is_absolute() || path.starts_with("..") {
            let top = match self {
                Self::Commit { repository, .. } => repository.top(),
                Self::Disk { top, .. } => top,
            };
            return named_file::read(&top.join(folder), file, most);
        }
        let bytes = self.read(&path, most)?;
        self.require_encoding([path.as_path()].into_iter())?;
        bytes.with_context(|| format!("there is no {}{path}", self.prefix()))
    }

    /// Reads and resolves one bottle.
    pub(super) fn load(&self, bottle: BottleSource) -> anyhow::Result<BottleSide> {
        let side = self.prefix();
        let parts = match bottle {
            BottleSource::Manifest(path) => {
                let shown = format!("{side}{path}");
                ensure!(
                    !shown.contains(char::is_control),
                    "the name {} holds a control character; rename it",
                    printable_name(&shown)
                );
                let text = self.read(&path, LARGEST as u64)?.with_context(|| format!("{shown} is gone"))?;
                self.require_encoding([path.as_path()].into_iter())?;
                let mut loaded = Manifest::load(&shown, &text)?;
                let folder = path.parent().unwrap_or(Utf8Path::new("")).to_owned();
                if let Some(lock) = self.lock(&folder)? {
                    lock.pin(&mut loaded.manifest);
                }
                let plan = self.plan(&loaded, &folder)?;
                let committed = self.tree(&folder.join(".bottle").join(&plan.name))?;
                let context = self.context(&plan, &folder)?;
                SideParts { path, side, loaded: Some(loaded), plan, context, committed }
            }
            BottleSource::Tree(path) => {
                let folder = folder_of_tree(&path);
                let at = |path: &Utf8Path| Utf8Path::new(ROOT).join(path);
                let layout = Layout::between(&at(&folder), &at(&path));
                let tree = self.tree(&path)?.with_context(|| format!("{side}{path} is gone"))?;
                let plan = render::exactly(&tree, &layout).with_context(|| format!("{side}{path}"))?;
                let context = self.context(&plan, &folder)?;
                SideParts { path, side, loaded: None, plan, context, committed: None }
            }
        };
        Ok(BottleSide::new(parts)?)
    }

    fn lock(&self, folder: &Utf8Path) -> anyhow::Result<Option<Lock>> {
        let file = folder.join(lock::FILE);
        let text = self.read(&file, lock::LARGEST)?;
        let shown = format!("{}{}", self.prefix(), printable_name(file.as_str()));
        if text.is_some() {
            self.require_encoding([file.as_path()].into_iter())?;
        }
        Ok(text.map(|text| Lock::parse(&shown, &text)).transpose()?)
    }

    fn plan(&self, loaded: &Loaded, folder: &Utf8Path) -> anyhow::Result<Plan> {
        let extra_ca = loaded.manifest.pipelock.extra_ca.as_ref();
        let extra_ca = extra_ca.map(|file| self.extra_ca(folder, file)).transpose()?;
        let read = |file: &Utf8Path, most: u64| self.named_file(folder, file, most);
        let push_rules = named_file::push_rules(&loaded.manifest, read)?;
        let layout = Layout::beside(&loaded.manifest.name);
        Ok(Plan::resolve_loaded(loaded, &Surroundings { layout, extra_ca, push_rules })?)
    }
}

/// What a bottle is read from.
#[derive(Clone, Debug)]
pub(super) enum BottleSource {
    /// A manifest.
    Manifest(Utf8PathBuf),
    /// The folder of a rendered tree.
    Tree(Utf8PathBuf),
}

/// A path without `.` and `..`; the top itself is empty.
fn from_top(path: &Utf8Path) -> Utf8PathBuf {
    let path = normal(path);
    if path == "." { Utf8PathBuf::new() } else { path }
}

fn is_folder(repository: &Repository, commit: &Commit, path: &Utf8Path) -> bool {
    let found = repository.entry(commit, path);
    found.is_ok_and(|entry| entry.is_some_and(|entry| entry.kind == git::EntryKind::Folder))
}

/// Every file below a folder that `keep` wants, from the top, in no other repository that lies in it. An agent can make
/// any folder look like one: what `is_ours` is none. Links are not followed.
fn on_disk(
    top: &Utf8Path,
    folder: &Utf8Path,
    is_ours: impl Fn(&Utf8Path) -> bool,
    keep: impl Fn(&Utf8Path) -> bool,
) -> anyhow::Result<(Vec<Utf8PathBuf>, Vec<String>)> {
    let mut notes = Vec::new();
    let start = top.join(folder);
    let is_other = |path: &Utf8Path| {
        path.join(".git").symlink_metadata().is_ok() && !is_ours(path.strip_prefix(top).unwrap_or(path))
    };
    let (mut found, mut seen, mut folders) = (Vec::new(), 0, vec![start.clone()]);
    while let Some(at) = folders.pop() {
        let entries = match fs_err::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if at == start => return Err(error.into()),
            Err(error) => {
                notes.push(format!("note: a folder that can't be read is left out: {error}\n"));
                continue;
            }
        };
        // A name that is not UTF-8 is no manifest's, and no path that could be shown.
        let entries = entries.filter_map(|entry| Utf8PathBuf::from_path_buf(entry.ok()?.path()).ok());
        for path in entries {
            seen += 1;
            ensure!(
                seen <= git::MOST,
                "{start} has more than {} folders and files; name a folder of it",
                git::MOST
            );
            let Ok(kind) = path.symlink_metadata() else { continue };
            if kind.is_dir() && path.file_name() != Some(".git") {
                if path == start || !is_other(&path) {
                    folders.push(path);
                } else {
                    let shown = printable_name(path.strip_prefix(top).unwrap_or(&path).as_str());
                    notes.push(format!("note: {shown} is another repository, so it is left out\n"));
                }
            } else if !kind.is_dir() && keep(&path) {
                found.extend(path.strip_prefix(top).ok().map(Utf8Path::to_owned));
            }
        }
    }
    found.sort();
    Ok((found, notes))
}

/// What git leaves out of commits is not reviewed; it is said.
fn leave_out_ignored(
    repository: &Repository,
    files: &mut Vec<Utf8PathBuf>,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let ignored: BTreeSet<Utf8PathBuf> = repository.ignored(files)?.into_iter().collect();
    files.retain(|path| !ignored.contains(path));
    let note = |path: &Utf8PathBuf| {
        format!("note: git ignores {}, so it is left out\n", printable_name(path.as_str()))
    };
    notes.extend(ignored.iter().map(note));
    Ok(())
}
