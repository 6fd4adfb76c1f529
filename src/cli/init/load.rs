//! Reading what init looks at: the project as hostile, the person's configuration as theirs.

use super::tools::{self, variable};
use crate::cli::folders::real;
use crate::init::{Sources, Tool, ToolFile};
use crate::printable::printable_name;
use crate::tree::{Entry, Folder, LARGEST, TreeError, read_plain};
use camino::{Utf8Path, Utf8PathBuf};

/// Names of a folder that are looked at.
const NAMES: usize = 10_000;

/// Requirement files that are read.
const REQUIREMENTS: usize = 50;

/// Bytes of a file of the person's.
const PERSONAL: u64 = 1 << 20;

/// All sources for the project in `folder`, whose path is `path`: absolute, without links.
pub(super) fn sources(folder: &Folder, path: &Utf8Path) -> Sources {
    let mut sources =
        Sources { folder: path.file_name().unwrap_or_default().to_owned(), ..Sources::default() };
    project(folder, &mut sources);
    if let Some(home) = variable("HOME").map(Utf8PathBuf::from).filter(|home| home.is_absolute()) {
        person(&home, &mut sources);
    }
    for name in Sources::VARIABLES {
        sources.environment.extend(variable(name).map(|value| (name.to_owned(), value)));
    }
    for name in Sources::SECRETS {
        sources.environment.extend(variable(name).map(|_| (name.to_owned(), String::new())));
    }
    tools::add(path, &mut sources);
    sources
}

fn project(folder: &Folder, sources: &mut Sources) {
    for file in Sources::FILES {
        read(folder, file, sources);
    }
    for mark in Sources::MARKS {
        if matches!(folder.entry(mark), Ok(Some(Entry::File | Entry::Folder))) {
            sources.there.insert(mark.to_owned());
        }
    }
    let mut requirements = Vec::new();
    for below in ["", "requirements"] {
        let Ok(Some(listed)) = folder.find(below.into()) else { continue };
        match listed.list_at_most(NAMES) {
            Ok((names, _)) => {
                let names = names
                    .iter()
                    .map(|(name, _)| if below.is_empty() { name.clone() } else { format!("{below}/{name}") });
                requirements.extend(names.filter(|name| Sources::is_requirements(name)));
            }
            Err(error) => sources.unread.push(error.to_string()),
        }
    }
    if requirements.len() > REQUIREMENTS {
        sources
            .unread
            .push(format!("of {} requirement files the first {REQUIREMENTS} are read", requirements.len()));
    }
    for name in requirements.iter().take(REQUIREMENTS) {
        read(folder, name, sources);
    }
    if let Ok(Some(releases)) = folder.find(".yarn/releases".into())
        && let Ok((names, _)) = releases.list_at_most(NAMES)
        && let Some((name, _)) = names.iter().find(|(name, _)| name.starts_with("yarn-"))
        && let Ok(Some(bytes)) = releases.read(name)
    {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        sources.tools.push(ToolFile { tool: Tool::Yarn, label: format!(".yarn/releases/{name}"), text });
    }
}

/// A file of the project, if it is there; what is no plain file is said and not read.
fn read(folder: &Folder, file: &str, sources: &mut Sources) {
    match text(folder, Utf8Path::new(file)) {
        Ok(Some(text)) => drop(sources.project.insert(file.to_owned(), text)),
        Ok(None) => {}
        Err(error) => sources.unread.push(error.to_string()),
    }
}

fn text(folder: &Folder, file: &Utf8Path) -> Result<Option<String>, TreeError> {
    let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else { return Ok(None) };
    // A file may stand where a folder is looked for, such as `.git` of a worktree.
    let top = parent.components().next().map(|part| folder.entry(part.as_str())).transpose()?.flatten();
    if top == Some(Entry::File) {
        return Ok(None);
    }
    let Some(parent) = folder.find(parent)? else { return Ok(None) };
    let bytes = parent.read_at_most(name, LARGEST)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn person(home: &Utf8Path, sources: &mut Sources) {
    for file in Sources::HOME {
        add(&home.join(file), &format!("~/{file}"), sources);
    }
    add("/etc/pip.conf".into(), "/etc/pip.conf", sources);
    let cargo = variable("CARGO_HOME").map_or_else(|| home.join(".cargo"), Utf8PathBuf::from);
    add(&cargo.join("config.toml"), "$CARGO_HOME/config.toml", sources);
    for mark in Sources::HOME_MARKS {
        if home.join(mark).exists() {
            sources.person.entry(format!("~/{mark}")).or_default();
        }
    }
}

/// A file of the person's own, whose links are theirs, too.
fn add(path: &Utf8Path, label: &str, sources: &mut Sources) {
    let path = real(path);
    if !path.exists() {
        return;
    }
    match read_plain(&path, PERSONAL) {
        Ok(bytes) => {
            sources.person.insert(label.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Err(error) => sources.unread.push(printable_name(&error.to_string()).into_owned()),
    }
}
