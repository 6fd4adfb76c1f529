//! `cred_proxy`, the reverse proxy with path prefixes that `egress_proxy` replaces.
//!
//! The error carries the replacement for this very manifest, ready to paste. What a machine can't know is listed,
//! each with its line, and never guessed.

use super::super::findings::{Findings, quoted};
use super::super::variable::is_variable_name;
use super::recipe::{self, Credential, Replacement};
use crate::policy::{Host, PathPattern};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What becomes of the routes of a `cred_proxy`.
pub(super) struct Successors {
    /// What replaces those that a machine can migrate.
    pub(super) done: Vec<Replacement>,
    /// What is said about the roles that were dropped.
    pub(super) roles: Vec<String>,
}

/// The pointer of the list of routes, as people read it: the key's own value is one, too.
pub(super) fn base(old: &Value) -> &'static str {
    if old.is_array() { "cred_proxy" } else { "cred_proxy.routes" }
}

/// The successors of every route; those that have none are reported.
pub(super) fn successors(old: &Value, manifest: &Value, findings: &mut Findings<'_>) -> Successors {
    let mut migration = Migration {
        findings,
        taken: hosts_of(manifest),
        done: Vec::new(),
        index: BTreeMap::new(),
        roles: Vec::new(),
    };
    let routes = old.get("routes").or(Some(old)).and_then(Value::as_array);
    for (index, route) in routes.into_iter().flatten().enumerate() {
        migration.route(route, &format!("{}[{index}]", base(old)));
    }
    for key in old.as_object().into_iter().flat_map(Map::keys).filter(|key| *key != "routes") {
        migration.unknown_key(&format!("cred_proxy.{key}"), key);
    }
    Successors { done: migration.done, roles: migration.roles }
}

/// Reports the key, with the recipe for its successor.
pub(super) fn report(old: &Value, manifest: &Value, findings: &mut Findings<'_>) {
    let Successors { done, roles } = successors(old, manifest, findings);
    let standalone = manifest.get("egress_proxy").is_none();
    let dash = findings.dash_column("egress_proxy.routes[0]").unwrap_or(4);
    let span = findings.document().span_of("cred_proxy");
    let mut problem = findings.key("retired-key", "cred_proxy", "`cred_proxy` was replaced by `egress_proxy`").hint(
        "`path` and `upstream` become `host`: the agent's tools use the real URL, and no prefix on a local proxy",
    );
    if done.iter().any(|one| one.auth.is_some()) {
        problem = problem.hint("`auth_scheme` and `token_ref` become `auth: {scheme, token_ref}`");
    }
    problem = problem
        .hint("`path_allowlist` is new: an upstream with a path becomes one, elsewhere it is worth naming");
    for role in roles {
        problem = problem.hint(role);
    }
    problem = match recipe::text(&done, (!standalone).then_some(dash)) {
        _ if done.is_empty() => {
            problem.hint("nothing of it can be migrated by machine: write `egress_proxy.routes` anew")
        }
        Ok(text) => {
            let (first, last) = findings.lines(&span, "cred_proxy");
            let place = if standalone {
                format!("replace lines {first} to {last} by this")
            } else {
                format!("remove lines {first} to {last}, and add this to `egress_proxy.routes`")
            };
            problem
                .hint("`bottle migrate` does it, and keeps comments and order")
                .hint(format!("{place}:"))
                .paste(text)
        }
        Err(error) => problem.hint(format!("the recipe could not be written: {error}")),
    };
    findings.push(problem);
}

/// Hosts that the manifest has rules for already.
fn hosts_of(manifest: &Value) -> BTreeMap<Host, String> {
    let mut out = BTreeMap::new();
    for (list, base) in
        [("/egress_proxy/routes", "egress_proxy.routes"), ("/egress/allowlist", "egress.allowlist")]
    {
        for (index, item) in
            manifest.pointer(list).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let host =
                item.as_str().or_else(|| item["host"].as_str()).and_then(|text| Host::parse(text).ok());
            out.extend(host.map(|host| (host, format!("{base}[{index}]"))));
        }
    }
    out
}

/// The keys of an old route.
const KEYS: [&str; 5] = ["path", "upstream", "auth_scheme", "token_ref", "role"];

struct Migration<'f, 'd> {
    findings: &'f mut Findings<'d>,
    taken: BTreeMap<Host, String>,
    done: Vec<Replacement>,
    /// Where in `done` a host is.
    index: BTreeMap<Host, usize>,
    /// What is said about the roles that were dropped.
    roles: Vec<String>,
}

/// An `upstream`, taken apart.
struct Upstream {
    host: Host,
    port: u16,
    path: Option<String>,
}

impl Migration<'_, '_> {
    fn route(&mut self, old: &Value, pointer: &str) {
        let Some(map) = old.as_object() else {
            return self.leave(pointer, "it is not a map");
        };
        let unknown: Vec<&String> = map.keys().filter(|key| !KEYS.contains(&key.as_str())).collect();
        for key in &unknown {
            self.unknown_key(&format!("{pointer}.{key}"), key);
        }
        if !unknown.is_empty() {
            return; // without it the new rule could allow more than the old one
        }
        let Some(upstream) = old["upstream"].as_str() else {
            return self.leave(pointer, "it has no `upstream`");
        };
        let upstream = match upstream_of(upstream) {
            Ok(upstream) => upstream,
            Err(why) => return self.leave(&format!("{pointer}.upstream"), &why),
        };
        if upstream.path.iter().flat_map(|path| path.split('/')).any(|segment| segment == "*") {
            let why = "its upstream has a path with `*`, which a `path_allowlist` takes for any segment";
            return self.leave(&format!("{pointer}.upstream"), why);
        }
        let auth = match credential_of(&old["auth_scheme"], &old["token_ref"]) {
            Ok(auth) => auth,
            Err((key, why)) => return self.leave(&format!("{pointer}{key}"), &why),
        };
        if auth.is_some() && upstream.port == 80 {
            return self.leave(
                &format!("{pointer}.upstream"),
                "its upstream is plain http, and a credential is never sent over plain http: use an https upstream",
            );
        }
        self.role(&old["role"], &upstream.host);
        self.add(upstream, auth, old, pointer);
    }

    fn unknown_key(&mut self, at: &str, key: &str) {
        let message = format!("the key {} has no successor that is known", quoted(key));
        let problem = self.findings.key("not-migrated", at, message);
        self.findings.push(problem.hint("if the route needs it, look for it in the manifest's reference"));
    }

    /// Adds a replacement, merged with the one of the same host where both say the same.
    fn add(&mut self, upstream: Upstream, auth: Option<Credential>, old: &Value, pointer: &str) {
        let was = recipe::was(&old["path"], &old["upstream"]);
        if let Some((_, rule)) = self.taken.get_key_value(&upstream.host) {
            let why = format!("`{}` has a rule already, `{rule}`; one host has one rule", upstream.host);
            let (span, rule) = (self.findings.span(rule), rule.clone());
            return self.leave_beside(pointer, &why, span, &format!("`{rule}` is here"));
        }
        let Some(&index) = self.index.get(&upstream.host) else {
            self.index.insert(upstream.host.clone(), self.done.len());
            self.done.push(Replacement {
                host: upstream.host,
                ports: vec![upstream.port],
                paths: upstream.path.map(|path| vec![path]),
                auth,
                was: vec![was],
                pointer: pointer.to_owned(),
                merged: Vec::new(),
            });
            return;
        };
        let one = &mut self.done[index];
        let differs = if one.auth != auth {
            "another credential"
        } else if one.ports != [upstream.port] {
            "another port"
        } else {
            one.was.push(was);
            one.merged.push(pointer.to_owned());
            one.paths = match (one.paths.take(), upstream.path) {
                (Some(mut paths), Some(path)) => {
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                    Some(paths)
                }
                _ => None,
            };
            return;
        };
        let span = self.findings.span(&one.pointer);
        let why = format!(
            "it has {differs} than the route before it to `{}`; one host has one rule",
            upstream.host
        );
        self.leave_beside(pointer, &why, span, "the route before it");
    }

    fn role(&mut self, role: &Value, host: &Host) {
        let roles = match role {
            Value::Null => return,
            Value::Array(roles) => roles
                .iter()
                .map(|role| role.as_str().map_or_else(|| role.to_string(), str::to_owned))
                .collect(),
            Value::String(role) => vec![role.clone()],
            other => vec![other.to_string()],
        };
        for role in roles {
            let said = if role == "git-insteadof" {
                "`role: git-insteadof` is dropped: bottle makes git rewrite `git@HOST:` to https by itself, for every route".to_owned()
            } else {
                format!(
                    "the role {} is dropped: tools use https://{host}/ itself, so nothing is to be set up for them",
                    quoted(&role)
                )
            };
            if !self.roles.contains(&said) {
                self.roles.push(said);
            }
        }
    }

    fn leave(&mut self, pointer: &str, why: &str) {
        let problem = self.findings.value(
            "not-migrated",
            pointer,
            format!("this route can't be migrated by machine: {why}"),
        );
        self.findings.push(problem.hint("write its successor by hand, in `egress_proxy.routes`"));
    }

    fn leave_beside(&mut self, pointer: &str, why: &str, other: std::ops::Range<usize>, what: &str) {
        let problem = self.findings.value(
            "not-migrated",
            pointer,
            format!("this route can't be migrated by machine: {why}"),
        );
        self.findings.push(problem.label(other, what).hint("decide which of the two the agent needs"));
    }
}

fn upstream_of(text: &str) -> Result<Upstream, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("its upstream has no scheme".to_owned());
    };
    if rest.contains(['?', '#', '\\']) {
        return Err("its upstream has a query or fragment".to_owned());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("its upstream carries a user name or password".to_owned());
    }
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && !name.starts_with('[') => (name, Some(port)),
        _ => (authority, None),
    };
    let port = match (scheme.to_ascii_lowercase().as_str(), port.map(str::parse::<u16>)) {
        (_, Some(Err(_) | Ok(0))) => return Err("the port of its upstream is none".to_owned()),
        ("https", None) => 443,
        ("http", None | Some(Ok(80))) => 80,
        ("https", Some(Ok(80))) => {
            return Err("its upstream is https on port 80, where bottle speaks plain http".to_owned());
        }
        ("https", Some(Ok(port))) => port,
        ("http", Some(Ok(port))) => {
            return Err(format!(
                "its upstream is plain http on port {port}, and bottle speaks it on 80 only"
            ));
        }
        (other, _) => return Err(format!("its upstream has the scheme {}", quoted(other))),
    };
    let host = Host::parse(name).map_err(|error| format!("its upstream names no host: {error}"))?;
    let path = match path.trim_end_matches('/') {
        "" => None,
        path => match PathPattern::parse(path, false) {
            Ok(pattern) => Some(pattern.as_str().to_owned()),
            Err(error) => return Err(format!("the path of its upstream can't be allowed: {error}")),
        },
    };
    Ok(Upstream { host, port, path })
}

/// The credential, or the key that is wrong (with its dot) and why.
fn credential_of(scheme: &Value, token_ref: &Value) -> Result<Option<Credential>, (&'static str, String)> {
    let (scheme, token_ref) = match (scheme, token_ref) {
        (Value::Null, Value::Null) => return Ok(None),
        (Value::String(scheme), Value::String(token_ref)) => (scheme, token_ref),
        (Value::Null, _) => {
            return Err((".token_ref", "it has a `token_ref` without an `auth_scheme`".to_owned()));
        }
        (_, Value::Null) => {
            return Err((".auth_scheme", "it has an `auth_scheme` without a `token_ref`".to_owned()));
        }
        _ => return Err(("", "its `auth_scheme` and `token_ref` are not text".to_owned())),
    };
    if !is_variable_name(token_ref) {
        return Err((".token_ref", "its `token_ref` is not the name of an environment variable".to_owned()));
    }
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => "Bearer",
        "token" => "token",
        "basic" => {
            let why = "`Basic` needs the user name, which the old shape does not say: `auth: {scheme: Basic, username: …, token_ref: …}`";
            return Err((".auth_scheme", why.to_owned()));
        }
        _ => return Err((".auth_scheme", format!("its scheme {} is not known", quoted(scheme)))),
    };
    Ok(Some(Credential { scheme, token_ref: token_ref.clone() }))
}
