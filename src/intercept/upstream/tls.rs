//! TLS with upstreams: which CAs vouch for them, at what time, and what is spoken inside.

use super::Connected;
use crate::clock::Clock;
use crate::intercept::Protocol;
use crate::intercept::stream::Io;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    time_provider::TimeProvider,
};
use std::{io, sync::Arc, time::Duration};
use tokio_rustls::TlsConnector;

/// Why a file with CA certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It can't be read, or is not PEM.
    #[error("can't read the CA certificates in {path}: {reason}")]
    Unreadable {
        /// The file with PEM certificates.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate in it.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file with PEM certificates.
        path: String,
    },
    /// TLS can't be set up.
    #[error("TLS with upstreams can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The CAs that an upstream is verified against.
pub struct Roots(RootCertStore);

impl Roots {
    /// None yet.
    #[must_use]
    pub fn none() -> Self {
        Self(RootCertStore::empty())
    }

    /// The public ones, as they were when this binary was built.
    #[must_use]
    pub fn public() -> Self {
        Self(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The same, and those of a PEM file, which holds one or more.
    pub fn and_file(mut self, path: &str) -> Result<Self, TrustError> {
        let unreadable = |error: &dyn std::fmt::Display| TrustError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let before = self.0.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
            let certificate = certificate.map_err(|e| unreadable(&e))?;
            self.0.add(certificate).map_err(|e| unreadable(&e))?;
        }
        if self.0.len() == before { Err(TrustError::Empty { path: path.to_owned() }) } else { Ok(self) }
    }

    /// TLS that believes these at the time of `clock`. HTTP/2 is preferred: on HTTP/1.1 the upstream pipelock ends
    /// each intercepted connection after one request.
    pub fn client(self, clock: &Clock) -> Result<Arc<ClientConfig>, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.0)
            .with_no_client_auth();
        config.alpn_protocols = [Protocol::Http2, Protocol::Http1].map(|p| p.alpn().to_vec()).into();
        Ok(Arc::new(config))
    }
}

/// The same TLS for a connection that must speak HTTP/1.
#[must_use]
pub fn only_http1(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![Protocol::Http1.alpn().to_vec()];
    Arc::new(config)
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// TLS with `host` on a connection to it, or to a tunnel that leads there. Sets no time limit.
pub async fn secure(
    config: Arc<ClientConfig>,
    host: &str,
    stream: impl Io,
    stream_window: u32,
) -> io::Result<Connected> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok(Connected { stream: Box::new(stream), protocol, absolute_form: false, stream_window })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{CaKind, CertificateAuthority, LEAF_VALIDITY, LeafIssuer};
    use jiff::{SignedDuration, Timestamp};

    /// Connects at some time to a server whose certificate was issued at another.
    async fn connect(issued: Timestamp, now: Timestamp) -> io::Result<Protocol> {
        let issued = Clock::fixed(issued);
        let authority = CertificateAuthority::mint(CaKind::Pipelock, "test", &issued).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(&file, authority.certificate_pem()).unwrap();
        let leaf = LeafIssuer::new(authority, issued).unwrap().issue("a.test").unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(leaf)));
        let roots = Roots::none().and_file(file.path().to_str().unwrap()).unwrap();
        let client = roots.client(&Clock::fixed(now)).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let accept = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far);
        let (connected, _) = tokio::join!(secure(client, "a.test", near, 65_535), accept);
        connected.map(|connected| connected.protocol)
    }

    #[tokio::test]
    async fn a_certificate_is_verified_at_the_time_of_the_clock() {
        let issued: Timestamp = "2000-01-01T00:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        assert_eq!(connect(issued, issued + LEAF_VALIDITY - hour).await.unwrap(), Protocol::Http1);
        let expired = connect(issued, issued + LEAF_VALIDITY + hour).await.unwrap_err().to_string();
        assert!(expired.contains("certificate expired"), "{expired}");
        let early = connect(issued, issued - hour * 2).await.unwrap_err().to_string();
        assert!(early.contains("certificate not valid yet"), "{early}");
    }
}
