//! `render --target devcontainer`, with the devcontainer CLI itself (`scripts/setup --tests` installs it).

use super::{
    harness::{self, Ran, docker, run},
    internet::NETWORK,
    project::{Project, Stack},
};
use serde_json::Value;
use std::process::Command;

/// An image that asks for more than its cage, by the label that the tools read.
const GREEDY: &str = "bottle-test-greedy:local";
const DOCKERFILE: &str = r#"FROM bottle-test-base:1
LABEL devcontainer.metadata='[{"remoteUser": "root", "privileged": true, "mounts": ["source=/etc,target=/of-the-host,type=bind"], "postAttachCommand": "touch /tmp/commanded"}]'
"#;

fn greedy() {
    let context = harness::folder().join("greedy");
    fs_err::create_dir(&context).unwrap();
    fs_err::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    run(Command::new("docker").args(["build", "--quiet", "--tag", GREEDY]).arg(&context)).ok();
}

impl Stack {
    /// `devcontainer ARGUMENTS…` for what was rendered.
    fn devcontainer(&self, verb: &str) -> Ran {
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/devcontainer");
        let config = self.project.out().join("devcontainer.json");
        let mut command = self.project.command(tools);
        command.args([verb, "--workspace-folder", ".", "--config"]).arg(config);
        run(&command)
    }
}

/// What it prints last: one JSON object.
fn outcome(ran: &Ran) -> Value {
    let last = ran.out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

#[test]
fn the_devcontainer_cli_attaches_to_the_agent_and_starts_nothing() {
    if !harness::available() {
        return;
    }
    greedy();
    let rest = format!(
        "agent: {{image: \"{GREEDY}\", command: [sleep, infinity], workdir: /work, mounts: [{{source: ., target: /work}}]}}
egress_proxy: {{routes: [{{host: api.quickstart.test}}]}}
egress: {{network: {NETWORK}}}
"
    );
    let project = Project::new("devcontainer", &rest);
    run(Command::new("chown").arg("-R").arg("1000:1000").arg(project.folder())).ok();
    project.bottle(&["render", "--accept-widening", "--target", "devcontainer"]).ok();
    let stack = project.adopt();
    let project = &stack.project;

    let read = outcome(&stack.devcontainer("read-configuration").ok());
    let configuration = &read["configuration"];
    assert_eq!(configuration["service"], "agent");
    assert_eq!(read["workspace"]["workspaceFolder"], "/work");
    assert_eq!(configuration.get("initializeCommand"), None);

    // Nothing runs, and nothing of this can be started by the file.
    let refused = stack.devcontainer("up");
    assert_ne!(refused.code, Some(0), "{}", refused.text());
    assert!(refused.text().contains("bottle.invalid/start-the-agent-with-bottle-up"), "{}", refused.text());
    assert_eq!(stack.project.compose(&["ps", "--all", "--quiet"]).ok().out, "");

    project.bottle(&["up"]).ok();
    let agent = stack.container("agent");
    let attached = outcome(&stack.devcontainer("up").ok());
    assert_eq!(attached["outcome"], "success", "{attached}");
    assert_eq!(attached["containerId"], agent.as_str());
    assert_eq!(attached["composeProjectName"], stack.name.as_str());
    assert_eq!(attached["remoteUser"], "1000", "not the one that the image asks for");
    assert_eq!(attached["remoteWorkspaceFolder"], "/work");
    assert_eq!(stack.container("agent"), agent, "the agent goes on");
    let inside = docker(["exec", &agent, "ls", "/tmp/commanded", "/of-the-host"]);
    assert_ne!(inside.code, Some(0), "{}", inside.text());
    let network = docker(["exec", &agent, "sh", "-c", "ls /sys/class/net"]).ok().out;
    assert_eq!(network.split_whitespace().collect::<Vec<_>>(), ["lo"]);
    let verified = project.bottle(&["verify"]).ok();
    assert!(verified.out.contains("5 containers are what you agreed to"), "{}", verified.text());

    // What somebody adds by hand is seen wherever the tree is.
    let file = project.out().join("devcontainer.json");
    let text = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, text.replacen('\n', "\n  \"initializeCommand\": \"touch /tmp/of-the-host\",\n", 1))
        .unwrap();
    for (arguments, code) in
        [(&["render", "--check"][..], 1), (&["verify"], 1), (&["up"], 2), (&["render"], 2)]
    {
        let said = project.bottle(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.text());
        assert!(said.text().contains("devcontainer.json"), "{arguments:?}: {}", said.text());
    }
}
