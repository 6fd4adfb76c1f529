//! The rules of a bottle, read from the files that a person named.

use super::folders::{absolute, real};
use super::{certificates, named_file, source};
use crate::explain::BottleRules;
use crate::manifest::Loaded;
use crate::plan::{Layout, Plan, Surroundings};
use camino::{Utf8Path, Utf8PathBuf};

/// The rules of a manifest, or of a rendered tree in its place.
pub(crate) fn read(manifest: Option<&Utf8Path>, rendered: Option<&Utf8Path>) -> anyhow::Result<BottleRules> {
    match rendered {
        Some(folder) => BottleRules::of_tree(folder),
        None => of_manifest(source::load(&source::find_one(manifest)?)?),
    }
}

/// The rules of a manifest.
pub(crate) fn of_manifest(loaded: Loaded) -> anyhow::Result<BottleRules> {
    let plan = resolve(&loaded)?;
    BottleRules::of_plan(&plan, loaded)
}

/// What a manifest comes to, with the certificates that it names.
pub(crate) fn resolve(loaded: &Loaded) -> anyhow::Result<Plan> {
    let folder = || {
        let file = absolute(Utf8Path::new(loaded.source.name()))?;
        anyhow::Ok(real(file.parent().unwrap_or(&file)))
    };
    let read = |named: &Utf8PathBuf| certificates::read(&folder()?, named);
    let extra_ca = loaded.manifest.pipelock.extra_ca.as_ref().map(read).transpose()?;
    let push_rules =
        named_file::push_rules(&loaded.manifest, |named, most| named_file::read(&folder()?, named, most))?;
    let layout = Layout::beside(&loaded.manifest.name);
    Ok(Plan::resolve(&loaded.manifest, &Surroundings { layout, extra_ca, push_rules })?)
}
