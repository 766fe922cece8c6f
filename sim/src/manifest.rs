//! The manifests of `deploy/` as objects and the paths where they are created.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What lays out a platform: the same files that a cluster gets, and the tenant of the proof.
pub const PLATFORM: [&str; 3] = [
    include_str!("../../deploy/base/namespace.yaml"),
    include_str!("../../deploy/base/access.yaml"),
    include_str!("up/tenant.yaml"),
];

/// One object of a manifest.
pub struct Object {
    /// Where objects of its kind are created.
    pub collection: String,
    /// Its kind and name, for people.
    pub title: String,
    /// The object.
    pub body: Value,
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
