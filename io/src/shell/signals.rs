//! What a process is told from outside.

use std::io;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Returns at the next SIGTERM or SIGINT. From its first poll on neither ends the process by itself.
pub async fn terminated() {
    let registered =
        signal(SignalKind::terminate()).and_then(|one| Ok((one, signal(SignalKind::interrupt())?)));
    match registered {
        Ok((mut terminate, mut interrupt)) => tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        Err(error) => {
            tracing::warn!(%error, "SignalsNotWatched");
            std::future::pending().await
        }
    }
}

/// Every SIGHUP from now on. The signal does not end the process any more.
#[must_use]
pub fn hang_ups() -> BoxStream<'static, ()> {
    match signal(SignalKind::hangup()) {
        Ok(signals) => {
            stream::unfold(signals, async |mut signals| Some((signals.recv().await?, signals))).boxed()
        }
        Err(error) => {
            tracing::warn!(%error, "SignalsNotWatched");
            stream::empty().boxed()
        }
    }
}

/// Acts at every SIGUSR1, for ever. From its first poll on the signal does not end the process.
pub async fn at_each_user_signal(mut act: impl FnMut()) {
    match signal(SignalKind::user_defined1()) {
        Ok(mut signals) => {
            while signals.recv().await.is_some() {
                act();
            }
        }
        Err(error) => tracing::warn!(%error, "SignalsNotWatched"),
    }
    std::future::pending().await
}

/// Returns when standard input is closed: whoever started this process is gone. What comes in until then is ignored.
pub async fn stdin_closed() {
    let (closed, seen) = oneshot::channel();
    // A thread of its own: the runtime would wait for a blocking read when it shuts down.
    let reader = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // An error is as good as an end: there will be nothing more to read.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = closed.send(());
    });
    match reader {
        Ok(_) => drop(seen.await),
        Err(error) => {
            tracing::warn!(%error, "StdinNotWatched");
            std::future::pending().await
        }
    }
}
