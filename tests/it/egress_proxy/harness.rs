//! The proxy under test, its config, and a client that writes raw bytes: HTTP libraries tidy up what they send.

use super::pipelock::FakePipelock;
use crate::{
    captured::Captured,
    origin::trusting_at,
    wire::{Wire, field, status},
};
use bottle::{
    clock::Clock,
    config::{
        Limits,
        routes::{AnyOr, Auth, CaFiles, RouteEntry, RoutesFile, Upstream},
    },
    egress_proxy::EgressProxy,
    intercept::{Drain, Listener, Protocol},
    pki::{CaKind, CertificateAuthority},
    policy::{ClientCredentials, HostPattern, HostRule, Route},
    telemetry::audit::{Event, Log, Record, Sink},
};
use rustls::pki_types::ServerName;
use std::{path::PathBuf, time::Duration};
use tokio::net::TcpStream;

/// How long anything in a test may take.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// A token that must never be seen anywhere but in the request that leaves.
pub(super) const PLANTED: &str = "planted-4f1d9c-token";

/// Allows everything on a host, on port 443.
pub(super) fn route(host: &str) -> RouteEntry {
    let source = format!("egress_proxy.routes[{host}]");
    RouteEntry::from(&HostRule::from(Route::open(HostPattern::parse(host).unwrap(), source)))
}

pub(super) fn only(list: &[&str]) -> AnyOr {
    AnyOr::Only(names(list))
}

pub(super) fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&s| s.to_owned()).collect()
}

/// The routes that most tests need.
pub(super) fn usual_routes() -> Vec<RouteEntry> {
    vec![
        RouteEntry { auth: Some(auth("authorization", "Bearer ", None)), ..route("api.test") },
        RouteEntry {
            path_allowlist: only(&["/v1/messages", "/repos/*/app"]),
            deny_paths: vec!["/repos/*/app/hooks".to_owned()],
            ..route("paths.test")
        },
        RouteEntry { methods: names(&["GET", "HEAD"]), ..route("read.test") },
        RouteEntry { ports: vec![443, 8443], ..route("ports.test") },
        RouteEntry { ports: vec![80, 443], ..route("plain.test") },
        route("open.test"),
    ]
}

pub(super) fn auth(header: &str, prefix: &str, username: Option<&str>) -> Auth {
    Auth {
        header: header.to_owned(),
        prefix: prefix.to_owned(),
        username: username.map(str::to_owned),
        secret_file: "/TOKEN".to_owned(),
        token_ref: "TOKEN".to_owned(),
    }
}

/// A folder with a config and all that it names.
pub(super) struct Files {
    dir: tempfile::TempDir,
    pub(super) agent_ca: String,
}

impl Files {
    pub(super) fn new(pipelock_ca: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = Self { dir, agent_ca: String::new() };
        fs_err::write(files.path("pipelock-ca.pem"), pipelock_ca).unwrap();
        files.token(PLANTED);
        let agent_ca = files.mint_ca();
        Self { agent_ca, ..files }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(super) fn token(&self, token: &str) {
        fs_err::write(self.path("TOKEN"), format!("{token}\n")).unwrap();
    }

    pub(super) fn mint_ca(&self) -> String {
        let ca = CertificateAuthority::mint(CaKind::Agent, "test", &Clock::system()).unwrap();
        fs_err::write(self.path("ca.pem"), ca.certificate_pem()).unwrap();
        fs_err::write(self.path("ca-key.pem"), ca.key_sec1_pem().unwrap().as_bytes()).unwrap();
        ca.certificate_pem()
    }

    pub(super) fn config(&self, proxy: &str, mut routes: Vec<RouteEntry>) -> RoutesFile {
        for auth in routes.iter_mut().filter_map(|route| route.auth.as_mut()) {
            auth.secret_file = self.text("TOKEN");
        }
        RoutesFile {
            version: 1,
            bottle: "test".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            admin: "127.0.0.1:0".parse().unwrap(),
            upstream: Upstream {
                proxy: proxy.parse().unwrap(),
                ca_file: Some(self.text("pipelock-ca.pem")),
                extra_ca_file: None,
                identity_only: false,
            },
            ca: CaFiles { cert_file: self.text("ca.pem"), key_file: self.text("ca-key.pem") },
            limits: Limits::default(),
            routes,
            patterns: Vec::new(),
            exceptions: Vec::new(),
            supervise: None,
        }
    }

    pub(super) fn write(&self, config: &RoutesFile) -> PathBuf {
        let mut config = config.clone();
        for route in config.routes.iter_mut().filter(|route| route.auth.is_some()) {
            route.client_credentials = ClientCredentials::Strip;
        }
        let path = self.path("routes.yaml");
        fs_err::write(&path, bottle::yaml::emit(&config).unwrap()).unwrap();
        path
    }
}

/// The proxy under test, and the stand-in behind it.
pub(super) struct Stack {
    pub(super) pipelock: FakePipelock,
    pub(super) files: Files,
    pub(super) config: RoutesFile,
    pub(super) proxy: EgressProxy,
    clock: Clock,
    pub(super) address: String,
    pub(super) drain: Drain,
    pub(super) audit: Captured,
    pub(super) log: Log,
    pub(super) serving: tokio::task::JoinHandle<bottle::intercept::Drained>,
}

impl Stack {
    /// With the usual routes, and HTTP/2 towards the stand-in.
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut RoutesFile)) -> Self {
        Self::build(&["h2", "http/1.1"], Clock::system(), change).await
    }

    pub(super) async fn build(alpn: &[&str], clock: Clock, change: impl FnOnce(&mut RoutesFile)) -> Self {
        let pipelock = FakePipelock::start(alpn);
        let files = Files::new(&pipelock.ca_pem);
        let mut config = files.config(&pipelock.address, usual_routes());
        change(&mut config);
        let audit = Captured::default();
        let log = Log::start(Sink::Writer(Box::new(audit.clone()))).unwrap();
        let proxy = EgressProxy::build(&files.write(&config), &clock, log.clone()).unwrap();
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let drain = Drain::new();
        let serving = tokio::spawn(proxy.serve(listener, drain.clone()));
        Self { pipelock, files, config, proxy, clock, address, drain, audit, log, serving }
    }

    pub(super) async fn dial(&self) -> Wire {
        Wire::new(TcpStream::connect(&self.address).await.unwrap())
    }

    /// Sends bytes on a new connection and reads the answer.
    pub(super) async fn raw(&self, bytes: &str) -> Answer {
        exchange(&mut self.dial().await, bytes.as_bytes()).await
    }

    /// Opens a tunnel as clients do.
    pub(super) async fn tunnel(&self, authority: &str) -> Wire {
        let host = authority.split(':').next().unwrap().to_owned();
        self.tunnel_with_sni(authority, &host).await
    }

    pub(super) async fn tunnel_with_sni(&self, authority: &str, sni: &str) -> Wire {
        tunnel_at(&self.address, &self.files.agent_ca, authority, sni, &self.clock).await
    }

    /// The same, with HTTP/2 inside.
    pub(super) async fn tunnel_in_http2(&self, authority: &str) -> Wire {
        tunnel_speaking(&self.address, &self.files.agent_ca, authority, Protocol::Http2).await
    }

    /// One request in a tunnel of its own; `head` is what stands before the empty line, `Host` included.
    pub(super) async fn request(&self, authority: &str, head: &str, body: &str) -> Answer {
        let mut tunnel = self.tunnel(authority).await;
        exchange(&mut tunnel, format!("{head}\r\n\r\n{body}").as_bytes()).await
    }

    /// `GET path` of a host.
    pub(super) async fn get(&self, host: &str, path: &str) -> Answer {
        self.request(&format!("{host}:443"), &format!("GET {path} HTTP/1.1\r\nHost: {host}"), "").await
    }

    /// Every audit record of an end so far, once there are `count`: the whole of what became of each request.
    pub(super) async fn records(&self, count: usize) -> Vec<Record> {
        let find = |text: &str| {
            let records = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
            let ends: Vec<_> = records.filter(|record| record.event != Event::Dispatch).collect();
            (ends.len() >= count).then_some(ends)
        };
        let records = self.audit.wait(&format!("{count} records"), find).await;
        assert_eq!(records.len(), count, "{records:#?}");
        records
    }

    pub(super) async fn record(&self) -> Record {
        self.records(1).await.remove(0)
    }
}

/// Opens a tunnel through a proxy, and TLS with the agent's trust inside.
pub(super) async fn tunnel(proxy: &str, ca: &str, authority: &str, sni: &str) -> Wire {
    tunnel_at(proxy, ca, authority, sni, &Clock::system()).await
}

async fn tunnel_at(proxy: &str, ca: &str, authority: &str, sni: &str, clock: &Clock) -> Wire {
    secured(proxy, authority, sni, trusting_at(ca, &[Protocol::Http1], clock)).await
}

/// The same with a protocol inside, and the server name that CONNECT has.
pub(super) async fn tunnel_speaking(proxy: &str, ca: &str, authority: &str, protocol: Protocol) -> Wire {
    let sni = authority.split(':').next().unwrap();
    secured(proxy, authority, sni, trusting_at(ca, &[protocol], &Clock::system())).await
}

async fn secured(
    proxy: &str,
    authority: &str,
    sni: &str,
    trust: std::sync::Arc<rustls::ClientConfig>,
) -> Wire {
    let mut wire = Wire::new(TcpStream::connect(proxy).await.unwrap());
    wire.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    Wire::new(tokio_rustls::TlsConnector::from(trust).connect(name, wire.into_stream()).await.unwrap())
}

/// A response as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    /// The value of a field, whose name is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// That it is a refusal with this status and reason: marked in its fields, a sentence in its body.
    pub(super) fn assert_refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status, self.header("x-bottle-reason")), (status, Some(reason)), "{self:#?}");
        let failed = matches!(
            reason,
            "credential_unavailable"
                | "limit_reached"
                | "request_incomplete"
                | "shutting_down"
                | "upstream_invalid"
                | "upstream_timeout"
                | "upstream_unreachable"
        );
        assert_eq!(self.header("x-bottle-verdict"), Some(if failed { "error" } else { "deny" }));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        if self.header("content-type") == Some("application/json") {
            let json = self.json();
            let kind = if json["bottle"]["retry"] == true { "api_error" } else { "permission_error" };
            assert_eq!((&json["type"], &json["error"]["type"]), (&"error".into(), &kind.into()));
            assert_eq!(json["bottle"]["reason"], reason);
        }
        assert!(self.message().starts_with("bottle: "), "{self:#?}");
    }

    /// The sentence that a person reads.
    pub(super) fn message(&self) -> String {
        if self.header("content-type") == Some("application/json") {
            self.json()["error"]["message"].as_str().unwrap().to_owned()
        } else {
            self.body.clone()
        }
    }
}

pub(super) async fn exchange(wire: &mut Wire, bytes: impl AsRef<[u8]>) -> Answer {
    // A server that has answered may close before it has read everything.
    let _ = wire.try_send(bytes).await;
    read_answer(wire).await
}

pub(super) async fn read_answer(wire: &mut Wire) -> Answer {
    let head = wire.head().await;
    let mut answer = Answer { status: status(&head), head, body: String::new() };
    let body = match answer.header("content-length").map(|length| length.parse().unwrap()) {
        Some(length) => wire.exactly(length).await,
        None if answer.header("transfer-encoding").is_some() => wire.chunks().await,
        None => wire.rest().await.0,
    };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    answer
}
