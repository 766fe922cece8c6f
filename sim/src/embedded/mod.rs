//! The fakes behind listeners on loopback, so that real clients reach them through real sockets and real TLS.

pub mod authority;
pub mod http;
pub mod nats;

use std::time::{SystemTime, UNIX_EPOCH};

use kubefox_core::time::Unix;

/// The time of this machine.
pub(crate) fn now() -> Unix {
    Unix(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
