//! Committing: the cluster learns that the envelope is durable and opens. From then on nothing of ours ever
//! initializes or recovers.
//!
//! ```text
//! Creating ── created ──> survey
//!    ├ it exists → wait, then survey
//!    └ again, and not done → the next rows
//! ```

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::{Known, Wait};
use super::turn::{Context, Turn};
use crate::kubernetes;
use crate::machine::{Outcome, Refusal};
use crate::names::LifeId;

/// A write to the API server.
const REMOTE_MS: u64 = 10_000;

/// A commit under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Commit {
    life: LifeId,
    again: bool,
}

impl Commit {
    pub(super) fn begin(life: LifeId, again: bool, context: &mut Context<'_>) -> Self {
        if again {
            context.notices.push(Notice::CommittedMissing);
        }
        Self { life, again }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        (Call::Kubernetes(kubernetes::Call::CreateCommitted { life: self.life.clone() }), REMOTE_MS)
    }

    pub(super) const fn phase(&self) -> &'static str {
        "Commit::Creating"
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Created)) => Turn::Survey,
            Outcome::Refused(Refusal::Conflict) => Turn::Wait(Wait::Conflict),
            Outcome::Ok(reply) => panic!("the driver answered Creating with {reply:?}"),
            // Only the first commit is worth waiting for: unsealing does not need the API server.
            Outcome::Refused(_) | Outcome::Unknown(_) if self.again => {
                context.memory.facts.committed = Known::Unknown;
                Turn::Decide
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::ApiServer),
        }
    }
}
