//! The NATS client: async-nats with our TLS, one connection at a time, and two for the moment in which one takes the
//! place of the other.
//!
//! async-nats reconnects by itself, the one loop below the machines; at each connection it asks for a signature of the
//! server's nonce, which is a question at the broker's door. It gives up in the end, and with it goes its copy of the
//! broker's key: the broker connects anew. It also dials by itself: the only shell without a
//! [`crate::shell::host::Host`].

mod subscription;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kubefox_core::broker::{Answer, Ask, CONNECT_MS};
use kubefox_core::machine::{Lost, Refusal};
use kubefox_core::names::Nonce;
use kubefox_core::nats::Link;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, mpsc};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use self::subscription::Seat;
use crate::adapter::Entropy;
use crate::exchange::{NatsRequest, Presentation};
use crate::shell::broker_server::{BrokerDoor, Delivery, Inbox};
use crate::shell::entropy::OsEntropy;
use crate::shell::tls::{self, Expected, Unusable};

/// How long TCP, TLS, signature and login may take together.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long the signature of a nonce may take.
pub const SIGN_WITHIN: Duration = Duration::from_secs(4);

/// How often the server is probed. After two probes without an answer the connection counts as lost.
pub const PING_EVERY: Duration = Duration::from_secs(10);

/// Longest pause between two attempts of the library to reconnect.
pub const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(4);

/// Shortest pause before the library's second attempt; it doubles from there.
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(100);

/// Attempts of the library to reconnect before it gives a connection up: the pauses between them are longer than the
/// broker takes to look.
const RECONNECTS_MAX: usize = 36;

/// How long each step may take in which one connection takes the place of another: the subscriptions are here, what the
/// old one had is here, nothing is asked of the old one any more.
const REPLACED_FOR: Duration = Duration::from_secs(2);

/// Whoever asks for a connection waits for all of it.
const _: () = assert!(CONNECT_WITHIN.as_millis() + 3 * REPLACED_FOR.as_millis() < CONNECT_MS as u128);

/// Bytes of the number of a message: random, so that no two brokers have to agree.
const NUMBER_BYTES: usize = 12;

/// Messages of one subscription that wait for the runtime; beyond that the library drops them, and says so.
pub const MESSAGES_WAITING_MAX: usize = 4_096;

/// Commands that wait for the connection.
const COMMANDS_WAITING_MAX: usize = 256;

/// Where NATS is and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What is dialled: `nats://HOST:PORT`.
    pub url: String,
    /// What its certificate must say.
    pub expected: Expected,
}

/// A request that was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The server, or the library on its behalf, said no.
    Refused(Refusal),
    /// No answer.
    Lost(Lost),
}

/// The NATS client of a broker.
#[derive(Clone)]
pub struct Nats {
    server: Arc<Server>,
    door: Arc<dyn BrokerDoor>,
    inner: Arc<Mutex<Inner>>,
    /// Counts connections that were asked for.
    asked_for: Arc<AtomicU64>,
    ear: Ear,
    /// How long the library waits before each attempt to reconnect.
    pause: fn(usize) -> Duration,
}

#[derive(Default)]
struct Inner {
    current: Option<Connection>,
    seats: Vec<Seat>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    /// Held for reading by whoever publishes on it.
    publishing: Arc<RwLock<()>>,
}

impl Connection {
    fn stands(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

/// Hears what the library tells of its connections, and passes on what it tells of the one in use.
#[derive(Clone)]
struct Ear {
    links: mpsc::Sender<Link>,
    in_use: Arc<AtomicU64>,
}

impl Nats {
    /// A client of `server` that is not connected. `links` hears when the connection in use comes and goes; that it
    /// stands for the first time is the answer to `Connect`, and may be told besides.
    #[must_use]
    pub fn new(server: Server, door: Arc<dyn BrokerDoor>, links: mpsc::Sender<Link>) -> Self {
        let ear = Ear { links, in_use: Arc::default() };
        let (inner, asked_for) = (Arc::default(), Arc::default());
        Self { server: Arc::new(server), door, inner, asked_for, ear, pause: reconnect_delay }
    }

    /// Carries one request out.
    pub fn carry(&self, request: NatsRequest) -> BoxFuture<'static, Result<(), NotDone>> {
        let nats = self.clone();
        match request {
            NatsRequest::Connect { inbox_prefix, presentation } => {
                async move { nats.connect(inbox_prefix, presentation).await }.boxed()
            }
            NatsRequest::Publish { subject, payload } => {
                async move { nats.publish(subject, payload).await }.boxed()
            }
        }
    }

    /// Connects, and replaces the connection that stands. The old one serves until the new one does, and ends when
    /// nothing is asked of it any more.
    async fn connect(&self, inbox_prefix: String, presentation: Presentation) -> Result<(), NotDone> {
        let number = self.asked_for.fetch_add(1, Ordering::Relaxed) + 1;
        let options = self.options(number, inbox_prefix, &presentation).map_err(|error| {
            tracing::warn!(%error, "NatsCertificateUnusable");
            NotDone::Refused(Refusal::Invalid)
        })?;
        // The library's own limit is for one address of the server.
        let connected = tokio::time::timeout(CONNECT_WITHIN, options.connect(self.server.url.as_str()));
        let client = connected.await.map_err(|_| NotDone::Lost(Lost::Deadline))?.map_err(|error| {
            tracing::debug!(kind = %error.kind(), cause = error.to_string(), "NatsNotConnected");
            not_connected(error.kind())
        })?;
        let new = Connection { client, publishing: Arc::default() };
        let (old, seats) = self.replace(new.clone());
        let standing = old.as_ref().filter(|old| old.stands());
        let carried = subscription::carry_over(&seats, &new.client, standing.map(|old| &old.client)).await;
        if let (Err(lost), Some(standing)) = (carried, standing) {
            // Nothing is taken away by a connection that did not last.
            self.replace(standing.clone());
            let _ = new.client.drain().await;
            return Err(NotDone::Lost(lost));
        }
        self.ear.in_use.store(number, Ordering::Relaxed);
        if let Some(old) = old {
            if old.stands() {
                // Whoever publishes on it is waiting for an echo. One that never comes is not waited for.
                let _ = tokio::time::timeout(REPLACED_FOR, old.publishing.write()).await;
            }
            // A connection that is lost already has nothing to drain, and takes no orders. This task may have had its share.
            let _ = tokio::task::unconstrained(old.client.drain()).now_or_never();
        }
        // Whatever the library told of this one before it was in use went unheard.
        if !new.stands() {
            self.ear.tell(Link::Down).await;
            return Err(NotDone::Lost(Lost::Connection));
        }
        carried.map_err(NotDone::Lost)
    }

    /// From here on everything goes over this connection. Answers the one before, and who is to move.
    fn replace(&self, connection: Connection) -> (Option<Connection>, Vec<Seat>) {
        let mut inner = self.inner();
        inner.seats.retain(|seat| !seat.is_left());
        (inner.current.replace(connection), inner.seats.clone())
    }

    /// Publishes, and waits until the server has taken it: it handles what one client sends in order, so that an echo
    /// on an inbox of our own proves that everything before it has been taken.
    async fn publish(&self, subject: String, payload: Zeroizing<Vec<u8>>) -> Result<(), NotDone> {
        let (client, _publishing) = self.publisher()?;
        let mut number = [0; NUMBER_BYTES];
        OsEntropy.fill(&mut number);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, BASE64URL_NOPAD.encode(&number));
        let published = client.publish_with_headers(subject, headers, Bytes::from_owner(payload)).await;
        published.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
                NotDone::Refused(Refusal::Invalid)
            }
            PublishErrorKind::Send => NotDone::Lost(Lost::Connection),
        })?;
        echo(&client).await.map_err(NotDone::Lost)
    }

    /// The connection in use, which is not drained before what is returned with it is dropped.
    fn publisher(&self) -> Result<(Client, OwnedRwLockReadGuard<()>), NotDone> {
        let inner = self.inner();
        let connection = inner.current.as_ref().ok_or(NotDone::Refused(Refusal::NotReady))?;
        let publishing = Arc::clone(&connection.publishing).try_read_owned();
        Ok((connection.client.clone(), publishing.expect("only a connection that was replaced is locked")))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn options(
        &self,
        number: u64,
        inbox_prefix: String,
        presentation: &Presentation,
    ) -> Result<ConnectOptions, Unusable> {
        let config = tls::client(&presentation.ca, Some(presentation), &self.server.expected)?;
        let door = Arc::clone(&self.door);
        let (ear, in_use) = (self.ear.clone(), Arc::clone(&self.ear.in_use));
        Ok(ConnectOptions::with_auth_callback(move |nonce| {
            // The library wants a future that is `Sync`; a set of one task is, and ends it when it is dropped.
            let mut signing = JoinSet::new();
            if in_use.load(Ordering::Relaxed) <= number {
                signing.spawn(sign(Arc::clone(&door), nonce));
            }
            async move {
                let Some(signed) = signing.join_next().await else {
                    return Err(AuthError::new("another connection is in use"));
                };
                signed.unwrap_or_else(|_| Err(AuthError::new("the broker is stopping")))
            }
        })
        .tls_client_config(config)
        .require_tls(true)
        .custom_inbox_prefix(inbox_prefix)
        .connection_timeout(CONNECT_WITHIN)
        .ping_interval(PING_EVERY)
        .subscription_capacity(MESSAGES_WAITING_MAX)
        .client_capacity(COMMANDS_WAITING_MAX)
        .max_reconnects(RECONNECTS_MAX)
        .reconnect_delay_callback(self.pause)
        .ignore_discovered_servers()
        .event_callback(move |event| {
            let ear = ear.clone();
            async move { ear.heard(number, &event).await }
        }))
    }
}

impl Ear {
    async fn heard(&self, number: u64, event: &Event) {
        if let Event::SlowConsumer(_) = event {
            tracing::warn!("MessagesDropped");
        }
        let link = match event {
            Event::Connected => Link::Up,
            Event::Disconnected | Event::Closed => Link::Down,
            Event::ServerError(_) | Event::ClientError(_) => {
                tracing::debug!(%event, "NatsEvent");
                return;
            }
            Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => return,
        };
        if self.in_use.load(Ordering::Relaxed) == number {
            self.tell(link).await;
        }
    }

    async fn tell(&self, link: Link) {
        // The role is stopping if nobody listens any more.
        let _ = self.links.send(link).await;
    }
}

impl Inbox for Nats {
    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<'static, Delivery>, Lost>> {
        let nats = self.clone();
        async move {
            let (seat, follower) = Seat::new(subject.clone());
            let client = {
                let mut inner = nats.inner();
                let client = inner.current.as_ref().ok_or(Lost::Connection)?.client.clone();
                // Whatever takes the place of this connection from now on finds the seat.
                inner.seats.retain(|seat| !seat.is_left());
                inner.seats.push(seat);
                client
            };
            let subscriber = client.subscribe(subject).await.map_err(|_| Lost::Connection)?;
            echo(&client).await?;
            Ok(follower.follow(subscriber))
        }
        .boxed()
    }
}

/// One way to the server and back, after everything sent before.
async fn echo(client: &Client) -> Result<(), Lost> {
    let inbox = client.new_inbox();
    let mut echoes = client.subscribe(inbox.clone()).await.map_err(|_| Lost::Connection)?;
    client.publish(inbox, Bytes::new()).await.map_err(|_| Lost::Connection)?;
    echoes.next().await.map(|_| ()).ok_or(Lost::Connection)
}

/// Asks the broker to sign the nonce of one connection.
async fn sign(door: Arc<dyn BrokerDoor>, nonce: Vec<u8>) -> Result<Auth, AuthError> {
    let nonce = std::str::from_utf8(&nonce).ok().and_then(|nonce| Nonce::parse(nonce).ok());
    let nonce = nonce.ok_or_else(|| AuthError::new("the server's nonce is not one of NATS"))?;
    match door.ask(Ask::SignNonce { nonce }, None, SIGN_WITHIN).await {
        Ok(Answer::Signed { jwt, signature }) => {
            let mut auth = Auth::new();
            auth.jwt = Some(jwt);
            auth.signature = Some(signature.into());
            Ok(auth)
        }
        Ok(other) => {
            tracing::debug!(answer = ?other, "NonceNotSigned");
            Err(AuthError::new("the nonce was not signed"))
        }
        Err(unanswered) => Err(AuthError::new(unanswered)),
    }
}

fn not_connected(kind: ConnectErrorKind) -> NotDone {
    match kind {
        ConnectErrorKind::AuthorizationViolation => NotDone::Refused(Refusal::Denied),
        ConnectErrorKind::Authentication => NotDone::Refused(Refusal::NotReady),
        ConnectErrorKind::ServerParse => NotDone::Refused(Refusal::Invalid),
        ConnectErrorKind::TimedOut => NotDone::Lost(Lost::Deadline),
        ConnectErrorKind::Dns
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => NotDone::Lost(Lost::Connection),
    }
}

/// Nothing before the first attempt, then a pause that doubles, its second half random: when NATS restarts, not every
/// broker comes back at the same moment with a nonce for Vault to sign.
fn reconnect_delay(attempt: usize) -> Duration {
    let Some(doublings) = attempt.checked_sub(2) else { return Duration::ZERO };
    let doublings = u32::try_from(doublings).unwrap_or(u32::MAX);
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    let whole = RECONNECT_DELAY_MIN.saturating_mul(factor).min(RECONNECT_DELAY_MAX);
    let mut random = [0; 2];
    OsEntropy.fill(&mut random);
    let share = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    whole.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests;
