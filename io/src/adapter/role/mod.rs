//! One adapter per role: which outside system each of its calls goes to.

mod broker;
mod controller;
mod initializer;
mod listener;
mod quarantine;

pub use broker::{BrokerAdapter, BrokerAnswer};
pub use controller::ControllerAdapter;
pub use initializer::InitializerAdapter;
pub use quarantine::QuarantineAdapter;
