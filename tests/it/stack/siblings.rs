//! Two bottles of one folder: the agent of one can write what the other mounts, and the engine follows links. Each
//! test plays that agent, uid 0, and the person on the host.

use super::{
    harness::{self, Ran, docker, run},
    internet::{NETWORK, subnet},
    project::{Project, Stack},
};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn project(claim: &str, command: &str, mounts: &str) -> Project {
    let subnet = subnet();
    let rest = format!(
        "agent: {{image: bottle-test-base:1, command: {command}, user: \"0\", mounts: [{mounts}]}}
egress_proxy: {{routes: [{{host: api.quickstart.test, path_allowlist: [/v1/things], addresses: [{subnet}]}}]}}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    );
    Project::new(claim, &rest)
}

const WORK: &str = "{source: ., target: /work}";

/// The sibling mounts `cache`, which is there when it is agreed to.
fn with_sibling(project: Project) -> Stack {
    let stack = project.render();
    let folder = stack.project.folder();
    fs::create_dir(folder.join("cache")).unwrap();
    let text = "version: 1\nname: test-sib\nagent: {image: bottle-test-base:1, command: [sleep, infinity], mounts: \
                [{source: ./cache, target: /cache}]}\negress: {allowlist: [a.example]}\n";
    fs::write(folder.join("b.bottle.yaml"), text).unwrap();
    stack.project.bottle(&["render", "--accept-widening", "b.bottle.yaml"]).ok();
    stack
}

/// A folder of the person's that no bottle mounts.
fn treasure(stack: &Stack) -> PathBuf {
    let folder = stack.project.folder().with_file_name("treasure");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("secret"), "secret").unwrap();
    folder
}

fn refused(ran: &Ran) -> String {
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    ran.text()
}

fn is_untouched(treasure: &Path) -> bool {
    fs::read_dir(treasure).unwrap().count() == 1
}

/// The runtime follows links inside the container: what is mounted there would be at another place of it, such as where the
/// engine reads.
#[test]
fn a_link_where_a_mount_lies_in_another_starts_nothing() {
    if !harness::available() {
        return;
    }
    let project =
        project("nested", "[sleep, infinity]", &format!("{WORK}, {{source: ./data, target: /work/a/sub}}"));
    let folder = project.folder();
    fs::create_dir(folder.join("data")).unwrap();
    let stack = project.render();
    let project = &stack.project;
    fs::create_dir(folder.join("a")).unwrap();
    symlink("/etc", folder.join("a/sub")).unwrap();
    for verb in [&["up"][..], &["run"]] {
        let said = refused(&project.bottle(verb));
        let wanted = "/work/a/sub in the agent's container is a link to /etc, and the manifest mounts at /work/a/sub: what it \
                      mounts would be at /etc; find out who made the link, and remove it";
        assert!(said.contains(wanted), "{said}");
    }
    assert_eq!(fs::read_dir(folder.join("data")).unwrap().count(), 0);
    fs::remove_file(folder.join("a/sub")).unwrap();
    project.bottle(&["up"]).ok();
    project.bottle(&["down"]).ok();
}

/// A hostile checkout: the payload runs as soon as the agent starts, and ends before anybody looks.
#[test]
fn a_checkout_that_puts_a_link_where_a_sibling_mounts_starts_nothing() {
    if !harness::available() {
        return;
    }
    let stack = with_sibling(project("link", "[sh, /work/run.sh]", WORK));
    let project = &stack.project;
    let (treasure, cache) = (treasure(&stack), project.folder().join("cache"));
    let payload = "cat /work/cache/secret > /work/stolen; echo x > /work/cache/planted\n";
    fs::write(project.folder().join("run.sh"), payload).unwrap();
    fs::remove_dir(&cache).unwrap();
    symlink(&treasure, &cache).unwrap();
    for verb in [&["up"][..], &["run"]] {
        let said = refused(&project.bottle(verb));
        let wanted = format!(
            "{} is a link, or goes through one, and leads to {}",
            cache.display(),
            treasure.display()
        );
        assert!(said.contains(&wanted), "{verb:?}: {said}");
    }
    let verified = project.bottle(&["verify"]);
    assert!(verified.code == Some(1) && verified.text().contains("is a link"), "{}", verified.text());
    assert!(!project.folder().join("stolen").exists() && is_untouched(&treasure));
    // Put right, it starts, with the pin.
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    project.bottle(&["up"]).ok();
    assert!(project.folder().join("cache/planted").exists(), "the payload is one");
}

/// What the sibling mounts was not there when the agent started, so that it has no pin.
#[test]
fn an_agent_without_a_pin_ends_before_its_next_start_pins_what_it_could_swap() {
    if !harness::available() {
        return;
    }
    let stack = with_sibling(project("unpinned", "[sleep, infinity]", WORK));
    let project = &stack.project;
    let (treasure, cache) = (treasure(&stack), project.folder().join("cache"));
    fs::remove_dir(&cache).unwrap();
    project.bottle(&["up"]).ok();
    stack.agent(&format!("ln -s {} /work/cache", treasure.display())).ok();
    assert!(refused(&project.bottle(&["up"])).contains("is a link, or goes through one"));
    // It shows a folder whenever it is looked at, and could swap it right after.
    stack.agent("rm /work/cache && mkdir /work/cache").ok();
    let before = stack.container("agent");
    let session = refused(&project.bottle(&["run", "--", "true"]));
    assert!(session.contains("can put something else in the place of"), "{session}");
    project.bottle(&["up"]).ok();
    assert_ne!(stack.container("agent"), before, "the old one ended first");
    let moved = stack.agent("mv /work/cache /work/x");
    assert!(moved.code != Some(0) && moved.text().contains("busy"), "{}", moved.text());
    project.bottle(&["run", "--", "true"]).ok();
    assert!(is_untouched(&treasure));
}

/// A program on the host that follows the agent's orders: it swaps when the engine is told to start. What the agent saw
/// is over before the kernel can be asked.
#[test]
fn a_swap_in_the_moment_of_the_start_is_an_alarm_although_the_agent_has_ended() {
    if !harness::available() {
        return;
    }
    let stack = with_sibling(project("moment", "[\"true\"]", WORK));
    let project = &stack.project;
    let (treasure, cache) = (treasure(&stack), project.folder().join("cache"));
    let bin = project.folder().with_file_name("bin");
    fs::create_dir(&bin).unwrap();
    let found = run(std::process::Command::new("sh").args(["-c", "command -v docker"])).ok().out;
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *' up -d --no-build agent' | *' run --rm '*) rmdir {cache}; ln -s {treasure} {cache} ;; esac\n\
         exec {docker} \"$@\"\n",
        cache = cache.display(),
        treasure = treasure.display(),
        docker = found.trim()
    );
    fs::write(bin.join("docker"), script).unwrap();
    run(std::process::Command::new("chmod").arg("755").arg(bin.join("docker"))).ok();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for verb in [&["up"][..], &["run"]] {
        let mut command = project.command(env!("CARGO_BIN_EXE_bottle"));
        let said = refused(&run(command.env("PATH", &path).args(verb)));
        assert!(
            said.contains(&format!("leads to {} since the agent started", treasure.display())),
            "{verb:?}: {said}"
        );
        fs::remove_file(&cache).unwrap();
        fs::create_dir(&cache).unwrap();
    }
}

/// `mv p p2` while the agent runs: the engine still has the old name of what it mounted, and the agent still has the
/// folder.
#[test]
fn an_agent_whose_folder_was_renamed_still_counts_as_one_that_can_swap() {
    if !harness::available() {
        return;
    }
    let stack = project("moved", "[sleep, infinity]", WORK).render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    let (old, new) = (project.folder(), project.folder().with_file_name("p2"));
    fs::rename(&old, &new).unwrap();
    stack.agent("mkdir -p /work/w/new").ok();
    let manifest = fs::read_to_string(new.join("bottle.yaml")).unwrap();
    fs::write(new.join("bottle.yaml"), manifest.replace(WORK, "{source: ./w/new, target: /new}")).unwrap();
    let bottle = |arguments: &[&str]| {
        run(project.command(env!("CARGO_BIN_EXE_bottle")).current_dir(&new).args(arguments))
    };
    bottle(&["render", "--accept-widening"]).ok();
    for verb in [&["up"][..], &["run", "--", "true"]] {
        let said = refused(&bottle(verb));
        let wanted = format!("runs and can put something else in the place of {}/w/new", new.display());
        assert!(said.contains(&wanted) && said.contains(&stack.name), "{verb:?}: {said}");
    }
    docker(["kill", &stack.container("agent")]).ok();
    let up = bottle(&["up"]);
    bottle(&["down"]).ok();
    fs::rename(&new, &old).unwrap();
    assert_eq!(up.code, Some(0), "{}", up.text());
}

/// A container keeps its mounts, whatever was agreed to since.
#[test]
fn nothing_starts_from_a_state_that_an_agent_still_sees() {
    if !harness::available() {
        return;
    }
    let project = project("older", "[sleep, infinity]", "{source: ../data, target: /data}");
    let (data, other) = (project.folder().with_file_name("data"), project.folder().with_file_name("b"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&other).unwrap();
    let stack = project.render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    let manifest = fs::read_to_string(project.folder().join("bottle.yaml")).unwrap();
    let manifest = manifest.replace("{source: ../data, target: /data}", "");
    fs::write(project.folder().join("bottle.yaml"), manifest).unwrap();
    project.bottle(&["render", "--accept-widening"]).ok();
    let text = "version: 1\nname: test-late\nagent: {image: bottle-test-base:1, command: [sleep, infinity]}\negress: \
                {allowlist: [a.example]}\n";
    fs::write(other.join("bottle.yaml"), text).unwrap();
    let state = data.join("state");
    project
        .bottle(&["render", "--accept-widening", "--state", state.to_str().unwrap(), "../b/bottle.yaml"])
        .ok();
    for verb in [&["up", "../b/bottle.yaml"][..], &["run", "../b/bottle.yaml", "--", "true"]] {
        let said = refused(&project.bottle(verb));
        let wanted = format!("runs and sees, at /data, the state {} with its private keys", state.display());
        assert!(
            said.contains(&wanted) && said.contains(&format!("bottle down {}", stack.name)),
            "{verb:?}: {said}"
        );
    }
    assert!(docker(["ps", "--all", "--quiet", "--filter", "name=test-late"]).ok().out.is_empty());
    project.bottle(&["up"]).ok(); // made again, without the mount
    let up = project.bottle(&["up", "../b/bottle.yaml"]);
    project.bottle(&["down", "test-late"]).ok();
    assert_eq!(up.code, Some(0), "{}", up.text());
}
