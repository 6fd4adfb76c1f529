//! The manifest as it is now: where a rule stands in it, and what would have to change for it to allow a request.
//!
//! A record names its rule by the host. The pointer in the record is where the rule stood when the request
//! was refused; by now another rule can stand there, so it is never followed. What is suggested was tried: the policy
//! of the manifest with the change allows the request.

use crate::clock::Clock;
use crate::explain::{Advice, Wanted};
use crate::manifest::{Loaded, Manifest};
use crate::plan::{Plan, Surroundings};
use crate::policy::{Authority, Host, HostPattern, Method, Policy, Scheme};
use crate::render;
use crate::telemetry::audit::Record;
use camino::Utf8Path;

/// The manifest, if it can be read.
pub(super) struct Current<'a> {
    file: &'a Utf8Path,
    manifest: Option<(&'a Loaded, Policy)>,
    pub(super) clock: Clock,
}

/// Where the rule that a record names stands now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// File and line, and the pointer.
    At(String),
    /// It stands nowhere, or nobody can tell; in words.
    Nowhere(String),
}

impl<'a> Current<'a> {
    pub(super) fn new(file: &'a Utf8Path, loaded: Option<&'a Loaded>, clock: Clock) -> Self {
        let manifest = loaded.and_then(|loaded| Some((loaded, policy(&loaded.manifest)?)));
        Self { file, manifest, clock }
    }

    /// Where the rule stands, at the key that refused if it has it; nothing where no rule refused.
    pub(super) fn standing(&self, record: &Record) -> Option<Standing> {
        record.source.as_ref()?;
        let id = record.rule.as_deref().or(record.host.as_deref())?;
        let Some((loaded, policy)) = &self.manifest else {
            return Some(Standing::Nowhere(format!("{id}; {} can't be read now", self.file)));
        };
        let named = HostPattern::parse(id).ok().and_then(|name| policy.named(&name));
        let route = named.map(|rule| &rule.route).or_else(|| policy.route(&Host::parse(id).ok()?));
        let Some(route) = route else {
            return Some(Standing::Nowhere(format!("the rule for {id} is no longer in {}", self.file)));
        };
        let key = match record.reason.as_deref() {
            Some("path_not_allowed") => ".path_allowlist",
            Some("path_denied") => ".deny_paths",
            Some("query_not_allowed") => ".query",
            Some("graphql_not_allowed") => ".graphql",
            Some("rpc_not_allowed") => ".rpc",
            Some("push_not_allowed") => ".git.push",
            Some("method_not_allowed") => ".methods",
            Some("port_not_allowed") => ".ports",
            Some("rule_expired") => ".until",
            _ => "",
        };
        let source = &route.source;
        Some(Standing::At(format!("{} ({source})", loaded.place_of(&format!("{source}{key}")))))
    }

    /// What would allow the request.
    pub(super) fn advice(&self, record: &Record) -> Advice {
        let by_rule = [
            "host_not_allowed",
            "path_not_allowed",
            "path_denied",
            "method_not_allowed",
            "port_not_allowed",
            "rule_expired",
        ];
        if !record.reason.as_deref().is_some_and(|reason| by_rule.contains(&reason)) {
            return Advice::Nothing;
        }
        if !record.is_whole() {
            return Advice::Unknown("a part of the request was masked or cut in the record".to_owned());
        }
        let Some((_, policy)) = &self.manifest else {
            return Advice::Unknown(format!("{} can't be read now", self.file));
        };
        wanted(record).map_or(Advice::Nothing, |wanted| wanted.advice(policy, self.clock.today()))
    }
}

/// The policy that egress-proxy would have, by the way that it gets it.
fn policy(manifest: &Manifest) -> Option<Policy> {
    let mut manifest = manifest.clone();
    manifest.pipelock.extra_ca = None; // a file that decides nothing here
    let plan = Plan::resolve(&manifest, &Surroundings::beside(&manifest.name)).ok()?;
    render::routes_file(&plan).to_policy().ok()
}

/// The request, as far as a record tells it.
fn wanted(record: &Record) -> Option<Wanted> {
    let scheme = if record.scheme.as_deref() == Some("http") { Scheme::Http } else { Scheme::Https };
    let host = Host::parse(record.host.as_deref()?).ok()?;
    let authority = Authority { host, port: record.port.unwrap_or(scheme.default_port()) };
    let method = record.method.as_deref().filter(|method| *method != "CONNECT");
    let method = method.map(Method::parse).transpose().ok()?;
    let is_fetch = record.git.as_deref() == Some("fetch");
    Some(Wanted::new(scheme, authority, method, record.path.as_deref(), is_fetch))
}
