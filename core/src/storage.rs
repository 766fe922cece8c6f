//! Vault's data directory before Vault starts: what is asked of it and what it answers, as data.
//!
//! It is `vault` on the volume that holds the state directory as `kubefox`. Nothing here deletes anything.

use serde::{Deserialize, Serialize};

use crate::time::Unix;

/// One operation on the volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// What lies there, and whether it is on one file system with the state.
    Inspect,
    /// Renames the data directory to `quarantine-<seconds>` beside it, durably. Never replaces anything: if the name is
    /// taken it is refused with `Conflict`. Whether it was done shows: the data directory is missing then.
    MoveAside {
        /// When, in seconds since 1970: the name's second half.
        at: Unix,
    },
    /// Makes the data directory anew, empty, with the mode of the volume, as the kubelet makes it. Refused with
    /// `Conflict` if it is there.
    Create,
}

/// What a [`Call`] brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Inspect`].
    Inspected(Facts),
    /// To [`Call::MoveAside`] and [`Call::Create`].
    Done,
}

/// What lies on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facts {
    /// Whether the data and the state are on one file system, so that one is not of another volume.
    pub one_file_system: bool,
    /// What is in the data directory.
    pub data: Data,
}

/// The data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Data {
    /// There is none.
    Missing,
    /// There is nothing in it.
    Empty,
    /// There is something in it.
    Present,
}
