//! The whole platform, end to end, as a user starts it.
//!
//! Cases named `real_…` need the servers that `tests/peers/build` installs and are ignored without
//! `--include-ignored`; a server that is missing then fails them.

#![forbid(unsafe_code)]

mod bad_input;
mod caller;
mod command_line;
#[path = "../contract/nats/connection.rs"]
mod connection;
mod crash_loop;
mod embedded;
mod ends;
mod real;
mod recording;
mod recovery;
mod renewal;
mod run;
mod running;
mod secrecy;
mod trespass;
