//! `bottle plan`, as a black box: everything that render would do, in words and for machines.

use fs_err as fs;
use std::{path::Path, process::Command};

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn plan(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .arg("plan")
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn folder_with(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bottle.yaml"), manifest).unwrap();
    folder
}

#[test]
fn the_plan_of_an_example_in_words() {
    let said = plan(&example("intranet"), &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    insta::assert_snapshot!("plan_intranet", said.out);
}

#[test]
fn the_plan_without_routes_warns() {
    let said = plan(&example("no-routes"), &[]);
    assert_eq!(said.code, 0);
    assert!(
        said.out
            .contains("there is no path rule, no method rule, no credential, and git push is not refused")
    );
    assert!(!said.out.contains("egress-proxy  "), "{}", said.out);
}

/// Nothing that render would set is missing from what a machine reads.
#[test]
fn the_plan_for_machines_holds_every_variable_mount_and_host() {
    let said = plan(&example("claude-code"), &["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let bottle = &json["bottles"][0];
    assert_eq!(bottle["bottle"], "claude-code");
    assert_eq!(bottle["hosts"][0]["credential"], "CLAUDE_CODE_OAUTH_TOKEN");
    assert_eq!(bottle["hosts"][0]["path_allowlist"], serde_json::json!(["/v1/messages"]));
    let line = bottle["hosts"][0]["line"].as_u64().unwrap();
    let manifest = fs::read_to_string(example("claude-code").join("bottle.yaml")).unwrap();
    assert!(manifest.lines().nth(usize::try_from(line).unwrap() - 1).unwrap().contains("api.anthropic.com"));

    let compose = fs::read(example("claude-code").join(".bottle/claude-code/docker-compose.yml")).unwrap();
    let compose: serde_json::Value = serde_yaml::from_slice(&compose).unwrap();
    let rendered = compose["services"]["agent"]["environment"].as_object().unwrap();
    let planned = bottle["agent"]["environment"].as_array().unwrap();
    assert_eq!(planned.len(), rendered.len());
    for variable in planned {
        assert_eq!(rendered[variable["name"].as_str().unwrap()], variable["value"]);
        assert!(variable["why"].is_string(), "{variable}");
    }
    let mounts: Vec<_> =
        bottle["agent"]["mounts"].as_array().unwrap().iter().map(|it| &it["target"]).collect();
    assert_eq!(mounts, ["/work", "/work/.bottle", "/work/agent"]);
}

#[test]
fn a_folder_means_every_manifest_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let text = format!(
            "version: 1\nname: {name}\nagent: {{image: agent:local}}\negress: {{allowlist: [a.example]}}\n"
        );
        fs::write(folder.path().join(format!("{name}.bottle.yaml")), text).unwrap();
    }
    let said = plan(folder.path(), &[".", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let names: Vec<_> = json["bottles"].as_array().unwrap().iter().map(|it| &it["bottle"]).collect();
    assert_eq!(names, ["one", "two"]);

    fs::copy(folder.path().join("one.bottle.yaml"), folder.path().join("three.bottle.yaml")).unwrap();
    let said = plan(folder.path(), &["."]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("their names must differ"), "{}", said.err);
}

#[test]
fn a_mount_of_the_build_context_is_refused_with_its_place() {
    let folder = folder_with(
        "version: 1\nname: dev\nagent:\n  build: {context: .}\n  mounts:\n    - {source: ., target: /work}\n\
         egress: {allowlist: [a.example]}\n",
    );
    let said = plan(folder.path(), &[]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    insta::assert_snapshot!("plan_mount_of_the_build_context", said.err);
}

/// A link out of the project and back into it is no way around the read-only mount.
#[test]
fn a_link_to_the_project_is_refused() {
    let folder = folder_with(
        "version: 1\nname: dev\nagent:\n  image: agent:local\n  mounts:\n    - {source: ./link, target: /work}\n\
         egress: {allowlist: [a.example]}\n",
    );
    fs_err::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    let said = plan(folder.path(), &[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("the mount of `link` lets the agent write to"), "{}", said.err);
}

#[test]
fn an_extra_ca_that_is_a_key_or_absent_is_refused() {
    let manifest = "version: 1\nname: dev\nagent: {image: agent:local}\negress: {allowlist: [a.example]}\n\
                    pipelock: {extra_ca: ./ca.pem}\n";
    let folder = folder_with(manifest);
    let said = plan(folder.path(), &[]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("pipelock.extra_ca") && said.err.contains("ca.pem"), "{}", said.err);

    fs::write(folder.path().join("ca.pem"), "-----BEGIN EC PRIVATE KEY-----\n").unwrap();
    let said = plan(folder.path(), &[]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("ca.pem holds a private key") && said.err.contains("bottle.yaml:5:"),
        "{}",
        said.err
    );

    fs::write(folder.path().join("ca.pem"), "no certificate\n").unwrap();
    assert!(plan(folder.path(), &[]).err.contains("ca.pem holds no certificate"));
}

#[test]
fn the_plan_shows_own_patterns_and_what_passes() {
    let manifest = "version: 1\nname: dev\nagent: {image: 'debian:12'}\negress_proxy: {routes: [{host: bank.example}]}\n\
        pipelock:\n  patterns: [{name: Badge, regex: 'BADGE-[0-9]{8}'}]\n  \
        except: [{pattern: IBAN, host: bank.example, reason: payments}]\n";
    let folder = folder_with(manifest);
    let said = plan(folder.path(), &[]);
    let line = |of: &str| said.out.lines().find_map(|line| line.trim_start().strip_prefix(of)).map(str::trim);
    assert_eq!(line("looks also for"), Some("Badge: `BADGE-[0-9]{8}`"), "{}", said.out);
    assert_eq!(
        line("LETS PASS"),
        Some("IBAN to bank.example: \"payments\" (pipelock.except[0])"),
        "{}",
        said.out
    );
    let json: serde_json::Value =
        serde_json::from_str(&plan(folder.path(), &["--format", "json"]).out).unwrap();
    let pipelock = &json["bottles"][0]["pipelock"];
    assert_eq!(pipelock["patterns"], serde_json::json!([{"name": "Badge", "regex": "BADGE-[0-9]{8}"}]));
    assert_eq!(pipelock["except"][0]["host"], "bank.example");
}
