//! One route.

use super::super::findings::{Findings, quoted};
use super::super::written::{self, Item};
use super::hosts::Named;
use super::{address, auth, hosts};
use crate::policy::{HostRule, Method, PathPattern, Route};
use jiff::civil::Date;
use std::collections::HashSet;

/// Longer reasons don't fit into a denial.
const LONGEST_REASON: usize = 200;

/// A route at `pointer`, its host at `host_pointer`; the host also when the rest is wrong.
pub(super) fn route(
    written: written::Route,
    pointer: &str,
    host_pointer: &str,
    findings: &mut Findings<'_>,
) -> (Option<Named>, Option<HostRule>) {
    let written::Route {
        host,
        path_allowlist,
        methods,
        auth,
        ports,
        encoded_slash,
        inspect,
        addresses,
        reason,
        until,
    } = written;
    let named = host.and_then(|host| hosts::host(&host, pointer, host_pointer, findings));
    let encoded_slash = encoded_slash.unwrap_or(false);
    if encoded_slash && path_allowlist.is_none() {
        let message = "`encoded_slash` has no effect without a `path_allowlist`";
        let problem = findings.key("encoded-slash", &format!("{pointer}.encoded_slash"), message);
        findings.push(
            problem.hint("without one every path goes through as it is, `%2F` included; remove the key"),
        );
    }
    let path_allowlist = path_allowlist.map(|items| paths(items, encoded_slash, pointer, findings));
    let methods = methods.map(|items| self::methods(items, pointer, findings));
    let ports = self::ports(ports, pointer, findings);
    let has_auth = auth.is_some();
    let auth = auth.and_then(|written| auth::auth(written, &format!("{pointer}.auth"), findings));
    if has_auth && ports.contains(&80) {
        let problem = findings
            .key("plain-http", &format!("{pointer}.auth"), "a credential is never sent over plain http")
            .label(findings.span(&format!("{pointer}.ports")), "port 80 is plain http")
            .hint("remove port 80, or the credential");
        findings.push(problem);
    }
    let addresses = address::ranges(addresses, &format!("{pointer}.addresses"), findings);
    let reason = reason.and_then(|reason| self::reason(reason, pointer, findings));
    let until = until.and_then(|until| self::until(&until, pointer, findings));
    let rule = named.as_ref().map(|named| HostRule {
        route: Route {
            source: pointer.to_owned(),
            host: named.host.clone(),
            ports,
            methods,
            path_allowlist,
            encoded_slash,
            until,
            reason,
        },
        auth,
        inspect: inspect.unwrap_or(true),
        addresses,
    });
    (named, rule)
}

fn paths(
    items: Vec<Item<String>>,
    encoded_slash: bool,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Vec<PathPattern> {
    too_many("path_allowlist", items.len(), MOST_PATHS, pointer, findings);
    let mut out: Vec<PathPattern> = Vec::new();
    let mut seen = HashSet::new();
    for (index, text) in items.into_iter().enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{pointer}.path_allowlist[{index}]");
        match PathPattern::parse(&text, encoded_slash) {
            Ok(pattern) if !seen.insert(pattern.clone()) => {
                let problem =
                    findings.value("duplicate", &at, format!("the path {} is listed twice", quoted(&text)));
                findings.push(problem.hint("remove one of the two"));
            }
            Ok(pattern) => out.push(pattern),
            Err(error) => {
                let message = format!("{} can't be allowed: {}", quoted(&text), error.problem);
                let problem = findings.value("path", &at, message);
                findings.push(match error.canonical {
                    Some(canonical) => problem.hint(format!("write {}", quoted(&canonical))),
                    None if text.contains("://") => {
                        problem.hint("write the path alone; the host has a key of its own")
                    }
                    None => problem,
                });
            }
        }
    }
    out
}

fn methods(items: Vec<Item<String>>, pointer: &str, findings: &mut Findings<'_>) -> Vec<Method> {
    let mut out: Vec<Method> = Vec::new();
    let mut seen = HashSet::new();
    for (index, text) in items.into_iter().enumerate() {
        let Some(text) = text.0 else { continue };
        let at = format!("{pointer}.methods[{index}]");
        let shown = quoted(&text);
        let problem = match Method::parse(&text) {
            Err(_) => findings.value("method", &at, format!("{shown} is not a method")).hint("such as GET"),
            Ok(method) if method.is_never_allowed() => {
                findings.value("method", &at, format!("{shown} is never allowed")).hint("remove it")
            }
            Ok(method) => match method.probably_meant() {
                Some(meant) => findings
                    .value("method", &at, format!("{shown} is not a method that servers know"))
                    .hint(format!("methods are case-sensitive: {meant}")),
                None if !seen.insert(text.clone()) => {
                    findings.value("duplicate", &at, format!("the method {shown} is listed twice"))
                }
                None => {
                    out.push(method);
                    continue;
                }
            },
        };
        findings.push(problem);
    }
    out
}

/// A person has to read what a rule allows, and a rule is a product of its lists.
const MOST_PORTS: usize = 16;
const MOST_PATHS: usize = 2000;

fn too_many(key: &str, count: usize, most: usize, pointer: &str, findings: &mut Findings<'_>) {
    if count > most {
        let message = format!("{count} entries, and a route has {most} at most");
        let problem = findings.value("too-many", &format!("{pointer}.{key}"), message);
        findings
            .push(problem.hint("nobody can review as many; allow what lies above them, or split the bottle"));
    }
}

fn ports(items: Option<Vec<Item<u16>>>, pointer: &str, findings: &mut Findings<'_>) -> Vec<u16> {
    let Some(items) = items else { return vec![443] };
    too_many("ports", items.len(), MOST_PORTS, pointer, findings);
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for (index, port) in items.into_iter().enumerate() {
        let Some(port) = port.0 else { continue };
        if seen.insert(port) {
            out.push(port);
        } else {
            let at = format!("{pointer}.ports[{index}]");
            let problem = findings.value("duplicate", &at, format!("the port {port} is listed twice"));
            findings.push(problem);
        }
    }
    out
}

fn reason(text: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
    let message = if text.trim().is_empty() {
        "the reason is empty".to_owned()
    } else if text.chars().any(char::is_control) {
        "the reason holds a line break or a control character".to_owned()
    } else if text.chars().count() > LONGEST_REASON {
        format!("the reason is longer than {LONGEST_REASON} characters")
    } else {
        return Some(text);
    };
    let problem = findings.value("reason", &format!("{pointer}.reason"), message);
    findings.push(problem.hint("one sentence: it is shown to whoever is refused"));
    None
}

fn until(text: &str, pointer: &str, findings: &mut Findings<'_>) -> Option<Date> {
    let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if is_date { text.parse::<Date>().ok() } else { None };
    if date.is_none() {
        let message = format!("{} is not a date", quoted(text));
        let problem = findings.value("date", &format!("{pointer}.until"), message);
        findings
            .push(problem.hint("write the last day on which the rule allows anything, in UTC: 2027-03-31"));
    }
    date
}
