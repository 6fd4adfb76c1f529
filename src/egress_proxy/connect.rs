//! The way out: a connection to pipelock, CONNECT, TLS inside. There is no other: a host is never dialled directly.

use super::trust::Trust;
use crate::config::ProxyAddress;
use crate::intercept::{Connected, Connector, Protocol, only_http1, secure, unread::WINDOW};
use crate::policy::{Authority, Scheme};
use crate::socket::Socket;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    hash::{Hash, Hasher},
    io,
    sync::Arc,
    time::Duration,
};

/// The head of an answer to CONNECT is never larger.
const MAX_HEAD: usize = 16 * 1024;
/// So much of a refusal's body is read and shown.
const MAX_REFUSAL: usize = 4 * 1024;
/// How long the body of a refusal is waited for.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of one response that pipelock may send ahead of what is read: a round trip takes some 50 µs.
const LOCAL_WINDOW: u32 = 64 * 1024;

/// What a connection is for. Connections are shared only where all of this is equal.
#[derive(Clone, Debug)]
pub(super) struct UpstreamKey {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) inspected: bool,
    /// For a connection that goes on in another protocol.
    pub(super) upgrade: bool,
    pub(super) trust: Arc<Trust>,
}

impl UpstreamKey {
    fn identity(&self) -> (Scheme, &Authority, bool, bool, u64) {
        (self.scheme, &self.authority, self.inspected, self.upgrade, self.trust.generation)
    }
}

impl PartialEq for UpstreamKey {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for UpstreamKey {}

impl Hash for UpstreamKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// pipelock is not there.
    #[error("pipelock does not answer at {proxy}: {source}")]
    Unreachable { proxy: ProxyAddress, source: io::Error },
    /// Not in time.
    #[error("no connection through pipelock at {proxy} within {} s", .after.as_secs())]
    Timeout { proxy: ProxyAddress, after: Duration },
    /// pipelock refuses the host, or could not reach it.
    #[error("pipelock answers {status}: {}", .answer.text)]
    Refused { status: StatusCode, answer: Box<ConnectAnswer> },
    /// Not an HTTP proxy.
    #[error("pipelock's answer to CONNECT is not HTTP: {0}")]
    NotHttp(String),
    /// The certificate or the handshake.
    #[error("TLS through pipelock failed: {0}")]
    Tls(io::Error),
}

/// pipelock's own words.
#[derive(Debug, Default)]
pub(super) struct ConnectAnswer {
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Makes connections through pipelock.
pub(super) struct ThroughPipelock;

impl Connector for ThroughPipelock {
    type Key = UpstreamKey;
    type Error = ConnectError;

    async fn connect(&self, key: &UpstreamKey) -> Result<Connected, ConnectError> {
        let after = key.trust.connect_timeout;
        let timeout = || ConnectError::Timeout { proxy: key.trust.proxy.clone(), after };
        tokio::time::timeout(after, connect(key)).await.map_err(|_| timeout())?
    }
}

async fn connect(key: &UpstreamKey) -> Result<Connected, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { proxy: key.trust.proxy.clone(), source };
    let stream = match &key.trust.proxy {
        ProxyAddress::Unix(path) => Socket::connect_unix(path.as_std_path()).await,
        ProxyAddress::Tcp(address) => Socket::connect_tcp(address).await,
    };
    let stream = stream.map_err(unreachable)?;
    stream.tune().map_err(unreachable)?;
    // A connection that is let go is not needed any more: pipelock shall notice although it does not read.
    stream.reset_on_close();
    if key.scheme == Scheme::Http {
        let (stream, protocol) = (Box::new(stream), Protocol::Http1);
        return Ok(Connected { stream, protocol, absolute_form: true, stream_window: LOCAL_WINDOW });
    }
    let stream = open_tunnel(stream, &key.authority).await?;
    let mut client = key.trust.client(key.inspected);
    if key.upgrade {
        client = only_http1(&client);
    }
    // TLS ends in pipelock, or far away.
    let window = if key.inspected { LOCAL_WINDOW } else { WINDOW };
    secure(client, key.authority.host.as_str(), stream, window).await.map_err(ConnectError::Tls)
}

/// Asks for a tunnel, and gives the stream back as one.
async fn open_tunnel(stream: Socket, authority: &Authority) -> Result<Socket, ConnectError> {
    let not_http = |error: hyper::Error| ConnectError::NotHttp(error.to_string());
    let authority = authority.to_string();
    let request = Request::connect(&authority)
        .header(header::HOST, &authority)
        .body(Empty::<Bytes>::new())
        .map_err(|error| ConnectError::NotHttp(error.to_string()))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(not_http)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(not_http)?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(not_http)?;
        let parts = upgraded.downcast::<TokioIo<Socket>>();
        let parts = parts.map_err(|_| ConnectError::NotHttp("the stream is another one".to_owned()))?;
        if !parts.read_buf.is_empty() {
            // The server of a TLS connection never speaks first.
            return Err(ConnectError::NotHttp("bytes follow the head of a granted CONNECT".to_owned()));
        }
        Ok(parts.io.into_inner())
    };
    // How the connection ends is seen by the exchange.
    let connection = async {
        let _ = connection.with_upgrades().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        tunnel = exchange => tunnel,
        () = connection => Err(ConnectError::NotHttp("the connection was closed".to_owned())),
    }
}

/// With as much of its text as comes in time; a refusal without one is a refusal all the same.
async fn refused(response: Response<Incoming>) -> ConnectError {
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    let read = async {
        while text.len() < MAX_REFUSAL
            && let Some(Ok(frame)) = body.frame().await
        {
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    // What has come until then is what is shown.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, read).await;
    text.truncate(MAX_REFUSAL);
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    ConnectError::Refused {
        status: head.status,
        answer: Box::new(ConnectAnswer { headers: head.headers, text }),
    }
}
