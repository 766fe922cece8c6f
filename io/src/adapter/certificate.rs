//! What a certificate says, and whether one signed the other.

use std::time::Duration;

use kubefox_core::names::Pem;
use kubefox_core::time::Unix;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// It is not valid before.
    pub not_before: Unix,
    /// It is not valid after.
    pub not_after: Unix,
    /// Its DNS names, in its order.
    pub dns_names: Vec<String>,
    /// Its URI names, in its order.
    pub uris: Vec<String>,
}

/// A certificate and the authority that signed it, with the span in which both are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Neither is valid before.
    pub not_before: Unix,
    /// One of them is not valid after.
    pub not_after: Unix,
    /// What the certificate says.
    pub leaf: Facts,
    /// What its authority says.
    pub ca: Facts,
}

/// Why two texts are not a certificate and the authority that signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The first text is no certificate.
    #[error("the certificate is not exactly one X.509 certificate in PEM")]
    Leaf,
    /// The second text is no certificate.
    #[error("the authority is not exactly one X.509 certificate in PEM")]
    Authority,
    /// The second did not sign the first, may not sign, or the two are never valid together.
    #[error("the certificate was not signed by the authority")]
    OtherAuthority,
}

/// The text is not exactly one X.509 certificate in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not exactly one X.509 certificate in PEM")]
pub struct NotACertificate;

/// What the one certificate of a text says.
///
/// # Errors
/// [`NotACertificate`] if there is none, more than one, or one that does not parse.
pub fn leaf_facts(pem: &Pem) -> Result<Facts, NotACertificate> {
    facts(&parse(&der(pem)?)?)
}

/// Verifies that `ca` is an authority and signed `leaf` (RFC 5280, as `webpki` checks it). Whether both are
/// valid *now* is for the caller to say, who has a clock.
///
/// # Errors
/// [`Flaw`] says which text is at fault.
pub fn verify_chain(leaf: &Pem, ca: &Pem) -> Result<Chain, Flaw> {
    let leaf_der = der(leaf).map_err(|_| Flaw::Leaf)?;
    let ca_der = der(ca).map_err(|_| Flaw::Authority)?;
    let leaf = parse(&leaf_der).map_err(|_| Flaw::Leaf)?;
    let ca = parse(&ca_der).map_err(|_| Flaw::Authority)?;
    let leaf_facts = facts(&leaf).map_err(|_| Flaw::Leaf)?;
    let ca_facts = facts(&ca).map_err(|_| Flaw::Authority)?;
    let not_before = leaf_facts.not_before.max(ca_facts.not_before);
    let not_after = leaf_facts.not_after.min(ca_facts.not_after);
    if !ca.is_ca() || not_before > not_after {
        return Err(Flaw::OtherAuthority);
    }
    verify_signature(&leaf_der, &ca_der, usage_of(&leaf), not_before)?;
    Ok(Chain { not_before, not_after, leaf: leaf_facts, ca: ca_facts })
}

fn verify_signature(leaf: &[u8], ca: &[u8], usage: KeyUsage, at: Unix) -> Result<(), Flaw> {
    let (leaf, ca) = (CertificateDer::from(leaf), CertificateDer::from(ca));
    let anchor = anchor_from_trusted_cert(&ca).map_err(|_| Flaw::Authority)?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.0));
    EndEntityCert::try_from(&leaf)
        .map_err(|_| Flaw::Leaf)?
        .verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor], &[], at, usage, None, None)
        .map_err(|_| Flaw::OtherAuthority)?;
    Ok(())
}

/// Whether the certificate is on the public half of this private key, PKCS#8 PEM.
#[must_use]
pub fn is_on_key(leaf: &Pem, key: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else { return false };
    let Ok(key) = any_supported_type(&key) else { return false };
    key.public_key().is_some_and(|public| is_on(leaf, &public))
}

/// Whether the certificate is on this public key, as SubjectPublicKeyInfo in DER.
pub(super) fn is_on(leaf: &Pem, public: &[u8]) -> bool {
    let Ok(der) = der(leaf) else { return false };
    parse(&der).is_ok_and(|leaf| leaf.public_key().raw == public)
}

/// The one certificate of a text, in DER.
///
/// # Errors
/// [`NotACertificate`] if there is none or more than one.
pub fn der(pem: &Pem) -> Result<Vec<u8>, NotACertificate> {
    let (rest, block) =
        x509_parser::pem::parse_x509_pem(pem.as_str().as_bytes()).map_err(|_| NotACertificate)?;
    if block.label != "CERTIFICATE" || !rest.trim_ascii().is_empty() {
        return Err(NotACertificate);
    }
    Ok(block.contents)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, NotACertificate> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(NotACertificate),
    }
}

fn facts(certificate: &X509Certificate<'_>) -> Result<Facts, NotACertificate> {
    let names = certificate.subject_alternative_name().map_err(|_| NotACertificate)?;
    let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            dns_names.push((*name).to_owned());
        }
        if let GeneralName::URI(uri) = name {
            uris.push((*uri).to_owned());
        }
    }
    let unix = |timestamp: i64| u64::try_from(timestamp).map(Unix).map_err(|_| NotACertificate);
    Ok(Facts {
        not_before: unix(certificate.validity().not_before.timestamp())?,
        not_after: unix(certificate.validity().not_after.timestamp())?,
        dns_names,
        uris,
    })
}

/// What the certificate is for: who receives it is to trust its signature, not to be served with it.
fn usage_of(certificate: &X509Certificate<'_>) -> KeyUsage {
    let extended = certificate.extended_key_usage().ok().flatten();
    match extended {
        Some(usage) if !usage.value.server_auth => KeyUsage::client_auth(),
        Some(_) | None => KeyUsage::server_auth(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        PublicKeyData, SanType, date_time_ymd,
    };

    #[test]
    fn a_chain_is_valid_where_both_certificates_are() {
        let authority = Authority::new("root", 2026, 2036);
        let leaf = authority.issue(2025, 2027);

        let chain = verify_chain(&leaf, &authority.pem()).expect("the authority signed it");

        let (start, middle, end) = (1_735_689_600, 1_767_225_600, 1_798_761_600);
        assert_eq!((chain.not_before, chain.not_after), (Unix(middle), Unix(end)));
        assert_eq!(
            chain.leaf,
            Facts {
                not_before: Unix(start),
                not_after: Unix(end),
                dns_names: vec!["nats.kubefox.svc".to_owned()],
                uris: vec!["spiffe://cluster.local/ns/kubefox/sa/nats".to_owned()],
            }
        );
        assert_eq!(leaf_facts(&leaf), Ok(chain.leaf));
    }

    #[test]
    fn a_certificate_of_another_authority_is_told_even_if_the_names_agree() {
        let (ours, other) = (Authority::new("root", 2026, 2036), Authority::new("root", 2026, 2036));
        let leaf = ours.issue(2026, 2027);
        assert_eq!(verify_chain(&leaf, &other.pem()), Err(Flaw::OtherAuthority));
        assert_eq!(verify_chain(&leaf, &leaf), Err(Flaw::OtherAuthority));
        assert_eq!(verify_chain(&ours.pem(), &ours.pem()), Err(Flaw::OtherAuthority));
    }

    #[test]
    fn a_certificate_is_on_one_key() {
        let authority = Authority::new("root", 2026, 2036);
        let (leaf, key) = authority.issue_with_key(2026, 2027);
        let (_, other) = authority.issue_with_key(2026, 2027);

        assert!(is_on_key(&leaf, key.as_bytes()));
        for other in [other.as_str(), "", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"] {
            assert!(!is_on_key(&leaf, other.as_bytes()));
        }
    }

    #[test]
    fn certificates_that_are_never_valid_together_are_no_chain() {
        let authority = Authority::new("root", 2026, 2027);
        assert_eq!(verify_chain(&authority.issue(2028, 2029), &authority.pem()), Err(Flaw::OtherAuthority));
    }

    #[test]
    fn a_text_that_is_not_exactly_one_certificate_is_named() {
        let authority = Authority::new("root", 2026, 2036);
        let (leaf, ca) = (authority.issue(2026, 2027), authority.pem());
        let two = Pem::parse(&format!("{leaf}{ca}")).expect("it begins like PEM");
        let none = Pem::parse("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .expect("it begins so");
        let open = Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so");
        for bad in [two, none, open] {
            assert_eq!(verify_chain(&bad, &ca), Err(Flaw::Leaf));
            assert_eq!(verify_chain(&leaf, &bad), Err(Flaw::Authority));
            assert_eq!(leaf_facts(&bad), Err(NotACertificate));
        }
    }

    /// An authority for the tests of all adapters.
    pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        pub(crate) fn new(name: &str, from: i32, to: i32) -> Self {
            let mut params = params(from, to);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("ring makes P-256 keys");
            Self(CertifiedIssuer::self_signed(params, key).expect("the parameters are sound"))
        }

        pub(crate) fn pem(&self) -> Pem {
            Pem::parse(&self.0.pem()).expect("rcgen writes PEM")
        }

        /// A certificate of NATS that is valid from the beginning of one year to the beginning of another.
        pub(crate) fn issue(&self, from: i32, to: i32) -> Pem {
            self.issue_with_key(from, to).0
        }

        /// The same, and its private key.
        pub(crate) fn issue_with_key(&self, from: i32, to: i32) -> (Pem, String) {
            let key = KeyPair::generate().expect("ring makes P-256 keys");
            (self.issue_on(from, to, &key), key.serialize_pem())
        }

        /// The same for a public key.
        pub(crate) fn issue_on(&self, from: i32, to: i32, key: &impl PublicKeyData) -> Pem {
            self.issue_named(
                (from, to),
                &["nats.kubefox.svc"],
                "spiffe://cluster.local/ns/kubefox/sa/nats",
                key,
            )
        }

        /// The same with other names.
        pub(crate) fn issue_named(
            &self,
            (from, to): (i32, i32),
            dns_names: &[&str],
            uri: &str,
            key: &impl PublicKeyData,
        ) -> Pem {
            let mut params = params(from, to);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let names = dns_names.iter().map(|name| SanType::DnsName((*name).try_into().expect("ASCII")));
            params.subject_alt_names = names.collect();
            params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
            let certificate = params.signed_by(key, &self.0).expect("the parameters are sound");
            Pem::parse(&certificate.pem()).expect("rcgen writes PEM")
        }
    }

    fn params(from: i32, to: i32) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
    }
}
