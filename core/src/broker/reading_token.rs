//! Reads the service-account token right before it is shown; it is judged as the initializer does.

use super::{Broker, Call, State, TOKEN};
use crate::initializer::READ_TOKEN_MS;
use crate::machine::Out;
use crate::names::Pem;
use crate::time::Now;
use crate::volume;

impl State {
    pub(super) fn reading_token(ca: Pem, now: Now, out: &mut Out<Broker>) -> Self {
        let call = Call::Volume(volume::Call::ReadToken { token: volume::Token::Caller, into: TOKEN });
        Self::ReadingToken { call: out.call(now.in_ms(READ_TOKEN_MS), call), ca }
    }
}
