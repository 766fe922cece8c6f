//! What a client's operations do: CONNECT, PING, PONG, PUB, SUB, UNSUB.

use super::close::CloseReason;
use super::connect::{ConnectOptions, Refusal, admit};
use super::parse::{Operation, Publication};
use super::route::Subscription;
use super::subject::{Pattern, is_literal};
use super::{ConnectionId, Deliveries, Server, Session};
use kubefox_core::time::Unix;
use serde_json::json;
use std::collections::BTreeMap;

/// CONNECT's `protocol` of a client that takes INFO at any time; 0 is one that does not.
const PROTOCOL_INFO: i64 = 1;
/// How soon after CONNECT nats-server pings a client for the first time, to measure the round trip.
const FIRST_PING_S: u64 = 2;
/// First tokens of subjects behind which the real server has services of its own.
const SERVED_BY_THE_REAL_ONE: [&str; 4] = ["$SYS", "$JS", "$KV", "$OBJ"];
/// First tokens that the real server keeps to itself.
const RESERVED: [&str; 2] = ["_GR_", "$NRG"];

impl Server {
    /// Does one operation; an error ends the connection.
    pub(super) fn operate(
        &mut self,
        now: Unix,
        id: ConnectionId,
        operation: Operation,
        out: &mut Deliveries,
    ) -> Result<(), CloseReason> {
        match operation {
            Operation::Connect(options) => self.admit_user(now, id, &options, out),
            Operation::Ping => {
                self.pong(id, out);
                Ok(())
            }
            Operation::Pong => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.pings_unanswered = 0;
                }
                Ok(())
            }
            Operation::Publish(message) => self.publish(id, &message, out),
            Operation::Subscribe { subject, queue, sid } => {
                self.subscribe(id, &subject, queue, sid, out);
                Ok(())
            }
            Operation::Unsubscribe { sid, after } => {
                self.unsubscribe(id, &sid, after, out);
                Ok(())
            }
        }
    }

    fn admit_user(
        &mut self,
        now: Unix,
        id: ConnectionId,
        options: &[u8],
        out: &mut Deliveries,
    ) -> Result<(), CloseReason> {
        let connection = self.connections.get(&id).expect("operations are of open connections");
        if connection.session.is_some() {
            return Err(CloseReason::NotImplemented("a second CONNECT"));
        }
        // A derived `Deserialize` would take an array as well.
        let options = Some(options).filter(|json| json.starts_with(b"{"));
        let options: Option<ConnectOptions> = options.and_then(|json| serde_json::from_slice(json).ok());
        let options = options.ok_or(CloseReason::ConnectJson)?;
        let user = admit(&self.configuration, &options, &connection.nonce, now)
            .map_err(CloseReason::Authorization)?;
        self.check_account_connections(&user.account)?;
        if !(0..=PROTOCOL_INFO).contains(&options.protocol) {
            return Err(CloseReason::ClientProtocol);
        }
        if options.no_responders && !options.headers {
            return Err(CloseReason::NoRespondersWithoutHeaders);
        }
        if user.subscriptions_max == Some(0) {
            return Err(CloseReason::NoSubscriptions);
        }
        let session = Session {
            user,
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers: options.headers,
            no_responders: options.no_responders,
            awaits_info: options.protocol >= PROTOCOL_INFO,
            subscriptions: BTreeMap::new(),
        };
        let connection = self.connections.get_mut(&id).expect("looked at above");
        connection.session = Some(session);
        connection.ping_at = Unix(now.0.saturating_add(FIRST_PING_S));
        self.confirm(id, out);

        Ok(())
    }

    fn check_account_connections(&self, account: &str) -> Result<(), CloseReason> {
        let limit = self.configuration.accounts.get(account).and_then(|account| account.limits.connections);
        let Some(limit) = limit else { return Ok(()) };
        let of_account = self.connections.values().filter(|connection| {
            connection.session.as_ref().is_some_and(|session| session.user.account == account)
        });
        if of_account.count() as u64 >= limit {
            return Err(CloseReason::AccountConnections);
        }

        Ok(())
    }

    /// PONG; after the first one a client also learns what it was connected as.
    fn pong(&mut self, id: ConnectionId, out: &mut Deliveries) {
        out.send(id, *b"PONG\r\n");
        let Some(session) = self.session_mut(id) else {
            return;
        };
        if !std::mem::take(&mut session.awaits_info) {
            return;
        }
        let (account, payload_bytes_max) = (session.user.account.clone(), session.user.payload_bytes_max);
        let mut more = json!({"connect_info": true, "remote_account": account});
        if account == self.configuration.system_account {
            more["acc_is_sys"] = true.into();
        }
        out.send(id, self.info(id, more, payload_bytes_max));
    }

    fn publish(
        &mut self,
        id: ConnectionId,
        message: &Publication,
        out: &mut Deliveries,
    ) -> Result<(), CloseReason> {
        let Some(session) = self.session_mut(id) else {
            return Err(CloseReason::Authorization(Refusal::NotConnect));
        };
        let subject = message.subject.as_str();
        if session.pedantic && !is_literal(subject) {
            out.error(id, "Invalid Publish Subject");
        }
        let first = subject.split('.').next().unwrap_or_default();
        if RESERVED.contains(&first) || !session.user.permissions.may_publish(subject) {
            out.error(id, &format!("Permissions Violation for Publish to {}", quoted(subject)));
            return Ok(());
        }
        if SERVED_BY_THE_REAL_ONE.contains(&first) {
            return Err(CloseReason::NotImplemented("JetStream and system services"));
        }
        if message.reply.as_deref().is_some_and(|reply| reply.starts_with("_R_.")) {
            return Err(CloseReason::NotImplemented("reserved reply subjects"));
        }
        self.confirm(id, out);
        self.route(id, message, out);

        Ok(())
    }

    fn subscribe(
        &mut self,
        id: ConnectionId,
        subject: &str,
        queue: Option<String>,
        sid: String,
        out: &mut Deliveries,
    ) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        let permissions = &session.user.permissions;
        let pattern = Pattern::parse(subject);
        if pattern.is_none() && permissions.may_hear(subject) {
            out.error(id, "Invalid Subject");
            return;
        }
        let Some(pattern) = pattern.filter(|pattern| permissions.may_subscribe(pattern)) else {
            let group = queue.map(|queue| format!(" using queue {}", quoted(&queue))).unwrap_or_default();
            let subject = quoted(subject);
            out.error(id, &format!("Permissions Violation for Subscription to {subject}{group}"));
            return;
        };
        let count = session.subscriptions.len() as u64;
        if session.user.subscriptions_max.is_some_and(|most| count >= most) {
            out.error(id, "maximum subscriptions exceeded");
            return;
        }
        // A sid that is taken stays what it was; the real server confirms all the same.
        session.subscriptions.entry(sid).or_insert(Subscription {
            pattern,
            queue,
            delivered: 0,
            ends_after: None,
        });
        self.confirm(id, out);
    }

    fn unsubscribe(&mut self, id: ConnectionId, sid: &str, after: Option<u64>, out: &mut Deliveries) {
        let Some(session) = self.session_mut(id) else {
            return;
        };
        if let Some(subscription) = session.subscriptions.get_mut(sid) {
            match after {
                Some(after) if after > subscription.delivered => subscription.ends_after = Some(after),
                Some(_) | None => {
                    session.subscriptions.remove(sid);
                }
            }
        }
        self.confirm(id, out);
    }

    /// `+OK`, if the client wants it.
    fn confirm(&mut self, id: ConnectionId, out: &mut Deliveries) {
        if self.session_mut(id).is_some_and(|session| session.verbose) {
            out.send(id, *b"+OK\r\n");
        }
    }

    fn session_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        self.connections.get_mut(&id)?.session.as_mut()
    }
}

/// A subject in quotes, with what could end them or the line escaped, as Go's `%q` does.
fn quoted(subject: &str) -> String {
    format!("{subject:?}")
}
