//! A question whose token was not examined yet.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Effects;
use super::queue::Applicant;
use super::signers::Signers;
use crate::bootstrap::Rejection;
use crate::caller::{Examined, Signer};
use crate::controller::calls::{Ask, Call, Reply};
use crate::controller::session::View;
use crate::keys;
use crate::machine::{CallId, Outcome, Ticket};
use crate::names::caller_audience;
use crate::secret::{Asker, Own, Secret};
use crate::time::{Mono, Now};

/// The keyring does it at once.
const LOCAL_MS: u64 = 2_000;

/// Somebody at the door.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Arrival {
    pub(super) by: Mono,
    pub(super) ask: Ask,
    came: Mono,
    /// It has waited for the keys because its own was not among them.
    waited: bool,
    awaits: Awaits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Awaits {
    Signers,
    Examination(CallId),
}

/// What is next for an arrival.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// Its token is examined with the keys that are known.
    Examine,
    /// They are not enough: they are read again first.
    AwaitSigners,
    /// It is turned away.
    Reject(Rejection),
}

/// What examining its token led to.
pub(super) enum Arrived {
    /// It is not over.
    Goes(Arrival, Next),
    /// Its token is genuine and meant for this.
    Is(Applicant),
}

impl Arrival {
    pub(super) const fn new(by: Mono, ask: Ask, now: Now) -> Self {
        Self { by, ask, came: now.mono, waited: false, awaits: Awaits::Signers }
    }

    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.awaits == Awaits::Examination(id)
    }

    pub(super) fn awaits_signers(&self) -> bool {
        self.awaits == Awaits::Signers
    }

    pub(super) const fn await_signers(&mut self) {
        self.awaits = Awaits::Signers;
    }

    pub(super) fn examine(&mut self, ticket: Ticket, signers: Vec<Signer>, now: Now, out: &mut Effects) {
        let (token, like) = (Secret::Of(ticket, Asker::CallerJwt), Secret::Own(Own::ApiJwt));
        let call = Call::Keys(keys::Call::Examine { token, like, signers });
        self.awaits = Awaits::Examination(out.call_for(ticket, self.by.min(now.in_ms(LOCAL_MS)), call));
    }

    pub(super) fn examined(self, outcome: Outcome<Reply>, signers: &Signers, view: &View<'_>) -> Arrived {
        let examined = match outcome {
            Outcome::Ok(Reply::Keys(keys::Reply::Examined(examined))) => examined,
            // The controller's own token is not one: that is nobody's fault who calls.
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                return Arrived::Goes(self, Next::Reject(Rejection::ReviewUnavailable));
            }
            Outcome::Ok(reply) => panic!("the driver answered Examine with {reply:?}"),
        };
        let rejection = match examined {
            Examined::Malformed => Rejection::TokenMalformed,
            Examined::Unsigned => Rejection::TokenUnsigned,
            Examined::Forged => Rejection::TokenForged,
            // Only keys that were read since it came say that there is none.
            Examined::UnknownKey if signers.are_newer_than(self.came) => Rejection::TokenForged,
            Examined::UnknownKey if self.waited => Rejection::KeyUnknown,
            Examined::UnknownKey => {
                return Arrived::Goes(Self { waited: true, ..self }, Next::AwaitSigners);
            }
            Examined::Genuine(claims) => {
                let audience = caller_audience(&view.config.installation);
                match claims.caller(&audience, view.now.unix) {
                    Ok(caller) => return Arrived::Is(Applicant { by: self.by, ask: self.ask, caller }),
                    Err(rejection) => rejection,
                }
            }
        };
        Arrived::Goes(self, Next::Reject(rejection))
    }
}
