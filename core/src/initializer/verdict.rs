//! What the outcome of a phase means for the attempt, and what is waited for when it goes no further.
//!
//! Initializer and broker read the same mounts and ask the same controller, so they judge alike.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{NoAnswer, Rejection};
use crate::fatal::Fatal;

/// How long to wait before a mount that is late is looked at again.
pub(crate) const LOOK_AGAIN_MS: u64 = 500;

/// How often the shared volume may refuse the files before that is for good.
pub(crate) const WRITES_REFUSED_MAX: u8 = 3;

/// What comes after a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    /// The next phase.
    Go(T),
    /// A mount is not there yet: look again, and stop once the grace is over.
    Late {
        /// What is not there.
        wait: Wait,
        /// The reason to stop.
        fatal: Fatal,
    },
    /// The attempt failed and the next may not: begin again after a pause that grows.
    Again(Wait),
    /// No attempt can succeed before a person acts.
    Stop(Fatal),
}

impl<T> Verdict<T> {
    /// The same verdict with another next phase.
    pub(crate) fn map<U>(self, next: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Go(found) => Verdict::Go(next(found)),
            Self::Late { wait, fatal } => Verdict::Late { wait, fatal },
            Self::Again(wait) => Verdict::Again(wait),
            Self::Stop(fatal) => Verdict::Stop(fatal),
        }
    }
}

/// What is missing and may come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wait {
    /// The controller's certificate or its authority's is not mounted.
    Trust,
    /// The controller's certificate is not valid yet.
    Clock,
    /// The service-account token is not mounted.
    Token,
    /// A mount cannot be read.
    Mounts,
    /// The keyring did not make a key.
    Keyring,
    /// No answer of the controller came.
    Controller(NoAnswer),
    /// The controller answers that something is missing on its side.
    Rejected(Rejection),
    /// The shared volume does not take the files.
    Volume,
}

impl Wait {
    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Trust => "the controller's certificate is not mounted yet: Secret kubefox-trust",
            Self::Clock => {
                "the mounted certificate of the controller is not valid yet: see the clocks of the nodes"
            }
            Self::Token => "the service-account token is not mounted yet: projected volume, file kubefox",
            Self::Mounts => "the mounted certificates and the token could not be read yet",
            Self::Keyring => "the private key of a certificate has not been made yet",
            Self::Controller(why) => why.sentence(),
            Self::Rejected(rejection) => rejection.cause(),
            Self::Volume => "the shared volume has not taken the files yet",
        }
    }

    /// Before that there is no use in looking again.
    pub(crate) fn pause_ms(self) -> u64 {
        match self {
            Self::Rejected(rejection) => rejection.retry_ms().unwrap_or_default(),
            Self::Trust
            | Self::Clock
            | Self::Token
            | Self::Mounts
            | Self::Keyring
            | Self::Controller(_)
            | Self::Volume => 0,
        }
    }

    /// Where it is missing.
    pub(crate) const fn place(self) -> Place {
        match self {
            Self::Trust | Self::Clock | Self::Token | Self::Mounts => Place::Mounts,
            Self::Keyring | Self::Controller(_) | Self::Rejected(_) => Place::Controller,
            Self::Volume => Place::Volume,
        }
    }
}

/// Where something can be missing, in the order in which an attempt comes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Mounts,
    Controller,
    Volume,
}
