//! Keys that are made here, by a call of their own: a machine never draws one.

use serde::{Deserialize, Serialize};

use crate::names::KeyId;
use crate::secret::Secret;

/// One request to the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// 32 bytes from the operating system.
    MintSealKey {
        /// Filled with them.
        into: Secret,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::MintSealKey`].
    Minted(KeyId),
}
