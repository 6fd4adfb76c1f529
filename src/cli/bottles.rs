//! Which bottle of the registry a command is about. A manifest and a `.env` are only where a person looks; what is
//! acted on is what was rendered from there, as the registry has it.

use super::failure::{Failure, fail};
use super::folders::{absolute, beside, folder_of, here, real, registry};
use super::source;
use crate::consent::{Bottle, Registry};
use crate::manifest::Loaded;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

/// A bottle, and the manifest that it was rendered from as it is now.
#[derive(Debug)]
pub(crate) struct FoundBottle {
    /// What the registry has.
    pub(crate) bottle: Bottle,
    /// The manifest as a person names it.
    pub(crate) file: Utf8PathBuf,
    /// What it says by now, where it can be read.
    pub(crate) loaded: Option<Loaded>,
    /// The manifest's folder as it is called now.
    pub(crate) folder: Utf8PathBuf,
}

/// What becomes of a manifest that nobody named and that an agent could have put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// It is refused: something would start.
    Refused,
    /// It is passed over for the bottle of a folder above: what a person looks at must not depend on it.
    PassedOver,
}

/// The one bottle that the arguments, or the current folder, mean. A bottle's name comes before a file of that name.
pub(crate) fn find(
    manifest: Option<&Utf8Path>,
    out: Option<&Utf8Path>,
    planted: Planted,
) -> anyhow::Result<FoundBottle> {
    let registry = registry()?;
    if let Some(out) = out {
        let path = real(&absolute(out)?);
        let bottle = registry.of_out(&path).cloned();
        let bottle = bottle.with_context(|| not_rendered(out))?;
        let file = manifest.map_or_else(|| bottle.manifest.clone(), Utf8Path::to_owned);
        return Ok(found(bottle, file));
    }
    if let Some(bottle) = manifest.map(by_name).transpose()?.flatten() {
        let file = bottle.manifest.clone();
        return Ok(found(bottle, file));
    }
    let file = match manifest {
        Some(_) => source::find_one(manifest)?,
        None => match unfindable_manifest(&registry, planted)? {
            Some(file) => file,
            None => source::find_one(None)?,
        },
    };
    let folder = folder_of(&file)?;
    let loaded = source::load(&file).ok();
    let mut candidates = candidates(&registry, &file, &folder);
    // A folder that was renamed and rendered again is two bottles: what is called so now comes first.
    if candidates.iter().any(|bottle| bottle.manifest.parent() == Some(folder.as_path())) {
        candidates.retain(|bottle| bottle.manifest.parent() == Some(folder.as_path()));
    }
    let names = |bottle: &Bottle| loaded.as_ref().is_some_and(|it| it.manifest.name == bottle.name);
    let bottle = match (candidates.as_slice(), candidates.iter().find(|bottle| names(bottle))) {
        (_, Some(one)) | ([one], None) => one.clone(),
        ([], None) if !file.exists() => {
            fail!(
                "unknown-bottle",
                "there is no manifest {file}, and no bottle of that name was rendered; `bottle ps` lists those that were"
            )
        }
        ([], None) => {
            let name = loaded.as_ref().map_or("NAME", |it| it.manifest.name.as_str());
            return Err(not_rendered(&beside(&file).join(".bottle").join(name)).into());
        }
        (several, None) => {
            let outs: Vec<_> = several.iter().map(|bottle| bottle.out.as_str()).collect();
            fail!(
                "unknown-bottle",
                "{file} was rendered into {}; say which one with --out DIR",
                outs.join(" and ")
            )
        }
    };
    Ok(FoundBottle { bottle, file, loaded, folder })
}

/// Every bottle that was rendered from the folder that this is in, or from the nearest one above it. For what must
/// work whatever became of the manifest.
pub(crate) fn of_here() -> anyhow::Result<Vec<Bottle>> {
    let registry = registry()?;
    for folder in here()?.ancestors() {
        let all: Vec<Bottle> = registry.of_folder(folder).cloned().collect();
        if !all.is_empty() {
            return Ok(all);
        }
    }
    Ok(Vec::new())
}

/// The one bottle of that name or Compose project. A name comes first, whatever a folder holds under it: an agent can
/// put anything there.
pub(crate) fn by_name(name: &Utf8Path) -> anyhow::Result<Option<Bottle>> {
    let registry = registry()?;
    // A project is one stack's, whatever another bottle calls itself.
    let of_project = registry.bottles().find(|bottle| bottle.project == *name);
    let called: Vec<&Bottle> = match of_project {
        Some(one) => vec![one],
        None => registry.bottles().filter(|bottle| bottle.name == *name).collect(),
    };
    let here = here()?;
    // Of several, that of this folder or of the nearest one above it.
    let folder = |bottle: &&&Bottle| {
        bottle.manifest.parent().filter(|it| here.starts_with(it)).map(Utf8Path::to_owned)
    };
    let nearest = called.iter().filter(|bottle| folder(bottle).is_some());
    let nearest = nearest.max_by_key(|bottle| folder(bottle).map(|folder| folder.components().count()));
    match (called.as_slice(), nearest) {
        ([], _) => Ok(None),
        ([one], _) | (_, Some(one)) => Ok(Some((*one).clone())),
        (several, None) => {
            let projects: Vec<&str> = several.iter().map(|bottle| bottle.project.as_str()).collect();
            fail!(
                "unknown-bottle",
                "several bottles are called {name}; say which one: {}",
                projects.join(", ")
            )
        }
    }
}

/// Every bottle that an argument names: by its name or Compose project, or by a manifest, which need not be there any
/// more.
pub(crate) fn named(argument: &Utf8Path) -> anyhow::Result<Vec<Bottle>> {
    if let Some(bottle) = by_name(argument)? {
        return Ok(vec![bottle]);
    }
    let file = if argument.is_dir() { argument.join(source::FILE_NAME) } else { argument.to_owned() };
    let folder = folder_of(&file)?;
    Ok(candidates(&registry()?, &file, &folder))
}

fn found(bottle: Bottle, file: Utf8PathBuf) -> FoundBottle {
    let folder = bottle.manifest.parent().unwrap_or(Utf8Path::new("/")).to_owned();
    FoundBottle { loaded: source::load(&file).ok(), bottle, file, folder }
}

/// What was rendered from this manifest, under its folder's name of now or of then.
fn candidates(registry: &Registry, file: &Utf8Path, folder: &Utf8Path) -> Vec<Bottle> {
    let name = file.file_name();
    registry.of_folder(folder).filter(|bottle| bottle.manifest.file_name() == name).cloned().collect()
}

/// The manifest of this folder or of one above it that looking for a file does not find: it is not there any more, or
/// another one that an agent could have put there is nearer.
fn unfindable_manifest(registry: &Registry, planted: Planted) -> anyhow::Result<Option<Utf8PathBuf>> {
    let mut passed_over = false;
    for folder in here()?.ancestors() {
        let known = registry.of_folder(folder).find_map(|bottle| bottle.manifest.file_name());
        let is_there = folder.join(source::FILE_NAME).symlink_metadata().is_ok();
        match known {
            Some(name) if passed_over || !is_there => return Ok(Some(folder.join(name))),
            None if !is_there => {}
            None if planted == Planted::PassedOver && registry.writer_of(folder).is_some() => {
                passed_over = true;
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn not_rendered(out: &Utf8Path) -> Failure {
    Failure::new(
        "not-rendered",
        format!(
            "{out} is not rendered on this machine by you; run `bottle render`, which shows what it allows and asks"
        ),
    )
}
