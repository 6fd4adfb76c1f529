//! The manifest as it is now: where a rule stands in it, and what would have to change for it to allow a request.
//!
//! A record names its rule by the host. The pointer in the record is where the rule stood when the request
//! was refused; by now another rule can stand there, so it is never followed. What is suggested was tried: the policy
//! of the manifest with the change allows the request.

use crate::clock::Clock;
use crate::manifest::{Loaded, Manifest};
use crate::patch::{Asked, Change, Request, changes};
use crate::plan::{Plan, Surroundings};
use crate::policy::{Host, HostRule, Policy, Route};
use crate::render;
use crate::telemetry::audit::Record;
use camino::Utf8Path;
use jiff::civil::Date;
use std::fmt::Write as _;

/// Of a path on a host that is unknown so many segments are suggested.
const SEGMENTS: usize = 3;

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

/// What would allow a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// This entry.
    Entry(String),
    /// Nothing has to change.
    Allowed,
    /// No entry allows it.
    Nothing,
    /// Nobody can tell: the record holds less than the request did, or the manifest can't be read.
    Unknown(String),
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
        let route = Host::parse(id).ok().and_then(|host| policy.route(&host));
        let Some(route) = route else {
            return Some(Standing::Nowhere(format!("the rule for {id} is no longer in {}", self.file)));
        };
        let key = match record.reason.as_deref() {
            Some("path_not_allowed") => ".path_allowlist",
            Some("path_denied") => ".deny_paths",
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
        let request = Request::from_record(record);
        if !request.as_ref().is_none_or(Request::is_whole) {
            return Advice::Unknown("a part of the request was masked or cut in the record".to_owned());
        }
        let Some((_, policy)) = &self.manifest else {
            return Advice::Unknown(format!("{} can't be read now", self.file));
        };
        let asked = request.as_ref().and_then(Asked::from_request);
        asked.and_then(|asked| advice(&asked, policy, self.clock.today())).unwrap_or(Advice::Nothing)
    }
}

/// The policy that egress-proxy would have, by the way that it gets it.
fn policy(manifest: &Manifest) -> Option<Policy> {
    let mut manifest = manifest.clone();
    manifest.pipelock.extra_ca = None; // a file that decides nothing here
    let plan = Plan::resolve(&manifest, &Surroundings::beside(&manifest.name)).ok()?;
    render::routes_file(&plan).to_policy().ok()
}

/// What has to change, as text to write into the manifest.
fn advice(asked: &Asked, policy: &Policy, today: Date) -> Option<Advice> {
    let mut rules: Vec<HostRule> = policy.rule(&asked.authority.host).cloned().into_iter().collect();
    let source = rules.first().map(|rule| rule.route.source.clone());
    let changes = changes(asked, &mut rules, today, SEGMENTS)?;
    if changes.is_empty() {
        return Some(Advice::Allowed);
    }
    let mut entry = source.map(|source| format!("{source}:\n")).unwrap_or_default();
    for change in &changes {
        entry += &line(change);
    }
    Some(Advice::Entry(entry))
}

fn line(change: &Change) -> String {
    let (key, value) = match change {
        Change::Route(route) => return new_route(route),
        Change::Later => return "  until: a later date\n".to_owned(),
        Change::Undeny(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| scalar(entry.as_str())).collect();
            return format!("  deny_paths: without {}\n", entries.join(", "));
        }
        Change::Port(port) => ("ports", port.to_string()),
        Change::Method(method) => ("methods", scalar(method.as_str())),
        Change::Path(pattern) => ("path_allowlist", scalar(pattern.as_str())),
    };
    format!("  {key}: [..., {value}]\n")
}

/// As narrow as the request, of whose path the first segments count.
fn new_route(route: &Route) -> String {
    let mut entry = format!("egress_proxy:\n  routes:\n    - host: {}\n", scalar(route.host.as_str()));
    // Writing to a String can't fail.
    if let Some(port) = route.ports.first().filter(|port| **port != 443) {
        let _ = writeln!(entry, "      ports: [{port}]");
    }
    for pattern in route.path_allowlist.iter().flatten() {
        let every = if pattern.as_str() == "/" { " # every path; name those that are needed" } else { "" };
        let _ = writeln!(entry, "      path_allowlist: [{}]{every}", scalar(pattern.as_str()));
    }
    for method in route.methods.iter().flatten() {
        let _ = writeln!(entry, "      methods: [{}]", scalar(method.as_str()));
    }
    entry
}

/// Text from a request, as YAML: it comes from the agent.
pub(super) fn scalar(text: &str) -> String {
    let quoted = text.contains([',', '[', ']', '{', '}']);
    if quoted { format!("{text:?}") } else { crate::yaml::emit_value(&text.into()).trim_end().to_owned() }
}
