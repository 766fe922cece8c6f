//! What crosses the boundary of the quarantine.

use serde::{Deserialize, Serialize};

use super::Wait;
use crate::names::LifeId;
use crate::time::Unix;
use crate::{kubernetes, state, storage, volume};

/// There is nothing to choose: what is done follows from the mark in `boot.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config;

/// One request to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// To the state directory.
    State(state::Call),
    /// To the mounted token.
    Volume(volume::Call),
    /// To the Kubernetes API.
    Kubernetes(kubernetes::Call),
    /// To the volume with Vault's data.
    Storage(storage::Call),
}

/// What it brought back; each variant answers the [`Call`] of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// From the state directory.
    State(state::Reply),
    /// From the mounted token.
    Volume(volume::Reply),
    /// From the Kubernetes API.
    Kubernetes(kubernetes::Reply),
    /// From the volume with Vault's data.
    Storage(storage::Reply),
}

/// Nobody asks a quarantine anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {}

/// There is no [`Ask`] to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {}

/// A fact worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notice {
    /// `boot.state` bears no mark: Vault may start on what is there.
    NotMarked,
    /// `boot.state` bears the mark.
    Marked {
        /// The life whose initialization was interrupted.
        life: LifeId,
        /// How often Vault's data was moved aside before.
        recoveries: u32,
    },
    /// Something is missing that may come by itself. Told once for each reason, not for each attempt.
    Waiting(Wait),
    /// Vault's data lies in `quarantine-<at>` now, which only a person removes.
    MovedAside {
        /// The second half of the name.
        at: Unix,
    },
}

/// What the world tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// The pod ends. A quarantine that has not finished must not end as if it had.
    Stop,
}
