//! The only loop: runs one machine against the world and asserts the laws of the contract.
//!
//! Encoding and decoding happen here, where the keyring is; tasks only move bytes. A passed deadline becomes
//! `Unknown(Deadline)`; whatever comes later is dropped before it is decoded, so that it fills no slot. What a machine
//! does against a law is a mistake of ours, and ends the process. Every step goes through the [`Tap`], the single place
//! where a step becomes a log line, a status or a recording.

pub mod halt;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kubefox_core::machine::{
    CallId, Effect, Event, Lost, Machine, Out, Outcome, Refusal, Seed, Standing, Ticket,
};
use kubefox_core::secret::Secret;
use kubefox_core::time::{Mono, Now};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use self::halt::{Halt, Side};
use crate::adapter::{Adapter, Encoded, Entropy, Slots};
use crate::door::{DoorEnd, Inbound, Question};
use crate::exchange::{Request, Response};
use crate::keyring::Keyring;

/// Both clocks, and sleeping on one of them.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Now;
    /// Returns at `at`.
    fn sleep_until(&self, at: Mono) -> BoxFuture<'static, ()>;
}

/// Moves the bytes of one request. Does not retry, loop or combine.
pub trait Carrier: Send + Sync + 'static {
    /// Carries a request out and its response back. Nobody waits for longer than `within`; a far side that can be told
    /// is told.
    fn carry(&self, request: Request, within: Duration) -> BoxFuture<'static, Result<Response, Lost>>;
}

/// Sees every step.
pub trait Tap<M: Machine>: Send {
    /// Called after each step with what caused it and what it caused.
    fn step(&mut self, now: Now, cause: &Cause<M>, effects: &[Effect<M>], machine: &M);
    /// Called once when the driver stands still, as it was told to.
    fn halted(&mut self, halt: Halt);
    /// Called once when the machine has ended and the driver never came to where it was to stand still.
    fn missed(&mut self, halt: Halt);
}

/// What made a machine take a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(bound = "")]
pub enum Cause<M: Machine> {
    /// It started.
    Start,
    /// An event came.
    Event(Event<M>),
    /// A time-out it had asked for was due.
    Timeout,
}

/// What a driver needs beside the machine itself.
pub struct Parts<M: Machine, A: Adapter<M>> {
    /// Turns calls into requests and responses into outcomes.
    pub adapter: A,
    /// Moves bytes.
    pub carrier: Arc<dyn Carrier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the adapters.
    pub entropy: Box<dyn Entropy>,
    /// Questions from outside.
    pub questions: DoorEnd<M, A::Rendered>,
    /// What the world tells unasked.
    pub signals: mpsc::Receiver<M::Signal>,
    /// Sees every step.
    pub tap: Box<dyn Tap<M>>,
    /// Where to stand still, for a test that wants to kill the process there.
    pub halt: Option<Halt>,
}

/// Runs a machine until it has finished or cannot go on.
pub async fn drive<M: Machine, A: Adapter<M>>(config: M::Config, seed: Seed, parts: Parts<M, A>) -> Standing {
    let now = parts.clock.now();
    let mut out = Out::default();
    let machine = M::start(config, seed, now, &mut out);
    let mut driver = Driver {
        machine,
        out,
        parts,
        keyring: Keyring::default(),
        in_flight: BTreeMap::new(),
        open: BTreeMap::new(),
        tasks: JoinSet::new(),
        ready: VecDeque::new(),
        is_halted: false,
    };
    driver.settle(now, Cause::Start);
    driver.run().await
}

struct Driver<M: Machine, A: Adapter<M>> {
    machine: M,
    out: Out<M>,
    parts: Parts<M, A>,
    keyring: Keyring,
    in_flight: BTreeMap<CallId, InFlight<M>>,
    open: BTreeMap<Ticket, oneshot::Sender<A::Rendered>>,
    tasks: JoinSet<(CallId, Result<Response, Lost>)>,
    /// Outcomes that are known already; each is a step of its own.
    ready: VecDeque<(CallId, Outcome<M::Reply>)>,
    /// It stands still, and so for ever.
    is_halted: bool,
}

struct InFlight<M: Machine> {
    call: M::Call,
    by: Mono,
    behalf: Option<Ticket>,
    /// Moves its bytes; `None` if it was answered without leaving the process.
    task: Option<AbortHandle>,
}

enum Next<M: Machine, R> {
    Carried(CallId, Result<Response, Lost>),
    Inbound(Inbound<M, R>),
    /// A task ended because its ticket was closed.
    Aborted,
    Signal(M::Signal),
    Timeout,
}

impl<M: Machine, A: Adapter<M>> Driver<M, A> {
    async fn run(mut self) -> Standing {
        loop {
            if self.is_halted {
                return self.stand_still().await;
            }
            match self.machine.standing() {
                Standing::Starting | Standing::Ready => {}
                end @ (Standing::Finished | Standing::Stopped(_)) => {
                    if let Some(halt) = self.parts.halt {
                        self.parts.tap.missed(halt);
                    }
                    return end;
                }
            }
            if let Some((id, outcome)) = self.ready.pop_front() {
                self.finish(id, outcome);
                continue;
            }
            match self.next().await {
                Next::Carried(id, result) => self.carried(id, result),
                Next::Aborted => {}
                Next::Inbound(Inbound::Asked(question)) => self.asked(question),
                Next::Inbound(Inbound::Withdrawn(ticket)) => self.withdrawn(ticket),
                Next::Signal(signal) => self.step(Event::Signal(signal)),
                Next::Timeout => self.timeout(),
            }
        }
    }

    /// Waits for whatever happens first. Answers come before questions, so that load never starves progress.
    async fn next(&mut self) -> Next<M, A::Rendered> {
        let due = self.machine.poll_timeout().map(|(at, _)| self.parts.clock.sleep_until(at));
        let due = async {
            match due {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => match joined {
                Ok((id, result)) => Next::Carried(id, result),
                Err(error) if error.is_cancelled() => Next::Aborted,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            Some(signal) = self.parts.signals.recv() => Next::Signal(signal),
            () = due => Next::Timeout,
            Some(inbound) = self.parts.questions.recv() => Next::Inbound(inbound),
        }
    }

    fn carried(&mut self, id: CallId, result: Result<Response, Lost>) {
        let Some(flight) = self.in_flight.get(&id) else {
            return; // Its ticket was closed: what comes later is dropped, and nothing fills a closed slot.
        };
        let outcome = match result {
            // It was ready in time at best, and nobody looked: late is late.
            Ok(_) if self.parts.clock.now().mono > flight.by => Outcome::Unknown(Lost::Deadline),
            Ok(response) => self.parts.adapter.decode(&flight.call, response, &mut self.keyring),
            Err(lost) => Outcome::Unknown(lost),
        };
        self.finish(id, outcome);
    }

    fn finish(&mut self, id: CallId, outcome: Outcome<M::Reply>) {
        let Some(flight) = self.in_flight.remove(&id) else { return };
        if flight.behalf.is_none() && self.halts(Side::Unheard) {
            return;
        }
        self.step(Event::Done { id, outcome });
    }

    /// Whether this is where it is to stand still; if so, it does from now on.
    fn halts(&mut self, side: Side) -> bool {
        let here = self.parts.halt.filter(|halt| halt.is_at(self.machine.phase(), side));
        if let Some(halt) = here {
            self.is_halted = true;
            self.tasks.abort_all();
            self.parts.tap.halted(halt);
        }
        self.is_halted
    }

    /// Does nothing any more, until whoever told it to stand still is gone or tells it to end.
    async fn stand_still(mut self) -> Standing {
        if self.parts.signals.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.machine.standing()
    }

    fn asked(&mut self, question: Question<M, A::Rendered>) {
        let within = question.remaining();
        let Question { ticket, ask, secrets, reply, .. } = question;
        if reply.is_closed() {
            return; // Its asker went away while it waited: nobody is to be troubled with it.
        }
        for (name, bytes) in secrets {
            self.keyring.fill(Secret::Of(ticket, name), bytes);
        }
        let replaced = self.open.insert(ticket, reply);
        assert!(replaced.is_none(), "{ticket:?} is given out once");
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let by = self.parts.clock.now().in_ms(within_ms);
        self.step(Event::Asked { ticket, by, ask });
    }

    fn withdrawn(&mut self, ticket: Ticket) {
        if self.open.contains_key(&ticket) {
            self.close(ticket);
            self.step(Event::Withdrawn { ticket });
        }
    }

    fn timeout(&mut self) {
        let now = self.parts.clock.now();
        let is_due = self.machine.poll_timeout().is_some_and(|(at, _)| at <= now.mono);
        if is_due && !self.halts(Side::Unheard) {
            self.machine.handle_timeout(now, &mut self.out);
            self.settle(now, Cause::Timeout);
        }
    }

    fn step(&mut self, event: Event<M>) {
        let now = self.parts.clock.now();
        let cause = Cause::Event(event.clone());
        self.machine.handle_event(now, event, &mut self.out);
        self.settle(now, cause);
    }

    /// Carries out the effects of a step.
    fn settle(&mut self, now: Now, cause: Cause<M>) {
        let effects = self.out.take();
        self.parts.tap.step(now, &cause, &effects, &self.machine);
        if self.halts(Side::Unsent) {
            return;
        }
        for effect in effects {
            match effect {
                Effect::Call { id, by, behalf, call } => self.call(now, id, by, behalf, call),
                Effect::Answer { ticket, answer } => self.answer(ticket, answer),
                Effect::Notice(_) => {} // Told by the tap.
            }
        }
    }

    fn call(&mut self, now: Now, id: CallId, by: Mono, behalf: Option<Ticket>, call: M::Call) {
        let is_owned = behalf.is_none_or(|ticket| self.open.contains_key(&ticket));
        assert!(is_owned, "{id:?} is made on behalf of {behalf:?}, which is closed");
        let encoded = self.parts.adapter.encode(&call, &mut self.keyring, &mut *self.parts.entropy);
        let task = match encoded {
            // There is no time left for it: nothing is begun that nobody waits for.
            Ok(Encoded::Request(_)) if by <= now.mono => {
                self.ready.push_back((id, Outcome::Unknown(Lost::Deadline)));
                None
            }
            Ok(Encoded::Request(request)) => Some(self.send(now, id, by, *request)),
            Ok(Encoded::Done(outcome)) => {
                self.ready.push_back((id, outcome));
                None
            }
            Err(unencodable) => {
                // A mistake of ours. It must not look like an outage: nothing left the process, and repeating it cannot
                // help.
                tracing::error!(error = %unencodable, call = id.0, phase = self.machine.phase(), "CallNotEncoded");
                self.ready.push_back((id, Outcome::Refused(Refusal::Invalid)));
                None
            }
        };
        let replaced = self.in_flight.insert(id, InFlight { call, by, behalf, task });
        assert!(replaced.is_none(), "{id:?} is given out once");
    }

    fn send(&mut self, now: Now, id: CallId, by: Mono, request: Request) -> AbortHandle {
        let within = Duration::from_millis(by.0 - now.mono.0);
        let carried = self.parts.carrier.carry(request, within);
        let deadline = self.parts.clock.sleep_until(by);
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                result = carried => (id, result),
                () = deadline => (id, Err(Lost::Deadline)),
            }
        })
    }

    fn answer(&mut self, ticket: Ticket, answer: M::Answer) {
        let reply = self.open.remove(&ticket);
        let reply =
            reply.unwrap_or_else(|| panic!("{ticket:?} is answered once, and not after it was withdrawn"));
        let rendered = self.parts.adapter.render(ticket, answer, &self.keyring);
        // The asker may have gone away in this very moment; then nobody wants the answer.
        let _ = reply.send(rendered);
        self.close(ticket);
    }

    /// Aborts what was done on behalf of a question and wipes its secrets.
    fn close(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        self.in_flight.retain(|_, flight| {
            let ends = flight.behalf == Some(ticket);
            if ends && let Some(task) = &flight.task {
                task.abort();
            }
            !ends
        });
        self.keyring.close(ticket);
    }
}

#[cfg(test)]
mod tests;
