//! Reads the certificates that say which controller is the right one; they are judged as the initializer does.

use super::{Broker, Call, State};
use crate::initializer::READ_TRUST_MS;
use crate::machine::Out;
use crate::time::Now;
use crate::volume;

impl State {
    pub(super) fn reading_trust(now: Now, out: &mut Out<Broker>) -> Self {
        let call = Call::Volume(volume::Call::ReadTrust);
        Self::ReadingTrust { call: out.call(now.in_ms(READ_TRUST_MS), call) }
    }
}
