//! What the scripts say while a person waits.

use crate::golden::root;
use std::process::Command;

/// The command ends when its own output has what must be said meanwhile, so nothing depends on how long a step takes.
#[test]
fn a_step_that_takes_long_says_what_it_is_at() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        set -euo pipefail
        PROGRAM=setup LOGS="$1/logs" SAY_EVERY=0.05
        . "$2/scripts/lib/say.sh"
        step() {
            printf '\33[1m   Compiling one\33[0m\n'
            for _ in $(seq 600); do grep -q 's: Compiling one … $' "$1" && return 0; sleep 0.05; done
            return 1
        }
        doing build 'building it' step "$1/said" >"$1/said"
        if ! (doing build 'building it' false) >>"$1/said" 2>&1; then echo "exit $?" >>"$1/said"; fi
    "#;
    let mut bash = Command::new("bash");
    let ran = bash.args(["-c", script, "bash"]).arg(folder.path()).arg(root()).output().unwrap();
    let said = fs_err::read_to_string(folder.path().join("said")).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "setup: build      building it … ");
    assert!(lines[1].starts_with("setup: build      "), "{said}");
    assert!(said.contains("s: Compiling one … done in ") && !said.contains('\u{1b}'), "{said}");
    assert!(said.contains("building it failed with exit code 1"), "{said}");
}
