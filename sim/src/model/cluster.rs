//! The cluster around the controller: what the administrator has applied, and what the kubelet does.

use std::collections::BTreeMap;

use http::{Method, Request as HttpRequest, StatusCode};
use kubefox_core::names::{Identity, Namespace, ServiceAccount};
use kubefox_core::time::Unix;
use kubefox_io::disk::Folder;
use serde_json::Value;

use super::world::{PLATFORM, World};
use crate::fake::kubernetes::Kubernetes;
use crate::manifest::{self, BoundTo, Object, TOKEN_LIFE_S};

/// The age at which the kubelet replaces a projected token: four fifths of its life.
const TOKEN_REFRESH_S: u64 = TOKEN_LIFE_S / 5 * 4;
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
        let bound_to = BoundTo { name: "kubefox-0", uid: &self.pod };
        let request = manifest::token_request(&identity(PLATFORM, "kubefox"), audience, Some(bound_to));
        let answer = create(&mut self.kubernetes, self.now.unix, &request);
        answer["status"]["token"].as_str().expect("a TokenRequest answers a token").to_owned()
    }
}

pub(super) fn lay_out(kubernetes: &mut Kubernetes, now: Unix) {
    for text in manifest::PLATFORM {
        for object in manifest::objects(text).expect("deploy/ holds YAML of kinds that are known") {
            create(kubernetes, now, &object);
        }
    }
}

pub(super) fn make_pod(kubernetes: &mut Kubernetes, now: Unix) -> String {
    let answer = create(kubernetes, now, &manifest::pod(&identity(PLATFORM, "kubefox"), "kubefox-0"));
    answer["metadata"]["uid"].as_str().expect("a pod has a uid").to_owned()
}

/// The name of a service account.
pub(super) fn identity(namespace: &str, service_account: &str) -> Identity {
    let namespace = Namespace::parse(namespace).expect("a name");
    let service_account = ServiceAccount::parse(service_account).expect("a name");
    Identity { namespace, service_account }
}

/// Creates something as the administrator.
fn create(kubernetes: &mut Kubernetes, now: Unix, object: &Object) -> Value {
    let (status, answer) = administer(kubernetes, now, Method::POST, &object.collection, &object.body);
    assert_eq!(status, StatusCode::CREATED, "{}: {answer}", object.title);
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
