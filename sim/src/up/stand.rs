//! The platform for a program that asks it as its callers do, to measure it: real servers, and a controller that serves.

pub mod audit;
pub mod caller;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::cluster::Cluster;
use super::lookout::Lookout;
use super::platform::{Platform, Servers};
use super::real;
use super::report::Report;

/// Real servers with a controller.
pub struct Stand {
    platform: Platform,
    /// The API server, for an administrator.
    pub cluster: Arc<Cluster>,
    /// Where Vault listens.
    pub vault: String,
    /// The program of OpenBao, which is also its agent.
    pub bao: PathBuf,
    /// Where the controller serves, as `ip:port`.
    pub controller: String,
}

impl Stand {
    /// From an empty directory to a controller that serves. The roles are the program `kubefox`; the servers end with
    /// this process because `up` guards them.
    ///
    /// # Errors
    /// If a real server is missing, or something does not come up.
    pub async fn start(directory: &Path, kubefox: PathBuf, up: PathBuf, lookout: Lookout) -> Result<Self> {
        let peers = real::Peers::find(None)?.guarded_by(up);
        let bao = peers.bao().to_owned();
        super::kubelet::make(&directory.join("logs"))?;
        let servers = real::Servers::start(peers, directory, lookout.clone()).await?;
        let servers = Servers::Real(Box::new(servers));
        let mut platform = Platform::on(servers, directory, lookout).with_roles(kubefox);
        // Nobody is shown it.
        let mut report = Report::begin(true, true);
        let vault = platform.prepare(&mut report).await?;
        let controller = platform.start_controller(&vault, &mut report).await?;
        let cluster = platform.shared_cluster();
        Ok(Self { platform, cluster, vault, bao, controller })
    }

    /// Ends everything, the last one first.
    pub async fn stop(self) {
        self.platform.stop().await;
    }
}
