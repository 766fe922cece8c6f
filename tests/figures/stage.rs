//! What everything is measured on: one OpenBao, one kube-apiserver, one controller.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http::Request;
use kubefox_core::documents::setting::AUDIENCE_CONTROLLER;
use kubefox_core::names::{Identity, Namespace, Pem, ServiceAccount};
use kubefox_core::vault::AuthRole;
use kubefox_sim::up::cluster::{API_AUDIENCE, Cluster, Pod};
use kubefox_sim::up::lookout::Lookout;
use kubefox_sim::up::stand::Stand;
use kubefox_sim::up::stand::audit::Audit;
use kubefox_sim::up::stand::caller::Caller;
use tempfile::TempDir;

use super::bare::{Connection, Prepared, log_in};

/// The platform's namespace.
const PLATFORM: &str = "kubefox";

/// The running platform, and where it is.
pub(crate) struct Stage {
    stand: Stand,
    pub(crate) folder: TempDir,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) vault: String,
    pub(crate) bao: PathBuf,
    pub(crate) controller: SocketAddr,
    /// What the controller has published: its authority and its certificate.
    pub(crate) ca: Pem,
    pub(crate) leaf: Pem,
    /// Vault's token of the controller's role, from a login of its pod's own.
    pub(crate) controller_token: String,
}

impl Stage {
    pub(crate) async fn set(lookout: Lookout) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let up = Path::new(env!("CARGO_BIN_EXE_up-under-test")).to_owned();
        let stand = Stand::start(folder.path(), kubefox().to_owned(), up, lookout).await?;
        let (cluster, vault, bao) = (Arc::clone(&stand.cluster), stand.vault.clone(), stand.bao.clone());
        let trust = cluster.secret(PLATFORM, "kubefox-trust").await?.context("kubefox-trust is published")?;
        let pem = |name: &str| -> Result<Pem> {
            Ok(Pem::parse(std::str::from_utf8(trust.get(name).context("kubefox-trust is whole")?)?)?)
        };
        let token = cluster.token(&pod(&cluster, "kubefox", "kubefox-0").await?, AUDIENCE_CONTROLLER).await?;
        let controller_token =
            log_in(&mut Connection::open(&vault).await?, AuthRole::Controller, &token).await?;
        let controller = stand.controller.parse()?;
        let (ca, leaf) = (pem("ca.crt")?, pem("tls.crt")?);
        Ok(Self { stand, folder, cluster, vault, bao, controller, ca, leaf, controller_token })
    }

    /// The pod of NATS.
    pub(crate) async fn nats(&self) -> Result<Pod> {
        pod(&self.cluster, "nats", "nats-0").await
    }

    /// What OpenBao is asked from now on.
    pub(crate) fn audit(&self) -> Result<Audit> {
        Audit::from_now_on(self.folder.path())
    }

    /// Whoever has that token.
    pub(crate) fn caller(&self, token: &str) -> Caller {
        Caller::new(self.controller, self.ca.clone(), token.to_owned())
    }

    /// A token of the controller's pod for the API server.
    pub(crate) async fn api_token(&self) -> Result<String> {
        self.cluster.token(&pod(&self.cluster, "kubefox", "kubefox-0").await?, API_AUDIENCE).await
    }

    /// What a GET of Vault is answered with.
    pub(crate) async fn read(&self, path: &str) -> Result<String> {
        let request = Prepared::new(Request::get(path).body(Vec::new())?);
        let body = Connection::open(&self.vault).await?.ask(&request).await?;
        Ok(String::from_utf8(body.to_vec())?)
    }

    pub(crate) async fn strike(self) {
        self.stand.stop().await;
    }
}

/// The binary that is measured.
pub(crate) fn kubefox() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubefox-under-test"))
}

async fn pod(cluster: &Cluster, account: &str, name: &str) -> Result<Pod> {
    let identity =
        Identity { namespace: Namespace::parse(PLATFORM)?, service_account: ServiceAccount::parse(account)? };
    cluster.pod(&identity, name).await
}
