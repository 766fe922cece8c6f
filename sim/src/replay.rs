//! Replays a recording in the same core: each cause is given to the machine again, and the first step that comes out
//! otherwise is the answer.
//!
//! A machine is a function of its configuration, its seed and what it is told, so a difference means another version
//! of the core, or a recording that somebody changed.

use kubefox_core::broker::Broker;
use kubefox_core::controller::Controller;
use kubefox_core::initializer::Initializer;
use kubefox_core::machine::{Machine, Out};
use kubefox_core::quarantine::Quarantine;
use kubefox_io::driver::Cause;
use kubefox_io::telemetry::recorder::{Header, Origin, Step};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Longest part of a step that a message shows, on either side of the first difference.
const SHOWN_CHARS: usize = 200;

/// A recording that came out as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Of which role.
    pub role: String,
    /// So many steps.
    pub steps: u64,
    /// The state after the last one.
    pub phase: String,
}

/// Why a recording did not come out as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// It is none, or of another version.
    #[error(
        "line {line} is no {what}, at its column {column}: the recording was changed, or is of another version than {}",
        env!("CARGO_PKG_VERSION")
    )]
    Unreadable {
        /// Which line, from 1.
        line: usize,
        /// Where in it, from 1; 0 if it is missing.
        column: usize,
        /// What it should be.
        what: &'static str,
    },
    /// It is of a role that has no machine.
    #[error("there is no role {0:?}")]
    NoSuchRole(String),
    /// A step is missing, or there is one too many.
    #[error("line {line} is step {seq}, and step {due} is due: a line is missing or was added")]
    OutOfOrder {
        /// Which line, from 1.
        line: usize,
        /// The step it says it is.
        seq: u64,
        /// The step it should be.
        due: u64,
    },
    /// The machine did something else.
    #[error("line {line}, step {seq}: the {part} differ\n  recorded  {recorded}\n  replayed  {replayed}")]
    Step {
        /// Which line, from 1.
        line: usize,
        /// Which step.
        seq: u64,
        /// What differs.
        part: &'static str,
        /// As it was recorded.
        recorded: String,
        /// As it is now.
        replayed: String,
    },
}

/// Replays a recording of any role.
///
/// # Errors
/// The first [`Difference`].
pub fn replay(recording: &str) -> Result<Replayed, Difference> {
    #[derive(Deserialize)]
    struct Role {
        role: String,
    }
    let Role { role } = line(recording.lines().next().unwrap_or_default(), 1, "header")?;
    match role.as_str() {
        "controller" => replay_as::<Controller>(recording),
        "init vault" => replay_as::<Quarantine>(recording),
        "init nats" => replay_as::<Initializer>(recording),
        "broker" => replay_as::<Broker>(recording),
        _ => Err(Difference::NoSuchRole(role)),
    }
}

fn replay_as<M: Machine>(recording: &str) -> Result<Replayed, Difference> {
    let mut lines = recording.lines().zip(1..);
    let (header, number) = lines.next().unwrap_or(("", 1));
    let Header::<M> { role, version: _, from } = line(header, number, "header")?;
    let (mut start, mut running) = match from {
        Origin::Start { config, seed } => (Some((config, seed)), None),
        Origin::Middle { machine, next } => (None, Some((machine, Out::continuing(next)))),
    };
    let mut replayed = Replayed { role, steps: 0, phase: String::new() };
    let mut due = None;
    for (text, number) in lines {
        let recorded: Step<M> = line(text, number, "step")?;
        let seq = recorded.seq;
        let due_now = due.unwrap_or_else(|| if start.is_some() { 0 } else { seq });
        if seq != due_now {
            return Err(Difference::OutOfOrder { line: number, seq, due: due_now });
        }
        due = Some(seq + 1);
        let (machine, out) = match &mut running {
            Some(running) => running,
            None => {
                let unreadable = Difference::Unreadable { line: number, column: 0, what: "start" };
                let (config, seed) = start.take().ok_or(unreadable)?;
                let mut out = Out::default();
                let machine = M::start(config, seed, recorded.now, &mut out);
                running.insert((machine, out))
            }
        };
        match recorded.cause {
            Cause::Start => {}
            Cause::Event(event) => machine.handle_event(recorded.now, event, out),
            Cause::Timeout => machine.handle_timeout(recorded.now, out),
        }
        let differs = |part, recorded: String, replayed: String| {
            let (recorded, replayed) = around_the_first_difference(&recorded, &replayed);
            Err(Difference::Step { line: number, seq, part, recorded, replayed })
        };
        let effects = out.take();
        if effects != recorded.effects {
            return differs("effects", format!("{:?}", recorded.effects), format!("{effects:?}"));
        }
        if machine.phase() != recorded.phase {
            return differs("states", recorded.phase, machine.phase().to_owned());
        }
        replayed.steps += 1;
        replayed.phase = recorded.phase;
    }
    Ok(replayed)
}

fn line<T: DeserializeOwned>(text: &str, line: usize, what: &'static str) -> Result<T, Difference> {
    serde_json::from_str(text).map_err(|error| Difference::Unreadable { line, column: error.column(), what })
}

/// Both texts from a little before where they part.
fn around_the_first_difference(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(SHOWN_CHARS / 4);
    let part = |text: &str| text.chars().skip(from).take(SHOWN_CHARS).collect::<String>();
    (part(one), part(other))
}

#[cfg(test)]
mod tests;
