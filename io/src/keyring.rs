//! The one place where secrets rest. No `Debug`, no `Clone`, no serialisation; dropped or forgotten, the bytes are
//! wiped.

use std::collections::BTreeMap;

use kubefox_core::machine::Ticket;
use kubefox_core::secret::Secret;
use zeroize::Zeroizing;

use crate::adapter::{Empty, Slots};

/// Secrets by name.
#[derive(Default)]
pub struct Keyring {
    slots: BTreeMap<Secret, Zeroizing<Vec<u8>>>,
}

impl Keyring {
    /// Wipes everything that belongs to a question.
    pub fn close(&mut self, ticket: Ticket) {
        self.slots.retain(|name, _| match name {
            Secret::Own(_) | Secret::Caller(_) => true,
            Secret::Of(owner, _) => *owner != ticket,
        });
    }
}

impl Slots for Keyring {
    fn expose(&self, name: Secret) -> Result<&[u8], Empty> {
        self.slots.get(&name).map(|bytes| bytes.as_slice()).ok_or(Empty(name))
    }

    fn fill(&mut self, name: Secret, bytes: Zeroizing<Vec<u8>>) {
        self.slots.insert(name, bytes);
    }

    fn forget(&mut self, name: Secret) {
        self.slots.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubefox_core::secret::{Asker, Own};

    #[test]
    fn closing_a_ticket_forgets_its_secrets_and_no_others() {
        let mut keyring = Keyring::default();
        let (own, closed, open) = (
            Secret::Own(Own::UnsealKey),
            Secret::Of(Ticket(1), Asker::CallerJwt),
            Secret::Of(Ticket(2), Asker::CallerJwt),
        );
        // The closed question's login serves the caller's next one, until it is forgotten by name.
        let kept = Secret::Caller(Ticket(1));
        for name in [own, closed, open, kept] {
            keyring.fill(name, Zeroizing::new(vec![1, 2, 3]));
        }

        keyring.close(Ticket(1));

        assert_eq!(keyring.expose(closed), Err(Empty(closed)));
        assert_eq!(keyring.expose(own), Ok(&[1, 2, 3][..]));
        assert_eq!(keyring.expose(open), Ok(&[1, 2, 3][..]));
        assert_eq!(keyring.expose(kept), Ok(&[1, 2, 3][..]));
    }
}
