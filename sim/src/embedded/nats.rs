//! The fake nats-server on a loopback socket, with TLS as nats-server does it: INFO in clear, then the handshake,
//! then CONNECT.
//!
//! One task serves everything and owns every connection's task; dropping [`Served`] ends them all. Not reloaded on
//! SIGHUP: a new certificate needs a new server.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kubefox_core::machine::Seed;
use kubefox_io::adapter::Entropy as _;
use kubefox_io::shell::entropy::OsEntropy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::now;
use crate::fake::nats::{
    CloseReason, Configuration, ConnectionId, Delivery, Listen, Server, StartError, Tls, TlsVersion,
};

/// As many clients as nats-server takes by default.
const CONNECTIONS_MAX: usize = 65_536;
/// What may wait for a client that does not read; more makes it a slow consumer, which is closed. nats-server's
/// default `max_pending`.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// How long one write may take. nats-server's default `write_deadline`.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is read from a client at once.
const READ_BYTES: usize = 16 << 10;
/// How often expiry and time-outs are looked at. Their resolution is a second.
const TICK: Duration = Duration::from_millis(250);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    ports_file: Option<PathBuf>,
    _tasks: JoinSet<()>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file that is not there or not readable.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `nats.conf` itself.
    #[error(transparent)]
    Configuration(#[from] StartError),
    /// A file that is no PEM of certificates or of a key.
    #[error("{path} is not the PEM file that `tls` needs: {source}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or TLS cannot be set up otherwise.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// `ca_file` holds no certificate that could issue clients.
    #[error("clients cannot be verified: {0}")]
    ClientVerifier(#[from] VerifierBuilderError),
    /// The address is taken or not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// `listen`.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// `ports_file_dir` is not writable.
    #[error("cannot write {path}: {source}")]
    PortsFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts a server on `configuration_file`; the files it names are relative to `working_directory`, where
/// nats-server would run.
///
/// # Errors
/// What nats-server does not start on, and what the fake does not implement.
pub async fn serve(configuration_file: &Path, working_directory: &Path) -> Result<Served, ServeError> {
    let text = read(configuration_file)?;
    let text = String::from_utf8_lossy(&text);
    let mut configuration = Configuration::parse(&text)?;
    let acceptor = configuration.tls.as_ref().map(|tls| acceptor(tls, working_directory)).transpose()?;
    let (listener, address) = listen(&configuration.listen).await?;
    configuration.listen.port = i32::from(address.port());
    let ports_file = write_ports_file(&configuration, working_directory, address)?;
    let mut seed = [0; 32];
    OsEntropy.fill(&mut seed);
    let hub = Hub { server: Server::new(configuration, Seed(seed)), outboxes: HashMap::new() };
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(listener, acceptor, Shared(Arc::new(Mutex::new(hub)))));

    Ok(Served { address, ports_file, _tasks: tasks })
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(path) = &self.ports_file
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "ports_file_not_removed");
        }
    }
}

/// The server and what each connection is still to be sent.
struct Hub {
    server: Server,
    outboxes: HashMap<ConnectionId, Outbox>,
}

/// What waits for one client.
#[derive(Default)]
struct Outbox {
    pending: Vec<u8>,
    ends: bool,
    changed: Arc<Notify>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Hub>>);

/// Takes connections and lets time pass. Owns the connections' tasks: they end with this one.
async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Shared) {
    let mut connections = JoinSet::new();
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => shared.lock().tick(),
            Some(ended) = connections.join_next() => raise(ended),
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, acceptor.clone(), shared.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "accept_failed");
                    sleep(TICK).await;
                }
            },
        }
    }
}

/// A panic in a fake is a finding: it ends the server instead of vanishing with its task.
fn raise(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// One client from its first byte to its last.
async fn converse(mut stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Shared) {
    let (opened, info, tls_timeout) = shared.open();
    if stream.write_all(&info).await.is_err() || stream.set_nodelay(true).is_err() {
        return;
    }
    let ended = match acceptor {
        None => exchange(stream, &opened).await,
        Some(acceptor) => match timeout(tls_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                shared.lock().server.secured(now(), opened.id);
                exchange(stream, &opened).await
            }
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(connection = opened.id.0, %error, "connection_lost");
    }
}

/// Moves bytes both ways until either side ends it.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, opened: &Opened) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        tokio::select! {
            biased;
            () = opened.changed.notified() => {
                let (bytes, ends) = opened.shared.lock().take_pending(opened.id);
                timeout(WRITE_TIMEOUT, write(&mut stream, &bytes)).await??;
                if ends {
                    return stream.shutdown().await;
                }
            }
            read = stream.read(&mut buffer) => match read? {
                0 => return Ok(()),
                count => opened.shared.lock().receive(opened.id, &buffer[..count]),
            },
        }
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// A connection the server knows of; dropping it tells the server that it is gone.
struct Opened {
    id: ConnectionId,
    changed: Arc<Notify>,
    shared: Shared,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut hub = self.shared.lock();
        hub.server.disconnect(self.id);
        hub.outboxes.remove(&self.id);
    }
}

impl Shared {
    fn open(&self) -> (Opened, Vec<u8>, Duration) {
        let mut hub = self.lock();
        let (id, info) = hub.server.connect(now());
        let outbox = Outbox::default();
        let opened = Opened { id, changed: Arc::clone(&outbox.changed), shared: self.clone() };
        hub.outboxes.insert(id, outbox);
        let tls_timeout_s = hub.server.configuration().tls.as_ref().map_or(0, |tls| tls.timeout_s);
        (opened, info, Duration::from_secs(tls_timeout_s))
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // A panic elsewhere ends the server anyway; a second one while connections are dropped would hide it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    fn receive(&mut self, id: ConnectionId, bytes: &[u8]) {
        let deliveries = self.server.receive(now(), id, bytes);
        self.dispatch(deliveries);
    }

    fn tick(&mut self) {
        let deliveries = self.server.tick(now());
        self.dispatch(deliveries);
    }

    fn dispatch(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery {
                Delivery::Send { to, bytes } => self.send(to, bytes),
                Delivery::Close { connection, reason } => self.close(connection, &reason),
            }
        }
    }

    fn send(&mut self, to: ConnectionId, bytes: Vec<u8>) {
        let Some(outbox) = self.outboxes.get_mut(&to) else { return };
        if outbox.pending.len() + bytes.len() > PENDING_BYTES_MAX {
            tracing::debug!(connection = to.0, "slow_consumer_closed");
            outbox.ends = true;
            self.server.disconnect(to);
        } else {
            outbox.pending.extend(bytes);
        }
        outbox.changed.notify_one();
    }

    /// The reason is what the real server writes to its debug log and never tells the client.
    fn close(&mut self, id: ConnectionId, reason: &CloseReason) {
        tracing::debug!(connection = id.0, %reason, "connection_closed");
        if let Some(outbox) = self.outboxes.get_mut(&id) {
            outbox.ends = true;
            outbox.changed.notify_one();
        }
    }

    /// What waits for a client, and whether it is the last.
    fn take_pending(&mut self, id: ConnectionId) -> (Vec<u8>, bool) {
        let outbox = self.outboxes.get_mut(&id).expect("an outbox lives as long as its connection");
        (std::mem::take(&mut outbox.pending), outbox.ends)
    }
}

async fn listen(wanted: &Listen) -> Result<(TcpListener, SocketAddr), ServeError> {
    let port = u16::try_from(wanted.port).unwrap_or(0);
    let refused = |source| ServeError::Listen { address: format!("{}:{port}", wanted.host), source };
    let listener = TcpListener::bind((wanted.host.as_str(), port)).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;

    Ok((listener, address))
}

/// What nats-server writes for whoever started it on any free port: `<executable>_<process id>.ports`.
fn write_ports_file(
    configuration: &Configuration,
    working_directory: &Path,
    address: SocketAddr,
) -> Result<Option<PathBuf>, ServeError> {
    let Some(folder) = &configuration.ports_file_dir else {
        return Ok(None);
    };
    let path = working_directory.join(folder).join(format!("nats-server_{}.ports", std::process::id()));
    let scheme = if configuration.requires_tls() { "tls" } else { "nats" };
    let ports = serde_json::json!({"nats": [format!("{scheme}://{address}")]});
    match std::fs::write(&path, ports.to_string()) {
        Ok(()) => Ok(Some(path)),
        Err(source) => Err(ServeError::PortsFile { path, source }),
    }
}

fn acceptor(tls: &Tls, working_directory: &Path) -> Result<TlsAcceptor, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.oldest {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match (tls.verify, &tls.ca_file) {
        (true, Some(ca_file)) => {
            let mut issuers = RootCertStore::empty();
            for issuer in certificates(&working_directory.join(ca_file))? {
                issuers.add(issuer)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(issuers), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
        (true | false, _) => builder.with_no_client_auth(),
    };
    let key_file = working_directory.join(&tls.key_file);
    let key = PrivateKeyDer::from_pem_slice(&read(&key_file)?)
        .map_err(|source| ServeError::Pem { path: key_file, source })?;
    let chain = certificates(&working_directory.join(&tls.cert_file))?;
    let configuration = builder.with_single_cert(chain, key)?;

    Ok(TlsAcceptor::from(Arc::new(configuration)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.map_err(|source| ServeError::Pem { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    std::fs::read(path).map_err(|source| ServeError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
