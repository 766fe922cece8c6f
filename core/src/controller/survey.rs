//! Surveying: every fact that the boot table needs, one question after the other.
//!
//! ```text
//! InspectingDirectory → ReadingState → ReadingSealStatus → ReadingInitStatus
//!   → ReadingApiToken → ReadingSecret → ReadingCommitted → ReadingTrust      (skipped without a token)
//!   → ReadingMountedKey → Opening → ReadingHold                              (Opening only with key and envelope)
//! ```
//!
//! A question without a definite answer leaves its fact unknown; the survey itself never fails.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::table::{Facts, Known};
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::secret::{Own, Secret};
use crate::state::State;
use crate::time::{Mono, Now};
use crate::volume::{SealKeyFile, Token, TokenFile};
use crate::{kubernetes, state, vault, volume};

/// A local read.
const LOCAL_MS: u64 = 2_000;
/// A read from Vault or the API server.
const REMOTE_MS: u64 = 5_000;

/// A survey under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Survey {
    step: Step,
    facts: Facts,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    InspectingDirectory,
    ReadingState,
    ReadingSealStatus,
    ReadingInitStatus,
    ReadingApiToken,
    ReadingSecret,
    ReadingCommitted,
    ReadingTrust,
    ReadingMountedKey,
    Opening,
    ReadingHold,
}

impl Survey {
    /// The first question.
    pub(super) fn begin() -> Self {
        Self { step: Step::InspectingDirectory, facts: Facts::default() }
    }

    /// The request whose answer is awaited.
    pub(super) fn ask(&self) -> (Call, u64) {
        match self.step {
            Step::InspectingDirectory => (Call::State(state::Call::Inspect), LOCAL_MS),
            Step::ReadingState => (Call::State(state::Call::Read), LOCAL_MS),
            Step::ReadingSealStatus => (Call::Vault(vault::Call::SealStatus), REMOTE_MS),
            Step::ReadingInitStatus => (Call::Vault(vault::Call::InitStatus), REMOTE_MS),
            Step::ReadingApiToken => (
                Call::Volume(volume::Call::ReadToken { token: Token::Api, into: Secret::Own(Own::ApiJwt) }),
                LOCAL_MS,
            ),
            Step::ReadingSecret => (Call::Kubernetes(kubernetes::Call::ReadSealKey), REMOTE_MS),
            Step::ReadingCommitted => (Call::Kubernetes(kubernetes::Call::ReadCommitted), REMOTE_MS),
            Step::ReadingTrust => (Call::Kubernetes(kubernetes::Call::ReadTrust), REMOTE_MS),
            Step::ReadingMountedKey => {
                (Call::Volume(volume::Call::ReadSealKey { into: Secret::Own(Own::SealKey) }), LOCAL_MS)
            }
            Step::Opening => (Call::State(state::Call::Open { key: Secret::Own(Own::SealKey) }), LOCAL_MS),
            Step::ReadingHold => (Call::State(state::Call::ReadHold), LOCAL_MS),
        }
    }

    /// The name of the awaited answer.
    pub(super) const fn phase(&self) -> &'static str {
        match self.step {
            Step::InspectingDirectory => "Survey::InspectingDirectory",
            Step::ReadingState => "Survey::ReadingState",
            Step::ReadingSealStatus => "Survey::ReadingSealStatus",
            Step::ReadingInitStatus => "Survey::ReadingInitStatus",
            Step::ReadingApiToken => "Survey::ReadingApiToken",
            Step::ReadingSecret => "Survey::ReadingSecret",
            Step::ReadingCommitted => "Survey::ReadingCommitted",
            Step::ReadingTrust => "Survey::ReadingTrust",
            Step::ReadingMountedKey => "Survey::ReadingMountedKey",
            Step::Opening => "Survey::Opening",
            Step::ReadingHold => "Survey::ReadingHold",
        }
    }

    /// Takes the answer: the next question, or the complete facts.
    pub(super) fn done(mut self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        self.learn(outcome);
        match self.next() {
            Some(step) => Turn::Ask(Self { step, ..self }),
            None => {
                let since = self.key_missing_since(context.memory.key_missing_since, context.now);
                context.memory.key_missing_since = since;
                context.memory.facts = self.facts;
                Turn::Decide
            }
        }
    }

    fn learn(&mut self, outcome: Outcome<Reply>) {
        let reply = match outcome {
            Outcome::Ok(reply) => reply,
            Outcome::Refused(_) | Outcome::Unknown(_) => return,
        };
        let facts = &mut self.facts;
        match (self.step, reply) {
            (Step::InspectingDirectory, Reply::State(state::Reply::Directory { mount_point })) => {
                facts.mount_point = Known::Fact(mount_point);
            }
            (Step::ReadingState, Reply::State(state::Reply::State(state))) => {
                facts.state = Known::Fact(state)
            }
            (Step::ReadingSealStatus, Reply::Vault(vault::Reply::SealStatus(seal))) => {
                facts.seal = Known::Fact(seal);
            }
            (Step::ReadingInitStatus, Reply::Vault(vault::Reply::InitStatus(init))) => {
                facts.init = Known::Fact(init);
            }
            (Step::ReadingApiToken, Reply::Volume(volume::Reply::Token(file))) => {
                facts.api_token = file == TokenFile::Read;
            }
            (Step::ReadingSecret, Reply::Kubernetes(kubernetes::Reply::SealKey(secret))) => {
                facts.secret = Known::Fact(secret);
            }
            (Step::ReadingCommitted, Reply::Kubernetes(kubernetes::Reply::Committed(committed))) => {
                facts.committed = Known::Fact(committed);
            }
            (Step::ReadingTrust, Reply::Kubernetes(kubernetes::Reply::Trust(trust))) => {
                facts.trust = Known::Fact(trust.is_some());
            }
            (Step::ReadingMountedKey, Reply::Volume(volume::Reply::SealKey(mounted))) => {
                facts.mounted = Known::Fact(mounted);
            }
            (Step::Opening, Reply::State(state::Reply::Opened(opened))) => facts.opened = Known::Fact(opened),
            (Step::ReadingHold, Reply::State(state::Reply::Hold(hold))) => facts.hold = Known::Fact(hold),
            (step, reply) => panic!("the driver answered {step:?} with {reply:?}"),
        }
    }

    fn next(&self) -> Option<Step> {
        Some(match self.step {
            Step::InspectingDirectory => Step::ReadingState,
            Step::ReadingState => Step::ReadingSealStatus,
            Step::ReadingSealStatus => Step::ReadingInitStatus,
            Step::ReadingInitStatus => Step::ReadingApiToken,
            Step::ReadingApiToken if !self.facts.api_token => Step::ReadingMountedKey,
            Step::ReadingApiToken => Step::ReadingSecret,
            Step::ReadingSecret => Step::ReadingCommitted,
            Step::ReadingCommitted => Step::ReadingTrust,
            Step::ReadingTrust => Step::ReadingMountedKey,
            Step::ReadingMountedKey if self.can_open() => Step::Opening,
            Step::ReadingMountedKey | Step::Opening => Step::ReadingHold,
            Step::ReadingHold => return None,
        })
    }

    /// Since when the mounted key has not been the envelope's. A survey that could not compare them changes nothing.
    fn key_missing_since(&self, since: Option<Mono>, now: Now) -> Option<Mono> {
        match (&self.facts.state, &self.facts.mounted) {
            (Known::Fact(State::Envelope { .. }), Known::Fact(_)) if self.can_open() => None,
            (Known::Fact(State::Envelope { .. }), Known::Fact(_)) => since.or(Some(now.mono)),
            (Known::Unknown | Known::Fact(_), _) => since,
        }
    }

    /// Whether the mounted key is the envelope's.
    fn can_open(&self) -> bool {
        let (Known::Fact(State::Envelope { key, .. }), Known::Fact(SealKeyFile::Present(mounted))) =
            (&self.facts.state, &self.facts.mounted)
        else {
            return false;
        };
        key == mounted
    }
}
