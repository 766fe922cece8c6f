//! Somebody who holds a component's mounts, as a pod does or whoever stole them, on a platform that is up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubefox_core::documents::certificate::{service_dns_name, uri};
use kubefox_core::documents::setting::platform_identity;
use kubefox_core::names::{Namespace, Pem, TrustDomain};
use kubefox_core::vault::{AuthRole, PkiRole};
use kubefox_io::exchange::{BootstrapRequest, BootstrapResponse, Presentation};
use kubefox_io::shell::bootstrap_client::{BootstrapClient, Controller};
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use kubefox_io::shell::tls::Expected;
use kubefox_proto::bootstrap::v1::{ComponentBootstrapRequest, ComponentBootstrapResponse, SignNonceRequest};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;
use zeroize::Zeroizing;

use crate::running::Running;

/// A platform that stays up, and where its servers are.
pub(crate) struct Platform {
    pub(crate) directory: PathBuf,
    pub(crate) nats: String,
    pub(crate) vault: Http,
    pub(crate) controller: (String, u16),
    running: Running,
}

/// A component as its pod would be it.
pub(crate) struct Caller {
    directory: PathBuf,
    client: BootstrapClient,
    pub(crate) ca: Pem,
}

impl Platform {
    /// Starts it in that directory and waits until the proof is complete.
    pub(crate) fn start(directory: &Path, flags: &[&str]) -> Self {
        let flags = [flags, &["--state", directory.to_str().expect("UTF-8")]].concat();
        let mut running = Running::start(directory, &flags);
        let mut address = |who: &str| {
            let line = running.read_until(who);
            let listens =
                line.split_whitespace().find(|word| word.contains(':') && word.contains("127.0.0.1"));
            listens.expect("it says where it listens").trim_end_matches(',').to_owned()
        };
        let vault = address("listens on http://");
        let nats = address("started on what the initializer wrote");
        running.read_until("Ctrl-C ends it");
        let target = Target::vault(&vault).expect("a URL on loopback");
        let controller = controller_address(directory);
        Self {
            directory: directory.to_owned(),
            nats,
            vault: Http::new(Arc::new(Real), target),
            controller,
            running,
        }
    }

    pub(crate) fn caller(&self, component: &str) -> Caller {
        let (host, port) = self.controller.clone();
        let expected = expected(PkiRole::Controller, AuthRole::Controller);
        let client = BootstrapClient::new(Arc::new(Real), Controller { host, port, expected });
        let directory = self.directory.join("pods").join(component);
        let ca = std::fs::read_to_string(directory.join("trust/ca.crt")).expect("it is mounted");
        Caller { directory, client, ca: Pem::parse(&ca).expect("PEM") }
    }

    /// Asks Vault itself, as whoever reaches its port can.
    pub(crate) async fn vault(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::builder().method(method).uri(path).header("x-vault-token", token);
        let request = request.body(body.to_string().into_bytes()).expect("a request");
        let response = self.vault.carry(request).await.expect("Vault answers");
        let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        (response.status().as_u16(), body)
    }

    /// A token of Vault for whoever shows that service-account token.
    pub(crate) async fn login(&self, role: &str, jwt: &str) -> String {
        let body = json!({"role": role, "jwt": jwt});
        let (status, answer) = self.vault("POST", "/v1/auth/kubernetes/login", "", &body).await;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        token.unwrap_or_else(|| panic!("{role} may not log in: {status} {answer}")).to_owned()
    }

    pub(crate) fn interrupt(self) {
        assert_eq!(self.running.interrupt().code(), Some(0));
    }
}

impl Caller {
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.directory.join("tokens/kubefox")).expect("it is mounted")
    }

    pub(crate) async fn bootstrap(&self) -> ComponentBootstrapResponse {
        let request = BootstrapRequest::Component(ComponentBootstrapRequest {
            token: self.token(),
            csr: String::new(),
            runtime_csr: String::new(),
        });
        match self.client.carry(&self.ca, request).await {
            Ok(Ok(BootstrapResponse::Component(documents))) => documents,
            Ok(Ok(BootstrapResponse::Nats(_) | BootstrapResponse::SignNonce(_))) => {
                panic!("another question was answered")
            }
            Ok(Err(status)) => panic!("a component may have this: {status}"),
            Err(lost) => panic!("the controller gave no answer: {lost:?}"),
        }
    }

    /// What Vault signs with this component's own key.
    pub(crate) async fn sign(&self, nonce: &str) -> Vec<u8> {
        let request = SignNonceRequest { token: self.token(), nonce: nonce.to_owned() };
        match self.client.carry(&self.ca, BootstrapRequest::SignNonce(request)).await {
            Ok(Ok(BootstrapResponse::SignNonce(signed))) => signed.signature,
            Ok(Ok(BootstrapResponse::Nats(_) | BootstrapResponse::Component(_))) => {
                panic!("another question was answered")
            }
            Ok(Err(status)) => panic!("a component may have this: {status}"),
            Err(lost) => panic!("the controller gave no answer: {lost:?}"),
        }
    }
}

/// How the controller says no.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// Of `google.rpc.ErrorInfo`.
    pub(crate) reason: String,
}

impl Caller {
    /// Asks for something with any token, which it is not to get.
    pub(crate) async fn refused(&self, request: BootstrapRequest) -> Refused {
        let status = match self.client.carry(&self.ca, request).await {
            Ok(Err(status)) => status,
            Ok(Ok(_)) => panic!("it was given out"),
            Err(lost) => panic!("the controller gave no answer: {lost:?}"),
        };
        assert!(status.message().len() > 20, "a sentence for a person: {status}");
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        Refused { code: status.code(), reason }
    }
}

/// Who one of the platform's servers must be.
pub(crate) fn expected(role: PkiRole, account: AuthRole) -> Expected {
    let namespace = Namespace::parse("kubefox").expect("a name");
    let domain = TrustDomain::parse("cluster.local").expect("a name");
    let identity = platform_identity(account, &namespace).expect("it has an account");
    let dns = service_dns_name(role, &namespace).expect("it has a name");
    Expected { dns, spiffe: uri(role, &identity, &domain) }
}

/// The newest one in its log.
fn controller_address(directory: &Path) -> (String, u16) {
    let log = std::fs::read_to_string(directory.join("logs/controller.log")).expect("it logs");
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let facts = lines.filter(|line| line["message"] == "Serving").find_map(|line| {
        serde_json::from_str::<Value>(line["facts"].as_str()?).ok()?["address"].as_str().map(str::to_owned)
    });
    let address = facts.expect("it serves");
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// What a client of NATS shows.
pub(crate) fn presentation(documents: &ComponentBootstrapResponse) -> Presentation {
    let certificate = documents.certificate.as_ref().expect("it is there");
    Presentation {
        leaf: Pem::parse(&certificate.leaf).expect("PEM"),
        ca: Pem::parse(&certificate.ca).expect("PEM"),
        key: Zeroizing::new(certificate.key.clone().into_bytes()),
    }
}
