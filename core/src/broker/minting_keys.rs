//! Makes the private keys of both certificates in this pod, at each attempt others.
//!
//! From then on the slots hold the keys of certificates that are not there yet. That harms nothing that works: who serves
//! and who connects was given the bytes, and every way from here to another use of a slot leads through what is held next.

use super::{Broker, Call, KEY, RUNTIME_KEY, State};
use crate::bootstrap::{Csrs, KeyOrigin};
use crate::initializer::MINT_KEY_MS;
use crate::keys;
use crate::machine::Out;
use crate::names::{Csr, Pem};
use crate::secret::Secret;
use crate::time::Now;

impl State {
    /// On to the controller, or first to the keyring.
    pub(super) fn at_keys(origin: KeyOrigin, ca: Pem, now: Now, out: &mut Out<Broker>) -> Self {
        match origin {
            KeyOrigin::Vault => Self::bootstrapping(ca, None, now, out),
            KeyOrigin::Pod => Self::minting(KEY, ca, None, now, out),
        }
    }

    /// The runtime's key comes after the broker's.
    pub(super) fn minted(ca: Pem, broker: Option<Csr>, csr: Csr, now: Now, out: &mut Out<Broker>) -> Self {
        match broker {
            None => Self::minting(RUNTIME_KEY, ca, Some(csr), now, out),
            Some(broker) => Self::bootstrapping(ca, Some(Csrs { broker, runtime: csr }), now, out),
        }
    }

    fn minting(into: Secret, ca: Pem, broker: Option<Csr>, now: Now, out: &mut Out<Broker>) -> Self {
        let call = Call::Keys(keys::Call::MintCertificateKey { into });
        Self::MintingKeys { call: out.call(now.in_ms(MINT_KEY_MS), call), ca, broker }
    }
}
