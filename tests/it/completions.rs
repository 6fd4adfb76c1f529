//! What shells complete and what manual pages say, out of the definitions that parse.

use std::io::Write as _;
use std::process::{Command, Stdio};

fn bottle(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle")).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn verbs() -> Vec<String> {
    let help = bottle(&["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let verbs = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
    verbs.filter(|verb| !verb.is_empty() && verb != "help").collect()
}

#[test]
fn every_shell_completes_every_command() {
    let verbs = verbs();
    assert!(verbs.len() > 15, "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = bottle(&["completions", shell]);
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{shell}: {verb}");
        }
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(bottle(&["completions", "bash"]).as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn every_command_has_a_manual_page() {
    let page = bottle(&["man"]);
    assert!(page.contains(".TH bottle 1") && page.contains("bottle\\-render(1)"), "{page}");
    for verb in verbs() {
        let page = bottle(&["man", &verb]);
        assert!(page.contains(&format!(".TH bottle-{verb} 1")), "{page}");
    }
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle")).args(["man", "nope"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(ran.stderr).unwrap(),
        "error: there is no command nope; bottle --help lists them\n"
    );
}

#[test]
fn a_text_for_another_program_is_no_data() {
    for arguments in [&["completions", "bash"][..], &["man"], &["man", "diff"]] {
        let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(arguments)
            .args(["--format", "json"])
            .output()
            .unwrap();
        assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(2), &b""[..]), "{arguments:?}");
        let said: serde_json::Value = serde_json::from_slice(&ran.stderr).unwrap();
        let why = "--format json is for data; this command prints a text that another program reads";
        assert_eq!(said, serde_json::json!({ "error": why }), "{arguments:?}");
    }
}
