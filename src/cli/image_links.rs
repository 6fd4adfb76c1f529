//! Images, before anything of them runs: bottle's own program is mounted into containers of the agent's, and runs in one of
//! them as root. An image whose folders lead elsewhere would choose which program that is; one with a pipe in place of a
//! file would keep the engine waiting, and with it everyone who asks about the container.

use super::agreed_stack::Stack;
use super::container_checks::Container;
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::plan::{AgentImage, layout::normal};
use crate::stack::{AGENT_BINARY, service};
use anyhow::{Context as _, bail};
use camino::Utf8Path;
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

/// Refuses an agent's image in which something on the way to [`AGENT_BINARY`] is no plain folder, or that itself no file.
pub(super) fn require_none(stack: &Stack) -> anyhow::Result<()> {
    let image = of_agent(stack);
    let problem = in_container_of(&image, |container| {
        let of_ours = if stack.plan.agent.home.is_some() { in_our_way(container)? } else { None };
        Ok(of_ours.or(read_by_the_engine(container)?))
    })?;
    refuse(&image, problem)
}

/// Refuses every other image of somebody's that the engine would wait for; one of which a container runs is not looked
/// at again.
pub(super) fn require_plain(stack: &Stack, all: &[Container]) -> anyhow::Result<()> {
    let runs = |service: &str| all.iter().any(|it| it.service == service && it.is_alive());
    let sidecars = stack.plan.sidecars.iter().map(|it| (it.name.as_str(), it.image.as_str()));
    let engine = stack.plan.engine.image().map(|image| (service::PIPELOCK, image));
    for (_, image) in sidecars.chain(engine).filter(|(service, _)| !runs(service)) {
        refuse(image, in_container_of(image, read_by_the_engine)?)?;
    }
    Ok(())
}

fn of_agent(stack: &Stack) -> String {
    match &stack.plan.agent.image {
        AgentImage::Named(name) => name.clone(),
        AgentImage::Built(_) => format!("{}-{}", stack.bottle.project, service::AGENT),
    }
}

/// A place of an image, and what is wrong there.
type Problem = Option<(String, String)>;

fn refuse(image: &str, problem: Problem) -> anyhow::Result<()> {
    match problem {
        None => Ok(()),
        Some((place, why)) => bail!("{place} of the image {image} {why}"),
    }
}

/// Nothing of the image is run: the engine is asked about a container that is made and never started, and that no label of
/// the image makes a part of a stack.
fn in_container_of(
    image: &str,
    look: impl FnOnce(&str) -> anyhow::Result<Problem>,
) -> anyhow::Result<Problem> {
    let made = output_of(docker().args(["create", "--network", "none", "--entrypoint", "/"]).args([
        "--label",
        "com.docker.compose.project=",
        "--label",
        "bottle.name=",
        image,
    ]))?;
    let container = made.trim();
    let problem = look(container);
    let _ = docker().args(["rm", "--volumes", container]).output(); // it was never started
    problem
}

/// What is not a folder, or not a file, where bottle's own program is mounted.
fn in_our_way(container: &str) -> anyhow::Result<Problem> {
    for place in Utf8Path::new(AGENT_BINARY).ancestors().filter(|place| place.parent().is_some()) {
        let wanted = if place == AGENT_BINARY { FILE } else { FOLDER };
        if first_of(container, place, false)?.is_some_and(|found| found.kind != wanted) {
            let why = format!(
                "is in the way of bottle's own program, which is mounted at {AGENT_BINARY}; remove it from the image"
            );
            return Ok(Some((place.to_string(), why)));
        }
    }
    Ok(None)
}

/// Files that the engine reads before each start. It waits for a pipe until somebody writes to it.
const READ_BY_THE_ENGINE: [&str; 2] = ["/etc/passwd", "/etc/group"];

fn read_by_the_engine(container: &str) -> anyhow::Result<Problem> {
    /// Of a machine with thousands of users, in bytes.
    const LARGEST: u64 = 1 << 20;
    for place in READ_BY_THE_ENGINE {
        let Some(found) = first_of(container, place.into(), true)? else { continue };
        if found.kind != FILE {
            let why = "is no plain file, and Docker would wait for it; remove it from the image";
            return Ok(Some((place.to_owned(), why.to_owned())));
        }
        if found.size > LARGEST {
            let why = "is larger than 1 MiB, and Docker reads it at each start; make it smaller";
            return Ok(Some((place.to_owned(), why.to_owned())));
        }
    }
    kept_for_the_next(container)
}

/// A volume of the image outlives the container, and with it what was written to a file that the engine reads before the
/// next start.
fn kept_for_the_next(container: &str) -> anyhow::Result<Problem> {
    let said = output_of(docker().args(["inspect", "--format", "{{json .Config.Volumes}}", container]))?;
    let volumes: Option<BTreeMap<String, serde_json::Value>> = serde_json::from_str(said.trim())?;
    for volume in volumes.unwrap_or_default().into_keys() {
        let place = normal(&Utf8Path::new("/").join(&volume));
        let read = READ_BY_THE_ENGINE.into_iter().find(|file| Utf8Path::new(file).starts_with(&place));
        if let Some(file) = read {
            let why = format!(
                "is a volume, which would keep {file} for the next container, and Docker reads that file at each start; \
                 remove the line VOLUME"
            );
            return Ok(Some((volume, why)));
        }
        for above in place.ancestors().filter(|above| above.parent().is_some()) {
            if first_of(container, above, false)?.is_some_and(|found| found.kind != FOLDER) {
                let why = "is a volume behind a link, so nobody knows which folder it keeps; name that folder in VOLUME";
                return Ok(Some((volume, why.to_owned())));
            }
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

/// An entry of a tar archive.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    /// In bytes.
    size: u64,
}

/// What is at a place of a container; nothing where there is nothing.
fn first_of(container: &str, place: &Utf8Path, follow: bool) -> anyhow::Result<Option<Entry>> {
    let mut copy = docker();
    copy.arg("cp").args(follow.then_some("--follow-link")).args([&format!("{container}:{place}"), "-"]);
    copy.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = copy.spawn().context(NO_DOCKER)?;
    // The first entry says it; the rest is not wanted.
    let found = child.stdout.take().map_or(Ok(None), |archive| first_entry(archive.take(HEADERS)))?;
    let said = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stderr);
    match found {
        Some(found) => Ok(Some(found)),
        None if MISSING.iter().any(|words| said.contains(words)) => Ok(None),
        None => fail!("docker-failed", "docker cp failed: {}", said.trim()),
    }
}

/// What may stand before the first entry, in bytes: extended headers, of long names and large numbers.
const HEADERS: u64 = 1 << 20;

/// The first entry of an archive, extended headers passed over; nothing of an archive without one.
fn first_entry(mut archive: impl Read) -> std::io::Result<Option<Entry>> {
    const BLOCK: u64 = 512;
    let mut is_huge = false;
    loop {
        let mut header = Vec::new();
        archive.by_ref().take(BLOCK).read_to_end(&mut header)?;
        let (Some(kind), Some(size)) = (header.get(156), header.get(124..136)) else { return Ok(None) };
        let digits = String::from_utf8_lossy(size);
        let Ok(size) = u64::from_str_radix(digits.trim_matches([' ', '\0']), 8) else { return Ok(None) };
        if !b"xgLK".contains(kind) {
            return Ok(Some(Entry { kind: *kind, size: if is_huge { u64::MAX } else { size } }));
        }
        let mut records = Vec::new();
        archive.by_ref().take(size.div_ceil(BLOCK).saturating_mul(BLOCK)).read_to_end(&mut records)?;
        // A size that does not fit into the entry's own field.
        is_huge |= *kind == b'x' && memchr::memmem::find(&records, b" size=").is_some();
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
        let folder = || Some(Entry { kind: FOLDER, size: 0 });
        assert_eq!(first_entry(plain.as_slice()).unwrap(), folder());
        assert_eq!(first_entry(entry(FILE, &[0; 700]).as_slice()).unwrap().unwrap().size, 700);
        let huge = [entry(b'x', b"21 size=99999999999\n"), entry(FILE, b"")].concat();
        assert_eq!(first_entry(huge.as_slice()).unwrap(), Some(Entry { kind: FILE, size: u64::MAX }));
        let extended = [entry(b'x', b"19 uid=3000000\n"), entry(b'L', &[b'a'; 1000]), plain].concat();
        assert_eq!(first_entry(extended.as_slice()).unwrap(), folder());
        for short in [&extended[..100], &extended[..600], &[]] {
            assert_eq!(first_entry(short).unwrap(), None);
        }
    }
}
