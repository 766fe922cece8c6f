//! How a pod asks the controller: with the client that brokers and initializers have, on a connection of its own.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use kubefox_core::names::Pem;
use kubefox_io::exchange::{BootstrapRequest, BootstrapResponse};
use kubefox_io::shell::bootstrap_client::{BootstrapClient, Controller};
use kubefox_io::shell::host::Real;
use kubefox_io::shell::tls::Expected;
use kubefox_proto::bootstrap::v1::{ComponentBootstrapRequest, ComponentBootstrapResponse, SignNonceRequest};

use super::load::Worker;
use super::stage::Stage;

/// Of the length that NATS' nonces have.
pub(crate) const NONCE: &str = "abcDEF012345-_x";

/// One pod with its connection.
pub(crate) struct Asking {
    pub(crate) client: BootstrapClient,
    pub(crate) ca: Pem,
    token: String,
}

impl Asking {
    /// Nothing is dialled before the first question.
    pub(crate) fn new(stage: &Stage, token: &str) -> Self {
        let expected = Expected {
            dns: "kubefox.kubefox.svc".to_owned(),
            spiffe: "spiffe://cluster.local/ns/kubefox/sa/kubefox".to_owned(),
        };
        let (host, port) = (stage.controller.ip().to_string(), stage.controller.port());
        let client = BootstrapClient::new(Arc::new(Real), Controller { host, port, expected });
        Self { client, ca: stage.ca.clone(), token: token.to_owned() }
    }

    /// Asks for the documents of a component.
    pub(crate) async fn bootstrap(&self) -> Result<ComponentBootstrapResponse> {
        let message = ComponentBootstrapRequest {
            token: self.token.clone(),
            csr: String::new(),
            runtime_csr: String::new(),
        };
        match self.ask(BootstrapRequest::Component(message)).await? {
            BootstrapResponse::Component(response) => Ok(response),
            BootstrapResponse::Nats(_) | BootstrapResponse::SignNonce(_) => {
                bail!("another question was answered")
            }
        }
    }

    async fn sign_nonce(&self) -> Result<()> {
        let message = SignNonceRequest { token: self.token.clone(), nonce: NONCE.to_owned() };
        match self.ask(BootstrapRequest::SignNonce(message)).await? {
            BootstrapResponse::SignNonce(_) => Ok(()),
            BootstrapResponse::Nats(_) | BootstrapResponse::Component(_) => {
                bail!("another question was answered")
            }
        }
    }

    async fn ask(&self, message: BootstrapRequest) -> Result<BootstrapResponse> {
        let answer = self.client.carry(&self.ca, message).await;
        let answer = answer.map_err(|lost| anyhow!("no answer of the controller: {lost:?}"))?;
        answer.map_err(|status| anyhow!("the controller said {:?}: {}", status.code(), status.message()))
    }
}

/// Asks for documents again and again.
pub(crate) struct Bootstraps(pub(crate) Asking);

impl Worker for Bootstraps {
    async fn work(&mut self) -> Result<()> {
        self.0.bootstrap().await.map(drop)
    }
}

/// Asks for signatures again and again.
pub(crate) struct Signs(pub(crate) Asking);

impl Worker for Signs {
    async fn work(&mut self) -> Result<()> {
        self.0.sign_nonce().await
    }
}
