//! Takes connections in and serves them beside each other, no more at once than there may be.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::shell::host::{BoxStream, Listening};

/// Pause after the operating system could not accept: usually it has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts for ever. A connection counts until its permit is dropped; beyond `connections` they are closed at once.
/// Whoever drops this ends what is being served as well.
pub(super) async fn accept<F>(
    mut port: Box<dyn Listening>,
    connections: usize,
    serve: impl Fn(BoxStream, OwnedSemaphorePermit) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = Arc::new(Semaphore::new(connections));
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = serving.join_next(), if !serving.is_empty() => continue,
            accepted = port.accept() => accepted,
        };
        match accepted.map(|stream| (stream, Arc::clone(&connections).try_acquire_owned())) {
            Ok((stream, Ok(permit))) => drop(serving.spawn(serve(stream, permit))),
            Ok((_, Err(_))) => tracing::warn!("TooManyConnections"),
            Err(error) => {
                tracing::warn!(%error, "NotAccepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
