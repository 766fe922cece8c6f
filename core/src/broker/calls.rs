//! What crosses the boundary of the broker.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{self, KeyOrigin, NoAnswer, Rejection};
use crate::documents::nkey::PublicKey;
use crate::fatal::Fatal;
use crate::initializer;
use crate::keys;
use crate::listener;
use crate::names::{Nonce, SubjectTail};
use crate::nats;
use crate::signature::Signature;
use crate::time::Unix;
use crate::volume;

/// What the operator chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Where the private keys of the certificates are made.
    pub key_origin: KeyOrigin,
    /// For how long a mount may be late before its absence is for good.
    pub mount_grace_ms: u64,
    /// After how long the broker gives up, unless it has served once; 0 for never.
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
    /// To the server that the runtime dials.
    Listener(listener::Call),
    /// To NATS.
    Nats(nats::Call),
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
    /// From the server that the runtime dials.
    Listener(listener::Reply),
    /// From NATS.
    Nats(nats::Reply),
}

/// A question from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// The NATS client connects and the server sent this nonce. Answered by [`Answer::Signed`].
    SignNonce {
        /// The nonce of that connection.
        nonce: Nonce,
    },
    /// The runtime sends a message; the payload is in `Of(ticket, Payload)`. Answered by [`Answer::Published`].
    Publish {
        /// The user it is for.
        to: PublicKey,
        /// What it is about.
        tail: SubjectTail,
    },
    /// The runtime wants its messages. Answered by [`Answer::Subscribed`].
    Subscribe,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::SignNonce`]: what to show to NATS.
    Signed {
        /// The user's JWT.
        jwt: String,
        /// Of the nonce.
        signature: Signature,
    },
    /// To [`Ask::SignNonce`]: this connection fails.
    Unsigned(Unsigned),
    /// To [`Ask::Publish`]: the server has the message.
    Published,
    /// To [`Ask::Publish`]: the message may have been sent, or not. Only the runtime can know whether a second one
    /// would do harm.
    Unknown,
    /// To [`Ask::Subscribe`].
    Subscribed {
        /// What to subscribe to.
        subject: String,
    },
    /// To any of them: nothing happened; NATS is not connected or the broker ends.
    Unavailable,
    /// To any of them: nothing happened; too many questions are open.
    Busy,
}

/// Why a nonce was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unsigned {
    /// There is no user yet.
    NotBootstrapped,
    /// The user's JWT has ended and is not renewed yet.
    Expired,
    /// The service-account token is not mounted.
    TokenMissing,
    /// The service-account token file is empty or not a JWT.
    TokenMalformed,
    /// The service-account token could not be read.
    TokenUnreadable,
    /// The controller said no.
    Rejected(Rejection),
    /// The controller did not answer.
    Unanswered(NoAnswer),
}

impl Unsigned {
    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotBootstrapped => "the nonce of NATS is not signed: there are no documents yet",
            Self::Expired => {
                "the nonce of NATS is not signed: the user's JWT has ended and is not renewed yet"
            }
            Self::TokenMissing => "the nonce of NATS is not signed: the service-account token is not mounted",
            Self::TokenMalformed => {
                "the nonce of NATS is not signed: the service-account token file is empty or not a JWT"
            }
            Self::TokenUnreadable => {
                "the nonce of NATS is not signed: the service-account token could not be read"
            }
            Self::Rejected(rejection) => rejection.cause(),
            Self::Unanswered(NoAnswer::Silent) => {
                "the nonce of NATS is not signed: the controller has not answered in time"
            }
            Self::Unanswered(why @ (NoAnswer::Stranger | NoAnswer::Unexplained | NoAnswer::Unasked)) => {
                why.sentence()
            }
        }
    }
}

/// A fact worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notice {
    /// Something is missing that may come by itself. Told once for each reason, not for each attempt.
    Waiting(Wait),
    /// The controller sent what was asked for, and it fits together.
    Bootstrapped {
        /// When the first of the documents ends.
        expires: Unix,
    },
    /// The runtime's files are on the shared volume.
    Written,
    /// The runtime is served, with the newest certificate.
    Serving {
        /// Where, as `ip:port`.
        address: String,
    },
    /// NATS is connected (again).
    Connected,
    /// A connection with what was renewed took the place of the one before.
    Succeeded,
    /// The documents have ended before they could be renewed.
    Lapsed,
}

/// What the world tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// The connection to NATS came or went.
    Link(nats::Link),
    /// Somebody wants the documents renewed now.
    Renew,
    /// The pod ends.
    Stop,
}

/// What is missing and may come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wait {
    /// What every caller of the controller may have to wait for.
    Bootstrap(initializer::Wait),
    /// The server that the runtime dials does not open.
    Listener,
    /// NATS is not connected.
    Nats,
    /// NATS is not connected, because its nonce was not signed.
    Unsigned(Unsigned),
    /// NATS is connected with what was held before a renewal, and not yet with what is held since.
    Succession,
    /// A renewal needs a person; what was obtained before still works.
    Remedy(Fatal),
}

impl Wait {
    /// Before that there is no use in looking again.
    pub(super) fn pause_ms(self) -> u64 {
        match self {
            Self::Bootstrap(wait) => wait.pause_ms(),
            Self::Listener | Self::Nats | Self::Unsigned(_) | Self::Succession | Self::Remedy(_) => 0,
        }
    }

    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Bootstrap(wait) => wait.sentence(),
            Self::Listener => "the server for the runtime has not opened yet: see the listen address",
            Self::Nats => "NATS is not connected: Service nats",
            Self::Unsigned(why) => why.sentence(),
            Self::Succession => "NATS takes no connection with what was renewed: Service nats",
            Self::Remedy(fatal) => fatal.cause(),
        }
    }
}
