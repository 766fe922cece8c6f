//! The keyring: keys that are made there, tokens that are examined there, and secrets that are wiped there. A machine
//! never draws a key and never holds a secret, so each takes a call of its own.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::caller::{Examined, Signer};
use crate::names::{Csr, KeyId};
use crate::secret::Secret;

/// One request to the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// 32 bytes from the operating system.
    MintSealKey {
        /// Filled with them.
        into: Secret,
    },
    /// A P-256 key for a certificate, of the operating system's randomness.
    MintCertificateKey {
        /// Filled with it, PKCS#8 PEM.
        into: Secret,
    },
    /// Wipes these slots. An empty one stays empty: doing it twice is doing it once.
    Forget {
        /// What is no longer needed.
        names: Vec<Secret>,
    },
    /// Checks the signature of a service-account token and reads what it says. Changes nothing.
    Examine {
        /// Holds the token.
        token: Secret,
        /// Holds a token of the issuer that must have issued it.
        like: Secret,
        /// Who may have signed it.
        signers: Vec<Signer>,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::MintSealKey`].
    Minted(KeyId),
    /// To [`Call::MintCertificateKey`]: a request for a certificate on the key, which asks for nothing else.
    CertificateKey(Csr),
    /// To [`Call::Forget`].
    Forgotten,
    /// To [`Call::Examine`].
    Examined(Examined),
}
