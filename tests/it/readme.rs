//! What the README shows is what the binary does.

use std::process::Command;

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
    std::fs::create_dir(folder.path().join("agent")).unwrap();
    let [manifest] = blocks("yaml")[..] else { panic!("one manifest") };
    std::fs::write(folder.path().join("bottle.yaml"), manifest).unwrap();
    let ran = bottle(&["plan"], folder.path());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("CLAUDE_CODE_OAUTH_TOKEN"));
}

#[test]
fn every_command_that_it_names_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let named = regex::Regex::new(r"(?m)(?:^|`|or: )bottle ([a-z-]+)").unwrap();
    let verbs: std::collections::BTreeSet<_> = named.captures_iter(README).map(|c| c[1].to_owned()).collect();
    assert!(verbs.len() > 7, "{verbs:?}");
    for verb in verbs {
        let ran = bottle(&[&verb, "--help"], folder.path());
        assert!(ran.status.success(), "bottle {verb}");
    }
}

#[test]
fn every_file_that_it_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = regex::Regex::new(r"`((?:scripts|docs|examples|schema)/[\w./-]*|[A-Z]+\.md)`").unwrap();
    let mut count = 0;
    for file in named.captures_iter(README) {
        count += 1;
        assert!(root.join(&file[1]).exists(), "{}", &file[1]);
    }
    assert!(count > 4, "{count}");
}
