//! Keeping the unseal key: an envelope is written, read back, and written again until it stands.
//!
//! ```text
//! Writing ── written ──> ReadingBack ── as written ──> done
//!   ^  └ not written            └ not as written
//!   └────────────┴─────────────────────┘ a pause, and an alarm
//! ```
//!
//! If what was written cannot be read back, the only copy of the unseal key is in memory. So nothing else happens
//! until it can, and no stop is obeyed meanwhile.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::names::LifeId;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::state::{self, Opened};

/// A local, durable write or read.
const LOCAL_MS: u64 = 10_000;
/// Pause before the envelope is written again as a new file.
const REWRITE_PAUSE_MS: u64 = 500;

/// The generation of the first envelope of a life.
const FIRST_GENERATION: u64 = 1;

const SEAL_KEY: Secret = Secret::Own(Own::SealKey);

/// An envelope about to be safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Keep {
    life: LifeId,
    generation: u64,
    /// Whether the root token goes in: only into the first envelope of a life.
    root: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Writing,
    ReadingBack,
}

/// What a step of [`Keep`] led to.
pub(super) enum Kept {
    /// It is not safe yet.
    Turn(Turn<Keep>),
    /// It is on the disk and opens, and the slots hold what was read back from it.
    Done,
}

impl Keep {
    /// The first envelope of a life: unseal key and root token.
    pub(super) const fn first(life: LifeId) -> Self {
        Self { life, generation: FIRST_GENERATION, root: true, step: Step::Writing }
    }

    /// The envelope that replaces the one of that generation, without root.
    pub(super) const fn without_root(life: LifeId, replaced: u64) -> Self {
        Self { life, generation: replaced + 1, root: false, step: Step::Writing }
    }

    /// Whether SIGTERM has to wait: in each step the only copy of the unseal key may be in memory.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match self.step {
            Step::Writing | Step::ReadingBack => true,
        }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let call = match self.step {
            Step::Writing => state::Call::WriteEnvelope {
                life: self.life.clone(),
                generation: self.generation,
                key: SEAL_KEY,
                root: self.root,
            },
            Step::ReadingBack => state::Call::Open { key: SEAL_KEY },
        };
        (Call::State(call), LOCAL_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self.root, self.step) {
            (true, Step::Writing) => "Initialize::WritingEnvelope",
            (true, Step::ReadingBack) => "Initialize::ReadingBack",
            (false, Step::Writing) => "SetUp::WritingEnvelope",
            (false, Step::ReadingBack) => "SetUp::ReadingBack",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Kept {
        match self.step {
            Step::Writing => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => {
                    Kept::Turn(Turn::Ask(Self { step: Step::ReadingBack, ..self }))
                }
                Outcome::Ok(reply) => panic!("the driver answered Writing with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => self.again(context),
            },
            Step::ReadingBack => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Opened(Opened::Keys { root })))
                    if root == self.root =>
                {
                    Kept::Done
                }
                Outcome::Ok(Reply::State(state::Reply::Opened(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => self.again(context),
                Outcome::Ok(reply) => panic!("the driver answered ReadingBack with {reply:?}"),
            },
        }
    }

    fn again(self, context: &mut Context<'_>) -> Kept {
        context.notices.push(Notice::EnvelopeNotWritten);
        Kept::Turn(Turn::Pause(Self { step: Step::Writing, ..self }, REWRITE_PAUSE_MS, Wait::StateWrite))
    }
}
