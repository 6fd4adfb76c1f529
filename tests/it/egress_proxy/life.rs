//! Start, reload, drain, and the binary as an operator sees it.

use super::harness::{Files, PLANTED, SOON, Stack, exchange, route, tunnel, usual_routes};
use super::pipelock::FakePipelock;
use bottle::config::ProxyAddress;
use bottle::config::routes::{RouteEntry, RoutesFile};
use std::{
    io::BufRead as _,
    process::{Child, Command, Output, Stdio},
};

#[tokio::test]
async fn a_reload_changes_what_the_next_request_may_do_even_in_an_open_tunnel() {
    let stack = Stack::start().await;
    let mut tunnel = stack.tunnel("paths.test:443").await;
    let ask = b"GET /v1/models HTTP/1.1\r\nHost: paths.test\r\n\r\n";
    exchange(&mut tunnel, ask).await.assert_refused(403, "path_not_allowed");

    let mut config = stack.config.clone();
    config.routes[1].path_allowlist = super::harness::only(&["/v1"]);
    config.routes.push(route("new.test"));
    stack.files.write(&config);
    stack.proxy.reload().await.unwrap();

    assert_eq!(exchange(&mut tunnel, ask).await.status, 200);
    assert_eq!(stack.get("new.test", "/").await.status, 200);
    let records = stack.records(3).await;
    assert_ne!(records[0].config, records[1].config, "each record names the config that decided");
    assert_eq!(stack.proxy.live().get().generation, 2);
    assert_eq!(stack.proxy.live().get().config, records[1].config);
}

#[tokio::test]
async fn a_token_is_read_again_and_a_new_ca_is_used_by_new_tunnels() {
    let mut stack = Stack::start().await;
    stack.files.token("a-second-token");
    stack.files.agent_ca = stack.files.mint_ca();
    stack.proxy.reload().await.unwrap();
    assert_eq!(stack.get("api.test", "/").await.status, 200, "the tunnel shows a leaf of the new CA");
    assert_eq!(stack.pipelock.only().header("authorization"), ["Bearer a-second-token"]);
}

type Break = fn(&Files, &mut RoutesFile);

#[tokio::test]
async fn a_config_that_can_not_be_used_never_replaces_one_that_can() {
    let cases: &[(Break, &str)] = &[
        (|files, _| fs_err::remove_file(files.path("TOKEN")).unwrap(), "TOKEN can't be read: No such file"),
        (|files, _| files.token(""), "of TOKEN is empty; is $TOKEN set"),
        (|files, _| files.token("a\u{7}b"), "holds a control byte"),
        (|files, _| fs_err::write(files.path("ca-key.pem"), "").unwrap(), "the CA key can't be read"),
        (|files, _| fs_err::write(files.path("ca.pem"), "").unwrap(), "the CA certificate can't be read"),
        (|files, _| fs_err::write(files.path("pipelock-ca.pem"), "").unwrap(), "holds no certificate"),
        (|_, config| config.routes.push(route("api.test")), "`api.test` has a rule already"),
        (
            |_, config| config.upstream.proxy = ProxyAddress::Tcp(String::new()),
            "upstream.proxy: `` is not an address of pipelock, the only way out: write `unix:/absolute/path` or",
        ),
        (|_, config| config.routes[0].ports.push(80), "a credential never goes over plain http"),
        (|_, config| config.limits.connections = 7, "limits changed, which a reload can't apply: restart"),
        (|_, config| config.listen = "127.0.0.1:1".parse().unwrap(), "listen changed"),
        (|_, config| config.version = 2, "this bottle reads version 1, not 2"),
    ];
    for (number, (damage, why)) in cases.iter().enumerate() {
        let stack = Stack::start().await;
        let before = stack.proxy.live().get().config;
        let mut config = stack.config.clone();
        config.routes.push(route("new.test"));
        damage(&stack.files, &mut config);
        stack.files.write(&config);
        let error = stack.proxy.reload().await.unwrap_err().to_string();
        assert!(error.contains(why), "case {number}: {error}");
        let status = stack.proxy.live().get();
        assert_eq!((status.config, status.generation, status.reloads), (before, 1, 1), "case {number}");
        assert_eq!(status.last_error.as_deref(), Some(error.as_str()));
        assert_eq!(stack.get("api.test", "/").await.status, 200, "case {number}: the old rules hold");
        assert_eq!(stack.pipelock.only().header("authorization"), [format!("Bearer {PLANTED}")]);
        stack.get("new.test", "/").await.assert_refused(403, "host_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_what_is_in_flight_and_takes_nothing_new() {
    let stack = Stack::start().await;
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (arrived, mut at) = tokio::sync::mpsc::unbounded_channel();
    stack.pipelock.answer(move |_| {
        arrived.send(()).unwrap();
        // The stand-in holds a thread of the runtime; the test runs on several.
        tokio::task::block_in_place(|| wait.lock().unwrap().recv().unwrap());
        super::pipelock::text(200, "late")
    });
    let mut tunnel = stack.tunnel("open.test:443").await;
    let asking =
        tokio::spawn(
            async move { exchange(&mut tunnel, b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await },
        );
    tokio::time::timeout(SOON, at.recv()).await.expect("the request arrives").unwrap();
    stack.drain.start();
    release.send(()).unwrap();
    assert_eq!(asking.await.unwrap().body, "late");
    tokio::time::timeout(SOON, stack.serving).await.expect("it ends").unwrap();
    assert!(!stack.proxy.live().get().ready);
    assert!(tokio::net::TcpStream::connect(&stack.address).await.is_err(), "nobody listens any more");
}

pub(super) struct Running {
    pub(super) child: Child,
    pub(super) listen: String,
    admin: String,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStderr>>,
}

fn bottle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bottle")).args(arguments).output().unwrap()
}

pub(super) fn start(files: &Files, arguments: &[&str]) -> Running {
    let config = files.path("routes.yaml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["egress-proxy", "run", "--config", config.to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().expect("a line when it is ready").unwrap();
    let ready: serde_json::Value = serde_json::from_str(&first).unwrap_or_else(|e| panic!("{e}: {first}"));
    assert_eq!(ready["message"], "ready", "{first}");
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let (listen, admin) = (text("listen"), text("admin"));
    Running { child, listen, admin, lines }
}

impl Running {
    /// Ends it as an engine does, and gives its exit code, its audit records and the rest of its log.
    pub(super) fn stop(mut self) -> (Option<i32>, String, Vec<String>) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut audit = String::new();
        std::io::Read::read_to_string(&mut self.child.stdout.take().unwrap(), &mut audit).unwrap();
        let log = self.lines.map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), audit, log)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_reloads_and_ends_with_0() {
    let pipelock = FakePipelock::start(&["h2"]);
    let files = Files::new(&pipelock.ca_pem);
    let mut config = files.config(&pipelock.address, usual_routes());
    files.write(&config);
    // The loudest log there is, since none may show a secret.
    let running = start(&files, &["-vv"]);

    let ready = bottle(&["healthcheck", "--url", &format!("http://{}/readyz", running.admin)]);
    assert_eq!(ready.status.code(), Some(0), "{ready:?}");

    config.routes.push(RouteEntry { reason: Some("new".to_owned()), ..route("new.test") });
    files.write(&config);
    let reload = bottle(&["reload", "--admin", &running.admin]);
    let said = String::from_utf8(reload.stdout).unwrap();
    assert_eq!(reload.status.code(), Some(0), "{said}");
    assert!(said.starts_with("generation 2 is live: config "), "{said}");

    files.token("");
    let reload = bottle(&["reload", "--admin", &running.admin]);
    let said = String::from_utf8(reload.stdout).unwrap();
    assert_eq!(reload.status.code(), Some(1), "{said}");
    assert!(said.starts_with("refused, the config of generation 2 stays: the token file "), "{said}");

    let mut agent = crate::wire::Wire::new(tokio::net::TcpStream::connect(&running.listen).await.unwrap());
    let ask = "GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\n\r\n";
    let answer = exchange(&mut agent, ask.as_bytes()).await;
    assert_eq!(answer.json()["hosts"][6]["reason"], "new");

    let metrics = bottle(&["healthcheck", "--print", "--url", &format!("http://{}/metrics", running.admin)]);
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    for line in [
        "bottle_egress_proxy_generation 2",
        "bottle_egress_proxy_audit_writable 1",
        "bottle_egress_proxy_upstream_connections_total 0",
        "bottle_egress_proxy_reloads_total{outcome=\"taken\"} 1",
        "bottle_egress_proxy_reloads_total{outcome=\"refused\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    drop(agent);
    let mut tunnel = tunnel(&running.listen, &files.agent_ca, "api.test:443", "api.test").await;
    let answer = exchange(&mut tunnel, b"GET /user?q=planted-query HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(pipelock.only().header("authorization"), [format!("Bearer {PLANTED}")]);
    drop(tunnel);
    let (code, audit, log) = running.stop();
    assert_eq!(code, Some(0), "{log:?}");
    assert_eq!(audit.lines().count(), 3, "an answer of its own, a dispatch and its end: {audit}");
    assert!(log.iter().any(|line| line.contains("the new config is refused; the old one stays")), "{log:?}");
    for text in [audit, log.concat(), metrics] {
        assert!(!text.contains(PLANTED) && !text.contains("planted-query"), "{text}");
    }
}

#[tokio::test]
async fn the_binary_listens_on_a_unix_socket_and_writes_audit_records_to_a_file() {
    let files = Files::new(&FakePipelock::start(&[]).ca_pem);
    files.write(&files.config("127.0.0.1:9", usual_routes()));
    let socket = files.path("egress.sock");
    let audit = files.path("audit.jsonl");
    let listen = format!("unix:{}", socket.display());
    let running = start(&files, &["--listen", &listen, "--audit-log", audit.to_str().unwrap()]);
    assert_eq!(running.listen, listen);
    let mut agent = crate::wire::Wire::new(tokio::net::UnixStream::connect(&socket).await.unwrap());
    let answer =
        exchange(&mut agent, b"CONNECT evil.example:22 HTTP/1.1\r\nHost: evil.example:22\r\n\r\n").await;
    answer.assert_refused(403, "host_not_allowed");
    let (code, stdout, _) = running.stop();
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    let lines = fs_err::read_to_string(&audit).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert!(
        lines.contains("\"method\":\"CONNECT\"") && lines.contains("\"reason\":\"host_not_allowed\""),
        "{lines}"
    );
}

fn check(files: &Files, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = files.path("routes.yaml");
    let output =
        bottle(&[&["egress-proxy", "check", "--config", config.to_str().unwrap()], arguments].concat());
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(files.path("").to_str().unwrap().trim_end_matches('/'), "DIR")
    };
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_what_is_good_and_every_thing_that_is_not() {
    let files = Files::new("");
    fs_err::write(files.path("pipelock-ca.pem"), &files.agent_ca).unwrap();
    let config = files.config("pipelock:8888", usual_routes());
    files.write(&config);
    let (code, stdout, stderr) = check(&files, &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines[0].starts_with("config ") && lines[0].ends_with(": bottle test, 6 hosts"), "{stdout}");
    assert_eq!(lines[1], "credentials: TOKEN");
    assert!(lines[2].starts_with("agent CA: valid until "), "{stdout}");

    let (code, _, stderr) = check(&files, &["--now", "2040-01-01"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("DIR/ca.pem: the CA expired at "), "{stderr}");

    files.token("");
    fs_err::write(files.path("pipelock-ca.pem"), "").unwrap();
    fs_err::remove_file(files.path("ca.pem")).unwrap();
    let (code, _, stderr) = check(&files, &[]);
    assert_eq!(code, Some(2));
    for part in [
        "can't read DIR/ca.pem",
        "DIR/pipelock-ca.pem holds no certificate",
        "the token file DIR/TOKEN of TOKEN is empty",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }

    let text = fs_err::read_to_string(files.path("routes.yaml")).unwrap();
    fs_err::write(files.path("routes.yaml"), text.replace("bottle: test", "botle: test")).unwrap();
    let (code, _, stderr) = check(&files, &[]);
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("error: DIR/routes.yaml: line 2, column 1: botle: unknown field"), "{stderr}");
    assert_eq!(stderr.matches("unknown field").count(), 1, "{stderr}");
}

#[test]
fn without_a_token_the_binary_does_not_start() {
    let files = Files::new("");
    fs_err::write(files.path("pipelock-ca.pem"), &files.agent_ca).unwrap();
    files.write(&files.config("pipelock:8888", usual_routes()));
    fs_err::remove_file(files.path("TOKEN")).unwrap();
    let config = files.path("routes.yaml");
    let output = bottle(&["egress-proxy", "run", "--config", config.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("is $TOKEN set where the stack is started?"), "{stderr}");
}
