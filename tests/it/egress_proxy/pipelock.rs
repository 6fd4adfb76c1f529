//! A stand-in for pipelock, on a unix socket as in a stack: CONNECT, TLS with a CA of its own, HTTP/2 or 1.1 inside, and every way to misbehave.
//! It records what it is asked, so that a test can say what left the proxy under test, byte for byte.

use bottle::{
    clock::Clock,
    pki::{CaKind, CertificateAuthority, LeafIssuer},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;
type Serve = dyn Fn(&Seen) -> Answer + Send + Sync;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) version: http::Version,
    pub(super) method: String,
    /// `https://host/target` as the stand-in was asked.
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
    /// Counts the connections.
    pub(super) connection: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
            .collect()
    }
}

/// What it does with a connection.
#[derive(Clone)]
pub(super) enum Manner {
    /// Serve requests.
    Serve(Arc<Serve>),
    /// Answer CONNECT with these bytes and close.
    Connect(&'static str),
    /// Grant CONNECT, then write these bytes instead of TLS.
    NotTls(&'static str),
    /// End TLS, read one request head, answer with these bytes and close.
    Raw(&'static str),
    /// Accept and say nothing.
    Silent,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    connects: Mutex<Vec<String>>,
    manner: Mutex<Option<Manner>>,
}

pub(super) struct FakePipelock {
    pub(super) address: String,
    pub(super) ca_pem: String,
    state: Arc<State>,
    _folder: tempfile::TempDir,
}

pub(super) fn text(status: u16, body: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())).boxed());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

impl FakePipelock {
    /// Starts it; every request is answered with 200 and `ok`. `alpn` in order of preference.
    pub(super) fn start(alpn: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("pipelock.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let address = format!("unix:{}", socket.display());
        let ca = CertificateAuthority::mint(CaKind::Pipelock, "test", &Clock::system()).unwrap();
        let ca_pem = ca.certificate_pem();
        let issuer = Arc::new(LeafIssuer::new(ca, Clock::system()).unwrap());
        let state = Arc::new(State::default());
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, issuer, alpn) = (Arc::clone(&shared), Arc::clone(&issuer), alpn.clone());
                // A client that goes away in the middle is part of the tests.
                tokio::spawn(async move { drop(converse(stream, connection, &state, &issuer, alpn).await) });
            }
        });
        Self { address, ca_pem, state, _folder: folder }
    }

    pub(super) fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = Some(manner);
    }

    pub(super) fn answer(&self, serve: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        self.behave(Manner::Serve(Arc::new(serve)));
    }

    /// Every request so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The one request so far.
    pub(super) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

    /// The targets of every CONNECT so far.
    pub(super) fn connects(&self) -> Vec<String> {
        self.state.connects.lock().unwrap().clone()
    }

    /// That nothing at all came here.
    pub(super) fn assert_untouched(&self) {
        assert_eq!(self.connects(), Vec::<String>::new());
        assert!(self.seen().is_empty(), "{:?}", self.seen());
    }
}

async fn converse(
    mut stream: UnixStream,
    connection: usize,
    state: &Arc<State>,
    issuer: &LeafIssuer,
    alpn: Vec<Vec<u8>>,
) -> std::io::Result<()> {
    let manner = state.manner.lock().unwrap().clone();
    if matches!(manner, Some(Manner::Silent)) {
        stream.read_to_end(&mut Vec::new()).await?;
        return Ok(());
    }
    let head = read_head(&mut stream).await?;
    let first = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let Some(target) = first.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")) else {
        let (read, write) = stream.into_split();
        let replayed = tokio::io::join(std::io::Cursor::new(head).chain(read), write);
        return serve(replayed, connection, state, false, None).await;
    };
    state.connects.lock().unwrap().push(target.to_owned());
    if let Some(Manner::Connect(answer)) = manner {
        stream.write_all(answer.as_bytes()).await?;
        return stream.shutdown().await;
    }
    stream.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
    if let Some(Manner::NotTls(bytes)) = manner {
        stream.write_all(bytes.as_bytes()).await?;
        return stream.shutdown().await;
    }
    let host = target.split(':').next().unwrap().to_owned();
    let mut tls = tls(issuer, &host, alpn).accept(stream).await?;
    if let Some(Manner::Raw(answer)) = manner {
        let head = read_head(&mut tls).await?;
        record_raw(state, &head, connection);
        tls.write_all(answer.as_bytes()).await?;
        return tls.shutdown().await;
    }
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(tls, connection, state, h2, Some(target.to_owned())).await
}

fn record_raw(state: &State, head: &[u8], connection: usize) {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut words = text.split(' ');
    let (method, uri) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    state.seen.lock().unwrap().push(Seen {
        version: http::Version::HTTP_11,
        method,
        uri,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        trailers: None,
        connection,
    });
}

fn tls(issuer: &LeafIssuer, host: &str, alpn: Vec<Vec<u8>>) -> tokio_rustls::TlsAcceptor {
    let leaf = issuer.issue(host).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(leaf)));
    config.alpn_protocols = alpn;
    Arc::new(config).into()
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: usize,
    state: &Arc<State>,
    h2: bool,
    tunnel: Option<String>,
) -> std::io::Result<()> {
    let state = Arc::clone(state);
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, tunnel) = (Arc::clone(&state), tunnel.clone());
        async move { answer(request, connection, &state, tunnel.as_deref()).await }
    });
    let io = TokioIo::new(stream);
    let served = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
    served.map_err(std::io::Error::other)
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    state: &State,
    tunnel: Option<&str>,
) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    let uri = match (parts.uri.scheme(), tunnel) {
        (None, Some(tunnel)) => format!("https://{}{}", tunnel.trim_end_matches(":443"), parts.uri),
        _ => parts.uri.to_string(),
    };
    let seen = Seen {
        version: parts.version,
        method: parts.method.to_string(),
        uri,
        headers: parts.headers,
        body,
        trailers,
        connection,
    };
    state.seen.lock().unwrap().push(seen.clone());
    let manner = state.manner.lock().unwrap().clone();
    Ok(match manner {
        Some(Manner::Serve(serve)) => serve(&seen),
        _ => text(200, "ok"),
    })
}
