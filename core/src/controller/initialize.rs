//! Initializing Vault: its one answer holds the only copy of the unseal key, so everything that can be tried before is
//! tried before, and nothing else happens until the envelope is durable.
//!
//! ```text
//! Rehearsing → WritingSent → Initializing ─ the keys ──────────→ WritingEnvelope → ReadingBack → survey
//!                                 │                                  ^    │             │
//!                                 ├ already, and we sent only one     └────┴─ not written or not as written: again
//!                                 │     └→ WritingForeign → ForeignInit
//!                                 ├ half-initialized → HalfInitialized
//!                                 └ any doubt → wait, then survey
//! ```

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::Outcome;
use crate::names::LifeId;
use crate::secret::{Own, Secret};
use crate::state::{self, Opened};
use crate::vault;

/// A local, durable write or read.
const LOCAL_MS: u64 = 10_000;
/// On raft storage an initialization takes 5 to 9 s when the machine is busy, and its answer is precious.
const INITIALIZE_MS: u64 = 120_000;
/// Pause before the envelope is written again as a new file.
const REWRITE_PAUSE_MS: u64 = 500;

/// The generation of the first envelope of a life.
const FIRST_GENERATION: u64 = 1;

/// An initialization under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Initialize {
    step: Step,
    life: LifeId,
    attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Rehearsing,
    WritingSent,
    Initializing,
    WritingForeign,
    WritingEnvelope,
    ReadingBack,
}

impl Initialize {
    pub(super) fn begin(life: LifeId, attempt: u32) -> Self {
        Self { step: Step::Rehearsing, life, attempt }
    }

    /// Whether SIGTERM has to wait: from the moment the request may leave until its answer is safe on the disk, be it
    /// the only copy of the unseal key or that somebody else was first.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match self.step {
            Step::Rehearsing => false,
            Step::WritingSent
            | Step::Initializing
            | Step::WritingForeign
            | Step::WritingEnvelope
            | Step::ReadingBack => true,
        }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let life = self.life.clone();
        let key = Secret::Own(Own::SealKey);
        match self.step {
            Step::Rehearsing => (Call::State(state::Call::Rehearse), LOCAL_MS),
            Step::WritingSent => {
                (Call::State(state::Call::WriteSent { life, attempt: self.attempt }), LOCAL_MS)
            }
            Step::Initializing => (Call::Vault(vault::Call::Initialize), INITIALIZE_MS),
            Step::WritingForeign => (Call::State(state::Call::WriteForeign { life }), LOCAL_MS),
            Step::WritingEnvelope => {
                let generation = FIRST_GENERATION;
                (Call::State(state::Call::WriteEnvelope { life, generation, key, root: true }), LOCAL_MS)
            }
            Step::ReadingBack => (Call::State(state::Call::Open { key }), LOCAL_MS),
        }
    }

    pub(super) const fn phase(&self) -> &'static str {
        match self.step {
            Step::Rehearsing => "Initialize::Rehearsing",
            Step::WritingSent => "Initialize::WritingSent",
            Step::Initializing => "Initialize::Initializing",
            Step::WritingForeign => "Initialize::WritingForeign",
            Step::WritingEnvelope => "Initialize::WritingEnvelope",
            Step::ReadingBack => "Initialize::ReadingBack",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self.step {
            Step::Rehearsing => self.written(outcome, Step::WritingSent),
            Step::WritingSent => self.written(outcome, Step::Initializing),
            Step::Initializing => self.initialized(outcome),
            Step::WritingForeign => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Stop(Fatal::ForeignInit),
                Outcome::Ok(reply) => panic!("the driver answered WritingForeign with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => {
                    Turn::Pause(self, REWRITE_PAUSE_MS, Wait::StateWrite)
                }
            },
            Step::WritingEnvelope => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => {
                    Turn::Ask(Self { step: Step::ReadingBack, ..self })
                }
                Outcome::Ok(reply) => panic!("the driver answered WritingEnvelope with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => self.write_again(context),
            },
            // Opening refills the slots from the disk: from here on the keys are those that were read back.
            Step::ReadingBack => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Opened(Opened::Keys { root: true }))) => {
                    context.notices.push(Notice::Initialized { life: self.life });
                    Turn::Survey
                }
                Outcome::Ok(Reply::State(state::Reply::Opened(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => self.write_again(context),
                Outcome::Ok(reply) => panic!("the driver answered ReadingBack with {reply:?}"),
            },
        }
    }

    fn written(self, outcome: Outcome<Reply>, next: Step) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Ask(Self { step: next, ..self }),
            Outcome::Ok(reply) => panic!("the driver answered {:?} with {reply:?}", self.step),
            Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::StateWrite),
        }
    }

    fn initialized(self, outcome: Outcome<Reply>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Initialized)) => {
                Turn::Ask(Self { step: Step::WritingEnvelope, ..self })
            }
            // Attempt 1 means that no request of ours can have been applied before this one: it was somebody else.
            Outcome::Ok(Reply::Vault(vault::Reply::AlreadyInitialized)) if self.attempt == 1 => {
                Turn::Ask(Self { step: Step::WritingForeign, ..self })
            }
            Outcome::Ok(Reply::Vault(vault::Reply::AlreadyInitialized)) => Turn::Wait(Wait::VaultUnsettled),
            Outcome::Ok(Reply::Vault(vault::Reply::HalfInitialized)) => Turn::Stop(Fatal::HalfInitialized),
            Outcome::Ok(reply) => panic!("the driver answered Initializing with {reply:?}"),
            Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
        }
    }

    fn write_again(self, context: &mut Context<'_>) -> Turn<Self> {
        context.notices.push(Notice::EnvelopeNotWritten);
        Turn::Pause(Self { step: Step::WritingEnvelope, ..self }, REWRITE_PAUSE_MS, Wait::StateWrite)
    }
}
