//! What invariants remember of a world's past.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubefox_io::disk::Folder;
use serde_json::Value;

use crate::fake::disk::Disk;
use crate::fake::vault::Vault;

/// The past, as far as it decides whether the present is right. Worlds fork by the million, so it is shared.
#[derive(Clone, Default)]
pub(super) struct Monitor {
    /// The first root certificate, PEM: no other one may ever be.
    pub(super) root_of_trust: Option<Arc<str>>,
    /// Key id, salt and nonce of every envelope that was ever written.
    envelopes: Arc<BTreeSet<[String; 3]>>,
    last_envelope: Arc<[u8]>,
    /// Two different envelopes were encrypted with the same key and nonce.
    pub(super) nonce_was_reused: bool,
}

impl Monitor {
    /// Looks at what has become of the world.
    pub(super) fn observe(&mut self, vault: &Vault, disk: &Disk) {
        if self.root_of_trust.is_none() {
            self.root_of_trust = vault.issuer_certificates().into_iter().next().map(Arc::from);
        }
        let state = disk.file(Folder::State, "boot.state").unwrap_or_default();
        if *state == *self.last_envelope {
            return;
        }
        self.last_envelope = state.into();
        let Ok(file) = serde_json::from_slice::<Value>(state) else { return };
        let member = |name: &str| file[name].as_str().map(str::to_owned);
        if let [Some(key), Some(salt), Some(nonce)] = ["kid", "salt", "nonce"].map(member) {
            self.nonce_was_reused |= !Arc::make_mut(&mut self.envelopes).insert([key, salt, nonce]);
        }
    }
}
