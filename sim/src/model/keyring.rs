//! A keyring that can be cloned, for synthetic secrets only: worlds fork.

use std::collections::BTreeMap;

use kubefox_core::machine::Ticket;
use kubefox_core::secret::Secret;
use kubefox_io::adapter::{Empty, Slots};
use zeroize::Zeroizing;

/// Secrets by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(BTreeMap<Secret, Vec<u8>>);

impl Keyring {
    /// What it holds, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Secret, &[u8])> {
        self.0.iter().map(|(name, bytes)| (name, bytes.as_slice()))
    }

    /// Forgets everything that belongs to a question.
    pub fn close(&mut self, ticket: Ticket) {
        self.0.retain(|name, _| match name {
            Secret::Own(_) | Secret::Caller(_) => true,
            Secret::Of(owner, _) => *owner != ticket,
        });
    }
}

impl Slots for Keyring {
    fn expose(&self, name: Secret) -> Result<&[u8], Empty> {
        self.0.get(&name).map(Vec::as_slice).ok_or(Empty(name))
    }

    fn fill(&mut self, name: Secret, bytes: Zeroizing<Vec<u8>>) {
        self.0.insert(name, bytes.to_vec());
    }

    fn forget(&mut self, name: Secret) {
        self.0.remove(&name);
    }
}
