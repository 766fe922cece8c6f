//! Recovering an interrupted initialization: a mark, the end of the own pod, and a new beginning in the next one.

use super::fixtures::*;
use crate::kubernetes::{Marked, Pod};
use crate::state::{RECOVERIES_MAX, State};

#[test]
fn an_interrupted_initialization_is_marked_and_the_pod_replaced() {
    let mut bench = recovering(interrupted(0));
    bench.forward_to("Recover::WritingMark");
    assert_eq!(bench.step(), [INSPECT]);
    assert_eq!(bench.world.state, State::Recover { life: life(), attempt: 1, recoveries: 0, pod: own() });
    bench.forward_to("Recover::DeletingPod");
    assert_eq!(bench.flights.last().map(|flight| flight.call.clone()), Some(deletes_the_own_pod()));
    assert_eq!(bench.step(), []);
    bench.assert_waits(Wait::OwnPod);

    bench.stop();
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

#[test]
fn a_pod_whose_end_does_not_come_is_deleted_again_and_no_other_is() {
    let mut bench = recovering(interrupted(0));
    for _ in 0..3 {
        bench.forward_to("Recover::DeletingPod");
        bench.step();
        assert_eq!(bench.stands(), ("Waiting", Wait::OwnPod.sentence()));
    }
    let marks = bench.world.deeds.iter().filter(|deed| deed.starts_with("WriteRecover")).count();
    let deletions: Vec<_> = bench.world.deeds.iter().filter(|deed| deed.starts_with("DeletePod")).collect();
    assert_eq!(marks, 1);
    assert_eq!(deletions, ["DeletePod kubefox-0 3f1c"; 3]);
}

#[test]
fn a_vault_that_is_found_half_initialized_when_it_is_asked_is_recovered_at_once() {
    let mut bench = recovering(World::default());
    bench.forward_to("Initialize::Initializing");
    let told = bench.done(vault(vault::Reply::HalfInitialized));
    let verdict = Verdict::Mark { life: life(), attempt: 1, recoveries: 0 };
    let mark = state::Call::WriteRecover { life: life(), attempt: 1, recoveries: 0, pod: own() };
    assert_eq!(told, [Told::Notes(Notice::Decided(Decision { row: 11, verdict })), asks_state(mark)]);
}

#[test]
fn any_doubt_about_the_mark_or_the_deletion_is_looked_at_again() {
    for (phase, wait) in
        [("Recover::WritingMark", Wait::StateWrite), ("Recover::DeletingPod", Wait::ApiServer)]
    {
        for outcome in doubts() {
            let mut bench = recovering(interrupted(0));
            bench.forward_to(phase);
            assert_eq!(bench.done(outcome), []);
            bench.assert_waits(wait);
            bench.forward_to("Recover::DeletingPod");
        }
    }
}

#[test]
fn in_the_new_pod_vault_is_initialized_again_and_the_recoveries_stay_counted() {
    let mut next = recovering(moved_aside(1));
    next.forward_to("Initialize::Initializing");
    assert_eq!(next.world.state, State::Sent { life: life(), attempt: 2, recoveries: 1 });
    next.forward_to("Serving");
    assert_eq!(next.world.state, State::Envelope { life: life(), generation: 2, key: key_id(1) });
}

#[test]
fn interrupted_again_it_is_recovered_again_but_not_a_fourth_time() {
    for recoveries in 0..RECOVERIES_MAX {
        let mut bench = recovering(interrupted(recoveries));
        bench.forward_to("Recover::WritingMark");
        let mut half = recovering(moved_aside(recoveries));
        half.forward_to("Initialize::Initializing");
        half.done(vault(vault::Reply::HalfInitialized));
        assert_eq!(half.machine.phase(), "Recover::WritingMark");
    }
    let mut bench = recovering(interrupted(RECOVERIES_MAX));
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::RecoveryExhausted);
    assert!(bench.world.deeds.is_empty(), "{:?}", bench.world.deeds);

    let mut half = recovering(moved_aside(RECOVERIES_MAX));
    half.forward_to("Initialize::Initializing");
    half.done(vault(vault::Reply::HalfInitialized));
    half.assert_stopped(Fatal::RecoveryExhausted);
}

#[test]
fn a_new_pod_that_still_finds_the_mark_says_what_is_missing_in_it() {
    for initialized in [false, true] {
        let state = State::Recover { life: life(), attempt: 1, recoveries: 0, pod: uid("4a2d") };
        let mut bench = recovering(World { state, initialized, ..with_our_key() });
        bench.forward_to("Stopped");
        bench.assert_stopped(Fatal::QuarantineMissing);
        assert!(bench.world.deeds.is_empty(), "{:?}", bench.world.deeds);
    }
}

#[test]
fn a_marked_vault_is_never_initialized() {
    let state = State::Recover { life: life(), attempt: 1, recoveries: 0, pod: own() };
    let mut bench = recovering(World { state, ..with_our_key() });
    bench.forward_to("Recover::DeletingPod");
}

#[test]
fn without_the_operators_leave_and_after_the_commit_nothing_is_marked() {
    let (mut without, _) = Bench::start(config(), interrupted(0));
    without.forward_to("Stopped");
    without.assert_stopped(Fatal::InitInterrupted);

    let committed = Some(Marked { life: Some(life()), deleting: false });
    for state in [
        State::Sent { life: life(), attempt: 1, recoveries: 0 },
        State::Recover { life: life(), attempt: 1, recoveries: 0, pod: own() },
    ] {
        let mut after = recovering(World { state, committed: committed.clone(), ..interrupted(0) });
        after.forward_to("Stopped");
        after.assert_stopped(Fatal::DiskRolledBack);
    }
}

fn recovering(world: World) -> Bench {
    let config = Config { recover_interrupted_init: Some(own()), ..config() };
    Bench::start(config, world).0
}

/// The request was carried out, and its answer was lost.
fn interrupted(recoveries: u32) -> World {
    let state = State::Sent { life: life(), attempt: 1, recoveries };
    World { state, initialized: true, root: true, ..with_our_key() }
}

fn with_our_key() -> World {
    let mut world = Bench::at("Initialize::Rehearsing").world;
    world.deeds.clear();
    world
}

/// The next pod has moved Vault's data aside.
fn moved_aside(recoveries: u32) -> World {
    World { state: State::Sent { life: life(), attempt: 1, recoveries }, ..with_our_key() }
}

fn deletes_the_own_pod() -> Call {
    let name = PodName::parse("kubefox-0").expect("a pod name");
    Call::Kubernetes(kubernetes::Call::DeletePod { pod: Pod { name, uid: own() } })
}

fn own() -> Uid {
    uid("3f1c")
}
