//! The floor: the least that an intercepting proxy does. It ends TLS with a leaf for the host, dials TLS again with the
//! protocol that was agreed on, and copies. It reads no HTTP but the CONNECT.

use crate::place::Place;
use crate::tls;
use anyhow::{Context as _, bail, ensure};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream, lookup_host},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const BUFFER: usize = 32 * 1024;
/// A head of a CONNECT is never longer here.
const HEAD: usize = 8 * 1024;

/// What CONNECT asks for: `host:port`. What follows the head is TLS, which the client sends once it was answered.
pub(crate) async fn read_connect(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD, "the head is too long");
        ensure!(stream.read_buf(&mut head).await? > 0, "the client went");
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line)?;
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["CONNECT", authority, _] => Ok((*authority).to_owned()),
        _ => bail!("no CONNECT: {line}"),
    }
}

struct Floor {
    acceptor: TlsAcceptor,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    addresses: Mutex<HashMap<String, SocketAddr>>,
}

pub(crate) async fn run(place: &Place, listen: SocketAddr) -> anyhow::Result<()> {
    let ca = place.origin_ca();
    let floor = Arc::new(Floor {
        acceptor: TlsAcceptor::from(tls::server(place, "peer")?),
        http1: Arc::new(tls::client(&ca, Some(tls::HTTP1))?),
        http2: Arc::new(tls::client(&ca, Some(tls::HTTP2))?),
        addresses: Mutex::default(),
    });
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let floor = Arc::clone(&floor);
        // A connection that fails is seen by its client.
        tokio::spawn(async move { drop(floor.relay(stream).await) });
    }
}

impl Floor {
    async fn relay(&self, mut inner: TcpStream) -> anyhow::Result<()> {
        inner.set_nodelay(true)?;
        let authority = read_connect(&mut inner).await?;
        let (host, _) = authority.rsplit_once(':').context("no port")?;
        let name = ServerName::try_from(host.to_owned())?;
        inner.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut inner = self.acceptor.accept(inner).await?;
        let is_http2 = inner.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        let outer = TcpStream::connect(self.address(&authority).await?).await?;
        outer.set_nodelay(true)?;
        let config = if is_http2 { &self.http2 } else { &self.http1 };
        let mut outer = TlsConnector::from(Arc::clone(config)).connect(name, outer).await?;
        copy_bidirectional_with_sizes(&mut inner, &mut outer, BUFFER, BUFFER).await?;
        Ok(())
    }

    async fn address(&self, authority: &str) -> anyhow::Result<SocketAddr> {
        let known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(authority).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = lookup_host(authority).await?.next().context("no address")?;
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).insert(authority.to_owned(), found);
        Ok(found)
    }
}
