//! Takes connections in and serves them beside each other, no more at once than there are places.
//!
//! When there is no place left, a connection is dropped for the one that comes: of those that have not said anything yet
//! the oldest, if they are many, else the one that has said nothing for longest. So whoever opens thousands and says
//! nothing on them drops its own, and nobody who speaks is locked out, nor who has spoken and waits for the answer. A
//! caller whose idle connection was dropped opens another with its next request.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::shell::host::{BoxStream, Listening};

/// Pause after the operating system could not accept: usually it has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The part of the places that those may hold who have not said anything yet: whoever is among the first does in a moment.
const SILENT_PART: usize = 8;

/// Accepts for ever. A connection has its place until it is dropped. Whoever drops this ends what is being served as
/// well, but for what has left `serve`.
pub(super) async fn accept<F>(mut port: Box<dyn Listening>, places: usize, serve: impl Fn(BoxStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Places::new(places));
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = serving.join_next(), if !serving.is_empty() => continue,
            accepted = port.accept() => accepted,
        };
        match accepted {
            Ok(stream) => drop(serving.spawn(serve(Box::new(places.take(stream))))),
            Err(error) => {
                tracing::warn!(%error, "NotAccepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Places for connections.
struct Places {
    number: usize,
    taken: Mutex<Taken>,
    /// Counts what was heard, on all of them.
    heard: AtomicU64,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by: BTreeMap<u64, Holder>,
    /// That they are all taken was told, and they have not been since.
    told: bool,
}

struct Holder {
    /// What [`Places::heard`] was when it came.
    came: u64,
    /// What [`Places::heard`] was when something was last heard here.
    last: Arc<AtomicU64>,
    /// Dropping it is being told to go.
    _stay: oneshot::Sender<()>,
}

impl Places {
    fn new(number: usize) -> Self {
        Self { number, taken: Mutex::default(), heard: AtomicU64::new(0) }
    }

    /// A place for this connection: a free one, or that of another.
    fn take(self: &Arc<Self>, stream: BoxStream) -> Placed {
        let came = self.heard.fetch_add(1, Ordering::Relaxed);
        let last = Arc::new(AtomicU64::new(came));
        let (stay, go) = oneshot::channel();
        let mut taken = self.taken();
        if taken.by.len() >= self.number {
            if let Some(goes) = self.who_goes(&taken) {
                taken.by.remove(&goes);
            }
            if !std::mem::replace(&mut taken.told, true) {
                tracing::warn!(places = self.number, "TooManyConnections");
            }
        }
        let id = taken.next;
        taken.next += 1;
        taken.by.insert(id, Holder { came, last: Arc::clone(&last), _stay: stay });
        drop(taken);
        Placed { stream, last, go: Some(go), id, places: Arc::clone(self) }
    }

    fn who_goes(&self, taken: &Taken) -> Option<u64> {
        let silent = taken.by.values().filter(|holder| holder.is_silent()).count();
        let only_silent = silent > self.number / SILENT_PART;
        let may_go = taken.by.iter().filter(|(_, holder)| !only_silent || holder.is_silent());
        may_go.min_by_key(|(_, holder)| holder.last.load(Ordering::Relaxed)).map(|(id, _)| *id)
    }

    fn leave(&self, id: u64) {
        let mut taken = self.taken();
        taken.by.remove(&id);
        if taken.by.len() <= self.number / 2 {
            taken.told = false;
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// Whether it has not said anything yet.
    fn is_silent(&self) -> bool {
        self.last.load(Ordering::Relaxed) == self.came
    }
}

/// A connection that has a place until it is dropped, or another one needs it more.
struct Placed {
    stream: BoxStream,
    last: Arc<AtomicU64>,
    /// Ends when it must go; `None` afterwards.
    go: Option<oneshot::Receiver<()>>,
    id: u64,
    places: Arc<Places>,
}

impl Placed {
    fn may_stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        const GONE: &str =
            "another connection was given the place of this one, which had said nothing for longest";
        let goes = self.go.as_mut().is_none_or(|go| Pin::new(go).poll(context).is_ready());
        if goes {
            self.go = None;
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, GONE));
        }
        Ok(())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.places.leave(self.id);
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_stay(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.last.store(self.places.heard.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_stay(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_stay(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    #[tokio::test]
    async fn whoever_has_said_nothing_for_longest_makes_room() {
        let places = Arc::new(Places::new(2));
        let (mut first_end, mut first) = connect(&places);
        let (_second_end, mut second) = connect(&places);
        first_end.write_all(b"x").await.expect("it is read");
        assert_eq!(first.read_u8().await.expect("it has a place"), b'x');

        let (mut third_end, mut third) = connect(&places);

        let dropped = second.read_u8().await.expect_err("the second has said nothing");
        assert_eq!(dropped.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(second.write_u8(1).await.map_err(|error| error.kind()), Err(dropped.kind()));
        for (end, one) in [(&mut first_end, &mut first), (&mut third_end, &mut third)] {
            end.write_all(b"y").await.expect("it is read");
            assert_eq!(one.read_u8().await.expect("it has a place"), b'y');
        }
    }

    #[tokio::test]
    async fn whoever_has_spoken_and_waits_is_not_dropped_for_a_flood_that_says_nothing() {
        let places = Arc::new(Places::new(16));
        let (mut end, mut waits) = connect(&places);
        end.write_all(b"x").await.expect("it is read");
        assert_eq!(waits.read_u8().await.expect("it has a place"), b'x');

        let _flood: Vec<_> = (0..64).map(|_| connect(&places)).collect();

        end.write_all(b"y").await.expect("it is read");
        assert_eq!(waits.read_u8().await.expect("it has a place"), b'y');
    }

    #[tokio::test]
    async fn few_that_have_just_come_are_not_dropped_for_who_comes_next() {
        let places = Arc::new(Places::new(16));
        let mut spoken = Vec::new();
        for _ in 0..15 {
            let (mut end, mut one) = connect(&places);
            end.write_all(b"x").await.expect("it is read");
            assert_eq!(one.read_u8().await.expect("it has a place"), b'x');
            spoken.push((end, one));
        }
        let (mut first_end, mut first) = connect(&places);

        let (_second_end, _second) = connect(&places);

        first_end.write_all(b"y").await.expect("it is read");
        assert_eq!(first.read_u8().await.expect("it has a place"), b'y');
        let longest = spoken[0].1.read_u8().await.map_err(|error| error.kind());
        assert_eq!(longest, Err(io::ErrorKind::ConnectionAborted));
    }

    #[tokio::test]
    async fn one_that_waits_is_woken_when_it_has_to_go_and_one_that_ends_leaves_its_place() {
        let places = Arc::new(Places::new(1));
        let (_end, mut waits) = connect(&places);
        let waiting = tokio::spawn(async move { waits.read_u8().await.map_err(|error| error.kind()) });
        tokio::task::yield_now().await;

        let (mut end, next) = connect(&places);
        assert_eq!(waiting.await.expect("no panic"), Err(io::ErrorKind::ConnectionAborted));
        drop(next);
        let (_, mut last) = connect(&places);

        assert_eq!(places.taken().by.len(), 1);
        assert_eq!(end.read(&mut [0]).await.expect("its other end was dropped"), 0);
        let left = last.read_u8().await.map_err(|error| error.kind());
        assert_eq!(left, Err(io::ErrorKind::UnexpectedEof), "it has its place, and its peer has gone");
    }

    fn connect(places: &Arc<Places>) -> (DuplexStream, Placed) {
        let (ours, theirs) = tokio::io::duplex(64);
        (theirs, places.take(Box::new(ours)))
    }
}
