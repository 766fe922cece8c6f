//! Nonces, messages, subscriptions, and the end.

use super::super::publishing::PUBLISHING_MAX;
use super::super::signing::SIGNING_MAX;
use super::*;
use crate::documents::subject;
use crate::secret::Asker;
use crate::signature::Signature;

const TICKET: u64 = 7;
const SLOT: Secret = Secret::Of(Ticket(TICKET), Asker::CallerJwt);

#[test]
fn a_nonce_is_signed_while_the_client_connects() {
    let mut bench = Bench::at("Connecting");
    bench.pass_to(Mono(1_000));

    let effects = bench.ask(TICKET, Mono(5_000), sign_nonce());
    assert_eq!(effects, [call_for(TICKET, 6, 4_500, read_token())], "3.5 s, although there would be 4");

    let effects = bench.done(6, token(TokenFile::Read));
    assert_eq!(effects, [call_for(TICKET, 7, 4_500, sign())], "the deadline is that of both");

    let jwt = sent("a", UNIX).user_jwt;
    let signed = Answer::Signed { jwt, signature: Signature([1; 64]) };
    assert_eq!(bench.done(7, signature()), [answer(TICKET, signed)]);
    assert_eq!(bench.machine.phase(), "Connecting");
    assert_eq!(bench.done(5, connected()), [notice(Notice::Connected)]);
}

#[test]
fn whoever_listens_for_less_is_answered_earlier() {
    let mut bench = Bench::at("Serving");
    assert_eq!(bench.ask(TICKET, Mono(900), sign_nonce()), [call_for(TICKET, 6, 900, read_token())]);
    let publication = bench.ask(8, Mono(800), publish());
    assert!(matches!(publication[..], [Effect::Call { by: Mono(800), .. }]), "{publication:?}");
}

#[test]
fn a_nonce_that_is_not_signed_has_a_reason() {
    let lost = || Outcome::Unknown(Lost::Deadline);
    for (outcome, why) in [
        (token(TokenFile::Missing), Unsigned::TokenMissing),
        (token(TokenFile::Empty), Unsigned::TokenMalformed),
        (token(TokenFile::Malformed), Unsigned::TokenMalformed),
        (Outcome::Refused(Refusal::Local), Unsigned::TokenUnreadable),
        (lost(), Unsigned::TokenUnreadable),
    ] {
        let mut bench = Bench::at("Serving");
        bench.ask(TICKET, Mono(2_000), sign_nonce());
        assert_eq!(bench.done(6, outcome), [answer(TICKET, Answer::Unsigned(why))]);
        assert_eq!(bench.machine.standing(), Standing::Ready);
    }
    let rejections =
        Rejection::ALL.map(|rejection| (rejected_with(rejection), Unsigned::Rejected(rejection)));
    let unanswered = unanswered().into_iter().map(|(outcome, why)| (outcome, Unsigned::Unanswered(why)));
    for (outcome, why) in rejections.into_iter().chain(unanswered) {
        let mut bench = Bench::at("Serving");
        bench.ask(TICKET, Mono(2_000), sign_nonce());
        bench.done(6, token(TokenFile::Read));
        assert_eq!(bench.done(7, outcome), [answer(TICKET, Answer::Unsigned(why))]);
        assert_eq!(bench.machine.standing(), Standing::Ready);
    }
}

#[test]
fn whoever_waits_for_nats_says_why_its_nonce_is_not_signed() {
    let refused = Unsigned::Rejected(Rejection::TokenRefused);
    let mut bench = Bench::at("Connecting");
    bench.ask(TICKET, Mono(2_000), sign_nonce());
    bench.done(6, token(TokenFile::Read));
    bench.done(7, rejected_with(Rejection::TokenRefused));
    let effects = bench.done(5, Outcome::Refused(Refusal::NotReady));
    assert_eq!(effects, [notice(Notice::Waiting(Wait::Unsigned(refused)))]);
    assert_eq!(bench.machine.waits_for(), Rejection::TokenRefused.cause());

    // The library comes back by itself, or does not.
    let mut bench = Bench::at("Serving");
    bench.link(Link::Down);
    assert_eq!(bench.machine.waits_for(), Wait::Nats.sentence());
    bench.ask(TICKET, Mono(2_000), sign_nonce());
    bench.done(6, token(TokenFile::Read));
    let unanswered = Unsigned::Unanswered(NoAnswer::Silent);
    assert_eq!(
        bench.done(7, Outcome::Unknown(Lost::Deadline)),
        [notice(Notice::Waiting(Wait::Unsigned(unanswered))), answer(TICKET, Answer::Unsigned(unanswered))]
    );
    assert_eq!(bench.machine.waits_for(), unanswered.sentence());
    bench.ask(8, Mono(2_000), sign_nonce());
    bench.done(8, token(TokenFile::Read));
    bench.done(9, signature());
    assert_eq!(bench.machine.waits_for(), Wait::Nats.sentence());
    assert_eq!(bench.link(Link::Up), [notice(Notice::Connected)]);
}

#[test]
fn nobody_signs_without_a_user_that_is_alive() {
    let mut bench = Bench::at("Bootstrapping");
    let unsigned = |why| [answer(TICKET, Answer::Unsigned(why))];
    assert_eq!(bench.ask(TICKET, Mono(2_000), sign_nonce()), unsigned(Unsigned::NotBootstrapped));

    let mut bench = Bench::at("Serving");
    bench.now.unix = Unix(UNIX + JWT_S);
    let effects = bench.ask(TICKET, Mono(2_000), sign_nonce());
    let [answered] = unsigned(Unsigned::Expired);
    assert_eq!(effects, [notice(Notice::Lapsed), answered]);
}

#[test]
#[should_panic(expected = "ReadingToken")]
fn an_answer_to_another_call_of_a_session_is_a_fault_of_the_driver() {
    let mut bench = Bench::at("Serving");
    bench.ask(TICKET, Mono(2_000), sign_nonce());
    bench.done(6, signature());
}

#[test]
fn a_message_goes_out_at_most_once() {
    for (outcome, heard) in [
        (published(), Answer::Published),
        (Outcome::Refused(Refusal::Denied), Answer::Unavailable),
        (Outcome::Unknown(Lost::Deadline), Answer::Unknown),
        (Outcome::Unknown(Lost::Connection), Answer::Unknown),
    ] {
        let mut bench = Bench::at("Serving");
        let to = PublicKey::encode(Prefix::User, &[6; 32]);
        let message = Call::Nats(nats::Call::Publish {
            subject: subject::message(&to, &own(), &tail()),
            payload: Secret::Of(Ticket(TICKET), Asker::Payload),
        });
        let effects = bench.ask(TICKET, Mono(9_000), publish());
        assert_eq!(effects, [call_for(TICKET, 6, 5_000, message)]);
        assert_eq!(bench.done(6, outcome), [answer(TICKET, heard)]);
        assert_eq!(bench.done(6, published()), [], "nobody awaits it any more");
    }
}

#[test]
fn a_subscription_is_to_what_is_for_the_own_user() {
    let mut bench = Bench::at("Serving");
    let subject = subject::inbox(&own());
    assert_eq!(
        bench.ask(TICKET, Mono(9_000), Ask::Subscribe),
        [answer(TICKET, Answer::Subscribed { subject })]
    );
}

#[test]
fn without_nats_there_are_no_messages() {
    let mut down = Bench::at("Serving");
    down.link(Link::Down);
    for mut bench in [Bench::at("ReadingTrust"), Bench::at("Connecting"), down] {
        for ask in [publish(), Ask::Subscribe] {
            assert_eq!(bench.ask(TICKET, Mono(9_000), ask), [answer(TICKET, Answer::Unavailable)]);
        }
    }
}

#[test]
fn what_is_open_has_a_limit() {
    let mut bench = Bench::at("Serving");
    let publishing = u64::try_from(PUBLISHING_MAX).expect("it is small");
    for ticket in 0..publishing {
        assert_eq!(bench.ask(ticket, Mono(9_000), publish()).len(), 1);
    }
    assert_eq!(bench.ask(publishing, Mono(9_000), publish()), [answer(publishing, Answer::Busy)]);

    let signing = u64::try_from(SIGNING_MAX).expect("it is small");
    for ticket in 100..100 + signing {
        let effects = bench.ask(ticket, Mono(2_000), sign_nonce());
        assert!(
            matches!(effects[..], [Effect::Call { .. }]),
            "messages take no room from nonces: {effects:?}"
        );
    }
    assert_eq!(bench.ask(200, Mono(2_000), sign_nonce()), [answer(200, Answer::Busy)]);

    bench.done(6, published());
    assert!(
        matches!(bench.ask(201, Mono(9_000), publish())[..], [Effect::Call { .. }]),
        "there is room again"
    );
}

#[test]
fn a_question_that_was_withdrawn_is_not_answered() {
    let mut bench = Bench::at("Serving");
    let before = bench.machine.clone();
    bench.ask(TICKET, Mono(2_000), sign_nonce());
    bench.ask(8, Mono(2_000), publish());
    for ticket in [TICKET, 8] {
        assert_eq!(bench.event(Event::Withdrawn { ticket: Ticket(ticket) }), []);
    }
    assert_eq!(bench.machine, before);
    assert_eq!(bench.done(6, token(TokenFile::Read)), []);
    assert_eq!(bench.done(7, published()), []);
    assert_eq!(bench.machine, before);
}

#[test]
fn at_the_end_every_open_question_is_answered() {
    let mut bench = Bench::at("Serving");
    bench.ask(1, Mono(2_000), sign_nonce());
    bench.ask(2, Mono(2_000), publish());
    let effects = bench.event(Event::Signal(Signal::Stop));
    assert_eq!(effects, [answer(1, Answer::Unavailable), answer(2, Answer::Unknown)]);
    assert_eq!(bench.machine.standing(), Standing::Finished);
    assert_eq!(bench.machine.poll_timeout(), None);

    for (ticket, ask) in [(3, sign_nonce()), (4, publish()), (5, Ask::Subscribe)] {
        assert_eq!(bench.ask(ticket, Mono(9_000), ask), [answer(ticket, Answer::Unavailable)]);
    }
    assert_eq!(bench.link(Link::Down), []);
    assert_eq!(bench.event(Event::Signal(Signal::Stop)), []);
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

fn read_token() -> Call {
    Call::Volume(volume::Call::ReadToken { token: volume::Token::Caller, into: SLOT })
}

fn sign() -> Call {
    Call::Bootstrap(bootstrap::Call::SignNonce { ca: pem("root"), token: SLOT, nonce: nonce() })
}
