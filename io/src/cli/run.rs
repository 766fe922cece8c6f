//! What running a role has in common: log, status, clock, randomness, stopping, and the driver.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kubefox_core::machine::{Machine, Seed, Standing};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::{Telemetry, Unusable};
use crate::adapter::{Adapter, Entropy as _};
use crate::door::Door;
use crate::driver::halt::Halt;
use crate::driver::{Clock, Parts, Tap, drive};
use crate::shell::carrier::Shells;
use crate::shell::entropy::OsEntropy;
use crate::shell::host::Real;
use crate::shell::signals::{at_each_user_signal, stdin_closed, terminated};
use crate::shell::status::{Snapshot, StatusServer};
use crate::telemetry::recorder::{Recorder, RecordingTap, write_shared};
use crate::telemetry::{self, LogTap};

/// Signals that wait for the driver.
const SIGNALS_WAITING_MAX: usize = 16;

/// How a role is connected to the world.
pub(super) struct Wiring<S> {
    /// Its shells.
    pub(super) shells: Shells,
    /// What the world tells it unasked, beside the end.
    pub(super) signals: BoxStream<'static, S>,
    /// How it is told to end.
    pub(super) stop: S,
}

/// Runs a machine until it ends, or until it was told to and has nothing left that must not be cut short.
pub(super) fn run_role<M, A, W>(
    role: &'static str,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    config: M::Config,
    adapter: A,
    tap: impl FnOnce(LogTap<M>) -> LogTap<M>,
    wire: impl FnOnce(Door<M, A::Rendered>, watch::Receiver<Snapshot>) -> W,
) -> Result<Standing, Unusable>
where
    M: Machine,
    A: Adapter<M>,
    W: Future<Output = Wiring<M::Signal>>,
{
    let (halt, runtime) = prepare::<M>(&telemetry)?;
    let ended = runtime.block_on(async {
        let (log, snapshots) = LogTap::<M>::new(role);
        let log = tap(log);
        let status =
            StatusServer::open(&Real, telemetry.status_listen, snapshots.clone(), Arc::clone(&clock))
                .await
                .map_err(|error| Unusable(format!("--status-listen {}: {error}", telemetry.status_listen)))?;
        tracing::debug!(address = %status.address(), "StatusListening");
        let (door, questions) = Door::new();
        let Wiring { shells, signals: unasked, stop } = wire(door, snapshots).await;
        let (sender, signals) = mpsc::channel(SIGNALS_WAITING_MAX);
        let ending = stream::once(async {
            told_to_end(telemetry.exit_with_stdin).await;
            stop
        });
        let relay = relay(stream::select(unasked, ending), sender);
        let listener = shells.listener.clone();
        let mut seed = Seed([0; 32]);
        OsEntropy.fill(&mut seed.0);
        let recorder = telemetry
            .record_dir
            .map(|folder| Arc::new(Mutex::new(Recorder::<M>::new(role, folder, config.clone(), seed))));
        let log = log.termination_log(telemetry.termination_log);
        let tap: Box<dyn Tap<M>> = match &recorder {
            Some(recorder) => Box::new(RecordingTap::new(Arc::clone(recorder), log)),
            None => Box::new(log),
        };
        let parts = Parts {
            adapter,
            carrier: Arc::new(shells),
            clock,
            entropy: Box::new(OsEntropy),
            questions,
            signals,
            tap,
            halt,
        };
        let ended = tokio::select! {
            biased;
            ended = drive(config, seed, parts) => ended,
            () = at_each_user_signal(|| write_shared(recorder.as_ref())) => {
                unreachable!("signals may come for ever")
            }
            () = relay => unreachable!("the relay waits for ever once there is nothing to relay"),
        };
        // What was answered in the last step is still on its way to the askers.
        if let Some(listener) = listener {
            listener.drain().await;
        }
        Ok(ended)
    });
    // Nothing that is still under way is worth waiting for.
    runtime.shutdown_background();
    ended
}

/// Begins the log. Answers where the role is to stand still, and what it runs on.
fn prepare<M: Machine>(telemetry: &Telemetry) -> Result<(Option<Halt>, Runtime), Unusable> {
    let halt = telemetry.halt_at.as_deref().map(|halt| Halt::parse(halt, &M::phases())).transpose();
    let halt = halt.map_err(|error| Unusable(format!("--halt-at: {error}")))?;
    telemetry::start(telemetry.log_format, &telemetry.log_level)
        .map_err(|error| Unusable(format!("--log-level {}: {error}", telemetry.log_level)))?;
    telemetry::forbid_core_dumps();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Unusable(format!("the process may not start threads: {error}")))?;
    Ok((halt, runtime))
}

/// Returns when the process is to end: it was told to, or whoever started it is gone.
async fn told_to_end(exit_with_stdin: bool) {
    let parent_gone = async {
        match exit_with_stdin {
            true => stdin_closed().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = terminated() => {}
        () = parent_gone => {}
    }
}

/// Passes on what the world tells, for as long as it does.
async fn relay<S>(told: impl Stream<Item = S>, sender: mpsc::Sender<S>) {
    let mut told = pin!(told);
    while let Some(signal) = told.next().await {
        if sender.send(signal).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}
