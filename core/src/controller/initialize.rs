//! Initializing Vault: its one answer holds the only copy of the unseal key, so everything that can be tried before is
//! tried before, and nothing else happens until the envelope is durable.
//!
//! ```text
//! Rehearsing → WritingSent → Initializing ─ the keys ──> Keeping (`keep.rs`) → survey
//!                                 ├ already, and we sent only one
//!                                 │     └→ WritingForeign → ForeignInit
//!                                 ├ half-initialized → row 11 of the boot table
//!                                 └ any doubt → wait, then survey
//! ```

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::keep::{Keep, Kept};
use super::table::{Wait, half_initialized};
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::Outcome;
use crate::names::LifeId;
use crate::phases::phases;
use crate::{state, vault};

/// A local, durable write or read.
const LOCAL_MS: u64 = 10_000;
/// On raft storage an initialization takes 5 to 9 s when the machine is busy, and its answer is precious.
const INITIALIZE_MS: u64 = 120_000;
/// Pause before it is recorded again that somebody else was first.
const REWRITE_PAUSE_MS: u64 = 500;

/// An initialization under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Initialize {
    step: Step,
    life: LifeId,
    attempt: u32,
    recoveries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Rehearsing,
    WritingSent,
    Initializing,
    WritingForeign,
    Keeping(Keep),
}

impl Initialize {
    pub(super) const fn begin(life: LifeId, attempt: u32, recoveries: u32) -> Self {
        Self { step: Step::Rehearsing, life, attempt, recoveries }
    }

    /// Whether SIGTERM has to wait: from the moment the request may leave until its answer is safe on the disk, be it
    /// the only copy of the unseal key or that somebody else was first.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match &self.step {
            Step::Rehearsing => false,
            Step::WritingSent | Step::Initializing | Step::WritingForeign => true,
            Step::Keeping(keep) => keep.must_not_be_cut_short(),
        }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let life = self.life.clone();
        match &self.step {
            Step::Rehearsing => (Call::State(state::Call::Rehearse), LOCAL_MS),
            Step::WritingSent => {
                let (attempt, recoveries) = (self.attempt, self.recoveries);
                (Call::State(state::Call::WriteSent { life, attempt, recoveries }), LOCAL_MS)
            }
            Step::Initializing => (Call::Vault(vault::Call::Initialize), INITIALIZE_MS),
            Step::WritingForeign => (Call::State(state::Call::WriteForeign { life }), LOCAL_MS),
            Step::Keeping(keep) => keep.ask(),
        }
    }

    phases! {
        pub(super) fn phase(&self) match (&self.step) {
            Step::Rehearsing => "Initialize::Rehearsing",
            Step::WritingSent => "Initialize::WritingSent",
            Step::Initializing => "Initialize::Initializing",
            Step::WritingForeign => "Initialize::WritingForeign",
            Step::Keeping(keep) => Keep(keep),
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self.step.clone() {
            Step::Rehearsing => self.written(outcome, Step::WritingSent),
            Step::WritingSent => self.written(outcome, Step::Initializing),
            Step::Initializing => self.initialized(outcome, context),
            Step::WritingForeign => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Stop(Fatal::ForeignInit),
                Outcome::Ok(reply) => panic!("the driver answered WritingForeign with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => {
                    Turn::Pause(self, REWRITE_PAUSE_MS, Wait::StateWrite)
                }
            },
            Step::Keeping(keep) => match keep.done(outcome, context) {
                Kept::Turn(turn) => turn.map(|keep| Self { step: Step::Keeping(keep), ..self }),
                Kept::Done => {
                    context.notices.push(Notice::Initialized { life: self.life });
                    Turn::Survey
                }
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

    fn initialized(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Initialized)) => {
                Turn::Ask(Self { step: Step::Keeping(Keep::first(self.life.clone())), ..self })
            }
            // Attempt 1 means that no request of ours can have been applied before this one: it was somebody else.
            Outcome::Ok(Reply::Vault(vault::Reply::AlreadyInitialized)) if self.attempt == 1 => {
                Turn::Ask(Self { step: Step::WritingForeign, ..self })
            }
            Outcome::Ok(Reply::Vault(vault::Reply::AlreadyInitialized)) => Turn::Wait(Wait::VaultUnsettled),
            // Only this answer tells it: until it is asked, such a Vault says that it is uninitialized.
            Outcome::Ok(Reply::Vault(vault::Reply::HalfInitialized)) => {
                let recover = context.config.recover_interrupted_init.as_ref();
                Turn::Follow(half_initialized(self.life, self.attempt, self.recoveries, recover))
            }
            Outcome::Ok(reply) => panic!("the driver answered Initializing with {reply:?}"),
            Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
        }
    }
}
