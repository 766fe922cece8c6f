//! State and event in, the whole list of effects out.

mod fixtures;
mod histories;

use alloc::vec;
use alloc::vec::Vec;

use self::fixtures::*;
use super::*;
use crate::bootstrap::{NatsDocuments, Rejection, Unfit};
use crate::documents::nats_conf::nats_conf;
use crate::machine::{Effect, Lost};
use crate::secret::Piece;
use crate::time::Unix;
use crate::volume::{File, TokenFile, TrustFile, TrustFiles};

#[test]
fn a_clean_start_is_four_calls() {
    let (mut bench, effects) = Bench::start(CONFIG);
    assert_eq!(effects, [call(0, 2_000, READ_TRUST)]);
    assert_eq!(bench.machine.phase(), "ReadingTrust");

    assert_eq!(bench.done(0, trust(TrustFiles::Read(mounted()))), [call(1, 2_000, READ_TOKEN)]);
    assert_eq!(bench.machine.phase(), "ReadingToken");

    assert_eq!(bench.done(1, token(TokenFile::Read)), [call(2, 15_000, ask_the_controller())]);
    assert_eq!(bench.machine.phase(), "Bootstrapping");

    let effects = bench.done(2, documents(sent()));
    let expires = Unix(UNIX + 86_400);
    assert_eq!(effects, [notice(Notice::Bootstrapped { expires }), call(3, 5_000, write(bundle()))]);
    assert_eq!(bench.machine.phase(), "WritingBundle");
    assert_eq!(bench.machine.standing(), Standing::Starting);

    assert_eq!(bench.done(3, written()), [notice(Notice::Written)]);
    assert_eq!(bench.machine.standing(), Standing::Finished);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn a_key_of_the_pod_is_made_before_the_controller_is_asked_and_again_at_the_next_attempt() {
    let mints = Call::Keys(keys::Call::MintCertificateKey { into: KEY });
    let (mut bench, _) = Bench::start(Config { key_origin: KeyOrigin::Pod, ..CONFIG });
    bench.forward_to("ReadingToken");
    assert_eq!(bench.done(1, token(TokenFile::Read)), [call(2, 1_000, mints)]);
    assert_eq!(bench.machine.phase(), "MintingKey");

    let effects = bench.done(2, Outcome::Refused(Refusal::Local));
    assert_eq!(effects, [notice(Notice::Waiting(Wait::Keyring))]);
    let (at, why) = bench.machine.poll_timeout().expect("a pause");
    assert_eq!(why, Wait::Keyring.sentence());
    bench.pass_to(at);
    bench.timeout();
    bench.forward_to("MintingKey");
    let effects = bench.done(5, minted());
    assert_eq!(effects, [call(6, at.0 + 15_000, ask_the_controller_with(Some(csr())))]);

    bench.done(6, documents(sent()));
    assert_eq!(bench.machine.phase(), "WritingBundle");
}

#[test]
fn a_certificate_that_is_not_what_was_asked_for_or_ends_at_once_is_never_written() {
    let brief = |life_s| {
        let certificate = Certificate { not_after: Unix(UNIX + life_s), ..sent().certificate };
        documents(NatsDocuments { certificate, ..sent() })
    };
    let unfit = |unfit| Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unfit(unfit)));
    for outcome in [unfit(Unfit::Chain), unfit(Unfit::Key), unfit(Unfit::Names), brief(59)] {
        let mut bench = Bench::at(Phase::Bootstrapping);
        assert_eq!(bench.done(2, outcome), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::DocumentsMalformed));
    }
    let mut bench = Bench::at(Phase::Bootstrapping);
    bench.done(2, brief(60));
    assert_eq!(bench.machine.phase(), "WritingBundle");
}

#[test]
fn what_is_wrong_with_the_mounted_certificates_has_a_name() {
    let with = |not_before, not_after| {
        TrustFiles::Read(MountedTrust {
            not_before: Unix(not_before),
            not_after: Unix(not_after),
            ..mounted()
        })
    };
    for (files, fatal) in [
        (TrustFiles::NotPem(TrustFile::Certificate), Fatal::TrustNotPem),
        (TrustFiles::NotPem(TrustFile::Authority), Fatal::TrustNotPem),
        (TrustFiles::OtherAuthority, Fatal::TrustForeign),
        (with(UNIX - 10, UNIX - 1), Fatal::TrustExpired),
    ] {
        let (mut bench, _) = Bench::start(CONFIG);
        assert_eq!(bench.done(0, trust(files)), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(bench.machine.waits_for(), fatal.cause());
    }
    for edge in [with(UNIX - 10, UNIX), with(UNIX, UNIX + 10)] {
        let (mut bench, _) = Bench::start(CONFIG);
        assert_eq!(bench.done(0, trust(edge)), [call(1, 2_000, READ_TOKEN)]);
    }
}

#[test]
fn a_mount_may_be_late_until_the_grace_is_over() {
    for (file, wait, fatal) in
        [(Late::Trust, Wait::Trust, Fatal::TrustMissing), (Late::Token, Wait::Token, Fatal::TokenMissing)]
    {
        let (mut bench, _) = Bench::start(CONFIG);
        let mut looks = 0;
        let mut told = Vec::new();
        while bench.machine.standing() == Standing::Starting {
            told.extend(bench.read_the_mounts(file));
            let Some((at, why)) = bench.machine.poll_timeout() else { break };
            assert_eq!(why, wait.sentence());
            assert_eq!(bench.machine.waits_for(), wait.sentence());
            looks += 1;
            bench.pass_to(at);
            told.extend(bench.timeout());
        }
        assert_eq!(bench.machine.standing(), Standing::Stopped(fatal));
        assert_eq!(bench.now.mono, Mono(CONFIG.mount_grace_ms));
        assert_eq!(looks, CONFIG.mount_grace_ms.div_ceil(LOOK_AGAIN_MS));
        told.retain(|effect| matches!(effect, Effect::Notice(_)));
        assert_eq!(told, [notice(Notice::Waiting(wait))]);
    }
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_waited_for_beyond_the_grace() {
    let (mut bench, _) = Bench::start(CONFIG);
    bench.pass_to(Mono(CONFIG.mount_grace_ms + 1));
    let not_yet = MountedTrust { not_before: Unix(UNIX + 3_600), ..mounted() };
    assert_eq!(bench.done(0, trust(TrustFiles::Read(not_yet))), [notice(Notice::Waiting(Wait::Clock))]);
    assert_eq!(bench.machine.phase(), "BackingOff");
    assert_eq!(bench.machine.standing(), Standing::Starting);
}

#[test]
fn what_is_wrong_with_the_token_has_a_name() {
    for file in [TokenFile::Empty, TokenFile::Malformed] {
        let mut bench = Bench::at(Phase::ReadingToken);
        assert_eq!(bench.done(1, token(file)), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::TokenMalformed));
    }
}

#[test]
fn a_no_of_the_controller_is_for_now_or_for_good() {
    for rejection in Rejection::ALL {
        let mut bench = Bench::at(Phase::Bootstrapping);
        let effects = bench.done(2, rejected_with(rejection));
        let standing = match rejection {
            Rejection::KeyUnknown
            | Rejection::NotServing
            | Rejection::Stopping
            | Rejection::ReviewUnavailable
            | Rejection::VaultUnavailable
            | Rejection::Busy
            | Rejection::Late
            | Rejection::Faulty
            | Rejection::TokenNotYetValid
            | Rejection::TokenExpired => Standing::Starting,
            Rejection::TokenMalformed => Standing::Stopped(Fatal::TokenMalformed),
            Rejection::TokenUnsigned
            | Rejection::TokenForged
            | Rejection::IssuerForeign
            | Rejection::AudienceForeign
            | Rejection::TokenLongLived
            | Rejection::TokenRefused
            | Rejection::TokenUnbound => Standing::Stopped(Fatal::TokenRefused),
            Rejection::NotEntitled => Standing::Stopped(Fatal::NotEntitled),
            Rejection::UserKeyForeign => Standing::Stopped(Fatal::UserKeyForeign),
            Rejection::NonceMalformed
            | Rejection::CsrMalformed
            | Rejection::CsrKeyForeign
            | Rejection::CsrForged
            | Rejection::CsrDemanding => Standing::Stopped(Fatal::DocumentsMalformed),
        };
        assert_eq!(bench.machine.standing(), standing, "{rejection:?}");
        assert_eq!(rejection.passes(), standing == Standing::Starting);
        if rejection.passes() {
            assert_eq!(effects, [notice(Notice::Waiting(Wait::Rejected(rejection)))]);
            assert_eq!(bench.machine.waits_for(), rejection.cause());
            let (until, _) = bench.machine.poll_timeout().expect("a pause");
            let told_ms = rejection.retry_ms().expect("it passes");
            assert_eq!(until, backoff(SEED, Attempt(0), START).after_ms(told_ms), "{rejection:?}");
        } else {
            assert_eq!(effects, []);
        }
    }
}

#[test]
fn any_doubt_begins_again_from_the_top_after_a_pause_that_grows() {
    for (phase, id, wait) in [
        (Phase::ReadingTrust, 0, Wait::Mounts),
        (Phase::ReadingToken, 1, Wait::Mounts),
        (Phase::WritingBundle, 3, Wait::Volume),
    ] {
        for outcome in doubts() {
            let mut bench = Bench::at(phase);
            assert_eq!(
                bench.done(id, outcome.clone()),
                [notice(Notice::Waiting(wait))],
                "{phase:?} {outcome:?}"
            );
            let until = backoff(SEED, Attempt(0), bench.now);
            let bound = (Mono(CONFIG.give_up_ms), "the time that the operator allowed");
            assert_eq!(bench.machine.poll_timeout(), Some((until, wait.sentence()).min(bound)));

            assert_eq!(bench.timeout(), [], "early");
            bench.pass_to(until);
            assert_eq!(bench.timeout(), [call(id + 1, until.0 + 2_000, READ_TRUST)]);
            assert_eq!(bench.machine.waits_for(), wait.sentence(), "the reason outlives the pause");

            let again = bench.done(id + 1, Outcome::Unknown(Lost::Connection));
            assert_eq!(
                again,
                if wait == Wait::Mounts { vec![] } else { vec![notice(Notice::Waiting(Wait::Mounts))] }
            );
            let longer = backoff(SEED, Attempt(1), bench.now);
            assert_eq!(bench.machine.poll_timeout().map(|(at, _)| at), Some(longer));
        }
    }
}

#[test]
fn why_the_controller_does_not_answer_is_told_apart() {
    for (outcome, why) in unanswered() {
        let mut bench = Bench::at(Phase::Bootstrapping);
        let wait = Wait::Controller(why);
        assert_eq!(bench.done(2, outcome.clone()), [notice(Notice::Waiting(wait))], "{outcome:?}");
        let until = backoff(SEED, Attempt(0), bench.now);
        bench.pass_to(until);
        assert_eq!(bench.timeout(), [call(3, until.0 + 2_000, READ_TRUST)]);
        assert_eq!(bench.machine.waits_for(), why.sentence(), "the reason outlives the pause");
        bench.forward_to("Bootstrapping");
        assert_eq!(bench.done(bench.last_call(), outcome), [], "it is told once");
    }
}

#[test]
fn what_has_come_is_not_waited_for_any_more() {
    let mut bench = Bench::at(Phase::ReadingTrust);
    bench.read_the_mounts(Late::Trust);
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
    assert_eq!(bench.machine.waits_for(), Wait::Volume.sentence());
}

#[test]
fn documents_that_do_not_fit_together_are_not_written() {
    let foreign = PublicKey::encode(Prefix::Operator, &[9; 32]);
    let another = PublicKey::encode(Prefix::Account, &[9; 32]);
    let certificate = |leaf| NatsDocuments { certificate: leaf, ..sent() };
    let unfit = [
        NatsDocuments { operator: "no JWT".into(), ..sent() },
        NatsDocuments { system_account: "a.b.c".into(), ..sent() },
        NatsDocuments { platform_account: "".into(), ..sent() },
        NatsDocuments { operator: sent().system_account, ..sent() },
        NatsDocuments { system_account: sent().operator, ..sent() },
        NatsDocuments { operator: operator_naming(&another), ..sent() },
        NatsDocuments { operator: operator_signed_by(&foreign), ..sent() },
        NatsDocuments { system_account: sent().platform_account, ..sent() },
        NatsDocuments { platform_account: sent().system_account, ..sent() },
        NatsDocuments { system_account: system_signed_by(&foreign), ..sent() },
        NatsDocuments { platform_account: platform_signed_by(&foreign), ..sent() },
        certificate(Certificate { ca: pem("another root"), ..sent().certificate }),
        certificate(Certificate { not_after: Unix(UNIX), ..sent().certificate }),
    ];
    for documents_sent in unfit {
        let mut bench = Bench::at(Phase::Bootstrapping);
        assert_eq!(bench.done(2, documents(documents_sent.clone())), [], "{documents_sent:?}");
        assert_eq!(
            bench.machine.standing(),
            Standing::Stopped(Fatal::DocumentsMalformed),
            "{documents_sent:?}"
        );
    }
}

#[test]
fn a_line_break_at_the_end_of_a_certificate_means_nothing() {
    let mut bench = Bench::at(Phase::Bootstrapping);
    let ca = Pem::parse(mounted().trust.ca.as_str().trim_end()).expect("still PEM");
    let certificate = Certificate { ca, ..sent().certificate };
    bench.done(2, documents(NatsDocuments { certificate, ..sent() }));
    assert_eq!(bench.machine.phase(), "WritingBundle");
}

#[test]
fn a_volume_that_refuses_three_times_is_not_writable() {
    let mut bench = Bench::at(Phase::WritingBundle);
    for attempt in 0..WRITES_REFUSED_MAX {
        let first = bench.last_call();
        let effects = bench.done(first, Outcome::Refused(Refusal::Local));
        if attempt + 1 < WRITES_REFUSED_MAX {
            let told = if attempt == 0 { vec![notice(Notice::Waiting(Wait::Volume))] } else { vec![] };
            assert_eq!(effects, told);
            bench.pass_to(backoff(SEED, Attempt(attempt), bench.now));
            bench.timeout();
            bench.forward_to("WritingBundle");
        } else {
            assert_eq!(effects, []);
        }
    }
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::VolumeNotWritable));
}

#[test]
fn the_bound_ends_every_phase_and_says_what_was_waited_for() {
    for phase in [Phase::ReadingTrust, Phase::ReadingToken, Phase::Bootstrapping, Phase::WritingBundle] {
        let mut bench = Bench::at(phase);
        let waited_for = bench.machine.state.doubt();
        bench.pass_to(Mono(CONFIG.give_up_ms - 1));
        assert_eq!(bench.timeout(), []);
        assert_eq!(bench.machine.standing(), Standing::Starting);
        bench.pass_to(Mono(CONFIG.give_up_ms));
        assert_eq!(bench.timeout(), []);
        assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::GaveUp));
        assert_eq!(bench.machine.waits_for(), waited_for.sentence());
        assert_eq!(bench.machine.poll_timeout(), None);
        let late = bench.last_call();
        assert_eq!(bench.done(late, Outcome::Unknown(Lost::Deadline)), [], "nobody awaits it any more");
    }

    let mut bench = Bench::at(Phase::Bootstrapping);
    bench.done(2, rejected_with(Rejection::VaultUnavailable));
    bench.pass_to(Mono(CONFIG.give_up_ms));
    bench.timeout();
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::GaveUp));
    assert_eq!(bench.machine.waits_for(), Rejection::VaultUnavailable.cause());
}

#[test]
fn without_a_bound_there_is_none() {
    let (mut bench, _) = Bench::start(Config { give_up_ms: 0, ..CONFIG });
    assert_eq!(bench.machine.poll_timeout(), None, "a call is in flight");
    bench.pass_to(Mono(u64::MAX / 2));
    assert_eq!(bench.timeout(), []);
    assert_eq!(bench.machine.standing(), Standing::Starting);
}

#[test]
fn stopped_before_it_has_finished_it_does_not_end_as_if_it_had() {
    let mut bench = Bench::at(Phase::WritingBundle);
    assert_eq!(bench.event(Event::Signal(Signal::Stop)), []);
    assert_eq!(bench.machine.standing(), Standing::Stopped(Fatal::GaveUp));

    let mut bench = Bench::at(Phase::WritingBundle);
    bench.done(3, written());
    assert_eq!(bench.event(Event::Signal(Signal::Stop)), []);
    assert_eq!(bench.machine.standing(), Standing::Finished);
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut bench = Bench::at(Phase::Bootstrapping);
    let before = bench.machine.clone();
    assert_eq!(bench.done(0, trust(TrustFiles::NotPem(TrustFile::Certificate))), []);
    assert_eq!(bench.done(99, written()), []);
    assert_eq!(bench.machine, before);
}

#[test]
#[should_panic(expected = "the driver answered ReadingTrust { call: CallId(0) } with Volume(Written)")]
fn an_answer_to_another_call_is_a_fault_of_the_driver() {
    let (mut bench, _) = Bench::start(CONFIG);
    bench.done(0, written());
}

#[test]
fn every_state_can_be_stored_and_read_back() {
    for phase in [Phase::ReadingTrust, Phase::ReadingToken, Phase::Bootstrapping, Phase::WritingBundle] {
        let machine = Bench::at(phase).machine;
        let text = serde_json::to_string(&machine).expect("it is data");
        assert_eq!(serde_json::from_str::<Initializer>(&text).expect("it is the same data"), machine);
    }
}
