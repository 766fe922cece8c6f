//! The bare load generator: what a session of the controller asks of Vault and of the API server, and nothing else.
//!
//! The requests are made by the controller's own adapters. Those to Vault are made once, and then sent as they are over one
//! connection of each caller. As in a session, a caller's token is reviewed and exchanged for Vault's once a minute; Vault asks the API
//! server once more at each login by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kubefox_core::documents::certificate::{request, ttl_s};
use kubefox_core::kubernetes::{self, Review};
use kubefox_core::machine::{Outcome, Ticket};
use kubefox_core::names::{Namespace, Pem, TrustDomain};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, NatsKey, PkiRole, Setting};
use kubefox_io::adapter::kubernetes as review;
use kubefox_io::adapter::{Slots as _, vault};
use kubefox_io::keyring::Keyring;
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use kubefox_io::shell::tls;
use kubefox_sim::up::stand::caller::NONCE;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::callers::{AUDIENCE, Holder};
use super::load::Worker;
use super::stage::Stage;

/// For so long the controller uses what it got for a caller's token.
const KEPT: Duration = Duration::from_secs(60);
/// Where the token of a login rests.
const LOGIN: Secret = Secret::Caller(Ticket(0));

/// A connection to Vault.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What reads and writes. It ends with this, or when Vault closes the connection, which the next request tells.
    _carries: JoinSet<hyper::Result<()>>,
}

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
        let mut carries = JoinSet::new();
        carries.spawn(connection);
        Ok(Self { sender, _carries: carries })
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
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
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
    reviewer: Arc<Reviewer>,
    caller: Holder,
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
    pub(crate) async fn new(
        stage: &Stage,
        reviewer: &Arc<Reviewer>,
        caller: &Holder,
        signing_input: &[u8],
    ) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(&stage.vault).await?,
            reviewer: Arc::clone(reviewer),
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
        self.reviewer.review(&self.caller.token).await?;
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

/// The controller at the API server: all callers are reviewed over one client, with the token of its pod.
pub(crate) struct Reviewer {
    http: Http,
    token: String,
}

impl Reviewer {
    pub(crate) async fn new(stage: &Stage) -> Result<Self> {
        let config = tls::kubernetes(&Pem::parse(&stage.cluster.ca)?)?;
        let http = Http::new(Arc::new(Real), Target::kubernetes(&stage.cluster.url, config)?);
        Ok(Self { http, token: stage.api_token().await? })
    }

    async fn review(&self, token: &str) -> Result<()> {
        let mut keyring = Keyring::default();
        let (own, jwt) = (Secret::Own(Own::ApiJwt), Secret::Own(Own::CallerJwt));
        keyring.fill(own, Zeroizing::new(self.token.as_bytes().to_vec()));
        keyring.fill(jwt, Zeroizing::new(token.as_bytes().to_vec()));
        let call = kubernetes::Call::ReviewToken { token: jwt, audience: AUDIENCE.to_owned() };
        let context = review::Context { namespace: Namespace::parse("kubefox")? };
        let carried = self.http.carry(review::encode(&call, &context, &keyring)?).await;
        match carried.map_or_else(Outcome::Unknown, |response| review::decode(&call, response)) {
            Outcome::Ok(kubernetes::Reply::Review(Review::Authenticated { .. })) => Ok(()),
            other @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                bail!("the API server does not accept the caller's token: {other:?}")
            }
        }
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
