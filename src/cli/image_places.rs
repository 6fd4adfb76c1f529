//! Images, before anything of them runs. Bottle's own program is mounted into containers of the agent's, and runs in one of
//! them as root: an image whose folders lead elsewhere would choose which program that is. The engine reads files of a
//! container before each start, and one that is a pipe keeps it waiting, and with it everyone who asks about the container:
//! so they are plain files of the image, where nothing that an agent writes to is mounted.

use super::agreed_stack::Stack;
use super::container_checks::Container;
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::manifest;
use crate::plan::{AgentImage, layout::normal};
use crate::stack::{AGENT_BINARY, service};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Stdio;

/// Refuses an agent's image in which something on the way to [`AGENT_BINARY`] is no plain folder, or that itself no file,
/// and one that the engine would wait for.
pub(super) fn require_agent(stack: &Stack) -> anyhow::Result<()> {
    let agent = &stack.plan.agent;
    let mounted: Vec<&Utf8Path> =
        agent.mounts.iter().map(|mount| mount.target.as_path()).chain(agent.home.as_deref()).collect();
    let image = of_agent(stack);
    let problem = in_container_of(&image, |look| {
        let in_our_way = if agent.home.is_some() { in_our_way(look)? } else { None };
        Ok(in_our_way.or(read_by_the_engine(look, &mounted)?))
    })?;
    refuse(&image, problem)
}

/// Refuses every other image of somebody's that the engine would wait for; one of which a container runs is not looked
/// at again.
pub(super) fn require_others(stack: &Stack, all: &[Container]) -> anyhow::Result<()> {
    let runs = |service: &str| all.iter().any(|it| it.service == service && it.is_alive());
    let sidecars =
        stack.plan.sidecars.iter().map(|it| (it.name.as_str(), it.image.as_str(), it.volumes.as_slice()));
    let engine = stack.plan.engine.image().map(|image| (service::PIPELOCK, image, &[][..]));
    for (_, image, volumes) in sidecars.chain(engine).filter(|(service, ..)| !runs(service)) {
        let mounted: Vec<&Utf8Path> = volumes.iter().map(Utf8PathBuf::as_path).collect();
        refuse(image, in_container_of(image, |look| read_by_the_engine(look, &mounted))?)?;
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
    judge: impl FnOnce(&mut Look) -> anyhow::Result<Problem>,
) -> anyhow::Result<Problem> {
    let made = output_of(docker().args(["create", "--network", "none", "--entrypoint", "/"]).args([
        "--label",
        "com.docker.compose.project=",
        "--label",
        "bottle.name=",
        image,
    ]))?;
    let container = made.trim();
    let problem = volumes_of(container)
        .and_then(|volumes| judge(&mut Look::new(volumes, |place| first_of(container, place))));
    let _ = docker().args(["rm", "--volumes", container]).output(); // it was never started
    problem
}

fn volumes_of(container: &str) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let said = output_of(docker().args(["inspect", "--format", "{{json .Config.Volumes}}", container]))?;
    let volumes: Option<BTreeMap<Utf8PathBuf, serde_json::Value>> = serde_json::from_str(said.trim())?;
    Ok(volumes.unwrap_or_default().into_keys().collect())
}

/// A look at what is in an image. Each place is asked for once.
struct Look<'a> {
    /// Places of its volumes, as its lines VOLUME name them.
    volumes: Vec<Utf8PathBuf>,
    ask: Box<dyn FnMut(&Utf8Path) -> anyhow::Result<Option<Entry>> + 'a>,
    seen: BTreeMap<Utf8PathBuf, Option<Entry>>,
}

impl<'a> Look<'a> {
    /// Each question takes the engine a part of a second.
    const MOST_PLACES: usize = 128;

    fn new(
        volumes: Vec<Utf8PathBuf>,
        ask: impl FnMut(&Utf8Path) -> anyhow::Result<Option<Entry>> + 'a,
    ) -> Self {
        Self { volumes, ask: Box::new(ask), seen: BTreeMap::new() }
    }

    /// What is at a place; the folders that it lies in are real ones.
    fn at(&mut self, place: &Utf8Path) -> anyhow::Result<Option<Entry>> {
        if let Some(seen) = self.seen.get(place) {
            return Ok(seen.clone());
        }
        if self.seen.len() == Self::MOST_PLACES {
            bail!(
                "an image has volumes and links in more than {} places; bottle looks at each of them before a start: \
                 name fewer, or shorter ones",
                Self::MOST_PLACES
            );
        }
        let found = (self.ask)(place)?;
        self.seen.insert(place.to_owned(), found.clone());
        Ok(found)
    }

    /// Where a place leads through the image's links, as the runtime finds it, and what is there.
    fn real(&mut self, place: &Utf8Path) -> anyhow::Result<(Utf8PathBuf, Option<Entry>)> {
        let names = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !matches!(*name, "" | ".")).rev().map(str::to_owned).collect()
        };
        let root = || Some(Entry { kind: FOLDER, size: 0, link: String::new() });
        // The next name is the last.
        let mut rest = names(place.as_str());
        let mut at = (Utf8PathBuf::from("/"), root());
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.0.pop();
                at.1 = root();
                continue;
            }
            let next = at.0.join(name);
            // Nothing lies below what is not there.
            let found = if at.1.is_some() { self.at(&next)? } else { None };
            match found {
                Some(Entry { kind: LINK, link, .. }) => {
                    links += 1;
                    // As many as the kernel follows (path_resolution(7)).
                    if links > 40 {
                        bail!("{place} of an image leads through more than 40 links");
                    }
                    if link.starts_with('/') {
                        at = (Utf8PathBuf::from("/"), root());
                    }
                    rest.extend(names(&link));
                }
                found => at = (next, found),
            }
        }
        Ok(at)
    }
}

/// What is not a folder, or not a file, where bottle's own program is mounted.
fn in_our_way(look: &mut Look) -> anyhow::Result<Problem> {
    let places: Vec<&Utf8Path> = Utf8Path::new(AGENT_BINARY).ancestors().collect();
    for place in places.into_iter().rev().filter(|place| place.parent().is_some()) {
        let wanted = if place == AGENT_BINARY { FILE } else { FOLDER };
        match look.at(place)? {
            Some(found) if found.kind != wanted => {
                let why = format!(
                    "is in the way of bottle's own program, which is mounted at {AGENT_BINARY}; remove it from the image"
                );
                return Ok(Some((place.to_string(), why)));
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// Files that the engine reads before each start. It waits for a pipe until somebody writes to it.
const READ_BY_THE_ENGINE: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// What the engine would wait for, now or after somebody wrote to what is mounted.
fn read_by_the_engine(look: &mut Look, mounted: &[&Utf8Path]) -> anyhow::Result<Problem> {
    /// Of a machine with thousands of users, in bytes.
    const LARGEST: u64 = 1 << 20;
    let problem = |place: &str, why: String| Ok(Some((place.to_owned(), why)));
    let mut covered = Vec::new();
    for volume in look.volumes.clone() {
        let place = normal(&Utf8Path::new("/").join(&volume));
        let (real, _) = look.real(&place)?;
        if let Some(file) = READ_BY_THE_ENGINE.into_iter().find(|file| overlap(&real, Utf8Path::new(file))) {
            let why = format!(
                "is a volume{}, which would keep {file} for the next container, and Docker reads that file at each \
                 start; remove the line VOLUME",
                leads(&place, &real)
            );
            return problem(volume.as_str(), why);
        }
        covered.push(real);
    }
    for place in mounted {
        let (real, _) = look.real(place)?;
        if let Some(taken) = manifest::taken_target(&real) {
            let why = format!(
                "is where the manifest mounts{}, which would cover {taken}; choose another target in the manifest, or \
                 remove the link from the image",
                leads(place, &real)
            );
            return problem(place.as_str(), why);
        }
        covered.push(real);
    }
    for file in READ_BY_THE_ENGINE {
        let (real, found) = look.real(Utf8Path::new(file))?;
        let is_elsewhere = real != file && manifest::taken_target(&real).is_some();
        if is_elsewhere || covered.iter().any(|place| real.starts_with(place)) {
            let why = format!(
                "is a link to {real}, which is not the image's, and Docker reads it at each start; make it a file"
            );
            return problem(file, why);
        }
        let Some(found) = found else { continue };
        if found.kind != FILE {
            return problem(
                file,
                "is no plain file, and Docker would wait for it; remove it from the image".to_owned(),
            );
        }
        if found.size > LARGEST {
            return problem(
                file,
                "is larger than 1 MiB, and Docker reads it at each start; make it smaller".to_owned(),
            );
        }
    }
    Ok(None)
}

fn overlap(one: &Utf8Path, other: &Utf8Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Where the image's links lead, for a message; nothing where there are none.
fn leads(place: &Utf8Path, real: &Utf8Path) -> String {
    if place == real { String::new() } else { format!(" at {real}, where links of the image lead") }
}

/// Types of entries of a tar archive (pax(1), "ustar Interchange Format").
const FILE: u8 = b'0';
const LINK: u8 = b'2';
const FOLDER: u8 = b'5';

/// What `docker cp` says where there is nothing: by Docker's engine, by older ones, by Podman's.
const MISSING: [&str; 3] = [
    "Could not find the file",
    "No such container:path",
    "Error response from daemon: no such file or directory",
];

/// An entry of a tar archive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    /// In bytes.
    size: u64,
    /// Where a link leads.
    link: String,
}

/// What is at a place of a container; nothing where there is nothing.
fn first_of(container: &str, place: &Utf8Path) -> anyhow::Result<Option<Entry>> {
    let mut copy = docker();
    copy.args(["cp", &format!("{container}:{place}"), "-"]);
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

/// The first entry of an archive, extended headers read for what does not fit into its own; nothing of an archive without
/// one, or of one that is not understood.
fn first_entry(mut archive: impl Read) -> std::io::Result<Option<Entry>> {
    const BLOCK: u64 = 512;
    let text = |bytes: &[u8]| {
        let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
    };
    let (mut is_huge, mut long_link) = (false, None);
    loop {
        let mut header = Vec::new();
        archive.by_ref().take(BLOCK).read_to_end(&mut header)?;
        let (Some(kind), Some(size), Some(link)) =
            (header.get(156), header.get(124..136), header.get(157..257))
        else {
            return Ok(None);
        };
        let digits = String::from_utf8_lossy(size);
        let Ok(size) = u64::from_str_radix(digits.trim_matches([' ', '\0']), 8) else { return Ok(None) };
        if !b"xgLK".contains(kind) {
            let size = if is_huge { u64::MAX } else { size };
            return Ok(Some(Entry { kind: *kind, size, link: long_link.unwrap_or_else(|| text(link)) }));
        }
        let mut records = Vec::new();
        archive.by_ref().take(size.div_ceil(BLOCK).saturating_mul(BLOCK)).read_to_end(&mut records)?;
        match kind {
            b'x' => {
                // A size that does not fit into the entry's own field.
                is_huge |= memchr::memmem::find(&records, b" size=").is_some();
                const KEY: &[u8] = b" linkpath=";
                if let Some(at) = memchr::memmem::find(&records, KEY) {
                    let value = records.get(at + KEY.len()..).unwrap_or_default();
                    let end = memchr::memchr(b'\n', value).unwrap_or(value.len());
                    long_link = Some(text(value.get(..end).unwrap_or_default()));
                }
            }
            b'K' => long_link = Some(text(&records)),
            _ => {}
        }
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
        let folder = || Some(Entry { kind: FOLDER, size: 0, link: String::new() });
        assert_eq!(first_entry(plain.as_slice()).unwrap(), folder());
        assert_eq!(first_entry(entry(FILE, &[0; 700]).as_slice()).unwrap().unwrap().size, 700);
        let huge = [entry(b'x', b"21 size=99999999999\n"), entry(FILE, b"")].concat();
        assert_eq!(
            first_entry(huge.as_slice()).unwrap(),
            Some(Entry { kind: FILE, size: u64::MAX, link: String::new() })
        );
        let extended = [entry(b'x', b"19 uid=3000000\n"), entry(b'L', &[b'a'; 1000]), plain].concat();
        assert_eq!(first_entry(extended.as_slice()).unwrap(), folder());
        for short in [&extended[..100], &extended[..600], &[]] {
            assert_eq!(first_entry(short).unwrap(), None);
        }
    }

    #[test]
    fn where_a_link_leads_is_read_also_when_it_is_long() {
        let mut link = entry(LINK, b"");
        link[157..162].copy_from_slice(b"/work");
        assert_eq!(first_entry(link.as_slice()).unwrap().unwrap().link, "/work");
        let long = "/a".repeat(100);
        let record = format!("{} linkpath={long}\n", long.len() + 14);
        for header in [entry(b'x', record.as_bytes()), entry(b'K', format!("{long}\0").as_bytes())] {
            let archive = [header, link.clone()].concat();
            assert_eq!(first_entry(archive.as_slice()).unwrap().unwrap().link, long);
        }
    }

    /// An image with these entries (`/a/` a folder, `/a>b` a link, `/a|` a pipe, `/a` a file), its volumes and what is
    /// mounted: what is said of it.
    fn judged(entries: &[&str], volumes: &[&str], mounted: &[&str]) -> Option<String> {
        let entry = |kind, link: &str| Entry { kind, size: 1, link: link.to_owned() };
        let image: BTreeMap<Utf8PathBuf, Entry> = entries
            .iter()
            .map(|it| match it.split_once('>') {
                Some((place, link)) => (place.into(), entry(LINK, link)),
                None if it.ends_with('/') => (it.trim_end_matches('/').into(), entry(FOLDER, "")),
                None if it.ends_with('|') => (it.trim_end_matches('|').into(), entry(b'6', "")),
                None => ((*it).into(), entry(FILE, "")),
            })
            .collect();
        let mut look =
            Look::new(volumes.iter().map(|it| (*it).into()).collect(), |it| Ok(image.get(it).cloned()));
        let mounted: Vec<&Utf8Path> = mounted.iter().map(|it| Utf8Path::new(*it)).collect();
        match read_by_the_engine(&mut look, &mounted) {
            Ok(problem) => problem.map(|(place, why)| format!("{place} {why}")),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn what_the_engine_reads_is_a_file_of_the_image() {
        const PLAIN: [&str; 3] = ["/etc/", "/etc/passwd", "/etc/group"];
        for (entries, volumes, mounted, why) in [
            (&PLAIN[..], &["/data"][..], &["/work", "/home/agent"][..], None),
            (&[], &[], &["/work"], None),
            // Links within the image, as that of NixOS has them.
            (&["/etc/", "/etc/passwd>../nix/passwd", "/nix/", "/nix/passwd"], &["/data"], &["/work"], None),
            (&["/home>/usr/home", "/usr/", "/usr/home/"], &[], &["/home/agent"], None),
            (&["/etc/", "/etc/passwd|"], &[], &[], Some("/etc/passwd is no plain file")),
            (&["/etc/", "/etc/group/"], &[], &[], Some("/etc/group is no plain file")),
            (
                &["/etc/", "/etc/passwd>/work/passwd"],
                &[],
                &["/work"],
                Some("/etc/passwd is a link to /work/passwd"),
            ),
            (&["/etc>/home/agent/etc"], &[], &["/home/agent"], Some("is a link to /home/agent/etc/passwd")),
            (&["/etc/", "/etc/group>/a", "/a>/data/x"], &["/data"], &[], Some("is a link to /data/x")),
            (&["/etc/", "/etc/passwd>/proc/kmsg"], &[], &[], Some("is a link to /proc/kmsg")),
            (&["/etc/", "/etc/passwd>passwd"], &[], &[], Some("more than 40 links")),
            (
                &["/etc/"],
                &["/etc/../etc"],
                &[],
                Some("/etc/../etc is a volume, which would keep /etc/passwd"),
            ),
            (
                &["/link>etc", "/etc/"],
                &["/link"],
                &[],
                Some("/link is a volume at /etc, where links of the image lead"),
            ),
            (
                &["/data>/"],
                &[],
                &["/data/etc"],
                Some("/data/etc is where the manifest mounts at /etc, where links"),
            ),
            (&["/data>/run"], &[], &["/data/bottle"], Some("which would cover /run/bottle")),
        ] {
            let said = judged(entries, volumes, mounted);
            match why {
                None => assert_eq!(said, None, "{entries:?}"),
                Some(why) => {
                    assert!(said.as_ref().is_some_and(|it| it.contains(why)), "{entries:?}: {said:?}")
                }
            }
        }
        let deep: Vec<String> = (1..200).map(|n| format!("{}/", "/a".repeat(n))).collect();
        let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
        let said = judged(&deep, &[&"/a".repeat(199)], &[]).unwrap();
        assert!(said.contains("more than 128 places"), "{said}");
    }
}
