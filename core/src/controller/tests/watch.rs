//! Serving: the seal is looked at, and what ends is renewed before it does.

use super::fixtures::*;
use crate::documents::certificate::CONTROLLER_TTL_S;
use crate::vault::SealStatus;
use crate::volume::Token;

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
    let told = bench.ask(1, bench.now.in_ms(1_000), Ask::Nats(None));
    assert_eq!(told[1], Told::Answers(Ticket(1), Answer::Rejected(rejection)));

    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
    assert_eq!(
        bench.world.deeds,
        ["Open", "Unseal", "Open", "Login controller", "ListAccessors", "Login controller-setup", "Forget"],
        "the certificate that is shown still lives"
    );
}

#[test]
fn a_vault_that_is_silent_three_times_in_a_row_is_surveyed() {
    for outcome in doubts() {
        let mut bench = Bench::at("Serving");
        // Each answer in between begins the count anew.
        for missed in [1, 2, 2] {
            for _ in 0..missed {
                bench.wait();
                assert_eq!(bench.done(outcome.clone()), []);
                assert_eq!((bench.machine.phase(), bench.machine.standing()), ("Serving", Standing::Ready));
            }
            bench.wait();
            bench.step();
        }
        for missed in 1..=3 {
            assert_eq!(bench.machine.standing(), Standing::Ready);
            bench.wait();
            let told = bench.done(outcome.clone());
            assert_eq!(told, if missed == 3 { vec![INSPECT] } else { vec![] });
        }
        assert_eq!(bench.machine.standing(), Standing::Starting);
        bench.forward_to("Serving");
        assert_eq!(bench.machine.memory.silent_looks, 0);
    }
}

#[test]
fn an_outage_that_begins_with_a_renewal_takes_readiness_away_too() {
    let mut bench = Bench::at("Serving");
    bench.pass_to(bench.now.mono.after_ms(700_000));
    bench.timeout();
    assert_eq!(bench.machine.phase(), "Login::ReadingControllerJwt");

    // Whatever goes to Vault is lost, whatever else is asked is answered.
    let mut waits = 0;
    while bench.machine.standing() == Standing::Ready {
        match bench.boot_flight() {
            Some(flight) if matches!(flight.call, Call::Vault(_)) => {
                bench.done(Outcome::Unknown(Lost::Connection));
            }
            Some(_) => {
                bench.step();
            }
            None => {
                waits += 1;
                bench.wait();
            }
        }
        assert!(waits < 10, "nobody notices that Vault is gone");
    }
    assert_eq!((bench.machine.standing(), waits), (Standing::Starting, 3));
}

#[test]
fn a_vault_that_is_new_is_surveyed_at_once() {
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
    let renewed = ["Login controller", "ListAccessors", "Login controller-setup", "Forget"];
    assert_eq!(bench.world.deeds, renewed, "and nothing is surveyed");
}

#[test]
fn a_clock_that_was_set_back_or_stood_still_puts_no_renewal_off() {
    for (renewed, life_s) in [("Login::LoggingInAsController", 900), ("Certify::Issuing", CONTROLLER_TTL_S)] {
        let two_thirds_s = life_s / 3 * 2;
        for (mono_s, unix_jump_s) in [(two_thirds_s, -1_000_000), (2, two_thirds_s.cast_signed())] {
            let mut bench = Bench::at("Serving");
            if life_s == CONTROLLER_TTL_S {
                // Everything else that ends lives as long.
                bench.machine.memory.token = bench.machine.memory.certificate;
            }
            bench.pass_to(bench.now.in_ms(mono_s * 1_000));
            bench.now.unix.0 = bench.now.unix.0.saturating_add_signed(unix_jump_s);
            assert_eq!(bench.timeout(), [asks_for_token(Token::Vault, Own::VaultJwt)]);
            bench.forward_to(renewed);
            bench.forward_to("Serving");
        }
    }
}

#[test]
fn a_vault_that_a_failed_renewal_finds_sealed_serves_nobody() {
    let mut bench = Bench::at("Serving");
    bench.pass_to(bench.now.in_ms(700_000));
    bench.timeout();
    bench.world.sealed = true;
    bench.forward_to("Unseal::Unsealing");
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Serving");
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
    assert_eq!(bench.timeout(), [asks_for_token(Token::Vault, Own::VaultJwt)]);
    bench.forward_to("Login::LoggingInAsController");
    bench.done(Outcome::Unknown(Lost::Deadline));
    bench.assert_waits(Wait::Login);
    assert_eq!(bench.machine.standing(), Standing::Ready);
    assert_eq!(bench.wait(), [INSPECT], "what went wrong, a survey finds out");
    bench.forward_to("Serving");
}

#[test]
fn a_certificate_that_ends_before_it_is_renewed_takes_readiness_away_until_it_is() {
    let mut bench = Bench::at("Serving");
    let end = bench.now.in_ms(CONTROLLER_TTL_S * 1_000);
    // The own token is renewed all the time; whatever needs the API server fails.
    let told = without_the_api_server(&mut bench, end);
    assert_eq!(told, [Told::Notes(Notice::Lapsed(Lapse::Certificate))]);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    assert!(bench.now.mono.0 - end.0 <= crate::retry::BACKOFF_MS_MAX, "{:?}", bench.now);

    bench.forward_to("Certify::Issuing");
    let issuing = "waiting for a valid serving certificate to be issued, published and shown";
    assert_eq!(bench.stands().1, issuing);
    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn nobody_is_served_from_the_moment_on_that_the_certificate_or_the_token_ends() {
    for life_s in [900, CONTROLLER_TTL_S] {
        let mut bench = Bench::at("Serving");
        let end = bench.now.in_ms(life_s * 1_000);
        bench.pass_to(Mono(end.0 - 1));
        if life_s == CONTROLLER_TTL_S {
            bench.machine.memory.token = bench.machine.memory.certificate;
        }
        bench.ask(1, bench.now.in_ms(1_000), Ask::Nats(None));
        assert_eq!(bench.machine.callers.tickets().len(), 1, "it lives to the last moment");
        bench.pass_to(end);
        let told = bench.ask(2, bench.now.in_ms(1_000), Ask::Nats(None));
        assert_eq!(told[1], Told::Answers(Ticket(2), Answer::Rejected(Rejection::NotServing)));
    }
}

#[test]
fn a_token_that_ends_while_nobody_is_served_is_no_news() {
    let mut bench = Bench::at("Serving");
    (bench.world.sealed, bench.world.hold) = (true, true);
    bench.forward_to("Waiting");
    let end = bench.now.in_ms(1_000_000);
    while bench.now.mono < end {
        let told = bench.step();
        assert!(!told.contains(&Told::Notes(Notice::Lapsed(Lapse::Token))), "{told:?}");
    }
    assert_eq!(bench.machine.memory.token, None);
    bench.world.hold = false;
    bench.forward_to("Serving");
}

#[test]
fn a_token_that_ends_at_once_is_no_reason_to_log_in_without_a_pause() {
    let mut bench = Bench::at("Certify::Probing");
    bench.machine.memory.token = Some(Lease::new(bench.now, 0, 0));
    bench.step();
    bench.assert_waits(Wait::Renewal);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Serving");
}

/// Goes on with an API server that answers nothing until nobody is served any more. What is told then.
fn without_the_api_server(bench: &mut Bench, end: Mono) -> Vec<Told> {
    while bench.now.mono <= end.after_ms(crate::retry::BACKOFF_MS_MAX) {
        let told = match bench.boot_flight() {
            Some(flight) if matches!(flight.call, Call::Kubernetes(_)) => {
                bench.done(Outcome::Unknown(Lost::Connection))
            }
            Some(_) | None => bench.step(),
        };
        if bench.machine.standing() != Standing::Ready {
            return told.into_iter().filter(|told| matches!(told, Told::Notes(Notice::Lapsed(_)))).collect();
        }
    }
    panic!("the certificate has ended and somebody is served");
}
