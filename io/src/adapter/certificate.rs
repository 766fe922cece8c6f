//! What a certificate says, and whether one signed the other.

use std::time::Duration;

use kubefox_core::documents::certificate::Usage;
use kubefox_core::names::Pem;
use kubefox_core::time::Unix;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// It is not valid before.
    pub not_before: Unix,
    /// It is not valid after.
    pub not_after: Unix,
    /// The common names of its subject, in its order.
    pub common_names: Vec<String>,
    /// Its DNS names, in its order.
    pub dns_names: Vec<String>,
    /// Its URI names, in its order.
    pub uris: Vec<String>,
    /// Whether it has a name of another kind too: an address, say. Nobody here asks for one.
    pub has_other_names: bool,
    /// What it may be shown for, if that is said and is nothing else.
    pub usage: Option<Usage>,
    /// The key it is on, as SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
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

impl Chain {
    /// Whether the certificate ends after its authority: whoever trusted its end would be left with nothing before.
    #[must_use]
    pub fn outlives_authority(&self) -> bool {
        self.leaf.not_after > self.ca.not_after
    }
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
    /// The first is not for exactly the use that was asked for.
    #[error("the certificate is for another use")]
    OtherUse,
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

/// Verifies that `ca` is an authority and signed `leaf` for this use and no other (RFC 5280, as `webpki` checks it).
/// Whether both are valid *now* is for the caller to say, who has a clock.
///
/// # Errors
/// [`Flaw`] says which text is at fault.
pub fn verify_chain(leaf: &Pem, ca: &Pem, usage: Usage) -> Result<Chain, Flaw> {
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
    if leaf_facts.usage != Some(usage) {
        return Err(Flaw::OtherUse);
    }
    verify_signature(&leaf_der, &ca_der, usage, not_before)?;
    Ok(Chain { not_before, not_after, leaf: leaf_facts, ca: ca_facts })
}

fn verify_signature(leaf: &[u8], ca: &[u8], usage: Usage, at: Unix) -> Result<(), Flaw> {
    let (leaf, ca) = (CertificateDer::from(leaf), CertificateDer::from(ca));
    let anchor = anchor_from_trusted_cert(&ca).map_err(|_| Flaw::Authority)?;
    let usage = if usage.server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.0));
    EndEntityCert::try_from(&leaf)
        .map_err(|_| Flaw::Leaf)?
        .verify_for_usage(ALL_VERIFICATION_ALGS, &[anchor], &[], at, usage, None, None)
        .map_err(|_| Flaw::OtherAuthority)?;
    Ok(())
}

/// Whether the certificate is on the public half of this private key, PKCS#8 PEM.
#[must_use]
pub fn is_on_key(leaf: &Facts, key: &[u8]) -> bool {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key) else { return false };
    let Ok(key) = any_supported_type(&key) else { return false };
    key.public_key().is_some_and(|public| *public == *leaf.public_key)
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
    let mut facts = Facts {
        not_before: unix(certificate.validity().not_before)?,
        not_after: unix(certificate.validity().not_after)?,
        common_names: common_names(certificate),
        dns_names: Vec::new(),
        uris: Vec::new(),
        has_other_names: false,
        usage: usage_of(certificate)?,
        public_key: certificate.public_key().raw.to_vec(),
    };
    let names = certificate.subject_alternative_name().map_err(|_| NotACertificate)?;
    for name in names.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => facts.dns_names.push((*name).to_owned()),
            GeneralName::URI(uri) => facts.uris.push((*uri).to_owned()),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => facts.has_other_names = true,
        }
    }
    Ok(facts)
}

fn unix(time: ASN1Time) -> Result<Unix, NotACertificate> {
    u64::try_from(time.timestamp()).map(Unix).map_err(|_| NotACertificate)
}

/// One that is no text is an empty one: nobody is called so.
fn common_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject().iter_common_name();
    names.map(|name| name.as_str().unwrap_or_default().to_owned()).collect()
}

fn usage_of(certificate: &X509Certificate<'_>) -> Result<Option<Usage>, NotACertificate> {
    let Some(extended) = certificate.extended_key_usage().map_err(|_| NotACertificate)? else {
        return Ok(None);
    };
    let ExtendedKeyUsage {
        any,
        server_auth: server,
        client_auth: client,
        code_signing,
        email_protection,
        time_stamping,
        ocsp_signing,
        other,
    } = extended.value;
    let is_more = *any || *code_signing || *email_protection || *time_stamping || *ocsp_signing;
    Ok((!is_more && other.is_empty()).then_some(Usage { server: *server, client: *client }))
}

#[cfg(test)]
pub(crate) mod tests {
    use kubefox_core::documents::certificate::{request, ttl_s, usage};
    use kubefox_core::names::{Identity, TrustDomain};
    use kubefox_core::vault::PkiRole;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData, SanType, date_time_ymd,
    };

    use super::*;

    #[test]
    fn a_chain_is_valid_where_both_certificates_are() {
        let authority = Authority::new("root", 2026, 2036);
        let key = KeyPair::generate().expect("ring makes P-256 keys");
        let leaf = authority.issue_on(2025, 2027, &key);

        let chain = verify_chain(&leaf, &authority.pem(), SERVER).expect("the authority signed it");

        let (start, middle, end) = (1_735_689_600, 1_767_225_600, 1_798_761_600);
        assert_eq!((chain.not_before, chain.not_after), (Unix(middle), Unix(end)));
        assert_eq!(
            chain.leaf,
            Facts {
                not_before: Unix(start),
                not_after: Unix(end),
                common_names: vec!["nats.kubefox.svc".to_owned()],
                dns_names: vec!["nats.kubefox.svc".to_owned()],
                uris: vec!["spiffe://cluster.local/ns/kubefox/sa/nats".to_owned()],
                has_other_names: false,
                usage: Some(SERVER),
                public_key: key.subject_public_key_info(),
            }
        );
        assert!(!chain.outlives_authority());
        assert_eq!(leaf_facts(&leaf), Ok(chain.leaf));
    }

    #[test]
    fn a_certificate_of_another_authority_is_told_even_if_the_names_agree() {
        let (ours, other) = (Authority::new("root", 2026, 2036), Authority::new("root", 2026, 2036));
        let leaf = ours.issue(2026, 2027);
        assert_eq!(verify_chain(&leaf, &other.pem(), SERVER), Err(Flaw::OtherAuthority));
        assert_eq!(verify_chain(&leaf, &leaf, SERVER), Err(Flaw::OtherAuthority));
        assert_eq!(verify_chain(&ours.pem(), &ours.pem(), SERVER), Err(Flaw::OtherUse));
    }

    #[test]
    fn a_certificate_is_on_one_key() {
        let authority = Authority::new("root", 2026, 2036);
        let (leaf, key) = authority.issue_with_key(2026, 2027);
        let (_, other) = authority.issue_with_key(2026, 2027);
        let leaf = leaf_facts(&leaf).expect("a certificate");

        assert!(is_on_key(&leaf, key.as_bytes()));
        for other in [other.as_str(), "", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"] {
            assert!(!is_on_key(&leaf, other.as_bytes()));
        }
    }

    #[test]
    fn certificates_that_are_never_valid_together_are_no_chain() {
        let authority = Authority::new("root", 2026, 2027);
        let late = authority.issue(2028, 2029);
        assert_eq!(verify_chain(&late, &authority.pem(), SERVER), Err(Flaw::OtherAuthority));
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
            assert_eq!(verify_chain(&bad, &ca, SERVER), Err(Flaw::Leaf));
            assert_eq!(verify_chain(&leaf, &bad, SERVER), Err(Flaw::Authority));
            assert_eq!(leaf_facts(&bad), Err(NotACertificate));
        }
    }

    #[test]
    fn a_certificate_is_for_the_use_that_was_asked_for_and_no_other() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
        let authority = Authority::new("root", 2026, 2036);
        let key = KeyPair::generate().expect("ring makes P-256 keys");
        let usage = |server, client| Some(Usage { server, client });
        for (purposes, said) in [
            (vec![ServerAuth], usage(true, false)),
            (vec![ClientAuth], usage(false, true)),
            (vec![ClientAuth, ServerAuth], usage(true, true)),
            (vec![ServerAuth, CodeSigning], None),
            (vec![ServerAuth, Any], None),
            (vec![], None),
        ] {
            let leaf = authority.issue_as(&key, |params| params.extended_key_usages.clone_from(&purposes));
            assert_eq!(leaf_facts(&leaf).map(|leaf| leaf.usage), Ok(said), "{purposes:?}");
            for (server, client) in [(true, false), (false, true), (true, true)] {
                let asked = Usage { server, client };
                let flaw = verify_chain(&leaf, &authority.pem(), asked).err();
                assert_eq!(flaw, (said != Some(asked)).then_some(Flaw::OtherUse), "{purposes:?}, {asked:?}");
            }
        }
    }

    #[test]
    fn a_name_of_another_kind_is_told_and_so_are_two_common_names() {
        let authority = Authority::new("root", 2026, 2036);
        let key = KeyPair::generate().expect("ring makes P-256 keys");
        let (address, mail) = ([10, 0, 0, 1].into(), "a@kubefox.svc".try_into().expect("ASCII"));
        for other in [SanType::IpAddress(address), SanType::Rfc822Name(mail)] {
            let leaf = authority.issue_as(&key, |params| params.subject_alt_names.push(other));
            let facts = leaf_facts(&leaf).expect("a certificate");
            assert!(facts.has_other_names);
            assert_eq!(facts.dns_names, ["nats.kubefox.svc"]);
        }
        let two = authority.issue_as(&key, |params| {
            let name = DnType::CustomDnType(vec![2, 5, 4, 3]);
            params.distinguished_name.push(name, "kubefox.kubefox.svc");
        });
        let facts = leaf_facts(&two).expect("a certificate");
        assert_eq!(facts.common_names, ["nats.kubefox.svc", "kubefox.kubefox.svc"]);
    }

    const SERVER: Usage = Usage { server: true, client: false };

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
            self.issue_as(key, |params| {
                params.not_before = date_time_ymd(from, 1, 1);
                params.not_after = date_time_ymd(to, 1, 1);
            })
        }

        /// A certificate of NATS for the year 2026, but for what is changed.
        pub(crate) fn issue_as(
            &self,
            key: &impl PublicKeyData,
            change: impl FnOnce(&mut CertificateParams),
        ) -> Pem {
            let identity = Identity::parse_username("system:serviceaccount:kubefox:nats");
            self.issue_for(PkiRole::Nats, &identity.expect("an identity"), key, change)
        }

        /// What this role asks for, for the year 2026, but for what is changed.
        pub(crate) fn issue_for(
            &self,
            role: PkiRole,
            identity: &Identity,
            key: &impl PublicKeyData,
            change: impl FnOnce(&mut CertificateParams),
        ) -> Pem {
            let trust_domain = TrustDomain::parse("cluster.local").expect("a trust domain");
            let asked = request(role, identity, &trust_domain, ttl_s(role));
            let mut params = params(2026, 2027);
            if let Some(name) = &asked.common_name {
                params.distinguished_name.push(DnType::CommonName, name.as_str());
            }
            let text = |name: &String| name.as_str().try_into().expect("ASCII");
            let names = asked.common_name.iter().chain(&asked.dns_names).map(text).map(SanType::DnsName);
            params.subject_alt_names = names.collect();
            params.subject_alt_names.push(SanType::URI(text(&asked.uri)));
            let Usage { server, client } = usage(role);
            let purposes = [
                (server, ExtendedKeyUsagePurpose::ServerAuth),
                (client, ExtendedKeyUsagePurpose::ClientAuth),
            ];
            params.extended_key_usages =
                purposes.into_iter().filter_map(|(is_asked, purpose)| is_asked.then_some(purpose)).collect();
            change(&mut params);
            let certificate = params.signed_by(key, &self.0).expect("the parameters are sound");
            Pem::parse(&certificate.pem()).expect("rcgen writes PEM")
        }
    }

    fn params(from: i32, to: i32) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
    }
}
