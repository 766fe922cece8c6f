//! The calls of the keyring: they are done here, and nothing leaves the process.

use kubefox_core::keys::{Call, Reply};
use kubefox_core::machine::{Outcome, Refusal};
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use zeroize::Zeroizing;

use super::{Empty, Entropy, Slots, csr, envelope, service_account};

/// Bytes of a private key on P-256.
const PRIVATE_KEY_BYTES: usize = 32;

/// Does what the call says.
///
/// # Errors
/// [`Empty`] if a secret that is needed is not there.
pub(super) fn done(
    call: &Call,
    slots: &mut dyn Slots,
    entropy: &mut dyn Entropy,
) -> Result<Outcome<Reply>, Empty> {
    Ok(match call {
        Call::MintSealKey { into } => {
            let mut key = Zeroizing::new(vec![0; envelope::SEAL_KEY_BYTES]);
            entropy.fill(&mut key);
            let id = envelope::key_id(&key);
            slots.fill(*into, key);
            Outcome::Ok(Reply::Minted(id))
        }
        Call::MintCertificateKey { into } => {
            let mut bytes = Zeroizing::new([0; PRIVATE_KEY_BYTES]);
            entropy.fill(&mut *bytes);
            // One in four thousand million is no key: above the order of the curve.
            let Ok(key) = SecretKey::from_slice(&*bytes) else { return Ok(Outcome::Refused(Refusal::Local)) };
            let pem = key.to_pkcs8_pem(LineEnding::LF).expect("a P-256 key has a PKCS#8 form");
            slots.fill(*into, Zeroizing::new(pem.as_bytes().to_vec()));
            Outcome::Ok(Reply::CertificateKey(csr::made_for(&SigningKey::from(key))))
        }
        Call::Forget { names } => {
            names.iter().for_each(|name| slots.forget(*name));
            Outcome::Ok(Reply::Forgotten)
        }
        Call::Examine { token, like, signers } => {
            match service_account::examine(slots.expose(*token)?, slots.expose(*like)?, signers) {
                Ok(examined) => Outcome::Ok(Reply::Examined(examined)),
                Err(service_account::OwnTokenMalformed) => Outcome::Refused(Refusal::Local),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use kubefox_core::secret::{Own, Secret};
    use rcgen::SubjectPublicKeyInfo;

    use super::*;
    use crate::adapter::certificate;
    use crate::adapter::certificate::tests::Authority;
    use crate::keyring::Keyring;

    const KEY: Secret = Secret::Own(Own::ServingKey);

    struct Bytes(u8);

    impl Entropy for Bytes {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn a_key_that_was_made_here_is_the_one_that_its_request_is_signed_with() {
        let (csr, slots) = minted(7);
        let der = csr::der(&csr).expect("one request");
        let request = csr::parse(&der).expect("it parses");
        let public = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw);
        let leaf = Authority::new("root", 2026, 2036).issue_on(2026, 2027, &public.expect("P-256"));
        let leaf = certificate::leaf_facts(&leaf).expect("a certificate");

        assert!(certificate::is_on_key(&leaf, slots.expose(KEY).expect("it was minted")));
        assert!(csr::is_answered_by(&csr, &leaf));
        assert!(!csr::is_answered_by(&minted(8).0, &leaf), "other randomness is another key");
        assert_eq!(csr::received(csr.as_str()), Ok(Some(csr)), "the controller takes it");
    }

    #[test]
    fn randomness_that_is_no_key_fills_nothing() {
        let mut slots = Keyring::default();
        let call = Call::MintCertificateKey { into: KEY };
        assert_eq!(done(&call, &mut slots, &mut Bytes(0xff)), Ok(Outcome::Refused(Refusal::Local)));
        assert!(slots.expose(KEY).is_err());
    }

    fn minted(byte: u8) -> (kubefox_core::names::Csr, Keyring) {
        let mut slots = Keyring::default();
        let outcome = done(&Call::MintCertificateKey { into: KEY }, &mut slots, &mut Bytes(byte));
        let Ok(Outcome::Ok(Reply::CertificateKey(csr))) = outcome else {
            panic!("it is minted: {outcome:?}")
        };
        (csr, slots)
    }
}
