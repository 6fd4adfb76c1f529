//! Compose's own hash of what each service would be made of, which tells whether it would make a container again.

use super::agreed_stack::Stack;
use super::container_checks::{Container, of_project};
use crate::stack::service;
use anyhow::ensure;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

/// Whether Compose would leave a container as it is.
pub(super) fn is_current(stack: &Stack, container: &Container) -> anyhow::Result<bool> {
    let hashes = of_services(stack, &of_project(&stack.bottle.project)?)?;
    Ok(hashes.get(&container.service) == Some(&container.config_hash))
}

/// Of every service, as Compose would make it now beside these containers. It hashes a joined namespace by the id of the
/// container that holds it, which it does not ask for here: so it is told.
pub(super) fn of_services(stack: &Stack, there: &[Container]) -> anyhow::Result<BTreeMap<String, String>> {
    let joining = |holder: &str| {
        let holder = there.iter().find(|it| it.service == holder).map(|it| it.id.as_str());
        serde_json::json!({ "network_mode": format!("container:{}", holder.unwrap_or_default()) })
    };
    let inbound = (!stack.plan.agent.publish.is_empty()).then_some(service::INBOUND);
    let beside = stack.plan.sidecars.iter().map(|it| it.name.as_str());
    let mut joined: serde_json::Map<String, serde_json::Value> =
        [service::GATE, service::AGENT, service::ATTACK]
            .into_iter()
            .chain(inbound)
            .chain(beside)
            .map(|name| (name.to_owned(), joining(service::NETNS)))
            .collect();
    if stack.plan.runs_upstream() {
        joined.insert(service::PIPELOCK.to_owned(), joining(service::RELAY));
    }
    // A reload takes new rules without a new container, whose label is that of its creation.
    for proxy in there.iter().filter(|it| !it.config_label.is_empty()) {
        let service = joined.entry(proxy.service.clone()).or_insert_with(|| serde_json::json!({}));
        service["labels"] = serde_json::json!({ "bottle.config": proxy.config_label });
    }
    let mut command = stack.command(&["-f", "-", "--profile", "*", "config", "--hash", "*"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that ended already says why on its own stderr.
        let _ = input.write_all(serde_json::json!({ "services": joined }).to_string().as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "docker compose config failed: {}", said.trim());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = lines.lines().filter_map(|line| line.trim().split_once(' '));
    Ok(pairs.map(|(service, hash)| (service.to_owned(), hash.trim().to_owned())).collect())
}
