//! The agent's container.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use super::{env, file_path, publish, resources};
use crate::manifest::{Agent, Build, Image, Mount};
use crate::stack::DEFAULT_HOME;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::{BTreeMap, BTreeSet};

/// Places of the agent that bottle mounts into, that are the kernel's, or that the engine reads before each start.
const TAKEN_TARGETS: [&str; 9] = [
    "/dev",
    "/etc/bottle",
    "/etc/group",
    "/etc/passwd",
    "/proc",
    "/run/bottle",
    "/run/secrets",
    "/sys",
    "/etc/resolv.conf",
];

/// What gives power over the whole machine to whoever can open it.
const DANGEROUS_SOURCES: [&str; 9] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/var/lib/docker",
    "/run/user",
];

pub(super) fn agent(
    raw: raw::Agent,
    token_refs: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Option<Agent> {
    let raw::Agent {
        image,
        build,
        command,
        user,
        workdir,
        home,
        mounts,
        env,
        publish,
        read_only,
        runtime,
        resources,
    } = raw;
    let image = self::image(image, build, findings);
    let command = command.map(|items| self::command(items, "agent.command", findings));
    let user = user.and_then(|user| self::user(user, "agent.user", findings));
    let workdir =
        workdir.and_then(|text| file_path::agent_path(&text, "agent.workdir", findings)).map(String::from);
    let mounts = self::mounts(mounts.unwrap_or_default(), findings);
    let home = self::home(home, &mounts, findings);
    let env = env::agent(env.unwrap_or_default(), "/agent/env", token_refs, findings);
    let publish = publish::publish(publish.unwrap_or_default(), findings);
    let runtime = runtime.and_then(|name| self::runtime(name, findings));
    let resources = resources::resources(resources.unwrap_or_default(), "agent.resources", findings);
    let read_only = read_only.unwrap_or(false);
    Some(Agent {
        image: image?,
        command,
        user,
        workdir,
        home,
        mounts,
        env,
        publish,
        read_only,
        runtime,
        resources,
    })
}

/// Whether a folder is the system's own (Filesystem Hierarchy Standard 3.0, chapter 3): programs, settings and what
/// ends with the container are no place for a home that stays.
fn is_systems(path: &Utf8Path) -> bool {
    const SYSTEM: [&str; 12] =
        ["bin", "boot", "dev", "etc", "media", "mnt", "proc", "run", "sbin", "sys", "tmp", "usr"];
    let mut parts = path.components().skip(1).map(|part| part.as_str());
    match parts.next() {
        None => true,
        Some("var") => !matches!(parts.next(), Some("home" | "lib")) || parts.next().is_none(),
        Some(first) => SYSTEM.contains(&first) || first.starts_with("lib"),
    }
}

/// A mount at the home or around it would be what the agent's home is, and no volume.
fn home(home: Option<raw::Home>, mounts: &[Mount], findings: &mut Findings<'_>) -> Option<Utf8PathBuf> {
    let path = match home {
        Some(raw::Home::Kept(false)) => return None,
        Some(raw::Home::Path(text)) => file_path::agent_path(&text, "agent.home", findings)?,
        Some(raw::Home::Kept(true)) | None => DEFAULT_HOME.into(),
    };
    if let Some(taken) = taken(&path) {
        let message =
            format!("the home {} covers `{taken}`, which is not the manifest's", quoted(path.as_str()));
        let problem = findings.value("home", "agent.home", message);
        findings.push(problem.hint("choose a folder of its own, such as /home/agent"));
        return None;
    }
    if is_systems(&path) {
        let message = format!("the home {} is a folder of the system", quoted(path.as_str()));
        let problem = findings.value("home", "agent.home", message);
        findings.push(problem.hint("choose a folder of its own, such as /home/agent"));
        return None;
    }
    if let Some(around) = mounts.iter().find(|mount| path.starts_with(&mount.target)) {
        let at = format!("{}.target", around.source_pointer);
        let message = format!("the agent's home `{path}` lies inside this mount");
        let problem = findings.value("home", &at, message);
        findings.push(
            problem.hint("name another folder with `agent.home: /home/NAME`").hint(
                "or write `agent.home: false`: then `HOME` is the image's, and the mount is what stays",
            ),
        );
    }
    Some(path)
}

/// The characters of a key of `runtimes` in the engine's `daemon.json`; the engine knows which there are.
fn runtime(name: String, findings: &mut Findings<'_>) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits) {
        return Some(name);
    }
    let message = format!("{} can't be the name of a runtime", quoted(&name));
    let problem = findings.value("runtime", "agent.runtime", message);
    findings.push(problem.hint("write the name that `docker info` lists under Runtimes: runsc"));
    None
}

fn image(image: Option<String>, build: Option<raw::Build>, findings: &mut Findings<'_>) -> Option<Image> {
    // What the schema took out for its type was reported there.
    let written = |key: &str| findings.document().value.pointer(&format!("/agent/{key}")).is_some();
    match (written("image"), written("build")) {
        (true, true) => {
            let problem = findings
                .key("image", "agent.image", "the agent has an `image` and a `build`")
                .label(findings.document().key_span_of("agent.build"), "and this")
                .hint("keep one of the two");
            findings.push(problem);
            None
        }
        (false, false) => {
            let problem = findings.key("image", "agent", "the agent has no image");
            findings.push(problem.hint("write `image: NAME` or `build: {context: FOLDER}`"));
            None
        }
        _ => match (image, build) {
            (Some(name), _) => image_name(name, "agent.image", findings).map(Image::Named),
            (None, Some(build)) => self::build(build, findings).map(Image::Build),
            (None, None) => None,
        },
    }
}

/// The characters of a reference; the registry has the last word.
pub(super) fn image_name(name: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits) {
        return Some(name);
    }
    let problem =
        findings.value("image", pointer, format!("{} can't be the name of an image", quoted(&name)));
    findings.push(problem.hint("NAME:TAG or NAME@sha256:DIGEST, beginning with a letter or digit"));
    None
}

fn build(raw: raw::Build, findings: &mut Findings<'_>) -> Option<Build> {
    let raw::Build { context, dockerfile, args, target } = raw;
    let context = context.and_then(|text| file_path::project_path(&text, "agent.build.context", findings));
    let dockerfile = dockerfile.and_then(|text| {
        file_path::path_inside(&text, "agent.build.dockerfile", "the build context", findings)
    });
    let args = env::literals(args.unwrap_or_default(), "/agent/build/args", findings);
    let target = target.and_then(|text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits) {
            return Some(text);
        }
        let message = format!("{} can't be the name of a build stage", quoted(&text));
        let problem = findings.value("image", "agent.build.target", message);
        findings.push(problem.hint("write the NAME of a line `FROM … AS NAME` of the Dockerfile"));
        None
    });
    Some(Build { context: context?, dockerfile, args, target })
}

pub(super) fn command(items: Vec<Item<String>>, pointer: &str, findings: &mut Findings<'_>) -> Vec<String> {
    let words: Vec<String> = items.into_iter().filter_map(|item| item.0).collect();
    let message = match words.first() {
        None => "the command is empty",
        Some(first) if first.is_empty() => "the command begins with an empty word",
        _ if words.iter().any(|word| word.contains('\0')) => "the command holds a NUL character",
        _ => return words,
    };
    let first = format!("/{}/0", pointer.replace('.', "/"));
    if findings.document().value.pointer(&first).is_none_or(serde_json::Value::is_string) {
        let problem = findings.value("command", pointer, message);
        findings.push(problem.hint("write the program and its arguments: [claude, --verbose]"));
    }
    words
}

/// `NAME`, `UID`, `NAME:GROUP`, `UID:GID`.
pub(super) fn user(text: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() <= 2 && parts.iter().all(|one| part(one)) {
        return Some(text);
    }
    let problem = findings.value("user", pointer, format!("{} can't be a user", quoted(&text)));
    findings.push(problem.hint("write a name, a uid or UID:GID: \"1000:1000\""));
    None
}

/// Each mount is held against every other one, here and on the machine.
const MOST_MOUNTS: usize = 100;

fn mounts(items: Vec<Item<raw::Mount>>, findings: &mut Findings<'_>) -> Vec<Mount> {
    if items.len() > MOST_MOUNTS {
        let message = format!("{} mounts, and an agent has {MOST_MOUNTS} at most", items.len());
        let problem = findings.value("too-many", "agent.mounts", message);
        findings.push(problem.hint("nobody can review as many; mount the folder that they lie in"));
        return Vec::new();
    }
    let mut out: Vec<Mount> = Vec::new();
    let mut targets = BTreeMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let pointer = format!("agent.mounts[{index}]");
        let Some(mount) = item.0.and_then(|raw| mount(raw, &pointer, findings)) else { continue };
        if let Some(earlier) = targets.get(mount.target.as_str()) {
            let earlier = findings.span(&format!("agent.mounts[{earlier}].target"));
            let message = format!("two mounts have the target `{}`", mount.target);
            let problem = findings
                .value("mount", &format!("{pointer}.target"), message)
                .label(earlier, "first here")
                .hint("keep one of the two");
            findings.push(problem);
        } else {
            targets.insert(mount.target.as_str().to_owned(), index);
            out.push(mount);
        }
    }
    out
}

fn mount(raw: raw::Mount, pointer: &str, findings: &mut Findings<'_>) -> Option<Mount> {
    let raw::Mount { source, target, read_only } = raw;
    let source = source.and_then(|text| file_path::host_path(&text, &format!("{pointer}.source"), findings));
    let target = target.and_then(|text| file_path::agent_path(&text, &format!("{pointer}.target"), findings));
    let (source, target) = (source?, target?);
    if let Some(holds) = DANGEROUS_SOURCES.iter().find(|holds| overlap(&source, Utf8Path::new(holds))) {
        let at = format!("{pointer}.source");
        let message =
            format!("{} gives the agent `{holds}`, and with it the machine", quoted(source.as_str()));
        let problem = findings.value("mount", &at, message);
        findings.push(problem.hint("mount the project's folder alone"));
        return None;
    }
    if let Some(taken) = taken(&target) {
        let message =
            format!("the target {} covers `{taken}`, which is not the manifest's", quoted(target.as_str()));
        let problem = findings.value("mount", &format!("{pointer}.target"), message);
        findings.push(problem.hint("choose a folder of its own, such as /work"));
        return None;
    }
    Some(Mount { source_pointer: pointer.to_owned(), source, target, read_only: read_only.unwrap_or(false) })
}

/// What of bottle's or the kernel's a place in a container would cover.
pub(crate) fn taken(target: &Utf8Path) -> Option<&'static str> {
    TAKEN_TARGETS.into_iter().find(|taken| overlap(target, Utf8Path::new(taken)))
}

/// Whether one of two absolute paths holds the other.
fn overlap(one: &Utf8Path, other: &Utf8Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
