//! Where a manifest says that an agent can do something.

use crate::capability::{Capability, Requests, ServicePart};
use crate::manifest::{Image, Manifest};
use crate::policy::{HostRule, Route};
use std::fmt;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Place {
    /// The file, with its revision where it has one: `HEAD:bottle.yaml`.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The pointer into the manifest: to a key, or to one above it where a default says so. What both manifests say is not
/// what made the difference.
pub(super) fn pointer(capability: &Capability, manifest: &Manifest, other: Option<&Manifest>) -> String {
    let of_host = |host: &str, key: &str| {
        let rule = manifest.rule_for(host);
        rule.map_or_else(|| "egress_proxy.routes".to_owned(), |rule| format!("{}.{key}", rule.route.source))
    };
    let of_agent = |key: &str| format!("agent.{key}");
    match capability {
        Capability::Requests(requests) => of_requests(requests, manifest, other),
        Capability::Credential { host, .. } => of_host(host, "auth"),
        Capability::WebSocket { host } => of_host(host, "websocket"),
        Capability::EncodedSlash { host } => of_host(host, "encoded_slash"),
        Capability::Push { host, .. } => of_host(host, "git.push"),
        Capability::Uninspected { host } => of_host(host, "inspect"),
        Capability::SecretsRemoved { host } => of_host(host, "dlp_action"),
        Capability::PrivateAddresses { host, .. } => of_host(host, "addresses"),
        Capability::Query { host, .. } => of_host(host, "query"),
        Capability::Graphql { host, .. } => of_host(host, "graphql"),
        Capability::Rpc { host, .. } => of_host(host, "rpc"),
        Capability::Until { host, .. } => of_host(host, "until"),
        Capability::OwnCredential { host } | Capability::GitPush { host } => of_host(host, "host"),
        Capability::ClientField { host, query, .. } => {
            of_host(host, if *query { "pass_query" } else { "pass_headers" })
        }
        Capability::Mount { target, .. } | Capability::Uncovered { target, .. } => {
            let around = manifest.agent.mounts.iter().filter(|mount| target.starts_with(&mount.target));
            let nearest = around.max_by_key(|mount| mount.target.components().count());
            nearest.map_or_else(|| of_agent("mounts"), |mount| mount.source_pointer.clone())
        }
        Capability::Image { .. } => of_agent(match manifest.agent.image {
            Image::Named(_) => "image",
            Image::Build(_) => "build",
        }),
        Capability::User { .. } => of_agent("user"),
        Capability::Runtime { .. } => of_agent("runtime"),
        Capability::Command { .. } => of_agent("command"),
        Capability::Workdir { .. } => of_agent("workdir"),
        Capability::Memory { .. } => of_agent("resources.memory"),
        Capability::Processors { .. } => of_agent("resources.cpus"),
        Capability::Processes { .. } => of_agent("resources.pids"),
        Capability::Home { .. } => of_agent("home"),
        Capability::WritableRoot => of_agent("read_only"),
        Capability::Variable { name, .. } => of_agent(&format!("env.{name}")),
        Capability::Published { port, .. } => {
            let at = manifest.agent.publish.iter().position(|it| it.host() == *port);
            at.map_or_else(|| "agent".to_owned(), |at| of_agent(&format!("publish[{at}]")))
        }
        Capability::FindingsPass => "egress.dlp_action".to_owned(),
        Capability::SeedPhrasesPass => "pipelock.seed_phrases".to_owned(),
        Capability::PatternPasses { regex, .. } => {
            let patterns = &manifest.pipelock.dlp.patterns;
            let at = patterns.iter().position(|pattern| pattern.regex == *regex);
            at.map_or_else(|| "pipelock".to_owned(), |at| format!("pipelock.patterns[{at}]"))
        }
        Capability::SecretPasses { host, pattern } => {
            let mut exceptions = manifest.pipelock.dlp.exceptions.iter();
            let exception = exceptions.find(|it| it.host == *host && it.pattern == *pattern);
            exception.map_or_else(|| "pipelock".to_owned(), |it| it.source.clone())
        }
        Capability::Service { service, part } => {
            let key = match part {
                ServicePart::Image(_) => "image".to_owned(),
                ServicePart::Command(_) => "command".to_owned(),
                ServicePart::User(_) => "user".to_owned(),
                ServicePart::Variable(name, _) => format!("env.{name}"),
                ServicePart::Volume(_) => "volumes".to_owned(),
                ServicePart::Memory(_) => "resources.memory".to_owned(),
                ServicePart::Processors(_) => "resources.cpus".to_owned(),
                ServicePart::Processes(_) => "resources.pids".to_owned(),
            };
            format!("services.{service}.{key}")
        }
        Capability::Engine { engine } if engine.image.is_some() => "pipelock.image".to_owned(),
        Capability::Engine { .. } => "pipelock.engine".to_owned(),
        Capability::Network { .. } => "egress.network".to_owned(),
        Capability::Supervise => "supervise".to_owned(),
        Capability::ExtraCa { .. } => "pipelock.extra_ca".to_owned(),
    }
}

/// The key that makes the difference: the host, the item of the list of paths, the methods or the ports.
fn of_requests(requests: &Requests, manifest: &Manifest, other: Option<&Manifest>) -> String {
    let Requests { host, port, path, .. } = requests;
    let route = |manifest: &'_ Manifest| {
        let found = manifest.rule_for(host);
        found.map(|HostRule { route, .. }| route.clone())
    };
    let Some(Route { source, path_allowlist, methods, deny_paths, .. }) = route(manifest) else {
        return "egress_proxy.routes".to_owned();
    };
    let same = other.and_then(route);
    let listed = path_allowlist.iter().flatten().position(|listed| Some(listed) == path.as_ref());
    let key = match (&same, listed) {
        (None, None) => "host".to_owned(),
        (Some(same), _) if same.path_allowlist == path_allowlist && same.deny_paths != deny_paths => {
            "deny_paths".to_owned()
        }
        (Some(same), _) if !same.ports.contains(port) => "ports".to_owned(),
        (Some(same), _) if same.path_allowlist == path_allowlist && same.methods != methods => {
            "methods".to_owned()
        }
        (Some(same), Some(at))
            if same.path_allowlist.iter().flatten().any(|old| Some(old) == path.as_ref()) =>
        {
            if same.methods == methods { format!("path_allowlist[{at}]") } else { "methods".to_owned() }
        }
        (_, Some(at)) => format!("path_allowlist[{at}]"),
        (Some(_), None) => "path_allowlist".to_owned(),
    };
    format!("{source}.{key}")
}
