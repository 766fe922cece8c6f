//! Auditing while serving: is everything still there that the next unseal needs? Once an hour.
//!
//! ```text
//! ReadingState → ReadingMountedKey → Opening → Forgetting
//!   → ReadingApiToken → ReadingCommitted → CreatingCommitted → ReadingSecret → serve
//! ```
//!
//! * First line, the disk: without an envelope of this life nothing is opened; without its key neither. What opening put
//!   into memory is forgotten at once.
//! * Second line, the cluster: without a token it is not asked, and after one question without an answer no other. Only
//!   a definite 404 is missing, and is made again only by whom the envelope has just opened, as in row 17.
//!
//! Each [`Finding`] is an alarm. None takes readiness away and none ends the controller: Vault is unsealed, and what is
//! missing is missed when it is restarted. So the first remedy is always a snapshot. An answer that does not come is no
//! finding. Nothing is remembered: what is still so in an hour is told again.

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::keys;
use crate::kubernetes::{self, Marked, SealKeyObject};
use crate::machine::Outcome;
use crate::names::{KeyId, LifeId};
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::state::{self, Opened, State};
use crate::volume::{self, SealKeyFile, Token, TokenFile};

/// How often it is looked.
pub(super) const AUDIT_S: u64 = 3_600;
/// A local read.
const LOCAL_MS: u64 = 2_000;
/// One request to the API server.
const REMOTE_MS: u64 = 5_000;

/// What the next unseal would miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Finding {
    /// There is no `boot.state`.
    EnvelopeMissing,
    /// `boot.state` is not what was written: it does not parse, or its seal is broken.
    EnvelopeCorrupt,
    /// `boot.state` is of another installation, of another life, or from before the envelope.
    EnvelopeForeign,
    /// `boot.state` holds a root token: it is from before that token died.
    EnvelopeRolledBack,
    /// The seal key is not mounted.
    MountedKeyMissing,
    /// The mounted seal key is not 32 bytes.
    MountedKeyMalformed,
    /// The mounted seal key is not the envelope's.
    MountedKeyReplaced,
    /// There is no Secret `kubefox-seal-key`.
    SecretMissing,
    /// Somebody asked for its deletion; its finalizer still keeps it.
    SecretDeleting,
    /// It is of another life.
    SecretForeign,
    /// Its key is not the envelope's, or is none.
    SecretReplaced,
    /// `kubefox-committed` was missing; it is made again.
    CommittedMissing,
    /// `kubefox-committed` is of another life.
    CommittedForeign,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::EnvelopeMissing,
        Self::EnvelopeCorrupt,
        Self::EnvelopeForeign,
        Self::EnvelopeRolledBack,
        Self::MountedKeyMissing,
        Self::MountedKeyMalformed,
        Self::MountedKeyReplaced,
        Self::SecretMissing,
        Self::SecretDeleting,
        Self::SecretForeign,
        Self::SecretReplaced,
        Self::CommittedMissing,
        Self::CommittedForeign,
    ];

    /// What was found, in a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::EnvelopeMissing => "boot.state is gone from the state directory.",
            Self::EnvelopeCorrupt => {
                "boot.state is not what was written: it does not parse, or its seal is broken."
            }
            Self::EnvelopeForeign => {
                "boot.state belongs to another installation or another life, or holds no envelope."
            }
            Self::EnvelopeRolledBack => "boot.state is an older one: it holds a root token that is dead.",
            Self::MountedKeyMissing => "The seal key is not mounted any more.",
            Self::MountedKeyMalformed => "The mounted seal key is not 32 bytes.",
            Self::MountedKeyReplaced => "The mounted seal key is not the one that the envelope is under.",
            Self::SecretMissing => "The Secret kubefox-seal-key is gone.",
            Self::SecretDeleting => {
                "Somebody asked for the deletion of the Secret kubefox-seal-key; only its finalizer keeps it."
            }
            Self::SecretForeign => "The Secret kubefox-seal-key belongs to another life.",
            Self::SecretReplaced => {
                "The Secret kubefox-seal-key does not hold the key that the envelope is under."
            }
            Self::CommittedMissing => "The ConfigMap kubefox-committed is gone; it is made again.",
            Self::CommittedForeign => "The ConfigMap kubefox-committed belongs to another life.",
        }
    }

    /// What a person does about it, in a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::EnvelopeMissing
            | Self::EnvelopeCorrupt
            | Self::EnvelopeForeign
            | Self::EnvelopeRolledBack => {
                "Take a snapshot of Vault first and do not restart it; then restore boot.state from a backup."
            }
            Self::MountedKeyMissing | Self::MountedKeyMalformed | Self::MountedKeyReplaced => {
                "Take a snapshot of Vault first and do not restart it; then see what the volume of the Secret \
                 kubefox-seal-key shows, and restore the Secret if it is not the one of this life."
            }
            Self::SecretMissing | Self::SecretForeign | Self::SecretReplaced => {
                "Take a snapshot of Vault first and do not restart it; then restore the Secret kubefox-seal-key from a \
                 backup."
            }
            Self::SecretDeleting => {
                "Take a snapshot of Vault first and do not restart it; back the Secret up, then remove its finalizer \
                 and create it again with the same data and annotations."
            }
            Self::CommittedMissing => "Take a snapshot of Vault first; then find out who deleted it.",
            Self::CommittedForeign => {
                "Take a snapshot of Vault first and do not restart it; then find out who replaced it, and delete it: it \
                 is made again."
            }
        }
    }
}

/// An audit under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Audit {
    step: Step,
    /// The seal key that the envelope of this life is under, if there is one.
    key: Option<KeyId>,
    /// Whether it was opened with the mounted key.
    opens: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    ReadingState,
    ReadingMountedKey,
    Opening,
    Forgetting,
    ReadingApiToken,
    ReadingCommitted,
    CreatingCommitted,
    ReadingSecret,
}

impl Audit {
    pub(super) const fn begin() -> Self {
        Self { step: Step::ReadingState, key: None, opens: false }
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match self.step {
            Step::ReadingState => (Call::State(state::Call::Read), LOCAL_MS),
            Step::ReadingMountedKey => {
                (Call::Volume(volume::Call::ReadSealKey { into: Secret::Own(Own::SealKey) }), LOCAL_MS)
            }
            Step::Opening => (Call::State(state::Call::Open { key: Secret::Own(Own::SealKey) }), LOCAL_MS),
            Step::Forgetting => {
                let names = [Own::SealKey, Own::UnsealKey, Own::RootToken].map(Secret::Own).into();
                (Call::Keys(keys::Call::Forget { names }), LOCAL_MS)
            }
            Step::ReadingApiToken => {
                let into = Secret::Own(Own::ApiJwt);
                (Call::Volume(volume::Call::ReadToken { token: Token::Api, into }), LOCAL_MS)
            }
            Step::ReadingCommitted => (Call::Kubernetes(kubernetes::Call::ReadCommitted), REMOTE_MS),
            Step::CreatingCommitted => {
                let life = life(context).clone();
                (Call::Kubernetes(kubernetes::Call::CreateCommitted { life }), REMOTE_MS)
            }
            Step::ReadingSecret => (Call::Kubernetes(kubernetes::Call::ReadSealKey), REMOTE_MS),
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self.step) {
            Step::ReadingState => "Audit::ReadingState",
            Step::ReadingMountedKey => "Audit::ReadingMountedKey",
            Step::Opening => "Audit::Opening",
            Step::Forgetting => "Audit::Forgetting",
            Step::ReadingApiToken => "Audit::ReadingApiToken",
            Step::ReadingCommitted => "Audit::ReadingCommitted",
            Step::CreatingCommitted => "Audit::CreatingCommitted",
            Step::ReadingSecret => "Audit::ReadingSecret",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        let reply = match outcome {
            Outcome::Ok(reply) => reply,
            Outcome::Refused(_) | Outcome::Unknown(_) => return self.without_an_answer(),
        };
        match (self.step, reply) {
            (Step::ReadingState, Reply::State(state::Reply::State(state))) => {
                self.judge_state(state, context)
            }
            (Step::ReadingMountedKey, Reply::Volume(volume::Reply::SealKey(mounted))) => {
                self.judge_mounted(&mounted, context)
            }
            (Step::Opening, Reply::State(state::Reply::Opened(opened))) => self.judge_opened(opened, context),
            (Step::Forgetting, Reply::Keys(keys::Reply::Forgotten)) => self.then(Step::ReadingApiToken),
            (Step::ReadingApiToken, Reply::Volume(volume::Reply::Token(TokenFile::Read))) => {
                self.then(Step::ReadingCommitted)
            }
            (Step::ReadingApiToken, Reply::Volume(volume::Reply::Token(_))) => Turn::Serve,
            (Step::ReadingCommitted, Reply::Kubernetes(kubernetes::Reply::Committed(committed))) => {
                self.judge_committed(committed.as_ref(), context)
            }
            (Step::CreatingCommitted, Reply::Kubernetes(kubernetes::Reply::Created)) => {
                self.then(Step::ReadingSecret)
            }
            (Step::ReadingSecret, Reply::Kubernetes(kubernetes::Reply::SealKey(secret))) => {
                if let Some(finding) = self.judge_secret(secret.as_ref(), context) {
                    tell(finding, context);
                }
                Turn::Serve
            }
            (step, reply) => panic!("the driver answered {step:?} with {reply:?}"),
        }
    }

    /// What is not known is no finding.
    fn without_an_answer(self) -> Turn<Self> {
        match self.step {
            Step::ReadingState => self.then(Step::ReadingApiToken),
            Step::ReadingMountedKey | Step::Opening => self.then(Step::Forgetting),
            // The unseal key may still be in memory, and configuring forgets it too.
            Step::Forgetting => Turn::Wait(Wait::Keyring),
            Step::ReadingApiToken | Step::ReadingCommitted | Step::ReadingSecret => Turn::Serve,
            // Refused because somebody else was faster, or not done: either way an hour later it is looked at again.
            Step::CreatingCommitted => self.then(Step::ReadingSecret),
        }
    }

    fn judge_state(self, state: State, context: &mut Context<'_>) -> Turn<Self> {
        let finding = match state {
            State::Envelope { life: found, key, .. } if found == *life(context) => {
                return Turn::Ask(Self { step: Step::ReadingMountedKey, key: Some(key), ..self });
            }
            State::Absent => Finding::EnvelopeMissing,
            State::Corrupt => Finding::EnvelopeCorrupt,
            State::Envelope { .. }
            | State::Intent { .. }
            | State::Sent { .. }
            | State::Recover { .. }
            | State::Foreign { .. }
            | State::OtherInstallation => Finding::EnvelopeForeign,
        };
        tell(finding, context);
        self.then(Step::ReadingApiToken)
    }

    fn judge_mounted(self, mounted: &SealKeyFile, context: &mut Context<'_>) -> Turn<Self> {
        let finding = match mounted {
            SealKeyFile::Present(key) if Some(key) == self.key.as_ref() => return self.then(Step::Opening),
            SealKeyFile::Present(_) => Finding::MountedKeyReplaced,
            SealKeyFile::Absent => Finding::MountedKeyMissing,
            SealKeyFile::Malformed => Finding::MountedKeyMalformed,
        };
        tell(finding, context);
        self.then(Step::Forgetting)
    }

    fn judge_opened(self, opened: Opened, context: &mut Context<'_>) -> Turn<Self> {
        match opened {
            Opened::Keys { root: false } => {
                return Turn::Ask(Self { step: Step::Forgetting, opens: true, ..self });
            }
            Opened::Keys { root: true } => tell(Finding::EnvelopeRolledBack, context),
            Opened::Tampered => tell(Finding::EnvelopeCorrupt, context),
            // The file or the volume changed between two reads: an hour later it is looked at again.
            Opened::OtherKey | Opened::NoEnvelope => {}
        }
        self.then(Step::Forgetting)
    }

    fn judge_committed(self, committed: Option<&Marked>, context: &mut Context<'_>) -> Turn<Self> {
        match committed {
            Some(committed) if committed.life.as_ref() == Some(life(context)) => {}
            Some(_) => tell(Finding::CommittedForeign, context),
            None if self.opens => {
                tell(Finding::CommittedMissing, context);
                return self.then(Step::CreatingCommitted);
            }
            // An envelope that does not open is not what it would say.
            None => {}
        }
        self.then(Step::ReadingSecret)
    }

    fn judge_secret(&self, secret: Option<&SealKeyObject>, context: &Context<'_>) -> Option<Finding> {
        let Some(secret) = secret else { return Some(Finding::SecretMissing) };
        if secret.marked.life.as_ref() != Some(life(context)) {
            return Some(Finding::SecretForeign);
        }
        // Without an envelope there is nothing to compare the key with, but that it is one.
        let is_ours = secret.key.is_some() && (self.key.is_none() || self.key == secret.key);
        if !is_ours {
            return Some(Finding::SecretReplaced);
        }
        secret.marked.deleting.then_some(Finding::SecretDeleting)
    }

    fn then(self, step: Step) -> Turn<Self> {
        Turn::Ask(Self { step, ..self })
    }
}

fn tell(finding: Finding, context: &mut Context<'_>) {
    let (what, remedy) = (finding.sentence().into(), finding.remedy().into());
    context.notices.push(Notice::Found { finding, what, remedy });
}

fn life<'a>(context: &'a Context<'_>) -> &'a LifeId {
    context.memory.life.as_ref().expect("whoever serves has come by row 20, which names the life")
}
