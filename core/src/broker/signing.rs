//! One question of the NATS client: the signature of the nonce that the server sent.
//!
//! ```text
//! asked ─> ReadingToken ─> SigningNonce ─> Signed
//!               └───────────────┴────────> Unsigned
//! ```
//!
//! There is one try: the nonce is worth nothing at the next connection, and the client asks again for that.

use core::ops::ControlFlow::{self, Break, Continue};

use serde::{Deserialize, Serialize};

use super::{Answer, Broker, Call, Reply, Unsigned};
use crate::bootstrap::{self, ComponentDocuments, NoAnswer};
use crate::documents::nats_conf::AUTHORIZATION_TIMEOUT_S;
use crate::machine::{CallId, Out, Outcome, Ticket};
use crate::names::Nonce;
use crate::secret::{Asker, Secret};
use crate::time::{Mono, Now};
use crate::volume::{self, TokenFile};

/// How many connections may be under way at once. There is one client, which may give one up and begin the next.
pub(super) const SIGNING_MAX: usize = 4;

/// How long reading the token and signing may take together. NATS is told to wait for
/// [`AUTHORIZATION_TIMEOUT_S`], handshake included. When it restarts
/// every broker asks at once, and whoever gives up early throws away what the controller has done for it so far: the last
/// of two hundred is signed for some three seconds after NATS listens again.
const SIGN_MS: u64 = 3_500;
const _: () = assert!(SIGN_MS < AUTHORIZATION_TIMEOUT_S * 1_000, "later NATS does not wait any more");

/// What is awaited for one nonce.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Signing {
    ReadingToken { call: CallId, by: Mono, nonce: Nonce },
    SigningNonce { call: CallId },
}

impl Signing {
    pub(super) fn begin(ticket: Ticket, by: Mono, nonce: Nonce, now: Now, out: &mut Out<Broker>) -> Self {
        let by = by.min(now.in_ms(SIGN_MS));
        let call = volume::Call::ReadToken { token: volume::Token::Caller, into: token_of(ticket) };
        Self::ReadingToken { call: out.call_for(ticket, by, Call::Volume(call)), by, nonce }
    }

    pub(super) const fn awaits(&self) -> CallId {
        match self {
            Self::ReadingToken { call, .. } | Self::SigningNonce { call } => *call,
        }
    }

    /// The awaited call has ended. `documents` are those of now: they may be newer than the question.
    pub(super) fn done(
        self,
        ticket: Ticket,
        documents: &ComponentDocuments,
        outcome: Outcome<Reply>,
        out: &mut Out<Broker>,
    ) -> ControlFlow<Answer, Self> {
        match (self, outcome) {
            (Self::ReadingToken { .. }, Outcome::Refused(_) | Outcome::Unknown(_)) => {
                Break(Answer::Unsigned(Unsigned::TokenUnreadable))
            }
            (
                Self::ReadingToken { by, nonce, .. },
                Outcome::Ok(Reply::Volume(volume::Reply::Token(file))),
            ) => match file {
                TokenFile::Read => {
                    let ca = documents.certificate.ca.clone();
                    let call = bootstrap::Call::SignNonce { ca, token: token_of(ticket), nonce };
                    let call = out.call_for(ticket, by, Call::Bootstrap(call));
                    Continue(Self::SigningNonce { call })
                }
                TokenFile::Missing => Break(Answer::Unsigned(Unsigned::TokenMissing)),
                TokenFile::Empty | TokenFile::Malformed => Break(Answer::Unsigned(Unsigned::TokenMalformed)),
            },
            (
                Self::SigningNonce { .. },
                missing @ (Outcome::Refused(_)
                | Outcome::Unknown(_)
                | Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unexplained))),
            ) => Break(Answer::Unsigned(Unsigned::Unanswered(NoAnswer::of(&missing)))),
            (
                Self::SigningNonce { .. },
                Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Signature(signature))),
            ) => Break(Answer::Signed { jwt: documents.user_jwt.clone(), signature }),
            (
                Self::SigningNonce { .. },
                Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Rejected(rejection))),
            ) => Break(Answer::Unsigned(Unsigned::Rejected(rejection))),
            (state, Outcome::Ok(reply)) => panic!("the driver answered {state:?} with {reply:?}"),
        }
    }
}

const fn token_of(ticket: Ticket) -> Secret {
    Secret::Of(ticket, Asker::CallerJwt)
}
