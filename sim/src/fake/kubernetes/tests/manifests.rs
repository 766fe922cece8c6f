//! The platform's accounts, roles and admission policy, as they are deployed.

use serde_json::{Value, json};

pub(super) const ACCOUNTS: [(&str, &str); 10] = [
    ("kubefox", "kubefox"),
    ("kubefox", "nats"),
    ("kubefox", "opensearch"),
    ("kubefox", "collector"),
    ("kubefox", "agent"),
    ("kubefox", "stranger"),
    ("team0", "app"),
    ("team0", "app.x"),
    ("team0", "nats"),
    ("team1", "app"),
];

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(super) const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const POLICY_BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// Collections and what to create in them, in order.
pub(super) fn platform() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for namespace in ["kubefox", "team0", "team1"] {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        all.push(("/api/v1/namespaces", object));
    }
    for (namespace, name) in ACCOUNTS {
        let collection = match namespace {
            "kubefox" => "/api/v1/namespaces/kubefox/serviceaccounts",
            "team0" => "/api/v1/namespaces/team0/serviceaccounts",
            _ => "/api/v1/namespaces/team1/serviceaccounts",
        };
        all.push((
            collection,
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace },
                "automountServiceAccountToken": false,
            }),
        ));
    }
    all.extend(roles());
    all.push((POLICIES, policy()));
    all.push((POLICY_BINDINGS, binding()));
    all
}

fn roles() -> [(&'static str, Value); 4] {
    const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    const CLUSTER_ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    const NAMESPACE_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/kubefox/roles";
    const NAMESPACE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/kubefox/rolebindings";
    let api = ROLES.trim_start_matches("/apis/");
    let group = "rbac.authorization.k8s.io";
    let subjects = json!([{ "kind": "ServiceAccount", "name": "kubefox", "namespace": "kubefox" }]);
    let role = json!({
        "apiVersion": api, "kind": "Role", "metadata": { "name": "kubefox-controller", "namespace": "kubefox" },
        "rules": [
            { "apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["create"] },
            { "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["kubefox-seal-key"], "verbs": ["get"] },
            {
                "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["kubefox-trust"],
                "verbs": ["get", "update"],
            },
            {
                "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kubefox-committed"],
                "verbs": ["get"],
            },
            { "apiGroups": [""], "resources": ["pods"], "resourceNames": ["kubefox-0"], "verbs": ["delete"] },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] },
        ],
    });
    let review_role = json!({
        "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": "kubefox-token-review" },
        "rules": [{ "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] }],
    });
    let review_binding = json!({
        "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": { "name": "kubefox-token-review" },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "kubefox-token-review" },
        "subjects": subjects,
    });
    let role_binding = json!({
        "apiVersion": api, "kind": "RoleBinding",
        "metadata": { "name": "kubefox-controller", "namespace": "kubefox" },
        "roleRef": { "apiGroup": group, "kind": "Role", "name": "kubefox-controller" },
        "subjects": subjects,
    });
    [
        (CLUSTER_ROLES, review_role),
        (CLUSTER_ROLE_BINDINGS, review_binding),
        (NAMESPACE_ROLES, role),
        (NAMESPACE_BINDINGS, role_binding),
    ]
}

/// The policy, its text folded as YAML folds it.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "kubefox-controller-creates" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["secrets", "configmaps"],
            }] },
            "matchConditions": [{
                "name": "kfc", "expression": "request.userInfo.username == 'system:serviceaccount:kubefox:kubefox'",
            }],
            "validations": [{
                "message": "the controller creates only its own objects",
                "reason": "Forbidden",
                "expression": concat!(
                    "request.resource.resource == 'secrets'\n",
                    "  ? object.type == 'Opaque' && (object.metadata.name == 'kubefox-trust' ||\n",
                    "    (object.metadata.name == 'kubefox-seal-key' && has(object.immutable) && object.immutable))\n",
                    "  : object.metadata.name == 'kubefox-committed' && has(object.immutable) && object.immutable",
                ),
            }],
        },
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "kubefox-controller-creates" },
        "spec": { "policyName": "kubefox-controller-creates", "validationActions": ["Deny"] },
    })
}
