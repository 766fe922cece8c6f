//! The platform as far as a controller needs it, to be put into any situation again and again: one API server, one
//! Vault, one state directory.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kubefox_core::fatal::Fatal;
use kubefox_io::driver::halt::{Halt, Side};

use super::super::platform::{
    CONTROLLER_SEAL_KEY, CONTROLLER_TOKENS, CONTROLLER_WITHIN, PLATFORM, POD, Platform,
};
use super::controller::{Controller, Seen as Told, Start};
use super::recovery::Come;
use super::rival::Rival;
use super::situation::{OnceServing, Situation};
use super::witness::{Calm, Seen, Witness};

/// A controller that serves looks at Vault every two seconds; a wait of its boot is shorter at first.
pub(super) const OBSERVED: Duration = Duration::from_millis(3_000);
/// Between two looks at what the kubelet shows.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The kubelet empties a volume within a few of its rounds.
const EMPTY_WITHIN: Duration = Duration::from_secs(30);
/// Nothing listens there: the port is reserved.
const NOBODY: &str = "http://127.0.0.1:1";
/// What is awaited while Vault initializes itself, and while it ends the root token.
const INITIALIZING: &str = "Initialize::Initializing";
const REVOKING: &str = "SetUp::Revoking";
/// The ordinal that stands by.
const OTHER_POD: &str = "kubefox-1";

/// What a controller comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It serves.
    Serves,
    /// It waits for something that does not come.
    Waits,
    /// Its process ends.
    Ends,
    /// It serves, and finds that something is missing for the next start.
    Finds,
    /// It deletes its pod.
    IsReplaced,
}

/// The servers and disks of one controller.
pub(super) struct Bench<'a> {
    pub(super) platform: &'a mut Platform,
    pub(super) witness: Arc<Witness>,
    vault: String,
    /// Everything stands, and a controller that starts has nothing to write.
    converged: bool,
    rival: Option<Rival>,
}

impl<'a> Bench<'a> {
    /// On a platform whose Vault listens there.
    pub(super) fn new(platform: &'a mut Platform, vault: String) -> Result<Self> {
        let witness = Arc::new(Witness::new(platform, &vault)?);
        Ok(Self { platform, witness, vault, converged: false, rival: None })
    }

    /// Every state that a controller meets in this situation if nobody kills it.
    pub(super) async fn meets(&mut self, situation: Situation) -> Result<BTreeSet<String>> {
        let start = self.prepare(situation).await?;
        let mut controller = self.start(&start, None)?;
        self.once_serving(situation.once_serving(), &mut controller).await?;
        match situation.end() {
            End::Serves => {
                controller.serves(CONTROLLER_WITHIN).await?;
                controller.listen(OBSERVED).await;
                self.converged = true;
            }
            End::Waits => controller.listen(OBSERVED).await,
            End::Ends if controller.until(|seen| seen.ended, CONTROLLER_WITHIN).await => {}
            End::Ends => bail!(controller.why("end", CONTROLLER_WITHIN)),
            End::Finds if controller.until(|seen| seen.finds, CONTROLLER_WITHIN).await => {
                controller.listen(OBSERVED).await;
            }
            End::Finds => bail!(controller.why("find what is missing", CONTROLLER_WITHIN)),
            End::IsReplaced if self.comes_to(&mut controller).await? == Come::Deleted => {
                // What led to it may still be on its way here.
                controller.ask_to_end();
                controller.until(|seen| seen.ended, CONTROLLER_WITHIN).await;
            }
            End::IsReplaced => bail!(controller.why("delete its pod", CONTROLLER_WITHIN)),
        }
        let met = controller.seen.met.clone();
        controller.kill().await;
        if situation == Situation::Rival {
            self.reset().await?;
        }
        Ok(met)
    }

    /// Kills a controller there, and proves that the next ones come back. Answers what they came to.
    pub(super) async fn kill(&mut self, situation: Situation, halt: Halt) -> Result<String> {
        let start = self.prepare(situation).await?;
        let mut controller = self.start(&start, Some(halt))?;
        self.once_serving(situation.once_serving(), &mut controller).await?;
        let stands = controller.until(|seen| seen.halted || seen.missed, CONTROLLER_WITHIN).await;
        if !stands || controller.seen.missed {
            bail!("{halt} was not met: {}", controller.why("stand still", CONTROLLER_WITHIN));
        }
        controller.replay(self.platform)?;
        let before = self.witness.look().await?;
        controller.kill().await;
        self.rival = None;
        self.comes_back(&before, Calm::Still).await
    }

    /// That a controller never stands still there.
    pub(super) async fn cannot_kill(&mut self, situation: Situation, state: &'static str) -> Result<()> {
        let start = self.prepare(situation).await?;
        let mut controller = self.start(&start, Some(Halt { state, side: Side::Unheard }))?;
        self.once_serving(situation.once_serving(), &mut controller).await?;
        let met = controller.until(|seen| seen.met.contains(state), CONTROLLER_WITHIN).await;
        controller.until(|seen| seen.halted, OBSERVED).await;
        let halted = controller.seen.halted;
        controller.kill().await;
        match (met, halted) {
            (true, false) => Ok(()),
            (false, _) => bail!("the state {state} was not met: {}", situation.words()),
            (true, true) => {
                bail!("something was answered in the state {state}, which is said to await nothing")
            }
        }
    }

    /// Whatever was killed: the next controller serves, or stops as it has to and serves with the flag that its remedy
    /// names; what was there is the same, no root token lives, and one more start writes nothing.
    pub(super) async fn comes_back(&mut self, before: &Seen, vault: Calm) -> Result<String> {
        let is_new_pod = self.platform.replace_deleted_pod(|_| {}).await?;
        let due = self.witness.due(vault).await?;
        let mut controller = self.start(&self.usual(), None)?;
        let has_come = |seen: &Told| seen.serves || seen.fatal.is_some();
        if !controller.until(has_come, CONTROLLER_WITHIN).await {
            bail!(controller.why("serve", CONTROLLER_WITHIN));
        }
        let mut outcome = if is_new_pod { "serves in its new pod" } else { "serves" }.to_owned();
        if let Some(fatal) = controller.seen.fatal.clone() {
            if !due.allows(Some(&fatal)) {
                bail!("{due:?} was due: {}", controller.why("serve", CONTROLLER_WITHIN));
            }
            controller.kill().await;
            if fatal == format!("{:?}", Fatal::ForeignInit) {
                // Somebody reached Vault's API. Nothing in it is ours, and a person begins a new life.
                self.reset().await?;
                controller = self.start(&self.usual(), None)?;
                controller.serves(CONTROLLER_WITHIN).await?;
                outcome = format!("stops with {fatal}, serves in a new life");
            } else {
                let recoveries;
                (controller, recoveries) = self.recover().await.with_context(|| format!("after {fatal}"))?;
                outcome = format!(
                    "stops with {fatal}, serves with --recover-interrupted-init, recovered {recoveries} ×"
                );
            }
        } else if !due.allows(None) {
            bail!("it serves, and {due:?} was due");
        }
        self.stands(before, controller).await?;
        Ok(outcome)
    }

    /// What a controller that serves must have left as it was, and proved.
    pub(super) async fn stands(&mut self, before: &Seen, controller: Controller) -> Result<()> {
        let mut writes = controller.seen.writes;
        controller.kill().await;
        if !self.converged {
            let mut second = self.start(&self.usual(), None)?;
            second.serves(CONTROLLER_WITHIN).await.context("the start after that one")?;
            writes = second.seen.writes;
            second.kill().await;
            self.converged = true;
        }
        if writes > 0 {
            bail!("a start on what stands changed {writes} settings of Vault");
        }
        let after = self.witness.look().await?;
        let same = |before: &Option<String>, after: &Option<String>| before.is_none() || before == after;
        if !same(&before.ca, &after.ca) || !same(&before.operator, &after.operator) {
            bail!("the root of trust was {before:?} and is {after:?}");
        }
        match &after {
            Seen { ca: Some(_), operator: Some(_), roots: Some(0) } => Ok(()),
            Seen { .. } => bail!("after it came back Vault shows {after:?}"),
        }
    }

    /// What is to happen to a controller once it serves, unless it stands still or ends before.
    async fn once_serving(&self, then: OnceServing, controller: &mut Controller) -> Result<()> {
        if then == OnceServing::Nothing {
            return Ok(());
        }
        let is_over = |seen: &Told| seen.serves || seen.halted || seen.missed || seen.fatal.is_some();
        if !controller.until(is_over, CONTROLLER_WITHIN).await || !controller.seen.serves {
            return Ok(()); // Whoever waits for what comes of it says why it did not.
        }
        match then {
            OnceServing::Nothing => {}
            OnceServing::ToldToEnd => controller.ask_to_end(),
            OnceServing::Hour => {
                self.platform.cluster().delete(PLATFORM, "configmaps", "kubefox-committed").await?;
                controller.an_hour_passes()?;
            }
        }
        Ok(())
    }

    /// Puts everything into a situation. Answers how the controller is to be started in it.
    async fn prepare(&mut self, situation: Situation) -> Result<Start> {
        self.forget_the_log()?;
        self.platform.replace_deleted_pod(|_| {}).await?;
        let usual = self.usual();
        match situation {
            Situation::Restarted | Situation::ToldToEnd | Situation::Hour => self.converge().await?,
            Situation::Sealed => {
                self.converge().await?;
                self.restart_vault().await?;
            }
            Situation::VaultGone => {
                self.converge().await?;
                return Ok(Start { vault: NOBODY.to_owned(), ..usual });
            }
            Situation::StrangeVaultToken => {
                self.converge().await?;
                return Ok(Start { tokens: self.strange_tokens("vault")?, ..usual });
            }
            Situation::StrangeSetupToken => {
                self.converge().await?;
                return Ok(Start { tokens: self.strange_tokens("setup")?, ..usual });
            }
            Situation::OtherPod => {
                self.converge().await?;
                return Ok(Start { pod: OTHER_POD, ..usual });
            }
            Situation::PlainDirectory => {
                self.converge().await?;
                return Ok(Start { allows_plain_state_dir: false, ..usual });
            }
            Situation::FirstStart => self.reset().await?,
            Situation::RootDead => self.killed_first_start(REVOKING, Side::Unheard).await?,
            Situation::Interrupted => {
                self.killed_first_start(INITIALIZING, Side::Unheard).await?;
                return Ok(Start { recovers: true, ..usual });
            }
            Situation::SecondRoot => {
                self.killed_first_start(REVOKING, Side::Unsent).await?;
                self.witness.make_second_root().await?;
            }
            Situation::Rival => {
                self.reset().await?;
                let address = self.vault.trim_start_matches("http://").parse()?;
                let witness = Arc::clone(&self.witness);
                let rival = Rival::start(address, witness, self.platform.lookout().clone()).await?;
                let vault = rival.url.clone();
                self.rival = Some(rival);
                return Ok(Start { vault, ..usual });
            }
        }
        Ok(usual)
    }

    /// Only the log of what failed is worth keeping.
    pub(super) fn forget_the_log(&self) -> Result<()> {
        let log = self.platform.directory.join("logs/controller.log");
        if log.exists() {
            std::fs::remove_file(log)?;
        }
        Ok(())
    }

    /// Starts a controller.
    pub(super) fn start(&self, start: &Start, halt: Option<Halt>) -> Result<Controller> {
        Controller::start(self.platform, start, halt)
    }

    /// The one that every other start differs from.
    pub(super) fn usual(&self) -> Start {
        Start {
            vault: self.vault.clone(),
            pod: POD,
            tokens: self.platform.pod_volume(CONTROLLER_TOKENS),
            allows_plain_state_dir: true,
            recovers: false,
        }
    }

    /// A controller has served, and nothing was taken away since.
    pub(super) async fn converge(&mut self) -> Result<()> {
        if !self.converged {
            let mut controller = self.start(&self.usual(), None)?;
            controller.serves(CONTROLLER_WITHIN).await?;
            controller.kill().await;
            self.converged = true;
        }
        Ok(())
    }

    pub(super) async fn restart_vault(&mut self) -> Result<()> {
        self.platform.kill_vault().await;
        self.platform.start_vault().await?;
        Ok(())
    }

    /// Ends the life: the same cluster and the same pods, and nothing of what a controller made.
    pub(super) async fn reset(&mut self) -> Result<()> {
        self.converged = false;
        self.platform.kill_vault().await;
        self.platform.empty_volume()?;
        for (plural, name) in [
            ("secrets", "kubefox-seal-key"),
            ("secrets", "kubefox-trust"),
            ("configmaps", "kubefox-committed"),
        ] {
            self.platform.cluster().delete(PLATFORM, plural, name).await?;
        }
        let key = self.platform.pod_volume(CONTROLLER_SEAL_KEY).join("key");
        let emptied = async {
            while key.exists() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(EMPTY_WITHIN, emptied).await.context("the seal key's volume was not emptied")?;
        self.platform.start_vault().await?;
        Ok(())
    }

    /// A first start, killed on either side of that call.
    async fn killed_first_start(&mut self, state: &'static str, side: Side) -> Result<()> {
        self.reset().await?;
        let mut controller = self.start(&self.usual(), Some(Halt { state, side }))?;
        if !controller.until(|seen| seen.halted, CONTROLLER_WITHIN).await {
            bail!(controller.why(&format!("come to {state}"), CONTROLLER_WITHIN));
        }
        controller.kill().await;
        Ok(())
    }

    /// The tokens of the controller, one of them for somebody else than it says.
    fn strange_tokens(&self, strange: &str) -> Result<PathBuf> {
        let (ours, theirs) =
            (self.platform.pod_volume(CONTROLLER_TOKENS), self.platform.pod_volume("controller/strange"));
        super::super::kubelet::make(&theirs)?;
        for name in ["ca.crt", "token", "vault", "setup"] {
            // The API server's own audience is not Vault's.
            let from = if name == strange { "token" } else { name };
            std::fs::copy(ours.join(from), theirs.join(name))?;
        }
        Ok(theirs)
    }
}
