//! From a project that names nothing to an agent in its bottle: `init`, `render`, `run`.

use super::{
    harness::{self, Ran, run},
    project::Project,
};
use fs_err as fs;
use std::os::unix::fs::chown;

/// One that no user of the image has.
const OWNER: u32 = 4711;

#[test]
fn a_project_of_nobody_s_becomes_a_bottle() {
    if !harness::available() {
        return;
    }
    let project = Project::new("init", "");
    let folder = project.folder();
    fs::remove_file(folder.join("bottle.yaml")).unwrap();
    fs::write(folder.join("Dockerfile"), "FROM bottle-test-base:1\nRUN echo the build is not run\n").unwrap();
    fs::write(folder.join("package.json"), "{\"name\": \"theirs\"}").unwrap();
    fs::write(folder.join(".npmrc"), "registry=https://packages.test/\n").unwrap();
    chown(&folder, Some(OWNER), Some(OWNER)).unwrap();
    let home = folder.parent().unwrap().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join(".gitconfig"), "[user]\n\tname = \"Jo \\\"X\\\" Doe\"\n\temail = jo@acme.test\n")
        .unwrap();
    let mut init = project.command(env!("CARGO_BIN_EXE_bottle"));
    run(init.args(["init", "--yes", "--agent", "shell"]).env("HOME", &home)).ok();
    let manifest = fs::read_to_string(folder.join("bottle.yaml")).unwrap();
    assert!(manifest.contains("    - host: packages.test  # .npmrc\n"), "{manifest}");
    let named = manifest.replace("\nname: project\n", &format!("\nname: {}\n", project.name));
    assert_ne!(named, manifest);
    fs::write(folder.join("bottle.yaml"), named).unwrap();
    let stack = project.render();
    stack.project.bottle(&["run", "--", "true"]).ok();
    let in_bottle = |script: &str| -> Ran { stack.project.bottle(&["run", "--", "bash", "-c", script]) };
    let who =
        in_bottle("id -u; echo $HOME; touch ~/x /work/made && git config user.name && git config user.email")
            .ok();
    let said: Vec<&str> = who.out.lines().map(str::trim).collect();
    assert_eq!(said, [&*OWNER.to_string(), "/home/agent", "Jo \"X\" Doe", "jo@acme.test"], "{}", who.text());
    assert!(folder.join("made").is_file());
    // What was found is allowed, and nothing beside it.
    let ask = |host: &str| {
        let asked = in_bottle(&format!(
            "curl -sS -o /dev/null -D - https://{host}/ | grep -i ^x-bottle-reason; true"
        ))
        .ok();
        asked.out.trim().to_ascii_lowercase()
    };
    assert_eq!(ask("elsewhere.test"), "x-bottle-reason: host_not_allowed");
    assert_ne!(ask("packages.test"), "x-bottle-reason: host_not_allowed");
}
