//! The way out: TCP to pipelock, CONNECT, TLS inside. There is no other: a host is never dialled directly.

use super::trust::Trust;
use crate::intercept::{Connected, Connector, Protocol, secure, unread::WINDOW};
use crate::policy::{Authority, Scheme};
use crate::socket::LOCAL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::{
    hash::{Hash, Hasher},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
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
    pub(super) trust: Arc<Trust>,
}

impl UpstreamKey {
    fn identity(&self) -> (Scheme, &Authority, bool, u64) {
        (self.scheme, &self.authority, self.inspected, self.trust.generation)
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
    Unreachable { proxy: String, source: io::Error },
    /// Not in time.
    #[error("no connection through pipelock at {proxy} within {} s", .after.as_secs())]
    Timeout { proxy: String, after: Duration },
    /// pipelock refuses the host, or could not reach it.
    #[error("pipelock answers {status}: {}", .answer.text)]
    Refused { status: StatusCode, answer: Box<Answer> },
    /// Not an HTTP proxy.
    #[error("pipelock's answer to CONNECT is not HTTP: {0}")]
    NotHttp(String),
    /// The certificate or the handshake.
    #[error("TLS through pipelock failed: {0}")]
    Tls(io::Error),
}

/// pipelock's own words.
#[derive(Debug, Default)]
pub(super) struct Answer {
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
    let mut stream = TcpStream::connect(&key.trust.proxy).await.map_err(unreachable)?;
    stream.set_nodelay(true).and_then(|()| LOCAL.bound(&stream)).map_err(unreachable)?;
    // A connection that is let go is not needed any more: pipelock shall notice although it does not read.
    stream.set_zero_linger().map_err(unreachable)?;
    if key.scheme == Scheme::Http {
        let (stream, protocol) = (Box::new(stream), Protocol::Http1);
        return Ok(Connected { stream, protocol, absolute_form: true, stream_window: LOCAL_WINDOW });
    }
    open_tunnel(&mut stream, &key.authority).await?;
    let client = key.trust.client(key.inspected);
    // TLS ends in pipelock, or far away.
    let window = if key.inspected { LOCAL_WINDOW } else { WINDOW };
    secure(client, key.authority.host.as_str(), stream, window).await.map_err(ConnectError::Tls)
}

async fn open_tunnel(stream: &mut TcpStream, authority: &Authority) -> Result<(), ConnectError> {
    let broken = |error: io::Error| ConnectError::NotHttp(error.to_string());
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let (head, rest) = read_head(stream).await?;
    let (status, headers) = parse_head(&head)?;
    if status.is_success() {
        // The server of a TLS connection never speaks first.
        return if rest.is_empty() {
            Ok(())
        } else {
            Err(ConnectError::NotHttp("bytes follow the head of a granted CONNECT".to_owned()))
        };
    }
    let text = read_refusal(stream, rest, &headers).await;
    Err(ConnectError::Refused { status, answer: Box::new(Answer { headers, text }) })
}

async fn read_head(stream: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>), ConnectError> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        if bytes.len() >= MAX_HEAD {
            return Err(ConnectError::NotHttp("its head is larger than 16 KiB".to_owned()));
        }
        let read = stream.read_buf(&mut bytes).await.map_err(|e| ConnectError::NotHttp(e.to_string()))?;
        if read == 0 {
            return Err(ConnectError::NotHttp("the connection was closed".to_owned()));
        }
    }
}

fn parse_head(head: &[u8]) -> Result<(StatusCode, HeaderMap), ConnectError> {
    let no_http = || ConnectError::NotHttp("its head is malformed".to_owned());
    let text = std::str::from_utf8(head).map_err(|_| no_http())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.get(2..5))
        .and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok())
        .ok_or_else(no_http)?;
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(no_http)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| no_http())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| no_http())?);
    }
    Ok((status, headers))
}

/// As much of the text as comes in time; a refusal without one is a refusal all the same.
async fn read_refusal(stream: &mut TcpStream, mut bytes: Vec<u8>, headers: &HeaderMap) -> String {
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(MAX_REFUSAL, |length: usize| length.min(MAX_REFUSAL));
    let read =
        async { while bytes.len() < announced && stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {} };
    // What has come until then is what is shown.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, read).await;
    bytes.truncate(announced);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_status_and_fields() {
        let (status, headers) =
            parse_head(b"HTTP/1.1 403 Forbidden\r\nX-Pipelock-Block-Reason: ssrf_private_ip\r\n\r\n")
                .unwrap();
        assert_eq!(status, 403);
        assert_eq!(headers["x-pipelock-block-reason"], "ssrf_private_ip");
        for bad in
            [b"SSH-2.0-x\r\n\r\n".as_slice(), b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nx y\r\n\r\n"]
        {
            assert!(parse_head(bad).is_err());
        }
    }
}
