//! The broker's connection to NATS.
//!
//! The client library reconnects by itself for a while; at each connection it asks for a signature of the server's nonce, which
//! reaches the machine as a question.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::documents::nkey::PublicKey;
use crate::names::Pem;
use crate::secret::Secret;

/// One request to the NATS client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// Connects, or replaces the connection that stands. The server must show the exact name of NATS under `ca`.
    /// Doing it twice is doing it once.
    Connect {
        /// The user; its inbox prefix follows from it.
        user: PublicKey,
        /// The authority that must have signed the server's certificate.
        ca: Pem,
        /// The broker's certificate.
        leaf: Pem,
        /// Holds its private key.
        key: Secret,
    },
    /// Publishes one message and waits until the server has taken it. Not idempotent by NATS' nature: at most once,
    /// never repeated.
    Publish {
        /// The full subject.
        subject: String,
        /// Holds the payload.
        payload: Secret,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Connect`].
    Connected,
    /// To [`Call::Publish`].
    Published,
}

/// What the client library tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Link {
    /// The connection stands (again).
    Up,
    /// The connection is lost; the library tries again.
    Down,
}
