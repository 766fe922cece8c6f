//! The real servers: kube-apiserver with etcd, OpenBao, nats-server, each a process on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::{Method, Request};
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real as RealHost;
use kubefox_io::shell::http::Http;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::process::Command;

use super::cluster::Cluster;
use super::lookout::Lookout;
use super::process::Process;
use super::stand::audit;

/// The control plane of Kubernetes starts in about four seconds, and several times that on a busy machine.
const KUBE_WITHIN: Duration = Duration::from_secs(120);
/// OpenBao listens after some hundred milliseconds.
const VAULT_WITHIN: Duration = Duration::from_secs(30);
/// nats-server writes its ports at once.
const NATS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A port that was free may be taken before OpenBao binds it.
const PORT_TRIES: u32 = 5;

/// Gives a program, as its pod would, the service-account directory `$0` at the fixed path where Vault looks for it.
const IN_POD: &str = r#"mount -t tmpfs none /var/run &&
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount &&
mount --bind "$0" /var/run/secrets/kubernetes.io/serviceaccount && exec "$@""#;

/// Where the programs are.
pub struct Peers {
    kube: PathBuf,
    bao: PathBuf,
    nats: PathBuf,
    /// The program whose `role guard` ends the servers with it.
    up: PathBuf,
}

impl Peers {
    /// Looks into `folder`, or where `tests/peers/build` puts them. A program that is not there is an error.
    pub fn find(folder: Option<PathBuf>) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder,
            None => cache()?.join("bin"),
        };
        let program = |name: &str| {
            let path = folder.join(name);
            if !path.is_file() {
                bail!(
                    "there is no {}: run tests/peers/build, or say where it is with --peers",
                    path.display()
                );
            }
            Ok(path)
        };
        Ok(Self {
            kube: program("kube")?,
            bao: program("bao")?,
            nats: program("nats-server")?,
            up: std::env::current_exe()?,
        })
    }

    /// For a program other than `up`: the servers are guarded by that `up`.
    #[must_use]
    pub fn guarded_by(self, up: PathBuf) -> Self {
        Self { up, ..self }
    }

    /// With another OpenBao of the same folder, by the name of its program.
    ///
    /// # Errors
    /// If it is not there.
    pub fn with_vault(self, name: &str) -> Result<Self> {
        let bao = self.bao.with_file_name(name);
        if !bao.is_file() {
            bail!("there is no {}: run tests/peers/build", bao.display());
        }
        Ok(Self { bao, ..self })
    }

    /// The program of OpenBao.
    pub(super) fn bao(&self) -> &Path {
        &self.bao
    }

    /// `up role guard`, to which a program and its arguments are to be added.
    fn guarded(&self) -> Command {
        let mut command = Command::new(&self.up);
        command.args(["role", "guard", "--"]);
        command
    }
}

fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("KUBEFOX_PEERS") {
        return Ok(folder);
    }
    let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(caches.context("neither KUBEFOX_PEERS nor XDG_CACHE_HOME nor HOME is set")?.join("kubefox-peers"))
}

/// The running servers.
pub struct Servers {
    peers: Peers,
    directory: PathBuf,
    lookout: Lookout,
    kube: Process,
    vault: Option<Process>,
    /// The two ports of Vault, from its first start on.
    vault_ports: Option<(u16, u16)>,
    nats: Option<Process>,
    /// The port of NATS, from its first start on.
    nats_port: Option<u16>,
    /// The API server.
    pub cluster: Arc<Cluster>,
}

impl Servers {
    /// Starts the control plane of Kubernetes; its state is kept in `directory`.
    pub async fn start(peers: Peers, directory: &Path, lookout: Lookout) -> Result<Self> {
        let data = directory.join("kube");
        super::kubelet::make(&data)?;
        let mut command = Command::new(&peers.kube);
        command.arg("up").arg("--dir").arg(&data).arg("--exit-with-stdin");
        let mut kube = Process::start("kube", command, &directory.join("logs/kube.log"))?;
        let [ready] = kube.until(["READY"], KUBE_WITHIN, |_| {}).await?;
        kube.keep_watch(&lookout);
        let url = ready.facts["server"].as_str().context("kube tells where its server is")?.to_owned();
        let cluster = Arc::new(administrator(&data.join("pki"), url)?);
        let directory = directory.to_owned();
        Ok(Self {
            peers,
            directory,
            lookout,
            kube,
            vault: None,
            vault_ports: None,
            nats: None,
            nats_port: None,
            cluster,
        })
    }

    /// Starts OpenBao as a container of the pod whose tokens are in `service_account`, with its storage in `data`. Answers
    /// its URL.
    pub async fn start_vault(&mut self, service_account: &Path, data: &Path) -> Result<String> {
        let folder = self.directory.join("vault");
        super::kubelet::make(&folder)?;
        let configured = folder.join("bao.hcl");
        for _ in 0..PORT_TRIES {
            let (port, cluster_port) = match self.vault_ports {
                Some(ports) => ports,
                None => (free_port()?, free_port()?),
            };
            let url = format!("http://127.0.0.1:{port}");
            let audit = self.directory.join(audit::LOG);
            std::fs::write(&configured, configuration(port, cluster_port, &audit))?;
            let mut command = self.peers.guarded();
            // Its storage is called by a name without a path, which needs no escaping in its configuration.
            command.current_dir(data);
            command.args(["unshare", "--map-root-user", "--mount", "sh", "-c", IN_POD]);
            command.arg(service_account).arg(&self.peers.bao).args(["server", "-config"]).arg(&configured);
            for (name, _) in
                std::env::vars().filter(|(name, _)| name.starts_with("BAO_") || name.starts_with("VAULT_"))
            {
                command.env_remove(name);
            }
            let process = Process::start("vault", command, &self.directory.join("logs/vault.log"))?;
            let process = self.vault.insert(process);
            let ended = tokio::select! {
                biased;
                () = answers(&url) => {
                    process.keep_watch(&self.lookout);
                    self.vault_ports = Some((port, cluster_port));
                    return Ok(url);
                }
                ended = process.end() => ended,
                () = tokio::time::sleep(VAULT_WITHIN) => bail!(process.late("answer", VAULT_WITHIN)),
            };
            if !ended.contains("address already in use") {
                bail!(ended);
            }
        }
        bail!("every port that was free was taken before OpenBao bound it");
    }

    /// SIGKILLs OpenBao, and returns when nothing of it is left.
    pub async fn kill_vault(&mut self) {
        if let Some(vault) = self.vault.take() {
            vault.kill().await;
        }
    }

    /// Starts nats-server on the volume that the initializer wrote, where it listened before if it did. Answers its
    /// address.
    pub async fn start_nats(&mut self, volume: &Path, ports: &Path) -> Result<String> {
        let mut command = self.peers.guarded();
        command.current_dir(volume).arg(&self.peers.nats).args(["-c", "nats.conf"]);
        if let Some(port) = self.nats_port {
            command.args(["--port", &port.to_string()]);
        }
        let process = Process::start("nats", command, &self.directory.join("logs/nats.log"))?;
        let process = self.nats.insert(process);
        tokio::select! {
            biased;
            address = listening(ports) => {
                process.keep_watch(&self.lookout);
                let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
                self.nats_port = Some(port.with_context(|| format!("{address} ends with no port"))?);
                Ok(address)
            }
            ended = process.end() => bail!(ended),
            () = tokio::time::sleep(NATS_WITHIN) => bail!(process.late("say where it listens", NATS_WITHIN)),
        }
    }

    /// SIGKILLs nats-server, and returns when nothing of it is left.
    pub async fn kill_nats(&mut self) {
        if let Some(nats) = self.nats.take() {
            nats.kill().await;
        }
    }

    /// Name and version of each server.
    pub async fn versions(&self) -> Result<[(&'static str, String); 3]> {
        let version = async |program: &Path, argument: &str| -> Result<String> {
            let output = Command::new(program).arg(argument).kill_on_drop(true).output().await?;
            let said = String::from_utf8_lossy(&output.stdout);
            let version = version_in(&said).map(str::to_owned);
            version.with_context(|| format!("{} {argument} told no version", program.display()))
        };
        Ok([
            ("vault", format!("OpenBao {}", version(&self.peers.bao, "version").await?)),
            ("kubernetes", self.cluster.version().await?),
            ("nats", version(&self.peers.nats, "--version").await?),
        ])
    }

    /// Stops all of them, the last one first.
    pub async fn stop(self) {
        for process in [self.nats, self.vault].into_iter().flatten() {
            process.stop().await;
        }
        self.kube.stop().await;
    }
}

/// The first word that looks like `v1.2.3`.
fn version_in(text: &str) -> Option<&str> {
    let is_version = |word: &&str| {
        word.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text.split_whitespace().find(is_version)
}

/// A client with the administrator's certificate.
fn administrator(pki: &Path, url: String) -> Result<Cluster> {
    let read = |name: &str| {
        std::fs::read(pki.join(name)).with_context(|| format!("{} is missing", pki.join(name).display()))
    };
    let ca = read("ca.crt")?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).context("ca.crt is a certificate")?)?;
    let chain =
        vec![CertificateDer::from_pem_slice(&read("admin.crt")?).context("admin.crt is a certificate")?];
    let key = PrivateKeyDer::from_pem_slice(&read("admin.key")?).context("admin.key is a key")?;
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
    let http = Http::new(Arc::new(RealHost), Target::kubernetes(&url, Arc::new(config))?);
    Ok(Cluster::new(http, None, url, String::from_utf8(ca)?))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// As `deploy/base` has it, but for addresses, paths and the audit log, which is a file of its own here.
fn configuration(port: u16, cluster_port: u16, audit: &Path) -> String {
    let audit = serde_json::Value::from(audit.to_string_lossy());
    format!(
        r#"storage "raft" {{
  path                   = "."
  node_id                = "kubefox-0"
  performance_multiplier = 1
}}
listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}
api_addr     = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster_port}"
audit "file" "log" {{
  options {{
    file_path = {audit}
  }}
}}
"#
    )
}

/// Until OpenBao answers there.
async fn answers(url: &str) {
    let Ok(target) = Target::vault(url) else { unreachable!("{url} is on loopback") };
    let http = Http::new(Arc::new(RealHost), target);
    loop {
        let request = Request::builder().method(Method::GET).uri("/v1/sys/seal-status").body(Vec::new());
        let request = request.expect("a well-formed request");
        if http.carry(request).await.is_ok_and(|response| response.status().is_success()) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Until nats-server has said where it listens.
async fn listening(ports: &Path) -> String {
    loop {
        if let Some(address) = read_ports(ports) {
            return address;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// nats-server writes `<program>_<pid>.ports`: JSON with the URLs of its listeners.
fn read_ports(folder: &Path) -> Option<String> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()?;
        if let Some(url) = ports.pointer("/nats/0").and_then(serde_json::Value::as_str) {
            return url.split_once("://").map(|(_, address)| address.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_among_other_words() {
        assert_eq!(version_in("OpenBao v2.7.2 (9e0a0d3c), committed 2026-10-26T20:32:27Z"), Some("v2.7.2"));
        assert_eq!(version_in("nats-server: v2.14.5"), Some("v2.14.5"));
        assert_eq!(version_in("very well"), None);
    }
}
