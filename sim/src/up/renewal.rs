//! `--renew`: every document of both brokers is renewed, again and again, while messages pass between the components.
//!
//! Each message has to come back once and in order, whatever is replaced meanwhile: the brokers' certificates under the
//! runtimes' connections, the runtimes' files under their readers, and the connections to NATS under the subscriptions.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kubefox_core::names::Pem;
use serde::Serialize;

use super::platform::{Component, Platform, ROLE_WITHIN, number, read_pem};
use super::report::Report;
use super::runtime;

/// A renewal asks the controller, and Vault behind it.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// The embedded Vault answers the same request twice with the same certificate if both come in one second.
const PAUSE: Duration = Duration::from_millis(1_100);

/// What passed while everything was renewed.
#[derive(Serialize)]
pub(super) struct Renewal {
    /// Of each broker.
    times: u16,
    /// That went there and came back, once each and in order.
    messages: u64,
}

impl Platform {
    /// Renews so many times, of both components, under messages from the first to the second, which sends them back. Their
    /// brokers are processes from `first` on.
    pub(super) async fn renew_all(
        &mut self,
        times: u16,
        components: &[Component],
        to: &str,
        first: usize,
        report: &mut Report,
    ) -> Result<()> {
        let [asks, _] = components else { bail!("messages pass between two components") };
        let mut stream = self.runtime(asks, &["--to", to, "--stream"])?;
        stream.until(["Subscribed"], ROLE_WITHIN, |_| {}).await?;
        for _ in 0..times {
            tokio::time::sleep(PAUSE).await;
            for (index, component) in components.iter().enumerate() {
                let broker = &mut self.processes[first + index];
                let (before, user) = (Held::of(component)?, user_of(component).await?);
                broker.hang_up()?;
                let hear = |told: &_| report.hear_broker(component.name, told);
                broker.until(["Bootstrapped", "Serving", "Succeeded"], RENEWED_WITHIN, hear).await?;
                before.check_renewed(&Held::of(component)?)?;
                if user_of(component).await? != user {
                    bail!("with its new certificate the runtime of {} is somebody else", component.name);
                }
            }
        }
        stream.ask_to_end();
        let [streamed] = stream.until(["Streamed"], ROLE_WITHIN, |_| {}).await?;
        stream.finished(ROLE_WITHIN, |_| {}).await?;
        let messages = number(&streamed, "messages")?;
        report.moment(
            "up",
            format!("{messages} messages went A → B → A while both were renewed {times} times: each once, in order"),
        );
        report.renewal(Renewal { times, messages });
        Ok(())
    }
}

/// Who a runtime is that begins now.
async fn user_of(component: &Component) -> Result<String> {
    let user = runtime::identify(&component.shared, &component.broker).await;
    user.with_context(|| format!("the runtime of {} with what it holds", component.name))
}

/// What a runtime finds on its volume.
#[derive(PartialEq, Eq)]
struct Held {
    leaf: Pem,
    key: String,
}

impl Held {
    fn of(component: &Component) -> Result<Self> {
        let key = component.shared.join("tls.key");
        let key =
            std::fs::read_to_string(&key).with_context(|| format!("{} cannot be read", key.display()))?;
        Ok(Self { leaf: read_pem(&component.shared.join("tls.crt"))?, key })
    }

    fn check_renewed(&self, now: &Self) -> Result<()> {
        if self.leaf == now.leaf || self.key == now.key {
            bail!("the runtime's certificate or its key is the one from before the renewal");
        }
        Ok(())
    }
}
