//! How the tree in a project differs from the one that was agreed to: as what the agent could newly do
//! and no longer do, and as files.
//! The tree is read as hostile; nothing of it is acted on.

use super::{candidate, change_lines::listed};
use crate::capability::{Capabilities, changes};
use crate::consent::{Agreed, Context};
use crate::plan::Layout;
use crate::printable::printable_name;
use crate::render::{self, Tree, Unreadable};
use crate::tree::{self, Folder, UNCOMMITTED};
use camino::Utf8Path;

/// The files of a difference that are named at most.
const FILES: usize = 20;

/// A few lines, or nothing where there is no difference.
pub(super) fn describe(
    project: &Utf8Path,
    out: &Utf8Path,
    agreed: &Agreed,
) -> anyhow::Result<Option<String>> {
    let below = out.strip_prefix(project).unwrap_or(out);
    let base = if out.starts_with(project) { project } else { Utf8Path::new("/") };
    let found = match Folder::open(base)?.find(below.strip_prefix("/").unwrap_or(below))? {
        Some(folder) => tree::read(&folder)?,
        None => Tree::new(),
    };
    if found == agreed.tree {
        return Ok(None);
    }
    if found.is_empty() {
        return Ok(Some("  it is not there\n".to_owned()));
    }
    Ok(Some(capabilities(project, out, agreed, &found) + &files(&agreed.tree, &found)))
}

fn capabilities(project: &Utf8Path, out: &Utf8Path, agreed: &Agreed, found: &Tree) -> String {
    let layout = Layout::between(project, out);
    match render::exactly(found, &layout) {
        Ok(plan) => {
            let context = agreed.record.context.as_ref().map(Context::digest);
            let machine = candidate::machine(&plan, project, context.as_deref());
            let new = Capabilities::from_plan(&plan, &machine);
            listed(&changes(Some(&agreed.record.capabilities), &new))
        }
        Err(Unreadable::NotRendered { file, difference }) => {
            let lines: String = difference.lines().flat_map(|line| ["    ", line, "\n"]).collect();
            let file = printable_name(file.as_str());
            format!(
                "  ! {file} says what this version of bottle does not render (`+`: what it says, `-`: what would be rendered):\n{lines}"
            )
        }
        Err(error) => format!("  ! {}\n", printable_name(&error.to_string())),
    }
}

fn files(agreed: &Tree, found: &Tree) -> String {
    let mut names: Vec<String> = Vec::new();
    for (path, bytes) in agreed {
        match found.get(path) {
            None => names.push(format!("  {} is missing\n", printable_name(path.as_str()))),
            Some(now) if now != bytes => names.push(format!("  {} differs\n", printable_name(path.as_str()))),
            Some(_) => {}
        }
    }
    let more =
        found.keys().filter(|path| !agreed.contains_key(*path) && !UNCOMMITTED.contains(&path.as_str()));
    names.extend(more.map(|path| format!("  {} is one more\n", printable_name(path.as_str()))));
    if names.len() > FILES {
        let rest = names.len() - FILES;
        names.truncate(FILES);
        names.push(format!("  … and {rest} more files\n"));
    }
    names.concat()
}
