//! A controller that may recover an interrupted initialization, and the pods that come of it.

use anyhow::{Result, bail};
use kubefox_core::state::RECOVERIES_MAX;

use super::super::platform::CONTROLLER_WITHIN;
use super::bench::Bench;
use super::controller::{Controller, Start};

/// What a controller that may recover comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Come {
    /// It serves.
    Serving,
    /// Its pod was deleted.
    Deleted,
    /// It ends, or nothing comes of it.
    Neither,
}

impl Bench<'_> {
    /// With the flag, and no person: the controller deletes its pod, Vault's data is moved aside before Vault starts in the
    /// next one, and the controller there serves. Answers it and how often that was needed.
    pub(super) async fn recover(&mut self) -> Result<(Controller, u32)> {
        for recoveries in 0..=RECOVERIES_MAX {
            let start = Start { recovers: true, ..self.usual() };
            let mut controller = self.start(&start, None)?;
            match self.comes_to(&mut controller).await? {
                Come::Serving => return Ok((controller, recoveries)),
                Come::Deleted => controller.stop().await,
                Come::Neither => bail!(controller.why("recover", CONTROLLER_WITHIN)),
            }
            self.platform.replace_deleted_pod(|_| {}).await?;
        }
        bail!("it deletes its pod more than {RECOVERIES_MAX} times")
    }

    /// What a controller that may recover comes to first.
    pub(super) async fn comes_to(&self, controller: &mut Controller) -> Result<Come> {
        tokio::select! {
            biased;
            deleted = self.platform.pod_is_deleted() => deleted.map(|()| Come::Deleted),
            _ = controller.until(|seen| seen.serves || seen.fatal.is_some(), CONTROLLER_WITHIN) => {
                Ok(if controller.seen.serves { Come::Serving } else { Come::Neither })
            }
        }
    }
}
