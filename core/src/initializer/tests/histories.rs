//! Any legal history: replies of any kind at any time, a clock that jumps, answers that come too late.

use alloc::collections::BTreeMap;
use alloc::string::String;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::*;

/// More steps than any healthy way to the end has.
const STEPS_MAX: usize = 100;

#[derive(Clone, Copy, Debug)]
enum Action {
    /// The call in flight is answered with one of its replies.
    Answer(u8),
    /// Time passes; the wall clock may jump.
    Pass { ms: u64, jump_s: i64 },
    /// An answer that nobody awaits.
    Stray(u8),
    /// The pod ends.
    Stop,
}

proptest! {
    #[test]
    fn no_history_breaks_a_law_and_every_wait_ends_once_the_world_is_well(
        give_up_ms in prop_oneof![Just(0), 1_000_u64..600_000],
        key_origin in prop_oneof![Just(KeyOrigin::Vault), Just(KeyOrigin::Pod)],
        actions in many(action(), 0..120),
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
        12 => any::<u8>().prop_map(Action::Answer),
        6 => (0_u64..20_000, Just(0)).prop_map(|(ms, jump_s)| Action::Pass { ms, jump_s }),
        1 => (0_u64..20_000, -90_000_i64..90_000).prop_map(|(ms, jump_s)| Action::Pass { ms, jump_s }),
        1 => any::<u8>().prop_map(Action::Stray),
        1 => Just(Action::Stop),
    ]
}

struct World {
    bench: Bench,
    in_flight: BTreeMap<CallId, (Mono, Call)>,
}

impl World {
    fn new(config: Config) -> Self {
        let (bench, effects) = Bench::start(config);
        let mut world = Self { bench, in_flight: BTreeMap::new() };
        world.take(effects);
        world
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Answer(pick) => {
                if let Some((id, (_, call))) = self.in_flight.pop_first() {
                    let outcome = self.outcome(&call, pick);
                    let effects = self.bench.done(id.0, outcome);
                    self.take(effects);
                }
            }
            Action::Pass { ms, jump_s } => self.pass(ms, jump_s),
            Action::Stray(pick) => {
                let before = self.bench.machine.clone();
                assert_eq!(self.bench.done(1_000_000 + u64::from(pick), written()), []);
                assert_eq!(self.bench.machine, before);
            }
            Action::Stop => {
                let effects = self.bench.event(Event::Signal(Signal::Stop));
                self.take(effects);
            }
        }
    }

    /// Time passes in one leap, except that what is due on the way happens when it is due.
    fn pass(&mut self, ms: u64, jump_s: i64) {
        let end = self.bench.now.in_ms(ms);
        loop {
            let deadline = self.in_flight.iter().map(|(id, (by, _))| (*by, Some(*id))).min();
            let timeout = self.bench.machine.poll_timeout().map(|(at, _)| (at, None));
            let Some((at, id)) = [deadline, timeout].into_iter().flatten().min() else { break };
            if at > end {
                break;
            }
            self.bench.pass_to(at.max(self.bench.now.mono));
            let effects = match id {
                Some(id) => {
                    self.in_flight.remove(&id);
                    self.bench.done(id.0, Outcome::Unknown(Lost::Deadline))
                }
                None => self.bench.timeout(),
            };
            self.take(effects);
        }
        self.bench.pass_to(end);
        self.bench.now.unix.0 = self.bench.now.unix.0.saturating_add_signed(jump_s);
    }

    /// From now on everything answers well: the machine must end within its own pauses.
    fn heal(&mut self) {
        for _ in 0..STEPS_MAX {
            match self.bench.machine.standing() {
                Standing::Starting => {}
                Standing::Finished | Standing::Stopped(_) => return,
                Standing::Ready => panic!("an initializer serves nobody"),
            }
            if let Some((id, (_, call))) = self.in_flight.pop_first() {
                let outcome = self.well(&call);
                let effects = self.bench.done(id.0, outcome);
                self.take(effects);
            } else {
                let (at, _) = self.bench.machine.poll_timeout().expect("never stuck");
                self.bench.pass_to(at.max(self.bench.now.mono));
                let effects = self.bench.timeout();
                self.take(effects);
            }
        }
        panic!("it does not end: {:?}", self.bench.machine);
    }

    /// The laws hold for the effects of a step, and for the state behind it.
    fn take(&mut self, effects: Vec<Effect<Initializer>>) {
        for effect in effects {
            match effect {
                Effect::Call { id, by, behalf, call } => {
                    assert!(by > self.bench.now.mono);
                    assert_eq!(behalf, None);
                    assert_eq!(self.in_flight.insert(id, (by, call)), None, "ids are unique");
                }
                Effect::Answer { answer, .. } => match answer {},
                Effect::Notice(_) => {}
            }
        }
        let machine = &self.bench.machine;
        assert!(!machine.waits_for().is_empty());
        match machine.standing() {
            Standing::Starting => assert_eq!(
                machine.state.awaits().is_none(),
                machine.phase() == "BackingOff" && machine.poll_timeout().is_some(),
                "a call is in flight, or a pause ends"
            ),
            Standing::Finished | Standing::Stopped(_) => assert_eq!(machine.poll_timeout(), None),
            Standing::Ready => panic!("an initializer serves nobody"),
        }
        if let Some(id) = machine.state.awaits() {
            assert!(self.in_flight.contains_key(&id), "what is awaited is in flight");
        }
        let mut early = machine.clone();
        if machine.poll_timeout().is_none_or(|(at, _)| self.bench.now.mono < at) {
            let mut out = Out::default();
            early.handle_timeout(self.bench.now, &mut out);
            assert_eq!((&early, out.take()), (machine, vec![]), "a timeout that comes early changes nothing");
        }
    }

    fn outcome(&self, call: &Call, pick: u8) -> Outcome<Reply> {
        let doubts = doubts();
        let doubt = doubts[usize::from(pick) % doubts.len()].clone();
        match (call, pick % 8) {
            (_, 0) => doubt,
            (_, 1) => Outcome::Refused(Refusal::Local),
            (Call::Volume(volume::Call::ReadTrust), 2) => trust(TrustFiles::Missing(TrustFile::Certificate)),
            (Call::Volume(volume::Call::ReadTrust), 3) if pick > 200 => trust(TrustFiles::OtherAuthority),
            (Call::Volume(volume::Call::ReadToken { .. }), 2) => token(TokenFile::Missing),
            (Call::Volume(volume::Call::ReadToken { .. }), 3) if pick > 200 => token(TokenFile::Empty),
            (Call::Bootstrap(_), 2 | 3) => {
                rejected_with(Rejection::ALL[usize::from(pick / 8) % Rejection::ALL.len()])
            }
            (Call::Bootstrap(_), 5) if pick > 200 => {
                Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unfit(Unfit::Key)))
            }
            (Call::Bootstrap(_), 4) if pick > 200 => {
                documents(NatsDocuments { operator: String::from("x"), ..sent() })
            }
            (call, _) => self.well(call),
        }
    }

    fn well(&self, call: &Call) -> Outcome<Reply> {
        let now = self.bench.now.unix;
        match call {
            Call::Volume(volume::Call::ReadTrust) => trust(TrustFiles::Read(MountedTrust {
                not_before: Unix(now.0 - 1),
                not_after: Unix(now.0 + 1),
                ..mounted()
            })),
            Call::Volume(volume::Call::ReadToken { .. }) => token(TokenFile::Read),
            Call::Volume(volume::Call::WriteBundle { .. }) => written(),
            Call::Bootstrap(bootstrap::Call::Nats { .. }) => {
                let certificate = Certificate { not_after: Unix(now.0 + 100), ..sent().certificate };
                documents(NatsDocuments { certificate, ..sent() })
            }
            Call::Keys(keys::Call::MintCertificateKey { .. }) => minted(),
            Call::Keys(_)
            | Call::Volume(volume::Call::ReadSealKey { .. })
            | Call::Bootstrap(bootstrap::Call::Component { .. } | bootstrap::Call::SignNonce { .. }) => {
                panic!("not an initializer's call: {call:?}")
            }
        }
    }
}
