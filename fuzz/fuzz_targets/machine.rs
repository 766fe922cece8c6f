//! No legal history makes the controller, the broker or the initializer break a law of `core/src/machine.rs`, and once the
//! world is well each of them comes to its end or serves.
//!
//! The bytes are the history: which machine, its configuration, then pairs of an act and its detail. What is legal is
//! computed from what is in flight, so every input is a history and none is thrown away. The worlds behind the machines
//! (`machine/`) do what they are asked; an act may also give any other answer of the right kind. Which answers a machine
//! must have heard before it goes on is the property tests' part (`core/src/*/tests/histories.rs`).

#![no_main]

#[path = "machine/broker.rs"]
mod broker;
#[path = "machine/caller.rs"]
mod caller;
#[path = "machine/controller.rs"]
mod controller;
#[path = "machine/initializer.rs"]
mod initializer;

use std::collections::{BTreeMap, BTreeSet};

use kubefox_core::machine::{
    CallId, Effect, Event, Lost, Machine, Out, Outcome, Refusal, Seed, Standing, Ticket,
};
use kubefox_core::time::{Mono, Now, Unix};
use libfuzzer_sys::fuzz_target;

/// More acts than this find nothing that fewer do not.
const ACTS_MAX: usize = 160;
/// More steps than any way to the end has once the world is well.
const HEALING_STEPS_MAX: usize = 3_000;
const START: Now = Now { mono: Mono(0), unix: Unix(1_800_000_000) };

const REFUSALS: [Refusal; 8] = [
    Refusal::Denied,
    Refusal::Unauthenticated,
    Refusal::Unclear,
    Refusal::Conflict,
    Refusal::Invalid,
    Refusal::NotReady,
    Refusal::Busy,
    Refusal::Local,
];
const LOSSES: [Lost; 5] =
    [Lost::Deadline, Lost::Connection, Lost::ServerError, Lost::Garbled, Lost::Stranger];

/// What a machine lives in.
pub(crate) trait World<M: Machine> {
    /// Does what is asked.
    fn well(&mut self, call: &M::Call, now: Now) -> Outcome<M::Reply>;
    /// Another answer of the right kind, true or not; `None` where there is only one.
    fn other(&self, call: &M::Call, pick: u8, now: Now) -> Option<Outcome<M::Reply>>;
    /// Something that is asked from outside.
    fn ask(&self, pick: u8) -> Option<M::Ask>;
    /// Something that is told from outside, if it can be.
    fn signal(&self, pick: u8) -> Option<M::Signal>;
    /// The process has died, and another one starts.
    fn restarted(&mut self) {}
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([which, choice], acts)) = bytes.split_first_chunk::<2>() else { return };
    match which % 4 {
        0 | 1 => History::new(controller::config(*choice), controller::platform()).run(acts),
        2 => History::new(broker::config(*choice), broker::Pod::default()).run(acts),
        _ => History::new(initializer::config(*choice), initializer::Pod).run(acts),
    }
});

struct Flight<M: Machine> {
    by: Mono,
    behalf: Option<Ticket>,
    call: M::Call,
}

struct History<M: Machine, W> {
    config: M::Config,
    machine: M,
    out: Out<M>,
    now: Now,
    world: W,
    phases: BTreeSet<&'static str>,
    in_flight: BTreeMap<CallId, Flight<M>>,
    /// Open questions, and when they must be answered.
    open: BTreeMap<Ticket, Mono>,
    tickets: u64,
    /// The lowest id that a new call may have.
    next_id: u64,
    /// How it has ended.
    ended: Option<Standing>,
}

impl<M: Machine, W: World<M>> History<M, W> {
    fn new(config: M::Config, world: W) -> Self {
        let mut out = Out::default();
        let machine = M::start(config.clone(), Seed([7; 32]), START, &mut out);
        let mut history = Self {
            config,
            machine,
            out,
            now: START,
            world,
            phases: M::phases(),
            in_flight: BTreeMap::new(),
            open: BTreeMap::new(),
            tickets: 0,
            next_id: 0,
            ended: None,
        };
        history.check();
        history
    }

    fn run(mut self, acts: &[u8]) {
        for act in acts.chunks_exact(2).take(ACTS_MAX) {
            self.act(act[0], act[1]);
        }
        self.heal();
    }

    fn act(&mut self, act: u8, detail: u8) {
        match act % 16 {
            0..=3 => (0..=detail % 64).for_each(|_| self.step()),
            4 | 5 => self.answer(detail, |history, call| history.world.well(call, history.now)),
            6..=8 => self.answer(detail >> 6, |history, call| {
                let other = history.world.other(call, detail & 63, history.now);
                other.unwrap_or_else(|| history.world.well(call, history.now))
            }),
            9 => self.answer(detail >> 4, |_, _| Outcome::Refused(REFUSALS[usize::from(detail % 8)])),
            // It was done, or it was not, and nobody heard.
            10 => self.answer(detail >> 4, |history, call| {
                if detail & 8 != 0 {
                    history.world.well(call, history.now);
                }
                Outcome::Unknown(LOSSES[usize::from(detail) % LOSSES.len()])
            }),
            11 => self.pass(u64::from(detail) * u64::from(detail), 0),
            12 => self.pass(u64::from(detail) * 60_000, i64::from(detail.cast_signed()) * 700),
            13 => self.ask(detail),
            14 => self.withdraw_or_store(detail),
            _ => self.stray_signal_or_die(detail),
        }
    }

    /// The oldest call is answered well, or the time comes that the machine waits for.
    fn step(&mut self) {
        if self.in_flight.is_empty() {
            if let Some((at, _)) = self.machine.poll_timeout() {
                self.pass_to(at);
                self.come(None);
            }
        } else {
            self.answer(0, |history, call| history.world.well(call, history.now));
        }
    }

    fn answer(&mut self, which: u8, end: impl FnOnce(&mut Self, &M::Call) -> Outcome<M::Reply>) {
        let Some(id) = nth(self.in_flight.keys(), which) else { return };
        let flight = self.in_flight.remove(&id).expect("it is one of them");
        let outcome = end(self, &flight.call);
        self.event(Event::Done { id, outcome });
    }

    fn ask(&mut self, detail: u8) {
        let Some(ask) = self.world.ask(detail) else { return };
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        let by = self.now.in_ms(1 + u64::from(detail) * 40);
        self.open.insert(ticket, by);
        self.event(Event::Asked { ticket, by, ask });
    }

    fn withdraw_or_store(&mut self, detail: u8) {
        if detail >= 128 {
            let text = serde_json::to_string(&self.machine).expect("a machine is data");
            let read: M = serde_json::from_str(&text).expect("it is the same data");
            assert_eq!(read, self.machine);
            self.machine = read;
        } else if let Some(ticket) = nth(self.open.keys(), detail) {
            self.close(ticket);
            self.event(Event::Withdrawn { ticket });
        }
    }

    fn stray_signal_or_die(&mut self, detail: u8) {
        match detail {
            // Nobody awaits this answer: its call is done already, or never was. The reply is a call's that was made.
            0..100 => {
                let Some(flight) = self.in_flight.values().next() else { return };
                let outcome = self.world.other(&flight.call, detail, self.now);
                let outcome = outcome.unwrap_or(Outcome::Unknown(Lost::Garbled));
                let done = (0..self.next_id).rev().map(CallId).find(|id| !self.in_flight.contains_key(id));
                let id = done.filter(|_| detail.is_multiple_of(2)).unwrap_or(CallId(u64::MAX));
                self.machine.handle_event(self.now, Event::Done { id, outcome }, &mut self.out);
                let effects = self.out.take();
                let is_notice = |effect: &Effect<M>| matches!(effect, Effect::Notice(_));
                assert!(effects.iter().all(is_notice), "an answer that nobody awaits: {effects:?}");
                self.check();
            }
            100..230 => {
                if let Some(signal) = self.world.signal(detail) {
                    self.event(Event::Signal(signal));
                }
            }
            // The process dies, and another one starts in the same world.
            _ => {
                self.world.restarted();
                self.out = Out::default();
                self.in_flight.clear();
                self.open.clear();
                (self.next_id, self.ended) = (0, None);
                self.machine = M::start(self.config.clone(), Seed([8; 32]), self.now, &mut self.out);
                self.check();
            }
        }
    }

    /// Time passes in one leap, except that what is due on the way happens when it is due.
    fn pass(&mut self, ms: u64, jump_s: i64) {
        let end = self.now.in_ms(ms);
        loop {
            let deadline = self.in_flight.iter().map(|(id, flight)| (flight.by, Some(*id))).min();
            let timeout = self.machine.poll_timeout().map(|(at, _)| (at, None));
            let Some((at, due)) = [deadline, timeout].into_iter().flatten().min() else { break };
            if at > end {
                break;
            }
            self.pass_to(at);
            self.come(due);
        }
        self.pass_to(end);
        self.now.unix.0 = self.now.unix.0.saturating_add_signed(jump_s);
    }

    fn pass_to(&mut self, at: Mono) {
        let at = at.max(self.now.mono);
        self.now.unix.0 += at.0 / 1_000 - self.now.mono.0 / 1_000;
        self.now.mono = at;
    }

    /// The deadline of a call has come, or the machine's own time.
    fn come(&mut self, due: Option<CallId>) {
        if let Some(id) = due {
            self.in_flight.remove(&id);
            self.event(Event::Done { id, outcome: Outcome::Unknown(Lost::Deadline) });
        } else {
            self.machine.handle_timeout(self.now, &mut self.out);
            self.check();
        }
        let late = self.open.iter().find(|(_, by)| **by < self.now.mono);
        assert_eq!(late, None, "a question was not answered in time");
    }

    fn event(&mut self, event: Event<M>) {
        self.machine.handle_event(self.now, event, &mut self.out);
        self.check();
    }

    /// From now on everything answers well.
    fn heal(&mut self) {
        for _ in 0..HEALING_STEPS_MAX {
            match self.machine.standing() {
                Standing::Ready if self.open.is_empty() => return,
                Standing::Finished | Standing::Stopped(_) => return,
                Standing::Starting | Standing::Ready => self.step(),
            }
        }
        panic!("it does not end: {:?}", self.machine);
    }

    /// The laws hold for the effects of a step, and for the state behind it.
    fn check(&mut self) {
        for effect in self.out.take() {
            match effect {
                Effect::Call { id, by, behalf, call } => {
                    assert_eq!(self.ended, None, "who has ended asks for nothing: {call:?}");
                    assert!(id.0 >= self.next_id, "ids are unique");
                    self.next_id = id.0 + 1;
                    assert!(by > self.now.mono || behalf.is_some(), "there is time to answer {call:?}");
                    let patience = behalf.map(|ticket| self.open.get(&ticket).copied());
                    assert!(
                        patience.is_none_or(|until| until.is_some_and(|until| by <= until)),
                        "a call is for an open question and within its patience: {call:?}"
                    );
                    self.in_flight.insert(id, Flight { by, behalf, call });
                }
                Effect::Answer { ticket, answer } => {
                    assert!(self.open.contains_key(&ticket), "one answer, to an open question: {answer:?}");
                    self.close(ticket);
                }
                Effect::Notice(_) => {}
            }
        }
        self.check_state();
    }

    fn check_state(&mut self) {
        let (machine, timeout) = (&self.machine, self.machine.poll_timeout());
        assert!(self.phases.contains(machine.phase()), "{} is none of its phases", machine.phase());
        assert!(!machine.waits_for().is_empty());
        match machine.standing() {
            Standing::Starting | Standing::Ready => {
                assert_eq!(self.ended, None, "who has ended does not begin again");
                assert!(
                    !self.in_flight.is_empty() || timeout.is_some(),
                    "a call is in flight, or a time is set"
                );
            }
            ended @ (Standing::Finished | Standing::Stopped(_)) => {
                assert_eq!(*self.ended.get_or_insert(ended), ended, "the first end stands");
                assert_eq!(timeout, None);
                assert!(self.open.is_empty(), "whoever asked was told");
            }
        }
        if timeout.is_none_or(|(at, _)| self.now.mono < at) {
            let (mut early, mut out) = (machine.clone(), Out::default());
            early.handle_timeout(self.now, &mut out);
            assert!(out.take().is_empty() && early == *machine, "a timeout that comes early changes nothing");
        }
    }

    /// Closing a question aborts its calls.
    fn close(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        self.in_flight.retain(|_, flight| flight.behalf != Some(ticket));
    }
}

fn nth<'a, K: Copy + 'a>(keys: impl ExactSizeIterator<Item = &'a K>, which: u8) -> Option<K> {
    let (count, mut keys) = (keys.len(), keys);
    if count == 0 { None } else { keys.nth(usize::from(which) % count).copied() }
}
