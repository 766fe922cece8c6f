//! Finishing set-up with the root token of the initialization, and letting it die.
//!
//! ```text
//! LookingUp ── alive ──> Applying ──> LoggingIn ──> CheckingBefore ──> Revoking ──> LookingUpAgain ──> CheckingAfter
//!     │                                                                                                  │
//!     └── dead already ──> LoggingIn ──> ReadingGeneration ── not newer ──────────────> Sweeping <───────┘
//!                                              └ newer: DiskRolledBack                     v
//!                                                               survey <──── Keeping (`keep.rs`)
//! ```
//!
//! A 403 to a lookup proves nothing alone: a garbage token answers the same. Root is dead when the lookup worked
//! before the revocation and is refused after it, with Vault active around both, and a sweep by another authority
//! finds no token with the policy `root`. The envelope without it replaces the only copy of the unseal key on the disk.
//!
//! An envelope whose root is dead already is either from a set-up that was cut off after the revocation, or an old one
//! that somebody put back. Vault tells them apart: only once an envelope without root was safe its generation was
//! recorded there. It has to be asked here, before the new envelope takes the place of the old one and hides it.

use serde::{Deserialize, Serialize};

use super::apply::{Applied, Apply, Authority};
use super::calls::{Call, Notice, Reply};
use super::generation::rolled_back;
use super::keep::{Keep, Kept};
use super::login::{As, LoggedIn, Login};
use super::sweep::{Sweep, Swept};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::names::LifeId;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::vault::{self, Health};

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// Where the token of an initialization says that it was made.
const ROOT_PATH: &str = "auth/token/root";

/// Set-up under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct SetUp {
    life: LifeId,
    generation: u64,
    step: Step,
}

/// What is known of the root token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Root {
    Alive,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    LookingUp,
    Applying(Apply),
    /// Only the way on from here depends on what is known of root.
    LoggingIn(Login, Root),
    CheckingBefore,
    Revoking,
    LookingUpAgain,
    CheckingAfter,
    ReadingGeneration,
    Sweeping(Sweep),
    Keeping(Keep),
}

const ROOT: Secret = Secret::Own(Own::RootToken);
const SERVING: Secret = Secret::Own(Own::ControllerToken);

impl SetUp {
    pub(super) const fn begin(life: LifeId, generation: u64) -> Self {
        Self { life, generation, step: Step::LookingUp }
    }

    /// Whether SIGTERM has to wait: the envelope is being replaced.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match &self.step {
            Step::Keeping(keep) => keep.must_not_be_cut_short(),
            Step::LookingUp
            | Step::Applying(_)
            | Step::LoggingIn(..)
            | Step::CheckingBefore
            | Step::Revoking
            | Step::LookingUpAgain
            | Step::CheckingAfter
            | Step::ReadingGeneration
            | Step::Sweeping(_) => false,
        }
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match &self.step {
            Step::LookingUp | Step::LookingUpAgain => {
                (Call::Vault(vault::Call::LookupSelf { token: ROOT }), REMOTE_MS)
            }
            Step::Applying(apply) => apply.ask(context),
            Step::LoggingIn(login, _) => login.ask(),
            Step::CheckingBefore | Step::CheckingAfter => (Call::Vault(vault::Call::Health), REMOTE_MS),
            Step::Revoking => (Call::Vault(vault::Call::RevokeSelf { token: ROOT }), REMOTE_MS),
            Step::ReadingGeneration => {
                (Call::Vault(vault::Call::ReadGeneration { token: SERVING }), REMOTE_MS)
            }
            Step::Sweeping(sweep) => sweep.ask(),
            Step::Keeping(keep) => keep.ask(),
        }
    }

    phases! {
        pub(super) fn phase(&self) match (&self.step) {
            Step::LookingUp => "SetUp::LookingUp",
            Step::Applying(apply) => Apply(apply),
            Step::LoggingIn(login, _) => Login(login),
            Step::CheckingBefore => "SetUp::CheckingBefore",
            Step::Revoking => "SetUp::Revoking",
            Step::LookingUpAgain => "SetUp::LookingUpAgain",
            Step::CheckingAfter => "SetUp::CheckingAfter",
            Step::ReadingGeneration => "SetUp::ReadingGeneration",
            Step::Sweeping(sweep) => Sweep(sweep),
            Step::Keeping(keep) => Keep(keep),
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self.step.clone() {
            Step::LookingUp => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Token(facts))) if facts.path == ROOT_PATH => {
                    self.then(Step::Applying(Apply::begin(Authority::Root)))
                }
                Outcome::Refused(Refusal::Unauthenticated) => {
                    self.then(Step::LoggingIn(Login::begin(As::Controller), Root::Dead))
                }
                // Some token opens the envelope's place, and it is not the one of an initialization.
                Outcome::Ok(Reply::Vault(vault::Reply::Token(_))) => Turn::Stop(Fatal::ForeignConfiguration),
                Outcome::Ok(reply) => panic!("the driver answered LookingUp with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Step::Applying(apply) => match apply.done(outcome, context) {
                Applied::Turn(turn) => turn.map(|apply| Self { step: Step::Applying(apply), ..self }),
                Applied::Done { .. } => self.then(Step::LoggingIn(Login::begin(As::Controller), Root::Alive)),
            },
            Step::LoggingIn(login, root) => match login.done(outcome, context) {
                LoggedIn::Turn(turn) => turn.map(|login| Self { step: Step::LoggingIn(login, root), ..self }),
                LoggedIn::NoToken => Turn::Wait(Wait::VaultToken),
                LoggedIn::Done { .. } => match root {
                    Root::Alive => self.then(Step::CheckingBefore),
                    Root::Dead => self.then(Step::ReadingGeneration),
                },
            },
            Step::CheckingBefore => self.active(outcome, Step::Revoking),
            Step::Revoking => match outcome {
                // Refused means that it is dead already; whether it is, the lookup says.
                Outcome::Ok(Reply::Vault(vault::Reply::Revoked))
                | Outcome::Refused(Refusal::Unauthenticated) => self.then(Step::LookingUpAgain),
                Outcome::Ok(reply) => panic!("the driver answered Revoking with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Step::LookingUpAgain => match outcome {
                Outcome::Refused(Refusal::Unauthenticated) => self.then(Step::CheckingAfter),
                Outcome::Ok(Reply::Vault(vault::Reply::Token(_))) => Turn::Wait(Wait::Vault),
                Outcome::Ok(reply) => panic!("the driver answered LookingUpAgain with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Step::CheckingAfter => {
                let turn = self.active(outcome, Step::Sweeping(Sweep::begin()));
                if let Turn::Ask(_) = &turn {
                    context.notices.push(Notice::RootRevoked);
                }
                turn
            }
            Step::ReadingGeneration => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Generation(recorded))) => {
                    match rolled_back(self.generation, recorded, context) {
                        Some(fatal) => Turn::Stop(fatal),
                        None => self.then(Step::Sweeping(Sweep::begin())),
                    }
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingGeneration with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Step::Sweeping(sweep) => match sweep.done(outcome, context) {
                Swept::Turn(turn) => turn.map(|sweep| Self { step: Step::Sweeping(sweep), ..self }),
                Swept::Clean => {
                    let keep = Keep::without_root(self.life.clone(), self.generation);
                    self.then(Step::Keeping(keep))
                }
            },
            Step::Keeping(keep) => match keep.done(outcome, context) {
                Kept::Turn(turn) => turn.map(|keep| Self { step: Step::Keeping(keep), ..self }),
                Kept::Done => Turn::Survey,
            },
        }
    }

    fn then(self, step: Step) -> Turn<Self> {
        Turn::Ask(Self { step, ..self })
    }

    fn active(self, outcome: Outcome<Reply>, next: Step) -> Turn<Self> {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Health(Health::Active))) => self.then(next),
            Outcome::Ok(Reply::Vault(vault::Reply::Health(_)))
            | Outcome::Refused(_)
            | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            Outcome::Ok(reply) => panic!("the driver answered {:?} with {reply:?}", self.step),
        }
    }
}
