//! What crosses the boundary of the initializer.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::Wait;
use crate::bootstrap::{self, KeyOrigin};
use crate::keys;
use crate::time::Unix;
use crate::volume;

/// What the operator chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Where NATS listens, as `host:port`; goes into `nats.conf`.
    pub listen: String,
    /// Where NATS finds the files of the shared volume, as an absolute path; goes into `nats.conf`.
    pub directory: String,
    /// Where NATS writes which ports it listens on, as an absolute path, if anybody wants to know.
    pub ports_file_dir: Option<String>,
    /// Where the certificate's private key is made.
    pub key_origin: KeyOrigin,
    /// For how long a mount may be late before its absence is for good.
    pub mount_grace_ms: u64,
    /// After how long the initializer gives up; 0 for never.
    pub give_up_ms: u64,
}

/// One request to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// To the mounts or to the shared volume.
    Volume(volume::Call),
    /// To the controller.
    Bootstrap(bootstrap::Call),
    /// To the keyring.
    Keys(keys::Call),
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// From the mounts or from the shared volume.
    Volume(volume::Reply),
    /// From the controller.
    Bootstrap(bootstrap::Reply),
    /// From the keyring.
    Keys(keys::Reply),
}

/// Nobody asks an initializer anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {}

/// There is no [`Ask`] to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {}

/// A fact worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notice {
    /// Something is missing that may come by itself. Told once for each reason, not for each attempt.
    Waiting(Wait),
    /// The controller sent what was asked for, and it fits together.
    Bootstrapped {
        /// When NATS' certificate ends.
        expires: Unix,
    },
    /// The files are on the shared volume.
    Written,
}

/// What the world tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// The pod ends. An initializer that has not finished must not end as if it had.
    Stop,
}
