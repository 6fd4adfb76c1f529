//! Leaf certificates for intercepted hosts: one key, one serial, one name each, for a day.

use super::PkiError;
use super::authority::{BACKDATED, CertificateAuthority, rcgen_time};
use super::key::{SigningKey, crypto, random_serial};
use crate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// How long a leaf is valid from the moment it is issued. A cache must issue anew well before (half of it is fine).
pub const LEAF_VALIDITY: SignedDuration = SignedDuration::from_hours(24);

/// Signs leaves with one CA. Cheap to share behind an `Arc`; issuing takes well under a millisecond.
pub struct LeafIssuer {
    issuer: rcgen::Issuer<'static, SigningKey>,
    not_before: Timestamp,
    not_after: Timestamp,
    clock: Clock,
}

impl LeafIssuer {
    /// Takes the CA over; refuses one that is outside its validity now.
    pub fn new(authority: CertificateAuthority, clock: Clock) -> Result<Self, PkiError> {
        authority.require_valid(clock.now())?;
        let (not_before, not_after) = (authority.not_before(), authority.not_after());
        Ok(Self { issuer: authority.into_issuer()?, not_before, not_after, clock })
    }

    /// A fresh certificate for `host` (a DNS name in its A-label form), with the chain that a server sends: the
    /// leaf alone, since clients hold the CA. Valid from an hour ago for [`LEAF_VALIDITY`], and never longer than
    /// the CA. Fails once the CA itself has expired.
    pub fn issue(&self, host: &str) -> Result<Arc<CertifiedKey>, PkiError> {
        let key = SigningKey::generate()?;
        let certificate = self.certificate(host, &key, self.clock.now())?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate], key.to_rustls()?)))
    }

    fn certificate(
        &self,
        host: &str,
        key: &SigningKey,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, PkiError> {
        if now >= self.not_after {
            return Err(PkiError::Expired { not_after: self.not_after });
        }
        let name = dns_name(host)?;
        let mut params = CertificateParams::default();
        // No subject: names are in the SAN alone, which RFC 5280 §4.1.2.6 then wants critical (rcgen does it).
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![name];
        params.serial_number = Some(random_serial()?);
        params.not_before = rcgen_time((now - BACKDATED).max(self.not_before))?;
        params.not_after = rcgen_time((now + LEAF_VALIDITY).min(self.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa; // also makes rcgen write the subject key identifier
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(crypto)?.into())
    }
}

/// rcgen checks the alphabet only; rustls knows what a DNS name is.
fn dns_name(host: &str) -> Result<SanType, PkiError> {
    let refused = || PkiError::Name(host.to_owned());
    let known = rustls::pki_types::DnsName::try_from(host).map_err(|_| refused())?;
    Ok(SanType::DnsName(known.as_ref().try_into().map_err(|_| refused())?))
}

impl std::fmt::Debug for LeafIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeafIssuer").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::CaKind;
    use x509_parser::prelude::FromDer as _;

    fn issuer(minted: &str, now: &str) -> Result<LeafIssuer, PkiError> {
        let minted = Clock::fixed(minted.parse().unwrap());
        let ca = CertificateAuthority::mint(CaKind::Agent, "demo", &minted)?;
        LeafIssuer::new(ca, Clock::fixed(now.parse().unwrap()))
    }

    fn validity(key: &CertifiedKey) -> (String, String) {
        let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&key.cert[0]).unwrap();
        let utc = |t: x509_parser::time::ASN1Time| Timestamp::from_second(t.timestamp()).unwrap().to_string();
        (utc(leaf.validity().not_before), utc(leaf.validity().not_after))
    }

    #[test]
    fn a_leaf_is_valid_from_an_hour_ago_for_a_day() {
        let leaf =
            issuer("2026-11-01T00:00:00Z", "2026-11-24T12:00:00Z").unwrap().issue("api.example").unwrap();
        assert_eq!(validity(&leaf), ("2026-11-24T11:00:00Z".to_owned(), "2026-11-25T12:00:00Z".to_owned()));
    }

    #[test]
    fn a_leaf_never_outlives_its_ca() {
        let leaf =
            issuer("2026-11-01T00:00:00Z", "2027-12-02T20:00:00Z").unwrap().issue("api.example").unwrap();
        assert_eq!(validity(&leaf).1, "2027-12-02T23:00:00Z");
    }

    #[test]
    fn an_expired_ca_is_refused_at_the_start_and_while_running() {
        assert!(matches!(
            issuer("2020-01-01T00:00:00Z", "2026-11-24T12:00:00Z"),
            Err(PkiError::Expired { .. })
        ));
        let now = Arc::new(std::sync::Mutex::new("2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap()));
        let moving = Arc::clone(&now);
        let clock = Clock::from_fn(move || *moving.lock().unwrap());
        let ca = CertificateAuthority::mint(CaKind::Agent, "demo", &clock).unwrap();
        let issuer = LeafIssuer::new(ca, clock).unwrap();
        issuer.issue("api.example").unwrap();
        *now.lock().unwrap() = "2028-01-01T00:00:00Z".parse().unwrap();
        assert!(matches!(issuer.issue("api.example"), Err(PkiError::Expired { .. })));
    }

    #[test]
    fn every_leaf_has_its_own_key_and_serial() {
        let issuer = issuer("2026-11-01T00:00:00Z", "2026-11-24T12:00:00Z").unwrap();
        let (one, two) = (issuer.issue("api.example").unwrap(), issuer.issue("api.example").unwrap());
        let parse = |key: &CertifiedKey| {
            let (_, leaf) = x509_parser::certificate::X509Certificate::from_der(&key.cert[0]).unwrap();
            (leaf.raw_serial().to_vec(), leaf.public_key().raw.to_vec())
        };
        let ((serial_one, key_one), (serial_two, key_two)) = (parse(&one), parse(&two));
        assert_ne!(serial_one, serial_two);
        assert_ne!(key_one, key_two);
        assert_eq!(serial_one.len(), 16);
    }

    #[test]
    fn a_name_that_is_no_dns_name_is_refused() {
        let issuer = issuer("2026-11-01T00:00:00Z", "2026-11-24T12:00:00Z").unwrap();
        for name in ["", "a b", "127.0.0.1", "x\n.test", "bücher.example"] {
            let error = issuer.issue(name).unwrap_err().to_string();
            assert_eq!(error, format!("{name:?} is not a DNS name that a certificate can carry"));
        }
    }
}
