//! The gRPC server of a role: its port opens with the first certificate, every later one is shown from the next
//! handshake on. Connections that stand are left alone. What is really shown, a probe of the own port finds out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubefox_core::machine::Lost;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use crate::exchange::Presentation;
use crate::shell::accept::accept;
use crate::shell::connector::{KEEP_ALIVE_EVERY, KEEP_ALIVE_WITHIN};
use crate::shell::host::{BoxStream, Host, Listening};
use crate::shell::tls::{self, ExpectedClient, Unusable};

/// How long a client may take for the TLS handshake.
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Header lists that are read; a call needs some hundred bytes.
pub const HEADERS_BYTES_MAX: u32 = 8 * 1024;

/// How long requests may take that are under way when the server is to end.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// Connections whose handshake is done and that the server has not taken yet.
const ACCEPTED_WAITING_MAX: usize = 16;

/// What one server bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, handshakes included; for each one more the one is dropped that has said nothing for longest.
    pub connections: usize,
    /// Requests at once on one connection.
    pub streams: u32,
    /// For how long a connection may stand.
    pub age: Option<Age>,
}

/// How a connection ends that has become old.
#[derive(Clone, Copy, Debug)]
pub struct Age {
    /// It is asked to end: its peer comes back and verifies the present certificate.
    pub asked: Duration,
    /// So much later it is cut: a peer that does not read its answers does not keep them here.
    pub cut: Duration,
}

/// Whom a server lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Whoever trusts the server; what they may do is decided by what they show in a request.
    Anyone,
    /// The runtime beside this broker and nobody else: a certificate of the own authority whose SPIFFE id is the own
    /// one with `/runtime` behind it.
    OwnRuntime,
}

/// A gRPC server that waits for its certificate.
pub struct Listener {
    host: Arc<dyn Host>,
    address: SocketAddr,
    clients: Clients,
    limits: Limits,
    routes: Routes,
    serving: Mutex<Option<Serving>>,
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotPresented {
    /// Certificate and key cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The port could not be opened.
    #[error("the port {address} could not be opened; is it taken, or below 1024? {error}")]
    Closed {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
}

/// Why it is not known what is shown.
#[derive(Debug, thiserror::Error)]
pub enum NotProbed {
    /// No certificate was ever presented, so nothing listens.
    #[error("nothing listens yet: a certificate must be presented before it can be probed")]
    Closed,
    /// The own port does not take a connection, or the handshake fails.
    #[error("the own port {address} could not be probed; is a firewall in this pod's way? {error}")]
    Unreached {
        /// What was dialled.
        address: SocketAddr,
        /// What the operating system or TLS said.
        error: io::Error,
    },
}

impl Listener {
    /// A server of `routes` at `address`; nothing is opened yet.
    #[must_use]
    pub fn new(
        host: Arc<dyn Host>,
        address: SocketAddr,
        clients: Clients,
        limits: Limits,
        routes: Routes,
    ) -> Self {
        Self { host, address, clients, limits, routes, serving: Mutex::new(None) }
    }

    /// Shows this certificate from the next handshake on, and opens the port if it is the first. Gives the address as
    /// `ip:port`. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`NotPresented`] says why everything is as before.
    pub async fn present(&self, presentation: &Presentation) -> Result<String, NotPresented> {
        let config = Arc::new(self.config(presentation)?);
        let mut serving = self.serving.lock().await;
        if let Some(serving) = &*serving {
            serving.shown.show(config);
            return Ok(serving.address.to_string());
        }
        let opened = self.open(config).await;
        let opened = opened.map_err(|error| NotPresented::Closed { address: self.address, error })?;
        Ok(serving.insert(opened).address.to_string())
    }

    /// The same as a machine's call sees it; the reason goes to the log.
    pub fn carry(self: &Arc<Self>, presentation: Presentation) -> BoxFuture<'static, Result<String, Lost>> {
        let listener = Arc::clone(self);
        async move {
            listener.present(&presentation).await.map_err(|error| {
                tracing::warn!(%error, "NotPresented");
                match error {
                    NotPresented::Unusable(_) => Lost::Garbled,
                    NotPresented::Closed { .. } => Lost::Connection,
                }
            })
        }
        .boxed()
    }

    /// Connects to the own port over TLS and gives the certificate that is shown, in DER. The server has proved that it
    /// holds the key; whether it is the right certificate is for the caller to say.
    ///
    /// # Errors
    /// [`NotProbed`] says why it is not known.
    pub async fn probe(&self) -> Result<Vec<u8>, NotProbed> {
        let listens = self.serving.lock().await.as_ref().map(|serving| serving.address);
        let address = dialled(listens.ok_or(NotProbed::Closed)?);
        self.look(address).await.map_err(|error| NotProbed::Unreached { address, error })
    }

    /// The same as a machine's call sees it; the reason goes to the log.
    pub fn carry_probe(self: &Arc<Self>) -> BoxFuture<'static, Result<Vec<u8>, Lost>> {
        let listener = Arc::clone(self);
        async move {
            listener.probe().await.map_err(|error| {
                tracing::warn!(%error, "NotProbed");
                Lost::Connection
            })
        }
        .boxed()
    }

    async fn look(&self, address: SocketAddr) -> io::Result<Vec<u8>> {
        let stream = self.host.connect(&address.ip().to_string(), address.port()).await?;
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(tls::prober()).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or_else(|| io::Error::other("the server showed no certificate"))?;
        Ok(leaf.to_vec())
    }

    fn config(&self, presentation: &Presentation) -> Result<ServerConfig, Unusable> {
        let runtime = match self.clients {
            Clients::Anyone => None,
            Clients::OwnRuntime => Some(ExpectedClient {
                ca: presentation.ca.clone(),
                spiffe: format!("{}/runtime", tls::spiffe_id(&presentation.leaf)?),
            }),
        };
        tls::server(presentation, runtime.as_ref())
    }

    async fn open(&self, config: Arc<ServerConfig>) -> io::Result<Serving> {
        let port = self.host.listen(self.address).await?;
        let address = port.local_address()?;
        let shown = Shown(Arc::new(RwLock::new(config)));
        let (accepted, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
        let mut tasks = JoinSet::new();
        let accepting = tasks.spawn(shake_hands(port, shown.clone(), accepted, self.limits.connections));
        let incoming = ReceiverStream::new(incoming);
        let mut server = Server::builder()
            .max_concurrent_streams(self.limits.streams)
            .http2_keepalive_interval(Some(KEEP_ALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_WITHIN))
            .http2_max_header_list_size(HEADERS_BYTES_MAX);
        if let Some(age) = self.limits.age {
            server = server.max_connection_age(age.asked).max_connection_age_grace(age.cut);
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(|_| ());
        let served = server.add_routes(self.routes.clone()).serve_with_incoming_shutdown(incoming, stopped);
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "ServerEnded");
            }
        });
        Ok(Serving { address, shown, accepting, stop, tasks })
    }

    /// Closes the port, and lets the requests that are under way end, for at most [`DRAIN_WITHIN`].
    pub async fn drain(&self) {
        let Some(serving) = self.serving.lock().await.take() else { return };
        let Serving { accepting, stop, mut tasks, .. } = serving;
        accepting.abort();
        // A server that has ended by itself has nothing to stop.
        let _ = stop.send(());
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_WITHIN, ended).await.is_err() {
            tracing::debug!("RequestsCutShort");
        }
    }
}

/// Where to reach a server of this pod that is bound to `address`: one that listens everywhere listens on loopback too.
const fn dialled(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

struct Serving {
    address: SocketAddr,
    shown: Shown,
    accepting: AbortHandle,
    stop: oneshot::Sender<()>,
    /// The one that accepts and the one that serves; both end when this is dropped.
    tasks: JoinSet<()>,
}

/// The configuration that the next handshake uses.
#[derive(Clone)]
struct Shown(Arc<RwLock<Arc<ServerConfig>>>);

impl Shown {
    fn show(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handshakes run beside each other; a slow one holds up nobody.
async fn shake_hands(
    port: Box<dyn Listening>,
    shown: Shown,
    accepted: mpsc::Sender<io::Result<Accepted>>,
    connections: usize,
) {
    let serve = |stream| {
        let (config, accepted) = (shown.now(), accepted.clone());
        async move {
            let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(config).accept(stream));
            match handshake.await {
                // The server may have ended meanwhile.
                Ok(Ok(stream)) => drop(accepted.send(Ok(Accepted(stream))).await),
                Ok(Err(error)) => tracing::debug!(%error, "HandshakeFailed"),
                Err(_) => tracing::debug!("HandshakeTooSlow"),
            }
        }
    };
    accept(port, connections, serve).await;
}

/// A connection whose handshake is done; it keeps its place.
struct Accepted(TlsStream<BoxStream>);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::certificate::der;
    use crate::shell::host::Real;
    use crate::shell::tls::Expected;
    use crate::shell::tls::tests::Authority;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    const DNS: &str = "kubefox.kubefox.svc";
    const URI: &str = "spiffe://cluster.local/ns/kubefox/sa/kubefox";

    #[tokio::test]
    async fn a_client_that_says_nothing_holds_up_nobody_and_makes_room() {
        let authority = Authority::new();
        let limits = Limits { connections: 2, streams: 1, age: None };
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::new(Arc::new(Real), any, Clients::Anyone, limits, Routes::default());
        let address = listener.present(&authority.issue(&[DNS], &[URI])).await.expect("usable");
        let mut silent = TcpStream::connect(&address).await.expect("it listens");

        let first = handshake(&authority, &address).await;
        let second = handshake(&authority, &address).await;

        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        let ended = silent.read(&mut [0]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_and_a_key_that_does_not_fit_are_told_apart() {
        let authority = Authority::new();
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = taken.local_addr().expect("bound");
        let limits = Limits { connections: 1, streams: 1, age: None };
        let listener = Listener::new(Arc::new(Real), address, Clients::Anyone, limits, Routes::default());
        let listener = Arc::new(listener);
        let mut mismatched = authority.issue(&[DNS], &[URI]);
        mismatched.key = authority.issue(&[DNS], &[URI]).key;

        assert_eq!(listener.carry(authority.issue(&[DNS], &[URI])).await, Err(Lost::Connection));
        assert_eq!(listener.carry(mismatched).await, Err(Lost::Garbled));
        drop(taken);
        assert_eq!(listener.carry(authority.issue(&[DNS], &[URI])).await, Ok(address.to_string()));
    }

    #[tokio::test]
    async fn a_probe_sees_the_certificate_of_the_next_handshake_wherever_the_server_is_bound() {
        let authority = Authority::new();
        let limits = Limits { connections: 4, streams: 1, age: None };
        for bound in ["127.0.0.1:0", "0.0.0.0:0"] {
            let address = bound.parse().expect("an address");
            let routes = Routes::default();
            let listener = Listener::new(Arc::new(Real), address, Clients::Anyone, limits, routes);
            let listener = Arc::new(listener);
            assert!(matches!(listener.probe().await, Err(NotProbed::Closed)), "nothing was presented");
            for _ in 0..2 {
                let presentation = authority.issue(&[DNS], &[URI]);
                listener.present(&presentation).await.expect("usable");

                assert_eq!(listener.carry_probe().await, Ok(der(&presentation.leaf).expect("a certificate")));
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_has_ended_is_not_taken_for_one_that_shows_something() {
        let authority = Authority::new();
        let limits = Limits { connections: 1, streams: 1, age: None };
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::new(Arc::new(Real), any, Clients::Anyone, limits, Routes::default());
        let listener = Arc::new(listener);
        listener.present(&authority.issue(&[DNS], &[URI])).await.expect("usable");
        let serving = listener.serving.lock().await;
        serving.as_ref().expect("it serves").accepting.abort();
        drop(serving);
        tokio::task::yield_now().await;

        let probed = listener.probe().await;

        assert!(matches!(probed, Err(NotProbed::Unreached { .. })), "{probed:?}");
        assert_eq!(listener.carry_probe().await, Err(Lost::Connection));
    }

    async fn handshake(authority: &Authority, address: &str) -> io::Result<impl AsyncRead + std::fmt::Debug> {
        let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
        let config = tls::client(&authority.pem(), None, &expected).expect("usable");
        let stream = TcpStream::connect(address).await?;
        let name = tls::server_name(DNS).expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
