//! What a process tells: log lines, the snapshot behind its status port, and its last words.
//!
//! Steps of a machine hold no secrets and may be printed; requests and responses of libraries may not, so what
//! libraries log themselves is capped.

pub mod recorder;

use std::fmt::{self, Debug, Write as _};
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use kubefox_core::machine::{Effect, Event, Machine, Outcome, Standing};
use kubefox_core::time::{Now, Unix};
use tokio::sync::watch;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::driver::halt::Halt;
use crate::driver::{Cause, Tap};
use crate::shell::status::Snapshot;

/// What the targets of our own log lines begin with.
const OURS: &str = "kubefox";

/// Longest text of one event or effect in a log line.
pub const DETAIL_CHARS_MAX: usize = 160;

/// For how long Vault's root token may live; its work takes seconds. After that a person must look.
pub const ROOT_TOKEN_ALIVE_S_MAX: u64 = 600;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why nothing is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLogging {
    /// The filter cannot be read.
    #[error("the log level must be off, error, warn, info, debug, trace, or TARGET=LEVEL joined by commas")]
    Filter,
    /// There is a subscriber already.
    #[error("the process logs already")]
    Twice,
}

/// Begins to log to standard error, and makes panics say where they happened and nothing else. Once for a process.
///
/// `levels` is one level for our own lines, or several `TARGET=LEVEL` joined by commas; libraries are capped at INFO.
///
/// # Errors
/// [`NotLogging`] says why not.
pub fn start(format: LogFormat, levels: &str) -> Result<(), NotLogging> {
    let registry = tracing_subscriber::registry().with(filter(levels)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init(),
    };
    started.map_err(|_| NotLogging::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        // A message may quote what was at hand when it panicked.
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "Panicked");
    }));
    Ok(())
}

/// Our own lines as chosen; those of libraries at INFO at most, because they print requests and responses below it.
/// async-nats logs at ERROR what its caller is told anyway, at each attempt to reconnect.
fn filter(levels: &str) -> Result<Targets, NotLogging> {
    // A word that is no level would be taken for a target, and a slip of the pen would silence the log.
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    if !levels.split(',').map(str::trim).all(is_level) {
        return Err(NotLogging::Filter);
    }
    let chosen: Targets = levels.parse().map_err(|_| NotLogging::Filter)?;
    let level = chosen.default_level().unwrap_or(LevelFilter::INFO);
    let mut filter = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target(OURS, level)
        .with_target("async_nats", LevelFilter::OFF);
    for (target, level) in chosen.iter() {
        let cap = if target.starts_with(OURS) { LevelFilter::TRACE } else { LevelFilter::INFO };
        filter = filter.with_target(target, level.min(cap));
    }
    Ok(filter)
}

/// Keeps the process's memory out of core dumps and out of the reach of other processes of the same user.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "CoreDumpsNotForbidden");
    }
}

/// Tells every step of a machine: a line at DEBUG for the step and for each new phase, one at INFO for each new standing and
/// each notice, one at ERROR for the end and for a root token that does not die; and the newest snapshot.
pub struct LogTap<M: Machine> {
    told: Snapshot,
    snapshots: watch::Sender<Snapshot>,
    termination_log: Option<PathBuf>,
    notice_level: fn(&M::Notice) -> Level,
    root_token: fn(&M::Notice) -> Option<RootToken>,
    /// That the root token has been alive for too long was told.
    alarmed: bool,
}

/// What a notice says of Vault's root token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootToken {
    /// It is alive, as far as anybody knows.
    Alive,
    /// It is dead, and that is proved.
    Dead,
}

impl<M: Machine> LogTap<M> {
    /// A tap, and where its snapshots can be read.
    #[must_use]
    pub fn new(role: &'static str) -> (Self, watch::Receiver<Snapshot>) {
        let told = Snapshot::before_start(role);
        let (snapshots, receiver) = watch::channel(told);
        let tap = Self {
            told,
            snapshots,
            termination_log: None,
            notice_level: |_| Level::INFO,
            root_token: |_| None,
            alarmed: false,
        };
        (tap, receiver)
    }

    /// Also writes the last words to this file, where the kubelet looks for them.
    #[must_use]
    pub fn termination_log(mut self, path: PathBuf) -> Self {
        self.termination_log = Some(path);
        self
    }

    /// Tells a notice at this level instead of INFO.
    #[must_use]
    pub fn notice_level(mut self, level: fn(&M::Notice) -> Level) -> Self {
        self.notice_level = level;
        self
    }

    /// Learns from these notices since when, in this life of the process, Vault's root token has been alive.
    #[must_use]
    pub fn root_token(mut self, told: fn(&M::Notice) -> Option<RootToken>) -> Self {
        self.root_token = told;
        self
    }

    fn root_token_since(&self, now: Now, effects: &[Effect<M>]) -> Option<Unix> {
        let mut since = self.told.root_token_since;
        for effect in effects {
            let Effect::Notice(notice) = effect else { continue };
            match (self.root_token)(notice) {
                Some(RootToken::Alive) => since = since.or(Some(now.unix)),
                Some(RootToken::Dead) => since = None,
                None => {}
            }
        }
        since
    }

    /// Once for each root token that does not die.
    fn alarm(&mut self, now: Now) {
        let alive_s = self.told.root_token_since.map_or(0, |since| now.unix.0.saturating_sub(since.0));
        let too_long = alive_s >= ROOT_TOKEN_ALIVE_S_MAX;
        if too_long && !self.alarmed {
            tracing::error!(
                role = self.told.role,
                alive_s,
                waits_for = self.told.waits_for,
                "RootTokenAlive"
            );
        }
        self.alarmed = too_long;
    }

    fn notices(&self, effects: &[Effect<M>]) {
        for effect in effects {
            let Effect::Notice(notice) = effect else { continue };
            let (role, level) = (self.told.role, (self.notice_level)(notice));
            let (name, facts) = named(notice);
            match level {
                Level::ERROR => tracing::error!(role, facts, "{name}"),
                Level::WARN => tracing::warn!(role, facts, "{name}"),
                Level::INFO => tracing::info!(role, facts, "{name}"),
                _ => tracing::debug!(role, facts, "{name}"),
            }
        }
    }

    /// The last words are on the disk before the log has them: whoever reads `Stopped` may end this process at once.
    fn stopped(&self, fatal: kubefox_core::fatal::Fatal, waits_for: &str) {
        let (role, cause, remedy) = (self.told.role, fatal.cause(), fatal.remedy());
        if let Some(path) = &self.termination_log {
            let last_words = format!("{fatal:?}: {cause}\nRemedy: {remedy}\nLast: {waits_for}\n");
            if let Err(error) = fs::write(path, last_words) {
                tracing::warn!(%error, path = %path.display(), "TerminationMessageNotWritten");
            }
        }
        tracing::error!(role, ?fatal, exit_code = fatal.exit_code(), cause, remedy, waits_for, "Stopped");
    }
}

impl<M: Machine> Tap<M> for LogTap<M> {
    fn step(&mut self, now: Now, cause: &Cause<M>, effects: &[Effect<M>], machine: &M) {
        let before = self.told;
        let (phase, standing) = (machine.phase(), machine.standing());
        self.told = Snapshot {
            role: before.role,
            phase,
            since: if phase == before.phase { before.since } else { now.unix },
            waits_for: machine.waits_for(),
            standing,
            steps: before.steps + 1,
            root_token_since: self.root_token_since(now, effects),
        };
        let Snapshot { role, waits_for, .. } = self.told;
        if tracing::enabled!(Level::DEBUG) {
            let (cause, effects) = (cause_text(cause), effects_text(effects));
            tracing::debug!(role, before = before.phase, after = phase, cause, effects, "Step");
        }
        self.notices(effects);
        self.alarm(now);
        if deed(phase) != deed(before.phase) {
            tracing::debug!(role, phase, waits_for, "Phase");
        }
        if standing != before.standing {
            match standing {
                Standing::Starting => tracing::info!(role, waits_for, "NoLongerReady"),
                Standing::Ready => tracing::info!(role, "Ready"),
                Standing::Finished => tracing::info!(role, "Finished"),
                Standing::Stopped(fatal) => self.stopped(fatal, waits_for),
            }
        }
        self.snapshots.send_replace(self.told);
    }

    fn halted(&mut self, halt: Halt) {
        tracing::info!(role = self.told.role, state = halt.state, side = halt.side.word(), "Halted");
    }

    fn missed(&mut self, halt: Halt) {
        tracing::error!(role = self.told.role, state = halt.state, side = halt.side.word(), "HaltMissed");
    }
}

/// What a phase is about: phases of one deed share what stands before `::`.
fn deed(phase: &str) -> &str {
    phase.split_once("::").map_or(phase, |(deed, _)| deed)
}

/// A notice as a constant name and its facts in JSON. Notices are enums of plain data, and hold no secrets.
fn named(notice: &impl serde::Serialize) -> (String, String) {
    match serde_json::to_value(notice) {
        Ok(serde_json::Value::Object(members)) if members.len() == 1 => {
            let (name, facts) = members.into_iter().next().expect("it has one member");
            (name, facts.to_string())
        }
        Ok(serde_json::Value::String(name)) => (name, "{}".to_owned()),
        Ok(other) => ("Notice".to_owned(), other.to_string()),
        Err(_) => ("Notice".to_owned(), "{}".to_owned()),
    }
}

fn cause_text<M: Machine>(cause: &Cause<M>) -> String {
    match cause {
        Cause::Start => "start".to_owned(),
        Cause::Timeout => "timeout".to_owned(),
        Cause::Event(Event::Done { id, outcome: Outcome::Ok(reply) }) => {
            format!("done {} ok {}", id.0, bounded(reply))
        }
        Cause::Event(Event::Done { id, outcome: Outcome::Refused(refusal) }) => {
            format!("done {} refused {refusal:?}", id.0)
        }
        Cause::Event(Event::Done { id, outcome: Outcome::Unknown(lost) }) => {
            format!("done {} unknown {lost:?}", id.0)
        }
        Cause::Event(Event::Asked { ticket, ask, .. }) => format!("asked {} {}", ticket.0, bounded(ask)),
        Cause::Event(Event::Withdrawn { ticket }) => format!("withdrawn {}", ticket.0),
        Cause::Event(Event::Signal(signal)) => format!("signal {}", bounded(signal)),
    }
}

fn effects_text<M: Machine>(effects: &[Effect<M>]) -> String {
    let texts = effects.iter().map(|effect| match effect {
        Effect::Call { id, call, .. } => format!("call {} {}", id.0, bounded(call)),
        Effect::Answer { ticket, answer } => format!("answer {} {}", ticket.0, bounded(answer)),
        Effect::Notice(notice) => format!("notice {}", bounded(notice)),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// The beginning of what a value looks like.
fn bounded(value: &impl Debug) -> String {
    let mut text = Bounded { text: String::new(), left: DETAIL_CHARS_MAX };
    if write!(text, "{value:?}").is_err() {
        text.text.push('…');
    }
    text.text
}

/// Takes so many characters and no more.
struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.char_indices().nth(self.left).map_or(text, |(end, _)| &text[..end]);
        self.text.push_str(taken);
        self.left -= taken.chars().count();
        if taken.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
