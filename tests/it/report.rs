//! `bottle report`: the facts, where they come from, and the file that they are written to.

mod page;

use bottle::report::{self, Collector, Listing, Report, Rules};
use bottle::telemetry::audit::{AuditFile, AuditLine};
use camino::Utf8PathBuf;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const MANIFEST: &str = "\
version: 1
name: dev
agent: {image: x}
egress_proxy:
  routes:
    - host: api.example
      path_allowlist: [/v1]
      methods: [GET]
";

/// A record of egress-proxy, with some of its fields changed.
fn record(fields: &Value) -> Value {
    let mut record = json!({
        "time": "2026-11-24T12:30:01Z", "event": "deny", "request": "1-1-1", "bottle": "dev", "config": "c0ffee",
        "connection": 1, "method": "GET", "scheme": "https", "host": "api.example", "port": 443, "path": "/v1",
        "verdict": "deny", "decided_by": "egress-proxy", "request_bytes": 0, "response_bytes": 0, "complete": true,
        "duration_ms": 1,
    });
    for (key, value) in fields.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

fn allowed(time: &str, fields: &Value) -> Value {
    let mut all = json!({"time": time, "event": "end", "verdict": "allow", "status": 200});
    for (key, value) in fields.as_object().unwrap() {
        all[key] = value.clone();
    }
    record(&all)
}

fn lines(records: &[Value]) -> String {
    records.iter().flat_map(|record| [record.to_string(), "\n".to_owned()]).collect()
}

/// A trail with something of everything.
fn trail() -> Vec<Value> {
    let second = |n: u32| format!("2026-11-24T12:30:{n:02}Z");
    let count = json!({
        "host": "api.example", "method": "GET", "rule": "api.example", "requests": 40,
        "outcomes": {"allow 2xx": 30, "deny 4xx": 5, "error": 2}, "request_bytes": 100, "response_bytes": 1000, "paths": 3,
        "more_paths": false, "first": second(20), "last": second(29),
    });
    vec![
        allowed(&second(1), &json!({"event": "dispatch", "request": "a"})),
        allowed(
            &second(1),
            &json!({"request": "a", "credential": "API_TOKEN", "request_bytes": 10, "query_bytes": 5,
            "response_bytes": 2000}),
        ),
        allowed(&second(2), &json!({"event": "dispatch", "request": "b"})),
        record(
            &json!({"time": second(3), "method": "POST", "reason": "method_not_allowed", "rule": "api.example",
            "source": "egress_proxy.routes[0]", "message": "POST is not allowed", "request_bytes": 77}),
        ),
        record(&json!({"time": second(4), "path": "/v2/items/17", "reason": "path_not_allowed"})),
        record(&json!({"time": second(5), "path": "/v2/items/18", "reason": "path_not_allowed"})),
        record(&json!({"time": second(6), "host": "new.example", "reason": "host_not_allowed"})),
        record(
            &json!({"time": second(7), "event": "end", "decided_by": "pipelock", "reason": "blocked_by_pipelock",
            "finding": "GitHub Token in the body", "request": "c"}),
        ),
        record(
            &json!({"time": second(8), "event": "end", "verdict": "error", "reason": "upstream_timeout", "request": "d"}),
        ),
        record(&json!({"time": second(9), "event": "answer", "verdict": "allow", "host": "bottle.internal"})),
        record(&json!({"time": second(9), "event": "aborted", "verdict": "error"})),
        json!({"time": second(10), "event": "counting", "decided_by": "egress-proxy", "series": "denied"}),
        json!({"time": second(15), "event": "suppressed", "decided_by": "egress-proxy", "count": 900,
            "reasons": {"host_not_allowed": 900}, "hosts": 37, "more_hosts": false, "first": second(10), "last": second(15)}),
        json!({"time": second(20), "event": "counting", "decided_by": "egress-proxy", "series": "sent"}),
        json!({"time": second(29), "event": "counted", "decided_by": "egress-proxy", "requests": 40, "kinds": [count],
            "first": second(20), "last": second(29)}),
        json!({"time": second(30), "event": "counting", "decided_by": "egress-proxy", "series": "denied"}),
        json!({"level": "warn", "time": second(31), "component": "pipelock", "event": "response_scan", "method": "GET",
            "url": "https://api.example/v1", "scanner": "injection", "pattern": "ignore previous", "action": "warn",
            "reason": "asks to ignore instructions", "request_id": "p1"}),
        json!({"level": "info", "time": second(31), "component": "pipelock", "event": "allowed", "method": "GET",
            "url": "https://api.example/v1", "request_id": "p1"}),
        allowed("2026-11-24T12:35:00Z", &json!({"request": "e"})),
    ]
}

fn reported(records: &[Value]) -> Report {
    let mut collector = Collector::new(None);
    let mut file = AuditFile::new(std::io::Cursor::new(lines(records).into_bytes())).unwrap();
    while let Some(line) = file.next_line().unwrap() {
        let AuditLine::Entry(entry, _) = line else { panic!("{line:?}") };
        collector.see(&entry);
    }
    let rules = Rules::Unknown("no manifest".to_owned());
    collector.finish(vec!["audit.jsonl".to_owned()], &rules, Listing::SHORT, Vec::new())
}

struct Site {
    _dir: tempfile::TempDir,
    folder: Utf8PathBuf,
}

impl Site {
    fn with(records: &[Value]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        fs_err::write(folder.join("audit.jsonl"), lines(records)).unwrap();
        Self { folder, _dir: dir }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.current_dir(&self.folder).env("XDG_STATE_HOME", self.folder.join("state"));
        command.stdin(Stdio::null()).arg("report").args(arguments).output().unwrap()
    }

    fn out(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        serde_json::from_str(&self.out(&arguments)).unwrap()
    }

    /// What is said when it can't be done; nothing is printed then.
    fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0), "{said}");
        said
    }
}

#[test]
fn every_request_is_counted_once_and_under_what_became_of_it() {
    let report = reported(&trail());
    let totals = report.totals;
    assert_eq!((totals.allowed, totals.denied, totals.failed), (2 + 30, 5 + 900 + 5, 1 + 2));
    assert_eq!((totals.aborted, totals.answered), (1, 1));
    assert_eq!(totals.unfinished, 1 + 3, "one has no end, and of those that were counted 3 have none");
    assert_eq!(totals.requests, 32 + 910 + 3 + 1 + 1 + 4);
    assert_eq!(totals.counted, 940);
    assert_eq!((totals.bytes_sent, totals.query_bytes), (10 + 5 + 100, 5), "what was refused was not sent");
    assert_eq!(totals.bytes_received, 2000 + 1000);
    assert_eq!(report.recorded_by, "egress-proxy", "pipelock's own records count nothing twice");
    let of_reasons: u64 = report.denied.iter().map(|reason| reason.requests).sum();
    assert_eq!(of_reasons, totals.denied);
    let of_failures: u64 = report.failed.iter().map(|reason| reason.requests).sum();
    assert_eq!(of_failures, totals.failed);
    let line = &report.timeline.intervals;
    assert_eq!(line.iter().map(|it| it.allowed + it.denied + it.failed).sum::<u64>(), 32 + 910 + 3);
    let paths = report.denied.iter().find(|reason| reason.reason == "path_not_allowed").unwrap();
    let [group] = &paths.groups[..] else { panic!("one group: {paths:?}") };
    assert_eq!((group.path.as_str(), group.requests), ("/v2/items/*", 2));
    assert_eq!(group.example.as_deref(), Some("/v2/items/17"));
    let [found] = &report.findings.rows[..] else { panic!("pipelock's words: {:?}", report.findings) };
    assert_eq!((found.what.as_str(), found.place.as_str()), ("ignore previous", "response"));
    let [used] = &report.credentials.rows[..] else { panic!("{:?}", report.credentials) };
    assert_eq!((used.name.as_str(), used.requests), ("API_TOKEN", 1));
    let said = report.notes.join("\n");
    for sentence in [
        "940 requests of floods: counted",
        "900 requests of these floods: denied for several hosts",
        "because a proxy was killed: 1.",
        "4 requests without an end",
        "1 request in the records of pipelock",
        "no manifest",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
}

#[test]
fn entries_are_those_that_the_rules_were_tried_with() {
    let site = Site::with(&trail());
    let without = site.json(&["audit.jsonl"]);
    assert_eq!(without["rules"], Value::Null);
    let notes = without["notes"].to_string();
    assert!(notes.contains("No entries are suggested: no manifest was named"), "{notes}");
    fs_err::write(site.folder.join("bottle.yaml"), MANIFEST).unwrap();
    let with = site.json(&["audit.jsonl"]);
    assert_eq!(with["rules"], "bottle.yaml");
    let suggestion = |reason: &str| {
        let reasons = with["denied"].as_array().unwrap();
        reasons.iter().find(|one| one["reason"] == reason).unwrap()["groups"][0]["suggestion"].clone()
    };
    assert_eq!(
        suggestion("method_not_allowed"),
        json!({"entry": "egress_proxy.routes[0]:\n  methods: [..., POST]\n"})
    );
    assert_eq!(
        suggestion("path_not_allowed"),
        json!({"entry": "egress_proxy.routes[0]:\n  path_allowlist: [..., /v2/items/17]\n"})
    );
    let blocked = suggestion("blocked_by_pipelock")["none"].to_string();
    assert!(blocked.contains("pipelock looks into every request"), "{blocked}");
    let page = site.out(&["audit.jsonl"]);
    assert!(page.contains("<code>  methods: [..., POST]</code>"), "{page}");
    // Followed, the entry allows it.
    fs_err::write(site.folder.join("bottle.yaml"), MANIFEST.replace("[GET]", "[GET, POST]")).unwrap();
    let text = site.out(&["audit.jsonl", "--format", "text"]);
    assert!(text.contains("today's rules allow it"), "{text}");
    fs_err::write(site.folder.join("bottle.yaml"), MANIFEST.replace("name: dev", "name: other")).unwrap();
    let other = site.json(&["audit.jsonl"])["notes"].to_string();
    assert!(
        other.contains("bottle.yaml is the manifest of other, and no record is of that bottle"),
        "{other}"
    );
    fs_err::write(site.folder.join("bottle.yaml"), "junk: [").unwrap();
    let broken = site.json(&["audit.jsonl"])["notes"].to_string();
    assert!(broken.contains("the nearest manifest has errors"), "{broken}");
    let named = site.refused(&["audit.jsonl", "--manifest", "bottle.yaml"]);
    assert!(named.contains("bottle.yaml"), "{named}");
}

#[test]
fn the_document_is_what_its_schema_says() {
    let site = Site::with(&trail());
    let document = site.json(&["audit.jsonl"]);
    let schema = report::schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&document), "{:?}", validator.iter_errors(&document).next());
    assert!(!validator.is_valid(&json!({"bottle_report": 1})));
}

#[test]
fn torn_foreign_and_compressed_lines_are_said() {
    let site = Site::with(&trail());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(&trail()).as_bytes()).unwrap();
    fs_err::write(site.folder.join("old.jsonl.gz"), gzip.finish().unwrap()).unwrap();
    let zipped = site.json(&["old.jsonl.gz"]);
    assert_eq!(zipped["totals"], site.json(&["audit.jsonl"])["totals"]);
    let copied = site.refused(&["audit.jsonl", "old.jsonl.gz"]);
    assert!(
        copied
            .contains("audit.jsonl and old.jsonl.gz begin with the same record: one is a copy of the other"),
        "{copied}"
    );
    let mut file = fs_err::OpenOptions::new().append(true).open(site.folder.join("audit.jsonl")).unwrap();
    file.write_all(b"hello\n{\"time\":\"2026").unwrap();
    let notes = site.json(&["audit.jsonl"])["notes"].to_string();
    assert!(notes.contains("audit.jsonl: 1 torn line was passed over (line 21)"), "{notes}");
    assert!(
        notes
            .contains("Lines that are not audit records of this version of bottle, and were passed over: 1."),
        "{notes}"
    );
    assert!(notes.contains("The first is audit.jsonl, line 20: it is not a JSON object"), "{notes}");
    let since = site.json(&["audit.jsonl", "--since", "2026-11-24T12:31:00Z"]);
    assert_eq!(since["totals"]["requests"], 1);
}

#[test]
fn what_can_t_be_reported_is_refused_with_what_to_do() {
    let site = Site::with(&[]);
    assert_eq!(
        site.refused(&["-q", "audit.jsonl"]),
        "error[not-an-audit-log]: there is no request in audit.jsonl\n"
    );
    let said = site.refused(&["-q", "nope.jsonl"]);
    assert!(said.contains("nope.jsonl"), "{said}");
    let said = site.refused(&["-q"]);
    assert!(said.contains("there is no bottle.yaml in this folder"), "{said}");
    let said = site.refused(&["audit.jsonl", "--format", "sarif"]);
    assert_eq!(said, "error: --format sarif is for `bottle diff`; this command has html, text and json\n");
    let other = Command::new(env!("CARGO_BIN_EXE_bottle")).args(["ps", "--format", "html"]).output().unwrap();
    assert_eq!(
        String::from_utf8(other.stderr).unwrap(),
        "error: --format html is for `bottle report`; this command has text and json\n"
    );
    fs_err::write(site.folder.join("junk"), "one\ntwo\n").unwrap();
    let said = site.refused(&["-q", "junk"]);
    assert!(
        said.starts_with(
            "error[not-an-audit-log]: there is no request in junk\n  Lines that are not audit records"
        ),
        "{said}"
    );
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(&trail()).as_bytes()).unwrap();
    let mut cut = gzip.finish().unwrap();
    cut.truncate(cut.len() - 12);
    fs_err::write(site.folder.join("cut.gz"), cut).unwrap();
    let said = site.refused(&["-q", "cut.gz", "--output", "report.html"]);
    assert!(
        said.contains("cut.gz: can't read it after line") && said.contains("nothing was reported"),
        "{said}"
    );
    assert!(!site.folder.join("report.html").exists());
}

#[test]
fn only_an_earlier_report_is_replaced() {
    let site = Site::with(&trail());
    let write =
        |extra: &[&str]| site.run(&[&["audit.jsonl", "-q", "--output", "report.html"], extra].concat());
    let read = |name: &str| fs_err::read_to_string(site.folder.join(name)).unwrap();
    assert_eq!(write(&[]).status.code(), Some(0));
    let first = read("report.html");
    assert!(first.starts_with("<!doctype html>\n<!-- bottle report -->\n"));
    for format in ["json", "text", "html"] {
        assert_eq!(write(&["--format", format]).status.code(), Some(0), "{format}");
    }
    assert_eq!(read("report.html"), first, "the same bytes from the same trail");
    fs_err::write(site.folder.join("report.html"), "mine").unwrap();
    let refused = write(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        "error: report.html is there and is not a report of bottle; name another file, or replace it with --force\n"
    );
    assert_eq!(read("report.html"), "mine");
    assert_eq!(write(&["--force"]).status.code(), Some(0));
    assert_eq!(read("report.html"), first);
    fs_err::remove_file(site.folder.join("report.html")).unwrap();
    fs_err::os::unix::fs::symlink("audit.jsonl", site.folder.join("report.html")).unwrap();
    let refused = String::from_utf8(write(&["--force"]).stderr).unwrap();
    assert!(refused.contains("report.html is a symbolic link; name a plain file"), "{refused}");
    assert!(read("audit.jsonl").starts_with('{'));
    // Nor is one on the way followed, which an agent can make.
    fs_err::create_dir(site.folder.join("elsewhere")).unwrap();
    fs_err::os::unix::fs::symlink("elsewhere", site.folder.join("out")).unwrap();
    let refused = site.run(&["audit.jsonl", "-q", "--output", "out/report.html"]);
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("/out is a symbolic link, which bottle does not follow"), "{refused}");
    assert_eq!(fs_err::read_dir(site.folder.join("elsewhere")).unwrap().count(), 0);
    let left: Vec<_> = fs_err::read_dir(&site.folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("staged")), "{left:?}");
}

#[test]
fn the_folder_of_a_whole_trail_is_that_of_both_proxies() {
    let site = Site::with(&[]);
    let folder = site.folder.join("audit");
    for (proxy, of_pipelock) in [("egress-proxy", false), ("pipelock", true)] {
        let records: Vec<Value> =
            trail().into_iter().filter(|it| (it["component"] == "pipelock") == of_pipelock).collect();
        fs_err::create_dir_all(folder.join(proxy)).unwrap();
        fs_err::write(folder.join(proxy).join("sent.jsonl"), lines(&records)).unwrap();
    }
    let whole = site.json(&["audit"]);
    assert_eq!(whole["findings"]["rows"][0]["what"], "ignore previous");
    assert_eq!(whole["files"], json!(["audit/egress-proxy/sent.jsonl", "audit/pipelock/sent.jsonl"]));
}

#[test]
fn the_trail_of_the_bottle_is_read_where_no_file_is_named() {
    let site = Site::with(&[]);
    fs_err::write(site.folder.join("bottle.yaml"), MANIFEST).unwrap();
    let said = site.refused(&["-q"]);
    assert!(said.contains("is not rendered on this machine by you; run `bottle render`"), "{said}");
    let rendered = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["render", "-q", "--accept-widening", "--image-binary", env!("CARGO_BIN_EXE_bottle")])
        .current_dir(&site.folder)
        .env("XDG_STATE_HOME", site.folder.join("state"))
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let states = site.folder.join("state/bottle").read_dir_utf8().unwrap();
    let state = states.map(|it| it.unwrap().into_path()).find(|it| it.join("agreed.json").exists()).unwrap();
    let said = site.refused(&["-q"]);
    assert!(said.contains("dev"), "{said}");
    let folder = state.join("audit/egress-proxy");
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("sent.jsonl"), lines(&trail())).unwrap();
    let report = site.json(&[]);
    assert_eq!(
        (&report["bottles"]["rows"][0]["name"], &report["rules"]),
        (&json!("dev"), &json!("bottle.yaml"))
    );
}

/// Lines of which each names another host, method, path and so on.
#[test]
fn memory_does_not_grow_with_what_an_agent_makes_up() {
    let mut collector = Collector::new(None);
    for n in 0..30_000 {
        let made_up = json!({"host": format!("h{n}.example"), "method": format!("M{n}"), "path": format!("/p{n}x"),
            "reason": format!("r{n}"), "bottle": format!("b{n}"), "config": format!("c{n}"), "credential": format!("k{n}"),
            "finding": format!("f{n}"), "message": null});
        let line = lines(&[record(&made_up)]);
        let mut file = AuditFile::new(std::io::Cursor::new(line.into_bytes())).unwrap();
        collector.see(&file.next().unwrap().unwrap());
    }
    let rules = Rules::Unknown(String::new());
    let report = collector.finish(Vec::new(), &rules, Listing::ALL, Vec::new());
    assert_eq!(report.totals.denied, 30_000);
    for (rows, more) in [
        (report.hosts.rows.len(), report.hosts.more_requests),
        (report.credentials.rows.len(), report.credentials.more_requests),
        (report.findings.rows.len(), report.findings.more_requests),
        (report.configs.rows.len(), report.configs.more_requests),
        (report.bottles.rows.len(), report.bottles.more_requests),
    ] {
        assert!(rows <= 2000 && rows as u64 + more == 30_000, "{rows} and {more}");
    }
}

#[test]
fn text_is_for_a_terminal() {
    let site = Site::with(&page::written_by(&["\u{1b}[2J\u{202e}\n".to_owned()]));
    let text = site.out(&["audit.jsonl", "--format", "text"]);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    assert!(text.starts_with("bottle report: b\\u{1b}[2J\\u{202e}\\u{a}"), "{text}");
    let shown = Site::with(&trail()).out(&["audit.jsonl", "--format", "text"]);
    for line in [
        "2026-11-24 12:30:01 to 12:35:00 UTC",
        "951 requests: 32 allowed, 910 denied (95 %), 3 failed",
        "denied: host_not_allowed, 901, of which 900 counted in floods",
        "  2x  GET https://api.example/v2/items/*",
        "      such as /v2/items/17",
    ] {
        assert!(shown.lines().any(|one| one == line), "{line}\n{shown}");
    }
}

#[test]
fn a_bottle_without_routes_is_reported_by_pipelock() {
    let line = |event: &str, second: u32, more: &Value| {
        let mut value = json!({"level": "info", "time": format!("2026-11-24T12:30:{second:02}Z"), "component": "pipelock",
            "event": event, "method": "CONNECT", "target": "a.example:443"});
        for (key, more) in more.as_object().unwrap() {
            value[key] = more.clone();
        }
        value
    };
    let report = reported(&[
        line("tunnel_open", 1, &json!({"request_id": "1"})),
        line("tunnel_close", 2, &json!({"request_id": "1", "size_bytes": 4096})),
        line("blocked", 3, &json!({"target": "b.example:22", "scanner": "port_not_allowed", "reason": "no"})),
    ]);
    assert_eq!(report.recorded_by, "pipelock");
    assert_eq!((report.totals.allowed, report.totals.denied, report.totals.tunnel_bytes), (1, 1, 4096));
    assert_eq!(report.hosts.rows[1].origin, "https://b.example:22");
    assert!(report.findings.rows.is_empty(), "a list refused it, nothing was found");
}
