//! Dials one peer: TCP or a Unix socket from the [`Host`], TLS above it. The one connector below hyper and tonic.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use crate::shell::host::{BoxStream, Host};
use crate::shell::tls::ALPN_H2;

/// How long name resolution, TCP and the TLS handshake may take together.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How often a silent HTTP/2 connection is probed, by whichever end: a stream of TCP that was cut never heals by itself.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// How long the answer to a probe may take.
pub const KEEP_ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// Who is dialled, and how.
#[derive(Clone)]
pub enum Target {
    /// TCP in clear; loopback only.
    Plain {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// TLS over TCP.
    Tls {
        /// Name or address that is dialled, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Name sent in the handshake; what the certificate is checked against is `config`'s matter.
        name: ServerName<'static>,
        /// Trust, identity, versions.
        config: Arc<ClientConfig>,
    },
}

/// A URL that does not name a peer this role may dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// Not what `--vault-url` may be.
    #[error(
        "the URL of Vault must be http://127.0.0.1:PORT, http://localhost:PORT or unix:/PATH: it is not encrypted"
    )]
    Vault,
    /// Not what `--kubernetes-url` may be.
    #[error("the URL of the Kubernetes API must be https://HOST[:PORT]")]
    Kubernetes,
}

impl Target {
    /// Vault: `http://<loopback>:<port>` or `unix:<path>`, nothing that leaves the pod.
    ///
    /// # Errors
    /// [`NotATarget::Vault`].
    pub fn vault(url: &str) -> Result<Self, NotATarget> {
        if let Some(path) = url.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(NotATarget::Vault) };
        }
        let (host, port) = origin(url, "http").ok_or(NotATarget::Vault)?;
        let loopback =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let port = port.ok_or(NotATarget::Vault)?;
        if loopback { Ok(Self::Plain { host, port }) } else { Err(NotATarget::Vault) }
    }

    /// The Kubernetes API: `https://<host>[:<port>]`, checked under that very name.
    ///
    /// # Errors
    /// [`NotATarget::Kubernetes`].
    pub fn kubernetes(url: &str, config: Arc<ClientConfig>) -> Result<Self, NotATarget> {
        let (host, port) = origin(url, "https").ok_or(NotATarget::Kubernetes)?;
        let name = ServerName::try_from(host.clone()).map_err(|_| NotATarget::Kubernetes)?;
        Ok(Self::Tls { host, port: port.unwrap_or(443), name, config })
    }

    /// Scheme and authority of requests to this peer.
    #[must_use]
    pub fn origin(&self) -> (&'static str, String) {
        match self {
            Self::Plain { host, port } => ("http", authority(host, *port)),
            Self::Unix(_) => ("http", "localhost".to_owned()),
            Self::Tls { host, port, .. } => ("https", authority(host, *port)),
        }
    }
}

/// A `tower` service that dials its one target, whatever URI it is called with.
#[derive(Clone)]
pub struct Connector {
    host: Arc<dyn Host>,
    target: Target,
}

impl Connector {
    /// Dials `target` from `host`.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, target: Target) -> Self {
        Self { host, target }
    }

    fn dial(&self) -> BoxFuture<'static, io::Result<Dialled>> {
        let (host, target) = (Arc::clone(&self.host), self.target.clone());
        async move {
            match target {
                Target::Plain { host: name, port } => Ok(Dialled::plain(host.connect(&name, port).await?)),
                Target::Unix(path) => Ok(Dialled::plain(host.connect_unix(&path).await?)),
                Target::Tls { host: address, port, name, config } => {
                    let stream = host.connect(&address, port).await?;
                    let stream = TlsConnector::from(config).connect(name, stream).await?;
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
                    Ok(Dialled { stream: Box::new(stream), h2 })
                }
            }
        }
        .boxed()
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Dialled>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialled = self.dial();
        async move {
            let dialled = tokio::time::timeout(CONNECT_WITHIN, dialled).await;
            let stream = dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            stream.map(TokioIo::new)
        }
        .boxed()
    }
}

/// A connection as hyper and tonic take it.
pub struct Dialled {
    stream: BoxStream,
    h2: bool,
}

impl Dialled {
    fn plain(stream: BoxStream) -> Self {
        Self { stream, h2: false }
    }
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        if self.h2 { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Host and port of a URL of that scheme that is nothing but an origin.
fn origin(url: &str, scheme: &str) -> Option<(String, Option<u16>)> {
    let uri: Uri = url.parse().ok()?;
    let bare = uri.path_and_query().is_none_or(|path| path == "/");
    let anonymous = !uri.authority()?.as_str().contains('@');
    if uri.scheme_str() != Some(scheme) || !bare || !anonymous {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), uri.port_u16()))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_is_reached_without_leaving_the_pod_or_not_at_all() {
        for (url, authority) in [
            ("http://127.0.0.1:8200", "127.0.0.1:8200"),
            ("http://localhost:8200/", "localhost:8200"),
            ("http://[::1]:8200", "[::1]:8200"),
            ("unix:/run/vault.sock", "localhost"),
        ] {
            let target = Target::vault(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(target.origin(), ("http", authority.to_owned()), "{url}");
        }
        for url in [
            "https://127.0.0.1:8200",
            "http://10.0.0.1:8200",
            "http://vault:8200",
            "http://127.0.0.1",
            "http://127.0.0.1:8200/v1",
            "http://a@127.0.0.1:8200",
            "http://localhost.example.com:8200",
            "unix:vault.sock",
            "127.0.0.1:8200",
            "",
        ] {
            assert_eq!(Target::vault(url).err(), Some(NotATarget::Vault), "{url:?}");
        }
    }
}
