//! Images, before anything of them runs. Bottle's own program is mounted into containers of the agent's, and runs in one of
//! them as root: an image whose folders lead elsewhere would choose which program that is. The engine reads files of a
//! container before each start, and one that is a pipe keeps it waiting, and with it everyone who asks about the container:
//! so they are plain files of the image, where nothing that an agent writes to is mounted.

use super::agreed_stack::Stack;
use super::container_checks::{self, Container};
use super::docker::{NO_DOCKER, docker, output_of};
use super::failure::fail;
use crate::manifest;
use crate::plan::{AgentImage, layout::normal};
use crate::printable::printable_name;
use crate::stack::{AGENT_BINARY, HOME_VOLUME, service};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::process::Stdio;

/// Refuses an agent's image in which something on the way to [`AGENT_BINARY`] is no plain folder, or that itself no file;
/// one that the engine would wait for; and a link in a mount or in the home on the way to what is mounted there.
pub(super) fn require_agent(stack: &Stack) -> anyhow::Result<()> {
    let mut mounts: Vec<Mounted> = Vec::new();
    let mut volume = None;
    for (target, (source, _)) in container_checks::agreed_mounts(stack, service::AGENT)? {
        let is_volume = stack.plan.agent.home.as_ref() == Some(&target);
        if is_volume && is_made(source.as_str())? {
            volume = Some(format!("{source}:{target}"));
        }
        // What bottle mounts itself is in its own state, and read-only.
        if !source.starts_with(&stack.bottle.state) {
            let content = if is_volume { Content::Volume } else { Content::Source(source) };
            mounts.push(Mounted { target, content });
        }
    }
    let image = of_agent(stack);
    let problem = in_container_of(&image, volume.as_deref(), |look| {
        let in_our_way = if stack.plan.agent.home.is_some() { in_our_way(look)? } else { None };
        Ok(in_our_way.or(read_by_the_engine(look, mounts)?))
    })?;
    refuse(problem, &image)
}

/// Whether a volume is there; Compose makes its own, with its labels.
fn is_made(volume: &str) -> anyhow::Result<bool> {
    let filter = format!("name=^{volume}$");
    let found = output_of(docker().args(["volume", "ls", "--quiet", "--filter", &filter]))?;
    Ok(found.lines().any(|line| line == volume))
}

/// Refuses every other image of somebody's that the engine would wait for; one of which a container runs is not looked
/// at again.
pub(super) fn require_others(stack: &Stack, all: &[Container]) -> anyhow::Result<()> {
    let runs = |service: &str| all.iter().any(|it| it.service == service && it.is_alive());
    let sidecars =
        stack.plan.sidecars.iter().map(|it| (it.name.as_str(), it.image.as_str(), it.volumes.as_slice()));
    let engine = stack.plan.engine.image().map(|image| (service::PIPELOCK, image, &[][..]));
    for (_, image, volumes) in sidecars.chain(engine).filter(|(service, ..)| !runs(service)) {
        let mounts = volumes
            .iter()
            .map(|target| Mounted { target: target.clone(), content: Content::Volume })
            .collect();
        refuse(in_container_of(image, None, |look| read_by_the_engine(look, mounts))?, image)?;
    }
    Ok(())
}

fn of_agent(stack: &Stack) -> String {
    match &stack.plan.agent.image {
        AgentImage::Named(name) => name.clone(),
        AgentImage::Built(_) => format!("{}-{}", stack.bottle.project, service::AGENT),
    }
}

/// What is wrong.
enum Problem {
    /// At a place of the image.
    Image(String, String),
    /// Somewhere else.
    Mount(String),
}

fn refuse(problem: Option<Problem>, image: &str) -> anyhow::Result<()> {
    match problem {
        None => Ok(()),
        Some(Problem::Image(place, why)) => bail!("{place} of the image {image} {why}"),
        Some(Problem::Mount(why)) => bail!("{why}"),
    }
}

/// Of a container that is only looked at.
const LOOK: &str = "bottle.look";

/// Removes what a look that was cut off left behind: it would keep the home of the project's agents.
pub(super) fn remove_looks_at(project: &str) -> anyhow::Result<()> {
    let (label, volume) =
        (format!("label={LOOK}"), format!("volume={}", container_checks::volume_name(project, HOME_VOLUME)));
    let left = output_of(docker().args(["ps", "--all", "--quiet", "--filter", &label, "--filter", &volume]))?;
    for id in left.split_whitespace() {
        output_of(docker().args(["rm", id]))?;
    }
    Ok(())
}

/// Nothing of the image is run: the engine is asked about a container that is made and never started, and that no label of
/// the image makes a part of a stack.
fn in_container_of(
    image: &str,
    volume: Option<&str>,
    judge: impl FnOnce(&mut Look) -> anyhow::Result<Option<Problem>>,
) -> anyhow::Result<Option<Problem>> {
    let mut create = docker();
    create.args(["create", "--network", "none", "--entrypoint", "/"]);
    create.args(["--label", "com.docker.compose.project=", "--label", "bottle.name=", "--label", LOOK]);
    if let Some(volume) = volume {
        create.args(["--volume", volume]);
    }
    let made = output_of(create.arg(image))?;
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

/// What is mounted into a container.
struct Mounted {
    target: Utf8PathBuf,
    content: Content,
}

/// What is mounted.
enum Content {
    /// A place of this machine.
    Source(Utf8PathBuf),
    /// A volume that the manifest names, which is asked for with the image.
    Volume,
    /// A volume that a line VOLUME of the image names.
    VolumeOfImage,
}

/// What is at a place of an image, or of a volume; nothing where nothing is.
type Ask<'a> = dyn FnMut(&Utf8Path) -> anyhow::Result<Option<Entry>> + 'a;

/// A look at what the runtime finds in a container before its first process: the image, and what is mounted into it. Each
/// place is asked for once.
struct Look<'a> {
    /// Places of the image's volumes, as its lines VOLUME name them.
    volumes: Vec<Utf8PathBuf>,
    /// What is mounted by now, at its real place.
    mounted: Vec<Mounted>,
    /// What is at a place of the image, or of a volume.
    ask: Box<Ask<'a>>,
    seen: BTreeMap<Utf8PathBuf, Option<Entry>>,
}

/// Where a place leads, and what is there.
struct Real {
    place: Utf8PathBuf,
    found: Option<Entry>,
    /// The first link on the way that is not the image's: its place and where it leads.
    foreign: Option<(Utf8PathBuf, String)>,
}

impl<'a> Look<'a> {
    /// Each question takes the engine a part of a second.
    const MOST_PLACES: usize = 128;

    fn new(
        volumes: Vec<Utf8PathBuf>,
        ask: impl FnMut(&Utf8Path) -> anyhow::Result<Option<Entry>> + 'a,
    ) -> Self {
        Self { volumes, mounted: Vec::new(), ask: Box::new(ask), seen: BTreeMap::new() }
    }

    /// What is mounted around a place.
    fn around(&self, place: &Utf8Path) -> Option<&Mounted> {
        let around = self.mounted.iter().filter(|it| place.starts_with(&it.target));
        around.max_by_key(|it| it.target.as_str().len())
    }

    /// What is mounted in a place that lies in it, or that it lies in.
    fn nested(&self, place: &Utf8Path, counts: impl Fn(&Content) -> bool) -> Option<&Mounted> {
        let nested = |it: &&Mounted| it.target != place && overlap(&it.target, place) && counts(&it.content);
        self.mounted.iter().find(nested)
    }

    /// What is at a place; the folders that it lies in are real ones.
    fn at(&mut self, place: &Utf8Path) -> anyhow::Result<Option<Entry>> {
        if let Some(Mounted { target, content: Content::Source(source) }) = self.around(place)
            && let Ok(rest) = place.strip_prefix(target)
        {
            return on_this_machine(&source.join(rest));
        }
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

    /// Where a place leads through links, as the runtime finds it, and what is there.
    fn real(&mut self, place: &Utf8Path) -> anyhow::Result<Real> {
        let names = |path: &str| -> Vec<String> {
            path.split('/').filter(|name| !matches!(*name, "" | ".")).rev().map(str::to_owned).collect()
        };
        let root = || Real {
            place: "/".into(),
            found: Some(Entry { kind: FOLDER, size: 0, link: String::new() }),
            foreign: None,
        };
        // The next name is the last.
        let mut rest = names(place.as_str());
        let mut real = root();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                // By the names alone, as the runtime takes it, also back from what is not there.
                real.place.pop();
                let is_root = real.place.parent().is_none();
                real.found = if is_root { root().found } else { self.at(&real.place)? };
                continue;
            }
            if real.found.as_ref().is_some_and(|found| found.kind != FOLDER) {
                bail!(
                    "{} in the container is no folder, and {place} lies in it; remove it, from the image or from what is \
                     mounted there",
                    printable_name(real.place.as_str())
                );
            }
            let next = real.place.join(name);
            // Nothing lies below what is not there, except what is mounted.
            let found =
                if real.found.is_some() || self.around(&next).is_some() { self.at(&next)? } else { None };
            match found {
                Some(Entry { kind: LINK, link, .. }) => {
                    links += 1;
                    // As many as the kernel follows (path_resolution(7)).
                    if links > 40 {
                        bail!("{place} of an image leads through more than 40 links");
                    }
                    let foreign = real.foreign.take();
                    real.foreign =
                        foreign.or_else(|| self.around(&next).map(|_| (next.clone(), link.clone())));
                    if link.starts_with('/') {
                        real = Real { foreign: real.foreign, ..root() };
                    }
                    rest.extend(names(&link));
                }
                found => {
                    real.place = next;
                    real.found = found;
                }
            }
        }
        Ok(real)
    }
}

/// What is at a place of this machine, without following a link there.
fn on_this_machine(place: &Utf8Path) -> anyhow::Result<Option<Entry>> {
    let found = match fs_err::symlink_metadata(place) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let (kind, link) = match found.file_type() {
        kind if kind.is_dir() => (FOLDER, String::new()),
        kind if kind.is_file() => (FILE, String::new()),
        kind if kind.is_symlink() => (LINK, fs_err::read_link(place)?.to_string_lossy().into_owned()),
        _ => (SPECIAL, String::new()),
    };
    Ok(Some(Entry { kind, size: found.len(), link }))
}

/// What is not a folder, or not a file, where bottle's own program is mounted.
fn in_our_way(look: &mut Look) -> anyhow::Result<Option<Problem>> {
    let places: Vec<&Utf8Path> = Utf8Path::new(AGENT_BINARY).ancestors().collect();
    for place in places.into_iter().rev().filter(|place| place.parent().is_some()) {
        let wanted = if place == AGENT_BINARY { FILE } else { FOLDER };
        match look.at(place)? {
            Some(found) if found.kind != wanted => {
                let why = format!(
                    "is in the way of bottle's own program, which is mounted at {AGENT_BINARY}; remove it from the image"
                );
                return Ok(Some(Problem::Image(place.to_string(), why)));
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// Files that the engine reads before each start. It waits for a pipe until somebody writes to it.
const READ_BY_THE_ENGINE: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// Why nothing is mounted in a volume of an image, nor such a volume in what is mounted.
const STAYS: &str = "one lies in the other, what was written there stays for the next container, and a link would decide \
                     where the inner one is; remove the line VOLUME, or choose another target in the manifest";

/// What the engine would wait for, now or after somebody wrote to what is mounted.
fn read_by_the_engine(look: &mut Look, mounts: Vec<Mounted>) -> anyhow::Result<Option<Problem>> {
    /// Of a machine with thousands of users, in bytes.
    const LARGEST: u64 = 1 << 20;
    let problem = |place: &str, why: String| Ok(Some(Problem::Image(place.to_owned(), why)));
    for volume in look.volumes.clone() {
        let place = normal(&Utf8Path::new("/").join(&volume));
        let real = look.real(&place)?.place;
        if let Some(file) = READ_BY_THE_ENGINE.into_iter().find(|file| overlap(&real, Utf8Path::new(file))) {
            let why = format!(
                "is a volume{}, which would keep {file} for the next container, and Docker reads that file at each \
                 start; remove the line VOLUME",
                leads(&place, &real)
            );
            return problem(volume.as_str(), why);
        }
        if let Some(other) = look.nested(&real, |_| true) {
            let why =
                format!("is a volume{}, and {} is one too: {STAYS}", leads(&place, &real), other.target);
            return problem(volume.as_str(), why);
        }
        look.mounted.push(Mounted { target: real, content: Content::VolumeOfImage });
    }
    // Sorted by target: what lies in a mount comes after it.
    for Mounted { target, content } in mounts {
        let Real { place: real, found: _, foreign } = look.real(&target)?;
        if let Some((link, to)) = foreign {
            return Ok(Some(Problem::Mount(format!(
                "{} in the agent's container is a link to {}, and the manifest mounts at {target}: what it mounts would be \
                 at {}; find out who made the link, and remove it",
                printable_name(link.as_str()),
                printable_name(&to),
                printable_name(real.as_str())
            ))));
        }
        if let Some(taken) = manifest::taken_target(&real) {
            let why = format!(
                "is where the manifest mounts{}, which would cover {taken}; choose another target in the manifest, or \
                 remove the link from the image",
                leads(&target, &real)
            );
            return problem(target.as_str(), why);
        }
        let of_image = |content: &Content| matches!(content, Content::VolumeOfImage);
        if let Some(volume) = look.nested(&real, of_image) {
            let why =
                format!("is a volume, and the manifest mounts at {target}{}: {STAYS}", leads(&target, &real));
            return problem(volume.target.as_str(), why);
        }
        look.mounted.push(Mounted { target: real, content });
    }
    for file in READ_BY_THE_ENGINE {
        let Real { place: real, found, foreign: _ } = look.real(Utf8Path::new(file))?;
        let is_elsewhere = real != file && manifest::taken_target(&real).is_some();
        if is_elsewhere || look.around(&real).is_some() {
            let why = format!(
                "is a link to {real}, which is not the image's, and Docker reads it at each start; make it a file"
            );
            return problem(file, why);
        }
        let Some(found) = found else { continue };
        if found.kind != FILE {
            let why = "is no plain file, and Docker would wait for it; remove it from the image";
            return problem(file, why.to_owned());
        }
        if found.size > LARGEST {
            let why = "is larger than 1 MiB, and Docker reads it at each start; make it smaller";
            return problem(file, why.to_owned());
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
/// A pipe, among others.
const SPECIAL: u8 = b'6';
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
        None if said.trim().is_empty() => fail!(
            "docker-failed",
            "docker cp gives nothing of {} in a container, which may be a socket; remove it, from the image or from what is \
             mounted there",
            printable_name(place.as_str())
        ),
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
                for (key, value) in pax_records(&records) {
                    // A size that does not fit into the entry's own field.
                    is_huge |= key == b"size";
                    if key == b"linkpath" {
                        long_link = Some(text(value));
                    }
                }
            }
            b'K' => long_link = Some(text(&records)),
            _ => {}
        }
    }
}

/// The records of an extended header: `LENGTH KEY=VALUE\n`, where the length counts all of the record, so that a value can
/// hold a line break (pax(1), "pax Extended Header"). What is not understood ends it.
fn pax_records(mut records: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while let Some(space) = records.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&records[..space]).ok().and_then(|digits| digits.parse().ok());
        let Some((record, rest)) = length.and_then(|length| records.split_at_checked(length)) else { break };
        let Some(record) = record.get(space + 1..).and_then(|it| it.strip_suffix(b"\n")) else { break };
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { break };
        found.push((&record[..equals], &record[equals + 1..]));
        records = rest;
    }
    found
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
        let huge = [entry(b'x', b"20 size=99999999999\n"), entry(FILE, b"")].concat();
        assert_eq!(
            first_entry(huge.as_slice()).unwrap(),
            Some(Entry { kind: FILE, size: u64::MAX, link: String::new() })
        );
        let extended = [entry(b'x', b"15 uid=3000000\n"), entry(b'L', &[b'a'; 1000]), plain].concat();
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
        // A link's name can hold a line break, and what looks like another record.
        let long = format!("{}\n30 linkpath=/etc/passwd\n{}", "/a".repeat(60), "/b".repeat(60));
        let record = format!("{} linkpath={long}\n", long.len() + 14);
        let archive = [entry(b'x', record.as_bytes()), link.clone()].concat();
        assert_eq!(first_entry(archive.as_slice()).unwrap().unwrap().link, long);
        assert_eq!(pax_records(b"9 a=1\n"), [(&b""[..], &b""[..]); 0]);
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
                None if it.ends_with('|') => (it.trim_end_matches('|').into(), entry(SPECIAL, "")),
                None => ((*it).into(), entry(FILE, "")),
            })
            .collect();
        let mut look =
            Look::new(volumes.iter().map(|it| (*it).into()).collect(), |it| Ok(image.get(it).cloned()));
        let mounts = mounted.iter().map(|it| match it.split_once('=') {
            Some((target, source)) => {
                Mounted { target: target.into(), content: Content::Source(source.into()) }
            }
            None => Mounted { target: (*it).into(), content: Content::Volume },
        });
        match read_by_the_engine(&mut look, mounts.collect()) {
            Ok(problem) => problem.map(|it| match it {
                Problem::Image(place, why) => format!("{place} {why}"),
                Problem::Mount(why) => why,
            }),
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
            // By the names alone, whatever is there.
            (&["/data>/gone/../run"], &[], &["/data/bottle"], Some("which would cover /run/bottle")),
            (
                &["/data>/gone/../etc2", "/etc2>/run"],
                &[],
                &["/data/bottle"],
                Some("which would cover /run/bottle"),
            ),
            (
                &["/data/", "/data/x"],
                &[],
                &["/data/x/y"],
                Some("/data/x in the container is no folder, and /data/x/y lies"),
            ),
            // A volume of the image with another mount in it, or in another mount.
            (&[], &["/data", "/data2"], &["/work", "/data"], None),
            (
                &[],
                &["/data", "/data/a/b"],
                &[],
                Some("/data/a/b is a volume, and /data is one too: one lies in"),
            ),
            (
                &["/link>data/a", "/data/", "/data/a/"],
                &["/data", "/link"],
                &[],
                Some("/link is a volume at /data/a, where links of the image lead, and /data is one too"),
            ),
            (
                &[],
                &["/data/a"],
                &["/data"],
                Some("/data/a is a volume, and the manifest mounts at /data: one"),
            ),
            (
                &[],
                &["/data"],
                &["/data/a"],
                Some("/data is a volume, and the manifest mounts at /data/a: one"),
            ),
        ] {
            let said = judged(entries, volumes, mounted);
            match why {
                None => assert_eq!(said, None, "{entries:?}"),
                Some(why) => {
                    assert!(said.as_ref().is_some_and(|it| it.contains(why)), "{entries:?}: {said:?}");
                }
            }
        }
        let deep: Vec<String> = (1..200).map(|n| format!("{}/", "/a".repeat(n))).collect();
        let deep: Vec<&str> = deep.iter().map(String::as_str).collect();
        let said = judged(&deep, &[&"/a".repeat(199)], &[]).unwrap();
        assert!(said.contains("more than 128 places"), "{said}");
    }

    #[test]
    fn a_link_in_a_mount_moves_nothing_that_is_mounted_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir_all(project.join("a/sub")).unwrap();
        fs_err::write(project.join("a/file"), "").unwrap();
        let (work, data) = (format!("/work={project}"), format!("={project}/a"));
        let said =
            |target: &str| judged(&["/etc/", "/etc/passwd"], &[], &[&work, &format!("{target}{data}")]);
        for fine in ["/work/a/sub", "/work/a/file", "/work/new/sub", "/work/a"] {
            assert_eq!(said(fine), None, "{fine}");
        }
        fs_err::os::unix::fs::symlink("/etc", project.join("a/link")).unwrap();
        fs_err::os::unix::fs::symlink("a", project.join("b")).unwrap();
        for (target, link) in [
            ("/work/a/link", "/work/a/link in the agent's container is a link to /etc"),
            ("/work/a/link/sub", "would be at /etc/sub"),
            (
                "/work/b/sub",
                "/work/b in the agent's container is a link to a, and the manifest mounts at /work/b/sub",
            ),
        ] {
            let said = said(target).unwrap();
            assert!(said.contains(link), "{said}");
        }
        // In the home, which is a volume.
        let said = judged(
            &["/home/", "/home/me/", "/home/me/x>/etc"],
            &[],
            &["/home/me", &format!("/home/me/x{data}")],
        );
        assert!(
            said.as_ref().is_some_and(|it| it.contains("/home/me/x in the agent's container")),
            "{said:?}"
        );
    }
}
