//! An Ed25519 signature (RFC 8032). Whether it fits what it is for is not checked here.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::names::Invalid;

/// The raw bytes of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Signature(pub [u8; 64]);

impl TryFrom<Vec<u8>> for Signature {
    type Error = Invalid;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let bytes = bytes.try_into();
        bytes.map(Self).map_err(|_| Invalid { what: "a signature", rule: "64 bytes" })
    }
}

impl From<Signature> for Vec<u8> {
    fn from(signature: Signature) -> Self {
        signature.0.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn other_lengths_are_no_signature() {
        for length in [0, 63, 65] {
            assert!(Signature::try_from(vec![7; length]).is_err(), "{length}");
        }
        let signature = Signature::try_from(vec![7; 64]);
        assert_eq!(signature, Ok(Signature([7; 64])));
        assert_eq!(signature.map(Vec::from), Ok(vec![7; 64]));
    }
}
