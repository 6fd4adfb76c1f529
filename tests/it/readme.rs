//! What the README, the pages on reviews, pipelines and tests, and the one on the audit trail show is what the binary does.

use bottle::codes::{CODES, Code};
use bottle::telemetry::audit::{
    Counted, CountedKind, Counting, Event, PipelockRecord, PushRecord, Record, Suppressed, Verdict,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, process::Command};

const README: &str = include_str!("../../README.md");

/// The contents of the fenced blocks in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("```{language}\n");
    README.split(&*open).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

fn bottle(arguments: &[&str], folder: &std::path::Path) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_bottle")).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn its_manifest_is_one_that_bottle_accepts() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("agent")).unwrap();
    let [manifest] = blocks("yaml")[..] else { panic!("one manifest") };
    fs_err::write(folder.path().join("bottle.yaml"), manifest).unwrap();
    let ran = bottle(&["plan"], folder.path());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("CLAUDE_CODE_OAUTH_TOKEN"));
}

/// The question that it shows is the one that its manifest gives; memory is this machine's.
#[test]
fn its_question_is_the_one_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    for below in ["agent", ".git"] {
        fs_err::create_dir_all(project.join(below)).unwrap();
    }
    fs_err::write(project.join("agent/Dockerfile"), "FROM scratch\n").unwrap();
    fs_err::write(project.join("bottle.yaml"), blocks("yaml")[0]).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["render", "--image-binary", "/proc/self/exe"])
        .current_dir(&project)
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    let kept = |line: &&str| line.starts_with("  ") && !line.contains(" MiB of memory");
    let asked: Vec<&str> = said.lines().filter(kept).collect();
    let shown = blocks("console").into_iter().find(|block| block.starts_with("$ bottle render\n")).unwrap();
    let shown: Vec<&str> = shown.lines().filter(kept).collect();
    assert!(shown.len() > 4 && asked.starts_with(&shown), "{said}");
}

/// The pages and files that people copy commands from.
const PAGES: [(&str, &str); 35] = [
    ("README.md", README),
    ("docs/gitops.md", include_str!("../../docs/gitops.md")),
    ("docs/getting-started.md", include_str!("../../docs/getting-started.md")),
    ("docs/install.md", include_str!("../../docs/install.md")),
    ("docs/push.md", include_str!("../../docs/push.md")),
    ("docs/agent-fields.md", include_str!("../../docs/agent-fields.md")),
    ("docs/hosts.md", include_str!("../../docs/hosts.md")),
    ("docs/tasks/add-a-host.md", include_str!("../../docs/tasks/add-a-host.md")),
    ("docs/tasks/ci.md", include_str!("../../docs/tasks/ci.md")),
    ("docs/tasks/corporate-network.md", include_str!("../../docs/tasks/corporate-network.md")),
    ("docs/tasks/debug-a-refusal.md", include_str!("../../docs/tasks/debug-a-refusal.md")),
    ("docs/tasks/private-forge.md", include_str!("../../docs/tasks/private-forge.md")),
    ("docs/tasks/publish-a-port.md", include_str!("../../docs/tasks/publish-a-port.md")),
    ("docs/tasks/rotate-a-token.md", include_str!("../../docs/tasks/rotate-a-token.md")),
    ("docs/tasks/several-agents.md", include_str!("../../docs/tasks/several-agents.md")),
    ("docs/init.md", include_str!("../../docs/init.md")),
    ("docs/review.md", include_str!("../../docs/review.md")),
    ("docs/testing-a-manifest.md", include_str!("../../docs/testing-a-manifest.md")),
    ("docs/baseline.md", include_str!("../../docs/baseline.md")),
    ("docs/services-and-ports.md", include_str!("../../docs/services-and-ports.md")),
    ("docs/devcontainer.md", include_str!("../../docs/devcontainer.md")),
    ("docs/kubernetes.md", include_str!("../../docs/kubernetes.md")),
    ("docs/pipelock.md", include_str!("../../docs/pipelock.md")),
    ("docs/learn-and-tighten.md", include_str!("../../docs/learn-and-tighten.md")),
    ("docs/supervision.md", include_str!("../../docs/supervision.md")),
    ("docs/migrate.md", include_str!("../../docs/migrate.md")),
    ("docs/operations.md", include_str!("../../docs/operations.md")),
    ("pipeline.sh", include_str!("../../examples/gitops/pipeline.sh")),
    ("github-actions.yml", include_str!("../../examples/gitops/github-actions.yml")),
    ("forgejo-actions.yml", include_str!("../../examples/gitops/forgejo-actions.yml")),
    ("github-actions-review.yml", include_str!("../../examples/gitops/github-actions-review.yml")),
    ("forgejo-actions-review.yml", include_str!("../../examples/gitops/forgejo-actions-review.yml")),
    ("gitlab-ci.yml", include_str!("../../examples/gitops/gitlab-ci.yml")),
    ("pre-commit-hooks.yaml", include_str!("../../examples/gitops/pre-commit-hooks.yaml")),
    ("pre-commit-config.yaml", include_str!("../../examples/gitops/pre-commit-config.yaml")),
];

/// The arguments of each `bottle …` in code. A line of prose that begins with this name is none.
fn command_lines(page: &str, text: &str) -> Vec<Vec<String>> {
    let begins = r"(?:`|or: |&& |\$ |entry: |=\S* |/)";
    let inside = regex::Regex::new(&format!("{begins}bottle ([a-z-]+[^`|<>;&#\n]*)")).unwrap();
    let line = regex::Regex::new(r"^ *bottle ([a-z-]+[^`|<>;&#]*)").unwrap();
    let (mut found, mut is_code) =
        (Vec::new(), std::path::Path::new(page).extension() != Some("md".as_ref()));
    for one in text.lines() {
        is_code ^= one.starts_with("```");
        let whole = line.captures(one).filter(|_| is_code);
        for command in whole.into_iter().chain(inside.captures_iter(one)) {
            let words = command[1].split_whitespace();
            found.push(words.map(|word| word.trim_matches(['"', '\'', ',']).to_owned()).collect());
        }
    }
    found
}

/// Whether all of it parses; nothing is run.
fn parses(arguments: &[String]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let at = arguments.iter().position(|it| it == "--").unwrap_or(arguments.len());
    let mut asked: Vec<&str> = arguments.iter().map(String::as_str).collect();
    asked.insert(at, "--help");
    bottle(&asked, folder.path()).status.success()
}

#[test]
fn every_command_that_is_shown_is_one() {
    let mut verbs = BTreeSet::new();
    // The pages of codes tell of commands, and of none with a mistake in it.
    for Code { name, page, .. } in CODES {
        for command in command_lines(&format!("{name}.md"), page) {
            assert!(parses(&command), "{name}: bottle {}", command.join(" "));
        }
    }
    for (page, text) in PAGES {
        let commands = command_lines(page, text);
        let by_the_script = page.contains("-review") || page == "gitlab-ci.yml";
        assert!(!commands.is_empty() || by_the_script, "{page}");
        for command in commands {
            assert!(parses(&command), "{page}: bottle {}", command.join(" "));
            verbs.insert(command[0].clone());
        }
    }
    assert!(verbs.len() > 9, "{verbs:?}");
    let text = "#!/bin/sh\n    bottle diff \"$range\" --fail-on widen || status=$?\n";
    assert_eq!(command_lines("pipeline.sh", text).concat(), ["diff", "$range", "--fail-on", "widen"]);
    for wrong in ["difff", "diff --nope", "diff a --format junit", "render --check --nope -- a"] {
        let wrong: Vec<String> = wrong.split(' ').map(str::to_owned).collect();
        assert!(!parses(&wrong), "{wrong:?}");
    }
}

#[test]
fn every_file_that_it_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = regex::Regex::new(r"`((?:scripts|docs|examples|schema)/[\w./-]*|[A-Z]+\.md)`").unwrap();
    let mut count = 0;
    for file in named.captures_iter(README).chain(named.captures_iter(PAGES[1].1)) {
        count += 1;
        assert!(root.join(&file[1]).exists(), "{}", &file[1]);
    }
    assert!(count > 4, "{count}");
}

const AUDIT: &str = include_str!("../../docs/audit.md");

/// The names in the first column of the table below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, rest) = AUDIT.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

/// The fields of a record in which everything is known.
fn fields(record: &impl Serialize) -> BTreeSet<String> {
    let value = serde_json::to_value(record).unwrap();
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_field_of_an_audit_record_is_in_its_table() {
    let (at, text) = ("2026-11-24T12:30:01Z".parse().unwrap(), || Some("x".to_owned()));
    let record = Record {
        time: at,
        event: Event::End,
        request: "1-1-1".into(),
        bottle: "dev".into(),
        config: "c".into(),
        connection: 1,
        method: text(),
        scheme: text(),
        host: text(),
        port: Some(1),
        path: text(),
        target: text(),
        query_bytes: Some(1),
        git: text(),
        push: Some(Box::new(PushRecord {
            refs: Vec::new(),
            more_refs: 0,
            objects: None,
            exempted: 0,
            refused: None,
            server: None,
        })),
        verdict: Verdict::Deny,
        reason: text(),
        decided_by: "pipelock".into(),
        message: text(),
        finding: text(),
        rule: text(),
        source: text(),
        credential: text(),
        status: Some(1),
        request_bytes: 1,
        response_bytes: 1,
        messages_sent: Some(1),
        messages_received: Some(1),
        complete: true,
        first_byte_ms: Some(1),
        duration_ms: 1,
    };
    assert_eq!(documented("Fields of egress-proxy"), fields(&record));
    let pipelock = PipelockRecord {
        level: "info".into(),
        time: at,
        component: "pipelock".into(),
        config: text(),
        event: "blocked".into(),
        method: text(),
        url: text(),
        query_bytes: Some(1),
        target: text(),
        client_ip: text(),
        request_id: text(),
        scanner: text(),
        reason: text(),
        pattern: text(),
        encoding: text(),
        action: text(),
        removed: [("GitHub Token".to_owned(), 1)].into(),
        status_code: Some(1),
        size_bytes: Some(1),
        duration_ms: Some(1),
    };
    assert_eq!(documented("Fields of pipelock"), fields(&pipelock));
    let kind = json!({
        "host": "x", "method": "x", "rule": "x", "requests": 1, "outcomes": {}, "request_bytes": 1, "response_bytes": 1,
        "paths": 1, "more_paths": true, "first": at, "last": at,
    });
    let kind: CountedKind = serde_json::from_value(kind).unwrap();
    let by = || "pipelock".to_owned();
    let counted = Counted {
        time: at,
        event: "counted".into(),
        decided_by: by(),
        configs: vec!["x".into()],
        requests: 1,
        kinds: Vec::new(),
        other: Some(kind.clone()),
        first: at,
        last: at,
    };
    let suppressed = Suppressed {
        time: at,
        event: "suppressed".into(),
        decided_by: by(),
        configs: vec!["x".into()],
        count: 1,
        reasons: std::collections::BTreeMap::new(),
        hosts: 1,
        host: text(),
        more_hosts: true,
        first: at,
        last: at,
    };
    let counting = Counting { time: at, event: "counting".into(), decided_by: by(), series: "sent".into() };
    let counts = [fields(&kind), fields(&counted), fields(&suppressed), fields(&counting)];
    assert_eq!(documented("Counts"), counts.into_iter().flatten().collect());
}

#[test]
fn the_records_that_the_page_shows_are_a_dispatch_and_its_end() {
    let lines = AUDIT.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
    let records: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [dispatch, end] = &records[..] else { panic!("two records: {records:?}") };
    assert_eq!((dispatch.event, end.event), (Event::Dispatch, Event::End));
    assert_eq!(dispatch.request, end.request);
    assert!(dispatch.time < end.time);
    for (line, record) in lines.lines().zip(&records) {
        let shown: Value = serde_json::from_str(line).unwrap();
        assert_eq!(shown, serde_json::to_value(record).unwrap(), "no field that a record has not");
    }
}
