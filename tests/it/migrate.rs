//! `bottle migrate`: every shape of the old `cred_proxy`, each with what becomes of it.
//!
//! `tests/manifests/migrate/NAME.yaml` has its result in `NAME.migrated`, the matrix in `matrix.txt`;
//! `UPDATE_GOLDEN=1` rewrites them.

use crate::golden::{assert_golden, root};
use bottle::manifest::{Manifest, migrate};
use bottle::policy::{HostRule, Route};
use fs_err as fs;
use std::fmt::Write as _;
use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

fn folder() -> std::path::PathBuf {
    root().join("tests/manifests/migrate")
}

/// The result, what is left, and what is worth a look.
fn result(text: &str) -> String {
    let migrated = migrate("bottle.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    let mut out = migrated.text;
    for note in migrated.notes {
        let _ = writeln!(out, "# note: {note}");
    }
    if !migrated.left.0.is_empty() {
        out += "# left:\n";
        migrated.left.0.iter().for_each(|problem| out += &problem.render(false));
    }
    out
}

#[test]
fn every_layout_becomes_what_is_expected() {
    let mut names: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() >= 9);
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        assert_golden(&path.with_extension("migrated"), &result(&text));
    }
}

const HEAD: &str = "version: 1\nname: dev\nagent: {image: \"debian:12\"}\n";

fn rules(text: &str) -> Vec<HostRule> {
    let loaded =
        Manifest::load("bottle.yaml", text.as_bytes()).unwrap_or_else(|report| panic!("{report}\n{text}"));
    let unplaced = |rule: &HostRule| HostRule {
        route: Route { source: String::new(), ..rule.route.clone() },
        ..rule.clone()
    };
    loaded.manifest.hosts().map(unplaced).collect()
}

/// All values of all fields with each other, in block and flow style: what is migrated has the rules of the recipe that
/// `render` prints, and what is not has a reason.
#[test]
fn the_whole_matrix_of_fields() {
    let paths = ["", "path: /x/"];
    let upstreams = [
        "upstream: https://a.example",
        "upstream: https://a.example/v1/",
        "upstream: https://a.example:8443",
        "upstream: http://a.example",
        "upstream: http://a.example:8080",
        "upstream: ftp://a.example",
        "upstream: https://10.0.0.1",
        "upstream: 7",
        "",
    ];
    let credentials: [&[&str]; 8] = [
        &[],
        &["auth_scheme: bearer", "token_ref: T"],
        &["token_ref: T", "auth_scheme: token"],
        &["auth_scheme: Basic", "token_ref: T"],
        &["auth_scheme: x-api-key", "token_ref: T"],
        &["auth_scheme: token"],
        &["token_ref: T"],
        &["auth_scheme:", "token_ref:"],
    ];
    let roles = ["", "role: model", "role: [git-insteadof, x]"];
    let mut golden = String::new();
    let (mut done, mut left) = (0, 0);
    for path in paths {
        for upstream in upstreams {
            for credential in credentials {
                for role in roles {
                    let fields = [&[path, upstream][..], credential, &[role]].concat();
                    let fields: Vec<&str> = fields.into_iter().filter(|field| !field.is_empty()).collect();
                    if fields.is_empty() {
                        continue;
                    }
                    let block = format!("{HEAD}cred_proxy:\n  routes:\n    - {}\n", fields.join("\n      "));
                    let flow = format!("{HEAD}cred_proxy: {{routes: [{{{}}}]}}\n", fields.join(", "));
                    let migrated = migrate("bottle.yaml", &block).unwrap();
                    let _ = writeln!(golden, "{}", fields.join(", "));
                    let in_flow = migrate("bottle.yaml", &flow).unwrap();
                    if let Some(why) = migrated.left.0.iter().find(|one| one.code == "not-migrated") {
                        left += 1;
                        assert_eq!(migrated.text, block, "what is left is as it was");
                        assert!(!in_flow.left.0.is_empty() && in_flow.text == flow);
                        let why = why.message.trim_start_matches("this route can't be migrated by machine: ");
                        let _ = writeln!(golden, "    left: {why}\n");
                        continue;
                    }
                    done += 1;
                    let recipe = Manifest::load("bottle.yaml", block.as_bytes()).unwrap_err();
                    let recipe = recipe.0.iter().find_map(|one| one.paste.clone()).expect("a recipe");
                    let expected = rules(&format!("{HEAD}{recipe}"));
                    assert_eq!(rules(&migrated.text), expected, "{block}");
                    assert_eq!(rules(&in_flow.text), expected, "{flow}\n{}", in_flow.text);
                    for line in migrated.text.lines().skip(5) {
                        let _ = writeln!(golden, "{line}");
                    }
                    golden.push('\n');
                }
            }
        }
    }
    assert!(done > 60 && left > 200, "{done} {left}");
    assert_golden(&folder().join("matrix.txt"), &golden);
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &Path, args: &[&str]) -> Said {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_bottle")).arg("migrate").args(args).current_dir(folder).output();
    let ran = ran.unwrap();
    Said {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

fn folder_with(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bottle.yaml"), manifest).unwrap();
    folder
}

const OLD: &str = "\
version: 1
name: dev
agent: {image: \"debian:12\"}
cred_proxy:
  routes:
    - path: /gh/ # the forge
      upstream: https://api.github.com/repos
";

#[test]
fn the_diff_is_shown_and_written_only_when_asked_for() {
    let folder = folder_with(OLD);
    let file = folder.path().join("bottle.yaml");
    fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = run(folder.path(), &[]);
    let patch = "\
--- a/bottle.yaml
+++ b/bottle.yaml
@@ -1,7 +1,7 @@
 version: 1
 name: dev
 agent: {image: \"debian:12\"}
-cred_proxy:
+egress_proxy:
   routes:
-    - path: /gh/ # the forge
-      upstream: https://api.github.com/repos
+    - host: api.github.com # the forge
+      path_allowlist: [/repos]
";
    assert_eq!((said.code, said.out.as_str()), (1, patch));
    assert_eq!(said.err, "nothing was written; `bottle migrate --write` applies the patch\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), OLD);
    let said = run(folder.path(), &["--write"]);
    assert_eq!((said.code, said.out.as_str()), (0, patch));
    assert_eq!(said.err, "bottle.yaml was written; `bottle render` comes next\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let said = run(folder.path(), &["--write"]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "", "bottle.yaml: nothing to migrate\n")
    );
}

#[test]
fn what_is_left_is_listed_and_makes_the_code() {
    let text = format!("{OLD}    - path: /b/\n      upstream: ftp://b.example\n");
    let folder = folder_with(&text);
    let said = run(folder.path(), &["--write"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("What is left to do by hand, in the manifest as the patch makes it:\n"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("can't be migrated by machine: its upstream has the scheme `ftp`"),
        "{}",
        said.err
    );
    let now = fs::read_to_string(folder.path().join("bottle.yaml")).unwrap();
    assert!(now.contains("- host: api.github.com # the forge") && now.contains("ftp://b.example"), "{now}");
    let said = run(folder.path(), &["--format", "json"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "nothing more can be done by machine");
    assert!(said.err.contains("\"code\":\"not-migrated\""), "{}", said.err);
}

#[test]
fn what_cannot_be_read_is_refused_and_nothing_is_written() {
    let secret = OLD.replace("name: dev", &format!("name: dev # gh{}_{}", "p", "a1B2".repeat(9)));
    for (text, expected) in [
        ("cred_proxy: [\n", "this is not YAML"),
        (secret.as_str(), "the manifest holds a secret"),
        (
            "tokens: {}\nversion: 1\nname: dev\nagent: {image: x}\n",
            "`tokens` is no longer a key of the manifest",
        ),
    ] {
        let folder = folder_with(text);
        let said = run(folder.path(), &["--write"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        assert!(said.err.contains(expected) && !said.err.contains("a1B2a1B2"), "{}", said.err);
        assert_eq!(fs::read_to_string(folder.path().join("bottle.yaml")).unwrap(), text);
    }
    let folder = folder_with("x");
    fs::rename(folder.path().join("bottle.yaml"), folder.path().join("real.yaml")).unwrap();
    fs::os::unix::fs::symlink("real.yaml", folder.path().join("bottle.yaml")).unwrap();
    let said = run(folder.path(), &["bottle.yaml", "--write"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("bottle.yaml is a symbolic link, which bottle does not follow"),
        "{}",
        said.err
    );
}
