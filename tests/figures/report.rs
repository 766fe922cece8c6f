//! What was measured, for people and for programs.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

/// Two sides of one thing.
#[derive(Serialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    /// For people.
    #[serde(skip)]
    pub(crate) lines: Vec<String>,
    pub(crate) figures: Value,
    pub(crate) goals: Vec<Goal>,
    /// What must not happen; unlike a goal that was missed, it fails the run.
    pub(crate) failures: Vec<String>,
}

/// What is to be reached, and what was.
#[derive(Serialize)]
pub(crate) struct Goal {
    what: &'static str,
    goal: String,
    seen: f64,
    reached: bool,
}

impl Goal {
    pub(crate) fn at_least(what: &'static str, bound: f64, seen: f64) -> Self {
        Self { what, goal: format!("≥ {bound}"), seen, reached: seen >= bound }
    }

    pub(crate) fn at_most(what: &'static str, bound: f64, seen: f64) -> Self {
        Self { what, goal: format!("≤ {bound}"), seen, reached: seen <= bound }
    }

    pub(crate) fn below(what: &'static str, bound: f64, seen: f64) -> Self {
        Self { what, goal: format!("< {bound}"), seen, reached: seen < bound }
    }
}

/// All of a run.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    openbao: String,
    kubernetes: String,
    /// Of this machine.
    processors: usize,
    pairs: Vec<Pair>,
    /// Pairs that are not there, with the reason.
    missing: Vec<String>,
}

impl Report {
    pub(crate) fn of(openbao: String, kubernetes: String) -> Self {
        let processors = std::thread::available_parallelism().map_or(0, Into::into);
        say(&format!("OpenBao {openbao}, kube-apiserver {kubernetes}, {processors} processors"));
        Self { openbao, kubernetes, processors, ..Self::default() }
    }

    /// A pair was measured, or not.
    pub(crate) fn add(&mut self, name: &str, pair: Result<Pair>) {
        say(&format!("\n{name}"));
        let pair = match pair {
            Ok(pair) => pair,
            Err(error) => {
                say(&format!("  not measured: {error:#}"));
                return self.missing.push(format!("{name}: {error:#}"));
            }
        };
        for line in &pair.lines {
            say(&format!("  {line}"));
        }
        for Goal { what, goal, seen, reached } in &pair.goals {
            let verdict = if *reached { "reached" } else { "MISSED" };
            say(&format!("  {what}: {seen:.3}, goal {goal}: {verdict}"));
        }
        for failure in &pair.failures {
            say(&format!("  FAILED: {failure}"));
        }
        self.pairs.push(pair);
    }

    /// Whether these pairs were measured, each once, and nothing failed in any.
    pub(crate) fn is_whole(&self, expected: &[&str]) -> bool {
        let measured: Vec<&str> = self.pairs.iter().map(|pair| pair.name.as_str()).collect();
        measured == expected && self.pairs.iter().all(|pair| pair.failures.is_empty())
    }

    /// As JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(path, serde_json::to_string_pretty(self)?)?;
        say(&format!("\n{}", path.display()));
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the output of a benchmark is what it is for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
