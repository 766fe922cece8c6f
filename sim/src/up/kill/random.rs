//! `--kill-random`: Vault itself, the controller, or both are killed at moments that a seed draws, during first starts
//! and while everything serves.
//!
//! The draws repeat from the seed; what a process is doing at that moment is the machine's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kubefox_core::state::State;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use super::super::platform::{CONTROLLER_WITHIN, Platform};
use super::super::report::Report;
use super::bench::{Bench, OBSERVED};
use super::controller::Controller;
use super::witness::{Calm, Seen};
use super::{Kill, Killed};

/// A Vault that has nothing to do answers all questions sooner.
const LOOK_WITHIN: Duration = Duration::from_millis(300);
/// Between two looks at whether Vault is open again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What was told before Vault was seen open has been heard by then.
const HEARD_AFTER: Duration = Duration::from_millis(200);

/// One strike, as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strike {
    during: During,
    victim: Victim,
    /// So many thousandths of the time that this part of a life takes.
    after_permille: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    FirstStart,
    Serving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Vault,
    Controller,
    Both,
}

impl Strike {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        // Most of what can go wrong is in a first start.
        let during = if random.next_u32().is_multiple_of(3) { During::Serving } else { During::FirstStart };
        let victim = [Victim::Vault, Victim::Controller, Victim::Both][random.next_u32() as usize % 3];
        Self { during, victim, after_permille: random.next_u32() % 1_000 }
    }

    const fn words(self) -> &'static str {
        match (self.during, self.victim) {
            (During::FirstStart, Victim::Vault) => "first start, Vault",
            (During::FirstStart, Victim::Controller) => "first start, the controller",
            (During::FirstStart, Victim::Both) => "first start, both",
            (During::Serving, Victim::Vault) => "serving, Vault",
            (During::Serving, Victim::Controller) => "serving, the controller",
            (During::Serving, Victim::Both) => "serving, both",
        }
    }
}

/// Strikes so often. Leaves a platform on which everything stands, with Vault sealed and no controller.
pub(in super::super) async fn strike(
    platform: &mut Platform,
    vault: &str,
    strikes: u32,
    seed: u64,
    repeat: &str,
    report: &mut Report,
) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bench = Bench::new(platform, vault.to_owned())?;
    let mut killed = Killed { total: strikes as usize, ..Killed::default() };
    report.moment("kill", format!("seed {seed}; repeat with: {repeat}"));
    let begun = Instant::now();
    bench.converge().await?;
    let first_start = begun.elapsed();
    let mut struck = Ok(());
    for _ in 0..strikes {
        let strike = Strike::draw(&mut random);
        match one(&mut bench, strike, first_start).await {
            Ok(kill) => {
                killed.killed += 1;
                let count = format!("{:>3} / {}", killed.killed, killed.total);
                let Kill { moment, situation, outcome } = &kill;
                report.moment("kill", format!("{count}  {situation} {moment}: {outcome}"));
                killed.kills.push(kill);
            }
            Err(error) => {
                struck = Err(error).with_context(|| format!("{strike:?}; repeat with: {repeat}"));
                break;
            }
        }
    }
    report.moment("kill", killed.sentence());
    report.killed(killed);
    struck?;
    bench.converge().await?;
    bench.restart_vault().await
}

async fn one(bench: &mut Bench<'_>, strike: Strike, first_start: Duration) -> Result<Kill> {
    bench.forget_the_log()?;
    let window = match strike.during {
        During::FirstStart => {
            bench.reset().await?;
            first_start
        }
        During::Serving => {
            bench.converge().await?;
            OBSERVED
        }
    };
    let mut controller = bench.start(&bench.usual(), None)?;
    if strike.during == During::Serving {
        controller.serves(CONTROLLER_WITHIN).await?;
    }
    let after = window * strike.after_permille / 1_000;
    controller.listen(after).await;
    // A Vault that is busy shows nothing in time; what is to be compared does not change once it is there.
    let before = tokio::time::timeout(LOOK_WITHIN, bench.witness.look())
        .await
        .unwrap_or_else(|_| Ok(Seen::default()))?;
    controller.listen(Duration::ZERO).await;
    let state = controller.seen.state.clone().unwrap_or_else(|| "before its first step".to_owned());
    let moment = format!("after {} ms, at {state}", after.as_millis());
    let outcome = match strike.victim {
        Victim::Controller => {
            controller.kill().await;
            bench.comes_back(&before, Calm::Unsettled).await?
        }
        Victim::Both => {
            bench.platform.kill_vault().await;
            controller.kill().await;
            bench.platform.start_vault().await?;
            bench.comes_back(&before, Calm::Unsettled).await?
        }
        Victim::Vault => {
            bench.restart_vault().await?;
            if goes_on(bench, &mut controller).await? {
                bench.stands(&before, controller).await?;
                "the same controller serves".to_owned()
            } else {
                let fatal = controller.seen.fatal.clone().unwrap_or_default();
                let lost = matches!(bench.witness.boot_state()?, State::Sent { .. });
                if !lost || !["InitInterrupted", "HalfInitialized"].contains(&fatal.as_str()) {
                    bail!(controller.why("serve again", CONTROLLER_WITHIN));
                }
                controller.kill().await;
                let then = bench.comes_back(&before, Calm::Unsettled).await?;
                format!("the same controller stops with {fatal}; the next one {then}")
            }
        }
    };
    Ok(Kill { moment, situation: strike.words(), outcome })
}

/// Whether a controller whose Vault was killed under it serves again, on a Vault that is open. Otherwise it has stopped.
async fn goes_on(bench: &Bench<'_>, controller: &mut Controller) -> Result<bool> {
    let deadline = Instant::now() + CONTROLLER_WITHIN;
    while Instant::now() < deadline {
        controller.listen(LOOK_EVERY).await;
        if controller.seen.fatal.is_some() || controller.seen.ended {
            return Ok(false);
        }
        if bench.witness.is_unsealed().await {
            controller.listen(HEARD_AFTER).await;
            if controller.seen.ready {
                return Ok(true);
            }
        }
    }
    bail!(controller.why("serve again", CONTROLLER_WITHIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_strikes_and_all_kinds_of_them() {
        let draw = |seed| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            (0..30).map(|_| Strike::draw(&mut random)).collect::<Vec<_>>()
        };

        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut kinds: Vec<_> = draw(1).into_iter().map(Strike::words).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), 6, "{kinds:?}");
    }
}
