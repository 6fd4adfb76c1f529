//! `bottle lock` and `render --locked`, as far as no engine is needed. With one: `stack/lock.rs`.

use fs_err as fs;
use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};

struct Said {
    code: i32,
    out: String,
    err: String,
}

/// With a `docker` on the way that knows the digest of `known:1` alone, as `docker buildx` says it.
fn bottle(folder: &Path, arguments: &[&str]) -> Said {
    let programs = folder.join("programs");
    if !programs.exists() {
        fs::create_dir(&programs).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}/asked\ncase \"$*\" in\n  'buildx imagetools inspect --format {{{{.Manifest.Digest}}}} known:1') echo {DIGEST};;\n  *) echo 'ERROR: no such image' >&2; exit 1;;\nesac\n",
            folder.display()
        );
        fs::write(programs.join("docker"), script).unwrap();
        fs::set_permissions(programs.join("docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let ran = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(arguments)
        .current_dir(folder.join("project"))
        .env("PATH", path)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: ran.status.code().unwrap(), out: text(ran.stdout), err: text(ran.stderr) }
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn project(manifests: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("project")).unwrap();
    for (name, agent) in manifests {
        let bottle = name.split('.').next().unwrap();
        let text = format!(
            "version: 1\nname: {bottle}\nagent: {agent}\negress_proxy: {{routes: [{{host: a.example}}]}}\n"
        );
        fs::write(folder.path().join("project").join(name), text).unwrap();
    }
    folder
}

#[test]
fn the_image_of_a_service_is_locked_too() {
    let folder = project(&[(
        "bottle.yaml",
        &format!("{{image: \"own:1@{DIGEST}\"}}\nservices: {{db: {{image: \"known:1\"}}}}"),
    )]);
    let unlocked = bottle(folder.path(), &["render", "--locked", "--check"]);
    assert_ne!(unlocked.code, 0);
    assert!(unlocked.err.contains("the image `known:1` is not in bottle.lock"), "{}", unlocked.err);
    assert_eq!(bottle(folder.path(), &["lock"]).code, 0);
    let plan = bottle(folder.path(), &["plan", "--format", "json"]);
    assert!(plan.out.contains(&format!("known:1@{DIGEST}")), "{}{}", plan.out, plan.err);
}

#[test]
fn one_lock_for_all_manifests_of_a_folder() {
    let folder = project(&[
        ("a.bottle.yaml", "{image: \"known:1\"}"),
        ("b.bottle.yaml", "{image: \"known:1\"}"),
        ("c.bottle.yaml", &format!("{{image: \"own:1@{DIGEST}\"}}")),
    ]);
    let said = bottle(folder.path(), &["lock", "."]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        format!("bottle.lock\n  known:1  {DIGEST}  from the registry\nNext: bottle render\n")
    );
    let lock = folder.path().join("project/bottle.lock");
    let text = fs::read_to_string(&lock).unwrap();
    assert!(
        text.ends_with(&format!("images:\n  \"known:1\": \"{DIGEST}\"\n")) || text.contains(DIGEST),
        "{text}"
    );
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 1, "{asked}");

    let rendered = bottle(folder.path(), &["render", ".", "--locked", "--accept-widening"]);
    assert_eq!(rendered.code, 0, "{}", rendered.err);
    assert!(!rendered.err.contains("floating-image"), "{}", rendered.err);
    let compose = fs::read_to_string(folder.path().join("project/.bottle/a/docker-compose.yml")).unwrap();
    assert!(compose.contains(&format!("known:1@{DIGEST}")), "{compose}");
    // A lock that changes is a change of what runs.
    fs::write(&lock, text.replace("0123", "3210")).unwrap();
    let check = bottle(folder.path(), &["render", "--check", "a.bottle.yaml"]);
    assert_eq!(check.code, 1);
    assert!(check.out.contains("the agent runs in the image known:1@sha256:3210"), "{}", check.out);
}

#[test]
fn what_is_not_known_leaves_the_lock_as_it_was() {
    let folder = project(&[("a.bottle.yaml", "{image: \"known:1\"}")]);
    bottle(folder.path(), &["lock", "a.bottle.yaml"]);
    let lock = folder.path().join("project/bottle.lock");
    let before = fs::read(&lock).unwrap();
    let text =
        "version: 1\nname: b\nagent: {image: \"strange:1\"}\negress_proxy: {routes: [{host: a.example}]}\n";
    fs::write(folder.path().join("project/b.bottle.yaml"), text).unwrap();
    let said = bottle(folder.path(), &["lock", "a.bottle.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert_eq!(
        said.err,
        "error: the digest of `strange:1` is not known: the registry could not be asked (docker says: ERROR: no such \
         image), and there is no copy on this machine; `docker pull strange:1` gets one; nothing was written\n"
    );
    assert_eq!(fs::read(&lock).unwrap(), before);
    assert_eq!(bottle(folder.path(), &["render", "--locked", "b.bottle.yaml"]).code, 2);
}

/// Names of images go to registries, and an agent could name one after what it knows.
#[test]
fn a_folder_that_is_named_names_no_manifest_that_an_agent_put_there() {
    let folder = project(&[("a.bottle.yaml", "{image: \"known:1\", mounts: [{source: ., target: /work}]}")]);
    assert_eq!(bottle(folder.path(), &["render", "--accept-widening", "a.bottle.yaml"]).code, 0);
    let text =
        "version: 1\nname: b\nagent: {image: \"secret:1\"}\negress_proxy: {routes: [{host: a.example}]}\n";
    fs::write(folder.path().join("project/evil.bottle.yaml"), text).unwrap();
    for named in [&["lock", "."][..], &["lock", "a.bottle.yaml"], &["lock", "../project"]] {
        let said = bottle(folder.path(), named);
        assert_eq!(said.code, 0, "{named:?}: {}", said.err);
        assert!(said.err.contains("evil.bottle.yaml is not picked up"), "{named:?}: {}", said.err);
    }
    assert!(!fs::read_to_string(folder.path().join("asked")).unwrap().contains("secret"));
    for named in [
        &["lock", "evil.bottle.yaml"][..],
        &["lock", "./evil.bottle.yaml"],
        &["lock", ".", "evil.bottle.yaml"],
    ] {
        let said = bottle(folder.path(), named);
        assert!(said.err.contains("the digest of `secret:1` is not known"), "{named:?}: {}", said.err);
    }
}

#[test]
fn a_lock_of_another_bottle_and_a_broken_one_are_refused() {
    let folder = project(&[("a.bottle.yaml", "{image: \"known:1\"}")]);
    bottle(folder.path(), &["lock", "a.bottle.yaml"]);
    let lock = folder.path().join("project/bottle.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    fs::write(&lock, text.replace(version, "9.9.9")).unwrap();
    let said = bottle(folder.path(), &["render", "--locked", "--check", "a.bottle.yaml"]);
    assert_eq!(said.code, 2);
    let first =
        format!("error[not-locked]: bottle.lock was written by bottle 9.9.9, and this is {version}\n");
    assert!(said.err.starts_with(&first), "{}", said.err);
    fs::write(&lock, "images: [").unwrap();
    let said = bottle(folder.path(), &["render", "--check", "a.bottle.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.starts_with("error: bottle.lock is not a lock: "), "{}", said.err);
    fs::remove_file(&lock).unwrap();
    fs_err::os::unix::fs::symlink("/etc/hostname", &lock).unwrap();
    let said = bottle(folder.path(), &["render", "--check", "a.bottle.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("bottle.lock is a symbolic link"), "{}", said.err);
}

#[test]
fn a_stage_of_a_dockerfile_is_named_by_its_digest_too() {
    let folder = project(&[("a.bottle.yaml", "{build: {context: ./agent}}")]);
    let context = folder.path().join("project/agent");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), format!("FROM debian@{DIGEST} AS base\nFROM node:24\n")).unwrap();
    bottle(folder.path(), &["lock", "a.bottle.yaml"]);
    let said = bottle(folder.path(), &["render", "--locked", "--check", "a.bottle.yaml"]);
    assert_eq!(said.code, 2);
    let text =
        "error[not-locked]: line 2 of the Dockerfile names `node:24`, which is not named by its digest\n";
    assert!(said.err.starts_with(text), "{}", said.err);
}

/// What a builder reads otherwise than a person does is not locked, whatever it says.
#[test]
fn what_can_not_be_told_from_a_dockerfile_is_not_locked() {
    let folder = project(&[("a.bottle.yaml", "{build: {context: ./agent, args: {BUILDKIT_SYNTAX: evil}}}")]);
    let context = folder.path().join("project/agent");
    fs::create_dir(&context).unwrap();
    let text = format!("\u{feff}FROM evil\nFROM debian@{DIGEST}\nCOPY --fr\"om\"=evil / /\n");
    fs::write(context.join("Dockerfile"), text).unwrap();
    bottle(folder.path(), &["lock", "a.bottle.yaml"]);
    let said = bottle(folder.path(), &["render", "--locked", "--check", "a.bottle.yaml"]);
    assert_eq!(said.code, 2);
    for wanted in [
        "error[not-locked]: `BUILDKIT_SYNTAX` names an image that reads the Dockerfile in its own way\n",
        "error[not-locked]: --locked can't tell what line 1 of the Dockerfile builds from: it holds the character U+FEFF, ",
        "error[not-locked]: --locked can't tell what line 3 of the Dockerfile builds from: the flag `--fr\"om\"=evil` holds ",
        "help: write the line plainly, or render without --locked\n",
    ] {
        assert!(said.err.contains(wanted), "{wanted}: {}", said.err);
    }
}
