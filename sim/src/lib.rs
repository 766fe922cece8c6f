//! The KubeFox machines in worlds of our own.
//!
//! [`fake`] holds strict, pure fakes of Vault, Kubernetes, NATS and the disk; [`model`] runs the machines with the
//! real adapters against them, exhaustively; [`replay`] runs a recording of a real one again; [`embedded`] serves the fakes on loopback for [`up`], which brings the
//! whole platform up on one machine.

#![forbid(unsafe_code)]

mod canonical;
pub mod embedded;
pub mod fake;
pub mod manifest;
pub mod model;
pub mod replay;
pub mod secrecy;
pub mod up;
