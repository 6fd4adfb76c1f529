//! The two certificate authorities of a bottle: minted once, kept, renewed before they end.

use super::key::{SigningKey, crypto, random_serial};
use super::{PkiError, pem};
use crate::clock::Clock;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

/// How long a CA is valid.
pub const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(397 * 24);

/// A clock that is a little behind must not find the CA "not yet valid".
pub(crate) const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// Whose CA it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaKind {
    /// The CA of egress-proxy; the agent trusts it.
    Agent,
    /// The CA of pipelock; egress-proxy trusts it.
    Pipelock,
}

impl CaKind {
    fn common_name(self, bottle: &str) -> String {
        match self {
            Self::Agent => format!("bottle {bottle} agent CA"),
            Self::Pipelock => format!("bottle {bottle} pipelock CA"),
        }
    }
}

/// A CA certificate with its key.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    key: SigningKey,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl CertificateAuthority {
    /// A new CA that is valid from now (an hour back) for [`CA_VALIDITY`].
    pub fn mint(kind: CaKind, bottle: &str, clock: &Clock) -> Result<Self, PkiError> {
        let key = SigningKey::generate()?;
        let not_before = clock.now() - BACKDATED;
        let not_after = not_before + CA_VALIDITY;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, kind.common_name(bottle));
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.serial_number = Some(random_serial()?);
        params.not_before = rcgen_time(not_before)?;
        params.not_after = rcgen_time(not_after)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = CertificateDer::from(params.self_signed(&key).map_err(crypto)?);
        Self::assemble(certificate, key)
    }

    /// Reads what [`certificate_pem`](Self::certificate_pem) and [`key_sec1_pem`](Self::key_sec1_pem) wrote, and
    /// refuses a pair that does not fit or a certificate that may not sign. Says nothing about the time: see
    /// [`require_valid`](Self::require_valid).
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| PkiError::Certificate("no PEM block with a certificate in it".to_owned()))?;
        Self::assemble(certificate, SigningKey::from_pem(key_pem)?)
    }

    fn assemble(certificate: CertificateDer<'static>, key: SigningKey) -> Result<Self, PkiError> {
        let parsed = parse(&certificate)?;
        require_ca(&parsed)?;
        if parsed.public_key().subject_public_key.data.as_ref() != rcgen::PublicKeyData::der_bytes(&key) {
            return Err(PkiError::Mismatch);
        }
        let not_before = timestamp(parsed.validity().not_before)?;
        let not_after = timestamp(parsed.validity().not_after)?;
        Ok(Self { certificate, key, not_before, not_after })
    }

    /// The certificate in PEM form.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate).to_string()
    }

    /// The private key as SEC1 PEM with the curve parameters; wiped when dropped.
    pub fn key_sec1_pem(&self) -> Result<Zeroizing<String>, PkiError> {
        self.key.to_sec1_pem()
    }

    /// SHA-256 of the certificate's DER, 64 lower-case hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(&self.certificate))
    }

    /// The start of its validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The end of its validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether less than a third of its validity is left, or its time has not come (it was minted under a clock
    /// that was ahead): time to mint another.
    #[must_use]
    pub fn is_due_for_renewal(&self, now: Timestamp) -> bool {
        let whole = self.not_after.duration_since(self.not_before);
        self.not_after.duration_since(now) < whole / 3 || now < self.not_before
    }

    /// Refuses a CA outside its validity, as the runtimes do when they start.
    pub fn require_valid(&self, now: Timestamp) -> Result<(), PkiError> {
        within(self.not_before, self.not_after, now)
    }

    /// What rcgen signs leaves with.
    pub(crate) fn into_issuer(self) -> Result<rcgen::Issuer<'static, SigningKey>, PkiError> {
        rcgen::Issuer::from_ca_cert_der(&self.certificate, self.key)
            .map_err(|e| PkiError::Certificate(e.to_string()))
    }
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("fingerprint", &self.fingerprint())
            .field("not_after", &self.not_after)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Refuses a CA certificate (PEM) outside its validity, without its key: for those who only start what uses it.
pub fn require_valid_certificate(certificate_pem: &str, now: Timestamp) -> Result<(), PkiError> {
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|_| PkiError::Certificate("no PEM block with a certificate in it".to_owned()))?;
    let parsed = parse(&certificate)?;
    let (not_before, not_after) =
        (timestamp(parsed.validity().not_before)?, timestamp(parsed.validity().not_after)?);
    within(not_before, not_after, now)
}

fn within(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Result<(), PkiError> {
    if now > not_after {
        return Err(PkiError::Expired { not_after });
    }
    if now < not_before {
        return Err(PkiError::NotYetValid { not_before });
    }
    Ok(())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PkiError> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|e| PkiError::Certificate(format!("it is not X.509 ({e})")))?;
    if rest.is_empty() {
        Ok(parsed)
    } else {
        Err(PkiError::Certificate("bytes follow the certificate".to_owned()))
    }
}

fn require_ca(parsed: &X509Certificate<'_>) -> Result<(), PkiError> {
    let unreadable = |e: x509_parser::error::X509Error| PkiError::Certificate(e.to_string());
    if !parsed.basic_constraints().map_err(unreadable)?.is_some_and(|b| b.value.ca) {
        return Err(PkiError::NotACa("its basic constraints do not say CA:TRUE"));
    }
    if !parsed.key_usage().map_err(unreadable)?.is_some_and(|u| u.value.key_cert_sign()) {
        return Err(PkiError::NotACa("its key usage lacks keyCertSign"));
    }
    Ok(())
}

fn timestamp(time: x509_parser::time::ASN1Time) -> Result<Timestamp, PkiError> {
    Timestamp::from_second(time.timestamp())
        .map_err(|_| PkiError::Certificate("its validity is out of range".to_owned()))
}

/// rcgen counts in the `time` crate's type; X.509 knows whole seconds.
pub(crate) fn rcgen_time(at: Timestamp) -> Result<time::OffsetDateTime, PkiError> {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(crypto)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Clock {
        Clock::fixed(time.parse().unwrap())
    }

    fn minted() -> CertificateAuthority {
        CertificateAuthority::mint(CaKind::Agent, "demo", &at("2026-11-24T12:00:00Z")).unwrap()
    }

    #[test]
    fn validity_is_397_days_from_an_hour_ago() {
        let ca = minted();
        assert_eq!(ca.not_before().to_string(), "2026-11-24T11:00:00Z");
        assert_eq!(ca.not_after().to_string(), "2027-12-26T11:00:00Z");
    }

    #[test]
    fn what_was_written_is_read_back() {
        let ca = minted();
        let again = CertificateAuthority::load(&ca.certificate_pem(), &ca.key_sec1_pem().unwrap()).unwrap();
        assert_eq!(again.fingerprint(), ca.fingerprint());
        assert_eq!(again.not_after(), ca.not_after());
        assert_eq!(*again.key_sec1_pem().unwrap(), *ca.key_sec1_pem().unwrap());
    }

    #[test]
    fn two_authorities_share_neither_key_nor_serial() {
        let (one, two) = (minted(), minted());
        assert_ne!(*one.key_sec1_pem().unwrap(), *two.key_sec1_pem().unwrap());
        assert_ne!(parse(&one.certificate).unwrap().serial, parse(&two.certificate).unwrap().serial);
    }

    #[test]
    fn renewal_is_due_when_less_than_a_third_is_left() {
        let ca = minted();
        let third = CA_VALIDITY / 3;
        assert!(!ca.is_due_for_renewal(ca.not_after() - third));
        assert!(ca.is_due_for_renewal(ca.not_after() - third + SignedDuration::from_secs(1)));
        assert!(
            ca.is_due_for_renewal(ca.not_before() - SignedDuration::from_secs(1)),
            "minted in the future"
        );
    }

    #[test]
    fn outside_its_validity_a_ca_is_refused_with_what_to_do() {
        let ca = minted();
        let late = ca.require_valid("2027-12-27T00:00:00Z".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(
            late,
            "the CA expired at 2027-12-26T11:00:00Z; `bottle render` renews it, then `bottle up` starts with it"
        );
        let early = ca.require_valid("2020-01-01T00:00:00Z".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(early, "the CA is valid from 2026-11-24T11:00:00Z only; is the clock right?");
        ca.require_valid("2027-01-01T00:00:00Z".parse().unwrap()).unwrap();
    }

    #[test]
    fn a_pair_that_does_not_fit_is_refused() {
        let (one, two) = (minted(), minted());
        let error =
            CertificateAuthority::load(&one.certificate_pem(), &two.key_sec1_pem().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the CA certificate and the CA key do not belong together");
    }

    #[test]
    fn text_that_is_no_certificate_or_no_key_is_refused() {
        let ca = minted();
        let key = ca.key_sec1_pem().unwrap();
        let error = CertificateAuthority::load("nonsense", &key).unwrap_err().to_string();
        assert_eq!(error, "the CA certificate can't be read: no PEM block with a certificate in it");
        let error = CertificateAuthority::load(&ca.certificate_pem(), "").unwrap_err().to_string();
        assert_eq!(error, "the CA key can't be read: no PEM block with a private key in it");
    }

    #[test]
    fn a_leaf_is_not_a_ca() {
        let key = SigningKey::generate().unwrap();
        let leaf = CertificateParams::default().self_signed(&key).unwrap();
        let error = CertificateAuthority::load(&leaf.pem(), &key.to_sec1_pem().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the certificate is not a CA that may sign: its basic constraints do not say CA:TRUE"
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let ca = minted();
        let shown = format!("{ca:?}");
        assert!(shown.contains("key: SigningKey([redacted])"), "{shown}");
        let pem = ca.key_sec1_pem().unwrap();
        assert!(!shown.contains(pem.lines().nth(1).unwrap()));
    }
}
