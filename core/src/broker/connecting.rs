//! Connects to NATS with the certificate that is held now. The client asks for the signature of its nonce meanwhile. A
//! connection that stands already goes on until the new one does.

use super::bootstrapping::Held;
use super::{Broker, Call, KEY, Notice, Resume, State, Unsigned, Wait};
use crate::machine::{Out, Refusal};
use crate::nats::{self, Link};
use crate::time::Now;

/// How long a connection may take: NATS' own limits are 5 s for TLS and 6 s until a client is authenticated, and then it
/// takes the place of the one before.
pub const CONNECT_MS: u64 = 12_000;

impl State {
    pub(super) fn connecting(held: &Held, now: Now, out: &mut Out<Broker>) -> Self {
        let certificate = &held.documents.certificate;
        let call = nats::Call::Connect {
            user: held.documents.user.clone(),
            ca: certificate.ca.clone(),
            leaf: certificate.leaf.clone(),
            key: KEY,
        };
        Self::Connecting { call: out.call(now.in_ms(CONNECT_MS), Call::Nats(call)) }
    }
}

impl Broker {
    /// The client library says that the connection stands.
    pub(super) fn link_up(&mut self, out: &mut Out<Self>) {
        if self.link == Link::Up || self.state.is_final() {
            return;
        }
        out.notice(Notice::Connected);
        self.link = Link::Up;
        self.wait = self.wait.filter(|wait| !matches!(wait, Wait::Nats | Wait::Unsigned(_)));
    }

    /// The client library says that the connection is lost, and tries again with what it was given: whoever serves gives
    /// it a while, and everybody else connects at the end of the way.
    pub(super) fn link_down(&mut self, out: &mut Out<Self>) {
        if self.link == Link::Down || self.state.is_final() {
            return;
        }
        out.notice(Notice::Waiting(Wait::Nats));
        self.link = Link::Down;
        if let State::Serving { .. } = self.state {
            self.wait = Some(Wait::Nats);
        }
    }

    /// What is missing while no connection comes about.
    pub(super) const fn connection(&self) -> Wait {
        match (self.link, self.unsigned) {
            (Link::Up, _) => Wait::Succession,
            (Link::Down, Some(why)) => Wait::Unsigned(why),
            (Link::Down, None) => Wait::Nats,
        }
    }

    /// The client library connects by itself while the broker serves, so nobody else says what keeps it from that.
    pub(super) fn remember_unsigned(&mut self, unsigned: Option<Unsigned>, out: &mut Out<Self>) {
        self.unsigned = unsigned;
        let wait = self.connection();
        let is_news = unsigned.is_some() && self.link == Link::Down && self.wait != Some(wait);
        if let (State::Serving { .. }, true) = (&self.state, is_news) {
            out.notice(Notice::Waiting(wait));
            self.wait = Some(wait);
        }
    }
}

/// Connecting twice is connecting once, so it is repeated by itself, unless NATS does not like what was shown.
pub(super) const fn resume(refusal: Refusal) -> Resume {
    match refusal {
        Refusal::NotReady | Refusal::Busy | Refusal::Local => Resume::Connect,
        Refusal::Denied
        | Refusal::Unauthenticated
        | Refusal::Unclear
        | Refusal::Conflict
        | Refusal::Invalid => Resume::FromTheTop,
    }
}
