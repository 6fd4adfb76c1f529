//! What would have to change in the rules for a request to be allowed. What is suggested was tried: the policy with
//! the change allows the request.

use crate::patch::{Asked, Change, changes, no_rule_refused};
use crate::policy::{Authority, HostRule, Method, PathPattern, Policy, Route, Scheme, WrittenRequest};
use jiff::civil::Date;
use std::fmt::Write as _;

/// Of a path on a host that is unknown so many segments are suggested.
const SEGMENTS: usize = 3;

/// What would allow a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    /// This entry.
    Entry(String),
    /// Nothing has to change.
    Allowed,
    /// No entry allows it.
    Nothing,
    /// Nobody can tell: the record holds less than the request did, or the manifest can't be read.
    Unknown(String),
}

/// What somebody wanted to ask for.
#[derive(Debug)]
pub struct Wanted(Asked);

impl Wanted {
    /// A request; `None` for the method is a CONNECT. A fetch asks for several paths below its repository.
    #[must_use]
    pub fn new(
        scheme: Scheme,
        authority: Authority,
        method: Option<Method>,
        path: Option<&str>,
        is_fetch: bool,
    ) -> Self {
        Self(Asked::new(scheme, authority, method, path, is_fetch))
    }

    /// The same of a request that was written down, if its host has a canonical form.
    #[must_use]
    pub fn from_request(request: &WrittenRequest, is_fetch: bool) -> Option<Self> {
        let authority = Authority::parse(&request.authority, Some(request.scheme.default_port())).ok()?;
        let path = request.target.split(['?', '#']).next();
        Some(Self::new(request.scheme, authority, Some(request.method.clone()), path, is_fetch))
    }

    /// Where it would go.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// What would allow it; what is suggested was tried.
    #[must_use]
    pub fn advice(&self, policy: &Policy, today: Date) -> Advice {
        let mut rules: Vec<HostRule> = policy.rule(&self.0.authority.host).cloned().into_iter().collect();
        let source = rules.first().map(|rule| rule.route.source.clone());
        let Some(changes) = changes(&self.0, &mut rules, today, SEGMENTS) else { return Advice::Nothing };
        if changes.is_empty() {
            return Advice::Allowed;
        }
        let heading = source.map(|source| format!("{source}:\n")).unwrap_or_default();
        Advice::Entry(changes.iter().fold(heading, |entry, change| entry + &line(change)))
    }
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
        Change::Method { method, listed: true } => ("methods", scalar(method.as_str())),
        Change::Method { method, listed: false } => {
            let all = Method::USUAL.iter().chain([method]).map(|method| scalar(method.as_str()));
            return format!("  methods: [{}]\n", all.collect::<Vec<_>>().join(", "));
        }
        Change::Path(pattern) => {
            let (entry, note) = (scalar(pattern.as_str()), every(pattern));
            return format!("  path_allowlist: [..., {entry}]{note}\n");
        }
    };
    format!("  {key}: [..., {value}]\n")
}

fn new_route(route: &Route) -> String {
    let mut entry = format!("egress_proxy:\n  routes:\n    - host: {}\n", scalar(route.host.as_str()));
    // Writing to a String can't fail.
    if let Some(port) = route.ports.first().filter(|port| **port != 443) {
        let _ = writeln!(entry, "      ports: [{port}]");
    }
    for pattern in route.path_allowlist.iter().flatten() {
        let _ = writeln!(entry, "      path_allowlist: [{}]{}", scalar(pattern.as_str()), every(pattern));
    }
    let methods = route.methods.iter().flatten().map(|method| scalar(method.as_str()));
    let methods = methods.collect::<Vec<_>>().join(", ");
    if !methods.is_empty() {
        let _ = writeln!(entry, "      methods: [{methods}]");
    }
    entry
}

/// No entry can name the root alone.
fn every(pattern: &PathPattern) -> &'static str {
    if pattern.as_str() == "/" { " # every path; name those that are needed" } else { "" }
}

/// Text from a request, as YAML in flow style: it comes from the agent.
#[must_use]
pub fn scalar(text: &str) -> String {
    let quoted = text.contains([',', '[', ']', '{', '}']);
    if quoted { format!("{text:?}") } else { crate::yaml::emit_value(&text.into()).trim_end().to_owned() }
}

/// Why no entry of a manifest allows what was refused with this code.
#[must_use]
pub fn why_nothing_allows(reason: &str) -> &'static str {
    match reason {
        "host_not_allowed" => {
            "no entry allows it: the host is the proxy's own, or the path is one that no entry can name"
        }
        "domain_not_allowed" | "port_not_allowed" | "plain_http" => {
            "no entry allows it: without routes, port 443 of a host is all that an entry can allow"
        }
        "git_push" => "git push is refused unless the route says what it may change, in `git.push`",
        "blocked_by_pipelock" => "no route allows it: pipelock looks into every request that it can read",
        "address_not_allowed" => {
            "the host is at a private address; `addresses` on its entry would allow that range"
        }
        _ => no_rule_refused(reason).unwrap_or("no entry allows it: the request itself is refused"),
    }
}
