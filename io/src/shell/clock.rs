//! Time from the operating system.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubefox_core::time::{Mono, Now, Unix};
use tokio::time::Instant;

use crate::driver::Clock;

/// The monotonic clock counts milliseconds since this value was made; the other is the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that begins now. A process makes one.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono: Mono(mono_ms), unix: unix_now() }
    }

    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()> {
        // One millisecond more, so that `now` has certainly reached `at` when the sleep ends: it rounds down.
        let wake = self.start + Duration::from_millis(at.0.saturating_add(1));
        tokio::time::sleep_until(wake).boxed()
    }
}

/// A wall clock before 1970 counts as 1970: every certificate is then not yet valid, which is what there is to say.
fn unix_now() -> Unix {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Unix(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_its_moment_has_come_and_not_before() {
        let clock = SystemClock::start();
        let at = clock.now().in_ms(20);

        clock.sleep_until(at).await;

        let woke = clock.now();
        assert!(woke.mono >= at, "{woke:?} is before {at:?}");
        assert!(woke.unix.0 > 1_700_000_000);
    }
}
