//! Keys that hold paths.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use crate::policy::PathPatternError;
use std::{collections::HashSet, hash::Hash};

/// A key that holds paths.
pub(super) struct PathKey {
    pub(super) name: &'static str,
    /// `can't be …`
    pub(super) verb: &'static str,
    pub(super) most: usize,
}

/// Segments of one path; those of real servers have a dozen.
const MOST_SEGMENTS: usize = 32;

/// A path and where it stands: `egress_proxy.routes[0].deny_paths[1]`.
pub(super) struct Placed<T> {
    pub(super) at: String,
    pub(super) path: T,
}

pub(super) fn alone<T>(paths: Vec<Placed<T>>) -> Vec<T> {
    paths.into_iter().map(|placed| placed.path).collect()
}

pub(super) fn paths<T: Eq + Hash + Clone>(
    key: &PathKey,
    items: Vec<Item<String>>,
    parse: impl Fn(&str) -> Result<T, PathPatternError>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<Placed<T>> {
    let PathKey { name, verb, most } = key;
    too_many(name, items.len(), *most, pointer, findings);
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    // What is over the limit is not looked at: paths are compared with each other.
    for (index, text) in items.into_iter().take(*most).enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{pointer}.{name}[{index}]");
        if text.matches('/').count() > MOST_SEGMENTS {
            let problem =
                findings.value("path", &at, format!("the path has more than {MOST_SEGMENTS} segments"));
            findings.push(problem.hint("allow or deny what lies above it"));
            continue;
        }
        match parse(&text) {
            Ok(path) if !seen.insert(path.clone()) => {
                let problem =
                    findings.value("duplicate", &at, format!("the path {} is listed twice", quoted(&text)));
                findings.push(problem.hint("remove one of the two"));
            }
            Ok(path) => out.push(Placed { at, path }),
            Err(error) => {
                let message = format!("{} can't be {verb}: {}", quoted(&text), error.problem);
                let problem = findings.value("path", &at, message);
                findings.push(match error.canonical {
                    Some(canonical) => problem.hint(format!("write {}", quoted(&canonical))),
                    None if text.contains("://") => {
                        problem.hint("write the path alone; the host has a key of its own")
                    }
                    None => problem.hint("write the path as servers read it, such as /repos/acme/app"),
                });
            }
        }
    }
    out
}

/// Refuses a list of what `pointer` names that has more than `most` entries.
pub(super) fn too_many(key: &str, count: usize, most: usize, pointer: &str, findings: &mut Findings<'_>) {
    if count > most {
        let message = format!("{count} entries, and a route has {most} at most");
        let problem = findings.value("too-many", &format!("{pointer}.{key}"), message);
        findings
            .push(problem.hint("nobody can review as many; allow what lies above them, or split the bottle"));
    }
}
