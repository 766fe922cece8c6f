//! The client against a server of a few lines: INFO, TLS, CONNECT, and messages back to whoever subscribed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use kubefox_core::broker::Unsigned;
use kubefox_core::signature::Signature;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::*;
use crate::door::Unanswered;
use crate::shell::tls::ExpectedClient;
use crate::shell::tls::tests::Authority;

const DNS: &str = "nats.kubefox.svc";
const URI: &str = "spiffe://cluster.local/ns/kubefox/sa/nats";
const BROKER: &str = "spiffe://cluster.local/ns/team/sa/a";
const NONCE: &str = "abcDEF012345-_x";
const PREFIX: &str = "kf.U.in._inbox";

#[tokio::test]
async fn a_connection_shows_the_certificate_and_the_signature_of_its_nonce() {
    let mut world = World::new(signed(), URI).await;

    assert_eq!(world.connect().await, Ok(()));

    let connect = world.connects.recv().await.expect("a CONNECT line");
    assert_eq!(connect["jwt"], "eyJ");
    assert_eq!(connect["sig"], data_encoding::BASE64URL_NOPAD.encode(&[7; 64]));
    let nonce = Nonce::parse(NONCE).expect("a nonce");
    assert_eq!(*world.door.asked.lock().expect("no panic before"), [Ask::SignNonce { nonce }]);
}

#[tokio::test]
async fn a_message_is_published_once_the_server_has_taken_it() {
    let world = World::new(signed(), URI).await;
    assert_eq!(world.publish("kf.V.in.U.x", "early").await, Err(NotDone::Refused(Refusal::NotReady)));
    assert_eq!(world.connect().await, Ok(()));
    let mut messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");

    assert_eq!(world.publish("kf.V.in.U.x", "payload").await, Ok(()));

    // The server handles lines in order: what it confirmed is here.
    let delivery = messages.next().await.expect("a message");
    assert_eq!((delivery.subject.as_str(), &delivery.payload[..]), ("kf.V.in.U.x", &b"payload"[..]));
    let too_long = "x".repeat(2 << 20);
    assert_eq!(world.publish("kf.V.in.U.x", &too_long).await, Err(NotDone::Refused(Refusal::Invalid)));
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_not_connected_to() {
    let world = World::new(signed(), BROKER).await;

    assert_eq!(world.connect().await, Err(NotDone::Lost(Lost::Connection)));
    assert_eq!(*world.door.asked.lock().expect("no panic before"), []);
}

#[tokio::test]
async fn without_a_signature_there_is_no_connection() {
    let world = World::new(Ok(Answer::Unsigned(Unsigned::NotBootstrapped)), URI).await;
    assert_eq!(world.connect().await, Err(NotDone::Refused(Refusal::NotReady)));

    let world = World::new(Err(Unanswered::Busy), URI).await;
    assert_eq!(world.connect().await, Err(NotDone::Refused(Refusal::NotReady)));
}

#[tokio::test]
async fn a_cut_connection_is_told_and_comes_back_with_a_new_signature() {
    let mut world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));

    assert_eq!(world.publish("cut", "").await, Ok(()));

    world.hear(Link::Down).await;
    world.hear(Link::Up).await;
    assert_eq!(world.door.asked.lock().expect("no panic before").len(), 2);
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_the_old_one_and_no_message_is_lost_or_comes_twice() {
    const MESSAGES: usize = 400;
    let mut world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));
    let messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");
    let publish = async {
        for number in 0..MESSAGES {
            assert_eq!(world.publish("kf.V.in.U.x", &number.to_string()).await, Ok(()), "{number}");
        }
    };
    let renew = async {
        for _ in 0..5 {
            assert_eq!(world.connect().await, Ok(()));
        }
    };

    let (received, (), ()) = tokio::join!(payloads(messages, MESSAGES), publish, renew);

    let expected: Vec<_> = (0..MESSAGES).map(|number| Bytes::from(number.to_string())).collect();
    assert_eq!(received, expected);
    // The end of the old connection is not the end of the connection.
    while let Ok(link) = world.links.try_recv() {
        assert_eq!(link, Link::Up);
    }
}

/// The runtime did not read for a while, and reads everything at once.
#[tokio::test]
async fn a_backlog_is_carried_over_whole() {
    const MESSAGES: usize = 1_000;
    let world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));
    let messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");
    for number in 0..MESSAGES {
        assert_eq!(world.publish("kf.V.in.U.x", &number.to_string()).await, Ok(()), "{number}");
    }

    assert_eq!(world.connect().await, Ok(()));
    assert_eq!(world.publish("kf.V.in.U.x", "after").await, Ok(()));

    let received = payloads(messages, MESSAGES + 1).await;
    let before = (0..MESSAGES).map(|number| Bytes::from(number.to_string()));
    assert_eq!(received, before.chain([Bytes::from("after")]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_connection_that_does_not_last_takes_nothing_away() {
    let mut world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));
    let messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");

    world.everybody.cuts_subscribers.store(true, Ordering::Relaxed);
    assert_eq!(world.connect().await, Err(NotDone::Lost(Lost::Connection)));
    world.everybody.cuts_subscribers.store(false, Ordering::Relaxed);

    assert_eq!(world.publish("kf.V.in.U.x", "after").await, Ok(()));
    assert_eq!(payloads(messages, 1).await, ["after"]);
    while let Ok(link) = world.links.try_recv() {
        assert_eq!(link, Link::Up);
    }
}

#[tokio::test]
async fn a_subscription_goes_on_when_the_connection_was_lost_before_it_was_replaced() {
    let mut world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));
    let messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");
    assert_eq!(world.publish("cut", "").await, Ok(()));
    world.hear(Link::Down).await;

    assert_eq!(world.connect().await, Ok(()));

    assert_eq!(world.publish("kf.V.in.U.x", "after").await, Ok(()));
    assert_eq!(payloads(messages, 1).await, ["after"]);
}

/// Between the server and the client of the old connection there is still something when the new one stands.
#[tokio::test]
async fn what_the_old_connection_was_sent_is_waited_for() {
    let world = World::new(signed(), URI).await;
    assert_eq!(world.connect().await, Ok(()));
    let messages = world.nats.subscribe("kf.V.in.>".to_owned()).await.expect("subscribed");
    let first = world.everybody.first.write().await;
    world.everybody.deliver("MSG", "kf.V.in.U.x", b"4\r\nheld\r\n");
    let renew = async {
        let let_go = async {
            tokio::time::sleep(REPLACED_FOR / 4).await;
            drop(first);
        };
        let (connected, ()) = tokio::join!(world.connect(), let_go);
        assert_eq!(connected, Ok(()));
        assert_eq!(world.publish("kf.V.in.U.x", "after").await, Ok(()));
    };

    let (received, ()) = tokio::join!(payloads(messages, 2), renew);

    assert_eq!(received, ["held", "after"]);
}

#[tokio::test]
async fn a_connection_that_was_lost_and_replaced_is_given_up_with_its_key() {
    let mut world = World::new(signed(), URI).await;
    world.nats.pause = |attempt| Duration::from_millis(if attempt == 4 { 2_000 } else { 1 });
    assert_eq!(world.connect().await, Ok(()));
    let of_one = Arc::strong_count(&world.door);
    world.door.answer(Ok(Answer::Unsigned(Unsigned::NotBootstrapped)));
    assert_eq!(world.publish("cut", "").await, Ok(()));
    world.hear(Link::Down).await;
    while world.door.asked.lock().expect("no panic before").len() < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // It pauses for long before its fourth attempt, and meanwhile the other comes.
    world.door.answer(signed());
    assert_eq!(world.connect().await, Ok(()));
    assert!(Arc::strong_count(&world.door) > of_one, "both want something of the door");

    let given_up = async {
        while Arc::strong_count(&world.door) > of_one {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_up).await.expect("it ends");
    assert_eq!(
        world.door.asked.lock().expect("no panic before").len(),
        5,
        "no nonce is signed for it any more"
    );
    assert_eq!(world.publish("kf.V.in.U.x", "after").await, Ok(()));
}

/// The broker looks every minute, and connects anew if there is no connection.
#[test]
fn a_connection_is_given_up_after_the_broker_has_looked_and_within_minutes() {
    let pauses: Duration = (1..=RECONNECTS_MAX).map(reconnect_delay).sum();
    assert!((Duration::from_secs(60)..Duration::from_secs(130)).contains(&pauses), "{pauses:?}");
}

#[test]
fn the_pause_before_a_reconnect_doubles_to_its_limit() {
    assert_eq!(reconnect_delay(0), Duration::ZERO);
    assert_eq!(reconnect_delay(1), Duration::ZERO);
    for (attempt, whole_ms) in [(2, 100), (3, 200), (7, 3_200), (8, 4_000), (usize::MAX, 4_000)] {
        let (whole, delay) = (Duration::from_millis(whole_ms), reconnect_delay(attempt));
        assert!((whole / 2..=whole).contains(&delay), "{attempt}: {delay:?}");
    }
}

/// So many messages, of which none is long in coming.
async fn payloads(messages: BoxStream<'static, Delivery>, number: usize) -> Vec<Bytes> {
    let received = messages.take(number).map(|delivery| delivery.payload).collect();
    tokio::time::timeout(Duration::from_secs(10), received).await.expect("none is lost")
}

struct Scripted {
    answer: Mutex<Result<Answer, Unanswered>>,
    asked: Mutex<Vec<Ask>>,
}

impl Scripted {
    /// What it answers from now on.
    fn answer(&self, answer: Result<Answer, Unanswered>) {
        *self.answer.lock().expect("no panic before") = answer;
    }
}

impl BrokerDoor for Scripted {
    fn ask(
        &self,
        ask: Ask,
        _: Option<Zeroizing<Vec<u8>>>,
        _: Duration,
    ) -> BoxFuture<'static, Result<Answer, Unanswered>> {
        self.asked.lock().expect("no panic before").push(ask);
        let answer = self.answer.lock().expect("no panic before").clone();
        async move { answer }.boxed()
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

fn signed() -> Result<Answer, Unanswered> {
    Ok(Answer::Signed { jwt: "eyJ".to_owned(), signature: Signature([7; 64]) })
}

/// A client and its server.
struct World {
    authority: Authority,
    nats: Nats,
    door: Arc<Scripted>,
    links: mpsc::Receiver<Link>,
    /// What came in CONNECT lines.
    connects: mpsc::Receiver<serde_json::Value>,
    everybody: Everybody,
}

impl World {
    async fn new(answer: Result<Answer, Unanswered>, server_uri: &str) -> Self {
        let authority = Authority::new();
        let clients = ExpectedClient { ca: authority.pem(), spiffe: BROKER.to_owned() };
        let mut config =
            tls::server(&authority.issue(&[DNS], &[server_uri]), Some(&clients)).expect("usable");
        config.alpn_protocols.clear();
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", port.local_addr().expect("bound"));
        let (told, connects) = mpsc::channel(16);
        let everybody = Everybody::default();
        tokio::spawn(serve(port, TlsAcceptor::from(Arc::new(config)), told, everybody.clone()));
        let door = Arc::new(Scripted { answer: Mutex::new(answer), asked: Mutex::default() });
        let (sender, links) = mpsc::channel(16);
        let server = Server { url, expected: Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() } };
        let nats = Nats::new(server, door.clone(), sender);
        Self { authority, nats, door, links, connects, everybody }
    }

    async fn connect(&self) -> Result<(), NotDone> {
        let presentation = self.authority.issue(&[], &[BROKER]);
        self.nats.carry(NatsRequest::Connect { inbox_prefix: PREFIX.to_owned(), presentation }).await
    }

    /// Waits for one change; that the first connection stands may be told late.
    async fn hear(&mut self, expected: Link) {
        while self.links.recv().await.expect("the client lives") != expected {}
    }

    async fn publish(&self, subject: &str, payload: &str) -> Result<(), NotDone> {
        let payload = Zeroizing::new(payload.as_bytes().to_vec());
        self.nats.carry(NatsRequest::Publish { subject: subject.to_owned(), payload }).await
    }
}

type Lines = mpsc::UnboundedSender<Vec<u8>>;

/// The connection's number and the subscription's id, its subject, and where its messages go.
type Subscriptions = BTreeMap<(usize, String), (String, Lines)>;

/// What the connections of a server share.
#[derive(Clone, Default)]
struct Everybody {
    subscriptions: Arc<Mutex<Subscriptions>>,
    /// Whether whoever subscribes to messages is cut.
    cuts_subscribers: Arc<AtomicBool>,
    /// Held for writing, it keeps back whatever is sent to the first connection.
    first: Arc<RwLock<()>>,
}

impl Everybody {
    /// Sends lines that begin like this, each under the id of a subscription.
    fn deliver(&self, verb: &str, subject: &str, rest: &[u8]) {
        let all = self.subscriptions.lock().expect("no panic before");
        for ((_, id), (_, to)) in all.iter().filter(|(_, (pattern, _))| matches(pattern, subject)) {
            // Who is gone is forgotten by its own task.
            let _ = to.send([format!("{verb} {subject} {id} ").as_bytes(), rest].concat());
        }
    }
}

async fn serve(
    port: TcpListener,
    tls: TlsAcceptor,
    told: mpsc::Sender<serde_json::Value>,
    everybody: Everybody,
) {
    for number in 0.. {
        let Ok((stream, _)) = port.accept().await else { return };
        let (tls, told, everybody) = (tls.clone(), told.clone(), everybody.clone());
        tokio::spawn(async move {
            connection(number, stream, tls, told, &everybody).await;
            everybody.subscriptions.lock().expect("no panic before").retain(|(owner, _), _| *owner != number);
        });
    }
}

/// Speaks NATS until the client goes, or publishes to `cut` and has heard its echo.
async fn connection(
    number: usize,
    mut stream: TcpStream,
    tls: TlsAcceptor,
    told: mpsc::Sender<serde_json::Value>,
    everybody: &Everybody,
) -> Option<()> {
    let info = serde_json::json!({
        "server_id": "x", "server_name": "x", "version": "2.14.5", "go": "go", "proto": 1, "host": "127.0.0.1",
        "port": 4222, "headers": true, "max_payload": 1 << 20, "auth_required": true, "tls_required": true,
        "nonce": NONCE, "client_id": 1, "client_ip": "127.0.0.1",
    });
    stream.set_nodelay(true).ok()?;
    stream.write_all(format!("INFO {info}\r\n").as_bytes()).await.ok()?;
    let (read, mut write) = tokio::io::split(tls.accept(stream).await.ok()?);
    let (lines, mut to_write) = mpsc::unbounded_channel::<Vec<u8>>();
    let writing = async {
        while let Some(line) = to_write.recv().await {
            let _kept_back = if number == 0 { Some(everybody.first.read().await) } else { None };
            write.write_all(&line).await.ok()?;
            write.flush().await.ok()?;
        }
        Some(())
    };
    let reading = handle(number, BufReader::new(read), told, everybody, lines);
    tokio::select! {
        biased;
        _ = writing => None,
        ended = reading => ended,
    }
}

async fn handle(
    number: usize,
    mut read: impl AsyncBufReadExt + Unpin,
    told: mpsc::Sender<serde_json::Value>,
    everybody: &Everybody,
    lines: Lines,
) -> Option<()> {
    let mut cut = false;
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let all = || everybody.subscriptions.lock().expect("no panic before");
        let cuts_subscribers = everybody.cuts_subscribers.load(Ordering::Relaxed);
        match words.as_slice() {
            ["CONNECT", json] => told.send(serde_json::from_str(json).expect("JSON")).await.ok()?,
            ["PING"] => lines.send(b"PONG\r\n".to_vec()).ok()?,
            ["SUB", "kf.V.in.>", _] if cuts_subscribers => return None,
            ["SUB", subject, id] => {
                all().insert((number, (*id).to_owned()), ((*subject).to_owned(), lines.clone()));
            }
            ["UNSUB", id, ..] => drop(all().remove(&(number, (*id).to_owned()))),
            ["PUB" | "HPUB", subject, lengths @ ..] => {
                let length: usize = lengths.last().expect("a length").parse().expect("a length");
                let mut payload = vec![0; length + 2];
                read.read_exact(&mut payload).await.ok()?;
                let verb = if lengths.len() == 1 { "MSG" } else { "HMSG" };
                let lengths = format!("{}\r\n", lengths.join(" "));
                everybody.deliver(verb, subject, &[lengths.as_bytes(), &payload].concat());
                if cut {
                    // What was sent is written first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return None;
                }
                cut = *subject == "cut";
            }
            [] | ["PONG"] => {}
            other => panic!("this server does not speak {other:?}"),
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    pattern == subject || pattern.strip_suffix('>').is_some_and(|prefix| subject.starts_with(prefix))
}
