//! `cargo sim …`: the simulator's command line.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand, ValueEnum};
use kubefox_sim::model::closure::calls::Kind;
use kubefox_sim::model::closure::searches::{self, Search};
use kubefox_sim::model::closure::{Alphabet, Broken, Limits, close};
use kubefox_sim::model::explore::{Exploration, Scope, one_fault};
use kubefox_sim::model::planted::Bug;
use kubefox_sim::model::world::{Fate, Rest, World};
use kubefox_sim::replay::{Replayed, replay};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
        /// Only the search of this name.
        #[arg(long, requires = "closure", value_parser = PossibleValuesParser::new(names()))]
        search: Option<String>,
        /// Gives up after so many states, and shows in which phases they are.
        #[arg(long, default_value_t = Limits::NONE.states_max, requires = "closure")]
        states_max: usize,
        /// Distrusts one key in so many: every world that leads to it is compared with the first that did.
        #[arg(long, default_value_t = Limits::NONE.compared_every, requires = "closure")]
        compared_every: u64,
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

/// The names of the searches.
fn names() -> Vec<&'static str> {
    searches::ALL.iter().map(|search| search.name).collect()
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Explore { seed, closure: None, .. } => explore(seed),
        Command::Explore { seed, closure: Some(Closed::Controller), search, states_max, compared_every } => {
            let chosen = |one: &&Search| search.as_ref().is_none_or(|name| name == one.name);
            let limits = Limits { states_max, compared_every, ..Limits::NONE };
            let sound = searches::ALL.iter().filter(chosen).map(|search| closure(seed, search, limits));
            // Each is shown, also after one that failed.
            if sound.fold(true, |all, one| all & one) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

/// Every state, the matrix of calls and fates, and whether nothing was wrong.
fn closure(seed: u64, search: &Search, limits: Limits) -> bool {
    let begun = Instant::now();
    let alphabet = search.alphabet;
    say(&format!("{}: {}", search.name, search.about));
    let closure = close(search.first(seed), alphabet, limits);
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
        "{} states, {} edges, depth {}, {} in {:.1} s; {} worlds compared with another of their key; at rest: {}\n",
        closure.states,
        closure.edges,
        closure.depth,
        if closure.closed { "closed" } else { "not closed" },
        begun.elapsed().as_secs_f64(),
        closure.compared,
        rests.join(", ")
    ));
    for Broken { invariant, how, path } in &closure.broken {
        say(&format!("BROKEN {invariant}: {how}\n  after {path:?}"));
    }
    let strange = closure.matrix.keys().filter(|(kind, _)| !kind.belongs_to_a_boot(alphabet));
    let strange: Vec<String> = strange.map(|cell| format!("{cell:?}")).collect();
    let never = alphabet.events().into_iter().filter(|event| !closure.events.contains_key(event));
    missing.extend(never.map(|event| format!("{event:?}")));
    if !closure.rests.contains_key(&Rest::Serving) {
        missing.push("a state in which callers are served".to_owned());
    }
    for cell in &strange {
        say(&format!("NOT A BOOT'S {cell}"));
    }
    for cell in &missing {
        say(&format!("NEVER {cell}"));
    }
    if !closure.closed {
        closure.phases.iter().for_each(|(phase, states)| say(&format!("{phase:<34}{states:>12}")));
    }
    let sound = closure.closed
        && closure.compared > 0
        && closure.broken.is_empty()
        && missing.is_empty()
        && strange.is_empty();
    if !sound {
        say(&format!(
            "repeat with: cargo sim explore --closure controller --search {} --seed {seed}",
            search.name
        ));
    }
    sound
}

/// So many bugs have to be found.
const BUGS_MIN: usize = 12;
/// What a search for a planted bug may look at before it counts as having missed it.
const PLANTED_STATES_MAX: usize = 400_000;

fn planted(seed: u64) -> ExitCode {
    let alphabet = Alphabet { disaster: true, ..Alphabet::FAULTS };
    let mut found = 0;
    let mut innocent = Vec::new();
    for bug in Bug::ALL {
        let mut world = World::frozen(seed);
        bug.plant(&mut world);
        let limits = Limits { states_max: PLANTED_STATES_MAX, ..Limits::NONE };
        let closure = close(world, alphabet, limits);
        // The same search of as many states where nothing is planted.
        let mut sane = World::frozen(seed);
        bug.begin(&mut sane);
        let control = close(sane, alphabet, Limits { states_max: closure.states, ..Limits::NONE });
        innocent.extend(control.broken.into_iter().map(|broken| (*bug, broken)));
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
    for (bug, Broken { invariant, how, path }) in &innocent {
        say(&format!("NOT PLANTED where {bug:?} begins, and broken is {invariant}: {how}\n  after {path:?}"));
    }
    let clean = Bug::ALL.len() - innocent.len();
    say(&format!(
        "{found}/{} planted bugs found; without them {clean}/{} searches find nothing wrong",
        Bug::ALL.len(),
        Bug::ALL.len()
    ));
    let sound = found == Bug::ALL.len() && found >= BUGS_MIN && innocent.is_empty();
    if !sound {
        say(&format!("repeat with: cargo sim planted --seed {seed}"));
    }
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
