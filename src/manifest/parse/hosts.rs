//! Hosts: what was meant by what is none, and the rules between the hosts of a manifest.

use super::super::findings::{Findings, quoted};
use super::super::schema_check::flow;
use crate::diagnostic::Diagnostic;
use crate::policy::{
    ClientCredentials, ContentRules, Host, HostError, HostPattern, HostPatternError, HostRule, Route,
};
use serde_json::json;
use std::collections::BTreeMap;

/// A host, and where it stands.
pub(super) struct Named {
    pub(super) host: HostPattern,
    /// Of the route or entry.
    pub(super) pointer: String,
    /// Of the host's text.
    pub(super) host_pointer: String,
}

/// Reads the host that stands at `host_pointer`, in the route or entry at `pointer`.
pub(super) fn host(
    text: &str,
    pointer: &str,
    host_pointer: &str,
    findings: &mut Findings<'_>,
) -> Option<Named> {
    match HostPattern::parse(text) {
        Ok(host) if host.is_internal() => {
            let message = format!("`{host}` is the proxy's own name");
            let problem = findings.value("host", host_pointer, message);
            findings.push(problem.hint("every agent reaches it without a rule: remove this one"));
            None
        }
        Ok(host) if host.is_loopback() => {
            let message = format!("`{host}` would be the proxy's own container, which is never allowed");
            let problem = findings.value("host", host_pointer, message);
            findings.push(problem.hint(
                "give the origin a name of its own, and say `addresses: [RANGE]` if its address is private",
            ));
            None
        }
        Ok(host) => Some(Named { host, pointer: pointer.to_owned(), host_pointer: host_pointer.to_owned() }),
        Err(error) => {
            let problem =
                findings.value("host", host_pointer, format!("{} is not a host: {error}", quoted(text)));
            findings.push(advise(problem, text, &error));
            None
        }
    }
}

fn advise(problem: Diagnostic, text: &str, error: &HostPatternError) -> Diagnostic {
    if let Some(meant) = meant(text) {
        return problem.hint(format!("probably meant: {meant}"));
    }
    match error {
        HostPatternError::Everything | HostPatternError::Short(_) => {
            problem.hint("name each host, or the domain of one owner: `*.cdn.example` is every host one label below it")
        }
        HostPatternError::Place => {
            problem.hint("`*.cdn.example` is every host one label below it; name every other host")
        }
        HostPatternError::Host(HostError::IpLiteral(_)) => problem
            .hint("give the origin a name; if its address is private, say so with `addresses: [RANGE]` on its route"),
        HostPatternError::Host(HostError::Character('_')) => problem.hint("names of hosts have no underscores; is this a service's name?"),
        _ => problem.hint("write the name alone: api.example.com"),
    }
}

/// A URL or authority, taken apart into the keys of a route. A password in it is not repeated.
fn meant(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (userinfo, authority) = match authority.rsplit_once('@') {
        Some((userinfo, authority)) => (Some(userinfo), authority),
        None => (None, authority),
    };
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (authority, None),
    };
    let host = Host::parse(name).ok()?;
    let port = port.or(if scheme.as_deref() == Some("http") { Some(80) } else { None });
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let mut keys = vec![format!("host: {host}")];
    if !path.is_empty() {
        keys.push(format!("path_allowlist: {}", flow(&json!([path]))));
    }
    if let Some(port) = port.filter(|port| *port != 443) {
        keys.push(format!("ports: [{port}]"));
    }
    if userinfo.is_some_and(|userinfo| userinfo.contains(':')) {
        keys.push("and the credential as `auth: {scheme: Basic, username: …, token_ref: …}`".to_owned());
    }
    Some(keys.join(", "))
}

/// One host, one rule: two of them would leave open which one decides.
pub(super) fn check_duplicates(hosts: &[Named], findings: &mut Findings<'_>) {
    let mut first: BTreeMap<&str, &Named> = BTreeMap::new();
    for named in hosts {
        let Some(earlier) = first.get(named.host.as_str()) else {
            first.insert(named.host.as_str(), named);
            continue;
        };
        let bare = named.pointer.starts_with("egress.") && earlier.pointer.starts_with("egress_proxy.");
        let message = if bare {
            format!("`{}` is in the allowlist and is a route too", named.host)
        } else {
            format!("the host `{}` is listed twice", named.host)
        };
        let hint =
            if bare { "remove it from the allowlist; its route decides" } else { "merge the two into one" };
        let problem = findings
            .value("duplicate-host", &named.host_pointer, message)
            .label(findings.span(&earlier.host_pointer), "first here")
            .hint(hint);
        findings.push(problem);
    }
}

/// Without routes there is no egress-proxy, and pipelock knows hosts only.
pub(super) fn check_without_routes(allowlist: &[HostRule], findings: &mut Findings<'_>) {
    for rule in allowlist {
        let HostRule { route, auth, client, inspect: _, on_secret: _, addresses: _ } = rule;
        let Route {
            source,
            host: _,
            ports,
            methods,
            path_allowlist,
            deny_paths,
            query,
            content: ContentRules { graphql, rpc },
            websocket,
            push,
            encoded_slash,
            until,
            reason: _,
        } = route;
        let unenforceable = [
            ("path_allowlist", path_allowlist.is_some()),
            ("deny_paths", !deny_paths.is_empty()),
            ("methods", methods.is_some()),
            ("query", !query.is_empty()),
            ("graphql", graphql.is_some()),
            ("rpc", rpc.is_some()),
            ("websocket", *websocket),
            ("git", push.is_some()),
            ("auth", auth.is_some()),
            ("client_credentials", client.credentials == ClientCredentials::Strip && auth.is_none()),
            ("pass_headers", !client.pass_headers.is_empty()),
            ("pass_query", !client.pass_query.is_empty()),
            ("ports", *ports != [443]),
            ("encoded_slash", *encoded_slash),
            ("until", until.is_some()),
        ];
        for (key, _) in unenforceable.into_iter().filter(|(_, is_set)| *is_set) {
            let pointer = format!("{source}.{key}");
            let problem = findings
                .key("without-routes", &pointer, format!("`{key}` has no effect in a bottle without routes"))
                .hint("only egress-proxy can enforce it: move the entry to `egress_proxy.routes`");
            findings.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_shows_what_was_meant() {
        let cases = [
            ("https://x.test/z", Some("host: x.test, path_allowlist: [/z]")),
            ("https://x.test", Some("host: x.test")),
            ("HTTP://X.test/", Some("host: x.test, ports: [80]")),
            ("x.test:8443", Some("host: x.test, ports: [8443]")),
            ("x.test/a/b?c=d", Some("host: x.test, path_allowlist: [/a/b]")),
            ("git@x.test", Some("host: x.test")),
            (
                "https://me:pw@x.test/a",
                Some(
                    "host: x.test, path_allowlist: [/a], and the credential as `auth: {scheme: Basic, username: …, token_ref: …}`",
                ),
            ),
            ("*.x.test", None),
            ("10.0.0.1:80", None),
            ("[::1]:80", None),
            ("x.test:99999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(meant(text).as_deref(), expected, "{text}");
        }
    }
}
