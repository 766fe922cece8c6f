//! The real async-nats client against the served fake.

use super::*;
use crate::fake::nats::minting::{Key, Platform};
use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const TLS: &str = "tls {\n cert_file: \"tls.crt\"\n key_file: \"tls.key\"\n ca_file: \"ca.crt\"\n verify: true\n \
                   timeout: 5\n min_version: \"1.3\"\n}";
const SERVER_NAME: &str = "nats.kubefox.svc";

#[tokio::test]
async fn two_real_clients_exchange_a_message_with_headers_over_mutual_tls() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let (a, b) = (Key::user(10).public(), Key::user(11).public());
    let (alice, _) = place.connect(&served, 10).await.expect("admitted");
    let (bob, _) = place.connect(&served, 11).await.expect("admitted");
    let mut inbox = bob.subscribe(format!("kf.{b}.in.>")).await.expect("subscribes");
    bob.flush().await.expect("the server confirms");

    let mut headers = async_nats::HeaderMap::new();
    headers.insert("kf-kind", "greeting");
    let subject = format!("kf.{b}.in.{a}.hello");
    alice.publish_with_headers(subject.clone(), headers.clone(), "hi".into()).await.expect("publishes");
    alice.flush().await.expect("the server confirms");

    let message = inbox.next().await.expect("a message");
    assert_eq!((message.subject.as_str(), &message.payload[..]), (subject.as_str(), &b"hi"[..]));
    assert_eq!(message.headers, Some(headers));
}

#[tokio::test]
async fn a_request_is_answered_into_the_inbox_of_the_requester() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let (a, b) = (Key::user(10).public(), Key::user(11).public());
    let (alice, _) = place.connect(&served, 10).await.expect("admitted");
    let (bob, _) = place.connect(&served, 11).await.expect("admitted");
    let mut requests = bob.subscribe(format!("kf.{b}.in.>")).await.expect("subscribes");
    bob.flush().await.expect("the server confirms");
    let subject = format!("kf.{b}.in.{a}.ask");
    let answering = async {
        let request = requests.next().await.expect("a request");
        bob.publish(request.reply.expect("a reply subject"), "!".into()).await.expect("answers");
    };

    let (answer, ()) = tokio::join!(alice.request(subject, "?".into()), answering);

    let answer = answer.expect("answered");
    assert_eq!(&answer.payload[..], b"!");
    assert!(answer.subject.starts_with(&format!("kf.{a}.in._inbox.")), "{}", answer.subject);
}

#[tokio::test]
async fn a_burst_arrives_whole_and_in_order() {
    const MESSAGES: usize = 5_000;
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let (a, b) = (Key::user(10).public(), Key::user(11).public());
    let (alice, _) = place.connect(&served, 10).await.expect("admitted");
    let (bob, _) = place.connect(&served, 11).await.expect("admitted");
    let inbox = bob.subscribe(format!("kf.{b}.in.>")).await.expect("subscribes");
    bob.flush().await.expect("the server confirms");

    for number in 0..MESSAGES {
        let subject = format!("kf.{b}.in.{a}.burst");
        alice.publish(subject, number.to_string().into()).await.expect("publishes");
    }
    alice.flush().await.expect("the server confirms");

    let payloads: Vec<Vec<u8>> = inbox.take(MESSAGES).map(|message| message.payload.to_vec()).collect().await;
    let expected: Vec<Vec<u8>> = (0..MESSAGES).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(payloads, expected);
}

#[tokio::test]
async fn a_jwt_by_the_wrong_key_and_a_wrong_signature_are_refused() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let stranger = Platform { signer: Key::account(9), ..Platform::new() };

    let wrong_issuer = place.connect_as(&served, stranger.user_jwt(&Key::user(10), 0), 10, true).await;
    let wrong_user = place.connect_as(&served, place.platform.user_jwt(&Key::user(10), 0), 11, true).await;

    for refused in [wrong_issuer, wrong_user] {
        let error = refused.expect_err("refused");
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation, "{error}");
    }
}

#[tokio::test]
async fn a_publish_or_subscribe_outside_of_what_is_allowed_is_reported() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let (alice, mut events) = place.connect(&served, 10).await.expect("admitted");

    alice.publish("kf.UB.in.UC.x", "hi".into()).await.expect("leaves");
    alice.flush().await.expect("the connection lives");
    let published = server_error(&mut events).await;
    let _subscription = alice.subscribe("kf.UB.>").await.expect("leaves");
    alice.flush().await.expect("the connection lives");
    let subscribed = server_error(&mut events).await;

    assert_eq!(published, "Permissions Violation for Publish to \"kf.UB.in.UC.x\"");
    assert_eq!(subscribed, "Permissions Violation for Subscription to \"kf.UB.>\"");
}

#[tokio::test]
async fn without_a_client_certificate_nobody_connects() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let token = place.platform.user_jwt(&Key::user(10), 0);

    let refused = place.connect_as(&served, token, 10, false).await;

    assert_eq!(refused.expect_err("refused").kind(), ConnectErrorKind::Io);
}

#[tokio::test]
async fn an_expired_user_is_disconnected_and_told_why() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    let served = place.serve().await;
    let token = place.platform.user_jwt(&Key::user(10), now().0 + 1);

    let (_client, mut events) = place.connect_as(&served, token, 10, true).await.expect("admitted");

    assert_eq!(server_error(&mut events).await, "User Authentication Expired");
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_connections_and_its_ports_file() {
    let place = Place::new(Platform::new());
    let served = place.serve().await;
    let address = served.address;
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let mut first = [0; 5];
    stream.read_exact(&mut first).await.expect("INFO in clear");
    let ports = place.folder.path().join(format!("nats-server_{}.ports", std::process::id()));
    let written = std::fs::read_to_string(&ports).expect("written at start");

    drop(served);

    assert_eq!((&first, written), (b"INFO ", format!("{{\"nats\":[\"nats://{address}\"]}}")));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!ports.exists());
}

#[tokio::test]
async fn a_missing_or_wrong_file_does_not_start() {
    let place = Place::new(Platform { tls: TLS, ..Platform::new() });
    std::fs::write(place.folder.path().join("tls.key"), "not a key").expect("writes");
    let wrong_key = place.start().await;
    std::fs::remove_file(place.folder.path().join("tls.key")).expect("was there");
    let no_key = place.start().await;

    assert!(matches!(wrong_key, Err(ServeError::Pem { path, .. }) if path.ends_with("tls.key")));
    assert!(matches!(no_key, Err(ServeError::Read { path, .. }) if path.ends_with("tls.key")));
}

/// A folder with `nats.conf` and certificates, as an initializer leaves it.
struct Place {
    folder: TempDir,
    platform: Platform,
    issuer: Issuer<'static, KeyPair>,
    issuer_der: CertificateDer<'static>,
}

impl Place {
    fn new(platform: Platform) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        let (issuer, issuer_der) = (Issuer::new(params, key), root.der().clone());
        let (server, server_key) = leaf(&issuer, SERVER_NAME, ExtendedKeyUsagePurpose::ServerAuth);
        let files = [
            ("nats.conf", platform.nats_conf()),
            ("ca.crt", root.pem()),
            ("tls.crt", server.pem()),
            ("tls.key", server_key.serialize_pem()),
        ];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("writes");
        }
        Self { folder, platform, issuer, issuer_der }
    }

    async fn start(&self) -> Result<Served, ServeError> {
        serve(&self.folder.path().join("nats.conf"), self.folder.path()).await
    }

    async fn serve(&self) -> Served {
        self.start().await.expect("starts")
    }

    async fn connect(&self, served: &Served, user: u8) -> Connected {
        let token = self.platform.user_jwt(&Key::user(user), now().0 + 3600);
        self.connect_as(served, token, user, true).await
    }

    async fn connect_as(&self, served: &Served, jwt: String, user: u8, certificate: bool) -> Connected {
        let (sender, events) = unbounded_channel();
        let options = ConnectOptions::with_auth_callback(move |nonce| {
            let jwt = jwt.clone();
            async move {
                if nonce.len() != 15 {
                    return Err(AuthError::new("not a nonce of NATS"));
                }
                let mut auth = Auth::new();
                auth.jwt = Some(jwt);
                auth.signature = Some(Key::user(user).sign(&nonce));
                Ok(auth)
            }
        });
        let options = options
            .tls_client_config(self.client_tls(certificate))
            .require_tls(true)
            .custom_inbox_prefix(format!("kf.{}.in._inbox", Key::user(user).public()))
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    let _nobody_listens_any_more = sender.send(event);
                }
            });
        Ok((options.connect(format!("tls://{}", served.address)).await?, events))
    }

    fn client_tls(&self, certificate: bool) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer_der.clone()).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = NamedServer(verifier.build().expect("a verifier"));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        if !certificate {
            return builder.with_no_client_auth();
        }
        let (client, key) =
            leaf(&self.issuer, "broker.kubefox.internal", ExtendedKeyUsagePurpose::ClientAuth);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8");
        builder.with_client_auth_cert(vec![client.der().clone()], key).expect("they belong together")
    }
}

type Connected = Result<(Client, UnboundedReceiver<Event>), async_nats::ConnectError>;

/// async-nats takes the host of its URL for the server's name; this one looks for NATS' own.
#[derive(Debug)]
struct NamedServer(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = ServerName::try_from(SERVER_NAME).expect("a DNS name");
        self.0.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, issuer).expect("signs"), key)
}

async fn server_error(events: &mut UnboundedReceiver<Event>) -> String {
    let within = Duration::from_secs(5);
    loop {
        match timeout(within, events.recv()).await.expect("an event in time") {
            Some(Event::ServerError(ServerError::Other(text))) => return text,
            Some(_another_event) => {}
            None => panic!("the client is gone"),
        }
    }
}
