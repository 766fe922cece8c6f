//! Watching over Vault while serving: one look at its seal, often.
//!
//! ```text
//! ReadingSealStatus ── unsealed ──> serve
//!        └──────────── anything else ──> survey
//! ```

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::vault;

/// One request to Vault.
const REMOTE_MS: u64 = 5_000;

/// How often Vault's seal is looked at.
pub(super) const WATCH_MS: u64 = 2_000;

/// A look under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Watch {
    /// The only question.
    ReadingSealStatus,
}

impl Watch {
    pub(super) fn ask(self) -> (Call, u64) {
        match self {
            Self::ReadingSealStatus => (Call::Vault(vault::Call::SealStatus), REMOTE_MS),
        }
    }

    pub(super) const fn phase(self) -> &'static str {
        match self {
            Self::ReadingSealStatus => "Watch::ReadingSealStatus",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::SealStatus(status)))
                if status.initialized && !status.sealed =>
            {
                Turn::Serve
            }
            Outcome::Ok(Reply::Vault(vault::Reply::SealStatus(_)))
            | Outcome::Refused(_)
            | Outcome::Unknown(_) => {
                context.memory.serving = false;
                Turn::Survey
            }
            Outcome::Ok(reply) => panic!("the driver answered {self:?} with {reply:?}"),
        }
    }
}
