//! The client's TLS: the leaf it gets, and what is spoken inside.

use super::{BoxError, Protocol, rewind::Rewind};
use moka::future::Cache;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a leaf is used: well below what it is valid for.
const REUSE: Duration = Duration::from_hours(6);

/// Makes certificates for the names that clients ask for.
pub trait IssueLeaf: Send + Sync + 'static {
    /// A certificate for `host`, a lower-case A-label name, that is valid for 12 hours or more. May block.
    fn issue(&self, host: &str) -> Result<Arc<CertifiedKey>, BoxError>;
}

impl IssueLeaf for crate::pki::LeafIssuer {
    fn issue(&self, host: &str) -> Result<Arc<CertifiedKey>, BoxError> {
        Ok(crate::pki::LeafIssuer::issue(self, host)?)
    }
}

/// One CA's way of ending TLS: its leaves, its session tickets, the protocols it offers.
pub struct Interception {
    issuer: Arc<dyn IssueLeaf>,
    leaves: Cache<String, Arc<CertifiedKey>>,
    issued: AtomicU64,
    config: ServerConfig,
}

impl Interception {
    /// Offers `protocols`, the preferred one first, and keeps at most so many `leaves`. A client without ALPN gets
    /// HTTP/1.1.
    pub fn new(
        issuer: Arc<dyn IssueLeaf>,
        protocols: &[Protocol],
        leaves: u64,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(NoLeaf));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let leaves = Cache::builder().max_capacity(leaves).time_to_live(REUSE).build();
        Ok(Self { issuer, leaves, issued: AtomicU64::new(0), config })
    }

    /// How many leaves were made, as opposed to found.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// The leaf for a name: made once, off the threads that serve, however many ask at the same time.
    pub(super) async fn leaf(
        &self,
        host: &str,
        on_issue: impl FnOnce(),
    ) -> Result<Arc<CertifiedKey>, BoxError> {
        let issue = async {
            let (issuer, name) = (Arc::clone(&self.issuer), host.to_owned());
            let leaf = tokio::task::spawn_blocking(move || issuer.issue(&name)).await??;
            self.issued.fetch_add(1, Ordering::Relaxed);
            on_issue();
            Ok(leaf)
        };
        let made: Result<_, Arc<BoxError>> = self.leaves.try_get_with_by_ref(host, issue).await;
        made.map_err(|error| error.to_string().into())
    }

    /// Ends TLS with `leaf`.
    pub(super) async fn accept<S>(
        &self,
        stream: Rewind<S>,
        leaf: Arc<CertifiedKey>,
    ) -> io::Result<(TlsStream<Rewind<S>>, Protocol)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = self.config.clone();
        config.cert_resolver = Arc::new(OneLeaf(leaf));
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((stream, protocol))
    }
}

#[derive(Debug)]
struct NoLeaf;

impl ResolvesServerCert for NoLeaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

#[derive(Debug)]
struct OneLeaf(Arc<CertifiedKey>);

impl ResolvesServerCert for OneLeaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
