//! The gRPC client of initializers and brokers: one channel to the controller, which must show its exact name.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubefox_core::machine::Lost;
use kubefox_core::names::Pem;
use kubefox_proto::bootstrap::v1::bootstrap_client::BootstrapClient as Client;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, TimeoutExpired};

use crate::exchange::{BootstrapRequest, BootstrapResponse};
use crate::shell::connector::{Connector, KEEP_ALIVE_EVERY, KEEP_ALIVE_WITHIN, Target};
use crate::shell::host::Host;
use crate::shell::tls::{self, Expected, Unusable};

/// Longest response: JWTs and certificates of some KiB each.
pub const RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// Where the controller is and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Name or address that is dialled, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What its certificate must say.
    pub expected: Expected,
}

/// A client of the controller.
#[derive(Clone)]
pub struct BootstrapClient {
    host: Arc<dyn Host>,
    controller: Controller,
    /// One at a time: with another authority the old one is dropped.
    line: Arc<Mutex<Option<Line>>>,
}

/// The channel in use.
#[derive(Clone)]
struct Line {
    /// The authority that it trusts.
    ca: Pem,
    channel: Channel,
    /// Whether it was told that a stranger answers there, and nobody else has since.
    warned: Arc<AtomicBool>,
}

impl BootstrapClient {
    /// A client of `controller`; nothing is dialled before the first request.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, controller: Controller) -> Self {
        Self { host, controller, line: Arc::default() }
    }

    /// Carries a request out and the answer back: the response, or the status that the controller answered with. The
    /// controller is told that nobody waits for longer than `within`.
    ///
    /// # Errors
    /// [`Lost::Connection`] if no answer came, [`Lost::Deadline`] if none came in time, [`Lost::Stranger`] if who answers
    /// is not the controller, [`Lost::Garbled`] if `ca` is not an authority.
    pub fn carry(
        &self,
        ca: &Pem,
        request: BootstrapRequest,
        within: Duration,
    ) -> BoxFuture<'static, Result<Result<BootstrapResponse, Status>, Lost>> {
        let line = self.line(ca);
        let Controller { host, port, .. } = self.controller.clone();
        async move {
            let Line { channel, warned, .. } = line.map_err(|error| {
                tracing::warn!(%error, "NoBootstrapChannel");
                Lost::Garbled
            })?;
            let status = match call(channel, request, within).await {
                Ok(response) => Ok(response),
                // A status that was received has no source; one that tonic made of a failure of the transport has.
                Err(status) => match status.source() {
                    None => Err(status),
                    Some(cause) => return Err(lost(cause, &format!("{host}:{port}"), &warned)),
                },
            };
            warned.store(false, Ordering::Relaxed);
            Ok(status)
        }
        .boxed()
    }

    fn line(&self, ca: &Pem) -> Result<Line, Unusable> {
        let mut cached = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = &*cached
            && line.ca == *ca
        {
            return Ok(line.clone());
        }
        let line = Line { ca: ca.clone(), channel: self.connect_lazily(ca)?, warned: Arc::default() };
        *cached = Some(line.clone());
        Ok(line)
    }

    fn connect_lazily(&self, ca: &Pem) -> Result<Channel, Unusable> {
        let Controller { host, port, expected } = &self.controller;
        let mut config = tls::client(ca, None, expected)?;
        config.alpn_protocols = vec![tls::ALPN_H2.to_vec()];
        let name = tls::server_name(&expected.dns)?;
        // The connector dials and does TLS; tonic takes the URL for the pseudo-headers only.
        let url = format!("https://{}:{port}", expected.dns);
        let target = Target::Tls { host: host.clone(), port: *port, name, config: Arc::new(config) };
        let endpoint = Endpoint::from_shared(url).map_err(|_| Unusable::Name)?;
        Ok(endpoint
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_WITHIN)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector::new(Arc::clone(&self.host), target)))
    }
}

async fn call(
    channel: Channel,
    request: BootstrapRequest,
    within: Duration,
) -> Result<BootstrapResponse, Status> {
    let mut client = Client::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    match request {
        BootstrapRequest::Nats(message) => client
            .bootstrap_nats(timed(message, within))
            .await
            .map(Response::into_inner)
            .map(BootstrapResponse::Nats),
        BootstrapRequest::Component(message) => client
            .bootstrap_component(timed(message, within))
            .await
            .map(Response::into_inner)
            .map(BootstrapResponse::Component),
        BootstrapRequest::SignNonce(message) => client
            .sign_nonce(timed(message, within))
            .await
            .map(Response::into_inner)
            .map(BootstrapResponse::SignNonce),
    }
}

fn timed<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

/// What a failure of the transport is. A stranger is told once, until somebody else answers: a person must look.
fn lost(outermost: &Error, controller: &str, warned: &AtomicBool) -> Lost {
    let cause = innermost(outermost);
    if is_of_certificate(cause) {
        if !warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(controller, %cause, "ControllerIsStranger");
        }
        return Lost::Stranger;
    }
    tracing::debug!(%cause, "NoBootstrapAnswer");
    if cause.is::<TimeoutExpired>() { Lost::Deadline } else { Lost::Connection }
}

/// Whether the handshake ended because of what the server showed. tokio-rustls hides rustls' error in one of IO.
fn is_of_certificate(error: &Error) -> bool {
    let error = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let error = error.and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

type Error = dyn std::error::Error + 'static;

/// The innermost error says what happened: `connection refused`, `invalid peer certificate`.
fn innermost(error: &Error) -> &Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}
