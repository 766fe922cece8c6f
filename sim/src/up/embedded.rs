//! The embedded servers: the fakes behind listeners on loopback, with their disks in a directory.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::{Method, Request, Response, StatusCode};
use kubefox_core::names::Pem;
use kubefox_io::adapter::Entropy as _;
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::entropy::OsEntropy;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use kubefox_io::shell::tls;
use serde::{Serialize, de::DeserializeOwned};

use super::cluster::Cluster;
use super::lookout::Lookout;
use crate::embedded::authority::Authority;
use crate::embedded::http::{Handler, Served, serve};
use crate::embedded::{nats, now};
use crate::fake::kubernetes::Kubernetes;
use crate::fake::nats::VERSION as NATS_VERSION;
use crate::fake::vault::{Host, Vault};

/// How often a port is tried that was Vault's a moment ago, and the pause between two tries.
const PORT_TRIES: u32 = 500;
const PORT_PAUSE: Duration = Duration::from_millis(10);
/// All that an embedded Vault has on its disk.
const VAULT_DISK: &str = "vault.json";
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The running servers.
pub(super) struct Servers {
    lookout: Lookout,
    kubernetes: Arc<Mutex<Kept<Kubernetes>>>,
    _api: Served,
    vault: Option<(Arc<Mutex<Kept<Vault>>>, Served)>,
    /// Where Vault listens, from its first start on.
    vault_address: SocketAddr,
    nats: Option<nats::Served>,
    /// The API server.
    pub(super) cluster: Arc<Cluster>,
}

impl Servers {
    /// Starts the API server; its state is kept in `directory`.
    pub(super) async fn start(directory: &Path, lookout: Lookout) -> Result<Self> {
        let authority =
            Kept::open(directory.join("authority.json"), || Authority::new().map_err(Into::into))?;
        let kubernetes = Kept::open(directory.join("kubernetes.json"), || Ok(Kubernetes::new(seed())))?;
        let admin = kubernetes.value.admin_token().to_owned();
        let kubernetes = Arc::new(Mutex::new(kubernetes));
        let behind = Arc::clone(&kubernetes);
        let handler: Handler = Arc::new(move |request| {
            let mut kept = behind.lock().unwrap_or_else(PoisonError::into_inner);
            let response = kept.value.handle(now(), &request);
            kept.save_after(&request, response)
        });
        let handler = watched("the embedded API server", handler, lookout.clone());
        let api = serve(LOOPBACK, Some(authority.value.server_config()?), handler).await?;
        let url = format!("https://{}", api.address);
        let ca = authority.value.ca_pem().to_owned();
        let http = Http::new(Arc::new(Real), Target::kubernetes(&url, tls::kubernetes(&Pem::parse(&ca)?)?)?);
        let cluster = Arc::new(Cluster::new(http, Some(admin), url, ca));
        Ok(Self { lookout, kubernetes, _api: api, vault: None, vault_address: LOOPBACK, nats: None, cluster })
    }

    /// Starts Vault as a container of the pod whose tokens are in `service_account`, with its disk in `data`. Answers its
    /// URL.
    pub(super) async fn start_vault(&mut self, service_account: &Path, data: &Path) -> Result<String> {
        let mut kept = Kept::open(data.join(VAULT_DISK), || Ok(Vault::new(seed())))?;
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
        let handler = watched("the embedded Vault", handler, self.lookout.clone());
        let served = self.serve_vault(handler).await?;
        self.vault_address = served.address;
        let url = format!("http://{}", served.address);
        self.vault = Some((vault, served));
        Ok(url)
    }

    /// The port of a Vault that was killed just now is free when its last task is gone.
    async fn serve_vault(&self, handler: Handler) -> Result<Served> {
        for _ in 0..PORT_TRIES {
            match serve(self.vault_address, None, Arc::clone(&handler)).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse => tokio::time::sleep(PORT_PAUSE).await,
                served => return Ok(served?),
            }
        }
        bail!("{} stays in use", self.vault_address)
    }

    /// Ends Vault between two of its requests: each of them is carried out in one piece.
    pub(super) fn kill_vault(&mut self) {
        self.vault = None;
    }

    /// Starts NATS on the volume that the initializer wrote. Answers its address.
    pub(super) async fn start_nats(&mut self, volume: &Path) -> Result<String> {
        let served = nats::serve(&volume.join("nats.conf"), volume).await?;
        let address = served.address.to_string();
        self.nats = Some(served);
        Ok(address)
    }

    /// How many tokens with the policy root live in Vault.
    #[must_use]
    pub(super) fn live_root_tokens(&self) -> usize {
        let Some((vault, _)) = &self.vault else { return 0 };
        vault.lock().unwrap_or_else(PoisonError::into_inner).value.live_root_tokens(now()).len()
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
            Err(error) if error.kind() == ErrorKind::NotFound => make()?,
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

    /// The response, once what the request changed is on the disk: a server that cannot write panics.
    fn save_after(&self, request: &Request<Vec<u8>>, response: Response<Vec<u8>>) -> Response<Vec<u8>> {
        if request.method() != Method::GET
            && let Err(error) = self.save()
        {
            panic!("{error:#}");
        }
        response
    }
}

/// A panic in a fake is a finding: it is an alarm, and the request gets a 500.
fn watched(name: &'static str, handler: Handler, lookout: Lookout) -> Handler {
    Arc::new(move |request| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        catch_unwind(AssertUnwindSafe(|| handler(request))).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
            lookout.alarm(format!("{name} panicked at {method} {path}: {words}"));
            let mut failed = Response::new(Vec::new());
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
    })
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    OsEntropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::lookout;
    use super::*;

    #[tokio::test]
    async fn a_panicking_fake_is_an_alarm() {
        let (lookout, mut alarms) = lookout::new();
        let handler = watched("the fake", Arc::new(|_| panic!("not yet")), lookout);

        let response = handler(Request::get("/v1/there").body(Vec::new()).expect("a request"));

        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(alarms.next().await, "the fake panicked at GET /v1/there: not yet");
    }
}
