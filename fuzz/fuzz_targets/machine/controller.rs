//! Vault, the API server, the disk and the mounts, as far as the controller knows them.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use kubefox_core::bootstrap::Csrs;
use kubefox_core::caller::{Claims, Examined, Signer, SignerKey};
use kubefox_core::controller::{Ask, Call, Config, Controller, Reply, Signal};
use kubefox_core::documents::setting::ROOT_ISSUER;
use kubefox_core::kubernetes::{Marked, Pod, PublishedTrust, Review, SealKeyObject, Trust};
use kubefox_core::machine::{Outcome, Refusal};
use kubefox_core::names::{
    Accessor, Identity, Installation, KeyId, LifeId, Namespace, Nonce, PodName, ResourceVersion, TokenDigest,
    TrustDomain, Uid,
};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{Claimed, Opened, State};
use kubefox_core::time::{Now, Unix};
use kubefox_core::vault::{
    Account, Certificate, CertificateRequest, Generation, Health, InitStatus, Login, NatsKey, SealStatus,
    Setting, StoredJwt, TokenFacts,
};
use kubefox_core::volume::{SealKeyFile, TokenFile};
use kubefox_core::{keys, kubernetes, listener, state, vault, volume};
use serde_json::{Value, json};

use crate::caller::pem;
use crate::{World, caller};

#[derive(Default)]
pub(crate) struct Platform {
    state: Option<State>,
    root_inside: bool,
    secret: Option<LifeId>,
    committed: Option<LifeId>,
    trust: Option<(LifeId, u64, Trust)>,
    initialized: bool,
    unsealed: bool,
    /// Whether the root token of the initialization lives.
    root: bool,
    settings: BTreeMap<Setting, Value>,
    jwts: BTreeMap<StoredJwt, String>,
    accounts: BTreeSet<Account>,
    generation: Option<Generation>,
    certificates: u64,
}

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

impl World<Controller> for Platform {
    fn well(&mut self, call: &Call, now: Now) -> Outcome<Reply> {
        match call {
            Call::Vault(call) => self.vault(call, now).map(Reply::Vault),
            Call::Kubernetes(call) => self.kubernetes(call).map(Reply::Kubernetes),
            Call::State(call) => self.state(call).map(Reply::State),
            Call::Volume(call) => Outcome::Ok(Reply::Volume(self.volume(call))),
            Call::Keys(call) => Outcome::Ok(Reply::Keys(match call {
                keys::Call::MintSealKey { .. } => keys::Reply::Minted(key_id(1)),
                keys::Call::MintCertificateKey { .. } => panic!("not a controller's call: {call:?}"),
                keys::Call::Forget { .. } => keys::Reply::Forgotten,
                keys::Call::Examine { token, signers, .. } => {
                    keys::Reply::Examined(match signers.as_slice() {
                        [] => Examined::UnknownKey,
                        [..] => Examined::Genuine(claims(*token, now)),
                    })
                }
            })),
            Call::Listener(listener::Call::Present { .. }) => {
                Outcome::Ok(Reply::Listener(listener::Reply::Presented { address: "127.0.0.1:8443".into() }))
            }
            Call::Listener(listener::Call::Probe { .. }) => {
                Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown: true }))
            }
        }
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

impl Platform {
    fn state(&mut self, call: &state::Call) -> Outcome<state::Reply> {
        let written = match call {
            state::Call::Claim => {
                return Outcome::Ok(state::Reply::Claimed(Claimed::Ours { mount_point: true }));
            }
            state::Call::Read => {
                return Outcome::Ok(state::Reply::State(self.state.clone().unwrap_or(State::Absent)));
            }
            state::Call::ReadHold => return Outcome::Ok(state::Reply::Hold(false)),
            state::Call::Rehearse => return Outcome::Ok(state::Reply::Written),
            state::Call::Open { .. } => {
                return Outcome::Ok(state::Reply::Opened(match &self.state {
                    Some(State::Envelope { .. }) => Opened::Keys { root: self.root_inside },
                    Some(
                        State::Absent
                        | State::Intent { .. }
                        | State::Sent { .. }
                        | State::Recover { .. }
                        | State::Foreign { .. }
                        | State::Corrupt
                        | State::OtherInstallation,
                    )
                    | None => Opened::NoEnvelope,
                }));
            }
            state::Call::WriteIntent { life } => State::Intent { life: life.clone() },
            state::Call::WriteSent { life, attempt, recoveries } => {
                State::Sent { life: life.clone(), attempt: *attempt, recoveries: *recoveries }
            }
            state::Call::WriteRecover { life, attempt, recoveries, pod } => State::Recover {
                life: life.clone(),
                attempt: *attempt,
                recoveries: *recoveries,
                pod: pod.clone(),
            },
            state::Call::WriteForeign { life } => State::Foreign { life: life.clone() },
            state::Call::WriteEnvelope { life, generation, root, .. } => {
                self.root_inside = *root;
                State::Envelope { life: life.clone(), generation: *generation, key: key_id(1) }
            }
        };
        self.state = Some(written);
        Outcome::Ok(state::Reply::Written)
    }

    fn volume(&self, call: &volume::Call) -> volume::Reply {
        match call {
            volume::Call::ReadToken { .. } => volume::Reply::Token(TokenFile::Read),
            volume::Call::ReadSealKey { .. } => volume::Reply::SealKey(match self.secret {
                Some(_) => SealKeyFile::Present(key_id(1)),
                None => SealKeyFile::Absent,
            }),
            volume::Call::ReadTrust | volume::Call::WriteBundle { .. } => {
                panic!("not a controller's call: {call:?}")
            }
        }
    }

    fn kubernetes(&mut self, call: &kubernetes::Call) -> Outcome<kubernetes::Reply> {
        let marked = |life: &LifeId| Marked { life: Some(life.clone()), deleting: false };
        Outcome::Ok(match call {
            kubernetes::Call::ReadSealKey => kubernetes::Reply::SealKey(
                self.secret.as_ref().map(|life| SealKeyObject { marked: marked(life), key: Some(key_id(1)) }),
            ),
            kubernetes::Call::ReadCommitted => {
                kubernetes::Reply::Committed(self.committed.as_ref().map(marked))
            }
            kubernetes::Call::ReadTrust => {
                kubernetes::Reply::Trust(self.trust.as_ref().map(|(life, number, trust)| PublishedTrust {
                    life: Some(life.clone()),
                    version: version(*number),
                    trust: Some(trust.clone()),
                }))
            }
            kubernetes::Call::CreateSealKey { life, .. } => return created(&mut self.secret, life.clone()),
            kubernetes::Call::CreateCommitted { life } => return created(&mut self.committed, life.clone()),
            kubernetes::Call::CreateTrust { life, trust } => {
                return created(&mut self.trust, (life.clone(), 1, trust.clone()));
            }
            kubernetes::Call::UpdateTrust { life, version: stands, trust } => match &mut self.trust {
                Some((_, number, _)) if version(*number) == *stands => {
                    self.trust = Some((life.clone(), *number + 1, trust.clone()));
                    kubernetes::Reply::Updated
                }
                Some(_) | None => return Outcome::Refused(Refusal::Conflict),
            },
            kubernetes::Call::DeletePod { .. } => kubernetes::Reply::PodDeleted,
            kubernetes::Call::ReviewToken { token, .. } => kubernetes::Reply::Review(Review::Authenticated {
                identity: owner(*token),
                pod: Some(pod(*token)),
            }),
            kubernetes::Call::ReadSigners => kubernetes::Reply::Signers(vec![signer()]),
        })
    }

    fn vault(&mut self, call: &vault::Call, now: Now) -> Outcome<vault::Reply> {
        Outcome::Ok(match call {
            vault::Call::SealStatus => vault::Reply::SealStatus(self.seal_status()),
            vault::Call::InitStatus if self.initialized => vault::Reply::InitStatus(InitStatus::Initialized),
            vault::Call::InitStatus => vault::Reply::InitStatus(InitStatus::Uninitialized),
            vault::Call::Health => vault::Reply::Health(match (self.initialized, self.unsealed) {
                (false, _) => Health::Uninitialized,
                (true, false) => Health::Sealed,
                (true, true) => Health::Active,
            }),
            vault::Call::Initialize if self.initialized => vault::Reply::AlreadyInitialized,
            vault::Call::Initialize => {
                (self.initialized, self.root) = (true, true);
                vault::Reply::Initialized
            }
            vault::Call::Unseal { .. } if self.initialized => {
                self.unsealed = true;
                vault::Reply::Unsealed
            }
            vault::Call::Unseal { .. } => return Outcome::Refused(Refusal::NotReady),
            vault::Call::LookupSelf { .. }
            | vault::Call::RevokeSelf { .. }
            | vault::Call::ListAccessors { .. }
            | vault::Call::LookupAccessor { .. }
            | vault::Call::RevokeAccessor { .. }
            | vault::Call::Login { .. }
            | vault::Call::Read { .. }
            | vault::Call::Write { .. }
            | vault::Call::ReadJwt { .. }
            | vault::Call::WriteJwt { .. }
            | vault::Call::ReadAccount { .. }
            | vault::Call::GeneratePassword { .. }
            | vault::Call::WriteAccount { .. }
            | vault::Call::ReadGeneration { .. }
            | vault::Call::WriteGeneration { .. }
            | vault::Call::Issue { .. }
            | vault::Call::SignCertificate { .. }
            | vault::Call::Sign { .. } => {
                return match self.unsealed {
                    true => self.unsealed_vault(call, now),
                    false => Outcome::Refused(Refusal::NotReady),
                };
            }
        })
    }

    fn unsealed_vault(&mut self, call: &vault::Call, now: Now) -> Outcome<vault::Reply> {
        Outcome::Ok(match call {
            vault::Call::LookupSelf { token: Secret::Own(Own::RootToken) } if self.root => root_token(),
            vault::Call::RevokeSelf { token: Secret::Own(Own::RootToken) } if self.root => {
                self.root = false;
                vault::Reply::Revoked
            }
            vault::Call::LookupSelf { .. } | vault::Call::RevokeSelf { .. } => {
                return Outcome::Refused(Refusal::Unauthenticated);
            }
            vault::Call::Login { role, .. } if !self.settings.contains_key(&Setting::AuthRole(*role)) => {
                return Outcome::Refused(Refusal::Invalid);
            }
            vault::Call::Login { jwt, .. } => {
                vault::Reply::LoggedIn(Login { identity: owner(*jwt), lease_s: 900 })
            }
            vault::Call::ListAccessors { .. } => {
                vault::Reply::Accessors(self.root.then(|| accessor("first")).into_iter().collect())
            }
            vault::Call::LookupAccessor { .. } if self.root => root_token(),
            vault::Call::LookupAccessor { .. } => vault::Reply::NoToken,
            vault::Call::RevokeAccessor { .. } => {
                self.root = false;
                vault::Reply::Revoked
            }
            vault::Call::Read { setting, .. } => vault::Reply::Setting(self.settings.get(setting).cloned()),
            vault::Call::Write { setting, body, .. } => {
                self.settings.insert(setting.clone(), standing(setting, body));
                vault::Reply::Written
            }
            vault::Call::ReadJwt { jwt, .. } => vault::Reply::Jwt(self.jwts.get(jwt).cloned()),
            vault::Call::WriteJwt { jwt, text, .. } => {
                if self.jwts.contains_key(jwt) {
                    return Outcome::Refused(Refusal::Conflict);
                }
                self.jwts.insert(*jwt, text.clone());
                vault::Reply::Written
            }
            vault::Call::ReadAccount { account, .. } => {
                vault::Reply::Account { exists: self.accounts.contains(account) }
            }
            vault::Call::GeneratePassword { .. } => vault::Reply::Password,
            vault::Call::WriteAccount { account, .. } => match self.accounts.insert(*account) {
                true => vault::Reply::Written,
                false => return Outcome::Refused(Refusal::Conflict),
            },
            vault::Call::ReadGeneration { .. } => vault::Reply::Generation(self.generation),
            vault::Call::WriteGeneration { cas, generation, .. } => {
                if self.generation.map_or(0, |kept| kept.version) != *cas {
                    return Outcome::Refused(Refusal::Conflict);
                }
                self.generation = Some(Generation { version: cas + 1, generation: *generation });
                vault::Reply::Written
            }
            vault::Call::Issue { request, .. } | vault::Call::SignCertificate { request, .. } => {
                vault::Reply::Certificate(self.certificate(request, now))
            }
            vault::Call::Sign { key, .. } if !self.settings.contains_key(&Setting::NatsKey(key.clone())) => {
                return Outcome::Refused(Refusal::Invalid);
            }
            vault::Call::Sign { .. } => vault::Reply::Signature(vec![7; 64]),
            vault::Call::SealStatus
            | vault::Call::InitStatus
            | vault::Call::Health
            | vault::Call::Initialize
            | vault::Call::Unseal { .. } => return Outcome::Refused(Refusal::NotReady),
        })
    }

    fn certificate(&mut self, request: &CertificateRequest, now: Now) -> Certificate {
        self.certificates += 1;
        let leaf = pem(&format!("{} {}", request.role.as_str(), self.certificates));
        Certificate { leaf, ca: pem("root"), not_after: Unix(now.unix.0 + request.ttl_s) }
    }

    fn seal_status(&self) -> SealStatus {
        let shares = u32::from(self.initialized);
        SealStatus {
            shamir: true,
            initialized: self.initialized,
            sealed: !self.unsealed,
            shares,
            threshold: shares,
            version: "2.7.2".into(),
        }
    }
}

fn created<T>(slot: &mut Option<T>, value: T) -> Outcome<kubernetes::Reply> {
    if slot.is_some() {
        return Outcome::Refused(Refusal::Conflict);
    }
    *slot = Some(value);
    Outcome::Ok(kubernetes::Reply::Created)
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
        vault::Call::LookupSelf { .. } | vault::Call::LookupAccessor { .. } => root_token(),
        vault::Call::ListAccessors { .. } => {
            vault::Reply::Accessors((0..pick).map(|number| accessor(&format!("other-{number}"))).collect())
        }
        vault::Call::Read { .. } => vault::Reply::Setting((pick & 1 == 1).then(|| json!({"type": "odd"}))),
        vault::Call::ReadJwt { .. } => vault::Reply::Jwt((pick & 1 == 1).then(|| "no.jwt.at-all".into())),
        vault::Call::ReadAccount { .. } => vault::Reply::Account { exists: pick & 1 == 1 },
        vault::Call::ReadGeneration { .. } => vault::Reply::Generation(
            (pick > 0).then(|| Generation { version: 1, generation: u64::from(pick) }),
        ),
        vault::Call::Sign { .. } => vault::Reply::Signature(vec![0; usize::from(pick)]),
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

/// What is read once this body was written.
fn standing(setting: &Setting, body: &Value) -> Value {
    match setting {
        Setting::KubernetesAuth => json!({"type": "kubernetes", "accessor": "auth_kubernetes_1"}),
        Setting::RootCertificate => json!({"issuers": [ROOT_ISSUER]}),
        Setting::NatsKey(key) => {
            let raw = match key {
                NatsKey::Operator => [1; 32],
                NatsKey::SystemAccount => [2; 32],
                NatsKey::PlatformAccount => [3; 32],
                NatsKey::PlatformSigner => [4; 32],
                NatsKey::User(_) => [5; 32],
            };
            json!({"type": "ed25519", "latest_version": 1, "public_key": BASE64.encode(&raw)})
        }
        Setting::KubernetesAuthConfig
        | Setting::Policy(_)
        | Setting::AuthRole(_)
        | Setting::Mount(_)
        | Setting::PkiRole(_)
        | Setting::PasswordPolicy => body.clone(),
    }
}

fn root_token() -> vault::Reply {
    vault::Reply::Token(TokenFacts { path: "auth/token/root".into(), policies: vec!["root".into()] })
}

fn signer() -> Signer {
    Signer { id: "key-1".into(), key: SignerKey::P256(vec![1; 65]) }
}

/// What a token says of itself; of every four questions two come from one pod.
fn claims(token: Secret, now: Now) -> Claims {
    let pod = pod(token);
    let digest = format!("{:0>64}", pod.uid.as_str().trim_start_matches("pod-"));
    Claims {
        own_issuer: true,
        audiences: vec!["kubefox.blue".into()],
        issued: now.unix,
        not_before: now.unix,
        expires: Unix(now.unix.0 + 600),
        identity: Some(owner(token)),
        pod: Some(pod),
        digest: TokenDigest::parse(&digest).expect("digits"),
    }
}

fn pod(token: Secret) -> Pod {
    let number = match token {
        Secret::Of(ticket, _) => ticket.0 / 2,
        Secret::Own(_) | Secret::Caller(_) => 0,
    };
    let (name, uid) = (format!("app-{number}"), format!("pod-{number}"));
    Pod { name: PodName::parse(&name).expect("a name"), uid: Uid::parse(&uid).expect("a uid") }
}

fn owner(token: Secret) -> Identity {
    match token {
        Secret::Of(..) => identity("team0", "app"),
        Secret::Own(_) | Secret::Caller(_) => identity("kubefox", "kubefox"),
    }
}

fn identity(namespace: &str, account: &str) -> Identity {
    Identity::parse_username(&format!("system:serviceaccount:{namespace}:{account}")).expect("an identity")
}

fn accessor(name: &str) -> Accessor {
    Accessor::parse(name).expect("an accessor")
}

fn key_id(number: u64) -> KeyId {
    KeyId::parse(&format!("{number:032x}")).expect("32 digits")
}

fn version(number: u64) -> ResourceVersion {
    ResourceVersion::parse(&number.to_string()).expect("digits")
}
