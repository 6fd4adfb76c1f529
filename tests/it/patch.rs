//! `bottle learn` and `bottle tighten`: a manifest that follows what its audit log says.

use fs_err as fs;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::{path::Path, process::Command};

const MANIFEST: &str = "\
version: 1
name: dev
agent: {image: 'debian:12'}
egress_proxy:
  routes:
    # the forge
    - host: api.example   # REST
      path_allowlist:
        - /repos
        - /unused   # nobody asks
        # the end
      deny_paths: [/repos/acme/secrets, /unused/x]
      methods: [GET, POST]
      auth: {scheme: token, token_ref: FORGE_TOKEN}

    # bulk
    - host: files.example
    # gone
    - host: never.example
egress:
  allowlist: [raw.example, old.example]
";

const ONLY_HOSTS: &str = "\
version: 1
name: dev
agent: {image: 'debian:12'}
egress:
  allowlist:
    - a.example
    - b.example   # unused
";

struct Said {
    code: i32,
    out: String,
    err: String,
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(manifest: &str, log: &[Value]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("bottle.yaml"), manifest).unwrap();
        fs::write(folder.path("audit.jsonl"), lines(log)).unwrap();
        folder
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn manifest(&self) -> String {
        fs::read_to_string(self.path("bottle.yaml")).unwrap()
    }

    fn run(&self, args: &[&str]) -> Said {
        run(self.0.path(), args, b"")
    }
}

fn run(folder: &Path, args: &[&str], stdin: &[u8]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(args)
        .args(["--now", "2026-11-24"])
        .current_dir(folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let ran = child.wait_with_output().unwrap();
    Said {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

fn lines(log: &[Value]) -> String {
    log.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

/// A record of a day of November; `more` is set beside what every record has.
fn record(day: u32, event: &str, method: &str, url: &str, more: &Value) -> Value {
    let rest = url.strip_prefix("https://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let verdict = if event == "dispatch" || event == "end" { "allow" } else { "deny" };
    let mut record = json!({
        "time": format!("2026-11-{day:02}T10:00:00Z"), "event": event, "request": format!("r-{day}-{url}"), "bottle": "dev",
        "config": "c", "connection": 1, "method": method, "scheme": "https", "host": host, "port": 443,
        "verdict": verdict, "decided_by": "egress-proxy", "request_bytes": 0, "response_bytes": 0, "complete": true,
        "duration_ms": 1,
    });
    if !path.is_empty() {
        record["path"] = json!(path);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        record[key] = value.clone();
    }
    record
}

fn sent(day: u32, method: &str, url: &str) -> Value {
    record(day, "dispatch", method, url, &Value::Null)
}

fn denied(reason: &str, method: &str, url: &str) -> Value {
    record(20, "deny", method, url, &json!({"reason": reason}))
}

#[test]
fn the_narrowest_entries_are_suggested_and_tried() {
    let folder = Folder::new(
        MANIFEST,
        &[
            denied("path_not_allowed", "GET", "https://api.example/user"),
            denied("path_not_allowed", "GET", "https://api.example/user"),
            denied("path_not_allowed", "GET", "https://api.example/user/keys"),
            denied("host_not_allowed", "POST", "https://new.example/v1/messages"),
            denied("port_not_allowed", "GET", "https://raw.example/x")
                .as_object()
                .map(|it| {
                    let mut it = it.clone();
                    it.insert("port".to_owned(), json!(8443));
                    Value::Object(it)
                })
                .unwrap(),
        ],
    );
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert_eq!(
        said.out,
        "\
bottle.yaml: the patch allows 5 of 5 refusals

api.example (egress_proxy.routes[0]): 3 refusals
      2  GET https://api.example/user
      1  GET https://api.example/user/keys

new.example (new): 1 refusal
      1  POST https://new.example/v1/messages

raw.example (egress.allowlist[0]): 1 refusal
      1  GET https://raw.example:8443/x

--- a/bottle.yaml
+++ b/bottle.yaml
@@ -8,6 +8,7 @@
       path_allowlist:
         - /repos
         - /unused   # nobody asks
+        - /user
         # the end
       deny_paths: [/repos/acme/secrets, /unused/x]
       methods: [GET, POST]
@@ -17,5 +18,8 @@
     - host: files.example
     # gone
     - host: never.example
+    - host: new.example
+      path_allowlist: [/v1/messages]
+      methods: [POST]
 egress:
-  allowlist: [raw.example, old.example]
+  allowlist: [{host: raw.example, ports: [443, 8443]}, old.example]

dev (bottle.yaml): 3 newly allowed

  The agent reaches a host, method or path more (reach)
    + GET, POST https://api.example/user/** with FORGE_TOKEN    bottle.yaml:11
    + POST https://new.example/v1/messages/**    bottle.yaml:22
    + usual methods https://raw.example:8443/**    bottle.yaml:25
"
    );
    assert_eq!((said.code, folder.manifest().as_str()), (1, MANIFEST));
    assert_eq!(said.err, "nothing was written; `bottle learn --write` applies the patch\n");
    fs::set_permissions(folder.path("bottle.yaml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = folder.run(&["learn", "audit.jsonl", "bottle.yaml", "--write", "-q"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(fs::metadata(folder.path("bottle.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.out, "bottle.yaml: nothing to add for 5 refusals\n5 refusals would be allowed by now\n");
}

#[test]
fn entries_are_suggested_for_the_hosts_that_are_named() {
    let folder = Folder::new(
        MANIFEST,
        &[
            denied("host_not_allowed", "POST", "https://new.example/v1/messages"),
            denied("host_not_allowed", "GET", "https://other.example/x"),
        ],
    );
    let said = folder.run(&["learn", "--host", "NEW.example", "audit.jsonl", "--write"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("bottle.yaml: the patch allows 1 of 2 refusals\n"), "{}", said.out);
    let left = "      1  host_not_allowed: --host does not name it, such as GET https://other.example/x\n";
    assert!(said.out.ends_with(left), "{}", said.out);
    assert!(folder.manifest().contains("new.example") && !folder.manifest().contains("other.example"));
    for (host, why) in [("never.example", "the log has no refusal of it"), ("a b", "--host a b")] {
        let said = folder.run(&["learn", "--host", host, "audit.jsonl"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""));
        assert!(said.err.contains(why), "{}", said.err);
    }
}

/// What a bottle that runs writes itself.
#[test]
fn without_a_log_the_bottles_own_trail_is_read() {
    let refused = [denied("host_not_allowed", "POST", "https://new.example/v1/messages")];
    let folder = Folder::new(MANIFEST, &refused);
    let state = folder.path("elsewhere/state");
    let bottle = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.current_dir(folder.0.path()).env("XDG_STATE_HOME", &state).args(arguments).output().unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rendered = bottle(&["render", "--accept-widening"]);
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    for verb in ["learn", "tighten"] {
        let said = text(&bottle(&[verb]).stderr);
        assert!(said.contains("nothing was started yet"), "{said}");
    }
    let own = fs::read_dir(state.join("bottle")).unwrap().map(|it| it.unwrap().path()).find(|it| it.is_dir());
    let trail = own.unwrap().join("audit/egress-proxy");
    fs::create_dir_all(&trail).unwrap();
    fs::write(trail.join("sent.jsonl"), "").unwrap();
    fs::write(trail.join("denied.jsonl"), lines(&refused)).unwrap();
    let learned = bottle(&["learn"]);
    let said = text(&learned.stdout);
    assert!(
        said.starts_with("bottle.yaml: the patch allows 1 of 1 refusal\n"),
        "{said}{}",
        text(&learned.stderr)
    );
}

#[test]
fn what_no_entry_should_allow_is_counted_and_not_suggested() {
    let with = |mut record: Value, key: &str, value: Value| {
        record[key] = value;
        record
    };
    let error = |reason: &str| {
        let failed = denied(reason, "GET", "https://api.example/repos");
        with(with(failed, "verdict", json!("error")), "event", json!("error"))
    };
    let cases = [
        (
            denied("git_push", "POST", "https://git.example/a.git/git-receive-pack"),
            "git push is refused unless the route says what it may change, in `git.push`",
        ),
        (
            denied("address_not_allowed", "GET", "https://intern.example/x"),
            "`addresses` on its entry would allow that range",
        ),
        (denied("host_not_allowed", "GET", "https://bottle.internal/x"), "it is the proxy's own name"),
        (denied("credential_in_request", "GET", "https://new.example/x"), "the request carried a secret"),
        (
            denied("blocked_by_pipelock", "GET", "https://new.example/x"),
            "pipelock found something in the request",
        ),
        (error("credential_unavailable"), "the token is missing; set it and run `bottle up --rotate`"),
        (error("upstream_timeout"), "the host did not answer"),
        (
            denied("path_denied", "GET", "https://api.example/repos/acme/secrets/1"),
            "`deny_paths` refuses it on purpose: /repos/acme/secrets",
        ),
        // An entry would take the agent's own `*` for any segment.
        (denied("host_not_allowed", "GET", "https://new.example/*"), "no entry allows it"),
        (denied("path_not_allowed", "GET", "https://api.example/*/*"), "no entry allows it"),
        (
            denied("host_not_allowed", "GET", "https://new.example/"),
            "only an entry that allows every path of the host allows `/`",
        ),
        (
            denied("host_not_allowed", "GET", "https://new.example/***[Token]"),
            "a part of the request was masked or cut in the record",
        ),
        (denied("method_not_allowed", "TRACE", "https://files.example/x"), "no entry allows it"),
        (
            with(denied("host_not_allowed", "CONNECT", "https://odd.example"), "port", json!(22)),
            "the tunnel was refused before its requests were seen",
        ),
        (
            with(
                with(denied("port_not_allowed", "GET", "https://api.example/repos"), "port", json!(80)),
                "scheme",
                json!("http"),
            ),
            "no entry allows it",
        ),
        (
            json!({"time": "2026-11-20T10:00:00Z", "event": "suppressed", "decided_by": "egress-proxy", "count": 9,
                "reasons": {"host_not_allowed": 9}, "hosts": 1, "more_hosts": false, "first": "2026-11-20T10:00:00Z",
                "last": "2026-11-20T10:00:00Z"}),
            "a flood of refusals was counted instead of recorded",
        ),
    ];
    for (record, why) in cases {
        let folder = Folder::new(MANIFEST, std::slice::from_ref(&record));
        let said = folder.run(&["learn", "audit.jsonl"]);
        assert!(said.out.contains(why), "{record}\n{}{}", said.out, said.err);
        assert_eq!(said.code, 0, "{record}\n{}", said.out);
        assert!(said.out.starts_with("bottle.yaml: nothing to add for "), "{}", said.out);
    }
}

#[test]
fn many_paths_of_one_shape_are_offered_as_a_pattern_and_never_silently() {
    let log: Vec<Value> = [17, 4, 99]
        .map(|id| denied("path_not_allowed", "GET", &format!("https://api.example/jobs/{id}/log")))
        .to_vec();
    let folder = Folder::new(MANIFEST, &log);
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert!(said.out.contains("    --patterns writes /jobs/*/log in the place of 3 paths\n"), "{}", said.out);
    assert!(
        said.out.contains("+        - /jobs/17/log\n") && !said.out.contains("+        - \"/jobs/*"),
        "{}",
        said.out
    );
    let said = folder.run(&["learn", "--patterns", "audit.jsonl"]);
    assert!(
        said.out.contains("+        - \"/jobs/*/log\"\n") && !said.out.contains("+        - /jobs/17"),
        "{}",
        said.out
    );
    let said = folder.run(&["learn", "audit.jsonl", "--format", "json"]);
    let value: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        value["patterns"][0],
        json!({
            "host": "api.example", "pattern": "/jobs/*/log", "paths": ["/jobs/17/log", "/jobs/4/log", "/jobs/99/log"],
        })
    );
    assert_eq!((&value["additions"][0]["refusals"], &value["changes"][0]["sign"]), (&json!(3), &json!("+")));
}

#[test]
fn a_bottle_without_routes_learns_hosts_and_loses_those_that_were_not_used() {
    let event = |day: u32, event: &str, target: &str, more: &str| {
        let text = format!(
            r#"{{"level":"info","time":"2026-11-{day:02}T10:00:00Z","component":"pipelock","event":"{event}","method":"CONNECT","target":"{target}"{more}}}"#
        );
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let refused = r#","scanner":"domain_not_allowed""#;
    let folder = Folder::new(
        ONLY_HOSTS,
        &[
            event(1, "tunnel_open", "a.example:443", ""),
            event(20, "tunnel_open", "a.example:443", ""),
            event(20, "blocked", "new.example:443", refused),
            event(20, "blocked", "new.example:22", refused),
        ],
    );
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert!(
        said.out.contains("     - b.example   # unused\n+    - new.example\n"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(said.out.contains("opens port 443 and no other"), "{}", said.out);
    let said = folder.run(&["tighten", "audit.jsonl", "--write"]);
    assert_eq!((said.code, folder.manifest()), (0, ONLY_HOSTS.replace("    - b.example   # unused\n", "")));
}

/// Three weeks of use.
fn weeks() -> Vec<Value> {
    vec![
        sent(1, "GET", "https://api.example/repos/acme/app/issues/1"),
        sent(9, "GET", "https://api.example/repos/acme/app/pulls"),
        sent(2, "GET", "https://files.example/pub/a/1.0.3"),
        sent(2, "GET", "https://files.example/pub/a/index"),
        sent(21, "GET", "https://raw.example/x"),
        denied("host_not_allowed", "GET", "https://old.example/x"),
    ]
}

#[test]
fn what_was_not_used_goes_and_what_was_used_narrowly_becomes_narrow() {
    let folder = Folder::new(MANIFEST, &weeks());
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert_eq!(
        said.out,
        "\
bottle.yaml: 4 rules can be less; the log covers 20 days and 5 requests, of which 5 different ones were tried on the result

api.example (egress_proxy.routes[0])
    /repos becomes /repos/acme/app
    /unused was never used
    deny_paths without /repos/acme/secrets, /unused/x, where nothing is allowed any more
    methods without POST

files.example (egress_proxy.routes[1])
    only /pub/a of every path
    only GET of the usual methods

never.example (egress_proxy.routes[2])
    never used

old.example (egress.allowlist[1])
    never used

--- a/bottle.yaml
+++ b/bottle.yaml
@@ -6,16 +6,14 @@
     # the forge
     - host: api.example   # REST
       path_allowlist:
-        - /repos
-        - /unused   # nobody asks
+        - /repos/acme/app
         # the end
-      deny_paths: [/repos/acme/secrets, /unused/x]
-      methods: [GET, POST]
+      methods: [GET]
       auth: {scheme: token, token_ref: FORGE_TOKEN}
 
     # bulk
     - host: files.example
-    # gone
-    - host: never.example
+      path_allowlist: [/pub/a]
+      methods: [GET]
 egress:
-  allowlist: [raw.example, old.example]
+  allowlist: [raw.example]

dev (bottle.yaml): 5 no longer allowed

  No longer allowed
    - GET, POST https://api.example/repos/**, but not /repos/acme/secrets/** with FORGE_TOKEN    bottle.yaml:9
    - GET, POST https://api.example/unused/**, but not /unused/x/** with FORGE_TOKEN    bottle.yaml:10
    - usual methods https://files.example/**    bottle.yaml:17
    - usual methods https://never.example/**    bottle.yaml:19
    - usual methods https://old.example/**    bottle.yaml:21
"
    );
    assert_eq!((said.code, folder.manifest().as_str()), (1, MANIFEST));
    let said = folder.run(&["tighten", "audit.jsonl", "--write"]);
    assert_eq!((said.code, said.err.as_str()), (0, "bottle.yaml was written; `bottle render` comes next\n"));
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.out);
    for (method, url, code) in [
        ("GET", "https://api.example/repos/acme/app/issues/1", 0),
        ("GET", "https://files.example/pub/a/1.0.3", 0),
        ("POST", "https://api.example/repos/acme/app/issues/1", 1),
    ] {
        assert_eq!(folder.run(&["explain", method, url]).code, code, "{method} {url}");
    }
}

#[test]
fn a_short_log_takes_nothing_away() {
    let folder = Folder::new(
        MANIFEST,
        &[sent(1, "GET", "https://raw.example/x"), sent(3, "GET", "https://raw.example/x")],
    );
    let said = folder.run(&["tighten", "audit.jsonl", "--write"]);
    assert_eq!((said.code, said.out.as_str(), folder.manifest().as_str()), (2, "", MANIFEST));
    assert_eq!(
        said.err,
        "error: the log covers 2 days, which is less than 7 days: what was not used in it may still be needed; use a \
         longer log, or a smaller `--at-least`\n"
    );
    assert_eq!(folder.run(&["tighten", "--at-least", "36h", "audit.jsonl"]).code, 1);
    let folder = Folder::new(MANIFEST, &[denied("git_push", "POST", "https://a.example/x")]);
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("the log has no request of dev that was sent on"), "{}", said.err);
}

#[test]
fn what_is_not_fully_known_stays() {
    let kind = |more: &Value| {
        let mut kind = json!({
            "host": "never.example", "method": "GET", "requests": 9, "outcomes": {}, "request_bytes": 0,
            "response_bytes": 0, "paths": 3, "more_paths": false, "first": "2026-11-03T10:00:00Z",
            "last": "2026-11-03T10:00:09Z",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            kind[key] = value.clone();
        }
        kind
    };
    let counted = |kinds: Value, other: Value| {
        json!({"time": "2026-11-03T10:00:09Z", "event": "counted", "decided_by": "egress-proxy", "requests": 9,
               "kinds": kinds, "other": other, "first": "2026-11-03T10:00:00Z", "last": "2026-11-03T10:00:09Z"})
    };
    let counting = json!({"time": "2026-11-03T10:00:00Z", "event": "counting", "decided_by": "egress-proxy", "series": "sent"});
    let with = |more: &[Value]| [weeks(), more.to_vec()].concat();

    let folder =
        Folder::new(MANIFEST, &with(&[counting.clone(), counted(json!([kind(&Value::Null)]), Value::Null)]));
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert!(!said.out.contains("-    - host: never.example"), "{}", said.out);
    assert!(
        said.out.contains("only GET of the usual methods")
            && !said.out.contains("never.example (egress_proxy.routes[2])\n    only /"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains(
            "never.example (egress_proxy.routes[2]): its use is not fully known: requests were counted"
        ),
        "{}",
        said.out
    );

    for more in [vec![counting.clone()], vec![counted(json!([]), kind(&json!({"host": null})))]] {
        let folder = Folder::new(MANIFEST, &with(&more));
        let said = folder.run(&["tighten", "audit.jsonl"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        assert!(
            said.err.contains("what was used is not fully known, so nothing can be taken away"),
            "{}",
            said.err
        );
    }

    let masked = sent(3, "GET", "https://api.example/repos/***[Token]/x");
    let folder = Folder::new(MANIFEST, &with(&[masked]));
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert!(
        said.out.contains("methods without POST") && !said.out.contains("/repos becomes"),
        "{}",
        said.out
    );

    let said = folder.run(&["tighten", "--keep", "never.example", "--keep", "OLD.example", "audit.jsonl"]);
    assert!(
        said.out.contains("    never.example (egress_proxy.routes[2]): `--keep` names it\n"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("-    - host: never") && !said.out.contains("-  allowlist"), "{}", said.out);
    let said = folder.run(&["tighten", "--keep", "other.example", "audit.jsonl"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: --keep other.example: bottle.yaml has no rule for it\n")
    );
}

#[test]
fn the_last_route_stays_since_without_it_git_push_passes() {
    let manifest = MANIFEST
        .replace("    # bulk\n    - host: files.example\n    # gone\n    - host: never.example\n", "");
    let log = [sent(1, "GET", "https://raw.example/x"), sent(20, "GET", "https://raw.example/x")];
    let folder = Folder::new(&manifest, &log);
    let said = folder.run(&["tighten", "audit.jsonl"]);
    assert!(
        said.out.contains("api.example (egress_proxy.routes[0]): never used, and the last route: a bottle without one does not refuse git push"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("+  allowlist: [raw.example]\n") && !said.out.contains("-    - host"),
        "{}",
        said.out
    );
}

#[test]
fn logs_are_read_from_files_folders_gzip_and_stdin() {
    let folder = Folder::new(MANIFEST, &weeks());
    let expected = folder.run(&["tighten", "audit.jsonl"]).out;
    let text = fs::read(folder.path("audit.jsonl")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&text).unwrap();
    fs::write(folder.path("audit.jsonl.gz"), encoder.finish().unwrap()).unwrap();
    assert_eq!(folder.run(&["tighten", "audit.jsonl.gz"]).out, expected);
    assert_eq!(run(folder.0.path(), &["tighten", "-"], &text).out, expected);
    fs::create_dir(folder.path("audit")).unwrap();
    fs::write(folder.path("audit/sent.jsonl"), &text).unwrap();
    assert_eq!(folder.run(&["tighten", "audit", "bottle.yaml"]).out, expected);
}

#[test]
fn a_hostile_or_wrong_log_is_refused_or_passed_over() {
    let mut log = weeks();
    log.push(denied("path_not_allowed", "GET", "https://api.example/a\u{1b}[2J\u{202e}b"));
    let folder = Folder::new(MANIFEST, &log);
    let mut text = fs::read_to_string(folder.path("audit.jsonl")).unwrap();
    let torn = text[..90].to_owned();
    text.extend(["x".repeat(1 << 20), "\n{\"a\":1}\n".to_owned(), torn]);
    text = text.replace("\"config\":\"c\"", "\"config\":\"c\",\"new_field\":{\"x\":[1]}");
    fs::write(folder.path("audit.jsonl"), text).unwrap();
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert!(!(said.out + &said.err).contains(['\u{1b}', '\u{202e}']));
    let said = folder.run(&["tighten", "audit.jsonl"]);
    // What such lines used is not known, so nothing is taken away.
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
    let why = "error[not-an-audit-log]: 2 lines of the log are not records of this version of bottle: what they used is not known, so nothing \
               is taken away";
    assert!(said.err.contains(why), "{}", said.err);
    let said = folder.run(&["learn", "audit.jsonl"]);
    assert!(said.err.contains("note: passed over 3 lines: torn when a proxy was killed"), "{}", said.err);

    fs::write(folder.path("other.jsonl"), lines(&weeks()).replace("\"dev\"", "\"prod\"")).unwrap();
    fs::write(folder.path("text.jsonl"), "hello\nworld\n").unwrap();
    fs::write(folder.path("cut.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    fs::os::unix::fs::symlink("audit.jsonl", folder.path("link.jsonl")).unwrap();
    for (args, expected) in [
        (vec!["other.jsonl"], "the log has no record of the bottle dev, and 6 of prod"),
        (vec!["text.jsonl"], "text.jsonl is not an audit log: none of its 2 lines is a record"),
        (vec!["none.jsonl"], "No such file or directory"),
        (vec!["link.jsonl"], "link.jsonl is a symbolic link, which bottle does not follow"),
        (vec!["cut.gz"], "cut.gz: can't read it"),
        (vec!["bottle.yaml"], "bottle render"),
        (
            vec!["bottle.yaml", "audit.jsonl"],
            "bottle.yaml looks like a manifest; there is one, and it comes after",
        ),
    ] {
        for verb in ["learn", "tighten"] {
            let said = folder.run(&[&[verb], &args[..]].concat());
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}");
            assert!(said.err.contains(expected), "{args:?}: {}", said.err);
        }
    }
    assert_eq!(folder.manifest(), MANIFEST);
}

/// A thousand hosts are a thousand entries, and the manifest is not read again for each.
#[test]
fn a_thousand_hosts_are_learnt() {
    let log: Vec<Value> = (0..1000)
        .map(|n| denied("host_not_allowed", "GET", &format!("https://h{n}.example/v1/{n}")))
        .collect();
    let folder = Folder::new(MANIFEST, &log);
    let said = folder.run(&["learn", "--write", "audit.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("bottle.yaml: the patch allows 1000 of 1000 refusals\n"));
    assert_eq!(folder.manifest().matches("    - host: h").count(), 1000);
}

#[test]
fn tests_that_would_fail_on_the_tightened_manifest_are_named() {
    let tests = "tests:\n  - allow: GET https://never.example/x\n  - allow: GET https://api.example/repos/acme\n  - deny: GET https://nowhere.example/\n";
    let log = [
        sent(1, "GET", "https://api.example/repos/acme"),
        sent(20, "POST", "https://api.example/repos/acme"),
    ];
    let folder = Folder::new(&format!("{MANIFEST}{tests}"), &log);
    let said = folder.run(&["tighten", "audit.jsonl"]);
    let end = "\nTests of the manifest that would fail\n    bottle.yaml:23: GET https://never.example/x\n";
    assert!(said.code == 1 && said.out.ends_with(end), "{}{}", said.out, said.err);
    let json = folder.run(&["tighten", "--format", "json", "audit.jsonl"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["broken_tests"], json!([{"line": 23, "request": "GET https://never.example/x"}]));
    let kept = folder.run(&["tighten", "--keep", "never.example", "audit.jsonl"]);
    assert!(!kept.out.contains("would fail"), "{}", kept.out);
}

/// A host of the allowlist can be the one whose name was masked: it would be removed as never used, and was used.
#[test]
fn where_a_host_was_masked_or_cut_no_host_is_called_unused() {
    for host in ["***[Token].example", "old.exam…[+9 bytes]"] {
        let folder =
            Folder::new(MANIFEST, &[weeks(), vec![sent(9, "GET", &format!("https://{host}/x"))]].concat());
        let said = folder.run(&["tighten", "audit.jsonl"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{host}: {}", said.err);
        assert!(said.err.contains("name no host, or not the whole of it"), "{}", said.err);
    }
}
