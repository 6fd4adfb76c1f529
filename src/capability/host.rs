//! What is allowed on one host: a product of ports, methods and paths, since a rule's parts hold independently.

use crate::config::routes::{RouteEntry, RuleError};
use crate::policy::{HostRule, Method, PathPattern};
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

/// The requests of a host on one port and below one path.
pub(super) struct Grant<'a> {
    port: u16,
    /// Nothing for every path.
    path: Option<&'a PathPattern>,
    /// Nothing for every method.
    methods: Option<Vec<&'a Method>>,
}

impl HostCapability {
    /// Every grant.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        let route = &self.rule.route;
        let paths: Vec<Option<&PathPattern>> = match &route.path_allowlist {
            None => vec![None],
            Some(list) => list.iter().map(Some).collect(),
        };
        let methods = || route.methods.as_ref().map(|list| list.iter().collect());
        let on = move |port: &u16| {
            let port = *port;
            paths.clone().into_iter().map(move |path| Grant { port, path, methods: methods() })
        };
        route.ports.iter().flat_map(on)
    }

    /// What of `grant` this host does not already allow.
    pub(super) fn beyond<'a>(&self, grant: Grant<'a>) -> Option<Grant<'a>> {
        let route = &self.rule.route;
        if !route.ports.contains(&grant.port) || !self.covers_path(grant.path) {
            return Some(grant);
        }
        let Some(old) = &route.methods else { return None };
        let Some(new) = grant.methods else { return Some(grant) };
        let more: Vec<&Method> = new.into_iter().filter(|method| !old.contains(method)).collect();
        (!more.is_empty()).then_some(Grant { methods: Some(more), ..grant })
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
}

impl Grant<'_> {
    /// `GET, HEAD https://api.example/repos/**`.
    pub(super) fn describe(&self, host: &str) -> String {
        let names = |list: &Vec<&Method>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let methods = self.methods.as_ref().map_or_else(|| "any method".to_owned(), names);
        let origin = match self.port {
            443 => format!("https://{host}"),
            80 => format!("http://{host}"),
            port => format!("https://{host}:{port}"),
        };
        let path = self.path.map(PathPattern::as_str).unwrap_or_default().trim_end_matches('/');
        format!("{methods} {origin}{path}/**")
    }
}
