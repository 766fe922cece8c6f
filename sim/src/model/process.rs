//! One machine as a process of the model: what the real driver does, step by step, with every call's fate in
//! somebody's hand.

use std::collections::{BTreeMap, VecDeque};

use kubefox_core::machine::{CallId, Effect, Event, Lost, Machine, Out, Outcome, Seed, Ticket};
use kubefox_core::secret::{Asker, Secret};
use kubefox_core::time::{Mono, Now};
use kubefox_io::adapter::{Adapter, Encoded, Entropy, Slots as _};
use kubefox_io::exchange::{Request, Response};
use serde_json::Value;
use zeroize::Zeroizing;

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
    answers: BTreeMap<Ticket, M::Answer>,
    tickets: u64,
}

#[derive(Clone, PartialEq)]
struct Pending<M: Machine> {
    id: CallId,
    by: Mono,
    behalf: Option<Ticket>,
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
            answers: BTreeMap::new(),
            tickets: 0,
        };
        process.settle();
        process
    }

    /// Whether two processes that were one before their last step are the same after it.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.machine == other.machine
            && self.calls == other.calls
            && self.keyring == other.keyring
            && self.answers == other.answers
    }

    /// The machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Its secrets.
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What it has told since the last time.
    pub fn take_notices(&mut self) -> Vec<M::Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Somebody asks, and listens until `by`.
    pub fn ask(&mut self, now: Now, by: Mono, ask: M::Ask, secrets: &[(Asker, &[u8])]) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        for (name, bytes) in secrets {
            self.keyring.fill(Secret::Of(ticket, *name), Zeroizing::new(bytes.to_vec()));
        }
        self.machine.handle_event(now, Event::Asked { ticket, by, ask }, &mut self.out);
        self.settle();
        ticket
    }

    /// The answer to a question, once.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<M::Answer> {
        self.answers.remove(&ticket)
    }

    /// The call whose fate is next to be decided.
    pub fn next_call(&self) -> Option<&M::Call> {
        self.calls.front().map(|pending| &pending.call)
    }

    /// Asks for something else in the place of that call; its answer is taken for the answer to what was asked.
    pub fn replace_call(&mut self, call: M::Call) {
        if let Some(pending) = self.calls.front_mut() {
            pending.call = call;
        }
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

    /// Moves every moment that the machine remembers into the past, as if so many seconds had gone by.
    ///
    /// A moment is any number near one of the two clocks: the clocks of a frozen world show numbers that nothing else in a
    /// machine comes near.
    pub fn age_s(&mut self, now: Now, seconds: u64) {
        let mut image = serde_json::to_value(&self.machine).expect("a machine is data");
        age(&mut image, now, seconds);
        self.machine = serde_json::from_value(image).expect("a machine whose moments were moved is data");
    }

    /// The time-out that the machine asked for is due.
    pub fn timeout(&mut self, now: Now) {
        self.machine.handle_timeout(now, &mut self.out);
        self.settle();
    }

    /// That call has ended so.
    pub fn conclude(&mut self, now: Now, outcome: Outcome<M::Reply>) {
        let Some(Pending { id, .. }) = self.calls.pop_front() else { return };
        self.machine.handle_event(now, Event::Done { id, outcome }, &mut self.out);
        self.settle();
    }

    fn settle(&mut self) {
        for effect in self.out.take() {
            match effect {
                Effect::Call { id, by, behalf, call } => {
                    self.calls.push_back(Pending { id, by, behalf, call });
                }
                Effect::Answer { ticket, answer } => {
                    self.calls.retain(|pending| pending.behalf != Some(ticket));
                    self.keyring.close(ticket);
                    self.answers.insert(ticket, answer);
                }
                Effect::Notice(notice) => self.notices.push(notice),
            }
        }
    }
}

/// What lies this near to a clock is a moment of it: three years.
const NEAR_S: u64 = 100_000_000;

fn age(value: &mut Value, now: Now, seconds: u64) {
    match value {
        Value::Number(number) => {
            let Some(moment) = number.as_u64() else { return };
            if moment.abs_diff(now.mono.0) < NEAR_S * 1_000 {
                *value = (moment - seconds * 1_000).into();
            } else if moment.abs_diff(now.unix.0) < NEAR_S {
                *value = (moment - seconds).into();
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| age(element, now, seconds)),
        Value::Object(members) => members.values_mut().for_each(|member| age(member, now, seconds)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
