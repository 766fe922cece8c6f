//! What the boot does, one thing at a time: each deed is a phase with states of its own, in the file of its name.

use serde::{Deserialize, Serialize};

use super::audit::Audit;
use super::begin::Begin;
use super::calls::{Call, Reply};
use super::certify::Certify;
use super::commit::Commit;
use super::configure::Configure;
use super::create_key::CreateKey;
use super::initialize::Initialize;
use super::recover::Recover;
use super::set_up::SetUp;
use super::survey::Survey;
use super::turn::{Context, Turn};
use super::unseal::Unseal;
use super::watch::Watch;
use crate::machine::Outcome;
use crate::phases::phases;

/// What the boot is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Deed {
    Survey(Survey),
    Begin(Begin),
    CreateKey(CreateKey),
    Initialize(Initialize),
    Recover(Recover),
    Commit(Commit),
    Unseal(Unseal),
    SetUp(SetUp),
    Configure(Configure),
    Certify(Certify),
    Watch(Watch),
    Audit(Audit),
}

impl Deed {
    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match self {
            Self::Survey(survey) => survey.ask(),
            Self::Begin(begin) => begin.ask(),
            Self::CreateKey(create_key) => create_key.ask(),
            Self::Initialize(initialize) => initialize.ask(),
            Self::Recover(recover) => recover.ask(context),
            Self::Commit(commit) => commit.ask(),
            Self::Unseal(unseal) => unseal.ask(),
            Self::SetUp(set_up) => set_up.ask(context),
            Self::Configure(configure) => configure.ask(context),
            Self::Certify(certify) => certify.ask(context),
            Self::Watch(watch) => watch.ask(),
            Self::Audit(audit) => audit.ask(context),
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self {
            Self::Survey(survey) => survey.done(outcome, context).map(Self::Survey),
            Self::Begin(begin) => begin.done(outcome, context).map(Self::Begin),
            Self::CreateKey(create_key) => create_key.done(outcome, context).map(Self::CreateKey),
            Self::Initialize(initialize) => initialize.done(outcome, context).map(Self::Initialize),
            Self::Recover(recover) => recover.done(outcome).map(Self::Recover),
            Self::Commit(commit) => commit.done(outcome).map(Self::Commit),
            Self::Unseal(unseal) => unseal.done(outcome, context).map(Self::Unseal),
            Self::SetUp(set_up) => set_up.done(outcome, context).map(Self::SetUp),
            Self::Configure(configure) => configure.done(outcome, context).map(Self::Configure),
            Self::Certify(certify) => certify.done(outcome, context).map(Self::Certify),
            Self::Watch(watch) => watch.done(outcome, context).map(Self::Watch),
            Self::Audit(audit) => audit.done(outcome, context).map(Self::Audit),
        }
    }

    /// Whether SIGTERM has to wait for it.
    pub(super) const fn must_not_be_cut_short(&self) -> bool {
        match self {
            Self::Initialize(initialize) => initialize.must_not_be_cut_short(),
            Self::SetUp(set_up) => set_up.must_not_be_cut_short(),
            Self::Survey(_)
            | Self::Begin(_)
            | Self::CreateKey(_)
            | Self::Recover(_)
            | Self::Commit(_)
            | Self::Unseal(_)
            | Self::Configure(_)
            | Self::Certify(_)
            | Self::Watch(_)
            | Self::Audit(_) => false,
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self::Survey(survey) => Survey(survey),
            Self::Begin(begin) => Begin(begin),
            Self::CreateKey(create_key) => CreateKey(create_key),
            Self::Initialize(initialize) => Initialize(initialize),
            Self::Recover(recover) => Recover(recover),
            Self::Commit(commit) => Commit(commit),
            Self::Unseal(unseal) => Unseal(unseal),
            Self::SetUp(set_up) => SetUp(set_up),
            Self::Configure(configure) => Configure(configure),
            Self::Certify(certify) => Certify(certify),
            Self::Watch(watch) => Watch(watch),
            Self::Audit(audit) => Audit(audit),
        }
    }

    pub(super) const fn waits_for(&self) -> &'static str {
        match self {
            Self::Survey(_) => "looks at Vault, the state directory and the cluster",
            Self::Begin(_) => "waiting for the state directory to take the intent of a new life",
            Self::CreateKey(_) => "waiting for the cluster to store the seal key",
            Self::Initialize(_) => {
                "waiting for Vault to be initialized and its unseal key to be safe on the disk"
            }
            Self::Recover(recover) => recover.waits_for(),
            Self::Commit(_) => "waiting for the cluster to record that the unseal key is safe",
            Self::Unseal(_) => "waiting for Vault to be unsealed",
            Self::SetUp(_) => "waiting for Vault: set-up with the root token, which then dies",
            Self::Configure(_) => "waiting for Vault: its settings are read, and written where they differ",
            Self::Certify(_) => "waiting for a valid serving certificate to be issued, published and shown",
            Self::Watch(_) => "looks at Vault's seal",
            Self::Audit(_) => "looks at the envelope, the seal key and the cluster's record",
        }
    }
}
