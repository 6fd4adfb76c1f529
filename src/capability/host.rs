//! What is allowed on one host: a product of ports, methods and paths, since a rule's parts hold independently.

use super::Requests;
use crate::config::routes::{RouteEntry, RuleError};
use crate::policy::{DenyPath, HostRule, Method, OnSecret, PathPattern};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is allowed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Recorded", into = "Recorded")]
pub struct HostCapability {
    pub(super) rule: HostRule,
    /// No egress-proxy refuses it.
    pub(super) git_push: bool,
}

/// The same as it is kept in the record.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    rule: RouteEntry,
    addresses: Vec<IpNet>,
    #[serde(default)]
    on_secret: Option<OnSecret>,
    git_push: bool,
}

impl From<HostCapability> for Recorded {
    fn from(HostCapability { rule, git_push }: HostCapability) -> Self {
        Self { rule: RouteEntry::from(&rule), addresses: rule.addresses, on_secret: rule.on_secret, git_push }
    }
}

impl TryFrom<Recorded> for HostCapability {
    type Error = RuleError;

    fn try_from(Recorded { rule, addresses, on_secret, git_push }: Recorded) -> Result<Self, RuleError> {
        Ok(Self { rule: HostRule { on_secret, addresses, ..rule.rule()? }, git_push })
    }
}

/// The requests of a host on one port and below one path.
#[derive(Clone)]
pub(super) struct Grant {
    port: u16,
    /// Nothing for every path.
    path: Option<PathPattern>,
    /// What of the path stays refused.
    denied: Vec<DenyPath>,
    /// Nothing for the usual methods.
    methods: Option<Vec<Method>>,
}

impl Grant {
    fn methods(&self) -> &[Method] {
        self.methods.as_deref().unwrap_or(Method::USUAL)
    }
}

impl HostCapability {
    /// Every grant that allows anything.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant> {
        let route = &self.rule.route;
        let paths: Vec<(Option<PathPattern>, Vec<DenyPath>)> = match &route.path_allowlist {
            None => vec![(None, Vec::new())],
            Some(list) => list
                .iter()
                .filter(|path| !covered(&route.deny_paths, path))
                .map(|path| {
                    let within = |entry: &&DenyPath| entry.within(path).is_some();
                    (Some(path.clone()), route.deny_paths.iter().filter(within).cloned().collect())
                })
                .collect(),
        };
        route.ports.iter().flat_map(move |port| {
            let grant = |(path, denied)| Grant { port: *port, path, denied, methods: route.methods.clone() };
            paths.clone().into_iter().map(grant)
        })
    }

    /// What of `grant` this host does not already allow.
    pub(super) fn beyond(&self, grant: Grant) -> Vec<Grant> {
        let route = &self.rule.route;
        if !route.ports.contains(&grant.port) || !self.covers_path(grant.path.as_ref()) {
            return vec![grant];
        }
        let mut beyond = self.opened(&grant);
        let more: Vec<Method> =
            grant.methods().iter().filter(|method| !route.allows_method(method)).cloned().collect();
        if !more.is_empty() {
            // What the other side allows of the usual methods is said with them.
            let methods = grant.methods.as_ref().map(|_| more);
            beyond.push(Grant { methods, ..grant });
        }
        beyond
    }

    /// What of a grant that it does not allow as a whole this host allows, path by path.
    fn part_of(&self, grant: &Grant) -> Vec<PathPattern> {
        let route = &self.rule.route;
        let methods = grant.methods().iter().all(|method| route.allows_method(method));
        if !methods || !route.ports.contains(&grant.port) {
            return Vec::new();
        }
        let within = |path: &&PathPattern| grant.path.as_ref().is_none_or(|around| around.covers(path));
        let open = |path: &&PathPattern| !covered(&route.deny_paths, path);
        route.path_allowlist.iter().flatten().filter(within).filter(open).cloned().collect()
    }

    /// Which methods this host allows of a grant of the usual ones, on all of its path.
    fn methods_of(&self, grant: &Grant) -> Vec<Method> {
        let route = &self.rule.route;
        let is_all = grant.methods.is_none()
            && route.ports.contains(&grant.port)
            && self.covers_path(grant.path.as_ref())
            && grant.path.as_ref().is_none_or(|path| !covered(&route.deny_paths, path));
        Method::USUAL.iter().filter(|method| is_all && route.allows_method(method)).cloned().collect()
    }

    /// A grant with what goes with this host's requests. `other` is the host on the other side.
    pub(super) fn requests(&self, grant: Grant, other: Option<&Self>) -> Requests {
        let part = other.map(|other| other.part_of(&grant)).unwrap_or_default();
        let part_methods = other.map(|other| other.methods_of(&grant)).unwrap_or_default();
        let Grant { port, path, denied, methods } = grant;
        let HostRule { route, auth, .. } = &self.rule;
        let within = |path: &PathPattern| denied.iter().filter_map(|entry| entry.within(path)).collect();
        Requests {
            host: route.host.to_string(),
            port,
            methods,
            except: path.as_ref().map(within).unwrap_or_default(),
            path,
            part,
            part_methods,
            credential: auth.as_ref().map(|auth| auth.token_ref.clone()),
            query: Box::new(route.query_values()),
            content: Box::new(route.content.allowed()),
            until: route.until,
        }
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
    fn opened(&self, grant: &Grant) -> Vec<Grant> {
        let Some(path) = &grant.path else { return Vec::new() };
        let closed = self.rule.route.deny_paths.iter().filter_map(|entry| entry.within(path));
        let opened = closed.filter(|closed| !grant.denied.iter().any(|entry| entry.covers(closed)));
        opened.map(|path| Grant { path: Some(path), ..grant.clone() }).collect()
    }
}

fn covered(denied: &[DenyPath], path: &PathPattern) -> bool {
    denied.iter().any(|entry| entry.covers(path))
}

/// The hosts that are sent a token.
pub(super) fn holders(hosts: &BTreeMap<String, HostCapability>, token: &str) -> Vec<String> {
    let holds = |host: &HostCapability| host.rule.auth.as_ref().is_some_and(|it| it.token_ref == token);
    hosts.iter().filter(|(_, host)| holds(host)).map(|(name, _)| name.clone()).collect()
}
