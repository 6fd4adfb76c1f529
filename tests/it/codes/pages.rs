//! The manifests and commands in the pages, held against the program.
//!
//! A block of YAML with a `version` is a whole manifest. Any other is completed: with a version, a name, and an image that
//! raises nothing. A block of `lints` below "What to do" goes together with the example.

use bottle::codes::{CODES, Code, CodeKind};
use bottle::diagnostic::{Report, Severity};
use bottle::lint::{self, Facts};
use bottle::manifest::Manifest;
use bottle::plan::{Plan, Surroundings};
use std::collections::BTreeSet;
use std::process::Command;

const IMAGE: &str = "debian:12@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Pages about more than the text of one manifest: a second file, or this machine. [`super::fixtures`] has each of them.
const ELSEWHERE: [&str; 16] = [
    "baseline",
    "beyond-baseline",
    "expectation",
    "extra-ca-holds-a-key",
    "extra-ca-unreadable",
    "mount-can-be-replaced",
    "mount-holds-secrets",
    "mount-of-the-engine",
    "mount-through-a-link",
    "no-tests",
    "not-locked",
    "schema",
    "secret",
    "test-manifest",
    "too-many-problems",
    "writable-git",
];

fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let all = text.split(&*open).skip(1).filter_map(|rest| rest.split("\n```").next());
    all.map(|block| format!("{block}\n")).collect()
}

fn whole(block: &str) -> String {
    let has = |key: &str| block.lines().any(|line| line.starts_with(key));
    if has("version:") {
        return block.to_owned();
    }
    let name = if has("name:") { "" } else { "name: dev\n" };
    let agent = format!("agent:\n  image: {IMAGE:?}\n");
    let block = match (has("agent:"), has("  image:") || has("  build:")) {
        (false, _) => agent + block,
        (true, false) => block.replacen("agent:\n", &agent, 1),
        (true, true) => block.to_owned(),
    };
    format!("version: 1\n{name}{block}")
}

/// The example with what is to be allowed.
fn with_lints(example: &str, lints: &str) -> String {
    if example.contains("\nlints:\n  allow:\n") {
        format!("{example}{}", lints.trim_start_matches("lints:\n  allow:\n"))
    } else {
        format!("{example}{lints}")
    }
}

/// What is said about a manifest: the codes of errors, or of lints where there are none.
fn said(text: &str) -> (Severity, BTreeSet<&'static str>) {
    let codes = |report: &Report| report.0.iter().map(|it| it.code).collect();
    let loaded = match Manifest::load("bottle.yaml", text.as_bytes()) {
        Ok(loaded) => loaded,
        Err(report) => return (Severity::Error, codes(&report)),
    };
    let around = Surroundings {
        extra_ca: Some("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n".to_owned()),
        ..Surroundings::beside("dev")
    };
    let plan = match Plan::resolve_loaded(&loaded, &around) {
        Ok(plan) => plan,
        Err(report) => return (Severity::Error, codes(&report)),
    };
    let facts =
        Facts { today: jiff::civil::date(2026, 11, 27), secrets: Vec::new(), writable_git: BTreeSet::new() };
    (Severity::Warning, codes(&lint::lints(&loaded, &plan, &facts)))
}

#[test]
fn every_example_of_a_manifest_raises_its_code_and_what_is_to_be_done_does_not() {
    for Code { name, page, kind } in
        CODES.iter().filter(|code| matches!(code.kind, CodeKind::Error | CodeKind::Lint))
    {
        let (example, remedy) = page.split_once("\n## What to do\n").unwrap();
        let examples: Vec<String> = blocks(example, "yaml").iter().map(|block| whole(block)).collect();
        let is_elsewhere = ELSEWHERE.contains(name);
        if !is_elsewhere {
            let [example] = examples.as_slice() else { panic!("{name}: one example") };
            let (severity, said) = said(example);
            // What can't be migrated is beside the key that was retired.
            let beside = if *name == "not-migrated" { vec![*name, "retired-key"] } else { vec![*name] };
            match kind {
                CodeKind::Error => assert_eq!(said, BTreeSet::from_iter(beside), "{name}\n{example}"),
                _ => assert!(
                    severity == Severity::Warning && said.contains(name),
                    "{name}: {said:?}\n{example}"
                ),
            }
        }
        for block in blocks(remedy, "yaml") {
            let block = match (block.starts_with("lints:\n"), examples.first()) {
                (true, Some(example)) => with_lints(example, &block),
                _ => whole(&block),
            };
            let (severity, said) = said(&block);
            let unseen = is_elsewhere && said == BTreeSet::from(["unused-allow"]);
            assert!(
                severity == Severity::Warning && !said.contains(name) || unseen,
                "{name}: {said:?}\n{block}"
            );
        }
    }
}

/// The words of a command line, with single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.trim().split('\'').enumerate() {
        let mut pieces = part.split(' ');
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
        } else {
            words.last_mut().unwrap().push_str(pieces.next().unwrap());
            words.extend(pieces.map(str::to_owned));
        }
    }
    words
}

#[test]
fn every_example_of_a_refusal_is_refused_in_these_words() {
    let mut explained = 0;
    for Code { name, page, .. } in CODES.iter().filter(|code| code.kind == CodeKind::Refusal) {
        let (example, remedy) = page.split_once("\n## What to do\n").unwrap();
        for block in blocks(remedy, "yaml") {
            let (severity, said) = said(&whole(&block));
            assert_eq!(severity, Severity::Warning, "{name}: {said:?}\n{block}");
        }
        let shown: Vec<String> = blocks(example, "text");
        assert_eq!(shown.len(), 1, "{name}: what the agent sees");
        let [manifest] = &blocks(example, "yaml")[..] else { continue };
        let command = words(blocks(example, "sh").first().unwrap());
        assert_eq!(command[..2], ["bottle", "explain"], "{name}");
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("bottle.yaml"), whole(manifest)).unwrap();
        let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(&command[1..])
            .args(["--format", "json", "--now", "2026-11-27"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(json["reason"], *name, "{json:#}");
        let message = format!("bottle: {}", json["message"].as_str().unwrap());
        assert_eq!(shown[0].split_whitespace().collect::<Vec<_>>().join(" "), message, "{name}");
        explained += 1;
    }
    assert!(explained > 10, "{explained}");
}
