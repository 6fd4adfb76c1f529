//! pnpm: its lock names places only where they are not the registry's.

use super::findings::Findings;
use super::npm;
use super::sources::Sources;

const LOCK: &str = "pnpm-lock.yaml";

pub(super) fn read(sources: &Sources, findings: &mut Findings) {
    let Some(lock) = sources.text(LOCK) else { return };
    for line in lock.lines() {
        for (key, is_repository) in [("tarball: ", false), ("repo: ", true)] {
            // In a map on one line: `resolution: {tarball: URL, …}`.
            let Some((_, rest)) = line.split_once(key) else { continue };
            let place = rest.split([',', '}', ' ']).next().unwrap_or_default().trim_matches(['"', '\'']);
            if is_repository {
                findings.cloned(place, LOCK);
            } else {
                findings.fetched(place, LOCK);
            }
        }
    }
    let version = npm::manager(sources, "pnpm");
    findings.toolchains.by_npm.push(version.map_or("pnpm".to_owned(), |version| format!("pnpm@{version}")));
    if !npm::configured(sources, findings) {
        npm::default_registry(sources, findings);
    }
}
