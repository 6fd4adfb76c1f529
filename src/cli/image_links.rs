//! The agent's image, before anything of it runs: bottle's own program is mounted into containers of that image, and runs
//! in one of them as root. An image whose folders lead elsewhere would choose which program that is.

use super::agreed_stack::Stack;
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::plan::AgentImage;
use crate::stack::{AGENT_BINARY, service};
use anyhow::{Context as _, bail};
use camino::Utf8Path;
use std::io::Read as _;
use std::process::Stdio;

/// Refuses an image in which something on the way to [`AGENT_BINARY`] is no plain folder, or that itself no file. Nothing of it is run: the engine
/// is asked about a container that is made and never started, and that no label of the image makes a part of a stack.
pub(super) fn require_none(stack: &Stack) -> anyhow::Result<()> {
    if stack.plan.agent.home.is_none() {
        return Ok(());
    }
    let image = match &stack.plan.agent.image {
        AgentImage::Named(name) => name.clone(),
        AgentImage::Built(_) => format!("{}-{}", stack.bottle.project, service::AGENT),
    };
    let made = output_of(docker().args(["create", "--network", "none", "--entrypoint", "/"]).args([
        "--label",
        "com.docker.compose.project=",
        "--label",
        "bottle.name=",
        &image,
    ]))?;
    let container = made.trim();
    let found = Utf8Path::new(AGENT_BINARY)
        .ancestors()
        .filter(|place| place.parent().is_some())
        .map(|place| Ok((place, kind(container, place)?)))
        .collect::<anyhow::Result<Vec<_>>>();
    let _ = docker().args(["rm", "--volumes", container]).output(); // it was never started
    let fits = |(place, kind): &(&Utf8Path, Option<u8>)| {
        kind.is_none_or(|kind| kind == if *place == AGENT_BINARY { FILE } else { FOLDER })
    };
    match found?.into_iter().find(|it| !fits(it)) {
        None => Ok(()),
        Some((place, _)) => bail!(
            "{place} of the image {image} is in the way of bottle's own program, which is mounted at {AGENT_BINARY}; remove \
             it from the image"
        ),
    }
}

/// Types of entries of a tar archive (pax(1), "ustar Interchange Format").
const FILE: u8 = b'0';
const FOLDER: u8 = b'5';

/// What is at a place of a container, as the type of its entry in a tar archive; nothing where there is nothing.
fn kind(container: &str, place: &Utf8Path) -> anyhow::Result<Option<u8>> {
    let mut copy = docker();
    copy.args(["cp", &format!("{container}:{place}"), "-"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = copy.spawn().context(NO_DOCKER)?;
    // The first entry says it; the rest is not wanted.
    let mut head = Vec::new();
    if let Some(archive) = child.stdout.take() {
        archive.take(512).read_to_end(&mut head)?;
    }
    let said = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stderr);
    match head.get(156) {
        Some(kind) => Ok(Some(*kind)),
        None if said.contains("Could not find the file") || said.contains("No such container:path") => {
            Ok(None)
        }
        None => fail!("docker-failed", "docker cp failed: {}", said.trim()),
    }
}
