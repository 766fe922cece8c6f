//! Initializing: the one answer with the only copy of the key.

use super::fixtures::*;
use crate::state::{Opened, State};

#[test]
fn the_request_leaves_only_after_the_disk_knows_that_it_may() {
    let mut bench = Bench::at("Initialize::Rehearsing");
    assert_eq!(
        bench.step(),
        [asks_state(state::Call::WriteSent { life: life(), attempt: 1, recoveries: 0 })]
    );
    assert_eq!(bench.step(), [Told::Asks(120_000, Call::Vault(vault::Call::Initialize))]);
    assert_eq!(bench.step(), [asks_to_write()]);
    assert_eq!(bench.step(), [asks_to_read_back()]);
    assert_eq!(bench.step(), [Told::Notes(Notice::Initialized { life: life() }), INSPECT]);
}

#[test]
fn an_envelope_that_cannot_be_written_is_written_again_for_ever_with_the_keys_in_memory() {
    let mut bench = Bench::at("Initialize::WritingEnvelope");
    let before = bench.world.deeds.len();
    for outcome in doubts().chain(doubts()) {
        assert_eq!(bench.done(outcome), [Told::Notes(Notice::EnvelopeNotWritten)]);
        bench.assert_pauses(500, Wait::StateWrite);
        assert_eq!(bench.wait(), [asks_to_write()]);
    }
    assert_eq!(bench.world.deeds.len(), before, "nothing else happened");
    bench.forward_to("Serving");
}

#[test]
fn what_was_not_read_back_as_it_was_written_is_written_again() {
    for opened in [Opened::Keys { root: false }, Opened::OtherKey, Opened::Tampered, Opened::NoEnvelope] {
        let mut bench = Bench::at("Initialize::ReadingBack");
        assert_eq!(
            bench.done(state(state::Reply::Opened(opened))),
            [Told::Notes(Notice::EnvelopeNotWritten)]
        );
        bench.assert_pauses(500, Wait::StateWrite);
        assert_eq!(bench.wait(), [asks_to_write()]);
        assert_eq!(bench.step(), [asks_to_read_back()]);
        bench.forward_to("Serving");
    }
}

#[test]
fn somebody_elses_vault_is_recorded_so_that_it_is_never_recovered() {
    let mut bench = Bench::at("Initialize::Initializing");
    assert_eq!(
        bench.done(vault(vault::Reply::AlreadyInitialized)),
        [asks_state(state::Call::WriteForeign { life: life() })]
    );
    bench.done(Outcome::Refused(Refusal::Local));
    bench.wait();
    assert_eq!(bench.step(), []);
    bench.assert_stopped(Fatal::ForeignInit);
    assert_eq!(bench.world.state, State::Foreign { life: life() });

    let next = Bench::at_in(bench.world, "Stopped");
    next.assert_stopped(Fatal::ForeignInit);
}

#[test]
fn already_initialized_at_a_second_attempt_may_have_been_the_first() {
    let mut bench = Bench::at("Initialize::Initializing");
    bench.done(Outcome::Unknown(Lost::Connection));
    bench.wait();
    bench.forward_to("Initialize::Rehearsing");
    assert_eq!(
        bench.step(),
        [asks_state(state::Call::WriteSent { life: life(), attempt: 2, recoveries: 0 })]
    );
    bench.step();
    // The first request is applied late.
    (bench.world.initialized, bench.world.root) = (true, true);

    assert_eq!(bench.step(), []);
    assert_eq!(bench.stands(), ("Waiting", Wait::VaultUnsettled.sentence()));
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::InitInterrupted);
    assert_eq!(bench.world.state, State::Sent { life: life(), attempt: 2, recoveries: 0 });
}

#[test]
fn an_answer_that_was_lost_is_looked_for_and_never_asked_for_blindly() {
    let mut bench = Bench::at("Initialize::Initializing");
    let call = bench.boot_flight().expect("the request").call;
    bench.world.answer(&call, bench.now);
    assert_eq!(bench.done(Outcome::Unknown(Lost::Deadline)), []);
    bench.assert_waits(Wait::Vault);
    assert_eq!(bench.wait(), [INSPECT]);
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::InitInterrupted);
    let sent = bench.world.deeds.iter().filter(|deed| *deed == "Initialize").count();
    assert_eq!(sent, 1);
}

#[test]
fn a_vault_killed_inside_its_own_initialization_needs_a_person() {
    let mut bench = Bench::at("Initialize::Initializing");
    let decided = Decision { row: 11, verdict: Verdict::Stop(Fatal::HalfInitialized) };
    assert_eq!(bench.done(vault(vault::Reply::HalfInitialized)), [Told::Notes(Notice::Decided(decided))]);
    bench.assert_stopped(Fatal::HalfInitialized);

    let again = Bench::at_in(bench.world, "Initialize::Initializing");
    let mut again = Bench::at_in(again.world, "Initialize::Initializing");
    assert_eq!(
        again.world.state,
        State::Sent { life: life(), attempt: 2, recoveries: 0 },
        "it grows no further"
    );
    again.done(vault(vault::Reply::HalfInitialized));
    again.assert_stopped(Fatal::HalfInitialized);
}

fn asks_to_write() -> Told {
    let key = Secret::Own(Own::SealKey);
    asks_state(state::Call::WriteEnvelope { life: life(), generation: 1, key, root: true })
}

fn asks_to_read_back() -> Told {
    asks_state(state::Call::Open { key: Secret::Own(Own::SealKey) })
}
