//! What a manifest goes beyond a baseline in, with the lines of both.

use super::place::pointer;
use crate::capability::{Capabilities, Change, excess};
use crate::diagnostic::{Diagnostic, Report};
use crate::manifest::{Baseline, Loaded};

/// A problem for each capability that the baseline does not have; none when the manifest lies within it.
#[must_use]
pub fn beyond(
    (manifest, capabilities): (&Loaded, &Capabilities),
    (baseline, most): (&Baseline, &Capabilities),
) -> Report {
    let changes = excess(most, baseline.unbounded, capabilities);
    Report(changes.iter().filter_map(|change| problem(change, manifest, baseline)).collect())
}

fn problem(change: &Change, manifest: &Loaded, baseline: &Baseline) -> Option<Diagnostic> {
    let (old, new) = change.sides();
    let new = new?;
    let (own, theirs) = (&manifest.manifest, &baseline.loaded.manifest);
    let place = baseline.loaded.place_of(&pointer(old.unwrap_or(new), theirs, Some(own)));
    let (hint, remedy) = match (old, new.host()) {
        (Some(old), _) => (format!("{place} allows this: {old}"), "narrow the manifest to that"),
        (None, Some(host)) if theirs.rule_for(host).is_some() => {
            (format!("{place} is what the baseline says of {host}"), "narrow the manifest to what it allows")
        }
        (None, Some(host)) => (format!("{place}: the baseline has no rule for {host}"), "remove it"),
        (None, None) => (format!("{place}: the baseline does not have it"), "remove it"),
    };
    let name = baseline.loaded.source.name();
    Some(
        Diagnostic::error("beyond-baseline", format!("beyond {name}: {new}"))
            .source(&manifest.source)
            .label(manifest.span_of(&pointer(new, own, Some(theirs))), "")
            .hint(hint)
            .hint(format!("{remedy}, or have the baseline changed by whoever owns it")),
    )
}
