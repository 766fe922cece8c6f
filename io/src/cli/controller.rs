//! `kubefox controller`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures::{StreamExt, stream};
use kubefox_core::bootstrap::Rejection;
use kubefox_core::controller::table::{Decision, Verdict};
use kubefox_core::controller::{Config, Controller, Notice, Signal};
use kubefox_core::machine::Standing;
use kubefox_core::names::{Installation, Namespace, PodName, TrustDomain, Uid, ordinal};
use tracing::Level;

use super::cluster::Cluster;
use super::run::{Wiring, run_role};
use super::{Telemetry, Unusable, installation};
use crate::adapter::role::ControllerAdapter;
use crate::driver::Clock;
use crate::shell::bootstrap_server;
use crate::shell::carrier::Shells;
use crate::shell::connector::Target;
use crate::shell::files::{Directories, Files};
use crate::shell::host::Real;
use crate::shell::http::Http;
use crate::shell::listener::{Clients, Listener};
use crate::telemetry::{LogTap, RootToken};

/// What the operator chooses for the controller.
#[derive(Args)]
pub(super) struct Arguments {
    /// The name of the installation; part of every caller's audience `kubefox.<installation>`. Default: the namespace.
    #[arg(long, env = "KUBEFOX_INSTALLATION")]
    installation: Option<Installation>,
    /// The trust domain of every SPIFFE id.
    #[arg(long, env = "KUBEFOX_TRUST_DOMAIN", default_value = "cluster.local")]
    trust_domain: TrustDomain,
    /// The namespace of the platform.
    #[arg(long, env = "KUBEFOX_NAMESPACE")]
    namespace: Namespace,
    /// The pod's own name; only ordinal 0 brings Vault up.
    #[arg(long, env = "KUBEFOX_POD_NAME")]
    pod_name: PodName,
    /// The namespaces whose service accounts may be components.
    #[arg(long, env = "KUBEFOX_TENANT_NAMESPACES", value_delimiter = ',', required = true)]
    tenant_namespaces: Vec<Namespace>,
    /// Vault: `http://` on loopback, or `unix:/path`.
    #[arg(long, env = "KUBEFOX_VAULT_URL", default_value = "http://127.0.0.1:8200")]
    vault_url: String,
    /// The Kubernetes API, as this pod and Vault reach it. Default: from the pod's environment.
    #[arg(long, env = "KUBEFOX_KUBERNETES_URL")]
    kubernetes_url: Option<String>,
    /// Holds `token`, `ca.crt`, `vault` and `setup`.
    #[arg(long, env = "KUBEFOX_SERVICE_ACCOUNT_DIR", default_value = "/var/run/secrets/kubefox/tokens")]
    service_account_dir: PathBuf,
    /// The volume of Secret kubefox-seal-key.
    #[arg(long, env = "KUBEFOX_SEAL_KEY_DIR", default_value = "/var/run/secrets/kubefox/seal-key")]
    seal_key_dir: PathBuf,
    /// Holds boot.state; a mount point, on the volume that also holds Vault's data.
    #[arg(long, env = "KUBEFOX_STATE_DIR", default_value = "/var/lib/kubefox/kubefox")]
    state_dir: PathBuf,
    /// Accept a state directory that is not a volume of its own. It will not survive the pod.
    #[arg(long, env = "KUBEFOX_ALLOW_PLAIN_STATE_DIR")]
    allow_plain_state_dir: bool,
    /// For how long the seal key's volume may be late, in seconds.
    #[arg(long, env = "KUBEFOX_SEAL_KEY_GRACE_S", default_value_t = 180)]
    seal_key_grace_s: u32,
    /// Recover an initialization of Vault that was interrupted before its unseal key was safe: delete this pod; the
    /// next one's `kubefox init vault` moves Vault's data directory aside, and Vault is initialized anew. At most three
    /// times, and never once an unseal key was safe.
    #[arg(long, env = "KUBEFOX_RECOVER_INTERRUPTED_INIT")]
    recover_interrupted_init: bool,
    /// The pod's own uid, as the downward API gives it; needed to recover.
    #[arg(long, env = "KUBEFOX_POD_UID")]
    pod_uid: Option<Uid>,
    /// Where the bootstrap API listens.
    #[arg(long, env = "KUBEFOX_LISTEN", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    #[command(flatten)]
    telemetry: Telemetry,
}

pub(super) fn run(arguments: Arguments, clock: Arc<dyn Clock>) -> Result<Standing, Unusable> {
    let telemetry = arguments.telemetry.clone();
    if arguments.tenant_namespaces.contains(&arguments.namespace) {
        return Err(Unusable(format!(
            "--tenant-namespaces {}: the platform's own namespace is never a tenant, or its servers could pass for \
             components; leave it out",
            arguments.namespace
        )));
    }
    if ordinal(&arguments.pod_name).is_none() {
        return Err(Unusable(format!(
            "--pod-name {}: must end in the ordinal of a StatefulSet's pod, as kubefox-0 does; run the controller in a \
             StatefulSet",
            arguments.pod_name
        )));
    }
    let vault = Target::vault(&arguments.vault_url)
        .map_err(|error| Unusable(format!("--vault-url {}: {error}", arguments.vault_url)))?;
    let recover_interrupted_init = match (arguments.recover_interrupted_init, arguments.pod_uid) {
        (false, _) => None,
        (true, Some(uid)) => Some(uid),
        (true, None) => {
            return Err(Unusable(
                "--recover-interrupted-init: needs --pod-uid, because the pod is deleted by its uid and no other; give \
                 the downward API's metadata.uid"
                    .to_owned(),
            ));
        }
    };
    let cluster = Cluster::find(arguments.kubernetes_url, &arguments.service_account_dir)?;
    let config = Config {
        pod: arguments.pod_name,
        installation: installation(arguments.installation, &arguments.namespace)?,
        trust_domain: arguments.trust_domain,
        namespace: arguments.namespace,
        tenant_namespaces: arguments.tenant_namespaces,
        kubernetes_host: cluster.url,
        kubernetes_ca: cluster.ca,
        allow_plain_state_dir: arguments.allow_plain_state_dir,
        seal_key_grace_ms: u64::from(arguments.seal_key_grace_s) * 1_000,
        recover_interrupted_init,
    };
    let directories = Directories {
        state: Some(arguments.state_dir),
        tokens: Some(arguments.service_account_dir),
        seal_key: Some(arguments.seal_key_dir),
        ..Directories::default()
    };
    let adapter = ControllerAdapter::new(config.installation.clone(), config.namespace.clone());
    run_role("controller", telemetry, clock, config, adapter, tap, async move |door, snapshots| {
        let host = Arc::new(Real);
        let routes = bootstrap_server::routes(Arc::new(door), snapshots);
        let limits = bootstrap_server::LIMITS;
        let listener = Listener::new(host.clone(), arguments.listen, Clients::Anyone, limits, routes);
        let shells = Shells {
            vault: Some(Http::new(host.clone(), vault)),
            kubernetes: Some(Http::new(host, cluster.target)),
            files: Some(Files::new(directories)),
            listener: Some(Arc::new(listener)),
            ..Shells::default()
        };
        Wiring { shells, signals: stream::empty().boxed(), stop: Signal::Stop }
    })
}

fn tap(log: LogTap<Controller>) -> LogTap<Controller> {
    log.notice_level(level).root_token(root_token)
}

/// Whoever sets Vault up holds its root token; whoever has swept it has proved that none lives.
const fn root_token(notice: &Notice) -> Option<RootToken> {
    match notice {
        Notice::Initialized { .. }
        | Notice::Decided(Decision { verdict: Verdict::FinishSetUp { .. }, .. })
        | Notice::RootFound { .. } => Some(RootToken::Alive),
        Notice::RootRevoked | Notice::Swept => Some(RootToken::Dead),
        Notice::Decided(_)
        | Notice::EnvelopeNotWritten
        | Notice::Unsealed
        | Notice::Wrote(_)
        | Notice::Drift(_)
        | Notice::ForeignJwt(_)
        | Notice::Stored(_)
        | Notice::GenerationRecorded { .. }
        | Notice::RolledBack { .. }
        | Notice::EnvelopeUnread
        | Notice::CommittedMissing
        | Notice::SealKeyDeletion
        | Notice::TooManyTokens { .. }
        | Notice::Configured { .. }
        | Notice::Certified { .. }
        | Notice::LoginStranded { .. }
        | Notice::Found { .. }
        | Notice::Lapsed(_)
        | Notice::Serving { .. }
        | Notice::Served { .. }
        | Notice::Rejected { .. } => None,
    }
}

/// ERROR is what somebody must act on; WARN heals by itself.
const fn level(notice: &Notice) -> Level {
    match notice {
        Notice::EnvelopeNotWritten
        | Notice::Drift(_)
        | Notice::ForeignJwt(_)
        | Notice::RolledBack { .. }
        | Notice::EnvelopeUnread
        | Notice::SealKeyDeletion
        | Notice::LoginStranded { .. }
        | Notice::Found { .. }
        | Notice::Lapsed(_)
        | Notice::CommittedMissing
        | Notice::RootFound { .. }
        | Notice::TooManyTokens { .. } => Level::ERROR,
        // Whoever reaches the port can cause these: a token that nobody signed is its sender's business, and not to fill
        // the log. The sender is told.
        Notice::Rejected {
            rejection:
                Rejection::TokenMalformed
                | Rejection::TokenUnsigned
                | Rejection::TokenForged
                | Rejection::KeyUnknown
                | Rejection::IssuerForeign,
            ..
        } => Level::DEBUG,
        Notice::Rejected { .. } => Level::WARN,
        Notice::Decided(_)
        | Notice::Initialized { .. }
        | Notice::Unsealed
        | Notice::Wrote(_)
        | Notice::Stored(_)
        | Notice::GenerationRecorded { .. }
        | Notice::RootRevoked
        | Notice::Swept
        | Notice::Configured { .. }
        | Notice::Certified { .. }
        | Notice::Serving { .. }
        | Notice::Served { .. } => Level::INFO,
    }
}
