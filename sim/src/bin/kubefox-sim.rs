//! `cargo sim …`: the simulator's command line.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use kubefox_sim::model::closure::calls::Kind;
use kubefox_sim::model::closure::{Alphabet, Broken, Limits, close};
use kubefox_sim::model::explore::{Exploration, Scope, one_fault};
use kubefox_sim::model::planted::Bug;
use kubefox_sim::model::world::{Fate, World};
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
    /// Tries every fate of every call of a controller's first start, one fault at a time; or, with `--closure`, finds
    /// every state that any number of them leads to.
    Explore {
        /// Seeds the world; every result repeats from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Searches until no step leads to a new state.
        #[arg(long, value_name = "MACHINE")]
        closure: Option<Closed>,
        /// What happens beside the fates of calls, at any moment.
        #[arg(long, value_delimiter = ',', requires = "closure")]
        with: Vec<Happening>,
        /// Requests that may be late at the same time.
        #[arg(long, default_value_t = 0, requires = "closure")]
        late: usize,
        /// Counts only the settings that the controller itself needs.
        #[arg(long, requires = "closure")]
        few_settings: bool,
        /// Gives up after so many states, and shows in which phases they are.
        #[arg(long, default_value_t = Limits::NONE.states_max, requires = "closure")]
        states_max: usize,
    },
    /// Plants bugs, one after the other, and demands that the search finds each.
    Planted {
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

/// A machine whose states can all be found.
#[derive(Clone, Copy, ValueEnum)]
enum Closed {
    Controller,
}

/// What happens at any moment.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Happening {
    /// Vault is sealed.
    Reseal,
    /// Vault's batch tokens end.
    TokensEnd,
    /// The volume of the seal key comes and goes.
    KeyVolume,
    /// So much time passes that whatever is renewed is due.
    Time,
    /// An interrupted initialization may be recovered.
    Recovery,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Explore { seed, closure: None, .. } => explore(seed),
        Command::Explore {
            seed,
            closure: Some(Closed::Controller),
            with,
            late,
            few_settings,
            states_max,
        } => {
            let on = |happening| with.contains(&happening);
            let alphabet = Alphabet {
                late_max: late,
                reseals: on(Happening::Reseal),
                tokens_end: on(Happening::TokensEnd),
                key_volume: on(Happening::KeyVolume),
                time: on(Happening::Time),
                recovery: on(Happening::Recovery),
                disaster: false,
            };
            let world = World::frozen(seed);
            let world = if few_settings { world.with_few_settings() } else { world };
            closure(world, alphabet, Limits { states_max, ..Limits::NONE })
        }
        Command::Planted { seed } => planted(seed),
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

/// Every state, the matrix of calls and fates, and whether anything was wrong.
fn closure(world: World, alphabet: Alphabet, limits: Limits) -> ExitCode {
    let begun = Instant::now();
    let closure = close(world, alphabet, limits);
    let mut missing = Vec::new();
    say(&format!("{:<18}{:>12}  what became of it, and how often", "call", "times"));
    for kind in Kind::ALL.iter().copied().filter(|kind| kind.belongs_to_a_boot(alphabet)) {
        let count = |fate| closure.matrix.get(&(kind, fate)).copied().unwrap_or_default();
        let faults = kind.faults_in(alphabet);
        missing.extend(
            faults.iter().filter(|fate| count(**fate) == 0).map(|fate| format!("{kind:?} × {fate:?}")),
        );
        let cells: Vec<String> = faults.iter().map(|fate| format!("{fate:?} {}", count(*fate))).collect();
        say(&format!("{:<18}{:>12}  {}", format!("{kind:?}"), count(Fate::Answered), cells.join(", ")));
    }
    for (event, times) in &closure.events {
        say(&format!("{:<18}{times:>12}", format!("{event:?}")));
    }
    let rests: Vec<String> =
        closure.rests.iter().map(|(rest, states)| format!("{states} {rest:?}")).collect();
    say(&format!(
        "{} states, {} edges, depth {}, {} in {:.1} s; at rest: {}",
        closure.states,
        closure.edges,
        closure.depth,
        if closure.closed { "closed" } else { "not closed" },
        begun.elapsed().as_secs_f64(),
        rests.join(", ")
    ));
    for Broken { invariant, how, path } in &closure.broken {
        say(&format!("BROKEN {invariant}: {how}\n  after {path:?}"));
    }
    for cell in &missing {
        say(&format!("NEVER {cell}"));
    }
    if !closure.closed {
        closure.phases.iter().for_each(|(phase, states)| say(&format!("{phase:<34}{states:>12}")));
    }
    let sound = closure.closed && closure.broken.is_empty() && missing.is_empty();
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// So many bugs have to be found.
const BUGS_MIN: usize = 12;
/// What a search for a planted bug may look at before it counts as having missed it.
const PLANTED_STATES_MAX: usize = 400_000;

fn planted(seed: u64) -> ExitCode {
    let alphabet = Alphabet { disaster: true, ..Alphabet::FAULTS };
    let mut found = 0;
    for bug in Bug::ALL {
        let mut world = World::frozen(seed);
        bug.plant(&mut world);
        let limits = Limits { states_max: PLANTED_STATES_MAX, ..Limits::NONE };
        let closure = close(world, alphabet, limits);
        let caught = closure.broken.iter().find(|broken| broken.invariant == bug.breaks());
        found += usize::from(caught.is_some());
        let verdict = match (caught, closure.broken.first()) {
            (Some(broken), _) => {
                format!("found after {} states, {} steps deep", closure.states, broken.path.len())
            }
            (None, Some(other)) => format!("MISSED: {} ({}) was broken first", other.invariant, other.how),
            (None, None) => format!("MISSED after {} states", closure.states),
        };
        say(&format!(
            "{:<22} {verdict}\n    it {}; broken: {}",
            format!("{bug:?}"),
            bug.what(),
            bug.breaks()
        ));
    }
    say(&format!("{found}/{} planted bugs found", Bug::ALL.len()));
    let sound = found == Bug::ALL.len() && found >= BUGS_MIN;
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
