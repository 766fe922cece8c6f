//! The machines and the documents of the KubeFox bootstrap: nothing here can do anything.
//!
//! Four state machines share one contract ([`machine`]): the [`controller`] beside Vault, the [`quarantine`]
//! before it, the [`initializer`] of NATS and the [`broker`] of a component. What they say to the outside is data:
//! one module per outside system ([`vault`], [`kubernetes`], [`state`], [`storage`], [`volume`], [`keys`],
//! [`bootstrap`], [`nats`], [`listener`]) holds its calls and replies. Every text the platform authors is a pure function in
//! [`documents`].
//!
//! The crate is `no_std`: time, randomness, files and sockets are not reachable from it, so that purity is a
//! compile error and not a review comment. Secrets are not here either, only their names ([`secret`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bootstrap;
pub mod broker;
pub mod caller;
pub mod controller;
pub mod documents;
pub mod fatal;
pub mod initializer;
pub mod keys;
pub mod kubernetes;
pub mod listener;
pub mod machine;
pub mod names;
pub mod nats;
mod phases;
pub mod quarantine;
pub mod retry;
pub mod secret;
pub mod signature;
pub mod state;
pub mod storage;
pub mod time;
pub mod vault;
pub mod volume;
