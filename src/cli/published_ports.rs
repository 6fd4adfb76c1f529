//! Ports of this machine at which a stack shows ports of its agent.

use super::agreed_stack::Stack;
use super::container_checks::Container;
use super::docker::{docker, output_of};
use super::failure::fail;
use crate::manifest::Published;
use crate::stack::service;
use schemars::JsonSchema;
use serde::Serialize;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long a program that listens on loopback may take to accept.
const PATIENCE: Duration = Duration::from_secs(1);

/// A port of the agent that this machine shows now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Shown {
    /// Where, on this machine.
    url: String,
    /// In the agent's namespace.
    agent_port: u16,
}

impl From<Published> for Shown {
    fn from(published: Published) -> Self {
        Self { url: format!("http://127.0.0.1:{}", published.host()), agent_port: published.agent() }
    }
}

/// For people.
impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (port {} of the agent)", self.url, self.agent_port)
    }
}

/// What this machine shows now, by the engine's word.
pub(super) fn shown<'a>(containers: impl IntoIterator<Item = &'a Container>) -> Vec<Shown> {
    let shows = containers.into_iter().filter(|it| it.service == service::PUBLISH && it.is_running());
    shows.flat_map(|it| it.published.iter().copied().map(Shown::from)).collect()
}

/// Refuses to start where a port that would be shown is taken. Where the containers are not this machine's, its ports say
/// nothing.
pub(super) fn require_free(stack: &Stack) -> anyhow::Result<()> {
    for published in &stack.plan.agent.publish {
        let port = published.host();
        if stack.unchecked || is_free(port) {
            continue;
        }
        let who = match holder(port)? {
            Some((project, _)) if project == stack.bottle.project => continue,
            Some((_, container)) => format!("the container {container}"),
            None => "another program (`ss -ltnp` lists who listens)".to_owned(),
        };
        let place = stack.loaded.as_ref().map(|loaded| loaded.place_of("agent.publish"));
        fail!(
            "port-in-use",
            "{}: port {port} of this machine, where agent.publish shows port {agent} of the agent, is taken by {who}; end \
             that, or publish another port: \"OTHER:{agent}\"",
            place.unwrap_or_else(|| stack.file.to_string()),
            agent = published.agent()
        );
    }
    Ok(())
}

/// Whether a program could listen there.
fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::AddrInUse => false,
        // Not everybody may listen below 1024, and the engine may. Then it is free if nobody answers.
        Err(_) => TcpStream::connect_timeout(&address, PATIENCE).is_err(),
    }
}

/// The container for which the engine holds a port: its Compose project, if any, and its name.
fn holder(port: u16) -> anyhow::Result<Option<(String, String)>> {
    let filter = format!("publish={port}/tcp");
    let format = r#"{{.Label "com.docker.compose.project"}} {{.Names}}"#;
    let said = output_of(docker().args(["ps", "--filter", &filter, "--format", format]))?;
    let found = said.lines().next().and_then(|line| line.split_once(' '));
    Ok(found.map(|(project, name)| (project.to_owned(), name.to_owned())))
}

/// Ends what shows ports that were agreed to before and are not any more: Compose leaves a service alone that its file does
/// not name.
pub(super) fn close_former(stack: &Stack, all: &[Container]) -> anyhow::Result<()> {
    if !stack.plan.agent.publish.is_empty() {
        return Ok(());
    }
    for container in all.iter().filter(|it| service::is_carrier(&it.service)) {
        output_of(docker().args(["rm", "--force", &container.id]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_until_somebody_listens_on_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }
}
