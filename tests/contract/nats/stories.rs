//! Who is admitted, and what the admitted may.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::Signer as _;
use kubefox_core::broker::{Answer, Ask, Call, Reply};
use kubefox_core::documents::jwt::MAX_PAYLOAD_BYTES;
use kubefox_core::documents::nkey::Prefix;
use kubefox_core::machine::Outcome;
use kubefox_core::names::TrustDomain;
use kubefox_core::nats;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::signature::Signature;
use kubefox_io::adapter::bootstrap::Context;
use kubefox_io::adapter::role::BrokerAdapter;
use kubefox_io::adapter::{Adapter as _, Encoded, Entropy, Slots as _};
use kubefox_io::exchange::{Request, Response};
use kubefox_io::keyring::Keyring;
use kubefox_io::shell::broker_server::{Asked, BrokerDoor};
use kubefox_io::shell::nats::{Nats, NotDone, Server};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::connection::{Connection, Server as Dialled};
use super::world::{ALICE, BOB, PLATFORM, SIGNER, World, genuine_jwt, key, masks, public, user_jwt};
use crate::cases::nats_row;
use crate::forge;
use crate::record::Record;

const KEY: Secret = Secret::Own(Own::ServingKey);
const PAYLOAD: Secret = Secret::Own(Own::Password);
/// The life of a JWT that is used before it ends and is waited out, in seconds: more than a busy machine takes for a
/// handshake, less than a line may take.
const BRIEF_S: i64 = 8;

pub(super) async fn tell(world: &World, address: &str, record: &mut Record) {
    record.begin("the broker's client connects");
    for (title, jwt, signer) in [
        ("as itself", genuine_jwt(ALICE), ALICE),
        ("with the key of another", genuine_jwt(ALICE), BOB),
        ("with an expired JWT", user_jwt(ALICE, (Prefix::Account, SIGNER), -10), ALICE),
        ("with a JWT by a stranger", user_jwt(ALICE, (Prefix::Account, 9), 3_600), ALICE),
    ] {
        let mut client = Client::new(world, address, jwt, signer);
        client.ask(title, &client.connect(), record).await;
    }
    record.begin("the broker's client publishes");
    publishes(world, address, record).await;
    record.begin("who is admitted");
    admitted(world, address, record).await;
    record.begin("what a user may");
    permitted(world, address, record).await;
    record.begin("what ends a connection");
    ended(world, address, record).await;
}

async fn publishes(world: &World, address: &str, record: &mut Record) {
    let mut client = Client::new(world, address, genuine_jwt(ALICE), ALICE);
    let (alice, bob) = (public(Prefix::User, ALICE), public(Prefix::User, BOB));
    let to_bob = format!("kf.{bob}.in.{alice}.x");
    client.slots.fill(PAYLOAD, Zeroizing::new(b"hello".to_vec()));
    client.ask("before it is connected", &publish(&to_bob), record).await;
    client.ask("as itself", &client.connect(), record).await;
    let mut inbox = open(world, address, &shown(BOB)).await.expect("TLS");
    inbox.say(&format!("SUB kf.{bob}.in.> 1\r\n")).await;
    heard(record, "nothing so far", &inbox.hear().await);
    client.ask("to another", &publish(&to_bob), record).await;
    heard(record, "the other hears", &inbox.hear().await);
    // That the server refused it is told later, to nobody in particular.
    client.ask("under another's name", &publish(&format!("kf.{bob}.in.{bob}.x")), record).await;
    heard(record, "the other hears", &inbox.hear().await);
    client.slots.fill(PAYLOAD, Zeroizing::new(vec![b'x'; MAX_PAYLOAD_BYTES as usize + 1]));
    client.ask("too much", &publish(&to_bob), record).await;
    heard(record, "the other hears", &inbox.hear().await);
}

async fn admitted(world: &World, address: &str, record: &mut Record) {
    let mut cases: BTreeMap<&str, Shown> = BTreeMap::from([
        ("as itself", shown(ALICE)),
        ("without a JWT", Shown { jwt: None, ..shown(ALICE) }),
        ("without a signature", Shown { signer: None, ..shown(ALICE) }),
        ("with another's JWT", Shown { jwt: Some(genuine_jwt(BOB)), ..shown(ALICE) }),
        ("with the signature of another nonce", Shown { signs_nonce: false, ..shown(ALICE) }),
        ("without a certificate", Shown { certificate: false, ..shown(ALICE) }),
    ]);
    let jwts = [
        ("expired", user_jwt(ALICE, (Prefix::Account, SIGNER), -10)),
        ("by a stranger", user_jwt(ALICE, (Prefix::Account, 9), 3_600)),
        ("by the operator", user_jwt(ALICE, (Prefix::Operator, 1), 3_600)),
        ("with a broken signature", forge::corrupted(&genuine_jwt(ALICE))),
        ("with permissions of its own", claiming(&json!({"pub": {"allow": [">"]}, "sub": {"allow": [">"]}}))),
        ("as a bearer's", claiming(&json!({"bearer_token": true}))),
        ("of another account", claiming(&json!({"issuer_account": public(Prefix::Account, 2).as_str()}))),
        ("of no account", claiming(&json!({"issuer_account": null}))),
        ("that is none", "nothing".to_owned()),
    ];
    for (title, jwt) in jwts {
        cases.insert(title, Shown { jwt: Some(jwt), ..shown(ALICE) });
    }
    for (title, shown) in cases {
        let lines = match open(world, address, &shown).await {
            Some(mut connection) => connection.hear().await,
            None => vec!["no TLS".to_owned()],
        };
        heard(record, title, &lines);
    }
}

async fn permitted(world: &World, address: &str, record: &mut Record) {
    let (alice, bob) = (public(Prefix::User, ALICE), public(Prefix::User, BOB));
    let mut connection = open(world, address, &shown(ALICE)).await.expect("TLS");
    let mut other = open(world, address, &shown(BOB)).await.expect("TLS");
    other.say(&format!("SUB kf.{bob}.in.> 1\r\n")).await;
    other.hear().await;
    let subscriptions = [
        format!("kf.{alice}.in.>"),
        format!("kf.{alice}.>"),
        format!("kf.{alice}.in._inbox.*"),
        format!("kf.{bob}.in.>"),
        format!("kf.{bob}.in._inbox.>"),
        "kf.*.in.>".to_owned(),
        "kf.>".to_owned(),
        ">".to_owned(),
        "*".to_owned(),
        "_INBOX.>".to_owned(),
        "$SYS.>".to_owned(),
        "kf..x".to_owned(),
    ];
    for (number, subject) in subscriptions.iter().enumerate() {
        connection.say(&format!("SUB {subject} {}\r\n", number + 10)).await;
        heard(record, &masks().shown(&json!(format!("subscribes to {subject}"))), &connection.hear().await);
        connection.say(&format!("UNSUB {}\r\n", number + 10)).await;
    }
    connection.say(&format!("SUB kf.{alice}.in.> group 50\r\n")).await;
    heard(record, "subscribes as one of a group", &connection.hear().await);
    let subjects = [
        format!("kf.{bob}.in.{alice}.x"),
        format!("kf.{bob}.in.{alice}.x.y"),
        format!("kf.{bob}.in.{alice}"),
        format!("kf.{bob}.in._inbox.random"),
        format!("kf.{bob}.in.{bob}.x"),
        format!("kf.{bob}.in.x"),
        format!("kf.{bob}.out.{alice}.x"),
        format!("kf.{alice}.in.{alice}.x"),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "_INBOX.x".to_owned(),
        "x".to_owned(),
        "kf.*.in.x".to_owned(),
    ];
    for subject in &subjects {
        connection.say(&format!("PUB {subject} 2\r\nhi\r\n")).await;
        heard(record, &masks().shown(&json!(format!("publishes to {subject}"))), &connection.hear().await);
        heard(record, "the other hears", &other.hear().await);
    }
    connection.say(&format!("PUB kf.{bob}.in.{alice}.ask kf.{alice}.in._inbox.r 1\r\n?\r\n")).await;
    heard(record, "asks", &connection.hear().await);
    heard(record, "the other hears", &other.hear().await);
    other.say(&format!("PUB kf.{alice}.in._inbox.r 1\r\n!\r\n")).await;
    heard(record, "the other answers", &other.hear().await);
    heard(record, "and hears", &connection.hear().await);
    connection.say(&format!("PUB kf.{bob}.in.{alice}.ask kf.{bob}.in._inbox.r 1\r\n?\r\n")).await;
    heard(record, "asks for an answer elsewhere", &connection.hear().await);
    heard(record, "the other hears", &other.hear().await);
}

async fn ended(world: &World, address: &str, record: &mut Record) {
    let (alice, bob) = (public(Prefix::User, ALICE), public(Prefix::User, BOB));
    let mut connection = open(world, address, &shown(ALICE)).await.expect("TLS");
    connection.say(&format!("PUB kf.{bob}.in.{alice}.x {}\r\n", MAX_PAYLOAD_BYTES + 1)).await;
    heard(record, "a payload beyond the limit", &connection.hear_to_the_end().await);
    let mut connection = open(world, address, &shown(ALICE)).await.expect("TLS");
    connection.say("NOTHING\r\n").await;
    heard(record, "a line that is none", &connection.hear_to_the_end().await);
    let mut connection = open(world, address, &shown(ALICE)).await.expect("TLS");
    connection.say(&format!("SUB kf.{alice}.in.{} 1\r\n", "x".repeat(5_000))).await;
    heard(record, "a line beyond the limit", &connection.hear_to_the_end().await);
    // The server takes it, and closes a moment later because such a user may not even subscribe.
    let by_account = Some(user_jwt(ALICE, (Prefix::Account, PLATFORM), 3_600));
    let mut connection = open(world, address, &Shown { jwt: by_account, ..shown(ALICE) }).await.expect("TLS");
    heard(record, "a JWT by the account itself", &connection.hear_to_the_end().await);
    let brief = user_jwt(ALICE, (Prefix::Account, SIGNER), BRIEF_S);
    let brief = Shown { jwt: Some(brief), ..shown(ALICE) };
    let mut connection = open(world, address, &brief).await.expect("TLS");
    heard(record, "a JWT that is about to expire", &connection.hear().await);
    heard(record, "and expires", &connection.hear_to_the_end().await);
}

/// What a client shows of itself.
struct Shown {
    jwt: Option<String>,
    /// Whose key signs, and whether it is the nonce that it signs.
    signer: Option<u8>,
    signs_nonce: bool,
    certificate: bool,
}

async fn open(world: &World, address: &str, shown: &Shown) -> Option<Connection> {
    let broker = world.broker();
    let certificate = shown.certificate.then_some(&broker);
    let server = Dialled { address, ca: &world.ca, expected: &World::server() };
    let sign = async |nonce: String| {
        let signed = if shown.signs_nonce { nonce } else { "another-nonce-0".to_owned() };
        shown.signer.map(|signer| key(signer).sign(signed.as_bytes()).to_bytes().to_vec())
    };
    Connection::open(&server, certificate, shown.jwt.as_deref(), sign).await
}

fn shown(user: u8) -> Shown {
    Shown { jwt: Some(genuine_jwt(user)), signer: Some(user), signs_nonce: true, certificate: true }
}

fn heard(record: &mut Record, title: &str, lines: &[String]) {
    let mut masks = masks();
    // Every message of the product's client has a number of its own.
    for number in lines.iter().filter_map(|line| line.strip_prefix("Nats-Msg-Id: ")) {
        masks.mask(number, "NUMBER");
    }
    record.case("lines", title, masks.shown(&json!(lines)));
}

fn publish(subject: &str) -> nats::Call {
    nats::Call::Publish { subject: subject.to_owned(), payload: PAYLOAD }
}

/// Alice's genuine JWT with members of `nats` replaced, signed by the scoped key again.
fn claiming(more: &Value) -> String {
    let change = |claims: &mut Value| {
        let nats = claims["nats"].as_object_mut().expect("an object");
        nats.extend(more.as_object().expect("an object").clone());
        nats.retain(|_, value| !value.is_null());
    };
    forge::resigned(&genuine_jwt(ALICE), change, |signed| key(SIGNER).sign(signed).to_bytes())
}

/// The broker's adapter over the production client.
struct Client {
    nats: Nats,
    slots: Keyring,
    connect: nats::Call,
}

impl Client {
    fn new(world: &World, address: &str, jwt: String, signer: u8) -> Self {
        let server = Server { url: format!("nats://{address}"), expected: World::server() };
        // Nobody listens to the links: that they come and go is the embedded server's own tests' matter.
        let (links, _) = tokio::sync::mpsc::channel(64);
        let broker = world.broker();
        let mut slots = Keyring::default();
        slots.fill(KEY, broker.key);
        let user = public(Prefix::User, ALICE);
        let connect = nats::Call::Connect { user, ca: broker.ca, leaf: broker.leaf, key: KEY };
        Self { nats: Nats::new(server, Arc::new(Signs { jwt, signer }), links), slots, connect }
    }

    fn connect(&self) -> nats::Call {
        self.connect.clone()
    }

    async fn ask(&mut self, title: &str, call: &nats::Call, record: &mut Record) {
        let row = nats_row(call);
        let call = Call::Nats(call.clone());
        let encoded =
            adapter().encode(&call, &mut self.slots, &mut NoEntropy).expect("every secret is there");
        let Encoded::Request(request) = encoded else { unreachable!("it leaves the process") };
        let Request::Nats(request) = *request else { unreachable!("it goes to NATS") };
        let response = match self.nats.carry(request).await {
            Ok(()) => Response::Nats(Ok(())),
            Err(NotDone::Refused(refusal)) => Response::Nats(Err(refusal)),
            Err(NotDone::Lost(lost)) => {
                return record.case(row, title, shown_outcome(&Outcome::Unknown(lost)));
            }
        };
        let outcome = adapter().decode(&call, response, &mut self.slots);
        record.case(row, title, shown_outcome(&outcome));
    }
}

fn adapter() -> BrokerAdapter {
    let trust_domain = TrustDomain::parse("cluster.local").expect("a trust domain");
    BrokerAdapter { bootstrap: Context { trust_domain } }
}

fn shown_outcome(outcome: &Outcome<Reply>) -> String {
    serde_json::to_string(outcome).expect("the contract's types are data")
}

/// A broker that shows one JWT and signs every nonce.
struct Signs {
    jwt: String,
    signer: u8,
}

impl BrokerDoor for Signs {
    fn ask(
        &self,
        ask: Ask,
        _payload: Option<Zeroizing<Vec<u8>>>,
        _within: Duration,
    ) -> Pin<Box<dyn Future<Output = Asked> + Send>> {
        let Ask::SignNonce { nonce } = ask else { unreachable!("the client asks for signatures alone") };
        let signature = key(self.signer).sign(nonce.as_str().as_bytes()).to_bytes();
        let answer = Answer::Signed { jwt: self.jwt.clone(), signature: Signature(signature) };
        Box::pin(async move { Ok(answer) })
    }

    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// Encoding a request to NATS draws nothing.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, _bytes: &mut [u8]) {
        unreachable!("no request to NATS holds anything random")
    }
}
