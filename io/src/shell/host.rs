//! The seam to the world: streams, listeners and randomness. [`Real`] is the operating system; the simulator brings its
//! own, and nothing else in the shells differs.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::adapter::Entropy;
use crate::shell::entropy::OsEntropy;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of whatever kind the host has.
pub type BoxStream = Box<dyn Stream>;

/// A port that is open.
pub trait Listening: Send + 'static {
    /// The address it is bound to, with the real port where 0 was asked for.
    ///
    /// # Errors
    /// What the operating system says.
    fn local_address(&self) -> io::Result<SocketAddr>;
    /// The next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxStream>>;
}

/// The world that a process lives in.
pub trait Host: Send + Sync + 'static {
    /// Connects to a TCP port; the name is resolved.
    fn connect(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<BoxStream>>;
    /// Connects to a Unix socket.
    fn connect_unix(&self, path: &Path) -> BoxFuture<'static, io::Result<BoxStream>>;
    /// Opens a TCP port.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listening>>>;
    /// Randomness fit for keys.
    fn entropy(&self) -> Box<dyn Entropy>;
}

/// The operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl Host for Real {
    fn connect(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<BoxStream>> {
        let host = host.to_owned();
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        }
        .boxed()
    }

    fn connect_unix(&self, path: &Path) -> BoxFuture<'static, io::Result<BoxStream>> {
        let path = path.to_owned();
        async move { Ok(Box::new(UnixStream::connect(path).await?) as BoxStream) }.boxed()
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listening>>> {
        async move { Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Listening>) }.boxed()
    }

    fn entropy(&self) -> Box<dyn Entropy> {
        Box::new(OsEntropy)
    }
}

impl Listening for TcpListener {
    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxStream>> {
        async move {
            let (stream, _) = Self::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        }
        .boxed()
    }
}
