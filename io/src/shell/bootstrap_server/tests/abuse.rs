//! Clients that mean no good, or are broken: the server stays within its limits, says no where it can, and everybody
//! else is served meanwhile.

use std::future::poll_fn;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use kubefox_proto::bootstrap::v1::bootstrap_client::BootstrapClient as Client;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::*;
use crate::shell::connector::{Connector, Target};
use crate::shell::listener::HEADERS_BYTES_MAX;
use crate::shell::tls;

/// Those that connect and say nothing.
const SILENT: u64 = 10_000;
/// File descriptors of everything else in this process: other tests run beside this one.
const OTHER_DESCRIPTORS: u64 = 4_000;
/// Somebody who is served at all is served within this time, whatever the others do.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_that_say_nothing_lock_nobody_out() {
    // Both ends of each connection are here; of the server's at most `LIMITS.connections` are open at once.
    let needed = SILENT + LIMITS.connections as u64 + OTHER_DESCRIPTORS;
    let open_max = open_as_many_as_allowed();
    assert!(
        open_max >= needed,
        "raise the hard limit of open files from {open_max} to {needed}: `ulimit -Hn`"
    );
    let world = World::new(Script::Answer).await;
    let address: SocketAddr = world.address.parse().expect("an address");

    let mut silent = Vec::new();
    let mut slowest = Duration::ZERO;
    for count in 0..SILENT {
        silent.push(TcpStream::connect(address).await.expect("it is accepted, if only to be dropped"));
        if count % 1_000 == 999 {
            let asked = Instant::now();
            // Each time somebody who was never there before.
            let answer = see(world.client().carry(&world.authority.pem(), sign(TOKEN, NONCE), LONG).await);
            assert_eq!(answer, Seen::Answer("signature".to_owned()), "beside {count} silent ones");
            slowest = slowest.max(asked.elapsed());
        }
    }
    writeln!(
        std::io::stderr(),
        "{SILENT} silent connections, {open_max} open files allowed, slowest answer {slowest:?}"
    )
    .expect("stderr is open");

    assert!(slowest < SOON, "{slowest:?}");
    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));
}

#[tokio::test]
async fn connections_that_say_nothing_after_their_handshake_make_room_too() {
    let limits = Limits { connections: 8, ..LIMITS };
    let world = World::limited(Script::Answer, limits).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(handshake(&world).await);
    }

    let answer = world.call(sign(TOKEN, NONCE)).await;

    assert_eq!(answer, Seen::Answer("signature".to_owned()));
}

#[tokio::test]
async fn a_flood_of_metadata_is_refused_and_reaches_nobody() {
    let world = World::new(Script::Answer).await;
    let long = "x".repeat(HEADERS_BYTES_MAX as usize);
    let many: Vec<(String, String)> = (0..2_000).map(|n| (format!("x-{n}"), "y".to_owned())).collect();
    for (flood, code, words) in [
        (vec![("x-long".to_owned(), long)], Code::Unknown, "HTTP status code 431"),
        // So many that the connection itself is ended.
        (many, Code::ResourceExhausted, "ENHANCE_YOUR_CALM"),
    ] {
        let mut client = Client::new(world.channel(None));
        let message = proto::SignNonceRequest { token: TOKEN.to_owned(), nonce: NONCE.to_owned() };
        let mut request = Request::new(message);
        for (name, value) in flood {
            let name: MetadataKey<Ascii> = name.parse().expect("a name");
            request.metadata_mut().insert(name, value.parse().expect("ASCII"));
        }

        let refused = tokio::time::timeout(SOON, client.sign_nonce(request)).await.expect("soon");

        let refused = refused.map(|_| ()).expect_err("it is too much");
        assert_eq!(refused.code(), code, "{refused:?}");
        let said = format!("{refused:?}");
        assert!(said.contains(words), "{said}");
        assert_eq!(world.asked(), []);
    }
    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_and_holds_up_nobody() {
    // Long enough for all its questions to arrive on a busy machine.
    let age = Age { asked: Duration::from_secs(2), cut: Duration::from_millis(300) };
    let world = World::limited(Script::Answer, Limits { age: Some(age), ..LIMITS }).await;
    // It lets no byte of any answer's body in, and answers every probe of the connection.
    let deaf = Client::new(world.channel(Some(0)));
    let message = proto::SignNonceRequest { token: TOKEN.to_owned(), nonce: NONCE.to_owned() };
    let calls = (0..LIMITS.streams).map(|_| {
        let (mut deaf, message) = (deaf.clone(), message.clone());
        tokio::spawn(async move { deaf.sign_nonce(message).await })
    });
    let calls: Vec<_> = calls.collect();
    let all_asked = async {
        while world.asked().len() < LIMITS.streams as usize {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, all_asked).await.expect("its connection may ask for that long");

    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));
    for call in calls {
        let ended = tokio::time::timeout(SOON, call).await.expect("its connection is cut").expect("no panic");
        assert!(ended.is_err(), "it never let the answer in");
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_is_cut_and_holds_up_nobody() {
    let age = Age { asked: Duration::from_millis(500), cut: Duration::from_millis(500) };
    let world = World::limited(Script::Answer, Limits { age: Some(age), ..LIMITS }).await;
    // A message of 4 KiB, byte by byte: half a minute.
    let head = stream::iter([Bytes::from_static(&[0, 0, 0, 16, 0])]);
    let bytes = head.chain(stream::repeat(Bytes::from_static(&[0]))).then(async |bytes| {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok::<_, Status>(Frame::data(bytes))
    });
    let request = http::Request::post("/kubefox.bootstrap.v1.Bootstrap/SignNonce")
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(bytes)))
        .expect("a request");
    let mut slow = world.channel(None);
    poll_fn(|context| Service::poll_ready(&mut slow, context)).await.expect("it connects");
    let endless = tokio::spawn(slow.call(request));

    assert_eq!(world.call(sign(TOKEN, NONCE)).await, Seen::Answer("signature".to_owned()));
    let ended = tokio::time::timeout(SOON, endless).await.expect("its connection is cut").expect("no panic");
    assert!(ended.is_err(), "it never said what it wants");
    assert_eq!(world.asked().len(), 1, "nobody else was asked for");
}

#[tokio::test]
async fn whoever_allows_no_time_is_not_waited_for() {
    let world = World::new(Script::AnswerLate).await;
    let mut client = Client::new(world.channel(None));
    let message = proto::SignNonceRequest { token: TOKEN.to_owned(), nonce: NONCE.to_owned() };
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(1));

    let late = client.sign_nonce(request).await.map(|_| ()).expect_err("the answer comes later");

    assert!(matches!(late.code(), Code::Cancelled | Code::DeadlineExceeded), "{late:?}");
}

/// Raises the soft limit of open files to the hard one, and answers that.
fn open_as_many_as_allowed() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit anybody may");
    maximum.unwrap_or(u64::MAX)
}

/// A client that has done its handshake and says nothing.
async fn handshake(world: &World) -> tokio_rustls::client::TlsStream<TcpStream> {
    let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
    let mut config = tls::client(&world.authority.pem(), None, &expected).expect("usable");
    config.alpn_protocols = vec![tls::ALPN_H2.to_vec()];
    let stream = TcpStream::connect(&world.address).await.expect("it listens");
    let name = tls::server_name(DNS).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("it has a place")
}

impl World {
    async fn limited(script: Script, limits: Limits) -> Self {
        Self::with(script, URI, limits).await
    }

    /// A channel of the library's own, with this window for each answer.
    fn channel(&self, window: Option<u32>) -> Channel {
        let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
        let mut config = tls::client(&self.authority.pem(), None, &expected).expect("usable");
        config.alpn_protocols = vec![tls::ALPN_H2.to_vec()];
        let address: SocketAddr = self.address.parse().expect("an address");
        let name = tls::server_name(DNS).expect("a name");
        let (host, port) = (address.ip().to_string(), address.port());
        let target = Target::Tls { host, port, name, config: Arc::new(config) };
        let endpoint = Endpoint::from_shared(format!("https://{DNS}:{port}")).expect("a URL");
        endpoint
            .initial_stream_window_size(window)
            .connect_with_connector_lazy(Connector::new(Arc::new(Real), target))
    }
}
