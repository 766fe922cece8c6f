//! The generation of the envelope, kept in Vault as well: a disk that holds an older one than Vault knows of was rolled
//! back. Noticed, not prevented: the older envelope opens the same Vault.
//!
//! ```text
//! ReadingState ─> ReadingGeneration ── the disk's ──> done
//!                   ^    ├─ newer than the disk's: DiskRolledBack, or an alarm while callers are served
//!                   │    └─ older, or none ─> WritingGeneration ── written ──> done
//!                   └───── a moment later ───────┴ conflict, or nobody knows
//! ```
//!
//! It is asked with the token of the one who serves, which may read and write this one path whether or not there is a
//! token of `controller-setup`. And it is asked after the settings were made so: on a first start the engine that keeps
//! it does not exist before; and before anything is stored once: a disk that was rolled back adds nothing to Vault that
//! stays.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::looks::Looks;
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::state::{self, State};
use crate::vault;

/// A local read.
const LOCAL_MS: u64 = 2_000;
/// One request to Vault.
const REMOTE_MS: u64 = 10_000;

const SERVING: Secret = Secret::Own(Own::ControllerToken);

/// A comparison under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum CompareGeneration {
    /// What the disk says now: at a renewal the last survey may be days old.
    ReadingState,
    /// What Vault says.
    ReadingGeneration { disk: u64, looks: Looks },
    /// Vault learns of the disk's.
    WritingGeneration { disk: u64, cas: u64, looks: Looks },
}

/// What a step of [`CompareGeneration`] led to.
pub(super) enum Compared {
    /// More is to be asked.
    Turn(Turn<CompareGeneration>),
    /// Vault knows the disk's generation, or the alarm was raised.
    Done,
}

impl CompareGeneration {
    pub(super) const fn begin() -> Self {
        Self::ReadingState
    }

    pub(super) const fn ask(self) -> (Call, u64) {
        match self {
            Self::ReadingState => (Call::State(state::Call::Read), LOCAL_MS),
            Self::ReadingGeneration { disk: _, looks: _ } => {
                (Call::Vault(vault::Call::ReadGeneration { token: SERVING }), REMOTE_MS)
            }
            Self::WritingGeneration { disk, cas, looks: _ } => {
                let call = vault::Call::WriteGeneration { token: SERVING, cas, generation: disk };
                (Call::Vault(call), REMOTE_MS)
            }
        }
    }

    phases! {
        pub(super) fn phase(self) match (self) {
            Self::ReadingState => "Configure::ReadingState",
            Self::ReadingGeneration { .. } => "Configure::ReadingGeneration",
            Self::WritingGeneration { .. } => "Configure::WritingGeneration",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Compared {
        match self {
            Self::ReadingState => match outcome {
                Outcome::Ok(Reply::State(state::Reply::State(State::Envelope { generation, .. }))) => {
                    ask(Self::ReadingGeneration { disk: generation, looks: Looks::START })
                }
                // There is nothing to compare. While callers are served this is no reason to leave them: what was
                // put into the place of the envelope is the survey's to judge, at the next start.
                Outcome::Ok(Reply::State(state::Reply::State(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => {
                    if context.memory.serving {
                        context.notices.push(Notice::EnvelopeUnread);
                        Compared::Done
                    } else {
                        Compared::Turn(Turn::Wait(Wait::StateFile))
                    }
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingState with {reply:?}"),
            },
            Self::ReadingGeneration { disk, looks } => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Generation(recorded))) => {
                    if let Some(fatal) = rolled_back(disk, recorded, context) {
                        return Compared::Turn(Turn::Stop(fatal));
                    }
                    match recorded {
                        Some(recorded) if recorded.generation >= disk => Compared::Done,
                        Some(recorded) => ask(Self::WritingGeneration { disk, cas: recorded.version, looks }),
                        None => ask(Self::WritingGeneration { disk, cas: 0, looks }),
                    }
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingGeneration with {reply:?}"),
                Outcome::Refused(Refusal::NotReady) => look(disk, looks.again()),
                Outcome::Refused(_) | Outcome::Unknown(_) => wait(),
            },
            Self::WritingGeneration { disk, cas: _, looks } => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Written)) => {
                    context.notices.push(Notice::GenerationRecorded { generation: disk });
                    Compared::Done
                }
                Outcome::Ok(reply) => panic!("the driver answered WritingGeneration with {reply:?}"),
                Outcome::Refused(Refusal::Conflict | Refusal::NotReady) => look(disk, looks.again()),
                Outcome::Refused(_) => wait(),
                Outcome::Unknown(_) => look(disk, looks.in_doubt()),
            },
        }
    }
}

/// Tells if Vault knows of a newer envelope than the disk's. Whoever is not serving yet stops; callers that are being
/// served are not left for it.
pub(super) fn rolled_back(
    disk: u64,
    recorded: Option<vault::Generation>,
    context: &mut Context<'_>,
) -> Option<Fatal> {
    let recorded = recorded?.generation;
    if recorded <= disk {
        return None;
    }
    context.notices.push(Notice::RolledBack { disk, recorded });
    (!context.memory.serving).then_some(Fatal::DiskRolledBack)
}

const fn ask(next: CompareGeneration) -> Compared {
    Compared::Turn(Turn::Ask(next))
}

fn look(disk: u64, next: Option<(Looks, u64)>) -> Compared {
    Compared::Turn(match next {
        Some((looks, pause_ms)) => {
            let again = CompareGeneration::ReadingGeneration { disk, looks };
            Turn::Pause(again, pause_ms, Wait::Configuration)
        }
        None => Turn::Wait(Wait::Configuration),
    })
}

const fn wait() -> Compared {
    Compared::Turn(Turn::Wait(Wait::Configuration))
}
