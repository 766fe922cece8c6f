//! Any legal history: replies of any kind and in any order, questions, links, clocks that jump.

use alloc::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::*;

/// More steps than any healthy way to readiness has.
const STEPS_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
enum Action {
    /// One of the calls in flight is answered with one of its replies.
    Answer { which: u8, pick: u8 },
    /// Time passes; the wall clock may jump.
    Pass { ms: u64, jump_s: i64 },
    /// Somebody asks something and listens for so long.
    Ask { what: u8, for_ms: u64 },
    /// One of the open questions is withdrawn.
    Withdraw(u8),
    /// The client library tells about its connection.
    Link(Link),
    /// Somebody wants new documents.
    Renew,
    /// An answer that nobody awaits.
    Stray(u8),
    /// The pod ends.
    Stop,
}

proptest! {
    #[test]
    fn no_history_breaks_a_law_and_a_world_that_is_well_is_served(
        give_up_ms in prop_oneof![Just(0), 10_000_u64..600_000],
        key_origin in prop_oneof![Just(KeyOrigin::Vault), Just(KeyOrigin::Pod)],
        actions in many(action(), 0..200),
    ) {
        let mut world = World::new(Config { give_up_ms, key_origin, ..CONFIG });
        for action in actions {
            world.act(action);
        }
        world.heal();
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        40 => any::<(u8, u8)>().prop_map(|(which, pick)| Action::Answer { which, pick }),
        10 => (0_u64..20_000).prop_map(|ms| Action::Pass { ms, jump_s: 0 }),
        2 => (0_u64..4_000_000).prop_map(|ms| Action::Pass { ms, jump_s: 0 }),
        1 => (0_u64..20_000, -9_000_i64..9_000).prop_map(|(ms, jump_s)| Action::Pass { ms, jump_s }),
        10 => (any::<u8>(), 1_u64..9_000).prop_map(|(what, for_ms)| Action::Ask { what, for_ms }),
        3 => any::<u8>().prop_map(Action::Withdraw),
        4 => prop_oneof![Just(Link::Up), Just(Link::Down)].prop_map(Action::Link),
        1 => Just(Action::Renew),
        1 => any::<u8>().prop_map(Action::Stray),
        1 => prop::bool::weighted(0.1).prop_map(|stop| if stop { Action::Stop } else { Action::Stray(0) }),
    ]
}

struct World {
    bench: Bench,
    in_flight: BTreeMap<CallId, (Mono, Option<Ticket>, Call)>,
    /// Open questions and when they must be answered.
    open: BTreeMap<Ticket, Mono>,
    closed: BTreeSet<Ticket>,
    /// Nothing tells of a link before anybody dialled.
    dialled: bool,
    /// Whether keys were made whose certificates have not come yet.
    keys_ahead: bool,
}

impl World {
    fn new(config: Config) -> Self {
        let (bench, effects) = Bench::start(config);
        let (open, closed) = (BTreeMap::new(), BTreeSet::new());
        let mut world =
            Self { bench, in_flight: BTreeMap::new(), open, closed, dialled: false, keys_ahead: false };
        world.take(effects);
        world
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Answer { which, pick } => self.answer_one(which, pick),
            Action::Pass { ms, jump_s } => self.pass(ms, jump_s),
            Action::Ask { what, for_ms } => {
                let ticket = Ticket(u64::try_from(self.open.len() + self.closed.len()).expect("few"));
                let by = self.bench.now.in_ms(for_ms);
                self.open.insert(ticket, by);
                let ask = [sign_nonce(), publish(), Ask::Subscribe][usize::from(what) % 3].clone();
                let effects = self.bench.ask(ticket.0, by, ask);
                self.take(effects);
            }
            Action::Withdraw(which) => {
                let Some(ticket) = nth(self.open.keys(), which) else { return };
                self.close(ticket);
                let effects = self.bench.event(Event::Withdrawn { ticket });
                self.take(effects);
            }
            Action::Link(link) => {
                if self.dialled {
                    let effects = self.bench.link(link);
                    self.take(effects);
                }
            }
            Action::Renew => {
                let effects = self.bench.renew();
                self.take(effects);
            }
            Action::Stray(pick) => {
                let effects = self.bench.done(1_000_000 + u64::from(pick), written());
                assert!(effects.iter().all(|effect| *effect == notice(Notice::Lapsed)), "{effects:?}");
            }
            Action::Stop => {
                let effects = self.bench.event(Event::Signal(Signal::Stop));
                self.take(effects);
                assert_eq!(self.open, BTreeMap::new());
            }
        }
    }

    fn answer_one(&mut self, which: u8, pick: u8) {
        let Some(id) = nth(self.in_flight.keys(), which) else { return };
        let (_, _, call) = self.in_flight.remove(&id).expect("it is one of them");
        let outcome = self.outcome(&call, pick);
        let effects = self.bench.done(id.0, outcome);
        self.take(effects);
    }

    /// Time passes in one leap, except that what is due on the way happens when it is due.
    fn pass(&mut self, ms: u64, jump_s: i64) {
        let end = self.bench.now.in_ms(ms);
        loop {
            let deadline = self.in_flight.iter().map(|(id, (by, ..))| (*by, Some(*id))).min();
            let timeout = self.bench.machine.poll_timeout().map(|(at, _)| (at, None));
            let Some((at, due)) = [deadline, timeout].into_iter().flatten().min() else { break };
            if at > end {
                break;
            }
            self.bench.pass_to(at.max(self.bench.now.mono));
            self.come(due);
        }
        self.bench.pass_to(end);
        self.bench.now.unix.0 = self.bench.now.unix.0.saturating_add_signed(jump_s);
    }

    /// The deadline of a call has come, or the machine's own time.
    fn come(&mut self, due: Option<CallId>) {
        let effects = match due {
            Some(id) => {
                self.in_flight.remove(&id);
                self.bench.done(id.0, Outcome::Unknown(Lost::Deadline))
            }
            None => self.bench.timeout(),
        };
        self.take(effects);
        let late: Vec<_> = self.open.iter().filter(|(_, by)| **by < self.bench.now.mono).collect();
        assert!(late.is_empty(), "questions that were not answered in time: {late:?}");
    }

    /// From now on everything answers well: the machine must become ready, unless it has ended.
    fn heal(&mut self) {
        for _ in 0..STEPS_MAX {
            match self.bench.machine.standing() {
                Standing::Starting => {}
                Standing::Ready if self.bench.machine.phase() != "Serving" => {}
                Standing::Ready => {
                    self.answer_all();
                    assert_eq!(self.open, BTreeMap::new());
                    assert_eq!(self.bench.machine.dialled, Dialled::Current, "what is held is in use");
                    return;
                }
                Standing::Finished | Standing::Stopped(_) => {
                    assert_eq!(self.open, BTreeMap::new());
                    return;
                }
            }
            if self.in_flight.is_empty() {
                let (at, _) = self.bench.machine.poll_timeout().expect("never stuck");
                self.bench.pass_to(at.max(self.bench.now.mono));
                self.come(None);
            }
            self.answer_all();
        }
        panic!("it never serves: {:?}", self.bench.machine);
    }

    fn answer_all(&mut self) {
        while let Some((id, (_, _, call))) = self.in_flight.pop_first() {
            let outcome = self.well(&call);
            let effects = self.bench.done(id.0, outcome);
            self.take(effects);
        }
    }

    /// The laws hold for the effects of a step, and for the state behind it.
    fn take(&mut self, effects: Vec<Effect<Broker>>) {
        for effect in effects {
            match effect {
                Effect::Call { id, by, behalf, call } => {
                    assert!(by > self.bench.now.mono || behalf.is_some());
                    assert!(behalf.is_none_or(|ticket| self.open.contains_key(&ticket)));
                    assert!(
                        behalf.is_none_or(|ticket| by <= self.open[&ticket]),
                        "within the asker's patience"
                    );
                    self.keys_ahead |= matches!(call, Call::Keys(_));
                    let shows_keys = matches!(
                        call,
                        Call::Volume(volume::Call::WriteBundle { .. })
                            | Call::Listener(_)
                            | Call::Nats(nats::Call::Connect { .. })
                    );
                    assert!(!(shows_keys && self.keys_ahead), "a key is shown with its own certificate only");
                    self.dialled |= matches!(call, Call::Nats(nats::Call::Connect { .. }));
                    assert_eq!(self.in_flight.insert(id, (by, behalf, call)), None, "ids are unique");
                }
                Effect::Answer { ticket, .. } => {
                    assert!(self.open.contains_key(&ticket), "one answer, and only to an open question");
                    self.close(ticket);
                }
                Effect::Notice(Notice::Bootstrapped { .. }) => self.keys_ahead = false,
                Effect::Notice(_) => {}
            }
        }
        self.assert_never_stuck();
    }

    fn assert_never_stuck(&self) {
        let machine = &self.bench.machine;
        assert!(!machine.waits_for().is_empty());
        match machine.standing() {
            Standing::Starting | Standing::Ready => assert!(
                machine.state.awaits().is_some() || machine.poll_timeout().is_some(),
                "a call is in flight, or a time is set"
            ),
            Standing::Finished | Standing::Stopped(_) => {
                assert_eq!(machine.poll_timeout(), None);
                assert_eq!(self.open, BTreeMap::new());
            }
        }
        if let Some(id) = machine.state.awaits() {
            assert!(self.in_flight.contains_key(&id), "what is awaited is in flight");
        }
        assert_eq!(sessions_of(machine), self.open.keys().copied().collect(), "a session for each question");
        let mut early = machine.clone();
        if machine.poll_timeout().is_none_or(|(at, _)| self.bench.now.mono < at) {
            let mut out = Out::default();
            early.handle_timeout(self.bench.now, &mut out);
            assert_eq!((&early, out.take()), (machine, vec![]), "a timeout that comes early changes nothing");
        }
    }

    /// Closing a ticket aborts its calls; their ends may or may not be told.
    fn close(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        assert!(self.closed.insert(ticket), "closed once");
        if ticket.0.is_multiple_of(2) {
            self.in_flight.retain(|_, (_, behalf, _)| *behalf != Some(ticket));
        }
    }

    fn outcome(&self, call: &Call, pick: u8) -> Outcome<Reply> {
        let doubts = doubts();
        let doubt = doubts[usize::from(pick / 8) % doubts.len()].clone();
        let rejection = Rejection::ALL[usize::from(pick / 8) % Rejection::ALL.len()];
        match (call, pick % 8) {
            (_, 0) => doubt,
            (_, 1) if pick > 128 => Outcome::Refused(Refusal::Local),
            (Call::Volume(volume::Call::ReadTrust), 2) => trust(TrustFiles::Missing(TrustFile::Certificate)),
            (Call::Volume(volume::Call::ReadTrust), 3) if pick > 200 => trust(TrustFiles::OtherAuthority),
            (Call::Volume(volume::Call::ReadToken { .. }), 2) => token(TokenFile::Missing),
            (Call::Volume(volume::Call::ReadToken { .. }), 3) if pick > 200 => token(TokenFile::Empty),
            (Call::Bootstrap(_), 2) => rejected_with(rejection),
            (Call::Bootstrap(bootstrap::Call::Component { .. }), 3) if pick > 200 => {
                let user_jwt = account_jwt();
                documents(ComponentDocuments { user_jwt, ..sent("x", self.bench.now.unix.0) })
            }
            (call, _) => self.well(call),
        }
    }

    fn well(&self, call: &Call) -> Outcome<Reply> {
        let unix = self.bench.now.unix.0;
        match call {
            Call::Volume(volume::Call::ReadTrust) => trust(TrustFiles::Read(MountedTrust {
                not_before: Unix(unix - 1),
                not_after: Unix(unix + 1),
                ..mounted()
            })),
            Call::Volume(volume::Call::ReadToken { .. }) => token(TokenFile::Read),
            Call::Volume(volume::Call::WriteBundle { .. }) => written(),
            Call::Bootstrap(bootstrap::Call::Component { .. }) => documents(sent("a", unix)),
            Call::Bootstrap(bootstrap::Call::SignNonce { .. }) => signature(),
            Call::Listener(listener::Call::Present { .. }) => presented(),
            Call::Nats(nats::Call::Connect { .. }) => connected(),
            Call::Nats(nats::Call::Publish { .. }) => published(),
            Call::Keys(keys::Call::MintCertificateKey { into: KEY }) => minted("broker"),
            Call::Keys(keys::Call::MintCertificateKey { .. }) => minted("runtime"),
            Call::Keys(_)
            | Call::Volume(volume::Call::ReadSealKey { .. })
            | Call::Bootstrap(bootstrap::Call::Nats { .. })
            | Call::Listener(listener::Call::Probe { .. }) => {
                panic!("not a broker's call: {call:?}")
            }
        }
    }
}

fn sessions_of(machine: &Broker) -> BTreeSet<Ticket> {
    machine.signing.keys().chain(machine.publishing.keys()).copied().collect()
}

fn nth<'a, K: Copy + 'a>(keys: impl ExactSizeIterator<Item = &'a K>, which: u8) -> Option<K> {
    let count = keys.len();
    let mut keys = keys;
    if count == 0 { None } else { keys.nth(usize::from(which) % count).copied() }
}
