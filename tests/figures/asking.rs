//! What the controller is asked again and again.

use anyhow::Result;
use kubefox_sim::up::stand::caller::{Caller, NONCE};

use super::load::Worker;

/// Asks for documents.
pub(crate) struct Bootstraps(pub(crate) Caller);

impl Worker for Bootstraps {
    async fn work(&mut self) -> Result<()> {
        self.0.bootstrap().await.map(drop)
    }
}

/// Asks for signatures.
pub(crate) struct Signs(pub(crate) Caller);

impl Worker for Signs {
    async fn work(&mut self) -> Result<()> {
        self.0.sign(NONCE).await.map(drop)
    }
}
