//! A working day: what stays when a container goes, and who is cut off by whom.

use super::{
    harness::{self, docker, run},
    internet::{NETWORK, subnet},
    project::{Project, Stack},
};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

/// A uid that no image knows.
const OWNER: u32 = 4321;

/// What the image has at /home/agent.
const SEEDS: &str = ".bash_logout\n.bashrc\n.profile\n";

fn manifest(paths: &str) -> String {
    let subnet = subnet();
    format!(
        "agent:
  image: bottle-test-base:1
  command: [sleep, infinity]
  workdir: /work
  mounts: [{{source: ./src, target: /work}}]
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [{paths}]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: THINGS_KEY}}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

fn project(claim: &str) -> Project {
    let project = Project::new(claim, &manifest("/v1/things")).token("THINGS_KEY", "things-");
    let source = project.folder().join("src");
    fs_err::create_dir(&source).unwrap();
    run(Command::new("chown").arg(OWNER.to_string()).arg(&source)).ok();
    project
}

#[test]
fn a_home_outlives_its_container_and_belongs_to_the_agents_user() {
    if !harness::available() {
        return;
    }
    let stack = project("home").render();
    let agent = |script: &str| stack.project.bottle(&["run", "-q", "--", "sh", "-c", script]);
    let first = agent("id -u; echo kept > ~/note; touch /work/made; echo $HOME; ls -A ~").ok();
    // A new one begins with what the image has there.
    assert_eq!(first.out, format!("{OWNER}\n/home/agent\n{SEEDS}note\n"), "{}", first.text());
    assert_eq!(fs_err::metadata(stack.project.folder().join("src/made")).unwrap().uid(), OWNER);
    stack.project.bottle(&["down"]).ok();
    assert_eq!(agent("cat ~/note").ok().out, "kept\n");
    // Of another user by now, what is there is theirs.
    run(Command::new("chown").arg("4322").arg(stack.project.folder().join("src"))).ok();
    stack.project.bottle(&["render", "--accept-widening"]).ok();
    stack.project.bottle(&["down"]).ok();
    assert_eq!(agent("id -u; echo more >> ~/note; cat ~/note").ok().out, "4322\nkept\nmore\n");
    stack.project.bottle(&["down", "--volumes"]).ok();
    assert_eq!(agent("ls -A ~").ok().out, SEEDS);
}

/// The program of the home runs as root in the agent's image.
#[test]
fn an_image_does_not_choose_the_program_of_its_home() {
    if !harness::available() {
        return;
    }
    let project = project("hijack");
    let folder = project.folder().join("agent");
    fs_err::create_dir(&folder).unwrap();
    project.write_manifest(
        &manifest("/v1/things").replace("image: bottle-test-base:1", "build: {context: ./agent}"),
    );
    for (links, place) in [
        ("mkdir /home/agent/deep && ln -s /home/agent/deep /run/bottle", "/run/bottle"),
        ("mkdir /run/bottle && ln -s /home/agent/bottle /run/bottle/bottle", "/run/bottle/bottle"),
    ] {
        let text = format!("FROM bottle-test-base:1\nUSER 0\nRUN mkdir -p /home/agent && {links}\n");
        fs_err::write(folder.join("Dockerfile"), text).unwrap();
        project.bottle(&["render", "--accept-widening"]).ok();
        for arguments in [&["up"][..], &["run", "--", "true"]] {
            let refused = project.bottle(arguments);
            assert_eq!(refused.code, Some(2), "{}", refused.text());
            let said = format!(
                "{place} of the image {}-agent is in the way of bottle's own program, which is mounted at \
                 /run/bottle/bottle; remove it from the image\n",
                project.compose_project()
            );
            assert!(refused.err.contains(&said), "{}", refused.text());
        }
    }
    let of_project = format!("label={}={}", harness::PROJECT, project.compose_project());
    let all = ["ps", "--all", "--quiet", "--filter", &of_project, "--filter"];
    let made = |service: &str| {
        docker([&all[..], &[&format!("label=com.docker.compose.service={service}")]].concat()).ok().out
    };
    assert_eq!((made("home"), made("gate").is_empty()), (String::new(), false));
    drop(project.adopt());
}

fn started(stack: &Stack, service: &str) -> String {
    docker(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &stack.container(service)]).ok().out
}

#[test]
fn one_more_agent_cuts_nobody_off() {
    if !harness::available() {
        return;
    }
    let mut stack = project("cut-off").render();
    stack.project.bottle(&["up"]).ok();
    let all =
        |stack: &Stack| ["netns", "gate", "egress-proxy", "pipelock", "agent"].map(|it| started(stack, it));
    let before = all(&stack);
    // In another terminal, without the token, after a change of the rules: they are given to those that run.
    stack.project.tokens.clear();
    let url = "https://api.quickstart.test/v1/more";
    let status = format!("curl --silent --output /dev/null --write-out '%{{http_code}}' {url}");
    assert_eq!(stack.agent(&status).out, "403");
    stack.project.write_manifest(&manifest("/v1/things, /v1/more"));
    stack.project.bottle(&["render", "--accept-widening"]).ok();
    let ran = stack.project.bottle(&["run", "-q", "--", "sh", "-c", &status]).ok();
    assert_ne!(ran.out, "403", "{}", ran.text());
    assert_eq!(all(&stack), before, "{}", ran.text());
    // What no reload can give them is refused, whatever else there is.
    let other = manifest("/v1/things").replace(
        "\negress:",
        "\n    - {host: b.quickstart.test, auth: {scheme: Bearer, token_ref: MORE_KEY}}\negress:",
    );
    stack.project.write_manifest(&other);
    stack.project.bottle(&["render", "--accept-widening"]).ok();
    let refused = stack.project.bottle(&["run", "--", "true"]);
    assert_eq!(refused.code, Some(2), "{}", refused.text());
    let agent = format!("{}-agent-1", stack.name);
    assert!(
        refused.err.contains(&format!("egress-proxy would be made again, since what you agreed to by now differs, and {agent}, which runs, would be cut off")),
        "{}",
        refused.err
    );
    assert_eq!(all(&stack), before, "{}", refused.text());
    // Beside an agent, and to its terminal.
    let beside = stack.project.bottle(&["exec", "--", "sh", "-c", "id -u; exit 7"]);
    assert_eq!((beside.code, beside.out.as_str()), (Some(7), &*format!("{OWNER}\n")), "{}", beside.text());
    let none = stack.project.bottle(&["attach", "--agent", "nobody"]);
    assert!(none.err.contains(&format!("no agent called nobody runs; there are {agent}")), "{}", none.err);
    assert!(stack.project.bottle(&["ps"]).ok().out.contains(&format!("  agent {agent}\n")));
}
