//! Attempts through the proxy: what it must refuse, and with which reason.

use super::client::{ProxyAnswer, Tunnelled, plain, tls_config, tunnelled};
use super::{AgentEnvironment, Check, Outcome};
use crate::stack::{ADMIN, PIPELOCK_PORT, service};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

pub(super) const CHECKS: &[Check] = &[
    // The control: where nothing is let through, a refusal proves nothing.
    Check {
        name: "proxy/control",
        tried: "request what is allowed, so that refusals mean something",
        attempt: control,
    },
    Check { name: "proxy/another-host", tried: "request a host that no rule names", attempt: another_host },
    Check {
        name: "proxy/another-path",
        tried: "request a path outside the allowlist",
        attempt: another_path,
    },
    Check {
        name: "proxy/dot-segments",
        tried: "leave an allowed path through an encoded `..`",
        attempt: dot_segments,
    },
    Check { name: "proxy/another-port", tried: "reach port 22 of an allowed host", attempt: another_port },
    Check {
        name: "proxy/address",
        tried: "reach addresses and control ports through the proxy",
        attempt: address,
    },
    Check {
        name: "proxy/spoofed-host",
        tried: "name another host in `Host` than in CONNECT",
        attempt: spoofed_host,
    },
    Check {
        name: "proxy/spoofed-sni",
        tried: "name another host in TLS than in CONNECT",
        attempt: spoofed_sni,
    },
    Check { name: "proxy/not-tls", tried: "speak something else than TLS in a tunnel", attempt: not_tls },
    Check { name: "proxy/smuggling", tried: "send two lengths for one body", attempt: smuggling },
    Check { name: "proxy/chunk-size", tried: "send a chunk whose size no number holds", attempt: chunk_size },
    Check {
        name: "proxy/unlisted-method",
        tried: "use a method that no rule lists",
        attempt: unlisted_method,
    },
    Check { name: "proxy/git-push", tried: "git push over https", attempt: git_push },
    Check { name: "proxy/git-push-webdav", tried: "git push by writing a ref", attempt: git_push_webdav },
    Check { name: "proxy/git-push-lfs", tried: "upload a large file without a batch", attempt: git_push_lfs },
    Check {
        name: "proxy/wildcard-depth",
        tried: "request a host two labels below a wildcard, and the host behind it",
        attempt: wildcard_depth,
    },
    Check {
        name: "proxy/wildcard-label",
        tried: "carry bytes out in the label of a wildcard",
        attempt: wildcard_label,
    },
    Check {
        name: "proxy/query-twice",
        tried: "say a parameter that a rule is about once more, in another spelling",
        attempt: query_twice,
    },
    Check { name: "proxy/planted-token", tried: "send a token in a request body", attempt: planted_token },
];

/// What the proxy says of itself at `http://bottle.internal/allowlist`.
#[derive(Debug, Deserialize)]
struct Allowlist {
    hosts: Vec<AllowedHost>,
}

#[derive(Debug, Deserialize)]
struct AllowedHost {
    host: String,
    ports: Vec<u16>,
    methods: Rule,
    path_allowlist: Rule,
    #[serde(default)]
    query: BTreeMap<String, Vec<String>>,
}

impl AllowedHost {
    /// The domain behind `*.`, where the rule names no single host.
    fn wildcard(&self) -> Option<&str> {
        self.host.strip_prefix("*.")
    }

    /// One host over https.
    fn is_askable(&self) -> bool {
        self.ports.contains(&443) && self.wildcard().is_none()
    }

    /// A path with the query that the rule asks for.
    fn target(&self, path: &str) -> String {
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = |(name, values): (&String, &Vec<String>)| {
            Some(format!("{}={}", escaped(name), escaped(values.first()?)))
        };
        let pairs: Vec<String> = self.query.iter().filter_map(pair).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", path.replace('*', "x"), pairs.join("&"))
    }
}

/// `"any"`, or the list of what is allowed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rule {
    Only(Vec<String>),
    Any(Any),
}

#[derive(Debug, Deserialize)]
enum Any {
    #[serde(rename = "any")]
    Any,
}

impl Rule {
    fn only(&self) -> Option<&[String]> {
        match self {
            Self::Only(list) => Some(list),
            Self::Any(Any::Any) => None,
        }
    }
}

/// The proxy as the agent met it.
pub(super) struct Proxy {
    reach: Result<(String, Arc<ClientConfig>), String>,
    allowlist: Option<Allowlist>,
}

impl Proxy {
    pub(super) fn meet(environment: &AgentEnvironment) -> Self {
        let reach = match (&environment.proxy, &environment.ca_bundle) {
            (None, _) => Err("HTTPS_PROXY is not set".to_owned()),
            (_, None) => Err("SSL_CERT_FILE is not set".to_owned()),
            (Some(proxy), Some(bundle)) => tls_config(bundle).map(|config| (proxy.clone(), config)),
        };
        let allowlist = reach.as_ref().ok().and_then(|(proxy, _)| ask_allowlist(proxy));
        Self { reach, allowlist }
    }

    fn reach(&self) -> Result<(&str, Arc<ClientConfig>), Outcome> {
        match &self.reach {
            Ok((proxy, config)) => Ok((proxy, Arc::clone(config))),
            Err(why) => Err(Outcome::NotTried(why.clone())),
        }
    }

    /// A host that may be asked over https, and what it allows.
    fn allowed(&self) -> Result<&AllowedHost, Outcome> {
        let list = self.allowlist.as_ref().ok_or_else(no_allowlist)?;
        list.hosts
            .iter()
            .find(|h| h.is_askable())
            .ok_or_else(|| Outcome::NotApplicable("no host is allowed over https".into()))
    }

    /// The first host with a path allowlist, and its first path.
    fn allowed_path(&self) -> Result<(&AllowedHost, &str), Outcome> {
        let list = self.allowlist.as_ref().ok_or_else(no_allowlist)?;
        list.hosts
            .iter()
            .filter(|h| h.is_askable())
            .find_map(|h| h.path_allowlist.only().and_then(<[_]>::first).map(|path| (h, path.as_str())))
            .ok_or_else(|| Outcome::NotApplicable("no host has a path_allowlist".into()))
    }

    /// The domain behind the first wildcard.
    fn wildcard(&self) -> Result<&str, Outcome> {
        let list = self.allowlist.as_ref().ok_or_else(no_allowlist)?;
        let mut bases =
            list.hosts.iter().filter(|h| h.ports.contains(&443)).filter_map(AllowedHost::wildcard);
        bases.next().ok_or_else(|| Outcome::NotApplicable("no rule has a wildcard".into()))
    }

    /// One request to `host` in a tunnel of its own; `request` says everything but the version line's end.
    fn ask(&self, host: &str, request: &str) -> Result<Tunnelled, Outcome> {
        let (proxy, config) = self.reach()?;
        tunnelled(proxy, &format!("{host}:443"), host, config, request)
            .map_err(|e| Outcome::NotTried(format!("the proxy at {proxy}: {e}")))
    }
}

fn no_allowlist() -> Outcome {
    Outcome::NotApplicable("the proxy tells no allowlist: a bottle without routes has no path rules".into())
}

fn ask_allowlist(proxy: &str) -> Option<Allowlist> {
    let request =
        "GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\nConnection: close\r\n\r\n";
    let answer = plain(proxy, request).ok().filter(|a| a.status == 200)?;
    let body = dechunk(&answer);
    serde_json::from_str(&body).ok()
}

/// The body without its chunk sizes, where the answer has them.
fn dechunk(answer: &ProxyAnswer) -> String {
    if answer.field("transfer-encoding").is_none() {
        return answer.body.clone();
    }
    let mut rest = answer.body.as_str();
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = tail.get(..size).filter(|_| size > 0) else { break };
        body.push_str(chunk);
        rest = tail.get(size + 2..).unwrap_or("");
    }
    body
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bottle-attack\r\nConnection: close\r\n\r\n")
}

/// The verdict on an answer that must be a refusal of bottle's or of pipelock's.
fn must_refuse(tunnelled: &Tunnelled) -> Outcome {
    match tunnelled {
        Tunnelled::Refused(answer) | Tunnelled::Answered(answer) => refused(answer),
        Tunnelled::NoTls(why) => Outcome::Held(format!("the connection was closed ({why})")),
    }
}

fn refused(answer: &ProxyAnswer) -> Outcome {
    let reason = answer.reason();
    match (answer.status, reason) {
        // The rules let it through, and the way ended behind them: with a network it could have arrived.
        (status, Some(reason)) if reason.starts_with("upstream_") => {
            Outcome::NotTried(format!("it was let through and failed behind the rules: {status} {reason}"))
        }
        (400..=599, Some(reason)) => Outcome::Held(format!("{} {reason}", answer.status)),
        (status @ 400..=599, None) if answer.body.contains("blocked: ") => {
            Outcome::Held(format!("{status} by pipelock"))
        }
        (status, _) => Outcome::Broken(format!("answered with {status} and no reason of bottle's")),
    }
}

/// Runs a check that may end early with the outcome that says why.
fn verdict(result: Result<Outcome, Outcome>) -> Outcome {
    result.unwrap_or_else(|outcome| outcome)
}

/// A GET of an allowed path must reach the origin, whatever it answers there.
fn control(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let (allowed, path) = match proxy.allowed_path() {
            Ok((allowed, path)) => (allowed, allowed.target(path)),
            Err(Outcome::NotApplicable(_)) => {
                proxy.allowed().map(|allowed| (allowed, allowed.target("/")))?
            }
            Err(outcome) => return Err(outcome),
        };
        if allowed.methods.only().is_some_and(|methods| !methods.iter().any(|m| m == "GET")) {
            return Ok(Outcome::NotApplicable(format!("{} allows no GET", allowed.host)));
        }
        let url = format!("https://{}{path}", allowed.host);
        Ok(match proxy.ask(&allowed.host, &get(&allowed.host, &path))? {
            Tunnelled::Answered(answer) if !answer.is_ours() => {
                Outcome::Held(format!("{url} answered {}", answer.status))
            }
            Tunnelled::Answered(answer) | Tunnelled::Refused(answer) => {
                Outcome::NotTried(format!("{url} is allowed and was refused: {}", answer.body.trim()))
            }
            Tunnelled::NoTls(why) => Outcome::NotTried(format!("{url} is allowed and failed: {why}")),
        })
    })())
}

fn another_host(proxy: &mut Proxy) -> Outcome {
    const HOST: &str = "bottle-attack.example";
    verdict(proxy.ask(HOST, &get(HOST, "/")).map(|t| must_refuse(&t)))
}

fn another_path(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let (allowed, _) = proxy.allowed_path()?;
        let request = get(&allowed.host, "/bottle-attack/not/allowed");
        Ok(must_refuse(&proxy.ask(&allowed.host, &request)?))
    })())
}

fn dot_segments(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let (allowed, path) = proxy.allowed_path()?;
        let path = path.replace('*', "x");
        let request = get(&allowed.host, &format!("{path}/%2e%2e/%2e%2e/bottle-attack"));
        Ok(must_refuse(&proxy.ask(&allowed.host, &request)?))
    })())
}

fn another_port(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = proxy.allowed()?.host.clone();
        connect_must_fail(proxy, &[format!("{host}:22")])
    })())
}

fn address(proxy: &mut Proxy) -> Outcome {
    let targets = [
        "169.254.169.254:80".to_owned(),
        ADMIN.to_string(),
        "[::1]:443".to_owned(),
        "2130706433:443".to_owned(),
        format!("{}:{PIPELOCK_PORT}", service::PIPELOCK),
        format!("localhost:{}", ADMIN.port()),
    ];
    verdict(connect_must_fail(proxy, &targets))
}

/// CONNECT to each target must be refused before anything is dialled.
fn connect_must_fail(proxy: &Proxy, targets: &[String]) -> Result<Outcome, Outcome> {
    let (address, _) = proxy.reach()?;
    let mut last = None;
    for target in targets {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
        let mut stream = super::client::dial(address).map_err(|e| Outcome::NotTried(e.to_string()))?;
        let answer =
            super::client::connect(&mut stream, &request).map_err(|e| Outcome::NotTried(e.to_string()))?;
        if answer.status == 200 {
            return Ok(Outcome::Broken(format!("a tunnel to {target} opened")));
        }
        last = Some(refused(&answer));
    }
    Ok(last.unwrap_or_else(|| Outcome::NotTried("no target".into())))
}

fn spoofed_host(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let allowed = proxy.allowed()?;
        Ok(must_refuse(&proxy.ask(&allowed.host, &get("bottle-attack.example", "/"))?))
    })())
}

fn spoofed_sni(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = &proxy.allowed()?.host;
        let (address, config) = proxy.reach()?;
        let other = "bottle-attack.example";
        let tried = tunnelled(address, &format!("{host}:443"), other, config, &get(other, "/"));
        Ok(must_refuse(&tried.map_err(|e| Outcome::NotTried(e.to_string()))?))
    })())
}

fn not_tls(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = &proxy.allowed()?.host;
        let (address, _) = proxy.reach()?;
        let request =
            format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\nSSH-2.0-bottle-attack\r\n");
        let answer = plain(address, &request).map_err(|e| Outcome::NotTried(e.to_string()))?;
        // A 200 for the CONNECT is right; what must not follow is a peer that speaks.
        Ok(if answer.body.is_empty() || answer.body.contains("bottle") {
            Outcome::Held("the tunnel was closed".into())
        } else {
            Outcome::Broken("something answered in the tunnel".into())
        })
    })())
}

fn smuggling(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = &proxy.allowed()?.host;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n"
        );
        Ok(must_refuse(&proxy.ask(host, &request)?))
    })())
}

fn chunk_size(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = &proxy.allowed()?.host;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx\r\n0\r\n\r\n"
        );
        Ok(must_refuse(&proxy.ask(host, &request)?))
    })())
}

/// A request with an empty body to the first host.
fn write(proxy: &Proxy, method: &str, path: &str) -> Result<Outcome, Outcome> {
    let host = &proxy.allowed()?.host;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Ok(must_refuse(&proxy.ask(host, &request)?))
}

fn unlisted_method(proxy: &mut Proxy) -> Outcome {
    verdict(write(proxy, "BOTTLEATTACK", "/"))
}

fn git_push_webdav(proxy: &mut Proxy) -> Outcome {
    verdict(write(proxy, "PUT", "/bottle/attack/refs/heads/main"))
}

fn git_push_lfs(proxy: &mut Proxy) -> Outcome {
    let path = format!("/bottle/attack.git/info/lfs/objects/{}", "0".repeat(64));
    verdict(write(proxy, "PUT", &path))
}

fn wildcard_depth(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let base = proxy.wildcard()?.to_owned();
        let named = |host: &str| {
            proxy.allowlist.iter().flat_map(|list| &list.hosts).any(|h| {
                h.host == host
                    || h.wildcard().is_some_and(|base| host.split_once('.').is_some_and(|it| it.1 == base))
            })
        };
        let mut last = Outcome::NotApplicable("rules of their own name those hosts".into());
        for host in [format!("a.bottle-attack.{base}"), base] {
            if named(&host) {
                continue;
            }
            last = must_refuse(&proxy.ask(&host, &get(&host, "/"))?);
            if !matches!(last, Outcome::Held(_)) {
                break;
            }
        }
        Ok(last)
    })())
}

fn wildcard_label(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = format!("{}.{}", "b0771ea77ac4d3f9".repeat(2), proxy.wildcard()?);
        Ok(must_refuse(&proxy.ask(&host, &get(&host, "/"))?))
    })())
}

fn query_twice(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let list = proxy.allowlist.as_ref().ok_or_else(no_allowlist)?;
        let asks = |h: &&AllowedHost| h.is_askable() && !h.query.is_empty();
        let allowed = list.hosts.iter().find(asks);
        let allowed = allowed.ok_or_else(|| Outcome::NotApplicable("no rule is about the query".into()))?;
        let path = allowed.path_allowlist.only().and_then(<[_]>::first).map_or("/", String::as_str);
        let name = allowed.query.keys().next().map(|name| name.to_uppercase()).unwrap_or_default();
        let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
        let target = format!("{}&{name}[]=bottle-attack", allowed.target(path));
        Ok(must_refuse(&proxy.ask(&allowed.host, &get(&allowed.host, &target))?))
    })())
}

fn git_push(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let host = &proxy.allowed()?.host;
        let request = get(host, "/bottle/attack.git/info/refs?service=git-receive-pack");
        Ok(must_refuse(&proxy.ask(host, &request)?))
    })())
}

fn planted_token(proxy: &mut Proxy) -> Outcome {
    verdict((|| {
        let (host, path) = match proxy.allowed_path() {
            Ok((allowed, path)) => (allowed.host.clone(), allowed.target(path)),
            Err(Outcome::NotApplicable(_)) if proxy.allowlist.is_some() => {
                proxy.allowed().map(|allowed| (allowed.host.clone(), allowed.target("/")))?
            }
            Err(outcome) => return Err(outcome),
        };
        // Shaped like a token and valid nowhere; put together here so that it is not one in the binary.
        let body = format!("{{\"note\": \"ghp{}{}\"}}", "_", "b0ttl3Att4ck".repeat(3));
        let method = proxy.method_with_body(&host);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = proxy.ask(&host, &request)?;
        if let Tunnelled::Answered(answer) = &answer
            && let Some(kinds) = answer.removed()
        {
            return Ok(Outcome::Held(format!("removed from what was sent on: {kinds}")));
        }
        Ok(must_refuse(&answer))
    })())
}

impl Proxy {
    /// A request for what lies behind the first allowed path, which `rest` leads out of, must be refused for its path.
    pub(super) fn get_behind_an_allowed_path(&self, rest: &str) -> Result<Outcome, Outcome> {
        let list = self.allowlist.as_ref().ok_or_else(no_allowlist)?;
        let leads_out = |h: &&AllowedHost| {
            let any = |path: &String| path == "/" || path.starts_with("/*");
            h.is_askable() && h.path_allowlist.only().is_some_and(|paths| !paths.iter().any(any))
        };
        let allowed = list.hosts.iter().find(leads_out);
        let allowed = allowed.ok_or_else(|| {
            Outcome::NotApplicable("no host has a path_allowlist that ends anywhere".into())
        })?;
        let (host, path) = (&allowed.host, allowed.path_allowlist.only().and_then(<[_]>::first));
        let path = path.map(|path| path.replace('*', "x")).unwrap_or_default();
        let method = match allowed.methods.only() {
            Some(methods) if !methods.iter().any(|it| it == "GET") => {
                methods.first().cloned().unwrap_or_default()
            }
            _ => "GET".to_owned(),
        };
        let request = format!(
            "{method} {path}{rest} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Ok(must_refuse(&self.ask(host, &request)?))
    }

    /// A method that the host's rule allows, POST where it may be.
    fn method_with_body(&self, host: &str) -> String {
        let rule =
            self.allowlist.iter().flat_map(|list| &list.hosts).find(|h| h.host == host).map(|h| &h.methods);
        match rule.and_then(Rule::only) {
            Some(methods) if !methods.iter().any(|m| m == "POST") => {
                methods.first().cloned().unwrap_or_else(|| "POST".into())
            }
            _ => "POST".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> ProxyAnswer {
        let fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        ProxyAnswer { status, fields, body: body.to_owned() }
    }

    #[test]
    fn an_origin_that_is_out_of_reach_has_refused_nothing() {
        for reason in ["upstream_unreachable", "upstream_timeout", "upstream_invalid"] {
            let outcome = refused(&answer(502, &[("X-Bottle-Reason", reason)], ""));
            assert!(matches!(outcome, Outcome::NotTried(_)), "{outcome:?}");
        }
    }

    #[test]
    fn a_refusal_without_our_reason_is_the_origins_and_counts_as_broken() {
        assert!(matches!(refused(&answer(403, &[], "Forbidden")), Outcome::Broken(_)));
        assert!(matches!(refused(&answer(200, &[("X-Bottle-Reason", "x")], "")), Outcome::Broken(_)));
        assert_eq!(
            refused(&answer(403, &[("X-Bottle-Reason", "git_push")], "")),
            Outcome::Held("403 git_push".into())
        );
    }

    #[test]
    fn what_is_asked_for_is_what_a_rule_allows() {
        let host = |name: &str, query: &[(&str, &[&str])]| AllowedHost {
            host: name.to_owned(),
            ports: vec![443],
            methods: Rule::Any(Any::Any),
            path_allowlist: Rule::Any(Any::Any),
            query: query
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.iter().map(|&v| v.to_owned()).collect()))
                .collect(),
        };
        assert!(!host("*.cdn.test", &[]).is_askable() && host("cdn.test", &[]).is_askable());
        assert_eq!(host("a.test", &[]).target("/repos/*/app"), "/repos/x/app");
        assert_eq!(
            host("a.test", &[("a", &["list all", "x"]), ("b", &["1"])]).target("/"),
            "/?a=list%20all&b=1"
        );
    }

    #[test]
    fn chunked_bodies_are_joined() {
        let chunked = answer(200, &[("Transfer-Encoding", "chunked")], "2\r\n{\"\r\n1\r\na\r\n0\r\n\r\n");
        assert_eq!(dechunk(&chunked), "{\"a");
    }

    #[test]
    fn without_a_proxy_nothing_counts_as_held() {
        let mut proxy = Proxy::meet(&AgentEnvironment { proxy: None, ca_bundle: None });
        for check in CHECKS {
            let outcome = (check.attempt)(&mut proxy);
            assert!(!matches!(outcome, Outcome::Held(_)), "{}: {outcome:?}", check.name);
        }
    }
}
