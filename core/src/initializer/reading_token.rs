//! Reads the service-account token right before it is shown, and judges what was found.

use super::{Call, Initializer, State, TOKEN, Verdict, Wait};
use crate::fatal::Fatal;
use crate::machine::Out;
use crate::names::Pem;
use crate::time::Now;
use crate::volume::{self, TokenFile};

/// Reading one mounted file takes no longer, unless the node is in trouble.
pub(crate) const READ_TOKEN_MS: u64 = 2_000;

impl State {
    pub(super) fn reading_token(ca: Pem, now: Now, out: &mut Out<Initializer>) -> Self {
        let call = Call::Volume(volume::Call::ReadToken { token: volume::Token::Caller, into: TOKEN });
        Self::ReadingToken { call: out.call(now.in_ms(READ_TOKEN_MS), call), ca }
    }
}

/// Whether there is a token to show.
pub(crate) fn judge(file: TokenFile) -> Verdict<()> {
    match file {
        TokenFile::Read => Verdict::Go(()),
        TokenFile::Missing => Verdict::Late { wait: Wait::Token, fatal: Fatal::TokenMissing },
        TokenFile::Empty | TokenFile::Malformed => Verdict::Stop(Fatal::TokenMalformed),
    }
}
