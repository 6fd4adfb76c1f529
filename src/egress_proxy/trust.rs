//! Whom the next hop may be believed to be, decided for each host: an inspected host is verified against the CA
//! of pipelock and nothing else, a passed-through host against the public roots (and `extra_ca`) and nothing else.

use crate::config::routes::RoutesFile;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{sync::Arc, time::Duration};

/// Why a file with CA certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It can't be read, or is not PEM.
    #[error("can't read the CA certificates in {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate in it.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: String,
    },
    /// TLS can't be set up.
    #[error("TLS towards pipelock can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The way out of one generation: the next hop, and how each kind of host is verified there.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) generation: u64,
    pub(super) proxy: String,
    pub(super) connect_timeout: Duration,
    inspected: Arc<ClientConfig>,
    passed_through: Arc<ClientConfig>,
}

impl Trust {
    pub(super) fn load(file: &RoutesFile, generation: u64) -> Result<Self, TrustError> {
        let mut passed_through = public_roots();
        if let Some(path) = &file.upstream.extra_ca_file {
            add(&mut passed_through, path)?;
        }
        let inspected = match &file.upstream.ca_file {
            Some(path) => {
                let mut only = RootCertStore::empty();
                add(&mut only, path)?;
                only
            }
            None => public_roots(),
        };
        Ok(Self {
            generation,
            proxy: file.upstream.proxy.clone(),
            connect_timeout: Duration::from_secs(file.limits.connect_seconds.into()),
            inspected: client(inspected)?,
            passed_through: client(passed_through)?,
        })
    }

    pub(super) fn client(&self, inspected: bool) -> Arc<ClientConfig> {
        Arc::clone(if inspected { &self.inspected } else { &self.passed_through })
    }
}

fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn add(roots: &mut RootCertStore, path: &str) -> Result<(), TrustError> {
    let unreadable = |error: &dyn std::fmt::Display| TrustError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
        let certificate = certificate.map_err(|e| unreadable(&e))?;
        roots.add(certificate).map_err(|e| unreadable(&e))?;
    }
    if roots.len() == before { Err(TrustError::Empty { path: path.to_owned() }) } else { Ok(()) }
}

/// HTTP/2 is preferred: on HTTP/1.1 the upstream program ends each intercepted connection after one request.
fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
