//! A TLS origin on a port of its own that records what it is sent and can misbehave in any way that a test scripts.

use super::wire::{Io, Wire};
use bottle::{
    clock::Clock,
    intercept::{Body, Protocol},
    pki::{CaKind, CertificateAuthority, LeafIssuer},
};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// As much of each connection is recorded.
const RECORDED: usize = 1024 * 1024;

type Future_<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Script = dyn Fn(Wire, usize) -> Future_<()> + Send + Sync;
type Service = dyn Fn(Request<Incoming>) -> Future_<Response<Body>> + Send + Sync;

/// What an origin does with a connection, once TLS is up.
#[derive(Clone)]
enum Behaviour {
    Script(Arc<Script>),
    Serve(Arc<Service>),
}

/// What came on one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Option<String>,
    pub(crate) bytes: Vec<u8>,
    /// Why the peer's bytes ended, once they have; "" for a clean end.
    pub(crate) ended: Option<String>,
}

impl Recorded {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

type Records = Arc<Mutex<Vec<Recorded>>>;

/// A running origin; it stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    ca_pem: String,
    records: Records,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The certificate that an origin shows.
pub(crate) enum Shows {
    /// One for the name that was asked for.
    Good,
    /// One that ran out.
    Expired,
    /// One for another name.
    OtherName,
}

impl Origin {
    /// Runs `script` on each connection, with the connection's number from 0.
    pub(crate) async fn scripted<F>(
        protocols: &[Protocol],
        script: impl Fn(Wire, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(move |wire, number| -> Future_<()> { Box::pin(script(wire, number)) });
        Self::start(protocols, Shows::Good, Behaviour::Script(script)).await
    }

    /// Serves HTTP/1.1 or HTTP/2, whichever was agreed on.
    pub(crate) async fn serving<F>(
        protocols: &[Protocol],
        service: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::showing(protocols, Shows::Good, service).await
    }

    /// The same, with a certificate of some kind.
    pub(crate) async fn showing<F>(
        protocols: &[Protocol],
        shows: Shows,
        service: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let service = Arc::new(move |request| -> Future_<Response<Body>> { Box::pin(service(request)) });
        Self::start(protocols, shows, Behaviour::Serve(service)).await
    }

    async fn start(protocols: &[Protocol], shows: Shows, behaviour: Behaviour) -> Self {
        let clock = match shows {
            Shows::Expired => Clock::fixed(Clock::system().now() - jiff::SignedDuration::from_hours(72)),
            _ => Clock::system(),
        };
        let authority = CertificateAuthority::mint(CaKind::Pipelock, "origin", &clock).unwrap();
        let ca_pem = authority.certificate_pem().clone();
        let issuer = LeafIssuer::new(authority, clock).unwrap();
        let other_name = matches!(shows, Shows::OtherName);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Leaves { issuer, other_name }));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let records = Records::default();
        let task = tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            behaviour,
            Arc::clone(&records),
        ));
        Self { address, ca_pem, records, task }
    }

    /// What came, connection by connection.
    pub(crate) fn seen(&self) -> Vec<Recorded> {
        self.records.lock().unwrap().clone()
    }

    /// The one connection there was.
    pub(crate) fn only(&self) -> Recorded {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// The certificate of its CA.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// A client's TLS that trusts one CA.
pub(crate) fn trusting(ca_pem: &str, protocols: &[Protocol]) -> Arc<ClientConfig> {
    trusting_at(ca_pem, protocols, &Clock::system())
}

/// The same, at the time of a clock.
pub(crate) fn trusting_at(ca_pem: &str, protocols: &[Protocol], clock: &Clock) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(TimeOf(clock.clone())))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
    Arc::new(config)
}

#[derive(Debug)]
struct TimeOf(Clock);

impl TimeProvider for TimeOf {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.now().as_second().try_into().unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, behaviour: Behaviour, records: Records) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (tls, behaviour, records) = (tls.clone(), behaviour.clone(), Arc::clone(&records));
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let session = stream.get_ref().1;
            let alpn = session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
            let h2 = alpn.as_deref() == Some("h2");
            let record =
                Recorded { sni: session.server_name().map(str::to_owned), alpn, ..Recorded::default() };
            let number = {
                let mut records = records.lock().unwrap();
                records.push(record);
                records.len() - 1
            };
            let stream = Tap { inner: stream, records, number };
            match behaviour {
                Behaviour::Script(script) => script(Wire::new(stream), number).await,
                Behaviour::Serve(service) => serve(stream, h2, service).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: impl Io + 'static, h2: bool, service: Arc<Service>) {
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let answer = service(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

#[derive(Debug)]
struct Leaves {
    issuer: LeafIssuer,
    other_name: bool,
}

impl ResolvesServerCert for Leaves {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = if self.other_name { "other.test" } else { hello.server_name()? };
        self.issuer.issue(name).ok()
    }
}

/// Records what is read through it.
struct Tap<S> {
    inner: S,
    records: Records,
    number: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let mut records = self.records.lock().unwrap();
        let record = &mut records[self.number];
        match &result {
            Err(error) => record.ended = Some(error.to_string()),
            Ok(()) if buf.filled().len() == before && buf.remaining() > 0 => {
                record.ended = Some(String::new());
            }
            Ok(()) => {
                let room = RECORDED - record.bytes.len();
                let read = &buf.filled()[before..];
                record.bytes.extend_from_slice(&read[..read.len().min(room)]);
            }
        }
        drop(records);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
