//! Creating the seal key: minted here, stored in the cluster, and only what the cluster and the mount show counts.
//!
//! ```text
//! Rehearsing → Minting → Creating ── created ──> survey
//!                               └ it exists ──> wait, then survey
//! ```
//!
//! Whether the create was ours, somebody else's, late or lost makes no difference: the next survey compares the life
//! id and the key's id of the stored Secret with the mount, and the envelope is sealed under that key alone.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::machine::{Outcome, Refusal};
use crate::names::LifeId;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::{keys, kubernetes, state};

/// A local, durable write.
const WRITE_MS: u64 = 10_000;
/// A key from the operating system.
const MINT_MS: u64 = 1_000;
/// A write to the API server.
const REMOTE_MS: u64 = 10_000;

/// A seal key about to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct CreateKey {
    step: Step,
    life: LifeId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Rehearsing,
    Minting,
    Creating,
}

impl CreateKey {
    pub(super) fn begin(life: LifeId) -> Self {
        Self { step: Step::Rehearsing, life }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let key = Secret::Own(Own::MintedSealKey);
        match self.step {
            Step::Rehearsing => (Call::State(state::Call::Rehearse), WRITE_MS),
            Step::Minting => (Call::Keys(keys::Call::MintSealKey { into: key }), MINT_MS),
            Step::Creating => (
                Call::Kubernetes(kubernetes::Call::CreateSealKey { life: self.life.clone(), key }),
                REMOTE_MS,
            ),
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self.step) {
            Step::Rehearsing => "CreateKey::Rehearsing",
            Step::Minting => "CreateKey::Minting",
            Step::Creating => "CreateKey::Creating",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, _context: &mut Context<'_>) -> Turn<Self> {
        match self.step {
            Step::Rehearsing => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => {
                    Turn::Ask(Self { step: Step::Minting, ..self })
                }
                Outcome::Ok(reply) => panic!("the driver answered Rehearsing with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::StateWrite),
            },
            Step::Minting => match outcome {
                Outcome::Ok(Reply::Keys(keys::Reply::Minted(_))) => {
                    Turn::Ask(Self { step: Step::Creating, ..self })
                }
                Outcome::Ok(reply) => panic!("the driver answered Minting with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Keyring),
            },
            Step::Creating => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Created)) => Turn::Survey,
                Outcome::Refused(Refusal::Conflict) => Turn::Wait(Wait::Conflict),
                Outcome::Ok(reply) => panic!("the driver answered Creating with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::ApiServer),
            },
        }
    }
}
