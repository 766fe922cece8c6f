//! One adapter per role: which outside system each of its calls goes to.

mod broker;
mod controller;
mod initializer;
mod listener;

pub use broker::{BrokerAdapter, BrokerAnswer};
pub use controller::ControllerAdapter;
pub use initializer::InitializerAdapter;
