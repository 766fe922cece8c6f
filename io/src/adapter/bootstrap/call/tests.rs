use super::*;
use crate::adapter::bootstrap::render;
use crate::adapter::certificate::tests::Authority;
use crate::adapter::{Empty, bootstrap::DOMAIN};
use crate::keyring::Keyring;
use data_encoding::BASE64URL_NOPAD;
use kubefox_core::bootstrap::{Answer, Csrs, KeyOrigin};
use kubefox_core::machine::Ticket;
use kubefox_core::names::{Csr, Identity, Nonce};
use kubefox_core::secret::{Asker, Own};
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};
use std::collections::HashMap;
use tonic_types::ErrorDetails;

const TOKEN: Secret = Secret::Own(Own::CallerJwt);
const KEY: Secret = Secret::Own(Own::ServingKey);
const RUNTIME_KEY: Secret = Secret::Own(Own::RuntimeKey);
const TICKET: Ticket = Ticket(7);
const TOKEN_TEXT: &str = "a.b.c";
const CSR: &str = include_str!("../../csr/plain.pem");

#[test]
fn each_call_is_a_message_to_the_controller_under_its_authority() {
    let ca = World::new().authority.pem();
    let [nats, component, sign_nonce] = calls(&ca).map(|call| {
        let Ok(Request::Bootstrap { ca: expected, message }) = encode(&call, &keyring()) else {
            panic!("a call is a message to the controller");
        };
        assert_eq!(expected, ca);
        message
    });
    let BootstrapRequest::Nats(nats) = nats else { panic!("a message to NATS' method") };
    assert_eq!((nats.token.as_str(), nats.csr.as_str()), (TOKEN_TEXT, ""));
    let BootstrapRequest::Component(component) = component else { panic!("a message to the component's") };
    assert_eq!((component.token.as_str(), component.csr.as_str()), (TOKEN_TEXT, ""));
    assert_eq!(component.runtime_csr, "");
    let BootstrapRequest::SignNonce(sign_nonce) = sign_nonce else { panic!("a message to the nonce's") };
    assert_eq!((sign_nonce.token.as_str(), sign_nonce.nonce.as_str()), (TOKEN_TEXT, "abcDEF012345-_x"));

    for call in calls(&ca) {
        let error = encode(&call, &Keyring::default()).err();
        assert_eq!(error, Some(Unencodable::Empty(Empty(TOKEN))));
    }
}

#[test]
fn requests_for_certificates_go_with_the_token() {
    let ca = World::new().authority.pem();
    let [nats, component] = calls_on_own_keys(&ca).map(|call| match encode(&call, &keyring()) {
        Ok(Request::Bootstrap { message, .. }) => message,
        Ok(_) | Err(_) => panic!("a call is a message to the controller"),
    });
    let BootstrapRequest::Nats(nats) = nats else { panic!("a message to NATS' method") };
    assert_eq!(nats.csr, CSR);
    let BootstrapRequest::Component(component) = component else { panic!("a message to the component's") };
    assert_eq!([component.csr.as_str(), component.runtime_csr.as_str()], [CSR, CSR]);
}

#[test]
fn what_the_controller_answers_is_what_the_caller_gets() {
    let world = World::new();
    let (nats, component) = (world.nats(), world.component());
    let answers = [
        (Answer::Nats(KeyOrigin::Vault, nats.clone()), Reply::Nats(nats.clone())),
        (Answer::Component(KeyOrigin::Vault, component.clone()), Reply::Component(component.clone())),
        (Answer::Signature(Signature([7; 64])), Reply::Signature(Signature([7; 64]))),
    ];
    for (call, (answer, reply)) in calls(&world.authority.pem()).into_iter().zip(answers) {
        let mut slots = caller_is(&call);
        let outcome = decode(&call, render(TICKET, &answer, &world.keys_of(&answer)), &context(), &mut slots);
        assert_eq!(outcome, Outcome::Ok(reply));
        assert!(!format!("{outcome:?}").contains("PRIVATE"));
        let key = match answer {
            Answer::Nats(..) => Some(&world.nats_key),
            Answer::Component(..) => Some(&world.key),
            Answer::Signature(_) | Answer::Rejected(_) => None,
        };
        assert_eq!(slots.expose(KEY).ok(), key.map(String::as_bytes));
        let runtime_key = matches!(answer, Answer::Component(..)).then_some(world.runtime_key.as_bytes());
        assert_eq!(slots.expose(RUNTIME_KEY).ok(), runtime_key);
    }

    // The same on keys that never left: nothing is sent, and nothing is filled.
    let answers = [
        (Answer::Nats(KeyOrigin::Pod, nats.clone()), Reply::Nats(nats), &world.nats_key),
        (Answer::Component(KeyOrigin::Pod, component.clone()), Reply::Component(component), &world.key),
    ];
    for (call, (answer, reply, key)) in calls_on_own_keys(&world.authority.pem()).into_iter().zip(answers) {
        let mut slots = caller_is(&call);
        fill(&mut slots, KEY, key);
        fill(&mut slots, RUNTIME_KEY, &world.runtime_key);
        let response = render(TICKET, &answer, &Keyring::default());
        assert_eq!(decode(&call, response, &context(), &mut slots), Outcome::Ok(reply));
        assert_eq!(slots.expose(KEY), Ok(key.as_bytes()));
    }
}

/// A key that was sent although one was made here is known to others: a controller that knows nothing of requests.
#[test]
fn a_certificate_that_is_not_what_was_asked_for_is_told_and_fills_nothing() {
    let world = World::new();
    let other = Authority::new("kubefox root", 2026, 2036);
    let [_, call, _] = calls(&world.authority.pem());
    let [_, own, _] = calls(&world.authority.pem()).map(on_own_keys);
    let good = world.component();
    let changed = |role, key: &str, change: Change| {
        let key = KeyPair::from_pem(key).expect("its own");
        let leaf = world.authority.issue_for(role, &identity("team0:app"), &key, change);
        let not_after = certificate::leaf_facts(&leaf).expect("a certificate").not_after;
        Certificate { leaf, ca: world.authority.pem(), not_after }
    };
    let with = |certificate: Certificate| ComponentDocuments { certificate, ..good.clone() };
    let with_runtime = |runtime: Certificate| ComponentDocuments { runtime, ..good.clone() };
    let foreign = Certificate { ca: other.pem(), ..good.certificate.clone() };
    let mut bad = vec![
        (with(foreign), Unfit::Chain),
        (with(changed(PkiRole::Component, &world.runtime_key, |_| ())), Unfit::Key),
        (with_runtime(changed(PkiRole::Runtime, &world.key, |_| ())), Unfit::Key),
        (with(changed(PkiRole::Runtime, &world.key, |_| ())), Unfit::Use),
    ];
    for (change, unfit) in CHANGES {
        bad.push((with(changed(PkiRole::Component, &world.key, change)), unfit));
    }
    for (change, unfit) in CHANGES_OF_A_RUNTIME {
        bad.push((with_runtime(changed(PkiRole::Runtime, &world.runtime_key, change)), unfit));
    }
    for (documents, unfit) in bad {
        let mut slots = caller_is(&call);
        let response = render(TICKET, &Answer::Component(KeyOrigin::Vault, documents), &world.keys());
        assert_eq!(decode(&call, response, &context(), &mut slots), Outcome::Ok(Reply::Unfit(unfit)));
        assert!(slots.expose(KEY).is_err() && slots.expose(RUNTIME_KEY).is_err());
    }

    let mut slots = caller_is(&own);
    fill(&mut slots, KEY, &world.key);
    fill(&mut slots, RUNTIME_KEY, &world.runtime_key);
    let response = render(TICKET, &Answer::Component(KeyOrigin::Vault, good.clone()), &world.keys());
    assert_eq!(decode(&own, response, &context(), &mut slots), Outcome::Ok(Reply::Unfit(Unfit::Key)));
    fill(&mut slots, RUNTIME_KEY, &world.key);
    let response = render(TICKET, &Answer::Component(KeyOrigin::Pod, good), &Keyring::default());
    assert_eq!(decode(&own, response, &context(), &mut slots), Outcome::Ok(Reply::Unfit(Unfit::Key)));
}

#[test]
fn an_answer_without_its_key_is_a_mistake_that_is_told() {
    let world = World::new();
    let response = render(TICKET, &Answer::Nats(KeyOrigin::Vault, world.nats()), &Keyring::default());
    assert_eq!(response.as_ref().err().map(Status::code), Some(Code::Internal));
    let [call, _, _] = calls(&world.authority.pem());
    let outcome = decode(&call, response, &context(), &mut Keyring::default());
    assert_eq!(outcome, Outcome::Ok(Reply::Rejected(Rejection::Faulty)));
}

#[test]
fn every_rejection_comes_through() {
    let [call, _, _] = calls(&World::new().authority.pem());
    for rejection in Rejection::ALL {
        let response = render(TICKET, &Answer::Rejected(rejection), &keyring());
        let outcome = decode(&call, response, &context(), &mut Keyring::default());
        assert_eq!(outcome, Outcome::Ok(Reply::Rejected(rejection)));
    }
}

#[test]
fn a_status_that_is_not_the_controllers_is_judged_by_its_code() {
    let [call, _, _] = calls(&World::new().authority.pem());
    let rows = [
        (Code::Unavailable, Outcome::Unknown(Lost::Connection)),
        (Code::Cancelled, Outcome::Unknown(Lost::Connection)),
        (Code::Unknown, Outcome::Unknown(Lost::Connection)),
        (Code::DeadlineExceeded, Outcome::Unknown(Lost::Deadline)),
        (Code::Internal, Outcome::Unknown(Lost::ServerError)),
        (Code::DataLoss, Outcome::Unknown(Lost::ServerError)),
        (Code::Ok, Outcome::Unknown(Lost::Garbled)),
        (Code::Unauthenticated, Outcome::Ok(Reply::Unexplained)),
        (Code::PermissionDenied, Outcome::Ok(Reply::Unexplained)),
        (Code::ResourceExhausted, Outcome::Ok(Reply::Unexplained)),
        (Code::Aborted, Outcome::Ok(Reply::Unexplained)),
        (Code::AlreadyExists, Outcome::Ok(Reply::Unexplained)),
        (Code::InvalidArgument, Outcome::Ok(Reply::Unexplained)),
        (Code::NotFound, Outcome::Ok(Reply::Unexplained)),
        (Code::FailedPrecondition, Outcome::Ok(Reply::Unexplained)),
        (Code::OutOfRange, Outcome::Unknown(Lost::Garbled)),
        (Code::Unimplemented, Outcome::Ok(Reply::Unexplained)),
    ];
    for (code, expected) in rows {
        let foreign = ErrorDetails::with_error_info("BUSY", "example.com", HashMap::new());
        let unknown = ErrorDetails::with_error_info("SOMETHING_NEW", DOMAIN, HashMap::new());
        for status in [
            Status::new(code, "canary"),
            Status::with_error_details(code, "canary", foreign),
            Status::with_error_details(code, "canary", unknown),
        ] {
            assert_eq!(decode(&call, Err(status), &context(), &mut Keyring::default()), expected, "{code:?}");
        }
    }
}

#[test]
fn a_damaged_response_is_garbled_and_fills_nothing() {
    let world = World::new();
    let ca = world.authority.pem();
    let sent = |certificate: &Certificate, key: &str| proto::Certificate {
        leaf: certificate.leaf.to_string(),
        key: key.to_owned(),
        ca: certificate.ca.to_string(),
        not_after_unix_s: certificate.not_after.0,
    };
    let (good, runtime) = (sent(&world.own, &world.key), sent(&world.runtime, &world.runtime_key));
    let bad = |good: &proto::Certificate| {
        [
            None,
            Some(proto::Certificate { leaf: "x".to_owned(), ..good.clone() }),
            Some(proto::Certificate { ca: "x".to_owned(), ..good.clone() }),
            Some(proto::Certificate { not_after_unix_s: 1, ..good.clone() }),
        ]
    };
    let user = PublicKey::encode(Prefix::User, &[7; 32]).to_string();
    let account = PublicKey::encode(Prefix::Account, &[7; 32]).to_string();
    let component =
        |user: &str, certificate: &Option<proto::Certificate>, runtime: &Option<proto::Certificate>| {
            BootstrapResponse::Component(proto::ComponentBootstrapResponse {
                user: user.to_owned(),
                user_jwt: "u".to_owned(),
                user_jwt_expires_unix_s: 1,
                certificate: certificate.clone(),
                runtime_certificate: runtime.clone(),
            })
        };
    let short = || BootstrapResponse::SignNonce(proto::SignNonceResponse { signature: vec![7; 63] });
    let (all_bad, all_bad_runtimes) = (bad(&good), bad(&runtime));
    let (good, runtime) = (Some(good), Some(runtime));
    let mut responses = vec![short(), component(&account, &good, &runtime)];
    responses.extend(all_bad.map(|bad| component(&user, &bad, &runtime)));
    responses.extend(all_bad_runtimes.map(|bad| component(&user, &good, &bad)));
    for response in responses {
        let [_, call, sign_nonce] = calls(&ca);
        let call = if matches!(response, BootstrapResponse::SignNonce(_)) { sign_nonce } else { call };
        let mut slots = caller_is(&call);
        let outcome = decode(&call, Ok(response), &context(), &mut slots);
        assert_eq!(outcome, Outcome::Unknown(Lost::Garbled));
        assert!(slots.expose(KEY).is_err() && slots.expose(RUNTIME_KEY).is_err());
    }
    let [nats, _, _] = calls(&ca);
    let other_answer = Ok(component(&user, &good, &runtime));
    let outcome = decode(&nats, other_answer, &context(), &mut Keyring::default());
    assert_eq!(outcome, Outcome::Unknown(Lost::Garbled));
}

proptest! {
    #[test]
    fn no_status_panics(code in 0_i32..20, details in any::<Vec<u8>>()) {
        let [call, _, _] = calls(&Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so"));
        let status = Status::with_details(Code::from(code), "canary", details.into());
        let outcome = decode(&call, Err(status), &context(), &mut Keyring::default());
        let shown = format!("{outcome:?}");
        prop_assert!(!shown.contains("canary"));
    }
}

fn calls(ca: &Pem) -> [Call; 3] {
    let nonce = Nonce::parse("abcDEF012345-_x").expect("a nonce");
    [
        Call::Nats { ca: ca.clone(), token: TOKEN, key: KEY, csr: None },
        Call::Component { ca: ca.clone(), token: TOKEN, key: KEY, runtime_key: RUNTIME_KEY, csrs: None },
        Call::SignNonce { ca: ca.clone(), token: TOKEN, nonce },
    ]
}

fn calls_on_own_keys(ca: &Pem) -> [Call; 2] {
    let [nats, component, _] = calls(ca);
    [nats, component].map(on_own_keys)
}

fn on_own_keys(call: Call) -> Call {
    let csr = || Csr::parse(CSR).expect("a request");
    match call {
        Call::Nats { ca, token, key, csr: _ } => Call::Nats { ca, token, key, csr: Some(csr()) },
        Call::Component { ca, token, key, runtime_key, csrs: _ } => {
            let csrs = Some(Csrs { broker: csr(), runtime: csr() });
            Call::Component { ca, token, key, runtime_key, csrs }
        }
        call @ Call::SignNonce { .. } => call,
    }
}

/// What the controller has: an authority, and a certificate with its key for each role.
struct World {
    authority: Authority,
    nats: Certificate,
    nats_key: String,
    own: Certificate,
    key: String,
    runtime: Certificate,
    runtime_key: String,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("kubefox root", 2026, 2036);
        let issue = |role, name| {
            let key = KeyPair::generate().expect("ring makes P-256 keys");
            let leaf = authority.issue_for(role, &identity(name), &key, |_| ());
            let not_after = Unix(1_798_761_600);
            (Certificate { leaf, ca: authority.pem(), not_after }, key.serialize_pem())
        };
        let (nats, nats_key) = issue(PkiRole::Nats, "kubefox:nats");
        let (own, key) = issue(PkiRole::Component, "team0:app");
        let (runtime, runtime_key) = issue(PkiRole::Runtime, "team0:app");
        Self { authority, nats, nats_key, own, key, runtime, runtime_key }
    }

    fn nats(&self) -> NatsDocuments {
        NatsDocuments {
            operator: "o".to_owned(),
            system_account: "s".to_owned(),
            platform_account: "p".to_owned(),
            certificate: self.nats.clone(),
        }
    }

    fn component(&self) -> ComponentDocuments {
        ComponentDocuments {
            user: PublicKey::encode(Prefix::User, &[7; 32]),
            user_jwt: "u".to_owned(),
            user_jwt_expires: Unix(1_795_467_738),
            certificate: self.own.clone(),
            runtime: self.runtime.clone(),
        }
    }

    /// The slots of the question to which this is the answer.
    fn keys_of(&self, answer: &Answer) -> Keyring {
        let mut slots = self.keys();
        if matches!(answer, Answer::Nats(..)) {
            fill(&mut slots, Secret::Of(TICKET, Asker::IssuedKey), &self.nats_key);
        }
        slots
    }

    /// Those of a component's.
    fn keys(&self) -> Keyring {
        let mut slots = Keyring::default();
        fill(&mut slots, Secret::Of(TICKET, Asker::IssuedKey), &self.key);
        fill(&mut slots, Secret::Of(TICKET, Asker::RuntimeKey), &self.runtime_key);
        slots
    }
}

/// What makes a certificate another one.
type Change = fn(&mut CertificateParams);

/// What a component's certificate must not say.
const CHANGES: [(Change, Unfit); 11] = [
    (|params| params.not_after = date_time_ymd(2037, 1, 1), Unfit::Chain),
    (|params| params.distinguished_name.push(DnType::CommonName, "app"), Unfit::Names),
    (|params| params.subject_alt_names.push(SanType::DnsName(text("kubefox.kubefox.svc"))), Unfit::Names),
    (|params| params.subject_alt_names.push(SanType::IpAddress([10, 0, 0, 1].into())), Unfit::Names),
    (|params| params.subject_alt_names.push(SanType::Rfc822Name(text("app@kubefox.svc"))), Unfit::Names),
    (|params| params.subject_alt_names.retain(|name| matches!(name, SanType::URI(_))), Unfit::Names),
    (|params| name_only(params, "spiffe://cluster.local/ns/team0/sa/other"), Unfit::Names),
    (|params| name_only(params, "spiffe://example.org/ns/team0/sa/app"), Unfit::Names),
    (|params| params.extended_key_usages.truncate(1), Unfit::Use),
    (|params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::CodeSigning), Unfit::Use),
    (|params| params.extended_key_usages.clear(), Unfit::Use),
];
/// What its runtime's must not.
const CHANGES_OF_A_RUNTIME: [(Change, Unfit); 3] = [
    (|params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth), Unfit::Use),
    (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], Unfit::Use),
    (|params| params.distinguished_name.push(DnType::CommonName, "app"), Unfit::Names),
];

fn name_only(params: &mut CertificateParams, uri: &str) {
    params.subject_alt_names.retain(|name| !matches!(name, SanType::URI(_)));
    params.subject_alt_names.push(SanType::URI(text(uri)));
}

fn text(name: &str) -> Ia5String {
    name.try_into().expect("ASCII")
}

fn identity(name: &str) -> Identity {
    Identity::parse_username(&format!("system:serviceaccount:{name}")).expect("an identity")
}

fn context() -> Context {
    Context { trust_domain: TrustDomain::parse("cluster.local").expect("a trust domain") }
}

/// The slots of whoever makes this call: its token says who it is.
fn caller_is(call: &Call) -> Keyring {
    let name = match call {
        Call::Nats { .. } => "kubefox:nats",
        Call::Component { .. } | Call::SignNonce { .. } => "team0:app",
    };
    let claims = format!(r#"{{"sub":"system:serviceaccount:{name}"}}"#);
    let mut slots = Keyring::default();
    fill(&mut slots, TOKEN, &format!("a.{}.c", BASE64URL_NOPAD.encode(claims.as_bytes())));
    slots
}

fn keyring() -> Keyring {
    let mut slots = Keyring::default();
    fill(&mut slots, TOKEN, TOKEN_TEXT);
    slots
}

fn fill(slots: &mut Keyring, name: Secret, text: &str) {
    slots.fill(name, Zeroizing::new(text.as_bytes().to_vec()));
}
