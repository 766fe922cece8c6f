//! What is renewed, when, and what goes on meanwhile.

use super::*;
use crate::retry::renewal_s;
use crate::signature::Signature;

#[test]
fn a_renewal_begins_at_two_thirds_of_the_shortest_life() {
    let mut bench = Bench::at("Serving");
    bench.pass_looks_until("ReadingTrust");
    assert_eq!(bench.now.unix, Unix(UNIX + renewal_s(SEED, 0, JWT_S)));
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn each_of_the_three_lives_can_be_the_shortest() {
    let short = Unix(UNIX + 900);
    let fit = sent("a", UNIX);
    for shortest in [
        ComponentDocuments { user_jwt: user_jwt(short), user_jwt_expires: short, ..fit.clone() },
        ComponentDocuments {
            certificate: Certificate { not_after: short, ..fit.certificate.clone() },
            ..fit.clone()
        },
        ComponentDocuments { runtime: Certificate { not_after: short, ..fit.runtime.clone() }, ..fit },
    ] {
        let mut bench = Bench::at("Bootstrapping");
        let effects = bench.done(2, documents(shortest));
        assert_eq!(effects[0], notice(Notice::Bootstrapped { expires: short }));
        assert_eq!(bench.machine.held().renew_at, Unix(UNIX + renewal_s(SEED, 0, 900)));
    }
}

#[test]
fn lives_too_short_to_be_started_on_are_refused_so_that_renewals_make_no_storm() {
    let until = |life_s| Unix(UNIX + life_s);
    let fit = sent("a", UNIX);
    let ends =
        |certificate: &Certificate, life_s| Certificate { not_after: until(life_s), ..certificate.clone() };
    let brief = |life_s| {
        [
            ComponentDocuments {
                user_jwt: user_jwt(until(life_s)),
                user_jwt_expires: until(life_s),
                ..fit.clone()
            },
            ComponentDocuments { certificate: ends(&fit.certificate, life_s), ..fit.clone() },
            ComponentDocuments { runtime: ends(&fit.runtime, life_s), ..fit.clone() },
        ]
    };
    for too_brief in brief(59) {
        let mut bench = Bench::at("Bootstrapping");
        assert_eq!(bench.done(2, documents(too_brief.clone())), [], "{too_brief:?}");
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::DocumentsMalformed), "{too_brief:?}");
    }
    for long_enough in brief(60) {
        let mut bench = Bench::at("Bootstrapping");
        bench.done(2, documents(long_enough));
        assert_eq!(bench.machine.held().renew_at, Unix(UNIX + renewal_s(SEED, 0, 60)));
    }
    assert!((0..100).all(|draw| renewal_s(SEED, draw, 60) > 30), "half a minute apart");
}

#[test]
fn a_renewal_drops_nothing_and_ends_with_a_new_connection() {
    let mut bench = Bench::renewing();
    let (at, unix) = (bench.now.mono.0, bench.now.unix.0);
    let renewed = sent("b", unix);
    let mut steps = Vec::new();
    for outcome in [
        trust(TrustFiles::Read(mounted())),
        token(TokenFile::Read),
        documents(renewed.clone()),
        written(),
        presented(),
        connected(),
    ] {
        assert_eq!(bench.machine.standing(), Standing::Ready);
        steps.extend(bench.done(bench.last_call(), outcome));
    }
    assert_eq!(
        steps,
        [
            call(7, at + 2_000, READ_TOKEN),
            call(8, at + 15_000, ask_the_controller()),
            notice(Notice::Bootstrapped { expires: renewed.user_jwt_expires }),
            call(9, at + 5_000, write(&renewed)),
            notice(Notice::Written),
            call(10, at + 2_000, present(&renewed)),
            notice(Notice::Serving { address: ADDRESS.into() }),
            call(11, at + CONNECT_MS, connect(&renewed)),
            notice(Notice::Succeeded),
        ]
    );
    assert_eq!(bench.machine.phase(), "Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn whoever_wants_a_renewal_gets_it_at_once_and_one_at_a_time() {
    let mut bench = Bench::at("Serving");
    assert_eq!(bench.renew(), [call(6, 2_000, READ_TRUST)]);
    assert_eq!(bench.machine.standing(), Standing::Ready);
    while bench.machine.phase() != "Serving" {
        assert_eq!(bench.renew(), [], "one is under way");
        let phase =
            PHASES.iter().position(|phase| *phase == bench.machine.phase()).expect("a call in flight");
        bench.forward_to(PHASES.get(phase + 1).unwrap_or(&"Serving"));
    }

    let mut stopped = Bench::at("Serving");
    stopped.event(Event::Signal(Signal::Stop));
    assert_eq!(stopped.renew(), []);
}

/// Between the making of new keys and the certificates on them nothing that is in use may be taken up with those keys.
#[test]
fn a_renewal_on_keys_of_the_pod_drops_nothing_either_and_uses_no_key_before_its_certificate() {
    let mints = |into| Call::Keys(keys::Call::MintCertificateKey { into });
    let mut bench = Bench::renewing_with(Config { key_origin: KeyOrigin::Pod, ..CONFIG });
    let (at, unix, first) = (bench.now.mono.0, bench.now.unix.0, bench.last_call() + 1);
    let renewed = sent("b", unix);
    let csrs = Csrs { broker: csr("broker"), runtime: csr("runtime") };
    let mut steps = Vec::new();
    for outcome in [
        trust(TrustFiles::Read(mounted())),
        token(TokenFile::Read),
        minted("broker"),
        minted("runtime"),
        documents(renewed.clone()),
        written(),
        presented(),
        connected(),
    ] {
        assert_eq!(bench.machine.standing(), Standing::Ready);
        steps.extend(bench.done(bench.last_call(), outcome));
    }
    assert_eq!(
        steps,
        [
            call(first, at + 2_000, READ_TOKEN),
            call(first + 1, at + 1_000, mints(KEY)),
            call(first + 2, at + 1_000, mints(RUNTIME_KEY)),
            call(first + 3, at + 15_000, ask_the_controller_with(Some(csrs))),
            notice(Notice::Bootstrapped { expires: renewed.user_jwt_expires }),
            call(first + 4, at + 5_000, write(&renewed)),
            notice(Notice::Written),
            call(first + 5, at + 2_000, present(&renewed)),
            notice(Notice::Serving { address: ADDRESS.into() }),
            call(first + 6, at + CONNECT_MS, connect(&renewed)),
            notice(Notice::Succeeded),
        ]
    );
    assert_eq!((bench.machine.phase(), bench.machine.standing()), ("Serving", Standing::Ready));

    // Lost in the middle: the link is replaced once there is a certificate on the new key, never with the old one.
    let mut bench = Bench::renewing_with(Config { key_origin: KeyOrigin::Pod, ..CONFIG });
    bench.forward_to("Bootstrapping");
    assert_eq!(bench.link(Link::Down), [notice(Notice::Waiting(Wait::Nats))]);
    bench.done(bench.last_call(), Outcome::Unknown(Lost::Connection));
    let (until, _) = bench.machine.poll_timeout().expect("a pause");
    bench.pass_to(until);
    assert_eq!(bench.timeout(), [call(bench.last_call(), until.0 + 2_000, READ_TRUST)]);
    bench.forward_to("Connecting");
    assert_eq!(bench.machine.held().documents.certificate, sent("b", bench.now.unix.0).certificate);
}

#[test]
fn the_new_connection_shows_the_new_jwt() {
    let mut bench = Bench::renewing();
    bench.forward_to("Connecting");
    let (dialled, renewed) = (bench.last_call(), sent("b", bench.now.unix.0));

    bench.ask(1, bench.now.in_ms(2_000), sign_nonce());
    bench.done(bench.last_call(), token(TokenFile::Read));
    let signed = Answer::Signed { jwt: renewed.user_jwt, signature: Signature([1; 64]) };
    assert_eq!(bench.done(bench.last_call(), signature()), [answer(1, signed)]);

    assert_eq!(bench.done(dialled, connected()), [notice(Notice::Succeeded)]);
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn while_nats_takes_no_new_connection_the_old_one_goes_on_until_it_is_lost() {
    let waits = |wait| [notice(Notice::Waiting(wait))];
    let mut bench = Bench::renewing();
    bench.forward_to("Connecting");
    assert_eq!(bench.done(bench.last_call(), Outcome::Unknown(Lost::Deadline)), waits(Wait::Succession));
    let (until, sentence) = bench.machine.poll_timeout().expect("a pause");
    assert_eq!((sentence, bench.machine.standing()), (Wait::Succession.sentence(), Standing::Ready));

    bench.pass_to(until);
    assert_eq!(
        bench.timeout(),
        [call(bench.last_call(), until.0 + CONNECT_MS, connect(&bench.machine_holds()))]
    );
    assert_eq!(bench.link(Link::Down), waits(Wait::Nats));
    assert_eq!(bench.machine.standing(), Standing::Starting);
    assert_eq!(bench.done(bench.last_call(), Outcome::Refused(Refusal::NotReady)), waits(Wait::Nats));
    let (until, sentence) = bench.machine.poll_timeout().expect("a pause");
    assert_eq!(sentence, Wait::Nats.sentence());

    bench.pass_to(until);
    bench.timeout();
    assert_eq!(bench.done(bench.last_call(), connected()), [notice(Notice::Connected)]);
    assert_eq!((bench.machine.phase(), bench.machine.standing()), ("Serving", Standing::Ready));
}

#[test]
fn a_question_during_a_renewal_is_answered_with_what_is_held() {
    let mut bench = Bench::renewing();
    let renewal = bench.last_call();
    bench.ask(1, bench.now.in_ms(2_000), sign_nonce());
    bench.done(renewal, trust(TrustFiles::Read(mounted())));
    bench.done(renewal + 1, token(TokenFile::Read));
    let signed = Answer::Signed { jwt: sent("a", UNIX).user_jwt, signature: Signature([1; 64]) };
    assert_eq!(bench.done(bench.last_call(), signature()), [answer(1, signed)]);
    assert_eq!(bench.machine.phase(), "ReadingToken");
}

#[test]
fn a_link_that_goes_down_is_waited_for_and_replaced_after_a_while() {
    let mut bench = Bench::at("Serving");
    assert_eq!(bench.link(Link::Down), [notice(Notice::Waiting(Wait::Nats))]);
    assert_eq!(bench.link(Link::Down), [], "told once");
    assert_eq!(bench.machine.standing(), Standing::Starting);
    assert_eq!(bench.machine.waits_for(), Wait::Nats.sentence());
    assert_eq!(bench.link(Link::Up), [notice(Notice::Connected)]);
    assert_eq!(bench.machine.standing(), Standing::Ready);

    bench.link(Link::Down);
    bench.pass_to(Mono(60_000));
    assert_eq!(bench.timeout(), [call(6, 60_000 + CONNECT_MS, connect(&sent("a", UNIX)))]);
}

#[test]
fn a_link_that_goes_down_during_a_renewal_is_replaced_at_its_end() {
    let mut bench = Bench::renewing();
    assert_eq!(bench.link(Link::Down), [notice(Notice::Waiting(Wait::Nats))]);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Presenting");
    let effects = bench.done(bench.last_call(), presented());
    let dial = call(bench.last_call(), bench.now.mono.0 + CONNECT_MS, connect(&sent("b", bench.now.unix.0)));
    assert_eq!(effects, [notice(Notice::Serving { address: ADDRESS.into() }), dial]);
}

#[test]
fn while_nats_is_missing_what_comes_due_is_renewed() {
    let mut bench = Bench::at("Connecting");
    while bench.machine.phase() != "ReadingTrust" {
        bench.done(bench.last_call(), Outcome::Unknown(Lost::Connection));
        let (at, _) = bench.machine.poll_timeout().expect("a pause");
        bench.pass_to(at);
        bench.timeout();
    }
    assert!(bench.now.unix >= Unix(UNIX + renewal_s(SEED, 0, JWT_S)));
}

#[test]
fn no_failure_of_a_renewal_takes_down_what_works() {
    let in_phase = |phase, outcome, fatal| (phase, outcome, Wait::Remedy(fatal), fatal);
    for (phase, outcome, wait, fatal) in [
        in_phase("ReadingTrust", trust(TrustFiles::OtherAuthority), Fatal::TrustForeign),
        in_phase("ReadingTrust", trust(TrustFiles::NotPem(TrustFile::Authority)), Fatal::TrustNotPem),
        in_phase("ReadingToken", token(TokenFile::Empty), Fatal::TokenMalformed),
        in_phase("Bootstrapping", rejected_with(Rejection::TokenRefused), Fatal::TokenRefused),
        in_phase("Bootstrapping", rejected_with(Rejection::NotEntitled), Fatal::NotEntitled),
        in_phase("Bootstrapping", documents(of_another_user()), Fatal::DocumentsMalformed),
    ] {
        let mut bench = Bench::renewing();
        bench.forward_to(phase);
        assert_eq!(bench.done(bench.last_call(), outcome.clone()), [notice(Notice::Waiting(wait))]);
        assert_eq!(bench.machine.standing(), Standing::Ready);
        assert_eq!(bench.machine.phase(), "BackingOff");

        bench.now.unix = Unix(UNIX + JWT_S);
        bench.pass_to(backoff(SEED, Attempt(0), bench.now));
        assert_eq!(bench.timeout()[0], notice(Notice::Lapsed));
        assert_eq!(bench.machine.standing(), Standing::Starting);
        bench.forward_to(phase);
        assert_eq!(bench.done(bench.last_call(), outcome), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal), "nothing works any more");
    }
}

#[test]
fn a_mount_that_vanished_is_given_the_grace_again() {
    let missing = || trust(TrustFiles::Missing(TrustFile::Certificate));
    let late = Wait::Bootstrap(initializer::Wait::Trust);
    let mut bench = Bench::renewing();
    let began = bench.now.mono;
    assert_eq!(bench.done(bench.last_call(), missing()), [notice(Notice::Waiting(late))]);
    bench.pass_to(began.after_ms(CONFIG.mount_grace_ms));
    bench.timeout();
    let remedy = Wait::Remedy(Fatal::TrustMissing);
    assert_eq!(bench.done(bench.last_call(), missing()), [notice(Notice::Waiting(remedy))]);
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn a_controller_that_stays_away_never_stops_the_broker() {
    let mut bench = Bench::renewing();
    let mut notices = Vec::new();
    while bench.now.unix < Unix(UNIX + 2 * JWT_S) {
        bench.forward_to("Bootstrapping");
        notices.extend(bench.done(bench.last_call(), Outcome::Unknown(Lost::Connection)));
        let ready = bench.now.unix < Unix(UNIX + JWT_S);
        assert_eq!(bench.machine.standing(), if ready { Standing::Ready } else { Standing::Starting });
        let (at, _) = bench.machine.poll_timeout().expect("a pause");
        bench.pass_to(at);
        notices.extend(bench.timeout());
    }
    notices.retain(|effect| matches!(effect, Effect::Notice(_)));
    let waiting = Notice::Waiting(Wait::Bootstrap(initializer::Wait::Controller(NoAnswer::Silent)));
    assert_eq!(notices, [notice(waiting), notice(Notice::Lapsed)]);

    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn a_volume_that_refuses_a_renewal_is_tried_again_for_ever() {
    let mut bench = Bench::renewing();
    for _ in 0..2 * WRITES_REFUSED_MAX {
        bench.forward_to("WritingBundle");
        bench.done(bench.last_call(), Outcome::Refused(Refusal::Local));
        assert_eq!(bench.machine.standing(), Standing::Ready);
        let (at, _) = bench.machine.poll_timeout().expect("a pause");
        bench.pass_to(at);
        bench.timeout();
    }
    bench.forward_to("Serving");
    assert_eq!(bench.machine.writes_refused, 0);
}

#[test]
fn a_node_that_slept_notices_within_a_minute() {
    let mut bench = Bench::at("Serving");
    bench.now.unix = Unix(UNIX + 3 * 86_400);
    bench.pass_to(Mono(60_000));
    let effects = bench.timeout();
    assert_eq!(effects, [notice(Notice::Lapsed), call(6, 62_000, READ_TRUST)]);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn documents_that_were_renewed_and_not_put_to_use_do_not_count() {
    let mut bench = Bench::renewing();
    bench.forward_to("WritingBundle");
    bench.now.unix = Unix(UNIX + JWT_S);
    for attempt in 1..=WRITES_REFUSED_MAX {
        assert_ne!(bench.machine.standing(), Standing::Stopped(Fatal::VolumeNotWritable));
        let effects = bench.done(bench.last_call(), Outcome::Refused(Refusal::Local));
        assert_eq!(effects.contains(&notice(Notice::Lapsed)), attempt == 1);
        if let Some((at, _)) = bench.machine.poll_timeout() {
            assert_eq!(bench.machine.standing(), Standing::Starting, "the old files have ended");
            bench.pass_to(at);
            bench.timeout();
            bench.forward_to("WritingBundle");
        }
    }
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::VolumeNotWritable));
}

#[test]
fn each_renewal_begins_with_a_short_pause_and_tells_its_own_reasons() {
    let mut bench = Bench::renewing();
    for _ in 0..2 {
        bench.forward_to("Presenting");
        let effects = bench.done(bench.last_call(), Outcome::Unknown(Lost::Deadline));
        assert_eq!(effects, [notice(Notice::Waiting(Wait::Listener))]);
        let until = backoff(SEED, Attempt(0), bench.now);
        assert_eq!(bench.machine.poll_timeout(), Some((until, Wait::Listener.sentence())));
        bench.pass_to(until);
        bench.timeout();
        bench.forward_to("Serving");
        bench.pass_looks_until("ReadingTrust");
    }
}

#[test]
fn a_link_that_came_back_is_not_waited_for_any_more() {
    let mut bench = Bench::at("Serving");
    bench.link(Link::Down);
    bench.now.unix = Unix(UNIX + JWT_S);
    bench.pass_to(Mono(60_000));
    bench.timeout();
    assert_eq!((bench.machine.phase(), bench.machine.waits_for()), ("ReadingTrust", Wait::Nats.sentence()));
    bench.link(Link::Up);
    assert_eq!(bench.machine.waits_for(), initializer::Wait::Mounts.sentence());
}

fn of_another_user() -> ComponentDocuments {
    ComponentDocuments { user: PublicKey::encode(Prefix::User, &[9; 32]), ..sent("b", UNIX) }
}
