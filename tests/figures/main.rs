//! `cargo bench -p kubefox-tests`: pairs, measured in one run on the same OpenBao.
//!
//! ```text
//! (a) component bootstrap ─┐ of the controller, through TLS and gRPC, in turn with a bare load generator
//! (b) SignNonce           ─┘ that sends the same requests to the same OpenBao, whose audit log tells them
//! (c) one start            kubefox init nats, bao agent
//! (d) a crowd              1,000 pods at once: when is the last one served
//! ```
//!
//! A missed goal is told and fails nothing: how fast something is depends on the machine and on who else uses it. A pair
//! that is missing, a request that failed and sides that did not ask the same fail the run.

mod asking;
mod bare;
mod callers;
mod counts;
mod crowd;
mod in_flight;
mod load;
mod report;
mod stage;
mod start;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use kubefox_sim::up::lookout;

use self::in_flight::{IN_FLIGHT, Ready};
use self::report::{Report, say};
use self::stage::Stage;

/// Written down once more, so that one that is no longer measured is missed.
const PAIRS: [&str; 8] = [
    "(a) component bootstrap, 1 in flight",
    "(a) component bootstrap, 8 in flight",
    "(a) component bootstrap, 32 in flight",
    "(b) SignNonce, 1 in flight",
    "(b) SignNonce, 8 in flight",
    "(b) SignNonce, 32 in flight",
    "(c) one start: kubefox init nats, bao agent",
    "(d) 1,000 callers at once",
];

fn main() -> ExitCode {
    // `cargo test --all-targets` starts this too, and is not to take minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        say("measures nothing without --bench: run `cargo bench -p kubefox-tests`");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let measured = runtime.context("the process may not start threads").and_then(|runtime| {
        let measured = runtime.block_on(measure());
        runtime.shutdown_background();
        measured
    });
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            say("FAILED: a pair is missing, or something in it failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures everything. Whether all is there and nothing failed.
async fn measure() -> Result<bool> {
    let (lookout, mut alarms) = lookout::new();
    let stage = Stage::set(lookout).await?;
    let measured = tokio::select! {
        biased;
        alarm = alarms.next() => Err(anyhow!(alarm)),
        report = pairs(&stage) => report,
    };
    stage.strike().await;
    let report = measured?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("it is in the target directory")?;
    report.write(&target.join("bench/figures.json"))?;
    Ok(report.is_whole(&PAIRS))
}

async fn pairs(stage: &Stage) -> Result<Report> {
    let openbao: serde_json::Value = serde_json::from_str(&stage.read("/v1/sys/seal-status").await?)?;
    let openbao = openbao["version"].as_str().context("OpenBao tells its version")?;
    let mut report = Report::of(openbao.to_owned(), stage.cluster.version().await?);
    let ready = Ready::make(stage).await.context("the callers")?;
    for number in IN_FLIGHT {
        let pair = in_flight::bootstrap(stage, &ready, number).await;
        report.add(&in_flight::bootstrap_name(number), pair);
    }
    for number in IN_FLIGHT {
        let pair = in_flight::sign_nonce(stage, &ready, number).await;
        report.add(&in_flight::sign_nonce_name(number), pair);
    }
    report.add(start::NAME, start::start(stage).await);
    report.add(crowd::NAME, crowd::crowd(stage).await);
    Ok(report)
}
