//! `pipelock.engine: image`: a stack whose pipelock is a program in an image of its own. A stand-in takes its place (the
//! program itself can't be had here): it refuses to run unless it is given what that program needs, and requests go
//! through it.

use super::{
    harness::{self, docker, run, until},
    internet::{self, NETWORK, subnet},
    lifecycle::crash,
    project::{Project, Stack, digest},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// The stand-in's image, which is removed with what else these tests made.
pub(super) const STAND_IN: &str = "bottle-test-pipelock:local";

/// Builds it once in a run, around the program under test.
pub(super) fn build_stand_in() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let context = harness::folder().join("stand-in");
        fs_err::create_dir(&context).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/pipelock");
        for name in ["Dockerfile", "pipelock"] {
            fs_err::copy(from.join(name), context.join(name)).unwrap();
        }
        fs_err::copy(PathBuf::from(env!("CARGO_BIN_EXE_bottle")), context.join("engine")).unwrap();
        run(Command::new("docker").args(["build", "--quiet", "--tag", STAND_IN]).arg(&context)).ok();
    });
}

fn manifest(more: &str) -> String {
    let subnet = subnet();
    format!(
        "agent: {{image: \"bottle-test-base:1\", command: [sleep, infinity], user: \"1000:1000\"}}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: header, name: x-api-key, token_ref: THINGS_KEY}}
    - host: github.com
      path_allowlist: [/acme/app.git]
      addresses: [{subnet}]
{more}
egress: {{network: {NETWORK}}}
pipelock: {{engine: image, image: \"{STAND_IN}\", extra_ca: ./ca.pem}}
"
    )
}

const THINGS: &str = "curl -sS -o /dev/null -w '%{http_code}' https://api.quickstart.test/v1/things/";

#[track_caller]
fn gets(stack: &Stack, name: &str) -> String {
    stack.agent(&format!("{THINGS}{name}")).ok().out
}

#[test]
fn a_request_goes_through_a_program_in_an_image_of_its_own() {
    if !harness::available() {
        return;
    }
    build_stand_in();
    let stack = Project::new("upstream", &manifest("")).token("THINGS_KEY", "things-").render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    assert!(stack.logs("pipelock").contains("stand-in: all as it must be"), "{}", stack.logs("pipelock"));

    // With the credential that egress-proxy sets, and past both proxies.
    assert_eq!(gets(&stack, "first"), "200");
    let seen = internet::seen("/v1/things/first");
    assert!(seen[0].to_string().contains(&digest(&project.tokens["THINGS_KEY"])), "{seen:?}");
    let clone =
        stack.agent("cd /tmp && git clone -q https://github.com/acme/app.git && git -C app log --oneline");
    assert!(clone.code == Some(0) && !clone.out.is_empty(), "{}", clone.text());
    let secret = stack.agent(&format!("{THINGS}leak -d AKIA{}", "QYLPMN5HHHFPZAM2"));
    assert_eq!(secret.out, "403", "{}", secret.text());
    let other = stack.agent("curl -sS https://files.quickstart.test/");
    assert!(other.text().contains("not an allowed host"), "{}", other.text());

    // Nothing of it listens where others are.
    let address = docker([
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &stack.container("pipelock-relay"),
    ]);
    let address = address.ok().out.trim().to_owned();
    let stranger = format!("curl -sS -m 3 http://{address}:8888/health");
    let asked = docker(["run", "--rm", "--network", NETWORK, harness::IMAGES[0], "sh", "-c", &stranger]);
    assert!(asked.text().contains("refused") || asked.text().contains("connect"), "{}", asked.text());

    let verified = project.bottle(&["verify"]).ok();
    assert!(verified.out.contains("6 containers are what you agreed to"), "{}", verified.text());
    project.compose(&["run", "--rm", "--no-deps", "-T", "attack"]).ok();

    a_killed_program_comes_back(&stack);
    new_rules_are_taken(&stack);
    another_image_is_seen(&stack);
}

/// It joins the namespace that its relay holds, so the agent's way out is the same.
fn a_killed_program_comes_back(stack: &Stack) {
    crash(&stack.container("pipelock"));
    until("the program is back", Duration::from_mins(2), || {
        (stack.agent(&format!("{THINGS}again")).out == "200").then_some(())
    });
    stack.project.bottle(&["up"]).ok();
    assert_eq!(gets(stack, "again"), "200");
}

fn new_rules_are_taken(stack: &Stack) {
    let project = &stack.project;
    let files = "curl -sS -o /dev/null -w '%{http_code}' https://files.quickstart.test/";
    let more = format!("    - {{host: files.quickstart.test, addresses: [{}]}}", subnet());
    project.write_manifest(&manifest(&more));
    project.bottle(&["render", "--accept-widening"]).ok();
    let agent = stack.container("agent");
    project.bottle(&["reload"]).ok();
    assert_eq!(stack.agent(files).out, "200");
    assert_eq!(stack.container("agent"), agent, "the agent's session goes on");
    let drift = project.bottle(&["verify"]).text();
    assert!(
        drift.contains("GIT_CONFIG") && !drift.contains("-pipelock"),
        "the agent's variables alone: {drift}"
    );

    // What it would not take is refused before anything is told.
    let config = project.host_state().join("agreed/pipelock/pipelock.yaml");
    let good = fs_err::read_to_string(&config).unwrap();
    fs_err::write(&config, good.replace("\ntaint:", "\ntainted:")).unwrap();
    let refused = docker([
        "exec",
        &stack.container("pipelock"),
        "/pipelock",
        "check",
        "--config",
        "/etc/bottle/pipelock/pipelock.yaml",
    ]);
    assert!(refused.text().contains("field tainted not found"), "{}", refused.text());
    fs_err::write(&config, good).unwrap();
}

/// The name stands for another image by now.
fn another_image_is_seen(stack: &Stack) {
    let before = docker(["image", "inspect", "--format", "{{.Id}}", STAND_IN]).ok().out;
    docker(["tag", harness::IMAGES[0], STAND_IN]).ok();
    let seen = stack.project.bottle(&["verify"]).text();
    docker(["tag", before.trim(), STAND_IN]).ok();
    assert!(seen.contains("runs another image than bottle-test-pipelock:local stands for"), "{seen}");
}

/// Without routes the relay serves the gate.
#[test]
fn without_routes_the_relay_serves_the_program_to_the_agent() {
    if !harness::available() {
        return;
    }
    build_stand_in();
    let subnet = subnet();
    let rest = format!(
        "agent: {{image: \"bottle-test-base:1\", command: [sleep, infinity]}}
egress: {{network: {NETWORK}, allowlist: [{{host: files.quickstart.test, addresses: [{subnet}]}}]}}
pipelock: {{engine: image, image: \"{STAND_IN}\", extra_ca: ./ca.pem}}
"
    );
    let stack = Project::new("upstream-direct", &rest).up();
    let got = stack.agent("curl -sS -o /dev/null -w '%{http_code}' https://files.quickstart.test/").ok().out;
    assert_eq!(got, "200");
    let said = stack.project.bottle(&["logs", "--no-follow"]).ok();
    assert!(said.err.contains("keeps no record of requests"), "{}", said.text());
    stack.project.bottle(&["verify"]).ok();
}
