//! The files of one side: those of a commit, or those of the disk. Both may be an agent's.

use crate::cli::{certificates, say, source};
use crate::consent::Context;
use crate::git::{self, Commit, Repository};
use crate::manifest::{LARGEST, Loaded, Manifest};
use crate::plan::layout::normal;
use crate::plan::{AgentImage, Layout, Plan, Surroundings};
use crate::printable::printable_name;
use crate::render::{self, Tree, paths};
use crate::review::{Parts, ROOT, Version, folder_of_tree};
use crate::tree::{self, Folder};
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a side's files are.
#[derive(Debug)]
pub(super) enum Files {
    /// In a commit.
    Commit { repository: Arc<Repository>, commit: Commit },
    /// Below a folder; in a repository, that of its work tree.
    Disk { top: Utf8PathBuf, repository: Option<Arc<Repository>> },
}

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
const LARGEST_RENDERED: u64 = 16 << 20;

impl Files {
    pub(super) fn repository(&self) -> Option<&Arc<Repository>> {
        match self {
            Self::Commit { repository, .. } => Some(repository),
            Self::Disk { repository, .. } => repository.as_ref(),
        }
    }

    /// What comes before a path where it is shown.
    fn prefix(&self) -> String {
        match self {
            Self::Commit { commit, .. } => format!("{}:", commit.revision),
            Self::Disk { .. } => String::new(),
        }
    }

    /// What a path of a commit is.
    pub(super) fn scope_of(&self, path: &Utf8Path) -> anyhow::Result<Scope> {
        let Self::Commit { repository, commit } = self else { bail!("{path} is not in a commit") };
        let found = repository.entry(commit, path)?.map(|entry| entry.found);
        let path = path.to_owned();
        match found {
            Some(git::Found::Folder) if repository.entry(commit, &path.join(paths::LOCK))?.is_some() => {
                Ok(Scope::Tree(path))
            }
            Some(git::Found::Folder) => Ok(Scope::All(path)),
            Some(_) => Ok(Scope::Manifest(path)),
            None => bail!("{} has no {}", commit.revision, printable_name(path.as_str())),
        }
    }

    /// The bottles of a scope, each with what it is paired by.
    pub(super) fn bottles(
        &self,
        scope: &Scope,
        only: &[Utf8PathBuf],
    ) -> anyhow::Result<Vec<(Utf8PathBuf, Bottle)>> {
        let wanted =
            |path: &Utf8Path| only.is_empty() || only.iter().any(|only| path.starts_with(normal(only)));
        let one = |bottle: Bottle| vec![(Utf8PathBuf::new(), bottle)];
        match scope {
            Scope::All(folder) => {
                let found = self.manifests(folder)?.into_iter();
                let key = |path: &Utf8Path| path.strip_prefix(folder).unwrap_or(path).to_owned();
                Ok(found
                    .filter(|path| wanted(path))
                    .map(|path| (key(&path), Bottle::Manifest(path)))
                    .collect())
            }
            Scope::Manifest(path) if !self.has(path)? => Ok(Vec::new()),
            Scope::Manifest(path) => Ok(one(Bottle::Manifest(path.clone()))),
            Scope::Tree(path) if self.tree(path)?.is_none() => Ok(Vec::new()),
            Scope::Tree(path) => Ok(one(Bottle::Tree(path.clone()))),
        }
    }

    fn has(&self, path: &Utf8Path) -> anyhow::Result<bool> {
        match self {
            Self::Commit { repository, commit } => Ok(repository.entry(commit, path)?.is_some()),
            Self::Disk { top, .. } => Ok(top.join(path).symlink_metadata().is_ok()),
        }
    }

    /// Every manifest below a folder, whatever has its name.
    fn manifests(&self, folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
        match self {
            Self::Commit { repository, commit } => {
                let found = repository.walk(commit, folder, source::is_manifest)?.unwrap_or_default();
                Ok(found.into_iter().map(|entry| folder.join(entry.path)).collect())
            }
            Self::Disk { top, repository } => {
                let found = on_disk(&top.join(folder))?.into_iter();
                let mut found: Vec<Utf8PathBuf> =
                    found.filter_map(|path| path.strip_prefix(top).ok().map(Utf8Path::to_owned)).collect();
                if let Some(repository) = repository {
                    leave_out_ignored(repository, &mut found)?;
                }
                Ok(found)
            }
        }
    }

    /// The bytes of a plain file; nothing where there is none. A link is refused.
    fn read(&self, path: &Utf8Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Commit { repository, commit } => {
                let shown = || format!("{}{}", self.prefix(), printable_name(path.as_str()));
                let Some(entry) = repository.entry(commit, path)? else { return Ok(None) };
                match entry.found {
                    git::Found::File { .. } => Ok(Some(repository.read(&entry, limit).with_context(shown)?)),
                    git::Found::Link => bail!("{} is a symbolic link, which bottle does not follow", shown()),
                    _ => bail!("{} is no file", shown()),
                }
            }
            Self::Disk { top, .. } => {
                let parent = path.parent().unwrap_or(Utf8Path::new(""));
                let Some(folder) = Folder::open(top)?.find(parent)? else { return Ok(None) };
                let name = path.file_name().with_context(|| format!("{path} is no file"))?;
                Ok(folder.read_at_most(name, limit)?)
            }
        }
    }

    /// The rendered files in a folder; nothing where it is not there.
    fn tree(&self, folder: &Utf8Path) -> anyhow::Result<Option<Tree>> {
        let tree = match self {
            Self::Commit { repository, commit } => {
                let Some(entries) = repository.walk(commit, folder, |_| true)? else { return Ok(None) };
                let mut tree = Tree::new();
                for entry in entries {
                    let path = folder.join(&entry.path);
                    let bytes = self.read(&path, LARGEST_RENDERED)?.unwrap_or_default();
                    tree.insert(entry.path, bytes);
                }
                tree
            }
            Self::Disk { top, .. } => match Folder::open(top)?.find(folder)? {
                Some(folder) => tree::read(&folder)?,
                None => return Ok(None),
            },
        };
        Ok((!tree.is_empty()).then_some(tree))
    }

    /// What an image is built from; nothing where it lies outside of this side, or is not there.
    fn context(&self, plan: &Plan, folder: &Utf8Path) -> anyhow::Result<Option<Context>> {
        let AgentImage::Built(build) = &plan.agent.image else { return Ok(None) };
        let root = normal(&folder.join(&build.context));
        if root.is_absolute() || root.starts_with("..") {
            return Ok(None);
        }
        let dockerfile = build.dockerfile.clone().unwrap_or_else(|| "Dockerfile".into());
        if !self.has(&root.join(&dockerfile))? {
            return Ok(None);
        }
        match self {
            Self::Commit { repository, commit } => {
                let entries = repository.walk(commit, &root, |_| true)?.unwrap_or_default();
                let executable = |found: &git::Found| match found {
                    git::Found::File { executable } => Some(*executable),
                    _ => None,
                };
                let files: BTreeMap<Utf8PathBuf, Option<bool>> =
                    entries.iter().map(|entry| (entry.path.clone(), executable(&entry.found))).collect();
                let entries: BTreeMap<&Utf8Path, &git::Entry> =
                    entries.iter().map(|entry| (entry.path.as_path(), entry)).collect();
                let read = |path: &Utf8Path| match entries.get(path) {
                    Some(entry) => Ok(repository.read(entry, LARGEST_FILE)?),
                    None => bail!("{path} is not in the build context"),
                };
                let name = Utf8PathBuf::from(format!("{}{root}", self.prefix()));
                Ok(Some(Context::from_files(&name, &dockerfile, &files, read)?))
            }
            Self::Disk { top, .. } => {
                let Some(folder) = Folder::open(top)?.find(&root)? else { return Ok(None) };
                Ok(Some(Context::read(&folder, &dockerfile)?.without_empty_folders()))
            }
        }
    }

    /// The certificates that a manifest names: from this side, or from the machine where they lie outside of it.
    fn extra_ca(&self, folder: &Utf8Path, file: &Utf8Path) -> anyhow::Result<String> {
        let path = normal(&folder.join(file));
        if path.is_absolute() || path.starts_with("..") {
            let top = self.repository().map_or(Utf8Path::new("/"), |repository| repository.top());
            return certificates::read(&top.join(folder), file);
        }
        let bytes = self.read(&path, LARGEST as u64)?;
        let bytes =
            bytes.with_context(|| format!("`pipelock.extra_ca`: there is no {}{path}", self.prefix()))?;
        String::from_utf8(bytes).with_context(|| format!("`pipelock.extra_ca`: {path}"))
    }

    /// Reads and resolves one bottle.
    pub(super) fn version(&self, key: Utf8PathBuf, bottle: Bottle) -> anyhow::Result<Version> {
        let side = self.prefix();
        let parts = match bottle {
            Bottle::Manifest(path) => {
                let shown = format!("{side}{path}");
                ensure!(
                    !shown.contains(char::is_control),
                    "the name {} holds a control character; rename it",
                    printable_name(&shown)
                );
                let text = self.read(&path, LARGEST as u64)?.with_context(|| format!("{shown} is gone"))?;
                let loaded = Manifest::load(&shown, &text)?;
                let folder = path.parent().unwrap_or(Utf8Path::new("")).to_owned();
                let plan = self.plan(&loaded, &folder)?;
                let committed = self.tree(&folder.join(".bottle").join(&plan.name))?;
                let context = self.context(&plan, &folder)?;
                Parts { key, path, side, loaded: Some(loaded), plan, context, committed }
            }
            Bottle::Tree(path) => {
                let folder = folder_of_tree(&path);
                let at = |path: &Utf8Path| Utf8Path::new(ROOT).join(path);
                let layout = Layout::between(&at(&folder), &at(&path));
                let tree = self.tree(&path)?.with_context(|| format!("{side}{path} is gone"))?;
                let plan = render::exactly(&tree, &layout).with_context(|| format!("{side}{path}"))?;
                let context = self.context(&plan, &folder)?;
                Parts { key, path, side, loaded: None, plan, context, committed: None }
            }
        };
        Ok(Version::new(parts)?)
    }

    fn plan(&self, loaded: &Loaded, folder: &Utf8Path) -> anyhow::Result<Plan> {
        let extra_ca = loaded.manifest.pipelock.extra_ca.as_ref();
        let extra_ca = extra_ca.map(|file| self.extra_ca(folder, file)).transpose()?;
        let layout = Layout::beside(&loaded.manifest.name);
        Ok(Plan::resolve_loaded(loaded, &Surroundings { layout, extra_ca })?)
    }
}

/// What a bottle is read from.
#[derive(Debug)]
pub(super) enum Bottle {
    /// A manifest.
    Manifest(Utf8PathBuf),
    /// The folder of a rendered tree.
    Tree(Utf8PathBuf),
}

/// Every manifest below a folder, in no other repository that lies in it. Links are not followed.
fn on_disk(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let entries = match fs_err::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if at == folder => return Err(error.into()),
            Err(error) => {
                say(&format!("note: manifests are not looked for in a folder that can't be read: {error}\n"));
                continue;
            }
        };
        // A name that is not UTF-8 is no manifest's, and no path that could be shown.
        let entries = entries.filter_map(|entry| Utf8PathBuf::from_path_buf(entry.ok()?.path()).ok());
        for path in entries {
            let Ok(kind) = path.symlink_metadata() else { continue };
            let is_other = |path: &Utf8Path| path.join(".git").symlink_metadata().is_ok();
            if kind.is_dir() && path.file_name() != Some(".git") && !is_other(&path) {
                folders.push(path);
            } else if !kind.is_dir() && source::is_manifest(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What git leaves out of commits is not reviewed; it is said.
fn leave_out_ignored(repository: &Repository, manifests: &mut Vec<Utf8PathBuf>) -> anyhow::Result<()> {
    let mut ignored = repository.ignored(manifests)?.into_iter();
    manifests.retain(|path| {
        let ignored = ignored.next().unwrap_or(false);
        if ignored {
            say(&format!("note: git ignores {}, so it is left out\n", printable_name(path.as_str())));
        }
        !ignored
    });
    Ok(())
}
