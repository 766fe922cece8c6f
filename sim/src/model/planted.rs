//! Planted bugs: what a controller could get wrong, done to a right one from outside.
//!
//! Each is a wrapper that lies to the machine or acts for it; none touches the machine. The closure of the world in which
//! it is planted must break the invariant that is named with it: a search that finds nothing in a world where something
//! is wrong proves nothing in the world where nothing is.

#![expect(clippy::wildcard_enum_match_arm, reason = "a bug concerns few calls and leaves all others alone")]

use http::Method;
use kubefox_core::controller::{Call, Reply};
use kubefox_core::machine::{Outcome, Refusal};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::State;
use kubefox_core::vault::{InitStatus, SealStatus, Setting};
use kubefox_core::{kubernetes, listener, state, vault};
use kubefox_io::adapter::Slots as _;
use kubefox_io::disk::{Folder, Request as DiskRequest};
use kubefox_io::exchange::Request;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::boot_state::boot_state;
use super::world::{Fate, PLATFORM, World};
use crate::fake::disk::{Disk, Holder};
use crate::fake::kubernetes::{Kind, Kubernetes};

macro_rules! bugs {
    ($($bug:ident = $what:literal, $invariant:literal;)+) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),+];

            /// What it does wrong.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$bug => $what,)+
                }
            }

            /// The name of the invariant that it breaks.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Self::$bug => $invariant,)+
                }
            }
        }
    };
}

bugs! {
    BlindRetry = "repeats Initialize after an answer that was lost",
        "it stops only for a reason that is true";
    ActsBeforeDurable = "goes on while the envelope is in the page cache, which dies with the process",
        "nothing is initialized over an earlier life";
    SkipsReadBack = "takes a write for what was written: the envelope is torn, and nobody looks",
        "the unseal key is recoverable";
    DropsRootToken = "writes the first envelope without the root token",
        "a root token that lives is in the envelope or in memory";
    SkipsRevocation = "says that root is dead, never asked for it, and finds no other when it searches",
        "a root token that lives is in the envelope or in memory";
    ForgetsRevocation = "takes a revocation that was lost for done, and finds no root when it searches",
        "a root token that lives is in the envelope or in memory";
    BelievesGarbage403 = "takes a 403 to a garbage token for the death of root, and finds none when it searches",
        "a root token that lives is in the envelope or in memory";
    LosesCas = "writes a JWT without compare-and-set, where the policy allows it",
        "what is written once never changes";
    ReusesNonce = "draws salt and nonce from a generator whose state was restored",
        "no nonce is used twice under one key";
    OverwritesSecret = "stores the seal key whether or not there is one",
        "the unseal key is recoverable";
    CommitsEarly = "says committed as soon as Initialize was sent",
        "nothing is initialized over an earlier life";
    NewLifeOverOld = "takes a boot.state that it finds inconvenient for none",
        "nothing is initialized over an earlier life";
    UnnamedAuthority = "generates a root certificate without a name",
        "it stops only for a reason that is true";
    SilenceIsUninitialized = "takes a Vault that does not answer for one that was never initialized",
        "it stops only for a reason that is true";
    TellsSecret = "tells its token where it should tell its address",
        "no secret in the clear";
    RecoversAfterCommit = "takes a committed installation for an interrupted initialization",
        "nothing is initialized over an earlier life";
    IgnoresLock = "takes the state directory, whoever holds it",
        "a second controller changes nothing";
}

impl Bug {
    /// Plants the bug and brings the world to where the search begins.
    pub fn plant(self, world: &mut World) {
        world.plant(self);
        self.begin(world);
    }

    /// Brings a world to where the search for the bug begins.
    pub fn begin(self, world: &mut World) {
        if self == Self::OverwritesSecret {
            // It shows when the create that was given up arrives after the one that was repeated.
            world.reach("CreateKey::Creating");
            world.take(Fate::Late);
        }
        world.reach(self.begins_at());
        while self == Self::UnnamedAuthority && !generates_authority(world) {
            world.take(Fate::Answered);
            world.reach(self.begins_at());
        }
    }

    /// The state of the controller from which the search begins: nothing that the bug does comes before it.
    const fn begins_at(self) -> &'static str {
        match self {
            Self::BlindRetry
            | Self::ActsBeforeDurable
            | Self::SkipsReadBack
            | Self::DropsRootToken
            | Self::CommitsEarly
            | Self::SilenceIsUninitialized
            | Self::IgnoresLock => "Survey::InspectingDirectory",
            Self::OverwritesSecret | Self::RecoversAfterCommit => "Commit::Creating",
            Self::ReusesNonce => "SetUp::WritingEnvelope",
            Self::SkipsRevocation | Self::ForgetsRevocation | Self::BelievesGarbage403 => {
                "SetUp::CheckingBefore"
            }
            Self::UnnamedAuthority => "Configure::WritingSetting",
            Self::LosesCas => "Configure::ReadingJwt",
            Self::TellsSecret => "Certify::Issuing",
            Self::NewLifeOverOld => "Serving",
        }
    }
}

/// A bug, and what it remembers.
#[derive(Clone)]
pub struct Planted {
    bug: Bug,
    /// The revocation was not done.
    believes_dead: bool,
    /// What `boot.state` was before it was written to the page cache.
    durable: Option<Vec<u8>>,
}

impl Planted {
    /// The bug in a controller that has not started yet.
    #[must_use]
    pub const fn new(bug: Bug) -> Self {
        Self { bug, believes_dead: false, durable: None }
    }

    /// The process dies: what was never durable is gone.
    pub(super) fn process_ends(&mut self, disk: &mut Disk) {
        if let Some(bytes) = self.durable.take() {
            let bytes = Zeroizing::new(bytes);
            disk.perform(
                Holder::NONE,
                DiskRequest::Replace { folder: Folder::State, name: "boot.state", bytes },
            );
        }
        self.believes_dead = false;
    }

    /// A request is about to be carried out, now or late.
    pub(super) fn before_carrying(&self, request: &Request, kubernetes: &mut Kubernetes, disk: &mut Disk) {
        if let (Bug::IgnoresLock, Request::Disk(DiskRequest::Claim(_))) = (self.bug, request) {
            disk.break_lock();
        }
        if let (Bug::OverwritesSecret, Request::Kubernetes(request)) = (self.bug, request)
            && request.method() == Method::POST
            && request.uri().path().ends_with("/secrets")
        {
            kubernetes.erase(Kind::Secret, PLATFORM, kubernetes::SEAL_KEY);
        }
    }

    /// Does wrong instead of letting the call under way meet its fate; false if this is none of its business.
    pub(super) fn interferes(world: &mut World, fate: Fate) -> bool {
        let (Some(planted), Some(call)) = (&world.planted, world.next_call().cloned()) else { return false };
        let lost = matches!(fate, Fate::RequestLost | Fate::ReplyLost);
        match planted.bug {
            Bug::BlindRetry => lost && blind_retry(world, &call, fate),
            Bug::ReusesNonce => reuse_nonce(world, &call),
            Bug::SilenceIsUninitialized => lost && take_silence_for_uninitialized(world, &call),
            Bug::ForgetsRevocation if fate == Fate::RequestLost => skip_revocation(world, &call),
            Bug::CommitsEarly => commit_early(world, &call),
            Bug::ActsBeforeDurable
            | Bug::SkipsReadBack
            | Bug::DropsRootToken
            | Bug::SkipsRevocation
            | Bug::ForgetsRevocation
            | Bug::BelievesGarbage403
            | Bug::LosesCas
            | Bug::NewLifeOverOld
            | Bug::UnnamedAuthority
            | Bug::TellsSecret
            | Bug::RecoversAfterCommit
                if fate != Fate::Answered =>
            {
                false
            }
            Bug::ActsBeforeDurable => write_to_cache(world, &call),
            Bug::SkipsReadBack => skip_read_back(world, &call),
            Bug::DropsRootToken => drop_root_token(world, &call),
            Bug::SkipsRevocation => skip_revocation(world, &call) || deny_root(world, &call),
            Bug::ForgetsRevocation => deny_root(world, &call),
            Bug::BelievesGarbage403 => send_garbage(world, &call) || deny_root(world, &call),
            Bug::LosesCas => write_without_cas(world, &call),
            Bug::NewLifeOverOld => overlook_old_life(world, &call),
            Bug::UnnamedAuthority => generate_unnamed(world, &call),
            Bug::TellsSecret => tell_secret(world, &call),
            Bug::RecoversAfterCommit => overlook_commit(world, &call),
            // What it does is done when the request is carried out.
            Bug::OverwritesSecret | Bug::IgnoresLock => false,
        }
    }
}

fn blind_retry(world: &mut World, call: &Call, fate: Fate) -> bool {
    let Call::Vault(vault::Call::Initialize) = call else { return false };
    if fate == Fate::ReplyLost {
        let first = world.encode().expect("it leaves the process");
        drop(world.carry(first));
    }
    let second = world.encode().expect("it leaves the process");
    let response = world.carry(second);
    world.process.answer(world.now, response);
    true
}

fn write_to_cache(world: &mut World, call: &Call) -> bool {
    if let Call::State(state::Call::WriteEnvelope { .. }) = call {
        let before = world.disk.file(Folder::State, "boot.state").map(<[u8]>::to_vec);
        believe(world, |planted| planted.durable = before);
    }
    false
}

fn skip_read_back(world: &mut World, call: &Call) -> bool {
    match call {
        Call::State(state::Call::WriteEnvelope { .. }) => {
            let Some(Request::Disk(DiskRequest::Replace { folder, name, mut bytes })) = world.encode() else {
                unreachable!("an envelope is one file")
            };
            let torn = bytes.len() - TORN_BYTES;
            bytes.truncate(torn);
            let response = world.carry(Request::Disk(DiskRequest::Replace { folder, name, bytes }));
            world.process.answer(world.now, response);
            true
        }
        Call::State(state::Call::Open { .. }) => believe_read_back(world),
        _ => false,
    }
}

/// So much of an envelope never reached the disk.
const TORN_BYTES: usize = 16;

/// Says that the envelope is as it was written, if that is what is asked.
fn believe_read_back(world: &mut World) -> bool {
    let phase = world.phase();
    if !phase.ends_with("ReadingBack") {
        return false;
    }
    let root = phase.starts_with("Initialize");
    say(world, Reply::State(state::Reply::Opened(state::Opened::Keys { root })))
}

fn drop_root_token(world: &mut World, call: &Call) -> bool {
    match call.clone() {
        Call::State(state::Call::WriteEnvelope { life, generation, key, root: true }) => {
            let call = state::Call::WriteEnvelope { life, generation, key, root: false };
            world.process.replace_call(Call::State(call));
            false
        }
        Call::State(state::Call::Open { .. }) => believe_read_back(world),
        _ => false,
    }
}

fn skip_revocation(world: &mut World, call: &Call) -> bool {
    let Call::Vault(vault::Call::RevokeSelf { .. }) = call else { return false };
    believe(world, |planted| planted.believes_dead = true);
    say(world, Reply::Vault(vault::Reply::Revoked))
}

fn send_garbage(world: &mut World, call: &Call) -> bool {
    let Call::Vault(vault::Call::RevokeSelf { .. }) = call else { return false };
    believe(world, |planted| planted.believes_dead = true);
    refuse(world, Refusal::Unauthenticated)
}

/// Once root is believed to be dead, every question about it is answered so.
fn deny_root(world: &mut World, call: &Call) -> bool {
    let believes_dead = world.planted.as_ref().is_some_and(|planted| planted.believes_dead);
    match call {
        Call::Vault(vault::Call::LookupSelf { .. }) if believes_dead => {
            refuse(world, Refusal::Unauthenticated)
        }
        Call::Vault(vault::Call::ListAccessors { .. }) if believes_dead => {
            say(world, Reply::Vault(vault::Reply::Accessors(Vec::new())))
        }
        _ => false,
    }
}

fn write_without_cas(world: &mut World, call: &Call) -> bool {
    if let Call::Vault(vault::Call::WriteJwt { .. }) = call {
        world.vault.rewrite("nats-jwt/");
    }
    false
}

fn reuse_nonce(world: &mut World, call: &Call) -> bool {
    if let Call::State(state::Call::WriteEnvelope { .. }) = call {
        world.dice.rewind();
    }
    false
}

fn commit_early(world: &mut World, call: &Call) -> bool {
    if let Call::Vault(vault::Call::Initialize) = call {
        let path = format!("/api/v1/namespaces/{PLATFORM}/configmaps");
        let committed = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": kubernetes::COMMITTED, "namespace": PLATFORM}});
        world.administer(Method::POST, &path, &committed);
    }
    false
}

fn overlook_old_life(world: &mut World, call: &Call) -> bool {
    if !world.storage_was_lost {
        return false;
    }
    let nothing = match call {
        Call::State(state::Call::Read) => Reply::State(state::Reply::State(State::Absent)),
        Call::Kubernetes(kubernetes::Call::ReadSealKey) => {
            Reply::Kubernetes(kubernetes::Reply::SealKey(None))
        }
        Call::Kubernetes(kubernetes::Call::ReadCommitted) => {
            Reply::Kubernetes(kubernetes::Reply::Committed(None))
        }
        Call::Kubernetes(kubernetes::Call::ReadTrust) => Reply::Kubernetes(kubernetes::Reply::Trust(None)),
        _ => return false,
    };
    say(world, nothing)
}

fn overlook_commit(world: &mut World, call: &Call) -> bool {
    if !world.kubernetes.exists(Kind::ConfigMap, PLATFORM, kubernetes::COMMITTED) {
        return false;
    }
    let reply = match (call, boot_state(world).0) {
        (Call::State(state::Call::Read), State::Envelope { life, .. }) => {
            Reply::State(state::Reply::State(State::Sent { life, attempt: 1, recoveries: 0 }))
        }
        (Call::Kubernetes(kubernetes::Call::ReadCommitted), _) => {
            Reply::Kubernetes(kubernetes::Reply::Committed(None))
        }
        _ => return false,
    };
    say(world, reply)
}

fn generate_unnamed(world: &mut World, call: &Call) -> bool {
    let Call::Vault(vault::Call::Write { token, setting: Setting::RootCertificate, body }) = call else {
        return false;
    };
    let mut body = body.clone();
    if let Value::Object(members) = &mut body {
        members.retain(|name, _| name != "issuer_name" && name != "key_name");
    }
    let (token, setting) = (*token, Setting::RootCertificate);
    world.process.replace_call(Call::Vault(vault::Call::Write { token, setting, body }));
    false
}

fn take_silence_for_uninitialized(world: &mut World, call: &Call) -> bool {
    let reply = match call {
        Call::Vault(vault::Call::SealStatus) => vault::Reply::SealStatus(SealStatus {
            shamir: true,
            initialized: false,
            sealed: true,
            shares: 0,
            threshold: 0,
            version: String::new(),
        }),
        Call::Vault(vault::Call::InitStatus) => vault::Reply::InitStatus(InitStatus::Uninitialized),
        _ => return false,
    };
    say(world, Reply::Vault(reply))
}

fn tell_secret(world: &mut World, call: &Call) -> bool {
    let Call::Listener(listener::Call::Present { .. }) = call else { return false };
    let token = world.process.keyring().expose(Secret::Own(Own::ControllerToken));
    let address = String::from_utf8_lossy(token.unwrap_or_default()).into_owned();
    say(world, Reply::Listener(listener::Reply::Presented { address }))
}

fn generates_authority(world: &World) -> bool {
    let call = world.next_call();
    matches!(call, Some(Call::Vault(vault::Call::Write { setting: Setting::RootCertificate, .. })))
}

fn believe(world: &mut World, change: impl FnOnce(&mut Planted)) {
    change(world.planted.as_mut().expect("a bug is planted where one acts"));
}

fn say(world: &mut World, reply: Reply) -> bool {
    world.process.conclude(world.now, Outcome::Ok(reply));
    true
}

fn refuse(world: &mut World, refusal: Refusal) -> bool {
    world.process.conclude(world.now, Outcome::Refused(refusal));
    true
}
