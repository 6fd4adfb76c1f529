//! The embedded pipelock as a whole, in process: raw bytes on one side, an origin of our own on the other, and a
//! network that says what a test wants it to say.

mod answers;
mod audit;
mod bodies;
mod life;
mod memory;
mod redact;
mod ways;

use crate::{
    captured::Captured,
    origin::{Origin, trusting},
    wire::Wire,
};
use bottle::{
    clock::Clock,
    config::{
        Limits,
        embedded::{EmbeddedFile, HostEntry},
        pipelock::{PipelockFile, StackOptions},
    },
    intercept::{Drain, Listener, Protocol},
    pipelock::{Events, Network, Paths, Pending, Pipelock},
    pki::{CaKind, CertificateAuthority},
    telemetry::audit::{Log, Sink},
    yaml,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::net::TcpStream;

/// A public address that the stub network knows as the origin's.
const PUBLIC: &str = "93.184.216.34";

/// What a test wants otherwise.
pub(crate) struct Setup {
    pub(crate) file: PipelockFile,
    pub(crate) embedded: EmbeddedFile,
    /// The answers of the name server, one after the other; the last one stays.
    pub(crate) names: Vec<Vec<IpAddr>>,
    /// The audit folder, if there is one.
    pub(crate) audit: Option<std::path::PathBuf>,
}

pub(crate) fn setup() -> Setup {
    let hosts = ["api.test", "web.test", "bulk.test", "deep.sub.names.test"];
    let options = StackOptions {
        hosts: hosts.map(str::to_owned).to_vec(),
        uninspected: vec!["bulk.test".to_owned()],
        injected_headers: vec!["x-injected".to_owned()],
        ..StackOptions::default()
    };
    let entry = |host: &str, ports: &[u16]| HostEntry {
        host: host.to_owned(),
        source: "egress.allowlist[0]".to_owned(),
        ports: ports.to_vec(),
        addresses: Vec::new(),
        plain_http: ports.contains(&80),
        websocket: false,
        dlp_action: None,
    };
    let embedded = EmbeddedFile {
        version: 1,
        bottle: "test".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: "127.0.0.1:0".parse().unwrap(),
        extra_ca_file: None,
        limits: Limits::default(),
        hosts: vec![entry("api.test", &[443, 8443]), entry("web.test", &[80, 443])],
        placeholders: Vec::new(),
        exceptions: Vec::new(),
    };
    Setup {
        file: PipelockFile::stack(&options),
        embedded,
        names: vec![vec![PUBLIC.parse().unwrap()]],
        audit: None,
    }
}

/// A running engine.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) pipelock: Arc<Pipelock>,
    pub(crate) log: Captured,
    pub(crate) dialled: Arc<Mutex<Vec<SocketAddr>>>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ca_pem: String,
    drain: Drain,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.start();
    }
}

impl Setup {
    /// Writes the files, as render does.
    pub(crate) fn write(&self, folder: &std::path::Path) -> Paths {
        let paths =
            Paths { config: folder.join("pipelock.yaml"), embedded: Some(folder.join("embedded.yaml")) };
        fs_err::write(&paths.config, yaml::emit(&self.file).unwrap()).unwrap();
        fs_err::write(paths.embedded.as_ref().unwrap(), yaml::emit(&self.embedded).unwrap()).unwrap();
        paths
    }

    /// Starts the engine; every dial ends at `origin`, whatever the address.
    pub(crate) async fn start(mut self, origin: SocketAddr, origin_ca: Option<&str>) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let authority = CertificateAuthority::mint(CaKind::Pipelock, "test", &Clock::system()).unwrap();
        let ca_pem = authority.certificate_pem();
        fs_err::write(at("ca.pem"), &ca_pem).unwrap();
        fs_err::write(at("ca-key.pem"), authority.key_sec1_pem().unwrap().as_str()).unwrap();
        (self.file.tls_interception.ca_cert, self.file.tls_interception.ca_key) =
            (at("ca.pem"), at("ca-key.pem"));
        if let Some(pem) = origin_ca {
            fs_err::write(at("extra.pem"), pem).unwrap();
            self.embedded.extra_ca_file = Some(at("extra.pem"));
        }
        let paths = self.write(folder.path());
        let dialled = Arc::new(Mutex::new(Vec::new()));
        let log = Captured::default();
        let mut events = Events::new(log.clone(), Clock::system());
        if let Some(audit) = &self.audit {
            let sink = Sink::folder(audit, "pipelock").unwrap();
            events = events.recorded_in(Log::start(sink).unwrap());
        }
        let network = network(self.names, origin, Arc::clone(&dialled));
        let pipelock = Arc::new(Pipelock::build(&paths, &Clock::system(), network, events).unwrap());
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let (serving, until) = (Arc::clone(&pipelock), drain.clone());
        tokio::spawn(async move { serving.serve(listener, until).await });
        Running { address, pipelock, log, dialled, folder, ca_pem, drain }
    }

    pub(crate) async fn before(self, origin: &Origin) -> Running {
        self.start(origin.address, Some(origin.ca_pem())).await
    }
}

fn network(names: Vec<Vec<IpAddr>>, origin: SocketAddr, dialled: Arc<Mutex<Vec<SocketAddr>>>) -> Network {
    let asked = Mutex::new(0_usize);
    let lookup = move |_host: String| -> Pending<Vec<IpAddr>> {
        let mut asked = asked.lock().unwrap();
        let answer = names[(*asked).min(names.len() - 1)].clone();
        *asked += 1;
        Box::pin(async move { Ok(answer) })
    };
    let dial = move |address| -> Pending<TcpStream> {
        dialled.lock().unwrap().push(address);
        Box::pin(TcpStream::connect(origin))
    };
    Network::new(lookup, dial)
}

impl Running {
    /// A connection to the proxy.
    pub(crate) async fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends a CONNECT; the answer, and the connection.
    pub(crate) async fn connect(&self, target: &str) -> (String, String, Wire) {
        let mut wire = self.client().await;
        wire.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        let (head, body) = wire.message().await;
        (head, body, wire)
    }

    /// TLS in a tunnel.
    pub(crate) async fn tunnel(&self, target: &str, protocol: Protocol) -> Wire {
        let host = target.split(':').next().unwrap().to_owned();
        self.tunnel_as(target, &host, protocol).await
    }

    /// TLS in a tunnel that asks for another name.
    pub(crate) async fn tunnel_as(&self, target: &str, sni: &str, protocol: Protocol) -> Wire {
        let (head, body, wire) = self.connect(target).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        let connector = tokio_rustls::TlsConnector::from(trusting(&self.ca_pem, &[protocol]));
        let name = sni.to_owned().try_into().unwrap();
        Wire::new(connector.connect(name, wire.into_stream()).await.unwrap())
    }

    /// The first line of this event, waited for.
    pub(crate) async fn event(&self, event: &str) -> serde_json::Value {
        let find = |text: &str| {
            let mut lines =
                text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.find(|line| line["event"] == event)
        };
        self.log.wait(&format!("event {event}"), find).await
    }

    /// One request in a tunnel of its own; the whole answer.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> (String, String) {
        let mut wire = self.tunnel("api.test:443", Protocol::Http1).await;
        wire.send(request).await;
        wire.message().await
    }
}

/// A token of some shape, put together at run time.
pub(crate) fn token() -> String {
    ["gh", "p_", "16C7e42F292c6912E7", "710c838347Ae178B4a"].concat()
}

/// The whole answer of a refusal.
pub(crate) fn refusal(status: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut text =
        format!("HTTP/1.1 {status}\ncontent-type: text/plain; charset=utf-8\ncache-control: no-store\n");
    for (name, value) in fields {
        text = text + name + ": " + value + "\n";
    }
    text + "\n" + body
}

/// An answer in the form of `refusal`: without what the server adds.
pub(crate) fn shown((head, body): &(String, String)) -> String {
    let added = ["content-length", "date", "connection"];
    let lines = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !added.contains(&name.as_str())
    });
    lines.map(|line| line.to_owned() + "\n").collect::<String>() + "\n" + body
}

/// The fields that mark a refusal.
pub(crate) fn marks<'a>(
    code: &'a str,
    severity: &'a str,
    retry: &'a str,
    layer: &'a str,
) -> Vec<(&'static str, &'a str)> {
    vec![
        ("x-pipelock-block-reason", code),
        ("x-pipelock-block-reason-version", "1"),
        ("x-pipelock-severity", severity),
        ("x-pipelock-retry", retry),
        ("x-pipelock-layer", layer),
    ]
}
