//! Who is let in, in which order, and at what cost: everything before and between the sessions.

use super::fixtures::*;
use super::world::signer;
use crate::bootstrap::SIGNERS_PAUSE_MS;
use crate::caller::Examined;
use crate::controller::callers::REFUSALS_MAX;
use crate::names::Nonce;
use crate::vault::AuthRole;
use crate::volume::{Token, TokenFile};

/// Everybody listens until long after everything here.
const BY: Mono = Mono(1_000_000);

#[test]
fn until_its_token_was_examined_nobody_outside_is_asked_on_a_callers_behalf() {
    let mut bench = Bench::at("Serving");

    assert_eq!(bench.ask(1, BY, Ask::Component(None)), [Told::Asks(2_000, reads_api_token())]);
    assert_eq!(bench.ask(2, BY, Ask::Nats(None)), [], "they wait for the same keys");
    let told = bench.step_shared();
    assert_eq!(
        told,
        [Told::Asks(5_000, Call::Kubernetes(kubernetes::Call::ReadSigners)), examines(1, 1), examines(2, 1),]
    );
    assert_eq!(bench.ask(3, BY, Ask::Component(None)), [examines(3, 1)], "the keys are known");

    for ticket in 1..=3 {
        assert_eq!(bench.step_for(Ticket(ticket)), [reviews_next(ticket, &bench)]);
    }
}

#[test]
fn whoever_shows_no_token_of_this_cluster_costs_nobody_outside_anything() {
    for (examined, rejection) in [
        (Examined::Malformed, Rejection::TokenMalformed),
        (Examined::Unsigned, Rejection::TokenUnsigned),
        (Examined::Forged, Rejection::TokenForged),
    ] {
        let mut bench = knowing_the_keys();
        bench.ask(7, BY, Ask::Component(None));
        let told = bench.done_for(Ticket(7), says(examined));
        assert_eq!(told, turned_away(7, &Ask::Component(None), rejection));
    }
    // Each claim has its own test, where it is judged.
    let mut bench = knowing_the_keys();
    bench.ask(7, BY, Ask::Component(None));
    let mut claims = bench.world.claims(Secret::Of(Ticket(7), Asker::CallerJwt), bench.now);
    claims.expires = bench.now.unix;
    let told = bench.done_for(Ticket(7), says(Examined::Genuine(claims)));
    assert_eq!(told, turned_away(7, &Ask::Component(None), Rejection::TokenExpired));
    for outcome in doubts() {
        let mut bench = knowing_the_keys();
        bench.ask(7, BY, Ask::Component(None));
        let told = bench.done_for(Ticket(7), outcome);
        assert_eq!(told, turned_away(7, &Ask::Component(None), Rejection::ReviewUnavailable));
    }
}

#[test]
fn a_key_that_is_not_known_is_looked_for_once_and_then_the_token_is_forged_or_let_in() {
    for (signs, expected) in [(2, None), (1, Some(Rejection::TokenForged))] {
        let mut bench = knowing_the_keys();
        bench.pass_to(Mono(SIGNERS_PAUSE_MS));
        bench.ask(7, BY, Ask::Component(None));
        assert_eq!(
            bench.done_for(Ticket(7), says(Examined::UnknownKey)),
            [Told::Asks(2_000, reads_api_token())]
        );
        bench.world.signer = signs;
        assert_eq!(bench.step_shared().last(), Some(&examines(7, signs)));
        let told = match expected {
            None => bench.step_for(Ticket(7)),
            Some(_) => bench.done_for(Ticket(7), says(Examined::UnknownKey)),
        };
        match expected {
            None => assert_eq!(told, [reviews_next(7, &bench)]),
            Some(rejection) => assert_eq!(told, turned_away(7, &Ask::Component(None), rejection)),
        }
    }
}

#[test]
fn however_many_tokens_name_unknown_keys_the_keys_are_read_every_ten_seconds_at_most() {
    let mut bench = knowing_the_keys();
    let mut reads = 0;
    for second in 0..100 {
        bench.pass_to(Mono(second * 1_000));
        for caller in 0..10 {
            let ticket = 1_000 + second * 10 + caller;
            bench.ask(ticket, BY, Ask::Component(None));
            bench.done_for(Ticket(ticket), says(Examined::UnknownKey));
        }
        let told = bench.step_shared();
        reads += told.iter().filter(|told| matches!(told, Told::Asks(_, Call::Kubernetes(_)))).count();
        let asked = bench.machine.callers.tickets();
        for ticket in asked {
            let told = bench.done_for(ticket, says(Examined::UnknownKey));
            assert_eq!(told, turned_away(ticket.0, &Ask::Component(None), Rejection::TokenForged));
        }
    }
    assert_eq!(reads, 9, "in a hundred seconds, after the first ten");

    bench.ask(7, BY, Ask::Component(None));
    let told = bench.done_for(Ticket(7), says(Examined::UnknownKey));
    assert_eq!(
        told,
        turned_away(7, &Ask::Component(None), Rejection::KeyUnknown),
        "it may be a new one: not for good"
    );
}

#[test]
fn keys_that_cannot_be_read_are_an_outage_and_are_not_asked_for_at_once_again() {
    let mut outages: Vec<Outcome<Reply>> = doubts().collect();
    outages.extend([TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed].map(token_file));
    for outage in outages {
        let mut bench = Bench::at("Serving");
        bench.ask(1, BY, Ask::Component(None));
        let id = bench.machine.callers.shared_calls().next().expect("the keys are read");
        let told = bench.answer(id, outage);
        assert_eq!(told, turned_away(1, &Ask::Component(None), Rejection::ReviewUnavailable));
        assert_eq!(
            bench.ask(2, BY, Ask::Component(None)),
            turned_away(2, &Ask::Component(None), Rejection::ReviewUnavailable)
        );
        bench.pass_to(Mono(1_000));
        assert_eq!(bench.ask(3, BY, Ask::Component(None)), [Told::Asks(2_000, reads_api_token())]);
    }
}

#[test]
fn an_outage_does_not_take_the_keys_away_that_are_known() {
    let mut bench = knowing_the_keys();
    bench.pass_to(Mono(SIGNERS_PAUSE_MS));
    bench.ask(7, BY, Ask::Component(None));
    bench.done_for(Ticket(7), says(Examined::UnknownKey));
    let id = bench.machine.callers.shared_calls().next().expect("the keys are read");
    let told = bench.answer(id, Outcome::Unknown(Lost::Connection));
    assert_eq!(told, turned_away(7, &Ask::Component(None), Rejection::ReviewUnavailable));

    bench.ask(8, BY, Ask::Component(None));
    assert_eq!(bench.step_for(Ticket(8)), [reviews_next(8, &bench)]);
}

#[test]
fn a_pod_has_one_session_and_two_questions_that_wait_and_takes_nothing_from_others() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    assert_eq!(bench.let_in(1, BY, Ask::Component(None)), [reviews_next(1, &bench)]);
    for ticket in [2, 3] {
        assert_eq!(bench.let_in(ticket, BY, Ask::Component(None)), []);
    }
    assert_eq!(
        bench.let_in(4, BY, Ask::Component(None)),
        turned_down(4, &bench, &Ask::Component(None), Rejection::Busy)
    );
    bench.world.questions_of_a_pod = 1;
    assert_eq!(bench.let_in(5, BY, Ask::Component(None)), [reviews_next(5, &bench)]);

    bench.world.questions_of_a_pod = ALL;
    let told = finish(&mut bench, 1);
    assert!(matches!(told.last(), Some(Told::AsksFor(Ticket(2), ..))), "{told:?}");
    let told = bench.event(Event::Withdrawn { ticket: Ticket(2) });
    assert!(matches!(told.as_slice(), [Told::AsksFor(Ticket(3), ..)]), "{told:?}");
}

#[test]
fn as_many_as_possible_are_served_the_others_wait_and_beyond_that_one_is_told_to_come_back() {
    let mut bench = knowing_the_keys();
    let (places, all) = (SESSIONS_MAX as u64, CALLERS_MAX as u64);
    for ticket in 100..100 + all {
        let told = bench.let_in(ticket, BY, Ask::Component(None));
        let expected = if ticket < 100 + places { vec![reviews_next(ticket, &bench)] } else { vec![] };
        assert_eq!(told, expected);
    }
    assert_eq!(bench.ask(9_000, BY, Ask::Nats(None)), turned_away(9_000, &Ask::Nats(None), Rejection::Busy));

    let next = 100 + places;
    let told = bench.event(Event::Withdrawn { ticket: Ticket(100) });
    assert_eq!(told, [reviews_next(next, &bench)]);
    assert_eq!(bench.ask(9_001, BY, Ask::Nats(None)), [examines(9_001, 1)]);
}

/// A place may get free in the moment in which the time of whoever waits is up, before the machine is told that.
#[test]
fn whoever_waited_for_too_long_gets_no_place_any_more() {
    let mut bench = knowing_the_keys();
    let (places, soon) = (SESSIONS_MAX as u64, Mono(1_000));
    for ticket in 100..100 + places {
        bench.let_in(ticket, BY, Ask::Component(None));
    }
    bench.let_in(1, soon, Ask::Component(None));
    bench.let_in(2, BY, Ask::Component(None));
    bench.pass_to(soon);

    let told = bench.event(Event::Withdrawn { ticket: Ticket(100) });

    let busy = turned_down(1, &bench, &Ask::Component(None), Rejection::Busy);
    assert_eq!(told, [busy.to_vec(), vec![reviews_next(2, &bench)]].concat());
}

#[test]
fn first_bootstraps_and_nonces_go_before_renewals() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    bench.let_in(1, BY, Ask::Component(None));
    finish(&mut bench, 1);
    bench.world.questions_of_a_pod = 1;
    for ticket in 100..100 + SESSIONS_MAX as u64 {
        bench.let_in(ticket, BY, Ask::Component(None));
    }
    bench.world.questions_of_a_pod = ALL;
    assert_eq!(bench.let_in(2, BY, Ask::Component(None)), [], "a renewal");
    bench.world.questions_of_a_pod = 1;
    assert_eq!(bench.let_in(3, BY, Ask::Nats(None)), [], "a first bootstrap that came later");
    bench.world.settings.insert(
        crate::vault::Setting::NatsKey(crate::vault::NatsKey::User(bench.world.caller.clone())),
        serde_json::json!({}),
    );
    assert_eq!(bench.let_in(4, BY, nonce()), [], "a nonce that came last");

    let order = [100, 101, 102].map(|ticket| {
        let told = bench.event(Event::Withdrawn { ticket: Ticket(ticket) });
        let [Told::AsksFor(ticket, ..)] = told.as_slice() else { panic!("{told:?}") };
        ticket.0
    });

    assert_eq!(order, [3, 4, 2]);
}

#[test]
fn whoever_asks_again_within_a_minute_needs_no_second_review_and_no_second_login() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    bench.let_in(1, BY, Ask::Component(None));
    finish(&mut bench, 1);
    bench.world.deeds.clear();

    for (ticket, at) in [(2, 0), (3, 59_999)] {
        bench.pass_to(Mono(at));
        let told = bench.let_in(ticket, BY, nonce());
        let sign = vault::Call::Sign {
            token: Secret::Caller(Ticket(1)),
            key: crate::vault::NatsKey::User(bench.world.caller.clone()),
            input: b"abcDEF012345-_x".to_vec(),
        };
        assert_eq!(told, [Told::AsksFor(Ticket(ticket), bench.now.in_ms(5_000), Call::Vault(sign))]);
        let told = finish(&mut bench, ticket);
        assert!(matches!(told.as_slice(), [Told::Notes(Notice::Served { .. }), _]), "{told:?}");
    }
    assert_eq!(bench.world.deeds.iter().filter(|deed| deed.starts_with("Login")).count(), 0);
    assert_eq!(bench.slots.logins(), [Ticket(1)]);

    bench.pass_to(Mono(60_000));
    let told = bench.let_in(4, BY, nonce());
    let forgets = keys::Call::Forget { names: vec![Secret::Caller(Ticket(1))] };
    assert_eq!(told, [reviews_next(4, &bench), Told::Asks(2_000, Call::Keys(forgets))]);
    bench.step_shared();
    assert_eq!(bench.slots.logins(), [], "it is wiped when its minute is over");
}

#[test]
fn a_kept_token_serves_no_other_role_and_no_other_token_of_the_caller() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    bench.let_in(1, BY, Ask::Component(None));
    finish(&mut bench, 1);

    assert_eq!(
        bench.let_in(2, BY, Ask::Nats(None)),
        [reviews_next(2, &bench)],
        "Vault has another role for that"
    );
    bench.world.questions_of_a_pod = 1;
    assert_eq!(bench.let_in(3, BY, Ask::Component(None)), [reviews_next(3, &bench)]);
}

#[test]
fn a_kept_token_lives_no_longer_than_what_it_was_exchanged_for_nor_than_vaults_own_end_of_it() {
    for (lease_s, jwt_s, kept_ms) in [(120, 600, 60_000), (50, 600, 20_000), (20, 600, 0), (120, 7, 7_000)] {
        let mut bench = knowing_the_keys();
        bench.world.questions_of_a_pod = ALL;
        bench.ask(1, BY, Ask::Component(None));
        let mut claims = bench.world.claims(Secret::Of(Ticket(1), Asker::CallerJwt), bench.now);
        claims.expires = Unix(bench.now.unix.0 + jwt_s);
        bench.done_for(Ticket(1), says(Examined::Genuine(claims)));
        (0..2).for_each(|_| drop(bench.step_for(Ticket(1))));
        let login = crate::vault::Login { identity: bench.world.caller.clone(), lease_s };
        bench.done_for(Ticket(1), vault(vault::Reply::LoggedIn(login)));
        finish(&mut bench, 1);
        bench.step_shared();

        if kept_ms > 0 {
            bench.pass_to(Mono(kept_ms - 1));
            let told = bench.let_in(2, BY, nonce());
            assert!(matches!(told.as_slice(), [Told::AsksFor(_, _, Call::Vault(_))]), "{lease_s}: {told:?}");
            finish(&mut bench, 2);
        }
        bench.pass_to(Mono(kept_ms));
        let told = bench.let_in(3, BY, nonce());
        assert_eq!(told[0], reviews_next(3, &bench), "{lease_s} {jwt_s}");
    }
}

#[test]
fn a_kept_token_that_vault_no_longer_takes_is_replaced_once() {
    for refusal in [Refusal::Denied, Refusal::Unauthenticated, Refusal::Unclear] {
        let mut bench = knowing_the_keys();
        bench.world.questions_of_a_pod = ALL;
        bench.let_in(1, BY, Ask::Component(None));
        finish(&mut bench, 1);
        bench.let_in(2, BY, nonce());

        let told = bench.done_for(Ticket(2), Outcome::Refused(refusal));
        let forgets = keys::Call::Forget { names: vec![Secret::Caller(Ticket(1))] };
        assert_eq!(told, [reviews_next(2, &bench), Told::Asks(2_000, Call::Keys(forgets))]);
        bench.step_for(Ticket(2));
        let (jwt, into) = (Secret::Of(Ticket(2), Asker::CallerJwt), Secret::Caller(Ticket(2)));
        let login = Call::Vault(vault::Call::Login { role: AuthRole::Component, jwt, into });
        assert_eq!(bench.step_for(Ticket(2)), [Told::AsksFor(Ticket(2), bench.now.in_ms(5_000), login)]);
        bench.step_for(Ticket(2));
        let told = bench.done_for(Ticket(2), Outcome::Refused(refusal));
        let ends = matches!(told.get(1), Some(Told::Answers(Ticket(2), Answer::Rejected(_))));
        assert!(ends, "a token that is fresh is refused for good: {told:?}");
    }
}

#[test]
fn whoever_was_refused_is_told_so_again_for_ten_seconds_and_nobody_is_asked() {
    let refused = Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Review(kubernetes::Review::Refused)));
    let denied = Outcome::Refused(Refusal::Denied);
    for (steps, outcome, rejection) in
        [(1, refused, Rejection::TokenRefused), (2, denied, Rejection::NotEntitled)]
    {
        let mut bench = knowing_the_keys();
        bench.world.questions_of_a_pod = ALL;
        bench.let_in(1, BY, Ask::Component(None));
        (0..steps).for_each(|_| drop(bench.step_for(Ticket(1))));
        bench.done_for(Ticket(1), outcome);
        bench.step_shared();

        for (ticket, at) in [(2, 0), (3, 9_999)] {
            bench.pass_to(Mono(at));
            let again = Told::Answers(Ticket(ticket), Answer::Rejected(rejection));
            assert_eq!(bench.let_in(ticket, BY, nonce()), [again]);
        }
        let other_role = bench.let_in(4, BY, Ask::Nats(None));
        assert_eq!(other_role, [reviews_next(4, &bench)], "that was not asked of Vault");
        bench.event(Event::Withdrawn { ticket: Ticket(4) });
        bench.pass_to(Mono(10_000));
        assert_eq!(bench.let_in(5, BY, Ask::Component(None)), [reviews_next(5, &bench)]);
    }
}

#[test]
fn an_outage_is_nobodys_refusal() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    for (ticket, steps) in [(1, 0), (2, 1), (3, 2)] {
        bench.let_in(ticket, BY, Ask::Component(None));
        (0..steps).for_each(|_| drop(bench.step_for(Ticket(ticket))));
        bench.done_for(Ticket(ticket), Outcome::Unknown(Lost::Connection));
        bench.step_shared();
    }
    assert_eq!(bench.let_in(4, BY, Ask::Component(None)), [reviews_next(4, &bench)]);
}

#[test]
fn refusals_are_kept_of_so_many_tokens_the_latest_and_no_longer_than_they_count() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = 2;
    let (first, last) = (2_000, 2_000 + 2 * 999);
    for ticket in (first..=last).step_by(2) {
        bench.pass_to(Mono(ticket - first));
        bench.let_in(ticket, BY, Ask::Component(None));
        bench.step_for(Ticket(ticket));
        bench.step_for(Ticket(ticket));
        bench.done_for(Ticket(ticket), Outcome::Refused(Refusal::Denied));
        bench.step_shared();
    }
    let kept = |bench: &Bench| bench.machine.callers.refused();
    assert_eq!(kept(&bench), REFUSALS_MAX);
    let again = Told::Answers(Ticket(last + 1), Answer::Rejected(Rejection::NotEntitled));
    assert_eq!(bench.let_in(last + 1, BY, Ask::Component(None)), [again]);
    let forgotten = bench.let_in(first + 1, BY, Ask::Component(None));
    assert_eq!(forgotten, [reviews_next(first + 1, &bench)], "the oldest goes");

    bench.pass_to(Mono(last - first + 10_000));
    bench.let_in(9, BY, Ask::Component(None));
    assert_eq!(kept(&bench), 0);
}

#[test]
fn whose_time_is_up_while_it_waits_is_told_so() {
    let mut bench = Bench::at("Serving");
    bench.ask(1, Mono(500), Ask::Nats(None));
    assert_eq!(bench.machine.poll_timeout(), Some((Mono(500), "a caller is told that its time is up")));
    bench.pass_to(Mono(500));
    assert_eq!(
        bench.timeout(),
        turned_away(1, &Ask::Nats(None), Rejection::ReviewUnavailable),
        "no keys came"
    );

    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    bench.let_in(1, BY, Ask::Component(None));
    bench.let_in(2, Mono(500), Ask::Component(None));
    bench.pass_to(Mono(499));
    assert_eq!(bench.timeout(), []);
    bench.pass_to(Mono(500));
    let told = bench.timeout();
    assert_eq!(told, turned_down(2, &bench, &Ask::Component(None), Rejection::Busy));
}

#[test]
fn who_waits_when_vault_is_found_sealed_is_not_served_any_more() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    bench.let_in(1, BY, Ask::Component(None));
    bench.let_in(2, BY, Ask::Component(None));
    bench.machine.memory.serving = false;

    let told = bench.done_for(Ticket(1), Outcome::Unknown(Lost::Connection));

    let mut expected = turned_down(1, &bench, &Ask::Component(None), Rejection::ReviewUnavailable).to_vec();
    expected.extend(turned_down(2, &bench, &Ask::Component(None), Rejection::NotServing));
    assert_eq!(told, expected);
}

#[test]
fn a_pod_that_crashes_in_a_loop_leaves_nothing_behind_in_the_machine() {
    let mut bench = knowing_the_keys();
    bench.world.questions_of_a_pod = ALL;
    // The controller's own token is renewed by its boot, which stands still here.
    bench.machine.memory.token = bench.machine.memory.certificate;
    let mut sizes = Vec::new();
    for restart in 0..1_000 {
        let by = bench.now.in_ms(10_000);
        bench.let_in(10 + restart, by, Ask::Component(None));
        finish(&mut bench, 10 + restart);
        bench.step_shared();
        bench.pass_to(bench.now.in_ms(10_000));
        let size = serde_json::to_string(&bench.machine.callers).expect("it is data").len();
        sizes.push((size, bench.slots.logins().len()));
    }
    let logins = bench.world.deeds.iter().filter(|deed| *deed == "Login component").count();

    assert_eq!(logins, 167, "one a minute, in 10,000 seconds");
    let (first, last) = (sizes[10], sizes[999]);
    assert_eq!(last.1, 1, "one token is kept");
    assert!(last.0 <= first.0 + 30, "nothing grows but numbers: {first:?} {last:?}");
}

#[test]
fn whoever_has_ended_forgets_no_token_any_more_and_turns_away_who_still_asks() {
    let mut bench = knowing_the_keys();
    bench.ask(1, BY, nonce());
    finish(&mut bench, 1);
    bench.stop();
    bench.pass_to(Mono(3_600_000));
    assert_eq!(bench.event(Event::Withdrawn { ticket: Ticket(1) }), []);
    assert_eq!(bench.stop(), []);
    assert_eq!(bench.ask(2, BY, nonce()), turned_away(2, &nonce(), Rejection::Stopping));
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

/// A controller that serves and has read the keys.
fn knowing_the_keys() -> Bench {
    let mut bench = Bench::at("Serving");
    bench.ask(900, BY, Ask::Component(None));
    bench.step_shared();
    bench.flights.retain(|flight| flight.behalf.is_none());
    bench.event(Event::Withdrawn { ticket: Ticket(900) });
    assert!(bench.machine.callers.tickets().is_empty());
    bench
}

/// Answers this one well until it has its answer.
fn finish(bench: &mut Bench, ticket: u64) -> Vec<Told> {
    let mut told = Vec::new();
    while bench.machine.callers.tickets().contains(&Ticket(ticket)) {
        told = bench.step_for(Ticket(ticket));
    }
    told
}

fn examines(ticket: u64, signs: u8) -> Told {
    let token = Secret::Of(Ticket(ticket), Asker::CallerJwt);
    let call = keys::Call::Examine { token, like: Secret::Own(Own::ApiJwt), signers: vec![signer(signs)] };
    Told::AsksFor(Ticket(ticket), Mono(2_000 + now_of(ticket)), Call::Keys(call))
}

/// When the tests above ask for those tickets whose keys are looked for later.
const fn now_of(ticket: u64) -> u64 {
    if ticket == 7 { SIGNERS_PAUSE_MS } else { 0 }
}

/// It was let in: its session begins with the review.
fn reviews_next(ticket: u64, bench: &Bench) -> Told {
    Told::AsksFor(Ticket(ticket), bench.now.in_ms(5_000), reads_api_token())
}

const fn says(examined: Examined) -> Outcome<Reply> {
    Outcome::Ok(Reply::Keys(keys::Reply::Examined(examined)))
}

/// Before anybody knows who it is.
fn turned_away(ticket: u64, ask: &Ask, rejection: Rejection) -> [Told; 2] {
    rejected(ticket, None, ask, rejection)
}

/// With a token that the API server has signed.
fn turned_down(ticket: u64, bench: &Bench, ask: &Ask, rejection: Rejection) -> [Told; 2] {
    rejected(ticket, Some(bench.world.caller.clone()), ask, rejection)
}

fn rejected(ticket: u64, identity: Option<Identity>, ask: &Ask, rejection: Rejection) -> [Told; 2] {
    [
        Told::Notes(Notice::Rejected { identity, method: ask.method(), rejection }),
        Told::Answers(Ticket(ticket), Answer::Rejected(rejection)),
    ]
}

const fn reads_api_token() -> Call {
    Call::Volume(volume::Call::ReadToken { token: Token::Api, into: Secret::Own(Own::ApiJwt) })
}

fn nonce() -> Ask {
    Ask::SignNonce { nonce: Nonce::parse("abcDEF012345-_x").expect("a nonce") }
}
