//! The agent's image, before anything of it runs: bottle's own program is mounted into containers of that image, and runs
//! in one of them as root. An image whose folders lead elsewhere would choose which program that is.

use super::agreed_stack::Stack;
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::plan::AgentImage;
use crate::stack::{AGENT_BINARY, service};
use anyhow::{Context as _, bail};
use camino::Utf8Path;
use std::io::Read;
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
    let problem = problem(container);
    let _ = docker().args(["rm", "--volumes", container]).output(); // it was never started
    match problem? {
        None => Ok(()),
        Some((place, why)) => bail!("{place} of the image {image} {why}"),
    }
}

/// What is not as it must be in a container, and why.
fn problem(container: &str) -> anyhow::Result<Option<(&'static str, String)>> {
    for place in Utf8Path::new(AGENT_BINARY).ancestors().filter(|place| place.parent().is_some()) {
        let wanted = if place == AGENT_BINARY { FILE } else { FOLDER };
        if kind(container, place, false)?.is_some_and(|kind| kind != wanted) {
            let why = format!(
                "is in the way of bottle's own program, which is mounted at {AGENT_BINARY}; remove it from the image"
            );
            return Ok(Some((place.as_str(), why)));
        }
    }
    // The engine reads them before each start, and waits for a pipe until somebody writes to it.
    for place in ["/etc/passwd", "/etc/group"] {
        if kind(container, place.into(), true)?.is_some_and(|kind| kind != FILE) {
            return Ok(Some((
                place,
                "is no plain file, and Docker would wait for it; remove it from the image".to_owned(),
            )));
        }
    }
    Ok(None)
}

/// Types of entries of a tar archive (pax(1), "ustar Interchange Format").
const FILE: u8 = b'0';
const FOLDER: u8 = b'5';

/// What `docker cp` says where there is nothing: by Docker's engine, by older ones, by Podman's.
const MISSING: [&str; 3] = [
    "Could not find the file",
    "No such container:path",
    "Error response from daemon: no such file or directory",
];

/// What is at a place of a container, as the type of its entry in a tar archive; nothing where there is nothing.
fn kind(container: &str, place: &Utf8Path, follow: bool) -> anyhow::Result<Option<u8>> {
    let mut copy = docker();
    copy.arg("cp").args(follow.then_some("--follow-link")).args([&format!("{container}:{place}"), "-"]);
    copy.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = copy.spawn().context(NO_DOCKER)?;
    // The first entry says it; the rest is not wanted.
    let kind = child.stdout.take().map_or(Ok(None), |archive| first_entry(archive.take(HEADERS)))?;
    let said = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stderr);
    match kind {
        Some(kind) => Ok(Some(kind)),
        None if MISSING.iter().any(|words| said.contains(words)) => Ok(None),
        None => fail!("docker-failed", "docker cp failed: {}", said.trim()),
    }
}

/// What may stand before the first entry, in bytes: extended headers, of long names and large numbers.
const HEADERS: u64 = 1 << 20;

/// The type of the first entry of an archive, extended headers passed over; nothing of an archive without one.
fn first_entry(mut archive: impl Read) -> std::io::Result<Option<u8>> {
    const BLOCK: u64 = 512;
    loop {
        let mut header = Vec::new();
        archive.by_ref().take(BLOCK).read_to_end(&mut header)?;
        let (Some(kind), Some(size)) = (header.get(156), header.get(124..136)) else { return Ok(None) };
        if !b"xgLK".contains(kind) {
            return Ok(Some(*kind));
        }
        let digits = String::from_utf8_lossy(size);
        let Ok(size) = u64::from_str_radix(digits.trim_matches([' ', '\0']), 8) else { return Ok(None) };
        let padded = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        std::io::copy(&mut archive.by_ref().take(padded), &mut std::io::sink())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[156] = kind;
        block.extend(content);
        block.resize(block.len().div_ceil(512) * 512, 0);
        block
    }

    #[test]
    fn extended_headers_are_passed_over() {
        let plain = entry(FOLDER, b"");
        assert_eq!(first_entry(plain.as_slice()).unwrap(), Some(FOLDER));
        let extended = [entry(b'x', b"19 uid=3000000\n"), entry(b'L', &[b'a'; 1000]), plain].concat();
        assert_eq!(first_entry(extended.as_slice()).unwrap(), Some(FOLDER));
        for short in [&extended[..100], &extended[..600], &[]] {
            assert_eq!(first_entry(short).unwrap(), None);
        }
    }
}
