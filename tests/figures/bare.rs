//! The bare load generator: what a session of the controller asks of Vault and of the API server, and nothing else.
//!
//! The requests are made by the controller's own adapter, once, and then sent as they are over one connection of each
//! caller. As in a session, a caller's token is reviewed and exchanged for Vault's once a minute; Vault asks the API
//! server once more at each login by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kubefox_core::documents::certificate::{request, ttl_s};
use kubefox_core::machine::Ticket;
use kubefox_core::names::TrustDomain;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, NatsKey, PkiRole, Setting};
use kubefox_io::adapter::{Slots as _, vault};
use kubefox_io::keyring::Keyring;
use kubefox_sim::up::cluster::Cluster;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::asking::NONCE;
use super::callers::{AUDIENCE, Caller};
use super::load::Worker;
use super::stage::Stage;

/// For so long the controller uses what it got for a caller's token.
const KEPT: Duration = Duration::from_secs(60);
/// Where the token of a login rests.
const LOGIN: Secret = Secret::Caller(Ticket(0));

/// A connection to Vault.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

/// A request that can be sent again and again.
#[derive(Clone)]
pub(crate) struct Prepared {
    head: Parts,
    body: Bytes,
}

impl Connection {
    /// To Vault at that `http://` URL.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").context("Vault is asked in clear")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, or when Vault closes it, which the next request tells.
        drop(tokio::spawn(connection));
        Ok(Self(sender))
    }

    /// The body of the answer, which must be a success.
    pub(crate) async fn ask(&mut self, prepared: &Prepared) -> Result<Bytes> {
        let (status, body) = self.answer(prepared).await?;
        if !(200..300).contains(&status) {
            let (line, body) = (&prepared.head.uri, String::from_utf8_lossy(&body));
            bail!("Vault answered {line} with {status}: {body}");
        }
        Ok(body)
    }

    async fn answer(&mut self, prepared: &Prepared) -> Result<(u16, Bytes)> {
        let request = Request::from_parts(prepared.head.clone(), Full::new(prepared.body.clone()));
        self.0.ready().await?;
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

impl Prepared {
    /// As a shell would send it.
    pub(crate) fn new(request: Request<Vec<u8>>) -> Self {
        let (mut head, body) = request.into_parts();
        head.headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        Self { head, body: body.into() }
    }

    fn of(call: &Call, keyring: &Keyring) -> Result<Self> {
        Ok(Self::new(vault::encode(call, keyring)?))
    }
}

/// Logs in with a service-account token. Answers Vault's.
pub(crate) async fn log_in(connection: &mut Connection, role: AuthRole, token: &str) -> Result<String> {
    let mut keyring = Keyring::default();
    let jwt = Secret::Own(Own::CallerJwt);
    keyring.fill(jwt, Zeroizing::new(token.as_bytes().to_vec()));
    let login = Prepared::of(&Call::Login { role, jwt, into: LOGIN }, &keyring)?;
    let answer: Value = serde_json::from_slice(&connection.ask(&login).await?)?;
    let token =
        answer.pointer("/auth/client_token").and_then(Value::as_str).context("a login gives a token")?;
    Ok(token.to_owned())
}

/// One caller of the bare load generator.
pub(crate) struct Bare {
    connection: Connection,
    cluster: Arc<Cluster>,
    caller: Caller,
    controller_token: String,
    signing_input: Vec<u8>,
    session: Option<Session>,
}

/// The requests with the token of one login.
struct Session {
    since: Instant,
    read_key: Prepared,
    sign_user: Prepared,
    issue: [Prepared; 2],
    sign_nonce: Prepared,
}

impl Bare {
    /// `signing_input` is what the controller had signed when it made this caller's JWT.
    pub(crate) async fn new(stage: &Stage, caller: &Caller, signing_input: &[u8]) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(&stage.vault).await?,
            cluster: Arc::clone(&stage.cluster),
            caller: caller.clone(),
            controller_token: stage.controller_token.clone(),
            signing_input: signing_input.to_vec(),
            session: None,
        })
    }

    async fn bootstrap(&mut self) -> Result<()> {
        let session = self.session().await?;
        let Session { read_key, sign_user, issue, .. } = &session;
        for request in [read_key, sign_user, &issue[0], &issue[1]] {
            self.connection.ask(request).await?;
        }
        self.session = Some(session);
        Ok(())
    }

    async fn sign_nonce(&mut self) -> Result<()> {
        let session = self.session().await?;
        self.connection.ask(&session.sign_nonce).await?;
        self.session = Some(session);
        Ok(())
    }

    /// The one of the last minute, or a new one.
    async fn session(&mut self) -> Result<Session> {
        match self.session.take() {
            Some(session) if session.since.elapsed() < KEPT => Ok(session),
            Some(_) | None => self.begin().await,
        }
    }

    async fn begin(&mut self) -> Result<Session> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": self.caller.token, "audiences": [AUDIENCE]},
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let (status, answer) = self.cluster.request(Method::POST, path, Some(&review)).await?;
        if status != 201 || answer.pointer("/status/authenticated") != Some(&Value::Bool(true)) {
            bail!("the API server does not accept the caller's token: {status}");
        }
        let token = log_in(&mut self.connection, AuthRole::Component, &self.caller.token).await?;
        let mut keyring = Keyring::default();
        let controller = Secret::Own(Own::ControllerToken);
        keyring.fill(LOGIN, Zeroizing::new(token.into_bytes()));
        keyring.fill(controller, Zeroizing::new(self.controller_token.clone().into_bytes()));
        let key = NatsKey::User(self.caller.identity.clone());
        let issue = |role| {
            let trust_domain = TrustDomain::parse("cluster.local")?;
            let request = request(role, &self.caller.identity, &trust_domain, ttl_s(role));
            Prepared::of(&Call::Issue { token: LOGIN, request, into: LOGIN }, &keyring)
        };
        let sign = |token, key: NatsKey, input: &[u8]| {
            Prepared::of(&Call::Sign { token, key, input: input.to_vec() }, &keyring)
        };
        Ok(Session {
            since: Instant::now(),
            read_key: Prepared::of(
                &Call::Read { token: LOGIN, setting: Setting::NatsKey(key.clone()) },
                &keyring,
            )?,
            sign_user: sign(controller, NatsKey::PlatformSigner, &self.signing_input)?,
            issue: [issue(PkiRole::Component)?, issue(PkiRole::Runtime)?],
            sign_nonce: sign(LOGIN, key, NONCE.as_bytes())?,
        })
    }
}

/// Does what a component's bootstrap needs, again and again.
pub(crate) struct BareBootstraps(pub(crate) Bare);

impl Worker for BareBootstraps {
    async fn work(&mut self) -> Result<()> {
        self.0.bootstrap().await
    }
}

/// Signs a nonce again and again.
pub(crate) struct BareSigns(pub(crate) Bare);

impl Worker for BareSigns {
    async fn work(&mut self) -> Result<()> {
        self.0.sign_nonce().await
    }
}
