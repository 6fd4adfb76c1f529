//! The generated reference: the command line, its exit codes, and what identifies a schema.

use crate::golden::{assert_golden, root};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

fn bottle(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle")).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    assert_golden(&root().join("docs/cli.md"), &bottle(&["man", "--reference"]));
}

/// What a person finds by `--help` is in the reference, and the other way round.
#[test]
fn every_command_and_option_is_in_the_reference() {
    let reference = bottle(&["man", "--reference"]);
    let help = bottle(&["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let mut verbs: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    verbs.retain(|verb| !verb.is_empty() && *verb != "help");
    assert!(verbs.len() > 15, "{verbs:?}");
    let option = regex::Regex::new(r"(?m)^ +(?:-\w, )?(--[a-z-]+)").unwrap();
    let mut options = 0;
    for verb in &verbs {
        let (_, rest) =
            reference.split_once(&format!("\n### `bottle {verb}`\n")).unwrap_or_else(|| panic!("{verb}"));
        let section = rest.split("\n### ").next().unwrap();
        assert!(section.contains("Exit code 0: "), "{verb}");
        let help = bottle(&["help", verb]);
        assert!(help.contains("Exit codes:\n  0  "), "{verb}: {help}");
        for found in option.captures_iter(&help) {
            let of_every = ["--format", "--json", "--color", "--quiet", "--verbose", "--help", "--version"];
            if !of_every.contains(&&found[1]) {
                options += 1;
                assert!(section.contains(&found[1]), "bottle {verb} {}", &found[1]);
            }
        }
        assert!(!section.contains("--verbose"), "{verb}: what every command has stands there once");
        assert!(reference.contains(&format!("\n| `{verb}` | ")), "{verb} has no row of exit codes");
    }
    assert!(options > 30, "{options}");
}

#[test]
fn every_schema_is_identified_and_loads_nothing() {
    let readme = include_str!("../../schema/README.md");
    let files: BTreeSet<String> = fs_err::read_dir(root().join("schema"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let outside = regex::Regex::new(r#""\$ref": "[^#]"#).unwrap();
    let mut ids = BTreeSet::new();
    for what in ["manifest", "test", "diff", "audit", "report", "status"] {
        let printed = bottle(&["schema", what]);
        let schema: Value = serde_json::from_str(&printed).unwrap();
        let id = format!("urn:bottle:schema:{what}:1");
        assert_eq!(schema["$id"], id.as_str());
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::new(&schema).unwrap();
        assert!(!outside.is_match(&printed), "{what}");
        let row =
            readme.lines().find(|line| line.contains(&format!("`{id}`"))).unwrap_or_else(|| panic!("{id}"));
        let file = row.split('`').nth(1).unwrap();
        assert_eq!(fs_err::read_to_string(root().join("schema").join(file)).unwrap(), printed, "{file}");
        ids.insert(file.to_owned());
    }
    assert_eq!(ids, files, "each committed schema is one that is printed");
}

#[test]
fn the_records_of_the_page_and_no_others_are_what_the_schema_of_a_line_says() {
    let audit = include_str!("../../docs/audit.md");
    let schema = bottle::telemetry::audit::schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let lines = audit.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
    for line in lines.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        assert!(validator.is_valid(&record), "{:?}", validator.iter_errors(&record).next());
        record["connection"] = "seven".into();
        assert!(!validator.is_valid(&record), "{line}");
    }
    let counting =
        r#"{"time":"2026-11-24T12:30:01Z","event":"counting","decided_by":"pipelock","series":"sent"}"#;
    assert!(validator.is_valid(&serde_json::from_str(counting).unwrap()));
    assert!(!validator.is_valid(&serde_json::from_str(&counting.replace("counting", "other")).unwrap()));
}
