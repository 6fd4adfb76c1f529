//! Which host a request is for.

use super::super::client::{connect, dial};
use super::{Finding, NOWHERE, Outcome, Proxy, Row, must_refuse, refused, row, tunnelled, written};
use crate::stack::{ADMIN, PIPELOCK_PORT, service};

/// Targets of a CONNECT that lead nowhere, and what they try.
const TARGETS: &[(&str, &str, &str)] = &[
    ("another-host", "request a host that no rule names", "{mark}.bottle-attack.example:443"),
    ("suffix", "append a domain to an allowed host (CrabTrap PR 43)", "{host}.{mark}.example:443"),
    ("prefix", "stand before an allowed host without a dot", "{mark}{host}:443"),
    ("below", "stand below an allowed host", "{mark}.a.{host}:443"),
    ("userinfo", "put an allowed host before an `@`", "{host}@{mark}.example:443"),
    ("userinfo-port", "put an allowed host and port before an `@`", "{host}:443@{mark}.example:443"),
    ("userinfo-behind", "put a user before an allowed host", "{mark}@{host}:443"),
    ("two-dots", "end a host with two dots (smokescreen CVE-2022-24825)", "{host}..:443"),
    ("leading-dot", "begin a host with a dot", ".{host}:443"),
    ("inner-dots", "put an empty label into a host", "{mark}..{host}:443"),
    ("brackets", "put a name in brackets (smokescreen CVE-2022-29188)", "[{host}]:443"),
    ("open-bracket", "open a bracket only", "[{host}:443"),
    ("nul", "end a name with NUL", "{host}\0.{mark}.example:443"),
    ("escaped-nul", "end a name with an escaped NUL", "{host}%00.{mark}.example:443"),
    ("escaped-dot", "escape the dot of a name", "{host}%2e{mark}.example:443"),
    ("escaped-letter", "escape a letter of a name", "%61{host}:443"),
    ("tab", "put a tab into a name", "{host}\t.{mark}.example:443"),
    ("space", "put a space into a name", "{host} .{mark}.example:443"),
    ("delete", "put DEL into a name", "{host}\x7f.{mark}.example:443"),
    ("number-sign", "put a fragment behind an allowed host", "{host}#.{mark}.example:443"),
    ("question-mark", "put a query behind an allowed host", "{host}?.{mark}.example:443"),
    ("slash", "put a path behind an allowed host", "{host}/.{mark}.example:443"),
    ("backslash", "put a backslash behind an allowed host", "{host}\\.{mark}.example:443"),
    ("comma", "name two hosts", "{host},{mark}.example:443"),
    ("semicolon", "put a parameter behind an allowed host", "{host};.{mark}.example:443"),
    ("quote", "put a name in quotes", "\"{host}\":443"),
    ("underscore", "use a character that no host has", "_{mark}.{host}:443"),
    ("wildcard", "ask for a wildcard", "*.{host}:443"),
    ("wildcard-alone", "ask for every host", "*:443"),
    ("asterisk", "ask for `*`", "*"),
    ("slash-alone", "ask for a path", "/{mark}"),
    ("absolute", "ask for a URL", "https://{host}:443/{mark}"),
    ("absolute-http", "ask for a URL of plain http", "http://{mark}.example/"),
    ("no-port", "leave the port away", "{mark}.example"),
    ("empty-port", "leave the port empty", "{mark}.example:"),
    ("no-host", "leave the host away", ":443"),
    ("port-zero", "ask for port 0", "{host}:0"),
    ("port-wraps", "ask for a port that wraps around to 443", "{host}:65979"),
    ("port-negative", "ask for a negative port", "{host}:-443"),
    ("port-plus", "ask for a port with a sign", "{host}:+443"),
    ("port-hex", "ask for a port in hex", "{host}:0x1bb"),
    ("two-ports", "name two ports", "{host}:443:22"),
    (
        "long-label",
        "use a label of 64 letters",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.{host}:443",
    ),
    ("full-width-dot", "use the full-width dot", "{host}。{mark}.example:443"),
    ("cyrillic", "use a letter that looks like another", "а{host}:443"),
    ("soft-hyphen", "use a character that is not shown", "{host}\u{ad}:443"),
    ("no-utf-8", "use a byte that is no UTF-8", "{host}{ff}:443"),
    ("loopback", "reach loopback", "127.0.0.1:443"),
    ("loopback-short", "reach loopback by its short form", "127.1:443"),
    ("loopback-hex", "reach loopback in hex", "0x7f000001:443"),
    ("loopback-octal", "reach loopback in octal", "017700000001:443"),
    ("loopback-decimal", "reach loopback as one number", "2130706433:443"),
    ("loopback-mixed", "reach loopback in mixed notation", "0x7f.0.0.01:443"),
    ("loopback-v6", "reach loopback over IPv6", "[::1]:443"),
    ("loopback-mapped", "reach loopback through a mapped address", "[::ffff:127.0.0.1]:443"),
    ("loopback-nat64", "reach loopback through NAT64", "[64:ff9b::7f00:1]:443"),
    ("loopback-6to4", "reach loopback through 6to4", "[2002:7f00:1::]:443"),
    ("this-host", "reach 0.0.0.0", "0.0.0.0:443"),
    ("zero", "reach 0", "0:443"),
    ("metadata", "reach the metadata of a cloud", "169.254.169.254:80"),
    ("metadata-443", "reach the metadata of a cloud on 443", "169.254.169.254:443"),
    ("metadata-hex", "reach the metadata of a cloud in hex", "0xa9fea9fe:443"),
    ("metadata-decimal", "reach the metadata of a cloud as one number", "2852039166:443"),
    ("metadata-octal", "reach the metadata of a cloud in octal", "0251.0376.0251.0376:443"),
    ("metadata-v6", "reach the metadata of a cloud over IPv6", "[fd00:ec2::254]:443"),
    ("metadata-name", "reach the metadata of a cloud by name", "metadata.google.internal:443"),
    ("private-10", "reach a private network", "10.0.0.1:443"),
    ("private-172", "reach a bridge of a container engine", "172.17.0.1:443"),
    ("private-192", "reach a home network", "192.168.0.1:443"),
    ("shared", "reach a provider's shared network", "100.64.0.1:443"),
    ("unique-local", "reach a private network over IPv6", "[fd00::1]:443"),
    ("link-local", "reach a link over IPv6 by its zone", "[fe80::1%25eth0]:443"),
    ("public", "reach a public address", "1.1.1.1:443"),
    ("public-v6", "reach a public address over IPv6", "[2606:4700:4700::1111]:443"),
    ("localhost", "reach localhost by name", "localhost:443"),
    ("localhost-below", "reach a name below localhost", "{mark}.localhost:443"),
    ("engine-host", "reach the machine of the engine by name", "host.docker.internal:443"),
    ("cluster", "reach the API of a cluster by name", "kubernetes.default.svc:443"),
    ("onion", "reach a hidden service", "{mark}.onion:443"),
    ("single-label", "reach a name without a dot", "{mark}:443"),
];

/// Ports of an allowed host, none of which rules usually have.
const PORTS: [u16; 8] = [22, 25, 2375, 3306, 5432, 6379, 9100, 11211];

const INSIDE: &[Row] = &[
    row(
        "another-host",
        "name another host in `Host` than in CONNECT",
        "{method} {target} HTTP/1.1\r\nHost: {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "another-port",
        "name another port in `Host` than in CONNECT",
        "{method} {target} HTTP/1.1\r\nHost: {host}:8443\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "plain-port",
        "name port 80 in `Host`",
        "{method} {target} HTTP/1.1\r\nHost: {host}:80\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "missing",
        "say no `Host`",
        "{method} {target} HTTP/1.1\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "empty",
        "say an empty `Host`",
        "{method} {target} HTTP/1.1\r\nHost:\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "twice",
        "say `Host` twice",
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nHost: {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "twice-behind",
        "say `Host` twice, the allowed one last",
        "{method} {target} HTTP/1.1\r\nHost: {mark}.example\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "twice-the-same",
        "say the same `Host` twice",
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "list",
        "say a list of hosts",
        "{method} {target} HTTP/1.1\r\nHost: {host}, {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "userinfo",
        "put an allowed host before an `@` in `Host`",
        "{method} {target} HTTP/1.1\r\nHost: {host}@{mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "number-sign",
        "put a fragment into `Host`",
        "{method} {target} HTTP/1.1\r\nHost: {mark}.example#{host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "brackets",
        "put `Host` in brackets",
        "{method} {target} HTTP/1.1\r\nHost: [{host}]\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "nul",
        "end `Host` with NUL",
        "{method} {target} HTTP/1.1\r\nHost: {host}\0.{mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "two-dots",
        "end `Host` with two dots",
        "{method} {target} HTTP/1.1\r\nHost: {host}..\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "no-ascii",
        "put a byte into `Host` that is no ASCII",
        "{method} {target} HTTP/1.1\r\nHost: {host}{ff}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "space-before-colon",
        "put a space behind the name `Host`",
        "{method} {target} HTTP/1.1\r\nHost : {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "folded",
        "fold `Host` over two lines",
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\n .{mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "address",
        "name an address in `Host`",
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute",
        "ask for another host in the target (hudsucker #103)",
        "{method} https://{mark}.example{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-plain",
        "ask for plain http in the target",
        "{method} http://{host}{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-port",
        "ask for another port in the target",
        "{method} https://{host}:8443{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-userinfo",
        "put a user into the target",
        "{method} https://{mark}@{host}{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-userinfo-host",
        "put an allowed host before an `@` in the target",
        "{method} https://{host}@{mark}.example{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-backslash",
        "put a backslash behind an allowed host in the target",
        "{method} https://{host}\\@{mark}.example{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "absolute-scheme",
        "ask with another scheme in the target",
        "{method} ftp://{host}{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "nested-connect",
        "open a tunnel in the tunnel",
        "CONNECT {mark}.example:443 HTTP/1.1\r\nHost: {mark}.example:443\r\n\r\n",
    ),
    row(
        "authority-form",
        "ask for a host and port without CONNECT",
        "{method} {mark}.example:443 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
];

/// Requests on the proxy connection itself.
const OUTSIDE: &[Row] = &[
    row(
        "another-host",
        "ask for a host over plain http",
        "GET http://{mark}.example/ HTTP/1.1\r\nHost: {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "allowed-host",
        "ask for an allowed host over plain http",
        "GET http://{host}:8080{target} HTTP/1.1\r\nHost: {host}:8080\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "https",
        "ask for https without a tunnel",
        "GET https://{host}{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "origin-form",
        "ask the proxy as if it were an origin",
        "GET /{mark} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row(
        "metrics",
        "ask the proxy for its metrics",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ),
    row(
        "control-port",
        "ask for the control port",
        "GET http://127.0.0.1:9100/metrics HTTP/1.1\r\nHost: 127.0.0.1:9100\r\nConnection: close\r\n\r\n",
    ),
    row(
        "ftp",
        "ask for ftp",
        "GET ftp://{mark}.example/ HTTP/1.1\r\nHost: {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "asterisk",
        "ask for the options of the proxy",
        "OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
    row("preface", "begin HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    row(
        "no-host",
        "say no `Host` to the proxy",
        "GET http://{mark}.example/ HTTP/1.1\r\nConnection: close\r\n\r\n",
    ),
    row(
        "internal-user",
        "put the proxy's own name before an `@`",
        "GET http://bottle.internal@{mark}.example/ HTTP/1.1\r\nHost: {mark}.example\r\nConnection: close\r\n\r\n",
    ),
    row(
        "internal-host",
        "name the proxy's own host beside another",
        "GET http://{mark}.example/ HTTP/1.1\r\nHost: bottle.internal\r\nConnection: close\r\n\r\n",
    ),
    row(
        "connect-body",
        "give a CONNECT a body",
        "CONNECT {mark}.example:443 HTTP/1.1\r\nHost: {mark}.example:443\r\nContent-Length: 4\r\n\r\nbody",
    ),
    row(
        "connect-version",
        "open a tunnel with HTTP/3.0",
        "CONNECT {host}:443 HTTP/3.0\r\nHost: {host}:443\r\nUser-Agent: {mark}\r\n\r\n",
    ),
    row("http-0.9", "speak HTTP/0.9", "GET /{mark}\r\n\r\n"),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let usual = proxy.usual();
    findings.extend(TARGETS.iter().map(|(name, tried, target)| {
        proxy.finding(format!("host/connect/{name}"), tried, |mark| {
            let allowed = usual.as_ref().map_err(Clone::clone)?;
            open(proxy, &written(target, allowed, mark))
        })
    }));
    findings.extend(PORTS.iter().map(|port| {
        proxy.finding(format!("host/port/{port}"), "reach another port of an allowed host", |_| {
            let allowed = usual.as_ref().map_err(Clone::clone)?;
            if allowed.rule.ports.contains(port) {
                return Err(Outcome::NotApplicable("a rule names that port".into()));
            }
            open(proxy, format!("{}:{port}", allowed.host).as_bytes())
        })
    }));
    let services = [
        ADMIN.to_string(),
        format!("{}:{PIPELOCK_PORT}", service::PIPELOCK),
        format!("localhost:{}", ADMIN.port()),
    ];
    findings.extend(services.iter().map(|target| {
        proxy.finding(format!("host/service/{target}"), "reach a control port through the proxy", |_| {
            open(proxy, target.as_bytes())
        })
    }));
    proxy.rows("host/inside", INSIDE, &usual, findings);
    findings.extend(OUTSIDE.iter().map(|row| {
        proxy.finding(format!("host/outside/{}", row.name), row.tried, |mark| {
            let allowed = usual.as_ref().map_err(Clone::clone)?;
            proxy.plain(&written(row.request, allowed, mark))
        })
    }));
    findings.push(proxy.finding("host/sni", "name another host in TLS than in CONNECT", |mark| {
        let allowed = usual.as_ref().map_err(Clone::clone)?;
        let (address, config) = proxy.reach()?;
        let other = format!("{mark}.example");
        let request = format!("GET / HTTP/1.1\r\nHost: {other}\r\nConnection: close\r\n\r\n");
        let authority = format!("{}:443", allowed.host);
        let tried = tunnelled(address, &authority, &other, config, request.as_bytes());
        Ok(must_refuse(&tried.map_err(|e| Outcome::NotTried(e.to_string()))?))
    }));
    findings.push(proxy.finding("host/not-tls", "speak something else than TLS in a tunnel", |mark| {
        let host = &usual.as_ref().map_err(Clone::clone)?.host;
        let (address, _) = proxy.reach()?;
        let request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\nSSH-2.0-{mark}\r\n");
        let answer =
            super::plain(address, request.as_bytes()).map_err(|e| Outcome::NotTried(e.to_string()))?;
        // A 200 for the CONNECT is right; what must not follow is a peer that speaks.
        Ok(if answer.body.is_empty() || answer.body.contains("bottle: ") {
            Outcome::Held("the tunnel was closed".into())
        } else {
            Outcome::Broken("something answered in the tunnel".into())
        })
    }));
    wildcards(proxy, findings);
}

/// A tunnel to what belongs to nobody: CONNECT is refused, or the request in it.
pub(super) fn open(proxy: &Proxy<'_>, target: &[u8]) -> Result<Outcome, Outcome> {
    let (address, config) = proxy.reach()?;
    let untried = |e: std::io::Error| Outcome::NotTried(e.to_string());
    let mut stream = dial(address).map_err(untried)?;
    let head = [b"CONNECT ", target, b" HTTP/1.1\r\nHost: ", NOWHERE.as_bytes(), b":443\r\n\r\n"].concat();
    let answer = connect(&mut stream, &head).map_err(untried)?;
    if answer.status != 200 {
        return Ok(refused(&answer));
    }
    let target = String::from_utf8_lossy(target);
    // What is no name has no request inside in which it could be refused.
    let Some((host, "443")) = target.rsplit_once(':').filter(|(host, _)| is_name(host)) else {
        return Ok(Outcome::Broken(format!("a tunnel to {target} opened")));
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    match tunnelled(address, &target, host, config, request.as_bytes()) {
        Ok(tunnelled) => Ok(must_refuse(&tunnelled)),
        // Not even TLS has a name for it, and CONNECT had.
        Err(error) => Ok(Outcome::Broken(format!("a tunnel to {target} opened, where {error}"))),
    }
}

/// Letters, digits and hyphens in labels, of which the last is no number.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(label)
        && !last.starts_with("0x")
        && !last.bytes().all(|b| b.is_ascii_digit())
}

fn wildcards(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let base = proxy.hosts().and_then(|hosts| {
        let mut wildcards =
            hosts.iter().filter(|host| host.ports.contains(&443)).filter_map(|it| it.wildcard());
        wildcards.next().ok_or_else(|| Outcome::NotApplicable("no rule has a wildcard".into()))
    });
    let ask = |host: &str, mark: &str| {
        if proxy.hosts()?.iter().any(|rule| rule.names(host)) {
            return Err(Outcome::NotApplicable("a rule of its own names that host".into()));
        }
        let request = format!("GET /{mark} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Ok(must_refuse(&proxy.ask(host, request.as_bytes())?))
    };
    for (name, tried, before) in [
        ("depth", "request a host two labels below a wildcard", "a.bottle-attack."),
        ("itself", "request the host behind a wildcard", ""),
        ("no-dot", "request a host whose name ends with a wildcard's", "bottle-attack-"),
    ] {
        findings.push(proxy.finding(format!("host/wildcard/{name}"), tried, |mark| {
            ask(&format!("{before}{}", base.clone()?), mark)
        }));
    }
    let tried = "carry bytes out in the label of a wildcard";
    findings.push(proxy.finding("host/wildcard/label", tried, |mark| {
        let host = format!("{}.{}", "b0771ea77ac4d3f9".repeat(2), base.clone()?);
        let request = format!("GET /{mark} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        Ok(must_refuse(&proxy.ask(&host, request.as_bytes())?))
    }));
}
