//! The client: through CONNECT or not, HTTP/1.1 or HTTP/2.

use crate::bodies::{Boxed, empty};
use crate::place::{HOST, ORIGIN};
use crate::tls;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Opens connections by one way.
#[derive(Clone)]
pub(crate) struct Dialer {
    proxy: Option<SocketAddr>,
    ca: PathBuf,
    credential: &'static str,
    http1: OnceLock<Arc<ClientConfig>>,
    http2: OnceLock<Arc<ClientConfig>>,
}

impl Dialer {
    /// The CA is read at the first connection: a proxy may make it when it starts.
    pub(crate) fn new(proxy: Option<SocketAddr>, ca: &Path, credential: &'static str) -> Self {
        Self { proxy, ca: ca.to_owned(), credential, http1: OnceLock::new(), http2: OnceLock::new() }
    }

    fn config(&self, protocol: Protocol) -> anyhow::Result<Arc<ClientConfig>> {
        let (kept, alpn) = match protocol {
            Protocol::Http1 => (&self.http1, tls::HTTP1),
            Protocol::Http2 => (&self.http2, tls::HTTP2),
        };
        if let Some(kept) = kept.get() {
            return Ok(Arc::clone(kept));
        }
        let made = tls::forgetful(&self.ca, alpn)?;
        Ok(Arc::clone(kept.get_or_init(|| made)))
    }

    /// TLS with a host.
    async fn secure(&self, host: &str, protocol: Protocol) -> anyhow::Result<TlsStream<TcpStream>> {
        let config = self.config(protocol)?;
        let mut stream = TcpStream::connect(self.proxy.unwrap_or(ORIGIN)).await?;
        stream.set_nodelay(true)?;
        if self.proxy.is_some() {
            stream
                .write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes())
                .await?;
            let mut head = Vec::with_capacity(256);
            while !head.ends_with(b"\r\n\r\n") {
                ensure!(
                    stream.read_buf(&mut head).await? > 0,
                    "the connection ended within the answer to CONNECT"
                );
            }
            let status = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
            ensure!(status == b"200", "CONNECT was answered with {}", String::from_utf8_lossy(status));
        }
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        let expected = if protocol == Protocol::Http2 { tls::HTTP2 } else { tls::HTTP1 };
        ensure!(agreed == Some(expected), "the protocol that was agreed on is {agreed:?}");
        Ok(stream)
    }

    pub(crate) async fn open(&self, protocol: Protocol) -> anyhow::Result<Connection> {
        self.open_to(HOST, protocol).await
    }

    pub(crate) async fn open_to(&self, host: &str, protocol: Protocol) -> anyhow::Result<Connection> {
        let io = TokioIo::new(self.secure(host, protocol).await?);
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = conn::http1::handshake(io).await?;
                // Its errors are those of the requests on it.
                tokio::spawn(async move { drop(connection.await) });
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let mut client = conn::http2::Builder::new(TokioExecutor::new());
                client.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20);
                let (sender, connection) = client.handshake(io).await?;
                tokio::spawn(async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        let credential = HeaderValue::from_str(&format!("Bearer {}", self.credential))?;
        Ok(Connection { sender, host: host.to_owned(), credential })
    }
}

enum Sender {
    Http1(conn::http1::SendRequest<Boxed>),
    Http2(conn::http2::SendRequest<Boxed>),
}

/// A connection with a host.
pub(crate) struct Connection {
    sender: Sender,
    host: String,
    credential: HeaderValue,
}

impl Connection {
    /// Another stream of the same connection, in HTTP/2.
    pub(crate) fn another(&self) -> Option<Self> {
        let Sender::Http2(sender) = &self.sender else { return None };
        let sender = Sender::Http2(sender.clone());
        Some(Self { sender, host: self.host.clone(), credential: self.credential.clone() })
    }

    /// Whether the peer has closed it.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let ready = match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
        ready.is_err()
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Boxed,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        request.headers_mut().insert(header::AUTHORIZATION, self.credential.clone());
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                *request.uri_mut() = path.parse()?;
                request.headers_mut().insert(header::HOST, HeaderValue::from_str(&self.host)?);
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                let uri = Uri::builder().scheme("https").authority(self.host.as_str()).path_and_query(path);
                *request.uri_mut() = uri.build()?;
                sender.send_request(request).await?
            }
        };
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let text = whole(response).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).chars().take(200).collect::<String>();
        anyhow::bail!("{status}: {text}")
    }

    /// A GET whose answer is so many bytes long.
    pub(crate) async fn get(&mut self, path: &str, size: usize) -> anyhow::Result<()> {
        let response = self.send(Method::GET, path, empty()).await?;
        let length = whole(response).await.context("the body did not end well")?.len();
        ensure!(length == size, "{length} bytes came of {size}");
        Ok(())
    }
}

pub(crate) async fn whole(response: Response<Incoming>) -> hyper::Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}
