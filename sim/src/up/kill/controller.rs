//! One life of a controller's process, and what it has told so far.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kubefox_core::controller::Notice;
use kubefox_io::driver::halt::Halt;
use kubefox_io::telemetry::recorder::TRACE;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::super::kubelet::make;
use super::super::platform::Platform;
use super::super::process::Process;
use super::super::report::is_write;
use super::super::story::Told;
use crate::replay::{Replayed, replay};

/// How a controller is started.
pub(super) struct Start {
    /// Where it finds Vault.
    pub(super) vault: String,
    /// Its pod's name.
    pub(super) pod: &'static str,
    /// The directory of its tokens.
    pub(super) tokens: PathBuf,
    /// Whether its state directory may be a plain one.
    pub(super) allows_plain_state_dir: bool,
    /// Whether it may recover an interrupted initialization.
    pub(super) recovers: bool,
}

/// A running one.
pub(super) struct Controller {
    process: Process,
    /// What it has told.
    pub(super) seen: Seen,
}

/// What a controller has told.
#[derive(Default)]
pub(super) struct Seen {
    /// The states that it was in.
    pub(super) met: BTreeSet<String>,
    /// The last of them.
    pub(super) state: Option<String>,
    /// It stands still where it was to.
    pub(super) halted: bool,
    /// It ended without having been there.
    pub(super) missed: bool,
    /// It was ready when it last said something about it.
    pub(super) ready: bool,
    /// It serves callers, or did.
    pub(super) serves: bool,
    /// Requests that changed something in Vault's configuration.
    pub(super) writes: u32,
    /// An audit found that something is missing.
    pub(super) finds: bool,
    /// The name of what it stopped with.
    pub(super) fatal: Option<String>,
    /// Its outputs are closed.
    pub(super) ended: bool,
}

impl Controller {
    pub(super) fn start(platform: &Platform, start: &Start, halt: Option<Halt>) -> Result<Self> {
        let mut command = platform.controller(&start.vault, start.pod, &start.tokens)?;
        // Every step is told, so that the states it meets are known.
        command.args(["--log-level", "info,kubefox_io=debug"]);
        if start.allows_plain_state_dir {
            command.arg("--allow-plain-state-dir");
        }
        if start.recovers {
            command.arg("--recover-interrupted-init");
        }
        if let Some(halt) = halt {
            command.arg("--record-dir").arg(record_dir(platform)?);
            command.args(["--halt-at", &halt.to_string()]);
        }
        let process = platform.spawn("controller", command)?;
        Ok(Self { process, seen: Seen::default() })
    }

    /// Takes the recording of a controller that stands still, and replays it. Answers how many steps it has.
    pub(super) fn replay(&self, platform: &Platform) -> Result<u64> {
        let recording = std::fs::read_to_string(record_dir(platform)?.join(TRACE))
            .context("a controller that stands still has written its recording")?;
        let Replayed { steps, phase, .. } = replay(&recording)?;
        match &self.seen.state {
            Some(state) if *state == phase => Ok(steps),
            state => bail!("the recording ends in the state {phase}, and the controller told {state:?}"),
        }
    }

    /// Hears what it tells until this holds or it has ended, at most for so long. Answers whether it held.
    pub(super) async fn until(&mut self, holds: impl Fn(&Seen) -> bool, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while !holds(&self.seen) && !self.seen.ended {
            let Ok(told) = timeout_at(deadline, self.process.tells()).await else { break };
            match told {
                Some(told) => self.seen.hear(&told),
                None => self.seen.ended = true,
            }
        }
        holds(&self.seen)
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&mut self) {
        self.process.ask_to_end();
    }

    /// Lets an hour pass for it.
    pub(super) fn an_hour_passes(&self) -> Result<()> {
        self.process.an_hour_passes()
    }

    /// Hears what it tells for so long, unless it ends.
    pub(super) async fn listen(&mut self, time: Duration) {
        self.until(|_| false, time).await;
    }

    /// Comes to serve; anything else is an error with its reason.
    pub(super) async fn serves(&mut self, within: Duration) -> Result<()> {
        if self.until(|seen| seen.serves || seen.fatal.is_some(), within).await && self.seen.serves {
            return Ok(());
        }
        bail!(self.why("serve", within))
    }

    /// Why it did not do that.
    pub(super) fn why(&self, did_not: &str, within: Duration) -> String {
        if self.seen.ended || self.seen.fatal.is_some() {
            self.process.farewell()
        } else {
            self.process.late(did_not, within)
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(self) {
        self.process.kill().await;
    }

    /// Ends it as the kubelet does.
    pub(super) async fn stop(self) {
        self.process.stop().await;
    }
}

fn record_dir(platform: &Platform) -> Result<PathBuf> {
    let folder = platform.directory.join("recordings");
    make(&folder)?;
    Ok(folder)
}

impl Seen {
    fn hear(&mut self, told: &Told) {
        let text = |name: &str| told.facts.get(name).and_then(Value::as_str).map(str::to_owned);
        match told.message.as_str() {
            "Step" => {
                if let Some(state) = text("after") {
                    self.met.insert(state.clone());
                    self.state = Some(state);
                }
            }
            "Halted" => self.halted = true,
            "HaltMissed" => self.missed = true,
            "Ready" => self.ready = true,
            "NoLongerReady" => self.ready = false,
            "Stopped" => self.fatal = text("fatal"),
            "Serving" => self.serves = true,
            "Found" => self.finds = true,
            _ => self.writes += u32::from(told.notice::<Notice>().is_some_and(|notice| is_write(&notice))),
        }
    }
}
