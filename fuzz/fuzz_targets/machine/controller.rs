//! The world of the controller's own tests, and every other answer that it could give.

use kubefox_core::bootstrap::Csrs;
use kubefox_core::caller::Examined;
use kubefox_core::controller::world::{World as Platform, accessor, identity, key_id, pem, root_token};
use kubefox_core::controller::{Ask, Call, Config, Controller, Reply, Signal};
use kubefox_core::kubernetes::{Marked, PublishedTrust, Review, SealKeyObject};
use kubefox_core::machine::Outcome;
use kubefox_core::names::{Installation, LifeId, Namespace, Nonce, PodName, ResourceVersion, TrustDomain};
use kubefox_core::signature::Signature;
use kubefox_core::state::{Claimed, Opened, State};
use kubefox_core::time::{Now, Unix};
use kubefox_core::vault::{Certificate, Generation, Health, InitStatus, Login, SealStatus};
use kubefox_core::volume::{SealKeyFile, TokenFile};
use kubefox_core::{keys, kubernetes, listener, state, vault, volume};
use serde_json::json;

use crate::{World, caller};

pub(crate) fn config(choice: u8) -> Config {
    Config {
        pod: PodName::parse("kubefox-0").expect("a name"),
        installation: Installation::parse("blue").expect("a name"),
        trust_domain: TrustDomain::parse("cluster.local").expect("a trust domain"),
        namespace: Namespace::parse("kubefox").expect("a namespace"),
        tenant_namespaces: vec![Namespace::parse("team0").expect("a namespace")],
        kubernetes_host: "https://10.0.0.1:443".into(),
        kubernetes_ca: "-----BEGIN CERTIFICATE-----\n".into(),
        allow_plain_state_dir: choice & 16 != 0,
        seal_key_grace_ms: 180_000,
        // A pod that is replaced needs a cluster that replaces it, which is the model's part.
        recover_interrupted_init: None,
    }
}

/// Nothing was ever started in it, and of every four questions two come from one pod.
pub(crate) fn platform() -> Platform {
    Platform { questions_of_a_pod: 2, ..Platform::default() }
}

impl World<Controller> for Platform {
    fn well(&mut self, call: &Call, now: Now) -> Outcome<Reply> {
        let outcome = self.answer(call, now);
        self.deeds.clear();
        outcome
    }

    fn other(&self, call: &Call, pick: u8, _: Now) -> Option<Outcome<Reply>> {
        let reply = match call {
            Call::Vault(call) => Reply::Vault(other_vault(call, pick)?),
            Call::Kubernetes(call) => Reply::Kubernetes(other_kubernetes(call, pick)?),
            Call::State(call) => Reply::State(other_state(call, pick)?),
            Call::Volume(volume::Call::ReadToken { .. }) => Reply::Volume(volume::Reply::Token(one(
                &[TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed],
                pick,
            ))),
            Call::Volume(volume::Call::ReadSealKey { .. }) => Reply::Volume(volume::Reply::SealKey(one(
                &[SealKeyFile::Absent, SealKeyFile::Malformed, SealKeyFile::Present(key_id(2))],
                pick,
            ))),
            Call::Keys(keys::Call::Examine { .. }) => Reply::Keys(keys::Reply::Examined(one(
                &[Examined::Forged, Examined::UnknownKey, Examined::Malformed, Examined::Unsigned],
                pick,
            ))),
            Call::Listener(listener::Call::Probe { .. }) => {
                Reply::Listener(listener::Reply::Probed { shown: false })
            }
            Call::Volume(volume::Call::ReadTrust | volume::Call::WriteBundle { .. })
            | Call::Keys(
                keys::Call::MintSealKey { .. }
                | keys::Call::MintCertificateKey { .. }
                | keys::Call::Forget { .. },
            )
            | Call::Listener(listener::Call::Present { .. }) => return None,
        };
        Some(Outcome::Ok(reply))
    }

    fn ask(&self, pick: u8) -> Option<Ask> {
        let own_keys = pick & 8 != 0;
        Some(match pick % 3 {
            0 => Ask::Nats(own_keys.then(caller::csr)),
            1 => {
                let csrs = || Csrs { broker: caller::csr(), runtime: caller::csr() };
                Ask::Component(own_keys.then(csrs))
            }
            _ => Ask::SignNonce { nonce: Nonce::parse("abcDEF012345-_x").expect("a nonce") },
        })
    }

    fn signal(&self, _: u8) -> Option<Signal> {
        Some(Signal::Stop)
    }
}

fn other_state(call: &state::Call, pick: u8) -> Option<state::Reply> {
    let life = || LifeId::parse("00000000000000ff").expect("sixteen digits");
    Some(match call {
        state::Call::Claim => state::Reply::Claimed(one(
            &[Claimed::Ours { mount_point: false }, Claimed::Others, Claimed::Unlockable, Claimed::Missing],
            pick,
        )),
        state::Call::Read => state::Reply::State(one(
            &[
                State::Absent,
                State::Intent { life: life() },
                State::Sent { life: life(), attempt: u32::from(pick), recoveries: u32::from(pick / 8) },
                State::Envelope { life: life(), generation: u64::from(pick), key: key_id(2) },
                State::Foreign { life: life() },
                State::Corrupt,
                State::OtherInstallation,
            ],
            pick,
        )),
        state::Call::Open { .. } => state::Reply::Opened(one(
            &[
                Opened::Keys { root: true },
                Opened::Keys { root: false },
                Opened::OtherKey,
                Opened::Tampered,
                Opened::NoEnvelope,
            ],
            pick,
        )),
        state::Call::ReadHold => state::Reply::Hold(true),
        state::Call::Rehearse
        | state::Call::WriteIntent { .. }
        | state::Call::WriteSent { .. }
        | state::Call::WriteRecover { .. }
        | state::Call::WriteForeign { .. }
        | state::Call::WriteEnvelope { .. } => return None,
    })
}

fn other_kubernetes(call: &kubernetes::Call, pick: u8) -> Option<kubernetes::Reply> {
    let marked = Marked { life: None, deleting: pick & 1 == 1 };
    Some(match call {
        kubernetes::Call::ReadSealKey => {
            let object = SealKeyObject { marked, key: Some(key_id(2)) };
            kubernetes::Reply::SealKey((pick & 2 == 2).then_some(object))
        }
        kubernetes::Call::ReadCommitted => kubernetes::Reply::Committed((pick & 2 == 2).then_some(marked)),
        kubernetes::Call::ReadTrust => kubernetes::Reply::Trust((pick & 2 == 2).then(|| PublishedTrust {
            life: None,
            version: version(9),
            trust: None,
        })),
        kubernetes::Call::ReadSigners => kubernetes::Reply::Signers(vec![]),
        kubernetes::Call::ReviewToken { .. } => kubernetes::Reply::Review(Review::Refused),
        kubernetes::Call::CreateSealKey { .. }
        | kubernetes::Call::CreateCommitted { .. }
        | kubernetes::Call::CreateTrust { .. }
        | kubernetes::Call::UpdateTrust { .. }
        | kubernetes::Call::DeletePod { .. } => return None,
    })
}

fn other_vault(call: &vault::Call, pick: u8) -> Option<vault::Reply> {
    Some(match call {
        vault::Call::SealStatus => vault::Reply::SealStatus(SealStatus {
            shamir: pick & 1 == 0,
            initialized: pick & 2 == 2,
            sealed: pick & 4 == 4,
            shares: u32::from(pick / 8),
            threshold: 1,
            version: String::new(),
        }),
        vault::Call::InitStatus => vault::Reply::InitStatus(one(
            &[InitStatus::Uninitialized, InitStatus::Initialized, InitStatus::NoSealConfiguration],
            pick,
        )),
        vault::Call::Health => vault::Reply::Health(one(
            &[Health::Standby, Health::Sealed, Health::Active, Health::Uninitialized],
            pick,
        )),
        vault::Call::Initialize => {
            one(&[vault::Reply::AlreadyInitialized, vault::Reply::HalfInitialized], pick)
        }
        vault::Call::Unseal { .. } => vault::Reply::WrongKey,
        vault::Call::LookupSelf { .. } | vault::Call::LookupAccessor { .. } => {
            vault::Reply::Token(root_token())
        }
        vault::Call::ListAccessors { .. } => {
            vault::Reply::Accessors((0..pick).map(|number| accessor(&format!("other-{number}"))).collect())
        }
        vault::Call::Read { .. } => vault::Reply::Setting((pick & 1 == 1).then(|| json!({"type": "odd"}))),
        vault::Call::ReadJwt { .. } => vault::Reply::Jwt((pick & 1 == 1).then(|| "no.jwt.at-all".into())),
        vault::Call::ReadAccount { .. } => vault::Reply::Account { exists: pick & 1 == 1 },
        vault::Call::ReadGeneration { .. } => vault::Reply::Generation(
            (pick > 0).then(|| Generation { version: 1, generation: u64::from(pick) }),
        ),
        vault::Call::Sign { .. } => vault::Reply::Signature(Signature([pick; 64])),
        vault::Call::Login { .. } => {
            vault::Reply::LoggedIn(Login { identity: identity("team0", "other"), lease_s: u64::from(pick) })
        }
        vault::Call::Issue { .. } | vault::Call::SignCertificate { .. } => {
            let (leaf, ca) = (pem("odd"), pem("another root"));
            vault::Reply::Certificate(Certificate { leaf, ca, not_after: Unix(u64::from(pick)) })
        }
        vault::Call::RevokeSelf { .. }
        | vault::Call::RevokeAccessor { .. }
        | vault::Call::Write { .. }
        | vault::Call::WriteJwt { .. }
        | vault::Call::GeneratePassword { .. }
        | vault::Call::WriteAccount { .. }
        | vault::Call::WriteGeneration { .. } => return None,
    })
}

fn one<T: Clone>(of: &[T], pick: u8) -> T {
    of[usize::from(pick) % of.len()].clone()
}

fn version(number: u64) -> ResourceVersion {
    ResourceVersion::parse(&number.to_string()).expect("digits")
}
