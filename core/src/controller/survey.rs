//! Surveying: the facts that the boot table needs, one question after the other, and none that no row could use.
//!
//! ```text
//! InspectingDirectory → ReadingState → ReadingInitStatus → ReadingSealStatus
//!   → ReadingApiToken → ReadingCommitted → ReadingSecret → ReadingTrust
//!   → ReadingMountedKey → Opening → ReadingHold → decide
//! ```
//!
//! * First line: without one of these answers every row waits, and a file that nobody can use stops every row, so it
//!   decides at once. Where another process has the directory nothing else is asked of anybody: what it says of Vault and
//!   the cluster is about to change. Only a half-initialized Vault is not asked for its seal: what it is is known.
//! * Second line: an API server that does not answer one question is not asked the others. `kubefox-committed` comes
//!   first because it alone matters to every row; `kubefox-trust` matters only where there is no `boot.state`.
//! * Third line: the mounted key matters once `boot.state` names a life, and before there is an envelope only together
//!   with what the cluster says. `Opening` needs the envelope's own key, `ReadingHold` an envelope that opens and a
//!   sealed Vault.
//!
//! A question without a definite answer leaves its fact unknown; the survey itself never fails.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Reply};
use super::table::{Facts, Known};
use super::turn::{Context, Turn};
use crate::machine::Outcome;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::state::{Claimed, Opened, State};
use crate::time::{Mono, Now};
use crate::vault::InitStatus;
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
    ReadingInitStatus,
    ReadingSealStatus,
    ReadingApiToken,
    ReadingCommitted,
    ReadingSecret,
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
            Step::InspectingDirectory => (Call::State(state::Call::Claim), LOCAL_MS),
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

    phases! {
        /// The name of the awaited answer.
        pub(super) fn phase(&self) match (self.step) {
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
                Turn::Decide(Box::new(self.facts))
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
            (Step::InspectingDirectory, Reply::State(state::Reply::Claimed(claimed))) => {
                facts.directory = Known::Fact(claimed);
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

    /// The next question that a row could use the answer of.
    fn next(&self) -> Option<Step> {
        let facts = &self.facts;
        match self.step {
            Step::InspectingDirectory => {
                let ours = matches!(facts.directory, Known::Fact(Claimed::Ours { .. }));
                ours.then_some(Step::ReadingState)
            }
            Step::ReadingState => match &facts.state {
                // Row 3, whatever the rest says.
                Known::Unknown
                | Known::Fact(State::Corrupt | State::OtherInstallation | State::Foreign { .. }) => None,
                Known::Fact(
                    State::Absent
                    | State::Intent { .. }
                    | State::Sent { .. }
                    | State::Recover { .. }
                    | State::Envelope { .. },
                ) => Some(Step::ReadingInitStatus),
            },
            Step::ReadingInitStatus => match facts.init {
                Known::Unknown => None,
                Known::Fact(InitStatus::NoSealConfiguration) => Some(Step::ReadingApiToken),
                Known::Fact(InitStatus::Uninitialized | InitStatus::Initialized) => {
                    Some(Step::ReadingSealStatus)
                }
            },
            Step::ReadingSealStatus => known(&facts.seal).then_some(Step::ReadingApiToken),
            Step::ReadingApiToken if facts.api_token => Some(Step::ReadingCommitted),
            Step::ReadingCommitted if known(&facts.committed) => Some(Step::ReadingSecret),
            Step::ReadingSecret if known(&facts.secret) && facts.state == Known::Fact(State::Absent) => {
                Some(Step::ReadingTrust)
            }
            Step::ReadingApiToken | Step::ReadingCommitted | Step::ReadingSecret | Step::ReadingTrust => {
                self.after_the_cluster()
            }
            Step::ReadingMountedKey => self.can_open().then_some(Step::Opening),
            Step::Opening => {
                let opens = matches!(facts.opened, Known::Fact(Opened::Keys { .. }));
                let sealed = matches!(&facts.seal, Known::Fact(seal) if seal.sealed);
                (opens && sealed).then_some(Step::ReadingHold)
            }
            Step::ReadingHold => None,
        }
    }

    fn after_the_cluster(&self) -> Option<Step> {
        match &self.facts.state {
            Known::Fact(State::Envelope { .. }) => Some(Step::ReadingMountedKey),
            Known::Fact(State::Intent { .. } | State::Sent { .. } | State::Recover { .. }) => {
                let answered = known(&self.facts.committed) && known(&self.facts.secret);
                answered.then_some(Step::ReadingMountedKey)
            }
            Known::Fact(State::Absent) => None,
            state @ (Known::Unknown
            | Known::Fact(State::Corrupt | State::OtherInstallation | State::Foreign { .. })) => {
                panic!("the survey ended with {state:?}")
            }
        }
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

const fn known<T>(fact: &Known<T>) -> bool {
    match fact {
        Known::Fact(_) => true,
        Known::Unknown => false,
    }
}
