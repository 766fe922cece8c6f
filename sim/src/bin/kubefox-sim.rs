//! `cargo sim …`: the simulator's command line.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use kubefox_sim::model::explore::{Exploration, Scope, one_fault};
use kubefox_sim::model::world::Fate;
use kubefox_sim::replay::{Replayed, replay};

/// Runs the machines in worlds of our own.
#[derive(Parser)]
#[command(name = "kubefox-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tries every fate of every call of a controller's first start, one fault at a time.
    Explore {
        /// Seeds the world; every result repeats from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Replays a recording of a role in this core, and stops at the first step that comes out otherwise.
    Replay {
        /// A `trace.jsonl` that a role wrote into its --record-dir.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Explore { seed } => explore(seed),
        Command::Replay { file } => replay_file(&file),
    }
}

fn replay_file(file: &Path) -> ExitCode {
    let recording = match std::fs::read_to_string(file) {
        Ok(recording) => recording,
        Err(error) => {
            say(&format!("{} cannot be read: {error}", file.display()));
            return ExitCode::FAILURE;
        }
    };
    match replay(&recording) {
        Ok(Replayed { role, steps, phase }) => {
            say(&format!("{role}: {steps} steps came out as they were recorded; the last state is {phase}"));
            ExitCode::SUCCESS
        }
        Err(difference) => {
            say(&format!("{}: {difference}", file.display()));
            ExitCode::FAILURE
        }
    }
}

fn explore(seed: u64) -> ExitCode {
    let begun = Instant::now();
    let exploration = one_fault(seed, Scope::EveryCall);
    show(&exploration);
    say(&format!(
        "{} worlds came to rest in {:.1} s: {}",
        exploration.worlds,
        begun.elapsed().as_secs_f64(),
        exploration
            .rests
            .iter()
            .map(|(rest, worlds)| format!("{worlds} {rest:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    if exploration.failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    for failure in &exploration.failures {
        say(&format!("FAILED {failure}"));
    }
    say(&format!("{} failures; repeat with: cargo sim explore --seed {seed}", exploration.failures.len()));
    ExitCode::FAILURE
}

/// Calls by the state that awaits them × what became of them.
fn show(exploration: &Exploration) {
    say(&format!(
        "{:<34}{:>13}{:>11}{:>14}{:>13}",
        "awaiting", "request lost", "reply lost", "killed before", "killed after"
    ));
    for (phase, fates) in &exploration.matrix {
        let count = |fate| fates.get(&fate).copied().unwrap_or_default();
        let [request_lost, reply_lost, killed_before, killed_after] = Fate::FAULTS.map(count);
        say(&format!("{phase:<34}{request_lost:>13}{reply_lost:>11}{killed_before:>14}{killed_after:>13}"));
    }
}

/// One line; if nobody listens any more, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
