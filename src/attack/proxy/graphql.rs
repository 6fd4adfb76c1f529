//! GraphQL where a rule says what it may ask for.

use super::{Allowed, Finding, Outcome, Proxy, must_refuse};

/// Bodies, each of which asks some server for something that the rule does not say: `{field}` is a field that it says,
/// `{other}` one that it does not, `{kind}` a kind of operation that it says and `{another}` one that it does not.
const BODIES: &[(&str, &str, &str)] = &[
    (
        "another-operation",
        "ask for a kind of operation that the rule does not say",
        r#"{"query":"{another} { {field} }"}"#,
    ),
    ("another-field", "ask for a field that the rule does not say", r#"{"query":"{kind} { {other} }"}"#),
    ("alias", "ask for another field by an allowed name", r#"{"query":"{kind} { {field}: {other} }"}"#),
    (
        "fragment",
        "ask for another field in a fragment",
        r#"{"query":"{kind} { ...F } fragment F on Root { {other} }"}"#,
    ),
    (
        "inline-fragment",
        "ask for another field in an inline fragment",
        r#"{"query":"{kind} { ... on Root { {other} } }"}"#,
    ),
    (
        "inline-plain",
        "ask for another field in a fragment without a type",
        r#"{"query":"{kind} { ... { {other} } }"}"#,
    ),
    (
        "skipped",
        "ask for another field that a directive skips",
        r#"{"query":"{kind}($s: Boolean!) { {other} @skip(if: $s) }","variables":{"s":false}}"#,
    ),
    (
        "second-operation",
        "hide an operation behind an allowed one",
        r#"{"query":"{kind} A { {field} } {another} B { {field} }","operationName":"A"}"#,
    ),
    (
        "chosen-operation",
        "choose the hidden operation",
        r#"{"query":"{kind} A { {field} } {another} B { {field} }","operationName":"B"}"#,
    ),
    (
        "no-such-operation",
        "choose an operation that is not there",
        r#"{"query":"{kind} A { {field} }","operationName":"B"}"#,
    ),
    (
        "batch",
        "hide an operation in a batch",
        r#"[{"query":"{kind} { {field} }"},{"query":"{another} { {field} }"}]"#,
    ),
    ("large-batch", "send a batch that is larger than one may be", "{batch}"),
    ("many-aliases", "ask for a field very often", "{aliases}"),
    ("deep", "ask very deep", "{deep}"),
    ("long", "send a document that is longer than one may be", "{long}"),
    (
        "persisted",
        "ask by the hash of a document",
        r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"0000000000000000000000000000000000000000000000000000000000000000"}}}"#,
    ),
    (
        "persisted-beside",
        "send a hash beside a document",
        r#"{"query":"{kind} { {field} }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"0000000000000000000000000000000000000000000000000000000000000000"}}}"#,
    ),
    ("id", "ask by the name of a document", r#"{"id":"bottle","variables":{}}"#),
    (
        "doc-id",
        "ask by the name of a document, as Relay does",
        r#"{"doc_id":"1","query":"{kind} { {field} }"}"#,
    ),
    (
        "query-twice",
        "say the document twice",
        r#"{"query":"{kind} { {field} }","query":"{another} { {field} }"}"#,
    ),
    (
        "query-cased",
        "say the document in another case as well",
        r#"{"query":"{kind} { {field} }","Query":"{another} { {field} }"}"#,
    ),
    (
        "query-escaped",
        "say the document by an escaped name as well",
        r#"{"query":"{kind} { {field} }","qu\u0065ry":"{another} { {field} }"}"#,
    ),
    (
        "comment",
        "hide an operation behind a comment's end",
        r#"{"query":"{kind} { {field} } #\u2028 x\n{another} { {field} }"}"#,
    ),
    (
        "return-comment",
        "hide an operation behind a carriage return",
        r#"{"query":"{kind} { {field} } # x\r{another} { {field} }"}"#,
    ),
    ("nul", "end the document with NUL", r#"{"query":"{kind} { {field} }\u0000{another} { {field} }"}"#),
    ("byte-order-mark", "begin the document with a mark", r#"{"query":"\ufeff{another} { {field} }"}"#),
    ("no-text", "send a document that is no text", r#"{"query":["{kind} { {field} }"]}"#),
    ("no-json", "send what is no JSON", r#"{"query":"{kind} { {field} }""#),
    (
        "trailing",
        "send a second value behind the first",
        r#"{"query":"{kind} { {field} }"}{"query":"{another} { {field} }"}"#,
    ),
    ("single-quotes", "send JSON as scripts write it", r"{'query':'{another} { {field} }'}"),
    (
        "json-comment",
        "send JSON with a comment",
        r#"{"query":"{kind} { {field} }"/*,"query":"{another} { {field} }"*/}"#,
    ),
    (
        "upload",
        "send an upload's operations",
        r#"{"operations":"{\"query\":\"{another} { {field} }\"}","map":"{}"}"#,
    ),
    ("schema", "define a type", r#"{"query":"type T { a: Int } {kind} { {field} }"}"#),
    ("empty", "send nothing", ""),
];

/// Requests of another kind, with an allowed document.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("form", "send a document as a form", "POST", "application/x-www-form-urlencoded"),
    ("multipart", "send a document in parts", "POST", "multipart/form-data; boundary=x"),
    ("text", "send a document as text", "POST", "text/plain"),
    ("graphql", "send a document by its own type", "POST", "application/graphql"),
    ("charset", "send a document in another character set", "POST", "application/json; charset=utf-7"),
    ("two-types", "send a document with two types", "POST", "application/json, text/plain"),
    ("put", "send a document with PUT", "PUT", "application/json"),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let subject = proxy.subject("has a rule for GraphQL", |host| host.graphql.is_some());
    findings.extend(BODIES.iter().map(|(name, tried, body)| {
        proxy.finding(format!("graphql/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let body = body_for(body, allowed)?;
            send(proxy, allowed, "POST", "application/json", &body, mark)
        })
    }));
    findings.extend(KINDS.iter().map(|(name, tried, method, kind)| {
        proxy.finding(format!("graphql/kind/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let body = match *name {
                "form" => "query=%7Bx%7D",
                "multipart" => {
                    "--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n{x}\r\n--x--\r\n"
                }
                "graphql" | "text" => "{x}",
                _ => "{\"query\":\"{__typename}\"}",
            };
            send(proxy, allowed, method, kind, body, mark)
        })
    }));
    for (name, tried, query) in [
        ("query", "ask for another operation in the query", "query=mutation%7Bx%7D"),
        ("query-hash", "ask by a hash in the query", "extensions=%7B%22persistedQuery%22%3A%7B%7D%7D"),
        ("query-name", "ask by a name in the query", "operationName=x"),
    ] {
        findings.push(proxy.finding(format!("graphql/{name}"), tried, |mark| {
            let allowed = subject.as_ref().map_err(Clone::clone)?;
            let request = format!(
                "GET {}?{query} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {mark}\r\nConnection: close\r\n\r\n",
                path(allowed),
                allowed.host
            );
            Ok(must_refuse(&proxy.ask(&allowed.host, request.as_bytes())?))
        }));
    }
}

fn path(allowed: &Allowed<'_>) -> String {
    let own = allowed.rule.graphql.as_ref().map(|rule| &rule.paths);
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

fn body_for(template: &str, allowed: &Allowed<'_>) -> Result<String, Outcome> {
    let rule = allowed.rule.graphql.as_ref();
    let rule = rule.ok_or_else(|| Outcome::NotApplicable("no host has a rule for GraphQL".into()))?;
    let kinds = ["query", "mutation", "subscription"];
    let another = kinds.into_iter().find(|kind| !rule.operations.iter().any(|own| own == kind));
    if another.is_none() && template.contains("{another}") {
        return Err(Outcome::NotApplicable("the rule allows every kind of operation".into()));
    }
    if rule.fields.only().is_none() && template.contains("{other}") {
        return Err(Outcome::NotApplicable("the rule allows every field".into()));
    }
    let kind = rule.operations.first().map_or("query", String::as_str);
    let field = rule.fields.only().and_then(<[_]>::first).map_or("bottle", String::as_str);
    let document = |inner: &str| format!("{{\"query\":\"{kind} {{ {inner} }}\"}}");
    let one = document(field);
    let aliases: Vec<String> = (0..200).map(|n| format!("a{n}: {field}")).collect();
    Ok(template
        .replace("{batch}", &format!("[{}]", vec![one; 100].join(",")))
        .replace("{aliases}", &document(&aliases.join(" ")))
        .replace("{deep}", &document(&format!("{field}{}{}", "{a".repeat(500), "}".repeat(500))))
        .replace("{long}", &document(&format!("{field} {}", "a ".repeat(20_000))))
        .replace("{another}", another.unwrap_or_default())
        .replace("{kind}", kind)
        .replace("{field}", field)
        .replace("{other}", "bottleAttack"))
}
