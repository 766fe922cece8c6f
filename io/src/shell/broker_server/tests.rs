use std::net::SocketAddr;
use std::sync::Mutex;

use kubefox_proto::broker::v1::broker_client::BrokerClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::shell::connector::{Connector, Target};
use crate::shell::host::Real;
use crate::shell::listener::{Clients, Listener};
use crate::shell::tls::tests::Authority;
use crate::shell::tls::{self, Expected};

const DNS: &str = "broker.kubefox.internal";
const URI: &str = "spiffe://cluster.local/ns/team/sa/a";
const RUNTIME: &str = "spiffe://cluster.local/ns/team/sa/a/runtime";

#[tokio::test]
async fn a_message_is_one_question_with_its_payload_beside_it() {
    let world = World::new(Answer::Published).await;
    let request = proto::PublishRequest {
        to: key(2).as_str().to_owned(),
        subject: "orders.created".to_owned(),
        payload: b"payload".to_vec(),
    };

    world.runtime().publish(request).await.expect("published");

    let tail = SubjectTail::parse("orders.created").expect("a tail");
    assert_eq!(world.asked(), [(Ask::Publish { to: key(2), tail }, Some(b"payload".to_vec()))]);
}

#[tokio::test]
async fn what_is_no_message_never_reaches_the_door() {
    let world = World::new(Answer::Published).await;
    let user = key(2).as_str().to_owned();
    let account = PublicKey::encode(Prefix::Account, &[1; 32]).as_str().to_owned();
    for (to, subject, length) in [
        ("", "a", 1),
        (account.as_str(), "a", 1),
        (user.as_str(), "", 1),
        (user.as_str(), "a.>", 1),
        (user.as_str(), "a", PAYLOAD_BYTES_MAX + 1),
    ] {
        let payload = vec![0; length];
        let request = proto::PublishRequest { to: to.to_owned(), subject: subject.to_owned(), payload };

        let status = world.runtime().publish(request).await.err().expect("refused");

        assert_eq!(status.code(), Code::InvalidArgument, "{to} {subject} {length}");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn an_answer_that_is_a_no_has_its_own_status() {
    for (answer, code) in [
        (Answer::Unknown, Code::Unknown),
        (Answer::Unavailable, Code::Unavailable),
        (Answer::Busy, Code::ResourceExhausted),
        (Answer::Subscribed { subject: "x".to_owned() }, Code::Internal),
    ] {
        let world = World::new(answer.clone()).await;
        let to = key(2).as_str().to_owned();
        let request = proto::PublishRequest { to, subject: "a".to_owned(), payload: Vec::new() };

        let status = world.runtime().publish(request).await.err().expect("refused");

        assert_eq!(status.code(), code, "{answer:?}");
    }
}

#[tokio::test]
async fn the_messages_of_the_subscription_come_until_it_ends() {
    let world = World::new(Answer::Subscribed { subject: subject::inbox(&key(1)) }).await;

    let mut stream =
        world.runtime().subscribe(proto::SubscribeRequest {}).await.expect("subscribed").into_inner();

    let message = stream.message().await.expect("a message").expect("not the end");
    let expected = (key(2).as_str().to_owned(), "orders.created".to_owned(), b"one".to_vec());
    assert_eq!((message.from, message.subject, message.payload), expected);
    // The reply between the two is nobody's message.
    assert_eq!(stream.message().await.expect("a message").expect("not the end").payload, b"two");
    assert_eq!(stream.message().await.err().map(|status| status.code()), Some(Code::Unavailable));
    assert_eq!(*world.subscribed.lock().expect("no panic before"), [subject::inbox(&key(1))]);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_next_and_cuts_nobody_off() {
    let world = World::new(Answer::Subscribed { subject: subject::inbox(&key(1)) }).await;
    let mut before = world.runtime();
    let mut stream = before.subscribe(proto::SubscribeRequest {}).await.expect("subscribed").into_inner();
    assert_eq!(stream.message().await.expect("a message").expect("not the end").payload, b"one");

    let renewed = world.authority.issue(&[DNS], &[URI]);
    world.listener.present(&renewed).await.expect("usable");

    assert_eq!(stream.message().await.expect("a message").expect("not the end").payload, b"two");
    for mut runtime in [before, world.runtime()] {
        runtime.identify(proto::IdentifyRequest {}).await.expect("identified");
    }
}

#[tokio::test]
async fn a_component_is_told_who_it_is() {
    let world = World::new(Answer::Subscribed { subject: subject::inbox(&key(1)) }).await;

    let response = world.runtime().identify(proto::IdentifyRequest {}).await.expect("identified");

    assert_eq!(response.into_inner().user, key(1).as_str());
}

#[tokio::test]
async fn nobody_but_the_own_runtime_comes_in() {
    let world = World::new(Answer::Published).await;
    let other = Authority::new();
    for (case, identity) in [
        ("the broker itself", Some(world.authority.issue(&[], &[URI]))),
        (
            "another runtime",
            Some(world.authority.issue(&[], &["spiffe://cluster.local/ns/team/sa/b/runtime"])),
        ),
        ("another authority", Some(other.issue(&[], &[RUNTIME]))),
        ("nobody", None),
    ] {
        let mut client = world.client(identity.as_ref());

        let status = client.identify(proto::IdentifyRequest {}).await.err().expect("refused");

        assert!(std::error::Error::source(&status).is_some(), "{case}: {status}");
    }
    assert_eq!(world.asked(), []);
}

type Recorded = (Ask, Option<Vec<u8>>);

/// A door that always gives the same answer.
struct Scripted {
    answer: Answer,
    asked: Mutex<Vec<Recorded>>,
}

impl BrokerDoor for Scripted {
    fn ask(&self, ask: Ask, payload: Option<Zeroizing<Vec<u8>>>, _: Duration) -> BoxFuture<'static, Asked> {
        let payload = payload.map(|payload| payload.to_vec());
        self.asked.lock().expect("no panic before").push((ask, payload));
        let answer = self.answer.clone();
        async move { Ok(answer) }.boxed()
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

/// Two messages with a reply between them.
struct Delivered(Arc<Mutex<Vec<String>>>);

impl Inbox for Delivered {
    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<'static, Delivery>, Lost>> {
        self.0.lock().expect("no panic before").push(subject);
        let tail = SubjectTail::parse("orders.created").expect("a tail");
        let subject = subject::message(&key(1), &key(2), &tail);
        let delivery = |subject: &str, payload| Delivery { subject: subject.to_owned(), payload };
        let deliveries = [
            delivery(&subject, Bytes::from_static(b"one")),
            delivery(&format!("{}.x", subject::inbox_prefix(&key(1))), Bytes::new()),
            delivery(&subject, Bytes::from_static(b"two")),
        ];
        async move { Ok(stream::iter(deliveries).boxed()) }.boxed()
    }
}

/// A broker with a scripted door, on a real port.
struct World {
    authority: Authority,
    door: Arc<Scripted>,
    subscribed: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
    listener: Listener,
}

impl World {
    async fn new(answer: Answer) -> Self {
        let authority = Authority::new();
        let door = Arc::new(Scripted { answer, asked: Mutex::default() });
        let subscribed = Arc::default();
        let routes = routes(door.clone(), Arc::new(Delivered(Arc::clone(&subscribed))));
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::new(Arc::new(Real), any, Clients::OwnRuntime, LIMITS, routes);
        let address = listener.present(&authority.issue(&[DNS], &[URI])).await.expect("usable");
        let address = address.parse().expect("ip:port");
        Self { authority, door, subscribed, address, listener }
    }

    fn runtime(&self) -> BrokerClient<Channel> {
        self.client(Some(&self.authority.issue(&[], &[RUNTIME])))
    }

    fn client(&self, identity: Option<&crate::exchange::Presentation>) -> BrokerClient<Channel> {
        let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
        let mut config = tls::client(&self.authority.pem(), identity, &expected).expect("usable");
        config.alpn_protocols = vec![tls::ALPN_H2.to_vec()];
        let target = Target::Tls {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            name: tls::server_name(DNS).expect("a name"),
            config: Arc::new(config),
        };
        let endpoint = Endpoint::from_static("https://broker.kubefox.internal");
        BrokerClient::new(endpoint.connect_with_connector_lazy(Connector::new(Arc::new(Real), target)))
    }

    fn asked(&self) -> Vec<Recorded> {
        self.door.asked.lock().expect("no panic before").clone()
    }
}

fn key(seed: u8) -> PublicKey {
    PublicKey::encode(Prefix::User, &[seed; 32])
}
