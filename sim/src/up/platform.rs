//! The order in which a platform comes up: servers, volumes, controller, NATS, two components, the proof.

mod pod;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use kubefox_core::names::{Identity, Namespace, Pem, ServiceAccount};
use kubefox_io::adapter::Entropy as _;
use kubefox_io::adapter::certificate::leaf_facts;
use kubefox_io::shell::entropy::OsEntropy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

pub(super) use self::pod::POD;
use super::Arguments;
use super::cluster::{API_AUDIENCE, Cluster, Pod};
use super::kubelet::{Kubelet, Source, Volumes, make};
use super::lookout::Lookout;
use super::process::Process;
use super::report::{Holder, Proof, Report};
use super::story::Told;
use super::{KeyOrigin, embedded, real};
use crate::manifest;

/// A first start on a busy machine: OpenBao's initialization alone may take nine seconds.
pub(super) const CONTROLLER_WITHIN: Duration = Duration::from_secs(180);
/// An initializer, a broker or a runtime whose servers are up.
pub(super) const ROLE_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of the message of the proof.
const PAYLOAD_BYTES: usize = 32;
/// The platform's namespace, which is also the name of the installation.
pub(super) const PLATFORM: &str = "kubefox";
/// The volumes of the controller.
pub(super) const CONTROLLER_TOKENS: &str = "controller/tokens";
pub(super) const CONTROLLER_SEAL_KEY: &str = "controller/seal-key";
pub(super) const CONTROLLER_STATE: &str = "controller/state/kubefox";
/// The volume that the controller's state and Vault's data lie on, as a cluster has it.
pub(super) const CONTROLLER_VOLUME: &str = "controller/state";
const VAULT_DATA: &str = "controller/state/vault";
/// The namespace of the two components.
pub(super) const TENANT: &str = "team0";
/// Their service accounts.
pub(super) const COMPONENTS: [&str; 2] = ["component-a", "component-b"];

pub(super) enum Servers {
    Embedded(Box<embedded::Servers>),
    Real(Box<real::Servers>),
}

/// The platform, coming up or up.
pub(super) struct Platform {
    pub(super) servers: Servers,
    cluster: Arc<Cluster>,
    /// Where disks, volumes and logs are.
    pub(super) directory: PathBuf,
    kubefox: Option<PathBuf>,
    lookout: Lookout,
    kubelet: Option<Kubelet>,
    /// The pod of the controller and Vault.
    pod: Option<Pod>,
    recovers: bool,
    storm: Option<u16>,
    renew: Option<u16>,
    key_origin: KeyOrigin,
    /// In the order in which they started.
    pub(super) processes: Vec<Process>,
}

/// A component whose broker serves.
pub(super) struct Component {
    pub(super) name: &'static str,
    /// Where its broker listens.
    pub(super) broker: String,
    /// The volume shared with its runtime.
    pub(super) shared: PathBuf,
}

impl Platform {
    /// Starts the API server: without it there is nobody to lay anything out with.
    pub(super) async fn start(
        arguments: &Arguments,
        directory: &Path,
        lookout: Lookout,
        report: &mut Report,
    ) -> Result<Self> {
        let servers = if arguments.real {
            let peers = real::Peers::find(arguments.peers.clone())?;
            Servers::Real(Box::new(real::Servers::start(peers, directory, lookout.clone()).await?))
        } else {
            Servers::Embedded(Box::new(embedded::Servers::start(directory, lookout.clone()).await?))
        };
        let platform = Self::on(servers, directory, lookout);
        report.moment("kubernetes", format!("answers on {}", platform.cluster.url));
        let (kubefox, recovers) = (arguments.kubefox.clone(), arguments.recover_interrupted_init);
        let (storm, renew, key_origin) = (arguments.storm, arguments.renew, arguments.key_origin);
        Ok(Self { kubefox, recovers, storm, renew, key_origin, ..platform })
    }

    /// On servers of which the API server answers; the roles are this program.
    pub(super) fn on(servers: Servers, directory: &Path, lookout: Lookout) -> Self {
        let cluster = match &servers {
            Servers::Embedded(servers) => Arc::clone(&servers.cluster),
            Servers::Real(servers) => Arc::clone(&servers.cluster),
        };
        Self {
            servers,
            cluster,
            directory: directory.to_owned(),
            kubefox: None,
            lookout,
            kubelet: None,
            pod: None,
            recovers: false,
            storm: None,
            renew: None,
            key_origin: KeyOrigin::Vault,
            processes: Vec::new(),
        }
    }

    /// Its roles are this program.
    pub(super) fn with_roles(self, kubefox: PathBuf) -> Self {
        Self { kubefox: Some(kubefox), ..self }
    }

    /// From the manifests of `deploy/` to a Vault that listens. Answers its URL.
    pub(super) async fn prepare(&mut self, report: &mut Report) -> Result<String> {
        for manifest in manifest::PLATFORM {
            self.cluster.apply(manifest).await?;
        }
        report.moment("kubernetes", "the namespaces, accounts and access rules of deploy/ are applied");
        self.lay_out_volumes().await?;
        self.init_vault(|told| report.hear_quarantine(told)).await?;
        let vault = self.start_vault().await?;
        report.moment("vault", format!("listens on {vault}"));
        let versions = match &self.servers {
            Servers::Embedded(_) => embedded::Servers::versions(),
            Servers::Real(servers) => servers.versions().await?,
        };
        report.versions(versions);
        Ok(vault)
    }

    /// Starts Vault on its disk, where it listened before if it did. Answers its URL.
    pub(super) async fn start_vault(&mut self) -> Result<String> {
        let (service_account, data) = (self.pod_volume("vault"), self.pod_volume(VAULT_DATA));
        // Mounting a part of a volume makes it, as it does for the controller: not before the init container has run.
        make(&data)?;
        match &mut self.servers {
            Servers::Embedded(servers) => servers.start_vault(&service_account, &data).await,
            Servers::Real(servers) => servers.start_vault(&service_account, &data).await,
        }
    }

    /// SIGKILLs Vault, in the middle of whatever it does.
    pub(super) async fn kill_vault(&mut self) {
        match &mut self.servers {
            Servers::Embedded(servers) => servers.kill_vault(),
            Servers::Real(servers) => servers.kill_vault().await,
        }
    }

    /// Empties the volume of Vault, which must not run, and of the controller.
    pub(super) fn empty_volume(&self) -> Result<()> {
        let volume = self.pod_volume(CONTROLLER_VOLUME);
        if volume.exists() {
            std::fs::remove_dir_all(&volume)
                .with_context(|| format!("{} cannot be removed", volume.display()))?;
        }
        make(&volume)
    }

    /// The API server, for an administrator.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The same, for whoever keeps it.
    pub(super) fn shared_cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    /// Keeps the volumes, once they are laid out.
    pub(super) const fn kubelet(&self) -> Option<&Kubelet> {
        self.kubelet.as_ref()
    }

    /// Whom a failure is told.
    pub(super) const fn lookout(&self) -> &Lookout {
        &self.lookout
    }

    /// From a prepared platform to the message that came back.
    pub(super) async fn bring_up(&mut self, vault: &str, report: &mut Report) -> Result<()> {
        let controller = self.start_controller(vault, report).await?;
        self.show_trust(report).await?;
        let nats = self.start_nats(&controller, report).await?;
        let (first_broker, mut components) = (self.processes.len(), Vec::new());
        for name in COMPONENTS {
            components.push(self.start_broker(name, &controller, &nats, report).await?);
        }
        report.ready();
        if let Some(brokers) = self.storm {
            self.weather(brokers, (&controller, &nats), first_broker, report).await?;
        }
        let answers = self.prove(&components, report).await?;
        if let Some(times) = self.renew {
            self.renew_all(times, &components, &answers, first_broker, report).await?;
        }
        match &self.servers {
            // Vault itself is asked, beside the controller's own search.
            Servers::Embedded(servers) if servers.live_root_tokens() > 0 => {
                bail!("a root token lives in Vault")
            }
            Servers::Embedded(_) | Servers::Real(_) => Ok(()),
        }
    }

    /// Ends everything, the last one first.
    pub(super) async fn stop(mut self) {
        while let Some(process) = self.processes.pop() {
            process.stop().await;
        }
        drop(self.kubelet.take());
        match self.servers {
            Servers::Embedded(_) => {}
            Servers::Real(servers) => servers.stop().await,
        }
    }

    /// The directory that stands for a volume of a pod.
    pub(super) fn pod_volume(&self, volume: &str) -> PathBuf {
        self.directory.join("pods").join(volume)
    }

    /// Every pod with its projected tokens and Secrets, as the manifests of `deploy/` have them.
    async fn lay_out_volumes(&mut self) -> Result<()> {
        let mut volumes = Volumes::default();
        let caller = format!("kubefox.{PLATFORM}");
        let trust = || Source::Secret { namespace: PLATFORM.to_owned(), name: "kubefox-trust" };

        let controller = self.make_pod().await?;
        let api = || ("token", API_AUDIENCE.to_owned());
        let tokens =
            vec![api(), ("vault", "kubefox-vault".to_owned()), ("setup", "kubefox-setup".to_owned())];
        volumes.add(&controller, Source::Tokens(vec![api()]), &self.pod_volume("vault"))?;
        volumes.add(&controller, Source::Tokens(tokens), &self.pod_volume(CONTROLLER_TOKENS))?;
        let seal_key = Source::Secret { namespace: PLATFORM.to_owned(), name: "kubefox-seal-key" };
        volumes.add(&controller, seal_key, &self.pod_volume(CONTROLLER_SEAL_KEY))?;
        make(&self.pod_volume(CONTROLLER_VOLUME))?;

        let nats = self.cluster.pod(&identity(PLATFORM, "nats")?, "nats-0").await?;
        let mut callers = vec![("nats", nats)];
        for name in COMPONENTS {
            callers.push((name, self.cluster.pod(&identity(TENANT, name)?, &format!("{name}-0")).await?));
        }
        for (name, pod) in callers {
            let tokens = Source::Tokens(vec![("kubefox", caller.clone())]);
            volumes.add(&pod, tokens, &self.pod_volume(&format!("{name}/tokens")))?;
            volumes.add(&pod, trust(), &self.pod_volume(&format!("{name}/trust")))?;
            make(&self.pod_volume(&format!("{name}/shared")))?;
        }
        self.kubelet = Some(volumes.keep(Arc::clone(&self.cluster), self.lookout.clone()).await?);
        Ok(())
    }

    /// Answers where it serves.
    pub(super) async fn start_controller(&mut self, vault: &str, report: &mut Report) -> Result<String> {
        loop {
            let mut command = self.controller(vault, POD, &self.pod_volume(CONTROLLER_TOKENS))?;
            command.arg("--allow-plain-state-dir");
            if self.recovers {
                command.arg("--recover-interrupted-init");
            }
            let mut process = self.spawn("controller", command)?;
            let hear = |told: &Told| report.hear_controller(told);
            let serving = tokio::select! {
                biased;
                serving = process.until(["Serving"], CONTROLLER_WITHIN, hear) => Some(serving?),
                deleted = self.pod_is_deleted() => deleted.map(|()| None)?,
            };
            if let Some([serving]) = serving {
                self.keep(process);
                return text(&serving, "address");
            }
            process.stop().await;
            report.moment("kubernetes", format!("the pod {POD} was deleted, and gets a successor"));
            self.replace_deleted_pod(|told| report.hear_quarantine(told)).await?;
        }
    }

    /// The command of the controller of that pod with the tokens of that directory.
    pub(super) fn controller(&self, vault: &str, pod: &str, tokens: &Path) -> Result<Command> {
        make(&self.pod_volume(CONTROLLER_STATE))?;
        let mut command = self.role(&["controller"])?;
        command.args(["--namespace", PLATFORM, "--tenant-namespaces", TENANT, "--pod-name", pod]);
        command.args(["--pod-uid", self.uid()?]);
        command.args([
            "--vault-url",
            vault,
            "--kubernetes-url",
            &self.cluster.url,
            "--listen",
            "127.0.0.1:0",
        ]);
        command.arg("--service-account-dir").arg(tokens);
        command.arg("--seal-key-dir").arg(self.pod_volume(CONTROLLER_SEAL_KEY));
        command.arg("--state-dir").arg(self.pod_volume(CONTROLLER_STATE));
        Ok(command)
    }

    /// What the controller has published is what every caller will trust.
    async fn show_trust(&self, report: &mut Report) -> Result<()> {
        let secret =
            self.cluster.secret(PLATFORM, "kubefox-trust").await?.context("kubefox-trust is published")?;
        let pem = |name: &str| -> Result<Pem> {
            let bytes = secret.get(name).with_context(|| format!("kubefox-trust has {name}"))?;
            Ok(Pem::parse(std::str::from_utf8(bytes)?)?)
        };
        let (ca, leaf) = (pem("ca.crt")?, pem("tls.crt")?);
        let der =
            CertificateDer::from_pem_slice(ca.as_str().as_bytes()).context("ca.crt is a certificate")?;
        report.ca(HEXLOWER.encode(&Sha256::digest(&der)));
        report.holder(holder("controller", &leaf, "serving certificate")?);
        Ok(())
    }

    async fn start_nats(&mut self, controller: &str, report: &mut Report) -> Result<String> {
        let (shared, ports) = self.nats_volumes();
        let mut command = self.role(&["init", "nats"])?;
        command.args(["--controller-address", controller, "--nats-listen", "127.0.0.1:-1"]);
        command.arg("--nats-directory").arg(&shared).arg("--nats-ports-dir").arg(&ports);
        self.add_caller(&mut command, "nats", &self.pod_volume("nats/trust"), "--output-dir");
        let mut process = self.spawn("init-nats", command)?;
        process.finished(ROLE_WITHIN, |told| report.hear_initializer(told)).await?;
        let address = self.serve_nats().await?;
        report.moment("nats", format!("listens on {address}, started on what the initializer wrote"));
        report.holder(holder(
            "nats",
            &read_pem(&shared.join("tls.crt"))?,
            &format!("{}, operator and account JWTs", self.key_origin.certificate()),
        )?);
        Ok(address)
    }

    /// Starts NATS on what the initializer wrote. Answers its address.
    pub(super) async fn serve_nats(&mut self) -> Result<String> {
        let (shared, ports) = self.nats_volumes();
        // What an earlier one left there names ports that nobody listens on.
        if ports.exists() {
            std::fs::remove_dir_all(&ports)?;
        }
        make(&ports)?;
        match &mut self.servers {
            Servers::Embedded(servers) => servers.start_nats(&shared).await,
            Servers::Real(servers) => servers.start_nats(&shared, &ports).await,
        }
    }

    fn nats_volumes(&self) -> (PathBuf, PathBuf) {
        (self.pod_volume("nats/shared"), self.pod_volume("nats/ports"))
    }

    async fn start_broker(
        &mut self,
        name: &'static str,
        controller: &str,
        nats: &str,
        report: &mut Report,
    ) -> Result<Component> {
        let shared = self.pod_volume(&format!("{name}/shared"));
        let mut command = self.role(&["broker"])?;
        command.args(["--controller-address", controller, "--nats-address", nats, "--listen", "127.0.0.1:0"]);
        self.add_caller(&mut command, name, &self.pod_volume(&format!("{name}/trust")), "--shared-dir");
        let mut process = self.spawn(name, command)?;
        let hear = |told: &Told| report.hear_broker(name, told);
        let heard = process.until(["Bootstrapped", "Serving", "Connected"], ROLE_WITHIN, hear).await?;
        let [bootstrapped, serving, _] = &heard;
        self.keep(process);
        let certificate = self.key_origin.certificate();
        let leaf = read_pem(&shared.join("tls.crt"))?;
        let runtime = holder(&format!("{name} runtime"), &leaf, certificate)?;
        report.holder(Holder {
            who: name.to_owned(),
            // A runtime's URI is its broker's with `/runtime` behind it.
            identity: runtime.identity.trim_end_matches("/runtime").to_owned(),
            holds: format!("{certificate}, user JWT, key in Vault"),
            until_unix_s: number(bootstrapped, "expires")?,
        });
        report.holder(runtime);
        Ok(Component { name, broker: text(serving, "address")?, shared })
    }

    /// A random message goes from one component to the other and comes back. Answers the key of the one that goes on
    /// sending back what comes.
    async fn prove(&mut self, components: &[Component], report: &mut Report) -> Result<String> {
        let [asks, answers] = components else { bail!("the proof needs two components") };
        let mut echo = self.runtime(answers, &[])?;
        let [subscribed] = echo.until(["Subscribed"], ROLE_WITHIN, |_| {}).await?;
        let to = text(&subscribed, "user")?;
        let mut payload = [0; PAYLOAD_BYTES];
        OsEntropy.fill(&mut payload);
        let payload = HEXLOWER.encode(&payload);
        let mut ask = self.runtime(asks, &["--to", &to, "--payload", &payload])?;
        let [subscribed, answered] = ask.until(["Subscribed", "Answered"], ROLE_WITHIN, |_| {}).await?;
        let [received] = echo.until(["Received"], ROLE_WITHIN, |_| {}).await?;
        ask.finished(ROLE_WITHIN, |_| {}).await?;
        self.keep(echo);
        let from = text(&subscribed, "user")?;
        let arrived = |told: &Told, sender: &str| -> Result<bool> {
            Ok(text(told, "payload")? == payload && text(told, "from")? == sender)
        };
        let (delivered, returned) = (arrived(&received, &from)?, arrived(&answered, &to)?);
        let round_trip_us = number(&answered, "round_trip_us")?;
        report.proof(Proof { from, to: to.clone(), payload, delivered, returned, round_trip_us });
        Ok(to)
    }

    pub(super) fn runtime(&self, component: &Component, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["role", "runtime", "--broker", &component.broker]).args(arguments);
        command.arg("--shared-dir").arg(&component.shared);
        self.spawn(&format!("runtime-{}", component.name), command)
    }

    /// The command of a role: the production binary if there is one, else this program in its place.
    pub(super) fn role(&self, name: &[&str]) -> Result<Command> {
        let mut command = match &self.kubefox {
            Some(kubefox) => Command::new(kubefox),
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("role");
                command
            }
        };
        // As in the image, which has no public authorities: the client of NATS would read them at each attempt, for nothing.
        command.env("SSL_CERT_FILE", "/dev/null").env_remove("SSL_CERT_DIR");
        command.args(name).args([
            "--exit-with-stdin",
            "--status-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        let log = self.directory.join("logs").join(format!("{}-termination", name.join("-")));
        command.arg("--termination-log").arg(log);
        Ok(command)
    }

    /// What every caller is told: its token, whom to trust, and where `shared`, a flag, lies.
    pub(super) fn add_caller(&self, command: &mut Command, name: &str, trust: &Path, shared: &str) {
        command.arg("--service-account-dir").arg(self.pod_volume(&format!("{name}/tokens")));
        command.arg("--trust-dir").arg(trust);
        command.args(["--key-origin", self.key_origin.as_str()]);
        command.arg(shared).arg(self.pod_volume(&format!("{name}/shared")));
    }

    /// Keeps a process that is to run until everything is stopped.
    pub(super) fn keep(&mut self, process: Process) {
        process.keep_watch(&self.lookout);
        self.processes.push(process);
    }

    /// Starts a command whose log is kept under this name.
    pub(super) fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(name, command, &self.directory.join(format!("logs/{name}.log")))
    }
}

pub(super) fn identity(namespace: &str, service_account: &str) -> Result<Identity> {
    Ok(Identity {
        namespace: Namespace::parse(namespace)?,
        service_account: ServiceAccount::parse(service_account)?,
    })
}

fn text(told: &Told, name: &str) -> Result<String> {
    let text = told.facts.get(name).and_then(Value::as_str);
    Ok(text.with_context(|| format!("`{}` tells no {name}", told.message))?.to_owned())
}

pub(super) fn number(told: &Told, name: &str) -> Result<u64> {
    let number = told.facts.get(name).and_then(Value::as_u64);
    number.with_context(|| format!("`{}` tells no {name}", told.message))
}

pub(super) fn read_pem(path: &Path) -> Result<Pem> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Pem::parse(&text)?)
}

fn holder(who: &str, leaf: &Pem, holds: &str) -> Result<Holder> {
    let facts = leaf_facts(leaf)?;
    Ok(Holder {
        who: who.to_owned(),
        identity: facts.uris.join(", "),
        holds: holds.to_owned(),
        until_unix_s: facts.not_after.0,
    })
}
