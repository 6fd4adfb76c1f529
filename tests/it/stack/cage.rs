//! The agent, even as root and with the project mounted writable, can't rewrite its own cage.

use super::{
    harness,
    internet::{NETWORK, subnet},
    project::{Project, Stack, files},
};
use fs_err as fs;
use std::{collections::BTreeMap, path::PathBuf};

fn manifest(more_routes: &str) -> String {
    let subnet = subnet();
    format!(
        "agent:
  build: {{context: ./agent}}
  command: [sleep, infinity]
  user: \"0\"
  workdir: /work
  mounts:
    - {{source: ., target: /work}}
    - {{source: ./data, target: /data}}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
{more_routes}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

fn start(claim: &str) -> Stack {
    let project = Project::new(claim, &manifest(""));
    fs::create_dir(project.folder().join("data")).unwrap();
    fs::create_dir(project.folder().join("agent")).unwrap();
    // An image of its own: of two that are built alike at a time, the builder may take the other one the next time.
    let dockerfile = format!("FROM bottle-test-base:1\nLABEL test={claim}\n");
    fs::write(project.folder().join("agent/Dockerfile"), dockerfile).unwrap();
    project.up()
}

/// What is recorded of the last start decides nothing; `rules.json` is written by each start before it is read.
const RECORDS: [&str; 4] = ["running.json", "rules.json", "image.json", "docker.log"];

/// Everything that decides what the next `up` does.
fn cage(stack: &Stack) -> BTreeMap<PathBuf, Vec<u8>> {
    let project = &stack.project;
    let folders = [project.folder().join(".bottle"), project.state(), project.folder().join("agent")];
    let all = folders.iter().flat_map(|folder| files(folder));
    // Nor does what is recorded of the traffic.
    let decides = |file: &PathBuf| {
        let is_record = RECORDS.iter().any(|name| file.ends_with(name));
        // Nor by which starts take turns.
        let by_name = |name: &str| file.components().any(|it| it.as_os_str() == name);
        !by_name("audit") && !by_name("starting") && !is_record
    };
    all.filter(decides).map(|file| (file.clone(), fs::read(&file).unwrap())).collect()
}

#[test]
fn the_agent_as_root_changes_nothing_of_its_cage() {
    if !harness::available() {
        return;
    }
    let stack = start("cage");
    let before = cage(&stack);
    let tree = format!("/work/.bottle/{}", stack.project.name);
    for attempt in [
        format!("echo x >> {tree}/docker-compose.yml"),
        format!("echo x > {tree}/egress-proxy/routes.yaml"),
        format!("echo x > {tree}/pipelock/pipelock.yaml"),
        format!("echo BOTTLE_STATE=/ > {tree}/.env"),
        format!("echo 'services: {{}}' > {tree}/docker-compose.override.yml"),
        format!("echo 'services: {{}}' > {tree}/compose.yaml"),
        format!("ln -s / {tree}/x"),
        format!("rm {tree}/docker-compose.yml"),
        format!("chmod 777 {tree}"),
        format!("touch {tree}/docker-compose.yml"),
        format!("mv {tree}/docker-compose.yml /work/"),
        format!("ln {tree}/docker-compose.yml /work/hard"),
        format!("mv {tree} /work/.bottle/other"),
        "mv /work/.bottle /work/.bottle2".into(),
        "mv /work /work2".into(),
        "rmdir /work/.bottle".into(),
        "rm -rf /work/.bottle".into(),
        "umount /work/.bottle".into(),
        "mount -o remount,rw /work/.bottle".into(),
        "mount -t tmpfs none /work/.bottle".into(),
        "mkdir /work/.bottle/other".into(),
        "echo 'FROM scratch' > /work/agent/Dockerfile".into(),
        "echo x > /work/agent/.dockerignore".into(),
        "mv /work/agent /work/agent2".into(),
        "rm -rf /work/agent".into(),
        "echo x > /etc/bottle/trust/ca-bundle.pem".into(),
        "rm /etc/bottle/trust/ca-bundle.pem".into(),
        "echo x > /run/bottle/bottle".into(),
        "mv /run/bottle/bottle /run/bottle/old".into(),
    ] {
        let ran = stack.agent(&attempt);
        assert_ne!(ran.code, Some(0), "{attempt}: {}", ran.text());
        assert_ne!(ran.code, Some(127), "{attempt}: {}", ran.text());
    }
    assert!(cage(&stack) == before, "the cage is not what it was");
    // The rest of the project is the agent's to write.
    stack.agent("echo x > /work/mine && rm /work/mine").ok();
}

#[test]
fn what_the_agent_leaves_in_the_project_does_not_steer_the_next_up() {
    if !harness::available() {
        return;
    }
    let stack = start("next-up");
    let project = &stack.project;
    let evil = "services: {evil: {image: bottle-test-base:1, network_mode: host}, agent: {privileged: true}}";
    for file in ["compose.yaml", "docker-compose.yml", "docker-compose.override.yml", "compose.override.yaml"]
    {
        stack.agent(&format!("echo '{evil}' > /work/{file}")).ok();
    }
    stack.agent("echo COMPOSE_FILE=/work/compose.yaml > /work/.env && echo BOTTLE_USER=0 >> /work/.env").ok();
    // A repository whose every hook leaves a trace on the host.
    stack
        .agent(
            "cd /work && git init --quiet && cat > hook <<'X'\n#!/bin/sh\ntouch \"$(git rev-parse --show-toplevel)/ran\"\nX\n\
             chmod 755 hook && for hook in post-checkout post-index-change pre-commit reference-transaction; do \
             cp hook .git/hooks/$hook; done && git config core.fsmonitor \"$PWD/hook\" && \
             git config core.hooksPath .git/hooks && git config core.pager ./hook && git config diff.external ./hook && \
             echo '* filter=evil' > .gitattributes && git config filter.evil.clean ./hook && \
             git config filter.evil.smudge ./hook && git config filter.evil.required true && rm -f ran",
        )
        .ok();
    let (before, running) =
        (cage(&stack), stack.inspect("{{.Id}} {{.HostConfig.Privileged}} {{.HostConfig.NetworkMode}}"));

    project.bottle(&["render"]).ok();
    project.bottle(&["render", "--check"]).ok();
    project.bottle(&["up"]).ok();
    project.bottle(&["reload"]).ok();
    assert!(cage(&stack) == before, "the cage is not what it was");
    assert_eq!(stack.inspect("{{.Id}} {{.HostConfig.Privileged}} {{.HostConfig.NetworkMode}}"), running);
    assert!(!project.folder().join("ran").exists(), "git on the host ran what the agent wrote");
}

#[test]
fn a_manifest_that_the_agent_rewrote_is_not_rendered_without_a_person() {
    if !harness::available() {
        return;
    }
    let stack = start("rewrite");
    let before = cage(&stack);
    let subnet = subnet();
    let wider = format!("    - {{host: files.quickstart.test, addresses: [{subnet}]}}");
    stack.project.write_manifest(&manifest(&wider)); // it is a file that the agent can write
    let ran = stack.project.bottle(&["render"]);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(
        ran.text().contains("files.quickstart.test") && ran.text().contains("--accept-widening"),
        "{}",
        ran.text()
    );
    assert!(cage(&stack) == before, "a refused render wrote something");
}

#[test]
fn a_link_that_the_agent_planted_leads_nowhere() {
    if !harness::available() {
        return;
    }
    let stack = start("links");
    let project = &stack.project;
    // A mount's source becomes a link to the keys.
    let keys = project.state();
    let target = keys.to_str().unwrap();
    stack
        .agent(&format!(
            "rm -rf /work/data.old; mv /work/ca.pem /work/ca.old; ln -s {target}/none /work/ca.pem"
        ))
        .ok();
    let ran = project.bottle(&["render", "--accept-widening"]);
    assert_ne!(ran.code, Some(0), "a certificate outside of the project was read: {}", ran.text());
    stack.agent("rm /work/ca.pem; mv /work/ca.old /work/ca.pem").ok();
    project.bottle(&["render"]).ok();

    // A folder that is mounted becomes a link to the keys, or to anything else of the machine. The agent can't do it,
    // since the folder is pinned; what a host does with it is another matter.
    let data = project.folder().join("data");
    assert_ne!(stack.agent("mv /work/data /work/data.old").code, Some(0));
    for target in [keys.to_str().unwrap(), "/etc"] {
        fs::rename(&data, project.folder().join("data.old")).unwrap();
        fs_err::os::unix::fs::symlink(target, &data).unwrap();
        for verb in ["render", "up", "run"] {
            let ran = project.bottle(&[verb]);
            assert_eq!(ran.code, Some(2), "{verb}: {}", ran.text());
            assert!(ran.text().contains("goes through the link"), "{verb}: {}", ran.text());
        }
        fs::remove_file(&data).unwrap();
        fs::rename(project.folder().join("data.old"), &data).unwrap();
    }
}

/// The threat model: single files may be replaced, as editors and git do it; a folder that is moved away takes its
/// guard with it, and the next `up` or `run` says so.
#[test]
fn a_host_that_replaces_files_keeps_the_cage_and_one_that_replaces_folders_is_told() {
    if !harness::available() {
        return;
    }
    let stack = start("replace");
    let project = &stack.project;
    let write = format!("echo x > /work/.bottle/{}/planted", project.name);
    let (cage_before, running) = (cage(&stack), stack.inspect("{{.Id}}"));
    let tree = project.out();
    for file in
        [project.folder().join("bottle.yaml"), tree.join("docker-compose.yml"), tree.join("bottle.lock")]
    {
        let beside = file.with_extension("swap");
        fs::copy(&file, &beside).unwrap();
        fs::rename(&beside, &file).unwrap();
    }
    assert_ne!(stack.agent(&write).code, Some(0), "the guard went with a replaced file");
    project.bottle(&["up"]).ok();
    assert!(cage(&stack) == cage_before && stack.inspect("{{.Id}}") == running, "something was recreated");

    // A branch without the rendered tree, and back: the same files in a folder that is another one.
    let copied = harness::run(
        project.command("sh").args(["-c", "cp -a .bottle away && rm -r .bottle && mv away .bottle"]),
    );
    copied.ok();
    stack.agent(&write).ok();
    stack.agent(&write.replace("echo x >", "rm")).ok();
    for verb in [&["up"][..], &["run", "--", "true"]] {
        let ran = project.bottle(verb);
        assert_eq!(ran.code, Some(2), "{verb:?}: {}", ran.text());
        assert!(ran.text().contains("does not see what it must"), "{verb:?}: {}", ran.text());
    }
    // What it names is what heals.
    project.compose(&["up", "-d", "--force-recreate", "agent"]).ok();
    project.bottle(&["up"]).ok();
    assert_ne!(stack.agent(&write).code, Some(0), "the guard did not come back");
}
