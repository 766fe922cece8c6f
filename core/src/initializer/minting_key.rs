//! Makes the private key of the certificate in this pod, at each attempt another one: none is asked about twice.

use super::{Call, Initializer, KEY, State};
use crate::keys;
use crate::machine::Out;
use crate::names::Pem;
use crate::time::Now;

/// The keyring answers at once.
pub(crate) const MINT_KEY_MS: u64 = 1_000;

impl State {
    pub(super) fn minting_key(ca: Pem, now: Now, out: &mut Out<Initializer>) -> Self {
        let call = Call::Keys(keys::Call::MintCertificateKey { into: KEY });
        Self::MintingKey { call: out.call(now.in_ms(MINT_KEY_MS), call), ca }
    }
}
