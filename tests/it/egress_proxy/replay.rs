//! What the running proxies recorded, asked for again under the same rules: nothing may change.

use crate::captured::Captured;
use bottle::{
    config::{embedded::EmbeddedFile, pipelock::PipelockFile, routes::RoutesFile},
    explain::BottleRules,
    render::paths::{EMBEDDED, PIPELOCK, ROUTES},
    replay::{Change, NotReplayed, Replay, Summary},
    telemetry::audit::{AuditFile, AuditLine},
    yaml,
};
use camino::Utf8Path;
use fs_err as fs;
use std::io::Cursor;

/// The rules of these files, as they are read from a rendered tree.
fn rules(routes: &RoutesFile, pipelock: &PipelockFile, embedded: &EmbeddedFile) -> BottleRules {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(ROUTES, yaml::emit(routes).unwrap());
    write(PIPELOCK, yaml::emit(pipelock).unwrap());
    write(EMBEDDED, yaml::emit(embedded).unwrap());
    BottleRules::of_tree(Utf8Path::from_path(dir.path()).unwrap()).unwrap()
}

/// Asks for everything in an audit trail again.
fn replayed(audit: &str, rules: &BottleRules) -> Summary {
    let mut replay = Replay::new(rules, None);
    let mut file = AuditFile::new(Cursor::new(audit.to_owned())).unwrap();
    while let Some(line) = file.next_line().unwrap() {
        let AuditLine::Entry(entry, unknown) = line else { panic!("{}: {line:?}", file.number()) };
        assert!(unknown.is_empty(), "{unknown:?}");
        replay.see(&entry);
    }
    replay.finish()
}

/// Nothing changes for requests that were recorded under these rules; enough of them, allowed and denied, could be
/// asked for again.
fn assert_nothing_changes(audit: &str, rules: &BottleRules) {
    let summary = replayed(audit, rules);
    for change in Change::ALL {
        assert!(summary.groups.of(change).is_empty(), "{change:?}: {:#?}", summary.groups.of(change));
    }
    let same = (summary.still_allowed, summary.still_denied);
    assert!(same.0 >= 200 && same.1 >= 200, "{same:?} of {:?}", summary.not_replayed);
    assert_eq!(summary.not_replayed.get(&NotReplayed::Unfinished), None);
    assert_eq!(summary.not_replayed.get(&NotReplayed::OtherBottle), None);
}

/// `bottle test --replay` of what proxies with these files recorded, once everything is, under the same rules and
/// under others.
pub(super) async fn assert_replay(
    audit: &Captured,
    mut routes: RoutesFile,
    mut pipelock: PipelockFile,
    mut embedded: EmbeddedFile,
) {
    let count = |text: &str, event: &str| text.matches(&format!("\"event\":\"{event}\"")).count();
    let ended = |text: &str| (count(text, "dispatch") == count(text, "end")).then(|| text.to_owned());
    let recorded = audit.wait("end of each dispatch", ended).await;
    embedded.bottle.clone_from(&routes.bottle);
    assert_nothing_changes(&recorded, &rules(&routes, &pipelock, &embedded));
    let removed = "api.test";
    routes.routes.retain(|route| route.host != removed);
    embedded.hosts.retain(|host| host.host != removed);
    pipelock.api_allowlist.retain(|host| host != removed);
    let summary = replayed(&recorded, &rules(&routes, &pipelock, &embedded));
    let of = |change| summary.groups.requests_of(change);
    assert!(of(Change::NewlyDenied) > 20, "{summary:#?}");
    assert_eq!((of(Change::NewlyAllowed), of(Change::OtherCredential)), (0, 0), "{summary:#?}");
    let groups = summary.groups.of(Change::NewlyDenied);
    assert!(groups.iter().all(|group| group.origin.contains(removed)), "{groups:#?}");
}
