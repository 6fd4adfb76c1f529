//! The quickstart's own Internet: an HTTPS server that says what reached it, so that nothing outside is needed.
//!
//! ```text
//! origin [--listen ADDR] [--git-root DIR] [--files DIR] [--bodies] [--http1] NAME...
//! ```
//!
//! * `POST /v1/messages` streams an answer in the form of the Messages API, one event at a time.
//! * Below `--git-root`, repositories are served by `git http-backend`.
//! * With `--files`, every other path is the file `DIR/HOST/PATH`, or 404.
//! * `/v1/things/stalled` answers without end and never reads the request's body.
//! * `/v1/things/silent` never answers and never reads the request's body.
//! * Every other path answers with what was received. A credential is shown as its SHA-256, never as itself.
//!
//! Each request is one JSON line on stdout, as soon as its head is there; with `--bodies` each piece of a body is
//! another, so that a reader sees even what was cut off. With `--http1` it does not offer HTTP/2. Its certificate is signed by `ca.pem` beside this file, whose key
//! anyone can derive from the text below: it protects nothing.

#![allow(clippy::expect_used, reason = "an example that can't start says why and ends")]

mod files;
mod git;
mod messages;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest as _, Sha256};
use std::{io::Write as _, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};

/// What this server answers with.
type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The text that the CA's private key is derived from.
const CA_SEED: &[u8] = b"the key of the quickstart's own origin, which guards nothing";

struct Settings {
    listen: String,
    git_root: Option<PathBuf>,
    files: Option<PathBuf>,
    bodies: bool,
    http1: bool,
    names: Vec<String>,
}

fn main() {
    let settings = settings(std::env::args().skip(1));
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(serve(settings));
}

fn settings(mut args: impl Iterator<Item = String>) -> Settings {
    let listen = "0.0.0.0:443".into();
    let mut settings =
        Settings { listen, git_root: None, files: None, bodies: false, http1: false, names: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--listen" => settings.listen = args.next().expect("--listen wants an address"),
            "--git-root" => settings.git_root = args.next().map(PathBuf::from),
            "--files" => settings.files = args.next().map(PathBuf::from),
            "--bodies" => settings.bodies = true,
            "--http1" => settings.http1 = true,
            _ => settings.names.push(arg),
        }
    }
    settings
}

async fn serve(settings: Settings) {
    let acceptor = TlsAcceptor::from(Arc::new(tls(&settings)));
    let listener = TcpListener::bind(&settings.listen).await.expect("the address is free");
    say(&serde_json::json!({"event": "ready", "listen": settings.listen, "names": settings.names}));
    let settings = Arc::new(settings);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, settings) = (acceptor.clone(), settings.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(stream).await else { return };
            let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(move |request| answer(request, settings.clone()));
            let io = TokioIo::new(tls);
            let _ = if h2 {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service)
                    .await
            } else {
                hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
            };
        });
    }
}

/// A leaf for the names, signed by the CA beside this file.
fn tls(settings: &Settings) -> rustls::ServerConfig {
    let issuer = rcgen::Issuer::from_ca_cert_pem(include_str!("ca.pem"), ca_key()).expect("ca.pem is a CA");
    let key = rcgen::KeyPair::generate().expect("a key is made");
    let params = rcgen::CertificateParams::new(settings.names.clone()).expect("the names are DNS names");
    let leaf = params.signed_by(&key, &issuer).expect("the leaf is signed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("key and certificate fit");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if settings.http1 {
        config.alpn_protocols.remove(0);
    }
    config
}

/// The CA's key on P-256: its scalar is the SHA-256 of [`CA_SEED`], wrapped as PKCS#8 (RFC 5208, RFC 5915).
fn ca_key() -> rcgen::KeyPair {
    const PREFIX: &[u8] = &[
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
        0x20,
    ];
    let der = [PREFIX, &Sha256::digest(CA_SEED)].concat();
    rcgen::KeyPair::try_from(der).expect("the seed gives a key")
}

async fn answer(
    request: Request<Incoming>,
    settings: Arc<Settings>,
) -> Result<Response<Body>, std::io::Error> {
    let seen = Seen::of(&request);
    say(&serde_json::json!({"event": "request", "seen": &seen}));
    if request.method() == http::Method::POST && request.uri().path() == "/v1/messages" {
        return messages::answer(request).await;
    }
    if let Some(root) = settings.git_root.as_deref().filter(|_| request.uri().path().contains(".git/")) {
        return git::answer(request, root).await;
    }
    if request.uri().path() == "/v1/things/silent" {
        let _unread = request;
        return std::future::pending().await;
    }
    if request.uri().path() == "/v1/things/stalled" {
        return Ok(Response::new(endless(request.into_body())));
    }
    let mut bytes = 0;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() else { continue };
        bytes += data.len();
        if settings.bodies {
            let text = String::from_utf8_lossy(&data);
            say(&serde_json::json!({"event": "body", "path": &seen.path, "text": text}));
        }
    }
    if let Some(root) = &settings.files {
        return files::answer(root, &seen.host, &seen.path);
    }
    let answer = serde_json::json!({"seen": &seen, "body_bytes": bytes});
    respond(StatusCode::OK, "application/json", format!("{answer}\n"))
}

/// What of a request is shown.
#[derive(serde::Serialize)]
struct Seen {
    method: String,
    host: String,
    path: String,
    /// `<scheme> sha256:<hex of the credential's hash>`, for each field that usually carries one.
    credentials: std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
}

impl Seen {
    fn of(request: &Request<Incoming>) -> Self {
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.or_else(|| Some(request.headers().get("host")?.to_str().ok()?.to_owned()));
        let credentials =
            ["authorization", "x-api-key", "cookie", "private-token"].into_iter().filter_map(|name| {
                let value = request.headers().get(name)?.to_str().ok()?;
                let (scheme, secret) = value.split_once(' ').unwrap_or(("", value));
                let digest = hex(&Sha256::digest(secret));
                Some((name.to_owned(), format!("{scheme} sha256:{digest}").trim_start().to_owned()))
            });
        Self {
            method: request.method().to_string(),
            host: host.unwrap_or_default(),
            path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            credentials: credentials.collect(),
            content_encoding: request
                .headers()
                .get("content-encoding")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn respond(
    status: StatusCode,
    content_type: &str,
    bytes: impl Into<Bytes>,
) -> Result<Response<Body>, std::io::Error> {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(body)
        .map_err(std::io::Error::other)
}

/// Zeros without end, which hold the request's body unread.
fn endless(unread: Incoming) -> Body {
    let frames = std::iter::repeat(Bytes::from_static(&[0; 16 << 10])).map(move |chunk| {
        let _ = &unread;
        Ok(Frame::data(chunk))
    });
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

fn say(line: &serde_json::Value) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
