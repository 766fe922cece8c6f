//! Mounted volumes: tokens, the seal key, the controller's certificates, and the shared volume of a pod.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::kubernetes::Trust;
use crate::names::KeyId;
use crate::secret::{Piece, Secret};
use crate::time::Unix;

/// One operation on a mounted volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// Reads a projected service-account token.
    ReadToken {
        /// Which one.
        token: Token,
        /// Filled with it.
        into: Secret,
    },
    /// Reads the seal key from its Secret volume.
    ReadSealKey {
        /// Filled with it.
        into: Secret,
    },
    /// Reads `tls.crt` and `ca.crt` of the Secret `kubefox-trust`, and checks that one signed the other.
    ReadTrust,
    /// Replaces the files of the shared volume as one: whoever reads sees all of the old or all of the new. Doing it
    /// twice is doing it once.
    WriteBundle {
        /// The files, by name.
        files: Vec<File>,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::ReadToken`].
    Token(TokenFile),
    /// To [`Call::ReadSealKey`].
    SealKey(SealKeyFile),
    /// To [`Call::ReadTrust`].
    Trust(TrustFiles),
    /// To [`Call::WriteBundle`].
    Written,
}

/// The projected tokens of a pod, by file name in its service-account directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Token {
    /// `token`: for the Kubernetes API.
    Api,
    /// `vault`: audience `kubefox-vault`.
    Vault,
    /// `setup`: audience `kubefox-setup`.
    Setup,
    /// `kubefox`: audience `kubefox.<installation>`.
    Caller,
}

impl Token {
    /// The file name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Api => "token",
            Self::Vault => "vault",
            Self::Setup => "setup",
            Self::Caller => "kubefox",
        }
    }
}

/// What a token file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenFile {
    /// A token: the slot is filled.
    Read,
    /// No file.
    Missing,
    /// A file without content.
    Empty,
    /// Content that is not three base64url parts joined by dots, or more than 8 KiB of it.
    Malformed,
}

/// What the seal key's volume holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SealKeyFile {
    /// A key of 32 bytes: the slot is filled.
    Present(KeyId),
    /// No file: the Secret does not exist, or the volume is late.
    Absent,
    /// Content that is not 32 bytes.
    Malformed,
}

/// What the trust volume holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrustFiles {
    /// Both certificates, one signed by the other.
    Read(MountedTrust),
    /// One is not there.
    Missing(TrustFile),
    /// One is not a certificate in PEM.
    NotPem(TrustFile),
    /// `tls.crt` was not signed by `ca.crt`.
    OtherAuthority,
}

/// One of the two files of the trust volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrustFile {
    /// `tls.crt`.
    Certificate,
    /// `ca.crt`.
    Authority,
}

/// The controller's certificates with the span in which both are valid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MountedTrust {
    /// Both certificates.
    pub trust: Trust,
    /// Neither is valid before.
    pub not_before: Unix,
    /// One of them is not valid after.
    pub not_after: Unix,
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Its name within the volume.
    pub name: String,
    /// Its content, assembled when it is written. Mode 0640 if it holds a secret, else 0644.
    pub content: Vec<Piece>,
}
