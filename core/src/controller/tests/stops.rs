//! SIGTERM: at once, unless the only copy of the unseal key is in memory.

use super::fixtures::*;
use crate::state::State;
use crate::vault::Setting;

#[test]
fn a_stop_is_obeyed_at_once_where_nothing_is_lost_by_it() {
    for phase in [
        "Survey::ReadingState",
        "Begin::WritingIntent",
        "CreateKey::Creating",
        "Initialize::Rehearsing",
        "Commit::Creating",
        "Unseal::Unsealing",
        "SetUp::Revoking",
        "Configure::WritingSetting",
        "Certify::Presenting",
        "Serving",
    ] {
        let mut bench = Bench::at(phase);
        assert_eq!(bench.stop(), []);
        assert_eq!(bench.machine.standing(), Standing::Finished, "{phase}");
        assert_eq!(bench.stands(), ("Finished", "has finished"));
        assert_eq!(bench.machine.poll_timeout(), None);
    }
}

#[test]
fn a_stop_waits_until_the_envelope_was_read_back() {
    let mut bench = Bench::at("Initialize::WritingSent");
    assert_eq!(bench.stop(), []);
    let told = bench.ask(1, Mono(60_000), Ask::Component(None));
    assert_eq!(
        told[1],
        Told::Answers(Ticket(1), Answer::Rejected(Rejection::Stopping)),
        "not: it is starting"
    );
    for phase in ["WritingSent", "Initializing", "WritingEnvelope", "ReadingBack"] {
        assert_eq!(bench.machine.standing(), Standing::Starting);
        assert_eq!(bench.machine.phase(), format!("Initialize::{phase}"));
        bench.step();
    }
    assert_eq!(bench.machine.standing(), Standing::Finished);
    assert_eq!(bench.world.state, State::Envelope { life: life(), generation: 1, key: key_id(1) });
    Bench::at_in(bench.world, "Serving");
}

#[test]
fn a_stop_waits_through_every_pause_of_an_envelope_that_cannot_be_written() {
    let mut bench = Bench::at("Initialize::WritingEnvelope");
    bench.done(Outcome::Refused(Refusal::Local));
    assert_eq!(bench.stop(), []);
    for _ in 0..5 {
        assert_eq!(bench.machine.standing(), Standing::Starting);
        bench.wait();
        bench.done(Outcome::Unknown(Lost::Deadline));
    }
    bench.wait();
    bench.step();
    bench.step();
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

#[test]
fn a_stop_waits_until_an_envelope_that_was_replaced_opens_again() {
    let mut bench = Bench::at("SetUp::ReadingBack");
    bench.done(state(state::Reply::Opened(state::Opened::Tampered)));
    assert_eq!(bench.stop(), []);
    for phase in ["SetUp::WritingEnvelope", "SetUp::ReadingBack"] {
        assert_eq!(bench.machine.standing(), Standing::Starting, "the only copy of the key is in memory");
        if phase == "SetUp::WritingEnvelope" {
            bench.wait();
        }
        assert_eq!(bench.machine.phase(), phase);
        bench.step();
    }
    assert_eq!(bench.machine.standing(), Standing::Finished);
    Bench::at_in(bench.world, "Serving");
}

#[test]
fn a_stop_does_not_wait_for_keys_that_are_not_there() {
    for outcome in doubts() {
        let mut bench = Bench::at("Initialize::Initializing");
        bench.stop();
        assert_eq!(bench.done(outcome), []);
        assert_eq!(bench.machine.standing(), Standing::Finished);
    }
    let mut bench = Bench::at("Initialize::Initializing");
    bench.stop();
    bench.done(vault(vault::Reply::AlreadyInitialized));
    // A restart that found `Sent` would take somebody else's Vault for an interrupted one of ours.
    assert_eq!(bench.stands().0, "Initialize::WritingForeign");
    bench.done(state(state::Reply::Written));
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::ForeignInit));
}

#[test]
fn who_is_being_served_when_it_ends_is_told_so() {
    let ask = |bench: &mut Bench| {
        for ticket in 1..=2 {
            bench.ask(ticket, Mono(60_000), Ask::Component(None));
        }
    };
    let turned_away =
        [1, 2].map(|ticket| Told::Answers(Ticket(ticket), Answer::Rejected(Rejection::Stopping)));

    let mut bench = Bench::at("Serving");
    ask(&mut bench);
    assert_eq!(bench.stop(), turned_away);

    let mut bench = Bench::at("Serving");
    ask(&mut bench);
    bench.world.initialized = false;
    let mut told = vec![];
    while bench.machine.phase() != "Stopped" {
        told = bench.step();
    }
    bench.assert_stopped(Fatal::StorageLost);
    let decided = told.remove(0);
    let verdict = Verdict::Stop(Fatal::StorageLost);
    assert_eq!(decided, Told::Notes(Notice::Decided(Decision { row: 12, verdict })));
    assert_eq!(told, turned_away);
}

#[test]
fn whoever_comes_after_the_end_is_turned_away() {
    let mut finished = Bench::at("Serving");
    finished.stop();
    let mut stopped = Bench::at("Serving");
    // A second root certificate, and the next renewal sees it; Vault itself was never seen sealed.
    let issuers = serde_json::json!({"issuers": ["root-1", "another"]});
    stopped.world.settings.insert(Setting::RootCertificate, issuers);
    stopped.forward_to("Stopped");
    stopped.assert_stopped(Fatal::ForeignConfiguration);
    for mut bench in [finished, stopped] {
        let (ask, rejection) = (Ask::Component(None), Rejection::Stopping);
        assert_eq!(
            bench.ask(9, bench.now.in_ms(1_000), ask.clone()),
            [
                Told::Notes(Notice::Rejected { identity: None, method: ask.method(), rejection }),
                Told::Answers(Ticket(9), Answer::Rejected(rejection)),
            ]
        );
    }
}

#[test]
fn a_stop_does_not_make_good_what_is_fatal() {
    let mut bench = Bench::at("Initialize::Initializing");
    bench.done(vault(vault::Reply::HalfInitialized));
    assert_eq!(bench.stop(), []);
    bench.assert_stopped(Fatal::HalfInitialized);
}
