//! Serves `kubefox.bootstrap.v1.Bootstrap`: each request becomes one question at the controller's door.
//!
//! What cannot be a token, a nonce or a request for a certificate is refused here, before it costs anybody anything.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubefox_core::bootstrap::{Ask, Rejection};
use kubefox_core::machine::Machine;
use kubefox_core::names::{CSR_BYTES_MAX, Nonce};
use kubefox_core::secret::Asker;
use kubefox_proto::bootstrap::v1 as proto;
use kubefox_proto::bootstrap::v1::bootstrap_server::{Bootstrap, BootstrapServer};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use zeroize::Zeroizing;

use crate::adapter::bootstrap::rejected;
use crate::adapter::csr;
use crate::door::{Door, Unanswered};
use crate::exchange::BootstrapResponse;
use crate::shell::health::Readiness;
use crate::shell::listener::{Age, Limits};
use crate::shell::status::Snapshot;
use crate::token::{TOKEN_BYTES_MAX, is_token};

/// What the controller's server bears: a connection for each broker of a large cluster.
pub const LIMITS: Limits = Limits {
    connections: 1_024,
    streams: 16,
    // Whoever asks a moment before is answered within `ANSWER_WITHIN`.
    age: Some(Age { asked: Duration::from_secs(600), cut: Duration::from_secs(15) }),
};

/// Longest message: a token, two requests for certificates, and what goes around them. Longer ones are not even decoded.
pub const MESSAGE_BYTES_MAX: usize = TOKEN_BYTES_MAX + 2 * CSR_BYTES_MAX + 256;

/// A question is answered within this time, whatever the caller allows.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the controller is asked.
pub trait BootstrapDoor: Send + Sync + 'static {
    /// Asks with the caller's token; dropping the future withdraws the question.
    fn ask(&self, ask: Ask, token: Zeroizing<Vec<u8>>, within: Duration) -> BoxFuture<'static, Asked>;
}

/// How a question ended: the rendered answer, or none.
pub type Asked = Result<Result<BootstrapResponse, Status>, Unanswered>;

impl<M: Machine<Ask = Ask>> BootstrapDoor for Door<M, Result<BootstrapResponse, Status>> {
    fn ask(&self, ask: Ask, token: Zeroizing<Vec<u8>>, within: Duration) -> BoxFuture<'static, Asked> {
        let door = self.clone();
        async move { Self::ask(&door, ask, vec![(Asker::CallerJwt, token)], within).await }.boxed()
    }
}

/// The service, and the standard health service that tells what `snapshots` holds, for a
/// [`crate::shell::listener::Listener`].
#[must_use]
pub fn routes(door: Arc<dyn BootstrapDoor>, snapshots: watch::Receiver<Snapshot>) -> Routes {
    let health = HealthServer::new(Readiness { service: BootstrapServer::<Service>::NAME, snapshots });
    let bootstrap = BootstrapServer::new(Service { door }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(bootstrap).add_service(health.max_decoding_message_size(MESSAGE_BYTES_MAX))
}

struct Service {
    door: Arc<dyn BootstrapDoor>,
}

#[tonic::async_trait]
impl Bootstrap for Service {
    async fn bootstrap_nats(
        &self,
        request: Request<proto::NatsBootstrapRequest>,
    ) -> Result<Response<proto::NatsBootstrapResponse>, Status> {
        let within = within(request.metadata());
        let request = request.into_inner();
        let token = token(request.token)?;
        let csr = csr::received(&request.csr).map_err(rejected)?;
        match self.ask(Ask::Nats(csr), token, within).await? {
            BootstrapResponse::Nats(response) => Ok(Response::new(response)),
            BootstrapResponse::Component(_) | BootstrapResponse::SignNonce(_) => Err(mixed_up()),
        }
    }

    async fn bootstrap_component(
        &self,
        request: Request<proto::ComponentBootstrapRequest>,
    ) -> Result<Response<proto::ComponentBootstrapResponse>, Status> {
        let within = within(request.metadata());
        let request = request.into_inner();
        let token = token(request.token)?;
        let csrs = csr::both_received(&request.csr, &request.runtime_csr).map_err(rejected)?;
        match self.ask(Ask::Component(csrs), token, within).await? {
            BootstrapResponse::Component(response) => Ok(Response::new(response)),
            BootstrapResponse::Nats(_) | BootstrapResponse::SignNonce(_) => Err(mixed_up()),
        }
    }

    async fn sign_nonce(
        &self,
        request: Request<proto::SignNonceRequest>,
    ) -> Result<Response<proto::SignNonceResponse>, Status> {
        let within = within(request.metadata());
        let request = request.into_inner();
        let token = token(request.token)?;
        let nonce = Nonce::parse(&request.nonce).map_err(|_| rejected(Rejection::NonceMalformed))?;
        match self.ask(Ask::SignNonce { nonce }, token, within).await? {
            BootstrapResponse::SignNonce(response) => Ok(Response::new(response)),
            BootstrapResponse::Nats(_) | BootstrapResponse::Component(_) => Err(mixed_up()),
        }
    }
}

impl Service {
    async fn ask(
        &self,
        ask: Ask,
        token: Zeroizing<Vec<u8>>,
        within: Duration,
    ) -> Result<BootstrapResponse, Status> {
        self.door.ask(ask, token, within).await.map_err(unanswered)?
    }
}

/// The caller's token, in a buffer that is wiped.
fn token(text: String) -> Result<Zeroizing<Vec<u8>>, Status> {
    let token = Zeroizing::new(text.into_bytes());
    if is_token(&token) { Ok(token) } else { Err(rejected(Rejection::TokenMalformed)) }
}

fn unanswered(unanswered: Unanswered) -> Status {
    rejected(match unanswered {
        Unanswered::Busy => Rejection::Busy,
        Unanswered::Late => Rejection::Late,
        Unanswered::Stopping => Rejection::Stopping,
    })
}

/// The answer to another question came: a mistake of ours.
fn mixed_up() -> Status {
    tracing::error!("AnswerMixedUp");
    rejected(Rejection::Faulty)
}

/// For how long the caller listens, at most [`ANSWER_WITHIN`].
fn within(metadata: &MetadataMap) -> Duration {
    let allowed = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout);
    allowed.map_or(ANSWER_WITHIN, |allowed| allowed.min(ANSWER_WITHIN))
}

/// At most 8 digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `Timeout`).
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
