//! The manifests of `deploy/` as objects and the paths where they are created, and the pods and tokens beside them.

use anyhow::{Context as _, Result};
use kubefox_core::names::Identity;
use serde_json::{Value, json};

/// What lays out a platform: the same files that a cluster gets, and the tenant of the proof.
pub const PLATFORM: [&str; 3] = [
    include_str!("../../deploy/base/namespace.yaml"),
    include_str!("../../deploy/base/access.yaml"),
    include_str!("up/tenant.yaml"),
];

/// Life of a projected token in seconds, the shortest that the API server grants.
pub const TOKEN_LIFE_S: u64 = 600;

/// The pod whose death ends a token.
#[derive(Clone, Copy)]
pub struct BoundTo<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// One object of a manifest.
pub struct Object {
    /// Where objects of its kind are created.
    pub collection: String,
    /// Its kind and name, for people.
    pub title: String,
    /// The object.
    pub body: Value,
}

/// A pod that nothing schedules: it only gives tokens a pod to be bound to. Even the platform's namespace admits it.
#[must_use]
pub fn pod(identity: &Identity, name: &str) -> Object {
    let Identity { namespace, service_account } = identity;
    let body = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace.as_str()},
        "spec": {
            "serviceAccountName": service_account.as_str(),
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "none", "image": "none",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let collection = format!("/api/v1/namespaces/{namespace}/pods");
    Object { collection, title: format!("Pod {name}"), body }
}

/// What the kubelet asks for a token that it projects, bound to that pod; without one, what only an administrator asks.
#[must_use]
pub fn token_request(identity: &Identity, audience: &str, bound_to: Option<BoundTo<'_>>) -> Object {
    let Identity { namespace, service_account } = identity;
    let reference = bound_to
        .map(|BoundTo { name, uid }| json!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}));
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": TOKEN_LIFE_S, "boundObjectRef": reference},
    });
    let collection = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
    Object { collection, title: format!("a token of {identity}"), body }
}

/// The objects of a YAML text, in its order.
///
/// # Errors
/// If the text is not YAML, or an object is of a kind that no path is known for.
pub fn objects(yaml: &str) -> Result<Vec<Object>> {
    let bodies: Vec<Value> = serde_saphyr::from_multiple(yaml).context("the manifest is not YAML")?;
    bodies.into_iter().map(object).collect()
}

fn object(body: Value) -> Result<Object> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace, name) = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
    let (group, plural, namespaced) = match kind {
        "Namespace" => ("api/v1", "namespaces", false),
        "ServiceAccount" => ("api/v1", "serviceaccounts", true),
        "ClusterRole" => ("apis/rbac.authorization.k8s.io/v1", "clusterroles", false),
        "ClusterRoleBinding" => ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", false),
        "Role" => ("apis/rbac.authorization.k8s.io/v1", "roles", true),
        "RoleBinding" => ("apis/rbac.authorization.k8s.io/v1", "rolebindings", true),
        "ValidatingAdmissionPolicy" => {
            ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies", false)
        }
        "ValidatingAdmissionPolicyBinding" => {
            ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", false)
        }
        other => anyhow::bail!("{other} {name}: no path is known for objects of this kind"),
    };
    let collection = if namespaced {
        format!("/{group}/namespaces/{namespace}/{plural}")
    } else {
        format!("/{group}/{plural}")
    };
    let title = format!("{kind} {name}");
    Ok(Object { collection, title, body })
}
