//! Any legal history: answers of any kind at any time, requests applied late, processes that die, clocks that jump.

use alloc::collections::BTreeSet;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::fixtures::*;
use super::lies::lie;
use crate::names::Nonce;
use crate::state::{Opened, State};
use crate::vault::{AuthRole, Health};

/// More steps than any way to the end has once the world is well.
const HEALING_STEPS_MAX: usize = 2_000;

/// Where a wrong step cannot be taken back.
const DEEDS: [&str; 12] = [
    "CreateKey::Creating",
    "Initialize::WritingSent",
    "Initialize::Initializing",
    "Initialize::WritingEnvelope",
    "Initialize::ReadingBack",
    "Commit::Creating",
    "SetUp::LookingUpAgain",
    "SetUp::WritingEnvelope",
    "Configure::Forgetting",
    "Serving",
    "Audit::CreatingCommitted",
    "Audit::Forgetting",
];

#[derive(Clone, Copy, Debug)]
enum Action {
    /// So many calls of the boot are answered well.
    Go(u8),
    /// All of them are, until one of [`DEEDS`] is awaited.
    GoTo(u8),
    /// The call of the boot ends in some way.
    Answer(How),
    /// A call of a session ends in some way.
    AnswerSession(How),
    /// A request whose answer was lost arrives.
    ApplyLate,
    Pass {
        ms: u64,
        jump_s: i64,
    },
    Ask(u8),
    Withdraw(u8),
    /// Vault is restarted, or somebody seals it.
    Seal,
    /// The process dies, and another one starts.
    Die,
    Stop,
    /// The machine is stored and read back.
    Store,
    /// An answer that nobody awaits.
    Stray(u8),
}

/// How a call ends.
#[derive(Clone, Copy, Debug)]
enum How {
    Well,
    Refused(u8),
    /// It was applied, and the answer is lost.
    LostAnswer,
    /// It was not applied, or not yet.
    LostRequest,
    /// An answer of the right kind that is not true. Only in worlds that lie.
    Lie(u8),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_a_law(lies: bool, actions in many(action(), 0..150)) {
        let mut history = History::new(lies);
        for action in actions {
            history.act(action);
        }
        history.heal();
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (1_u8..40).prop_map(Action::Go),
        6 => any::<u8>().prop_map(Action::GoTo),
        12 => how().prop_map(Action::Answer),
        8 => how().prop_map(Action::AnswerSession),
        2 => Just(Action::ApplyLate),
        5 => (0_u64..20_000).prop_map(|ms| Action::Pass { ms, jump_s: 0 }),
        1 => (0_u64..2_000_000, -90_000_i64..90_000).prop_map(|(ms, jump_s)| Action::Pass { ms, jump_s }),
        4 => any::<u8>().prop_map(Action::Ask),
        1 => any::<u8>().prop_map(Action::Withdraw),
        1 => Just(Action::Seal),
        1 => Just(Action::Die),
        1 => prop_oneof![9 => Just(Action::Store), 1 => Just(Action::Stop)],
        1 => any::<u8>().prop_map(Action::Stray),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Well),
        2 => any::<u8>().prop_map(How::Refused),
        1 => Just(How::LostAnswer),
        1 => Just(How::LostRequest),
        2 => any::<u8>().prop_map(How::Lie),
    ]
}

struct History {
    bench: Bench,
    lies: bool,
    late: Vec<Call>,
    /// What the boot of this process asked and heard.
    heard: Vec<(Call, Outcome<Reply>)>,
    /// Questions without an answer.
    open: BTreeSet<Ticket>,
    next_ticket: u64,
}

impl History {
    fn new(lies: bool) -> Self {
        let (bench, told) = Bench::start(config(), World::default());
        let mut history =
            Self { bench, lies, late: vec![], heard: vec![], open: BTreeSet::new(), next_ticket: 0 };
        history.check(&told);
        history
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Go(steps) => (0..steps).for_each(|_| self.answer_boot(How::Well)),
            Action::GoTo(pick) => {
                let deed = DEEDS[usize::from(pick) % DEEDS.len()];
                let there = |history: &Self| history.bench.machine.phase() == deed;
                (0..150).for_each(|_| {
                    if !there(self) {
                        self.answer_boot(How::Well)
                    }
                });
            }
            Action::Answer(how) => self.answer_boot(how),
            Action::AnswerSession(how) => self.answer_session(how),
            Action::ApplyLate => {
                if !self.late.is_empty() {
                    let call = self.late.remove(0);
                    self.bench.world.answer(&call, self.bench.now);
                }
            }
            Action::Pass { ms, jump_s } => self.pass(ms, jump_s),
            Action::Ask(kind) => self.ask(kind),
            Action::Withdraw(pick) => self.withdraw(pick),
            Action::Seal => self.bench.world.sealed = true,
            Action::Die => self.die(),
            Action::Stop => {
                let told = self.bench.stop();
                self.check(&told);
            }
            Action::Store => {
                let text = serde_json::to_string(&self.bench.machine).expect("it is data");
                let read: Controller = serde_json::from_str(&text).expect("it is the same data");
                assert_eq!(read, self.bench.machine);
                self.bench.machine = read;
            }
            Action::Stray(pick) => {
                let before = self.bench.machine.clone();
                let told =
                    self.bench.answer(CallId(1_000_000 + u64::from(pick)), vault(vault::Reply::Written));
                assert_eq!((told, &self.bench.machine), (vec![], &before));
            }
        }
    }

    fn answer_boot(&mut self, how: How) {
        let Some(flight) = self.bench.boot_flight() else { return };
        let outcome = self.end(&flight.call, how);
        self.heard.push((flight.call.clone(), outcome.clone()));
        let told = self.bench.answer(flight.id, outcome);
        self.check(&told);
    }

    fn answer_session(&mut self, how: How) {
        let shared: BTreeSet<CallId> = self.bench.machine.callers.shared_calls().collect();
        let is_callers = |flight: &&Flight| flight.behalf.is_some() || shared.contains(&flight.id);
        let Some(flight) = self.bench.flights.iter().find(is_callers).cloned() else { return };
        let outcome = self.end(&flight.call, how);
        let told = self.bench.answer(flight.id, outcome);
        self.check(&told);
    }

    fn end(&mut self, call: &Call, how: How) -> Outcome<Reply> {
        match how {
            How::Refused(pick) => Outcome::Refused(REFUSALS[usize::from(pick) % REFUSALS.len()]),
            How::LostAnswer => {
                self.bench.world.answer(call, self.bench.now);
                Outcome::Unknown(Lost::Connection)
            }
            How::LostRequest => {
                // The own disk does nothing late: its calls end before the process goes on.
                if !matches!(call, Call::State(_)) {
                    self.late.push(call.clone());
                }
                Outcome::Unknown(Lost::Deadline)
            }
            How::Lie(pick) if self.lies => {
                lie(call, pick).unwrap_or_else(|| self.bench.world.answer(call, self.bench.now))
            }
            How::Well | How::Lie(_) => self.bench.world.answer(call, self.bench.now),
        }
    }

    /// Time passes in one leap, except that what is due on the way happens when it is due.
    fn pass(&mut self, ms: u64, jump_s: i64) {
        let end = self.bench.now.in_ms(ms);
        loop {
            let deadline = self.bench.flights.iter().map(|flight| (flight.by, Some(flight.clone())));
            let timeout = self.bench.machine.poll_timeout().map(|(at, _)| (at, None));
            let Some((at, flight)) = deadline.chain(timeout).min_by_key(|(at, _)| *at) else { break };
            if at > end {
                break;
            }
            self.bench.pass_to(at.max(self.bench.now.mono));
            let told = match flight {
                Some(flight) => {
                    let lost = Outcome::Unknown(Lost::Deadline);
                    let shared = self.bench.machine.callers.shared_calls().any(|id| id == flight.id);
                    if flight.behalf.is_none() && !shared {
                        self.heard.push((flight.call, lost.clone()));
                    }
                    self.bench.answer(flight.id, lost)
                }
                None => self.bench.timeout(),
            };
            self.check(&told);
        }
        self.bench.pass_to(end);
        self.bench.now.unix.0 = self.bench.now.unix.0.saturating_add_signed(jump_s);
    }

    fn ask(&mut self, kind: u8) {
        let ask = match kind % 3 {
            0 => Ask::Nats(None),
            1 => Ask::Component(None),
            _ => Ask::SignNonce { nonce: Nonce::parse("abcDEF012345-_x").expect("a nonce") },
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.open.insert(Ticket(ticket));
        let by = self.bench.now.in_ms(1 + u64::from(kind) * 40);
        // Of every four questions one comes from the pod of all the others, and the keys change now and then.
        self.bench.world.questions_of_a_pod = if kind.is_multiple_of(4) { ALL } else { 1 };
        self.bench.world.signer = 1 + u8::from(kind > 200);
        let told = self.bench.ask(ticket, by, ask);
        self.check(&told);
    }

    fn withdraw(&mut self, pick: u8) {
        let Some(ticket) = self.open.iter().nth(usize::from(pick) % self.open.len().max(1)).copied() else {
            return;
        };
        self.open.remove(&ticket);
        let told = self.bench.event(Event::Withdrawn { ticket });
        self.bench.flights.retain(|flight| flight.behalf != Some(ticket));
        self.bench.slots.close(ticket);
        self.check(&told);
    }

    /// What was in flight may still arrive; the disk's part has either happened or not.
    fn die(&mut self) {
        let flights = core::mem::take(&mut self.bench.flights);
        self.late.extend(flights.into_iter().map(|f| f.call).filter(|call| !matches!(call, Call::State(_))));
        let (bench, told) = Bench::start(config(), self.bench.world.clone());
        let now = self.bench.now;
        self.bench = bench;
        self.bench.now.unix = now.unix;
        self.heard.clear();
        self.open.clear();
        self.check(&told);
    }

    /// From now on everything answers well and nothing arrives late: it comes to serve, or says why not.
    fn heal(&mut self) {
        for _ in 0..HEALING_STEPS_MAX {
            match self.bench.machine.standing() {
                Standing::Ready if self.bench.machine.phase() == "Serving" && self.open.is_empty() => return,
                Standing::Finished | Standing::Stopped(_) => return self.assert_ended(),
                Standing::Starting | Standing::Ready => {}
            }
            if self.bench.flights.iter().any(|flight| flight.behalf.is_some()) {
                self.answer_session(How::Well);
            } else if self.bench.machine.callers.shared_calls().next().is_some() {
                let told = self.bench.step_shared();
                self.check(&told);
            } else if self.bench.boot_flight().is_some() {
                self.answer_boot(How::Well);
            } else {
                let told = self.bench.wait();
                self.check(&told);
            }
        }
        panic!("it does not end: {:?}", self.bench.machine);
    }

    fn assert_ended(&self) {
        assert_eq!(self.open, BTreeSet::new(), "whoever asked was told");
        let has_served = self.bench.machine.memory.certificate.is_some();
        let stranded = self.bench.machine.standing() == Standing::Stopped(Fatal::SetupStranded);
        assert!(!(has_served && stranded), "a stranded login ends nobody who has served");
        if let Standing::Stopped(fatal) = self.bench.machine.standing()
            && !self.lies
        {
            // A world that tells the truth, however rarely, costs at most the one answer that cannot be repeated.
            let lost = matches!(self.bench.world.state, State::Sent { .. }) && self.bench.world.initialized;
            assert!(
                matches!(fatal, Fatal::SetupStranded) || (fatal == Fatal::InitInterrupted && lost),
                "{fatal:?} in {:?}",
                self.bench.world
            );
        }
    }

    /// The laws hold for the effects of a step, and for the state behind it.
    fn check(&mut self, told: &[Told]) {
        for told in told {
            match told {
                Told::Asks(_, call) => self.check_evidence(call),
                Told::AsksFor(ticket, _, _) => assert!(self.open.contains(ticket)),
                Told::Answers(ticket, answer) => {
                    assert!(self.open.remove(ticket), "one answer to {ticket:?}, and no other: {answer:?}");
                }
                Told::Notes(_) => {}
            }
        }
        self.check_progress();
    }

    fn check_progress(&self) {
        let machine = &self.bench.machine;
        let awaited = match &machine.boot {
            Boot::Awaiting(id, _) => Some(*id),
            Boot::StandingBy
            | Boot::Pausing(..)
            | Boot::Waiting(..)
            | Boot::Serving(_)
            | Boot::Finished
            | Boot::Stopped(_) => None,
        };
        let shared: BTreeSet<CallId> = machine.callers.shared_calls().collect();
        let unowned = self.bench.flights.iter().filter(|flight| flight.behalf.is_none());
        let boot = unowned.map(|flight| flight.id).filter(|id| !shared.contains(id));
        let ended = matches!(machine.standing(), Standing::Finished | Standing::Stopped(_));
        if !ended {
            assert_eq!(
                boot.collect::<Vec<_>>(),
                awaited.into_iter().collect::<Vec<_>>(),
                "one call at a time"
            );
            let timeout = machine.poll_timeout();
            assert!(awaited.is_some() || timeout.is_some(), "a call is in flight, or a time is waited for");
            assert!(
                awaited.is_none() || timeout.map(|(at, _)| at) == machine.callers.poll_timeout(),
                "the boot waits for one thing at a time"
            );
        }
        assert!(!machine.waits_for().is_empty());
        let ready = machine.standing() == Standing::Ready;
        let leases = machine.memory.token.is_some() && machine.memory.certificate.is_some();
        assert!(!ready || leases, "nobody is served without a token and a certificate that live");
        assert!(machine.phase() != "Serving" || ready);
        assert_eq!(machine.callers.tickets(), self.open, "no question is lost");
        for ticket in &self.open {
            let calls = self.bench.flights.iter().filter(|flight| flight.behalf == Some(*ticket)).count();
            let waits = machine.callers.is_waiting(*ticket);
            assert_eq!(calls, usize::from(!waits), "whoever does not wait for others awaits one call");
        }
        let late = machine.callers.poll_timeout().is_some_and(|at| at < self.bench.now.mono);
        assert!(!late, "whose time is up was told");
        self.check_callers();
        if machine.poll_timeout().is_none_or(|(at, _)| self.bench.now.mono < at) {
            let (mut early, mut out) = (machine.clone(), Out::default());
            early.handle_timeout(self.bench.now, &mut out);
            assert_eq!((&early, out.take()), (machine, vec![]), "a timeout that comes early changes nothing");
        }
    }

    /// One session at a time for each pod, and no token of Vault's that the machine does not know of.
    fn check_callers(&self) {
        let callers = &self.bench.machine.callers;
        let mut pods: Vec<&str> =
            callers.sessions().values().map(|session| session.caller().pod.uid.as_str()).collect();
        pods.sort_unstable();
        let sessions = pods.len();
        pods.dedup();
        assert_eq!(pods.len(), sessions, "one session for each pod");
        assert!(sessions <= SESSIONS_MAX);
        for login in self.bench.slots.logins() {
            assert!(callers.knows_token(login), "{login:?} is nobody's");
        }
    }

    /// What must have been heard in this process, since its last survey began, before this may be asked.
    fn check_evidence(&self, call: &Call) {
        let begun = self.heard.iter().rposition(|(call, _)| *call == Call::State(state::Call::Claim));
        let heard = &self.heard[begun.unwrap_or(0)..];
        let last = heard.last();
        let some = |wanted: &dyn Fn(&Call, &Outcome<Reply>) -> bool| {
            heard.iter().any(|(call, outcome)| wanted(call, outcome))
        };
        let opened = |root| state(state::Reply::Opened(Opened::Keys { root }));
        let latest_open =
            heard.iter().rfind(|(call, _)| matches!(call, Call::State(state::Call::Open { .. })));
        let opens = |root| matches!(latest_open, Some((_, outcome)) if *outcome == opened(root));
        let written = state(state::Reply::Written);
        let logged_in = some(&|call, outcome| {
            matches!(call, Call::Vault(vault::Call::Login { role: AuthRole::Controller, .. }))
                && matches!(outcome, Outcome::Ok(_))
        });
        match call {
            Call::Vault(vault::Call::Initialize) => {
                let sent = matches!(last, Some((Call::State(state::Call::WriteSent { .. }), outcome)) if *outcome == written);
                assert!(sent, "{last:?}");
                assert!(some(&|call, outcome| {
                    *call == Call::Kubernetes(kubernetes::Call::ReadCommitted)
                        && *outcome == kubernetes(kubernetes::Reply::Committed(None))
                }));
            }
            Call::State(state::Call::WriteEnvelope { root: true, .. }) => assert_keys_are_new(heard),
            Call::State(state::Call::WriteEnvelope { root: false, .. }) => {
                let dead = |call: &Call, outcome: &Outcome<Reply>| {
                    matches!(call, Call::Vault(vault::Call::LookupSelf { .. }))
                        && *outcome == Outcome::Refused(Refusal::Unauthenticated)
                };
                let swept = |call: &Call, outcome: &Outcome<Reply>| {
                    matches!(call, Call::Vault(vault::Call::ListAccessors { .. }))
                        && matches!(outcome, Outcome::Ok(_))
                };
                assert!(some(&dead) && some(&swept) && logged_in);
                assert!(opens(true) || rewrites_envelope(heard), "{heard:?}");
            }
            Call::Kubernetes(kubernetes::Call::CreateCommitted { .. }) => {
                assert!(opens(true) || opens(false))
            }
            Call::Vault(vault::Call::Unseal { .. }) => {
                let committed = some(&|call, outcome| {
                    *call == Call::Kubernetes(kubernetes::Call::ReadCommitted)
                        && matches!(outcome, Outcome::Ok(reply) if *reply != Reply::Kubernetes(kubernetes::Reply::Committed(None)))
                });
                assert!(opens(false) || (opens(true) && committed));
            }
            Call::Vault(vault::Call::RevokeSelf { .. }) => {
                assert_eq!(
                    last.map(|(_, outcome)| outcome),
                    Some(&vault(vault::Reply::Health(Health::Active)))
                );
                assert!(logged_in && opens(true));
            }
            Call::State(state::Call::Claim) => assert!(
                !matches!(last, Some((Call::State(state::Call::WriteEnvelope { .. }), _))),
                "the only copy is read back before anything else"
            ),
            Call::Listener(listener::Call::Probe { leaf }) => assert!(
                matches!(
                    last,
                    Some((Call::Listener(listener::Call::Present { leaf: given, .. }), Outcome::Ok(_))) if given == leaf
                ),
                "{last:?}"
            ),
            Call::Listener(listener::Call::Present { .. }) => assert!(matches!(
                last,
                Some((
                    Call::Kubernetes(
                        kubernetes::Call::CreateTrust { .. } | kubernetes::Call::UpdateTrust { .. }
                    ),
                    Outcome::Ok(_)
                ))
            )),
            Call::Vault(_) | Call::Kubernetes(_) | Call::State(_) | Call::Volume(_) | Call::Keys(_) => {}
        }
    }
}

/// Nothing was done since the envelope without root was first written but to write it and to read it back.
fn rewrites_envelope(heard: &[(Call, Outcome<Reply>)]) -> bool {
    let without_root =
        |call: &Call| matches!(call, Call::State(state::Call::WriteEnvelope { root: false, .. }));
    let Some(first) = heard.iter().position(|(call, _)| without_root(call)) else { return false };
    let read_back = state(state::Reply::Opened(Opened::Keys { root: false }));
    heard[first..].iter().all(|(call, outcome)| match call {
        Call::State(state::Call::Open { .. }) => *outcome != read_back,
        Call::State(_)
        | Call::Vault(_)
        | Call::Kubernetes(_)
        | Call::Volume(_)
        | Call::Keys(_)
        | Call::Listener(_) => without_root(call),
    })
}

/// Nothing was done since Vault gave the keys but to write them and to read them back.
fn assert_keys_are_new(heard: &[(Call, Outcome<Reply>)]) {
    let given = heard.iter().rposition(|(call, _)| *call == Call::Vault(vault::Call::Initialize));
    let given = given.expect("nothing is sealed that was not just made");
    assert_eq!(heard[given].1, vault(vault::Reply::Initialized));
    let read_back = state(state::Reply::Opened(Opened::Keys { root: true }));
    for (call, outcome) in &heard[given + 1..] {
        assert!(matches!(call, Call::State(state::Call::WriteEnvelope { .. } | state::Call::Open { .. })));
        assert_ne!(*outcome, read_back, "what was read back is not written again");
    }
}
