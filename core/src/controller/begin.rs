//! Beginning a life: the intent is written before anything exists that belongs to it.
//!
//! ```text
//! WritingIntent → survey
//! ```

use alloc::format;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::machine::{Outcome, Seed};
use crate::names::LifeId;
use crate::phases::phases;
use crate::retry::{Stream, draw};
use crate::state;

/// A local, durable write.
const WRITE_MS: u64 = 10_000;

/// A life about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Begin {
    life: LifeId,
}

impl Begin {
    /// Draws a life id. It is random and not secret; two lives never share one.
    pub(super) fn with_random_id(seed: Seed) -> Self {
        let digits = format!("{:016x}", draw(seed, Stream::LifeId, 0));
        Self { life: LifeId::parse(&digits).expect("sixteen hexadecimal digits are a life id") }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        (Call::State(state::Call::WriteIntent { life: self.life.clone() }), WRITE_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self { .. } => "Begin::WritingIntent",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, _context: &mut Context<'_>) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Survey,
            Outcome::Ok(reply) => panic!("the driver answered WritingIntent with {reply:?}"),
            Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::StateWrite),
        }
    }
}
