//! The files that are committed for a bottle.

use super::{BottleSide, DETAILS, Line, What};
use crate::render::{Tree, checksum, paths};
use crate::tree::unified_diff;
use camino::Utf8Path;

/// What the committed tree of the new side says that the manifest does not.
pub(super) fn lines(old: Option<&BottleSide>, new: &BottleSide, same: bool) -> Vec<Line> {
    let was = old.and_then(|old| old.committed.as_ref());
    let out = new.shown(&new.out());
    let line = |what, details| Line { what, details, place: Some(new.start()), old_place: None };
    let Some(is) = &new.committed else {
        let gone = format!("{out} is gone, and {} renders to it", new.shown(&new.path));
        let was = was.filter(|_| new.loaded.is_some() && old.is_some_and(|old| old.out() == new.out()));
        return was.map(|_| line(What::SameRules(gone), Vec::new())).into_iter().collect();
    };
    if *is != new.rendered {
        // What was wrong before, and nobody touched, is no change.
        if was == Some(is) && old.is_some_and(|old| old.rendered == new.rendered) {
            return Vec::new();
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
                 another one than is listed here; `bottle render` writes it"
            ),
        };
        let mut details: Vec<String> =
            patch(Some(&new.rendered), Some(is)).0.lines().map(str::to_owned).collect();
        let more = details.len().saturating_sub(2 * DETAILS);
        details.truncate(2 * DETAILS);
        details.extend((more > 0).then(|| format!("… and {more} more lines")));
        return vec![line(What::NotRendered(text), details)];
    }
    match was {
        Some(was) if was != is && same => {
            let by = |tree| version(tree).unwrap_or_else(|| "an unknown version".to_owned());
            let text = match (by(was), by(is)) {
                (old, new) if old != new => {
                    format!(
                        "tool-only: {out} is rendered by bottle {new}, so far by {old}; the agent can do the same"
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

/// A unified diff of every file that differs, and how many there are. The first line of a file is the checksum of the
/// others, so it is left out.
pub(super) fn patch<'a>(old: Option<&'a Tree>, new: Option<&'a Tree>) -> (String, usize) {
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
        patch += &unified_diff(path, before.map(text), after.map(text));
    }
    (patch, files)
}
