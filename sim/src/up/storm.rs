//! `--storm`: hundreds of brokers lose NATS in one moment, and all want it back in the next.
//!
//! Each has a pod and a service account of its own, and so a user and a nonce of its own, which the controller has Vault
//! sign. NATS is killed twice: soon after the last broker connected, while the controller still keeps their logins, and
//! again when it keeps none, so that each signature costs two reviews and a login besides.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use http::Method;
use serde::Serialize;
use serde_json::json;

use super::kubelet::{Source, Volumes, make};
use super::platform::{COMPONENTS, PLATFORM, Platform, Servers, TENANT, identity};
use super::process::Process;
use super::report::Report;

/// All processes start at once, and share the machine with the servers.
const START_WITHIN: Duration = Duration::from_secs(300);
/// More than anybody may need: how long it took is in the report.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// The controller keeps a login for a minute.
const LOGINS_END_AFTER: Duration = Duration::from_secs(62);
/// How long NATS is away: at least as long as a container takes to start again.
const AWAY: Duration = Duration::from_secs(1);

/// What became of the brokers.
#[derive(Serialize)]
pub(super) struct Storm {
    /// Those of the two components are among them.
    brokers: usize,
    /// From the start of their processes to the connection of the last one.
    connected_ms: u64,
    restarts: Vec<Restart>,
}

/// One restart of NATS. Times begin when it is killed.
#[derive(Serialize)]
struct Restart {
    /// Whether the controller kept the brokers' logins.
    logins_kept: bool,
    /// When it listens again.
    listens_ms: u64,
    /// When half of the brokers are connected again.
    half_ms: u64,
    /// When all are.
    all_ms: u64,
}

impl Platform {
    /// Connects so many brokers more and restarts NATS under them. The components' are processes from `first` on.
    pub(super) async fn weather(
        &mut self,
        brokers: u16,
        (controller, nats): (&str, &str),
        first: usize,
        report: &mut Report,
    ) -> Result<()> {
        let names = self.lay_out_brokers(brokers).await?;
        let begun = Instant::now();
        let mut started = Vec::new();
        for name in &names {
            let mut command = self.role(&["broker"])?;
            command.args(["--controller-address", controller, "--nats-address", nats]);
            command.args(["--listen", "127.0.0.1:0"]);
            // Every pod of the node sees the same Secret.
            let trust = self.pod_volume(&format!("{}/trust", COMPONENTS[0]));
            self.add_caller(&mut command, name, &trust, "--shared-dir");
            started.push(self.spawn(name, command)?);
        }
        all_connect(&mut started, START_WITHIN).await?;
        let connected_ms = millis(begun);
        started.into_iter().for_each(|process| self.keep(process));
        let brokers = self.processes.len() - first;
        report.moment("storm", format!("{brokers} brokers are connected"));
        let mut restarts = Vec::new();
        for logins_kept in [true, false] {
            if !logins_kept {
                tokio::time::sleep(LOGINS_END_AFTER).await;
            }
            let restart = self.restart_nats(first, logins_kept).await?;
            let words = if logins_kept { "logins were kept" } else { "no login was kept" };
            report.moment(
                "storm",
                format!(
                    "NATS was killed and listened again after {} ms; half of the brokers were back after {} ms, \
                     all {brokers} after {} ms; {words}",
                    restart.listens_ms, restart.half_ms, restart.all_ms
                ),
            );
            restarts.push(restart);
        }
        report.storm(Storm { brokers, connected_ms, restarts });
        Ok(())
    }

    /// An account, a pod and its volumes for each of them. Answers their names.
    async fn lay_out_brokers(&self, brokers: u16) -> Result<Vec<String>> {
        let (mut names, mut volumes) = (Vec::new(), Volumes::default());
        for number in 0..brokers {
            let name = format!("storm-{number}");
            let accounts = format!("/api/v1/namespaces/{TENANT}/serviceaccounts");
            let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
            let (status, answer) = self.cluster().request(Method::POST, &accounts, Some(&account)).await?;
            if !matches!(status, 201 | 409) {
                bail!("the API server refused ServiceAccount {name} with {status}: {answer}");
            }
            let pod = self.cluster().pod(&identity(TENANT, &name)?, &format!("{name}-0")).await?;
            let tokens = Source::Tokens(vec![("kubefox", format!("kubefox.{PLATFORM}"))]);
            volumes.add(&pod, tokens, &self.pod_volume(&format!("{name}/tokens")))?;
            make(&self.pod_volume(&format!("{name}/shared")))?;
            names.push(name);
        }
        self.kubelet().context("the volumes are laid out")?.add(volumes).await?;
        Ok(names)
    }

    async fn restart_nats(&mut self, first: usize, logins_kept: bool) -> Result<Restart> {
        // A broker that lost NATS earlier and came back by itself has told so.
        self.processes[first..].iter_mut().for_each(Process::forget_what_was_told);
        let begun = Instant::now();
        let Servers::Real(servers) = &mut self.servers else {
            bail!("the embedded NATS cannot be restarted on its port")
        };
        servers.kill_nats().await;
        tokio::time::sleep(AWAY.saturating_sub(begun.elapsed())).await;
        self.serve_nats().await?;
        let listens_ms = millis(begun);
        let mut back = all_connect(&mut self.processes[first..], BACK_WITHIN).await?;
        back.sort_unstable();
        let since = |moment: &Instant| whole_ms(moment.saturating_duration_since(begun));
        let (half, last) = (back.get(back.len() / 2), back.last());
        let (half_ms, all_ms) = (half.map_or(0, since), last.map_or(0, since));
        Ok(Restart { logins_kept, listens_ms, half_ms, all_ms })
    }
}

/// Until each of them says that it is connected (again). Answers when each did.
async fn all_connect(brokers: &mut [Process], within: Duration) -> Result<Vec<Instant>> {
    try_join_all(brokers.iter_mut().map(async |broker| {
        broker.until(["Connected"], within, |_| {}).await?;
        Ok(Instant::now())
    }))
    .await
}

fn millis(since: Instant) -> u64 {
    whole_ms(since.elapsed())
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
