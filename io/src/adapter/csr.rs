//! Requests for certificates (PKCS#10): what the controller takes, what a pod makes, and which certificate answers one.
//!
//! | request | rejection |
//! |---|---|
//! | no single block `CERTIFICATE REQUEST` of at most 4 KiB, or one that does not parse | `CSR_MALFORMED` |
//! | one of a component's two, without the other | `CSR_MALFORMED` |
//! | a key that is not on P-256, or is that of the other request | `CSR_KEY_FOREIGN` |
//! | a signature that is not its own key's, with ECDSA and SHA-256 | `CSR_FORGED` |
//! | a subject or any attribute, among them `CA:TRUE` and alternative names | `CSR_DEMANDING` |
//!
//! Vault ignores what a request asks for, under the roles that it has, and would sign for P-384; nobody shall have to know
//! that to be sure.
//!
//! Source: RFC 2986, RFC 5480.

use kubefox_core::bootstrap::{Csrs, Rejection};
use kubefox_core::names::Csr;
use p256::PublicKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{
    CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::Facts;

/// The request of a message; none if the text is empty.
///
/// # Errors
/// The rejection of the module's table.
pub fn received(text: &str) -> Result<Option<Csr>, Rejection> {
    if text.is_empty() { Ok(None) } else { examine(text).map(Some) }
}

/// The requests of a component's message: both, or none.
///
/// # Errors
/// The rejection of the module's table.
pub fn both_received(broker: &str, runtime: &str) -> Result<Option<Csrs>, Rejection> {
    match (received(broker)?, received(runtime)?) {
        (Some(broker), Some(runtime)) if public_key(&broker) == public_key(&runtime) => {
            Err(Rejection::CsrKeyForeign)
        }
        (Some(broker), Some(runtime)) => Ok(Some(Csrs { broker, runtime })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(Rejection::CsrMalformed),
    }
}

fn examine(text: &str) -> Result<Csr, Rejection> {
    let csr = Csr::parse(text).map_err(|_| Rejection::CsrMalformed)?;
    let der = der(&csr).ok_or(Rejection::CsrMalformed)?;
    let request = parse(&der).ok_or(Rejection::CsrMalformed)?;
    let info = &request.certification_request_info;
    if !is_p256(&info.subject_pki) {
        return Err(Rejection::CsrKeyForeign);
    }
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &info.subject_pki.subject_public_key.data);
    if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256
        || key.verify(info.raw, &request.signature_value.data).is_err()
    {
        return Err(Rejection::CsrForged);
    }
    if info.subject.iter().next().is_some() || !info.attributes().is_empty() {
        return Err(Rejection::CsrDemanding);
    }
    Ok(csr)
}

/// However its point is written.
fn public_key(csr: &Csr) -> Option<PublicKey> {
    let der = der(csr)?;
    let request = parse(&der)?;
    let point = &request.certification_request_info.subject_pki.subject_public_key;
    PublicKey::from_sec1_bytes(&point.data).ok()
}

fn is_p256(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256)
}

/// A request for a certificate on this key, which asks for nothing else.
///
/// # Panics
/// Never: a request without names has nothing that could be wrong.
#[must_use]
pub fn made_for(key: &SigningKey) -> Csr {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let public = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
    let request = params.serialize_request(&Pair { key, public }).expect("a request without names is sound");
    Csr::parse(&request.pem().expect("DER has a PEM form")).expect("it is a request")
}

/// A key as the library takes it.
struct Pair<'a> {
    key: &'a SigningKey,
    public: Vec<u8>,
}

impl PublicKeyData for Pair<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Pair<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.key.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// Whether the certificate is on the key of the request.
#[must_use]
pub fn is_answered_by(csr: &Csr, leaf: &Facts) -> bool {
    let Some(der) = der(csr) else { return false };
    let Some(request) = parse(&der) else { return false };
    request.certification_request_info.subject_pki.raw == leaf.public_key
}

/// The one request of a text, in DER.
pub(super) fn der(csr: &Csr) -> Option<Vec<u8>> {
    let (rest, block) = x509_parser::pem::parse_x509_pem(csr.as_str().as_bytes()).ok()?;
    (block.label == "CERTIFICATE REQUEST" && rest.trim_ascii().is_empty()).then_some(block.contents)
}

pub(super) fn parse(der: &[u8]) -> Option<X509CertificationRequest<'_>> {
    let ([], request) = X509CertificationRequest::from_der(der).ok()? else { return None };
    Some(request)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = include_str!("csr/plain.pem");

    #[test]
    fn each_bad_request_has_a_rejection_of_its_own() {
        let two = format!("{PLAIN}{PLAIN}");
        let long = format!("{PLAIN}{}", " ".repeat(4_096));
        for (case, text, rejection) in [
            ("no PEM", "x", Rejection::CsrMalformed),
            (
                "another block",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                Rejection::CsrMalformed,
            ),
            ("cut off", &PLAIN[..200], Rejection::CsrMalformed),
            ("two", &two, Rejection::CsrMalformed),
            ("too long", &long, Rejection::CsrMalformed),
            ("RSA", include_str!("csr/rsa.pem"), Rejection::CsrKeyForeign),
            ("P-384", include_str!("csr/p384.pem"), Rejection::CsrKeyForeign),
            ("Ed25519", include_str!("csr/ed25519.pem"), Rejection::CsrKeyForeign),
            ("broken signature", include_str!("csr/broken-signature.pem"), Rejection::CsrForged),
            ("CA:TRUE", include_str!("csr/authority.pem"), Rejection::CsrDemanding),
            ("foreign names", include_str!("csr/foreign-names.pem"), Rejection::CsrDemanding),
            ("common name", include_str!("csr/common-name.pem"), Rejection::CsrDemanding),
        ] {
            assert_eq!(received(text), Err(rejection), "{case}");
            assert_eq!(both_received(PLAIN, text), Err(rejection), "{case}");
            assert_eq!(both_received(text, PLAIN), Err(rejection), "{case}");
        }
    }

    #[test]
    fn what_openssl_and_what_a_pod_makes_is_taken() {
        let made = made_for(&SigningKey::from_slice(&[7; 32]).expect("below the order of the curve"));
        assert_eq!(received(made.as_str()), Ok(Some(made.clone())));
        let plain = Csr::parse(PLAIN).expect("a request");
        assert_eq!(received(PLAIN), Ok(Some(plain.clone())));
        assert_eq!(received(""), Ok(None));
        assert_eq!(both_received("", ""), Ok(None));
        assert_eq!(both_received(PLAIN, ""), Err(Rejection::CsrMalformed));
        let both = both_received(PLAIN, made.as_str());
        assert_eq!(both, Ok(Some(Csrs { broker: plain, runtime: made })));
        assert_eq!(both_received(PLAIN, PLAIN), Err(Rejection::CsrKeyForeign), "each has its own");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_change_of_what_is_signed_is_overlooked(at in 40_usize..170, byte in any::<char>()) {
            let mut text = PLAIN.to_owned();
            let old = text.remove(at);
            text.insert(at, byte);
            // In this stretch stands what is signed; behind it what is signed with, and the signature.
            if byte.is_ascii_alphanumeric() && old.is_ascii_alphanumeric() && byte != old {
                prop_assert!(received(&text).is_err());
            } else {
                let _ = received(&text);
            }
        }
    }
}
