//! A stack that was rendered on one machine and committed is brought up on another one: `docs/gitops.md`.

use super::{
    harness::{self, run},
    internet::{NETWORK, seen, subnet},
    project::{Project, made_up},
};
use std::process::Command;

fn manifest() -> String {
    let subnet = subnet();
    format!(
        "agent: {{image: bottle-test-base:1, command: [sleep, infinity], user: agent}}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: THINGS_KEY}}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

/// git, with nothing of this machine's configuration.
fn git(project: &Project, arguments: &[&str]) -> String {
    let identity =
        ["-c", "user.name=n", "-c", "user.email=n@example.test", "-c", "protocol.file.allow=always"];
    let mut command: Command = project.command("git");
    command
        .args(identity)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    run(&command).ok().out.trim().to_owned()
}

#[test]
fn a_committed_tree_comes_up_in_a_clone_that_agreed_by_digest() {
    if !harness::available() {
        return;
    }
    let author = Project::new("gitops", &manifest());
    author.bottle(&["render", "--accept-widening"]).ok();
    let printed = author.bottle(&["render", "--check"]).ok().out;
    let digest = printed.lines().last().unwrap().strip_prefix("digest ").unwrap().to_owned();
    git(&author, &["init", "--quiet", "--initial-branch=main", "."]);
    git(&author, &["add", "--all"]);
    git(&author, &["commit", "--quiet", "--message", "rendered"]);

    let host = Project::new("gitops", &manifest()).token("THINGS_KEY", "things-");
    fs_err::remove_dir_all(host.folder()).unwrap();
    fs_err::create_dir(host.folder()).unwrap();
    git(&host, &["clone", "--quiet", author.folder().to_str().unwrap(), "."]);
    assert_eq!(host.bottle(&["render"]).code, Some(1), "a clone is asked about");
    let early = host.compose(&["up", "--detach", "--wait"]);
    assert!(early.text().contains("run bottle render"), "it has no state yet: {}", early.text());
    host.bottle(&["render", "--accept", &digest]).ok();
    assert_eq!(git(&host, &["status", "--porcelain"]), "", "no committed byte is another one");

    let stack = host.adopt();
    stack.project.compose(&["up", "--detach", "--wait", "--quiet-pull"]).ok();
    let path = format!("/v1/things/{}", made_up(""));
    let url = format!("https://api.quickstart.test{path}");
    let get = |url: &str| {
        stack.agent(&format!("curl --silent --output /dev/null --write-out '%{{http_code}}' {url}")).out
    };
    assert_eq!(get(&url), "200");
    assert_eq!(seen(&path).len(), 1);
    assert_eq!(get("https://api.quickstart.test/v2"), "403");
}
