//! Unsealing Vault with the key that the survey has just read from the disk and opened with the mounted seal key.
//!
//! ```text
//! Unsealing → AwaitingActive → survey
//!                 ^──┘ standby for a moment
//! ```

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::Outcome;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::vault::{self, Health};

/// One request to Vault.
const REMOTE_MS: u64 = 15_000;
/// Raft elects its only node within some tens of milliseconds.
const ACTIVE_PAUSE_MS: u64 = 25;

/// An unseal under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Unseal {
    /// The key was sent.
    Unsealing,
    /// The key was right; Vault is about to become active.
    AwaitingActive,
}

impl Unseal {
    pub(super) const fn begin() -> Self {
        Self::Unsealing
    }

    pub(super) fn ask(self) -> (Call, u64) {
        match self {
            Self::Unsealing => {
                (Call::Vault(vault::Call::Unseal { key: Secret::Own(Own::UnsealKey) }), REMOTE_MS)
            }
            Self::AwaitingActive => (Call::Vault(vault::Call::Health), REMOTE_MS),
        }
    }

    phases! {
        pub(super) fn phase(self) match (self) {
            Self::Unsealing => "Unseal::Unsealing",
            Self::AwaitingActive => "Unseal::AwaitingActive",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self {
            Self::Unsealing => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Unsealed)) => Turn::Ask(Self::AwaitingActive),
                Outcome::Ok(Reply::Vault(vault::Reply::WrongKey)) => Turn::Stop(Fatal::WrongVault),
                Outcome::Ok(reply) => panic!("the driver answered Unsealing with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Self::AwaitingActive => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Health(health))) => match health {
                    Health::Active => {
                        context.notices.push(Notice::Unsealed);
                        Turn::Survey
                    }
                    Health::Standby => Turn::Pause(self, ACTIVE_PAUSE_MS, Wait::VaultActive),
                    Health::Sealed | Health::Uninitialized => Turn::Wait(Wait::VaultUnsettled),
                },
                Outcome::Ok(reply) => panic!("the driver answered AwaitingActive with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
        }
    }
}
