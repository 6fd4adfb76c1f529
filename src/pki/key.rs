//! A private key on P-256: generated, read from SEC1, written as SEC1, and never printed.

use super::{PkiError, pem};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{PrivateKeyDer, PrivateSec1KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

/// A key pair; the cryptography library wipes the private half when it is dropped.
pub(crate) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// A fresh key from the cryptography library's random source.
    pub(crate) fn generate() -> Result<Self, PkiError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self).map_err(crypto)
    }

    /// Reads `EC PRIVATE KEY` (SEC1, RFC 5915) or `PRIVATE KEY` (PKCS#8).
    pub(crate) fn from_pem(text: &str) -> Result<Self, PkiError> {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| PkiError::Key("no PEM block with a private key in it".to_owned()))?;
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_der())
            .map(Self)
            .map_err(|_| PkiError::Key("it is not an ECDSA key on P-256".to_owned()))
    }

    /// `EC PRIVATE KEY` with the curve parameters: what every release of pipelock, OpenSSL and Go read.
    pub(crate) fn to_sec1_pem(&self) -> Result<Zeroizing<String>, PkiError> {
        let der = self.0.private_key().as_der().map_err(crypto)?;
        Ok(pem::encode("EC PRIVATE KEY", der.as_ref()))
    }

    /// The same key for the TLS library.
    pub(crate) fn to_rustls(&self) -> Result<std::sync::Arc<dyn rustls::sign::SigningKey>, PkiError> {
        let der = self.0.private_key().as_der().map_err(crypto)?;
        let der = PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der.as_ref()));
        rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der).map_err(crypto)
    }
}

impl rcgen::PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature =
            self.0.sign(&SystemRandom::new(), message).map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// A positive random serial of 127 bits (RFC 5280 §4.1.2.2: at most 20 octets, unique per CA).
pub(crate) fn random_serial() -> Result<rcgen::SerialNumber, PkiError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(crypto)?;
    // A leading bit of 0 keeps it positive in 16 octets; a leading bit of 1 after it keeps it 16 octets long.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(rcgen::SerialNumber::from_slice(&bytes))
}

/// The library's own words, which are few.
pub(crate) fn crypto(error: impl std::fmt::Display) -> PkiError {
    PkiError::Crypto(error.to_string())
}
