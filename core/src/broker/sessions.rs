//! Questions: admitted up to a limit, routed to their session, answered exactly once.

use alloc::collections::BTreeMap;
use core::ops::ControlFlow;

use super::publishing::{self, PUBLISHING_MAX};
use super::signing::{SIGNING_MAX, Signing};
use super::{Answer, Ask, Broker, Reply, State, Unsigned};
use crate::documents::nkey::PublicKey;
use crate::documents::subject;
use crate::machine::{CallId, Out, Outcome, Ticket};
use crate::names::Nonce;
use crate::nats::Link;
use crate::time::{Mono, Now};

impl Broker {
    pub(super) fn admit(&mut self, now: Now, ticket: Ticket, by: Mono, ask: Ask, out: &mut Out<Self>) {
        if self.state.is_final() {
            out.answer(ticket, Answer::Unavailable);
            return;
        }
        match ask {
            Ask::SignNonce { nonce } => match self.may_sign(now) {
                Ok(()) => self.sign(now, ticket, by, nonce, out),
                Err(why_not) => self.answer_client(ticket, why_not, out),
            },
            Ask::Publish { to, tail } => match self.may_publish() {
                Ok(own) => {
                    let call = publishing::publish(ticket, subject::message(&to, own, &tail), by, now, out);
                    self.publishing.insert(ticket, call);
                }
                Err(why_not) => out.answer(ticket, why_not),
            },
            Ask::Subscribe => out.answer(
                ticket,
                match self.connected() {
                    Some(own) => Answer::Subscribed { subject: subject::inbox(own) },
                    None => Answer::Unavailable,
                },
            ),
        }
    }

    pub(super) fn withdraw(&mut self, ticket: Ticket) {
        self.signing.remove(&ticket);
        self.publishing.remove(&ticket);
    }

    /// The call of a session has ended, or one that nobody awaits any more.
    pub(super) fn session_done(&mut self, id: CallId, outcome: Outcome<Reply>, out: &mut Out<Self>) {
        if let Some(ticket) = ticket_of(&self.signing, |signing| signing.awaits() == id) {
            let signing = self.signing.remove(&ticket).expect("it was found by its call");
            match signing.done(ticket, &self.held().documents, outcome, out) {
                ControlFlow::Continue(signing) => drop(self.signing.insert(ticket, signing)),
                ControlFlow::Break(answer) => self.answer_client(ticket, answer, out),
            }
        } else if let Some(ticket) = ticket_of(&self.publishing, |call| *call == id) {
            self.publishing.remove(&ticket);
            out.answer(ticket, publishing::answer(outcome));
        }
    }

    /// Goes to a final state; no question stays open behind it. A message on its way may still arrive.
    pub(super) fn end(&mut self, state: State, out: &mut Out<Self>) {
        self.state = state;
        while let Some((ticket, _)) = self.signing.pop_first() {
            out.answer(ticket, Answer::Unavailable);
        }
        while let Some((ticket, _)) = self.publishing.pop_first() {
            out.answer(ticket, Answer::Unknown);
        }
    }

    fn sign(&mut self, now: Now, ticket: Ticket, by: Mono, nonce: Nonce, out: &mut Out<Self>) {
        self.signing.insert(ticket, Signing::begin(ticket, by, nonce, now, out));
    }

    fn answer_client(&mut self, ticket: Ticket, answer: Answer, out: &mut Out<Self>) {
        match answer {
            Answer::Signed { .. } => self.remember_unsigned(None, out),
            Answer::Unsigned(why) => self.remember_unsigned(Some(why), out),
            Answer::Published
            | Answer::Unknown
            | Answer::Subscribed { .. }
            | Answer::Unavailable
            | Answer::Busy => {}
        }
        out.answer(ticket, answer);
    }

    fn may_sign(&self, now: Now) -> Result<(), Answer> {
        let held = self.held.as_ref().ok_or(Answer::Unsigned(Unsigned::NotBootstrapped))?;
        if held.documents.user_jwt_expires <= now.unix {
            return Err(Answer::Unsigned(Unsigned::Expired));
        }
        if self.signing.len() >= SIGNING_MAX {
            return Err(Answer::Busy);
        }
        Ok(())
    }

    fn may_publish(&self) -> Result<&PublicKey, Answer> {
        let own = self.connected().ok_or(Answer::Unavailable)?;
        if self.publishing.len() >= PUBLISHING_MAX {
            return Err(Answer::Busy);
        }
        Ok(own)
    }

    /// The own user, while NATS is connected.
    fn connected(&self) -> Option<&PublicKey> {
        let held = self.held.as_ref()?;
        (self.link == Link::Up).then_some(&held.documents.user)
    }
}

fn ticket_of<S>(sessions: &BTreeMap<Ticket, S>, is_it: impl Fn(&S) -> bool) -> Option<Ticket> {
    sessions.iter().find_map(|(ticket, session)| is_it(session).then_some(*ticket))
}
