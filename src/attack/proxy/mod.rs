//! Attempts through the proxy, in rooms by what is attacked.
//!
//! Every attempt carries a mark of its own in what must not arrive. Inside a stack the answer is all that can be judged:
//! it must be a refusal of bottle's. Where an origin can be asked, what it received is judged as well.

mod allowlist;
mod fields;
mod framing;
mod generated;
mod git;
mod graphql;
mod h2;
mod host;
mod path;
mod push;
mod rpc;
mod spellings;
mod websocket;

use super::client::{ProxyAnswer, ProxyAt, Tunnelled, plain, tls_config, tunnelled};
use super::{AgentEnvironment, Finding, Outcome};
use allowlist::{AllowedHost, Allowlist};
use rustls::ClientConfig;
use std::{borrow::Cow, cell::Cell, sync::Arc, time::Instant};

/// What an origin received: asked for by a mark, it says what the mark came in.
pub type Witness<'w> = &'w dyn Fn(&str) -> Option<String>;

/// What all names of hosts begin with that belong to nobody.
const NOWHERE: &str = "bottle-attack.example";

/// The proxy as the agent met it.
pub(super) struct Proxy<'w> {
    reach: Result<(ProxyAt, Arc<ClientConfig>), String>,
    allowlist: Option<Allowlist>,
    witness: Option<Witness<'w>>,
    marks: Cell<u32>,
}

/// An attempt that can be written down as the bytes of a request.
struct Row {
    name: &'static str,
    tried: &'static str,
    /// `{host}`, `{method}`, `{target}` and `{path}` are those of an allowed request, `{mark}` is what must not arrive;
    /// `{ff}` and `{c0}` are bytes that are no UTF-8.
    request: &'static str,
}

const fn row(name: &'static str, tried: &'static str, request: &'static str) -> Row {
    Row { name, tried, request }
}

/// Everything that is tried through the proxy.
pub(super) fn run(environment: &AgentEnvironment, witness: Option<Witness<'_>>) -> Vec<Finding> {
    let proxy = Proxy::meet(environment, witness);
    // The control: where nothing is let through, a refusal proves nothing.
    let tried = "request what is allowed, so that refusals mean something";
    let mut findings = vec![proxy.finding("proxy/control", tried, |_| proxy.control())];
    for room in [
        host::run,
        path::run,
        spellings::run,
        framing::run,
        fields::run,
        git::run,
        push::run,
        h2::run,
        websocket::run,
        graphql::run,
        rpc::run,
        generated::run,
    ] {
        room(&proxy, &mut findings);
    }
    findings
}

impl<'w> Proxy<'w> {
    fn meet(environment: &AgentEnvironment, witness: Option<Witness<'w>>) -> Self {
        let reach = match (&environment.proxy, &environment.ca_bundle) {
            (None, _) => Err("HTTPS_PROXY is not set".to_owned()),
            (_, None) => Err("SSL_CERT_FILE is not set".to_owned()),
            (Some(proxy), Some(bundle)) => {
                tls_config(bundle).map(|config| (ProxyAt::new(proxy.clone()), config))
            }
        };
        let allowlist = reach.as_ref().ok().and_then(|(proxy, _)| Allowlist::ask(proxy));
        Self { reach, allowlist, witness, marks: Cell::new(0) }
    }

    /// One attempt. What an origin received stands above what was answered.
    fn finding(
        &self,
        name: impl Into<Cow<'static, str>>,
        tried: &'static str,
        attempt: impl FnOnce(&str) -> Result<Outcome, Outcome>,
    ) -> Finding {
        self.marks.set(self.marks.get() + 1);
        let mark = format!("bottle-attack-{:04}", self.marks.get());
        let began = Instant::now();
        let mut outcome = attempt(&mark).unwrap_or_else(|outcome| outcome);
        if let Ok((proxy, _)) = &self.reach {
            proxy.took(began.elapsed());
        }
        if let Some(received) = self.witness.and_then(|witness| witness(&mark)) {
            outcome = Outcome::Broken(format!("the origin received it: {received}"));
        }
        Finding { name: name.into(), tried, outcome }
    }

    /// The attempts of a table, each in a tunnel to an allowed host.
    fn rows(&self, room: &str, rows: &[Row], on: &Subject<'_>, findings: &mut Vec<Finding>) {
        findings.extend(rows.iter().map(|row| {
            self.finding(format!("{room}/{}", row.name), row.tried, |mark| {
                let (allowed, request) = (on.as_ref().map_err(Clone::clone)?, row.request);
                Ok(must_refuse(&self.ask(&allowed.host, &written(request, allowed, mark))?))
            })
        }));
    }

    fn reach(&self) -> Result<(&ProxyAt, Arc<ClientConfig>), Outcome> {
        match &self.reach {
            Ok((proxy, config)) => Ok((proxy, Arc::clone(config))),
            Err(why) => Err(Outcome::NotTried(why.clone())),
        }
    }

    fn hosts(&self) -> Result<&[AllowedHost], Outcome> {
        let list = self.allowlist.as_ref().ok_or_else(|| {
            let why = "the proxy tells no allowlist: a bottle without routes has no rules to get around";
            Outcome::NotApplicable(why.into())
        })?;
        Ok(&list.hosts)
    }

    /// The first host that may be asked over https and of which something holds, and a request that it allows.
    fn subject(&self, what: &str, holds: impl Fn(&AllowedHost) -> bool) -> Subject<'_> {
        let found = self.hosts()?.iter().find(|host| host.is_askable() && holds(host));
        let allowed = found.ok_or_else(|| Outcome::NotApplicable(format!("no host {what}")))?;
        Ok(Allowed {
            host: allowed.host.clone(),
            method: allowed.method().to_owned(),
            path: allowed.path(),
            target: allowed.target(&allowed.path()),
            rule: allowed,
        })
    }

    /// A host where nothing but HTTP is read; one whose paths are listed first.
    fn usual(&self) -> Subject<'_> {
        let plain = |host: &AllowedHost| !host.reads_content();
        self.subject("has a path_allowlist", |host| plain(host) && host.path_allowlist.only().is_some())
            .or_else(|_| self.subject("is allowed over https for plain requests", plain))
    }

    /// A host whose path rules end somewhere.
    fn with_paths(&self) -> Subject<'_> {
        self.subject("has a path_allowlist that ends anywhere", |host| {
            !host.reads_content() && !host.allows_path("/bottle-attack")
        })
    }

    /// One request to `host` in a tunnel of its own; `request` says everything.
    fn ask(&self, host: &str, request: &[u8]) -> Result<Tunnelled, Outcome> {
        let (proxy, config) = self.reach()?;
        tunnelled(proxy, &format!("{host}:443"), host, config, request)
            .map_err(|e| Outcome::NotTried(format!("the proxy at {proxy}: {e}")))
    }

    /// Bytes on the proxy connection itself, which must be refused.
    fn plain(&self, request: &[u8]) -> Result<Outcome, Outcome> {
        let (proxy, _) = self.reach()?;
        let answer = plain(proxy, request).map_err(|e| Outcome::NotTried(e.to_string()))?;
        Ok(refused(&answer))
    }

    /// A request that is allowed must reach the origin, whatever it answers there.
    fn control(&self) -> Result<Outcome, Outcome> {
        let allowed = self.usual()?;
        let request = written(USUAL, &allowed, "control");
        let url = format!("https://{}{}", allowed.host, allowed.target);
        Ok(match self.ask(&allowed.host, &request)? {
            Tunnelled::Answered(answer) if !answer.is_ours() => {
                Outcome::Held(format!("{url} answered {}", answer.status))
            }
            Tunnelled::Answered(answer) | Tunnelled::Refused(answer) => {
                Outcome::NotTried(format!("{url} is allowed and was refused: {}", answer.body.trim()))
            }
            Tunnelled::NoTls(why) | Tunnelled::Silent(why) => {
                Outcome::NotTried(format!("{url} is allowed and failed: {why}"))
            }
        })
    }
}

/// An allowed request without a body.
const USUAL: &str = "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bottle-attack\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n";

/// What is attacked: a host, and a request that its rule allows.
struct Allowed<'a> {
    host: String,
    method: String,
    path: String,
    target: String,
    rule: &'a AllowedHost,
}

/// What is attacked, or why there is none.
type Subject<'a> = Result<Allowed<'a>, Outcome>;

/// A template with its names filled in.
fn written(template: &str, allowed: &Allowed<'_>, mark: &str) -> Vec<u8> {
    let text = template
        .replace("{host}", &allowed.host)
        .replace("{method}", &allowed.method)
        .replace("{target}", &allowed.target)
        .replace("{path}", &allowed.path)
        .replace("{mark}", mark);
    let text = replaced(text.into_bytes(), b"{ff}", 0xff);
    replaced(text, b"{c0}", 0xc0)
}

fn replaced(mut text: Vec<u8>, name: &[u8], byte: u8) -> Vec<u8> {
    while let Some(at) = text.windows(name.len()).position(|window| window == name) {
        text.splice(at..at + name.len(), [byte]);
    }
    text
}

/// The verdict on an answer that must be a refusal of bottle's or of pipelock's.
fn must_refuse(tunnelled: &Tunnelled) -> Outcome {
    match tunnelled {
        Tunnelled::Refused(answer) | Tunnelled::Answered(answer) => refused(answer),
        Tunnelled::NoTls(why) => Outcome::Held(format!("the connection was closed ({why})")),
        Tunnelled::Silent(why) => Outcome::NotTried(format!("no answer came: {why}")),
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
        (0, _) => Outcome::Held("the connection was closed".into()),
        (status, _) => Outcome::Broken(format!("answered with {status} and no reason of bottle's")),
    }
}

#[cfg(test)]
mod tests;
