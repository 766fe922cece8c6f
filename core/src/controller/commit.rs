//! Committing: the cluster learns that the envelope is durable and opens. From then on nothing of ours ever
//! initializes or recovers.
//!
//! ```text
//! Creating ── created ──> survey
//!    ├ it exists → wait, then survey
//!    └ again, and not done → the next rows, as decided when it began
//! ```

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::{Decision, Wait};
use super::turn::Turn;
use crate::kubernetes;
use crate::machine::{Outcome, Refusal};
use crate::names::LifeId;
use crate::phases::phases;

/// A write to the API server.
const REMOTE_MS: u64 = 10_000;

/// A commit under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Commit {
    life: LifeId,
    /// Only where it is made again.
    otherwise: Option<Box<Decision>>,
}

impl Commit {
    pub(super) const fn begin(life: LifeId, otherwise: Option<Box<Decision>>) -> Self {
        Self { life, otherwise }
    }

    /// What is to be told as it begins: whoever makes it again missed it.
    pub(super) fn alarm(&self) -> Option<Notice> {
        self.otherwise.is_some().then_some(Notice::CommittedMissing)
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        (Call::Kubernetes(kubernetes::Call::CreateCommitted { life: self.life.clone() }), REMOTE_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self { .. } => "Commit::Creating",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Created)) => Turn::Survey,
            Outcome::Refused(Refusal::Conflict) => Turn::Wait(Wait::Conflict),
            Outcome::Ok(reply) => panic!("the driver answered Creating with {reply:?}"),
            // Only the first commit is worth waiting for: unsealing does not need the API server.
            Outcome::Refused(_) | Outcome::Unknown(_) => match self.otherwise {
                Some(decision) => Turn::Follow(*decision),
                None => Turn::Wait(Wait::ApiServer),
            },
        }
    }
}
