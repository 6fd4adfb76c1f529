//! Supervision end to end, without Docker: the agent's MCP messages go through a real egress-proxy to the real service, and a
//! person's commands are the real binary with a `docker` that plays the running stack.

use super::harness::{Answer, Files, SOON, Stack, exchange, tunnel};
use super::pipelock::FakePipelock;
use crate::captured::Captured;
use crate::wire::Wire;
use bottle::{
    clock::Clock,
    config::routes::RoutesFile,
    egress_proxy::EgressProxy,
    intercept::{Drain, Listener},
    supervise::{DECISIONS, Limits, OPEN, PROPOSALS, Service},
    telemetry::audit::{Log, Sink},
};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::net::{TcpStream, UnixListener};

/// As long as a test takes at most: nothing here waits that long.
const LONG: Duration = Duration::from_secs(30);

/// The service on a socket in `root`, with its state there.
fn serve(root: &Utf8Path, state: &Utf8Path, rules: &Utf8Path, patience: Duration) -> Utf8PathBuf {
    let socket = root.join("mcp.sock");
    let service =
        Service::open(state, rules.as_std_path().to_owned(), Limits::default(), patience, &Clock::system());
    tokio::spawn(service.unwrap().serve(UnixListener::bind(&socket).unwrap()));
    socket
}

/// What a client sends: one JSON-RPC message, with more fields.
fn posted(fields: &str, message: &Value) -> String {
    let body = message.to_string();
    format!(
        "POST http://bottle.internal/mcp HTTP/1.1\r\nHost: bottle.internal\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn call(tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// The result of a tool, or what it says is wrong.
fn result(answer: &Answer) -> Result<Value, String> {
    assert_eq!(answer.status, 200, "{answer:#?}");
    let result = &answer.json()["result"];
    if result["isError"] == true {
        return Err(result["content"][0]["text"].as_str().unwrap().to_owned());
    }
    Ok(result["structuredContent"].clone())
}

/// A proxy and a service that know each other, with rules for `api.test` and others.
struct Pair {
    stack: Stack,
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Pair {
    async fn start(patience: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for folder in [PROPOSALS, DECISIONS] {
            fs_err::create_dir(root.join(folder)).unwrap();
        }
        let stack = Stack::with(|config| config.supervise = Some(root.join("mcp.sock"))).await;
        let rules = Utf8PathBuf::from_path_buf(stack.files.path("routes.yaml")).unwrap();
        serve(&root, &root, &rules, patience);
        Self { stack, root, _dir: dir }
    }

    async fn call(&self, tool: &str, arguments: &Value) -> Result<Value, String> {
        result(&self.stack.raw(&posted("", &call(tool, arguments))).await)
    }

    fn proposals(&self) -> Vec<String> {
        let files = self.root.join(PROPOSALS).read_dir_utf8().unwrap();
        files.map(|file| fs_err::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

fn route(host: &str, justification: &str) -> Value {
    json!({"host": host, "path_allowlist": ["/v1"], "justification": justification})
}

#[tokio::test]
async fn an_agent_finds_the_tools_asks_and_reads_what_a_person_decided() {
    let pair = Pair::start(Duration::ZERO).await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let answer = pair.stack.raw(&posted("", &hello)).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.json()["result"]["serverInfo"]["name"], "bottle");
    assert_eq!(answer.header("mcp-session-id"), None, "there is no session to fill");
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let version = "MCP-Protocol-Version: 2025-06-18\r\n";
    assert_eq!(pair.stack.raw(&posted(version, &ready)).await.status, 202);
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let answer = pair.stack.raw(&posted(version, &list)).await.json();
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    let all =
        ["egress-proxy-block", "pipelock-block", "list-egress-proxy-routes", "explain", "request-status"];
    assert_eq!(names, all);
    assert_eq!(tools[0]["inputSchema"]["additionalProperties"], false, "{:#}", tools[0]);

    let routes = pair.call("list-egress-proxy-routes", &json!({})).await.unwrap();
    assert!(routes.to_string().contains("api.test"), "{routes}");
    let ask = json!({"method": "GET", "url": "https://new.test/v1"});
    let verdict = pair.call("explain", &ask).await.unwrap();
    assert_eq!((&verdict["verdict"], &verdict["reason"]), (&"deny".into(), &"host_not_allowed".into()));
    let allowed = pair.call("explain", &json!({"method": "GET", "url": "https://open.test/"})).await.unwrap();
    assert_eq!(allowed["verdict"], "allow");

    let pending = pair.call("egress-proxy-block", &route("New.Test", "to read")).await.unwrap();
    assert_eq!(pending["status"], "pending");
    let id = pending["id"].as_str().unwrap();
    let kept: Value = serde_json::from_str(&pair.proposals()[0]).unwrap();
    assert_eq!((&kept["id"], &kept["ask"]["egress-proxy-block"]["host"]), (&id.into(), &"new.test".into()));
    let again = pair.call("request-status", &json!({"id": id})).await.unwrap();
    assert_eq!(again["status"], "pending");
    let decision = json!({"version": 1, "id": id, "verdict": "rejected", "notes": "use the mirror", "time": "2026-11-28T10:00:00Z"});
    fs_err::write(pair.root.join(DECISIONS).join(format!("{id}.json")), decision.to_string()).unwrap();
    let told = pair.call("request-status", &json!({"id": id})).await.unwrap();
    assert_eq!((&told["status"], &told["notes"]), (&"rejected".into(), &"use the mirror".into()));
    let unknown = pair.call("request-status", &json!({"id": "0123456789ab"})).await.unwrap();
    assert_eq!(unknown["status"], "unknown");
    let why = pair.call("request-status", &json!({"id": "../../etc/passwd"})).await.unwrap_err();
    assert!(why.contains("is not the id of a proposal"), "{why}");
}

#[tokio::test]
async fn a_call_waits_for_the_person_and_is_answered_when_there_is_a_decision() {
    let pair = Pair::start(LONG).await;
    let asks = call("egress-proxy-block", &route("new.test", "to read"));
    let message = posted("", &asks);
    let asked = pair.stack.raw(&message);
    let decided = async {
        let id = loop {
            let waiting = pair.proposals().pop().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            match waiting {
                Some(proposal) => break proposal["id"].as_str().unwrap().to_owned(),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let decision = json!({"version": 1, "id": id, "verdict": "approved", "notes": "", "time": "2026-11-28T10:00:00Z"});
        fs_err::write(pair.root.join(DECISIONS).join(format!("{id}.json")), decision.to_string()).unwrap();
    };
    let (answer, ()) = tokio::time::timeout(SOON, async { tokio::join!(asked, decided) }).await.unwrap();
    assert_eq!(result(&answer).unwrap()["status"], "approved");
}

#[tokio::test]
async fn a_thousand_proposals_with_ansi_and_html_in_every_field_are_twenty_plain_ones() {
    let pair = Pair::start(Duration::ZERO).await;
    for text in ["\u{1b}[2J", "\u{202e}", "a\nb", "\u{9b}31m", "\u{200b}", "\u{0}", "\u{7}"] {
        for key in ["host", "path", "method", "scheme", "token_ref", "justification"] {
            let pick =
                |own: &str, usual: &str| if own == key { format!("{usual}{text}") } else { usual.to_owned() };
            let arguments = json!({
                "host": pick("host", "a.test"),
                "path_allowlist": [pick("path", "/v1")],
                "methods": [pick("method", "GET")],
                "auth": {"scheme": pick("scheme", "Bearer"), "token_ref": pick("token_ref", "T")},
                "justification": pick("justification", "x"),
            });
            let why = pair.call("egress-proxy-block", &arguments).await.unwrap_err();
            assert!(why.contains("holds the character U+"), "{key}: {why}");
            assert!(!why.contains(text), "{key}: {why:?}");
        }
    }
    assert!(pair.proposals().is_empty());
    let lies = [
        ("https://a.test", "the manifest would refuse it"),
        ("a.test/x", "the manifest would refuse it"),
        ("a.test:444", "the manifest would refuse it"),
        ("user@a.test", "the manifest would refuse it"),
        ("169.254.169.254", "the manifest would refuse it"),
        ("аpi.test", "the manifest would refuse it"),
        ("<script>alert(1)</script>", "the manifest would refuse it"),
        ("localhost", "the manifest would refuse it"),
    ];
    for (host, said) in lies {
        let why = pair.call("egress-proxy-block", &route(host, "x")).await.unwrap_err();
        assert!(why.contains(said), "{host}: {why}");
    }
    let html = "<img src=x onerror=alert(1)> & \"quotes\" ${X} $(id) `id` {{7*7}}";
    let mut taken = 0;
    for n in 0..1000 {
        taken +=
            usize::from(pair.call("egress-proxy-block", &route(&format!("h{n}.test"), html)).await.is_ok());
    }
    assert_eq!((taken, pair.proposals().len()), (OPEN, OPEN));
    let full = pair.call("egress-proxy-block", &route("one-more.test", "x")).await.unwrap_err();
    assert!(full.contains("20 proposals wait for a person"), "{full}");
}

#[tokio::test]
async fn what_is_no_message_of_mcp_gets_an_answer_that_says_why_and_does_not_get_through() {
    let pair = Pair::start(Duration::ZERO).await;
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    for origin in ["https://evil.test", "null"] {
        let refused = pair.stack.raw(&posted(&format!("Origin: {origin}\r\n"), &list)).await;
        assert_eq!((refused.status, refused.body.contains("another origin")), (403, true), "{refused:#?}");
    }
    assert_eq!(pair.stack.raw(&posted("Origin: http://bottle.internal\r\n", &list)).await.status, 200);
    for method in ["GET", "DELETE"] {
        let head = format!("{method} http://bottle.internal/mcp HTTP/1.1\r\nHost: bottle.internal\r\n\r\n");
        let refused = pair.stack.raw(&head).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    }
    let long = pair.stack.raw(&posted("", &json!({"jsonrpc": "2.0", "x": "y".repeat(70_000)}))).await;
    assert_eq!((long.status, long.body.contains("at most 65536 bytes")), (413, true), "{long:#?}");
    let chunk = "z".repeat(70_000);
    let chunked = format!(
        "POST http://bottle.internal/mcp HTTP/1.1\r\nHost: bottle.internal\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{chunk}\r\n0\r\n\r\n",
        chunk.len()
    );
    assert_eq!(pair.stack.raw(&chunked).await.status, 413);
    let wrong =
        pair.call("egress-proxy-block", &json!({"host": "a.test", "inspect": false})).await.unwrap_err();
    assert!(wrong.contains("unknown field `inspect`"), "{wrong}");
    let wrong = pair.call("no-such-tool", &json!({})).await.unwrap_err();
    assert_eq!(wrong, "there is no such tool");
    // The same host over TLS is the same page; a path beside it is none.
    let body = list.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: bottle.internal\r\nContent-Type: application/json\r\nAccept: application/json, \
         text/event-stream\r\nContent-Length: {}",
        body.len()
    );
    assert_eq!(pair.stack.request("bottle.internal:443", &head, &body).await.status, 200);
    assert!(pair.proposals().is_empty());
}

#[tokio::test]
async fn without_the_service_it_is_said_and_without_the_key_there_is_no_such_page() {
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let dir = tempfile::tempdir().unwrap();
    let socket = Utf8PathBuf::from_path_buf(dir.path().join("none.sock")).unwrap();
    let away = Stack::with(|config| config.supervise = Some(socket)).await;
    let answer = away.raw(&posted("", &list)).await;
    assert_eq!((answer.status, answer.body.contains("does not answer")), (503, true), "{answer:#?}");
    let none = Stack::start().await;
    assert_eq!(none.raw(&posted("", &list)).await.status, 404);
}

const MANIFEST: &str = "\
version: 1
name: dev
agent:
  image: debian:12 # kept
supervise: true
egress_proxy:
  routes:
    # What the agent works with.
    - host: api.test
      path_allowlist: [/v1] # only this
";

/// Answers as a stack that runs; a reload is done by the test, which takes the file away again.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
  "ps --all --quiet "*) exit 0 ;;
  *" ps "*"--services") printf 'netns\ngate\npipelock\negress-proxy\nsupervise\nagent\n' ;;
  *" exec -T egress-proxy /bottle reload")
    [ -e "$DIR/refuse" ] && exit 1
    : > "$DIR/reload"
    while [ -e "$DIR/reload" ]; do sleep 0.02; done ;;
esac
exit 0
"#;

/// A project that was rendered, with its proxy and its service as they run in a stack.
struct Site {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    state: Utf8PathBuf,
    pipelock: FakePipelock,
    files: Files,
    address: String,
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        for folder in ["project", "bin"] {
            fs_err::create_dir(root.join(folder)).unwrap();
        }
        let mut elf = vec![0_u8; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
        fs_err::write(root.join("image-binary"), elf).unwrap();
        fs_err::write(root.join("project/bottle.yaml"), MANIFEST).unwrap();
        fs_err::write(root.join("bin/docker"), DOCKER).unwrap();
        fs_err::set_permissions(root.join("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let pipelock = FakePipelock::start(&["h2", "http/1.1"]);
        let files = Files::new(&pipelock.ca_pem);
        let mut site =
            Self { state: Utf8PathBuf::new(), root, pipelock, files, address: String::new(), _dir: dir };
        let image = site.root.join("image-binary");
        let rendered = site.run(&["render", "--accept-widening", "--image-binary", image.as_str()]);
        assert!(rendered.status.success(), "{}", said(&rendered));
        let states = site.root.join("state/bottle").read_dir_utf8().unwrap();
        site.state = states.map(|entry| entry.unwrap().into_path()).find(|path| path.is_dir()).unwrap();
        let rules = site.state.join("agreed/egress-proxy/routes.yaml");
        serve(&site.root, &site.state.join("supervise"), &rules, LONG);
        site.proxy().await;
        site
    }

    /// The agreed rules, with the places of this test.
    fn localised(&self) -> std::path::PathBuf {
        let agreed = fs_err::read(self.state.join("agreed/egress-proxy/routes.yaml")).unwrap();
        let agreed = RoutesFile::read(agreed).unwrap();
        assert_eq!(agreed.supervise.as_deref(), Some(Utf8Path::new("/run/bottle-supervise/mcp.sock")));
        let mut config = self.files.config(&self.pipelock.address, agreed.routes);
        config.supervise = Some(self.root.join("mcp.sock"));
        self.files.write(&config)
    }

    async fn proxy(&mut self) {
        let log = Log::start(Sink::Writer(Box::new(Captured::default()))).unwrap();
        let proxy = EgressProxy::build(&self.localised(), &Clock::system(), log).unwrap();
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        tokio::spawn(proxy.serve(listener, Drain::new()));
        self.reloads(proxy, self.root.join("reload"));
    }

    /// Does what `docker compose exec egress-proxy /bottle reload` does, when it is asked to.
    fn reloads(&self, proxy: EgressProxy, asked: Utf8PathBuf) {
        let agreed = self.state.join("agreed/egress-proxy/routes.yaml");
        let local = self.files.path("routes.yaml");
        let before = RoutesFile::read(fs_err::read(&local).unwrap()).unwrap();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if asked.exists() {
                    let routes = RoutesFile::read(fs_err::read(&agreed).unwrap()).unwrap().routes;
                    let config = RoutesFile { routes, ..before.clone() };
                    fs_err::write(&local, bottle::yaml::emit(&config).unwrap()).unwrap();
                    proxy.reload().await.unwrap();
                    fs_err::remove_file(&asked).unwrap();
                }
            }
        });
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        let path = format!("{}:{}", self.root.join("bin"), std::env::var("PATH").unwrap());
        command.current_dir(self.root.join("project")).env("PATH", path).env("DIR", &self.root);
        command.env("XDG_STATE_HOME", self.root.join("state")).env("USER", "ada").stdin(Stdio::null());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same while the proxy goes on.
    async fn person(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        if arguments[0] == "approve" {
            command.arg("--image-binary").arg(self.root.join("image-binary"));
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn manifest(&self) -> String {
        fs_err::read_to_string(self.root.join("project/bottle.yaml")).unwrap()
    }

    /// Asks over MCP on a connection of its own, and goes on while it waits.
    fn propose(&self, tool: &str, arguments: &Value) -> tokio::task::JoinHandle<Answer> {
        let (address, bytes) = (self.address.clone(), posted("", &call(tool, arguments)));
        tokio::spawn(async move {
            let mut wire = Wire::new(TcpStream::connect(address).await.unwrap());
            exchange(&mut wire, bytes).await
        })
    }

    /// The one proposal that waits, as a person sees it.
    async fn pending(&self) -> Value {
        loop {
            let output = self.person(&["dashboard", "--once", "--format", "json"]).await;
            let shown: Value =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
            let pending = &shown["bottles"][0]["pending"];
            match pending.as_array().unwrap().as_slice() {
                [] => tokio::time::sleep(Duration::from_millis(20)).await,
                [one] => return one.clone(),
                several => panic!("{several:#?}"),
            }
        }
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn digest(output: &Output) -> String {
    let text = said(output);
    let line = text.lines().find_map(|line| line.strip_prefix("digest ").map(str::to_owned));
    line.unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refused_proposed_approved_and_the_same_request_works_in_the_same_session() {
    let site = Site::start().await;
    let mut session = tunnel(&site.address, &site.files.agent_ca, "api.test:443", "api.test").await;
    let request = "GET /v2/items HTTP/1.1\r\nHost: api.test\r\n\r\n";
    exchange(&mut session, request).await.assert_refused(403, "path_not_allowed");

    let arguments = json!({"host": "api.test", "path_allowlist": ["/v2/items"], "justification": "the list moved <b>here</b>"});
    let _call = site.propose("egress-proxy-block", &arguments);
    let pending = site.pending().await;
    let id = pending["id"].as_str().unwrap().to_owned();
    assert_eq!((&pending["stale"], &pending["obstacle"]), (&false.into(), &Value::Null), "{pending:#}");
    assert_eq!(pending["changes"][0]["risk"]["class"], "reach", "{pending:#}");
    let shown = said(&site.person(&["dashboard", "--once"]).await);
    assert!(shown.contains(&id) && shown.contains("the list moved <b>here</b>"), "{shown}");
    assert!(shown.contains("GET, HEAD https://api.test /v2/items"), "{shown}");
    // The host has one rule, whose methods are the usual ones: what that comes to is said.
    let beyond = pending["beyond"][0].as_str().unwrap();
    assert!(beyond.contains("POST") && beyond.ends_with(" on /v2/items"), "{pending:#}");
    assert!(shown.contains(&format!("not asked for, and allowed with it: {beyond}")), "{shown}");

    // Nobody agrees without a terminal or a digest, nor to another one.
    let refused = site.person(&["approve", &id]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let other = site.person(&["approve", &id, "--accept", "sha256:0"]).await;
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    assert_eq!(site.manifest(), MANIFEST);
    let checked = site.person(&["approve", &id, "--check"]).await;
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("https://api.test/v2/items/**"), "{}", said(&checked));
    assert!(said(&checked).contains(beyond), "{}", said(&checked));
    let digest = digest(&checked);

    // A reload that fails leaves everything as it was.
    fs_err::write(site.root.join("refuse"), "").unwrap();
    let failed = site.person(&["approve", &id, "--accept", &digest]).await;
    assert_eq!(failed.status.code(), Some(2), "{}", said(&failed));
    assert!(said(&failed).contains("the proposal waits"), "{}", said(&failed));
    assert_eq!(site.manifest(), MANIFEST);
    fs_err::remove_file(site.root.join("refuse")).unwrap();

    let approved = site.person(&["approve", &id, "--accept", &digest]).await;
    assert_eq!(approved.status.code(), Some(0), "{}", said(&approved));
    // However long the person took, the agent finds out.
    let status = site.propose("request-status", &json!({"id": id})).await.unwrap();
    assert_eq!(result(&status).unwrap()["status"], "approved");
    let text = site.manifest();
    assert!(
        text.contains("image: debian:12 # kept") && text.contains("# What the agent works with."),
        "{text}"
    );
    assert!(text.contains("/v2/items") && text.contains("# only this"), "{text}");
    assert_eq!(exchange(&mut session, request).await.status, 200);

    let history = fs_err::read_to_string(site.state.join("supervise/history.jsonl")).unwrap();
    let records: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, begun, failed, again, record] = records.as_slice() else { panic!("{history}") };
    assert_eq!(first["edited"], true, "what `render` asked about first");
    assert_eq!((&begun["begun"], &again["begun"]), (&"approved".into(), &"approved".into()));
    assert_eq!(failed["verdict"], "failed");
    assert_eq!((&record["id"], &record["verdict"]), (&id.as_str().into(), &"approved".into()));
    assert!(record["who"].as_str().unwrap().starts_with("ada("), "{record:#}");
    assert!(record["changes"].to_string().contains("/v2/items"), "{record:#}");
    let again = site.person(&["approve", &id, "--check"]).await;
    assert!(said(&again).contains("has no proposal"), "{}", said(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_agent_is_told_of_an_approval_that_failed_and_what_cannot_be_kept_is_not_done() {
    let site = Site::start().await;
    let supervise = site.state.join("supervise");
    let (id, name) = ("00000000000a", "00000000000a.json");
    fs_err::write(supervise.join(PROPOSALS).join(name), proposal(id, "new.test").to_string()).unwrap();
    let digest = digest(&site.person(&["approve", id, "--check"]).await);
    fs_err::write(site.root.join("refuse"), "").unwrap();
    let failed = site.person(&["approve", id, "--accept", &digest]).await;
    assert_eq!(failed.status.code(), Some(2), "{}", said(&failed));
    let status = result(&site.propose("request-status", &json!({"id": id})).await.unwrap()).unwrap();
    assert_eq!(status["status"], "pending");
    let notes = status["notes"].as_str().unwrap();
    assert!(notes.contains("it could not be applied; it waits") && !notes.contains('/'), "{notes}");
    fs_err::remove_file(site.root.join("refuse")).unwrap();

    let history = supervise.join("history.jsonl");
    fs_err::rename(&history, history.with_extension("aside")).unwrap();
    fs_err::create_dir(&history).unwrap();
    let failed = site.person(&["approve", id, "--accept", &digest]).await;
    assert_eq!(failed.status.code(), Some(2), "{}", said(&failed));
    assert_eq!(site.manifest(), MANIFEST);
    assert!(supervise.join(PROPOSALS).join(name).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_person_makes_of_it_in_an_editor_is_shown_and_agreed_to_by_its_digest() {
    let site = Site::start().await;
    let supervise = site.state.join("supervise");
    let (id, name) = ("00000000000a", "00000000000a.json");
    fs_err::write(supervise.join(PROPOSALS).join(name), proposal(id, "new.test").to_string()).unwrap();
    let edit = |editor: &str, more: &[&str]| {
        let mut command = site.command(&["approve", id, "--edit"]);
        command.args(more).arg("--image-binary").arg(site.root.join("image-binary"));
        command.env_remove("VISUAL").env("EDITOR", editor);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    for (editor, why) in [
        ("false", "failed"),
        ("sed -i 's/routes:/routs:/'", "there is no key `routs`"),
        ("sed -i '/new.test/,$d'", "is as it was"),
    ] {
        let refused = edit(editor, &["--check"]).await.unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    let narrow = "sed -i 's/new.test/narrow.test/'";
    let checked = edit(narrow, &["--check"]).await.unwrap();
    assert!(said(&checked).contains("narrow.test"), "{}", said(&checked));
    assert_eq!(site.manifest(), MANIFEST);
    let digest = digest(&checked);
    let other = edit("true", &["--accept", &digest]).await.unwrap();
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    let done = edit(narrow, &["--accept", &digest]).await.unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert!(site.manifest().contains("narrow.test") && !site.manifest().contains("new.test"));
    let decided = fs_err::read_to_string(supervise.join(DECISIONS).join(name)).unwrap();
    assert!(decided.contains("modified"), "{decided}");
    assert!(!supervise.join("edit-00000000000a.yaml").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_host_with_a_last_day_a_new_token_and_a_rejection() {
    let site = Site::start().await;
    let asked = json!({"host": "new.test", "path_allowlist": ["/"], "methods": ["GET"],
        "auth": {"scheme": "Bearer", "token_ref": "NEW_TOKEN"}, "justification": "x"});
    let call = site.propose("egress-proxy-block", &asked);
    let id = site.pending().await["id"].as_str().unwrap().to_owned();
    let checked = site.person(&["approve", &id, "--check"]).await;
    let refused = site.person(&["approve", &id, "--accept", &digest(&checked)]).await;
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(
        text.contains("sends NEW_TOKEN, which this stack does not hold") && text.contains("--rotate"),
        "{text}"
    );
    assert_eq!(site.manifest(), MANIFEST);
    let steers = site.person(&["reject", &id, "--reason", "no\u{1b}[2J"]).await;
    assert_eq!(steers.status.code(), Some(2), "{}", said(&steers));
    let rejected = site.person(&["reject", &id, "--reason", "not with a token"]).await;
    assert!(rejected.status.success(), "{}", said(&rejected));
    let told = result(&tokio::time::timeout(SOON, call).await.unwrap().unwrap()).unwrap();
    assert_eq!((&told["status"], &told["notes"]), (&"rejected".into(), &"not with a token".into()));

    let failed = json!({"failed_url": "https://new.test/v1/a?q=1", "justification": "x"});
    let call = site.propose("pipelock-block", &failed);
    let id = site.pending().await["id"].as_str().unwrap().to_owned();
    let until = ["approve", &id, "--until", "2999-01-31"];
    let checked = site.person(&[&until[..], &["--check"]].concat()).await;
    let approved = site.person(&[&until[..], &["--accept", &digest(&checked)]].concat()).await;
    assert!(approved.status.success(), "{}", said(&approved));
    let told = result(&tokio::time::timeout(SOON, call).await.unwrap().unwrap()).unwrap();
    assert_eq!(told["status"], "approved");
    let text = site.manifest();
    assert!(text.contains("new.test") && text.contains("/v1/a") && text.contains("2999-01-31"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_in_the_folder_of_proposals_is_believed() {
    let site = Site::start().await;
    let folder = site.state.join("supervise").join(PROPOSALS);
    let file = |id: &str, text: &str| fs_err::write(folder.join(format!("{id}.json")), text).unwrap();
    let good = |id: &str, host: &str| proposal(id, host).to_string();
    file("000000000001", &good("000000000001", "a.test"));
    file("000000000002", &good("000000000001", "b.test"));
    file("000000000003", &good("000000000003", "b.test\u{1b}[2J"));
    file("000000000004", &"x".repeat(100_000));
    file("000000000005", "{");
    file("000000000008", &good("000000000008", "a.test").replace("version", "\\u001b[2J"));
    fs_err::write(folder.join("evil\u{1b}[2J.json"), "{}").unwrap();
    fs_err::os::unix::fs::symlink(site.state.join("agreed.json"), folder.join("000000000006.json")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("000000000007.json").as_std_path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let output = site.person(&["dashboard", "--once", "--format", "json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let bottle = &shown["bottles"][0];
    assert_eq!(bottle["pending"].as_array().unwrap().len(), 1, "{bottle:#}");
    assert_eq!(
        (&bottle["pending"][0]["stale"], &bottle["unreadable"]),
        (&true.into(), &8.into()),
        "{bottle:#}"
    );
    let text = said(&site.person(&["dashboard", "--once"]).await);
    assert!(text.contains("(made under older rules)") && !text.contains('\u{1b}'), "{text}");
    let bad =
        ["000000000002", "000000000003", "000000000004", "000000000006", "000000000007", "000000000008"];
    for id in bad {
        let refused = site.person(&["approve", id, "--check"]).await;
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).len() < 500, "{}", said(&refused));
    }

    // What a person saw is what they decide about.
    file("000000000001", &good("000000000001", "other.test"));
    for verb in [&["approve", "000000000001", "--check"][..], &["reject", "000000000001", "--reason", "no"]] {
        let refused = site.person(verb).await;
        let text = said(&refused);
        assert!(text.contains("is not what it was when it was first looked at"), "{text}");
    }
    file("000000000001", &good("000000000001", "a.test"));

    // However much lies there, what is a proposal is found, and the rest does not stay.
    for n in 0..500 {
        fs_err::write(folder.join(format!(".junk-{n}")), "").unwrap();
    }
    let no_utf8 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    fs_err::write(folder.as_std_path().join(no_utf8), "").unwrap();
    let text = said(&site.person(&["dashboard", "--once"]).await);
    assert!(text.contains("000000000001  ") && text.contains("files were removed from"), "{text}");
    assert!(fs_err::read_dir(&folder).unwrap().count() < 100);
    let rejected = site.person(&["reject", "000000000001", "--reason", "no"]).await;
    assert!(said(&rejected).contains("https://a.test /"), "{}", said(&rejected));

    // A bottle that can't be looked at does not vanish.
    fs_err::rename(&site.state, site.state.with_extension("aside")).unwrap();
    let text = said(&site.person(&["dashboard", "--once"]).await);
    assert!(text.contains("dev") && text.contains("it can't be looked at"), "{text}");
}

fn proposal(id: &str, host: &str) -> Value {
    json!({"version": 1, "id": id, "time": "2026-11-28T10:00:00Z", "config": "0".repeat(64),
        "ask": {"egress-proxy-block": {"host": host, "path_allowlist": ["/"], "justification": "x"}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_decision_that_was_cut_off_is_brought_to_its_end() {
    let site = Site::start().await;
    let supervise = site.state.join("supervise");
    let history = supervise.join("history.jsonl");
    let agreed: Value = serde_json::from_str(&fs_err::read_to_string(&history).unwrap()).unwrap();
    let record = |id: &str, key: &str, verdict: &str, digest: &str| {
        let mut record = json!({"time": "2026-11-28T10:00:00Z", "who": "ada(1)", "id": id, "notes": "",
            "ask": proposal(id, "a.test")["ask"], "changes": [], "digest": digest});
        record[key] = verdict.into();
        record.to_string()
    };
    let cases = [
        ("000000000001", "begun", "approved", agreed["digest"].as_str().unwrap(), "approved"),
        ("000000000002", "begun", "approved", "sha256:0", "failed"),
        ("000000000003", "verdict", "rejected", "sha256:0", "rejected"),
    ];
    let mut lines = fs_err::read_to_string(&history).unwrap();
    for (id, key, verdict, digest, _) in cases {
        fs_err::write(
            supervise.join(PROPOSALS).join(format!("{id}.json")),
            proposal(id, "a.test").to_string(),
        )
        .unwrap();
        lines += &(record(id, key, verdict, digest) + "\n");
    }
    // A line that was being written when the machine stopped takes no other one with it.
    lines += "{\"time\":";
    fs_err::write(&history, lines).unwrap();
    let output = site.person(&["dashboard", "--once", "--format", "json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let pending = shown["bottles"][0]["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 1, "{shown:#}");
    assert_eq!(pending[0]["id"], "000000000002");
    for (id, _, _, _, told) in cases {
        let decision = fs_err::read_to_string(supervise.join(DECISIONS).join(format!("{id}.json"))).unwrap();
        let decision: Value = serde_json::from_str(&decision).unwrap();
        assert_eq!(decision["verdict"], told, "{id}");
        let decided = shown["bottles"][0]["history"].as_array().unwrap();
        let last = decided.iter().rfind(|it| it["id"] == id).unwrap();
        assert_eq!(last["verdict"], told, "{decided:#?}");
    }
}

/// A page that `bottle dashboard --web` serves, and who asks for it over plain HTTP.
struct Page {
    child: std::process::Child,
    authority: String,
    token: String,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Page {
    fn start(site: &Site) -> Self {
        use std::io::BufRead as _;
        let mut command = site.command(&["dashboard", "--web", "--image-binary"]);
        command.arg(site.root.join("image-binary")).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (authority, token) = line.trim().strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
        assert!(authority.starts_with("127.0.0.1:") && token.len() == 64, "{line}");
        Self { authority: authority.to_owned(), token: token.to_owned(), child }
    }

    /// A request with these lines of its head.
    async fn ask(&self, first: &str, fields: &[String], body: &str) -> Got {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = TcpStream::connect(&self.authority).await.unwrap();
        let mut head = format!("{first} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        for field in fields {
            head.extend([field.as_str(), "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Got { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn host(&self) -> String {
        format!("Host: {}", self.authority)
    }

    fn origin(&self) -> String {
        format!("Origin: http://{}", self.authority)
    }
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let at = page.find(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}\n{page}"));
    page[at..].split('"').nth(3).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_page_is_for_who_has_its_address_and_nothing_in_it_is_markup_of_an_agents() {
    let site = Site::start().await;
    let page = Page::start(&site);
    let (host, origin) = (page.host(), page.origin());
    let own = std::slice::from_ref(&host);
    let first = format!("GET /?token={}", page.token);
    // Another name of this machine, another origin, no token.
    for (fields, status) in [
        (vec!["Host: evil.test".to_owned()], 421),
        (vec![format!("Host: localhost:{}", page.authority.rsplit_once(':').unwrap().1)], 421),
        (vec![host.clone(), "Origin: https://evil.test".to_owned()], 403),
        (vec![host.clone(), "Origin: null".to_owned()], 403),
    ] {
        assert_eq!(page.ask(&first, &fields, "").await.status, status, "{fields:?}");
    }
    for path in ["/", "/?token=", "/?token=0", "/style.css", "/proposal"] {
        assert_eq!(page.ask(&format!("GET {path}"), own, "").await.status, 403, "{path}");
    }
    let begun = page.ask(&first, own, "").await;
    assert_eq!(begun.status, 303, "{}", begun.head);
    let set = begun.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict;"), "{set}");
    let cookie = format!("Cookie: {}", set.split(';').next().unwrap());
    assert_eq!(page.ask(&first, own, "").await.status, 403, "the address is good once");

    // What no field of an agent's can hold comes by way of a file, and of what was refused.
    let html = "<img src=x onerror=alert(1)>&\"'";
    let id = "00000000000a";
    let mut asked = proposal(id, "html.test");
    asked["ask"]["egress-proxy-block"]["justification"] = html.into();
    let folder = site.state.join("supervise").join(PROPOSALS);
    fs_err::write(folder.join(format!("{id}.json")), asked.to_string()).unwrap();
    let other = "00000000000b";
    let mut record = proposal(other, "x.test");
    record["ask"] = json!({"pipelock-block": {"failed_url": "https://x.test/v1/<b>", "justification": html}});
    fs_err::write(folder.join(format!("{other}.json")), record.to_string()).unwrap();
    let history = site.state.join("supervise/history.jsonl");
    let steers = format!("\u{1b}[2J\u{202e}{html}");
    let line = json!({"time": "2026-11-28T10:00:00Z", "who": steers, "id": "00000000000c", "verdict": "rejected",
        "notes": steers, "ask": proposal("00000000000c", "x.test")["ask"], "changes": [], "digest": steers});
    fs_err::write(&history, fs_err::read_to_string(&history).unwrap() + &line.to_string() + "\n").unwrap();

    let with = [host.clone(), cookie.clone()];
    let shown = page.ask("GET /", &with, "").await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert!(shown.head.contains("content-security-policy: default-src 'none'"), "{}", shown.head);
    let project =
        shown.body.split("/proposal?project=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let review = page.ask(&format!("GET /proposal?project={project}&id={id}"), &with, "").await;
    for body in [&shown.body, &review.body] {
        assert!(body.contains("&lt;img src=x onerror=alert(1)&gt;&amp;"), "{body}");
        assert!(!body.contains("<img") && !body.contains("<script"), "{body}");
        assert!(!body.chars().any(|c| bottle::printable::is_unprintable(c) && c != '\n'), "{body}");
    }
    assert!(shown.body.contains(r"\u{1b}[2J\u{202e}"), "{}", shown.body);

    let (csrf, digest) = (hidden(&review.body, "csrf"), hidden(&review.body, "digest"));
    let form = |csrf: &str, more: &str| format!("csrf={csrf}&project={project}&id={id}&{more}");
    let approve = format!("digest={digest}");
    let posted = [host.clone(), origin.clone(), cookie.clone()];
    for (first, fields, csrf, status) in [
        ("GET /approve", &posted[..], csrf.as_str(), 404),
        ("PUT /approve", &posted[..], &csrf, 405),
        ("POST /approve", &posted[..], "0", 403),
        ("POST /approve", &[host.clone(), cookie.clone()][..], &csrf, 403),
        ("POST /approve", &[host.clone(), origin.clone()][..], &csrf, 403),
    ] {
        assert_eq!(page.ask(first, fields, &form(csrf, &approve)).await.status, status, "{first} {fields:?}");
    }
    assert_eq!(site.manifest(), MANIFEST);
    let other_digest = page.ask("POST /approve", &posted, &form(&csrf, "digest=sha256:0")).await;
    assert!(other_digest.body.contains("nothing was written"), "{}", other_digest.body);
    assert_eq!(site.manifest(), MANIFEST);

    // Modified in the page, shown anew, agreed to by the new digest.
    let text = MANIFEST.replace("[/v1] # only this", "[/v1, /v3] # only this");
    let encoded =
        percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
    let modified = page.ask("POST /modify", &posted, &form(&csrf, &format!("text={encoded}"))).await;
    let new_digest = hidden(&modified.body, "digest");
    assert!(new_digest != digest && modified.body.contains("&#x2f;v3"), "{}", modified.body);
    let done = form(&csrf, &format!("digest={new_digest}&text={encoded}"));
    let done = page.ask("POST /approve", &posted, &done).await;
    assert!(done.body.contains("done: the rules say so"), "{}", done.body);
    assert_eq!(site.manifest(), text);
    let decided =
        fs_err::read_to_string(site.state.join("supervise").join(DECISIONS).join(format!("{id}.json")));
    assert!(decided.unwrap().contains("modified"));

    let no = format!("csrf={csrf}&project={project}&id={other}&reason=no+more");
    let rejected = page.ask("POST /reject", &posted, &no).await;
    assert!(rejected.body.contains("rejected"), "{}", rejected.body);
    assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 0);
}
