//! The second check: from what is written to types that can't hold a bad value, reporting what has none.
//!
//! Every function reports all that is wrong with its part and goes on; a part is `None` only when something
//! about it was reported, here or by the schema.

mod address;
pub(crate) mod agent;
mod auth;
mod client;
mod content;
mod credential_hosts;
mod dlp;
mod engine;
mod env;
mod expectations;
mod file_path;
mod hosts;
mod lints;
mod paths;
mod publish;
mod push;
mod query;
mod resources;
mod route;
mod services;

use super::findings::{Findings, quoted};
use super::{Egress, EgressProxy, Manifest, Pipelock, model::DlpAction, raw};
use crate::policy::HostRule;
use std::collections::BTreeSet;

pub(super) use expectations::expectations;
pub(super) use file_path::host_path as manifest_path;

/// Names of Docker networks that are no networks of their own.
const NO_NETWORKS: [&str; 3] = ["bridge", "host", "none"];

/// Checks what the schema can't; every problem is a finding, and `None` means that something is missing because of one.
pub(super) fn manifest(raw: raw::Manifest, findings: &mut Findings<'_>) -> Option<Manifest> {
    // The schema has looked at the version.
    let raw::Manifest {
        version: _,
        name,
        agent,
        services,
        egress_proxy,
        egress,
        pipelock,
        supervise,
        lints,
        within,
        tests,
    } = raw;
    let name = name.and_then(|name| self::name(name, findings));
    let routes = egress_proxy.map(|raw| routes(raw, findings)).unwrap_or_default();
    let (egress, allowlist_hosts) = self::egress(egress.unwrap_or_default(), findings);
    let mut hosts = routes.hosts;
    hosts.extend(allowlist_hosts);
    hosts::check_duplicates(&hosts, findings);
    if routes.parsed.is_empty() && !routes.raw {
        hosts::check_without_routes(&egress.allowlist, findings);
    }
    let pipelock = self::pipelock(pipelock.unwrap_or_default(), &hosts, findings);
    let supervise = supervise.unwrap_or(false);
    if supervise && !routes.raw {
        let message = "`supervise` needs `egress_proxy.routes`: without them there is no egress-proxy that proposals pass";
        findings.push(findings.value("supervise", "supervise", message).hint(
            "give the bottle a route, or remove the key: without routes `bottle learn` shows what was refused",
        ));
    }
    let rules: Vec<&HostRule> = routes.parsed.iter().chain(&egress.allowlist).collect();
    engine::check_rules(&pipelock, egress.dlp_action, &rules, routes.raw, findings);
    let token_refs: BTreeSet<&str> =
        routes.parsed.iter().chain(&egress.allowlist).filter_map(token_ref).collect();
    let within = within.and_then(|path| file_path::host_path(&path, "within", findings));
    let lints = lints::lints(lints.unwrap_or_default(), findings);
    let agent = agent.and_then(|raw| agent::agent(raw, &token_refs, findings));
    let services = services::services(services.unwrap_or_default(), &token_refs, findings);
    let tests = expectations(tests, findings);
    Some(Manifest {
        name: name?,
        agent: agent?,
        services,
        egress_proxy: EgressProxy { routes: routes.parsed },
        egress,
        pipelock,
        supervise,
        lints,
        within,
        tests,
    })
}

fn token_ref(rule: &HostRule) -> Option<&str> {
    rule.auth.as_ref().map(|auth| auth.token_ref.as_str())
}

fn name(name: String, findings: &mut Findings<'_>) -> Option<String> {
    let Some(hint) = no_label(&name) else { return Some(name) };
    let message = format!("{} is not a DNS label", quoted(&name));
    findings.push(findings.value("name", "name", message).hint(hint));
    None
}

/// What to write instead of a name that is no DNS label in lower case (RFC 1123, section 2.1).
fn no_label(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c != '-');
    if name.chars().all(fits) && edge(name.chars().next()) && edge(name.chars().last()) && name.len() <= 63 {
        return None;
    }
    let meant: String =
        name.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(63).collect();
    let meant = meant.trim_matches('-');
    Some(if meant.is_empty() {
        "write lower-case letters, digits and hyphens, at most 63".to_owned()
    } else {
        format!("write lower-case letters, digits and hyphens, at most 63: {meant}")
    })
}

/// The routes, and the hosts that were named even where the rest of a route is wrong.
#[derive(Default)]
struct Routes {
    parsed: Vec<HostRule>,
    hosts: Vec<hosts::Named>,
    /// The manifest has routes, though none may have been readable.
    raw: bool,
}

fn routes(raw: raw::EgressProxy, findings: &mut Findings<'_>) -> Routes {
    let raw::EgressProxy { routes } = raw;
    let Some(items) = routes else { return Routes { raw: true, ..Routes::default() } };
    if items.is_empty() {
        findings.push(
            findings
                .value("empty-list", "egress_proxy.routes", "`egress_proxy.routes` is empty")
                .hint("write a route, or remove `egress_proxy`: a bottle without routes has no path rule and no refusal of git push"),
        );
    }
    let mut out = Routes { raw: true, ..Routes::default() };
    for (index, item) in items.into_iter().enumerate() {
        let pointer = format!("egress_proxy.routes[{index}]");
        let Some(raw) = item.0 else { continue };
        let route = route::route(raw, &pointer, &format!("{pointer}.host"), findings);
        out.hosts.extend(route.named);
        out.parsed.extend(route.rules);
    }
    out
}

fn egress(raw: raw::Egress, findings: &mut Findings<'_>) -> (Egress, Vec<hosts::Named>) {
    let raw::Egress { allowlist, dlp_action, network } = raw;
    let mut hosts = Vec::new();
    let mut routes = Vec::new();
    for (index, item) in allowlist.into_iter().flatten().enumerate() {
        let pointer = format!("egress.allowlist[{index}]");
        let route = match item.0 {
            Some(raw::Entry::Host(host)) => {
                let alone = raw::Route { host: Some(host), ..raw::Route::default() };
                route::route(alone, &pointer, &pointer, findings)
            }
            Some(raw::Entry::Route(raw)) => {
                route::route(*raw, &pointer, &format!("{pointer}.host"), findings)
            }
            None => continue,
        };
        hosts.extend(route.named);
        routes.extend(route.rules);
    }
    let dlp_action = dlp_action.map(|action| match action {
        raw::DlpAction::Warn => DlpAction::Warn,
        raw::DlpAction::Block => DlpAction::Block,
        raw::DlpAction::Redact => DlpAction::Redact,
    });
    let network = network.and_then(|name| self::network(name, findings));
    (Egress { allowlist: routes, dlp_action, network }, hosts)
}

fn network(name: String, findings: &mut Findings<'_>) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if NO_NETWORKS.contains(&name.as_str()) {
        let message = format!("{} is not a network that containers are named on", quoted(&name));
        let problem = findings.value("network", "egress.network", message);
        findings.push(problem.hint("name a network made with `docker network create`, or remove the key"));
        return None;
    }
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits) {
        return Some(name);
    }
    let problem = findings.value(
        "network",
        "egress.network",
        format!("{} can't be the name of a Docker network", quoted(&name)),
    );
    findings
        .push(problem.hint("it begins with a letter or digit and holds letters, digits, `_`, `.` and `-`"));
    None
}

fn pipelock(raw: raw::Pipelock, hosts: &[hosts::Named], findings: &mut Findings<'_>) -> Pipelock {
    let raw::Pipelock { engine, image, extra_ca, seed_phrases, patterns, except } = raw;
    let engine = engine::engine(engine, image, findings);
    let seed_phrases = seed_phrases.unwrap_or(false);
    let conversation = hosts.iter().find(|named| named.host.as_str() == "api.anthropic.com");
    if let Some(named) = conversation.filter(|_| seed_phrases) {
        let message = "seed phrases can't be looked for beside `api.anthropic.com`";
        let problem = findings
            .value("seed-phrases", "pipelock.seed_phrases", message)
            .label(findings.span(&named.host_pointer), "this host carries conversations")
            .hint("seed phrases consist of ordinary words: conversations would be refused, and the agent would say \"Please run /login\"; remove the key");
        findings.push(problem);
    }
    let extra_ca = extra_ca.and_then(|path| file_path::host_path(&path, "pipelock.extra_ca", findings));
    let dlp = dlp::dlp(patterns, except, hosts, findings);
    Pipelock { engine, extra_ca, seed_phrases, dlp }
}
