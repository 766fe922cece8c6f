//! The cluster around the controller: what the administrator has applied, and what the kubelet does.

use std::collections::BTreeMap;

use http::{Method, Request as HttpRequest, StatusCode};
use kubefox_core::time::Unix;
use kubefox_io::disk::Folder;
use serde_json::{Value, json};

use super::world::{PLATFORM, World};
use crate::fake::kubernetes::Kubernetes;
use crate::manifest;

/// Life of projected tokens, and from when on the kubelet replaces them.
const TOKEN_LIFE_S: u64 = 600;
const TOKEN_REFRESH_S: u64 = 480;
/// The API server's own audience.
const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

impl World {
    /// Projects tokens and the seal key, as the kubelet does.
    pub(super) fn kubelet(&mut self) {
        if self.now.unix.0 >= self.tokens_made.0 + TOKEN_REFRESH_S {
            let audiences = [("token", API_AUDIENCE), ("vault", "kubefox-vault"), ("setup", "kubefox-setup")];
            let files =
                audiences.map(|(name, audience)| (name.to_owned(), self.token(audience).into_bytes()));
            self.disk.project(Folder::Tokens, BTreeMap::from(files));
            self.tokens_made = self.now.unix;
        }
        let secret =
            self.kubernetes.secret_data(PLATFORM, "kubefox-seal-key").filter(|_| self.seal_key_shown);
        self.disk.project(Folder::SealKey, secret.unwrap_or_default());
    }

    fn token(&mut self, audience: &str) -> String {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": [audience],
                "expirationSeconds": TOKEN_LIFE_S,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "kubefox-0", "uid": self.pod},
            },
        });
        let path = format!("/api/v1/namespaces/{PLATFORM}/serviceaccounts/kubefox/token");
        let answer = create(&mut self.kubernetes, self.now.unix, &path, &body);
        answer["status"]["token"].as_str().expect("a TokenRequest answers a token").to_owned()
    }
}

pub(super) fn lay_out(kubernetes: &mut Kubernetes, now: Unix) {
    for text in manifest::PLATFORM {
        for object in manifest::objects(text).expect("deploy/ holds YAML of kinds that are known") {
            create(kubernetes, now, &object.collection, &object.body);
        }
    }
}

pub(super) fn make_pod(kubernetes: &mut Kubernetes, now: Unix) -> String {
    let body = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kubefox-0", "namespace": PLATFORM},
        "spec": {"serviceAccountName": "kubefox", "containers": [{"name": "none", "image": "none"}]},
    });
    let answer = create(kubernetes, now, &format!("/api/v1/namespaces/{PLATFORM}/pods"), &body);
    answer["metadata"]["uid"].as_str().expect("a pod has a uid").to_owned()
}

/// Creates something as the administrator.
fn create(kubernetes: &mut Kubernetes, now: Unix, path: &str, body: &Value) -> Value {
    let (status, answer) = administer(kubernetes, now, Method::POST, path, body);
    assert_eq!(status, StatusCode::CREATED, "{path}: {answer}");
    answer
}

pub(super) fn administer(
    kubernetes: &mut Kubernetes,
    now: Unix,
    method: Method,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", kubernetes.admin_token()))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .expect("a well-formed request");
    let response = kubernetes.handle(now, &request);
    (response.status(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
}
