//! The format of `boot.state`: JSON that a person can read, and one text only for what it says.
//!
//! ```text
//! {
//!   "state": "Envelope",
//!   "version": 1,
//!   "installation": "kubefox",
//!   "life": "0123456789abcdef",
//!   "generation": 2,
//!   "kid": "…32 hexadecimal digits…",
//!   "salt": "…base64…",
//!   "nonce": "…base64…",
//!   "ciphertext": "…base64…",
//!   "sha256": "…64 hexadecimal digits…"
//! }
//! ```
//!
//! A file that is not, byte for byte, what would be written for what it says is corrupt: unknown members,
//! another version, other white space, a lost last byte.
//!
//! The last member is the digest of every byte before its line. It is no seal: whoever can write the file can write
//! a digest. It is there because nothing else protects an intent, and because a disk that has lost a bit must be called
//! that, and not another life, another seal key or another installation, whose remedies would be wrong.

use data_encoding::{BASE64, HEXLOWER};
use kubefox_core::names::{Installation, KeyId, LifeId, Uid};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::adapter::envelope::{Envelope, Header, NONCE_BYTES, SALT_BYTES, VERSION};

/// What `boot.state` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BootState {
    /// An initialization is about to begin.
    Intent {
        /// The installation it belongs to.
        installation: Installation,
        /// Its life.
        life: LifeId,
    },
    /// The request to initialize is about to leave.
    Sent {
        /// The installation it belongs to.
        installation: Installation,
        /// Its life.
        life: LifeId,
        /// Which attempt.
        attempt: u32,
        /// How often Vault's data was moved aside.
        recoveries: u32,
    },
    /// Vault's data is to be moved aside.
    Recover {
        /// The installation it belongs to.
        installation: Installation,
        /// Its life.
        life: LifeId,
        /// Which attempt was interrupted.
        attempt: u32,
        /// How often Vault's data was moved aside before.
        recoveries: u32,
        /// The pod that marked it.
        pod: Uid,
    },
    /// Somebody else initialized this Vault.
    Foreign {
        /// The installation it belongs to.
        installation: Installation,
        /// The life that was not to be.
        life: LifeId,
    },
    /// The unseal key is safe.
    Envelope(Envelope),
}

/// Why a file says nothing to this installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no `boot.state`.
    Corrupt,
    /// It is another installation's.
    OtherInstallation,
}

/// The file as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state", deny_unknown_fields)]
enum Written {
    Intent {
        version: u32,
        installation: Installation,
        life: LifeId,
    },
    Sent {
        version: u32,
        installation: Installation,
        life: LifeId,
        attempt: u32,
        recoveries: u32,
    },
    Recover {
        version: u32,
        installation: Installation,
        life: LifeId,
        attempt: u32,
        recoveries: u32,
        pod: Uid,
    },
    Foreign {
        version: u32,
        installation: Installation,
        life: LifeId,
    },
    Envelope {
        version: u32,
        installation: Installation,
        life: LifeId,
        generation: u64,
        kid: KeyId,
        salt: String,
        nonce: String,
        ciphertext: String,
    },
}

/// How the JSON of the other members ends, before the digest is put in.
const END: &[u8] = b"\n}";
/// The length of what [`last_member`] gives.
const LAST_MEMBER_BYTES: usize = ",\n  \"sha256\": \"\"\n}\n".len() + 2 * 32;

/// What follows the other members, up to the end of the file.
fn last_member(members: &[u8]) -> String {
    format!(",\n  \"sha256\": \"{}\"\n}}\n", HEXLOWER.encode(&Sha256::digest(members)))
}

impl BootState {
    /// The file's content.
    pub(super) fn render(&self) -> Vec<u8> {
        let version = VERSION;
        let written = match self.clone() {
            Self::Intent { installation, life } => Written::Intent { version, installation, life },
            Self::Sent { installation, life, attempt, recoveries } => {
                Written::Sent { version, installation, life, attempt, recoveries }
            }
            Self::Recover { installation, life, attempt, recoveries, pod } => {
                Written::Recover { version, installation, life, attempt, recoveries, pod }
            }
            Self::Foreign { installation, life } => Written::Foreign { version, installation, life },
            Self::Envelope(Envelope { header, nonce, ciphertext }) => Written::Envelope {
                version,
                installation: header.installation,
                life: header.life,
                generation: header.generation,
                kid: header.key,
                salt: BASE64.encode(&header.salt),
                nonce: BASE64.encode(&nonce),
                ciphertext: BASE64.encode(&ciphertext),
            },
        };
        let mut bytes = serde_json::to_vec_pretty(&written).expect("text and numbers are JSON");
        bytes.truncate(bytes.len() - END.len());
        let last = last_member(&bytes);
        [bytes, last.into_bytes()].concat()
    }

    /// Reads what [`Self::render`] wrote, and nothing else.
    pub(super) fn parse(bytes: &[u8], ours: &Installation) -> Result<Self, Unreadable> {
        let members = bytes.len().checked_sub(LAST_MEMBER_BYTES).map(|end| bytes.split_at(end));
        let Some((members, _)) = members.filter(|(members, last)| last_member(members).as_bytes() == *last)
        else {
            return Err(Unreadable::Corrupt);
        };
        let json = [members, END].concat();
        let written: Written = serde_json::from_slice(&json).map_err(|_| Unreadable::Corrupt)?;
        let state = Self::from_written(written).ok_or(Unreadable::Corrupt)?;
        if state.render() != bytes {
            return Err(Unreadable::Corrupt);
        }
        if state.installation() != ours {
            return Err(Unreadable::OtherInstallation);
        }
        Ok(state)
    }

    fn from_written(written: Written) -> Option<Self> {
        match written {
            Written::Intent { version: VERSION, installation, life } => {
                Some(Self::Intent { installation, life })
            }
            Written::Sent { version: VERSION, installation, life, attempt, recoveries } => {
                Some(Self::Sent { installation, life, attempt, recoveries })
            }
            Written::Recover { version: VERSION, installation, life, attempt, recoveries, pod } => {
                Some(Self::Recover { installation, life, attempt, recoveries, pod })
            }
            Written::Foreign { version: VERSION, installation, life } => {
                Some(Self::Foreign { installation, life })
            }
            Written::Envelope {
                version: VERSION,
                installation,
                life,
                generation,
                kid,
                salt,
                nonce,
                ciphertext,
            } => {
                let bytes = |text: String| BASE64.decode(text.as_bytes()).ok();
                let salt: [u8; SALT_BYTES] = bytes(salt)?.try_into().ok()?;
                let nonce: [u8; NONCE_BYTES] = bytes(nonce)?.try_into().ok()?;
                let ciphertext = bytes(ciphertext)?;
                let header = Header { installation, life, generation, key: kid, salt };
                Some(Self::Envelope(Envelope { header, nonce, ciphertext }))
            }
            Written::Intent { .. }
            | Written::Sent { .. }
            | Written::Recover { .. }
            | Written::Foreign { .. }
            | Written::Envelope { .. } => None,
        }
    }

    const fn installation(&self) -> &Installation {
        match self {
            Self::Intent { installation, .. }
            | Self::Sent { installation, .. }
            | Self::Recover { installation, .. }
            | Self::Foreign { installation, .. } => installation,
            Self::Envelope(envelope) => &envelope.header.installation,
        }
    }
}
