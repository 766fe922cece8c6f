//! The contract of the fakes: they answer as the real servers do.
//!
//! A story is a function that talks to a [`stage::Stage`], which is the fakes or the real servers. Every request of the
//! product is made by the production adapter and its answer is read by it; what is compared is the decoded outcome, with
//! what differs from run to run (accessors, keys, versions) masked. The outcomes are committed in `expected/`: an
//! ordinary run compares the fakes with them, the tests named `real_…` the real servers.

#![forbid(unsafe_code)]

mod cases;
mod certificate;
mod fakes;
mod forge;
mod kubernetes;
mod masks;
mod nats;
mod real;
mod record;
mod stage;
mod vault;
