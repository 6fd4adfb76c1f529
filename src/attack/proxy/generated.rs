//! Counter-examples of each rule of the manifest: what is nearly what it allows.

use super::{Finding, Outcome, Proxy, allowlist::AllowedHost, must_refuse};

/// So many rules are gone through, and paths of each.
const RULES: usize = 25;
const PATHS: usize = 4;

const PATH: &str = "request what is nearly an allowed path";
const METHOD: &str = "use a method that is nearly an allowed one";
const HOST: &str = "request what is nearly an allowed host";

type Change = fn(&str) -> String;

/// Changes of a path that no reader may take for the path.
const PATH_CHANGES: [(&str, Change); 14] = [
    ("longer", |path| format!("{path}-bottle-attack")),
    ("cased", |path| swap_case(path)),
    ("dotted", |path| format!("{path}/../bottle-attack")),
    ("dotted-encoded", |path| format!("{path}/%2e%2e/bottle-attack")),
    ("dotted-slash-encoded", |path| format!("{path}/..%2fbottle-attack")),
    ("doubled-slash", |path| format!("/{path}")),
    ("single-dot", |path| format!("/.{path}")),
    ("double-encoded", |path| format!("{path}%252fbottle-attack")),
    ("slash-encoded", |path| format!("{path}%2fbottle-attack")),
    ("backslash", |path| format!("{path}\\bottle-attack")),
    ("parameter", |path| format!("{path};bottle-attack/x")),
    ("shorter", |path| path.rsplit_once('/').map_or("/", |(before, _)| before).to_owned()),
    ("fragment", |path| format!("{path}#bottle-attack")),
    ("nul", |path| format!("{path}%00bottle-attack")),
];

/// Changes of a host's name that lead to somebody else.
const HOST_CHANGES: [(&str, Change); 8] = [
    ("suffixed", |host| format!("{host}.bottle-attack.example:443")),
    ("prefixed", |host| format!("bottle-attack-{host}:443")),
    ("below", |host| format!("bottle-attack.x.{host}:443")),
    ("doubled", |host| format!("{host}.{host}:443")),
    ("dotted", |host| format!("{host}..:443")),
    ("dashed", |host| format!("{}.bottle-attack.example:443", host.replace('.', "-"))),
    ("encoded", |host| format!("{}:443", host.replacen('.', "%2e", 1))),
    ("user", |host| format!("{host}@bottle-attack.example:443")),
];

fn swap_case(text: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(swap).collect()
}

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let Ok(hosts) = proxy.hosts() else { return };
    for rule in hosts.iter().take(RULES) {
        of_host(proxy, hosts, rule, findings);
        if rule.is_askable() {
            of_methods(proxy, rule, findings);
            of_paths(proxy, rule, findings);
        }
    }
    if let Some(more) = hosts.len().checked_sub(RULES).filter(|more| *more > 0) {
        findings.push(proxy.finding(
            "generated/rest",
            "request what is nearly what further rules allow",
            |_| Ok(Outcome::NotApplicable(format!("{more} more rules are not gone through"))),
        ));
    }
}

fn of_host(proxy: &Proxy<'_>, hosts: &[AllowedHost], rule: &AllowedHost, findings: &mut Vec<Finding>) {
    let name = rule.wildcard().unwrap_or(&rule.host);
    for (change, spell) in HOST_CHANGES {
        let target = spell(name);
        let host = target.trim_end_matches(":443");
        if hosts.iter().any(|other| other.names(host)) || rule.wildcard().is_some() && change == "prefixed" {
            continue;
        }
        findings.push(proxy.finding(format!("generated/{}/host/{change}", rule.host), HOST, |_| {
            super::host::open(proxy, target.as_bytes())
        }));
    }
    for port in [80, 443, 8080, 8443].into_iter().filter(|port| !rule.ports.contains(port)) {
        findings.push(proxy.finding(format!("generated/{}/port/{port}", rule.host), HOST, |_| {
            let host = rule.wildcard().map_or_else(|| rule.host.clone(), |base| format!("a.{base}"));
            super::host::open(proxy, format!("{host}:{port}").as_bytes())
        }));
    }
}

fn of_methods(proxy: &Proxy<'_>, rule: &AllowedHost, findings: &mut Vec<Finding>) {
    let usual = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "TRACE"];
    let allows = |method: &str| rule.methods.only().is_none_or(|list| list.iter().any(|own| own == method));
    let others = usual.into_iter().filter(|method| !allows(method)).map(str::to_owned);
    let cased = rule.method().to_lowercase();
    for method in others.chain([cased]).filter(|method| !allows(method)) {
        findings.push(proxy.finding(format!("generated/{}/method/{method}", rule.host), METHOD, |mark| {
            let request = format!(
                "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                rule.target(&rule.path()),
                rule.host
            );
            Ok(must_refuse(&proxy.ask(&rule.host, request.as_bytes())?))
        }));
    }
}

fn of_paths(proxy: &Proxy<'_>, rule: &AllowedHost, findings: &mut Vec<Finding>) {
    for entry in rule.path_allowlist.only().unwrap_or_default().iter().take(PATHS) {
        let path = entry.replace('*', "x");
        if path == "/" {
            continue;
        }
        for (change, spell) in PATH_CHANGES {
            let other = spell(&path);
            // Where `%2F` may stand inside a segment, a segment with one is another path and no spelling of this one.
            let encoded = rule.encoded_slash && other.contains("%2f");
            if encoded || other == path || is_plain(&other) && rule.allows_path(&other) {
                continue;
            }
            findings.push(proxy.finding(format!("generated/{}{entry}/{change}", rule.host), PATH, |mark| {
                let request = format!(
                    "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    rule.method(),
                    rule.target(&other),
                    rule.host
                );
                Ok(must_refuse(&proxy.ask(&rule.host, request.as_bytes())?))
            }));
        }
    }
}

/// Whether a path has no second reading, so that another rule may allow it.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
}
