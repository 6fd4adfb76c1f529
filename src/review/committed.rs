//! The files that are committed for a bottle.

use super::{BottleSide, Line, What};
use crate::render::checksum::{self, Sealed};
use crate::render::{Tree, paths};
use crate::tree::unified_diff;
use camino::Utf8Path;

/// What the committed tree of the new side says that the manifest does not.
pub(super) fn lines(old: Option<&BottleSide>, new: &BottleSide, same: bool) -> Vec<Line> {
    let was = old.and_then(|old| old.committed.as_ref());
    let out = new.shown(&new.out());
    let line = |what, details| Line { what, details, place: Some(new.start()), old_place: None };
    let Some(is) = &new.committed else {
        let gone = format!("{out} is not there any more; `bottle render {}` writes it", new.path);
        let was = was.filter(|_| new.loaded.is_some() && old.is_some_and(|old| old.out() == new.out()));
        return was.map(|_| line(What::SameRules(gone), Vec::new())).into_iter().collect();
    };
    if *is != new.rendered {
        // What was wrong before, and nobody touched, is no change.
        if was == Some(is) && old.is_some_and(|old| old.rendered == new.rendered) {
            return Vec::new();
        }
        // What a stack is started from is what it was.
        if was == Some(is) && old.is_some_and(|old| old.rendered == *is) {
            let text = format!(
                "{out} is not rendered again yet, and has the rules of before; `bottle render` writes it"
            );
            return vec![line(What::SameRules(text), Vec::new())];
        }
        let files = names(is, &new.rendered);
        let text = match version(is) {
            Some(by) if by != env!("CARGO_PKG_VERSION") => format!(
                "{out} was rendered by bottle {by}, and this is bottle {}, so what it lets the agent do is not \
                 known here ({files}); compare it with that version",
                env!("CARGO_PKG_VERSION")
            ),
            _ => format!(
                "{out} is not what the manifest renders to ({files}): a stack that is started from it is \
                 another one than is listed here; {}",
                match edited(is, &new.rendered) {
                    Some(file) => format!(
                        "{file} was edited by hand: put the change into the manifest, then `bottle render --force`"
                    ),
                    None => "`bottle render` writes it".to_owned(),
                }
            ),
        };
        let details = patch(Some(&new.rendered), Some(is), &new.out()).0;
        return vec![line(What::NotRendered(text), details.lines().map(str::to_owned).collect())];
    }
    match was {
        Some(was) if was != is && same => {
            let by = |tree| version(tree).unwrap_or_else(|| "an unknown version".to_owned());
            let text = match (by(was), by(is)) {
                (old, new) if old != new => {
                    format!(
                        "tool-only: {out} is rendered by bottle {new} (before: {old}); the agent can do the same"
                    )
                }
                _ if old.is_some_and(|old| old.rendered != new.rendered) => return Vec::new(),
                _ => format!("{out} is what the manifest renders to again; the agent can do the same"),
            };
            vec![line(What::SameRules(text), Vec::new())]
        }
        _ => Vec::new(),
    }
}

/// A file of a tree that is not as bottle wrote it.
fn edited<'a>(tree: &'a Tree, rendered: &Tree) -> Option<&'a Utf8Path> {
    let other = tree.iter().filter(|(path, bytes)| rendered.get(*path) != Some(bytes));
    let edited =
        other.filter(|(_, bytes)| matches!(checksum::verify(bytes), Sealed::Edited | Sealed::Foreign));
    edited.map(|(path, _)| path.as_path()).next()
}

/// The files that differ.
fn names(tree: &Tree, other: &Tree) -> String {
    let mut names: Vec<&str> = tree
        .keys()
        .chain(other.keys())
        .filter(|path| tree.get(*path) != other.get(*path))
        .map(|path| path.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The version of bottle that wrote a tree.
fn version(tree: &Tree) -> Option<String> {
    let text = std::str::from_utf8(tree.get(Utf8Path::new(paths::LOCK))?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("bottle: "))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

/// A unified diff of every file below `out` that differs, and how many there are. The first line of a file is the checksum of the
/// others, so it is left out.
pub(super) fn patch<'a>(old: Option<&'a Tree>, new: Option<&'a Tree>, out: &Utf8Path) -> (String, usize) {
    // A bottle that comes or goes comes and goes whole.
    let (Some(old), Some(new)) = (old, new) else { return (String::new(), 0) };
    let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let (mut patch, mut files) = (String::new(), 0);
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        if before == after {
            continue;
        }
        files += 1;
        // The first line is the checksum of the others.
        let text = |bytes: &'a Vec<u8>| checksum::body(bytes);
        patch += &unified_diff(&out.join(path), before.map(text), after.map(text));
    }
    (patch, files)
}
