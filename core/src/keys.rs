//! The keyring: keys that are made there, and secrets that are wiped there. A machine never draws a key and never holds
//! one, so both take a call of their own.

use alloc::vec::Vec;

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
    /// Wipes these slots. An empty one stays empty: doing it twice is doing it once.
    Forget {
        /// What is no longer needed.
        names: Vec<Secret>,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::MintSealKey`].
    Minted(KeyId),
    /// To [`Call::Forget`].
    Forgotten,
}
