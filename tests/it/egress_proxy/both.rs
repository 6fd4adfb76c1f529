//! Both proxies in a row with a real origin behind them, as in a stack.

use super::harness::{Answer, Files, exchange, tunnel};
use crate::{
    captured::Captured,
    origin::Origin,
    pipelock::{Running, Setup, setup},
    wire::Wire,
};
use bottle::{
    clock::Clock,
    config::{
        embedded::HostEntry,
        pipelock::{PipelockFile, StackOptions},
        routes::{RouteEntry, RoutesFile},
    },
    egress_proxy::EgressProxy,
    intercept::{Drain, Listener},
    telemetry::audit::{Log, Sink},
};

/// pipelock's files for these routes, as render writes them.
pub(super) fn pipelock_for(routes: &[RouteEntry]) -> Setup {
    let mut files = setup();
    let names =
        |routes: &mut dyn Iterator<Item = &RouteEntry>| routes.map(|route| route.host.clone()).collect();
    files.file = PipelockFile::stack(&StackOptions {
        hosts: names(&mut routes.iter()),
        uninspected: names(&mut routes.iter().filter(|route| !route.inspect)),
        injected_headers: routes
            .iter()
            .filter_map(|route| Some(route.auth.as_ref()?.header.clone()))
            .collect(),
        ..StackOptions::default()
    });
    files.file.fetch_proxy.monitoring.max_requests_per_minute = 1_000_000;
    files.file.logging.include_blocked = false;
    let entry = |route: &RouteEntry| HostEntry {
        host: route.host.clone(),
        source: "egress_proxy.routes".to_owned(),
        ports: route.ports.clone(),
        addresses: Vec::new(),
        plain_http: route.ports.contains(&80),
        websocket: route.websocket,
        dlp_action: None,
    };
    files.embedded.hosts = routes.iter().map(entry).collect();
    files
}

/// The running proxies.
pub(super) struct Both {
    pub(super) address: String,
    pub(super) proxy: EgressProxy,
    pub(super) files: Files,
    pub(super) config: RoutesFile,
    pub(super) audit: Captured,
    pub(super) second: Running,
    pub(super) drain: Drain,
}

impl Both {
    pub(super) async fn start(origin: &Origin, routes: Vec<RouteEntry>) -> Self {
        let pipelock = pipelock_for(&routes);
        Self::with(origin, routes, pipelock).await
    }

    pub(super) async fn with(origin: &Origin, routes: Vec<RouteEntry>, pipelock: Setup) -> Self {
        let second = pipelock.before(origin).await;
        let files = Files::new(&second.ca_pem);
        let mut config = files.config(&second.address.to_string(), routes);
        config.upstream.ca_file = Some(files.path("pipelock-ca.pem").to_str().unwrap().to_owned());
        fs_err::write(files.path("origin-ca.pem"), origin.ca_pem()).unwrap();
        config.upstream.extra_ca_file = Some(files.path("origin-ca.pem").to_str().unwrap().to_owned());
        let audit = Captured::default();
        let log = Log::start(Sink::Writer(Box::new(audit.clone()))).unwrap();
        let proxy = EgressProxy::build(&files.write(&config), &Clock::system(), log).unwrap();
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let drain = Drain::new();
        tokio::spawn(proxy.serve(listener, drain.clone()));
        Self { address, proxy, files, config, audit, second, drain }
    }

    /// TLS in a tunnel to a host.
    pub(super) async fn tunnel(&self, host: &str) -> Wire {
        tunnel(&self.address, &self.files.agent_ca, &format!("{host}:443"), host).await
    }

    /// One request in a tunnel of its own; `head` is what stands before the empty line, without `Host`.
    pub(super) async fn ask(&self, host: &str, head: &str, body: &str) -> Answer {
        let (line, fields) = head
            .split_once("\r\n")
            .map_or((head, String::new()), |(line, rest)| (line, format!("\r\n{rest}")));
        let mut wire = self.tunnel(host).await;
        exchange(&mut wire, format!("{line}\r\nHost: {host}{fields}\r\n\r\n{body}")).await
    }

    pub(super) async fn get(&self, host: &str, target: &str) -> Answer {
        self.ask(host, &format!("GET {target} HTTP/1.1"), "").await
    }
}
