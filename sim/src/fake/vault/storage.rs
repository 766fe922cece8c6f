//! What is on Vault's disk: survives sealing and restarts, and is forked with the world.

use std::collections::BTreeMap;

use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};

use super::identity::{Entities, Known};
use super::mint::Mint;
use super::mounts::{AuthMount, Engine, SecretMount};
use super::password::PasswordPolicy;
use super::policy_parse::Policy;
use super::shared::Shared;
use super::token::Tokens;

/// Everything below the barrier, and the key to it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Storage {
    pub(super) keys: Shared<UnsealKeys>,
    pub(super) cluster_id: String,
    pub(super) tokens: Shared<Tokens>,
    pub(super) entities: Shared<Entities>,
    pub(super) policies: Shared<BTreeMap<String, StoredPolicy>>,
    pub(super) passwords: Shared<BTreeMap<String, PasswordPolicy>>,
    /// By path with a slash at the end, without `auth/`.
    pub(super) auth: Shared<BTreeMap<String, AuthMount>>,
    /// By path with a slash at the end.
    pub(super) mounts: Shared<BTreeMap<String, SecretMount>>,
}

/// The shares of the unseal key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct UnsealKeys {
    pub(super) shares: Vec<Vec<u8>>,
    pub(super) threshold: usize,
}

/// A policy with what the server keeps beside it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredPolicy {
    pub(super) policy: Policy,
    pub(super) version: u64,
    pub(super) modified: Unix,
}

/// What every token may unless it was made without: look at itself and end itself.
const DEFAULT_POLICY: &str = r#"
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self"  { capabilities = ["update"] }
"#;

impl Storage {
    /// The storage of a Vault that was just initialized. The root token is still to be made.
    pub(super) fn new(now: Unix, mint: Mint, keys: UnsealKeys) -> Self {
        let Ok(policy) = Policy::parse(DEFAULT_POLICY) else {
            unreachable!("the default policy is a constant")
        };
        let default = StoredPolicy { policy, version: 1, modified: now };
        Self {
            keys: Shared::new(keys),
            cluster_id: mint.uuid("cluster", &[]),
            tokens: Shared::default(),
            entities: Shared::default(),
            policies: Shared::new([("default".to_owned(), default)].into()),
            passwords: Shared::default(),
            auth: Shared::new(AuthMount::built_in(mint)),
            mounts: Shared::new(SecretMount::built_in(mint)),
        }
    }

    /// How many versions of secrets were ever written.
    pub(super) fn count_kv_versions(&self) -> u64 {
        let count = |mount: &SecretMount| match &mount.engine {
            Engine::Kv(kv) => kv.count_versions(),
            Engine::Pki(_) | Engine::Transit(_) | Engine::Opaque => 0,
        };
        self.mounts.values().map(count).sum()
    }

    /// The entity of that id, for templates.
    pub(super) fn known<'a>(&'a self, entity: Option<&'a str>) -> Known<'a> {
        entity.and_then(|id| Some((id, self.entities.get(id)?)))
    }
}
