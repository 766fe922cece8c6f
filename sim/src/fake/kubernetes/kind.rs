//! The kinds of objects this API server keeps, as its REST paths and its messages name them.

use serde::{Deserialize, Serialize};

/// A kind of stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` Pod; never scheduled here.
    Pod,
    /// `v1` Secret.
    Secret,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `events.k8s.io/v1` Event.
    Event,
    /// `rbac.authorization.k8s.io/v1` ClusterRole.
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
    ClusterRoleBinding,
    /// `rbac.authorization.k8s.io/v1` Role.
    Role,
    /// `rbac.authorization.k8s.io/v1` RoleBinding.
    RoleBinding,
    /// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy.
    ValidatingAdmissionPolicy,
    /// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicyBinding.
    ValidatingAdmissionPolicyBinding,
}

pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Namespace,
        Self::ServiceAccount,
        Self::Pod,
        Self::Secret,
        Self::ConfigMap,
        Self::Event,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::Role,
        Self::RoleBinding,
        Self::ValidatingAdmissionPolicy,
        Self::ValidatingAdmissionPolicyBinding,
    ];

    /// The kind served at a path, if it is served here. Every group is served in its version `v1` only.
    pub(super) fn served_at(group: &str, version: &str, resource: &str) -> Option<Self> {
        let served = |kind: &Self| kind.group() == group && version == "v1" && kind.resource() == resource;
        Self::ALL.into_iter().find(served)
    }

    /// The name in the field `kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Pod => "Pod",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Event => "Event",
            Self::ClusterRole => "ClusterRole",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::ValidatingAdmissionPolicy => "ValidatingAdmissionPolicy",
            Self::ValidatingAdmissionPolicyBinding => "ValidatingAdmissionPolicyBinding",
        }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Namespace | Self::ServiceAccount | Self::Pod | Self::Secret | Self::ConfigMap => "",
            Self::Event => "events.k8s.io",
            Self::ClusterRole | Self::ClusterRoleBinding | Self::Role | Self::RoleBinding => RBAC,
            Self::ValidatingAdmissionPolicy | Self::ValidatingAdmissionPolicyBinding => ADMISSION,
        }
    }

    /// The plural of its REST path.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::Pod => "pods",
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::Event => "events",
            Self::ClusterRole => "clusterroles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
            Self::ValidatingAdmissionPolicy => "validatingadmissionpolicies",
            Self::ValidatingAdmissionPolicyBinding => "validatingadmissionpolicybindings",
        }
    }

    /// Whether its objects live in a namespace.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        match self {
            Self::ServiceAccount
            | Self::Pod
            | Self::Secret
            | Self::ConfigMap
            | Self::Event
            | Self::Role
            | Self::RoleBinding => true,
            Self::Namespace
            | Self::ClusterRole
            | Self::ClusterRoleBinding
            | Self::ValidatingAdmissionPolicy
            | Self::ValidatingAdmissionPolicyBinding => false,
        }
    }

    /// The field `apiVersion`.
    pub(super) fn api_version(self) -> String {
        match self.group() {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// The top-level fields an object may have besides `apiVersion`, `kind` and `metadata`.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Namespace => &["spec", "status"],
            Self::ServiceAccount => &["automountServiceAccountToken", "imagePullSecrets"],
            Self::Pod => &["spec", "status"],
            Self::Secret => &["data", "immutable", "stringData", "type"],
            Self::ConfigMap => &["binaryData", "data", "immutable"],
            Self::Event => &[
                "action",
                "eventTime",
                "note",
                "reason",
                "regarding",
                "related",
                "reportingController",
                "reportingInstance",
                "series",
                "type",
            ],
            Self::ClusterRole | Self::Role => &["rules"],
            Self::ClusterRoleBinding | Self::RoleBinding => &["roleRef", "subjects"],
            Self::ValidatingAdmissionPolicy | Self::ValidatingAdmissionPolicyBinding => &["spec"],
        }
    }
}

/// `secrets`, or `roles.rbac.authorization.k8s.io`: how messages name a resource, and with a kind's name, a kind.
pub(super) fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
