//! Begin, create the seal key, commit, unseal: what a good answer leads to, and what is done again.

use alloc::boxed::Box;

use super::fixtures::*;
use crate::kubernetes::Marked;
use crate::state::State;
use crate::volume::SealKeyFile;

#[test]
fn an_intent_that_was_not_confirmed_is_looked_for_and_has_the_same_life() {
    let mut bench = Bench::at("Begin::WritingIntent");
    bench.done(Outcome::Unknown(Lost::Deadline));
    assert_eq!(bench.wait(), [INSPECT]);
    bench.forward_to("Begin::WritingIntent");
    let flight = bench.boot_flight().expect("a write");
    assert_eq!(flight.call, Call::State(state::Call::WriteIntent { life: life() }));

    assert_eq!(bench.step(), [INSPECT], "a deed is done: look again at once");
}

#[test]
fn a_seal_key_is_minted_only_after_the_disk_has_proved_itself() {
    let mut bench = Bench::at("CreateKey::Rehearsing");
    let key = Secret::Own(Own::MintedSealKey);
    assert_eq!(bench.step(), [Told::Asks(1_000, Call::Keys(keys::Call::MintSealKey { into: key }))]);
    assert_eq!(bench.step(), [asks_kubernetes(kubernetes::Call::CreateSealKey { life: life(), key })]);
    assert_eq!(bench.stands(), ("CreateKey::Creating", "waiting for the cluster to store the seal key"));
    assert_eq!(bench.step(), [INSPECT]);
}

#[test]
fn a_create_that_was_applied_late_is_the_one_that_counts() {
    let mut bench = Bench::at("CreateKey::Creating");
    let late = bench.boot_flight().expect("a create").call;
    bench.done(Outcome::Unknown(Lost::Deadline));
    bench.wait();
    bench.forward_to("CreateKey::Creating");
    bench.world.answer(&late, bench.now);
    let stored = bench.world.secret.clone();

    assert_eq!(bench.step(), [], "a conflict is an answer, and no reason to hurry");
    assert_eq!(bench.stands(), ("Waiting", Wait::Conflict.sentence()));
    bench.forward_to("Initialize::WritingEnvelope");
    bench.step();
    assert_eq!(bench.world.secret, stored);
    let SealKeyFile::Present(mounted) = bench.world.mounted.clone() else { panic!("it is mounted") };
    assert_eq!(bench.world.state, State::Envelope { life: life(), generation: 1, key: mounted });
}

#[test]
fn a_late_mount_is_waited_for_before_anything_is_sent() {
    let mut bench = Bench::at("CreateKey::Creating");
    bench.step();
    bench.world.mounted = SealKeyFile::Absent;
    bench.forward_to("Waiting");
    bench.assert_waits(Wait::SealKeyVolume);
    bench.world.mounted = SealKeyFile::Present(key_id(1));
    bench.forward_to("Initialize::Rehearsing");
}

#[test]
fn a_secret_of_another_life_that_was_first_ends_this_one() {
    let mut bench = Bench::at("CreateKey::Creating");
    bench.step();
    let marked = Marked { life: Some(other_life()), deleting: false };
    bench.world.secret.as_mut().expect("it was created").marked = marked;
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::EarlierLife);
}

#[test]
fn a_commit_is_made_known_before_vault_is_unsealed() {
    let mut bench = Bench::at("Commit::Creating");
    assert!(bench.world.sealed);
    let call = bench.boot_flight().expect("a create").call;
    assert_eq!(call, Call::Kubernetes(kubernetes::Call::CreateCommitted { life: life() }));
    assert_eq!(bench.step(), [INSPECT]);
    bench.forward_to("Unseal::Unsealing");
}

#[test]
fn a_deleted_commit_is_an_alarm_and_no_obstacle() {
    let world = World { committed: None, sealed: true, ..World::converged() };
    let mut bench = Bench::at_in(world, "Survey::ReadingHold");
    let otherwise = Some(Box::new(Decision { row: 18, verdict: Verdict::Unseal }));
    let verdict = Verdict::Commit { life: life(), otherwise };
    assert_eq!(
        bench.step(),
        [
            Told::Notes(Notice::Decided(Decision { row: 17, verdict })),
            Told::Notes(Notice::CommittedMissing),
            asks_kubernetes(kubernetes::Call::CreateCommitted { life: life() }),
        ]
    );
    bench.done(Outcome::Refused(Refusal::Denied));
    assert_eq!(bench.machine.phase(), "Unseal::Unsealing", "unsealing does not need the API server");
}

#[test]
fn a_key_that_vault_does_not_know_is_of_another_vault() {
    let mut bench = Bench::at("Unseal::Unsealing");
    assert_eq!(bench.done(vault(vault::Reply::WrongKey)), []);
    bench.assert_stopped(Fatal::WrongVault);
}

#[test]
fn an_unsealed_vault_is_told_once_it_is_active() {
    let mut bench = Bench::at("Unseal::Unsealing");
    assert_eq!(bench.step(), [Told::Asks(15_000, Call::Vault(vault::Call::Health))]);
    assert_eq!(bench.step(), [Told::Notes(Notice::Unsealed), INSPECT]);
}

#[test]
fn a_seal_that_a_person_holds_stays() {
    let world = World { sealed: true, hold: true, ..World::converged() };
    let mut bench = Bench::at_in(world, "Waiting");
    bench.assert_waits(Wait::SealHeld);
    bench.world.hold = false;
    bench.forward_to("Serving");
}

#[test]
fn a_seal_key_about_to_be_deleted_is_an_alarm() {
    let mut world = World::converged();
    world.secret.as_mut().expect("it is stored").marked.deleting = true;
    let mut bench = Bench::at_in(world, "Survey::Opening");
    let verdict = Verdict::LogIn { life: life() };
    assert_eq!(
        bench.step(),
        [
            Told::Notes(Notice::SealKeyDeletion),
            Told::Notes(Notice::Decided(Decision { row: 20, verdict })),
            asks_for_token(volume::Token::Vault, Own::VaultJwt),
        ]
    );
}

#[test]
fn a_seal_key_that_is_not_mounted_is_missing_once_its_grace_is_over() {
    let world = World { mounted: SealKeyFile::Absent, ..World::converged() };
    let mut bench = Bench::at_in(world, "Waiting");
    bench.assert_waits(Wait::SealKeyVolume);
    while bench.machine.standing() == Standing::Starting {
        assert!(bench.now.mono < Mono(GRACE_MS + crate::retry::BACKOFF_MS_MAX));
        bench.step();
    }
    bench.assert_stopped(Fatal::SealKeyMissing);
    assert!(bench.now.mono >= Mono(GRACE_MS));
}

#[test]
fn the_grace_begins_when_the_key_is_first_missed_and_anew_once_it_was_seen() {
    let world = World { sealed: true, hold: true, ..World::converged() };
    let mut bench = Bench::at_in(world, "Waiting");
    let look = |bench: &mut Bench| {
        bench.wait();
        bench.forward_to("Waiting");
        bench.machine.waits_for()
    };
    bench.pass_to(Mono(10 * GRACE_MS));
    assert_eq!(look(&mut bench), Wait::SealHeld.sentence());

    bench.world.mounted = SealKeyFile::Absent;
    assert_eq!(look(&mut bench), Wait::SealKeyVolume.sentence(), "long after the start");
    bench.pass_to(bench.now.in_ms(GRACE_MS - 1_000 - crate::retry::BACKOFF_MS_MAX));
    assert_eq!(look(&mut bench), Wait::SealKeyVolume.sentence());
    bench.world.mounted = SealKeyFile::Present(key_id(1));
    assert_eq!(look(&mut bench), Wait::SealHeld.sentence());

    bench.pass_to(bench.now.in_ms(GRACE_MS));
    bench.world.mounted = SealKeyFile::Present(key_id(9));
    assert_eq!(look(&mut bench), Wait::SealKeyVolume.sentence(), "another time, another grace");
    bench.pass_to(bench.now.in_ms(GRACE_MS));
    bench.wait();
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::SealKeyReplaced);
}

#[test]
fn a_volume_that_cannot_be_read_neither_begins_the_grace_nor_ends_it() {
    let world = World { mounted: SealKeyFile::Absent, ..World::converged() };
    let mut bench = Bench::at_in(world, "Survey::ReadingMountedKey");
    bench.done(Outcome::Unknown(Lost::Deadline));
    bench.forward_to("Waiting");
    bench.pass_to(Mono(GRACE_MS));
    bench.wait();
    bench.forward_to("Waiting");
    let missed = bench.now;
    bench.pass_to(missed.in_ms(GRACE_MS));
    bench.wait();
    bench.forward_to("Survey::ReadingMountedKey");
    bench.done(Outcome::Refused(Refusal::Local));
    bench.forward_to("Waiting");
    assert_eq!(bench.machine.waits_for(), Wait::SealKeyVolume.sentence());
    bench.wait();
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::SealKeyMissing);
}

#[test]
fn a_seal_key_that_is_being_deleted_is_not_used_and_a_new_one_is_made_once_it_is_gone() {
    let mut bench = Bench::at("CreateKey::Creating");
    bench.step();
    bench.world.secret.as_mut().expect("it was created").marked.deleting = true;
    bench.forward_to("Waiting");
    bench.assert_waits(Wait::SealKeyDeletion);
    assert!(!bench.world.deeds.iter().any(|deed| deed == "Initialize"));

    // Somebody removes the finalizer.
    (bench.world.secret, bench.world.mounted) = (None, SealKeyFile::Absent);
    bench.forward_to("Serving");
    assert_eq!(bench.world.state, State::Envelope { life: life(), generation: 2, key: key_id(2) });
}
