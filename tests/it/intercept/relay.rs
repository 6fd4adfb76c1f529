//! The smallest runtime that uses `intercept`: it forwards everything to one origin and remembers what it was asked.

use crate::{
    origin::{Origin, trusting},
    wire::{Wire, status},
};
use bottle::{
    clock::Clock,
    intercept::{
        Answer, Body, BodyEnd, BodyError, BoxError, Client, Connect, ConnectRequest, Connected, Connector,
        Drain, Drained, Event, Exchange, Fault, Handler, Interception, IssueLeaf, Listener, Party, Pool,
        PoolLimits, Protocol, SendError, Server, ServerLimits, SpliceEnd, Stream, Tunnel, TunnelFailure,
        Upgrade, body,
    },
    pki::{CaKind, CertificateAuthority, LeafIssuer},
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use rustls::{ClientConfig, pki_types::ServerName, sign::CertifiedKey};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

pub(super) const H1: &[Protocol] = &[Protocol::Http1];
pub(super) const H2: &[Protocol] = &[Protocol::Http2];
pub(super) const BOTH: &[Protocol] = &[Protocol::Http2, Protocol::Http1];

/// What the handler was asked and told.
#[derive(Default)]
pub(super) struct Log {
    /// `METHOD target`, with the fault's code behind it when there is one.
    pub(super) exchanges: Mutex<Vec<String>>,
    pub(super) failures: Mutex<Vec<String>>,
    pub(super) splices: Mutex<Vec<SpliceEnd>>,
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) requests: Mutex<Vec<BodyEnd>>,
    pub(super) responses: Mutex<Vec<BodyEnd>>,
    pub(super) clients: Mutex<Vec<Client>>,
}

impl Log {
    pub(super) fn exchanges(&self) -> Vec<String> {
        self.exchanges.lock().unwrap().clone()
    }

    pub(super) fn count(&self, event: Event) -> usize {
        self.events.lock().unwrap().iter().filter(|one| **one == event).count()
    }
}

/// Waits for something that another task will bring about; time limits are the test's own.
pub(super) async fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !check() {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen within 10 s");
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(super) struct Relay {
    pub(super) log: Arc<Log>,
    pub(super) pool: Pool<Dial>,
    origin: SocketAddr,
}

/// Dials the origin whatever the host is.
pub(super) struct Dial {
    origin: SocketAddr,
    tls: Arc<ClientConfig>,
    pub(super) dialled: AtomicUsize,
}

impl Connector for Dial {
    type Key = String;
    type Error = io::Error;

    async fn connect(&self, host: &String) -> io::Result<Connected> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        let stream = TcpStream::connect(self.origin).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let protocol =
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
        Ok(Connected { stream: Box::new(stream), protocol, absolute_form: false, stream_window: 1 << 16 })
    }
}

impl Handler for Relay {
    type Tunnel = String;

    async fn connect(&self, request: ConnectRequest) -> Connect<String> {
        let host = request.target.rsplit_once(':').unwrap().0.to_owned();
        match host.as_str() {
            "refused.test" => {
                let mut response = Response::new(body::full("no\n"));
                *response.status_mut() = StatusCode::FORBIDDEN;
                Connect::Refuse(response)
            }
            "spliced.test" => {
                let upstream = TcpStream::connect(self.origin).await.unwrap();
                Connect::Splice { host, state: request.target, upstream: Box::new(upstream) }
            }
            _ => Connect::Intercept { host, state: request.target },
        }
    }

    async fn exchange(&self, request: Request<Body>, exchange: Exchange<String>) -> Answer {
        if request.uri().path() == "/local/upgrade" && exchange.fault.is_none() {
            let headers = HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static("echo"))]);
            return Answer::Upgrade(Upgrade { headers, serve: Box::new(|stream| Box::pin(echo(stream))) });
        }
        self.respond(request, exchange).await.into()
    }

    fn tunnel_failed(&self, tunnel: &Tunnel<String>, failure: &TunnelFailure) {
        self.log.failures.lock().unwrap().push(format!("{}: {failure}", tunnel.state));
    }

    fn spliced(&self, _: &Tunnel<String>, end: &SpliceEnd) {
        self.log.splices.lock().unwrap().push(end.clone());
    }

    fn observe(&self, event: Event) {
        self.log.events.lock().unwrap().push(event);
    }
}

impl Relay {
    async fn respond(&self, request: Request<Body>, exchange: Exchange<String>) -> Response<Body> {
        self.log.clients.lock().unwrap().push((*exchange.client).clone());
        let target = exchange.target.escape_ascii().to_string();
        if let Some(fault) = exchange.fault {
            return self.refuse(&fault);
        }
        self.log.exchanges.lock().unwrap().push(format!("{} {target}", request.method()));
        match request.uri().path() {
            "/local/deny" => return answer(StatusCode::FORBIDDEN, "denied\n".into()),
            "/local/hang" => std::future::pending().await,
            "/local/echo" => return Response::new(request.into_body()),
            "/local/switch" => return answer(StatusCode::SWITCHING_PROTOCOLS, String::new()),
            _ => {}
        }
        let host = exchange.tunnel.map_or_else(|| "plain.test".to_owned(), |tunnel| tunnel.host.to_string());
        self.forward(host, request).await
    }

    fn refuse(&self, fault: &Fault) -> Response<Body> {
        let (text, code, status) = match fault {
            Fault::Sni => ("sni".to_owned(), "sni", StatusCode::FORBIDDEN),
            Fault::TooManyRequests { .. } => {
                ("too many".to_owned(), "too_many", StatusCode::SERVICE_UNAVAILABLE)
            }
            Fault::Head(head) => {
                let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
                let text = format!("{} {} {}", shown(&head.method), shown(&head.target), head.kind.code());
                (text, head.kind.code(), head.kind.status())
            }
        };
        self.log.exchanges.lock().unwrap().push(text);
        answer(status, format!("{code}\n"))
    }

    async fn forward(&self, host: String, request: Request<Body>) -> Response<Body> {
        let (mut parts, inner) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        parts.uri = format!("https://{host}{target}").parse::<Uri>().unwrap();
        let log = Arc::clone(&self.log);
        let inner = body::on_end(inner, move |end| log.requests.lock().unwrap().push(end));
        match self.pool.send(&host, Request::from_parts(parts, inner)).await {
            Ok(response) => {
                let log = Arc::clone(&self.log);
                response.map(|inner| body::on_end(inner, move |end| log.responses.lock().unwrap().push(end)))
            }
            Err(error) => {
                let status = match (&error, error.party()) {
                    (SendError::RequestBody(BodyError::Malformed(_)), _) => StatusCode::BAD_REQUEST,
                    (_, Party::Downstream) => StatusCode::REQUEST_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                answer(status, format!("{error}\n"))
            }
        }
    }
}

async fn echo(mut stream: Stream) {
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        stream.write_all(&bytes[..count]).await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response
}

/// Counts what it issues.
pub(super) struct Counting {
    inner: LeafIssuer,
    pub(super) issued: AtomicUsize,
}

impl IssueLeaf for Counting {
    fn issue(&self, host: &str) -> Result<Arc<CertifiedKey>, BoxError> {
        self.issued.fetch_add(1, Ordering::Relaxed);
        Ok(self.inner.issue(host)?)
    }
}

/// A proxy that runs on a port of its own.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) log: Arc<Log>,
    pub(super) pool: Pool<Dial>,
    pub(super) server: Arc<Server<Relay>>,
    pub(super) leaves: Arc<Counting>,
    pub(super) drain: Drain,
    pub(super) task: JoinHandle<Drained>,
    ca_pem: String,
}

impl Proxy {
    /// Speaks HTTP/1.1 with clients and what the origin offers with it.
    pub(super) async fn start(origin: &Origin) -> Self {
        Self::with(origin, H1, ServerLimits::default()).await
    }

    pub(super) async fn with(origin: &Origin, protocols: &[Protocol], limits: ServerLimits) -> Self {
        let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
        Self::on(listener, origin, protocols, limits)
    }

    pub(super) fn on(
        listener: Listener,
        origin: &Origin,
        protocols: &[Protocol],
        limits: ServerLimits,
    ) -> Self {
        let authority = CertificateAuthority::mint(CaKind::Agent, "relay", &Clock::system()).unwrap();
        let ca_pem = authority.certificate_pem().clone();
        let issuer = LeafIssuer::new(authority, Clock::system()).unwrap();
        let leaves = Arc::new(Counting { inner: issuer, issued: AtomicUsize::new(0) });
        let log = Arc::<Log>::default();
        let dial = Dial {
            origin: origin.address,
            tls: trusting(origin.ca_pem(), BOTH),
            dialled: AtomicUsize::new(0),
        };
        let pool = Pool::new(dial, PoolLimits::default());
        let relay = Relay { log: Arc::clone(&log), pool: pool.clone(), origin: origin.address };
        let interception =
            Interception::new(Arc::clone(&leaves) as Arc<dyn IssueLeaf>, protocols, limits.leaves).unwrap();
        let server = Server::new(Arc::new(relay), interception, limits);
        let address = listener.local_addr().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let drain = Drain::new();
        let task = tokio::spawn(Arc::clone(&server).serve(listener, drain.clone()));
        Self { address, log, pool, server, leaves, drain, task, ca_pem }
    }

    /// Another way to end TLS with this proxy's CA.
    pub(super) fn interception(&self, protocols: &[Protocol]) -> Interception {
        Interception::new(
            Arc::clone(&self.leaves) as Arc<dyn IssueLeaf>,
            protocols,
            ServerLimits::default().leaves,
        )
        .unwrap()
    }

    /// A client's TLS that trusts this proxy's CA.
    pub(super) fn trust(&self, protocols: &[Protocol]) -> Arc<ClientConfig> {
        trusting(&self.ca_pem, protocols)
    }

    /// A connection to the proxy.
    pub(super) async fn wire(&self) -> Wire {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire::new(stream)
    }

    /// A connection on which CONNECT was granted.
    pub(super) async fn granted(&self, host: &str) -> Wire {
        let mut wire = self.wire().await;
        wire.send(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")).await;
        assert_eq!(status(&wire.head().await), 200);
        wire
    }

    /// A tunnel in TLS, for HTTP/1.1 and without ALPN.
    pub(super) async fn tunnel(&self, host: &str) -> Wire {
        let wire = self.granted(host).await;
        secure(wire, host, self.trust(&[])).await.unwrap()
    }
}

/// Begins TLS on a wire, asking for `name`.
pub(super) async fn secure(wire: Wire, name: &str, tls: Arc<ClientConfig>) -> io::Result<Wire> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Ok(Wire::new(TlsConnector::from(tls).connect(name, wire.into_stream()).await?))
}
