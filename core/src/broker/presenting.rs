//! Shows the component's certificate to its runtime from the next handshake on.

use super::bootstrapping::Held;
use super::{Broker, Call, KEY, State};
use crate::listener;
use crate::machine::Out;
use crate::time::Now;

/// How long opening a port, or replacing what it shows, may take.
const PRESENT_MS: u64 = 2_000;

impl State {
    pub(super) fn presenting(held: &Held, now: Now, out: &mut Out<Broker>) -> Self {
        let certificate = &held.documents.certificate;
        let call =
            listener::Call::Present { leaf: certificate.leaf.clone(), ca: certificate.ca.clone(), key: KEY };
        Self::Presenting { call: out.call(now.in_ms(PRESENT_MS), Call::Listener(call)) }
    }
}
