//! Serving one question: whole lists of calls, and every way to be turned away. Who is let in is in `callers.rs`.

use alloc::collections::BTreeSet;

use serde_json::json;

use super::fixtures::*;
use super::world::pod;
use crate::bootstrap::{ComponentDocuments, Csrs, KeyOrigin, Method, NatsDocuments};
use crate::controller::NatsKeys;
use crate::documents::certificate::{COMPONENT_TTL_S, SERVER_TTL_S, request};
use crate::documents::jwt;
use crate::documents::nkey::{Prefix, PublicKey};
use crate::kubernetes::Review;
use crate::names::{Csr, Nonce};
use crate::retry::{Stream, draw};
use crate::signature::Signature;
use crate::vault::{AuthRole, Certificate, Login, NatsKey, PkiRole, Setting, StoredJwt};
use crate::volume::{Token, TokenFile};

const TICKET: Ticket = Ticket(7);
/// Long after everything serves.
const BY: Mono = Mono(3_000);
/// The slot of Vault's token for the caller.
const TOKEN: Secret = Secret::Caller(TICKET);

#[test]
fn nats_gets_its_documents_with_its_own_authority() {
    let mut bench = serving("kubefox", "nats");
    let token = TOKEN;
    assert_eq!(bench.let_in(7, BY, Ask::Nats(None)), [asks(reads_api_token())]);
    assert_eq!(bench.step_for(TICKET), [asks(reviews())]);
    assert_eq!(bench.step_for(TICKET), [asks(logs_in(AuthRole::Nats))]);
    for jwt in StoredJwt::ALL {
        assert_eq!(bench.step_for(TICKET), [asks(Call::Vault(vault::Call::ReadJwt { token, jwt }))]);
    }
    assert_eq!(bench.step_for(TICKET), [asks(issues(PkiRole::Nats, Asker::IssuedKey, &bench))]);

    let [operator, system_account, platform_account] =
        StoredJwt::ALL.map(|jwt| bench.world.jwts[&jwt].clone());
    let answer = Answer::Nats(
        KeyOrigin::Vault,
        NatsDocuments {
            operator,
            system_account,
            platform_account,
            certificate: certificate("nats 2", SERVER_TTL_S),
        },
    );
    assert_eq!(bench.step_for(TICKET), served(&Ask::Nats(None), answer, &bench));
    assert!(bench.machine.callers.tickets().is_empty());
}

/// The same way through the same states: only what is asked of Vault differs, and no slot is ever filled.
#[test]
fn whoever_brings_requests_gets_certificates_on_its_own_keys() {
    let csr =
        |name: &str| Csr::parse(&format!("-----BEGIN CERTIFICATE REQUEST-----\n{name}")).expect("a request");
    let signs = |role, csr: &Csr, bench: &Bench| {
        let ttl_s = crate::documents::certificate::ttl_s(role);
        let request = request(role, &bench.world.caller, &config().trust_domain, ttl_s);
        Call::Vault(vault::Call::SignCertificate { token: TOKEN, request, csr: csr.clone() })
    };
    let csrs = Csrs { broker: csr("broker"), runtime: csr("runtime") };
    let mut bench = serving("team0", "app");
    bench.let_in(7, BY, Ask::Component(Some(csrs.clone())));
    for _ in 0..6 {
        bench.step_for(TICKET);
    }
    assert_eq!(bench.step_for(TICKET), [asks(signs(PkiRole::Component, &csrs.broker, &bench))]);
    assert_eq!(bench.step_for(TICKET), [asks(signs(PkiRole::Runtime, &csrs.runtime, &bench))]);
    let told = bench.step_for(TICKET);
    assert!(matches!(&told[1], Told::Answers(_, Answer::Component(KeyOrigin::Pod, _))), "{told:?}");

    let mut bench = serving("kubefox", "nats");
    bench.let_in(7, BY, Ask::Nats(Some(csr("nats"))));
    for _ in 0..5 {
        bench.step_for(TICKET);
    }
    assert_eq!(bench.step_for(TICKET), [asks(signs(PkiRole::Nats, &csr("nats"), &bench))]);
    let told = bench.step_for(TICKET);
    assert!(matches!(&told[1], Told::Answers(_, Answer::Nats(KeyOrigin::Pod, _))), "{told:?}");
}

#[test]
fn a_component_gets_a_key_a_user_and_two_certificates() {
    let mut bench = serving("team0", "app");
    let setting = user_key();
    let token = TOKEN;
    let read = Call::Vault(vault::Call::Read { token, setting: setting.clone() });
    let body = json!({"type": "ed25519"});
    assert_eq!(bench.let_in(7, BY, Ask::Component(None)), [asks(reads_api_token())]);
    assert_eq!(bench.step_for(TICKET), [asks(reviews())]);
    assert_eq!(bench.step_for(TICKET), [asks(logs_in(AuthRole::Component))]);
    assert_eq!(bench.step_for(TICKET), [asks(read.clone())]);
    assert_eq!(bench.step_for(TICKET), [asks(Call::Vault(vault::Call::Write { token, setting, body }))]);
    assert_eq!(bench.step_for(TICKET), [asks(read)]);

    let (unsigned, expires) = user_jwt(&bench);
    let sign = vault::Call::Sign {
        token: Secret::Own(Own::ControllerToken),
        key: NatsKey::PlatformSigner,
        input: unsigned.signing_input().into(),
    };
    assert_eq!(bench.step_for(TICKET), [asks(Call::Vault(sign))]);
    assert_eq!(bench.step_for(TICKET), [asks(issues(PkiRole::Component, Asker::IssuedKey, &bench))]);
    assert_eq!(bench.step_for(TICKET), [asks(issues(PkiRole::Runtime, Asker::RuntimeKey, &bench))]);
    let answer = Answer::Component(
        KeyOrigin::Vault,
        ComponentDocuments {
            user: PublicKey::encode(Prefix::User, &[5; 32]),
            user_jwt: unsigned.signed(&Signature([7; 64])),
            user_jwt_expires: expires,
            certificate: certificate("component 2", COMPONENT_TTL_S),
            runtime: certificate("runtime 3", COMPONENT_TTL_S),
        },
    );
    assert_eq!(bench.step_for(TICKET), served(&Ask::Component(None), answer, &bench));
}

#[test]
fn the_jwts_of_users_live_an_hour_give_or_take_a_tenth_and_not_all_as_long() {
    let mut bench = serving("team0", "app");
    let issued = bench.now.unix;
    let lives_s: BTreeSet<u64> =
        (1..=200).map(|ticket| user_jwt_expires(&mut bench, ticket) - issued.0).collect();

    let (shortest, longest) = (lives_s.first().expect("some"), lives_s.last().expect("some"));
    assert!((3_240..3_300).contains(shortest), "{shortest}");
    assert!((3_900..=3_960).contains(longest), "{longest}");
    assert!(lives_s.len() > 100, "{lives_s:?}");
}

#[test]
fn a_nonce_is_signed_with_the_callers_own_key() {
    let mut bench = serving("team0", "app");
    bench.world.settings.insert(user_key(), json!({}));
    assert_eq!(bench.let_in(7, BY, nonce()), [asks(reads_api_token())]);
    bench.step_for(TICKET);
    assert_eq!(bench.step_for(TICKET), [asks(logs_in(AuthRole::Component))]);
    assert_eq!(bench.step_for(TICKET), [asks(signs_nonce())]);
    assert_eq!(bench.step_for(TICKET), served(&nonce(), Answer::Signature(Signature([7; 64])), &bench));
}

#[test]
fn a_key_that_is_missing_at_the_nonce_is_ensured_once() {
    let mut bench = bench_at(nonce(), 3);
    let told = bench.step_for(TICKET);
    let token = TOKEN;
    assert_eq!(told, [asks(Call::Vault(vault::Call::Read { token, setting: user_key() }))]);
    bench.step_for(TICKET);
    bench.step_for(TICKET);
    assert_eq!(bench.step_for(TICKET), [asks(signs_nonce())]);
    let told = bench.done_for(TICKET, Outcome::Refused(Refusal::Invalid));
    assert_eq!(told, rejected(&nonce(), Rejection::VaultUnavailable), "once, and not again");
}

#[test]
fn a_key_that_the_controller_does_not_make_is_neither_vouched_for_nor_taken_for_an_outage() {
    let (aes, public_key) = (json!({"type": "aes256-gcm96", "latest_version": 1}), vec![7; 32]);
    let rotated = json!({"type": "ed25519", "latest_version": 2, "public_key": public_key});
    let signs_nothing = (aes, Outcome::Refused(Refusal::Invalid));
    let signs_as_its_second = (rotated, Outcome::Unknown(Lost::Garbled));
    for (standing, signature) in [signs_nothing, signs_as_its_second] {
        for ask in [Ask::Component(None), nonce()] {
            let mut bench = bench_at(ask.clone(), 3);
            if ask == nonce() {
                let read = vault::Call::Read { token: TOKEN, setting: user_key() };
                assert_eq!(bench.done_for(TICKET, signature.clone()), [asks(Call::Vault(read))]);
            }
            let told = bench.done_for(TICKET, vault(vault::Reply::Setting(Some(standing.clone()))));
            assert_eq!(told, rejected(&ask, Rejection::UserKeyForeign));
        }
    }
}

#[test]
fn a_token_that_ends_between_its_review_and_the_login_has_ended_and_is_not_without_rights() {
    let mut bench = bench_at(Ask::Component(None), 2);
    bench.now.unix = bench.world.claims(Secret::Of(TICKET, Asker::CallerJwt), bench.now).expires;
    let told = bench.done_for(TICKET, Outcome::Refused(Refusal::Unauthenticated));
    let mut expected = rejected(&Ask::Component(None), Rejection::TokenExpired).to_vec();
    expected.push(forgets());
    assert_eq!(told, expected);
}

#[test]
fn a_key_that_was_written_and_is_not_seen_is_not_written_again() {
    for ask in [Ask::Component(None), nonce()] {
        let mut bench = bench_at(ask.clone(), 3);
        if ask != Ask::Component(None) {
            bench.done_for(TICKET, Outcome::Refused(Refusal::Invalid));
        }
        let none = || vault(vault::Reply::Setting(None));
        let token = TOKEN;
        let body = json!({"type": "ed25519"});
        let write = Call::Vault(vault::Call::Write { token, setting: user_key(), body });
        assert_eq!(bench.done_for(TICKET, none()), [asks(write)]);
        bench.done_for(TICKET, vault(vault::Reply::Written));
        let told = bench.done_for(TICKET, none());
        assert_eq!(told, rejected(&ask, Rejection::VaultUnavailable));
    }
}

#[test]
fn every_doubt_about_a_caller_has_its_rejection() {
    for ask in [Ask::Nats(None), Ask::Component(None), nonce()] {
        for outcome in doubts() {
            for steps in 0..3 {
                let mut bench = bench_at(ask.clone(), steps);
                let denied = outcome == Outcome::Refused(Refusal::Denied);
                let rejection = match steps {
                    0 | 1 => Rejection::ReviewUnavailable,
                    _ if denied => Rejection::NotEntitled,
                    _ => Rejection::VaultUnavailable,
                };
                let told = bench.done_for(TICKET, outcome.clone());
                let mut expected = rejected(&ask, rejection).to_vec();
                if steps == 2 {
                    expected.push(forgets());
                }
                assert_eq!(told, expected, "{steps} {outcome:?}");
                assert!(bench.machine.callers.tickets().is_empty());
            }
        }
    }
}

#[test]
fn what_vault_denies_to_the_callers_token_the_caller_may_not_have() {
    let documents = [(Ask::Nats(None), 3..7), (Ask::Component(None), 3..9), (nonce(), 3..4)];
    for (ask, steps) in documents {
        for steps in steps {
            for outcome in doubts() {
                let mut bench = bench_at(ask.clone(), steps);
                let with_own_authority = ask == Ask::Component(None) && steps == 6;
                let rejection = match &outcome {
                    Outcome::Refused(Refusal::Denied) if !with_own_authority => Rejection::NotEntitled,
                    // It may be the key.
                    Outcome::Refused(Refusal::Invalid) | Outcome::Unknown(Lost::Garbled)
                        if ask == nonce() =>
                    {
                        continue;
                    }
                    Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_) => Rejection::VaultUnavailable,
                };
                let told = bench.done_for(TICKET, outcome.clone());
                assert_eq!(told, rejected(&ask, rejection), "{steps} {outcome:?}");
            }
        }
    }
}

#[test]
fn a_caller_is_who_its_token_the_api_server_and_vault_all_say() {
    let (own, other) = (pod(7), pod(8));
    let review = |identity, pod| Review::Authenticated { identity, pod };
    for review in [
        Review::Refused,
        review(app(), None),
        review(app(), Some(other)),
        review(identity("team0", "other"), Some(own.clone())),
    ] {
        let mut bench = bench_at(Ask::Component(None), 1);
        let told = bench.done_for(TICKET, kubernetes(kubernetes::Reply::Review(review.clone())));
        assert_eq!(told, rejected(&Ask::Component(None), Rejection::TokenRefused), "{review:?}");
    }
    let mut bench = bench_at(Ask::Component(None), 1);
    bench.done_for(TICKET, kubernetes(kubernetes::Reply::Review(review(app(), Some(own)))));
    let login = Login { identity: identity("team0", "other"), lease_s: 120 };
    let told = bench.done_for(TICKET, vault(vault::Reply::LoggedIn(login)));
    let mut expected = rejected(&Ask::Component(None), Rejection::NotEntitled).to_vec();
    expected.push(forgets());
    assert_eq!(told, expected, "what the login has filled is wiped");
}

#[test]
fn the_controllers_own_missing_token_is_not_the_callers_fault() {
    for file in [TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed] {
        let mut bench = bench_at(Ask::Component(None), 0);
        let told = bench.done_for(TICKET, token_file(file));
        assert_eq!(told, rejected(&Ask::Component(None), Rejection::ReviewUnavailable));
    }
}

#[test]
fn what_is_stored_and_does_not_fit_is_not_given_out() {
    for public_key in [json!(5), json!("AA=="), json!(null)] {
        let mut bench = bench_at(Ask::Component(None), 3);
        let standing = json!({"type": "ed25519", "latest_version": 1, "public_key": public_key});
        let told = bench.done_for(TICKET, vault(vault::Reply::Setting(Some(standing))));
        assert_eq!(told, rejected(&Ask::Component(None), Rejection::VaultUnavailable));
    }
    let mut bench = bench_at(Ask::Nats(None), 3);
    let told = bench.done_for(TICKET, vault(vault::Reply::Jwt(None)));
    assert_eq!(told, rejected(&Ask::Nats(None), Rejection::VaultUnavailable));
}

#[test]
fn a_request_of_a_session_ends_with_the_caller_and_after_five_seconds_at_most() {
    for (by, expected) in [(Mono(200), Mono(200)), (Mono(1_000_000), Mono(5_000))] {
        let mut bench = serving("team0", "app");
        assert_eq!(bench.now.mono, Mono(0));
        let told = bench.let_in(7, by, Ask::Component(None));
        assert_eq!(told, [Told::AsksFor(TICKET, expected, reads_api_token())]);
    }
}

#[test]
fn nobody_is_served_before_everything_stands() {
    for phase in
        ["Survey::ReadingState", "Initialize::Initializing", "SetUp::Revoking", "Certify::Presenting"]
    {
        let mut bench = Bench::at(phase);
        let told = bench.ask(7, BY, Ask::Nats(None));
        assert_eq!(
            told,
            [
                Told::Notes(Notice::Rejected {
                    identity: None,
                    method: Method::BootstrapNats,
                    rejection: Rejection::NotServing
                }),
                Told::Answers(TICKET, Answer::Rejected(Rejection::NotServing)),
            ],
            "{phase}"
        );
    }
}

#[test]
fn a_question_that_was_withdrawn_gets_no_answer() {
    let mut bench = bench_at(Ask::Component(None), 4);
    let id = bench.flights.last().expect("a call").id;
    assert_eq!(bench.event(Event::Withdrawn { ticket: TICKET }), []);
    assert!(bench.machine.callers.tickets().is_empty());
    assert_eq!(bench.answer(id, vault(vault::Reply::Written)), []);
}

#[test]
fn questions_do_not_wait_for_each_other_nor_for_the_boot() {
    let mut bench = serving("team0", "app");
    bench.wait();
    assert_eq!(bench.machine.phase(), "Watch::ReadingSealStatus");
    let by = bench.now.in_ms(2_000);
    for ticket in [1, 2] {
        bench.let_in(ticket, by, Ask::Component(None));
    }
    for ticket in [2, 1] {
        while bench.machine.callers.sessions().contains_key(&Ticket(ticket)) {
            bench.step_for(Ticket(ticket));
        }
    }
    assert_eq!(bench.step(), []);
    assert_eq!(bench.machine.phase(), "Serving");
}

/// A machine that serves, and one caller.
fn serving(namespace: &str, service_account: &str) -> Bench {
    let mut bench = Bench::at("Serving");
    bench.world.caller = identity(namespace, service_account);
    bench
}

/// The slots of this session's login are wiped.
fn forgets() -> Told {
    Told::Asks(2_000, Call::Keys(keys::Call::Forget { names: vec![TOKEN] }))
}

/// A session of `team0/app` after so many good answers.
fn bench_at(ask: Ask, steps: usize) -> Bench {
    let mut bench = serving("team0", "app");
    bench.let_in(7, BY, ask);
    for _ in 0..steps {
        bench.step_for(TICKET);
    }
    assert!(bench.machine.callers.sessions().contains_key(&TICKET));
    bench
}

fn app() -> Identity {
    identity("team0", "app")
}

fn nonce() -> Ask {
    Ask::SignNonce { nonce: Nonce::parse("abcDEF012345-_x").expect("a nonce") }
}

fn user_key() -> Setting {
    Setting::NatsKey(NatsKey::User(app()))
}

const fn slot(name: Asker) -> Secret {
    Secret::Of(TICKET, name)
}

const fn asks(call: Call) -> Told {
    Told::AsksFor(TICKET, BY, call)
}

const fn reads_api_token() -> Call {
    Call::Volume(volume::Call::ReadToken { token: Token::Api, into: Secret::Own(Own::ApiJwt) })
}

fn reviews() -> Call {
    let audience = "kubefox.blue".into();
    Call::Kubernetes(kubernetes::Call::ReviewToken { token: slot(Asker::CallerJwt), audience })
}

const fn logs_in(role: AuthRole) -> Call {
    Call::Vault(vault::Call::Login { role, jwt: slot(Asker::CallerJwt), into: TOKEN })
}

fn issues(role: PkiRole, into: Asker, bench: &Bench) -> Call {
    let ttl_s = crate::documents::certificate::ttl_s(role);
    let request = request(role, &bench.world.caller, &config().trust_domain, ttl_s);
    Call::Vault(vault::Call::Issue { token: TOKEN, request, into: slot(into) })
}

fn signs_nonce() -> Call {
    let input = b"abcDEF012345-_x".to_vec();
    Call::Vault(vault::Call::Sign { token: TOKEN, key: NatsKey::User(app()), input })
}

/// Asks once more for a component's documents. Answers when NATS no longer accepts the JWT among them.
fn user_jwt_expires(bench: &mut Bench, ticket: u64) -> u64 {
    let mut told = bench.let_in(ticket, BY, Ask::Component(None));
    while bench.machine.callers.sessions().contains_key(&Ticket(ticket)) {
        told = bench.step_for(Ticket(ticket));
    }
    let Some(Told::Answers(_, Answer::Component(_, documents))) = told.last() else { panic!("{told:?}") };
    let claims = jwt::decode(&documents.user_jwt).expect("it was authored here");
    assert_eq!(claims.expires, Some(documents.user_jwt_expires), "who asks is told the same");
    documents.user_jwt_expires.0
}

fn user_jwt(bench: &Bench) -> (jwt::Unsigned, Unix) {
    let NatsKeys { platform_signer, platform_account, .. } =
        bench.machine.memory.keys.as_ref().expect("it is configured");
    let user = PublicKey::encode(Prefix::User, &[5; 32]);
    let issued = bench.now.unix;
    let expires = Unix(issued.0 + 3_240 + draw(SEED, Stream::UserJwt, TICKET.0) % 721);
    (jwt::user(&user, platform_signer, platform_account, &app(), issued, expires), expires)
}

fn certificate(name: &str, ttl_s: u64) -> Certificate {
    Certificate { leaf: pem(name), ca: pem("root"), not_after: Unix(UNIX + ttl_s) }
}

fn served(ask: &Ask, answer: Answer, bench: &Bench) -> [Told; 2] {
    let identity = bench.world.caller.clone();
    [Told::Notes(Notice::Served { identity, method: ask.method() }), Told::Answers(TICKET, answer)]
}

fn rejected(ask: &Ask, rejection: Rejection) -> [Told; 2] {
    let identity = Some(app());
    [
        Told::Notes(Notice::Rejected { identity, method: ask.method(), rejection }),
        Told::Answers(TICKET, Answer::Rejected(rejection)),
    ]
}
