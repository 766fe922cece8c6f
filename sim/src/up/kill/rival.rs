//! Somebody who initializes Vault one moment before the controller does: a relay between the two that lets the
//! controller's request pass only after its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::lookout::Lookout;
use super::witness::Witness;

/// How a request to initialize begins.
const INITIALIZE: [&[u8]; 2] = [b"PUT /v1/sys/init ", b"POST /v1/sys/init "];
/// One read of a connection; a request of the controller fits.
const CHUNK_BYTES: usize = 64 * 1024;

/// The relay; it ends when this is dropped.
pub(super) struct Rival {
    /// Where it listens.
    pub(super) url: String,
    relay: JoinHandle<()>,
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Rival {
    /// Stands between the controller and the Vault at `vault`.
    pub(super) async fn start(vault: SocketAddr, witness: Arc<Witness>, lookout: Lookout) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let relay = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((controller, _)) = listener.accept().await {
                let (witness, lookout) = (Arc::clone(&witness), lookout.clone());
                connections.spawn(async move {
                    if let Err(error) = pass_on(controller, vault, &witness).await {
                        lookout.alarm(format!("the rival failed: {error:#}"));
                    }
                });
            }
        });
        Ok(Self { url, relay })
    }
}

async fn pass_on(mut controller: TcpStream, vault: SocketAddr, witness: &Witness) -> Result<()> {
    let mut vault = TcpStream::connect(vault).await?;
    let (mut question, mut answer) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    loop {
        tokio::select! {
            biased;
            // Whichever side closes or breaks the connection, it is over: the controller was killed, or is done.
            read = vault.read(&mut answer) => match read {
                Ok(length @ 1..) if controller.write_all(&answer[..length]).await.is_ok() => {}
                Ok(_) | Err(_) => return Ok(()),
            },
            read = controller.read(&mut question) => match read {
                Ok(length @ 1..) => {
                    let question = &question[..length];
                    if INITIALIZE.iter().any(|begin| question.starts_with(begin)) {
                        witness.initialize().await?;
                    }
                    if vault.write_all(question).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(_) | Err(_) => return Ok(()),
            },
        }
    }
}
