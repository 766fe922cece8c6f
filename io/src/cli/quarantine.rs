//! `kubefox init vault`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, stream};
use kubefox_core::machine::Standing;
use kubefox_core::names::{Installation, Namespace};
use kubefox_core::quarantine::{Config, Notice, Quarantine, Signal};
use tracing::Level;

use super::cluster::Cluster;
use super::run::{Wiring, run_role};
use super::{Telemetry, Unusable, installation};
use crate::adapter::role::QuarantineAdapter;
use crate::disk::STATE;
use crate::driver::Clock;
use crate::shell::carrier::Shells;
use crate::shell::files::{Directories, Files};
use crate::shell::host::Real;
use crate::shell::http::Http;
use crate::telemetry::LogTap;

/// What the operator chooses for the quarantine.
#[derive(Args)]
pub(super) struct Arguments {
    /// The name of the installation. Default: the namespace.
    #[arg(long, env = "KUBEFOX_INSTALLATION")]
    installation: Option<Installation>,
    /// The namespace of the platform.
    #[arg(long, env = "KUBEFOX_NAMESPACE")]
    namespace: Namespace,
    /// The Kubernetes API. Default: from the pod's environment.
    #[arg(long, env = "KUBEFOX_KUBERNETES_URL")]
    kubernetes_url: Option<String>,
    /// Holds `token` and `ca.crt`; looked into only if something is to be recovered.
    #[arg(
        long,
        env = "KUBEFOX_SERVICE_ACCOUNT_DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    service_account_dir: PathBuf,
    /// The whole volume: the controller's state is `kubefox` in it, Vault's data `vault`, and a quarantine their sibling.
    #[arg(long, env = "KUBEFOX_VOLUME_DIR", default_value = "/var/lib/kubefox")]
    volume_dir: PathBuf,
    #[command(flatten)]
    telemetry: Telemetry,
}

pub(super) fn run(arguments: Arguments, clock: Arc<dyn Clock>) -> Result<Standing, Unusable> {
    let installation = installation(arguments.installation, &arguments.namespace)?;
    let adapter = QuarantineAdapter::new(installation, arguments.namespace);
    let (url, tokens) = (arguments.kubernetes_url, arguments.service_account_dir);
    let state = arguments.volume_dir.join(STATE);
    let volume = arguments.volume_dir;
    run_role(
        "init vault",
        arguments.telemetry,
        clock,
        Config,
        adapter,
        tap,
        async move |_door, _snapshots| {
            // Nearly always there is nothing to recover, and then this is not needed: Vault starts without it.
            let kubernetes = match Cluster::find(url, &tokens) {
                Ok(cluster) => Some(Http::new(Arc::new(Real), cluster.target)),
                Err(Unusable(reason)) => {
                    tracing::warn!(reason, "NoKubernetes");
                    None
                }
            };
            let directories = Directories {
                volume: Some(volume),
                state: Some(state),
                tokens: Some(tokens),
                ..Directories::default()
            };
            let shells = Shells { files: Some(Files::new(directories)), kubernetes, ..Shells::default() };
            Wiring { shells, signals: stream::empty().boxed(), stop: Signal::Stop }
        },
    )
}

fn tap(log: LogTap<Quarantine>) -> LogTap<Quarantine> {
    log.notice_level(level)
}

/// A quarantine is worth a person's eye: what lies in it takes space until somebody removes it.
const fn level(notice: &Notice) -> Level {
    match notice {
        Notice::MovedAside { .. } | Notice::Waiting(_) => Level::WARN,
        Notice::NotMarked | Notice::Marked { .. } => Level::INFO,
    }
}
