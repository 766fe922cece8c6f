//! A pod that asks the controller: with the client that brokers and initializers have, on a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use kubefox_core::documents::certificate::{service_dns_name, uri};
use kubefox_core::documents::setting::platform_identity;
use kubefox_core::machine::Lost;
use kubefox_core::names::{Namespace, Pem, TrustDomain};
use kubefox_core::vault::{AuthRole, PkiRole};
use kubefox_io::exchange::{BootstrapRequest, BootstrapResponse};
use kubefox_io::shell::bootstrap_client::{BootstrapClient, Controller};
use kubefox_io::shell::bootstrap_server::ANSWER_WITHIN;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::tls::Expected;
use kubefox_proto::bootstrap::v1::{ComponentBootstrapRequest, ComponentBootstrapResponse, SignNonceRequest};
use tonic::Status;

/// As NATS makes them.
pub const NONCE: &str = "abcDEF012345-_x";

/// One pod with its connection.
pub struct Caller {
    client: BootstrapClient,
    /// Who must have signed the controller's certificate.
    pub ca: Pem,
    /// What it shows for itself.
    pub token: String,
}

impl Caller {
    /// Nothing is dialled before the first question.
    #[must_use]
    pub fn new(controller: SocketAddr, ca: Pem, token: String) -> Self {
        let expected = expected(PkiRole::Controller, AuthRole::Controller);
        let (host, port) = (controller.ip().to_string(), controller.port());
        Self { client: BootstrapClient::new(Arc::new(Real), Controller { host, port, expected }), ca, token }
    }

    /// Asks for the documents of a component, on keys that Vault makes.
    ///
    /// # Errors
    /// If it does not get them.
    pub async fn bootstrap(&self) -> Result<ComponentBootstrapResponse> {
        let (csr, runtime_csr) = (String::new(), String::new());
        let message = ComponentBootstrapRequest { token: self.token.clone(), csr, runtime_csr };
        match self.answered(BootstrapRequest::Component(message)).await? {
            BootstrapResponse::Component(documents) => Ok(documents),
            BootstrapResponse::Nats(_) | BootstrapResponse::SignNonce(_) => {
                bail!("another question was answered")
            }
        }
    }

    /// What Vault signs with this pod's own key.
    ///
    /// # Errors
    /// If it does not.
    pub async fn sign(&self, nonce: &str) -> Result<Vec<u8>> {
        let message = SignNonceRequest { token: self.token.clone(), nonce: nonce.to_owned() };
        match self.answered(BootstrapRequest::SignNonce(message)).await? {
            BootstrapResponse::SignNonce(signed) => Ok(signed.signature),
            BootstrapResponse::Nats(_) | BootstrapResponse::Component(_) => {
                bail!("another question was answered")
            }
        }
    }

    /// Asks anything, whatever the answer is.
    ///
    /// # Errors
    /// If there is none.
    pub async fn ask(&self, message: BootstrapRequest) -> Result<Result<BootstrapResponse, Status>, Lost> {
        self.client.carry(&self.ca, message, ANSWER_WITHIN).await
    }

    async fn answered(&self, message: BootstrapRequest) -> Result<BootstrapResponse> {
        let answer = self.ask(message).await;
        let answer = answer.map_err(|lost| anyhow!("no answer of the controller: {lost:?}"))?;
        answer.map_err(|status| anyhow!("the controller said {:?}: {}", status.code(), status.message()))
    }
}

/// Who one of the platform's servers must be.
#[must_use]
pub fn expected(role: PkiRole, account: AuthRole) -> Expected {
    let namespace = Namespace::parse("kubefox").expect("a name");
    let domain = TrustDomain::parse("cluster.local").expect("a name");
    let identity = platform_identity(account, &namespace).expect("it has an account");
    let dns = service_dns_name(role, &namespace).expect("it has a name");
    Expected { dns, spiffe: uri(role, &identity, &domain) }
}
