//! A strict nats-server in operator mode with a MEMORY resolver, as a pure state machine: bytes in, bytes out.
//!
//! ```text
//! connect ──INFO──▶ awaiting CONNECT ──accepted──▶ user ──exp, violation, stale──▶ closed
//!                        └──refused, time-out──▶ closed
//! ```
//!
//! It behaves like nats-server 2.14 as far as a client in such a set-up can tell, and refuses loudly what it does
//! not implement: JetStream and `$SYS` requests, other resolvers, imports and exports, mappings, revocations,
//! authorization callouts, reply permissions, leaf nodes, routes, gateways, WebSocket and MQTT. There is no log;
//! every close carries its reason.

mod claims;
mod close;
mod configuration;
mod connect;
#[cfg(test)]
pub(crate) mod minting;
mod parse;
mod permission;
mod route;
mod session;
mod subject;
mod syntax;
mod trust;

pub use claims::ClaimsError;
pub use close::CloseReason;
pub use configuration::{Configuration, Listen, StartError, Tls, TlsVersion};
pub use connect::Refusal;
pub use permission::PermissionError;
pub use syntax::SyntaxError;
pub use trust::TrustError;

use connect::User;
use data_encoding::BASE64URL_NOPAD;
use kubefox_core::machine::Seed;
use kubefox_core::time::Unix;
use nkeys::{KeyPair, KeyPairType};
use parse::{Inbound, Limits};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use route::Subscription;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// In INFO: the version whose behaviour this is, marked as not the real one.
pub const VERSION: &str = "2.14.5-fake";
/// Random bytes of a nonce, 15 characters of base64url.
const NONCE_BYTES: usize = 11;
/// nats-server's default `ping_interval`.
const PING_INTERVAL_S: u64 = 120;
/// nats-server's default `ping_max`.
const PINGS_UNANSWERED_MAX: u8 = 2;

/// Names a connection; `client_id` in INFO. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What the server does to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Send these bytes.
    Send {
        /// To whom.
        to: ConnectionId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close it, after what was sent. Its id is gone.
    Close {
        /// Whom.
        connection: ConnectionId,
        /// Why; the client may have heard less.
        reason: CloseReason,
    },
}

/// A running server. Two clones are two servers with the same past.
#[derive(Clone)]
pub struct Server {
    configuration: Arc<Configuration>,
    seed: Seed,
    id: String,
    last: ConnectionId,
    connections: BTreeMap<ConnectionId, Connection>,
}

#[derive(Clone)]
struct Connection {
    nonce: String,
    inbound: Inbound,
    connect_by: Unix,
    ping_at: Unix,
    pings_unanswered: u8,
    session: Option<Session>,
}

/// What a connection is after CONNECT.
#[derive(Clone)]
struct Session {
    user: User,
    verbose: bool,
    pedantic: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    /// The client takes an INFO at any time and has not had the one that follows its first PING.
    awaits_info: bool,
    subscriptions: BTreeMap<String, Subscription>,
}

/// Collects what one step does.
#[derive(Default)]
struct Deliveries(Vec<Delivery>);

impl Server {
    /// A server that has just started. Its id and every nonce are functions of `seed`.
    #[must_use]
    pub fn new(configuration: Configuration, seed: Seed) -> Self {
        let mut raw = [0; 32];
        ChaCha8Rng::from_seed(seed.0).fill_bytes(&mut raw);
        let id = KeyPair::new_from_raw(KeyPairType::Server, raw).expect("32 bytes are a seed").public_key();
        let configuration = Arc::new(configuration);
        Self { configuration, seed, id, last: ConnectionId(0), connections: BTreeMap::new() }
    }

    /// A new connection and the INFO line to send to it, in clear even if TLS follows.
    pub fn connect(&mut self, now: Unix) -> (ConnectionId, Vec<u8>) {
        let id = ConnectionId(self.last.0 + 1);
        self.last = id;
        let nonce = self.nonce(id);
        let info = self.info(id, json!({"nonce": nonce}), self.configuration.payload_bytes_max);
        let connection = Connection {
            nonce,
            inbound: Inbound::default(),
            connect_by: self.configuration.authorization_deadline(now),
            ping_at: Unix(now.0.saturating_add(PING_INTERVAL_S)),
            pings_unanswered: 0,
            session: None,
        };
        self.connections.insert(id, connection);

        (id, info)
    }

    /// TLS is up on a connection: like the real one, the time a client has for CONNECT starts only now.
    pub fn secured(&mut self, now: Unix, id: ConnectionId) {
        let connect_by = self.configuration.authorization_deadline(now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.connect_by = connect_by;
        }
    }

    /// Takes bytes of a client, split anyhow. Bytes of a connection that is gone are dropped.
    pub fn receive(&mut self, now: Unix, id: ConnectionId, bytes: &[u8]) -> Vec<Delivery> {
        let mut out = Deliveries(self.tick(now));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.inbound.extend(bytes);
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            let limits = connection.limits(&self.configuration);
            match connection.inbound.next(limits) {
                Ok(None) => break,
                Ok(Some(operation)) => {
                    if let Err(reason) = self.operate(now, id, operation, &mut out) {
                        self.close(id, reason, &mut out);
                    }
                }
                Err(reason) => self.close(id, reason, &mut out),
            }
        }

        out.0
    }

    /// The client has gone.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Does what time brings: expired users and accounts, clients that never sent CONNECT, pings.
    pub fn tick(&mut self, now: Unix) -> Vec<Delivery> {
        let mut out = Deliveries::default();
        let due: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| self.due(connection) <= now)
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            match self.overdue(id, now) {
                Some(reason) => self.close(id, reason, &mut out),
                None => self.ping(id, now, &mut out),
            }
        }

        out.0
    }

    /// When [`Server::tick`] next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Unix> {
        self.connections.values().map(|connection| self.due(connection)).min()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The public key of the user a connection belongs to, once its CONNECT was accepted.
    #[must_use]
    pub fn user(&self, id: ConnectionId) -> Option<&str> {
        Some(self.connections.get(&id)?.session.as_ref()?.user.key.as_str())
    }

    /// What this server was started with.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn due(&self, connection: &Connection) -> Unix {
        let Some(session) = &connection.session else {
            return connection.connect_by;
        };
        let ends = [session.user.expires, self.account(session).expires];
        ends.into_iter().flatten().chain([connection.ping_at]).min().expect("pings are always due")
    }

    fn overdue(&self, id: ConnectionId, now: Unix) -> Option<CloseReason> {
        let connection = self.connections.get(&id)?;
        let Some(session) = &connection.session else {
            return Some(CloseReason::AuthenticationTimeout);
        };
        let passed = |end: Option<Unix>| end.is_some_and(|end| end <= now);
        if passed(session.user.expires) {
            return Some(CloseReason::UserExpired);
        }
        if passed(self.account(session).expires) {
            return Some(CloseReason::AccountExpired);
        }
        (connection.pings_unanswered >= PINGS_UNANSWERED_MAX).then_some(CloseReason::Stale)
    }

    fn ping(&mut self, id: ConnectionId, now: Unix, out: &mut Deliveries) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.pings_unanswered += 1;
        connection.ping_at = Unix(now.0.saturating_add(PING_INTERVAL_S));
        out.send(id, *b"PING\r\n");
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason, out: &mut Deliveries) {
        self.connections.remove(&id);
        if let Some(text) = reason.error() {
            out.error(id, &text);
        }
        out.0.push(Delivery::Close { connection: id, reason });
    }

    fn account(&self, session: &Session) -> &trust::Account {
        self.configuration.accounts.get(&session.user.account).expect("users are of preloaded accounts")
    }

    fn account_of(&self, id: ConnectionId) -> Option<&str> {
        Some(self.connections.get(&id)?.session.as_ref()?.user.account.as_str())
    }

    fn nonce(&self, id: ConnectionId) -> String {
        let mut generator = ChaCha8Rng::from_seed(self.seed.0);
        generator.set_stream(id.0);
        let mut bytes = [0; NONCE_BYTES];
        generator.fill_bytes(&mut bytes);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The INFO line with `more` added.
    fn info(&self, id: ConnectionId, more: serde_json::Value, payload_bytes_max: u64) -> Vec<u8> {
        let configuration = &self.configuration;
        let name = if configuration.server_name.is_empty() { &self.id } else { &configuration.server_name };
        let mut info = json!({
            "server_id": self.id,
            "server_name": name,
            "version": VERSION,
            "proto": 1,
            "go": "none",
            "host": configuration.listen.host,
            "port": configuration.listen.port,
            "headers": true,
            "auth_required": true,
            "max_payload": payload_bytes_max,
            "client_id": id.0,
        });
        let object = info.as_object_mut().expect("an object");
        if let Some(tls) = &configuration.tls {
            object.insert("tls_required".to_owned(), true.into());
            object.insert("tls_verify".to_owned(), tls.verify.into());
        }
        object.extend(more.as_object().expect("an object").clone());

        format!("INFO {info} \r\n").into_bytes()
    }
}

impl Connection {
    fn limits(&self, configuration: &Configuration) -> Limits {
        let session = self.session.as_ref();
        let payload_bytes =
            session.map_or(configuration.payload_bytes_max, |session| session.user.payload_bytes_max);
        Limits {
            awaits_connect: session.is_none(),
            has_headers: session.is_some_and(|session| session.headers),
            control_line_bytes: usize::try_from(configuration.control_line_bytes_max)
                .expect("at most a mebibyte"),
            payload_bytes,
        }
    }
}

impl Deliveries {
    fn send(&mut self, to: ConnectionId, bytes: impl Into<Vec<u8>>) {
        self.0.push(Delivery::Send { to, bytes: bytes.into() });
    }

    fn error(&mut self, to: ConnectionId, text: &str) {
        self.send(to, format!("-ERR '{text}'\r\n"));
    }
}

#[cfg(test)]
mod tests;
