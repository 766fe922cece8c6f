//! The KubeFox machines in the real world.
//!
//! [`driver`] runs a machine; [`adapter`] turns its calls into requests and responses into outcomes, purely;
//! [`shell`] moves the bytes; [`keyring`] is where secrets rest; [`cli`] is the binary `kubefox`.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod cli;
pub mod disk;
pub mod door;
pub mod driver;
pub mod exchange;
pub mod keyring;
pub mod shell;
pub mod telemetry;
pub mod token;
