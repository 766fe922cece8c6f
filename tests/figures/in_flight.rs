//! (a) and (b): so many callers at the same time, each with one question under way, against the bare load generator with
//! as many connections.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use kubefox_sim::up::stand::caller::Caller;
use serde_json::json;

use super::asking::{Bootstraps, Signs};
use super::bare::{Bare, BareBootstraps, BareSigns, Reviewer};
use super::callers::{self, Holder};
use super::load::{Figures, in_turn};
use super::report::{Goal, Pair};
use super::stage::Stage;

/// So many at once. A pod has one question under way at a time, so these are as many pods.
pub(crate) const IN_FLIGHT: [usize; 3] = [1, 8, 32];
/// Where the latency of signatures has a goal of its own.
const P99_AT: usize = 8;

/// The callers of both sides.
pub(crate) struct Ready {
    callers: Vec<(Holder, Vec<u8>)>,
}

impl Ready {
    /// Each has bootstrapped once, so that its key is there.
    pub(crate) async fn make(stage: &Stage) -> Result<Self> {
        let most = IN_FLIGHT.into_iter().max().unwrap_or_default();
        let mut callers = Vec::new();
        for caller in callers::make(&stage.cluster, "steady", most).await? {
            let documents = stage.caller(&caller.token).bootstrap().await?;
            let (signing_input, _) = documents.user_jwt.rsplit_once('.').context("a JWT has three parts")?;
            callers.push((caller, signing_input.as_bytes().to_vec()));
        }
        Ok(Self { callers })
    }

    async fn sides(&self, stage: &Stage, number: usize) -> Result<(Vec<Caller>, Vec<Bare>)> {
        let (mut kubefox, mut bare) = (Vec::new(), Vec::new());
        let reviewer = Arc::new(Reviewer::new(stage).await?);
        for (caller, signing_input) in self.callers.iter().take(number) {
            kubefox.push(stage.caller(&caller.token));
            bare.push(Bare::new(stage, &reviewer, caller, signing_input).await?);
        }
        Ok((kubefox, bare))
    }
}

/// (a).
pub(crate) async fn bootstrap(stage: &Stage, ready: &Ready, number: usize) -> Result<Pair> {
    let (kubefox, bare) = ready.sides(stage, number).await?;
    let kubefox = kubefox.into_iter().map(Bootstraps).collect();
    let bare = bare.into_iter().map(BareBootstraps).collect();
    let (kubefox, bare) = in_turn(stage, kubefox, bare).await?;
    let goals = vec![Goal::at_least("throughput, kubefox / bare", 0.9, kubefox.per_second / bare.per_second)];
    pair(&bootstrap_name(number), &kubefox, &bare, goals)
}

/// (b).
pub(crate) async fn sign_nonce(stage: &Stage, ready: &Ready, number: usize) -> Result<Pair> {
    let (kubefox, bare) = ready.sides(stage, number).await?;
    let kubefox = kubefox.into_iter().map(Signs).collect();
    let bare = bare.into_iter().map(BareSigns).collect();
    let (kubefox, bare) = in_turn(stage, kubefox, bare).await?;
    let mut goals =
        vec![Goal::at_least("throughput, kubefox / bare", 0.8, kubefox.per_second / bare.per_second)];
    if number == P99_AT {
        goals.push(Goal::below("p99, ms", 50.0, kubefox.p99_ms));
    }
    pair(&sign_nonce_name(number), &kubefox, &bare, goals)
}

pub(crate) fn bootstrap_name(number: usize) -> String {
    format!("(a) component bootstrap, {number} in flight")
}

pub(crate) fn sign_nonce_name(number: usize) -> String {
    format!("(b) SignNonce, {number} in flight")
}

fn pair(name: &str, kubefox: &Figures, bare: &Figures, goals: Vec<Goal>) -> Result<Pair> {
    let mut failures = Vec::new();
    for (who, figures) in [("kubefox", kubefox), ("bare", bare)] {
        if let Some(first) = &figures.first_failure {
            failures.push(format!("{} requests of {who} failed, the first with: {first}", figures.failed));
        }
    }
    let differ = kubefox.vault_requests.differences(&bare.vault_requests);
    if !differ.is_empty() {
        failures.push(format!("the sides did not ask the same of Vault: {differ:?}"));
    }
    let lines = [("kubefox", kubefox), ("bare", bare)].map(|(who, of)| {
        format!(
            "{who:<8} {:>8.1} /s   p50 {:>7.2} ms   p99 {:>7.2} ms   p99.9 {:>7.2} ms   of {}",
            of.per_second, of.p50_ms, of.p99_ms, of.p99_9_ms, of.done
        )
    });
    Ok(Pair {
        name: name.to_owned(),
        lines: lines.into(),
        figures: json!({"kubefox": serde_json::to_value(kubefox)?, "bare": serde_json::to_value(bare)?}),
        goals,
        failures,
    })
}
