//! Callers good and bad, on the real machine, the real adapters and the fakes of Vault and Kubernetes: who gets what, who
//! is told what, and what it costs Vault.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode};
use kubefox_core::bootstrap::{ComponentDocuments, Csrs, KeyOrigin, Rejection};
use kubefox_core::controller::{Answer, Ask};
use kubefox_core::documents::certificate::usage;
use kubefox_core::names::{Csr, Nonce};
use kubefox_core::secret::Asker;
use kubefox_core::vault::PkiRole;
use kubefox_io::adapter::certificate::Flaw;
use kubefox_io::adapter::{certificate, csr};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use super::cluster::{administer, identity};
use super::world::{Fate, PLATFORM, Rest, World};
use crate::manifest::{self, BoundTo};

const AUDIENCE: &str = "kubefox.kubefox";
/// For how long a caller listens.
const ANSWER_WITHIN_MS: u64 = 10_000;
/// More steps than any answer takes.
const STEPS_MAX: usize = 1_000;

#[test]
fn every_bad_token_has_an_answer_of_its_own_and_vault_never_hears_of_it() {
    let mut world = serving();
    let good = token(&mut world, "team0", "app");
    let (key, now) = (cluster_key(&world), world.now.unix.0);
    let other = SigningKey::from_slice(&[7; 32]).expect("below the order of the curve");
    let with = |member: &str, value: Value| {
        let mut claims = payload(&good);
        claims[member] = value;
        claims
    };
    let header = header(&good);
    let renamed = json!({"alg": "ES256", "kid": "another"});
    let mut unbound = payload(&good);
    unbound["kubernetes.io"].as_object_mut().expect("an object").remove("pod");
    let cases = [
        ("not JSON", "a.b.c".to_owned(), Rejection::TokenMalformed),
        ("without claims", signed(&key, &header, &json!({})), Rejection::TokenMalformed),
        ("unsigned", unsigned(&good), Rejection::TokenUnsigned),
        ("by another key", signed(&other, &header, &payload(&good)), Rejection::TokenForged),
        ("by a key that nobody has", signed(&other, &renamed, &payload(&good)), Rejection::TokenForged),
        ("expired", signed(&key, &header, &with("exp", json!(now))), Rejection::TokenExpired),
        ("not yet valid", signed(&key, &header, &with("nbf", json!(now + 900))), Rejection::TokenNotYetValid),
        ("for two hours", signed(&key, &header, &with("exp", json!(now + 7_200))), Rejection::TokenLongLived),
        (
            "of another issuer",
            signed(&key, &header, &with("iss", json!("https://x"))),
            Rejection::IssuerForeign,
        ),
        (
            "for another audience",
            signed(&key, &header, &with("aud", json!(["kubefox"]))),
            Rejection::AudienceForeign,
        ),
        ("without a pod", signed(&key, &header, &unbound), Rejection::TokenUnbound),
    ];
    let before = vault_requests(&world);
    for (case, token, rejection) in cases {
        // Between two tokens that name unknown keys the keys may be read again.
        world.now.mono = world.now.in_ms(10_000);
        assert_eq!(world.ask(Ask::Component(None), &token), Answer::Rejected(rejection), "{case}");
    }
    assert_eq!(vault_requests(&world), before);

    assert!(matches!(world.ask(Ask::Component(None), &good), Answer::Component(..)), "the good one is good");
}

/// What the edge refuses is refused with a reason of its own. Were it to let one through, Vault would not be asked to
/// certify more than who asks, on a key that the asker has.
#[test]
fn a_bad_certificate_request_has_an_answer_of_its_own_and_gains_nothing_at_vault() {
    let plain = include_str!("../../../io/src/adapter/csr/plain.pem");
    let ignored = |documents: &ComponentDocuments| {
        let facts = certificate::leaf_facts(&documents.certificate.leaf).expect("a certificate");
        assert_eq!(facts.dns_names, ["broker.kubefox.internal"]);
        assert_eq!(facts.uris, ["spiffe://cluster.local/ns/team0/sa/app"]);
        let (broker, runtime) = (&documents.certificate.leaf, &documents.runtime.leaf);
        assert_eq!(
            certificate::verify_chain(runtime, broker, usage(PkiRole::Runtime)),
            Err(Flaw::OtherAuthority)
        );
    };
    let mut world = serving();
    let token = token(&mut world, "team0", "app");
    for (case, text, rejection, signs) in [
        ("CA:TRUE", include_str!("../../../io/src/adapter/csr/authority.pem"), Rejection::CsrDemanding, true),
        (
            "foreign names",
            include_str!("../../../io/src/adapter/csr/foreign-names.pem"),
            Rejection::CsrDemanding,
            true,
        ),
        (
            "a common name",
            include_str!("../../../io/src/adapter/csr/common-name.pem"),
            Rejection::CsrDemanding,
            true,
        ),
        ("RSA", include_str!("../../../io/src/adapter/csr/rsa.pem"), Rejection::CsrKeyForeign, false),
        (
            "a broken signature",
            include_str!("../../../io/src/adapter/csr/broken-signature.pem"),
            Rejection::CsrForged,
            false,
        ),
    ] {
        assert_eq!(csr::both_received(plain, text), Err(rejection), "{case}");

        let csr = Csr::parse(text).expect("it begins like one");
        let csrs = Csrs { broker: csr.clone(), runtime: csr };
        let answer = world.ask(Ask::Component(Some(csrs)), &token);
        if let Answer::Component(KeyOrigin::Pod, documents) = &answer {
            assert!(signs, "{case}");
            ignored(documents);
        } else {
            assert!(!signs, "{case}: {answer:?}");
            assert_eq!(answer, Answer::Rejected(Rejection::VaultUnavailable), "{case}");
        }
    }

    let another = include_str!("../../../io/src/adapter/csr/another.pem");
    let csrs = csr::both_received(plain, another).expect("good ones");
    let Answer::Component(KeyOrigin::Pod, documents) = world.ask(Ask::Component(csrs.clone()), &token) else {
        panic!("the good ones are good");
    };
    ignored(&documents);
    let csrs = csrs.expect("there are two");
    let leaf = certificate::leaf_facts(&documents.certificate.leaf).expect("a certificate");
    assert!(csr::is_answered_by(&csrs.broker, &leaf), "on its own key");
    assert_eq!(requests(&world, |path| path.starts_with("/v1/pki/issue/component")), 0);
}

#[test]
fn a_token_dies_with_its_pod_and_with_its_service_account_and_their_successors_do_not_revive_it() {
    let (pod, account) =
        ("/api/v1/namespaces/team0/pods/app-0", "/api/v1/namespaces/team0/serviceaccounts/app");
    for object in [pod, account] {
        let mut world = serving();
        let old = token(&mut world, "team0", "app");
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        assert!(world.administer(Method::DELETE, object, &options).is_success());
        let before = vault_requests(&world);
        assert_eq!(
            world.ask(Ask::Component(None), &old),
            Answer::Rejected(Rejection::TokenRefused),
            "{object}"
        );

        prepare(&mut world, "team0", "app");
        assert_eq!(
            world.ask(Ask::Component(None), &old),
            Answer::Rejected(Rejection::TokenRefused),
            "{object}"
        );
        assert_eq!(vault_requests(&world), before);
        let fresh = token(&mut world, "team0", "app");
        assert!(matches!(world.ask(Ask::Component(None), &fresh), Answer::Component(..)), "{object}");
    }
}

#[test]
fn nobody_gets_what_belongs_to_another_identity() {
    let mut world = serving();
    let [component, nats, stranger] = [("team0", "app"), (PLATFORM, "nats"), ("team1", "app")]
        .map(|(namespace, account)| token(&mut world, namespace, account));
    let refused = Answer::Rejected(Rejection::NotEntitled);

    assert_eq!(world.ask(Ask::Nats(None), &component), refused);
    assert_eq!(world.ask(Ask::Component(None), &nats), refused, "the platform's servers are no components");
    assert_eq!(world.ask(nonce("abcDEF012345-_x"), &nats), refused);
    assert_eq!(world.ask(Ask::Component(None), &stranger), refused, "its namespace is not listed");
    assert!(matches!(world.ask(Ask::Nats(None), &nats), Answer::Nats(..)));

    let other = token(&mut world, "team0", "other");
    let [one, another] = [&component, &other].map(|token| match world.ask(Ask::Component(None), token) {
        Answer::Component(_, documents) => documents.user,
        Answer::Nats(..) | Answer::Signature(_) | Answer::Rejected(_) => panic!("it may have this"),
    });
    assert_ne!(one, another, "each has a key of its own");
}

#[test]
fn a_nonce_that_is_asked_for_twice_is_signed_alike_and_another_identity_signs_otherwise() {
    let mut world = serving();
    let [one, other] = ["app", "other"].map(|account| token(&mut world, "team0", account));

    let [first, again, others, next] = [
        (&one, "abcDEF012345-_x"),
        (&one, "abcDEF012345-_x"),
        (&other, "abcDEF012345-_x"),
        (&one, "abcDEF012345-_y"),
    ]
    .map(|(token, text)| match world.ask(nonce(text), token) {
        Answer::Signature(signature) => signature,
        Answer::Nats(..) | Answer::Component(..) | Answer::Rejected(_) => panic!("it may have this"),
    });

    assert_eq!(first, again, "whoever asks twice learns nothing more; NATS itself takes a nonce once");
    assert_eq!(BTreeSet::from([first, others, next]).len(), 3);
}

#[test]
fn a_pod_that_crashes_in_a_loop_costs_vault_a_constant() {
    const RESTARTS: u64 = 1_000;
    const PAUSE_MS: u64 = 2_000;
    let mut world = serving();
    let mut shown = token(&mut world, "team0", "app");
    let mut projected = world.now.unix.0;
    assert!(matches!(world.ask(Ask::Component(None), &shown), Answer::Component(..)));
    world.live_ms(120_000);
    let (before, began) = (world.vault.counts(), world.now.unix.0);
    let mut per_restart = Vec::new();
    for _ in 0..RESTARTS {
        // The kubelet replaces a token when four fifths of its life are over.
        if world.now.unix.0 >= projected + 480 {
            (shown, projected) = (token(&mut world, "team0", "app"), world.now.unix.0);
        }
        world.reach("Serving"); // So that every request until the answer is the caller's.
        let asked = callers_requests(&world);
        assert!(matches!(world.ask(Ask::Component(None), &shown), Answer::Component(..)));
        per_restart.push(callers_requests(&world) - asked);
        world.live_ms(PAUSE_MS);
    }
    let elapsed_s = world.now.unix.0 - began;
    world.live_ms(120_000);
    let after = world.vault.counts();

    assert_eq!(after.service_tokens, before.service_tokens, "tokens that Vault stores");
    assert_eq!(after.leases, before.leases);
    assert_eq!(after.entities, before.entities);
    assert_eq!(after.certificates, before.certificates, "certificates that Vault stores");
    assert_eq!(after.secret_versions, before.secret_versions);
    // A key to read, a JWT to sign, two certificates; and a login if none was within the last minute.
    assert_eq!(per_restart.iter().copied().collect::<BTreeSet<u64>>(), BTreeSet::from([4, 5]));
    let logins = per_restart.iter().sum::<u64>() - 4 * RESTARTS;
    let a_minute = elapsed_s / 60;
    let allowed = a_minute / 2..=a_minute + elapsed_s / 480 + 1;
    assert!(
        allowed.contains(&logins),
        "one a minute and one for each token, in {elapsed_s} seconds: {logins}"
    );
}

impl World {
    /// Somebody asks the controller with this token, and everything answers well until it has answered too.
    fn ask(&mut self, ask: Ask, token: &str) -> Answer {
        let by = self.now.in_ms(ANSWER_WITHIN_MS);
        let ticket = self.process.ask(self.now, by, ask, &[(Asker::CallerJwt, token.as_bytes())]);
        for _ in 0..STEPS_MAX {
            if let Some(answer) = self.process.take_answer(ticket) {
                self.listen();
                return answer;
            }
            if self.process.next_call().is_some() {
                self.take(Fate::Answered);
            } else {
                assert!(self.idle(), "{ticket:?} is waited for, and nothing else");
            }
        }
        panic!("{ticket:?} is never answered");
    }
}

/// A controller that serves, and the accounts and pods of some callers.
fn serving() -> World {
    let mut world = World::new(1);
    assert_eq!(world.settle(), Rest::Serving);
    for namespace in ["team0", "team1"] {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        create(&mut world, "/api/v1/namespaces", &body);
    }
    for (namespace, account) in [("team0", "app"), ("team0", "other"), ("team1", "app"), (PLATFORM, "nats")] {
        prepare(&mut world, namespace, account);
    }
    world
}

/// Makes the account and its pod `<account>-0`, where they are missing.
fn prepare(world: &mut World, namespace: &str, account: &str) {
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}});
    create(world, &accounts, &body);
    let pod = manifest::pod(&identity(namespace, account), &format!("{account}-0"));
    create(world, &pod.collection, &pod.body);
}

fn create(world: &mut World, path: &str, body: &Value) {
    let status = world.administer(Method::POST, path, body);
    assert!(matches!(status, StatusCode::CREATED | StatusCode::CONFLICT), "{path}: {status}");
}

/// The projected token of that account's pod.
fn token(world: &mut World, namespace: &str, account: &str) -> String {
    let pod = format!("{account}-0");
    let uid = world.kubernetes.pod_uid(namespace, &pod).expect("it was made").to_owned();
    let bound_to = BoundTo { name: &pod, uid: &uid };
    let request = manifest::token_request(&identity(namespace, account), AUDIENCE, Some(bound_to));
    let (kubernetes, now) = (&mut world.kubernetes, world.now.unix);
    let answer = administer(kubernetes, now, Method::POST, &request.collection, &request.body).1;
    answer["status"]["token"].as_str().expect("a TokenRequest answers a token").to_owned()
}

fn nonce(text: &str) -> Ask {
    Ask::SignNonce { nonce: Nonce::parse(text).expect("a nonce") }
}

/// The key that the cluster signs with: a test may forge what no cluster would sign.
fn cluster_key(world: &World) -> SigningKey {
    let image = serde_json::to_value(&world.kubernetes).expect("it is data");
    let bytes: Vec<u8> = serde_json::from_value(image["signer"].clone()).expect("32 bytes");
    SigningKey::from_slice(&bytes).expect("the cluster's own")
}

fn header(token: &str) -> Value {
    decoded(token, 0)
}

fn payload(token: &str) -> Value {
    decoded(token, 1)
}

fn decoded(token: &str, part: usize) -> Value {
    let part = token.split('.').nth(part).expect("three parts");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url")).expect("JSON")
}

fn encoded(json: &Value) -> String {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes())
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let signature: Signature = key.sign(text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

/// The same token without a signature, as far as the API lets anything without one in: the last part must not be empty.
fn unsigned(token: &str) -> String {
    let header = json!({"alg": "none", "kid": header(token)["kid"]});
    format!("{}.{}.AA", encoded(&header), encoded(&payload(token)))
}

fn vault_requests(world: &World) -> u64 {
    world.vault.requests().values().sum()
}

/// Everything that the controller asks for no own sake, by path.
fn callers_requests(world: &World) -> u64 {
    requests(world, |path| {
        [
            "/v1/auth/kubernetes/login",
            "/v1/pki/issue/",
            "/v1/pki/sign/",
            "/v1/nats/sign/",
            "/v1/nats/keys/user.",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix))
    })
}

fn requests(world: &World, which: impl Fn(&str) -> bool) -> u64 {
    let requests = world.vault.requests().iter();
    requests.filter(|((_, path), _)| which(path)).map(|(_, count)| *count).sum()
}
