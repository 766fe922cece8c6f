//! The fakes behind listeners on loopback, so that real clients reach them through real sockets and real TLS.

pub mod authority;
pub mod http;
pub mod nats;
