//! What this shell's environment says of what runs on this machine: where programs are, and where Docker's own
//! configuration and plugins lie. An agent that can write there would run what it likes, here.

use super::failure::fail;
use super::folders::registry;
use super::source;
use crate::printable::printable_name;
use crate::programs::{self, LeftOut};
use crate::tree::{TreeError, read_plain};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Leaves out, for every program that bottle runs, what agents can write, and the projects that this command is about:
/// what somebody put into a repository is not run by looking at it.
pub(crate) fn leave_out_what_agents_write() {
    let (mut left_out, mut folders) = (LeftOut::default(), BTreeSet::new());
    match registry() {
        Ok(registry) => {
            for bottle in registry.bottles() {
                left_out.folders.extend(bottle.writable.iter().map(|path| path.clone().into_std_path_buf()));
                left_out.ids.extend(&bottle.writable_folders);
                // One that is named from elsewhere.
                folders.extend(bottle.manifest.parent().map(Utf8Path::to_path_buf));
            }
        }
        // Whoever needs it says what is wrong with it.
        Err(_) => left_out.all_but_roots = true,
    }
    left_out.folders.extend(folders.iter().filter_map(|folder| project_of(folder.as_std_path())));
    left_out.folders.extend(projects());
    left_out.folders.extend(projects_in_path());
    programs::leave_out(left_out);
}

/// The projects of the current folder, and of every file and folder that a word of the command line names, whatever it is
/// called and whatever the word is for.
fn projects() -> BTreeSet<PathBuf> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let values = words.iter().filter_map(|word| Some(OsString::from(word.to_str()?.split_once('=')?.1)));
    let places = values.chain(words.iter().cloned()).map(PathBuf::from).chain([PathBuf::from(".")]);
    places.filter_map(|path| fs_err::canonicalize(path).ok()).filter_map(|place| project_of(&place)).collect()
}

/// The projects in which folders of `PATH` lie: what a person works on is no place for this machine's programs.
fn projects_in_path() -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let real = folders.filter_map(|folder| fs_err::canonicalize(folder).ok());
    real.filter_map(|folder| project_of(&folder).or_else(|| modules_around(&folder))).collect()
}

/// Packages of Node.js bring programs of any name, also where nothing else says that a project is there.
fn modules_around(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .filter(|it| it.file_name().is_some_and(|name| name == "node_modules"))
        .last()
        .map(Path::to_path_buf)
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
    if let Some(folder) = programs::only_left_out("docker") {
        fail!(
            "no-docker",
            "docker is only in {}, where an agent, or whoever wrote a project, could put a program; install it outside \
             every project",
            printable_name(&folder.to_string_lossy())
        );
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let path = |name: &'static str| Some((name, PathBuf::from(variable(name)?)));
    let home = || path("HOME").map(|(name, home)| (name, home.join(".docker")));
    let config = path("DOCKER_CONFIG").or_else(home);
    let socket = variable("DOCKER_HOST").and_then(|host| Some(("DOCKER_HOST", socket_of(host.to_str()?)?)));
    for (name, place) in
        [config.clone(), path("BUILDX_CONFIG"), path("DOCKER_CERT_PATH"), socket].into_iter().flatten()
    {
        let place = std::path::absolute(&place)?;
        if place.components().any(|part| part.as_os_str() == "..") {
            bail!(
                "{name} leads Docker to {}; write it without `..`, which Docker takes away as text and the system \
                 follows after links",
                printable_name(&place.to_string_lossy())
            );
        }
        let mut all = vec![place.clone()];
        all.extend(parts(&place));
        let is_left_out = |all: &[PathBuf]| all.iter().any(|it| programs::is_left_out(it));
        if is_left_out(&all) {
            refuse(name, &place)?;
        }
        // Only what nobody else can write is read, and says what else Docker reads.
        if config.as_ref().is_some_and(|(of, _)| *of == name)
            && is_left_out(&named_by(&place, variable("DOCKER_CONTEXT"))?)
        {
            refuse(name, &place)?;
        }
    }
    Ok(())
}

/// What Docker reads in a folder of its configuration, and runs.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let plugins = fs_err::read_dir(folder.join("cli-plugins")).into_iter().flatten().flatten();
    let parts = ["config.json", "cli-plugins", "contexts", "contexts/meta", "buildx"];
    let contexts = fs_err::read_dir(folder.join("contexts/meta")).into_iter().flatten().flatten();
    let metas = contexts.flat_map(|it| [it.path(), it.path().join("meta.json")]);
    let parts = parts.map(|name| folder.join(name)).into_iter().chain(metas);
    parts.chain(plugins.map(|it| it.path())).collect()
}

/// What a configuration names of other places: folders of plugins, with the plugins, and the engine's socket. Keys are
/// compared as Docker's JSON reader does, without case.
fn named_by(folder: &Path, context: Option<OsString>) -> anyhow::Result<Vec<PathBuf>> {
    let config = json(&folder.join("config.json"))?;
    let extra = config.as_ref().and_then(|it| key(it, "cliPluginsExtraDirs")?.as_array());
    let extra = extra.into_iter().flatten().filter_map(|it| it.as_str()).map(PathBuf::from);
    let mut all: Vec<PathBuf> = Vec::new();
    for extra in extra.filter_map(|folder| std::path::absolute(folder).ok()) {
        all.extend(fs_err::read_dir(&extra).into_iter().flatten().flatten().map(|it| it.path()));
        all.push(extra);
    }
    let context = context.and_then(|name| name.into_string().ok());
    let context = context.or_else(|| Some(key(config.as_ref()?, "currentContext")?.as_str()?.to_owned()));
    if let Some(name) = context {
        let named = HEXLOWER.encode(&Sha256::digest(name));
        let meta = json(&folder.join(format!("contexts/meta/{named}/meta.json")))?;
        let host = |meta: &Value| socket_of(key(key(key(meta, "Endpoints")?, "docker")?, "Host")?.as_str()?);
        all.extend(meta.as_ref().and_then(host));
    }
    Ok(all)
}

/// What a file of Docker's says; nothing where it is not there or is no JSON, which Docker itself complains about. A
/// person may have linked it from where their other configuration is.
fn json(path: &Path) -> anyhow::Result<Option<Value>> {
    let Ok(real) = fs_err::canonicalize(path) else { return Ok(None) };
    let real = Utf8PathBuf::try_from(real).context("Docker's configuration")?;
    match read_plain(&real, LARGEST) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        // Docker runs as the same user.
        Err(TreeError::Io { .. }) => Ok(None),
        Err(error) => Err(error).context("Docker's configuration"),
    }
}

/// Docker's own files of configuration have some kilobytes. In bytes.
const LARGEST: u64 = 1 << 20;

fn key<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The socket that an engine's address names.
fn socket_of(host: &str) -> Option<PathBuf> {
    host.trim().strip_prefix("unix://").map(PathBuf::from)
}

fn refuse(variable: &str, place: &Path) -> anyhow::Result<()> {
    let other = if variable == "HOME" { "DOCKER_CONFIG" } else { "it" };
    bail!(
        "{variable} leads Docker to {}, where an agent, or whoever wrote this project, could put programs that Docker \
         runs on this machine; set {other} to a folder outside every project",
        printable_name(&place.to_string_lossy())
    )
}
