//! What of a Vault decides what it will do: which settings stand, whether it is sealed, which tokens may do everything.
//!
//! Left out is what only makes values look different: keys, serial numbers, ids, the moment of everything. Batch tokens
//! are left out too, because nothing lists them: whoever holds one asks [`Vault::policies_of`].

use super::mounts::{AuthMount, Engine, SecretMount};
use super::{Disk, Vault};
use crate::canonical::Canonical;

impl Vault {
    /// Writes the canonical form of the server and its disk.
    pub(crate) fn canonical(&self, to: &mut Canonical) {
        let storage = match &self.disk {
            Disk::Empty => return to.number(0),
            Disk::HalfInitialized => return to.number(1),
            Disk::Initialized(storage) => storage,
        };
        to.number(2);
        to.flag(self.sealed);
        to.number(self.progress.len() as u64);
        storage.tokens.canonical(to, |tokens, to| tokens.canonical(to));
        storage.policies.canonical(to, |policies, to| to.value(policies));
        storage.passwords.canonical(to, |passwords, to| to.value(passwords));
        storage.auth.canonical(to, |methods, to| {
            to.value(&methods.iter().collect::<Vec<(&String, &AuthMount)>>());
        });
        storage.mounts.canonical(to, |mounts, to| {
            for (path, SecretMount { description, engine }) in mounts {
                to.value(&(path, description));
                match engine {
                    Engine::Kv(kv) => kv.canonical(to, |kv, to| to.value(kv)),
                    Engine::Pki(pki) => pki.canonical(to, |pki, to| to.value(pki)),
                    Engine::Transit(transit) => transit.canonical(to, |transit, to| to.value(transit)),
                    Engine::Opaque => {}
                }
            }
        });
    }

    /// What a token may do; `None` if it is dead.
    pub(crate) fn policies_of(&self, token: &[u8]) -> Option<Vec<String>> {
        let caller = self.storage()?.tokens.caller(std::str::from_utf8(token).ok()?)?;
        Some(caller.policies)
    }

    /// Every batch token dies now.
    pub fn end_batch_tokens(&mut self) {
        if let Disk::Initialized(storage) = &mut self.disk {
            storage.own().tokens.own().end_batch_tokens();
        }
    }
}
