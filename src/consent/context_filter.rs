//! What decides about a build context before it is read: its Dockerfile and its ignore files.

use super::dockerignore::{Above, DockerIgnore};
use super::{ContextEntry, ContextError, Sha256Sum};
use crate::tree::{Entry, Folder};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The ignore files, and what is kept whatever they say.
#[derive(Debug, Default)]
pub(super) struct ContextFilter {
    ignores: Vec<DockerIgnore>,
    /// The Dockerfile and both ignore files, there or not.
    always: Vec<Utf8PathBuf>,
    /// The ignore files that were looked for, with what was read.
    read: Vec<(Utf8PathBuf, Option<Sha256Sum>)>,
    dockerfile: Option<Utf8PathBuf>,
}

/// What the ignore files say about one path.
pub(super) struct Verdict {
    /// The path is a part of the context.
    pub(super) kept: bool,
    /// It is not, but something below it may be.
    pub(super) entered: bool,
    /// For what is below it.
    pub(super) above: Vec<Above>,
}

impl ContextFilter {
    /// Reads the ignore files: the classic builder knows `.dockerignore`, and `BuildKit` prefers
    /// `DOCKERFILE.dockerignore`. `limit` is the size of each, in bytes.
    pub(super) fn read(root: &Folder, dockerfile: &Utf8Path, limit: u64) -> Result<Self, ContextError> {
        Self::parse(root.path(), dockerfile, |path| {
            let folder = root.find(path.parent().unwrap_or(Utf8Path::new("")))?;
            match (&folder, path.file_name()) {
                (Some(folder), Some(name)) => Ok(folder.read_at_most(name, limit)?),
                _ => Ok(None),
            }
        })
    }

    /// The same of ignore files that `read` has, by their path in the context; `root` is the context's name in errors.
    pub(super) fn parse<E: From<ContextError>>(
        root: &Utf8Path,
        dockerfile: &Utf8Path,
        mut read: impl FnMut(&Utf8Path) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let files = [Utf8PathBuf::from(".dockerignore"), format!("{dockerfile}.dockerignore").into()];
        let mut rules = Self { dockerfile: Some(dockerfile.to_owned()), ..Self::default() };
        for path in &files {
            let bytes = read(path)?;
            if let Some(bytes) = &bytes {
                rules.ignores.push(DockerIgnore::parse(bytes).map_err(|problem| ContextError::Ignore {
                    path: root.join(path),
                    line: problem.line,
                    problem: problem.text,
                })?);
            }
            rules.read.push((path.clone(), bytes.map(|bytes| Sha256Sum(Sha256::digest(bytes).into()))));
        }
        rules.always = files.into_iter().chain([dockerfile.to_owned()]).collect();
        Ok(rules)
    }

    /// What is known above the first folder.
    pub(super) fn top(&self) -> Vec<Above> {
        self.ignores.iter().map(DockerIgnore::top).collect()
    }

    /// What is said about `path`, where `above` was said about its folder.
    pub(super) fn evaluate(&self, above: &[Above], path: &Utf8Path) -> Verdict {
        let mut ignored = !self.ignores.is_empty();
        let mut next = Vec::with_capacity(above.len());
        for (ignore, above) in self.ignores.iter().zip(above) {
            let (by_this, below) = ignore.evaluate(above, path.as_str());
            ignored &= by_this;
            next.push(below);
        }
        if is_repository(path) {
            return Verdict { kept: false, entered: false, above: next };
        }
        let kept = !ignored || self.always.iter().any(|always| always == path);
        let entered = kept
            || self.ignores.iter().any(|ignore| ignore.may_keep_below(path.as_str()))
            || self.always.iter().any(|always| always.starts_with(path));
        Verdict { kept, entered, above: next }
    }

    /// Whether the file at `path` is a part of the context.
    pub(super) fn keeps(&self, path: &Utf8Path) -> bool {
        let mut folders: Vec<&Utf8Path> = path.ancestors().filter(|path| !path.as_str().is_empty()).collect();
        folders.reverse();
        let mut above = self.top();
        for (at, path) in folders.iter().enumerate() {
            let verdict = self.evaluate(&above, path);
            let is_file = at + 1 == folders.len();
            if !(if is_file { verdict.kept } else { verdict.entered }) {
                return false;
            }
            above = verdict.above;
        }
        true
    }

    /// Refuses what was read by other rules than those that were read with it, and a Dockerfile that was swapped.
    pub(super) fn require_unchanged(
        &self,
        root: &Folder,
        entries: &BTreeMap<Utf8PathBuf, ContextEntry>,
    ) -> Result<(), ContextError> {
        let is_file = |path: &Utf8PathBuf| matches!(entries.get(path), Some(ContextEntry::File { .. }));
        let swapped = self.dockerfile.iter().filter(|path| !is_file(path));
        let rewritten = self.read.iter().filter(|(path, read)| match (entries.get(path), read) {
            (Some(ContextEntry::File { sha256, .. }), Some(read)) => sha256 != read,
            (None, None) => false,
            _ => true,
        });
        match swapped.chain(rewritten.map(|(path, _)| path)).next() {
            Some(path) => Err(ContextError::Changed { path: root.path().join(path) }),
            None => Ok(()),
        }
    }
}

/// Whether a path is the context's own `.git`, under any name that a file system takes for it. It is a part of no
/// context: builders run git in the folder that they build from, and a repository says what git runs.
fn is_repository(path: &Utf8Path) -> bool {
    // One passes over characters that are not seen, one over dots and spaces at the end and what follows a colon, and
    // one has short names.
    let name: String = path.as_str().chars().filter(char::is_ascii).map(|c| c.to_ascii_lowercase()).collect();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    matches!(name, ".git" | "git~1")
}

/// Refuses a context that git takes for a repository without a `.git`: it has a `HEAD`, and `objects` and `refs` or the
/// name of the folder that has them (gitrepository-layout(5)).
pub(super) fn require_no_repository(
    root: &Folder,
    entries: &BTreeMap<Utf8PathBuf, ContextEntry>,
) -> Result<(), ContextError> {
    let has = |name: &str| {
        entries
            .keys()
            .filter_map(|path| path.components().next())
            .any(|it| it.as_str().eq_ignore_ascii_case(name))
    };
    if has("HEAD") && (has("commondir") || has("objects") || has("refs")) {
        return Err(ContextError::Repository { path: root.path().to_owned() });
    }
    Ok(())
}

/// Refuses a Dockerfile that is missing, no plain file, or reached through a link.
pub(super) fn require_dockerfile(root: &Folder, dockerfile: &Utf8Path) -> Result<(), ContextError> {
    let inside = dockerfile.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    if !inside || dockerfile.as_str().is_empty() {
        return Err(ContextError::DockerfileOutside { path: dockerfile.to_owned() });
    }
    let refused = |problem: String| ContextError::Dockerfile { path: root.path().join(dockerfile), problem };
    if dockerfile.components().next().is_some_and(|first| is_repository(Utf8Path::new(first.as_str()))) {
        return Err(refused(
            "lies in a repository's own folder, which is a part of no build context".to_owned(),
        ));
    }
    let mut at = Utf8PathBuf::new();
    for part in dockerfile.components() {
        let Some(folder) = root.find(&at)? else { return Err(refused("is missing".to_owned())) };
        at.push(part.as_str());
        let last = at == dockerfile;
        let through = root.path().join(&at);
        let problem = match folder.entry(part.as_str())? {
            None => "is missing".to_owned(),
            Some(Entry::File) if last => return Ok(()),
            Some(Entry::File) => format!("is below {through}, which is a file"),
            Some(Entry::Folder) if last => "is a folder".to_owned(),
            Some(Entry::Folder) => continue,
            Some(Entry::Other(what)) if last => format!("is {what}"),
            Some(Entry::Other(what)) => format!("is reached through {through}, which is {what}"),
        };
        return Err(refused(problem));
    }
    Ok(())
}
