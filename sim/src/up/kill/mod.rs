//! `--kill`: the controller's process is killed at every moment of its life, and comes back each time.
//!
//! ```text
//! for each situation, the cheap ones first:
//!   start a controller and see which states it meets ──> for each of them that was not killed yet, on either side:
//!     start one that stands still there ──> SIGKILL ──> start it again ──> it serves, or stops as §7.2 of the design says
//!                                                                          and serves with --recover-interrupted-init
//! ```
//!
//! The states are the machine's own list; no situation names the states that it leads to. What nothing leads to is
//! a failure. What awaits nothing has no answer to leave unheard: [`situation`] says why, and each walk tries it.

mod bench;
mod controller;
mod random;
mod recovery;
mod rival;
mod situation;
mod witness;

use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use kubefox_core::controller::Controller;
use kubefox_core::machine::Machine as _;
use kubefox_io::driver::halt::{Halt, Side};
use serde::Serialize;

use self::bench::Bench;
pub(super) use self::random::strike;
use self::situation::{Situation, UNANSWERABLE};
use super::platform::Platform;
use super::report::Report;

/// What `--kill` takes before its state.
const ROLE: &str = "controller@";
/// Every state.
const ALL: &str = "all";

/// Where the controller is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// In every state, on both sides of its call.
    Everywhere,
    /// At one moment.
    At(Halt),
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(state) = text.strip_prefix(ROLE) else {
            return Err(
                "only the controller can be killed: write controller@STATE[:unsent] or controller@all".into(),
            );
        };
        if state == ALL {
            return Ok(Self::Everywhere);
        }
        Halt::parse(state, &Controller::phases()).map(Self::At).map_err(|error| error.to_string())
    }
}

/// What became of the kills: `killed` of `total`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Killed {
    /// So many moments were killed, and everything came back.
    killed: usize,
    /// So many there are.
    total: usize,
    /// What cannot be killed, counted in neither.
    not_reachable_here: Vec<NotReachable>,
    kills: Vec<Kill>,
}

impl Killed {
    fn sentence(&self) -> String {
        let sentence = format!("killed {} / {}", self.killed, self.total);
        match self.not_reachable_here.len() {
            0 => sentence,
            elsewhere => format!("{sentence}, and {elsewhere} are not reachable here"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NotReachable {
    moment: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Kill {
    moment: String,
    situation: &'static str,
    outcome: String,
}

/// Kills where it is aimed at. Leaves a platform on which everything stands, with Vault sealed and no controller.
pub(super) async fn walk(platform: &mut Platform, vault: &str, aim: Aim, report: &mut Report) -> Result<()> {
    let mut bench = Bench::new(platform, vault.to_owned())?;
    let mut left = moments(aim);
    let mut killed = Killed { total: left.len(), ..Killed::default() };
    let walked = visit(&mut bench, aim, &mut left, &mut killed, report).await;
    let sentence = killed.sentence();
    report.moment("kill", sentence.clone());
    report.killed(killed);
    walked?;
    if !left.is_empty() {
        let left = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        bail!("{sentence}: no situation leads to {left}");
    }
    bench.converge().await?;
    bench.restart_vault().await
}

async fn visit(
    bench: &mut Bench<'_>,
    aim: Aim,
    left: &mut Vec<Halt>,
    killed: &mut Killed,
    report: &mut Report,
) -> Result<()> {
    let order = match aim {
        Aim::Everywhere => Situation::ALL.to_vec(),
        // One kill costs nothing beside the first start that everything else begins with.
        Aim::At(_) => [Situation::FirstStart].into_iter().chain(Situation::ALL).collect(),
    };
    for situation in order {
        if left.is_empty() {
            break;
        }
        let met = bench
            .meets(situation)
            .await
            .with_context(|| format!("in the situation: {}", situation.words()))?;
        let (here, elsewhere) = left.iter().partition(|halt| met.contains(halt.state));
        *left = elsewhere;
        let here: Vec<Halt> = here;
        for halt in here {
            let moment = halt.to_string();
            let outcome = bench.kill(situation, halt).await.with_context(|| {
                format!("killed at {moment}, {}; repeat with --once --kill {ROLE}{moment}", situation.words())
            })?;
            killed.killed += 1;
            let count = format!("{:>3} / {}", killed.killed, killed.total);
            report.moment("kill", format!("{count}  {moment}, {}: {outcome}", situation.words()));
            killed.kills.push(Kill { moment, situation: situation.words(), outcome });
        }
    }
    if aim == Aim::Everywhere {
        for one in UNANSWERABLE {
            bench.cannot_kill(one.situation, one.state).await?;
            report.moment("kill", format!("not reachable here: {}, answered: {}", one.state, one.why));
            let moment = Halt { state: one.state, side: Side::Unheard }.to_string();
            killed.not_reachable_here.push(NotReachable { moment, why: one.why });
        }
    }
    Ok(())
}

/// Every moment that can be killed.
fn moments(aim: Aim) -> Vec<Halt> {
    let is_answerable =
        |halt: &Halt| halt.side == Side::Unsent || UNANSWERABLE.iter().all(|one| one.state != halt.state);
    match aim {
        Aim::At(halt) => vec![halt],
        Aim::Everywhere => {
            Controller::phases().into_iter().flat_map(both_sides).filter(is_answerable).collect()
        }
    }
}

/// Both moments of a state.
fn both_sides(state: &'static str) -> [Halt; 2] {
    [Side::Unsent, Side::Unheard].map(|side| Halt { state, side })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_reachable_here_is_only_told_if_there_is_something() {
        let moment = NotReachable { moment: "Finished".to_owned(), why: "the process ends" };
        let all = Killed { killed: 2, total: 2, ..Killed::default() };
        let but_one = Killed { not_reachable_here: vec![moment], ..all.clone() };

        assert_eq!(all.sentence(), "killed 2 / 2");
        assert_eq!(but_one.sentence(), "killed 2 / 2, and 1 are not reachable here");
    }

    #[test]
    fn an_aim_is_a_state_of_the_controller_or_all_of_them() {
        let halt = Halt { state: "SetUp::Revoking", side: Side::Unsent };

        assert_eq!("controller@all".parse(), Ok(Aim::Everywhere));
        assert_eq!("controller@SetUp::Revoking:unsent".parse(), Ok(Aim::At(halt)));
        let error = "controller@Nowhere".parse::<Aim>().expect_err("no state is called so");
        assert!(
            error.contains("there is no state \"Nowhere\"")
                && error.contains("\n  Unseal::{AwaitingActive, Unsealing}"),
            "{error}"
        );
        assert!("broker@Serving".parse::<Aim>().is_err());
    }

    #[test]
    fn everywhere_is_every_state_on_both_sides_but_the_answers_of_those_that_await_none() {
        let moments = moments(Aim::Everywhere);

        assert_eq!(moments.len(), 2 * Controller::phases().len() - UNANSWERABLE.len());
        assert!(moments.contains(&Halt { state: "Stopped", side: Side::Unsent }));
        assert!(!moments.contains(&Halt { state: "Stopped", side: Side::Unheard }));
    }
}
