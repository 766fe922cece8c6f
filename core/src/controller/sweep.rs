//! Sweeping: no token with the policy `root` lives, whoever made it. Repeated at each boot.
//!
//! ```text
//! Listing ─> LookingUp ── not root, gone ──> the next ──> clean
//!    │         ^    └ root: an alarm ─> Revoking ─> LookingUpRevoked ── gone ──> the next
//!    │         └────────────────────────────────────────┴───────────┘  └ it lives: nothing is proved
//!    └ too many: an alarm, nothing is proved
//! ```
//!
//! A root token is told of before its revocation leaves, so that no lost answer can hide that it lived; and it is dead
//! when a lookup says so, not when the revocation was confirmed.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::names::Accessor;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::vault;

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// More tokens with an accessor than these are not looked up. The platform itself makes none that lasts: whatever is
/// found was made by people, or by something that leaks tokens. At some milliseconds a lookup these take seconds.
const ACCESSORS_MAX: usize = 1_000;

/// A sweep under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Sweep {
    step: Step,
    /// Still to look at, the next one last.
    accessors: Vec<Accessor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Listing,
    LookingUp(Accessor),
    Revoking(Accessor),
    LookingUpRevoked(Accessor),
}

/// What a step of [`Sweep`] led to.
pub(super) enum Swept {
    /// More is to be looked at, or nothing is proved.
    Turn(Turn<Sweep>),
    /// None lives any more, which was told.
    Clean,
}

impl Sweep {
    pub(super) const fn begin() -> Self {
        Self { step: Step::Listing, accessors: Vec::new() }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let token = Secret::Own(Own::ControllerToken);
        let call = match &self.step {
            Step::Listing => vault::Call::ListAccessors { token },
            Step::LookingUp(accessor) | Step::LookingUpRevoked(accessor) => {
                vault::Call::LookupAccessor { token, accessor: accessor.clone() }
            }
            Step::Revoking(accessor) => vault::Call::RevokeAccessor { token, accessor: accessor.clone() },
        };
        (Call::Vault(call), REMOTE_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self.step) {
            Step::Listing => "Sweep::Listing",
            Step::LookingUp(_) => "Sweep::LookingUp",
            Step::Revoking(_) => "Sweep::Revoking",
            Step::LookingUpRevoked(_) => "Sweep::LookingUpRevoked",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Swept {
        match self.step.clone() {
            Step::Listing => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Accessors(accessors))) => {
                    if accessors.len() > ACCESSORS_MAX {
                        let found = accessors.len();
                        context.notices.push(Notice::TooManyTokens { found });
                        return Swept::Turn(Turn::Wait(Wait::Tokens));
                    }
                    Self { accessors, ..self }.next(context)
                }
                Outcome::Ok(reply) => panic!("the driver answered Listing with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => unproved(),
            },
            Step::LookingUp(accessor) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Token(facts))) if facts.is_root() => {
                    context.notices.push(Notice::RootFound { accessor: accessor.clone() });
                    Swept::Turn(Turn::Ask(Self { step: Step::Revoking(accessor), ..self }))
                }
                Outcome::Ok(Reply::Vault(vault::Reply::Token(_) | vault::Reply::NoToken)) => {
                    self.next(context)
                }
                Outcome::Ok(reply) => panic!("the driver answered LookingUp with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => unproved(),
            },
            Step::Revoking(accessor) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Revoked)) => {
                    Swept::Turn(Turn::Ask(Self { step: Step::LookingUpRevoked(accessor), ..self }))
                }
                Outcome::Ok(reply) => panic!("the driver answered Revoking with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => unproved(),
            },
            Step::LookingUpRevoked(_) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::NoToken)) => self.next(context),
                Outcome::Ok(Reply::Vault(vault::Reply::Token(_))) => unproved(),
                Outcome::Ok(reply) => panic!("the driver answered LookingUpRevoked with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => unproved(),
            },
        }
    }

    fn next(mut self, context: &mut Context<'_>) -> Swept {
        match self.accessors.pop() {
            Some(accessor) => Swept::Turn(Turn::Ask(Self { step: Step::LookingUp(accessor), ..self })),
            None => {
                context.notices.push(Notice::Swept);
                Swept::Clean
            }
        }
    }
}

/// Vault did not answer, or not as it should: the sweep begins anew after the next survey.
const fn unproved() -> Swept {
    Swept::Turn(Turn::Wait(Wait::Vault))
}
