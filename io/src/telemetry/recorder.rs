//! The flight recorder: the last steps of a machine, as one can replay them.
//!
//! ```text
//! trace.jsonl   {"role":"controller","version":"0.1.0","from":{"Start":{"config":…,"seed":…}}}
//!               {"seq":0,"now":…,"cause":"Start","effects":[…],"phase":"Survey::InspectingDirectory"}
//!               {"seq":1,…}
//! ```
//!
//! It is written when the machine stops with a fatal, when its driver is halted, and at SIGUSR1. A step holds no
//! secrets, only their names, and neither does a configuration; so a recording can be mailed as it is. What is kept is
//! bounded: beyond that the oldest steps go, and the header holds the machine as it was before the first step that is left.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kubefox_core::machine::{CallId, Effect, Machine, Seed, Standing};
use kubefox_core::time::Now;
use serde::{Deserialize, Serialize};

use crate::driver::halt::Halt;
use crate::driver::{Cause, Tap};

/// At least so many of the last steps are kept, and at most twice as many. A first start takes about four hundred.
pub const STEPS_KEPT: usize = 512;
/// The file in the chosen directory.
pub const TRACE: &str = "trace.jsonl";

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Header<M: Machine> {
    /// Which role it is.
    pub role: String,
    /// The version of the program.
    pub version: String,
    /// What the first step follows from.
    pub from: Origin<M>,
}

/// What a recorded step follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Origin<M: Machine> {
    /// The first step is the start.
    Start {
        /// What the operator chose.
        config: M::Config,
        /// What was drawn at the start.
        seed: Seed,
    },
    /// The first step is a later one.
    Middle {
        /// The machine before it.
        machine: M,
        /// The id of its next call.
        next: CallId,
    },
}

/// Every other line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Step<M: Machine> {
    /// How many steps came before it in this life.
    pub seq: u64,
    /// When.
    pub now: Now,
    /// What made the machine take it.
    pub cause: Cause<M>,
    /// What it asks of the world.
    pub effects: Vec<Effect<M>>,
    /// The state it led to.
    pub phase: String,
}

/// Steps that follow from one another.
struct Part<M: Machine> {
    from: Origin<M>,
    steps: Vec<Step<M>>,
}

/// Keeps the last steps of one machine.
pub struct Recorder<M: Machine> {
    role: &'static str,
    folder: PathBuf,
    older: Option<Part<M>>,
    newer: Part<M>,
    seq: u64,
    next: CallId,
}

impl<M: Machine> Recorder<M> {
    /// Of a machine that is about to start; its recordings go into `folder`.
    #[must_use]
    pub const fn new(role: &'static str, folder: PathBuf, config: M::Config, seed: Seed) -> Self {
        let newer = Part { from: Origin::Start { config, seed }, steps: Vec::new() };
        Self { role, folder, older: None, newer, seq: 0, next: CallId(0) }
    }

    fn keep(&mut self, now: Now, cause: &Cause<M>, effects: &[Effect<M>], machine: &M) {
        let calls = effects.iter().filter(|effect| matches!(effect, Effect::Call { .. })).count();
        self.next.0 += u64::try_from(calls).unwrap_or(u64::MAX);
        let (seq, phase) = (self.seq, machine.phase().to_owned());
        self.seq += 1;
        self.newer.steps.push(Step { seq, now, cause: cause.clone(), effects: effects.to_vec(), phase });
        if self.newer.steps.len() == STEPS_KEPT {
            let from = Origin::Middle { machine: machine.clone(), next: self.next };
            self.older = Some(std::mem::replace(&mut self.newer, Part { from, steps: Vec::new() }));
        }
    }

    /// Writes what is kept; an older recording is replaced. A failure costs the recording and nothing else.
    pub fn write(&self) {
        let path = self.folder.join(TRACE);
        match self.write_to(&path) {
            Ok(steps) => tracing::info!(role = self.role, steps, path = %path.display(), "Recorded"),
            Err(error) => tracing::warn!(role = self.role, %error, path = %path.display(), "NotRecorded"),
        }
    }

    fn write_to(&self, path: &Path) -> io::Result<usize> {
        let parts: Vec<_> = self.older.iter().chain([&self.newer]).collect();
        let from = &parts.first().expect("there is always the newer part").from;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let header = Header { role: self.role.to_owned(), version, from: from.clone() };
        let temporary = path.with_extension("tmp");
        let options = File::options().create(true).write(true).truncate(true).mode(0o600).clone();
        let mut file = BufWriter::new(options.open(&temporary)?);
        serde_json::to_writer(&mut file, &header)?;
        writeln!(file)?;
        let mut steps = 0;
        for step in parts.iter().flat_map(|part| &part.steps) {
            serde_json::to_writer(&mut file, step)?;
            writeln!(file)?;
            steps += 1;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&temporary, path)?;
        Ok(steps)
    }
}

/// A recorder that a tap and a signal share.
pub type Shared<M> = Arc<Mutex<Recorder<M>>>;

/// Writes the recording of a role, or says that there is none.
pub fn write_shared<M: Machine>(recorder: Option<&Shared<M>>) {
    match recorder {
        Some(recorder) => recorder.lock().unwrap_or_else(PoisonError::into_inner).write(),
        None => tracing::warn!("--record-dir is not given: there is no recording to write"),
    }
}

/// Another tap with a recorder in front of it: what it tells of an end can be looked up at once.
pub struct RecordingTap<M: Machine, T> {
    recorder: Shared<M>,
    tap: T,
}

impl<M: Machine, T: Tap<M>> RecordingTap<M, T> {
    /// Records what `tap` is told.
    pub const fn new(recorder: Shared<M>, tap: T) -> Self {
        Self { recorder, tap }
    }
}

impl<M: Machine, T: Tap<M>> Tap<M> for RecordingTap<M, T> {
    fn step(&mut self, now: Now, cause: &Cause<M>, effects: &[Effect<M>], machine: &M) {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        recorder.keep(now, cause, effects, machine);
        match machine.standing() {
            Standing::Stopped(_) => recorder.write(),
            Standing::Starting | Standing::Ready | Standing::Finished => {}
        }
        drop(recorder);
        self.tap.step(now, cause, effects, machine);
    }

    fn halted(&mut self, halt: Halt) {
        write_shared(Some(&self.recorder));
        self.tap.halted(halt);
    }

    fn missed(&mut self, halt: Halt) {
        self.tap.missed(halt);
    }
}
