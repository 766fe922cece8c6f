//! Exchanging one of the pod's own service-account tokens for a Vault token.
//!
//! ```text
//! ReadingToken → LoggingIn ── token ──> done
//!                   └ refused → ReadingApiToken → Reviewing ── accepted, for too long ──> stranded
//!                                      └──────────────┴─────── otherwise ──> wait
//! ```
//!
//! Vault's refusal alone does not say whose fault it is; the API server says whether the token is good. Each role has
//! its own series of refusals: that one is let in says nothing of the other. Before anything was served a stranded login
//! is the end ([`Fatal::SetupStranded`]). Afterwards it is an alarm, told once in a series: whoever is served is served
//! for as long as the own token and certificate live.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::documents::setting::{AUDIENCE_CONTROLLER, AUDIENCE_SETUP};
use crate::fatal::Fatal;
use crate::kubernetes::{self, Review};
use crate::machine::{Outcome, Refusal};
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::time::Mono;
use crate::vault::{self, AuthRole};
use crate::volume::{self, Token, TokenFile};

/// A local read.
const LOCAL_MS: u64 = 2_000;
/// One request to Vault or the API server.
const REMOTE_MS: u64 = 10_000;
/// For how long Vault may refuse a token that the API server accepts. Vault reads its own pod's token again once a
/// minute, and the API server caches what it thinks of a token for some seconds.
const STRANDED_MS: u64 = 150_000;

/// With which of its two roles the controller logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum As {
    /// `controller`
    Controller,
    /// `controller-setup`
    Setup,
}

impl As {
    const fn name(self) -> AuthRole {
        match self {
            Self::Controller => AuthRole::Controller,
            Self::Setup => AuthRole::ControllerSetup,
        }
    }
}

/// A login under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Login {
    role: As,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    ReadingToken,
    LoggingIn,
    ReadingApiToken,
    Reviewing,
}

/// Which roles Vault refuses although the API server accepts their tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Refusals {
    controller: Series,
    setup: Series,
}

/// Refusals of one role in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Series {
    /// The last login was not refused, or it is not known whose fault it was.
    #[default]
    None,
    /// Refused since then.
    Since(Mono),
    /// Refused for too long, and somebody was told.
    Told,
}

impl Refusals {
    const fn of(&mut self, role: As) -> &mut Series {
        match role {
            As::Controller => &mut self.controller,
            As::Setup => &mut self.setup,
        }
    }
}

/// What a step of [`Login`] led to.
pub(super) enum LoggedIn {
    /// More is to be asked.
    Turn(Turn<Login>),
    /// The slot of the role's token is filled.
    Done {
        /// For how long the token works.
        lease_s: u64,
    },
    /// The pod has no such token: it was taken away on purpose, or is late.
    NoToken,
}

impl Login {
    pub(super) const fn begin(role: As) -> Self {
        Self { role, step: Step::ReadingToken }
    }

    pub(super) fn ask(self) -> (Call, u64) {
        match self.step {
            Step::ReadingToken => {
                (Call::Volume(volume::Call::ReadToken { token: self.file(), into: self.jwt() }), LOCAL_MS)
            }
            Step::LoggingIn => {
                let role = self.role.name();
                (Call::Vault(vault::Call::Login { role, jwt: self.jwt(), into: self.token() }), REMOTE_MS)
            }
            Step::ReadingApiToken => {
                let into = Secret::Own(Own::ApiJwt);
                (Call::Volume(volume::Call::ReadToken { token: Token::Api, into }), LOCAL_MS)
            }
            Step::Reviewing => {
                let audience = match self.role {
                    As::Controller => AUDIENCE_CONTROLLER,
                    As::Setup => AUDIENCE_SETUP,
                };
                let call = kubernetes::Call::ReviewToken { token: self.jwt(), audience: audience.into() };
                (Call::Kubernetes(call), REMOTE_MS)
            }
        }
    }

    phases! {
        pub(super) fn phase(self) match (self.role, self.step) {
            (As::Controller, Step::ReadingToken) => "Login::ReadingControllerJwt",
            (As::Controller, Step::LoggingIn) => "Login::LoggingInAsController",
            (As::Controller, Step::ReadingApiToken) => "Login::ReadingApiTokenForController",
            (As::Controller, Step::Reviewing) => "Login::ReviewingControllerJwt",
            (As::Setup, Step::ReadingToken) => "Login::ReadingSetupJwt",
            (As::Setup, Step::LoggingIn) => "Login::LoggingInAsSetup",
            (As::Setup, Step::ReadingApiToken) => "Login::ReadingApiTokenForSetup",
            (As::Setup, Step::Reviewing) => "Login::ReviewingSetupJwt",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> LoggedIn {
        match self.step {
            Step::ReadingToken => match outcome {
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read))) => {
                    LoggedIn::Turn(Turn::Ask(Self { step: Step::LoggingIn, ..self }))
                }
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Missing))) => {
                    self.end_series(context);
                    LoggedIn::NoToken
                }
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Empty | TokenFile::Malformed)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => LoggedIn::Turn(Turn::Wait(Wait::VaultToken)),
                Outcome::Ok(reply) => panic!("the driver answered ReadingToken with {reply:?}"),
            },
            Step::LoggingIn => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::LoggedIn(login))) => {
                    self.end_series(context);
                    LoggedIn::Done { lease_s: login.lease_s }
                }
                Outcome::Ok(reply) => panic!("the driver answered LoggingIn with {reply:?}"),
                // Vault is not there to judge the token.
                Outcome::Refused(Refusal::NotReady | Refusal::Busy) | Outcome::Unknown(_) => {
                    LoggedIn::Turn(self.unproved(context))
                }
                Outcome::Refused(_) => {
                    LoggedIn::Turn(Turn::Ask(Self { step: Step::ReadingApiToken, ..self }))
                }
            },
            Step::ReadingApiToken => match outcome {
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read))) => {
                    LoggedIn::Turn(Turn::Ask(Self { step: Step::Reviewing, ..self }))
                }
                Outcome::Ok(Reply::Volume(volume::Reply::Token(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => LoggedIn::Turn(self.unproved(context)),
                Outcome::Ok(reply) => panic!("the driver answered ReadingApiToken with {reply:?}"),
            },
            Step::Reviewing => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Review(Review::Authenticated {
                    ..
                }))) => LoggedIn::Turn(self.refused(context)),
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Review(Review::Refused)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => LoggedIn::Turn(self.unproved(context)),
                Outcome::Ok(reply) => panic!("the driver answered Reviewing with {reply:?}"),
            },
        }
    }

    const fn file(self) -> Token {
        match self.role {
            As::Controller => Token::Vault,
            As::Setup => Token::Setup,
        }
    }

    const fn jwt(self) -> Secret {
        match self.role {
            As::Controller => Secret::Own(Own::VaultJwt),
            As::Setup => Secret::Own(Own::SetupJwt),
        }
    }

    const fn token(self) -> Secret {
        match self.role {
            As::Controller => Secret::Own(Own::ControllerToken),
            As::Setup => Secret::Own(Own::SetupToken),
        }
    }

    /// Whether Vault refuses what the API server accepts is not known this time: only an unbroken series counts.
    fn unproved(self, context: &mut Context<'_>) -> Turn<Self> {
        self.end_series(context);
        Turn::Wait(Wait::Login)
    }

    fn refused(self, context: &mut Context<'_>) -> Turn<Self> {
        let now = context.now.mono;
        let has_served = context.memory.certificate.is_some();
        let series = context.memory.refusals.of(self.role);
        let is_stranded = match *series {
            Series::None => {
                *series = Series::Since(now);
                false
            }
            Series::Since(since) => now >= since.after_ms(STRANDED_MS),
            Series::Told => true,
        };
        if is_stranded && !has_served {
            return Turn::Stop(Fatal::SetupStranded);
        }
        if is_stranded && *series != Series::Told {
            *series = Series::Told;
            context.notices.push(Notice::LoginStranded { role: self.role.name() });
        }
        Turn::Wait(Wait::Login)
    }

    const fn end_series(self, context: &mut Context<'_>) {
        *context.memory.refusals.of(self.role) = Series::None;
    }
}
