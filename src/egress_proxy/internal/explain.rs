//! What would become of a request, by the rules that are live: the answer is that of the very function that decides on
//! real ones. It is as if the agent had sent the request, but that nothing leaves.

use super::Page;
use crate::policy::{Authority, HostRule, Reason, Refusal, Scheme, WrittenRequest};
use crate::verdict::Head;
use crate::verdict::egress_proxy::{Destination, Permit, Ruleset};
use http::Request;
use jiff::civil::Date;
use percent_encoding::percent_decode_str;
use serde::Serialize;

/// An answer, in the words of a denial.
#[derive(Serialize)]
pub(super) struct Explained {
    request: String,
    verdict: &'static str,
    reason: Option<Reason>,
    message: String,
    /// The host of the rule that decided.
    rule: Option<String>,
    /// Where it stands in the manifest.
    source: Option<String>,
    /// What is allowed on the host, or which hosts are.
    allowed: Vec<String>,
}

/// `method=GET&url=https%3A%2F%2Fa.test%2F`, in either order.
pub(super) fn asked(query: &str) -> Result<WrittenRequest, String> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let raw = pairs.find(|(own, _)| *own == name).map(|(_, value)| value).unwrap_or_default();
        percent_decode_str(raw).decode_utf8().map_err(|_| format!("`{name}` is not UTF-8"))
    };
    let (method, url) = (value("method")?, value("url")?);
    WrittenRequest::parse(if method.is_empty() { "GET" } else { &method }, &url, Vec::new())
        .map_err(|problem| problem.to_string())
}

/// What the rules say of it today.
pub(super) fn answer<R: AsRef<HostRule>>(
    asked: &WrittenRequest,
    rules: &Ruleset<R>,
    today: Date,
) -> Explained {
    let request = format!("{} {}", asked.method, asked.url);
    match decide(asked, rules, today) {
        Ok(allowed) => Explained { request, ..allowed },
        Err(refusal) => Explained {
            request,
            verdict: "deny",
            reason: Some(refusal.reason),
            message: refusal.message,
            rule: refusal.rule,
            source: refusal.source,
            allowed: refusal.allowed,
        },
    }
}

fn decide<R: AsRef<HostRule>>(
    asked: &WrittenRequest,
    rules: &Ruleset<R>,
    today: Date,
) -> Result<Explained, Refusal> {
    let WrittenRequest { method, scheme, authority, target, .. } = asked;
    let malformed = |problem: &dyn std::fmt::Display| {
        Refusal::new(Reason::MalformedAuthority, format!("the host is malformed: {problem}"))
    };
    let authority =
        Authority::parse(authority, Some(scheme.default_port())).map_err(|error| malformed(&error))?;
    if authority.host.is_internal() {
        return Ok(allowed("the proxy answers for this host itself; nothing leaves".to_owned()));
    }
    if *scheme == Scheme::Https {
        rules.connect(&authority.to_string())?;
    }
    let target = target.clone().into();
    let request = Request::builder().method(method.as_str()).body(());
    let mut request = request.map_err(|error| {
        Refusal::new(Reason::MalformedRequest, format!("the request is malformed: {error}"))
    })?;
    let destination = Destination { scheme: *scheme, authority, target };
    let intent = rules.intent(&destination, Head::from_request(&request, &destination.target, None))?;
    let Permit { matched, .. } = rules.permit(intent, request.headers_mut(), today)?;
    let rule = matched.rule.as_ref();
    let with = rule.auth.as_ref().map(|auth| format!("; the proxy adds {}", auth.token_ref));
    let message = format!(
        "the rules of {} allow it{}; pipelock searches it for secrets and looks at the host's address",
        rule.route.host,
        with.unwrap_or_default()
    );
    let (host, source) = (rule.route.host.to_string(), rule.route.source.clone());
    Ok(Explained {
        rule: Some(host),
        source: Some(source),
        allowed: rule.route.allowed(),
        ..allowed(message)
    })
}

fn allowed(message: String) -> Explained {
    Explained {
        request: String::new(),
        verdict: "allow",
        reason: None,
        message,
        rule: None,
        source: None,
        allowed: Vec::new(),
    }
}

impl Page for Explained {
    fn text(&self) -> String {
        let verdict = if self.reason.is_none() { "allowed" } else { "denied" };
        let code = self.reason.map(|reason| format!(" [{reason}]")).unwrap_or_default();
        let source = self.source.as_ref().map(|at| format!("  = rule: {at} of the manifest\n"));
        let request = self.request.escape_debug();
        format!("{verdict}{code}: {request}\n  = note: {}\n{}", self.message, source.unwrap_or_default())
    }
}
