//! What the tests of the controller begin with: a machine, its clock, and a world that answers it well.

pub(super) use alloc::format;
pub(super) use alloc::string::String;
pub(super) use alloc::vec;
pub(super) use alloc::vec::Vec;

pub(super) use super::slots::Slots;
pub(super) use super::world::{World, accessor, identity, key_id, pem};
pub(super) use crate::controller::table::Decision;
pub(super) use crate::controller::turn::Lease;
pub(super) use crate::controller::*;
pub(super) use crate::fatal::Fatal;
pub(super) use crate::machine::{Effect, Lost, Machine, Refusal, Standing};
pub(super) use crate::names::{Identity, Installation, LifeId, Namespace, PodName, TrustDomain, Uid};
pub(super) use crate::secret::{Asker, Own, Secret};
pub(super) use crate::time::Unix;
pub(super) use crate::{keys, kubernetes, listener, state, vault, volume};

pub(super) const UNIX: u64 = 1_800_000_000;
pub(super) const START: Now = Now { mono: Mono(0), unix: Unix(UNIX) };
pub(super) const SEED: Seed = Seed([7; 32]);
pub(super) const GRACE_MS: u64 = 180_000;
/// Of all questions, as many as [`World::questions_of_a_pod`] may say.
pub(super) const ALL: u64 = u64::MAX;

/// More steps than any healthy way between two phases has.
const STEPS_MAX: usize = 1_000;

/// A machine, its clock, its world and what is in flight between them.
pub(super) struct Bench {
    pub(super) machine: Controller,
    pub(super) now: Now,
    pub(super) world: World,
    pub(super) slots: Slots,
    /// Oldest first.
    pub(super) flights: Vec<Flight>,
    out: Out<Controller>,
    next_id: u64,
}

/// A call that was not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) id: CallId,
    pub(super) by: Mono,
    pub(super) behalf: Option<Ticket>,
    pub(super) call: Call,
}

/// An effect without its id, which [`Bench`] checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A call of the boot, to be answered within so many milliseconds.
    Asks(u64, Call),
    /// A call of a session, to be answered by that moment.
    AsksFor(Ticket, Mono, Call),
    Answers(Ticket, Answer),
    Notes(Notice),
}

impl Bench {
    pub(super) fn start(config: Config, world: World) -> (Self, Vec<Told>) {
        let mut out = Out::default();
        let machine = Controller::start(config, SEED, START, &mut out);
        let (slots, flights) = (Slots::default(), Vec::new());
        let mut bench = Self { machine, now: START, world, slots, flights, out, next_id: 0 };
        let told = bench.take();
        (bench, told)
    }

    /// A machine on its way through a first start that is in this phase.
    pub(super) fn at(phase: &str) -> Self {
        Self::at_in(World::default(), phase)
    }

    /// The same in a world of one's own.
    pub(super) fn at_in(world: World, phase: &str) -> Self {
        let (mut bench, _) = Self::start(config(), world);
        bench.forward_to(phase);
        bench
    }

    /// Answers well until the machine is in this phase.
    pub(super) fn forward_to(&mut self, phase: &str) {
        for _ in 0..STEPS_MAX {
            if self.machine.phase() == phase {
                return;
            }
            self.step();
        }
        panic!("no way to {phase}; it got to {}: {}", self.machine.phase(), self.machine.waits_for());
    }

    /// The world answers what the boot awaits, or the time comes that it waits for.
    pub(super) fn step(&mut self) -> Vec<Told> {
        let Some(flight) = self.boot_flight() else { return self.wait() };
        let outcome = self.world.answer(&flight.call, self.now);
        self.done(outcome)
    }

    /// Answers what the boot awaits.
    pub(super) fn done(&mut self, outcome: Outcome<Reply>) -> Vec<Told> {
        let flight = self.boot_flight().expect("the boot awaits an answer");
        self.answer(flight.id, outcome)
    }

    /// Answers what the session of this ticket awaits.
    pub(super) fn done_for(&mut self, ticket: Ticket, outcome: Outcome<Reply>) -> Vec<Told> {
        let flight = self.flights.iter().find(|flight| flight.behalf == Some(ticket));
        let id = flight.expect("the session awaits an answer").id;
        self.answer(id, outcome)
    }

    /// The world answers what the session of this ticket awaits.
    pub(super) fn step_for(&mut self, ticket: Ticket) -> Vec<Told> {
        let flight = self.flights.iter().find(|flight| flight.behalf == Some(ticket));
        let call = flight.expect("the session awaits an answer").call.clone();
        let outcome = self.world.answer(&call, self.now);
        self.done_for(ticket, outcome)
    }

    pub(super) fn ask(&mut self, ticket: u64, by: Mono, ask: Ask) -> Vec<Told> {
        self.slots.open(Ticket(ticket));
        self.event(Event::Asked { ticket: Ticket(ticket), by, ask })
    }

    /// The same, and what is examined before anybody outside is asked on the caller's behalf is in order.
    pub(super) fn let_in(&mut self, ticket: u64, by: Mono, ask: Ask) -> Vec<Told> {
        self.ask(ticket, by, ask);
        self.step_shared();
        self.step_for(Ticket(ticket))
    }

    /// The world answers what the callers share, for as long as they ask for it.
    pub(super) fn step_shared(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(id) = self.machine.callers.shared_calls().next() {
            let flight = self.flights.iter().find(|flight| flight.id == id).expect("it is in flight");
            let call = flight.call.clone();
            let outcome = self.world.answer(&call, self.now);
            told.extend(self.answer(id, outcome));
        }
        told
    }

    pub(super) fn stop(&mut self) -> Vec<Told> {
        self.event(Event::Signal(Signal::Stop))
    }

    pub(super) fn answer(&mut self, id: CallId, outcome: Outcome<Reply>) -> Vec<Told> {
        if let Some(at) = self.flights.iter().position(|flight| flight.id == id) {
            let flight = self.flights.remove(at);
            self.slots.decode(&flight.call, &outcome);
        }
        self.event(Event::Done { id, outcome })
    }

    pub(super) fn event(&mut self, event: Event<Controller>) -> Vec<Told> {
        self.machine.handle_event(self.now, event, &mut self.out);
        self.take()
    }

    pub(super) fn timeout(&mut self) -> Vec<Told> {
        self.machine.handle_timeout(self.now, &mut self.out);
        self.take()
    }

    /// The moment comes that the machine waits for.
    pub(super) fn wait(&mut self) -> Vec<Told> {
        let (at, _) = self.machine.poll_timeout().expect("a call is in flight, or a time is waited for");
        self.pass_to(at.max(self.now.mono));
        self.timeout()
    }

    pub(super) fn pass_to(&mut self, at: Mono) {
        self.now.unix.0 += (at.0 - self.now.mono.0) / 1_000;
        self.now.mono = at;
    }

    pub(super) fn boot_flight(&self) -> Option<Flight> {
        let Boot::Awaiting(id, _) = &self.machine.boot else { return None };
        self.flights.iter().find(|flight| flight.id == *id).cloned()
    }

    /// Where the machine is and what it waits for.
    pub(super) fn stands(&self) -> (&'static str, &'static str) {
        (self.machine.phase(), self.machine.waits_for())
    }

    /// The machine looks at the world again after the first back-off, and says why.
    pub(super) fn assert_waits(&self, wait: Wait) {
        assert_eq!(self.stands(), ("Waiting", wait.sentence()));
        let until = backoff(SEED, Attempt(0), self.now);
        assert_eq!(self.machine.poll_timeout(), Some((until, wait.sentence())));
    }

    /// The machine goes on with what it did after this pause, and says why it does not at once.
    pub(super) fn assert_pauses(&self, pause_ms: u64, wait: Wait) {
        assert_eq!(self.machine.poll_timeout(), Some((self.now.in_ms(pause_ms), wait.sentence())));
        assert_eq!(self.machine.waits_for(), wait.sentence());
    }

    pub(super) fn assert_stopped(&self, fatal: Fatal) {
        assert_eq!(self.stands(), ("Stopped", fatal.cause()));
        assert_eq!(self.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(self.machine.poll_timeout(), None);
    }

    fn take(&mut self) -> Vec<Told> {
        let effects = self.out.take();
        effects.into_iter().map(|effect| self.note(effect)).collect()
    }

    fn note(&mut self, effect: Effect<Controller>) -> Told {
        match effect {
            Effect::Call { id, by, behalf, call } => {
                assert_eq!(id, CallId(self.next_id), "ids are given out in order");
                self.next_id += 1;
                self.slots.encode(&call);
                self.flights.push(Flight { id, by, behalf, call: call.clone() });
                match behalf {
                    None => Told::Asks(by.0 - self.now.mono.0, call),
                    Some(ticket) => Told::AsksFor(ticket, by, call),
                }
            }
            Effect::Answer { ticket, answer } => {
                self.flights.retain(|flight| flight.behalf != Some(ticket));
                self.slots.close(ticket);
                Told::Answers(ticket, answer)
            }
            Effect::Notice(notice) => Told::Notes(notice),
        }
    }
}

impl World {
    /// A world in which a controller has come to serve.
    pub(super) fn converged() -> Self {
        let mut world = Bench::at("Serving").world;
        world.deeds.clear();
        world
    }
}

pub(super) fn config() -> Config {
    Config {
        pod: PodName::parse("kubefox-0").expect("a pod name"),
        installation: Installation::parse("blue").expect("a name"),
        trust_domain: TrustDomain::parse("cluster.local").expect("a trust domain"),
        namespace: Namespace::parse("kubefox").expect("a namespace"),
        tenant_namespaces: vec![Namespace::parse("team0").expect("a namespace")],
        kubernetes_host: "https://10.0.0.1:443".into(),
        kubernetes_ca: "-----BEGIN CERTIFICATE-----\n".into(),
        allow_plain_state_dir: false,
        seal_key_grace_ms: GRACE_MS,
        recover_interrupted_init: None,
    }
}

/// The life that a machine with [`SEED`] begins.
pub(super) fn life() -> LifeId {
    let digits = crate::retry::draw(SEED, crate::retry::Stream::LifeId, 0);
    LifeId::parse(&format!("{digits:016x}")).expect("sixteen digits")
}

pub(super) fn other_life() -> LifeId {
    LifeId::parse("00000000000000ff").expect("sixteen digits")
}

pub(super) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a uid")
}

pub(super) const fn vault(reply: vault::Reply) -> Outcome<Reply> {
    Outcome::Ok(Reply::Vault(reply))
}

pub(super) const fn kubernetes(reply: kubernetes::Reply) -> Outcome<Reply> {
    Outcome::Ok(Reply::Kubernetes(reply))
}

pub(super) const fn state(reply: state::Reply) -> Outcome<Reply> {
    Outcome::Ok(Reply::State(reply))
}

pub(super) const fn token_file(file: volume::TokenFile) -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Token(file)))
}

pub(super) const REFUSALS: [Refusal; 8] = [
    Refusal::Denied,
    Refusal::Unauthenticated,
    Refusal::Unclear,
    Refusal::Conflict,
    Refusal::Invalid,
    Refusal::NotReady,
    Refusal::Busy,
    Refusal::Local,
];

/// Every way to get no answer.
pub(super) fn doubts() -> impl Iterator<Item = Outcome<Reply>> {
    let lost = [Lost::Deadline, Lost::Connection, Lost::ServerError, Lost::Garbled];
    REFUSALS.map(Outcome::Refused).into_iter().chain(lost.map(Outcome::Unknown))
}

/// Every survey begins with this.
pub(super) const INSPECT: Told = Told::Asks(2_000, Call::State(state::Call::Claim));

/// A read or a write of Vault's by the boot.
pub(super) const fn asks_vault(call: vault::Call) -> Told {
    Told::Asks(10_000, Call::Vault(call))
}

pub(super) const fn asks_kubernetes(call: kubernetes::Call) -> Told {
    Told::Asks(10_000, Call::Kubernetes(call))
}

pub(super) const fn asks_state(call: state::Call) -> Told {
    Told::Asks(10_000, Call::State(call))
}

pub(super) const fn asks_for_token(token: volume::Token, into: Own) -> Told {
    Told::Asks(2_000, Call::Volume(volume::Call::ReadToken { token, into: Secret::Own(into) }))
}
