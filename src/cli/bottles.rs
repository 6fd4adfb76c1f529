//! Which bottle of the registry a command is about. A manifest and a `.env` are only where a person looks; what is
//! acted on is what was rendered from there, as the registry has it.

use super::project::real;
use super::source;
use crate::consent::{Bottle, Registry};
use crate::manifest::Loaded;
use crate::state::Location;
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};

/// The folder of all states of this user.
pub(crate) fn home() -> anyhow::Result<Utf8PathBuf> {
    Ok(Location::home(|name| std::env::var(name).ok())?)
}

/// The registry of this user.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    Ok(Registry::load(&home()?)?)
}

/// A bottle, and the manifest that it was rendered from as it is now.
#[derive(Debug)]
pub(crate) struct Found {
    /// What the registry has.
    pub(crate) bottle: Bottle,
    /// The manifest as a person names it.
    pub(crate) file: Utf8PathBuf,
    /// What it says by now, where it can be read.
    pub(crate) loaded: Option<Loaded>,
    /// The manifest's folder as it is called now.
    pub(crate) folder: Utf8PathBuf,
}

/// The one bottle that the arguments, or the current folder, mean.
pub(crate) fn find(manifest: Option<&Utf8Path>, out: Option<&Utf8Path>) -> anyhow::Result<Found> {
    let registry = registry()?;
    if let Some(out) = out {
        let path = real(&camino::absolute_utf8(out).with_context(|| format!("{out} has no absolute form"))?);
        let bottle = registry.of_out(&path).cloned();
        let bottle = bottle.with_context(|| not_rendered(out))?;
        let file = manifest.map_or_else(|| bottle.manifest.clone(), Utf8Path::to_owned);
        return Ok(found(bottle, file));
    }
    let file = match (manifest, source::nearest()?) {
        (None, None) => deleted_manifest(&registry)?.context(source::NOT_THERE)?,
        _ => source::find_one(manifest)?,
    };
    let folder = folder_of(&file)?;
    let loaded = source::load(&file).ok();
    let candidates = candidates(&registry, &file, &folder);
    let names = |bottle: &Bottle| loaded.as_ref().is_some_and(|it| it.manifest.name == bottle.name);
    let bottle = match (candidates.as_slice(), candidates.iter().find(|bottle| names(bottle))) {
        (_, Some(one)) | ([one], None) => one.clone(),
        ([], None) => {
            let name = loaded.as_ref().map_or("NAME", |it| it.manifest.name.as_str());
            bail!("{}", not_rendered(&source::beside(&file).join(".bottle").join(name)))
        }
        (several, None) => {
            let outs: Vec<_> = several.iter().map(|bottle| bottle.out.as_str()).collect();
            bail!("{file} was rendered into {}; say which one with --out DIR", outs.join(" and "))
        }
    };
    Ok(Found { bottle, file, loaded, folder })
}

/// Every bottle that a command without arguments means: those that were rendered from the manifest that lies here,
/// or else from this folder. For what must work whatever became of the manifest.
pub(crate) fn of_here() -> anyhow::Result<Vec<Bottle>> {
    let registry = registry()?;
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let here = Utf8PathBuf::from_path_buf(here).ok().context("the current folder's name is not UTF-8")?;
    for folder in real(&here).ancestors() {
        let all: Vec<Bottle> = registry.of_folder(folder).cloned().collect();
        let main = |bottle: &&Bottle| bottle.manifest.file_name() == Some(source::FILE_NAME);
        let of_main: Vec<Bottle> = all.iter().filter(main).cloned().collect();
        if !all.is_empty() {
            return Ok(if of_main.is_empty() { all } else { of_main });
        }
    }
    Ok(Vec::new())
}

/// Every bottle that an argument names: a Compose project, a bottle's name, or a manifest, which need not be there
/// any more.
pub(crate) fn named(argument: &Utf8Path) -> anyhow::Result<Vec<Bottle>> {
    let registry = registry()?;
    let by_name = |bottle: &&Bottle| bottle.project == *argument || bottle.name == *argument;
    let found: Vec<Bottle> = registry.bottles().filter(by_name).cloned().collect();
    if !found.is_empty() && !argument.as_str().contains('/') && !argument.exists() {
        return Ok(found);
    }
    let file = if argument.is_dir() { argument.join(source::FILE_NAME) } else { argument.to_owned() };
    let folder = folder_of(&file)?;
    Ok(candidates(&registry, &file, &folder))
}

fn found(bottle: Bottle, file: Utf8PathBuf) -> Found {
    let folder = bottle.manifest.parent().unwrap_or(Utf8Path::new("/")).to_owned();
    Found { loaded: source::load(&file).ok(), bottle, file, folder }
}

/// What was rendered from this manifest, under its folder's name of now or of then.
fn candidates(registry: &Registry, file: &Utf8Path, folder: &Utf8Path) -> Vec<Bottle> {
    let name = file.file_name();
    registry.of_folder(folder).filter(|bottle| bottle.manifest.file_name() == name).cloned().collect()
}

/// The manifest that was rendered in this folder or one above it and is not there any more.
fn deleted_manifest(registry: &Registry) -> anyhow::Result<Option<Utf8PathBuf>> {
    let here = std::env::current_dir().context("the current folder can't be read")?;
    let Ok(here) = Utf8PathBuf::from_path_buf(here) else { return Ok(None) };
    let here = real(&here);
    let mut manifests = here.ancestors().filter_map(|folder| {
        let name = registry.of_folder(folder).next()?.manifest.file_name()?;
        Some(folder.join(name))
    });
    Ok(manifests.next())
}

/// The folder of a manifest: absolute, without links.
pub(crate) fn folder_of(file: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let folder = source::beside(file);
    let folder = camino::absolute_utf8(&folder).with_context(|| format!("{folder} has no absolute form"))?;
    Ok(real(&folder))
}

fn not_rendered(out: &Utf8Path) -> String {
    format!(
        "{out} is not rendered on this machine by you; run `bottle render`, which shows what it allows and asks"
    )
}
