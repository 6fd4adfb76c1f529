//! The rules of a file against gitleaks itself, which looked through the same commits. Its verdicts are recorded, so that
//! nobody has to build it: `gitleaks/verdicts.json` says by which version and how. To record anew:
//!
//! `GITLEAKS=/path/to/gitleaks cargo test --lib verdicts_are_recorded -- --ignored`

mod corpus;

use super::*;
use crate::policy::SecretRules;
use corpus::{Case, cases};
use serde_json::{Value, json};
use std::{collections::BTreeMap, collections::BTreeSet, process::Command, process::Stdio, sync::Arc};

const RULES: &str = include_str!("gitleaks/rules.toml");
const VERDICTS: &str = include_str!("gitleaks/verdicts.json");

/// Where the two differ, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("comment", "a comment `gitleaks:allow` exempts nothing here: who writes the file writes the comment"),
    ("binary", "git shows gitleaks no binary file, and here every blob is searched"),
    ("message", "gitleaks does not read messages of commits"),
    (
        "encoded",
        "gitleaks decodes before it searches; here the built-in patterns look into what is encoded, and rules do not",
    ),
];

fn rules() -> SecretRules {
    SecretRules::parse("rules.toml", RULES).unwrap()
}

/// A push of one commit.
fn pushed(case: &Case, scan: &Scanners) -> Result<Inspected, Refused> {
    let mut forged = Forged::new();
    let mut below = forged.whole(BLOB, &case.content);
    for (at, name) in case.path.rsplit('/').enumerate() {
        let mode = if at == 0 { "100644" } else { "40000" };
        below = forged.whole(TREE, &tree_of(&[(mode, name.as_bytes(), below)]));
    }
    let commit = forged.whole(COMMIT, &commit_of(below, &[], &case.message));
    inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), scan)
}

/// What is found in it, by kinds.
fn kinds(result: Result<Inspected, Refused>) -> BTreeSet<String> {
    let Err(refused) = result else { return BTreeSet::new() };
    assert_eq!(refused.kind, RefusedKind::Credential, "{refused:?}");
    let lines = refused.remote.iter().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| line.split(" in ").next().unwrap().to_owned()).collect()
}

#[test]
fn rules_find_what_gitleaks_finds() {
    let recorded: Value = serde_json::from_str(VERDICTS).unwrap();
    let file = rules();
    let ids: BTreeSet<String> = file.rules.iter().map(|rule| rule.id.clone()).collect();
    let ruled = Scanners { rules: Some(Arc::new(SecretScan::new(&file).unwrap())), ..scanners() };
    let cases = cases();
    assert!(cases.len() >= 200);
    let (mut apart, mut agreed, mut found, mut builtin) = (BTreeMap::new(), 0, 0, 0);
    for (number, case) in cases.iter().enumerate() {
        let theirs = recorded["found"].get(number.to_string());
        let theirs: BTreeSet<String> =
            theirs.map(|it| serde_json::from_value(it.clone()).unwrap()).unwrap_or_default();
        let all = kinds(pushed(case, &ruled));
        let ours: BTreeSet<String> = all.intersection(&ids).cloned().collect();
        builtin += usize::from(ours.is_empty() && !all.is_empty());
        found += usize::from(!theirs.is_empty());
        if ours == theirs {
            agreed += 1;
        } else {
            let why = case.apart.unwrap_or_else(|| {
                panic!("case {number}, {}: gitleaks {theirs:?}, here {ours:?}", case.path)
            });
            // Less than gitleaks only where it decodes.
            assert!(ours.is_superset(&theirs) || why == "encoded", "case {number}: {theirs:?}, {ours:?}");
            apart.entry(why).or_insert_with(Vec::new).push(number);
        }
    }
    let explained: BTreeSet<&str> = DIFFERENCES.iter().map(|(why, _)| *why).collect();
    assert_eq!(
        apart.keys().copied().collect::<BTreeSet<_>>(),
        explained,
        "every reason is one, and none is missing"
    );
    assert!(found > 120 && agreed > 220, "{found} {agreed}");
    assert!(builtin > 0, "the built-in patterns find more: {builtin}");
}

#[test]
#[ignore = "it runs gitleaks, and writes what the test above compares with"]
fn verdicts_are_recorded() {
    let gitleaks = std::env::var("GITLEAKS").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let git = |arguments: &[&str], input: &[u8]| {
        let mut child =
            Command::new("git").current_dir(at).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(child.wait().unwrap().success());
    };
    git(&["init", "-q", "-b", "main"], b"");
    git(&["fast-import", "--quiet"], &corpus::stream(&cases()));
    fs_err::write(at.join("rules.toml"), RULES).unwrap();
    let arguments =
        "git --config rules.toml --report-format json --report-path report.json --no-banner --exit-code 0";
    let done = Command::new(&gitleaks).current_dir(at).args(arguments.split(' ')).status().unwrap();
    assert!(done.success());
    let report: Value = serde_json::from_slice(&fs_err::read(at.join("report.json")).unwrap()).unwrap();
    let mut found: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for it in report.as_array().unwrap() {
        let number =
            it["Message"].as_str().unwrap().strip_prefix("case ").unwrap().split(':').next().unwrap();
        found.entry(number.parse().unwrap()).or_default().insert(it["RuleID"].as_str().unwrap().to_owned());
    }
    let version = Command::new(&gitleaks).arg("version").output().unwrap().stdout;
    let recorded = json!({
        "gitleaks": "github.com/zricethezav/gitleaks/v8@v8.30.1, built by go install",
        "version": String::from_utf8(version).unwrap().trim(),
        "command": format!("gitleaks {arguments}"),
        "found": found,
    });
    let text = serde_json::to_string_pretty(&recorded).unwrap() + "\n";
    fs_err::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/git_gate/pack/tests/gitleaks/verdicts.json"),
        text,
    )
    .unwrap();
}

/// The first files that a push carries, at these paths; what refuses it.
fn of_files(scan: &Scanners, files: &[(&str, &str)], message: &str) -> BTreeSet<String> {
    let mut forged = Forged::new();
    let mut entries = Vec::new();
    let mut known = BTreeSet::new();
    for (path, content) in files {
        let (folder, name) = path.split_once('/').unwrap();
        let blob = id_of("blob", content.as_bytes());
        let tree = tree_of(&[("100644", name.as_bytes(), blob)]);
        let id = id_of("tree", &tree);
        if known.insert(blob) {
            forged.whole(BLOB, content.as_bytes());
        }
        if known.insert(id) {
            forged.whole(TREE, &tree);
        }
        entries.push(("40000", folder.as_bytes(), id));
    }
    let root = forged.whole(TREE, &tree_of(&entries));
    let commit = forged.whole(COMMIT, &commit_of(root, &[], message));
    kinds(inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), scan))
}

#[test]
fn an_allowlist_of_paths_holds_where_a_file_lies_nowhere_else() {
    let text = "[[rules]]\nid = 'ours'\nregex = 'OURS-[0-9]{6}'\nkeywords = ['ours']\n[[rules.allowlists]]\npaths = ['^docs/']\n\
                [[rules]]\nid = 'keys'\npath = '[.]key$'\n[[rules]]\nid = 'in-env'\nregex = 'PASS=.+'\npath = '[.]env$'\n";
    let scan = SecretScan::new(&SecretRules::parse("x", text).unwrap()).unwrap();
    let scan = Scanners { rules: Some(Arc::new(scan)), ..scanners() };
    let of = |files: &[(&str, &str)]| of_files(&scan, files, "one").into_iter().collect::<Vec<_>>();
    let none = Vec::<String>::new();
    assert_eq!(of(&[("a/x", "OURS-123456")]), ["ours"]);
    assert_eq!(of(&[("a/x", "ours-123456")]), none);
    assert_eq!(of(&[("docs/x", "OURS-123456")]), none);
    assert_eq!(
        of(&[("docs/x", "OURS-123456"), ("src/x", "OURS-123456")]),
        ["ours"],
        "one place does not exempt the other"
    );
    assert_eq!(of(&[("docs/y", "OURS-123456"), ("src/z", "OURS-123456")]), ["ours"]);
    assert_eq!(of(&[("a/x.key", "x")]), ["keys"]);
    assert_eq!(of(&[("a/x.env", "PASS=1"), ("b/x", "PASS=1")]), ["in-env"]);
    assert_eq!(of(&[("b/x", "PASS=1")]), none);
    assert_eq!(
        of_files(&scan, &[("a/x", "x")], "it is OURS-123456").into_iter().collect::<Vec<_>>(),
        ["ours"]
    );
    assert_eq!(of_files(&scan, &[("a/x", "x")], "it is PASS=1").into_iter().collect::<Vec<_>>(), none);
    // Across windows, with the line; and a keyword that stands far from it.
    let far = format!("{}OURS-123456\n{}", "x\n".repeat(200_000), "y\n".repeat(300_000));
    let (forged, commit) = one_file("far", far.as_bytes());
    let refused = inspect(&spooled(&forged.pack()), &creates(commit), &[], false, &Limits::default(), &scan);
    assert_eq!(
        refused.unwrap_err().reason,
        format!("it carries a credential: ours in line 200001 of far in commit {commit}")
    );
    // In no commit: a path is not known, and exempts nothing.
    let mut forged = Forged::new();
    forged.whole(BLOB, b"OURS-123456");
    assert!(inspect(&spooled(&forged.pack()), &[], &[], false, &Limits::default(), &scan).is_err());
}
