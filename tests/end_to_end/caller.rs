//! Somebody who holds a component's mounts, as a pod does or whoever stole them, on a platform that is up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubefox_core::names::Pem;
use kubefox_io::exchange::{BootstrapRequest, Presentation};
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use kubefox_proto::bootstrap::v1::ComponentBootstrapResponse;
use kubefox_sim::up::stand::caller::Caller;
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
    pub(crate) controller: SocketAddr,
    running: Running,
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

    /// That component as its pod would be it, with what is mounted now.
    pub(crate) fn caller(&self, component: &str) -> Caller {
        let pod = self.directory.join("pods").join(component);
        let mounted = |path: &str| std::fs::read_to_string(pod.join(path)).expect("it is mounted");
        let ca = Pem::parse(&mounted("trust/ca.crt")).expect("PEM");
        Caller::new(self.controller, ca, mounted("tokens/kubefox"))
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

/// How the controller says no.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// Of `google.rpc.ErrorInfo`.
    pub(crate) reason: String,
}

/// Asks for something that the one who asks is not to get.
pub(crate) async fn refused(caller: &Caller, request: BootstrapRequest) -> Refused {
    let status = match caller.ask(request).await {
        Ok(Err(status)) => status,
        Ok(Ok(_)) => panic!("it was given out"),
        Err(lost) => panic!("the controller gave no answer: {lost:?}"),
    };
    assert!(status.message().len() > 20, "a sentence for a person: {status}");
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    Refused { code: status.code(), reason }
}

/// The newest one in its log.
fn controller_address(directory: &Path) -> SocketAddr {
    let log = std::fs::read_to_string(directory.join("logs/controller.log")).expect("it logs");
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let facts = lines.filter(|line| line["message"] == "Serving").find_map(|line| {
        serde_json::from_str::<Value>(line["facts"].as_str()?).ok()?["address"].as_str().map(str::to_owned)
    });
    facts.expect("it serves").parse().expect("an address and a port")
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
