//! The boot table: what the survey found decides what happens next. First match wins, and only definite facts count:
//! a row that needs an unknown fact waits and says for what.
//!
//! | row | boot.state | Vault | Secret, committed, key | then |
//! |---|---|---|---|---|
//! | 2 | directory unknown or missing / another process's / without locks / not a mount point | | | wait / wait / wait / `StateNotPersistent` |
//! | 3 | unknown / unparsable / another installation's / Foreign | | | wait / `EnvelopeCorrupt` / `WrongInstallation` / `ForeignInit` |
//! | 4 | any | unknown / not Shamir, or not 1 of 1 | | wait / `ForeignSeal` |
//! | 5 | absent | uninitialized | none of Secret, committed, trust exists / any exists | begin / `EarlierLife` |
//! | 6 | absent | half-initialized / initialized | | `ForeignInit` / `EnvelopeMissing` |
//! | 7 | Intent, Sent, Recover | | Secret or committed of another life | `EarlierLife` |
//! | 8 | Intent, Sent, Recover | uninitialized / otherwise | committed, ours | `StorageLost` / `DiskRolledBack` |
//! | 9 | Intent | uninitialized / otherwise | not committed; Secret ours / ours and being deleted / absent / mounted and no key | initialize / wait / create the key / `SealKeyMalformed`; otherwise `ForeignInit` |
//! | 10 | Sent | uninitialized | not committed; Secret ours / ours and being deleted / absent / mounted and no key | initialize again / wait / create the key / `SealKeyMalformed` |
//! | 11 | Sent, Recover | active | not committed | `ForeignInit` |
//! | 11 | Sent | half-initialized / sealed | not committed | recovery not allowed: `HalfInitialized` / `InitInterrupted`; used up: `RecoveryExhausted`; otherwise mark |
//! | 11 | Recover | otherwise / sealed | not committed | recovery not allowed: `HalfInitialized` / `InitInterrupted`; used up: `RecoveryExhausted`; marked by this pod: replace it; by an earlier one: `QuarantineMissing` |
//! | 12 | Envelope | uninitialized or half-initialized | | `StorageLost` |
//! | 13 | Envelope | initialized | committed of another life / unknown | `WrongInstallation` / the next rows |
//! | 14 | Envelope | initialized | key absent or another, within the grace since it was first seen so | wait |
//! | 15 | Envelope | initialized | key absent / malformed / another / tag fails | `SealKeyMissing` / `SealKeyMalformed` / `SealKeyReplaced` / `EnvelopeCorrupt` |
//! | 16 | opens, holds root | initialized | not committed / unknown | commit / wait |
//! | 17 | opens, no root | initialized | not committed / unknown | commit again, and if that is not taken the next rows / the next rows |
//! | 18 | opens | sealed | held / otherwise | wait / unseal |
//! | 19 | opens, holds root | active | | finish set-up |
//! | 20 | opens, no root | active | | log in |
//!
//! A deed that the API server answers with *it exists already* is followed by a back-off, and then the survey sees what
//! exists.
//!
//! Besides, and for the same rows: where Vault's two statuses disagree, row 4 waits; rows 9 and 10 wait while the mount
//! does not show the key that the cluster stores; row 14 waits where opening the envelope disagrees with what was read
//! before; row 18 waits until it is known whether the seal is held.
//!
//! Whether the envelope is committed is the one fact without which rows go on: a Vault that only has to be unsealed does
//! not need the API server. While root is inside (row 16) it is needed.
//!
//! The survey asks only for what a row could still use, so the table may be applied to less than everything. What is
//! left out is unknown, and makes a row wait sooner, never differently.
//!
//! Row 1, an ordinal other than 0, is decided before anything is surveyed. What the rows call *wrong Vault*,
//! *stranded* and *foreign* is found out by the act itself: unsealing, logging in, configuring.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::fatal::Fatal;
use crate::kubernetes::{Marked, SealKeyObject};
use crate::names::{KeyId, LifeId, Uid};
use crate::state::{Claimed, Opened, RECOVERIES_MAX, State};
use crate::vault::{InitStatus, SealStatus};
use crate::volume::SealKeyFile;

/// A fact that may not have been found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Known<T> {
    /// Silence, a time-out, a refusal: nothing follows from it.
    #[default]
    Unknown,
    /// Definite.
    Fact(T),
}

/// What the survey found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facts {
    /// Whose the state directory is, and whether it is a mount point.
    pub directory: Known<Claimed>,
    /// What `boot.state` says.
    pub state: Known<State>,
    /// What `sys/seal-status` says.
    pub seal: Known<SealStatus>,
    /// What `sys/init` says.
    pub init: Known<InitStatus>,
    /// Whether the token for the Kubernetes API could be read.
    pub api_token: bool,
    /// The Secret with the seal key.
    pub secret: Known<Option<SealKeyObject>>,
    /// `kubefox-committed`.
    pub committed: Known<Option<Marked>>,
    /// Whether `kubefox-trust` exists.
    pub trust: Known<bool>,
    /// The seal key as mounted.
    pub mounted: Known<SealKeyFile>,
    /// What opening the envelope with the mounted key gave.
    pub opened: Known<Opened>,
    /// Whether a person holds the seal.
    pub hold: Known<bool>,
}

/// Which row applies, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// The row's number.
    pub row: u8,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// A fact is missing, or something must pass: look again later.
    Wait(Wait),
    /// A person must act.
    Stop(Fatal),
    /// Write the intent of a new life.
    Begin,
    /// Mint a seal key and store it.
    CreateSealKey {
        /// The life it belongs to.
        life: LifeId,
    },
    /// Initialize Vault.
    Initialize {
        /// The life.
        life: LifeId,
        /// 1 for the first time, [`ATTEMPT_AGAIN`] for every later one.
        attempt: u32,
        /// How often Vault's data was moved aside.
        recoveries: u32,
    },
    /// Mark Vault's data as what is left of an interrupted initialization.
    Mark {
        /// The life.
        life: LifeId,
        /// The attempt that was interrupted.
        attempt: u32,
        /// How often Vault's data was moved aside before.
        recoveries: u32,
    },
    /// Delete the own pod: the next one moves what is marked aside before its Vault starts.
    ReplacePod,
    /// Say in the cluster that the envelope is durable.
    Commit {
        /// The life.
        life: LifeId,
        /// `None`: it was never said, and nothing goes on before it is. `Some`: it had been said and somebody removed
        /// it; it is said again, and this follows even if the API server does not take it.
        otherwise: Option<Box<Decision>>,
    },
    /// Unseal Vault.
    Unseal,
    /// Set up what needs root, then let root die.
    FinishSetUp {
        /// The life.
        life: LifeId,
        /// The envelope's generation.
        generation: u64,
    },
    /// Log in, configure and serve.
    LogIn {
        /// The life.
        life: LifeId,
    },
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wait {
    /// The state directory is not there or cannot be inspected, or its lock not be opened.
    StateDirectory,
    /// Another process holds the state directory.
    StateHeld,
    /// The state directory's file system knows no locks.
    StateUnlockable,
    /// `boot.state` cannot be read.
    StateFile,
    /// Vault does not answer.
    Vault,
    /// Vault's answers do not agree yet.
    VaultUnsettled,
    /// There is no token for the Kubernetes API.
    ApiToken,
    /// The Kubernetes API does not answer, or does not allow what is needed.
    ApiServer,
    /// The seal key's volume is late.
    SealKeyVolume,
    /// The Secret with the seal key is being deleted, and nothing was sealed under its key yet.
    SealKeyDeletion,
    /// Somebody else created or changed an object first.
    Conflict,
    /// The process's own keyring does not answer.
    Keyring,
    /// A person holds the seal.
    SealHeld,
    /// Vault is unsealed and not active yet.
    VaultActive,
    /// The state directory cannot be written.
    StateWrite,
    /// Vault does not accept the login yet.
    Login,
    /// There is no token for Vault.
    VaultToken,
    /// So many tokens live in Vault that they are not searched for those of root.
    Tokens,
    /// A write to Vault was not confirmed; what stands is looked at again.
    Configuration,
    /// The own server cannot open its port, or does not show the certificate it was given.
    Listener,
    /// The own token or the serving certificate has ended.
    Renewal,
    /// The own pod was deleted, and its end has not come yet.
    OwnPod,
}

impl Wait {
    /// What is waited for, in one sentence for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::StateDirectory => {
                "waiting for the state directory: it is not there, or its file `lock` cannot be opened"
            }
            Self::StateHeld => {
                "another process, a controller or `kubefox init vault`, holds the state directory: waiting until it ends"
            }
            Self::StateUnlockable => {
                "waiting for the state directory: its file system knows no locks (flock), without which a second \
                 controller could overwrite boot.state; use a volume that does"
            }
            Self::StateFile => "waiting for the state directory: boot.state cannot be read",
            Self::Vault => "waiting for Vault to answer",
            Self::VaultUnsettled => "waiting for Vault: its answers about initialization do not agree yet",
            Self::ApiToken => "waiting for the projected token of the Kubernetes API",
            Self::ApiServer => {
                "waiting for the Kubernetes API server: it does not answer or does not allow what is needed"
            }
            Self::SealKeyVolume => "waiting for the Secret kubefox-seal-key to appear in its volume",
            Self::SealKeyDeletion => {
                "waiting for the Secret kubefox-seal-key to be gone: it is being deleted; remove its finalizer \
                 kubefox.io/seal-key, and a new key is made before Vault is initialized"
            }
            Self::Conflict => {
                "waiting for the Kubernetes API server to show what somebody else has just created or changed"
            }
            Self::Keyring => "waiting for the keyring of this process: it could not make or forget a key",
            Self::SealHeld => {
                "Vault stays sealed: a person has put the file hold-seal into the state directory"
            }
            Self::VaultActive => "waiting for Vault to become active after the unseal",
            Self::StateWrite => "waiting for the state directory: boot.state cannot be written",
            Self::Login => "waiting for Vault to accept the controller's login",
            Self::VaultToken => "waiting for the projected tokens `vault` and `setup` of the pod",
            Self::Tokens => {
                "waiting for tokens of Vault to be revoked: more than 1000 live, too many to be searched for those of root"
            }
            Self::Configuration => "waiting for Vault: a setting could not be read or written",
            Self::Listener => {
                "waiting for the own gRPC server: its port does not open, or it does not show the new certificate"
            }
            Self::Renewal => {
                "nobody is served: the controller's token for Vault or its serving certificate has ended; it is renewed"
            }
            Self::OwnPod => {
                "waiting for this pod to be replaced: it was deleted, and the next one moves aside what an interrupted \
                 initialization left in Vault's data directory"
            }
        }
    }
}

/// What Vault is, where both of its statuses agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vault {
    Uninitialized,
    HalfInitialized,
    Sealed,
    Unsealed,
}

/// What the operator allows, and what time has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Lifts the mount-point rule of row 2.
    pub allow_plain: bool,
    /// The seal key's volume has had its grace since it was first seen without the envelope's key.
    pub key_late: bool,
    /// An interrupted initialization may be recovered, and this is the pod that is replaced for it.
    pub recover: Option<&'a Uid>,
}

/// Every attempt to initialize after the first of a life. Whether another was sent before is all that matters of it, and
/// a number that grew with every restart would never come to an end.
pub const ATTEMPT_AGAIN: u32 = 2;

/// Applies the table.
#[must_use]
pub fn decide(facts: &Facts, terms: Terms<'_>) -> Decision {
    match facts.directory {
        Known::Unknown | Known::Fact(Claimed::Missing) => return wait(2, Wait::StateDirectory),
        Known::Fact(Claimed::Others) => return wait(2, Wait::StateHeld),
        Known::Fact(Claimed::Unlockable) => return wait(2, Wait::StateUnlockable),
        Known::Fact(Claimed::Ours { mount_point: false }) if !terms.allow_plain => {
            return stop(2, Fatal::StateNotPersistent);
        }
        Known::Fact(Claimed::Ours { mount_point: _ }) => {}
    }
    let Known::Fact(state) = &facts.state else {
        return wait(3, Wait::StateFile);
    };
    let with_vault = |row: &dyn Fn(Vault) -> Decision| vault(facts).map_or_else(|decision| decision, row);
    match state {
        State::Corrupt => stop(3, Fatal::EnvelopeCorrupt),
        State::OtherInstallation => stop(3, Fatal::WrongInstallation),
        State::Foreign { .. } => stop(3, Fatal::ForeignInit),
        State::Absent => with_vault(&|vault| absent(facts, vault)),
        State::Intent { life } => with_vault(&|vault| begun(facts, vault, life, None)),
        State::Sent { life, attempt, recoveries } => {
            let sent =
                Sent { attempt: *attempt, recoveries: *recoveries, marked: None, recover: terms.recover };
            with_vault(&|vault| begun(facts, vault, life, Some(sent)))
        }
        State::Recover { life, attempt, recoveries, pod } => {
            let sent = Sent {
                attempt: *attempt,
                recoveries: *recoveries,
                marked: Some(pod),
                recover: terms.recover,
            };
            with_vault(&|vault| begun(facts, vault, life, Some(sent)))
        }
        State::Envelope { life, generation, key } => {
            with_vault(&|vault| envelope(facts, vault, life, *generation, key, terms.key_late))
        }
    }
}

/// Row 4, and what Vault is.
fn vault(facts: &Facts) -> Result<Vault, Decision> {
    if facts.init == Known::Fact(InitStatus::NoSealConfiguration) {
        return Ok(Vault::HalfInitialized);
    }
    let (Known::Fact(seal), Known::Fact(init)) = (&facts.seal, facts.init) else {
        return Err(wait(4, Wait::Vault));
    };
    if !seal.shamir || (seal.initialized && (seal.shares, seal.threshold) != (1, 1)) {
        return Err(stop(4, Fatal::ForeignSeal));
    }
    match (init, seal.initialized, seal.sealed) {
        (InitStatus::Uninitialized, false, _) => Ok(Vault::Uninitialized),
        (InitStatus::Initialized, true, true) => Ok(Vault::Sealed),
        (InitStatus::Initialized, true, false) => Ok(Vault::Unsealed),
        (InitStatus::Uninitialized | InitStatus::Initialized | InitStatus::NoSealConfiguration, _, _) => {
            Err(wait(4, Wait::VaultUnsettled))
        }
    }
}

/// Rows 5 and 6.
fn absent(facts: &Facts, vault: Vault) -> Decision {
    match vault {
        Vault::Uninitialized => {}
        Vault::HalfInitialized => return stop(6, Fatal::ForeignInit),
        Vault::Sealed | Vault::Unsealed => return stop(6, Fatal::EnvelopeMissing),
    }
    let (Known::Fact(secret), Known::Fact(committed), Known::Fact(trust)) =
        (&facts.secret, &facts.committed, facts.trust)
    else {
        return wait_for_api(5, facts);
    };
    if secret.is_some() || committed.is_some() || trust {
        return stop(5, Fatal::EarlierLife);
    }
    Decision { row: 5, verdict: Verdict::Begin }
}

/// A request to initialize that left, and what may be done about its traces.
#[derive(Clone, Copy, Debug)]
struct Sent<'a> {
    attempt: u32,
    recoveries: u32,
    /// `Recover`: the pod that marked Vault's data.
    marked: Option<&'a Uid>,
    /// As in [`Terms`].
    recover: Option<&'a Uid>,
}

/// Rows 7 to 11. `sent` is `None` for `Intent`.
fn begun(facts: &Facts, vault: Vault, life: &LifeId, sent: Option<Sent<'_>>) -> Decision {
    let foreign = |marked: &Marked| marked.life.as_ref() != Some(life);
    if let Known::Fact(Some(secret)) = &facts.secret
        && foreign(&secret.marked)
    {
        return stop(7, Fatal::EarlierLife);
    }
    if let Known::Fact(Some(committed)) = &facts.committed
        && foreign(committed)
    {
        return stop(7, Fatal::EarlierLife);
    }
    let (Known::Fact(secret), Known::Fact(committed)) = (&facts.secret, &facts.committed) else {
        return wait_for_api(7, facts);
    };
    if committed.is_some() {
        return match vault {
            Vault::Uninitialized => stop(8, Fatal::StorageLost),
            Vault::HalfInitialized | Vault::Sealed | Vault::Unsealed => stop(8, Fatal::DiskRolledBack),
        };
    }
    let row = if sent.is_some() { 10 } else { 9 };
    match (vault, sent) {
        // It may as well be half-initialized, which it does not say of itself: what is marked is moved aside.
        (Vault::Uninitialized, Some(sent @ Sent { marked: Some(_), .. })) => {
            return interrupted(sent, life, Fatal::HalfInitialized);
        }
        (Vault::Uninitialized, _) => {}
        (Vault::HalfInitialized | Vault::Sealed | Vault::Unsealed, None) => {
            return stop(9, Fatal::ForeignInit);
        }
        (Vault::HalfInitialized, Some(sent)) => return interrupted(sent, life, Fatal::HalfInitialized),
        (Vault::Sealed, Some(sent)) => return interrupted(sent, life, Fatal::InitInterrupted),
        // Nobody of ours ever had a key to unseal it with.
        (Vault::Unsealed, Some(_)) => return stop(11, Fatal::ForeignInit),
    }
    let life = life.clone();
    let Some(secret) = secret else {
        return Decision { row, verdict: Verdict::CreateSealKey { life } };
    };
    // Its key would be gone with the finalizer, and the envelope with it. Nothing is sealed under it yet.
    if secret.marked.deleting {
        return wait(row, Wait::SealKeyDeletion);
    }
    let Some(stored) = &secret.key else {
        return stop(row, Fatal::SealKeyMalformed);
    };
    // The envelope will be under the mounted key, so the mount must show what the cluster stores: a stale volume
    // would seal the envelope under a key that nobody has.
    if facts.mounted != Known::Fact(SealKeyFile::Present(stored.clone())) {
        return wait(row, Wait::SealKeyVolume);
    }
    let (attempt, recoveries) = match sent {
        None => (1, 0),
        Some(Sent { recoveries, .. }) => (ATTEMPT_AGAIN, recoveries),
    };
    Decision { row, verdict: Verdict::Initialize { life, attempt, recoveries } }
}

/// Row 11 for a Vault that was found to be half-initialized when it was asked to initialize, right after `Sent` was
/// written.
pub(super) fn half_initialized(
    life: LifeId,
    attempt: u32,
    recoveries: u32,
    recover: Option<&Uid>,
) -> Decision {
    let sent = Sent { attempt, recoveries, marked: None, recover };
    interrupted(sent, &life, Fatal::HalfInitialized)
}

/// Row 11, where Vault holds what an interrupted initialization left. No envelope was ever durable, so nobody ever had
/// the key, and nothing was ever stored.
fn interrupted(sent: Sent<'_>, life: &LifeId, without_recovery: Fatal) -> Decision {
    let Sent { attempt, recoveries, marked, recover } = sent;
    let Some(own) = recover else {
        return stop(11, without_recovery);
    };
    if recoveries >= RECOVERIES_MAX {
        return stop(11, Fatal::RecoveryExhausted);
    }
    match marked {
        None => Decision { row: 11, verdict: Verdict::Mark { life: life.clone(), attempt, recoveries } },
        Some(pod) if pod == own => Decision { row: 11, verdict: Verdict::ReplacePod },
        // This pod is the replacement, and what runs before Vault in it did not do its part.
        Some(_) => stop(11, Fatal::QuarantineMissing),
    }
}

/// Rows 12 to 20.
fn envelope(
    facts: &Facts,
    vault: Vault,
    life: &LifeId,
    generation: u64,
    key: &KeyId,
    key_late: bool,
) -> Decision {
    if matches!(vault, Vault::Uninitialized | Vault::HalfInitialized) {
        return stop(12, Fatal::StorageLost);
    }
    if let Known::Fact(Some(committed)) = &facts.committed
        && committed.life.as_ref() != Some(life)
    {
        return stop(13, Fatal::WrongInstallation);
    }
    let root = match opened(facts, key, key_late) {
        Ok(root) => root,
        Err(decision) => return decision,
    };
    let life = life.clone();
    let next = match (vault, facts.hold, root) {
        (Vault::Sealed, Known::Unknown, _) => wait(18, Wait::StateFile),
        (Vault::Sealed, Known::Fact(true), _) => wait(18, Wait::SealHeld),
        (Vault::Sealed, Known::Fact(false), _) => Decision { row: 18, verdict: Verdict::Unseal },
        (Vault::Uninitialized | Vault::HalfInitialized | Vault::Unsealed, _, true) => {
            Decision { row: 19, verdict: Verdict::FinishSetUp { life: life.clone(), generation } }
        }
        (Vault::Uninitialized | Vault::HalfInitialized | Vault::Unsealed, _, false) => {
            Decision { row: 20, verdict: Verdict::LogIn { life: life.clone() } }
        }
    };
    match (&facts.committed, root) {
        (Known::Fact(Some(_)), _) | (Known::Unknown, false) => next,
        (Known::Unknown, true) => wait_for_api(16, facts),
        (Known::Fact(None), true) => Decision { row: 16, verdict: Verdict::Commit { life, otherwise: None } },
        (Known::Fact(None), false) => {
            let otherwise = Some(Box::new(next));
            Decision { row: 17, verdict: Verdict::Commit { life, otherwise } }
        }
    }
}

/// Rows 14 and 15: whether the envelope holds root.
fn opened(facts: &Facts, key: &KeyId, key_late: bool) -> Result<bool, Decision> {
    let Known::Fact(mounted) = &facts.mounted else {
        return Err(wait(14, Wait::SealKeyVolume));
    };
    let missing = match mounted {
        SealKeyFile::Malformed => return Err(stop(15, Fatal::SealKeyMalformed)),
        SealKeyFile::Absent => Some(Fatal::SealKeyMissing),
        SealKeyFile::Present(present) if present != key => Some(Fatal::SealKeyReplaced),
        SealKeyFile::Present(_) => None,
    };
    match missing {
        Some(_) if !key_late => return Err(wait(14, Wait::SealKeyVolume)),
        Some(fatal) => return Err(stop(15, fatal)),
        None => {}
    }
    match facts.opened {
        Known::Fact(Opened::Keys { root }) => Ok(root),
        Known::Fact(Opened::Tampered) => Err(stop(15, Fatal::EnvelopeCorrupt)),
        // The file or the volume changed between two reads: look again.
        Known::Fact(Opened::OtherKey | Opened::NoEnvelope) | Known::Unknown => Err(wait(14, Wait::StateFile)),
    }
}

fn wait_for_api(row: u8, facts: &Facts) -> Decision {
    wait(row, if facts.api_token { Wait::ApiServer } else { Wait::ApiToken })
}

const fn wait(row: u8, wait: Wait) -> Decision {
    Decision { row, verdict: Verdict::Wait(wait) }
}

const fn stop(row: u8, fatal: Fatal) -> Decision {
    Decision { row, verdict: Verdict::Stop(fatal) }
}
