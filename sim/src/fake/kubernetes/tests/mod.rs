//! Stories of the fake API server, told through its one interface.

mod controller;
mod life;
mod strictness;
mod tokens;

use http::{Method, header};
use kubefox_core::names::{Identity, Namespace, ServiceAccount};
use kubefox_core::time::Unix;
use serde_json::{Value, json};

use super::Kubernetes;
use super::token::ISSUER;
use crate::manifest::{self, BoundTo, Object};

/// 2026-11-23T20:20:34Z.
const NOON: Unix = Unix(1_795_465_234);

const SECRETS: &str = "/api/v1/namespaces/kubefox/secrets";
const CONFIG_MAPS: &str = "/api/v1/namespaces/kubefox/configmaps";
const PODS: &str = "/api/v1/namespaces/kubefox/pods";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// A cluster and the moment it lives in.
struct Cluster {
    server: Kubernetes,
    now: Unix,
}

impl Cluster {
    fn empty() -> Self {
        Self { server: Kubernetes::new(7), now: NOON }
    }

    /// With the platform as `deploy/` lays it out, and the pods of the controller, of NATS and of two components.
    fn platform() -> Self {
        let mut cluster = Self::empty();
        let objects = manifest::PLATFORM.into_iter().flat_map(|yaml| manifest::objects(yaml).expect("YAML"));
        for Object { collection, title, body } in objects {
            let (code, answer) = cluster.admin("POST", &collection, &body);
            assert_eq!(code, 201, "{title}: {answer}");
        }
        for (namespace, account) in
            [("kubefox", "kubefox"), ("kubefox", "nats"), ("team0", "component-a"), ("team0", "component-b")]
        {
            cluster.pod(namespace, account, &format!("{account}-0"));
        }
        cluster
    }

    fn admin(&mut self, method: &str, uri: &str, body: &Value) -> (u16, Value) {
        let token = self.server.admin_token().to_owned();
        self.call(&token, method, uri, body)
    }

    /// One request as the bearer of `token`; a body unless it is null.
    fn call(&mut self, token: &str, method: &str, uri: &str, body: &Value) -> (u16, Value) {
        self.send(token, method, uri, "application/json", body)
    }

    fn send(&mut self, token: &str, method: &str, uri: &str, media_type: &str, body: &Value) -> (u16, Value) {
        let method: Method = method.parse().expect("a method");
        let mut request = http::Request::builder().method(method).uri(uri);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let text = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        if !text.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let response = self.server.handle(self.now, &request.body(text).expect("a well-formed request"));
        assert!(response.headers().contains_key(header::DATE));
        let code = response.status().as_u16();
        let body = serde_json::from_slice(response.body());
        (code, body.unwrap_or_else(|_| json!(String::from_utf8_lossy(response.body()))))
    }

    fn pod(&mut self, namespace: &str, account: &str, name: &str) -> String {
        let pod = manifest::pod(&identity(namespace, account), name);
        let (code, answer) = self.admin("POST", &pod.collection, &pod.body);
        assert_eq!(code, 201, "{answer}");
        text(&answer["metadata"]["uid"])
    }

    /// A token for `audience`, bound to `pod` of `account` as the kubelet does it.
    fn token(&mut self, namespace: &str, account: &str, audience: &str) -> String {
        let name = format!("{account}-0");
        let uid = self.server.pod_uid(namespace, &name).expect("it was made").to_owned();
        let bound_to = BoundTo { name: &name, uid: &uid };
        let request = manifest::token_request(&identity(namespace, account), audience, Some(bound_to));
        let (code, answer) = self.admin("POST", &request.collection, &request.body);
        assert_eq!(code, 201, "{answer}");
        text(&answer["status"]["token"])
    }

    /// The controller's own token for the API server.
    fn controller_token(&mut self) -> String {
        self.token("kubefox", "kubefox", ISSUER)
    }

    /// The status of the administrator's review of a token.
    fn review(&mut self, token: &str, audience: &str) -> Value {
        let (code, answer) = self.admin("POST", REVIEWS, &token_review(token, audience));
        assert_eq!(code, 201, "{answer}");
        answer["status"].clone()
    }
}

fn identity(namespace: &str, service_account: &str) -> Identity {
    let namespace = Namespace::parse(namespace).expect("a name");
    let service_account = ServiceAccount::parse(service_account).expect("a name");
    Identity { namespace, service_account }
}

/// The platform's admission policy.
fn policy() -> Object {
    let objects = manifest::PLATFORM.into_iter().flat_map(|yaml| manifest::objects(yaml).expect("YAML"));
    let mut policies = objects.filter(|object| object.body["kind"] == "ValidatingAdmissionPolicy");
    policies.next().expect("the platform has one")
}

fn token_request(spec: &Value) -> Value {
    json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec })
}

fn token_review(token: &str, audience: &str) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    })
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
