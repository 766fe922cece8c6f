//! Sweeping: no token with the policy `root` lives, whoever made it. Repeated at each boot.
//!
//! ```text
//! Listing → LookingUp ── not root, gone ──> the next ──> clean
//!              ^  └ root → Revoking ─┐
//!              └─────────────────────┘
//! ```

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use crate::machine::Outcome;
use crate::names::Accessor;
use crate::secret::{Own, Secret};
use crate::vault;

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;

/// A sweep under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Sweep {
    step: Step,
    /// Still to look at, the next one last.
    accessors: Vec<Accessor>,
    roots_found: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Listing,
    LookingUp(Accessor),
    Revoking(Accessor),
}

/// What a step of [`Sweep`] led to.
pub(super) enum Swept {
    /// More is to be looked at.
    Ask(Sweep),
    /// None lives any more.
    Clean {
        /// So many were found and revoked.
        roots_found: u32,
    },
    /// Vault did not answer, or not as it should: nothing is proved.
    Unproved,
}

impl Sweep {
    pub(super) const fn begin() -> Self {
        Self { step: Step::Listing, accessors: Vec::new(), roots_found: 0 }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let token = Secret::Own(Own::ControllerToken);
        let call = match &self.step {
            Step::Listing => vault::Call::ListAccessors { token },
            Step::LookingUp(accessor) => vault::Call::LookupAccessor { token, accessor: accessor.clone() },
            Step::Revoking(accessor) => vault::Call::RevokeAccessor { token, accessor: accessor.clone() },
        };
        (Call::Vault(call), REMOTE_MS)
    }

    pub(super) const fn phase(&self) -> &'static str {
        match self.step {
            Step::Listing => "Sweep::Listing",
            Step::LookingUp(_) => "Sweep::LookingUp",
            Step::Revoking(_) => "Sweep::Revoking",
        }
    }

    pub(super) fn done(mut self, outcome: Outcome<Reply>) -> Swept {
        let reply = match outcome {
            Outcome::Ok(Reply::Vault(reply)) => reply,
            Outcome::Ok(reply) => panic!("the driver answered {:?} with {reply:?}", self.step),
            Outcome::Refused(_) | Outcome::Unknown(_) => return Swept::Unproved,
        };
        match (self.step.clone(), reply) {
            (Step::Listing, vault::Reply::Accessors(accessors)) => {
                self.accessors = accessors;
                self.next()
            }
            (Step::LookingUp(accessor), vault::Reply::Token(facts)) if facts.is_root() => {
                Swept::Ask(Self { step: Step::Revoking(accessor), ..self })
            }
            (Step::LookingUp(_), vault::Reply::Token(_) | vault::Reply::NoToken) => self.next(),
            (Step::Revoking(_), vault::Reply::Revoked) => {
                self.roots_found += 1;
                self.next()
            }
            (step, reply) => panic!("the driver answered {step:?} with {reply:?}"),
        }
    }

    fn next(mut self) -> Swept {
        match self.accessors.pop() {
            Some(accessor) => Swept::Ask(Self { step: Step::LookingUp(accessor), ..self }),
            None => Swept::Clean { roots_found: self.roots_found },
        }
    }
}
