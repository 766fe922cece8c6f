//! Conversations with the whole server, as its clients see them.

use super::minting::{Key, Platform};
use super::*;
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

const START: Unix = Unix(1_000);
const LATER: Unix = Unix(1_001);

#[test]
fn a_connection_begins_with_info_and_a_nonce_of_its_own() {
    let (mut one, mut same) = (server(&Platform::new()), server(&Platform::new()));

    let infos = [one.connect(START).1, one.connect(START).1, same.connect(START).1].map(|line| info(&line));

    let nonces = infos.clone().map(|info| info["nonce"].as_str().expect("a nonce").to_owned());
    assert_eq!(BASE64URL_NOPAD.decode(nonces[0].as_bytes()).expect("base64url").len(), NONCE_BYTES);
    assert_eq!(nonces[0].len(), 15);
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(infos[0], infos[2], "the same seed says the same");
    let first = &infos[0];
    assert_eq!(first["version"], "2.14.5-fake");
    assert_eq!(
        (&first["proto"], &first["headers"], &first["auth_required"]),
        (&json!(1), &json!(true), &json!(true))
    );
    assert_eq!((&first["max_payload"], &first["client_id"]), (&json!(1 << 20), &json!(1)));
    assert_eq!(first.get("tls_required"), None);
}

#[test]
fn two_users_exchange_a_message() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user(10), world.user(11));
    world.say(b.id, &format!("SUB kf.{}.in.> 7\r\n", b.key));

    let heard = world.say(a.id, &format!("PUB kf.{}.in.{}.hello 2\r\nhi\r\n", b.key, a.key));

    let message = format!("MSG kf.{}.in.{}.hello 7 2\r\nhi\r\n", b.key, a.key);
    assert_eq!(heard, [sent(b.id, &message)]);
}

#[test]
fn a_request_is_answered_into_the_inbox() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user(10), world.user(11));
    let inbox = format!("kf.{}.in._inbox.1", a.key);
    let request = format!("kf.{}.in.{}.ask", b.key, a.key);
    world.say(a.id, &format!("SUB kf.{}.in._inbox.> 1\r\n", a.key));
    world.say(b.id, &format!("SUB kf.{}.in.> 1\r\n", b.key));

    let asked = world.say(a.id, &format!("PUB {request} {inbox} 1\r\n?\r\n"));
    let answered = world.say(b.id, &format!("PUB {inbox} 1\r\n!\r\n"));

    assert_eq!(asked, [sent(b.id, &format!("MSG {request} 1 {inbox} 1\r\n?\r\n"))]);
    assert_eq!(answered, [sent(a.id, &format!("MSG {inbox} 1 1\r\n!\r\n"))]);
}

#[test]
fn nobody_speaks_or_listens_as_another() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user(10), world.user(11));
    let publish = |subject: String| (format!("PUB {subject} 1\r\nx\r\n"), violation("Publish", &subject));
    let subscribe = |subject: String| (format!("SUB {subject} 1\r\n"), violation("Subscription", &subject));
    let refused = [
        publish(format!("kf.{}.in.{}.x", b.key, b.key)),
        publish(format!("kf.{}.in.x", b.key)),
        publish(format!("kf.{}.private", a.key)),
        publish("_INBOX.x".to_owned()),
        publish("$SYS.REQ.USER.INFO".to_owned()),
        publish("$JS.API.INFO".to_owned()),
        subscribe(format!("kf.{}.>", b.key)),
        subscribe(format!("kf.{}", a.key)),
        subscribe("kf.*.in.>".to_owned()),
        subscribe("kf.>".to_owned()),
        subscribe(">".to_owned()),
        subscribe("*.*.>".to_owned()),
        subscribe("_INBOX.>".to_owned()),
        subscribe("$SYS.>".to_owned()),
    ];

    for (line, error) in refused {
        assert_eq!(world.say(a.id, &line), [sent(a.id, &error)], "{line}");
    }
    let group = world.say(a.id, &format!("SUB kf.{}.in.> group 1\r\n", b.key));
    let text = format!(
        "-ERR 'Permissions Violation for Subscription to \"kf.{}.in.>\" using queue \"group\"'\r\n",
        b.key
    );
    assert_eq!(group, [sent(a.id, &text)]);
    assert_eq!(world.say(a.id, "PING\r\n"), [sent(a.id, "PONG\r\n")], "the connection lives on");
}

#[test]
fn headers_reach_those_who_can_read_them() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user(10), world.user_with(11, json!({"headers": false, "no_responders": false})));
    for client in [&a, &b] {
        world.say(client.id, &format!("SUB kf.{}.in.> 1\r\n", client.key));
    }
    let headers = "NATS/1.0\r\nk: v\r\n\r\n";
    let published = |to: &str| {
        format!(
            "HPUB kf.{to}.in.{} {} {}\r\n{headers}hi\r\n",
            format_args!("{}.x", a.key),
            headers.len(),
            headers.len() + 2
        )
    };

    let to_self = world.say(a.id, &published(&a.key));
    let to_other = world.say(a.id, &published(&b.key));

    let subject = |to: &str| format!("kf.{to}.in.{}.x", a.key);
    assert_eq!(to_self, [sent(a.id, &format!("HMSG {} 1 18 20\r\n{headers}hi\r\n", subject(&a.key)))]);
    assert_eq!(to_other, [sent(b.id, &format!("MSG {} 1 2\r\nhi\r\n", subject(&b.key)))]);
}

#[test]
fn a_requester_learns_that_nobody_listens() {
    let mut world = World::new(Platform::new());
    let a = world.user(10);
    let (subject, inbox) = (format!("kf.UB.in.{}.x", a.key), format!("kf.{}.in._inbox.1", a.key));
    world.say(a.id, &format!("SUB kf.{}.in._inbox.> 9\r\n", a.key));

    let heard = world.say(a.id, &format!("PUB {subject} {inbox} 0\r\n\r\n"));

    let size = 32 + subject.len();
    let status =
        format!("HMSG {inbox} 9 {size} {size}\r\nNATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n\r\n");
    assert_eq!(heard, [sent(a.id, &status)]);
}

#[test]
fn a_queue_group_shares_and_a_limited_subscription_ends() {
    let mut world = World::new(Platform::new());
    let a = world.user(10);
    let (own, subject) = (format!("kf.{}.in.>", a.key), format!("kf.{}.in.{}.x", a.key, a.key));
    world.say(a.id, &format!("SUB {own} group 1\r\nSUB {own} group 2\r\nSUB {own} 3\r\nUNSUB 3 2\r\n"));
    let publish = format!("PUB {subject} 0\r\n\r\n");

    let heard: Vec<Vec<Delivery>> = (0..3).map(|_| world.say(a.id, &publish)).collect();

    let message = |sid: u8| sent(a.id, &format!("MSG {subject} {sid} 0\r\n\r\n"));
    assert_eq!(heard[0], [message(3), message(1)]);
    assert_eq!(heard[1], [message(3), message(2)]);
    assert_eq!(heard[2], [message(1)], "two messages were all that 3 wanted");
}

#[test]
fn a_client_hears_itself_only_if_it_wants_to() {
    let mut world = World::new(Platform::new());
    let a = world.user_with(10, json!({"echo": false}));
    world.say(a.id, &format!("SUB kf.{}.in.> 1\r\n", a.key));

    let heard = world.say(a.id, &format!("PUB kf.{}.in.{}.x 0\r\n\r\n", a.key, a.key));

    assert_eq!(heard, []);
}

#[test]
fn a_verbose_client_gets_its_confirmations() {
    let mut world = World::new(Platform::new());
    let a = world.user_with(10, json!({"verbose": true}));

    let heard =
        world.say(a.id, &format!("SUB kf.{}.in.> 1\r\nUNSUB 1\r\nPUB kf.UB.in.{}.x 0\r\n\r\n", a.key, a.key));

    let ok = sent(a.id, "+OK\r\n");
    assert_eq!(heard, [ok.clone(), ok.clone(), ok]);
}

#[test]
fn the_first_ping_also_tells_who_one_is() {
    let mut world = World::new(Platform::new());
    let account = world.platform.platform.public();
    let a = world.user_with(10, json!({"protocol": 1}));

    let first = world.say(a.id, "PING\r\n");
    let second = world.say(a.id, "PING\r\n");

    let [Delivery::Send { bytes: pong, .. }, Delivery::Send { bytes: line, .. }] = first.as_slice() else {
        panic!("PONG and INFO: {first:?}");
    };
    assert_eq!(pong, b"PONG\r\n");
    let info = info(line);
    assert_eq!((&info["connect_info"], &info["remote_account"]), (&json!(true), &json!(account)));
    assert_eq!(second, [sent(a.id, "PONG\r\n")]);
}

#[test]
fn a_wrong_connect_is_an_authorization_violation_whatever_the_reason() {
    let mut world = World::new(Platform::new());
    let (user, id) = (Key::user(10), world.connect().0);
    let token = world.platform.user_jwt(&user, 0);

    let heard = world.say(id, &connect(&token, &user.signature("another nonce00"), json!({})));

    let reason = CloseReason::Authorization(Refusal::Signature);
    assert_eq!(heard, closed(id, "Authorization Violation", reason));
    assert_eq!(world.say(id, "PING\r\n"), [], "it is gone");
}

#[test]
fn nobody_connects_to_the_system_account() {
    let mut world = World::new(Platform::new());
    let (user, (id, nonce)) = (Key::user(10), world.connect());
    let nats = json!({"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2});
    let token = minting::jwt(&world.platform.system, &user, json!({}), &nats);

    let heard = world.say(id, &connect(&token, &user.signature(&nonce), json!({})));

    let text = "maximum account active connections exceeded";
    assert_eq!(heard, closed(id, text, CloseReason::AccountConnections));
}

#[test]
fn an_account_has_the_connections_and_a_user_the_subscriptions_it_may_have() {
    let mut platform = Platform::new();
    platform.limits["conn"] = json!(1);
    platform.template["subs"] = json!(1);
    let mut world = World::new(platform);
    let a = world.user(10);
    let (user, (id, nonce)) = (Key::user(11), world.connect());
    let token = world.platform.user_jwt(&user, 0);

    let second = world.say(id, &connect(&token, &user.signature(&nonce), json!({})));
    let subscriptions = world.say(a.id, &format!("SUB kf.{0}.a 1\r\nSUB kf.{0}.b 2\r\n", a.key));

    let text = "maximum account active connections exceeded";
    assert_eq!(second, closed(id, text, CloseReason::AccountConnections));
    assert_eq!(subscriptions, [sent(a.id, "-ERR 'maximum subscriptions exceeded'\r\n")]);
}

#[test]
fn payload_is_limited_by_the_template_and_ends_the_connection() {
    let mut platform = Platform::new();
    platform.template["payload"] = json!(10);
    let mut world = World::new(platform);
    let a = world.user(10);

    let heard = world.say(a.id, &format!("PUB kf.UB.in.{}.x 11\r\n", a.key));

    assert_eq!(heard, closed(a.id, "Maximum Payload Violation", CloseReason::Payload));
}

#[test]
fn a_user_is_closed_when_its_jwt_expires_even_if_nobody_ticks() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user_until(10, LATER), world.user_until(11, LATER));
    let mut fork = world.server.clone();

    let ticked = world.server.tick(LATER);
    let surprised = fork.receive(LATER, a.id, b"PING\r\n");

    let expired = |id| closed(id, "User Authentication Expired", CloseReason::UserExpired);
    let both: Vec<Delivery> = [expired(a.id), expired(b.id)].concat();
    assert_eq!((&ticked, &surprised), (&both, &both));
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_client_that_sends_no_connect_is_closed_in_time() {
    let mut world = World::new(Platform::new());
    let id = world.connect().0;
    assert_eq!(world.server.poll_timeout(), Some(Unix(START.0 + 6)));
    world.server.secured(Unix(START.0 + 3), id);

    let early = world.server.tick(Unix(START.0 + 8));
    let late = world.server.tick(Unix(START.0 + 9));

    assert_eq!(early, []);
    assert_eq!(late, closed(id, "Authentication Timeout", CloseReason::AuthenticationTimeout));
}

#[test]
fn a_client_that_answers_no_ping_is_stale() {
    let mut world = World::new(Platform::new());
    let (silent, alive) = (world.user(10), world.user(11));
    let mut heard = Vec::new();
    while world.server.connections() == 2 {
        let due = world.server.poll_timeout().expect("pings are always due");
        heard.push((due.0 - START.0, world.server.tick(due)));
        assert_eq!(world.server.receive(due, alive.id, b"PONG\r\n"), []);
    }

    let pings = [sent(silent.id, "PING\r\n"), sent(alive.id, "PING\r\n")].to_vec();
    let mut last = closed(silent.id, "Stale Connection", CloseReason::Stale);
    last.push(sent(alive.id, "PING\r\n"));
    let first = 2;
    let expected =
        [(first, pings.clone()), (first + PING_INTERVAL_S, pings), (first + 2 * PING_INTERVAL_S, last)];
    assert_eq!(heard, expected);
}

#[test]
fn what_is_no_subject_is_refused_and_the_connection_lives() {
    let mut world = World::new(Platform::new());
    let a = world.user_with(10, json!({"pedantic": true}));
    let wild = format!("kf.*.in.{}.x", a.key);

    let inside = world.say(a.id, &format!("SUB kf.{}.>.x 1\r\n", a.key));
    let outside = world.say(a.id, "SUB a..b 1\r\n");
    let published = world.say(a.id, &format!("PUB {wild} 0\r\n\r\n"));

    assert_eq!(inside, [sent(a.id, "-ERR 'Invalid Subject'\r\n")]);
    assert_eq!(outside, [sent(a.id, &violation("Subscription", "a..b"))]);
    assert_eq!(published, [sent(a.id, "-ERR 'Invalid Publish Subject'\r\n")]);
}

#[test]
fn a_connect_that_is_no_json_object_just_ends() {
    let mut world = World::new(Platform::new());

    for options in ["{", "[]", "", "{\"verbose\": 1}"] {
        let id = world.connect().0;
        let end = Delivery::Close { connection: id, reason: CloseReason::ConnectJson };
        assert_eq!(world.say(id, &format!("CONNECT {options}\r\n")), [end], "{options:?}");
    }
}

#[test]
fn what_the_fake_does_not_do_it_says() {
    let mut platform = Platform::new();
    platform.template["pub"] = json!({"allow": [">"]});
    let mut world = World::new(platform);
    let (a, b) = (world.user(10), world.user(11));

    let system = world.say(a.id, "PUB $SYS.REQ.USER.INFO 0\r\n\r\n");
    let again = world.say(b.id, "CONNECT {}\r\n");

    let text = "Not Implemented By This Fake: JetStream and system services";
    let reason = CloseReason::NotImplemented("JetStream and system services");
    assert_eq!(system, closed(a.id, text, reason));
    let reason = CloseReason::NotImplemented("a second CONNECT");
    assert_eq!(again, closed(b.id, "Not Implemented By This Fake: a second CONNECT", reason));
}

#[test]
fn accounts_do_not_hear_each_other() {
    let mut world = World::new(Platform { system_connections: -1, ..Platform::new() });
    let anything = json!({
        "pub": {"allow": [">"]}, "sub": {"allow": [">"]}, "subs": -1, "data": -1, "payload": -1, "type": "user",
        "version": 2,
    });
    let (a, b, c) = (Key::user(10), Key::user(11), Key::user(12));
    let a_jwt = minting::jwt(&world.platform.platform, &a, json!({}), &anything);
    let b_jwt = minting::jwt(&world.platform.platform, &b, json!({}), &anything);
    let c_jwt = minting::jwt(&world.platform.system, &c, json!({}), &anything);
    let [a, b, c] = [(a, a_jwt), (b, b_jwt), (c, c_jwt)].map(|(key, jwt)| world.enter(&key, &jwt, json!({})));
    for client in [&b, &c] {
        world.say(client.id, "SUB > 1\r\n");
    }

    let heard = world.say(a.id, "PUB x 0\r\n\r\n");

    assert_eq!(heard, [sent(b.id, "MSG x 1 0\r\n\r\n")]);
}

#[test]
fn who_has_left_hears_nothing() {
    let mut world = World::new(Platform::new());
    let (a, b) = (world.user(10), world.user(11));
    world.say(b.id, &format!("SUB kf.{}.in.> 1\r\n", b.key));
    assert_eq!(world.server.user(b.id), Some(b.key.as_str()));

    world.server.disconnect(b.id);

    let heard = world.say(a.id, &format!("PUB kf.{}.in.{}.x 0\r\n\r\n", b.key, a.key));
    assert_eq!((heard, world.say(b.id, "PING\r\n")), (vec![], vec![]));
    assert_eq!((world.server.user(b.id), world.server.connections()), (None, 1));
}

struct World {
    platform: Platform,
    server: Server,
}

/// A connected user.
struct Client {
    id: ConnectionId,
    key: String,
}

impl World {
    fn new(platform: Platform) -> Self {
        Self { server: server(&platform), platform }
    }

    fn connect(&mut self) -> (ConnectionId, String) {
        let (id, line) = self.server.connect(START);
        (id, info(&line)["nonce"].as_str().expect("a nonce").to_owned())
    }

    fn user(&mut self, number: u8) -> Client {
        self.user_with(number, json!({}))
    }

    fn user_with(&mut self, number: u8, options: Value) -> Client {
        self.connected(number, 0, options)
    }

    fn user_until(&mut self, number: u8, expires: Unix) -> Client {
        self.connected(number, expires.0, json!({}))
    }

    fn connected(&mut self, number: u8, expires: u64, options: Value) -> Client {
        let user = Key::user(number);
        let token = self.platform.user_jwt(&user, expires);
        self.enter(&user, &token, options)
    }

    fn enter(&mut self, user: &Key, token: &str, options: Value) -> Client {
        let (id, nonce) = self.connect();
        let verbose = options["verbose"] == json!(true);
        let heard = self.say(id, &connect(token, &user.signature(&nonce), options));
        assert_eq!(heard, if verbose { vec![sent(id, "+OK\r\n")] } else { vec![] });
        Client { id, key: user.public() }
    }

    fn say(&mut self, id: ConnectionId, text: &str) -> Vec<Delivery> {
        self.server.receive(START, id, text.as_bytes())
    }
}

fn server(platform: &Platform) -> Server {
    Server::new(Configuration::parse(&platform.nats_conf()).expect("starts"), Seed([7; 32]))
}

fn connect(jwt: &str, sig: &str, options: Value) -> String {
    let mut connect = json!({
        "jwt": jwt, "sig": sig, "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
        "protocol": 0, "lang": "test", "version": "0",
    });
    let object = connect.as_object_mut().expect("an object");
    object.extend(options.as_object().expect("an object").clone());
    format!("CONNECT {connect}\r\n")
}

fn info(line: &[u8]) -> Value {
    let text = str::from_utf8(line).expect("text");
    let json = text.strip_prefix("INFO ").and_then(|rest| rest.strip_suffix("\r\n")).expect("an INFO line");
    serde_json::from_str(json).expect("JSON")
}

fn sent(to: ConnectionId, text: &str) -> Delivery {
    Delivery::Send { to, bytes: text.as_bytes().to_vec() }
}

fn closed(id: ConnectionId, text: &str, reason: CloseReason) -> Vec<Delivery> {
    vec![sent(id, &format!("-ERR '{text}'\r\n")), Delivery::Close { connection: id, reason }]
}

fn violation(of: &str, subject: &str) -> String {
    format!("-ERR 'Permissions Violation for {of} to \"{subject}\"'\r\n")
}
