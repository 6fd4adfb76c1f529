//! JSON-RPC where a rule says what it may call.

use super::{Allowed, Finding, Outcome, Proxy, must_refuse};

/// Bodies, each of which calls some server by another method than the rule's: `{own}` is one of the rule's.
const BODIES: &[(&str, &str, &str)] = &[
    (
        "another-method",
        "call a method that the rule does not list",
        r#"{"jsonrpc":"2.0","id":1,"method":"bottle/attack"}"#,
    ),
    (
        "notification",
        "call it without waiting for an answer",
        r#"{"jsonrpc":"2.0","method":"bottle/attack"}"#,
    ),
    ("batch", "hide a call in a batch", r#"[{"id":1,"method":"{own}"},{"id":2,"method":"bottle/attack"}]"#),
    ("nested-batch", "hide a call in a batch of a batch", r#"[[{"id":1,"method":"bottle/attack"}]]"#),
    ("large-batch", "send a batch that is larger than one may be", "{batch}"),
    ("twice", "say the method twice", r#"{"id":1,"method":"{own}","method":"bottle/attack"}"#),
    (
        "twice-first",
        "say the method twice, the allowed one last",
        r#"{"id":1,"method":"bottle/attack","method":"{own}"}"#,
    ),
    (
        "cased",
        "say the method by another case of its name as well",
        r#"{"id":1,"method":"{own}","Method":"bottle/attack"}"#,
    ),
    (
        "escaped",
        "say the method by an escaped name as well",
        r#"{"id":1,"method":"{own}","m\u0065thod":"bottle/attack"}"#,
    ),
    ("method-cased", "call an allowed method in another case", r#"{"id":1,"method":"{OWN}"}"#),
    ("method-space", "put a space before an allowed method", r#"{"id":1,"method":" {own}"}"#),
    ("method-behind", "put a space behind an allowed method", r#"{"id":1,"method":"{own} "}"#),
    ("method-nul", "end an allowed method with NUL", r#"{"id":1,"method":"{own}\u0000bottle"}"#),
    ("method-longer", "go on behind an allowed method", r#"{"id":1,"method":"{own}/bottle"}"#),
    ("method-unicode", "use a letter that looks like another", r#"{"id":1,"method":"{own}\u200b"}"#),
    ("method-list", "send a list as the method", r#"{"id":1,"method":["{own}"]}"#),
    ("method-null", "send nothing as the method", r#"{"id":1,"method":null}"#),
    ("no-method", "send no method", r#"{"id":1,"params":{}}"#),
    (
        "answer-and-call",
        "send a call that is an answer as well",
        r#"{"id":1,"method":"bottle/attack","result":{}}"#,
    ),
    (
        "member",
        "send a member that JSON-RPC does not have",
        r#"{"id":1,"method":"{own}","call":"bottle/attack"}"#,
    ),
    (
        "trailing",
        "send a second call behind the first",
        r#"{"id":1,"method":"{own}"}{"id":2,"method":"bottle/attack"}"#,
    ),
    (
        "lines",
        "send a call in each line",
        "{\"id\":1,\"method\":\"{own}\"}\n{\"id\":2,\"method\":\"bottle/attack\"}",
    ),
    ("no-json", "send what is no JSON", r#"{"id":1,"method":"bottle/attack""#),
    ("comment", "send JSON with a comment", r#"{"id":1,/**/"method":"bottle/attack"}"#),
    ("single-quotes", "send JSON as scripts write it", r"{'id':1,'method':'bottle/attack'}"),
    ("byte-order-mark", "begin with a mark", "\u{feff}{\"id\":1,\"method\":\"bottle/attack\"}"),
    ("empty", "send nothing", ""),
];

const KINDS: &[(&str, &str, &str, &str)] = &[
    ("text", "send a call as text", "POST", "text/plain"),
    ("form", "send a call as a form", "POST", "application/x-www-form-urlencoded"),
    ("charset", "send a call in another character set", "POST", "application/json; charset=utf-16"),
    ("xml", "send a call as XML", "POST", "text/xml"),
    ("put", "send a call with PUT", "PUT", "application/json"),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.subject("has a rule for JSON-RPC", |host| host.rpc.is_some());
    let own = |allowed: &Allowed<'_>| {
        allowed.rule.rpc.as_ref().and_then(|rule| rule.methods.first()).cloned().unwrap_or_default()
    };
    findings.extend(BODIES.iter().map(|(name, tried, body)| {
        proxy.finding(format!("rpc/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let own = own(allowed);
            if own.to_uppercase() == own && body.contains("{OWN}") {
                return Err(Outcome::NotApplicable("the rule's method has no other case".into()));
            }
            let one = format!("{{\"id\":1,\"method\":\"{own}\"}}");
            let body = body
                .replace("{batch}", &format!("[{}]", vec![one; 500].join(",")))
                .replace("{OWN}", &own.to_uppercase())
                .replace("{own}", &own);
            send(proxy, allowed, "POST", "application/json", &body, mark)
        })
    }));
    findings.extend(KINDS.iter().map(|(name, tried, method, kind)| {
        proxy.finding(format!("rpc/kind/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let body = format!("{{\"id\":1,\"method\":\"{}\"}}", own(allowed));
            send(proxy, allowed, method, kind, &body, mark)
        })
    }));
    let tried = "call by the query";
    findings.push(proxy.finding("rpc/query", tried, |mark| {
        let allowed = subject.as_ref().map_err(Clone::clone)?;
        let request = format!(
            "POST {}?method=bottle%2Fattack HTTP/1.1\r\nHost: {}\r\nUser-Agent: {mark}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            path(allowed),
            allowed.host
        );
        Ok(must_refuse(&proxy.ask(&allowed.host, request.as_bytes())?))
    }));
}

fn path(allowed: &Allowed<'_>) -> String {
    let own = allowed.rule.rpc.as_ref().map(|rule| &rule.paths);
    own.filter(|paths| paths.only().is_some())
        .map_or_else(|| allowed.path.clone(), super::allowlist::Rule::first_path)
}

fn send(
    proxy: &Proxy<'_>,
    allowed: &Allowed<'_>,
    method: &str,
    kind: &str,
    body: &str,
    mark: &str,
) -> Result<Outcome, Outcome> {
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {mark}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        path(allowed),
        allowed.host,
        body.len()
    );
    Ok(must_refuse(&proxy.ask(&allowed.host, request.as_bytes())?))
}
