//! One refusal for a person: the request, the reason, the place of the rule, and what would allow it.

use crate::manifest::Loaded;
use crate::printable::printable_name;
use crate::telemetry::audit::{Record, Suppressed};
use serde_json::Value;
use std::fmt::Write as _;

/// A few lines.
pub(super) fn as_text(record: &Record, loaded: Option<&Loaded>) -> String {
    let reason = record.reason.as_deref().unwrap_or("refused");
    let by = if record.decided_by == "egress-proxy" {
        String::new()
    } else {
        format!(", by {}", record.decided_by)
    };
    let said = format!("{}  {reason}{by}", request(record));
    let mut text = format!("{}  {}\n", record.time.strftime("%H:%M:%S"), printable_name(&said));
    if let Some(finding) = &record.finding {
        let _ = writeln!(text, "    found: {}", printable_name(finding)); // writing to a String can't fail
    }
    if let Some(place) = place(record, loaded) {
        let _ = writeln!(text, "    rule:  {}", printable_name(&place));
    }
    match entry(record) {
        Some(entry) => {
            let _ = write!(text, "    to allow it:\n{}", indented(&entry));
        }
        None => {
            let _ = writeln!(text, "    {}", why_nothing_allows(reason));
        }
    }
    text
}

/// A flood of refusals, of which the proxy wrote the numbers alone.
pub(super) fn counted(counted: &Suppressed) -> String {
    let reasons: Vec<String> = counted.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let more = if counted.more_hosts { "more than " } else { "" };
    format!(
        "{}  {} refusals more until {}, for {more}{} hosts: {}\n",
        counted.first.strftime("%H:%M:%S"),
        counted.count,
        counted.last.strftime("%H:%M:%S"),
        counted.hosts,
        printable_name(&reasons.join(", "))
    )
}

/// The record with `place` and `entry` beside its own fields.
pub(super) fn as_json(record: &Record, loaded: Option<&Loaded>) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(record)?;
    value["place"] = place(record, loaded).into();
    value["entry"] = entry(record).into();
    Ok(value)
}

fn request(record: &Record) -> String {
    let host = record.host.as_deref().unwrap_or("?");
    let scheme = record.scheme.as_deref().unwrap_or("https");
    let port = match (scheme, record.port) {
        (_, None) | ("https", Some(443)) | ("http", Some(80)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let path = record.path.as_deref().unwrap_or_default();
    format!("{} {scheme}://{host}{port}{path}", record.method.as_deref().unwrap_or("?"))
}

/// `bottle.yaml:12 (egress_proxy.routes[1])`, at the key that refused where the rule has it.
fn place(record: &Record, loaded: Option<&Loaded>) -> Option<String> {
    let source = record.source.as_ref()?;
    let key = match record.reason.as_deref() {
        Some("path_not_allowed") => ".path_allowlist",
        Some("method_not_allowed") => ".methods",
        Some("port_not_allowed") => ".ports",
        Some("rule_expired") => ".until",
        _ => "",
    };
    Some(match loaded {
        Some(loaded) => format!("{} ({source})", loaded.place_of(&format!("{source}{key}"))),
        None => source.clone(),
    })
}

/// The entry that would allow the request, or nothing where no entry would, or where the record holds less than the
/// request did: a path that was cut, or in which a secret was masked.
fn entry(record: &Record) -> Option<String> {
    let whole =
        |text: &Option<String>| !text.as_ref().is_some_and(|it| it.contains("…[+") || it.contains("***["));
    if ![&record.host, &record.path, &record.method].into_iter().all(whole) {
        return None;
    }
    let host = record.host.as_deref()?;
    let key = record.source.as_deref().unwrap_or("egress_proxy.routes");
    let more = |name: &str, value: &str| Some(format!("{key}:\n  {name}: [..., {value}]\n"));
    match record.reason.as_deref()? {
        "host_not_allowed" => Some(new_route(record, host)),
        "path_not_allowed" => more("path_allowlist", &scalar(record.path.as_deref()?)),
        "method_not_allowed" => more("methods", &scalar(record.method.as_deref()?)),
        "port_not_allowed" => more("ports", &record.port?.to_string()),
        "rule_expired" => Some(format!("{key}:\n  until: a later date\n")),
        _ => None,
    }
}

/// As narrow as the request; a refused CONNECT says nothing but the host.
fn new_route(record: &Record, host: &str) -> String {
    let mut entry = format!("egress_proxy:\n  routes:\n    - host: {}\n", scalar(host));
    if let Some(port) = record.port.filter(|port| *port != 443) {
        let _ = writeln!(entry, "      ports: [{port}]"); // writing to a String can't fail
    }
    if let Some(path) = record.path.as_deref() {
        let _ = writeln!(entry, "      path_allowlist: [{}]", scalar(path));
    }
    if let Some(method) = record.method.as_deref().filter(|method| *method != "CONNECT") {
        let _ = writeln!(entry, "      methods: [{}]", scalar(method));
    }
    entry
}

/// Text from a request, as YAML: it comes from the agent.
pub(super) fn scalar(text: &str) -> String {
    let quoted = text.contains([',', '[', ']', '{', '}']);
    if quoted { format!("{text:?}") } else { crate::yaml::emit_value(&text.into()).trim_end().to_owned() }
}

fn why_nothing_allows(reason: &str) -> &'static str {
    match reason {
        "git_push" => "no entry allows it: git push is refused on every host",
        "blocked_by_pipelock" => "no route allows it: pipelock looks into every request that it can read",
        "address_not_allowed" => {
            "the host is at a private address; `addresses` on its entry would allow that range"
        }
        "credential_unavailable" => {
            "no rule refused it: the token is missing; set it and run `bottle up --rotate`"
        }
        "upstream_unreachable" | "upstream_invalid" | "upstream_timeout" => {
            "no rule refused it: the host did not answer"
        }
        "limit_reached" | "body_too_large" | "shutting_down" => {
            "no rule refused it: a limit of the proxy did"
        }
        _ => "no entry allows it: the request itself is refused",
    }
}

fn indented(entry: &str) -> String {
    entry.lines().flat_map(|line| ["      ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    const MANIFEST: &str = "\
version: 1
name: dev
agent: {image: x}
egress_proxy:
  routes:
    - host: api.example
      path_allowlist:
        - /v1
";

    fn record(fields: &Value) -> Record {
        let mut record = serde_json::json!({
            "time": "2026-11-24T12:30:01Z", "bottle": "dev", "config": "c", "connection": 1, "verdict": "deny",
            "decided_by": "egress-proxy", "request_bytes": 0, "response_bytes": 0, "complete": true,
            "duration_ms": 1, "method": "POST", "scheme": "https", "host": "api.example", "port": 443,
        });
        for (key, value) in fields.as_object().unwrap() {
            record[key] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn text(fields: Value) -> String {
        let loaded = Manifest::load("bottle.yaml", MANIFEST.as_bytes()).unwrap();
        as_text(&record(&fields), Some(&loaded))
    }

    #[test]
    fn a_path_is_shown_with_its_list_and_the_entry_that_is_missing() {
        let shown = text(serde_json::json!({
            "path": "/v2/x", "reason": "path_not_allowed", "source": "egress_proxy.routes[0]",
        }));
        assert_eq!(
            shown,
            "12:30:01  POST https://api.example/v2/x  path_not_allowed\n    \
             rule:  bottle.yaml:7 (egress_proxy.routes[0])\n    \
             to allow it:\n      egress_proxy.routes[0]:\n        path_allowlist: [..., /v2/x]\n"
        );
    }

    #[test]
    fn an_unknown_host_gets_a_route_as_narrow_as_the_request() {
        let shown = text(serde_json::json!({
            "host": "new.example", "port": 8443, "path": "/a", "reason": "host_not_allowed",
        }));
        assert_eq!(
            shown,
            "12:30:01  POST https://new.example:8443/a  host_not_allowed\n    to allow it:\n      egress_proxy:\n        \
             routes:\n          - host: new.example\n            ports: [8443]\n            path_allowlist: [/a]\n            \
             methods: [POST]\n"
        );
    }

    #[test]
    fn a_push_has_no_entry() {
        let shown = text(serde_json::json!({"path": "/a.git/git-receive-pack", "reason": "git_push"}));
        assert!(shown.ends_with("    no entry allows it: git push is refused on every host\n"), "{shown}");
    }

    #[test]
    fn what_no_rule_refused_is_not_blamed_on_the_manifest() {
        for reason in ["upstream_timeout", "credential_unavailable", "limit_reached"] {
            let shown = text(serde_json::json!({"path": "/a", "reason": reason}));
            assert!(shown.contains("no rule refused it: "), "{shown}");
        }
    }

    #[test]
    fn what_the_agent_sent_cannot_break_out_of_the_entry() {
        let shown = text(serde_json::json!({"path": "/a], methods: [POST", "reason": "path_not_allowed"}));
        assert!(shown.contains("path_allowlist: [..., \"/a], methods: [POST\"]"), "{shown}");
    }

    #[test]
    fn json_has_place_and_entry_beside_the_record() {
        let loaded = Manifest::load("bottle.yaml", MANIFEST.as_bytes()).unwrap();
        let denied = record(&serde_json::json!({
            "path": "/v2", "reason": "path_not_allowed", "source": "egress_proxy.routes[0]",
        }));
        let value = as_json(&denied, Some(&loaded)).unwrap();
        assert_eq!(value["place"], "bottle.yaml:7 (egress_proxy.routes[0])");
        assert_eq!(value["host"], "api.example");
        assert!(value["entry"].as_str().unwrap().contains("path_allowlist"));
    }
}
