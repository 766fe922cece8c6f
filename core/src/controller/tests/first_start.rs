//! From nothing to serving, and the second start that finds everything there.

use super::fixtures::*;
use crate::documents::setting::{bootstrap_settings, platform_settings};
use crate::kubernetes::PublishedTrust;
use crate::state::State;
use crate::vault::{Account, NatsKey, StoredJwt};

#[test]
fn a_first_start_does_what_cannot_be_undone_in_this_order() {
    let bench = Bench::at("Serving");

    let mut deeds: Vec<String> = words(&[
        "WriteIntent",
        "Rehearse",
        "MintSealKey",
        "CreateSealKey",
        "Rehearse",
        "WriteSent 1",
        "Initialize",
        "WriteEnvelope 1 with root",
        "Open", // read back
        "Open", // surveyed
        "CreateCommitted",
        "Open",
        "Unseal",
        "Open",
        "LookupSelf",
    ]);
    deeds.extend(bootstrap_settings().iter().map(|setting| format!("Write {setting:?}")));
    deeds.extend(words(&[
        "Login controller",
        "RevokeSelf",
        "LookupSelf",
        "ListAccessors",
        "WriteEnvelope 2",
        "Open", // read back
        "Open", // surveyed
        "Login controller",
        "ListAccessors",
        "Login controller-setup",
    ]));
    let already_there = bootstrap_settings();
    let platform = platform_settings();
    let missing = platform.iter().filter(|setting| !already_there.contains(setting));
    deeds.extend(missing.map(|setting| format!("Write {setting:?}")));
    deeds.push(String::from("WriteGeneration 2"));
    for jwt in StoredJwt::ALL {
        deeds.extend([format!("Sign {:?}", NatsKey::Operator), format!("WriteJwt {jwt:?}")]);
    }
    for account in Account::ALL {
        deeds.extend([String::from("GeneratePassword"), format!("WriteAccount {account:?}")]);
    }
    deeds.extend(words(&["Forget", "Issue controller", "CreateTrust", "Present", "Probe"]));
    assert_eq!(bench.world.deeds, deeds);
    assert_eq!(bench.now.mono, Mono(0), "a world that answers is not waited for");
}

#[test]
fn a_first_start_leaves_an_envelope_without_root_and_no_root_alive() {
    let bench = Bench::at("Serving");
    let world = &bench.world;

    assert_eq!(world.state, State::Envelope { life: life(), generation: 2, key: key_id(1) });
    assert_eq!((world.root_inside, world.root), (false, false));
    let trust = kubernetes::Trust { certificate: pem("controller 1"), ca: pem("root") };
    let Some(PublishedTrust { life: published, trust: Some(found), .. }) = &world.trust else {
        panic!("nothing was published")
    };
    assert_eq!((published, found), (&Some(life()), &trust));
    assert_eq!(bench.machine.standing(), Standing::Ready);
    assert_eq!(bench.stands(), ("Serving", "waits for nothing: it serves"));
}

#[test]
fn the_first_survey_decides_to_begin() {
    let (mut bench, told) = Bench::start(config(), World::default());
    assert_eq!(told, [INSPECT]);

    bench.forward_to("Survey::ReadingTrust");
    let decision = Decision { row: 5, verdict: Verdict::Begin };
    assert_eq!(
        bench.step(),
        [Told::Notes(Notice::Decided(decision)), asks_state(state::Call::WriteIntent { life: life() }),]
    );
    assert_eq!(bench.machine.standing(), Standing::Starting);
}

#[test]
fn a_second_start_writes_nothing_but_the_certificate_of_today() {
    let mut world = World::converged();
    let before = world.clone();
    world.sealed = true;
    let bench = Bench::at_in(world, "Serving");

    assert_eq!(
        bench.world.deeds,
        words(&[
            "Open",
            "Unseal",
            "Open",
            "Login controller",
            "ListAccessors",
            "Login controller-setup",
            "Forget",
            "Issue controller",
            "UpdateTrust",
            "Present",
            "Probe",
        ])
    );
    assert_eq!(bench.world.state, before.state);
    assert_eq!(bench.world.settings, before.settings);
    assert_eq!((bench.world.secret, bench.world.committed), (before.secret, before.committed));
}

#[test]
fn killed_at_any_request_the_next_process_comes_to_serve_or_says_why_not() {
    for arrives in [false, true] {
        let (mut bench, _) = Bench::start(config(), World::default());
        while bench.machine.phase() != "Serving" {
            let mut world = bench.world.clone();
            let flight = bench.boot_flight();
            if arrives && let Some(flight) = &flight {
                world.answer(&flight.call, bench.now);
            }
            let key_is_lost = world.initialized && matches!(world.state, State::Sent { .. });
            let (mut next, _) = Bench::start(config(), world);
            while !matches!(next.machine.standing(), Standing::Ready | Standing::Stopped(_)) {
                next.step();
            }
            let end = if key_is_lost { Standing::Stopped(Fatal::InitInterrupted) } else { Standing::Ready };
            assert_eq!(next.machine.standing(), end, "killed at {flight:?}, which arrives: {arrives}");
            bench.step();
        }
    }
}

#[test]
fn another_ordinal_stands_by_and_asks_for_nothing() {
    for pod in ["kubefox-1", "kubefox", "kubefox-00"] {
        let config = Config { pod: PodName::parse(pod).expect("a pod name"), ..config() };
        let (mut bench, told) = Bench::start(config, World::default());
        assert_eq!(told, []);
        assert_eq!(bench.stands(), ("StandingBy", "stands by: only the pod with ordinal 0 brings Vault up"));
        assert_eq!(bench.machine.standing(), Standing::Starting);
        assert_eq!(bench.machine.poll_timeout(), None);

        bench.pass_to(Mono(1_000_000));
        assert_eq!(bench.timeout(), []);
        let ask = Ask::Nats(None);
        let rejection = Rejection::NotServing;
        assert_eq!(
            bench.ask(1, Mono(1_001_000), ask.clone()),
            [
                Told::Notes(Notice::Rejected { identity: None, method: ask.method(), rejection }),
                Told::Answers(Ticket(1), Answer::Rejected(rejection)),
            ]
        );
        assert_eq!(bench.stop(), []);
        assert_eq!(bench.machine.standing(), Standing::Finished);
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| String::from(*word)).collect()
}
