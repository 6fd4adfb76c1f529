//! One manifest, resolved where it lies: what `plan`, `render` and `up` start from.

use super::folders::{absolute, folder_of, real};
use super::{certificates, lock_file, named_file, source};
use crate::diagnostic::Report;
use crate::manifest::Loaded;
use crate::plan::layout::normal;
use crate::plan::{Layout, Plan, Surroundings};
use anyhow::{anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// A manifest, its plan, and the places on this machine.
#[derive(Debug)]
pub(crate) struct Project {
    /// The manifest as people name it.
    pub(crate) file: Utf8PathBuf,
    /// Its text and what it says.
    pub(crate) loaded: Loaded,
    /// What it comes to.
    pub(crate) plan: Plan,
    /// The manifest's folder: absolute, without links.
    pub(crate) folder: Utf8PathBuf,
    /// Where the rendered files go: absolute, without links.
    pub(crate) out: Utf8PathBuf,
}

impl Project {
    /// Resolves a manifest that was read from `file`; `out` stands above `.bottle/NAME`.
    pub(crate) fn resolve(
        file: &Utf8Path,
        mut loaded: Loaded,
        out: Option<&Utf8Path>,
    ) -> anyhow::Result<Self> {
        let folder = folder_of(file)?;
        if let Some(lock) = lock_file::find(&folder)? {
            lock.pin(&mut loaded.manifest);
        }
        let out = match out {
            Some(out) => chosen(out, &folder)?,
            None => folder.join(".bottle").join(&loaded.manifest.name),
        };
        if folder.starts_with(&out) {
            bail!("{out} holds the manifest; the output folder must hold nothing but rendered files");
        }
        let extra_ca = loaded.manifest.pipelock.extra_ca.as_ref();
        let around = Surroundings {
            layout: Layout::between(&folder, &out),
            extra_ca: extra_ca.map(|file| certificates::read(&folder, file)).transpose()?,
            push_rules: named_file::push_rules(&loaded.manifest, |file, most| {
                named_file::read(&folder, file, most)
            })?,
        };
        let plan = Plan::resolve_loaded(&loaded, &around)?;
        Ok(Self { file: file.to_owned(), loaded, plan, folder, out })
    }

    /// Reads and resolves one manifest.
    pub(crate) fn load(file: &Utf8Path, out: Option<&Utf8Path>) -> anyhow::Result<Self> {
        Self::resolve(file, source::load(file)?, out)
    }

    /// Resolves every manifest that the arguments name, each into its own `.bottle/NAME`.
    pub(crate) fn all(arguments: &[Utf8PathBuf]) -> anyhow::Result<Vec<Self>> {
        let files = source::find(arguments)?;
        let loaded = source::load_all(&files)?;
        let projects: Vec<Self> = files
            .iter()
            .zip(loaded)
            .map(|(file, loaded)| Self::resolve(file, loaded, None))
            .collect::<anyhow::Result<_>>()?;
        let mut outs = BTreeMap::new();
        for project in &projects {
            if let Some(twin) = outs.insert(&project.out, &project.file) {
                return Err(twins(twin, project));
            }
        }
        Ok(projects)
    }

    /// Mounts that reach what they must not on this machine.
    pub(crate) fn require_safe_mounts(&self) -> anyhow::Result<()> {
        let problems = self.plan.check_places(&self.folder, real, Utf8Path::is_symlink);
        if problems.is_empty() {
            return Ok(());
        }
        let pointer = |target: &Utf8Path| {
            let mount = self.loaded.manifest.agent.mounts.iter().find(|mount| mount.target == target);
            mount.map_or("agent.build.context", |mount| &mount.source_pointer)
        };
        let placed = problems.into_iter().map(|(target, problem)| {
            problem.source(&self.loaded.source).label(self.loaded.span_of(pointer(&target)), "")
        });
        Err(Report(placed.collect()).into())
    }
}

/// Two manifests of one name in one folder.
pub(crate) fn twins(file: &Utf8Path, other: &Project) -> anyhow::Error {
    anyhow!("{file} and {} both render into {}: their names must differ", other.file, other.out)
}

/// An output folder that the user named. In the project its links stay as they are, and are refused when they are
/// met, since an agent could have made them; anywhere else they are the user's own.
fn chosen(out: &Utf8Path, project: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let full = normal(&absolute(out)?);
    let in_project = full.starts_with(project);
    Ok(if in_project { full } else { real(&full) })
}
