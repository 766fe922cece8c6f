//! Public keys of NATS (nkeys): an Ed25519 key with a prefix that says whose it is and a checksum, in base32.
//!
//! Layout: prefix byte, 32 bytes of key, CRC-16/XMODEM of both in little endian; 56 characters without padding
//! (<https://github.com/nats-io/nkeys>).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::{BASE32_NOPAD, BASE64};
use serde::{Deserialize, Serialize};

use crate::names::Invalid;
use crate::vault::NatsKey;

const RAW_LEN: usize = 32;
const DECODED_LEN: usize = 1 + RAW_LEN + 2;
const TEXT_LEN: usize = 56;

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Prefix {
    /// Begins with `O`.
    Operator,
    /// Begins with `A`; signing keys of an account are of this kind too.
    Account,
    /// Begins with `U`.
    User,
}

impl Prefix {
    const ALL: [Self; 3] = [Self::Operator, Self::Account, Self::User];

    /// The kind of public key that belongs to a transit key.
    #[must_use]
    pub const fn of(key: &NatsKey) -> Self {
        match key {
            NatsKey::Operator => Self::Operator,
            NatsKey::SystemAccount | NatsKey::PlatformAccount | NatsKey::PlatformSigner => Self::Account,
            NatsKey::User(_) => Self::User,
        }
    }

    /// The byte in front of the key: its upper five bits are the first letter of the text.
    const fn byte(self) -> u8 {
        match self {
            Self::Operator => 14 << 3,
            Self::Account => 0,
            Self::User => 20 << 3,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Operator => "the public key of a NATS operator",
            Self::Account => "the public key of a NATS account",
            Self::User => "the public key of a NATS user",
        }
    }
}

/// The public key of an operator, an account or a user. There is exactly one text for each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

impl PublicKey {
    /// Writes a raw Ed25519 public key as an nkey.
    #[must_use]
    pub fn encode(prefix: Prefix, raw: &[u8; RAW_LEN]) -> Self {
        let mut bytes = Vec::with_capacity(DECODED_LEN);
        bytes.push(prefix.byte());
        bytes.extend_from_slice(raw);
        let checksum = crc16(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Self(BASE32_NOPAD.encode(&bytes))
    }

    /// Writes a public key as Vault's transit engine tells it: standard base64 of 32 bytes.
    ///
    /// # Errors
    /// [`Invalid`] if it is anything else.
    pub fn from_base64(prefix: Prefix, text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "32 bytes in standard base64";
        let invalid = Invalid { what: prefix.what(), rule: RULE };
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| invalid.clone())?;
        let raw = bytes.as_slice().try_into().map_err(|_| invalid)?;
        Ok(Self::encode(prefix, raw))
    }

    /// Parses the text of an operator's, an account's or a user's key.
    ///
    /// # Errors
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        const WHAT: &str = "a NATS public key";
        let invalid = |rule| Invalid { what: WHAT, rule };
        if text.len() != TEXT_LEN {
            return Err(invalid("56 characters"));
        }
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| invalid("A-Z and 2-7 only"))?;
        let (body, checksum) = bytes.split_at(DECODED_LEN - 2);
        if crc16(body).to_le_bytes() != checksum {
            return Err(invalid("the checksum must fit"));
        }
        if !Prefix::ALL.iter().any(|prefix| prefix.byte() == body[0]) {
            return Err(invalid("the key of an operator, an account or a user"));
        }
        Ok(Self(String::from(text)))
    }

    /// Parses the text of a key of one kind.
    ///
    /// # Errors
    /// [`Invalid`] if it is no key, or the key of another kind.
    pub fn parse_as(prefix: Prefix, text: &str) -> Result<Self, Invalid> {
        let key = Self::parse(text)?;
        if key.prefix() != prefix {
            return Err(Invalid { what: prefix.what(), rule: "the first letter must be of that kind" });
        }
        Ok(key)
    }

    /// Whose key it is.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        match self.0.as_bytes()[0] {
            b'O' => Prefix::Operator,
            b'A' => Prefix::Account,
            _ => Prefix::User,
        }
    }

    /// The raw Ed25519 public key.
    #[must_use]
    pub fn raw(&self) -> [u8; RAW_LEN] {
        let bytes = BASE32_NOPAD.decode(self.0.as_bytes()).expect("only base32 becomes a PublicKey");
        bytes[1..=RAW_LEN].try_into().expect("56 characters of base32 are 35 bytes")
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for PublicKey {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.0
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, most significant bit first.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use nkeys::{KeyPair, KeyPairType};
    use proptest::prelude::*;

    use super::*;
    use crate::names::Identity;

    proptest! {
        // Each case makes three key pairs, which is slow without optimization.
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_key_is_written_as_the_official_library_writes_it(seed in any::<[u8; 32]>()) {
            for (prefix, kind) in [
                (Prefix::Operator, KeyPairType::Operator),
                (Prefix::Account, KeyPairType::Account),
                (Prefix::User, KeyPairType::User),
            ] {
                let pair = KeyPair::new_from_raw(kind, seed).expect("any 32 bytes are a seed");

                let parsed = PublicKey::parse_as(prefix, &pair.public_key()).expect("the library wrote it");

                prop_assert_eq!(PublicKey::encode(prefix, &parsed.raw()), parsed);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_back(raw in any::<[u8; 32]>()) {
            for prefix in Prefix::ALL {
                let key = PublicKey::encode(prefix, &raw);

                prop_assert_eq!(key.raw(), raw);
                prop_assert_eq!(key.prefix(), prefix);
                prop_assert_eq!(PublicKey::parse(key.as_str()), Ok(key.clone()));
                prop_assert_eq!(PublicKey::from_base64(prefix, &BASE64.encode(&raw)), Ok(key));
            }
        }

        #[test]
        fn one_changed_character_is_noticed(raw in any::<[u8; 32]>(), at in 0..TEXT_LEN, by in 1..32_u8) {
            let mut text = PublicKey::encode(Prefix::User, &raw).as_str().as_bytes().to_vec();
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
            let index = alphabet.iter().position(|b| *b == text[at]).expect("base32");
            text[at] = alphabet[(index + usize::from(by)) % alphabet.len()];

            let text = String::from_utf8(text).expect("ASCII");

            prop_assert!(PublicKey::parse(&text).is_err());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            if let Ok(key) = PublicKey::parse(&text) {
                prop_assert_eq!(key.as_str(), text);
            }
        }
    }

    #[test]
    fn a_broken_key_is_refused_by_the_rule_it_breaks() {
        let refused = |text: &str| PublicKey::parse(text).map_err(|invalid| invalid.rule);
        let good = PublicKey::encode(Prefix::User, &[7; 32]).to_string();

        assert_eq!(refused(""), Err("56 characters"));
        assert_eq!(refused(&good[1..]), Err("56 characters"));
        assert_eq!(refused(&alloc::format!("{good}=")), Err("56 characters"));
        assert_eq!(refused(&good.to_lowercase()), Err("A-Z and 2-7 only"));
        assert_eq!(refused(&alloc::format!("{}\n", &good[1..])), Err("A-Z and 2-7 only"));
        assert_eq!(refused(&alloc::format!("O{}", &good[1..])), Err("the checksum must fit"));
        let server = KeyPair::new_from_raw(KeyPairType::Server, [7; 32]).expect("a seed").public_key();
        assert_eq!(refused(&server), Err("the key of an operator, an account or a user"));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let account = PublicKey::encode(Prefix::Account, &[7; 32]);
        assert_eq!(
            PublicKey::parse_as(Prefix::User, account.as_str()),
            Err(Invalid {
                what: "the public key of a NATS user",
                rule: "the first letter must be of that kind"
            })
        );
        assert!(PublicKey::from_base64(Prefix::User, "AAAA").is_err());
        assert!(PublicKey::from_base64(Prefix::User, "not base64").is_err());
    }

    #[test]
    fn a_stored_key_is_parsed_again_when_it_is_read() {
        let key = PublicKey::encode(Prefix::Account, &[7; 32]);
        let json = serde_json::to_string(&key).expect("a text");
        assert_eq!(serde_json::from_str::<PublicKey>(&json).expect("a key"), key);
        assert!(serde_json::from_str::<PublicKey>("\"A\"").is_err());
    }

    #[test]
    fn a_signing_key_is_an_account_key() {
        let user = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
        assert_eq!(Prefix::of(&NatsKey::Operator), Prefix::Operator);
        assert_eq!(Prefix::of(&NatsKey::PlatformSigner), Prefix::Account);
        assert_eq!(Prefix::of(&NatsKey::User(user)), Prefix::User);
    }
}
