//! The embedded servers: the fakes behind listeners on loopback, with their disks in a directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use http::{Method, Request, Response};
use kubefox_core::names::Pem;
use kubefox_core::time::Unix;
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use kubefox_io::shell::tls;
use serde::{Serialize, de::DeserializeOwned};

use super::cluster::Cluster;
use crate::embedded::authority::Authority;
use crate::embedded::http::{Handler, Served, serve};
use crate::embedded::nats;
use crate::fake::kubernetes::Kubernetes;
use crate::fake::nats::VERSION as NATS_VERSION;
use crate::fake::vault::{Host, Vault};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The running servers.
pub(super) struct Servers {
    directory: PathBuf,
    kubernetes: Arc<Mutex<Kept<Kubernetes>>>,
    _api: Served,
    vault: Option<(Arc<Mutex<Kept<Vault>>>, Served)>,
    nats: Option<nats::Served>,
    /// The API server.
    pub(super) cluster: Arc<Cluster>,
}

impl Servers {
    /// Starts the API server; its state is kept in `directory`.
    pub(super) async fn start(directory: &Path) -> Result<Self> {
        let authority =
            Kept::open(directory.join("authority.json"), || Authority::new().map_err(Into::into))?;
        let kubernetes = Kept::open(directory.join("kubernetes.json"), || Ok(Kubernetes::new(seed()?)))?;
        let admin = kubernetes.value.admin_token().to_owned();
        let kubernetes = Arc::new(Mutex::new(kubernetes));
        let behind = Arc::clone(&kubernetes);
        let handler: Handler = Arc::new(move |request| {
            let mut kept = behind.lock().unwrap_or_else(PoisonError::into_inner);
            let response = kept.value.handle(now(), &request);
            kept.save_after(&request, response)
        });
        let api = serve(LOOPBACK, Some(authority.value.server_config()?), handler).await?;
        let url = format!("https://{}", api.address);
        let ca = authority.value.ca_pem().to_owned();
        let http = Http::new(Arc::new(Real), Target::kubernetes(&url, tls::kubernetes(&Pem::parse(&ca)?)?)?);
        let cluster = Arc::new(Cluster::new(http, Some(admin), url, ca));
        Ok(Self { directory: directory.to_owned(), kubernetes, _api: api, vault: None, nats: None, cluster })
    }

    /// Starts Vault as a container of the pod whose tokens are in `service_account`. Answers its URL.
    pub(super) async fn start_vault(&mut self, service_account: &Path) -> Result<String> {
        let mut kept = Kept::open(self.directory.join("vault.json"), || Ok(Vault::new(seed()?)))?;
        kept.value.restart();
        let vault = Arc::new(Mutex::new(kept));
        let (behind, kubernetes) = (Arc::clone(&vault), Arc::clone(&self.kubernetes));
        let token = service_account.join("token");
        let handler: Handler = Arc::new(move |request| {
            let reviewer_token = std::fs::read_to_string(&token).ok();
            let mut reviewer = kubernetes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut kept = behind.lock().unwrap_or_else(PoisonError::into_inner);
            let mut host = Host { reviewer: &mut reviewer.value, reviewer_token: reviewer_token.as_deref() };
            let response = kept.value.handle(now(), &request, &mut host);
            kept.save_after(&request, response)
        });
        let served = serve(LOOPBACK, None, handler).await?;
        let url = format!("http://{}", served.address);
        self.vault = Some((vault, served));
        Ok(url)
    }

    /// Starts NATS on the volume that the initializer wrote. Answers its address.
    pub(super) async fn start_nats(&mut self, volume: &Path) -> Result<String> {
        let served = nats::serve(&volume.join("nats.conf"), volume).await?;
        let address = served.address.to_string();
        self.nats = Some(served);
        Ok(address)
    }

    /// Name and version of each server.
    #[must_use]
    pub(super) fn versions() -> [(&'static str, String); 3] {
        [
            ("vault", Vault::version().to_owned()),
            ("kubernetes", Kubernetes::version().to_owned()),
            ("nats", NATS_VERSION.to_owned()),
        ]
    }
}

/// A value with its file: this is the disk of an embedded server, secrets included, as a real server's disk is.
struct Kept<T> {
    value: T,
    file: PathBuf,
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    fn open(file: PathBuf, make: impl FnOnce() -> Result<T>) -> Result<Self> {
        let value = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is not of this version; remove the state directory", file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make()?,
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        let kept = Self { value, file };
        kept.save()?;
        Ok(kept)
    }

    fn save(&self) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let temporary = self.file.with_extension("tmp");
        let options = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).clone();
        let file =
            options.open(&temporary).with_context(|| format!("{} cannot be written", temporary.display()))?;
        serde_json::to_writer(std::io::BufWriter::new(file), &self.value)?;
        std::fs::rename(&temporary, &self.file)?;
        Ok(())
    }

    /// The response, once what the request changed is on the disk; a server that cannot write answers so.
    fn save_after(&self, request: &Request<Vec<u8>>, response: Response<Vec<u8>>) -> Response<Vec<u8>> {
        if request.method() == Method::GET {
            return response;
        }
        match self.save() {
            Ok(()) => response,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "DiskNotWritten");
                let mut failed = Response::new(Vec::new());
                *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                failed
            }
        }
    }
}

fn now() -> Unix {
    Unix(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn seed() -> Result<u64> {
    let mut bytes = [0; 8];
    kubefox_io::adapter::Entropy::fill(&mut kubefox_io::shell::entropy::OsEntropy, &mut bytes);
    Ok(u64::from_le_bytes(bytes))
}
