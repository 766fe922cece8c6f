//! The envelope: the unseal key, and for a while the root token, encrypted under the seal key.
//!
//! AES-256-GCM with a fresh nonce, under a key of its own for each envelope: HKDF-SHA256 (RFC 5869) of the
//! seal key with 32 random bytes of salt, so that neither a repeated nonce nor a restored random state ever
//! meets the same key twice. The header — version, installation, life, generation, key id, salt — is
//! associated data: nothing of it can be changed without the tag failing. The key id commits to the seal key
//! (a GCM tag alone does not), is compared first and in constant time, and tells *another key* from *a
//! changed file*: they have different remedies.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use kubefox_core::names::{Installation, KeyId, LifeId};
use serde::Serialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Entropy;

/// Bytes of a seal key: AES-256.
pub const SEAL_KEY_BYTES: usize = 32;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// Bytes of a nonce: 96 bits, as NIST SP 800-38D prefers.
pub const NONCE_BYTES: usize = 12;
/// The version of everything here: cipher, derivation, header and plaintext.
pub const VERSION: u32 = 1;
/// The longest secret that goes in; the longest that Vault makes has 64 bytes.
pub const SECRET_BYTES_MAX: usize = 1024;

const TAG_BYTES: usize = 16;
const KEY_ID_BYTES: usize = 16;
const INFO_KEY: &[u8] = b"kubefox envelope";
const INFO_KEY_ID: &[u8] = b"kid";

/// What an envelope says to everybody, and cannot be made to say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The installation it belongs to.
    pub installation: Installation,
    /// The life it belongs to.
    pub life: LifeId,
    /// One more than the envelope before it.
    pub generation: u64,
    /// The seal key it is under.
    pub key: KeyId,
    /// Salt of this envelope's own key.
    pub salt: [u8; SALT_BYTES],
}

/// An encrypted envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// In the clear.
    pub header: Header,
    /// Used once.
    pub nonce: [u8; NONCE_BYTES],
    /// The keys and the tag.
    pub ciphertext: Vec<u8>,
}

/// What an envelope holds. Nothing of it can be printed, and all of it is wiped.
pub struct Keys {
    /// Vault's one unseal key share, as Vault wrote it.
    pub unseal_key: Zeroizing<Vec<u8>>,
    /// Vault's root token, until it is revoked.
    pub root_token: Option<Zeroizing<Vec<u8>>>,
}

/// Why an envelope cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// The seal key has another length.
    #[error("the seal key is not of 32 bytes")]
    SealKey,
    /// A secret is empty or longer than [`SECRET_BYTES_MAX`].
    #[error("the unseal key or the root token is empty or longer than 1024 bytes")]
    Secret,
}

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopenable {
    /// It is under another seal key.
    #[error("the envelope is under another seal key")]
    OtherKey,
    /// The seal key is the right one, and the envelope was changed.
    #[error("the envelope was changed")]
    Tampered,
}

/// What identifies a seal key without telling anything about it.
#[must_use]
pub fn key_id(seal_key: &[u8]) -> KeyId {
    KeyId::parse(&HEXLOWER.encode(&key_id_bytes(seal_key))).expect("16 bytes are 32 hexadecimal digits")
}

/// Encrypts the keys under the seal key, with a fresh salt and a fresh nonce.
///
/// # Errors
/// [`Unsealable`] names what has no sound length.
pub fn seal(
    keys: &Keys,
    seal_key: &[u8],
    installation: &Installation,
    life: &LifeId,
    generation: u64,
    entropy: &mut dyn Entropy,
) -> Result<Envelope, Unsealable> {
    if seal_key.len() != SEAL_KEY_BYTES {
        return Err(Unsealable::SealKey);
    }
    let mut buffer = plaintext(keys)?;
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    entropy.fill(&mut salt);
    entropy.fill(&mut nonce);
    let header = Header {
        installation: installation.clone(),
        life: life.clone(),
        generation,
        key: key_id(seal_key),
        salt,
    };
    cipher(seal_key, &salt)
        .encrypt_in_place((&nonce).into(), &header.associated_data(), &mut *buffer)
        .expect("a few hundred bytes are far below the limit of GCM");
    Ok(Envelope { header, nonce, ciphertext: core::mem::take(&mut *buffer) })
}

impl Envelope {
    /// Decrypts the keys.
    ///
    /// # Errors
    /// [`Unopenable`] tells another key from a changed envelope.
    pub fn open(&self, seal_key: &[u8]) -> Result<Keys, Unopenable> {
        let named = HEXLOWER.decode(self.header.key.as_str().as_bytes()).map_err(|_| Unopenable::Tampered)?;
        if !bool::from(key_id_bytes(seal_key).ct_eq(&named)) {
            return Err(Unopenable::OtherKey);
        }
        let mut buffer = Zeroizing::new(self.ciphertext.clone());
        cipher(seal_key, &self.header.salt)
            .decrypt_in_place((&self.nonce).into(), &self.header.associated_data(), &mut *buffer)
            .map_err(|_| Unopenable::Tampered)?;
        Keys::parse(&buffer).ok_or(Unopenable::Tampered)
    }
}

impl Header {
    /// The canonical bytes of the header: its members in this order as JSON without white space. Each is a
    /// parsed name or a number, so there is one text for one header.
    fn associated_data(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Canonical<'a> {
            version: u32,
            installation: &'a str,
            life: &'a str,
            generation: u64,
            kid: &'a str,
            salt: &'a str,
        }
        let canonical = Canonical {
            version: VERSION,
            installation: self.installation.as_str(),
            life: self.life.as_str(),
            generation: self.generation,
            kid: self.key.as_str(),
            salt: &HEXLOWER.encode(&self.salt),
        };
        serde_json::to_vec(&canonical).expect("text and numbers are JSON")
    }
}

impl Keys {
    /// Reads what [`plaintext`] wrote, and nothing else.
    fn parse(plaintext: &[u8]) -> Option<Self> {
        let (unseal_key, rest) = field(plaintext)?;
        let (root_token, rest) = field(rest)?;
        if !rest.is_empty() || unseal_key.is_empty() {
            return None;
        }
        let own = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        Some(Self {
            unseal_key: own(unseal_key),
            root_token: (!root_token.is_empty()).then(|| own(root_token)),
        })
    }
}

/// Both secrets, each behind its length in two bytes, big-endian; no root token is one of length 0. The
/// buffer has room for the tag, so that it never moves and leaves a copy.
fn plaintext(keys: &Keys) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let root_token: &[u8] = keys.root_token.as_ref().map_or(&[], |token| token.as_slice());
    let fields = [keys.unseal_key.as_slice(), root_token];
    let is_empty =
        keys.unseal_key.is_empty() || keys.root_token.as_ref().is_some_and(|token| token.is_empty());
    if is_empty || fields.iter().any(|field| field.len() > SECRET_BYTES_MAX) {
        return Err(Unsealable::Secret);
    }
    let room = fields.iter().map(|field| 2 + field.len()).sum::<usize>() + TAG_BYTES;
    let mut buffer = Zeroizing::new(Vec::with_capacity(room));
    for field in fields {
        let length = u16::try_from(field.len()).expect("1024 fits in two bytes");
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(field);
    }
    Ok(buffer)
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn cipher(seal_key: &[u8], salt: &[u8; SALT_BYTES]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; SEAL_KEY_BYTES]);
    Hkdf::<Sha256>::new(Some(salt), seal_key)
        .expand(INFO_KEY, key.as_mut_slice())
        .expect("32 bytes are one block of SHA-256");
    Aes256Gcm::new((&*key).into())
}

fn key_id_bytes(seal_key: &[u8]) -> [u8; KEY_ID_BYTES] {
    let mut id = [0; KEY_ID_BYTES];
    Hkdf::<Sha256>::new(None, seal_key)
        .expand(INFO_KEY_ID, &mut id)
        .expect("16 bytes are less than a block of SHA-256");
    id
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SEAL_KEY: [u8; SEAL_KEY_BYTES] = [7; SEAL_KEY_BYTES];

    /// Computed once by other code: Python's `hmac` and `hashlib` for the key and the key id, AES-GCM of its
    /// `cryptography`. From the inputs named in [`VECTORS`]:
    ///
    /// ```text
    /// HKDF(salt, key, info, n)  RFC 5869 with HMAC-SHA256; no salt is one of 32 zeros
    /// kid         hex(HKDF(none, seal key, "kid", 16))
    /// key         HKDF(salt, seal key, "kubefox envelope", 32)
    /// plaintext   len(unseal key) in 2 bytes, unseal key, len(root token) in 2 bytes, root token
    /// header      {"version":1,"installation":…,"life":…,"generation":…,"kid":…,"salt":hex}
    /// ciphertext  AES-256-GCM(key, nonce, plaintext, associated data = header), its tag of 16 bytes last
    /// ```
    #[test]
    fn the_format_is_fixed() {
        for vector in VECTORS {
            let Vector { seal_key, entropy, header, unseal_key, root_token, kid, canonical, ciphertext } =
                vector;
            let (installation, life, generation) = header;
            let installation = Installation::parse(installation).expect("a name");
            let life = LifeId::parse(life).expect("a life id");
            let keys = keys(unseal_key, root_token);

            let envelope = seal(&keys, &seal_key, &installation, &life, generation, &mut Counter(entropy))
                .expect("all lengths are sound");

            assert_eq!(key_id(&seal_key).as_str(), kid);
            assert_eq!(core::str::from_utf8(&envelope.header.associated_data()), Ok(canonical));
            assert_eq!(envelope.nonce[0], entropy + 32);
            assert_eq!(HEXLOWER.encode(&envelope.ciphertext), ciphertext);
            let keys = envelope.open(&seal_key).expect("it is the right key");
            assert_eq!(keys.unseal_key.as_slice(), unseal_key.as_bytes());
            assert_eq!(keys.root_token.as_ref().map(|token| token.as_slice()), root_token.map(str::as_bytes));
        }
    }

    /// The same code sealed what the second vector holds under a header that says version 2.
    #[test]
    fn the_version_is_bound() {
        let ciphertext = HEXLOWER.decode(b"d242c57822b1605f662321c87c4fc73b6284a9ad55f920d5d2408dc4");
        let envelope = Envelope { ciphertext: ciphertext.expect("hexadecimal"), ..sealed(None) };
        assert_eq!(envelope.open(&SEAL_KEY).err(), Some(Unopenable::Tampered));
    }

    #[test]
    fn what_goes_in_comes_out() {
        let keys = sealed(Some("s.root")).open(&SEAL_KEY).expect("it is the right key");
        assert_eq!(keys.unseal_key.as_slice(), b"00c0ffee");
        assert_eq!(keys.root_token.as_ref().map(|token| token.as_slice()), Some(&b"s.root"[..]));
        let keys = sealed(None).open(&SEAL_KEY).expect("it is the right key");
        assert_eq!(keys.unseal_key.as_slice(), b"00c0ffee");
        assert!(keys.root_token.is_none());
    }

    #[test]
    fn another_key_is_told_before_anything_is_decrypted() {
        let mut envelope = sealed(None);
        envelope.ciphertext.clear();
        assert_eq!(envelope.open(&[8; SEAL_KEY_BYTES]).err(), Some(Unopenable::OtherKey));
        assert_eq!(envelope.open(b"").err(), Some(Unopenable::OtherKey));
        assert_eq!(envelope.open(&SEAL_KEY).err(), Some(Unopenable::Tampered));
    }

    #[test]
    fn no_key_but_one_bit_is_another_key() {
        let envelope = sealed(Some("s.root"));
        for bit in 0..SEAL_KEY_BYTES * 8 {
            let mut key = SEAL_KEY;
            key[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(envelope.open(&key).err(), Some(Unopenable::OtherKey), "bit {bit}");
        }
    }

    #[test]
    fn every_member_of_the_header_is_bound() {
        let changes: [fn(&mut Envelope); 6] = [
            |envelope| envelope.header.installation = Installation::parse("kubefoz").expect("a name"),
            |envelope| envelope.header.life = LifeId::parse("0123456789abcdee").expect("a life id"),
            |envelope| envelope.header.generation += 1,
            |envelope| envelope.header.salt[0] ^= 1,
            |envelope| envelope.nonce[0] ^= 1,
            |envelope| envelope.ciphertext[0] ^= 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut envelope = sealed(None);
            change(&mut envelope);
            assert_eq!(envelope.open(&SEAL_KEY).err(), Some(Unopenable::Tampered), "change {number}");
        }
    }

    /// The key id says which key it is under: changed alone, the right key is another; and with the key it then names,
    /// the header is another.
    #[test]
    fn the_key_id_is_bound() {
        let mut envelope = sealed(None);
        let other = [8; SEAL_KEY_BYTES];
        envelope.header.key = key_id(&other);
        assert_eq!(envelope.open(&SEAL_KEY).err(), Some(Unopenable::OtherKey));
        assert_eq!(envelope.open(&other).err(), Some(Unopenable::Tampered));
    }

    #[test]
    fn two_envelopes_of_the_same_keys_share_nothing() {
        let mut entropy = Counter(0);
        let (first, second) = (sealed_with(None, &mut entropy), sealed_with(None, &mut entropy));
        assert_ne!(first.header.salt, second.header.salt);
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.ciphertext, second.ciphertext);
    }

    #[test]
    fn a_secret_or_a_key_without_a_sound_length_is_refused() {
        let seal = |unseal: &[u8], root: Option<&[u8]>, seal_key: &[u8]| {
            let keys = Keys {
                unseal_key: Zeroizing::new(unseal.to_vec()),
                root_token: root.map(|root| Zeroizing::new(root.to_vec())),
            };
            seal(&keys, seal_key, &installation(), &life(), 1, &mut Counter(0)).err()
        };
        let long = vec![b'x'; SECRET_BYTES_MAX + 1];
        assert_eq!(seal(b"x", None, &SEAL_KEY), None);
        assert_eq!(seal(&long[1..], Some(&long[1..]), &SEAL_KEY), None);
        assert_eq!(seal(b"", None, &SEAL_KEY), Some(Unsealable::Secret));
        assert_eq!(seal(&long, None, &SEAL_KEY), Some(Unsealable::Secret));
        assert_eq!(seal(b"x", Some(b""), &SEAL_KEY), Some(Unsealable::Secret));
        assert_eq!(seal(b"x", Some(&long), &SEAL_KEY), Some(Unsealable::Secret));
        assert_eq!(seal(b"x", None, &SEAL_KEY[1..]), Some(Unsealable::SealKey));
    }

    fn sealed(root: Option<&str>) -> Envelope {
        sealed_with(root, &mut Counter(0))
    }

    fn sealed_with(root: Option<&str>, entropy: &mut Counter) -> Envelope {
        let keys = keys("00c0ffee", root);
        seal(&keys, &SEAL_KEY, &installation(), &life(), 2, entropy).expect("all lengths are sound")
    }

    fn keys(unseal_key: &str, root_token: Option<&str>) -> Keys {
        let own = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        Keys { unseal_key: own(unseal_key), root_token: root_token.map(own) }
    }

    /// An envelope that other code has sealed.
    struct Vector {
        seal_key: [u8; SEAL_KEY_BYTES],
        /// The salt is this byte and the next 31, the nonce the 12 after them.
        entropy: u8,
        /// Installation, life, generation.
        header: (&'static str, &'static str, u64),
        unseal_key: &'static str,
        root_token: Option<&'static str>,
        kid: &'static str,
        canonical: &'static str,
        ciphertext: &'static str,
    }

    const VECTORS: [Vector; 3] = [
        Vector {
            seal_key: SEAL_KEY,
            entropy: 0,
            header: ("kubefox", "0123456789abcdef", 2),
            unseal_key: "00c0ffee",
            root_token: Some("s.0123456789abcdefghijklmn"),
            kid: "c6d8b3f9d0fcc741827afa3eb9b286be",
            canonical: r#"{"version":1,"installation":"kubefox","life":"0123456789abcdef","generation":2,"kid":"c6d8b3f9d0fcc741827afa3eb9b286be","salt":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}"#,
            ciphertext: "d242c57822b1605f662321d28e48693fc16047e2e02236042c097b2b3ed751ddc07e181cd60f88c363747d57cc8b30c07eb24b0dd6d2",
        },
        Vector {
            seal_key: SEAL_KEY,
            entropy: 0,
            header: ("kubefox", "0123456789abcdef", 2),
            unseal_key: "00c0ffee",
            root_token: None,
            kid: "c6d8b3f9d0fcc741827afa3eb9b286be",
            canonical: r#"{"version":1,"installation":"kubefox","life":"0123456789abcdef","generation":2,"kid":"c6d8b3f9d0fcc741827afa3eb9b286be","salt":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}"#,
            ciphertext: "d242c57822b1605f662321c80aafe752aba1db25cc183ee871e8148b",
        },
        Vector {
            seal_key: [0xa5; SEAL_KEY_BYTES],
            entropy: 0x80,
            header: ("blue", "ffffffffffffffff", u64::MAX),
            unseal_key: "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            root_token: None,
            kid: "349c91e71783142f3495df423bab0f52",
            canonical: r#"{"version":1,"installation":"blue","life":"ffffffffffffffff","generation":18446744073709551615,"kid":"349c91e71783142f3495df423bab0f52","salt":"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"}"#,
            ciphertext: "47000b52381793058e304fe5609521bcfb3944913a39b5f6a748448eaf114428d5416b149cde498e60e626c7e12cf26907d14f2d1457745e8eeda28a583e8017cd6e3aa110d0daf54be1da776cc58be524eb2b85",
        },
    ];

    fn installation() -> Installation {
        Installation::parse("kubefox").expect("a name")
    }

    fn life() -> LifeId {
        LifeId::parse("0123456789abcdef").expect("a life id")
    }

    /// Randomness that anybody can repeat: 0, 1, 2, …
    pub(crate) struct Counter(pub(crate) u8);

    impl Entropy for Counter {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }
}
