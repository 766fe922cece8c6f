//! The pod of the controller and Vault: what is done for it by those who are not there, the StatefulSet's controller and
//! the kubelet.
//!
//! ```text
//! the controller deletes its pod ──> its processes end ──> a pod of that name is made ──> its volumes are projected
//!                                      ──> `kubefox init vault` ──> Vault ──> (the caller starts) the controller
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{CONTROLLER_VOLUME, PLATFORM, Platform, ROLE_WITHIN, identity};
use crate::up::cluster::Pod;
use crate::up::story::Told;

/// Between two looks at whether the pod is still there.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The pod that brings Vault up.
pub(in crate::up) const POD: &str = "kubefox-0";

impl Platform {
    /// The pod, made if it is not there.
    pub(super) async fn make_pod(&mut self) -> Result<Pod> {
        let pod = self.cluster.pod(&identity(PLATFORM, "kubefox")?, POD).await?;
        Ok(self.pod.insert(pod).clone())
    }

    /// Becomes ready when the pod was deleted.
    pub(in crate::up) async fn pod_is_deleted(&self) -> Result<()> {
        while !self.is_pod_gone().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Puts a new pod in the place of the one that was deleted, up to a Vault that listens. Its controller must not run
    /// any more. Answers whether there was anything to do.
    pub(in crate::up) async fn replace_deleted_pod(&mut self, hear: impl FnMut(&Told)) -> Result<bool> {
        if !self.is_pod_gone().await? {
            return Ok(false);
        }
        self.kill_vault().await;
        let old = self.uid()?.to_owned();
        let new = self.make_pod().await?;
        let kubelet = self.kubelet.as_ref().context("the volumes are laid out")?;
        kubelet.replace(&old, &new).await.context("the volumes of the new pod")?;
        self.init_vault(hear).await?;
        self.start_vault().await?;
        Ok(true)
    }

    /// What runs before Vault in each new pod.
    pub(super) async fn init_vault(&self, hear: impl FnMut(&Told)) -> Result<()> {
        let mut command = self.role(&["init", "vault"])?;
        command.args(["--namespace", PLATFORM, "--kubernetes-url", &self.cluster.url]);
        command.arg("--service-account-dir").arg(self.pod_volume("vault"));
        command.arg("--volume-dir").arg(self.pod_volume(CONTROLLER_VOLUME));
        let mut process = self.spawn("init-vault", command)?;
        process.finished(ROLE_WITHIN, hear).await
    }

    /// The pod's uid, as the downward API tells it.
    pub(super) fn uid(&self) -> Result<&str> {
        Ok(&self.pod.as_ref().context("the pod is made before anything runs in it")?.uid)
    }

    async fn is_pod_gone(&self) -> Result<bool> {
        Ok(self.cluster.pod_uid(PLATFORM, POD).await?.as_deref() != Some(self.uid()?))
    }
}
