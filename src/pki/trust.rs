//! What clients trust: a PEM bundle for everything that reads one, a PKCS#12 store for Java, a policy for browsers.
//!
//! The first two hold the public roots (Mozilla's, as they were when this binary was built) and the CAs given. The public
//! roots are there since a host that is passed through without inspection shows its own certificate.

use super::{PkiError, pem};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// The password of the Java store. It protects nothing: the store holds certificates, and Java asks for one.
pub const TRUST_STORE_PASSWORD: &str = "changeit";

/// PBKDF2 rounds of the Java store, low because the password is public and every JVM pays them at its start.
const ROUNDS: u32 = 1024;

/// The public roots, then the `extra` PEM texts (each with one certificate or more).
#[must_use]
pub fn ca_bundle_pem(extra: &[&str]) -> String {
    let mut bundle = String::new();
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        bundle.push_str(&pem::encode("CERTIFICATE", root));
    }
    for text in extra {
        bundle.push_str(text);
        if !text.ends_with('\n') {
            bundle.push('\n');
        }
    }
    bundle
}

/// A policy by which browsers that are made of Chromium trust `extra` beside the public roots, which they have: JSON with
/// `CACertificates`, a list of certificates in DER and base64 (Chrome Enterprise policies, since Chrome 130).
pub fn browser_policy(extra: &[&str]) -> Result<Vec<u8>, PkiError> {
    let encoded: Vec<String> = certificates(extra)?.iter().map(|it| BASE64.encode(it)).collect();
    Ok(format!("{}\n", serde_json::json!({ "CACertificates": encoded })).into_bytes())
}

fn certificates(texts: &[&str]) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let all = texts.iter().flat_map(|text| CertificateDer::pem_slice_iter(text.as_bytes()));
    all.collect::<Result<_, _>>().map_err(|e| PkiError::Certificate(e.to_string()))
}

/// The same certificates as a PKCS#12 store whose entries carry the attribute that makes the JDK see them as
/// trusted. The bytes differ each time (salts).
pub fn java_trust_store(extra: &[&str]) -> Result<Vec<u8>, PkiError> {
    let mut store = KeyStore::new();
    for (n, root) in webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().enumerate() {
        add(&mut store, &format!("public-{n:03}"), root)?;
    }
    for (n, certificate) in certificates(extra)?.iter().enumerate() {
        add(&mut store, &format!("bottle-{n:03}"), certificate)?;
    }
    store
        .writer(TRUST_STORE_PASSWORD)
        .encryption_iterations(ROUNDS)
        .mac_iterations(ROUNDS)
        .write()
        .map_err(refused)
}

fn add(store: &mut KeyStore, alias: &str, certificate: &CertificateDer<'_>) -> Result<(), PkiError> {
    let certificate = Certificate::from_der(certificate).map_err(refused)?;
    store.add_entry(alias, KeyStoreEntry::Certificate(certificate));
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: p12_keystore::error::Error) -> PkiError {
    PkiError::TrustStore(error.to_string())
}
