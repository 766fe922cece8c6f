//! The model: machines, real adapters and fakes in one loop over virtual time. No async, no sockets, no clock; worlds
//! are values that fork.
//!
//! [`process`] runs one machine as the real driver does, but hands each call to whoever decides its fate; [`world`]
//! is what a controller lives in, [`pod`] how all of it but the volume is made again; [`explore`] tries every fate of every call.

mod boot_state;
#[cfg(test)]
mod callers;
pub mod closure;
mod cluster;
mod dice;
pub mod explore;
mod few;
pub mod invariant;
pub mod keyring;
mod late;
mod monitor;
pub mod planted;
pub mod pod;
pub mod process;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod scenarios;
mod second;
pub mod world;
