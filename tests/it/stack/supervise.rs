//! Supervision in a real stack: what the agent was refused works after a person approved it, in the same container.

use super::harness::{self, docker};
use super::internet::{NETWORK, subnet};
use super::project::Project;
use serde_json::Value;

fn manifest() -> String {
    format!(
        "agent: {{image: bottle-test-base:1, command: [sleep, infinity], user: agent}}
supervise: true
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/nothing] # kept
      addresses: [{}]
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
",
        subnet()
    )
}

const THING: &str = "curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' \
                     https://api.quickstart.test/v1/things/1";

fn call(tool: &str, arguments: &str) -> String {
    format!(
        "curl --silent --max-time 60 --header 'Content-Type: application/json' --header 'Accept: application/json, \
         text/event-stream' --data '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\
         \"arguments\":{arguments}}}}}' http://bottle.internal/mcp"
    )
}

#[test]
fn what_a_person_approves_works_in_the_same_session() {
    if !harness::available() {
        return;
    }
    let stack = Project::new("supervise", &manifest()).up();
    assert_eq!(stack.agent(THING).out, "403");
    let client = stack.agent("cat /etc/bottle/trust/mcp.json").ok().out;
    assert!(client.contains("http://bottle.internal/mcp"), "{client}");
    let seen = docker([
        "inspect",
        "--format",
        "{{.HostConfig.NetworkMode}} {{.HostConfig.ReadonlyRootfs}}",
        &stack.container("supervise"),
    ]);
    assert_eq!(seen.ok().out.trim(), "none true");

    let arguments =
        r#"{"host":"api.quickstart.test","path_allowlist":["/v1/things"],"justification":"the list"}"#;
    let answer = stack.agent(&call("egress-proxy-block", arguments)).ok().out;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
    let result = &answer["result"]["structuredContent"];
    assert_eq!(result["status"], "pending", "{answer:#}");
    let id = result["id"].as_str().unwrap();

    let shown = stack.project.bottle(&["dashboard", "--once"]).ok().out;
    assert!(shown.contains(id), "{shown}");
    let checked = stack.project.bottle(&["approve", id, "--check"]).ok().out;
    let digest = checked.lines().find_map(|line| line.strip_prefix("digest ")).unwrap();
    stack.project.bottle(&["approve", id, "--accept", digest]).ok();
    assert_eq!(stack.agent(THING).out, "200");
    let told = stack.agent(&call("request-status", &format!("{{\"id\":\"{id}\"}}"))).ok().out;
    assert!(told.contains(r#""status":"approved""#), "{told}");
    stack.project.bottle(&["verify"]).ok();
}
