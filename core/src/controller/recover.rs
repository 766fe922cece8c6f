//! Recovering an interrupted initialization: its key is nowhere, so Vault's data is worth nothing, and Vault starts over.
//!
//! ```text
//! row 11, Sent ────> WritingMark ─> survey        the next pod may move Vault's data aside
//! row 11, Recover ─> DeletingPod ─> wait          SIGTERM comes; if it does not, survey, and delete again
//! ```
//!
//! Moving the data aside needs a moment at which no Vault runs on it: the new pod's first init container does it
//! ([`crate::quarantine`]), and writes `Sent` again, so that the mark is gone before Vault starts. The mark names the pod
//! that made it: a later pod that finds it knows that nothing was moved. Nothing here touches Vault or its data.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::kubernetes::{self, Pod};
use crate::machine::Outcome;
use crate::names::LifeId;
use crate::phases::phases;
use crate::state;

/// A local, durable write.
const LOCAL_MS: u64 = 10_000;
/// A write to the API server.
const REMOTE_MS: u64 = 10_000;

/// A recovery under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Recover {
    WritingMark { life: LifeId, attempt: u32, recoveries: u32 },
    DeletingPod,
}

impl Recover {
    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        let uid = context.config.recover_interrupted_init.clone();
        let uid = uid.expect("the table recovers only where the operator gave the pod's uid");
        match self {
            Self::WritingMark { life, attempt, recoveries } => {
                let (life, attempt, recoveries) = (life.clone(), *attempt, *recoveries);
                let mark = state::Call::WriteRecover { life, attempt, recoveries, pod: uid };
                (Call::State(mark), LOCAL_MS)
            }
            Self::DeletingPod => {
                let pod = Pod { name: context.config.pod.clone(), uid };
                (Call::Kubernetes(kubernetes::Call::DeletePod { pod }), REMOTE_MS)
            }
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self::WritingMark { .. } => "Recover::WritingMark",
            Self::DeletingPod => "Recover::DeletingPod",
        }
    }

    pub(super) const fn waits_for(&self) -> &'static str {
        match self {
            Self::WritingMark { .. } => {
                "waiting for the state directory to take the mark that Vault's data is to be moved aside"
            }
            Self::DeletingPod => {
                "waiting for the cluster to delete this pod, so that the next one starts over"
            }
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>) -> Turn<Self> {
        match self {
            Self::WritingMark { .. } => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Survey,
                Outcome::Ok(reply) => panic!("the driver answered WritingMark with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::StateWrite),
            },
            Self::DeletingPod => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::PodDeleted)) => Turn::Wait(Wait::OwnPod),
                Outcome::Ok(reply) => panic!("the driver answered DeletingPod with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::ApiServer),
            },
        }
    }
}
