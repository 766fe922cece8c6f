//! Real X.509 certificates on P-256, with deterministic signatures (RFC 6979): the same input gives the same bytes.

use std::net::IpAddr;
use std::time::Duration;

use kubefox_core::time::Unix;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use serde::{Deserialize, Serialize};

/// The 32 bytes of a private key. Never formatted.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PrivateKey([u8; 32]);

/// The number of a certificate, positive and of 20 bytes as RFC 5280 allows at most.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Serial([u8; 20]);

/// What all certificates have.
pub(super) struct Common {
    pub(super) serial: Serial,
    pub(super) common_name: Option<String>,
    pub(super) not_before: Unix,
    pub(super) not_after: Unix,
}

/// What a certificate says beyond that if it signs no others.
pub(super) struct Leaf {
    pub(super) organization: Vec<String>,
    pub(super) organizational_unit: Vec<String>,
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) uris: Vec<String>,
    pub(super) key_usages: Vec<KeyUsagePurpose>,
    pub(super) extended_key_usages: Vec<ExtendedKeyUsagePurpose>,
}

/// Who signs, as the certificates it signs name it.
pub(super) struct Authority<'a> {
    pub(super) common_name: &'a str,
    pub(super) key: &'a PrivateKey,
}

/// Why a certificate could not be made: a name is not one.
pub(super) struct BadName(pub(super) String);

impl PrivateKey {
    pub(super) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// PKCS#8 in PEM, without a newline at the end.
    pub(super) fn pkcs8_pem(&self) -> String {
        let pem = self.p256().to_pkcs8_pem(LineEnding::LF).expect("a P-256 key has a PKCS#8 form");
        pem.trim_end().to_owned()
    }

    /// SEC 1 (`EC PRIVATE KEY`) in PEM, without a newline at the end.
    pub(super) fn sec1_pem(&self) -> String {
        let pem = self.p256().to_sec1_pem(LineEnding::LF).expect("a P-256 key has a SEC 1 form");
        pem.trim_end().to_owned()
    }

    fn p256(&self) -> p256::SecretKey {
        p256::SecretKey::from_slice(&self.0)
            .expect("the mark of secrets keeps the key below the group's order")
    }

    pub(super) fn pair(&self) -> Pair {
        let signing = SigningKey::from(self.p256());
        let public = signing.verifying_key().to_encoded_point(false).as_bytes().to_vec();
        Pair { signing, public }
    }
}

impl Serial {
    pub(super) fn new(mut bytes: [u8; 20]) -> Self {
        // Positive, and 20 bytes long in DER whatever the rest is.
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Self(bytes)
    }

    /// As people and Vault write it: `5e:68:…`.
    pub(super) fn print(&self) -> String {
        self.0.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// A certificate that signs itself and others; DER.
pub(super) fn root(common: &Common, key: &PrivateKey) -> Vec<u8> {
    let name = common.common_name.as_deref().unwrap_or_default();
    let mut params = authority_params(name);
    fill(&mut params, common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key.pair()).expect("the parameters were made here");
    certificate.der().to_vec()
}

/// A certificate signed by `authority` for that public key; DER.
pub(super) fn leaf(
    common: &Common,
    leaf: &Leaf,
    key: &impl PublicKeyData,
    authority: &Authority<'_>,
) -> Result<Vec<u8>, BadName> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for organization in &leaf.organization {
        params.distinguished_name.push(DnType::OrganizationName, printable(organization));
    }
    for unit in &leaf.organizational_unit {
        params.distinguished_name.push(DnType::OrganizationalUnitName, printable(unit));
    }
    if let Some(name) = &common.common_name {
        params.distinguished_name.push(DnType::CommonName, printable(name));
    }
    fill(&mut params, common);
    let text = |name: &String| Ia5String::try_from(name.as_str()).map_err(|_| BadName(name.clone()));
    for name in &leaf.dns_names {
        params.subject_alt_names.push(SanType::DnsName(text(name)?));
    }
    params.subject_alt_names.extend(leaf.ip_addresses.iter().copied().map(SanType::IpAddress));
    for uri in &leaf.uris {
        params.subject_alt_names.push(SanType::URI(text(uri)?));
    }
    params.key_usages.clone_from(&leaf.key_usages);
    params.extended_key_usages.clone_from(&leaf.extended_key_usages);

    let issuer = Issuer::new(authority_params(authority.common_name), authority.key.pair());
    let certificate = params.signed_by(key, &issuer).expect("the parameters were made here");
    Ok(certificate.der().to_vec())
}

/// DER as PEM in lines of 64 characters, without a newline at the end.
pub(super) fn pem(der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----"
}

/// What an authority's own certificate and those it signs have in common.
fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, printable(common_name));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn fill(params: &mut CertificateParams, common: &Common) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(common.not_before.0);
    params.not_after = epoch + Duration::from_secs(common.not_after.0);
    params.serial_number = Some(SerialNumber::from_slice(&common.serial.0));
    params.use_authority_key_identifier_extension = true;
}

/// The narrowest string type, as the real server chooses it.
fn printable(text: &str) -> DnValue {
    let narrow = PrintableString::try_from(text).map(DnValue::PrintableString);
    narrow.unwrap_or_else(|_| DnValue::Utf8String(text.to_owned()))
}

/// A key as the library takes it.
pub(super) struct Pair {
    signing: SigningKey,
    public: Vec<u8>,
}

impl PublicKeyData for Pair {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.signing.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

    use super::*;

    #[test]
    fn a_chain_verifies_and_its_bytes_depend_on_the_input_alone() {
        let (root, leaf) = chain();
        let root = CertificateDer::from(root);
        let leaf = CertificateDer::from(leaf);

        let anchors = [anchor_from_trusted_cert(&root).expect("a trust anchor")];
        let certificate = EndEntityCert::try_from(&leaf).expect("an end-entity certificate");
        let verified = certificate.verify_for_usage(
            &[ring::ECDSA_P256_SHA256],
            &anchors,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(1_500)),
            KeyUsage::server_auth(),
            None,
            None,
        );

        assert!(verified.is_ok(), "{:?}", verified.err());
        let name = ServerName::try_from("broker.kubefox.internal").expect("a name");
        assert_eq!(certificate.verify_is_valid_for_subject_name(&name), Ok(()));
        assert_eq!(chain(), (root.to_vec(), leaf.to_vec()));
    }

    #[test]
    fn private_keys_have_two_forms() {
        let key = PrivateKey::new([0x42; 32]);

        assert!(key.pkcs8_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(key.sec1_pem().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        assert!(key.sec1_pem().ends_with("-----END EC PRIVATE KEY-----"));
    }

    #[test]
    fn serial_numbers_are_printed_as_vault_does() {
        assert_eq!(Serial::new([0xff; 20]).print(), format!("7f{}", ":ff".repeat(19)));
    }

    fn chain() -> (Vec<u8>, Vec<u8>) {
        let (root_key, leaf_key) = (PrivateKey::new([0x41; 32]), PrivateKey::new([0x42; 32]));
        let common = |name: Option<&str>, serial| Common {
            serial: Serial::new([serial; 20]),
            common_name: name.map(str::to_owned),
            not_before: Unix(1_000),
            not_after: Unix(2_000),
        };
        let wanted = Leaf {
            organization: vec!["kubefox".into()],
            organizational_unit: vec!["component".into()],
            dns_names: vec!["broker.kubefox.internal".into()],
            ip_addresses: Vec::new(),
            uris: vec!["spiffe://cluster.local/ns/a/sa/b".into()],
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        };
        let root = root(&common(Some("root"), 1), &root_key);
        let authority = Authority { common_name: "root", key: &root_key };
        let Ok(leaf) = leaf(&common(None, 2), &wanted, &leaf_key.pair(), &authority) else {
            panic!("the names are names")
        };
        (root, leaf)
    }
}
