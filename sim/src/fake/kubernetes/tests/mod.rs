//! Stories of the fake API server, told through its one interface.

mod controller;
mod life;
mod manifests;
mod strictness;
mod tokens;

use http::{Method, header};
use kubefox_core::time::Unix;
use serde_json::{Value, json};

use super::Kubernetes;
use super::token::ISSUER;

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

    /// With the platform's accounts, roles and policy, and a pod of each account.
    fn platform() -> Self {
        let mut cluster = Self::empty();
        for (path, object) in manifests::platform() {
            let (code, answer) = cluster.admin("POST", path, &object);
            assert_eq!(code, 201, "{path}: {answer}");
        }
        for (namespace, account) in manifests::ACCOUNTS {
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
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
            "spec": { "serviceAccountName": account, "containers": [{ "name": "c", "image": "none" }] },
        });
        let (code, answer) = self.admin("POST", &format!("/api/v1/namespaces/{namespace}/pods"), &pod);
        assert_eq!(code, 201, "{answer}");
        text(&answer["metadata"]["uid"])
    }

    /// A token for `audience`, bound to `pod` of `account` as the kubelet does it.
    fn token(&mut self, namespace: &str, account: &str, audience: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{account}-0");
        let (_, pod) = self.admin("GET", &path, &Value::Null);
        let request = token_request(&json!({
            "audiences": [audience], "expirationSeconds": 600,
            "boundObjectRef": {
                "kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"],
            },
        }));
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let (code, answer) = self.admin("POST", &path, &request);
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
