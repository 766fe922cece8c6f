//! Serving: the seal is looked at, and what ends is renewed before it does.

use super::fixtures::*;
use crate::documents::certificate::CONTROLLER_TTL_S;
use crate::vault::SealStatus;

const LOOK: Told = Told::Asks(5_000, Call::Vault(vault::Call::SealStatus));

#[test]
fn vaults_seal_is_looked_at_every_two_seconds() {
    let mut bench = Bench::at("Serving");
    for _ in 0..5 {
        let due = bench.now.in_ms(2_000);
        assert_eq!(bench.machine.poll_timeout(), Some((due, "Vault's seal is looked at again")));
        assert_eq!(bench.timeout(), [], "early");
        assert_eq!(bench.wait(), [LOOK]);
        assert_eq!(bench.stands(), ("Watch::ReadingSealStatus", "looks at Vault's seal"));
        assert_eq!(bench.machine.standing(), Standing::Ready);
        assert_eq!(bench.step(), []);
        assert_eq!(bench.machine.phase(), "Serving");
    }
}

#[test]
fn a_vault_that_was_sealed_is_unsealed_and_nobody_is_served_meanwhile() {
    let mut bench = Bench::at("Serving");
    bench.world.sealed = true;
    bench.world.deeds.clear();
    bench.wait();
    assert_eq!(bench.step(), [INSPECT]);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    let rejection = Rejection::NotServing;
    let told = bench.ask(1, bench.now.in_ms(1_000), Ask::Nats);
    assert_eq!(told[1], Told::Answers(Ticket(1), Answer::Rejected(rejection)));

    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
    assert_eq!(
        bench.world.deeds,
        ["Open", "Unseal", "Open", "Login controller", "ListAccessors", "Login controller-setup"],
        "the certificate that is shown still lives"
    );
}

#[test]
fn a_vault_that_is_silent_or_new_is_surveyed() {
    for outcome in doubts() {
        let mut bench = Bench::at("Serving");
        bench.wait();
        assert_eq!(bench.done(outcome), [INSPECT]);
        assert_eq!(bench.machine.standing(), Standing::Starting);
    }
    let mut bench = Bench::at("Serving");
    bench.wait();
    let new = SealStatus {
        shamir: true,
        initialized: false,
        sealed: false,
        shares: 0,
        threshold: 0,
        version: String::new(),
    };
    assert_eq!(bench.done(vault(vault::Reply::SealStatus(new))), [INSPECT]);
    bench.world.initialized = false;
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::StorageLost);
}

#[test]
fn the_own_token_is_renewed_at_two_thirds_of_its_life_while_everybody_is_served() {
    let mut bench = Bench::at("Serving");
    bench.world.deeds.clear();
    while bench.world.deeds.is_empty() {
        bench.step();
        assert_eq!(bench.machine.standing(), Standing::Ready);
    }
    // The token of the world lives 900 s; the draw makes it up to 45 s earlier.
    let elapsed_s = bench.now.unix.0 - UNIX;
    assert!((555..=602).contains(&elapsed_s), "{elapsed_s} s");
    bench.forward_to("Serving");
    assert_eq!(bench.world.deeds, ["Open", "Login controller", "ListAccessors", "Login controller-setup"]);
}

#[test]
fn the_serving_certificate_is_renewed_at_two_thirds_of_its_life() {
    let mut bench = Bench::at("Serving");
    bench.world.deeds.clear();
    let issued = |bench: &Bench| bench.world.deeds.iter().any(|deed| deed == "Issue controller");
    while !issued(&bench) {
        bench.step();
        assert_eq!(bench.machine.standing(), Standing::Ready);
    }
    let elapsed_s = bench.now.unix.0 - UNIX;
    let two_thirds_s = CONTROLLER_TTL_S / 3 * 2;
    // Up to a twentieth earlier, and at a renewal of the token or at most one look later.
    let early_s = two_thirds_s - CONTROLLER_TTL_S / 20;
    assert!((early_s..=two_thirds_s + 2).contains(&elapsed_s), "{elapsed_s} s");
    bench.forward_to("Serving");
    let published = bench.world.trust.and_then(|published| published.trust).expect("it is published");
    assert_eq!(published.certificate, pem("controller 2"));
}

#[test]
fn a_renewal_that_fails_is_tried_again_and_does_not_end_the_service() {
    let mut bench = Bench::at("Serving");
    bench.pass_to(bench.now.in_ms(700_000));
    assert_eq!(bench.timeout(), [INSPECT]);
    bench.forward_to("Login::LoggingInAsController");
    bench.done(Outcome::Unknown(Lost::Deadline));
    assert_eq!(bench.stands(), ("Waiting", Wait::Login.sentence()));
    assert_eq!(bench.machine.standing(), Standing::Ready);
    bench.forward_to("Serving");
}
