//! Its configuration: what is refused at the start, how it is replaced, and the verb.

use super::{Setup, setup};
use crate::origin::Origin;
use bottle::{
    clock::Clock,
    intercept::{Protocol, body},
    pipelock::{Paths, Rules},
    pki::{CaKind, CertificateAuthority},
};
use http::Response;
use rustix::process::Signal;
use std::{
    io::BufRead as _,
    process::{Command, Stdio},
};

/// The files in a folder of their own, with a CA.
fn written(mut setup: Setup) -> (tempfile::TempDir, Paths) {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::mint(CaKind::Pipelock, "test", &Clock::system()).unwrap();
    fs_err::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
    fs_err::write(folder.path().join("key.pem"), authority.key_sec1_pem().unwrap().as_str()).unwrap();
    // Relative to the file, as the upstream program reads them.
    (setup.file.tls_interception.ca_cert, setup.file.tls_interception.ca_key) =
        ("ca.pem".to_owned(), "key.pem".to_owned());
    let paths = setup.write(folder.path());
    (folder, paths)
}

fn refused(change: impl FnOnce(&mut Setup)) -> String {
    let mut setup = setup();
    change(&mut setup);
    let (_folder, paths) = written(setup);
    Rules::load(&paths, 1, &Clock::system()).err().expect("it is refused").to_string()
}

#[test]
fn a_value_that_is_not_implemented_is_refused_by_name() {
    type Change = fn(&mut Setup);
    let cases: [(Change, &str); 12] = [
        (
            |s| s.file.tls_interception.cert_ttl = "48h".to_owned(),
            "tls_interception.cert_ttl: only `24h` is implemented",
        ),
        (
            |s| s.file.fetch_proxy.monitoring.max_data_per_minute = 1,
            "fetch_proxy.monitoring.max_data_per_minute: only `0` (no bound) is implemented",
        ),
        (
            |s| s.file.response_scanning.action = bottle::config::pipelock::Action::Block,
            "response_scanning.action: only `warn` is implemented: a response streams, so it can't be taken back",
        ),
        (
            |s| s.file.dlp.include_defaults = false,
            "dlp.include_defaults: only `true` is implemented: the built-in patterns are always used",
        ),
        (
            |s| s.file.request_body_scanning.scan_headers = false,
            "request_body_scanning.scan_headers: only `true` is implemented",
        ),
        (
            |s| s.file.fetch_proxy.monitoring.max_requests_per_minute = 0,
            "fetch_proxy.monitoring.max_requests_per_minute: 0 would refuse everything",
        ),
        (
            |s| s.file.fetch_proxy.monitoring.entropy_threshold = 0.0,
            "fetch_proxy.monitoring: an entropy threshold must be above 0",
        ),
        (|s| s.file.api_allowlist.push("*".to_owned()), "api_allowlist[4]: `*` is not a host: "),
        (
            |s| s.embedded.hosts[0].host = "gone.test".to_owned(),
            "hosts[0].host: `gone.test` is not in api_allowlist; render both files again",
        ),
        (
            |s| s.file.ssrf.ip_allowlist = vec!["10.0.0.0/8".parse().unwrap()],
            "ssrf.ip_allowlist[0]: 10.0.0.0/8 belongs to no host of embedded.yaml; render both files again",
        ),
        (
            |s| s.file.request_body_scanning.ignore_headers.push("no name".to_owned()),
            "request_body_scanning.ignore_headers[14]: `no name` is not a field name",
        ),
        (
            |s| s.embedded.extra_ca_file = Some("/nowhere.pem".to_owned()),
            "can't read the CA certificates in /nowhere.pem: ",
        ),
    ];
    for (change, expected) in cases {
        let error = refused(change);
        assert!(error.starts_with(expected), "expected: {expected}\ngot: {error}");
    }
}

#[test]
fn the_verb_checks_the_files_and_a_url() {
    let (_folder, paths) = written(setup());
    let check = |url: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.args(["pipelock", "check", "--config"]).arg(&paths.config);
        command.arg("--embedded").arg(paths.embedded.as_ref().unwrap()).args(url);
        let ran = command.output().unwrap();
        (
            ran.status.code().unwrap(),
            String::from_utf8(ran.stdout).unwrap(),
            String::from_utf8(ran.stderr).unwrap(),
        )
    };
    let (code, out, err) = check(&[]);
    assert!(code == 0 && out.starts_with("OK mode=strict hosts=4 dlp=") && err.is_empty(), "{out}{err}");
    let cases = [
        ("https://api.test/v1", 0, "allowed\n"),
        ("http://web.test/", 0, "allowed\n"),
        ("https://evil.test/", 1, "blocked: evil.test is not in the allowlist\n"),
        ("https://api.test:22/", 1, "blocked: port 22 of api.test is not allowed; allowed: 443, 8443\n"),
        (
            "ftp://api.test/",
            1,
            "blocked: the target is not a host and port: `ftp://api.test/` is neither http:// nor https://\n",
        ),
    ];
    for (url, code, out) in cases {
        assert_eq!(check(&["--url", url]), (code, out.to_owned(), String::new()), "{url}");
    }
    fs_err::write(&paths.config, "version: 1\n").unwrap();
    let (code, out, err) = check(&[]);
    assert!(
        code == 2 && out.is_empty() && err.starts_with("error: ") && err.contains("pipelock.yaml: line "),
        "{err}"
    );
    fs_err::remove_file(&paths.config).unwrap();
    let (_, _, err) = check(&[]);
    assert_eq!(err.matches("No such file").count(), 1, "{err}");
}

#[test]
fn the_binary_serves_reloads_and_ends_with_0() {
    let mut setup = setup();
    setup.embedded.listen = "127.0.0.1:0".parse().unwrap();
    setup.embedded.admin = "127.0.0.1:0".parse().unwrap();
    let (_folder, paths) = written(setup);
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["pipelock", "run", "--config"])
        .arg(&paths.config)
        .arg("--embedded")
        .arg(paths.embedded.as_ref().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&log.next().unwrap().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let send = |signal| rustix::process::kill_process(pid, signal).unwrap();
    let ready = next();
    let admin = ready["admin"].as_str().expect("it says where an operator asks").to_owned();
    let get = |path| bottle::telemetry::client::get(&format!("http://{admin}{path}")).unwrap();
    assert_eq!((ready["message"].as_str(), get("/readyz").status), (Some("ready"), 200));

    send(Signal::HUP);
    assert_eq!((next()["message"].as_str(), get("/readyz").status), (Some("a new config is live"), 200));
    fs_err::write(&paths.config, "mode: [").unwrap();
    send(Signal::HUP);
    let refused = next();
    assert_eq!(refused["message"], "the new config is refused; the old one stays");
    assert!(refused["error"].as_str().unwrap().contains("pipelock.yaml: line 1"), "{refused}");

    let events = std::io::BufReader::new(child.stdout.take().unwrap()).lines().take(3);
    let events = events.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let events: Vec<_> = events.map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["startup", "config_reload", "config_reload"]);

    send(Signal::TERM);
    assert_eq!(next()["message"], "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_reload_takes_a_good_configuration_and_keeps_the_last_good_one() {
    let origin = Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("hello")) }).await;
    let running = setup().before(&origin).await;
    let path = running.folder.path().join("pipelock.yaml");
    let good = fs_err::read_to_string(&path).unwrap();
    let (head, ..) = running.connect("new.test:443").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");

    fs_err::write(&path, "mode: [").unwrap();
    let error = running.pipelock.reload().await.unwrap_err().to_string();
    assert!(error.contains("pipelock.yaml: line 1"), "{error}");
    let (head, ..) = running.connect("api.test:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let status = running.pipelock.live().get();
    assert_eq!((status.generation, status.reloads, status.last_error.is_some()), (1, 1, true));

    fs_err::write(&path, good.replace("max_tunnel_seconds: 86400", "max_tunnel_seconds: 60")).unwrap();
    let error = running.pipelock.reload().await.unwrap_err().to_string();
    assert_eq!(error, "forward_proxy changed, which a reload can't apply: restart pipelock");

    fs_err::write(&path, good.replace("  - \"web.test\"", "  - \"new.test\"\n  - \"web.test\"")).unwrap();
    let changed = fs_err::read_to_string(&path).unwrap();
    let changed =
        if changed == good { good.replace("  - web.test", "  - new.test\n  - web.test") } else { changed };
    fs_err::write(&path, changed).unwrap();
    running.pipelock.reload().await.unwrap();
    let (head, ..) = running.connect("new.test:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let status = running.pipelock.live().get();
    assert_eq!((status.generation, status.ready, status.last_error), (2, true, None));
    running.event("config_reload").await;
}

/// A leaf that is not kept is made again. The cache drops what is too much once it has written some dozens.
#[tokio::test]
async fn no_more_leaves_are_kept_than_the_limit_says() {
    const HOSTS: usize = 200;
    let origin = Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("hello")) }).await;
    let mut setup = setup();
    let hosts: Vec<_> = (0..HOSTS).map(|n| format!("h{n}.test")).collect();
    setup.file.api_allowlist.extend_from_slice(&hosts);
    setup.embedded.limits.leaf_cache = 1;
    let running = setup.before(&origin).await;
    for host in hosts.iter().chain(&hosts) {
        running.tunnel(&format!("{host}:443"), Protocol::Http1).await;
    }
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &running.pipelock.admin().metrics).unwrap();
    let made =
        metrics.lines().find_map(|line| line.strip_prefix("pipelock_events_total{kind=\"leaf_issued\"} "));
    let made: usize = made.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
    assert!(made > HOSTS + HOSTS / 2, "{made} leaves were made for {HOSTS} hosts that were asked for twice");
}

/// A tunnel that was opened under other rules is no way around the live ones.
#[tokio::test]
async fn a_host_that_a_reload_takes_away_is_gone_in_open_tunnels_too() {
    let origin = Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("hello")) }).await;
    let running = setup().before(&origin).await;
    let mut wire = running.tunnel("api.test:443", Protocol::Http1).await;
    let request = "GET /v1 HTTP/1.1\r\nHost: api.test\r\n\r\n";
    wire.send(request).await;
    let (head, _) = wire.message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    for file in ["pipelock.yaml", "embedded.yaml"] {
        let path = running.folder.path().join(file);
        let without = fs_err::read_to_string(&path).unwrap().replace("api.test", "other.test");
        fs_err::write(&path, without).unwrap();
    }
    running.pipelock.reload().await.unwrap();
    wire.send(request).await;
    let (head, body) = wire.message().await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(body, "blocked: api.test is not in the allowlist\n");
}

/// What render writes is what this engine reads: every example, with its CA and its extra CA in place.
#[test]
fn the_files_of_every_example_are_accepted() {
    let (folder, _) = written(setup());
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut read = 0;
    for example in fs_err::read_dir(examples).unwrap() {
        let name = example.as_ref().unwrap().file_name();
        let rendered = example.unwrap().path().join(".bottle").join(&name).join("pipelock");
        let Ok(config) = fs_err::read_to_string(rendered.join("pipelock.yaml")) else { continue };
        let Ok(embedded) = fs_err::read_to_string(rendered.join("embedded.yaml")) else { continue };
        let config = config.replace("/etc/bottle/ca/pipelock-ca.pem", "ca.pem");
        let config = config.replace("/etc/bottle/ca/pipelock-ca-key.pem", "key.pem");
        let embedded = embedded.replace("/etc/bottle/pipelock", rendered.to_str().unwrap());
        let paths = Paths {
            config: folder.path().join("pipelock.yaml"),
            embedded: Some(folder.path().join("embedded.yaml")),
        };
        fs_err::write(&paths.config, config).unwrap();
        fs_err::write(paths.embedded.as_ref().unwrap(), embedded).unwrap();
        let loaded = Rules::load(&paths, 1, &Clock::system());
        // The other engine's file has a key that only that one understands.
        if name == "upstream-engine" {
            let refused = loaded.err().unwrap().to_string();
            assert!(refused.starts_with("metrics_listen: this engine has its metrics where"), "{refused}");
            continue;
        }
        assert!(loaded.is_ok(), "{}: {}", name.display(), loaded.err().unwrap());
        read += 1;
    }
    assert!(read > 0, "no example has files for this engine");
}
