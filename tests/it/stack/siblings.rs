//! Two bottles of one folder: the agent of one can write what the other mounts, and the engine follows links. Each
//! test plays that agent, uid 0, and the person on the host.

use super::{
    harness::{self, Ran, docker, run},
    internet::{NETWORK, subnet},
    project::{Project, Stack},
};
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{process::Stdio, time::Duration};

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
        let wanted = "/a/sub, where bottle.yaml mounts at /work/a/sub: ";
        let why = "/a/sub is a symbolic link, which bottle does not follow: an agent could have put it there; remove it";
        assert!(said.contains(wanted) && said.contains(why), "{said}");
    }
    assert_eq!(fs::read_dir(folder.join("data")).unwrap().count(), 0);
    fs::remove_file(folder.join("a/sub")).unwrap();
    project.bottle(&["up"]).ok();
    project.bottle(&["down"]).ok();
}

/// What a mount lies on and the way there: made for the owner of the folder where it is missing, and nobody's to move.
#[test]
fn the_way_to_a_target_in_another_mount_is_moved_by_no_agent() {
    if !harness::available() {
        return;
    }
    let project =
        project("way", "[sleep, infinity]", &format!("{WORK}, {{source: ./data, target: /work/a/b/sub}}"));
    let folder = project.folder();
    fs::create_dir(folder.join("data")).unwrap();
    let stack = with_sibling(project);
    let project = &stack.project;
    let text = fs::read_to_string(folder.join("b.bottle.yaml")).unwrap();
    let sibling =
        text.replace("./cache, target: /cache}", "., target: /w}").replace("mounts:", "user: '0', mounts:");
    fs::write(folder.join("b.bottle.yaml"), sibling).unwrap();
    project.bottle(&["render", "--accept-widening", "b.bottle.yaml"]).ok();
    project.bottle(&["up"]).ok();
    assert_eq!(fs::metadata(folder.join("a/b/sub")).unwrap().uid(), fs::metadata(&folder).unwrap().uid());
    let ways = || ["a", "a/b", "a/b/sub"].map(|way| fs::symlink_metadata(folder.join(way)).unwrap().ino());
    let before = ways();
    stack.agent("touch /work/a/b/sub/file").ok();
    assert!(folder.join("data/file").exists());
    stack.agent("for it in a/b/sub a/b a; do mv -T /work/$it /work/moved; done; true").ok();
    assert_eq!(ways(), before);
    // The other bottle's agent sees the same folder.
    project.bottle(&["up", "b.bottle.yaml"]).ok();
    let moves = "touch /w/a/file; for it in a/b/sub a/b a; do mv -T /w/$it /w/moved; done; true";
    project.bottle(&["exec", "b.bottle.yaml", "--", "sh", "-c", moves]).ok();
    assert_eq!(ways(), before);
    // One that was started without the pin is a person's to end.
    project.bottle(&["down"]).ok();
    project.bottle(&["down", "b.bottle.yaml"]).ok();
    fs::remove_dir_all(folder.join("a")).unwrap();
    project.bottle(&["down", "--forget"]).ok();
    project.bottle(&["up", "b.bottle.yaml"]).ok();
    project.bottle(&["render", "--accept-widening", "bottle.yaml"]).ok();
    let said = refused(&project.bottle(&["up"]));
    let wanted = format!("can put something else in the place of {}", folder.join("a").display());
    assert!(said.contains(&wanted), "{said}");
    project.bottle(&["down", "b.bottle.yaml"]).ok();
    project.bottle(&["up"]).ok();
    project.bottle(&["down"]).ok();
}

/// Nothing pins what is in a volume: who could move the way waits, or has ended before the last look.
#[test]
fn the_way_to_a_target_in_the_home_is_still_while_an_agent_starts() {
    if !harness::available() {
        return;
    }
    // At its end it puts a link where the next agent's mount goes through.
    let trap = "[sh, -c, \"trap 'mv ~/.config ~/old; ln -s /etc ~/.config; exit 0' TERM; while :; do sleep 0.1; done\"]";
    let deep = format!("{WORK}, {{source: ./data, target: /home/agent/.config/gh/hosts}}");
    let project = project("home-way", trap, &deep);
    fs::create_dir(project.folder().join("data")).unwrap();
    let stack = project.render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    // As it was agreed to, it goes on.
    let before = docker(["inspect", "--format", "{{.State.StartedAt}}", &stack.container("agent")]).ok().out;
    project.bottle(&["up"]).ok();
    // One that runs waits for the start of another one, and goes on.
    let ran = project.bottle(&["run", "-q", "--", "sh", "-c", "ls -d ~/.config/gh/hosts"]).ok();
    assert_eq!(ran.out, "/home/agent/.config/gh/hosts\n", "{}", ran.text());
    let after = docker(["inspect", "--format", "{{.State.StartedAt}}", &stack.container("agent")]).ok().out;
    assert_eq!(before, after);
    let status = docker(["inspect", "--format", "{{.State.Status}}", &stack.container("agent")]).ok().out;
    assert_eq!(status.trim(), "running");
    // It goes on as well where the start is cut off.
    let status = || {
        let asked = ["inspect", "--format", "{{.State.Status}}", &stack.container("agent")];
        docker(asked).ok().out.trim().to_owned()
    };
    let is = |what: &str, wanted: &str| {
        harness::until(what, Duration::from_mins(1), || (status() == wanted).then_some(()));
    };
    let mut start = project.command(env!("CARGO_BIN_EXE_bottle"));
    let mut start = start.args(["run", "-q", "--", "true"]).stdin(Stdio::null()).spawn().unwrap();
    is("the agent is held", "paused");
    start.kill().unwrap();
    start.wait().unwrap();
    is("the agent goes on", "running");
    // With other settings it is made again.
    let text = fs::read_to_string(project.folder().join("bottle.yaml")).unwrap();
    fs::write(project.folder().join("bottle.yaml"), text.replace("user: \"0\"", "user: \"0\", env: {A: b}"))
        .unwrap();
    project.bottle(&["render", "--accept-widening"]).ok();
    let said = refused(&project.bottle(&["up"]));
    let wanted = "/home/agent/.config in the agent's container is a link to /etc, and the manifest mounts at \
                  /home/agent/.config/gh/hosts";
    assert!(said.contains(wanted), "{said}");
    project.bottle(&["down", "--volumes"]).ok();
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
