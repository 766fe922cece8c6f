//! What no request can do: for planted bugs and for tests that spoil a world on purpose.

use super::kv;
use super::mounts::{Engine, SecretMount};
use super::{Disk, Vault};

impl Vault {
    /// The paths below these K/V mounts of which more than one version was written.
    #[must_use]
    pub fn rewritten(&self, mounts: &[&str]) -> Vec<String> {
        let Some(storage) = self.storage() else { return Vec::new() };
        let below = |mount: &&str| match storage.mounts.get(*mount) {
            Some(SecretMount { engine: Engine::Kv(kv), .. }) => kv.rewritten(),
            Some(_) | None => Vec::new(),
        };
        mounts.iter().flat_map(below).collect()
    }

    /// The next storage mints what the last one did: for worlds in which nobody remembers the last one.
    pub fn mint_as_before(&mut self) {
        self.mint.repeat_life();
    }

    /// Writes the last version of everything below a K/V mount once more, past all policies.
    pub fn rewrite(&mut self, mount: &str) {
        let Disk::Initialized(storage) = &mut self.disk else { return };
        if let Some(SecretMount { engine: Engine::Kv(kv), .. }) = storage.own().mounts.own().get_mut(mount) {
            kv::rewrite(kv.own());
        }
    }
}
