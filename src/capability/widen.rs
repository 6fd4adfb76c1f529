//! What one set of capabilities allows that another does not, one line each.

use super::{Capabilities, Host, Mount};
use crate::config::routes::Auth;

/// What the agent could newly do, host by host and then the rest; empty when `new` allows nothing more.
#[must_use]
pub fn widened(old: &Capabilities, new: &Capabilities) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, host) in &new.hosts {
        match old.hosts.get(name) {
            None => new_host(name, host, &mut lines),
            Some(before) => changed_host(name, before, host, &mut lines),
        }
    }
    mounts(old, new, &mut lines);
    stack(old, new, &mut lines);
    lines
}

fn new_host(name: &str, host: &Host, lines: &mut Vec<String>) {
    lines.extend(host.grants().map(|grant| grant.describe(name) + &with(host)));
    let nothing = Host {
        credential: host.credential.clone(), // said on the lines above
        encoded_slash: true,
        inspected: true,
        addresses: std::collections::BTreeSet::default(),
        until: None,
        git_push: false,
        ..host.clone()
    };
    properties(name, &nothing, host, lines);
}

fn changed_host(name: &str, old: &Host, new: &Host, lines: &mut Vec<String>) {
    let more = new.grants().filter_map(|grant| old.beyond(grant));
    lines.extend(more.map(|grant| grant.describe(name) + &with(new)));
    properties(name, old, new, lines);
}

fn properties(name: &str, old: &Host, new: &Host, lines: &mut Vec<String>) {
    if let Some(auth) = new.credential.as_ref().filter(|auth| old.credential.as_ref() != Some(auth)) {
        lines.push(format!("{name} is sent the credential {}", shown(auth)));
    }
    if new.git_push && !old.git_push {
        lines.push(format!("git push to {name}: no egress-proxy refuses it"));
    }
    if new.encoded_slash && !old.encoded_slash {
        lines.push(format!("paths of {name} with an encoded slash (%2F) inside a segment"));
    }
    if !new.inspected && old.inspected {
        lines.push(format!("{name} passes pipelock without inspection: no scan for secrets"));
    }
    for range in &new.addresses {
        if !old.addresses.iter().any(|known| known.contains(range)) {
            lines.push(format!("{name} may be at private addresses in {range}"));
        }
    }
    match (old.until, new.until) {
        (Some(before), Some(after)) if after > before => {
            lines.push(format!("{name} until {after}, not {before}"));
        }
        (Some(before), None) => lines.push(format!("{name} without end, not until {before}")),
        _ => {}
    }
}

fn with(host: &Host) -> String {
    let credential = host.credential.as_ref().map(|auth| format!(" with {}", auth.token_ref));
    let until = host.until.map(|date| format!(" until {date}"));
    credential.unwrap_or_default() + &until.unwrap_or_default()
}

fn shown(auth: &Auth) -> String {
    let user = auth.username.as_ref().map(|name| format!(" for user {name}")).unwrap_or_default();
    format!("{} in `{}: {}…`{user}", auth.token_ref, auth.header, auth.prefix)
}

fn mounts(old: &Capabilities, new: &Capabilities, lines: &mut Vec<String>) {
    for (target, mount) in &new.mounts {
        let known = old.mounts.get(target).filter(|known| known.source == mount.source);
        let access = if mount.writable { "reads and writes" } else { "reads" };
        if !is_seen_anyway(target, mount, new) && known.is_none_or(|known| mount.writable && !known.writable)
        {
            lines.push(format!("the agent {access} `{}` of this machine, as {target}", mount.source));
        }
    }
    // A read-only mount inside a writable one protects what it covers.
    let protected = old.mounts.iter().filter(|(_, mount)| !mount.writable);
    for (target, mount) in protected.filter(|(target, _)| !new.mounts.contains_key(*target)) {
        if new.mounts.iter().any(|(other, now)| now.writable && is_below(target, other)) {
            lines.push(format!("the agent writes `{}` of this machine, at {target}", mount.source));
        }
    }
}

/// Whether a read-only mount only covers what another mount shows at the same place.
fn is_seen_anyway(target: &str, mount: &Mount, new: &Capabilities) -> bool {
    let rest = |path: &str, folder: &str| {
        let folder = if folder == "." { "" } else { folder };
        camino::Utf8Path::new(path).strip_prefix(folder).map(ToOwned::to_owned).ok()
    };
    !mount.writable
        && new.mounts.iter().any(|(other, outer)| {
            other != target
                && rest(target, other).is_some_and(|at| rest(&mount.source, &outer.source) == Some(at))
        })
}

fn is_below(path: &str, folder: &str) -> bool {
    camino::Utf8Path::new(path).starts_with(folder)
}

fn stack(old: &Capabilities, new: &Capabilities, lines: &mut Vec<String>) {
    if new.dlp_warns && !old.dlp_warns {
        lines.push("a request that carries a secret passes and is only logged (dlp_action: warn)".to_owned());
    }
    match (&old.network, &new.network) {
        (before, Some(network)) if before.as_ref() != Some(network) => {
            lines.push(format!("pipelock leaves by the Docker network {network}"));
        }
        (Some(before), None) => {
            lines.push(format!("pipelock leaves by a bridge of its own, not by {before}"));
        }
        _ => {}
    }
    if let Some(digest) = new.extra_ca.as_ref().filter(|digest| old.extra_ca.as_ref() != Some(digest)) {
        lines
            .push(format!("certificates signed by pipelock.extra_ca are trusted (sha256 {})", &digest[..16]));
    }
    if let Some(build) = new.build.as_ref().filter(|build| old.build.as_ref() != Some(build)) {
        lines.push(format!("the agent's image is built from `{build}`, with an open network"));
    }
}
