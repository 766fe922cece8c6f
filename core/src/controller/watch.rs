//! Watching over Vault while serving: one look at its seal, often.
//!
//! ```text
//! ReadingSealStatus ── unsealed, or no answer ─────────────────────────> serve
//!        └──────────── sealed, uninitialized, or no answer three times ──> survey, and nobody is served meanwhile
//! ```
//!
//! One lost answer is no reason to turn callers away: their own requests say soon enough whether Vault is there.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::phases::phases;
use crate::vault::{self, SealStatus};

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

    phases! {
        pub(super) fn phase(self) match (self) {
            Self::ReadingSealStatus => "Watch::ReadingSealStatus",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        let open = match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::SealStatus(status))) => Some(is_open(&status)),
            Outcome::Ok(reply) => panic!("the driver answered {self:?} with {reply:?}"),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        };
        context.memory.looked_at_seal(open);
        if context.memory.serving { Turn::Serve } else { Turn::Survey }
    }
}

/// Whether a Vault that says this of itself can serve.
pub(super) const fn is_open(status: &SealStatus) -> bool {
    status.initialized && !status.sealed
}
