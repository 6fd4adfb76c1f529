//! One refusal for a person: the request, the reason, the place of the rule, and what would allow it.

use super::current::{Current, Standing};
use super::when;
use crate::explain::{Advice, why_nothing_allows};
use crate::printable::printable_name;
use crate::telemetry::audit::{Record, Suppressed};
use jiff::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;

/// When, what was asked, why it was refused, which rule decided, and what would allow it.
pub(super) fn as_text(record: &Record, current: &Current<'_>) -> String {
    let reason = record.reason.as_deref().unwrap_or("refused");
    let by = if record.decided_by == "egress-proxy" {
        String::new()
    } else {
        format!(", by {}", record.decided_by)
    };
    let (method, url) = request(record);
    let said = format!("{method} {url}  {reason}{by}");
    let mut text = format!("{}  {}\n", when(record.time, current.clock.now()), printable_name(&said));
    if let Some(message) = &record.message {
        let _ = writeln!(text, "    why:   {}", printable_name(message)); // writing to a String can't fail
    }
    if let Some(finding) = &record.finding {
        let _ = writeln!(text, "    found: {}", printable_name(finding)); // writing to a String can't fail
    }
    if let Some(standing) = current.standing(record) {
        let (Standing::At(place) | Standing::Nowhere(place)) = &standing;
        let _ = writeln!(text, "    rule:  {}", printable_name(place));
    }
    let _ = match current.advice(record) {
        Advice::Entry(entry) => write!(text, "    to allow it:\n{}", indented(&entry)),
        Advice::Allowed => writeln!(
            text,
            "    the manifest allows it now; where it is still refused, `bottle render` and `bottle reload` help"
        ),
        Advice::Nothing => writeln!(text, "    {}", why_nothing_allows(reason)),
        Advice::Unknown(why) => writeln!(text, "    no entry is suggested: {}", printable_name(&why)),
    };
    text
}

/// A flood of refusals, of which the proxy wrote the numbers alone.
pub(super) fn counted(counted: &Suppressed, now: Timestamp) -> String {
    let reasons: Vec<String> = counted.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let hosts = match (&counted.host, counted.hosts, counted.more_hosts) {
        (Some(host), ..) => host.clone(),
        (None, 1, false) => "1 host".to_owned(),
        (None, hosts, false) => format!("{hosts} hosts"),
        (None, hosts, true) => format!("more than {hosts} hosts"),
    };
    format!(
        "{}  {} more refusals until {} ({}): {}\n",
        when(counted.first, now),
        counted.count,
        when(counted.last, now),
        printable_name(&hosts),
        printable_name(&reasons.join(", "))
    )
}

/// The record with `place` (or why it has none) and `entry` beside its own fields.
pub(super) fn as_json(record: &Record, current: &Current<'_>) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(record)?;
    let (place, note) = match current.standing(record) {
        Some(Standing::At(place)) => (Some(place), None),
        Some(Standing::Nowhere(note)) => (None, Some(note)),
        None => (None, None),
    };
    value["place"] = place.into();
    value["place_note"] = note.into();
    value["entry"] = match current.advice(record) {
        Advice::Entry(entry) => entry.into(),
        Advice::Allowed | Advice::Nothing | Advice::Unknown(_) => Value::Null,
    };
    Ok(value)
}

/// The method, and the URL or what was received instead of one.
pub(super) fn request(record: &Record) -> (String, String) {
    let method = record.method.clone().unwrap_or_else(|| "?".to_owned());
    if let Some(target) = record.target.as_deref().filter(|it| record.host.is_none() || !it.starts_with('/'))
    {
        return (method, format!("{target}{}", query(record)));
    }
    let host = record.host.as_deref().unwrap_or("?");
    let scheme = record.scheme.as_deref().unwrap_or("https");
    let port = match (scheme, record.port) {
        (_, None) | ("https", Some(443)) | ("http", Some(80)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let path = record.path.as_deref().or(record.target.as_deref()).unwrap_or_default();
    (method, format!("{scheme}://{host}{port}{path}{}", query(record)))
}

/// Only its length is recorded.
fn query(record: &Record) -> String {
    record.query_bytes.map(|bytes| format!("?[{bytes} bytes]")).unwrap_or_default()
}

fn indented(entry: &str) -> String {
    entry.lines().flat_map(|line| ["      ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
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
      methods: [GET]
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

    fn shown(manifest: &str, record: &Record) -> String {
        let loaded = Manifest::load("bottle.yaml", manifest.as_bytes()).ok();
        let clock = Clock::fixed("2026-11-24T20:00:00Z".parse().unwrap());
        as_text(record, &Current::new("bottle.yaml".into(), loaded.as_ref(), clock))
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn text(fields: Value) -> String {
        shown(MANIFEST, &record(&fields))
    }

    /// What a manifest has to become for a request to be allowed is what is suggested.
    fn manifest(entry: &str) -> String {
        MANIFEST.replace("      path_allowlist:\n        - /v1\n      methods: [GET]\n", entry)
    }

    #[test]
    fn a_path_is_shown_with_its_list_and_the_entry_that_is_missing() {
        let shown = text(serde_json::json!({
            "method": "GET", "path": "/v2/x", "reason": "path_not_allowed", "source": "egress_proxy.routes[0]",
        }));
        assert_eq!(
            shown,
            "12:30:01  GET https://api.example/v2/x  path_not_allowed\n    \
             rule:  bottle.yaml:7 (egress_proxy.routes[0])\n    \
             to allow it:\n      egress_proxy.routes[0]:\n        path_allowlist: [..., /v2/x]\n"
        );
    }

    #[test]
    fn a_denied_path_is_shown_with_the_entry_that_denies_it() {
        let with =
            manifest("      path_allowlist:\n        - /v1\n      deny_paths: [/v1/x, /V1/X/y, /v1/z]\n");
        let refused = record(&serde_json::json!({
            "path": "/v1/X/y/z", "reason": "path_denied", "rule": "api.example", "source": "egress_proxy.routes[0]",
        }));
        let text = shown(&with, &refused);
        assert!(text.contains("    rule:  bottle.yaml:9 (egress_proxy.routes[0])\n"), "{text}");
        assert!(
            text.ends_with("      egress_proxy.routes[0]:\n        deny_paths: without /v1/x, /V1/X/y\n"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_host_gets_a_route_with_the_first_segments_of_the_path() {
        let shown = text(serde_json::json!({
            "host": "new.example", "port": 8443, "path": "/a/b/c/d", "reason": "host_not_allowed",
        }));
        assert_eq!(
            shown,
            "12:30:01  POST https://new.example:8443/a/b/c/d  host_not_allowed\n    to allow it:\n      egress_proxy:\n        \
             routes:\n          - host: new.example\n            ports: [8443]\n            path_allowlist: [/a/b/c]\n            \
             methods: [POST]\n"
        );
    }

    #[test]
    fn what_was_received_is_shown_where_it_is_no_url_and_why_it_was_refused() {
        let message = "the host of CONNECT is malformed: an address";
        let connect = text(serde_json::json!({
            "method": "CONNECT", "scheme": null, "host": null, "port": null, "target": "10.0.0.1:443",
            "reason": "malformed_authority", "message": message,
        }));
        let first: Vec<&str> = connect.lines().take(2).collect();
        assert_eq!(first[0], "12:30:01  CONNECT 10.0.0.1:443  malformed_authority");
        assert_eq!(first[1], format!("    why:   {message}"));
        let path = text(serde_json::json!({
            "target": "/a/../b", "query_bytes": 7, "reason": "malformed_target", "message": "m\u{1b}[2J",
        }));
        let first: Vec<&str> = path.lines().take(2).collect();
        assert_eq!(first[0], "12:30:01  POST https://api.example/a/../b?[7 bytes]  malformed_target");
        assert_eq!(first[1], "    why:   m\\u{1b}[2J");
    }

    #[test]
    fn a_push_has_no_entry() {
        let shown = text(serde_json::json!({"path": "/a.git/git-receive-pack", "reason": "git_push"}));
        assert!(
            shown.ends_with(
                "    git push is refused unless the route says what it may change, in `git.push`\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn what_no_rule_refused_is_not_blamed_on_the_manifest() {
        for reason in ["upstream_timeout", "credential_unavailable", "limit_reached"] {
            let shown = text(serde_json::json!({"path": "/a", "reason": reason}));
            assert!(shown.contains("no rule refused it: "), "{shown}");
        }
    }

    #[test]
    fn a_rule_is_found_by_its_id_and_never_by_where_it_stood() {
        let refused = record(&serde_json::json!({
            "path": "/v1", "reason": "method_not_allowed", "rule": "api.example", "source": "egress_proxy.routes[0]",
        }));
        let moved = MANIFEST.replace("  routes:\n", "  routes:\n    - host: other.example\n");
        let shown_then = shown(&moved, &refused);
        assert!(shown_then.contains("    rule:  bottle.yaml:10 (egress_proxy.routes[1])\n"), "{shown_then}");
        assert!(
            shown_then.contains("      egress_proxy.routes[1]:\n        methods: [..., POST]\n"),
            "{shown_then}"
        );

        let gone = shown(&MANIFEST.replace("api.example", "other.example"), &refused);
        assert!(gone.contains("    rule:  the rule for api.example is no longer in bottle.yaml\n"), "{gone}");
        assert!(!gone.contains("routes[0]") && !gone.contains("other.example"), "{gone}");
        assert!(
            gone.contains("          - host: api.example\n            path_allowlist: [/v1]\n"),
            "{gone}"
        );

        let unreadable = shown("junk: [", &refused);
        assert!(
            unreadable.ends_with(
                "    rule:  api.example; bottle.yaml can't be read now\n    \
                 no entry is suggested: bottle.yaml can't be read now\n"
            ),
            "{unreadable}"
        );
        let allowed = shown(&MANIFEST.replace("[GET]", "[GET, POST]"), &refused);
        assert!(allowed.contains("    the manifest allows it now"), "{allowed}");
    }

    #[test]
    fn what_is_suggested_is_enough() {
        let asked = serde_json::json!({
            "port": 8443, "path": "/v2/x", "reason": "port_not_allowed", "source": "egress_proxy.routes[0]",
        });
        let suggested = text(asked.clone());
        assert!(
            suggested.ends_with(
                "      egress_proxy.routes[0]:\n        ports: [..., 8443]\n        methods: [..., POST]\n        \
                 path_allowlist: [..., /v2/x]\n"
            ),
            "{suggested}"
        );
        let followed = manifest(
            "      ports: [443, 8443]\n      methods: [GET, POST]\n      path_allowlist: [/v1, /v2/x]\n",
        );
        let followed = shown(&followed, &record(&asked));
        assert!(followed.contains("    the manifest allows it now"), "{followed}");
        let expired = manifest("      until: 2026-11-23\n      path_allowlist: [/v2]\n      ports: [8443]\n");
        let expired = shown(&expired, &record(&asked));
        assert!(
            expired.ends_with("      egress_proxy.routes[0]:\n        until: a later date\n"),
            "{expired}"
        );
    }

    #[test]
    fn a_fetch_is_allowed_for_its_repository_and_every_path_is_called_so() {
        let fetch = text(serde_json::json!({
            "host": "git.example", "path": "/acme/app.git/git-upload-pack", "git": "fetch",
            "reason": "host_not_allowed",
        }));
        let suggested = "            path_allowlist: [/acme/app.git]\n            methods: [GET, POST]\n";
        assert!(fetch.ends_with(suggested), "{fetch}");
        let listed = text(serde_json::json!({
            "method": "GET", "path": "/acme/app.git/info/refs", "git": "fetch", "reason": "path_not_allowed",
            "source": "egress_proxy.routes[0]",
        }));
        let suggested = "        path_allowlist: [..., /acme/app.git]\n        methods: [..., POST]\n";
        assert!(listed.ends_with(suggested), "a clone asks with both: {listed}");
        let slash = serde_json::json!({"method": "GET", "path": "/v2/", "reason": "path_not_allowed"});
        assert!(text(slash).ends_with("path_allowlist: [..., /v2]\n"));
        let all = text(serde_json::json!({"method": "GET", "path": "/", "reason": "path_not_allowed"}));
        assert!(
            all.ends_with("path_allowlist: [..., /] # every path; name those that are needed\n"),
            "{all}"
        );
        let root = text(serde_json::json!({"host": "a.example", "path": "/", "reason": "host_not_allowed"}));
        assert!(root.contains("path_allowlist: [/] # every path; name those that are needed\n"), "{root}");
        let tunnel = text(serde_json::json!({
            "host": "a.example", "method": "CONNECT", "port": 8443, "reason": "host_not_allowed",
        }));
        assert!(
            tunnel.contains("path_allowlist: [/] # every path") && !tunnel.contains("methods"),
            "{tunnel}"
        );
    }

    #[test]
    fn a_request_that_the_record_does_not_hold_whole_gets_no_entry() {
        for path in ["/***[GitHub Token]/x", "/a…[+9 bytes]"] {
            let shown = text(serde_json::json!({"path": path, "reason": "path_not_allowed"}));
            assert!(
                shown.ends_with(
                    "no entry is suggested: a part of the request was masked or cut in the record\n"
                ),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_the_agent_sent_cannot_break_out_of_the_entry() {
        for (path, listed) in [("/a],b", "\"/a%5D,b\""), ("/a,b", "\"/a,b\""), ("/a: b", "")] {
            let shown =
                text(serde_json::json!({"method": "GET", "path": path, "reason": "path_not_allowed"}));
            match listed {
                "" => assert!(!shown.contains("to allow it"), "{shown}"),
                listed => assert!(shown.ends_with(&format!("path_allowlist: [..., {listed}]\n")), "{shown}"),
            }
        }
    }

    #[test]
    fn json_has_place_and_entry_beside_the_record() {
        let loaded = Manifest::load("bottle.yaml", MANIFEST.as_bytes()).unwrap();
        let denied = record(&serde_json::json!({
            "path": "/v2", "reason": "path_not_allowed", "source": "egress_proxy.routes[0]",
        }));
        let current = Current::new("bottle.yaml".into(), Some(&loaded), Clock::system());
        let value = as_json(&denied, &current).unwrap();
        assert_eq!(value["place"], "bottle.yaml:7 (egress_proxy.routes[0])");
        assert_eq!(value["host"], "api.example");
        assert!(value["entry"].as_str().unwrap().contains("path_allowlist"));
    }
}
