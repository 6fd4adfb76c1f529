//! Lints of the agent's container and of those beside it: their images, and what the agent sees of the machine.

use super::{Facts, Found};
use crate::diagnostic::Diagnostic;
use crate::manifest::{Loaded, Published};
use crate::plan::{AgentImage, Plan, layout::normal};
use camino::{Utf8Path, Utf8PathBuf};

/// Files of a mount that are named at most.
const NAMED: usize = 3;

pub(super) fn lints(loaded: &Loaded, plan: &Plan, facts: &Facts) -> Found {
    let mut found = Found::new();
    let pointer = |target: &Utf8Path| {
        let mount = loaded.manifest.agent.mounts.iter().find(|mount| mount.target == target);
        mount.map_or_else(|| "agent.mounts".to_owned(), |mount| mount.source_pointer.clone())
    };
    for sidecar in &plan.sidecars {
        let at = format!("services.{}.image", sidecar.name);
        found.extend(floating(&sidecar.image).map(|it| (at, it)));
    }
    if let Some(name) = plan.engine.image() {
        found.extend(floating(name).map(|it| ("pipelock.image".to_owned(), it)));
    }
    match &plan.agent.image {
        AgentImage::Named(name) => found.extend(floating(name).map(|it| ("agent.image".to_owned(), it))),
        AgentImage::Built(build) => {
            found.extend(in_a_mount(&build.context, plan).map(|it| ("agent.build".to_owned(), it)));
        }
    }
    for (at, published) in loaded.manifest.agent.publish.iter().enumerate() {
        found.extend(privileged(*published).map(|it| (format!("agent.publish[{at}]"), it)));
    }
    for mount in &loaded.manifest.agent.mounts {
        let secrets: Vec<&Utf8PathBuf> = facts
            .secrets
            .iter()
            .filter(|(target, _)| *target == mount.target)
            .map(|(_, file)| file)
            .collect();
        found.extend(holds_secrets(&mount.source, &secrets).map(|it| (pointer(&mount.target), it)));
        if facts.writable_git.contains(&mount.target) {
            found.push((pointer(&mount.target), writable_git(&mount.source, &mount.target)));
        }
    }
    found
}

/// Only root listens there otherwise, so programs of this machine may trust what answers.
fn privileged(published: Published) -> Option<Diagnostic> {
    let (host, agent) = (published.host(), published.agent());
    let message =
        format!("port {agent} of the agent takes the place of this machine's own service at port {host}");
    let hint = format!("publish it at a port from 1024 on: \"{}:{agent}\"", 8000 + host);
    published.is_privileged().then(|| Diagnostic::warning("privileged-port", message).hint(hint))
}

/// A name without a digest is whatever the registry has under it when it is pulled.
fn floating(name: &str) -> Option<Diagnostic> {
    // ALGORITHM:HEX, whatever stands before it.
    if name.split_once('@').is_some_and(|(_, digest)| digest.contains(':')) {
        return None;
    }
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let message = match tag {
        None | Some("latest") => format!("the image `{name}` is whatever is newest when it is pulled"),
        Some(tag) => format!("the image `{name}` can change: the tag `{tag}` is not a digest"),
    };
    Some(
        Diagnostic::warning("floating-image", message).hint(
            "`bottle lock` writes down the digest that it stands for today; or name one: IMAGE@sha256:…",
        ),
    )
}

/// bottle binds the context read-only where the agent sees it; files that are written elsewhere get in all the same.
fn in_a_mount(context: &Utf8Path, plan: &Plan) -> Option<Diagnostic> {
    // Paths of a manifest are relative to its folder, wherever that is.
    let place = |path: &Utf8Path| normal(&Utf8Path::new("/project").join(path));
    let mut mounts = plan.agent.mounts.iter().filter(|mount| !mount.read_only && mount.why.is_none());
    let around = mounts.find(|mount| place(context).starts_with(place(&mount.source)))?;
    let message = format!(
        "the build context `{context}` lies in the mount of `{}`, which the agent can write",
        around.source
    );
    Some(
        Diagnostic::warning("build-context-in-mount", message)
            .hint("bottle mounts it read-only there, and a change is asked about before the next build")
            .hint("a folder outside of the mount needs neither"),
    )
}

fn holds_secrets(source: &Utf8Path, secrets: &[&Utf8PathBuf]) -> Option<Diagnostic> {
    let first = secrets.first()?;
    let named: Vec<String> = secrets.iter().take(NAMED).map(|file| format!("`{file}`")).collect();
    let more = secrets.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("the mount of `{source}` shows the agent {}{more}", named.join(", "));
    Some(
        Diagnostic::warning("mount-holds-secrets", message)
            .hint("the agent can read what is in there, and the scanner knows only secrets of a known form")
            .hint(format!("move it out of the mount, or cover it: a mount of an empty file at {first}")),
    )
}

fn writable_git(source: &Utf8Path, target: &Utf8Path) -> Diagnostic {
    let git = target.join(".git");
    let message = format!("the mount of `{source}` lets the agent change the repository's `.git`");
    Diagnostic::warning("writable-git", message)
        .hint("its hooks and settings run on your machine wherever you use git there")
        .hint(format!("a read-only mount at {git} closes it; the agent then can't commit"))
}
