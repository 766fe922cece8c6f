//! Where a story plays: the fakes or the real servers, the secrets of whoever asks, and what was seen.

use std::time::Duration;

use http::{Method, Request, Response, header};
use kubefox_core::kubernetes;
use kubefox_core::machine::{Outcome, Ticket};
use kubefox_core::names::{Accessor, Identity, Namespace, ServiceAccount};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault;
use kubefox_io::adapter::{self, Slots as _};
use kubefox_io::keyring::Keyring;
use kubefox_sim::manifest::{self, BoundTo, Object};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cases::{kubernetes_row, vault_row};
use crate::fakes::Fakes;
use crate::masks::Masks;
use crate::real::Real;
use crate::record::Record;

/// The platform's namespace, and the name of its installation.
pub(crate) const PLATFORM: &str = "kubefox";
/// A namespace for components.
pub(crate) const TENANT: &str = "team0";
/// The API server's own audience.
pub(crate) const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
/// For how long the API server remembers that a token was genuine, and a moment more, in seconds.
pub(crate) const TOKEN_CACHE_S: u64 = 12;
/// OpenBao is the active node some ten milliseconds after it was unsealed.
const ACTIVE_WITHIN: Duration = Duration::from_secs(30);

enum Servers<'a> {
    Fake(Box<Fakes>),
    Real(&'a mut Real),
}

/// One story's world.
pub(crate) struct Stage<'a> {
    servers: Servers<'a>,
    /// What the product's machines would hold.
    pub(crate) slots: Keyring,
    pub(crate) masks: Masks,
    record: &'a mut Record,
}

/// A pod that exists.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl<'a> Stage<'a> {
    /// The fakes, with empty disks.
    pub(crate) fn fake(record: &'a mut Record) -> Self {
        Self::new(Servers::Fake(Box::new(Fakes::new())), record)
    }

    /// The real servers, with a Vault and a platform's namespace that nobody has used.
    pub(crate) fn real(real: &'a mut Real, record: &'a mut Record) -> Self {
        real.found_vault();
        let mut stage = Self::new(Servers::Real(real), record);
        stage.clear_cluster();
        stage
    }

    /// The real servers without a Vault.
    pub(crate) fn real_cluster(real: &'a mut Real, record: &'a mut Record) -> Self {
        let mut stage = Self::new(Servers::Real(real), record);
        stage.clear_cluster();
        stage
    }

    fn new(servers: Servers<'a>, record: &'a mut Record) -> Self {
        let mut stage = Self { servers, slots: Keyring::default(), masks: Masks::default(), record };
        stage.lay_out();
        stage
    }

    // ---- what is compared

    /// Asks Vault what the product would ask, and records what came of it.
    pub(crate) fn vault(&mut self, title: &str, call: &vault::Call) -> Outcome<vault::Reply> {
        let outcome = self.ask_vault(call);
        self.record.case(vault_row(call), title, self.masks.vault(&outcome));
        outcome
    }

    /// Asks the API server what the product would ask, and records what came of it.
    pub(crate) fn kubernetes(&mut self, title: &str, call: &kubernetes::Call) -> Outcome<kubernetes::Reply> {
        let outcome = self.ask_kubernetes(call);
        let shown = self.masks.kubernetes(&outcome);
        self.record.case(kubernetes_row(call), title, shown);
        outcome
    }

    /// Asks Vault what no adapter can say, and records status and errors.
    pub(crate) fn other(
        &mut self,
        title: &str,
        method: &str,
        path: &str,
        token: Secret,
        body: &Value,
    ) -> (u16, Value) {
        let (status, answer) = self.send(method, path, token, body);
        let said = answer.get("errors").cloned().unwrap_or(Value::Null);
        self.record.case("other", title, self.masks.shown(&json!([status, said])));
        (status, answer)
    }

    /// Records a result of the story's own.
    pub(crate) fn saw(&mut self, title: &str, what: &Value) {
        self.record.case("other", title, self.masks.shown(what));
    }

    // ---- what leads there

    /// What the product would ask of Vault, unrecorded.
    pub(crate) fn ask_vault(&mut self, call: &vault::Call) -> Outcome<vault::Reply> {
        let request = adapter::vault::encode(call, &self.slots).expect("the story filled every secret");
        let response = self.carry_vault(request);
        adapter::vault::decode(call, response, &mut self.slots)
    }

    /// What the product would ask of the API server, unrecorded.
    pub(crate) fn ask_kubernetes(&mut self, call: &kubernetes::Call) -> Outcome<kubernetes::Reply> {
        let context = adapter::kubernetes::Context { namespace: namespace(PLATFORM) };
        let request = adapter::kubernetes::encode(call, &context, &self.slots);
        let response = self.carry_kubernetes(request.expect("the story filled every secret"));
        adapter::kubernetes::decode(call, response)
    }

    /// One request to Vault that no adapter makes.
    pub(crate) fn send(&mut self, method: &str, path: &str, token: Secret, body: &Value) -> (u16, Value) {
        let token = self.slots.expose(token).expect("the story filled it").to_vec();
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(format!("/v1/{path}"));
        let request = request.header("x-vault-token", token).body(bytes).expect("a well-formed request");
        let response = self.carry_vault(request);
        let status = response.status().as_u16();
        (status, serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    /// One request to the API server that no adapter makes.
    pub(crate) fn send_kubernetes(
        &mut self,
        method: Method,
        path: &str,
        token: Secret,
        body: &Value,
    ) -> (u16, Value) {
        let token = self.slots.expose(token).expect("the story filled it");
        let bearer = format!("Bearer {}", String::from_utf8_lossy(token));
        let mut request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, bearer);
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if !bytes.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let response = self.carry_kubernetes(request.body(bytes).expect("a well-formed request"));
        let status = response.status().as_u16();
        (status, serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    /// One request to Vault as root, which must succeed.
    pub(crate) fn as_root(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, Secret::Own(Own::RootToken), body);
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {answer}");
        answer
    }

    /// Asks the API server as its administrator.
    pub(crate) fn administrate(&mut self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        match &mut self.servers {
            Servers::Real(real) => real.administrate(method, path, body),
            Servers::Fake(fakes) => {
                let patches = method == Method::PATCH;
                let kind = if patches { "application/merge-patch+json" } else { "application/json" };
                let mut request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::AUTHORIZATION, format!("Bearer {}", fakes.administrator()));
                if body.is_some() {
                    request = request.header(header::CONTENT_TYPE, kind);
                }
                let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
                let response = fakes.kubernetes(&request.body(bytes).expect("a well-formed request"));
                let status = response.status().as_u16();
                (status, serde_json::from_slice(response.body()).unwrap_or(Value::Null))
            }
        }
    }

    /// Deletes an object of the cluster at once, as its administrator.
    pub(crate) fn delete(&mut self, path: &str) {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let (status, answer) = self.administrate(Method::DELETE, path, Some(&now));
        assert_eq!(status, 200, "{path}: {answer}");
    }

    /// A pod, made anew; nothing schedules it.
    pub(crate) fn pod(&mut self, identity: &Identity, name: &str) -> Pod {
        let Object { collection, body, .. } = manifest::pod(identity, name);
        let (status, answer) = self.administrate(Method::POST, &collection, Some(&body));
        assert_eq!(status, 201, "{answer}");
        let uid = answer["metadata"]["uid"].as_str().expect("a pod has a uid").to_owned();
        self.masks.mask(&uid, &format!("UID-OF-{}", name.to_uppercase()));
        Pod { identity: identity.clone(), name: name.to_owned(), uid }
    }

    /// The token that the kubelet would project for that pod.
    pub(crate) fn token(&mut self, pod: &Pod, audience: &str) -> String {
        let bound_to = BoundTo { name: &pod.name, uid: &pod.uid };
        self.token_bound_to(&pod.identity, Some(bound_to), audience)
    }

    /// A token of that account, bound to that pod or to none.
    pub(crate) fn token_bound_to(
        &mut self,
        identity: &Identity,
        bound_to: Option<BoundTo<'_>>,
        audience: &str,
    ) -> String {
        let Object { collection, body, .. } = manifest::token_request(identity, audience, bound_to);
        let (status, answer) = self.administrate(Method::POST, &collection, Some(&body));
        assert_eq!(status, 201, "{answer}");
        answer["status"]["token"].as_str().expect("an answer with a token").to_owned()
    }

    /// Puts a secret where the product would have it.
    pub(crate) fn fill(&mut self, slot: Secret, text: &str) {
        self.slots.fill(slot, Zeroizing::new(text.as_bytes().to_vec()));
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, seconds: u64) {
        match &mut self.servers {
            Servers::Fake(fakes) => fakes.now.0 += seconds,
            Servers::Real(real) => real.wait(Duration::from_secs(seconds)),
        }
    }

    /// Vault's process ends and begins again.
    pub(crate) fn restart_vault(&mut self) {
        match &mut self.servers {
            Servers::Fake(fakes) => fakes.restart_vault(),
            Servers::Real(real) => real.restart_vault(),
        }
    }

    /// Until Vault says that it is active: a real one needs a moment after it was unsealed.
    pub(crate) fn await_active(&mut self) {
        let Servers::Real(real) = &self.servers else { return };
        real.until(ACTIVE_WITHIN, || {
            let request = Request::get("/v1/sys/health").body(Vec::new()).expect("a well-formed request");
            real.vault(request).status() == 200
        });
    }

    /// Until a K/V engine works: a real one needs a moment after it was mounted.
    pub(crate) fn await_engine(&mut self, mount: &str) {
        let token = self.slots.expose(Secret::Own(Own::RootToken)).expect("Vault was initialized").to_vec();
        let Servers::Real(real) = &self.servers else { return };
        real.until(ACTIVE_WITHIN, || {
            let request = Request::get(format!("/v1/{mount}/config")).header("x-vault-token", token.clone());
            real.vault(request.body(Vec::new()).expect("a well-formed request")).status() == 200
        });
    }

    fn carry_vault(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        match &mut self.servers {
            Servers::Fake(fakes) => fakes.vault(&request),
            Servers::Real(real) => real.vault(request),
        }
    }

    fn carry_kubernetes(&mut self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        match &mut self.servers {
            Servers::Fake(fakes) => fakes.kubernetes(&request),
            Servers::Real(real) => real.kubernetes(request),
        }
    }

    /// How Vault reaches the API server, and that one's authority.
    pub(crate) fn api_server(&self) -> (String, String) {
        match &self.servers {
            Servers::Fake(_) => (
                "https://kubernetes.default.svc".to_owned(),
                "-----BEGIN CERTIFICATE-----\nof the fake\n".to_owned(),
            ),
            Servers::Real(real) => (real.cluster().url.clone(), real.cluster().ca.clone()),
        }
    }

    /// The platform as `deploy/` lays it out, the pod that Vault runs in, and whom the masks know by name.
    fn lay_out(&mut self) {
        for object in manifest::PLATFORM.into_iter().flat_map(|yaml| manifest::objects(yaml).expect("YAML")) {
            let (status, answer) = self.administrate(Method::POST, &object.collection, Some(&object.body));
            assert!(matches!(status, 201 | 409), "{}: {answer}", object.title);
        }
        let (url, ca) = self.api_server();
        self.masks.mask(&url, "API-SERVER");
        self.masks.mask(&ca, "API-SERVER-CA");
    }

    /// Puts the API token of that pod where Vault finds the one of its own pod.
    pub(crate) fn place_vault_in(&mut self, pod: &Pod) {
        let token = self.token(pod, API_AUDIENCE);
        let (_, ca) = self.api_server();
        match &mut self.servers {
            Servers::Fake(fakes) => fakes.reviewer_token = Some(token),
            Servers::Real(real) => {
                for (name, text) in [("token", token), ("ca.crt", ca)] {
                    std::fs::write(real.pod().join(name), text).expect("an existing directory");
                }
            }
        }
    }

    /// Pods and the platform's objects of the story before.
    fn clear_cluster(&mut self) {
        let Servers::Real(real) = &self.servers else { return };
        for namespace in [PLATFORM, TENANT] {
            for plural in ["pods", "secrets", "configmaps"] {
                real.clear(namespace, plural);
            }
        }
    }
}

/// The name of a service account.
pub(crate) fn identity(namespace_name: &str, service_account: &str) -> Identity {
    let service_account = ServiceAccount::parse(service_account).expect("a name");
    Identity { namespace: namespace(namespace_name), service_account }
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

pub(crate) fn accessor(text: &str) -> Accessor {
    Accessor::parse(text).expect("an accessor")
}

/// The slot of a caller's Vault token.
pub(crate) const fn caller(number: u64) -> Secret {
    Secret::Caller(Ticket(number))
}

pub(crate) const ROOT: Secret = Secret::Own(Own::RootToken);
