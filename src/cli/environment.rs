//! What this shell's environment says of what runs on this machine: where programs are, and where Docker's own
//! configuration and plugins lie. An agent that can write there would run what it likes, here.

use super::folders::registry;
use super::source;
use crate::programs::{self, LeftOut};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Leaves out, for every program that bottle runs, what agents can write, and the projects that this command is about:
/// what somebody put into a repository is not run by looking at it.
pub(crate) fn leave_out_what_agents_write() {
    let mut left_out = LeftOut::default();
    match registry() {
        Ok(registry) => {
            for bottle in registry.bottles() {
                left_out.folders.extend(bottle.writable.iter().map(|path| path.clone().into_std_path_buf()));
                left_out.ids.extend(&bottle.writable_folders);
            }
        }
        // Whoever needs it says what is wrong with it.
        Err(_) => left_out.all_but_roots = true,
    }
    left_out.folders.extend(projects());
    programs::leave_out(left_out);
}

/// The projects of the current folder, and of the manifests and folders that the arguments name.
fn projects() -> BTreeSet<PathBuf> {
    let words = std::env::args_os().skip(1).take_while(|word| word != "--").map(PathBuf::from);
    let is_meant =
        |path: &PathBuf| Utf8Path::from_path(path).is_some_and(source::is_manifest) || path.is_dir();
    let places = words.filter(is_meant).chain([PathBuf::from(".")]);
    places.filter_map(|path| fs_err::canonicalize(path).ok()).filter_map(|place| project_of(&place)).collect()
}

/// The outermost folder around a place that is a repository or has a manifest. The person's home and what holds it are
/// none, whatever lies in them.
fn project_of(place: &Path) -> Option<PathBuf> {
    const SIGNS: [&str; 5] = [".bottle", ".git", ".hg", ".jj", ".svn"];
    let home = std::env::var_os("HOME").and_then(|home| fs_err::canonicalize(home).ok());
    let is_project = |folder: &&Path| {
        SIGNS.iter().any(|name| folder.join(name).symlink_metadata().is_ok()) || source::has_manifest(folder)
    };
    let holds_home = |folder: &&Path| home.as_ref().is_some_and(|home| home.starts_with(folder));
    let around = place.ancestors().take_while(|folder| !holds_home(folder) && folder.parent().is_some());
    around.filter(is_project).last().map(Path::to_path_buf)
}

/// Refuses Docker's configuration where an agent could have written it: it names programs, and the engine.
pub(crate) fn require_own_docker() -> anyhow::Result<()> {
    registry()?;
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".docker"));
    // What Docker reads there, and runs.
    let parts = |folder: &Path| -> Vec<PathBuf> {
        let plugins = fs_err::read_dir(folder.join("cli-plugins")).into_iter().flatten().flatten();
        let parts = ["config.json", "cli-plugins", "contexts", "buildx"].map(|name| folder.join(name));
        parts
            .into_iter()
            .chain(plugins.map(|it| it.path()))
            .filter(|it| it.symlink_metadata().is_ok())
            .collect()
    };
    let config = variable("DOCKER_CONFIG").map(PathBuf::from);
    let socket = |value: OsString| value.to_str()?.trim().strip_prefix("unix://").map(PathBuf::from);
    let places = [
        ("DOCKER_CONFIG", config.clone()),
        ("HOME", home.filter(|_| config.is_none())),
        ("BUILDX_CONFIG", variable("BUILDX_CONFIG").map(PathBuf::from)),
        ("DOCKER_CERT_PATH", variable("DOCKER_CERT_PATH").map(PathBuf::from)),
        ("DOCKER_HOST", variable("DOCKER_HOST").and_then(socket)),
    ];
    for (name, place) in places {
        let Some(place) = place else { continue };
        let place =
            Utf8PathBuf::from_path_buf(std::path::absolute(&place)?).ok().context("a path is not UTF-8")?;
        // Docker takes `..` away as text; the system does not.
        let has_dots = place.components().any(|part| part.as_str() == "..");
        let all = [vec![place.clone().into_std_path_buf()], parts(place.as_std_path())].concat();
        if has_dots || all.iter().any(|it| programs::is_left_out(it)) {
            refuse(name, &place)?;
        }
    }
    Ok(())
}

fn refuse(variable: &str, place: &Utf8Path) -> anyhow::Result<()> {
    let other = if variable == "HOME" { "DOCKER_CONFIG" } else { "it" };
    bail!(
        "{variable} leads Docker to {place}, where an agent, or whoever wrote this project, could put programs that \
         Docker runs on this machine; set {other} to a folder outside every project"
    )
}
