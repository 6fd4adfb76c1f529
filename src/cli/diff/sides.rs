//! What the two sides of a comparison are.

use super::files::{Files, Scope};
use crate::cli::failure::{Failure, fail};
use crate::cli::folders::{absolute, here, real};
use crate::git::Repository;
use crate::plan::layout::normal;
use crate::render::paths;
use crate::review::folder_of_tree;
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use std::sync::Arc;

/// One side: files, and which of them count.
#[derive(Debug)]
pub(super) struct Side {
    /// What it is called.
    pub(super) name: String,
    pub(super) files: Files,
    pub(super) scope: Scope,
    /// It stands for whatever part of a repository the other side names.
    whole: bool,
}

const NO_REPOSITORY: Failure = Failure::fixed(
    "no-repository",
    "there is no git repository in this folder or above it; name two files or folders",
);
const HEAD: &str = "HEAD";
const WORKING_TREE: &str = "the working tree";

impl Side {
    /// A path that a person names, from the top of the side.
    pub(super) fn path_of(&self, path: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
        let top = match &self.files {
            Files::Commit { repository, .. } => repository.top(),
            Files::Disk { top, .. } => top,
        };
        let full = normal(&here()?.join(path));
        let below = full.strip_prefix(top).map(Utf8Path::to_owned);
        below.with_context(|| format!("{path} does not lie in {top}"))
    }

    fn commit(repository: &Arc<Repository>, revision: &str) -> anyhow::Result<Self> {
        let commit = repository.commit(revision)?;
        let files = Files::Commit { repository: Arc::clone(repository), commit };
        Ok(Self { name: revision.to_owned(), files, scope: Scope::All(Utf8PathBuf::new()), whole: true })
    }

    fn working_tree(repository: &Arc<Repository>) -> Self {
        let (top, repository) = (repository.top().to_owned(), Some(Arc::clone(repository)));
        let files = Files::Disk { top, repository, compared_with: None };
        Self { name: WORKING_TREE.to_owned(), files, scope: Scope::All(Utf8PathBuf::new()), whole: true }
    }

    /// A file or folder on the disk.
    fn disk(argument: &str) -> anyhow::Result<Self> {
        let given = absolute(Utf8Path::new(argument))?;
        // The last part is not followed: a link there is refused.
        let path = match (given.parent(), given.file_name()) {
            (Some(parent), Some(name)) => real(parent).join(name),
            _ => real(&given),
        };
        ensure!(!path.is_symlink(), "{argument} is a symbolic link; name what it leads to");
        let (is_folder, is_tree) = (path.is_dir(), path.join(paths::LOCK).exists());
        let parent = path.parent().unwrap_or(&path);
        let repository = Repository::find(if is_folder { &path } else { parent }).map(Arc::new);
        let top = match &repository {
            Some(repository) => repository.top().to_owned(),
            None if is_tree => folder_of_tree(&path),
            None if is_folder => path.clone(),
            None => parent.to_owned(),
        };
        let below = path.strip_prefix(&top).unwrap_or(&path).to_owned();
        let scope = match (is_folder, is_tree) {
            (true, true) => Scope::Tree(below),
            (true, false) => Scope::All(below),
            (false, _) => Scope::Manifest(below),
        };
        let files = Files::Disk { top, repository, compared_with: None };
        Ok(Self { name: argument.to_owned(), files, scope, whole: false })
    }

    /// The same part of this side, where it stands for the whole of a repository.
    fn narrow_to(&mut self, other: &Self) {
        let top = |side: &Self| side.files.repository().map(|repository| repository.top().to_owned());
        if top(self).is_none() || top(self) != top(other) {
            return;
        }
        if self.whole {
            self.scope = other.scope.clone();
        }
        if let (Files::Disk { compared_with, .. }, Files::Commit { commit, .. }) =
            (&mut self.files, &other.files)
        {
            *compared_with = Some(commit.clone());
        }
    }
}

/// The two sides that the arguments name.
pub(super) fn resolve(old: Option<&str>, new: Option<&str>) -> anyhow::Result<(Side, Side)> {
    let here = Repository::find(&here()?).map(Arc::new);
    let needed = || here.as_ref().context(NO_REPOSITORY);
    let (mut old, mut new) = match (old, new) {
        (None, _) => (Side::commit(needed()?, HEAD)?, Side::working_tree(needed()?)),
        (Some(range), None) if is_range(range) => {
            require_no_path(range)?;
            range_of(needed()?, range)?
        }
        (Some(one), None) => match side(one, here.as_ref())? {
            // A file alone is asked about as the working tree is.
            file @ Side { files: Files::Disk { .. }, .. } => {
                let Some(repository) = file.files.repository().cloned() else {
                    fail!("no-repository", "{one} is not in a git repository; name what it is compared with");
                };
                (Side::commit(&repository, HEAD)?, file)
            }
            commit => (commit, Side::working_tree(needed()?)),
        },
        (Some(range), Some(path)) if is_range(range) => {
            bail!(
                "{range} names both sides; what limits the comparison comes after `--`: bottle diff {range} -- {path}"
            )
        }
        (Some(old), Some(new)) => (side(old, here.as_ref())?, side(new, here.as_ref())?),
    };
    old.narrow_to(&new);
    new.narrow_to(&old);
    if old.scope.is_one() != new.scope.is_one() {
        let (one, many) = if old.scope.is_one() { (old, new) } else { (new, old) };
        bail!("{} is one bottle, and {} is a folder of them; compare one with one", one.name, many.name);
    }
    Ok((old, new))
}

/// `A..B`, `..B`, `origin/main...HEAD`; what begins like a path is one.
fn is_range(argument: &str) -> bool {
    argument.contains("..") && !begins_like_a_path(argument) && !argument.trim_matches('.').is_empty()
}

fn begins_like_a_path(argument: &str) -> bool {
    ["./", "../", "/"].iter().any(|start| argument.starts_with(start)) || [".", ".."].contains(&argument)
}

/// A checkout can hold a file or folder of any name, that of a range or of a revision too.
fn require_no_path(argument: &str) -> anyhow::Result<()> {
    ensure!(
        !exists(argument),
        "{argument} reads as revisions, and a file or folder here has that name; write ./{argument} for the path, full \
         names of refs or ids of commits for the revisions, and look at who put it there"
    );
    Ok(())
}

fn exists(argument: &str) -> bool {
    Utf8Path::new(argument).symlink_metadata().is_ok()
}

/// `A..B`, and `A...B` from where B left A; what is missing is HEAD.
fn range_of(repository: &Arc<Repository>, range: &str) -> anyhow::Result<(Side, Side)> {
    let or_head = |name: &str| if name.is_empty() { HEAD.to_owned() } else { name.to_owned() };
    if let Some((old, new)) = range.split_once("...") {
        let (old, new) = (or_head(old), or_head(new));
        let new_side = Side::commit(repository, &new)?;
        let base = repository.merge_base(&repository.commit(&old)?, &repository.commit(&new)?)?;
        let name = format!("{} (where {new} left {old})", base.short());
        let files = Files::Commit { repository: Arc::clone(repository), commit: base };
        return Ok((Side { name, files, scope: Scope::All(Utf8PathBuf::new()), whole: true }, new_side));
    }
    let (old, new) = range.split_once("..").unwrap_or((range, ""));
    Ok((Side::commit(repository, &or_head(old))?, Side::commit(repository, &or_head(new))?))
}

/// A path, or a revision; what could be both is asked about.
fn side(argument: &str, here: Option<&Arc<Repository>>) -> anyhow::Result<Side> {
    if argument.contains(char::is_control) {
        bail!("{} holds a control character", crate::printable::printable_name(argument));
    }
    let is_path = exists(argument);
    if is_path && begins_like_a_path(argument) {
        return Side::disk(argument);
    }
    let Some(repository) = here else {
        if is_path {
            return Side::disk(argument);
        }
        fail!(
            "no-repository",
            "{argument} is not a file or folder, and this folder is not in a git repository"
        );
    };
    let in_revision = argument.split_once(':').filter(|(revision, _)| !revision.is_empty());
    if is_path {
        let revision = in_revision.map_or(argument, |(revision, _)| revision);
        if is_range(argument) || repository.commit(revision).is_ok() {
            require_no_path(argument)?;
        }
        return Side::disk(argument);
    }
    if let Some((revision, path)) = in_revision {
        let mut side = Side::commit(repository, revision)?;
        side.scope = side.files.scope_of(path, &self::here()?)?;
        argument.clone_into(&mut side.name);
        side.whole = false;
        return Ok(side);
    }
    let missing = || {
        Failure::new("bad-revision", format!("{argument} is neither a file or folder here nor a revision"))
    };
    Side::commit(repository, argument).with_context(missing)
}
