//! State and event in, the whole list of effects out; and every point at which it may be killed.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::kubernetes::Marked;
use crate::machine::{Effect, Lost};
use crate::names::{KeyId, Uid};

const UNIX: u64 = 1_800_000_000;
const START: Now = Now { mono: Mono(0), unix: Unix(UNIX) };
const SEED: Seed = Seed([7; 32]);

#[test]
fn without_a_mark_it_is_one_read_of_its_own_directory_and_the_end() {
    for state in [
        BootState::Absent,
        BootState::Intent { life: life() },
        BootState::Sent { life: life(), attempt: 1, recoveries: 0 },
        BootState::Foreign { life: life() },
        BootState::Envelope {
            life: life(),
            generation: 1,
            key: KeyId::parse(&"0".repeat(32)).expect("a key id"),
        },
        BootState::Corrupt,
        BootState::OtherInstallation,
    ] {
        let (mut bench, effects) = Bench::start(World { state, ..World::marked() });
        assert_eq!(effects, [call(0, LOCAL_MS, CLAIM)]);
        assert_eq!(bench.answer(), [call(1, LOCAL_MS, READ_STATE)]);
        assert_eq!(bench.answer(), [Effect::Notice(Notice::NotMarked)]);
        assert_eq!(bench.machine.standing(), Standing::Finished);
        assert_eq!(bench.world, World { state: bench.world.state.clone(), ..World::marked() });
    }
}

#[test]
fn on_an_empty_volume_there_is_nothing_to_claim_and_nothing_to_do() {
    let (mut bench, effects) = Bench::start(World { claimed: Claimed::Missing, ..World::marked() });
    assert_eq!(effects, [call(0, LOCAL_MS, CLAIM)]);
    assert_eq!(bench.answer(), [Effect::Notice(Notice::NotMarked)]);
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

#[test]
fn every_state_that_a_quarantine_comes_to_is_on_the_list() {
    let (mut bench, _) = Bench::start(World::marked());
    let mut met = BTreeSet::from([bench.machine.phase()]);
    while bench.machine.standing() == Standing::Starting {
        bench.answer();
        met.insert(bench.machine.phase());
    }

    let rest = Quarantine::phases().into_iter().filter(|state| !met.contains(state));
    assert_eq!(rest.collect::<Vec<_>>(), ["BackingOff", "Stopped"]);
    assert!(met.is_subset(&Quarantine::phases()), "{met:?}");
}

#[test]
fn with_a_mark_vaults_data_is_moved_aside_and_its_directory_made_anew() {
    let (mut bench, _) = Bench::start(World::marked());
    bench.answer();
    let into = Secret::Own(Own::ApiJwt);
    let read_token = Call::Volume(volume::Call::ReadToken { token: Token::Api, into });
    let marked = Notice::Marked { life: life(), recoveries: 2 };
    assert_eq!(bench.answer(), [Effect::Notice(marked), call(2, LOCAL_MS, read_token)]);
    let read_committed = Call::Kubernetes(kubernetes::Call::ReadCommitted);
    assert_eq!(bench.answer(), [call(3, REMOTE_MS, read_committed)]);
    assert_eq!(bench.answer(), [call(4, LOCAL_MS, Call::Storage(storage::Call::Inspect))]);
    let at = Unix(UNIX);
    assert_eq!(bench.answer(), [call(5, LOCAL_MS, Call::Storage(storage::Call::MoveAside { at }))]);
    let create = Call::Storage(storage::Call::Create);
    assert_eq!(bench.answer(), [Effect::Notice(Notice::MovedAside { at }), call(6, LOCAL_MS, create)]);
    let sent = state::Call::WriteSent { life: life(), attempt: 1, recoveries: 3 };
    assert_eq!(bench.answer(), [call(7, LOCAL_MS, Call::State(sent))]);
    assert_eq!(bench.answer(), []);
    assert_eq!(bench.machine.standing(), Standing::Finished);
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(bench.world, World::recovered());
}

#[test]
fn killed_at_any_point_and_run_again_it_does_what_is_left() {
    let calls = 8;
    for carried_out in [false, true] {
        for killed_at in 0..calls {
            let (mut bench, _) = Bench::start(World::marked());
            (0..killed_at).for_each(|_| {
                bench.answer();
            });
            if carried_out {
                bench.answer();
            }
            let (mut again, _) = Bench::start(bench.world);
            again.run();
            assert_eq!(again.machine.standing(), Standing::Finished, "{killed_at} {carried_out}");
            assert_eq!(again.world, World::recovered());
        }
    }
}

#[test]
fn every_doubt_is_waited_out_with_a_sentence_and_nothing_touched_meanwhile() {
    for (calls, wait) in [
        (0, Wait::StateDirectory),
        (1, Wait::StateFile),
        (2, Wait::Token),
        (3, Wait::ApiServer),
        (4, Wait::Volume),
        (5, Wait::Volume),
        (6, Wait::Volume),
        (7, Wait::StateWrite),
    ] {
        for lost in [Lost::Deadline, Lost::Connection, Lost::ServerError, Lost::Garbled] {
            let (mut bench, _) = Bench::start(World::marked());
            (0..calls).for_each(|_| {
                bench.answer();
            });
            let before = bench.world.clone();
            assert_eq!(bench.done(Outcome::Unknown(lost)), [Effect::Notice(Notice::Waiting(wait))]);
            let until = backoff(SEED, Attempt(0), START);
            assert_eq!(bench.machine.poll_timeout(), Some((until, wait.sentence())));
            assert_eq!(bench.machine.waits_for(), wait.sentence());
            assert_eq!(bench.world, before);

            bench.run();
            assert_eq!(bench.machine.standing(), Standing::Finished);
        }
    }
}

#[test]
fn while_another_process_holds_the_directory_nothing_else_is_asked() {
    for (claimed, wait) in [(Claimed::Others, Wait::StateHeld), (Claimed::Unlockable, Wait::StateUnlockable)]
    {
        let (mut bench, effects) = Bench::start(World { claimed, ..World::marked() });
        assert_eq!(effects, [call(0, LOCAL_MS, CLAIM)]);
        assert_eq!(bench.answer(), [Effect::Notice(Notice::Waiting(wait))]);
        for _ in 0..20 {
            assert_eq!(bench.machine.waits_for(), wait.sentence());
            bench.forward_to("ClaimingDirectory");
            assert_eq!(bench.answer(), [], "told once");
        }
        assert_eq!(bench.world, World { claimed, ..World::marked() });

        bench.world.claimed = World::marked().claimed;
        bench.run();
        assert_eq!(bench.machine.standing(), Standing::Finished);
    }
}

#[test]
fn a_silent_api_server_is_no_404_however_long_it_is_silent() {
    let (mut bench, _) = Bench::start(World::marked());
    for _ in 0..50 {
        bench.forward_to("ReadingCommitted");
        bench.done(Outcome::Unknown(Lost::Deadline));
        bench.forward_to("ReadingCommitted");
        bench.done(Outcome::Refused(Refusal::Denied));
    }
    assert_eq!(bench.world, World::marked());
    assert_eq!(bench.machine.standing(), Standing::Starting);
}

#[test]
fn what_speaks_against_it_has_a_name_and_nothing_is_touched() {
    let other = LifeId::parse("00000000000000ff").expect("a life id");
    let committed = |life| Some(Marked { life, deleting: false });
    for (world, fatal) in [
        (World { committed: committed(Some(life())), ..World::marked() }, Fatal::DiskRolledBack),
        (World { committed: committed(Some(other)), ..World::marked() }, Fatal::EarlierLife),
        (World { committed: committed(None), ..World::marked() }, Fatal::EarlierLife),
        (World { one_file_system: false, ..World::marked() }, Fatal::VolumesApart),
        (World { state: mark(RECOVERIES_MAX), ..World::marked() }, Fatal::RecoveryExhausted),
    ] {
        let (mut bench, _) = Bench::start(world.clone());
        bench.run();
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(bench.machine.waits_for(), fatal.cause());
        assert_eq!(bench.world, world);
    }
}

#[test]
fn a_name_that_is_taken_is_never_replaced() {
    let (mut bench, _) = Bench::start(World { quarantines: vec![Unix(UNIX)], ..World::marked() });
    bench.run();
    assert_eq!(bench.machine.standing(), Standing::Finished);
    let [first, second] = bench.world.quarantines[..] else { panic!("{:?}", bench.world) };
    assert_eq!(first, Unix(UNIX));
    assert!(second > first);
}

#[test]
fn a_system_that_refuses_three_times_is_named() {
    for phase in ["MovingAside", "Creating"] {
        let (mut bench, _) = Bench::start(World::marked());
        for _ in 0..REFUSED_MAX {
            bench.forward_to(phase);
            bench.done(Outcome::Refused(Refusal::Local));
        }
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::QuarantineRefused), "{phase}");
    }
}

#[test]
fn a_stop_before_the_end_does_not_look_like_the_end() {
    let (mut bench, _) = Bench::start(World::marked());
    bench.forward_to("ReadingCommitted");
    bench.done(Outcome::Unknown(Lost::Connection));
    bench.event(Event::Signal(Signal::Stop));
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::GaveUp));
    assert_eq!(bench.machine.waits_for(), Wait::ApiServer.sentence());

    let (mut finished, _) = Bench::start(World::marked());
    finished.run();
    finished.event(Event::Signal(Signal::Stop));
    assert_eq!(finished.machine.standing(), Standing::Finished);
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let (mut bench, _) = Bench::start(World::marked());
    let before = bench.machine.clone();
    let stray = Event::Done { id: CallId(9), outcome: Outcome::Unknown(Lost::Deadline) };
    assert_eq!(bench.event(stray), []);
    assert_eq!(bench.machine, before);
}

const CLAIM: Call = Call::State(state::Call::Claim);
const READ_STATE: Call = Call::State(state::Call::Read);

/// A call of the first millisecond.
const fn call(id: u64, within_ms: u64, call: Call) -> Effect<Quarantine> {
    Effect::Call { id: CallId(id), by: Mono(within_ms), behalf: None, call }
}

fn life() -> LifeId {
    LifeId::parse("0123456789abcdef").expect("a life id")
}

fn mark(recoveries: u32) -> BootState {
    BootState::Recover { life: life(), attempt: 1, recoveries, pod: Uid::parse("3f1c").expect("a uid") }
}

/// The volume and the cluster, which do what they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    claimed: Claimed,
    state: BootState,
    committed: Option<Marked>,
    one_file_system: bool,
    data: Data,
    quarantines: Vec<Unix>,
}

impl World {
    /// An initialization was interrupted, and what it left is to be moved aside.
    fn marked() -> Self {
        Self {
            claimed: Claimed::Ours { mount_point: true },
            state: mark(2),
            committed: None,
            one_file_system: true,
            data: Data::Present,
            quarantines: Vec::new(),
        }
    }

    /// What it left is moved aside, and counted.
    fn recovered() -> Self {
        let state = BootState::Sent { life: life(), attempt: 1, recoveries: 3 };
        Self { state, data: Data::Empty, quarantines: vec![Unix(UNIX)], ..Self::marked() }
    }

    fn answer(&mut self, call: &Call) -> Outcome<Reply> {
        match call {
            Call::State(state::Call::WriteSent { life, attempt, recoveries }) => {
                let (attempt, recoveries) = (*attempt, *recoveries);
                self.state = BootState::Sent { life: life.clone(), attempt, recoveries };
                Outcome::Ok(Reply::State(state::Reply::Written))
            }
            Call::State(state::Call::Claim) => Outcome::Ok(Reply::State(state::Reply::Claimed(self.claimed))),
            Call::State(state::Call::Read) => {
                Outcome::Ok(Reply::State(state::Reply::State(self.state.clone())))
            }
            Call::Volume(volume::Call::ReadToken { token: Token::Api, .. }) => {
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read)))
            }
            Call::Kubernetes(kubernetes::Call::ReadCommitted) => {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Committed(self.committed.clone())))
            }
            Call::Storage(call) => self.storage(call).map(Reply::Storage),
            Call::State(_) | Call::Volume(_) | Call::Kubernetes(_) => panic!("none of its calls: {call:?}"),
        }
    }

    fn storage(&mut self, call: &storage::Call) -> Outcome<storage::Reply> {
        match (call, self.data) {
            (storage::Call::Inspect, data) => {
                let one_file_system = self.one_file_system;
                return Outcome::Ok(storage::Reply::Inspected(Facts { one_file_system, data }));
            }
            (storage::Call::MoveAside { at }, _) if self.quarantines.contains(at) => {
                return Outcome::Refused(Refusal::Conflict);
            }
            (storage::Call::MoveAside { .. }, Data::Missing) => return Outcome::Refused(Refusal::Local),
            (storage::Call::MoveAside { at }, Data::Empty | Data::Present) => {
                self.quarantines.push(*at);
                self.data = Data::Missing;
            }
            (storage::Call::Create, Data::Missing) => self.data = Data::Empty,
            (storage::Call::Create, Data::Empty | Data::Present) => {
                return Outcome::Refused(Refusal::Conflict);
            }
        }
        Outcome::Ok(storage::Reply::Done)
    }
}

/// A machine, its clock and its world.
struct Bench {
    machine: Quarantine,
    now: Now,
    world: World,
    awaited: Option<(CallId, Call)>,
    out: Out<Quarantine>,
}

impl Bench {
    fn start(world: World) -> (Self, Vec<Effect<Quarantine>>) {
        let mut out = Out::default();
        let machine = Quarantine::start(Config, SEED, START, &mut out);
        let mut bench = Self { machine, now: START, world, awaited: None, out };
        let effects = bench.take();
        (bench, effects)
    }

    /// The world answers what is awaited.
    fn answer(&mut self) -> Vec<Effect<Quarantine>> {
        let (_, call) = self.awaited.clone().expect("an answer is awaited");
        let outcome = self.world.answer(&call);
        self.done(outcome)
    }

    fn done(&mut self, outcome: Outcome<Reply>) -> Vec<Effect<Quarantine>> {
        let (id, _) = self.awaited.take().expect("an answer is awaited");
        self.event(Event::Done { id, outcome })
    }

    fn event(&mut self, event: Event<Quarantine>) -> Vec<Effect<Quarantine>> {
        self.machine.handle_event(self.now, event, &mut self.out);
        self.take()
    }

    fn step(&mut self) {
        if self.awaited.is_some() {
            self.answer();
            return;
        }
        let (at, _) = self.machine.poll_timeout().expect("a call is in flight, or a time is waited for");
        self.now = Now { mono: at, unix: Unix(UNIX + at.0 / 1_000) };
        self.machine.handle_timeout(self.now, &mut self.out);
        self.take();
    }

    fn forward_to(&mut self, phase: &str) {
        while self.machine.phase() != phase {
            self.step();
        }
    }

    /// Until it ends.
    fn run(&mut self) {
        while self.machine.standing() == Standing::Starting {
            self.step();
        }
    }

    fn take(&mut self) -> Vec<Effect<Quarantine>> {
        let effects = self.out.take();
        for effect in &effects {
            if let Effect::Call { id, call, .. } = effect {
                self.awaited = Some((*id, call.clone()));
            }
        }
        effects
    }
}
