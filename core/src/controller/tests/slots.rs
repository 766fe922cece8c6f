//! The keyring as the tests know it: which slots a call reads, and which an answer fills. A call that reads an empty slot
//! is a panic, in every test.

use alloc::collections::BTreeSet;

use super::fixtures::*;
use crate::state::Opened;
use crate::volume::{SealKeyFile, TokenFile};

/// The slots that are filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(BTreeSet<Secret>);

impl Slots {
    /// The request leaves: its secrets are taken from their slots, or forgotten.
    pub(super) fn encode(&mut self, call: &Call) {
        for name in read_by(call) {
            assert!(self.0.contains(&name), "{name:?} is empty, and this needs it: {call:?}");
        }
        if let Call::Keys(keys::Call::Forget { names }) = call {
            self.0.retain(|name| !names.contains(name));
        }
    }

    /// The answer arrives: its secrets are put into their slots.
    pub(super) fn decode(&mut self, call: &Call, outcome: &Outcome<Reply>) {
        if let Outcome::Ok(reply) = outcome {
            self.0.extend(filled_by(call, reply));
        }
    }

    /// A question is asked: the caller shows its token.
    pub(super) fn open(&mut self, ticket: Ticket) {
        self.0.insert(Secret::Of(ticket, Asker::CallerJwt));
    }

    /// It was answered or withdrawn.
    pub(super) fn close(&mut self, ticket: Ticket) {
        self.0.retain(|name| !matches!(name, Secret::Of(owner, _) if *owner == ticket));
    }

    /// What of the process's own is filled.
    pub(super) fn own(&self) -> Vec<Own> {
        let own = self.0.iter().filter_map(|name| match name {
            Secret::Own(own) => Some(*own),
            Secret::Of(..) | Secret::Caller(_) => None,
        });
        own.collect()
    }

    /// The questions whose logins have left a token of Vault's here.
    pub(super) fn logins(&self) -> Vec<Ticket> {
        let logins = self.0.iter().filter_map(|name| match name {
            Secret::Caller(login) => Some(*login),
            Secret::Own(_) | Secret::Of(..) => None,
        });
        logins.collect()
    }
}

fn read_by(call: &Call) -> Vec<Secret> {
    match call {
        Call::Vault(call) => read_by_vault(call),
        Call::Kubernetes(call) => {
            let mut names = vec![Secret::Own(Own::ApiJwt)];
            match call {
                kubernetes::Call::CreateSealKey { key, .. } => names.push(*key),
                kubernetes::Call::ReviewToken { token, .. } => names.push(*token),
                kubernetes::Call::ReadSealKey
                | kubernetes::Call::CreateCommitted { .. }
                | kubernetes::Call::ReadCommitted
                | kubernetes::Call::ReadTrust
                | kubernetes::Call::CreateTrust { .. }
                | kubernetes::Call::UpdateTrust { .. }
                | kubernetes::Call::ReadSigners
                | kubernetes::Call::DeletePod { .. } => {}
            }
            names
        }
        Call::State(state::Call::WriteEnvelope { key, root, .. }) => {
            let root = root.then_some(Secret::Own(Own::RootToken));
            [*key, Secret::Own(Own::UnsealKey)].into_iter().chain(root).collect()
        }
        Call::State(state::Call::Open { key }) => vec![*key],
        Call::Listener(listener::Call::Present { key, .. }) => vec![*key],
        Call::Keys(keys::Call::Examine { token, like, .. }) => vec![*token, *like],
        Call::State(_) | Call::Volume(_) | Call::Keys(_) | Call::Listener(listener::Call::Probe { .. }) => {
            vec![]
        }
    }
}

fn read_by_vault(call: &vault::Call) -> Vec<Secret> {
    match call {
        vault::Call::SealStatus | vault::Call::InitStatus | vault::Call::Health | vault::Call::Initialize => {
            vec![]
        }
        vault::Call::Unseal { key } => vec![*key],
        vault::Call::Login { jwt, .. } => vec![*jwt],
        vault::Call::WriteAccount { token, password, .. } => vec![*token, *password],
        vault::Call::LookupSelf { token }
        | vault::Call::RevokeSelf { token }
        | vault::Call::ListAccessors { token }
        | vault::Call::LookupAccessor { token, .. }
        | vault::Call::RevokeAccessor { token, .. }
        | vault::Call::Read { token, .. }
        | vault::Call::Write { token, .. }
        | vault::Call::ReadJwt { token, .. }
        | vault::Call::WriteJwt { token, .. }
        | vault::Call::ReadAccount { token, .. }
        | vault::Call::GeneratePassword { token, .. }
        | vault::Call::ReadGeneration { token }
        | vault::Call::WriteGeneration { token, .. }
        | vault::Call::Issue { token, .. }
        | vault::Call::SignCertificate { token, .. }
        | vault::Call::Sign { token, .. } => vec![*token],
    }
}

fn filled_by(call: &Call, reply: &Reply) -> Vec<Secret> {
    match call {
        Call::Vault(
            vault::Call::Login { into, .. }
            | vault::Call::GeneratePassword { into, .. }
            | vault::Call::Issue { into, .. },
        )
        | Call::Keys(keys::Call::MintSealKey { into } | keys::Call::MintCertificateKey { into }) => {
            vec![*into]
        }
        Call::Vault(vault::Call::Initialize) if *reply == Reply::Vault(vault::Reply::Initialized) => {
            vec![Secret::Own(Own::UnsealKey), Secret::Own(Own::RootToken)]
        }
        Call::Volume(volume::Call::ReadToken { into, .. })
            if *reply == Reply::Volume(volume::Reply::Token(TokenFile::Read)) =>
        {
            vec![*into]
        }
        Call::Volume(volume::Call::ReadSealKey { into })
            if matches!(reply, Reply::Volume(volume::Reply::SealKey(SealKeyFile::Present(_)))) =>
        {
            vec![*into]
        }
        Call::State(state::Call::Open { .. }) => match reply {
            Reply::State(state::Reply::Opened(Opened::Keys { root })) => {
                let root = root.then_some(Secret::Own(Own::RootToken));
                core::iter::once(Secret::Own(Own::UnsealKey)).chain(root).collect()
            }
            Reply::State(_)
            | Reply::Vault(_)
            | Reply::Kubernetes(_)
            | Reply::Volume(_)
            | Reply::Keys(_)
            | Reply::Listener(_) => vec![],
        },
        Call::Vault(_)
        | Call::Kubernetes(_)
        | Call::State(_)
        | Call::Volume(_)
        | Call::Keys(_)
        | Call::Listener(_) => vec![],
    }
}
