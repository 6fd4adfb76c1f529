//! The same through the program: stderr, exit codes, and which file is read.

use super::{assert_golden, fixtures};
use fs_err as fs;
use serde_json::Value;
use std::path::Path;

/// Runs `bottle plan` in a folder.
fn plan(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bottle"));
    command.arg("plan").args(arguments).current_dir(folder).env_remove("NO_COLOR").output().unwrap()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_binary_says_the_same_on_stderr_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for path in fixtures("bad") {
        fs::copy(&path, folder.path().join("bottle.yaml")).unwrap();
        let output = plan(folder.path(), &[]);
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(2), &b""[..]),
            "{}",
            path.display()
        );
        let said = stderr(&output);
        let (report, more) = said.rsplit_once("\n`bottle explain-code ").unwrap();
        assert!(more.contains("` says more"), "{said}");
        assert_golden(&path.with_extension("stderr"), report);
    }
}

#[test]
fn the_binary_refuses_a_hostile_file_at_its_place_and_soon() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(Vec<u8>, &str); 5] = [
        (vec![b'['; 10_000_000], "error: bottle.yaml is larger than 1 MiB\n"),
        (vec![b'['; 1_000_000], "nested more than 32 deep"),
        (b"\xef\xbb\xbfversion: 1\r\n".to_vec(), "byte order mark"),
        (b"version: 1\nname: \xff\n".to_vec(), "bottle.yaml:2:7"),
        (b"version: 1\n---\nversion: 1\n".to_vec(), "bottle.yaml:2:1"),
    ];
    for (text, said) in cases {
        fs::write(folder.path().join("bottle.yaml"), &text).unwrap();
        let output = plan(folder.path(), &[]);
        let said_it = stderr(&output);
        assert!(output.status.code() == Some(2) && said_it.contains(said), "{said}: {said_it}");
        assert!(said_it.len() < 5_000, "{} bytes", said_it.len());
    }
    // A file that has no end is not even opened.
    let endless = stderr(&plan(folder.path(), &["/dev/zero"]));
    assert!(endless.starts_with("error: /dev/zero is a device and no file: "), "{endless}");
}

#[test]
fn the_manifest_is_found_here_above_and_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let nothing = stderr(&plan(&below, &["."]));
    assert_eq!(nothing, "error[no-manifest]: . has no manifest: no bottle.yaml and no NAME.bottle.yaml\n");
    fs::write(folder.path().join("bottle.yaml"), "version: 2\nname: dev\nagent: {image: x}\n").unwrap();
    assert!(stderr(&plan(&below, &[])).contains(" --> ../../bottle.yaml:1:10\n"));
    assert!(stderr(&plan(folder.path(), &[])).contains(" --> bottle.yaml:1:10\n"));
    assert!(stderr(&plan(&below, &["../.."])).contains(" --> ../../bottle.yaml:1:10\n"));
    assert!(stderr(&plan(&below, &["gone.yaml"])).contains("gone.yaml"));
    assert!(stderr(&plan(&below, &["-"])).contains("can't be read from stdin"));
}

#[test]
fn a_report_is_json_for_who_asks_and_coloured_by_choice() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bottle.yaml"), "version: 2\nname: dev\nagent: {image: x}\n").unwrap();
    let json: Value = serde_json::from_str(&stderr(&plan(folder.path(), &["--format", "json"]))).unwrap();
    assert_eq!(json["problems"][0]["code"], "version");
    assert_eq!((&json["problems"][0]["line"], &json["problems"][0]["column"]), (&1.into(), &10.into()));
    assert!(stderr(&plan(folder.path(), &["--color", "always"])).contains('\u{1b}'));
    assert!(!stderr(&plan(folder.path(), &[])).contains('\u{1b}'));
}
