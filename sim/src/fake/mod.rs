//! Strict fakes: pure, deterministic, loud about what they do not implement. They can be cloned, so that worlds fork.

pub mod disk;
pub mod kubernetes;
pub mod nats;
pub mod review;
mod timestamp;
mod uuid;
pub mod vault;
