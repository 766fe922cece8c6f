//! State and event in, the whole list of effects out: the way from the mounts to NATS.

mod fixtures;
mod histories;
mod questions;
mod renewal;

use alloc::vec;
use alloc::vec::Vec;

use self::fixtures::*;
use super::*;
use crate::bootstrap::{ComponentDocuments, Csrs, KeyOrigin, Rejection, Unfit};
use crate::machine::{Effect, Lost};
use crate::secret::Piece;
use crate::time::Unix;
use crate::volume::{File, TokenFile, TrustFile, TrustFiles};

#[test]
fn a_clean_start_is_six_calls() {
    let (mut bench, effects) = Bench::start(CONFIG);
    assert_eq!(effects, [call(0, 2_000, READ_TRUST)]);
    assert_eq!(bench.machine.phase(), "ReadingTrust");

    assert_eq!(bench.done(0, trust(TrustFiles::Read(mounted()))), [call(1, 2_000, READ_TOKEN)]);
    assert_eq!(bench.machine.phase(), "ReadingToken");

    assert_eq!(bench.done(1, token(TokenFile::Read)), [call(2, 15_000, ask_the_controller())]);
    assert_eq!(bench.machine.phase(), "Bootstrapping");

    let sent = sent("a", UNIX);
    let effects = bench.done(2, documents(sent.clone()));
    let expires = sent.user_jwt_expires;
    assert_eq!(effects, [notice(Notice::Bootstrapped { expires }), call(3, 5_000, write(&sent))]);
    assert_eq!(bench.machine.phase(), "WritingBundle");

    assert_eq!(bench.done(3, written()), [notice(Notice::Written), call(4, 2_000, present(&sent))]);
    assert_eq!(bench.machine.phase(), "Presenting");

    let effects = bench.done(4, presented());
    let address = ADDRESS.into();
    assert_eq!(effects, [notice(Notice::Serving { address }), call(5, CONNECT_MS, connect(&sent))]);
    assert_eq!(bench.machine.phase(), "Connecting");
    assert_eq!(bench.machine.standing(), Standing::Starting);
    assert_eq!(bench.machine.waits_for(), Wait::Nats.sentence());

    assert_eq!(bench.done(5, connected()), [notice(Notice::Connected)]);
    assert_eq!(bench.machine.phase(), "Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
    let look = (Mono(60_000), "the next look at what needs renewal");
    assert_eq!(bench.machine.poll_timeout(), Some(look));
}

#[test]
fn a_certificate_that_is_not_what_was_asked_for_or_ends_at_once_is_never_used() {
    let ends = Unix(UNIX + 59);
    let fit = sent("a", UNIX);
    let brief = |certificate: &Certificate| Certificate { not_after: ends, ..certificate.clone() };
    for outcome in [
        Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unfit(Unfit::Key))),
        documents(ComponentDocuments { certificate: brief(&fit.certificate), ..fit.clone() }),
        documents(ComponentDocuments { runtime: brief(&fit.runtime), ..fit }),
    ] {
        let mut bench = Bench::at("Bootstrapping");
        assert_eq!(bench.done(2, outcome), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::DocumentsMalformed));
    }
}

#[test]
fn what_is_wrong_with_the_mounts_has_a_name() {
    let expired = MountedTrust { not_after: Unix(UNIX - 1), ..mounted() };
    for (files, fatal) in [
        (TrustFiles::NotPem(TrustFile::Authority), Fatal::TrustNotPem),
        (TrustFiles::OtherAuthority, Fatal::TrustForeign),
        (TrustFiles::Read(expired), Fatal::TrustExpired),
    ] {
        let (mut bench, _) = Bench::start(CONFIG);
        assert_eq!(bench.done(0, trust(files)), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(bench.machine.waits_for(), fatal.cause());
    }
    for file in [TokenFile::Empty, TokenFile::Malformed] {
        let mut bench = Bench::at("ReadingToken");
        assert_eq!(bench.done(1, token(file)), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::TokenMalformed));
    }
}

#[test]
fn a_mount_may_be_late_until_the_grace_is_over() {
    let missing_trust = || trust(TrustFiles::Missing(TrustFile::Certificate));
    let missing_token = || token(TokenFile::Missing);
    for (phase, missing, wait, fatal) in [
        ("ReadingTrust", missing_trust as fn() -> _, initializer::Wait::Trust, Fatal::TrustMissing),
        ("ReadingToken", missing_token, initializer::Wait::Token, Fatal::TokenMissing),
    ] {
        let mut bench = Bench::at(phase);
        let mut told = Vec::new();
        loop {
            told.extend(bench.done(bench.last_call(), missing()));
            let Some((at, why)) = bench.machine.poll_timeout() else { break };
            assert_eq!(why, wait.sentence());
            bench.pass_to(at);
            bench.timeout();
            bench.forward_to(phase);
        }
        assert_eq!(told, [notice(Notice::Waiting(Wait::Bootstrap(wait)))], "told once");
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(bench.now.mono, Mono(CONFIG.mount_grace_ms));
    }
}

#[test]
fn a_no_of_the_controller_is_for_now_or_for_good() {
    for rejection in Rejection::ALL {
        let mut bench = Bench::at("Bootstrapping");
        let effects = bench.done(2, rejected_with(rejection));
        if rejection.passes() {
            let wait = Wait::Bootstrap(initializer::Wait::Rejected(rejection));
            assert_eq!(effects, [notice(Notice::Waiting(wait))]);
            assert_eq!(bench.machine.waits_for(), rejection.cause());
            assert_eq!(bench.machine.standing(), Standing::Starting);
        } else {
            assert_eq!(effects, []);
            assert!(matches!(bench.machine.standing(), Standing::Stopped(_)), "{rejection:?}");
        }
    }
}

#[test]
fn any_doubt_on_the_way_begins_again_from_the_top() {
    for (phase, wait) in [
        ("ReadingTrust", Wait::Bootstrap(initializer::Wait::Mounts)),
        ("ReadingToken", Wait::Bootstrap(initializer::Wait::Mounts)),
        ("WritingBundle", Wait::Bootstrap(initializer::Wait::Volume)),
        ("Presenting", Wait::Listener),
    ] {
        for doubt in doubts() {
            let mut bench = Bench::at(phase);
            let last = bench.last_call();
            assert_eq!(bench.done(last, doubt.clone()), [notice(Notice::Waiting(wait))], "{phase} {doubt:?}");
            let until = backoff(SEED, Attempt(0), bench.now);
            assert_eq!(bench.machine.poll_timeout(), Some((until, wait.sentence())));

            assert_eq!(bench.timeout(), [], "early");
            bench.pass_to(until);
            assert_eq!(bench.timeout(), [call(last + 1, until.0 + 2_000, READ_TRUST)]);
            assert_eq!(bench.machine.waits_for(), wait.sentence(), "the reason outlives the pause");
        }
    }
}

#[test]
fn why_the_controller_does_not_answer_is_told_apart() {
    for (outcome, why) in unanswered() {
        let mut bench = Bench::at("Bootstrapping");
        let (last, wait) = (bench.last_call(), Wait::Bootstrap(initializer::Wait::Controller(why)));
        assert_eq!(bench.done(last, outcome.clone()), [notice(Notice::Waiting(wait))], "{outcome:?}");
        let until = backoff(SEED, Attempt(0), bench.now);
        bench.pass_to(until);
        assert_eq!(bench.timeout(), [call(last + 1, until.0 + 2_000, READ_TRUST)]);
        assert_eq!(bench.machine.waits_for(), why.sentence(), "the reason outlives the pause");
        bench.forward_to("Bootstrapping");
        assert_eq!(bench.done(bench.last_call(), outcome), [], "it is told once");
    }
}

#[test]
fn what_has_come_is_not_waited_for_any_more() {
    let mut bench = Bench::at("ReadingTrust");
    bench.done(0, trust(TrustFiles::Missing(TrustFile::Certificate)));
    bench.pass_to(Mono(LOOK_AGAIN_MS));
    bench.timeout();
    bench.forward_to("Bootstrapping");
    assert_eq!(bench.machine.waits_for(), NoAnswer::Silent.sentence());

    bench.done(bench.last_call(), rejected_with(Rejection::NotServing));
    let (at, _) = bench.machine.poll_timeout().expect("a pause");
    bench.pass_to(at);
    bench.timeout();
    bench.forward_to("Bootstrapping");
    assert_eq!(bench.machine.waits_for(), Rejection::NotServing.cause());
    bench.forward_to("WritingBundle");
    assert_eq!(bench.machine.waits_for(), initializer::Wait::Volume.sentence());
}

#[test]
fn only_nats_is_asked_again_when_only_nats_is_missing() {
    for doubt in doubts() {
        let mut bench = Bench::at("Connecting");
        assert_eq!(bench.done(5, doubt.clone()), [notice(Notice::Waiting(Wait::Nats))], "{doubt:?}");
        let until = backoff(SEED, Attempt(0), bench.now);
        bench.pass_to(until);
        let again = match doubt {
            Outcome::Unknown(_) | Outcome::Refused(Refusal::NotReady | Refusal::Busy) => {
                call(6, until.0 + CONNECT_MS, connect(&sent("a", UNIX)))
            }
            Outcome::Refused(_) => call(6, until.0 + 2_000, READ_TRUST),
            Outcome::Ok(reply) => panic!("no doubt: {reply:?}"),
        };
        assert_eq!(bench.timeout(), [again], "{doubt:?}");
    }
}

#[test]
fn a_client_that_connected_after_its_deadline_connects_once_more() {
    let mut bench = Bench::at("Connecting");
    bench.done(5, Outcome::Unknown(Lost::Deadline));
    assert_eq!(bench.link(Link::Up), [notice(Notice::Connected)]);
    let until = backoff(SEED, Attempt(0), bench.now);
    bench.pass_to(until);
    let again = call(6, until.0 + CONNECT_MS, connect(&bench.machine_holds()));
    assert_eq!(bench.timeout(), [again], "nobody said with which documents");
    assert_eq!(bench.done(6, connected()), [notice(Notice::Succeeded)]);
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn documents_that_do_not_fit_together_are_not_used() {
    let fit = sent("a", UNIX);
    let another = PublicKey::encode(Prefix::User, &[9; 32]);
    let foreign = |certificate: &Certificate| Certificate { ca: pem("another root"), ..certificate.clone() };
    let ended = |certificate: &Certificate| Certificate { not_after: Unix(UNIX), ..certificate.clone() };
    for unfit in [
        ComponentDocuments { user_jwt: "no JWT".into(), ..fit.clone() },
        ComponentDocuments { user_jwt: account_jwt(), ..fit.clone() },
        ComponentDocuments { user: another, ..fit.clone() },
        ComponentDocuments { user_jwt_expires: Unix(UNIX + 1), ..fit.clone() },
        ComponentDocuments { user_jwt: user_jwt(Unix(UNIX)), user_jwt_expires: Unix(UNIX), ..fit.clone() },
        ComponentDocuments { certificate: foreign(&fit.certificate), ..fit.clone() },
        ComponentDocuments { certificate: ended(&fit.certificate), ..fit.clone() },
        ComponentDocuments { runtime: foreign(&fit.runtime), ..fit.clone() },
        ComponentDocuments { runtime: ended(&fit.runtime), ..fit.clone() },
    ] {
        let mut bench = Bench::at("Bootstrapping");
        assert_eq!(bench.done(2, documents(unfit.clone())), [], "{unfit:?}");
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::DocumentsMalformed), "{unfit:?}");
    }
}

#[test]
fn a_volume_that_refuses_three_times_is_not_writable() {
    let mut bench = Bench::at("WritingBundle");
    for attempt in 0..WRITES_REFUSED_MAX {
        assert_eq!(bench.machine.standing(), Standing::Starting);
        bench.done(bench.last_call(), Outcome::Refused(Refusal::Local));
        if bench.machine.phase() == "BackingOff" {
            bench.pass_to(backoff(SEED, Attempt(attempt), bench.now));
            bench.timeout();
            bench.forward_to("WritingBundle");
        }
    }
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::VolumeNotWritable));
}

#[test]
fn the_bound_is_for_the_first_start_and_says_what_was_waited_for() {
    let bounded = Config { give_up_ms: 30_000, ..CONFIG };
    for phase in PHASES {
        let (mut bench, _) = Bench::start(bounded.clone());
        bench.forward_to(phase);
        let waited_for = bench.machine.state.doubt();
        bench.pass_to(Mono(29_999));
        assert_eq!(bench.timeout(), []);
        bench.pass_to(Mono(30_000));
        assert_eq!(bench.timeout(), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::GaveUp));
        assert_eq!(bench.machine.waits_for(), waited_for.sentence());
        assert_eq!(bench.machine.poll_timeout(), None);
    }

    let (mut bench, _) = Bench::start(bounded);
    bench.forward_to("Serving");
    bench.link(Link::Down);
    bench.pass_to(Mono(60_000));
    bench.timeout();
    assert_eq!(bench.machine.phase(), "Connecting");
    assert_eq!(bench.machine.poll_timeout(), None, "a call is in flight, and no bound");
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut bench = Bench::at("Presenting");
    let before = bench.machine.clone();
    assert_eq!(bench.done(0, written()), []);
    assert_eq!(bench.done(99, connected()), []);
    assert_eq!(bench.machine, before);
}

#[test]
#[should_panic(expected = "the driver answered Presenting { call: CallId(4) } with Nats(Connected)")]
fn an_answer_to_another_call_is_a_fault_of_the_driver() {
    Bench::at("Presenting").done(4, connected());
}

#[test]
fn every_state_can_be_stored_and_read_back() {
    for phase in PHASES.into_iter().chain(["Serving"]) {
        let mut bench = Bench::at(phase);
        bench.ask(1, Mono(9_000), sign_nonce());
        bench.ask(2, Mono(9_000), publish());
        let text = serde_json::to_string(&bench.machine).expect("it is data");
        assert_eq!(serde_json::from_str::<Broker>(&text).expect("it is the same data"), bench.machine);
    }
}
