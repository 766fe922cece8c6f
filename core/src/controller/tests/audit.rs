//! The hourly audit: what the next unseal would miss is told, and nothing else follows.

use alloc::boxed::Box;

use super::fixtures::*;
use crate::controller::audit::{AUDIT_S, Finding};
use crate::kubernetes::{Marked, SealKeyObject};
use crate::state::{Opened, State};
use crate::volume::{SealKeyFile, Token};

const STEPS: [&str; 7] = [
    "Audit::ReadingState",
    "Audit::ReadingMountedKey",
    "Audit::Opening",
    "Audit::Forgetting",
    "Audit::ReadingApiToken",
    "Audit::ReadingCommitted",
    "Audit::ReadingSecret",
];

#[test]
fn every_hour_everything_is_looked_at_and_nothing_is_found_or_kept() {
    let mut bench = Bench::at("Serving");
    for hour in 1..=3 {
        let due = Mono(hour * AUDIT_S * 1_000);
        bench.world.deeds.clear();
        wait_for_audit(&mut bench);
        assert!((due.0..=due.0 + 10_000).contains(&bench.now.mono.0), "{:?}", bench.now);
        assert_eq!(bench.stands().1, "looks at the envelope, the seal key and the cluster's record");
        let mut phases = vec![];
        while bench.machine.phase() != "Serving" {
            phases.push(bench.machine.phase());
            assert_eq!(bench.machine.standing(), Standing::Ready);
            let told = bench.step();
            assert!(!told.iter().any(|told| matches!(told, Told::Notes(_))), "{told:?}");
        }
        assert_eq!(phases, STEPS);
        assert_eq!(bench.slots.own(), [Own::ApiJwt, Own::ControllerToken, Own::ServingKey]);
    }
}

#[test]
fn a_wall_clock_that_was_set_back_does_not_put_an_audit_off() {
    let mut bench = Bench::at("Serving");
    bench.now.unix.0 -= 1_000_000;
    wait_for_audit(&mut bench);
    assert!(bench.now.mono.0 <= AUDIT_S * 1_000 + 10_000);
}

#[test]
fn each_thing_that_is_missing_or_another_has_a_name_and_takes_nothing_away() {
    let marked = |life: Option<LifeId>| Marked { life, deleting: false };
    let secret = |life, key| Some(SealKeyObject { marked: marked(life), key });
    let deleting = Marked { life: Some(life()), deleting: true };
    type Harm = Box<dyn Fn(&mut World)>;
    let state = |state: State| -> Harm { Box::new(move |world: &mut World| world.state = state.clone()) };
    let stored = |object: Option<SealKeyObject>| -> Harm {
        Box::new(move |world: &mut World| world.secret = object.clone())
    };
    let mounted =
        |file: SealKeyFile| -> Harm { Box::new(move |world: &mut World| world.mounted = file.clone()) };
    let commit = |committed: Option<Marked>| -> Harm {
        Box::new(move |world: &mut World| world.committed = committed.clone())
    };
    let envelope = |life| State::Envelope { life, generation: 2, key: key_id(1) };
    let cases: Vec<(Harm, &[Finding])> = vec![
        (state(State::Absent), &[Finding::EnvelopeMissing]),
        (state(State::Corrupt), &[Finding::EnvelopeCorrupt]),
        (state(State::OtherInstallation), &[Finding::EnvelopeForeign]),
        (state(State::Sent { life: life(), attempt: 1, recoveries: 0 }), &[Finding::EnvelopeForeign]),
        (state(envelope(other_life())), &[Finding::EnvelopeForeign]),
        (Box::new(|world: &mut World| world.root_inside = true), &[Finding::EnvelopeRolledBack]),
        (mounted(SealKeyFile::Absent), &[Finding::MountedKeyMissing]),
        (mounted(SealKeyFile::Malformed), &[Finding::MountedKeyMalformed]),
        (mounted(SealKeyFile::Present(key_id(9))), &[Finding::MountedKeyReplaced]),
        (stored(None), &[Finding::SecretMissing]),
        (stored(secret(None, Some(key_id(1)))), &[Finding::SecretForeign]),
        (stored(secret(Some(other_life()), Some(key_id(1)))), &[Finding::SecretForeign]),
        (stored(secret(Some(life()), Some(key_id(9)))), &[Finding::SecretReplaced]),
        (stored(secret(Some(life()), None)), &[Finding::SecretReplaced]),
        (stored(Some(SealKeyObject { marked: deleting, key: Some(key_id(1)) })), &[Finding::SecretDeleting]),
        (commit(None), &[Finding::CommittedMissing]),
        (commit(Some(marked(Some(other_life())))), &[Finding::CommittedForeign]),
    ];
    for (harm, findings) in cases {
        let mut bench = serving();
        harm(&mut bench.world);
        // What is still so in an hour is told again.
        for round in 0..2 {
            let expected =
                if round == 1 && *findings == [Finding::CommittedMissing] { &[] } else { findings };
            assert_eq!(audit(&mut bench), expected);
            assert_eq!(bench.machine.standing(), Standing::Ready, "{findings:?}");
        }
    }
}

#[test]
fn every_remedy_begins_with_a_snapshot() {
    let mut bench = serving();
    bench.world.secret = None;
    bench.forward_to("Audit::ReadingSecret");
    let finding = Finding::SecretMissing;
    let what = "The Secret kubefox-seal-key is gone.".into();
    let remedy = "Take a snapshot of Vault first and do not restart it; then restore the Secret kubefox-seal-key from a \
                  backup."
        .into();
    assert_eq!(bench.step(), [Told::Notes(Notice::Found { finding, what, remedy })]);
    for finding in Finding::ALL {
        assert!(finding.remedy().starts_with("Take a snapshot of Vault first"), "{finding:?}");
        assert!(finding.sentence().ends_with('.') && finding.remedy().ends_with('.'), "{finding:?}");
    }
}

#[test]
fn a_record_that_was_deleted_is_made_again_only_by_whom_the_envelope_opens() {
    let mut bench = serving();
    bench.world.committed = None;
    bench.forward_to("Audit::CreatingCommitted");
    let create = kubernetes::Call::CreateCommitted { life: life() };
    assert_eq!(bench.boot_flight().expect("it is made again").call, Call::Kubernetes(create));
    bench.forward_to("Serving");
    assert_eq!(bench.world.committed, Some(Marked { life: Some(life()), deleting: false }));

    for opened in [Opened::Keys { root: true }, Opened::Tampered, Opened::OtherKey, Opened::NoEnvelope] {
        let mut bench = serving();
        bench.world.committed = None;
        bench.forward_to("Audit::Opening");
        bench.done(state(state::Reply::Opened(opened)));
        bench.forward_to("Audit::ReadingSecret");
        bench.forward_to("Serving");
        assert_eq!(bench.world.committed, None, "{opened:?}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_no_finding() {
    for (phase, next) in [
        ("Audit::ReadingState", "Audit::ReadingApiToken"),
        ("Audit::ReadingMountedKey", "Audit::Forgetting"),
        ("Audit::Opening", "Audit::Forgetting"),
        ("Audit::ReadingApiToken", "Serving"),
        ("Audit::ReadingCommitted", "Serving"),
        ("Audit::CreatingCommitted", "Audit::ReadingSecret"),
        ("Audit::ReadingSecret", "Serving"),
    ] {
        for outcome in doubts() {
            let mut bench = serving();
            if phase == "Audit::CreatingCommitted" {
                bench.world.committed = None;
            }
            bench.forward_to(phase);
            let told = bench.done(outcome);
            assert!(!told.iter().any(|told| matches!(told, Told::Notes(_))), "{phase} {told:?}");
            assert_eq!((bench.machine.phase(), bench.machine.standing()), (next, Standing::Ready));
            let text = serde_json::to_string(&bench.machine).expect("it is data");
            assert_eq!(serde_json::from_str::<Controller>(&text).expect("the same data"), bench.machine);
        }
    }
    let mut bench = serving();
    bench.world.tokens.remove(&Token::Api);
    assert_eq!(audit(&mut bench), []);
}

#[test]
fn a_stop_is_obeyed_in_the_middle_of_an_audit() {
    for phase in STEPS {
        let mut bench = serving();
        bench.forward_to(phase);
        assert_eq!(bench.stop(), []);
        assert_eq!(bench.machine.standing(), Standing::Finished, "{phase}");
    }
}

#[test]
fn an_unseal_key_that_could_not_be_forgotten_is_forgotten_by_configuring() {
    let mut bench = serving();
    bench.forward_to("Audit::Forgetting");
    bench.done(Outcome::Unknown(Lost::Deadline));
    bench.assert_waits(Wait::Keyring);
    assert_eq!(bench.machine.standing(), Standing::Ready);
    bench.forward_to("Configure::Forgetting");
    bench.forward_to("Serving");
    assert!(!bench.slots.own().contains(&Own::UnsealKey));
}

/// A machine that serves, and is to audit at its next look.
fn serving() -> Bench {
    let mut bench = Bench::at("Serving");
    bench.machine.memory.audit = Some(Due::in_s(bench.now, 0));
    bench
}

/// An hour of looks and renewals goes by.
fn wait_for_audit(bench: &mut Bench) {
    for _ in 0..10_000 {
        if bench.machine.phase() == "Audit::ReadingState" {
            return;
        }
        bench.step();
    }
    panic!("no audit by {:?}", bench.now);
}

/// Goes through one audit, and gives what it found.
fn audit(bench: &mut Bench) -> Vec<Finding> {
    bench.machine.memory.audit = Some(Due::in_s(bench.now, 0));
    bench.forward_to("Audit::ReadingState");
    let mut findings = vec![];
    while bench.machine.phase() != "Serving" {
        assert_eq!(bench.machine.standing(), Standing::Ready);
        for told in bench.step() {
            if let Told::Notes(Notice::Found { finding, .. }) = told {
                findings.push(finding);
            }
        }
    }
    findings
}
