//! What an agent may do, with names of credentials and no values.

use super::Page;
use crate::config::routes::{AnyOr, GitPush, Graphql, RouteEntry, Rpc};
use crate::policy::{DenyPath, HostRule, Method, Policy, Route};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// What an agent may do.
#[derive(Serialize)]
pub(super) struct Allowlist<'r> {
    bottle: &'r str,
    hosts: Vec<Entry<'r>>,
}

#[derive(Serialize)]
struct Entry<'r> {
    host: &'r str,
    ports: &'r [u16],
    methods: &'r [Method],
    path_allowlist: AnyOr,
    deny_paths: Vec<&'r str>,
    query: BTreeMap<&'r str, &'r [String]>,
    graphql: Option<Graphql>,
    rpc: Option<Rpc>,
    git_push: Option<GitPush>,
    websocket: bool,
    encoded_slash: bool,
    credential: Option<&'r str>,
    reason: Option<&'r str>,
    /// For the text.
    #[serde(skip)]
    allowed: Vec<String>,
}

impl<'r> Allowlist<'r> {
    pub(super) fn new<R: AsRef<HostRule>>(bottle: &'r str, policy: &'r Policy<R>) -> Self {
        Self { bottle, hosts: policy.rules().iter().map(Entry::from).collect() }
    }
}

impl<'r, R: AsRef<HostRule>> From<&'r R> for Entry<'r> {
    fn from(rule: &'r R) -> Self {
        let HostRule { route, auth, client: _, inspect: _, on_secret: _, addresses: _ } = rule.as_ref();
        let Route {
            source: _,
            host,
            ports,
            methods: _,
            path_allowlist,
            deny_paths,
            query,
            content: _, // as a config says them, and in words
            websocket,
            push: _,
            encoded_slash,
            until: _,
            reason,
        } = route;
        let RouteEntry { graphql, rpc, git_push, .. } = RouteEntry::from(rule.as_ref());
        Self {
            graphql,
            rpc,
            git_push,
            websocket: *websocket,
            encoded_slash: *encoded_slash,
            host: host.as_str(),
            ports,
            methods: route.methods(),
            path_allowlist: AnyOr::from(path_allowlist.as_deref()),
            deny_paths: deny_paths.iter().map(DenyPath::as_str).collect(),
            query: query.iter().map(|rule| (rule.name.as_str(), rule.values.as_slice())).collect(),
            credential: auth.as_ref().map(|auth| auth.token_ref.as_str()),
            reason: reason.as_deref(),
            allowed: route.allowed(),
        }
    }
}

impl Page for Allowlist<'_> {
    fn text(&self) -> String {
        let mut out = format!("What the agent of bottle {} may request; all else is refused.\n", self.bottle);
        for Entry { host, ports, credential, reason, allowed, .. } in &self.hosts {
            let usual = *ports == [443];
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            let at = if usual { String::new() } else { format!(" (ports {})", ports.join(", ")) };
            let with = credential.map(|name| format!(", the proxy adds {name}")).unwrap_or_default();
            let why = reason.map(|reason| format!(": {}", reason.escape_debug())).unwrap_or_default();
            let _ = write!(out, "\n{host}{at}{with}{why}\n");
            for entry in allowed {
                let _ = writeln!(out, "  {entry}");
            }
        }
        out.push_str(
            "\nA refusal is a 403 with X-Bottle-Verdict: deny, and its body says why; retrying does not help.\n\
             Why a request is refused: /run/bottle/bottle explain GET https://HOST/PATH\n\
             What is needed and refused, a person can allow, in bottle.yaml on the host: say the method and the URL.\n\
             git push is refused but where this page says what it may change: a person pushes. Requests are searched for secrets on top of these rules.\n",
        );
        out
    }
}
