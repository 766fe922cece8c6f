//! (d): a thousand pods that nobody has served yet, all at once, each on a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use kubefox_core::bootstrap::{Call, Rejection, Reply};
use kubefox_core::machine::{Outcome, Ticket};
use kubefox_core::names::TrustDomain;
use kubefox_core::secret::{Asker, Own, Secret};
use kubefox_io::adapter::{Slots as _, bootstrap};
use kubefox_io::exchange::Request;
use kubefox_io::keyring::Keyring;
use kubefox_sim::up::stand::caller::Caller;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::callers::{self, Holder};
use super::counts::Counts;
use super::load::quantile;
use super::report::{Goal, Pair};
use super::stage::Stage;

/// So many.
const CROWD: usize = 1_000;
/// After that a caller counts as not served: a role gives up later.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two attempts after an answer that says nothing of when to come again.
const PAUSE: Duration = Duration::from_secs(1);
pub(crate) const NAME: &str = "(d) 1,000 callers at once";

/// How it went for one of them.
struct Served {
    after: Duration,
    /// How often it was told to come again, and how often nobody answered in time.
    told_busy: u32,
    not_answered: u32,
}

pub(crate) async fn crowd(stage: &Stage) -> Result<Pair> {
    let callers = callers::make(&stage.cluster, "crowd", CROWD).await?;
    let mut audit = stage.audit()?;
    let ready = Arc::new(Barrier::new(CROWD));
    let mut asking = JoinSet::new();
    for Holder { token, .. } in callers {
        let (caller, ready) = (stage.caller(&token), Arc::clone(&ready));
        asking.spawn(async move {
            ready.wait().await;
            let begin = Instant::now();
            tokio::time::timeout(PATIENCE, until_served(&caller, begin)).await
        });
    }
    let (mut waits_s, mut told_busy, mut not_answered, mut failures) = (Vec::new(), 0, 0, Vec::new());
    while let Some(ended) = asking.join_next().await {
        match ended? {
            Ok(Ok(served)) => {
                waits_s.push(served.after.as_secs_f64());
                told_busy += served.told_busy;
                not_answered += served.not_answered;
            }
            Ok(Err(error)) => failures.push(format!("{error:#}")),
            Err(_) => failures.push(format!("not served within {} s", PATIENCE.as_secs())),
        }
    }
    let mut counts = Counts::default();
    counts.add(audit.requests()?);
    let counts =
        counts.for_each_of(waits_s.len()).with_context(|| failures.first().cloned().unwrap_or_default())?;
    waits_s.sort_by(f64::total_cmp);
    let (median, last) = (quantile(&waits_s, 500), quantile(&waits_s, 1_000));
    let failed = failures.len();
    let line = format!(
        "kubefox  {} served, half of them within {median:.1} s, the last after {last:.1} s; asked again: {told_busy} \
         who were told to, {not_answered} who had no answer in time; {failed} callers failed",
        waits_s.len(),
    );
    let figures = json!({
        "served": waits_s.len(), "failed": failed, "told_busy": told_busy, "not_answered": not_answered,
        "median_s": median, "last_s": last,
        "vault_requests": serde_json::to_value(counts)?,
    });
    let goals = vec![Goal::at_most("callers that failed", 0.0, f64::from(u32::try_from(failed)?))];
    failures.truncate(1);
    Ok(Pair { name: NAME.to_owned(), lines: vec![line], figures, goals, failures })
}

/// Asks as a broker does: what passes is asked again, after the time that the answer names.
async fn until_served(caller: &Caller, begin: Instant) -> Result<Served> {
    let mut keyring = Keyring::default();
    let (token, key) = (Secret::Own(Own::CallerJwt), Secret::Of(Ticket(0), Asker::IssuedKey));
    keyring.fill(token, Zeroizing::new(caller.token.clone().into_bytes()));
    let runtime_key = Secret::Of(Ticket(0), Asker::RuntimeKey);
    let call = Call::Component { ca: caller.ca.clone(), token, key, runtime_key, csrs: None };
    let context = bootstrap::Context { trust_domain: TrustDomain::parse("cluster.local")? };
    let (mut told_busy, mut not_answered) = (0, 0);
    loop {
        let Request::Bootstrap { ca: _, message } = bootstrap::encode(&call, &keyring)? else {
            bail!("a caller's call is a message to the controller");
        };
        let answer = caller.ask(message).await;
        let outcome = answer.map(|response| bootstrap::decode(&call, response, &context, &mut keyring));
        let pause = match outcome.unwrap_or_else(Outcome::Unknown) {
            Outcome::Ok(Reply::Component(_)) => {
                return Ok(Served { after: begin.elapsed(), told_busy, not_answered });
            }
            Outcome::Ok(Reply::Rejected(rejection)) => {
                told_busy += 1;
                pause(rejection)?
            }
            Outcome::Unknown(_) => {
                not_answered += 1;
                PAUSE
            }
            Outcome::Ok(reply) => bail!("another question was answered: {reply:?}"),
            Outcome::Refused(refusal) => bail!("refused: {refusal:?}"),
        };
        tokio::time::sleep(pause).await;
    }
}

fn pause(rejection: Rejection) -> Result<Duration> {
    let pause_ms = rejection.retry_ms();
    pause_ms.map(Duration::from_millis).ok_or_else(|| anyhow!("rejected: {}", rejection.cause()))
}
