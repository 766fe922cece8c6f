//! A world that does what it is asked: Vault, the API server, the disk and the mounts, as far as the controller knows
//! them. A call that is none of the controller's is a panic.
//!
//! It is for those who run the machine and look at what it does: the tests here and, by the feature `world`, the fuzz
//! target. It is not strict, and knows no wire: that is what the fakes of the simulator are for.

mod deeds;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Call, Reply};
use crate::caller::{Claims, Examined, Signer, SignerKey};
use crate::documents::setting::ROOT_ISSUER;
use crate::kubernetes::{Marked, Pod, PublishedTrust, Review, SealKeyObject};
use crate::machine::{Outcome, Refusal};
use crate::names::{Accessor, Identity, KeyId, LifeId, Pem, PodName, ResourceVersion, TokenDigest, Uid};
use crate::secret::{Asker, Own, Secret};
use crate::signature::Signature;
use crate::state::{Claimed, Opened, State};
use crate::time::{Now, Unix};
use crate::vault::{
    Account, Certificate, Generation, Health, InitStatus, Login, NatsKey, SealStatus, Setting, StoredJwt,
    TokenFacts,
};
use crate::volume::{SealKeyFile, Token, TokenFile};
use crate::{keys, kubernetes, listener, state, vault, volume};

/// All that the controller can see and change.
#[derive(Clone, Debug)]
pub struct World {
    /// How the state directory can be claimed.
    pub directory: Claimed,
    /// What stands in it.
    pub state: State,
    /// Whether the envelope holds the root token.
    pub root_inside: bool,
    /// Whether Vault is to be kept sealed.
    pub hold: bool,
    /// Projected tokens.
    pub tokens: BTreeSet<Token>,
    /// The seal key at the API server.
    pub secret: Option<SealKeyObject>,
    /// The seal key as it is mounted; one that is stored is there at once.
    pub mounted: SealKeyFile,
    /// Whether this life is committed.
    pub committed: Option<Marked>,
    /// What every client is to trust.
    pub trust: Option<PublishedTrust>,
    /// Whether Vault is.
    pub initialized: bool,
    /// Whether Vault is.
    pub sealed: bool,
    /// Whether the root token of the initialization lives.
    pub root: bool,
    /// Root tokens that somebody else has.
    pub other_roots: BTreeSet<Accessor>,
    /// What Vault is configured with, as it is read.
    pub settings: BTreeMap<Setting, Value>,
    /// The JWTs that Vault stores.
    pub jwts: BTreeMap<StoredJwt, String>,
    /// The accounts that have a password.
    pub accounts: BTreeSet<Account>,
    /// The generation that Vault keeps.
    pub generation: Option<Generation>,
    /// Whose token the callers show.
    pub caller: Identity,
    /// So many questions in a row come from one pod, which shows the same token again and again.
    pub questions_of_a_pod: u64,
    /// What the API server signs tokens with.
    pub signer: u8,
    /// What changed something, proved somebody or showed itself, in order.
    pub deeds: Vec<String>,
    /// Seal keys that were minted.
    pub minted: u64,
    /// How often the trust was published.
    pub versions: u64,
    /// Certificates that were issued.
    pub certificates: u64,
}

impl Default for World {
    /// Nothing was ever started here.
    fn default() -> Self {
        Self {
            directory: Claimed::Ours { mount_point: true },
            state: State::Absent,
            root_inside: false,
            hold: false,
            tokens: BTreeSet::from([Token::Api, Token::Vault, Token::Setup]),
            secret: None,
            mounted: SealKeyFile::Absent,
            committed: None,
            trust: None,
            initialized: false,
            sealed: true,
            root: false,
            other_roots: BTreeSet::new(),
            settings: BTreeMap::new(),
            jwts: BTreeMap::new(),
            accounts: BTreeSet::new(),
            generation: None,
            caller: identity("team0", "app"),
            questions_of_a_pod: 1,
            signer: 1,
            deeds: Vec::new(),
            minted: 0,
            versions: 0,
            certificates: 0,
        }
    }
}

impl World {
    /// Does what is asked.
    pub fn answer(&mut self, call: &Call, now: Now) -> Outcome<Reply> {
        if let Some(deed) = deeds::deed(call) {
            self.deeds.push(deed);
        }
        match call {
            Call::Vault(call) => self.vault(call, now).map(Reply::Vault),
            Call::Kubernetes(call) => self.kubernetes(call).map(Reply::Kubernetes),
            Call::State(call) => self.state(call).map(Reply::State),
            Call::Volume(call) => Outcome::Ok(Reply::Volume(self.volume(call))),
            Call::Keys(keys::Call::MintSealKey { into: Secret::Own(Own::MintedSealKey) }) => {
                self.minted += 1;
                Outcome::Ok(Reply::Keys(keys::Reply::Minted(key_id(self.minted))))
            }
            Call::Listener(listener::Call::Present { .. }) => {
                Outcome::Ok(Reply::Listener(listener::Reply::Presented { address: "127.0.0.1:8443".into() }))
            }
            Call::Listener(listener::Call::Probe { .. }) => {
                Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown: true }))
            }
            Call::Keys(keys::Call::Forget { .. }) => Outcome::Ok(Reply::Keys(keys::Reply::Forgotten)),
            Call::Keys(keys::Call::Examine { token, signers, .. }) => {
                let examined = match signers.contains(&signer(self.signer)) {
                    true => Examined::Genuine(self.claims(*token, now)),
                    false => Examined::UnknownKey,
                };
                Outcome::Ok(Reply::Keys(keys::Reply::Examined(examined)))
            }
            Call::Keys(keys::Call::MintSealKey { .. } | keys::Call::MintCertificateKey { .. }) => {
                panic!("not a key of the controller: {call:?}")
            }
        }
    }

    fn state(&mut self, call: &state::Call) -> Outcome<state::Reply> {
        Outcome::Ok(match call {
            state::Call::Claim => state::Reply::Claimed(self.directory),
            state::Call::Read => state::Reply::State(self.state.clone()),
            state::Call::ReadHold => state::Reply::Hold(self.hold),
            state::Call::Open { .. } => state::Reply::Opened(self.open()),
            state::Call::Rehearse => state::Reply::Written,
            state::Call::WriteIntent { life } => self.write(State::Intent { life: life.clone() }),
            state::Call::WriteSent { life, attempt, recoveries } => {
                let (life, attempt, recoveries) = (life.clone(), *attempt, *recoveries);
                self.write(State::Sent { life, attempt, recoveries })
            }
            state::Call::WriteRecover { life, attempt, recoveries, pod } => {
                let (life, attempt, recoveries, pod) = (life.clone(), *attempt, *recoveries, pod.clone());
                self.write(State::Recover { life, attempt, recoveries, pod })
            }
            state::Call::WriteForeign { life } => self.write(State::Foreign { life: life.clone() }),
            state::Call::WriteEnvelope { life, generation, root, .. } => {
                let SealKeyFile::Present(key) = self.mounted.clone() else {
                    return Outcome::Refused(Refusal::Local);
                };
                self.root_inside = *root;
                self.write(State::Envelope { life: life.clone(), generation: *generation, key })
            }
        })
    }

    fn write(&mut self, state: State) -> state::Reply {
        self.state = state;
        state::Reply::Written
    }

    fn open(&self) -> Opened {
        match (&self.state, &self.mounted) {
            (State::Envelope { key, .. }, SealKeyFile::Present(mounted)) if key == mounted => {
                Opened::Keys { root: self.root_inside }
            }
            (State::Envelope { .. }, _) => Opened::OtherKey,
            (
                State::Absent
                | State::Intent { .. }
                | State::Sent { .. }
                | State::Recover { .. }
                | State::Foreign { .. }
                | State::Corrupt
                | State::OtherInstallation,
                _,
            ) => Opened::NoEnvelope,
        }
    }

    fn volume(&self, call: &volume::Call) -> volume::Reply {
        match call {
            volume::Call::ReadToken { token, .. } if self.tokens.contains(token) => {
                volume::Reply::Token(TokenFile::Read)
            }
            volume::Call::ReadToken { .. } => volume::Reply::Token(TokenFile::Missing),
            volume::Call::ReadSealKey { .. } => volume::Reply::SealKey(self.mounted.clone()),
            volume::Call::ReadTrust | volume::Call::WriteBundle { .. } => {
                panic!("not a controller's call: {call:?}")
            }
        }
    }

    fn kubernetes(&mut self, call: &kubernetes::Call) -> Outcome<kubernetes::Reply> {
        Outcome::Ok(match call {
            kubernetes::Call::ReadSealKey => kubernetes::Reply::SealKey(self.secret.clone()),
            kubernetes::Call::ReadCommitted => kubernetes::Reply::Committed(self.committed.clone()),
            kubernetes::Call::ReadTrust => kubernetes::Reply::Trust(self.trust.clone()),
            kubernetes::Call::CreateSealKey { .. } if self.secret.is_some() => {
                return Outcome::Refused(Refusal::Conflict);
            }
            kubernetes::Call::CreateSealKey { life, .. } => {
                let marked = Marked { life: Some(life.clone()), deleting: false };
                let key = key_id(self.minted);
                self.mounted = SealKeyFile::Present(key.clone());
                self.secret = Some(SealKeyObject { marked, key: Some(key) });
                kubernetes::Reply::Created
            }
            kubernetes::Call::CreateCommitted { .. } if self.committed.is_some() => {
                return Outcome::Refused(Refusal::Conflict);
            }
            kubernetes::Call::CreateCommitted { life } => {
                self.committed = Some(Marked { life: Some(life.clone()), deleting: false });
                kubernetes::Reply::Created
            }
            kubernetes::Call::CreateTrust { .. } if self.trust.is_some() => {
                return Outcome::Refused(Refusal::Conflict);
            }
            kubernetes::Call::CreateTrust { life, trust } => {
                self.publish(life, trust);
                kubernetes::Reply::Created
            }
            kubernetes::Call::UpdateTrust { life, version, trust } => {
                if self.trust.as_ref().map(|published| &published.version) != Some(version) {
                    return Outcome::Refused(Refusal::Conflict);
                }
                self.publish(life, trust);
                kubernetes::Reply::Updated
            }
            kubernetes::Call::DeletePod { .. } => kubernetes::Reply::PodDeleted,
            kubernetes::Call::ReviewToken { token, .. } => {
                let (identity, pod) = (self.owner(*token), Some(self.pod(*token)));
                kubernetes::Reply::Review(Review::Authenticated { identity, pod })
            }
            kubernetes::Call::ReadSigners => kubernetes::Reply::Signers(vec![signer(self.signer)]),
        })
    }

    fn publish(&mut self, life: &LifeId, trust: &kubernetes::Trust) {
        self.versions += 1;
        let version = ResourceVersion::parse(&format!("{}", self.versions)).expect("digits");
        self.trust = Some(PublishedTrust { life: Some(life.clone()), version, trust: Some(trust.clone()) });
    }

    /// The pod that a token is bound to.
    #[must_use]
    pub fn pod(&self, token: Secret) -> Pod {
        let number = match token {
            Secret::Of(ticket, _) => ticket.0 / self.questions_of_a_pod,
            Secret::Own(_) | Secret::Caller(_) => 0,
        };
        pod(number)
    }

    /// What a token says of itself.
    #[must_use]
    pub fn claims(&self, token: Secret, now: Now) -> Claims {
        let pod = self.pod(token);
        let digest = format!("{:0>64}", pod.uid.as_str().trim_start_matches("pod-"));
        Claims {
            own_issuer: true,
            audiences: vec!["kubefox.blue".into()],
            issued: now.unix,
            not_before: now.unix,
            expires: Unix(now.unix.0 + 600),
            identity: Some(self.owner(token)),
            pod: Some(pod),
            digest: TokenDigest::parse(&digest).expect("digits"),
        }
    }

    fn owner(&self, token: Secret) -> Identity {
        match token {
            Secret::Own(Own::VaultJwt | Own::SetupJwt) => identity("kubefox", "kubefox"),
            Secret::Of(_, Asker::CallerJwt) => self.caller.clone(),
            Secret::Own(_) | Secret::Of(..) | Secret::Caller(_) => {
                panic!("not a service account's token: {token:?}")
            }
        }
    }

    fn vault(&mut self, call: &vault::Call, now: Now) -> Outcome<vault::Reply> {
        if self.sealed && !answers_sealed(call) {
            return Outcome::Refused(Refusal::NotReady);
        }
        Outcome::Ok(match call {
            vault::Call::SealStatus => vault::Reply::SealStatus(self.seal_status()),
            vault::Call::InitStatus if self.initialized => vault::Reply::InitStatus(InitStatus::Initialized),
            vault::Call::InitStatus => vault::Reply::InitStatus(InitStatus::Uninitialized),
            vault::Call::Health => vault::Reply::Health(match (self.initialized, self.sealed) {
                (false, _) => Health::Uninitialized,
                (true, true) => Health::Sealed,
                (true, false) => Health::Active,
            }),
            vault::Call::Initialize if self.initialized => vault::Reply::AlreadyInitialized,
            vault::Call::Initialize => {
                (self.initialized, self.root) = (true, true);
                vault::Reply::Initialized
            }
            vault::Call::Unseal { .. } if !self.initialized => return Outcome::Refused(Refusal::NotReady),
            vault::Call::Unseal { .. } => {
                self.sealed = false;
                vault::Reply::Unsealed
            }
            vault::Call::LookupSelf { token: Secret::Own(Own::RootToken) } if self.root => {
                vault::Reply::Token(root_token())
            }
            vault::Call::RevokeSelf { token: Secret::Own(Own::RootToken) } if self.root => {
                self.root = false;
                vault::Reply::Revoked
            }
            vault::Call::LookupSelf { .. } | vault::Call::RevokeSelf { .. } => {
                return Outcome::Refused(Refusal::Unauthenticated);
            }
            vault::Call::ListAccessors { .. }
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
            | vault::Call::Sign { .. } => return self.unsealed_vault(call, now),
        })
    }

    fn unsealed_vault(&mut self, call: &vault::Call, now: Now) -> Outcome<vault::Reply> {
        Outcome::Ok(match call {
            vault::Call::Login { role, .. } if !self.settings.contains_key(&Setting::AuthRole(*role)) => {
                return Outcome::Refused(Refusal::Invalid);
            }
            vault::Call::Login { jwt, .. } => {
                vault::Reply::LoggedIn(Login { identity: self.owner(*jwt), lease_s: 900 })
            }
            vault::Call::ListAccessors { .. } => {
                let root = self.root.then(|| accessor("first-root"));
                vault::Reply::Accessors(self.other_roots.iter().cloned().chain(root).collect())
            }
            vault::Call::LookupAccessor { accessor, .. } if self.lives(accessor) => {
                vault::Reply::Token(root_token())
            }
            vault::Call::LookupAccessor { .. } => vault::Reply::NoToken,
            vault::Call::RevokeAccessor { accessor, .. } => {
                self.root &= accessor.as_str() != "first-root";
                self.other_roots.remove(accessor);
                vault::Reply::Revoked
            }
            vault::Call::Read { setting, .. } => vault::Reply::Setting(self.settings.get(setting).cloned()),
            vault::Call::Write { setting, body, .. } => {
                let standing = standing(setting, body);
                self.settings.entry(setting.clone()).or_insert(standing);
                vault::Reply::Written
            }
            vault::Call::ReadJwt { jwt, .. } => vault::Reply::Jwt(self.jwts.get(jwt).cloned()),
            vault::Call::WriteJwt { jwt, .. } if self.jwts.contains_key(jwt) => {
                return Outcome::Refused(Refusal::Conflict);
            }
            vault::Call::WriteJwt { jwt, text, .. } => {
                self.jwts.insert(*jwt, text.clone());
                vault::Reply::Written
            }
            vault::Call::ReadAccount { account, .. } => {
                vault::Reply::Account { exists: self.accounts.contains(account) }
            }
            vault::Call::GeneratePassword { .. } => vault::Reply::Password,
            vault::Call::WriteAccount { account, .. } if self.accounts.contains(account) => {
                return Outcome::Refused(Refusal::Conflict);
            }
            vault::Call::WriteAccount { account, .. } => {
                self.accounts.insert(*account);
                vault::Reply::Written
            }
            vault::Call::ReadGeneration { .. } => vault::Reply::Generation(self.generation),
            vault::Call::WriteGeneration { cas, .. }
                if self.generation.map_or(0, |kept| kept.version) != *cas =>
            {
                return Outcome::Refused(Refusal::Conflict);
            }
            vault::Call::WriteGeneration { cas, generation, .. } => {
                self.generation = Some(Generation { version: cas + 1, generation: *generation });
                vault::Reply::Written
            }
            vault::Call::Issue { request, .. } | vault::Call::SignCertificate { request, .. } => {
                self.certificates += 1;
                let leaf = pem(&format!("{} {}", request.role.as_str(), self.certificates));
                let not_after = Unix(now.unix.0 + request.ttl_s);
                vault::Reply::Certificate(Certificate { leaf, ca: pem("root"), not_after })
            }
            vault::Call::Sign { key, .. } if !self.settings.contains_key(&Setting::NatsKey(key.clone())) => {
                return Outcome::Refused(Refusal::Invalid);
            }
            vault::Call::Sign { .. } => vault::Reply::Signature(Signature([7; 64])),
            vault::Call::SealStatus
            | vault::Call::InitStatus
            | vault::Call::Health
            | vault::Call::Initialize
            | vault::Call::Unseal { .. }
            | vault::Call::LookupSelf { .. }
            | vault::Call::RevokeSelf { .. } => panic!("a sealed Vault answers this too: {call:?}"),
        })
    }

    fn seal_status(&self) -> SealStatus {
        let shares = u32::from(self.initialized);
        SealStatus {
            shamir: true,
            initialized: self.initialized,
            sealed: self.sealed,
            shares,
            threshold: shares,
            version: "2.6.2".into(),
        }
    }

    fn lives(&self, accessor: &Accessor) -> bool {
        self.other_roots.contains(accessor) || (self.root && accessor.as_str() == "first-root")
    }
}

/// The pod of that number.
#[must_use]
pub fn pod(number: u64) -> Pod {
    let (name, uid) = (format!("app-{number}"), format!("pod-{number}"));
    Pod { name: PodName::parse(&name).expect("a pod name"), uid: Uid::parse(&uid).expect("a uid") }
}

/// The key of that number.
#[must_use]
pub fn signer(number: u8) -> Signer {
    Signer { id: format!("key-{number}"), key: SignerKey::P256(vec![number; 65]) }
}

/// What a root token of an initialization is looked up as.
#[must_use]
pub fn root_token() -> TokenFacts {
    TokenFacts { path: "auth/token/root".into(), policies: vec!["root".into()] }
}

/// Whether Vault answers this even while it is sealed.
const fn answers_sealed(call: &vault::Call) -> bool {
    matches!(
        call,
        vault::Call::SealStatus
            | vault::Call::InitStatus
            | vault::Call::Health
            | vault::Call::Initialize
            | vault::Call::Unseal { .. }
    )
}

/// What is read once this body was written.
#[must_use]
pub fn standing(setting: &Setting, body: &Value) -> Value {
    match setting {
        Setting::KubernetesAuth => json!({"type": "kubernetes", "accessor": "auth_kubernetes_1"}),
        Setting::RootCertificate => json!({"issuers": [ROOT_ISSUER]}),
        Setting::NatsKey(key) => {
            let public_key = BASE64.encode(&raw(key));
            json!({"type": "ed25519", "latest_version": 1, "public_key": public_key})
        }
        Setting::KubernetesAuthConfig
        | Setting::Policy(_)
        | Setting::AuthRole(_)
        | Setting::Mount(_)
        | Setting::PkiRole(_)
        | Setting::PasswordPolicy => body.clone(),
    }
}

/// The public half of a key.
#[must_use]
pub const fn raw(key: &NatsKey) -> [u8; 32] {
    match key {
        NatsKey::Operator => [1; 32],
        NatsKey::SystemAccount => [2; 32],
        NatsKey::PlatformAccount => [3; 32],
        NatsKey::PlatformSigner => [4; 32],
        NatsKey::User(_) => [5; 32],
    }
}

/// The seal key of that number.
#[must_use]
pub fn key_id(number: u64) -> KeyId {
    KeyId::parse(&format!("{number:032x}")).expect("32 digits")
}

/// An accessor of that name.
#[must_use]
pub fn accessor(name: &str) -> Accessor {
    Accessor::parse(name).expect("an accessor")
}

/// A certificate of that name, as far as anybody here reads it.
#[must_use]
pub fn pem(name: &str) -> Pem {
    let text = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    Pem::parse(&text).expect("it begins as PEM does")
}

/// A service account.
#[must_use]
pub fn identity(namespace: &str, service_account: &str) -> Identity {
    Identity::parse_username(&format!("system:serviceaccount:{namespace}:{service_account}"))
        .expect("an identity")
}
