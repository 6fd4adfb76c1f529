//! What is allowed on one host: a product of ports, methods and paths, since a rule's parts hold independently.

use crate::config::routes::{RouteEntry, RuleError};
use crate::policy::{DenyPath, HostRule, Method, PathPattern};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is allowed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct HostCapability {
    pub(super) rule: HostRule,
    /// No egress-proxy refuses it.
    pub(super) git_push: bool,
}

/// The same as it is kept in the record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: RouteEntry,
    addresses: Vec<IpNet>,
    git_push: bool,
}

impl From<HostCapability> for Written {
    fn from(HostCapability { rule, git_push }: HostCapability) -> Self {
        Self { rule: RouteEntry::from(&rule), addresses: rule.addresses, git_push }
    }
}

impl TryFrom<Written> for HostCapability {
    type Error = RuleError;

    fn try_from(Written { rule, addresses, git_push }: Written) -> Result<Self, RuleError> {
        Ok(Self { rule: HostRule { addresses, ..rule.rule()? }, git_push })
    }
}

/// Denied paths that are shown with a grant. To leave some out says too much of what is allowed, never too little.
const SHOWN: usize = 5;

/// The requests of a host on one port and below one path.
#[derive(Clone)]
pub(super) struct Grant<'a> {
    port: u16,
    /// Nothing for every path.
    path: Option<PathPattern>,
    /// What of the path stays refused.
    denied: Vec<&'a DenyPath>,
    /// Nothing for every method.
    methods: Option<Vec<&'a Method>>,
}

impl HostCapability {
    /// Every grant that allows anything.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        let route = &self.rule.route;
        let methods: Option<Vec<&Method>> = route.methods.as_ref().map(|list| list.iter().collect());
        let paths: Vec<(Option<PathPattern>, Vec<&DenyPath>)> = match &route.path_allowlist {
            None => vec![(None, Vec::new())],
            Some(list) => list
                .iter()
                .filter(|path| !covered(&route.deny_paths, path))
                .map(|path| {
                    let within = |entry: &&DenyPath| entry.within(path).is_some();
                    (Some(path.clone()), route.deny_paths.iter().filter(within).collect())
                })
                .collect(),
        };
        route.ports.iter().flat_map(move |port| {
            let (port, methods) = (*port, methods.clone());
            let grant = move |(path, denied)| Grant { port, path, denied, methods: methods.clone() };
            paths.clone().into_iter().map(grant)
        })
    }

    /// What of `grant` this host does not already allow.
    pub(super) fn beyond<'a>(&self, grant: Grant<'a>) -> Vec<Grant<'a>> {
        let route = &self.rule.route;
        if !route.ports.contains(&grant.port) || !self.covers_path(grant.path.as_ref()) {
            return vec![grant];
        }
        let mut beyond = self.opened(&grant);
        match (&route.methods, &grant.methods) {
            (None, _) => {}
            (Some(_), None) => beyond.push(grant),
            (Some(old), Some(new)) => {
                let more: Vec<&Method> = new.iter().copied().filter(|method| !old.contains(method)).collect();
                beyond.extend((!more.is_empty()).then_some(Grant { methods: Some(more), ..grant }));
            }
        }
        beyond
    }

    fn covers_path(&self, path: Option<&PathPattern>) -> bool {
        let route = &self.rule.route;
        match (&route.path_allowlist, path) {
            (None, _) => true,
            (Some(_), None) => false,
            // An encoded slash is a property of its own, so both are read under the old side's rule.
            (Some(old), Some(new)) => PathPattern::parse(new.as_str(), route.encoded_slash)
                .is_ok_and(|new| old.iter().any(|old| old.covers(&new))),
        }
    }

    /// What of a grant this host denies and the grant does not.
    ///
    /// What an entry denies of a path is one pattern, and as for [`covers_all`](crate::policy::covers_all) no union of
    /// the new entries covers what none of them covers alone.
    fn opened<'a>(&self, grant: &Grant<'a>) -> Vec<Grant<'a>> {
        let Some(path) = &grant.path else { return Vec::new() };
        let closed = self.rule.route.deny_paths.iter().filter_map(|entry| entry.within(path));
        let opened = closed.filter(|closed| !grant.denied.iter().any(|entry| entry.covers(closed)));
        opened.map(|path| Grant { path: Some(path), ..grant.clone() }).collect()
    }
}

fn covered(denied: &[DenyPath], path: &PathPattern) -> bool {
    denied.iter().any(|entry| entry.covers(path))
}

impl Grant<'_> {
    /// `GET, HEAD https://api.example/repos/**, but not /repos/secret/**`.
    pub(super) fn describe(&self, host: &str) -> String {
        let names = |list: &Vec<&Method>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let methods = self.methods.as_ref().map_or_else(|| "any method".to_owned(), names);
        let origin = match self.port {
            443 => format!("https://{host}"),
            80 => format!("http://{host}"),
            port => format!("https://{host}:{port}"),
        };
        let path = self.path.as_ref().map(PathPattern::as_str).unwrap_or_default().trim_end_matches('/');
        format!("{methods} {origin}{path}/**{}", self.but_not())
    }

    fn but_not(&self) -> String {
        let Some(path) = &self.path else { return String::new() };
        let mut closed = self.denied.iter().filter_map(|entry| entry.within(path));
        let shown: Vec<String> = closed.by_ref().take(SHOWN).map(|path| format!("{path}/**")).collect();
        match (shown.is_empty(), closed.count()) {
            (true, _) => String::new(),
            (false, 0) => format!(", but not {}", shown.join(", ")),
            (false, more) => format!(", but not {} and {more} more", shown.join(", ")),
        }
    }
}
