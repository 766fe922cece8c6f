//! Answers of the right kind that are not true, for worlds that lie.

use super::fixtures::*;
use super::world::signer;
use crate::caller::Examined;
use crate::kubernetes::Review;
use crate::signature::Signature;
use crate::state::{Claimed, Opened, State};
use crate::vault::{Generation, Health, InitStatus, Setting};
use crate::volume::{SealKeyFile, TokenFile};

/// An answer of the right kind that need not be true; `None` where there is only one.
pub(super) fn lie(call: &Call, pick: u8) -> Option<Outcome<Reply>> {
    let one = |of: &[Outcome<Reply>]| Some(of[usize::from(pick) % of.len()].clone());
    match call {
        Call::State(state::Call::Claim) => {
            let claimed = [
                Claimed::Ours { mount_point: pick > 40 },
                Claimed::Ours { mount_point: true },
                Claimed::Others,
                Claimed::Unlockable,
                Claimed::Missing,
            ];
            one(&claimed.map(|claimed| state(state::Reply::Claimed(claimed))))
        }
        Call::State(state::Call::Read) => {
            let states = [
                State::Absent,
                State::Intent { life: life() },
                State::Sent { life: life(), attempt: u32::from(pick), recoveries: 0 },
                State::Envelope { life: life(), generation: 1, key: key_id(1) },
                State::Envelope { life: other_life(), generation: 1, key: key_id(2) },
            ];
            one(&states.map(|found| state(state::Reply::State(found))))
        }
        Call::State(state::Call::Open { .. }) => {
            let opened = [
                Opened::Keys { root: true },
                Opened::Keys { root: false },
                Opened::OtherKey,
                Opened::NoEnvelope,
            ];
            one(&opened.map(|opened| state(state::Reply::Opened(opened))))
        }
        Call::State(state::Call::ReadHold) => one(&[state(state::Reply::Hold(pick > 200))]),
        Call::Volume(volume::Call::ReadToken { .. }) => {
            one(&[TokenFile::Read, TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed]
                .map(token_file))
        }
        Call::Volume(volume::Call::ReadSealKey { .. }) => {
            let files =
                [SealKeyFile::Absent, SealKeyFile::Present(key_id(1)), SealKeyFile::Present(key_id(2))];
            one(&files.map(|file| Outcome::Ok(Reply::Volume(volume::Reply::SealKey(file)))))
        }
        Call::Kubernetes(kubernetes::Call::ReviewToken { .. }) => {
            one(&[kubernetes(kubernetes::Reply::Review(Review::Refused))])
        }
        Call::Kubernetes(kubernetes::Call::ReadSigners) => {
            one(&[vec![], vec![signer(9)]].map(|keys| kubernetes(kubernetes::Reply::Signers(keys))))
        }
        Call::Keys(keys::Call::Examine { .. }) => {
            one(&[Examined::Forged, Examined::UnknownKey, Examined::Malformed, Examined::Unsigned]
                .map(|examined| Outcome::Ok(Reply::Keys(keys::Reply::Examined(examined)))))
        }
        Call::Kubernetes(kubernetes::Call::ReadSealKey) => {
            one(&[kubernetes(kubernetes::Reply::SealKey(None))])
        }
        Call::Kubernetes(kubernetes::Call::ReadCommitted) => {
            one(&[kubernetes(kubernetes::Reply::Committed(None))])
        }
        Call::Kubernetes(kubernetes::Call::ReadTrust) => one(&[kubernetes(kubernetes::Reply::Trust(None))]),
        Call::Vault(call) => vault_lie(call, pick),
        Call::Listener(listener::Call::Probe { .. }) => {
            one(&[Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown: false }))])
        }
        Call::Kubernetes(_)
        | Call::State(_)
        | Call::Volume(_)
        | Call::Keys(_)
        | Call::Listener(listener::Call::Present { .. }) => None,
    }
}

fn vault_lie(call: &vault::Call, pick: u8) -> Option<Outcome<Reply>> {
    let one = |of: &[vault::Reply]| Some(vault(of[usize::from(pick) % of.len()].clone()));
    match call {
        vault::Call::InitStatus => one(&[
            vault::Reply::InitStatus(InitStatus::Uninitialized),
            vault::Reply::InitStatus(InitStatus::Initialized),
            vault::Reply::InitStatus(InitStatus::NoSealConfiguration),
        ]),
        vault::Call::Health => one(&[
            vault::Reply::Health(Health::Active),
            vault::Reply::Health(Health::Standby),
            vault::Reply::Health(Health::Sealed),
        ]),
        vault::Call::Initialize => {
            one(&[vault::Reply::Initialized, vault::Reply::AlreadyInitialized, vault::Reply::HalfInitialized])
        }
        vault::Call::Unseal { .. } => one(&[vault::Reply::Unsealed, vault::Reply::WrongKey]),
        vault::Call::LookupSelf { .. } => one(&[vault::Reply::Token(super::world::root_token())]),
        vault::Call::LookupAccessor { .. } => {
            one(&[vault::Reply::NoToken, vault::Reply::Token(super::world::root_token())])
        }
        vault::Call::ListAccessors { .. } => {
            one(&[vault::Reply::Accessors(vec![accessor("one"), accessor("two")])])
        }
        vault::Call::Read { setting, .. } if *setting != Setting::KubernetesAuth => {
            one(&[vault::Reply::Setting(None)])
        }
        vault::Call::ReadJwt { .. } => {
            one(&[vault::Reply::Jwt(None), vault::Reply::Jwt(Some("no.jwt.at-all".into()))])
        }
        vault::Call::ReadGeneration { .. } => {
            let kept = |generation| Some(Generation { version: 1, generation });
            one(&[None, kept(1), kept(2), kept(3)].map(vault::Reply::Generation))
        }
        vault::Call::ReadAccount { .. } => one(&[vault::Reply::Account { exists: pick > 100 }]),
        vault::Call::Sign { .. } => one(&[vault::Reply::Signature(Signature([pick; 64]))]),
        vault::Call::SealStatus
        | vault::Call::RevokeSelf { .. }
        | vault::Call::RevokeAccessor { .. }
        | vault::Call::Login { .. }
        | vault::Call::Read { .. }
        | vault::Call::Write { .. }
        | vault::Call::WriteJwt { .. }
        | vault::Call::GeneratePassword { .. }
        | vault::Call::WriteAccount { .. }
        | vault::Call::WriteGeneration { .. }
        | vault::Call::Issue { .. }
        | vault::Call::SignCertificate { .. } => None,
    }
}
