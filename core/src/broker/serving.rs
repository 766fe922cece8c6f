//! Everything is in use; only time can change that.

use super::bootstrapping::Held;
use super::{Broker, Notice, State};
use crate::machine::Out;
use crate::time::Now;

/// How often the wall clock is compared with what is held: it may jump, and a suspended node wakes up late.
const LOOK_MS: u64 = 60_000;

impl State {
    pub(super) fn serving(held: &Held, now: Now) -> Self {
        Self::Serving { look_at: now.in_ms(LOOK_MS).min(now.mono_at(held.renew_at)) }
    }
}

impl Broker {
    /// Lifetimes are of the wall clock, which may jump: it is looked at in every step.
    pub(super) fn look_at_the_clock(&mut self, now: Now, out: &mut Out<Self>) {
        let lapsed = self.in_use_until.is_some_and(|end| end <= now.unix);
        if lapsed && !self.lapsed && !self.state.is_final() {
            out.notice(Notice::Lapsed);
        }
        self.lapsed = lapsed;
    }
}
