//! One route.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use super::hosts::Named;
use super::paths::{PathKey, Placed, alone, paths, too_many};
use super::{address, auth, client, content, credential_hosts, hosts, push, query};
use crate::policy::{ContentRules, DenyPath, HostRule, Method, OnSecret, PathPattern, Route};
use jiff::civil::Date;
use std::collections::HashSet;

/// Longer reasons don't fit into a denial.
const LONGEST_REASON: usize = 200;

/// What becomes of a request with a secret, which pipelock must see to say it.
fn on_secret(
    dlp_action: Option<raw::HostDlpAction>,
    inspect: Option<bool>,
    pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<OnSecret> {
    let on_secret = dlp_action.map(|action| match action {
        raw::HostDlpAction::Block => OnSecret::Block,
        raw::HostDlpAction::Redact => OnSecret::Redact,
    });
    if on_secret.is_some() && inspect == Some(false) {
        let message = "`dlp_action` has no effect beside `inspect: false`";
        let problem = findings.key("dlp-action", &format!("{pointer}.dlp_action"), message);
        findings.push(problem.hint("pipelock sees nothing of such a request; remove one of the two"));
    }
    on_secret
}

/// A WebSocket begins with a GET, and what is said in it is read neither as GraphQL nor as JSON-RPC.
fn check_websocket(
    content: &ContentRules,
    methods: Option<&[Method]>,
    pointer: &str,
    findings: &mut Findings<'_>,
) {
    let at = format!("{pointer}.websocket");
    if methods.is_some_and(|methods| !methods.contains(&Method::GET)) {
        let problem =
            findings.key("websocket", &at, "a WebSocket begins with a GET, which `methods` does not allow");
        findings.push(problem.hint("add GET to `methods`, or remove `websocket`"));
    }
    let everywhere = [
        ("graphql", content.graphql.as_ref().is_some_and(|rule| rule.paths.is_none())),
        ("rpc", content.rpc.as_ref().is_some_and(|rule| rule.paths.is_none())),
    ];
    for (name, _) in everywhere.into_iter().filter(|(_, everywhere)| *everywhere) {
        let message = format!("no WebSocket passes where every request must be what `{name}` says");
        let problem = findings.key("websocket", &at, message);
        let key = format!("{pointer}.{name}");
        findings.push(problem.label(findings.span(&key), "this holds on every path").hint(format!(
            "messages are not read as it: say in its `paths` where `{name}` holds, or remove one of the two"
        )));
    }
}

/// What a route says of its hosts.
#[derive(Default)]
pub(super) struct Parsed {
    /// The host that it names, and those of a wildcard that get its credential; also when the rest is wrong.
    pub(super) named: Vec<Named>,
    /// One rule, or, for a wildcard with a credential, one without it and one for each host that gets it.
    pub(super) rules: Vec<HostRule>,
}

/// A route at `pointer`, its host at `host_pointer`.
pub(super) fn route(
    raw: raw::Route,
    pointer: &str,
    host_pointer: &str,
    findings: &mut Findings<'_>,
) -> Parsed {
    let raw::Route {
        host,
        path_allowlist,
        deny_paths,
        query,
        graphql,
        rpc,
        git,
        methods,
        auth,
        credential_hosts,
        client_credentials,
        pass_headers,
        pass_query,
        ports,
        websocket,
        encoded_slash,
        inspect,
        dlp_action,
        addresses,
        reason,
        until,
    } = raw;
    let named = host.and_then(|host| hosts::host(&host, pointer, host_pointer, findings));
    let encoded_slash = encoded_slash.unwrap_or(false);
    if encoded_slash && path_allowlist.is_none() {
        let message = "`encoded_slash` has no effect without a `path_allowlist`";
        let problem = findings.key("encoded-slash", &format!("{pointer}.encoded_slash"), message);
        findings.push(
            problem.hint("without one every path goes through as it is, `%2F` included; remove the key"),
        );
    }
    let parse = |text: &str| PathPattern::parse(text, encoded_slash);
    let written = path_allowlist.as_ref().map_or(0, Vec::len);
    let path_allowlist = path_allowlist.map(|items| paths(&ALLOWED, items, parse, pointer, findings));
    let deny_paths = deny_paths.map(|items| paths(&DENIED, items, DenyPath::parse, pointer, findings));
    // An entry that could not be read is reported already, and could be the one above a denied path.
    let readable = path_allowlist.as_ref().is_none_or(|paths| paths.len() == written);
    if let Some(denied) = deny_paths.as_ref().filter(|_| readable) {
        check_denied(denied, path_allowlist.as_deref(), encoded_slash, pointer, findings);
    }
    let query = query.map(|written| query::rules(written, pointer, findings)).unwrap_or_default();
    let allowed = match path_allowlist.as_deref() {
        _ if !readable => content::Allowed::Unknown,
        None => content::Allowed::Any,
        Some(paths) => content::Allowed::Only(paths),
    };
    let content =
        content::rules(graphql, rpc, &content::Around { pointer, allowed, encoded_slash }, findings);
    let push = push::rules(git, named.as_ref().map(|named| &named.host), pointer, findings);
    let methods = methods.map(|items| self::methods(items, pointer, findings));
    if websocket == Some(true) {
        check_websocket(&content, methods.as_deref(), pointer, findings);
    }
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
    let fields = client::Written { credentials: client_credentials, pass_headers, pass_query };
    let beside = if has_auth { client::Beside::Auth(auth.as_ref()) } else { client::Beside::Nothing };
    let client = client::fields(fields, beside, pointer, findings);
    let on_secret = on_secret(dlp_action, inspect, pointer, findings);
    let addresses = address::ranges(addresses, &format!("{pointer}.addresses"), findings);
    let reason = reason.and_then(|reason| self::reason(reason, pointer, findings));
    let until = until.and_then(|until| {
        let hint = "write the last day on which the rule allows anything, in UTC: 2027-03-31";
        date(&until, &format!("{pointer}.until"), hint, findings)
    });
    let Some(named) = named else { return Parsed::default() };
    let rule = HostRule {
        route: Route {
            source: pointer.to_owned(),
            host: named.host.clone(),
            ports,
            methods,
            path_allowlist: path_allowlist.map(alone),
            deny_paths: deny_paths.map(alone).unwrap_or_default(),
            query,
            content,
            websocket: websocket.unwrap_or(false),
            push,
            encoded_slash,
            until,
            reason,
        },
        auth,
        client,
        inspect: inspect.unwrap_or(true),
        on_secret,
        addresses,
    };
    let exact = credential_hosts::named(credential_hosts, has_auth, &named, pointer, findings);
    let rules = credential_hosts::rules(rule, &exact);
    Parsed { named: std::iter::once(named).chain(exact).collect(), rules }
}

const ALLOWED: PathKey = PathKey { name: "path_allowlist", verb: "allowed", most: 500 };
const DENIED: PathKey = PathKey { name: "deny_paths", verb: "denied", most: 200 };

/// A denied path that refuses nothing of what is allowed, or all of it, is a slip.
fn check_denied(
    denied: &[Placed<DenyPath>],
    allowed: Option<&[Placed<PathPattern>]>,
    encoded_slash: bool,
    pointer: &str,
    findings: &mut Findings<'_>,
) {
    let of_key = |findings: &Findings<'_>, message| {
        findings.key("deny-paths", &format!("{pointer}.deny_paths"), message)
    };
    let Some(allowed) = allowed else {
        let problem = of_key(findings, "`deny_paths` needs a `path_allowlist`");
        findings.push(problem.hint(
            "without one a path goes through in any spelling, so no entry could hold; `path_allowlist: [/]` allows all others",
        ));
        return;
    };
    if encoded_slash {
        let problem = of_key(findings, "`deny_paths` can't hold beside `encoded_slash`");
        findings.push(problem.hint(
            "some servers take `%2F` for `/`, so a denied path could be asked for in another spelling; list what is allowed instead",
        ));
        return;
    }
    for entry in denied {
        if !allowed.iter().any(|it| entry.path.within(&it.path).is_some()) {
            let message =
                format!("`{}` denies nothing: the `path_allowlist` allows nothing there", entry.path);
            let problem = findings.value("deny-paths", &entry.at, message);
            findings.push(problem.hint("remove it, or correct its spelling"));
        }
    }
    for it in allowed {
        if let Some(entry) = denied.iter().find(|entry| entry.path.covers(&it.path)) {
            let message = format!("`{}` allows nothing, since `deny_paths` closes all of it", it.path);
            let problem = findings
                .value("deny-paths", &it.at, message)
                .label(findings.span(&entry.at), "by this entry")
                .hint("remove one of the two");
            findings.push(problem);
        }
    }
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
                None if !seen.insert(text.clone()) => findings
                    .value("duplicate", &at, format!("the method {shown} is listed twice"))
                    .hint("remove one of the two"),
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
            findings.push(problem.hint("remove one of the two"));
        }
    }
    out
}

pub(super) fn reason(text: String, pointer: &str, findings: &mut Findings<'_>) -> Option<String> {
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
    findings.push(problem.hint("write one sentence on one line, for whoever is refused or reviews this"));
    None
}

/// A day, in the one form that there is.
pub(super) fn date(
    text: &str,
    pointer: &str,
    hint: &'static str,
    findings: &mut Findings<'_>,
) -> Option<Date> {
    let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if is_date { text.parse::<Date>().ok() } else { None };
    if date.is_none() {
        let message = format!("{} is not a date", quoted(text));
        let problem = findings.value("date", pointer, message);
        findings.push(problem.hint(hint));
    }
    date
}
