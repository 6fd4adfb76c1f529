//! Certificate authorities and leaf certificates, from an injected clock.
//!
//! Promises: ECDSA P-256 everywhere; a CA that may sign leaves and nothing else (`pathlen:0`, keyCertSign and
//! cRLSign); a fresh key and a random serial for every certificate; no leaf that outlives its CA; private keys
//! that are wiped when dropped and never printed. Everything passes strict RFC 5280 checkers (OpenSSL's
//! `-x509_strict`, Python 3.13, Go, Java), which `tests/it/pki.rs` asks.
//!
//! Constraint: the upstream pipelock program reads its CA key with Go's `x509.ParseECPrivateKey`, which wants
//! SEC1 with the curve parameters.

mod authority;
mod key;
mod leaf;
mod pem;
mod trust;

pub use authority::{CA_VALIDITY, CaKind, CertificateAuthority, require_valid_certificate};
pub use leaf::{LEAF_VALIDITY, LeafIssuer};
pub use trust::{TRUST_STORE_PASSWORD, browser_policy, ca_bundle_pem, java_trust_store};

use jiff::Timestamp;

/// Why a certificate could not be minted, read or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The text holds no certificate in PEM form, or one that is not X.509.
    #[error("the CA certificate can't be read: {0}")]
    Certificate(String),
    /// The text holds no private key in PEM form, or not one on P-256.
    #[error("the CA key can't be read: {0}")]
    Key(String),
    /// The certificate may not sign leaves.
    #[error("the certificate is not a CA that may sign: {0}")]
    NotACa(&'static str),
    /// Certificate and key come from different pairs.
    #[error("the CA certificate and the CA key do not belong together")]
    Mismatch,
    /// The CA's time is over.
    #[error("the CA expired at {not_after}; `bottle render` renews it, then `bottle up` starts with it")]
    Expired {
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// The CA's time has not come: the clock is wrong.
    #[error("the CA is valid from {not_before} only; is the clock right?")]
    NotYetValid {
        /// The start of its validity.
        not_before: Timestamp,
    },
    /// A leaf was asked for something that is no DNS name.
    #[error("{0:?} is not a DNS name that a certificate can carry")]
    Name(String),
    /// The Java trust store could not be written.
    #[error("the Java trust store can't be written: {0}")]
    TrustStore(String),
    /// The cryptography library failed.
    #[error("the cryptography library failed: {0}")]
    Crypto(String),
}
