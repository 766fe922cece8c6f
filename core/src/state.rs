//! The state directory with the controller's one local file, `boot.state`: what is asked of the disk and what it answers,
//! as data.
//!
//! ```text
//! Absent ─> Intent ─> Sent ─> Envelope ─> Envelope, when root is dead
//!                     │  ^
//!                     │  └─────> Recover: Vault's data is to be moved aside; once it is, Sent again
//!                     └────────> Foreign
//! ```
//!
//! Each replaces its predecessor by rename, so that losing the envelope loses the intent too. Every write is one atomic
//! replacement: doing it twice is doing it once. A rename compares nothing: two processes that both write would undo each
//! other's, and `Sent` in the envelope's place is a key lost. So whoever reads or writes there has claimed the directory
//! first, and keeps it until its process ends.

use serde::{Deserialize, Serialize};

use crate::names::{KeyId, LifeId, Uid};
use crate::secret::Secret;

/// So often Vault's data is moved aside in one life. An initialization that is interrupted again after that has a cause
/// that repeating it does not remove.
pub const RECOVERIES_MAX: u32 = 3;

/// One operation on the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// Takes the directory for this process until it ends, unless another one has it, and says whether it is a volume of
    /// its own. Doing it twice is doing it once.
    Claim,
    /// Reads `boot.state`; what is encrypted in it stays so.
    Read,
    /// Writes, renames and reads back a file of an envelope's size, kept as `reserve`: a full disk is found now.
    Rehearse,
    /// Records that a Vault is about to be initialized.
    WriteIntent {
        /// The new life.
        life: LifeId,
    },
    /// Records that the request to initialize is about to leave, or that Vault's data was moved aside and nothing is to
    /// be any more.
    WriteSent {
        /// The life.
        life: LifeId,
        /// 1 for the first time.
        attempt: u32,
        /// How often Vault's data was moved aside in this life.
        recoveries: u32,
    },
    /// Marks Vault's data: the next pod moves it aside before its Vault starts.
    WriteRecover {
        /// The life.
        life: LifeId,
        /// That of the `Sent` it replaces.
        attempt: u32,
        /// That of the `Sent` it replaces.
        recoveries: u32,
        /// The pod that marks it, and is to be replaced.
        pod: Uid,
    },
    /// Records that somebody else initialized this Vault.
    WriteForeign {
        /// The life that was not to be.
        life: LifeId,
    },
    /// Seals the unseal key, and the root token if `root`, under the seal key; fresh salt and nonce each time.
    WriteEnvelope {
        /// The life.
        life: LifeId,
        /// One more than the last, to detect a rollback.
        generation: u64,
        /// Holds the seal key.
        key: Secret,
        /// Whether the root token goes in.
        root: bool,
    },
    /// Reads `boot.state` and opens the envelope: fills `UnsealKey`, and `RootToken` if it is inside.
    Open {
        /// Holds the seal key.
        key: Secret,
    },
    /// Whether a person has put a file `hold-seal` there.
    ReadHold,
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Claim`].
    Claimed(Claimed),
    /// To [`Call::Read`].
    State(State),
    /// To every write and to [`Call::Rehearse`].
    Written,
    /// To [`Call::Open`].
    Opened(Opened),
    /// To [`Call::ReadHold`].
    Hold(bool),
}

/// Whose the state directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Claimed {
    /// This process's: nobody else reads or writes there until it ends.
    Ours {
        /// Whether a file system is mounted exactly there.
        mount_point: bool,
    },
    /// Another process's, which lives.
    Others,
    /// Nobody's, and it cannot be claimed: its file system knows no locks.
    Unlockable,
    /// There is no such directory (ENOENT, and nothing else), so there is nothing in it.
    Missing,
}

/// What `boot.state` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// There is no such file (ENOENT, and nothing else).
    Absent,
    /// An initialization was about to begin.
    Intent {
        /// Its life.
        life: LifeId,
    },
    /// The request to initialize was about to leave.
    Sent {
        /// Its life.
        life: LifeId,
        /// Which attempt.
        attempt: u32,
        /// How often Vault's data was moved aside in this life.
        recoveries: u32,
    },
    /// The initialization was interrupted, no key of it was ever safe, and Vault's data is to be moved aside.
    Recover {
        /// Its life.
        life: LifeId,
        /// Which attempt was interrupted.
        attempt: u32,
        /// How often Vault's data was moved aside before.
        recoveries: u32,
        /// The pod that marked it.
        pod: Uid,
    },
    /// Somebody else initialized this Vault.
    Foreign {
        /// The life that was not to be.
        life: LifeId,
    },
    /// The unseal key is safe.
    Envelope {
        /// Its life.
        life: LifeId,
        /// Its generation.
        generation: u64,
        /// The seal key it is under.
        key: KeyId,
    },
    /// There is a file, and it is none of the above.
    Corrupt,
    /// The file belongs to an installation of another name.
    OtherInstallation,
}

/// What opening an envelope gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Opened {
    /// `UnsealKey` is filled.
    Keys {
        /// Whether `RootToken` is filled too.
        root: bool,
    },
    /// The envelope is under another seal key.
    OtherKey,
    /// The right key, and yet the tag does not match: the file was changed.
    Tampered,
    /// There is no envelope, or the file is no longer what it was.
    NoEnvelope,
}
