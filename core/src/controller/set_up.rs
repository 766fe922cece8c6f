//! Finishing set-up with the root token of the initialization, and letting it die.
//!
//! ```text
//! LookingUp ── alive ──> Applying ──> LoggingIn ──> CheckingBefore ──> Revoking ──> LookingUpAgain ──> CheckingAfter
//!     │                                                                                                  │
//!     └──── dead already ───────────> LoggingIn ──────────────────────────────────────> Sweeping <──────┘
//!                                                                                          v
//!                                     survey <── as written ── ReadingBack <──────── WritingEnvelope
//!                                                                   └── not as written ──────^  └ not written: again
//! ```
//!
//! A 403 to a lookup proves nothing alone: a garbage token answers the same. Root is dead when the lookup worked
//! before the revocation and is refused after it, with Vault active around both, and a sweep by another authority
//! finds no token with the policy `root`. The envelope without it replaces the only copy of the unseal key on the disk, so
//! it is read back, and written again with the key in memory until it stands.

use serde::{Deserialize, Serialize};

use super::apply::{Applied, Apply, Scope};
use super::calls::{Call, Notice, Reply};
use super::login::{As, LoggedIn, Login};
use super::sweep::{Sweep, Swept};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::names::LifeId;
use crate::secret::{Own, Secret};
use crate::state::{self, Opened};
use crate::vault::{self, Health};

/// A local, durable write or read.
const LOCAL_MS: u64 = 10_000;
/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// Pause before the envelope is written again as a new file.
const REWRITE_PAUSE_MS: u64 = 500;
/// Where the token of an initialization says that it was made.
const ROOT_PATH: &str = "auth/token/root";

/// Set-up under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct SetUp {
    life: LifeId,
    generation: u64,
    step: Step,
    root: Root,
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
    LoggingIn(Login),
    CheckingBefore,
    Revoking,
    LookingUpAgain,
    CheckingAfter,
    Sweeping(Sweep),
    WritingEnvelope,
    ReadingBack,
}

const ROOT: Secret = Secret::Own(Own::RootToken);
const SEAL_KEY: Secret = Secret::Own(Own::SealKey);

impl SetUp {
    pub(super) const fn begin(life: LifeId, generation: u64) -> Self {
        Self { life, generation, step: Step::LookingUp, root: Root::Alive }
    }

    /// Whether SIGTERM has to wait: the envelope is being replaced, and if what was written cannot be read back, the
    /// only copy of the unseal key is in memory.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match &self.step {
            Step::WritingEnvelope | Step::ReadingBack => true,
            Step::LookingUp
            | Step::Applying(_)
            | Step::LoggingIn(_)
            | Step::CheckingBefore
            | Step::Revoking
            | Step::LookingUpAgain
            | Step::CheckingAfter
            | Step::Sweeping(_) => false,
        }
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match &self.step {
            Step::LookingUp | Step::LookingUpAgain => {
                (Call::Vault(vault::Call::LookupSelf { token: ROOT }), REMOTE_MS)
            }
            Step::Applying(apply) => apply.ask(context),
            Step::LoggingIn(login) => login.ask(),
            Step::CheckingBefore | Step::CheckingAfter => (Call::Vault(vault::Call::Health), REMOTE_MS),
            Step::Revoking => (Call::Vault(vault::Call::RevokeSelf { token: ROOT }), REMOTE_MS),
            Step::Sweeping(sweep) => sweep.ask(),
            Step::WritingEnvelope => {
                let (life, generation) = (self.life.clone(), self.generation + 1);
                let call = state::Call::WriteEnvelope { life, generation, key: SEAL_KEY, root: false };
                (Call::State(call), LOCAL_MS)
            }
            Step::ReadingBack => (Call::State(state::Call::Open { key: SEAL_KEY }), LOCAL_MS),
        }
    }

    pub(super) const fn phase(&self) -> &'static str {
        match &self.step {
            Step::LookingUp => "SetUp::LookingUp",
            Step::Applying(apply) => apply.phase(),
            Step::LoggingIn(login) => login.phase(),
            Step::CheckingBefore => "SetUp::CheckingBefore",
            Step::Revoking => "SetUp::Revoking",
            Step::LookingUpAgain => "SetUp::LookingUpAgain",
            Step::CheckingAfter => "SetUp::CheckingAfter",
            Step::Sweeping(sweep) => sweep.phase(),
            Step::WritingEnvelope => "SetUp::WritingEnvelope",
            Step::ReadingBack => "SetUp::ReadingBack",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self.step.clone() {
            Step::LookingUp => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Token(facts))) if facts.path == ROOT_PATH => {
                    self.then(Step::Applying(Apply::begin(Scope::Bootstrap, ROOT, true)))
                }
                Outcome::Refused(Refusal::Unauthenticated) => {
                    Self { root: Root::Dead, ..self }.then(Step::LoggingIn(Login::begin(As::Controller)))
                }
                // Some token opens the envelope's place, and it is not the one of an initialization.
                Outcome::Ok(Reply::Vault(vault::Reply::Token(_))) => Turn::Stop(Fatal::ForeignConfiguration),
                Outcome::Ok(reply) => panic!("the driver answered LookingUp with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Vault),
            },
            Step::Applying(apply) => match apply.done(outcome, context) {
                Applied::Turn(turn) => turn.map(|apply| Self { step: Step::Applying(apply), ..self }),
                Applied::Done { .. } => self.then(Step::LoggingIn(Login::begin(As::Controller))),
            },
            Step::LoggingIn(login) => match login.done(outcome, context) {
                LoggedIn::Turn(turn) => turn.map(|login| Self { step: Step::LoggingIn(login), ..self }),
                LoggedIn::NoToken => Turn::Wait(Wait::VaultToken),
                LoggedIn::Done { .. } => match self.root {
                    Root::Alive => self.then(Step::CheckingBefore),
                    Root::Dead => self.then(Step::Sweeping(Sweep::begin())),
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
            Step::Sweeping(sweep) => match sweep.done(outcome) {
                Swept::Ask(sweep) => self.then(Step::Sweeping(sweep)),
                Swept::Unproved => Turn::Wait(Wait::Vault),
                Swept::Clean { roots_found } => {
                    context.notices.push(Notice::Swept { roots_found });
                    self.then(Step::WritingEnvelope)
                }
            },
            Step::WritingEnvelope => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => self.then(Step::ReadingBack),
                Outcome::Ok(reply) => panic!("the driver answered WritingEnvelope with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => self.write_again(context),
            },
            Step::ReadingBack => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Opened(Opened::Keys { root: false }))) => Turn::Survey,
                Outcome::Ok(Reply::State(state::Reply::Opened(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => self.write_again(context),
                Outcome::Ok(reply) => panic!("the driver answered ReadingBack with {reply:?}"),
            },
        }
    }

    fn then(self, step: Step) -> Turn<Self> {
        Turn::Ask(Self { step, ..self })
    }

    fn write_again(self, context: &mut Context<'_>) -> Turn<Self> {
        context.notices.push(Notice::EnvelopeNotWritten);
        Turn::Pause(Self { step: Step::WritingEnvelope, ..self }, REWRITE_PAUSE_MS, Wait::StateWrite)
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
