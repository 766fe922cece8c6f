//! One machine as a process of the model: what the real driver does, step by step, with every call's fate in
//! somebody's hand.

use std::collections::VecDeque;

use kubefox_core::machine::{CallId, Effect, Event, Lost, Machine, Out, Outcome, Seed};
use kubefox_core::time::{Mono, Now};
use kubefox_io::adapter::{Adapter, Encoded, Entropy};
use kubefox_io::exchange::{Request, Response};

use super::keyring::Keyring;

/// A running process.
#[derive(Clone)]
pub struct Process<M: Machine, A> {
    machine: M,
    out: Out<M>,
    adapter: A,
    keyring: Keyring,
    calls: VecDeque<Pending<M>>,
    notices: Vec<M::Notice>,
}

#[derive(Clone)]
struct Pending<M: Machine> {
    id: CallId,
    by: Mono,
    call: M::Call,
}

impl<M: Machine, A: Adapter<M>> Process<M, A> {
    /// Starts a machine.
    pub fn start(config: M::Config, seed: Seed, adapter: A, now: Now) -> Self {
        let mut out = Out::default();
        let machine = M::start(config, seed, now, &mut out);
        let mut process = Self {
            machine,
            out,
            adapter,
            keyring: Keyring::default(),
            calls: VecDeque::new(),
            notices: Vec::new(),
        };
        process.settle();
        process
    }

    /// The machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// What it has told since the last time.
    pub fn take_notices(&mut self) -> Vec<M::Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The call whose fate is next to be decided.
    pub fn next_call(&self) -> Option<&M::Call> {
        self.calls.front().map(|pending| &pending.call)
    }

    /// When the answer to that call is worth nothing any more.
    pub fn deadline(&self) -> Option<Mono> {
        self.calls.front().map(|pending| pending.by)
    }

    /// The request of that call; a call that never leaves the process is answered on the spot and gives none.
    pub fn encode(&mut self, now: Now, entropy: &mut dyn Entropy) -> Option<Request> {
        let call = self.calls.front()?.call.clone();
        match self.adapter.encode(&call, &mut self.keyring, entropy) {
            Ok(Encoded::Request(request)) => Some(*request),
            Ok(Encoded::Done(outcome)) => {
                self.conclude(now, outcome);
                None
            }
            Err(unencodable) => {
                // A machine that uses a slot before it was filled has a bug, and this is where it shows.
                panic!("{call:?} could not be encoded: {unencodable}");
            }
        }
    }

    /// The answer to that call came.
    pub fn answer(&mut self, now: Now, response: Response) {
        let Some(pending) = self.calls.front() else { return };
        let call = pending.call.clone();
        let outcome = self.adapter.decode(&call, response, &mut self.keyring);
        self.conclude(now, outcome);
    }

    /// No answer to that call came.
    pub fn lose(&mut self, now: Now, lost: Lost) {
        self.conclude(now, Outcome::Unknown(lost));
    }

    /// The time-out that the machine asked for is due.
    pub fn timeout(&mut self, now: Now) {
        self.machine.handle_timeout(now, &mut self.out);
        self.settle();
    }

    fn conclude(&mut self, now: Now, outcome: Outcome<M::Reply>) {
        let Some(Pending { id, .. }) = self.calls.pop_front() else { return };
        self.machine.handle_event(now, Event::Done { id, outcome }, &mut self.out);
        self.settle();
    }

    fn settle(&mut self) {
        for effect in self.out.take() {
            match effect {
                Effect::Call { id, by, behalf: _, call } => self.calls.push_back(Pending { id, by, call }),
                Effect::Answer { ticket, answer: _ } => self.keyring.close(ticket),
                Effect::Notice(notice) => self.notices.push(notice),
            }
        }
    }
}
