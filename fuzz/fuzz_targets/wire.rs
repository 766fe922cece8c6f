//! gRPC: every message is written as it was read, only tokens, nonces and names pass a server's door, and a caller takes
//! nothing for an answer that is not the answer to its call.

#![no_main]

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures::future::{self, BoxFuture};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use http_body_util::Full;
use kubefox_core::bootstrap::{Answer, Ask, Call, KeyOrigin, Rejection, Reply};
use kubefox_core::broker;
use kubefox_core::controller::Controller;
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::machine::{Lost, Outcome, Ticket};
use kubefox_core::names::{Nonce, Pem, SubjectTail, TrustDomain};
use kubefox_core::secret::{Asker, Own, Secret};
use kubefox_io::adapter::Slots as _;
use kubefox_io::adapter::bootstrap::{Context, decode, render};
use kubefox_io::adapter::csr;
use kubefox_io::exchange::BootstrapResponse;
use kubefox_io::keyring::Keyring;
use kubefox_io::shell::bootstrap_server::{self, BootstrapDoor};
use kubefox_io::shell::broker_server::{self, BrokerDoor, Delivery, Inbox};
use kubefox_io::telemetry::LogTap;
use kubefox_io::token::is_token;
use kubefox_proto::bootstrap::v1 as bootstrap_v1;
use kubefox_proto::broker::v1 as broker_v1;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use zeroize::Zeroizing;

const TICKET: Ticket = Ticket(1);
const CALLER: Secret = Secret::Own(Own::CallerJwt);
const KEY: Secret = Secret::Of(TICKET, Asker::IssuedKey);
const RUNTIME_KEY: Secret = Secret::Of(TICKET, Asker::RuntimeKey);

fuzz_target!(|bytes: &[u8]| {
    let Some((which, message)) = bytes.split_first() else { return };
    match which % 8 {
        0 => nats_is_asked(message),
        1 => component_is_asked(message),
        2 => nonce_is_asked(message),
        3 => message_is_published(message),
        4 => nats_is_answered(message),
        5 => component_is_answered(message),
        6 => nonce_is_answered(message),
        _ => caller_is_refused(message),
    }
});

// ------------------------------------------------------------------------------------------- the servers' ends

fn nats_is_asked(bytes: &[u8]) {
    let expected = read::<bootstrap_v1::NatsBootstrapRequest>(bytes)
        .filter(|request| is_token(request.token.as_bytes()))
        .and_then(|request| Some((Ask::Nats(csr::received(&request.csr).ok()?), request.token.into_bytes())));
    let asked = ask_controller("BootstrapNATS", bytes);
    assert_eq!(asked, expected);
}

fn component_is_asked(bytes: &[u8]) {
    let expected = read::<bootstrap_v1::ComponentBootstrapRequest>(bytes)
        .filter(|request| is_token(request.token.as_bytes()))
        .and_then(|request| {
            let csrs = csr::both_received(&request.csr, &request.runtime_csr).ok()?;
            Some((Ask::Component(csrs), request.token.into_bytes()))
        });
    let asked = ask_controller("BootstrapComponent", bytes);
    assert_eq!(asked, expected);
}

fn nonce_is_asked(bytes: &[u8]) {
    let expected = read::<bootstrap_v1::SignNonceRequest>(bytes).and_then(|request| {
        let nonce = Nonce::parse(&request.nonce).ok().filter(|_| is_token(request.token.as_bytes()))?;
        Some((Ask::SignNonce { nonce }, request.token.into_bytes()))
    });
    let asked = ask_controller("SignNonce", bytes);
    assert_eq!(asked, expected);
}

fn message_is_published(bytes: &[u8]) {
    static ASKED: Mutex<Option<(broker::Ask, Vec<u8>)>> = Mutex::new(None);
    static ROUTES: OnceLock<Routes> = OnceLock::new();
    struct Noting;
    impl BrokerDoor for Noting {
        fn ask(
            &self,
            ask: broker::Ask,
            payload: Option<Zeroizing<Vec<u8>>>,
            _: Duration,
        ) -> BoxFuture<'static, broker_server::Asked> {
            let payload = payload.map(|payload| payload.to_vec()).unwrap_or_default();
            *ASKED.lock().expect("nobody panics with it") = Some((ask, payload));
            future::ready(Ok(broker::Answer::Published)).boxed()
        }
        fn closed(&self) -> BoxFuture<'static, ()> {
            future::pending().boxed()
        }
    }
    impl Inbox for Noting {
        fn subscribe(&self, _: String) -> BoxFuture<'static, Result<BoxStream<'static, Delivery>, Lost>> {
            future::ready(Ok(stream::empty().boxed())).boxed()
        }
    }
    let routes = ROUTES.get_or_init(|| broker_server::routes(Arc::new(Noting), Arc::new(Noting)));

    let refused = send(routes, "kubefox.broker.v1.Broker/Publish", bytes);

    let expected = read::<broker_v1::PublishRequest>(bytes).and_then(|request| {
        let to = PublicKey::parse_as(Prefix::User, &request.to).ok()?;
        let tail = SubjectTail::parse(&request.subject).ok()?;
        let fits = request.payload.len() <= broker_server::PAYLOAD_BYTES_MAX;
        fits.then_some((broker::Ask::Publish { to, tail }, request.payload))
    });
    let asked = ASKED.lock().expect("nobody panics with it").take();
    assert_eq!(refused.is_none(), expected.is_some());
    assert_eq!(asked, expected);
}

/// What came through the controller's door, if anything did; whoever is refused is told why.
fn ask_controller(method: &str, bytes: &[u8]) -> Option<(Ask, Vec<u8>)> {
    static ASKED: Mutex<Option<(Ask, Vec<u8>)>> = Mutex::new(None);
    static ROUTES: OnceLock<Routes> = OnceLock::new();
    struct Noting;
    impl BootstrapDoor for Noting {
        fn ask(
            &self,
            ask: Ask,
            token: Zeroizing<Vec<u8>>,
            _: Duration,
        ) -> BoxFuture<'static, bootstrap_server::Asked> {
            let response = match &ask {
                Ask::Nats(_) => BootstrapResponse::Nats(Default::default()),
                Ask::Component(_) => BootstrapResponse::Component(Default::default()),
                Ask::SignNonce { .. } => BootstrapResponse::SignNonce(Default::default()),
            };
            *ASKED.lock().expect("nobody panics with it") = Some((ask, token.to_vec()));
            future::ready(Ok(Ok(response))).boxed()
        }
    }
    let routes = ROUTES.get_or_init(|| {
        let (_, snapshots) = LogTap::<Controller>::new("controller");
        bootstrap_server::routes(Arc::new(Noting), snapshots)
    });

    let refused = send(routes, &format!("kubefox.bootstrap.v1.Bootstrap/{method}"), bytes);

    let asked = ASKED.lock().expect("nobody panics with it").take();
    assert_eq!(refused.is_none(), asked.is_some());
    if let Some(status) = refused.filter(|status| status.code() == Code::InvalidArgument) {
        let [call, ..] = calls();
        let outcome = decode(&call, Err(status), &context(), &mut Keyring::default());
        let told = [
            Rejection::TokenMalformed,
            Rejection::NonceMalformed,
            Rejection::CsrMalformed,
            Rejection::CsrKeyForeign,
            Rejection::CsrForged,
            Rejection::CsrDemanding,
        ]
        .map(Reply::Rejected)
        .map(Outcome::Ok);
        assert!(told.contains(&outcome), "{outcome:?}");
    }
    asked
}

/// Sends one message in its frame. The status, unless it is `OK`.
fn send(routes: &Routes, method: &str, bytes: &[u8]) -> Option<Status> {
    let length = u32::try_from(bytes.len()).expect("inputs are short");
    let frame = [&[0], length.to_be_bytes().as_slice(), bytes].concat();
    let request = http::Request::post(format!("/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::<bytes::Bytes>::from(frame))
        .expect("method and headers are sound");
    let response = routes.clone().oneshot(request).now_or_never();
    let Ok(response) = response.expect("the door answers at once, and so does the server");
    Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
}

// --------------------------------------------------------------------------------------------- the caller's end

fn nats_is_answered(bytes: &[u8]) {
    let Some(sent) = read::<bootstrap_v1::NatsBootstrapResponse>(bytes) else { return };
    let Some((reply, slots)) = is_answered(0, BootstrapResponse::Nats(sent.clone())) else { return };
    let Reply::Nats(documents) = reply else { panic!("the answer to another call: {reply:?}") };
    let answer = Answer::Nats(KeyOrigin::Vault, documents);
    let Ok(BootstrapResponse::Nats(again)) = render(TICKET, &answer, &slots) else {
        panic!("it has a certificate and its key");
    };
    assert!(again == sent, "what was accepted is what was sent");
}

fn component_is_answered(bytes: &[u8]) {
    let Some(sent) = read::<bootstrap_v1::ComponentBootstrapResponse>(bytes) else { return };
    let Some((reply, slots)) = is_answered(1, BootstrapResponse::Component(sent.clone())) else { return };
    let Reply::Component(documents) = reply else { panic!("the answer to another call: {reply:?}") };
    assert_eq!(documents.user.prefix(), Prefix::User);
    let answer = Answer::Component(KeyOrigin::Vault, documents);
    let Ok(BootstrapResponse::Component(again)) = render(TICKET, &answer, &slots) else {
        panic!("it has two certificates and their keys");
    };
    assert!(again == sent, "what was accepted is what was sent");
}

fn nonce_is_answered(bytes: &[u8]) {
    let Some(sent) = read::<bootstrap_v1::SignNonceResponse>(bytes) else { return };
    let answered = is_answered(2, BootstrapResponse::SignNonce(sent.clone()));
    assert_eq!(answered.is_some(), sent.signature.len() == 64);
    if let Some((reply, _)) = answered {
        assert_eq!(Ok(reply), sent.signature.try_into().map(Reply::Signature));
    }
}

/// The reply to the call of this place, with the slots it has filled. It is no answer to the others.
fn is_answered(which: usize, response: BootstrapResponse) -> Option<(Reply, Keyring)> {
    let calls = calls();
    let mut slots = Keyring::default();
    let caller = ["system:serviceaccount:kubefox:nats", "system:serviceaccount:team0:app"][which % 2];
    slots.fill(CALLER, Zeroizing::new(token_of(caller)));
    let outcome = decode(&calls[which], Ok(again(&response)), &context(), &mut slots);
    let other = decode(&calls[(which + 1) % 3], Ok(response), &context(), &mut Keyring::default());
    assert_eq!(other, Outcome::Unknown(Lost::Garbled));
    match outcome {
        Outcome::Unknown(Lost::Garbled) | Outcome::Ok(Reply::Unfit(_)) => {
            assert!(slots.expose(KEY).is_err() && slots.expose(RUNTIME_KEY).is_err(), "no key comes alone");
            None
        }
        Outcome::Ok(reply) => Some((reply, slots)),
        other @ (Outcome::Refused(_) | Outcome::Unknown(_)) => {
            panic!("a response is an answer or garbled: {other:?}")
        }
    }
}

fn again(response: &BootstrapResponse) -> BootstrapResponse {
    match response {
        BootstrapResponse::Nats(response) => BootstrapResponse::Nats(response.clone()),
        BootstrapResponse::Component(response) => BootstrapResponse::Component(response.clone()),
        BootstrapResponse::SignNonce(response) => BootstrapResponse::SignNonce(response.clone()),
    }
}

/// An error is never documents, whatever its code and its details are.
fn caller_is_refused(bytes: &[u8]) {
    let Some((code, details)) = bytes.split_first() else { return };
    let outcomes = calls().map(|call| {
        let status = Status::with_details(Code::from(i32::from(*code)), "", details.to_vec().into());
        decode(&call, Err(status), &context(), &mut Keyring::default())
    });
    let [first, rest @ ..] = &outcomes;
    assert!(rest.iter().all(|outcome| outcome == first), "a status says the same to every call");
    assert!(matches!(first, Outcome::Ok(Reply::Rejected(_) | Reply::Unexplained) | Outcome::Unknown(_)));
}

fn calls() -> [Call; 3] {
    let ca = Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so");
    let token = CALLER;
    let nonce = Nonce::parse("abcDEF012345-_x").expect("a nonce");
    [
        Call::Nats { ca: ca.clone(), token, key: KEY, csr: None },
        Call::Component { ca: ca.clone(), token, key: KEY, runtime_key: RUNTIME_KEY, csrs: None },
        Call::SignNonce { ca, token, nonce },
    ]
}

fn context() -> Context {
    Context { trust_domain: TrustDomain::parse("cluster.local").expect("a trust domain") }
}

/// A caller reads of its own token who it is, and nothing else.
fn token_of(caller: &str) -> Vec<u8> {
    let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(&format!(r#"{{"sub":"{caller}"}}"#))).into_bytes()
}

/// A message that was read is the same once it is written and read again.
fn read<M: Message + Default + PartialEq>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let written = message.encode_to_vec();
    assert!(M::decode(written.as_slice()).is_ok_and(|again| again == message));
    Some(message)
}
