//! What one set of capabilities allows that another does not, one line each, the dangerous ones first.

use super::{Account, Capabilities, HostCapability, Image, Limits, Mount};
use crate::policy::{Auth, HostRule, Route};
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// What could go wrong, the worst first. Lines are shown in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// A credential goes where it did not.
    Credential,
    /// The machine beyond the project.
    Machine,
    /// A guard of the cage is weaker.
    Guard,
    /// Files of the project change.
    Project,
    /// A host, method or path more.
    Reach,
    /// Other code runs.
    Code,
    /// More of the machine's resources, or one more variable.
    Minor,
}

impl Risk {
    /// Whether a person should look twice.
    #[must_use]
    pub fn is_grave(self) -> bool {
        self <= Self::Guard
    }
}

/// One thing that the agent could newly do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Widening {
    /// How bad it can be.
    pub risk: Risk,
    /// What it is.
    pub text: String,
}

/// What the agent could newly do; empty when `new` allows nothing more. Without an `old` side everything is new.
#[must_use]
pub fn widened(old: Option<&Capabilities>, new: &Capabilities) -> Vec<Widening> {
    let Capabilities {
        hosts,
        mounts,
        image,
        user,
        runtime,
        command,
        limits,
        root_writable,
        environment,
        dlp_warns,
        seed_phrases,
        network,
        extra_ca,
    } = new;
    let mut lines = Lines(Vec::new());
    let known_hosts = old.map(|old| &old.hosts);
    for (name, host) in hosts {
        match known_hosts.and_then(|known| known.get(name)) {
            None => new_host(name, host, &mut lines),
            Some(before) => changed_host(name, before, host, &mut lines),
        }
    }
    if let Some(known) = known_hosts {
        moved_credentials(known, hosts, &mut lines);
    }
    self::mounts(old.map(|old| &old.mounts), mounts, &mut lines);
    self::image(old.map(|old| &old.image), image, &mut lines);
    self::user(old.map(|old| &old.user), user, &mut lines);
    self::runtime(old.map(|old| &old.runtime), runtime.as_ref(), &mut lines);
    if old.is_none_or(|old| old.command != *command) && !command.is_empty() {
        lines.add(Risk::Code, format!("the agent's command is `{}`", command.join(" ")));
    }
    self::limits(old.map(|old| &old.limits), limits, &mut lines);
    if *root_writable && old.is_some_and(|old| !old.root_writable) {
        lines.add(Risk::Minor, "the image's own files can be written to (agent.read_only)");
    }
    let known_variables = old.map(|old| &old.environment);
    let more = environment.iter().filter(|name| known_variables.is_none_or(|known| !known.contains(*name)));
    let more: Vec<&str> = more.map(String::as_str).collect();
    if !more.is_empty() {
        lines.add(Risk::Minor, format!("the agent's environment has {}", more.join(", ")));
    }
    if *dlp_warns && old.is_none_or(|old| !old.dlp_warns) {
        lines
            .add(Risk::Guard, "a request that carries a secret passes and is only logged (dlp_action: warn)");
    }
    if !*seed_phrases && old.is_some_and(|old| old.seed_phrases) {
        lines.add(Risk::Guard, "a request that carries a wallet's seed phrase passes (seed_phrases)");
    }
    way_out(old, network.as_ref(), extra_ca.as_ref(), &mut lines);
    lines.0.sort_by_key(|line| line.risk); // stable: within a class, the manifest's order by name
    lines.0
}

struct Lines(Vec<Widening>);

impl Lines {
    fn add(&mut self, risk: Risk, text: impl Into<String>) {
        self.0.push(Widening { risk, text: text.into() });
    }
}

fn new_host(name: &str, host: &HostCapability, lines: &mut Lines) {
    for grant in host.grants() {
        lines.add(Risk::Reach, grant.describe(name) + &with(host));
    }
    let route = Route::open(host.rule.route.host.clone(), "");
    let auth = host.rule.auth.clone(); // said on the lines above
    let nothing = HostCapability { rule: HostRule { auth, ..route.into() }, git_push: false };
    properties(name, &nothing, host, lines);
}

fn changed_host(name: &str, old: &HostCapability, new: &HostCapability, lines: &mut Lines) {
    for grant in new.grants().flat_map(|grant| old.beyond(grant)) {
        lines.add(Risk::Reach, grant.describe(name) + &with(new));
    }
    properties(name, old, new, lines);
}

fn properties(name: &str, old: &HostCapability, new: &HostCapability, lines: &mut Lines) {
    let HostCapability { rule: HostRule { route, auth, inspect, addresses }, git_push } = new;
    let Route {
        source: _,
        host: _,
        ports: _, // these four are the grants
        methods: _,
        path_allowlist: _,
        deny_paths: _,
        encoded_slash,
        until,
        reason: _, // for people
    } = route;
    let (old, had_git_push) = (&old.rule, old.git_push);
    if let Some(auth) = auth.as_ref().filter(|auth| old.auth.as_ref() != Some(auth)) {
        lines.add(Risk::Credential, format!("{name} is sent the credential {}", shown(auth)));
    }
    if let (None, Some(before)) = (auth, &old.auth) {
        lines.add(
            Risk::Guard,
            format!(
                "{name} gets what credential the agent sends: it was replaced by {} so far",
                before.token_ref
            ),
        );
    }
    if *git_push && !had_git_push {
        lines.add(Risk::Guard, format!("git push to {name}: no egress-proxy refuses it"));
    }
    if *encoded_slash && !old.route.encoded_slash {
        lines.add(Risk::Reach, format!("paths of {name} with an encoded slash (%2F) inside a segment"));
    }
    if !*inspect && old.inspect {
        lines.add(Risk::Guard, format!("{name} passes pipelock without inspection: no scan for secrets"));
    }
    for range in addresses {
        if !old.addresses.iter().any(|known| known.contains(range)) {
            lines.add(Risk::Guard, format!("{name} may be at private addresses in {range}"));
        }
    }
    match (old.route.until, until) {
        (Some(before), Some(after)) if *after > before => {
            lines.add(Risk::Reach, format!("{name} until {after}, not {before}"));
        }
        (Some(before), None) => lines.add(Risk::Reach, format!("{name} without end, not until {before}")),
        _ => {}
    }
}

/// A credential that was there and goes to one host more: the most serious line of all.
fn moved_credentials(
    old: &BTreeMap<String, HostCapability>,
    new: &BTreeMap<String, HostCapability>,
    lines: &mut Lines,
) {
    let holders = |hosts: &BTreeMap<String, HostCapability>, token: &str| -> Vec<String> {
        let holds = |host: &HostCapability| host.rule.auth.as_ref().is_some_and(|it| it.token_ref == token);
        hosts.iter().filter(|(_, host)| holds(host)).map(|(name, _)| name.clone()).collect()
    };
    for (name, host) in new {
        let Some(auth) = &host.rule.auth else { continue };
        let before = holders(old, &auth.token_ref);
        if !before.is_empty() && !before.contains(name) {
            let text = format!("{} is sent to {name}, so far to {}", auth.token_ref, before.join(", "));
            lines.add(Risk::Credential, text);
        } else if before.is_empty() && !old.contains_key(name) {
            lines.add(
                Risk::Credential,
                format!("{name} is sent {}, which this bottle did not use", auth.token_ref),
            );
        }
    }
}

fn with(host: &HostCapability) -> String {
    let credential = host.rule.auth.as_ref().map(|auth| format!(" with {}", auth.token_ref));
    let until = host.rule.route.until.map(|date| format!(" until {date}"));
    credential.unwrap_or_default() + &until.unwrap_or_default()
}

fn shown(auth: &Auth) -> String {
    let user = auth.username.as_ref().map(|name| format!(" for user {name}")).unwrap_or_default();
    format!("{} in `{}: {}…`{user}", auth.token_ref, auth.header, auth.prefix)
}

type Mounts = BTreeMap<Utf8PathBuf, Mount>;

fn mounts(old: Option<&Mounts>, new: &Mounts, lines: &mut Lines) {
    for (target, mount) in new {
        let shows = |seen: Option<(Utf8PathBuf, bool)>| {
            seen.is_some_and(|(real, writable)| real == mount.real && (writable || !mount.writable))
        };
        let before = old.and_then(|old| nearest(target, old, |_| true));
        let around = nearest(target, new, |other| other != target);
        // Another mount shows the same here, and nothing stood between the two before: its line says it.
        let said = around.is_some_and(|around| {
            before == old.and_then(|old| nearest(around, old, |_| true))
                && shows(shown_at(target, new, around))
        });
        if !said && !before.zip(old).is_some_and(|(before, old)| shows(shown_at(target, old, before))) {
            mounted(target, &mount.source, &mount.real, mount.writable, mount.outside, lines);
        }
    }
    // What covered something that is seen now, or protected it.
    for (target, cover) in old.into_iter().flatten().filter(|(target, _)| !new.contains_key(*target)) {
        let around = nearest(target, new, |_| true);
        let Some((real, writable)) = around.and_then(|around| shown_at(target, new, around)) else {
            continue;
        };
        if real != cover.real || writable && !cover.writable {
            let access = if writable { "reads and writes" } else { "reads" };
            lines.add(
                Risk::Guard,
                format!(
                    "the agent {access} {real}, at {target}, which a mount of `{}` covered",
                    cover.source
                ),
            );
        }
    }
}

fn mounted(
    target: &Utf8Path,
    source: &Utf8Path,
    real: &Utf8Path,
    writable: bool,
    outside: bool,
    lines: &mut Lines,
) {
    let access = if writable { "reads and writes" } else { "reads" };
    let (risk, place) = match (outside, writable) {
        (true, _) => (Risk::Machine, format!("{real} of this machine, outside of the project")),
        (false, true) => (Risk::Project, format!("`{source}`")),
        (false, false) => (Risk::Minor, format!("`{source}`")),
    };
    lines.add(risk, format!("the agent {access} {place}, as {target}"));
}

/// The target of the mount that is seen at `target`: the deepest one around it.
fn nearest<'a>(
    target: &Utf8Path,
    mounts: &'a Mounts,
    counts: impl Fn(&Utf8Path) -> bool,
) -> Option<&'a Utf8Path> {
    let around = mounts.keys().filter(|other| counts(other) && target.starts_with(other));
    around.max_by_key(|other| other.components().count()).map(Utf8PathBuf::as_path)
}

/// The real place that the mount at `around` shows at `target`, and whether the agent can write there.
fn shown_at(target: &Utf8Path, mounts: &Mounts, around: &Utf8Path) -> Option<(Utf8PathBuf, bool)> {
    let mount = mounts.get(around)?;
    let below = target.strip_prefix(around).ok()?;
    let real = if below.as_str().is_empty() { mount.real.clone() } else { mount.real.join(below) };
    Some((real, mount.writable))
}

fn image(old: Option<&Image>, new: &Image, lines: &mut Lines) {
    if old == Some(new) {
        return;
    }
    let text = match (old, new) {
        (_, Image::Named(name)) => format!("the agent runs in the image {name}, pulled where it is missing"),
        (
            Some(Image::Built { context, dockerfile, target, args, digest: _ }),
            Image::Built {
                context: new_context,
                dockerfile: new_dockerfile,
                target: new_target,
                args: new_args,
                digest: _,
            },
        ) if (context, dockerfile, target, args) == (new_context, new_dockerfile, new_target, new_args) => {
            format!("the agent's image is built from other files in `{context}`, with an open network")
        }
        (_, Image::Built { context, dockerfile, target, args, digest: _ }) => {
            let dockerfile = dockerfile.as_ref().map(|file| format!(" by {file}")).unwrap_or_default();
            let target = target.as_ref().map(|name| format!(", target {name}")).unwrap_or_default();
            let args: String = args.iter().flat_map(|(name, value)| [", ", name, "=", value]).collect();
            format!(
                "the agent's image is built from `{context}`{dockerfile}{target}{args}, with an open network"
            )
        }
    };
    match new {
        Image::Built { context, .. } if context.starts_with("..") || context.is_absolute() => {
            lines.add(Risk::Machine, text + ", outside of the project");
        }
        _ => lines.add(Risk::Code, text),
    }
}

fn user(old: Option<&Account>, new: &Account, lines: &mut Lines) {
    if old == Some(new) {
        return;
    }
    match new {
        Account::Named(name) if is_root(name) => {
            lines.add(Risk::Machine, "the agent runs as root: it writes as root wherever it can write");
        }
        Account::Named(name) => lines.add(Risk::Minor, format!("the agent runs as user {name}")),
        Account::Owner => {} // what it can write is said by the mounts
        Account::Image => lines.add(Risk::Minor, "the agent runs as the image's user, which may be root"),
    }
}

/// `root`, `0`, `0:1000`, `00`.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or(user);
    name == "root" || name.parse::<u64>().is_ok_and(|uid| uid == 0)
}

fn runtime(old: Option<&Option<String>>, new: Option<&String>, lines: &mut Lines) {
    match (old.map(Option::as_ref), new) {
        (before, Some(name)) if before.flatten() != Some(name) => {
            lines.add(Risk::Guard, format!("the agent's container is run by {name}"));
        }
        (Some(Some(before)), None) => {
            lines.add(
                Risk::Guard,
                format!("the agent's container is run by the engine's default, not {before}"),
            );
        }
        _ => {}
    }
}

/// At first memory is always said, since its default differs per host; of the others what goes beyond the defaults.
fn limits(old: Option<&Limits>, new: &Limits, lines: &mut Lines) {
    let Limits { memory, millicpus, pids } = new;
    if old.is_none_or(|old| *memory > old.memory) {
        lines.add(Risk::Minor, format!("the agent uses up to {} MiB of memory", memory >> 20));
    }
    let all = u32::MAX; // absent: every processor
    let had = old.map_or(all, |old| old.millicpus.unwrap_or(all));
    if millicpus.unwrap_or(all) > had {
        let amount = millicpus.map_or_else(|| "all".to_owned(), |n| format!("{}.{:03}", n / 1000, n % 1000));
        lines.add(Risk::Minor, format!("the agent uses up to {amount} processors"));
    }
    if *pids > old.map_or(DEFAULT_PIDS, |old| old.pids) {
        lines.add(Risk::Minor, format!("the agent has up to {pids} processes"));
    }
}

/// What a manifest that says nothing gives.
const DEFAULT_PIDS: u32 = 4096;

fn way_out(
    old: Option<&Capabilities>,
    network: Option<&String>,
    extra_ca: Option<&String>,
    lines: &mut Lines,
) {
    match (old.and_then(|old| old.network.as_ref()), network) {
        (before, Some(network)) if before != Some(network) => {
            lines.add(Risk::Guard, format!("pipelock leaves by the Docker network {network}"));
        }
        (Some(before), None) => {
            lines.add(Risk::Guard, format!("pipelock leaves by a bridge of its own, not by {before}"));
        }
        _ => {}
    }
    if let Some(digest) = extra_ca.filter(|digest| old.and_then(|old| old.extra_ca.as_ref()) != Some(digest))
    {
        let short = digest.get(..16).unwrap_or(digest);
        lines.add(
            Risk::Guard,
            format!("certificates signed by pipelock.extra_ca are trusted (sha256 {short})"),
        );
    }
}
