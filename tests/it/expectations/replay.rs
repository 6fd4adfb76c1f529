//! `bottle test --replay`.

use super::{Said, Site};
use fs_err as fs;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A record of the end of a request; what is `null` is left out.
fn record(fields: &Value) -> String {
    let mut record = json!({
        "time": "2026-11-24T12:30:01Z", "event": "end", "request": "1-1-1", "bottle": "dev", "config": "c",
        "connection": 1, "method": "GET", "scheme": "https", "host": "api.example.test", "port": 443, "git": "none",
        "verdict": "allow", "decided_by": "egress-proxy", "credential": "FORGE_TOKEN", "request_bytes": 0,
        "response_bytes": 0, "complete": true, "duration_ms": 1,
    });
    for (key, value) in fields.as_object().unwrap() {
        record[key] = value.clone();
    }
    record.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    format!("{record}\n")
}

fn allowed(path: &str) -> String {
    record(&json!({"path": path}))
}

fn denied(path: &str, reason: &str) -> String {
    record(&json!({"path": path, "event": "deny", "verdict": "deny", "reason": reason, "credential": null}))
}

fn replayed(audit: impl AsRef<[u8]>, arguments: &[&str]) -> (Site, Said) {
    let site = Site::new("");
    site.write("audit.jsonl", audit);
    let said = site.test(&[&["--replay", "audit.jsonl", "--quiet"], arguments].concat());
    (site, said)
}

fn json_of(audit: impl AsRef<[u8]>) -> Value {
    let (_site, said) = replayed(audit, &["--format", "json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err))
}

#[test]
fn nothing_changes_under_the_rules_that_decided() {
    let audit = allowed("/user") + &allowed("/repos/acme/app/x") + &denied("/user/keys/1", "path_denied");
    let (_site, said) = replayed(&audit, &[]);
    let expected = "\
3 requests replayed under bottle.yaml, of 2026-11-24 12:30:01 to 2026-11-24 12:30:01 (UTC)

same: 3 requests (2 allowed, 1 denied)
note: fields and bodies are not recorded: what a scan of them would find now is not known
";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
}

/// Text golden: each change, each reason for which a record can't be replayed.
#[test]
fn what_changes_is_grouped() {
    let mut audit = String::new();
    for number in 0..3 {
        audit += &allowed(&format!("/orgs/{number}"));
    }
    audit += &record(
        &json!({"host": "new.example.test", "path": "/a/b/c/d", "credential": null, "query_bytes": 4}),
    );
    audit += &denied("/repos/acme/app", "path_not_allowed");
    audit += &record(&json!({"path": "/user", "credential": "OLD_TOKEN", "time": "2026-11-25T00:00:00Z"}));
    audit += &record(&json!({"host": "raw.example.test", "path": "/", "credential": "OLD_TOKEN"}));
    audit += &record(&json!({
        "host": "old.example.test", "path": "/", "credential": null, "time": "2026-11-26T00:00:00Z",
    }));
    audit += &allowed("/user");
    // A push stays one, however it was told.
    audit += &record(&json!({
        "path": "/repos/acme/app/info/refs", "git": "push", "event": "deny", "verdict": "deny", "reason": "git_push",
    }));
    audit += &record(&json!({"event": "dispatch", "request": "1-1-2", "path": "/user"}));
    audit += &record(&json!({"event": "dispatch", "request": "1-1-3", "path": "/user"}));
    audit += &record(&json!({"request": "1-1-3", "path": "/user"}));
    audit += &record(&json!({"verdict": "error", "reason": "upstream_timeout", "path": "/user"}));
    audit += &record(&json!({"event": "error", "verdict": "error", "reason": "limit_reached"}));
    audit += &record(&json!({"event": "aborted", "path": "/user"}));
    audit += &record(&json!({"event": "answer", "host": "bottle.internal", "path": "/allowlist"}));
    audit += &allowed("/user…[+9 bytes]");
    audit += &allowed("/***[GitHub Token]");
    audit += &record(
        &json!({"event": "deny", "verdict": "deny", "reason": "malformed_target", "target": "/a/../b"}),
    );
    audit += &denied("/user", "credential_in_request");
    audit += &record(&json!({"bottle": "other", "path": "/user"}));
    audit += concat!(
        r#"{"time":"2026-11-24T12:30:01Z","event":"suppressed","decided_by":"egress-proxy","count":5,"reasons":{"git_push":5},"hosts":1,"more_hosts":false,"first":"2026-11-24T12:30:01Z","last":"2026-11-24T12:30:01Z"}"#,
        "\n",
        r#"{"time":"2026-11-24T12:30:09Z","event":"counted","decided_by":"egress-proxy","requests":7,"kinds":[],"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}"#,
        "\n",
        r#"{"time":"2026-11-24T12:30:09Z","event":"counting","decided_by":"egress-proxy","series":"sent"}"#,
        "\n",
        r#"{"level":"info","time":"2026-11-24T12:30:09Z","component":"pipelock","event":"allowed","method":"GET","url":"https://api.example.test/user"}"#,
        "\n",
    );
    let (site, said) = replayed(&audit, &[]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    insta::assert_snapshot!("changes", said.out);
    let json = site.test(&["--replay", "audit.jsonl", "--quiet", "--format", "json"]);
    assert_eq!(json.code, 1);
    insta::assert_snapshot!("changes_json", json.out);
}

/// A rule that has ended did not refuse what came before.
#[test]
fn each_request_is_decided_on_for_its_own_day() {
    let on = |day: &str| {
        record(&json!({
            "host": "old.example.test", "path": "/", "credential": null, "time": format!("{day}T23:59:59Z"),
        }))
    };
    assert_eq!(json_of(on("2026-06-30"))["newly_denied"]["requests"], 0);
    assert_eq!(json_of(on("2026-07-01"))["newly_denied"]["groups"][0]["reason"], "rule_expired");
    let (_site, said) = replayed(on("2026-06-30"), &["--now", "2026-07-01"]);
    assert_eq!(said.code, 1);
}

#[test]
fn a_tunnel_is_replayed_as_far_as_it_is_known() {
    let connect = |port: u16| {
        record(&json!({
            "method": "CONNECT", "event": "deny", "verdict": "deny", "reason": "port_not_allowed", "port": port,
            "credential": null, "git": null,
        }))
    };
    let json = json_of(connect(8443) + &connect(443));
    assert_eq!(json["same"], json!({"allowed": 0, "denied": 1}));
    let group = &json["newly_allowed"]["groups"][0];
    assert_eq!((&group["method"], &group["origin"]), (&"CONNECT".into(), &"https://api.example.test".into()));
}

#[test]
fn a_bottle_without_routes_has_its_requests_in_pipelocks_records() {
    let line = |fields: &str| {
        format!(
            r#"{{"level":"info","time":"2026-11-24T12:30:01Z","component":"pipelock","client_ip":"unix",{fields}}}"#
        ) + "\n"
    };
    let audit = [
        r#""event":"dispatch","request_id":"1","method":"GET","url":"https://a.test/x""#,
        r#""event":"allowed","request_id":"1","method":"GET","url":"https://a.test/x","query_bytes":3"#,
        r#""event":"allowed","request_id":"2","method":"GET","url":"https://gone.test/x""#,
        r#""event":"blocked","request_id":"3","method":"CONNECT","target":"b.test:443","scanner":"domain_not_allowed""#,
        r#""event":"blocked","request_id":"4","method":"CONNECT","target":"no.test:443","scanner":"domain_not_allowed""#,
        r#""event":"blocked","request_id":"5","method":"GET","url":"https://a.test/y","scanner":"dlp_match""#,
        r#""event":"tunnel_open","request_id":"6","target":"blind.test:443""#,
        r#""event":"startup""#,
    ]
    .map(line)
    .concat();
    let site = Site::new("");
    site.write(
        "bottle.yaml",
        "version: 1\nname: dev\nagent: {image: x}\negress: {allowlist: [a.test, b.test, {host: blind.test, inspect: false}]}\n",
    );
    site.write("audit.jsonl", audit);
    let said = site.test(&["--replay", "audit.jsonl", "--quiet", "--format", "json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json["same"], json!({"allowed": 2, "denied": 1}), "{json:#}");
    let denied = &json["newly_denied"]["groups"][0];
    assert_eq!((&denied["origin"], &denied["decided_by"]), (&"https://gone.test".into(), &"pipelock".into()));
    assert_eq!(denied["entry"], "egress:\n  allowlist: [..., gone.test]\n");
    assert_eq!(json["newly_allowed"]["groups"][0]["origin"], "https://b.test");
    assert_eq!(
        (&json["not_replayed"]["content"], &json["not_replayed"]["pipelock_event"]),
        (&1.into(), &1.into())
    );
    assert_eq!(json["without_query"], 1);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_come_plain_compressed_in_a_folder_and_from_stdin() {
    let site = Site::new("");
    let sent = |request: u8, event: &str| {
        record(&json!({"request": format!("1-1-{request}"), "event": event, "path": "/user"}))
    };
    // The end is in a later file than the dispatch.
    site.write("trail/sent-0000000001.jsonl.gz", gzip(&(sent(1, "end") + &sent(2, "dispatch"))));
    site.write("trail/sent-0000000002.jsonl", sent(2, "end") + &sent(3, "dispatch"));
    site.write("trail/sent.jsonl", sent(3, "end"));
    site.write("trail/denied.jsonl", denied("/x", "path_not_allowed"));
    site.write("trail/notes.txt", "not a trail");
    let said = site.test(&["--replay", "trail", "--format", "json"]);
    assert_eq!(said.err, "");
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&json["same"], &json["not_replayed"]["unfinished"]),
        (&json!({"allowed": 3, "denied": 1}), &0.into())
    );
    // A file that is named twice is read once.
    let again = site.test(&["--replay", "trail", "--replay", "trail/sent.jsonl", "-q", "--format", "json"]);
    assert_eq!(again.out, said.out);
    for bytes in [sent(1, "end").into_bytes(), gzip(&sent(1, "end"))] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bottle"))
            .args(["test", "--replay", "-"])
            .current_dir(&site.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b"replaying stdin\n"[..]));
        assert!(output.stdout.starts_with(b"1 request replayed under bottle.yaml"), "{output:?}");
    }
}

#[test]
fn torn_lines_and_unknown_fields_are_warnings() {
    let torn = &allowed("/user")[..40];
    let newer = allowed("/user").replacen('{', r#"{"new\u001b[2J":{"a":1},"#, 1);
    let (_site, said) = replayed(format!("{}{torn}\n{newer}{torn}", allowed("/user")), &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(
        said.err,
        "warning: audit.jsonl: 2 torn lines were passed over (line 2, 4): a proxy was killed while it wrote, or still writes\n\
         warning: 1 record holds fields that this version of bottle does not know, and that were ignored: new\\u{1b}[2J\n"
    );
    let json = json_of(format!("{}{torn}", allowed("/user")));
    assert_eq!(
        json["warnings"],
        json!([
            "audit.jsonl: 1 torn line was passed over (line 2): a proxy was killed while it wrote, or still writes"
        ])
    );
}

#[test]
fn what_is_not_a_trail_is_refused_and_nothing_is_said_of_it() {
    let foreign = "this is not an audit record of this version of bottle";
    let newer = allowed("/user").replace(r#""event":"end""#, r#""event":"begun""#);
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(20_000));
    let cases: [(Vec<u8>, &str); 7] = [
        (
            (allowed("/user") + "junk\n" + &allowed("/user")).into_bytes(),
            "error[not-an-audit-log]: audit.jsonl, line 2: this is not an audit record",
        ),
        ((allowed("/user") + &newer).into_bytes(), "unknown variant `begun`"),
        ((allowed("/user") + "{}\n").into_bytes(), foreign),
        ((allowed("/user") + &long).into_bytes(), "it is longer than 16384 bytes"),
        (
            {
                let mut cut = gzip(&allowed("/user").repeat(2000));
                cut.truncate(cut.len() / 2);
                cut
            },
            "error: audit.jsonl: can't read it after line ",
        ),
        (Vec::new(), "error: no request in audit.jsonl could be replayed: there is none\n"),
        (
            record(&json!({"bottle": "other", "path": "/user"})).into_bytes(),
            "error: no request in audit.jsonl could be replayed: 1 of another bottle\n",
        ),
    ];
    for (bytes, expected) in cases {
        let (_site, said) = replayed(bytes, &[]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let site = Site::new("");
    site.write("audit.jsonl", allowed("/user"));
    site.write("empty/notes.txt", "");
    fs::os::unix::fs::symlink("audit.jsonl", site.folder.join("link.jsonl")).unwrap();
    for (arguments, expected) in [
        (&["--replay", "none.jsonl"][..], "error: can't read none.jsonl: No such file"),
        (&["--replay", "link.jsonl"], "error: link.jsonl is a symbolic link, which bottle does not follow"),
        (
            &["--replay", "empty"],
            "error[not-an-audit-log]: empty holds no *.jsonl and no *.jsonl.gz; name the folder of one proxy, such as",
        ),
        (
            &["--replay", "audit.jsonl", "audit.jsonl"],
            "error: audit.jsonl is not the name of a manifest; name each audit file with a --replay of its own, or the folder",
        ),
        (&["--replay", "audit.jsonl", "--junit", "x"], "cannot be used with"),
    ] {
        let said = site.refused(arguments);
        assert!(said.contains(expected), "{said}");
    }
    assert!(!site.folder.join("x").exists());
}

/// As many groups as an agent likes: the text and memory stay bounded, and every request is counted.
#[test]
fn more_groups_than_are_told_apart_are_counted() {
    let audit: String = (0..2100)
        .map(|n| {
            let word: String =
                format!("{n:04}").bytes().map(|digit| char::from(digit - b'0' + b'k')).collect();
            allowed(&format!("/{word}"))
        })
        .collect();
    let (site, said) = replayed(&audit, &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.out.contains("\nnewly denied: 2100 requests\n"), "{}", said.out);
    assert!(
        said.out.contains("  and 1950 requests in smaller groups, which --format json lists\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("  and 100 requests in more groups than are told apart\n"), "{}", said.out);
    assert_eq!(said.out.matches("  - GET ").count(), 50);
    let json = site.test(&["--replay", "audit.jsonl", "-q", "--format", "json"]).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["newly_denied"]["ungrouped"], 100);
    assert_eq!(json["newly_denied"]["groups"].as_array().unwrap().len(), 2000);
}

#[test]
fn what_an_agent_asked_for_steers_nothing() {
    let path = "/a\u{1b}[2J\u{202e}\n  + GET https://evil.test/";
    let audit =
        allowed(path) + &record(&json!({"path": path, "host": "a\u{1b}[2J.test", "method": "G\u{1b}T"}));
    let (_site, said) = replayed(audit, &[]);
    for text in [&said.out, &said.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    assert!(!said.out.lines().any(|line| line.starts_with("  + ")), "{}", said.out);
}
