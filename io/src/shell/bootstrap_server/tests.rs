mod abuse;

use std::sync::Mutex;

use kubefox_core::bootstrap::Csrs;
use kubefox_core::machine::{Lost, Standing};
use kubefox_core::names::Csr;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt;

use super::*;
use crate::exchange::BootstrapRequest;
use crate::shell::bootstrap_client::{BootstrapClient, Controller};
use crate::shell::host::Real;
use crate::shell::listener::{Clients, Listener};
use crate::shell::tls::Expected;
use crate::shell::tls::tests::Authority;
use crate::telemetry::tests::Log;

const DNS: &str = "kubefox.kubefox.svc";
const URI: &str = "spiffe://cluster.local/ns/kubefox/sa/kubefox";
const TOKEN: &str = "eyJh.eyJi.c2ln";
const NONCE: &str = "abcDEF012345-_x";
const CSR: &str = include_str!("../../adapter/csr/plain.pem");
const OTHER_CSR: &str = include_str!("../../adapter/csr/another.pem");
const LATE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_request_is_one_question_and_its_answer_comes_back() {
    let world = World::new(Script::Answer).await;

    let answers = [
        world.call(nats("")).await,
        world.call(component("", "")).await,
        world.call(nats(CSR)).await,
        world.call(component(CSR, OTHER_CSR)).await,
        world.call(sign(TOKEN, NONCE)).await,
    ];

    assert_eq!(
        answers,
        ["operator", "user", "operator", "user", "signature"].map(|answer| Seen::Answer(answer.to_owned()))
    );
    let nonce = Nonce::parse(NONCE).expect("a nonce");
    let csr = Csr::parse(CSR).expect("a request");
    let csrs = Csrs { broker: csr.clone(), runtime: Csr::parse(OTHER_CSR).expect("a request") };
    let asked = [
        Ask::Nats(None),
        Ask::Component(None),
        Ask::Nats(Some(csr)),
        Ask::Component(Some(csrs)),
        Ask::SignNonce { nonce },
    ];
    assert_eq!(world.asked(), asked.map(|ask| (ask, TOKEN.to_owned())));
}

#[tokio::test]
async fn a_rejection_keeps_its_reason_and_is_an_answer() {
    let world = World::new(Script::Reject(Rejection::NotEntitled)).await;

    let answer = world.call(sign(TOKEN, NONCE)).await;

    assert_eq!(answer, Seen::Status(Code::PermissionDenied, Some("NOT_ENTITLED".to_owned())));
}

#[tokio::test]
async fn an_unanswered_question_is_told_apart_by_its_status() {
    for (unanswered, code, reason) in [
        (Unanswered::Busy, Code::ResourceExhausted, "BUSY"),
        (Unanswered::Late, Code::DeadlineExceeded, "LATE"),
        (Unanswered::Stopping, Code::Unavailable, "STOPPING"),
    ] {
        let world = World::new(Script::None(unanswered)).await;

        let answer = world.call(sign(TOKEN, NONCE)).await;

        assert_eq!(answer, Seen::Status(code, Some(reason.to_owned())), "{unanswered:?}");
    }
}

#[tokio::test]
async fn the_answer_to_another_question_is_given_to_nobody() {
    let world = World::new(Script::MixUp).await;

    for request in [nats(""), component("", ""), sign(TOKEN, NONCE)] {
        let faulty = Seen::Status(Code::Internal, Some("FAULTY".to_owned()));
        assert_eq!(world.call(request).await, faulty);
    }
}

#[tokio::test]
async fn a_bad_request_for_a_certificate_has_an_answer_of_its_own_and_never_reaches_the_door() {
    let world = World::new(Script::Answer).await;
    let long = format!("{CSR}{}", " ".repeat(CSR_BYTES_MAX));
    for (csr, reason) in [
        ("x", "CSR_MALFORMED"),
        (long.as_str(), "CSR_MALFORMED"),
        (include_str!("../../adapter/csr/rsa.pem"), "CSR_KEY_FOREIGN"),
        (include_str!("../../adapter/csr/broken-signature.pem"), "CSR_FORGED"),
        (include_str!("../../adapter/csr/authority.pem"), "CSR_DEMANDING"),
        (include_str!("../../adapter/csr/foreign-names.pem"), "CSR_DEMANDING"),
    ] {
        let refused = Seen::Status(Code::InvalidArgument, Some(reason.to_owned()));
        assert_eq!(world.call(nats(csr)).await, refused, "{reason}");
        assert_eq!(world.call(component(csr, CSR)).await, refused, "{reason}");
        assert_eq!(world.call(component(CSR, csr)).await, refused, "{reason}");
    }
    let one_of_two = Seen::Status(Code::InvalidArgument, Some("CSR_MALFORMED".to_owned()));
    assert_eq!(world.call(component(CSR, "")).await, one_of_two);
    let one_key_for_both = Seen::Status(Code::InvalidArgument, Some("CSR_KEY_FOREIGN".to_owned()));
    assert_eq!(world.call(component(CSR, CSR)).await, one_key_for_both);
    assert_eq!(world.call(component("", CSR)).await, one_of_two);
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn what_is_no_token_or_no_nonce_never_reaches_the_door() {
    let world = World::new(Script::Answer).await;
    let long = format!("{}.b.c", "a".repeat(TOKEN_BYTES_MAX - 3));
    for (token, nonce, reason) in [
        ("", NONCE, "TOKEN_MALFORMED"),
        ("a.b", NONCE, "TOKEN_MALFORMED"),
        ("a..c", NONCE, "TOKEN_MALFORMED"),
        ("a.b.c.d", NONCE, "TOKEN_MALFORMED"),
        ("a.b.c\n", NONCE, "TOKEN_MALFORMED"),
        (long.as_str(), NONCE, "TOKEN_MALFORMED"),
        (TOKEN, "abcDEF012345-_", "NONCE_MALFORMED"),
        (TOKEN, "abcDEF012345-_xy", "NONCE_MALFORMED"),
        (TOKEN, "", "NONCE_MALFORMED"),
        // As long as a nonce, and the beginning of a JWT: the caller's key signs none of those.
        (TOKEN, "eyJ0.eyJz.c2lnb", "NONCE_MALFORMED"),
        (TOKEN, "abcDEF012345.-x", "NONCE_MALFORMED"),
    ] {
        let answer = world.call(sign(token, nonce)).await;

        assert_eq!(
            answer,
            Seen::Status(Code::InvalidArgument, Some(reason.to_owned())),
            "{token:.20} {nonce}"
        );
    }
    let huge = world.call(sign(&"a".repeat(MESSAGE_BYTES_MAX), NONCE)).await;

    assert_eq!(huge, Seen::Status(Code::OutOfRange, None));
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_the_next_handshake_on() {
    let world = World::new(Script::Answer).await;
    let other = Authority::new();
    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));

    let address = world.listener.present(&other.issue(&[DNS], &[URI])).await.expect("usable");

    assert_eq!(address, world.address);
    // The connection that stands goes on; a client that comes new sees the new certificate.
    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));
    let fresh = world.client();
    assert_eq!(
        see(fresh.carry(&world.authority.pem(), sign(TOKEN, NONCE), LONG).await),
        Seen::Lost(Lost::Stranger)
    );
    assert_eq!(
        see(fresh.carry(&other.pem(), sign(TOKEN, NONCE), LONG).await),
        Seen::Answer("signature".to_owned())
    );
}

#[tokio::test]
async fn a_server_that_is_somebody_else_gets_no_token_and_is_told_from_one_that_is_silent() {
    let world = World::named(Script::Answer, "spiffe://cluster.local/ns/team/sa/a").await;
    let foreign = Authority::new().pem();
    for ca in [&world.authority.pem(), &foreign] {
        for _ in 0..2 {
            let seen = see(world.client.carry(ca, sign(TOKEN, NONCE), LONG).await);
            assert_eq!(seen, Seen::Lost(Lost::Stranger));
        }
    }
    assert_eq!(world.asked(), []);
}

#[test]
fn a_stranger_is_told_once_until_somebody_else_answers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut address = String::new();
    let lines = Log::of("warn", || {
        runtime.block_on(async {
            let mut world = World::new(Script::Answer).await;
            address.clone_from(&world.address);
            let (ca, other) = (world.authority.pem(), Authority::new());
            for authority in [&other, &Authority::new(), &world.authority, &other] {
                // A connection that stands would go on.
                world.listener.drain().await;
                world.listener = world.listen_again(authority).await;
                for _ in 0..3 {
                    drop(world.client.carry(&ca, sign(TOKEN, NONCE), LONG).await);
                }
            }
        });
    });

    let told: Vec<_> = lines.iter().map(|line| (&line["message"], &line["controller"])).collect();
    assert_eq!(told, [(&json!("ControllerIsStranger"), &json!(address)); 2]);
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_lost_connection_and_one_that_is_back_is_found_again() {
    let mut world = World::new(Script::Answer).await;
    let client = world.client();
    let ca = world.authority.pem();
    world.listener.drain().await;

    assert_eq!(see(client.carry(&ca, sign(TOKEN, NONCE), LONG).await), Seen::Lost(Lost::Connection));

    world.listener = world.listen_again(&world.authority).await;
    assert_eq!(see(client.carry(&ca, sign(TOKEN, NONCE), LONG).await), Seen::Answer("signature".to_owned()));
}

#[tokio::test]
async fn a_server_that_drains_still_answers_what_it_was_asked_and_takes_nothing_new() {
    let world = World::new(Script::AnswerLate).await;

    let (late, ()) = tokio::join!(world.call(sign(TOKEN, NONCE)), async {
        while world.asked().is_empty() {
            tokio::time::sleep(LATE / 20).await;
        }
        world.listener.drain().await;
    });

    assert_eq!(late, Seen::Answer("signature".to_owned()));
    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Lost(Lost::Connection));
}

#[tokio::test]
async fn the_server_is_told_how_long_its_caller_listens() {
    let world = World::new(Script::Answer).await;
    for within in [Duration::from_millis(3_500), ANSWER_WITHIN, LONG] {
        for request in [nats(""), component("", ""), sign(TOKEN, NONCE)] {
            drop(world.client.carry(&world.authority.pem(), request, within).await);
        }
    }

    let allowed = [Duration::from_millis(3_500), ANSWER_WITHIN, ANSWER_WITHIN].map(|within| [within; 3]);
    assert_eq!(*world.door.allowed.lock().expect("no panic before"), allowed.concat());
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_late_and_not_a_lost_connection() {
    let world = World::new(Script::AnswerLate).await;

    let late = world.client.carry(&world.authority.pem(), sign(TOKEN, NONCE), LATE / 2).await;

    assert_eq!(see(late), Seen::Lost(Lost::Deadline));
}

#[tokio::test]
async fn the_health_of_the_service_is_asked_by_its_name() {
    let world = World::new(Script::Answer).await;
    let mut health = HealthClient::new(routes(world.door.clone(), world.snapshots.subscribe()));
    for (standing, status) in
        [(Standing::Starting, ServingStatus::NotServing), (Standing::Ready, ServingStatus::Serving)]
    {
        world.snapshots.send_replace(Snapshot { standing, ..Snapshot::before_start("controller") });
        for service in ["", "kubefox.bootstrap.v1.Bootstrap"] {
            let asked = HealthCheckRequest { service: service.to_owned() };
            let told = health.check(asked).await.expect("it is known").into_inner();
            assert_eq!(told, HealthCheckResponse { status: status.into() }, "{standing:?}");
        }
    }
}

#[test]
fn the_callers_time_is_honoured_up_to_ours() {
    let within = |text: &str| {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().expect("ASCII"));
        super::within(&metadata)
    };
    assert_eq!(super::within(&MetadataMap::new()), ANSWER_WITHIN);
    for (text, expected) in [
        ("1500m", Duration::from_millis(1_500)),
        ("2S", Duration::from_secs(2)),
        ("300000u", Duration::from_millis(300)),
        ("0n", Duration::ZERO),
        ("1H", ANSWER_WITHIN),
        ("99999999H", ANSWER_WITHIN),
    ] {
        assert_eq!(within(text), expected, "{text}");
    }
    for malformed in ["", "S", "1", "-1S", "+1S", "123456789S", "1s", "1 S"] {
        assert_eq!(within(malformed), ANSWER_WITHIN, "{malformed:?}");
    }
}

/// What the door does with every question.
#[derive(Clone, Copy)]
enum Script {
    Answer,
    /// After some time.
    AnswerLate,
    /// With the answer to another question.
    MixUp,
    Reject(Rejection),
    None(Unanswered),
}

struct Scripted {
    script: Script,
    asked: Mutex<Vec<(Ask, String)>>,
    /// How long each answer was allowed to take.
    allowed: Mutex<Vec<Duration>>,
}

impl BootstrapDoor for Scripted {
    fn ask(&self, ask: Ask, token: Zeroizing<Vec<u8>>, within: Duration) -> BoxFuture<'static, Asked> {
        let token = String::from_utf8(token.to_vec()).expect("the server checks it");
        self.allowed.lock().expect("no panic before").push(within);
        self.asked.lock().expect("no panic before").push((ask.clone(), token));
        let answered = match self.script {
            Script::Answer | Script::AnswerLate => Ok(Ok(answer_to(&ask))),
            Script::MixUp => Ok(Ok(match ask {
                Ask::Nats(_) => answer_to(&Ask::Component(None)),
                Ask::Component(_) | Ask::SignNonce { .. } => answer_to(&Ask::Nats(None)),
            })),
            Script::Reject(rejection) => Ok(Err(rejected(rejection))),
            Script::None(unanswered) => Err(unanswered),
        };
        let is_late = matches!(self.script, Script::AnswerLate);
        async move {
            if is_late {
                tokio::time::sleep(LATE).await;
            }
            answered
        }
        .boxed()
    }
}

/// A controller with a scripted door, on a real port, and a client of it.
struct World {
    authority: Authority,
    door: Arc<Scripted>,
    snapshots: watch::Sender<Snapshot>,
    listener: Arc<Listener>,
    address: String,
    client: BootstrapClient,
}

impl World {
    async fn new(script: Script) -> Self {
        Self::named(script, URI).await
    }

    async fn named(script: Script, uri: &str) -> Self {
        Self::with(script, uri, LIMITS).await
    }

    async fn with(script: Script, uri: &str, limits: Limits) -> Self {
        let authority = Authority::new();
        let door = Arc::new(Scripted { script, asked: Mutex::default(), allowed: Mutex::default() });
        let any = "127.0.0.1:0".parse().expect("an address");
        let (snapshots, receiver) = watch::channel(Snapshot::before_start("controller"));
        let routes = routes(door.clone(), receiver);
        let listener = Arc::new(Listener::new(Arc::new(Real), any, Clients::Anyone, limits, routes));
        let address = listener.present(&authority.issue(&[DNS], &[uri])).await.expect("usable");
        let client = client_of(&address);
        Self { authority, door, snapshots, listener, address, client }
    }

    /// Another server in the place of the one that is gone.
    async fn listen_again(&self, authority: &Authority) -> Arc<Listener> {
        let port = self.address.parse().expect("an address");
        let routes = routes(self.door.clone(), self.snapshots.subscribe());
        let listener = Listener::new(Arc::new(Real), port, Clients::Anyone, LIMITS, routes);
        listener.present(&authority.issue(&[DNS], &[URI])).await.expect("the port is free again");
        Arc::new(listener)
    }

    fn client(&self) -> BootstrapClient {
        client_of(&self.address)
    }

    async fn call(&self, request: BootstrapRequest) -> Seen {
        see(self.client.carry(&self.authority.pem(), request, LONG).await)
    }

    fn asked(&self) -> Vec<(Ask, String)> {
        self.door.asked.lock().expect("no panic before").clone()
    }
}

fn client_of(address: &str) -> BootstrapClient {
    let (host, port) = address.rsplit_once(':').expect("ip:port");
    let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
    let controller = Controller { host: host.to_owned(), port: port.parse().expect("a port"), expected };
    BootstrapClient::new(Arc::new(Real), controller)
}

/// What came of a request, so that it can be compared.
#[derive(Debug, PartialEq)]
enum Seen {
    Answer(String),
    Status(Code, Option<String>),
    Lost(Lost),
}

fn see(outcome: Result<Result<BootstrapResponse, Status>, Lost>) -> Seen {
    match outcome {
        Ok(Ok(BootstrapResponse::Nats(response))) => Seen::Answer(response.operator_jwt),
        Ok(Ok(BootstrapResponse::Component(response))) => Seen::Answer(response.user),
        Ok(Ok(BootstrapResponse::SignNonce(response))) => {
            Seen::Answer(String::from_utf8(response.signature).expect("the script's"))
        }
        Ok(Err(status)) => {
            Seen::Status(status.code(), status.get_details_error_info().map(|info| info.reason))
        }
        Err(lost) => Seen::Lost(lost),
    }
}

fn sign(token: &str, nonce: &str) -> BootstrapRequest {
    BootstrapRequest::SignNonce(proto::SignNonceRequest { token: token.to_owned(), nonce: nonce.to_owned() })
}

fn nats(csr: &str) -> BootstrapRequest {
    BootstrapRequest::Nats(proto::NatsBootstrapRequest { token: TOKEN.to_owned(), csr: csr.to_owned() })
}

fn component(csr: &str, runtime_csr: &str) -> BootstrapRequest {
    let (csr, runtime_csr) = (csr.to_owned(), runtime_csr.to_owned());
    BootstrapRequest::Component(proto::ComponentBootstrapRequest {
        token: TOKEN.to_owned(),
        csr,
        runtime_csr,
    })
}

fn answer_to(ask: &Ask) -> BootstrapResponse {
    match ask {
        Ask::Nats(_) => BootstrapResponse::Nats(proto::NatsBootstrapResponse {
            operator_jwt: "operator".to_owned(),
            ..Default::default()
        }),
        Ask::Component(_) => BootstrapResponse::Component(proto::ComponentBootstrapResponse {
            user: "user".to_owned(),
            ..Default::default()
        }),
        Ask::SignNonce { .. } => {
            BootstrapResponse::SignNonce(proto::SignNonceResponse { signature: b"signature".to_vec() })
        }
    }
}
