//! Storing what is written once: the JWTs of NATS' operator and accounts, and the credentials of OpenSearch.
//!
//! ```text
//! ReadingJwt ── ours ──> the next       ReadingAccount ── there ──> the next
//!   ^  ├ foreign: an alarm                ^  └ absent → GeneratingPassword → WritingAccount ─┐
//!   │  └ absent → SigningJwt → WritingJwt ┐└──────────────────────────────────────────────────┘
//!   └─────────────────────────────────────┘
//! ```
//!
//! Each write is create-only, and after it what stands is read again: at once if it was confirmed, after a pause if it was
//! refused or nobody knows. Whoever was first wins, the bytes never change.
//!
//! A JWT is ours if it is about the keys that Vault holds now and signed by the operator among them. What it says besides
//! is not compared, so that a later version may say something else in a new one; nor is its signature checked, which
//! is for NATS to do.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::apply::Authority;
use super::calls::{Call, Document, NatsKeys, Notice, Reply};
use super::looks::Looks;
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::documents::jwt::{self, Claims, Kind, Unsigned};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::time::Unix;
use crate::vault::{self, Account, NatsKey, StoredJwt};

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;

/// Documents being stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Store {
    authority: Authority,
    step: Step,
    /// Looks at the document of this step.
    looks: Looks,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    ReadingJwt(StoredJwt),
    /// The one that says it was issued then.
    SigningJwt(StoredJwt, Unix),
    WritingJwt(StoredJwt, String),
    ReadingAccount(Account),
    GeneratingPassword(Account),
    WritingAccount(Account),
}

/// What a step of [`Store`] led to.
pub(super) enum Stored {
    /// More is to be done.
    Turn(Turn<Store>),
    /// Everything is there, or what is foreign was told.
    Done,
}

impl Store {
    pub(super) const fn begin(authority: Authority) -> Self {
        Self { authority, step: Step::ReadingJwt(StoredJwt::ALL[0]), looks: Looks::START }
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        let token = self.authority.token();
        let password = Secret::Own(Own::Password);
        let call = match &self.step {
            Step::ReadingJwt(jwt) => vault::Call::ReadJwt { token, jwt: *jwt },
            Step::SigningJwt(jwt, issued) => {
                let input = unsigned(*jwt, *issued, context).signing_input().into();
                vault::Call::Sign { token, key: NatsKey::Operator, input }
            }
            Step::WritingJwt(jwt, text) => vault::Call::WriteJwt { token, jwt: *jwt, text: text.clone() },
            Step::ReadingAccount(account) => vault::Call::ReadAccount { token, account: *account },
            Step::GeneratingPassword(_) => vault::Call::GeneratePassword { token, into: password },
            Step::WritingAccount(account) => vault::Call::WriteAccount { token, account: *account, password },
        };
        (Call::Vault(call), REMOTE_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self.step) {
            Step::ReadingJwt(_) => "Configure::ReadingJwt",
            Step::SigningJwt(..) => "Configure::SigningJwt",
            Step::WritingJwt(..) => "Configure::WritingJwt",
            Step::ReadingAccount(_) => "Configure::ReadingAccount",
            Step::GeneratingPassword(_) => "Configure::GeneratingPassword",
            Step::WritingAccount(_) => "Configure::WritingAccount",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Stored {
        match self.step.clone() {
            Step::ReadingJwt(jwt) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Jwt(stored))) => self.read_jwt(jwt, stored, context),
                Outcome::Ok(reply) => panic!("the driver answered ReadingJwt with {reply:?}"),
                Outcome::Refused(refusal) => self.refused(refusal),
                Outcome::Unknown(_) => wait(),
            },
            Step::SigningJwt(jwt, issued) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Signature(signature))) => {
                    let text = unsigned(jwt, issued, context).signed(&signature);
                    self.then(Step::WritingJwt(jwt, text))
                }
                Outcome::Ok(reply) => panic!("the driver answered SigningJwt with {reply:?}"),
                Outcome::Refused(refusal) => self.refused(refusal),
                Outcome::Unknown(_) => wait(),
            },
            Step::WritingJwt(jwt, _) => {
                self.written("WritingJwt", Step::ReadingJwt(jwt), Document::Jwt(jwt), outcome, context)
            }
            Step::ReadingAccount(account) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Account { exists: true })) => {
                    self.after_account(account)
                }
                Outcome::Ok(Reply::Vault(vault::Reply::Account { exists: false })) => {
                    if self.authority.may_write() {
                        self.then(Step::GeneratingPassword(account))
                    } else {
                        Stored::Turn(Turn::Wait(Wait::VaultToken))
                    }
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingAccount with {reply:?}"),
                Outcome::Refused(refusal) => self.refused(refusal),
                Outcome::Unknown(_) => wait(),
            },
            Step::GeneratingPassword(account) => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Password)) => self.then(Step::WritingAccount(account)),
                Outcome::Ok(reply) => panic!("the driver answered GeneratingPassword with {reply:?}"),
                Outcome::Refused(refusal) => self.refused(refusal),
                Outcome::Unknown(_) => wait(),
            },
            Step::WritingAccount(account) => {
                let reading = Step::ReadingAccount(account);
                self.written("WritingAccount", reading, Document::Account(account), outcome, context)
            }
        }
    }

    fn read_jwt(self, jwt: StoredJwt, stored: Option<String>, context: &mut Context<'_>) -> Stored {
        match stored {
            Some(text) if is_ours(jwt, &text, keys(context)) => self.after_jwt(jwt),
            Some(_) => {
                context.notices.push(Notice::ForeignJwt(jwt));
                if self.authority.may_write() {
                    Stored::Turn(Turn::Stop(Fatal::ForeignConfiguration))
                } else {
                    self.after_jwt(jwt)
                }
            }
            None if self.authority.may_write() => self.then(Step::SigningJwt(jwt, context.now.unix)),
            None => Stored::Turn(Turn::Wait(Wait::VaultToken)),
        }
    }

    /// A write-once write ended. A second one is a conflict or, without `update`, a denial: somebody was first.
    fn written(
        self,
        awaited: &str,
        reading: Step,
        document: Document,
        outcome: Outcome<Reply>,
        context: &mut Context<'_>,
    ) -> Stored {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Written)) => {
                context.notices.push(Notice::Stored(document));
                match self.looks.again() {
                    Some((looks, _)) => Self { looks, ..self }.then(reading),
                    None => wait(),
                }
            }
            Outcome::Ok(reply) => panic!("the driver answered {awaited} with {reply:?}"),
            Outcome::Refused(Refusal::Conflict | Refusal::Denied | Refusal::NotReady) => {
                let next = self.looks.again();
                self.look(reading, next)
            }
            Outcome::Refused(
                Refusal::Unauthenticated
                | Refusal::Unclear
                | Refusal::Invalid
                | Refusal::Busy
                | Refusal::Local,
            ) => wait(),
            Outcome::Unknown(_) => {
                let next = self.looks.in_doubt();
                self.look(reading, next)
            }
        }
    }

    /// What is no write was refused.
    fn refused(self, refusal: Refusal) -> Stored {
        match refusal {
            Refusal::NotReady => {
                let (next, step) = (self.looks.again(), self.step.clone());
                self.look(step, next)
            }
            Refusal::Denied
            | Refusal::Unauthenticated
            | Refusal::Unclear
            | Refusal::Conflict
            | Refusal::Invalid
            | Refusal::Busy
            | Refusal::Local => wait(),
        }
    }

    fn look(self, step: Step, next: Option<(Looks, u64)>) -> Stored {
        match next {
            Some((looks, pause_ms)) => {
                Stored::Turn(Turn::Pause(Self { step, looks, ..self }, pause_ms, Wait::Configuration))
            }
            None => wait(),
        }
    }

    fn then(self, step: Step) -> Stored {
        Stored::Turn(Turn::Ask(Self { step, ..self }))
    }

    fn after_jwt(self, jwt: StoredJwt) -> Stored {
        let step = match jwt {
            StoredJwt::Operator => Step::ReadingJwt(StoredJwt::SystemAccount),
            StoredJwt::SystemAccount => Step::ReadingJwt(StoredJwt::PlatformAccount),
            // The role that only reads may not see credentials either.
            StoredJwt::PlatformAccount if !self.authority.may_write() => return Stored::Done,
            StoredJwt::PlatformAccount => Step::ReadingAccount(Account::Admin),
        };
        Self { looks: Looks::START, ..self }.then(step)
    }

    fn after_account(self, account: Account) -> Stored {
        let step = match account {
            Account::Admin => Step::ReadingAccount(Account::Collector),
            Account::Collector => Step::ReadingAccount(Account::Viewer),
            Account::Viewer => return Stored::Done,
        };
        Self { looks: Looks::START, ..self }.then(step)
    }
}

const fn wait() -> Stored {
    Stored::Turn(Turn::Wait(Wait::Configuration))
}

fn keys<'a>(context: &'a Context<'_>) -> &'a NatsKeys {
    context.memory.keys.as_ref().expect("they were read before anything is stored")
}

fn unsigned(jwt: StoredJwt, issued: Unix, context: &Context<'_>) -> Unsigned {
    let NatsKeys { operator, system_account, platform_account, platform_signer } = keys(context);
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

/// Whether the text is a JWT about these keys.
fn is_ours(jwt: StoredJwt, text: &str, keys: &NatsKeys) -> bool {
    let NatsKeys { operator, system_account, platform_account, platform_signer: _ } = keys;
    let (about, what) = match jwt {
        StoredJwt::Operator => (operator, Kind::Operator { system_account: system_account.clone() }),
        StoredJwt::SystemAccount => (system_account, Kind::Account),
        StoredJwt::PlatformAccount => (platform_account, Kind::Account),
    };
    match jwt::decode(text) {
        Ok(Claims { subject, issuer, kind, issued: _, expires }) => {
            subject == *about && issuer == *operator && kind == what && expires.is_none()
        }
        Err(_) => false,
    }
}
