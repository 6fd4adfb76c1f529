//! Which hosts of a wildcard get its credential: each one that is named, and no other.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::hosts::Named;
use crate::policy::{ClientCredentials, ClientFields, Host, HostRule, Route};

/// A person has to read where a credential goes.
const MOST: usize = 50;

/// Reads the key beside the route's host.
pub(super) fn named(
    items: Option<Vec<Item<String>>>,
    has_auth: bool,
    host: &Named,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<Named> {
    let key = format!("{pointer}.credential_hosts");
    let wildcard = &host.host;
    let Some(items) = items else {
        if has_auth && wildcard.is_wildcard() {
            let message = format!("a credential is never sent to every host that `{wildcard}` matches");
            let problem = findings.key("credential-hosts", &format!("{pointer}.auth"), message);
            findings
                .push(problem.hint(
                    "name each host that gets it in `credential_hosts`, or give it a route of its own",
                ));
        }
        return Vec::new();
    };
    if !has_auth || !wildcard.is_wildcard() {
        let message = if has_auth {
            "`credential_hosts` has no effect: the route names one host, which gets the credential"
        } else {
            "`credential_hosts` has no effect without `auth`"
        };
        let problem = findings.key("credential-hosts", &key, message);
        findings.push(problem.hint("remove the key"));
        return Vec::new();
    }
    if items.len() > MOST {
        let message = format!("{} entries, and a route has {MOST} at most", items.len());
        let problem = findings.value("too-many", &key, message);
        findings.push(problem.hint("nobody can review as many"));
    }
    let mut out: Vec<Named> = Vec::new();
    for (index, text) in items.into_iter().take(MOST).enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{key}[{index}]");
        match Host::parse(&text) {
            Ok(exact) if wildcard.matches(&exact) => {
                // One that is there twice is reported with all other hosts.
                out.push(Named { host: exact.into(), pointer: pointer.to_owned(), host_pointer: at });
            }
            Ok(exact) => {
                let message = format!("`{exact}` is not a host that `{wildcard}` matches");
                let problem = findings.value("credential-hosts", &at, message);
                findings.push(
                    problem.hint("a wildcard is exactly one label; give another host a route of its own"),
                );
            }
            Err(error) => {
                let message = format!("{} is not a host: {error}", quoted(&text));
                let problem = findings.value("credential-hosts", &at, message);
                findings.push(problem.hint("write the whole name of one host: eu.cdn.example"));
            }
        }
    }
    out
}

/// The rule as it is for hosts that are named, and for all others, which get no credential and for which the agent has
/// none.
pub(super) fn rules(rule: HostRule, exact: &[Named]) -> Vec<HostRule> {
    if rule.auth.is_none() || !rule.route.host.is_wildcard() {
        return vec![rule];
    }
    let with = |named: &Named| HostRule {
        route: Route { host: named.host.clone(), ..rule.route.clone() },
        ..rule.clone()
    };
    let mut rules: Vec<HostRule> = exact.iter().map(with).collect();
    let client = ClientFields { credentials: ClientCredentials::Strip, ..rule.client.clone() };
    rules.push(HostRule { auth: None, client, ..rule });
    rules
}
