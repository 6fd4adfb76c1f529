//! `devcontainer.json`: the agent's container as a place that an editor or the devcontainer CLI works in.
//!
//! It attaches to the agent that `bottle up` started, and can start none. The tools merge what an image says in its label
//! `devcontainer.metadata` into what they start: mounts, privileges, a user. So the compose file that they are given names
//! no image that exists, and the stack's own file sets that label. What the format offers and is never written:
//! `initializeCommand`, which runs on the host, and features, which build another image than the one that was agreed to.
//! (<https://containers.dev/implementors/json_reference/>)

use super::{RenderError, checksum, paths};
use crate::plan::{Plan, User};
use crate::stack::service;
use serde::Serialize;
use serde_json::{Value, json};

/// The keys that are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DevContainer<'a> {
    name: String,
    docker_compose_file: &'a str,
    service: &'a str,
    workspace_folder: &'a str,
    /// The agent's command is the one that was agreed to.
    override_command: bool,
    /// Whoever started the stack stops it.
    shutdown_action: &'a str,
    /// Absent: whoever the container runs as, which each machine decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_user: Option<&'a str>,
    /// It would build an image of another uid.
    #[serde(rename = "updateRemoteUserUID")]
    update_remote_user_uid: bool,
    forward_ports: [u16; 0],
    other_ports_attributes: Value,
    customizations: Value,
}

/// The tools look for a container by project and service, and start one where none runs. `.invalid` is no domain (RFC 2606),
/// so this image is not pulled either.
const ATTACH: &str = "\
# Finds the agent that `bottle up` started, for devcontainer.json. It can start nothing: there is no such image.
name: ${COMPOSE_PROJECT_NAME:?run bottle render}
services:
  agent:
    image: bottle.invalid/start-the-agent-with-bottle-up
    pull_policy: never
";

/// Both files: path and whole text.
pub(super) fn files(plan: &Plan) -> Result<[(&'static str, String); 2], RenderError> {
    let mounted = plan.agent.mounts.iter().find(|mount| mount.why.is_none());
    let folder = plan.agent.workdir.as_deref().or(mounted.map(|mount| mount.target.as_str())).unwrap_or("/");
    let user = match &plan.agent.user {
        User::Named(name) => Some(name.as_str()),
        User::Owner | User::Image => None,
    };
    for (key, text) in [("agent.workdir", Some(folder)), ("agent.user", user)] {
        // The format has no way to write it literally.
        if text.is_some_and(|text| text.contains("${")) {
            return Err(RenderError::Substituted(key));
        }
    }
    let file = DevContainer {
        name: format!("bottle {}", plan.name),
        docker_compose_file: paths::ATTACH,
        service: service::AGENT,
        workspace_folder: folder,
        override_command: false,
        shutdown_action: "none",
        remote_user: user,
        update_remote_user_uid: false,
        forward_ports: [],
        other_ports_attributes: json!({ "onAutoForward": "ignore" }),
        customizations: json!({ "vscode": { "settings": {
            "remote.autoForwardPorts": false,
            "remote.restoreForwardedPorts": false,
        } } }),
    };
    let text =
        serde_json::to_string_pretty(&file).map_err(|error| RenderError::Yaml(paths::DEVCONTAINER, error))?;
    // Without its opening brace, which stands in the checksum line.
    let members = text.trim_start_matches("{\n").to_owned() + "\n";
    Ok([(paths::DEVCONTAINER, checksum::seal_json(&members)), (paths::ATTACH, checksum::seal(ATTACH))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::plan::Surroundings;

    fn rendered(agent: &str) -> Result<Value, RenderError> {
        let text = format!(
            "version: 1\nname: dev\nagent: {{image: x{agent}}}\negress: {{allowlist: [a.example]}}\n"
        );
        let loaded = Manifest::load("bottle.yaml", text.as_bytes()).unwrap();
        let plan = Plan::resolve(&loaded.manifest, &Surroundings::beside("dev")).unwrap();
        Ok(serde_json::from_str(&files(&plan)?[0].1).unwrap())
    }

    #[test]
    fn the_folder_is_where_the_agent_works() {
        for (agent, folder) in [
            ("", "/"),
            (", mounts: [{source: ., target: /src}]", "/src"),
            (", workdir: /work, mounts: [{source: ., target: /src}]", "/work"),
        ] {
            assert_eq!(rendered(agent).unwrap()["workspaceFolder"], folder);
        }
    }

    #[test]
    fn a_user_is_named_where_the_manifest_names_one() {
        assert_eq!(rendered(", user: node").unwrap()["remoteUser"], "node");
        let owner = rendered(", mounts: [{source: ., target: /src}]").unwrap();
        assert_eq!(owner.get("remoteUser"), None);
    }

    /// A variable of the host would be a value that the agent reads.
    #[test]
    fn nothing_is_substituted() {
        let error = rendered(", workdir: \"/work/${localWorkspaceFolder}\"").unwrap_err().to_string();
        assert!(error.starts_with("agent.workdir holds `${`"), "{error}");
    }

    #[test]
    fn nothing_that_runs_on_the_host_or_builds_is_written() {
        let file = rendered("").unwrap();
        for key in
            ["initializeCommand", "features", "build", "image", "mounts", "runArgs", "privileged", "capAdd"]
        {
            assert_eq!(file.get(key), None, "{key}");
        }
    }
}
