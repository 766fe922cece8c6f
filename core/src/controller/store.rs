//! Storing what is written once: the JWTs of NATS' operator and accounts, and the credentials of OpenSearch.
//!
//! ```text
//! ReadingJwt ── there ──> the next      ReadingAccount ── there ──> the next
//!   ^  └ absent → SigningJwt → WritingJwt ─┐   ^  └ absent → GeneratingPassword → WritingAccount ─┐
//!   └──────────────────────────────────────┘   └──────────────────────────────────────────────────┘
//! ```
//!
//! Each write is create-only, and after it what stands is read again: at once if it was confirmed, after a pause if it was
//! refused or nobody knows. Whoever was first wins, the bytes never change.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::calls::{Call, NatsKeys, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::documents::jwt::{self, Unsigned};
use crate::machine::{Outcome, Refusal};
use crate::secret::{Own, Secret};
use crate::vault::{self, Account, NatsKey, StoredJwt};

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// A K/V engine is upgrading for some tens of milliseconds after it was mounted.
const UPGRADING_PAUSE_MS: u64 = 25;
/// How often in a row one document is looked at again before the world is surveyed: Vault may have been sealed, or
/// confirm what does not stand.
const LOOKS_MAX: u8 = 40;

/// Documents being stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Store {
    may_write: bool,
    token: Secret,
    keys: NatsKeys,
    step: Step,
    /// How often the document of this step was looked at again.
    looks: u8,
    writes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    ReadingJwt(StoredJwt),
    SigningJwt(StoredJwt, Unsigned),
    WritingJwt(StoredJwt, String),
    ReadingAccount(Account),
    GeneratingPassword(Account),
    WritingAccount(Account),
}

/// What a step of [`Store`] led to.
pub(super) enum Stored {
    /// More is to be done.
    Turn(Turn<Store>),
    /// Everything is there.
    Done {
        /// Requests that changed something.
        writes: u32,
    },
}

impl Store {
    pub(super) fn begin(token: Secret, may_write: bool, keys: NatsKeys, writes: u32) -> Self {
        Self { may_write, token, keys, step: Step::ReadingJwt(StoredJwt::ALL[0]), looks: 0, writes }
    }

    pub(super) fn ask(&self) -> (Call, u64) {
        let token = self.token;
        let password = Secret::Own(Own::Password);
        let call = match &self.step {
            Step::ReadingJwt(jwt) => vault::Call::ReadJwt { token, jwt: *jwt },
            Step::SigningJwt(_, unsigned) => {
                vault::Call::Sign { token, key: NatsKey::Operator, input: unsigned.signing_input().into() }
            }
            Step::WritingJwt(jwt, text) => vault::Call::WriteJwt { token, jwt: *jwt, text: text.clone() },
            Step::ReadingAccount(account) => vault::Call::ReadAccount { token, account: *account },
            Step::GeneratingPassword(_) => vault::Call::GeneratePassword { token, into: password },
            Step::WritingAccount(account) => vault::Call::WriteAccount { token, account: *account, password },
        };
        (Call::Vault(call), REMOTE_MS)
    }

    pub(super) const fn phase(&self) -> &'static str {
        match self.step {
            Step::ReadingJwt(_) => "Configure::ReadingJwt",
            Step::SigningJwt(..) => "Configure::SigningJwt",
            Step::WritingJwt(..) => "Configure::WritingJwt",
            Step::ReadingAccount(_) => "Configure::ReadingAccount",
            Step::GeneratingPassword(_) => "Configure::GeneratingPassword",
            Step::WritingAccount(_) => "Configure::WritingAccount",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Stored {
        let reply = match outcome {
            Outcome::Ok(Reply::Vault(reply)) => reply,
            Outcome::Ok(reply) => panic!("the driver answered {:?} with {reply:?}", self.step),
            Outcome::Refused(refusal) => return self.refused(refusal),
            Outcome::Unknown(_) => return self.look_again(),
        };
        match (self.step.clone(), reply) {
            (Step::ReadingJwt(jwt), vault::Reply::Jwt(Some(_))) => self.after_jwt(jwt),
            (Step::ReadingJwt(jwt), vault::Reply::Jwt(None)) if self.may_write => {
                let unsigned = self.unsigned(jwt, context);
                self.then(Step::SigningJwt(jwt, unsigned))
            }
            (Step::ReadingAccount(account), vault::Reply::Account { exists: true }) => {
                self.after_account(account)
            }
            (Step::ReadingAccount(account), vault::Reply::Account { exists: false }) if self.may_write => {
                self.then(Step::GeneratingPassword(account))
            }
            (Step::ReadingJwt(_), vault::Reply::Jwt(None))
            | (Step::ReadingAccount(_), vault::Reply::Account { exists: false }) => {
                Stored::Turn(Turn::Wait(Wait::VaultToken))
            }
            (Step::SigningJwt(jwt, unsigned), vault::Reply::Signature(signature)) => {
                match <[u8; 64]>::try_from(signature) {
                    Ok(signature) => self.then(Step::WritingJwt(jwt, unsigned.signed(&signature))),
                    Err(_) => Stored::Turn(Turn::Wait(Wait::Configuration)),
                }
            }
            (Step::WritingJwt(..) | Step::WritingAccount(_), vault::Reply::Written) => {
                let writes = self.writes + 1;
                match (Self { writes, ..self }).again() {
                    Some(reading) => Stored::Turn(Turn::Ask(reading)),
                    None => Stored::Turn(Turn::Wait(Wait::Configuration)),
                }
            }
            (Step::GeneratingPassword(account), vault::Reply::Password) => {
                self.then(Step::WritingAccount(account))
            }
            (step, reply) => panic!("the driver answered {step:?} with {reply:?}"),
        }
    }

    /// On a write-once path a second write is a conflict or, without `update`, a denial: somebody was first.
    fn refused(self, refusal: Refusal) -> Stored {
        match (&self.step, refusal) {
            (_, Refusal::NotReady)
            | (Step::WritingJwt(..) | Step::WritingAccount(_), Refusal::Conflict | Refusal::Denied) => {
                self.look_again()
            }
            (
                Step::ReadingJwt(_)
                | Step::SigningJwt(..)
                | Step::WritingJwt(..)
                | Step::ReadingAccount(_)
                | Step::GeneratingPassword(_)
                | Step::WritingAccount(_),
                Refusal::Denied
                | Refusal::Unauthenticated
                | Refusal::Unclear
                | Refusal::Conflict
                | Refusal::Invalid
                | Refusal::Busy
                | Refusal::Local,
            ) => Stored::Turn(Turn::Wait(Wait::Configuration)),
        }
    }

    fn look_again(self) -> Stored {
        Stored::Turn(match self.again() {
            Some(reading) => Turn::Pause(reading, UPGRADING_PAUSE_MS, Wait::Configuration),
            None => Turn::Wait(Wait::Configuration),
        })
    }

    /// The read of the document of this step, unless it was read too often in a row.
    fn again(self) -> Option<Self> {
        if self.looks == LOOKS_MAX {
            return None;
        }
        let looks = self.looks + 1;
        let step = match self.step {
            Step::ReadingJwt(jwt) | Step::SigningJwt(jwt, _) | Step::WritingJwt(jwt, _) => {
                Step::ReadingJwt(jwt)
            }
            Step::ReadingAccount(account)
            | Step::GeneratingPassword(account)
            | Step::WritingAccount(account) => Step::ReadingAccount(account),
        };
        Some(Self { step, looks, ..self })
    }

    fn then(self, step: Step) -> Stored {
        Stored::Turn(Turn::Ask(Self { step, ..self }))
    }

    fn after_jwt(self, jwt: StoredJwt) -> Stored {
        let step = match jwt {
            StoredJwt::Operator => Step::ReadingJwt(StoredJwt::SystemAccount),
            StoredJwt::SystemAccount => Step::ReadingJwt(StoredJwt::PlatformAccount),
            // The role that only reads may not see credentials either.
            StoredJwt::PlatformAccount if !self.may_write => return Stored::Done { writes: self.writes },
            StoredJwt::PlatformAccount => Step::ReadingAccount(Account::Admin),
        };
        Self { looks: 0, ..self }.then(step)
    }

    fn after_account(self, account: Account) -> Stored {
        let step = match account {
            Account::Admin => Step::ReadingAccount(Account::Collector),
            Account::Collector => Step::ReadingAccount(Account::Viewer),
            Account::Viewer => return Stored::Done { writes: self.writes },
        };
        Self { looks: 0, ..self }.then(step)
    }

    fn unsigned(&self, jwt: StoredJwt, context: &Context<'_>) -> Unsigned {
        let NatsKeys { operator, system_account, platform_account, platform_signer } = &self.keys;
        let issued = context.now.unix;
        match jwt {
            StoredJwt::Operator => {
                jwt::operator(operator, system_account, context.config.installation.as_str(), issued)
            }
            StoredJwt::SystemAccount => jwt::system_account(system_account, operator, issued),
            StoredJwt::PlatformAccount => {
                jwt::platform_account(platform_account, operator, platform_signer, issued)
            }
        }
    }
}
