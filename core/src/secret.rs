//! Secrets are names. The bytes rest in the driver's keyring alone; a machine, a trace, a log or a recording holds
//! only what is here.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::machine::Ticket;

/// The name of a secret: whose it is, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Secret {
    /// Belongs to the process; lives until it is forgotten or the process ends.
    Own(Own),
    /// Belongs to one question; gone when its ticket closes.
    Of(Ticket, Asker),
    /// Vault's batch token of a caller, from the login that this question needed. It outlives the question, so that the
    /// caller's next one needs none, until it is forgotten.
    Caller(Ticket),
}

/// The secrets of a process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Own {
    /// The AES-256 key under which the envelope is sealed, as this process minted it.
    MintedSealKey,
    /// The same key as read from the mounted Kubernetes Secret.
    SealKey,
    /// Vault's one unseal key share.
    UnsealKey,
    /// Vault's root token, between initialization and revocation.
    RootToken,
    /// The process's service-account token for the Kubernetes API.
    ApiJwt,
    /// The service-account token with which the controller logs in to Vault.
    VaultJwt,
    /// The service-account token with which the controller logs in to configure Vault.
    SetupJwt,
    /// The service-account token an initializer or a broker shows to the controller.
    CallerJwt,
    /// Vault's token of role `controller`.
    ControllerToken,
    /// Vault's token of role `controller-setup`.
    SetupToken,
    /// The private key of the certificate this process serves with.
    ServingKey,
    /// The private key of the certificate of the component's runtime.
    RuntimeKey,
    /// A password on its way from Vault's generator into Vault's K/V store.
    Password,
}

/// The secrets of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Asker {
    /// The service-account token the asker showed.
    CallerJwt,
    /// The private key issued for the asker.
    IssuedKey,
    /// The private key issued for the asker's runtime.
    RuntimeKey,
    /// The payload of a message to publish.
    Payload,
}

/// A stretch of an authored file or message. Secrets are put in at the last moment, outside this crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The bytes of a secret, as they rest in the keyring.
    Secret(Secret),
}

impl Piece {
    /// A file that is one text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Vec<Self> {
        alloc::vec![Self::Text(text.into())]
    }
}
