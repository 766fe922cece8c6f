//! The keys that sign service-account tokens: read when the first caller comes, and again when a token names one that
//! is not among them.
//!
//! ```text
//! ── ReadingApiToken → ReadingSigners → known
//! ```
//!
//! They are not read again for their age. A key that the API server has given up lets nobody in: it reviews each token
//! itself afterwards.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Effects;
use crate::bootstrap::SIGNERS_PAUSE_MS;
use crate::caller::Signer;
use crate::controller::calls::{Call, Reply};
use crate::kubernetes;
use crate::machine::{CallId, Outcome};
use crate::secret::{Own, Secret};
use crate::time::{Mono, Now};
use crate::volume::{self, Token, TokenFile};

/// A local read.
const LOCAL_MS: u64 = 2_000;
/// One request to the API server.
const REMOTE_MS: u64 = 5_000;
/// For so long nobody tries again after it failed.
const FAILED_PAUSE_MS: u64 = 1_000;

/// What is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Signers {
    known: Option<Known>,
    reading: Option<Reading>,
    /// They are not read again before.
    not_before: Option<Mono>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Known {
    signers: Vec<Signer>,
    /// When reading them began.
    since: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Reading {
    began: Mono,
    step: Step,
    call: CallId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    ReadingApiToken,
    ReadingSigners,
}

/// What a step led to.
pub(super) enum Read {
    /// More is to be read.
    Pending,
    /// They are known.
    Done,
    /// Nobody said.
    Failed,
}

impl Signers {
    pub(super) fn known(&self) -> Option<&[Signer]> {
        self.known.as_ref().map(|known| known.signers.as_slice())
    }

    /// Whether reading those that are known began at that moment or later.
    pub(super) fn are_newer_than(&self, moment: Mono) -> bool {
        self.known.as_ref().is_some_and(|known| known.since >= moment)
    }

    /// Reads them, unless that is under way. False if it is too soon.
    pub(super) fn read(&mut self, now: Now, out: &mut Effects) -> bool {
        if self.reading.is_some() {
            return true;
        }
        if self.not_before.is_some_and(|moment| now.mono < moment) {
            return false;
        }
        let call = volume::Call::ReadToken { token: Token::Api, into: Secret::Own(Own::ApiJwt) };
        let call = out.call(now.in_ms(LOCAL_MS), Call::Volume(call));
        self.reading = Some(Reading { began: now.mono, step: Step::ReadingApiToken, call });
        true
    }

    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.reading.is_some_and(|reading| reading.call == id)
    }

    pub(super) fn done(&mut self, outcome: Outcome<Reply>, now: Now, out: &mut Effects) -> Read {
        let Some(Reading { began, step, .. }) = self.reading.take() else { return Read::Failed };
        match (step, outcome) {
            (Step::ReadingApiToken, Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read)))) => {
                let call = Call::Kubernetes(kubernetes::Call::ReadSigners);
                let call = out.call(now.in_ms(REMOTE_MS), call);
                self.reading = Some(Reading { began, step: Step::ReadingSigners, call });
                Read::Pending
            }
            (Step::ReadingSigners, Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Signers(signers)))) => {
                self.known = Some(Known { signers, since: began });
                self.not_before = Some(now.in_ms(SIGNERS_PAUSE_MS));
                Read::Done
            }
            (Step::ReadingApiToken, Outcome::Ok(Reply::Volume(volume::Reply::Token(_))))
            | (_, Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.not_before = Some(now.in_ms(FAILED_PAUSE_MS));
                Read::Failed
            }
            (step, Outcome::Ok(reply)) => panic!("the driver answered {step:?} with {reply:?}"),
        }
    }

    #[cfg(test)]
    pub(super) fn call(&self) -> Option<CallId> {
        self.reading.map(|reading| reading.call)
    }
}
