//! Who gets a published message: plain subscriptions each, queue groups once, and the publisher a 503 if nobody.

use super::parse::Publication;
use super::subject::Pattern;
use super::{Connection, ConnectionId, Deliveries, Server};
use std::collections::BTreeMap;

/// One SUB of a connection.
#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) pattern: Pattern,
    pub(super) queue: Option<String>,
    pub(super) delivered: u64,
    pub(super) ends_after: Option<u64>,
}

/// A subscription, by connection and `sid`.
type Address = (ConnectionId, String);

impl Server {
    /// Delivers what `publisher` may publish; checks come before.
    pub(super) fn route(&mut self, publisher: ConnectionId, message: &Publication, out: &mut Deliveries) {
        let receivers = self.receivers(publisher, &message.subject);
        if receivers.is_empty() {
            self.answer_nobody(publisher, message, out);
            return;
        }
        for (id, sid) in receivers {
            let connection = self.connections.get_mut(&id).expect("receivers are connected");
            out.send(id, connection.delivered(&sid, message));
        }
    }

    /// Every plain subscription that matches, and of each queue group the member that has had the fewest messages
    /// (the real server picks one at random; this way no generator's state is part of the world).
    fn receivers(&self, publisher: ConnectionId, subject: &str) -> Vec<Address> {
        let account = self.account_of(publisher);
        let mut plain = Vec::new();
        let mut groups: BTreeMap<&str, (u64, Address)> = BTreeMap::new();
        for (&id, connection) in &self.connections {
            let Some(session) = &connection.session else {
                continue;
            };
            let muted = id == publisher && !session.echo;
            if muted
                || Some(session.user.account.as_str()) != account
                || session.user.permissions.hides(subject)
            {
                continue;
            }
            for (sid, subscription) in &session.subscriptions {
                if !subscription.pattern.matches(subject) {
                    continue;
                }
                let Some(queue) = &subscription.queue else {
                    plain.push((id, sid.clone()));
                    continue;
                };
                let member = (subscription.delivered, (id, sid.clone()));
                let chosen = groups.entry(queue).or_insert_with(|| member.clone());
                if member.0 < chosen.0 {
                    *chosen = member;
                }
            }
        }
        plain.extend(groups.into_values().map(|(_, address)| address));

        plain
    }

    /// A requester that asked for it learns that nobody listens, on its own subscription to the reply subject.
    fn answer_nobody(&mut self, publisher: ConnectionId, message: &Publication, out: &mut Deliveries) {
        let Some(reply) = &message.reply else { return };
        let session = self.connections.get(&publisher).and_then(|connection| connection.session.as_ref());
        let Some(session) = session.filter(|session| session.no_responders) else {
            return;
        };
        let waiting =
            |subscription: &Subscription| subscription.queue.is_none() && subscription.pattern.matches(reply);
        let mut subscriptions = session.subscriptions.iter();
        let Some((sid, _)) = subscriptions.find(|(_, subscription)| waiting(subscription)) else {
            return;
        };
        let status = format!("NATS/1.0 503\r\nNats-Subject: {}\r\n\r\n", message.subject);
        out.send(publisher, format!("HMSG {reply} {sid} {size} {size}\r\n{status}\r\n", size = status.len()));
    }
}

impl Connection {
    /// The MSG or HMSG of `message` for `sid`, counted; the subscription goes when it has had its number.
    fn delivered(&mut self, sid: &str, message: &Publication) -> Vec<u8> {
        let session = self.session.as_mut().expect("only users have subscriptions");
        let subscription = session.subscriptions.get_mut(sid).expect("found a moment ago");
        subscription.delivered += 1;
        if subscription.ends_after.is_some_and(|end| subscription.delivered >= end) {
            session.subscriptions.remove(sid);
        }
        let reply = message.reply.as_deref().map(|reply| format!("{reply} ")).unwrap_or_default();
        let subject = &message.subject;
        let (head, payload) = match message.header_bytes.filter(|&headers| headers > 0) {
            Some(headers) if session.headers => {
                let size = message.payload.len();
                (format!("HMSG {subject} {sid} {reply}{headers} {size}\r\n"), message.payload.as_slice())
            }
            headers => {
                let body = &message.payload[headers.unwrap_or(0)..];
                (format!("MSG {subject} {sid} {reply}{}\r\n", body.len()), body)
            }
        };

        [head.as_bytes(), payload, b"\r\n"].concat()
    }
}
