//! Time for a role that is this program: the machine's own, and an hour more whenever `up` says so.
//!
//! It is the wall clock that goes on, as it does for a machine that was suspended; pauses and deadlines are measured with
//! the other one, and stay what they are. Only a role of this program has this clock: the production binary has no way
//! to be lied to about time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use kubefox_core::time::{Mono, Now, Unix};
use kubefox_io::driver::Clock;
use kubefox_io::shell::clock::SystemClock;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// What `up` sends to a role for which an hour is to pass.
pub(super) const AN_HOUR_PASSES: Signal = Signal::USR2;
const HOUR_S: u64 = 3_600;

/// The clock of a role.
pub(super) struct Ahead {
    clock: SystemClock,
    hours: Arc<AtomicU64>,
}

impl Ahead {
    /// The machine's time, until the signal comes. From now on the signal does not end the process.
    pub(super) fn start() -> Result<Self> {
        let hours = Arc::new(AtomicU64::new(0));
        let passed = Arc::clone(&hours);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let kind = SignalKind::from_raw(AN_HOUR_PASSES.as_raw());
        let mut signals = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        // A thread of its own: the role has its own runtime, which knows nothing of this.
        let listen = move || {
            runtime.block_on(async {
                while signals.recv().await.is_some() {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        std::thread::Builder::new().name("clock".to_owned()).spawn(listen).context("no thread is left")?;
        Ok(Self { clock: SystemClock::start(), hours })
    }
}

impl Clock for Ahead {
    fn now(&self) -> Now {
        let Now { mono, unix } = self.clock.now();
        Now { mono, unix: Unix(unix.0 + self.hours.load(Ordering::Relaxed) * HOUR_S) }
    }

    fn sleep_until(&self, at: Mono) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.clock.sleep_until(at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{getpid, kill_process};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn an_hour_passes_on_the_wall_clock_alone_when_the_signal_comes() {
        let clock = Ahead::start().expect("a clock");
        let before = clock.now();

        kill_process(getpid(), AN_HOUR_PASSES).expect("it is this process");

        let passed = async {
            while clock.now().unix.0 < before.unix.0 + HOUR_S {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, passed).await.expect("the signal is heard");
        let after = clock.now();
        assert!(after.unix.0 < before.unix.0 + HOUR_S + PATIENCE.as_secs(), "{after:?}");
        assert!(after.mono.0 < before.mono.0 + 1_000 * PATIENCE.as_secs(), "{after:?}");
    }
}
