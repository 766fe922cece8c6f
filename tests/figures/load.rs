//! A closed loop of workers, of two sides in turn: A B, B A, A B, … so that whatever else the machine does meets both.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::task::JoinSet;

use super::counts::{Counts, Each};
use super::stage::Stage;

/// How long one side works before the other does.
const WINDOW: Duration = Duration::from_millis(1_500);
/// The same, before anything counts: connections are opened and tokens exchanged.
const WARM_UP: Duration = Duration::from_millis(500);
/// So often each side works.
const ROUNDS: usize = 5;

/// Does one thing again and again.
pub(crate) trait Worker: Send + 'static {
    /// Does it once.
    fn work(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What one side came to.
#[derive(Default)]
pub(crate) struct Side {
    /// Done in a second, in each round.
    rates: Vec<f64>,
    latencies_ms: Vec<f64>,
    failures: Vec<String>,
    counts: Counts,
}

/// The same, for the report.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// The median of the rounds.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p99_9_ms: f64,
    /// Of each kind, what OpenBao was asked for each thing done.
    pub(crate) vault_requests: Each,
    /// What the first one that failed said.
    pub(crate) first_failure: Option<String>,
}

/// Lets both sides work in turn.
pub(crate) async fn in_turn<A: Worker, B: Worker>(
    stage: &Stage,
    mut a: Vec<A>,
    mut b: Vec<B>,
) -> Result<(Figures, Figures)> {
    let (mut of_a, mut of_b) = (Side::default(), Side::default());
    a = window(a, WARM_UP, &mut Side::default()).await?;
    b = window(b, WARM_UP, &mut Side::default()).await?;
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            a = counted(stage, a, &mut of_a).await?;
            b = counted(stage, b, &mut of_b).await?;
        } else {
            b = counted(stage, b, &mut of_b).await?;
            a = counted(stage, a, &mut of_a).await?;
        }
    }
    Ok((of_a.figures()?, of_b.figures()?))
}

async fn counted<W: Worker>(stage: &Stage, workers: Vec<W>, side: &mut Side) -> Result<Vec<W>> {
    let mut audit = stage.audit()?;
    let workers = window(workers, WINDOW, side).await?;
    side.counts.add(audit.requests()?);
    Ok(workers)
}

async fn window<W: Worker>(workers: Vec<W>, length: Duration, side: &mut Side) -> Result<Vec<W>> {
    let begin = Instant::now();
    let mut working = JoinSet::new();
    for worker in workers {
        working.spawn(until(worker, begin + length));
    }
    let (mut workers, mut done) = (Vec::new(), 0_u32);
    while let Some(ended) = working.join_next().await {
        let (worker, latencies_ms, failures) = ended?;
        done += u32::try_from(latencies_ms.len())?;
        workers.push(worker);
        side.latencies_ms.extend(latencies_ms);
        side.failures.extend(failures);
    }
    side.rates.push(f64::from(done) / begin.elapsed().as_secs_f64());
    Ok(workers)
}

async fn until<W: Worker>(mut worker: W, end: Instant) -> (W, Vec<f64>, Vec<String>) {
    let (mut latencies_ms, mut failures) = (Vec::new(), Vec::new());
    loop {
        let begin = Instant::now();
        if begin >= end {
            return (worker, latencies_ms, failures);
        }
        match worker.work().await {
            Ok(()) => latencies_ms.push(begin.elapsed().as_secs_f64() * 1_000.0),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
}

impl Side {
    fn figures(mut self) -> Result<Figures> {
        self.latencies_ms.sort_by(f64::total_cmp);
        let done = self.latencies_ms.len();
        let first_failure = self.failures.first().cloned();
        let failed = format!("{} failed, the first with {first_failure:?}", self.failures.len());
        Ok(Figures {
            done,
            failed: self.failures.len(),
            per_second: median(&mut self.rates),
            p50_ms: quantile(&self.latencies_ms, 500),
            p99_ms: quantile(&self.latencies_ms, 990),
            p99_9_ms: quantile(&self.latencies_ms, 999),
            vault_requests: self.counts.for_each_of(done).context(failed)?,
            first_failure,
        })
    }
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 500)
}

/// The smallest value that so many thousandths of them do not exceed.
pub(crate) fn quantile(sorted: &[f64], thousandths: usize) -> f64 {
    let rank = (sorted.len() * thousandths).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
