//! Everything that touches the world. Shells only move bytes: no retry, no loop, no combination, no decision.
//!
//! ```text
//!   carrier ──┬── http ──────────────┐
//!             ├── bootstrap_client ──┤
//!             ├── nats (own TCP)     ├── connector ── tls
//!             ├── listener ──────────┤                 │
//!             │     bootstrap_server │               host ── clock ── entropy
//!             │       health         │
//!             │     broker_server    │
//!             └── files           status ── accept
//! ```
//!
//! [`host`] is the seam: production brings [`host::Real`], the simulator its own network. Only the NATS client library
//! dials by itself.

mod accept;
pub mod bootstrap_client;
pub mod bootstrap_server;
pub mod broker_server;
pub mod carrier;
pub mod clock;
pub mod connector;
pub mod entropy;
pub mod files;
mod health;
pub mod host;
pub mod http;
pub mod listener;
pub mod nats;
pub mod signals;
pub mod status;
pub mod tls;
