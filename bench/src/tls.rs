//! Certificates of a run, and TLS on both sides as the main crate configures it.

use crate::place::{HOST, MANY, Place};
use anyhow::Context as _;
use fs_err as fs;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{path::Path, sync::Arc};

pub(crate) const HTTP1: &[u8] = b"http/1.1";
pub(crate) const HTTP2: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Mints the CA of the origin and that of the peers, each with a leaf for all hosts.
pub(crate) fn mint(place: &Place) -> anyhow::Result<()> {
    let (certificate, _) = authority(place, "origin")?;
    fs::write(place.origin_ca(), certificate)?;
    let (certificate, key) = authority(place, "peer")?;
    fs::write(place.peer_ca(), certificate)?;
    fs::write(place.peer_ca_key(), key)?;
    Ok(())
}

/// A CA in PEM form; a leaf of it is in the files of `owner`.
fn authority(place: &Place, owner: &str) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("bench {owner} CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?.pem();
    let key_pem = key.serialize_pem();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![HOST.to_owned(), format!("*.{MANY}")])?;
    let (leaf_file, leaf_key_file) = place.leaf(owner);
    fs::write(leaf_file, leaf.signed_by(&leaf_key, &issuer)?.pem())?;
    fs::write(leaf_key_file, leaf_key.serialize_pem())?;
    Ok((certificate, key_pem))
}

/// A server that shows the leaf of `owner` and speaks both protocols.
pub(crate) fn server(place: &Place, owner: &str) -> anyhow::Result<Arc<ServerConfig>> {
    let (leaf, key) = place.leaf(owner);
    let chain = CertificateDer::pem_file_iter(&leaf)?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
}

/// A client that trusts one CA and offers one protocol, or none.
pub(crate) fn client(ca: &Path, protocol: Option<&[u8]>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| ca.display().to_string())? {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    Ok(config)
}

/// The same as agents are: most of them begin each session anew.
pub(crate) fn forgetful(ca: &Path, protocol: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut config = client(ca, Some(protocol))?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
