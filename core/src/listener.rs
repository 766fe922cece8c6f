//! The gRPC server of a role: which certificate it is given, and which it shows.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::names::Pem;
use crate::secret::Secret;

/// One request to the listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// From now on every handshake shows this certificate; the first one opens the port. Doing it twice is doing it
    /// once.
    Present {
        /// The certificate.
        leaf: Pem,
        /// Its authority: sent along, and what client certificates are verified against where they are asked for.
        ca: Pem,
        /// Holds the private key.
        key: Secret,
    },
    /// Connects to the own port as a client would, and looks whether this certificate is shown. Changes nothing.
    Probe {
        /// The certificate that should be shown.
        leaf: Pem,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Present`].
    Presented {
        /// Where the server listens, as `ip:port`.
        address: String,
    },
    /// To [`Call::Probe`].
    Probed {
        /// Whether the server has proved in a handshake that it holds the key of exactly this certificate. `false`: it
        /// is another one.
        shown: bool,
    },
}
