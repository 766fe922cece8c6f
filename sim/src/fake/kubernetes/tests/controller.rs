//! What the controller's own token may do and may not do, request by request, in the words of a real server.

use serde_json::{Value, json};

use super::{CONFIG_MAPS, Cluster, ISSUER, PODS, REVIEWS, SECRETS, text, token_review};
use crate::fake::kubernetes::Kind;

const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Two phrases of the server that every other line would repeat, and what stands for them here.
const SHORT: [(&str, &str); 2] = [
    ("is forbidden: User \"system:serviceaccount:kubefox:kubefox\" cannot", "RBAC:"),
    (
        "is forbidden: ValidatingAdmissionPolicy 'kubefox-controller-creates' with binding \
         'kubefox-controller-creates' denied request: the controller creates only its own objects",
        "DENIED",
    ),
];

#[test]
fn it_creates_its_own_secrets_only() {
    let mut walk = Walk::begin();
    let dry = format!("{SECRETS}?dryRun=All");
    let elsewhere = "/api/v1/namespaces/team0/secrets?dryRun=All";
    let mutable = without(secret("kubefox-seal-key"), "immutable");
    let unlocked = with(secret("kubefox-seal-key"), "immutable", json!(false));

    let said = [
        walk.post(&dry, &seal_key()),
        walk.post(&dry, &without(secret("kubefox-seal-key"), "type")),
        walk.post(&dry, &secret("kubefox-seal-key2")),
        walk.post(&dry, &mutable),
        walk.post(&dry, &unlocked),
        walk.post(&dry, &account_token("kubefox-seal-key")),
        walk.post(&dry, &account_token("kubefox-trust")),
        walk.post(elsewhere, &seal_key()),
    ];

    assert_eq!(
        said,
        [
            r#"201"#,
            r#"201"#,
            r#"403 secrets "kubefox-seal-key2" DENIED"#,
            r#"403 secrets "kubefox-seal-key" DENIED"#,
            r#"403 secrets "kubefox-seal-key" DENIED"#,
            r#"403 secrets "kubefox-seal-key" DENIED"#,
            r#"403 secrets "kubefox-trust" DENIED"#,
            r#"403 secrets RBAC: create resource "secrets" in API group "" in the namespace "team0""#,
        ]
    );
    assert_eq!(walk.cluster.server.objects(Kind::Secret).count(), 0);
}

#[test]
fn a_generated_name_is_none_of_its_own() {
    let mut walk = Walk::begin();
    let metadata = json!({ "generateName": "kubefox-seal-key" });

    let said = walk.post(SECRETS, &with(secret("x"), "metadata", metadata));

    let name = said.split('"').nth(1).expect("the answer quotes the name");
    assert_eq!(said, format!("403 secrets \"{name}\" DENIED"));
    assert_eq!(name.strip_prefix("kubefox-seal-key").map(str::len), Some(5));
}

#[test]
fn it_reads_its_seal_key_and_cannot_touch_it() {
    let mut walk = Walk::begin();
    let seal = format!("{SECRETS}/kubefox-seal-key");
    let managed = format!("{seal}?fieldManager=kubefox");
    let other = format!("{SECRETS}/kubefox-other");
    let selected = format!("{SECRETS}?fieldSelector=metadata.name%3Dkubefox-seal-key");
    let release = json!({ "metadata": { "finalizers": null } });

    let said = [
        walk.get(&seal),
        walk.get(&other),
        walk.put(&seal, &secret("kubefox-seal-key")),
        walk.delete(&seal, &Value::Null),
        walk.patch(&seal, MERGE_PATCH, &release),
        walk.patch(&managed, APPLY_PATCH, &seal_key()),
        walk.patch(&other, APPLY_PATCH, &secret("kubefox-other")),
        walk.delete(SECRETS, &Value::Null),
        walk.get(SECRETS),
        walk.get(&selected),
        walk.get(&format!("{SECRETS}?watch=1")),
    ];

    let here = r#"resource "secrets" in API group "" in the namespace "kubefox""#;
    assert_eq!(
        said,
        [
            r#"404 secrets "kubefox-seal-key" not found"#.to_owned(),
            format!(r#"403 secrets "kubefox-other" RBAC: get {here}"#),
            format!(r#"403 secrets "kubefox-seal-key" RBAC: update {here}"#),
            format!(r#"403 secrets "kubefox-seal-key" RBAC: delete {here}"#),
            format!(r#"403 secrets "kubefox-seal-key" RBAC: patch {here}"#),
            format!(r#"403 secrets "kubefox-seal-key" RBAC: patch {here}"#),
            format!(r#"403 secrets "kubefox-other" RBAC: patch {here}"#),
            format!(r#"403 secrets RBAC: deletecollection {here}"#),
            format!(r#"403 secrets RBAC: list {here}"#),
            format!(r#"403 secrets "kubefox-seal-key" RBAC: list {here}"#),
            format!(r#"403 secrets RBAC: watch {here}"#),
        ]
    );
}

#[test]
fn it_publishes_and_renews_the_trust() {
    let mut walk = Walk::begin();
    let trust = format!("{SECRETS}/kubefox-trust");
    let bundle = |text: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": "kubefox-trust" }, "data": { "ca.crt": text },
        })
    };

    let said = [
        walk.get(&trust),
        walk.post(SECRETS, &bundle("")),
        walk.put(&trust, &bundle("eA==")),
        walk.get(&trust),
        walk.delete(&trust, &Value::Null),
    ];

    let refused = r#"RBAC: delete resource "secrets" in API group "" in the namespace "kubefox""#;
    assert_eq!(
        said,
        [
            r#"404 secrets "kubefox-trust" not found"#.to_owned(),
            "201".to_owned(),
            "200".to_owned(),
            "200".to_owned(),
            format!(r#"403 secrets "kubefox-trust" {refused}"#),
        ]
    );
    let shown = walk.cluster.server.secret_data("kubefox", "kubefox-trust");
    let files: Vec<(String, Vec<u8>)> = shown.into_iter().flatten().collect();
    assert_eq!(files, [("ca.crt".to_owned(), b"x".to_vec())]);
}

#[test]
fn it_commits_once_with_an_immutable_config_map() {
    let mut walk = Walk::begin();
    let dry = format!("{CONFIG_MAPS}?dryRun=All");

    let said = [
        walk.post(&dry, &committed("kubefox-committed", true)),
        walk.post(&dry, &committed("kubefox-committed", false)),
        walk.post(&dry, &committed("kube-root-ca.crt2", true)),
        walk.get(&format!("{CONFIG_MAPS}/kubefox-committed")),
        walk.get(&format!("{CONFIG_MAPS}/kube-root-ca.crt")),
    ];

    let refused = r#"RBAC: get resource "configmaps" in API group "" in the namespace "kubefox""#;
    assert_eq!(
        said,
        [
            "201".to_owned(),
            r#"403 configmaps "kubefox-committed" DENIED"#.to_owned(),
            r#"403 configmaps "kube-root-ca.crt2" DENIED"#.to_owned(),
            r#"404 configmaps "kubefox-committed" not found"#.to_owned(),
            format!(r#"403 configmaps "kube-root-ca.crt" {refused}"#),
        ]
    );
}

#[test]
fn it_deletes_its_own_pod_only_and_only_that_very_pod() {
    let mut walk = Walk::begin();
    let own = format!("{PODS}/kubefox-0");
    let (_, pod) = walk.cluster.admin("GET", &own, &Value::Null);
    let uid = text(&pod["metadata"]["uid"]);
    let neighbour = format!("{PODS}/nats-0");
    let exec = format!("{neighbour}/exec?command=id&container=c&stdout=1");

    let said = [
        walk.delete(&own, &delete_only("none")),
        walk.delete(&own, &delete_only(&uid)),
        walk.delete(&format!("{neighbour}?dryRun=All"), &Value::Null),
        walk.get(&own),
        walk.post(&format!("{PODS}?dryRun=All"), &json!({})),
        walk.post(&exec, &Value::Null),
    ];

    let mismatch = format!(
        "409 Operation cannot be fulfilled on Pod \"kubefox-0\": the UID in the precondition (none) does not \
         match the UID in record ({uid}). The object might have been deleted and then recreated"
    );
    let here = r#"in API group "" in the namespace "kubefox""#;
    assert_eq!(
        said,
        [
            mismatch,
            "200".to_owned(),
            format!(r#"403 pods "nats-0" RBAC: delete resource "pods" {here}"#),
            format!(r#"403 pods "kubefox-0" RBAC: get resource "pods" {here}"#),
            format!(r#"403 pods RBAC: create resource "pods" {here}"#),
            format!(r#"403 pods "nats-0" RBAC: create resource "pods/exec" {here}"#),
        ]
    );
    assert_eq!(walk.cluster.admin("GET", &own, &Value::Null), (200, pod));
}

#[test]
fn it_reviews_tokens_reports_events_and_reads_the_keys() {
    let mut walk = Walk::begin();
    let token = walk.token.clone();

    let said = [
        walk.post(REVIEWS, &token_review(&token, ISSUER)),
        walk.post("/apis/events.k8s.io/v1/namespaces/kubefox/events", &event()),
        walk.get("/.well-known/openid-configuration"),
        walk.get("/openid/v1/jwks"),
    ];

    assert_eq!(said, ["201", "201", "200", "200"]);
    assert_eq!(walk.cluster.server.objects(Kind::Event).count(), 1);
}

#[test]
fn it_sees_nothing_else_of_the_cluster() {
    let mut walk = Walk::begin();
    let access = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

    let said = [
        walk.post(access, &json!({})),
        walk.post("/api/v1/namespaces/kubefox/serviceaccounts/nats/token", &json!({})),
        walk.get("/api/v1/secrets"),
        walk.get("/api/v1/namespaces"),
        walk.get("/api/v1/nodes"),
        walk.get("/api/v1/pods"),
        walk.get("/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        walk.get(policies),
        walk.post(rules, &json!({})),
    ];

    let list = |resource: &str| format!(r#"403 {resource} RBAC: list resource "{resource}" in API group """#);
    let group = |resource: &str, group: &str, verb: &str| {
        format!(
            r#"403 {resource}.{group} RBAC: {verb} resource "{resource}" in API group "{group}" at the cluster scope"#
        )
    };
    let token = r#"RBAC: create resource "serviceaccounts/token" in API group "" in the namespace "kubefox""#;
    assert_eq!(
        said,
        [
            group("subjectaccessreviews", "authorization.k8s.io", "create"),
            format!(r#"403 serviceaccounts "nats" {token}"#),
            format!("{} at the cluster scope", list("secrets")),
            format!("{} at the cluster scope", list("namespaces")),
            format!("{} at the cluster scope", list("nodes")),
            format!("{} at the cluster scope", list("pods")),
            group("clusterroles", "rbac.authorization.k8s.io", "list"),
            group("validatingadmissionpolicies", "admissionregistration.k8s.io", "list"),
            format!(
                "501 POST {rules}: the fake API server does not implement create \
                 selfsubjectrulesreviews.authorization.k8s.io"
            ),
        ]
    );
}

/// The controller's token on its way through the API. Each answer is its code and, if it is a refusal, its message.
struct Walk {
    cluster: Cluster,
    token: String,
}

impl Walk {
    fn begin() -> Self {
        let mut cluster = Cluster::platform();
        let token = cluster.controller_token();
        Self { cluster, token }
    }

    fn get(&mut self, uri: &str) -> String {
        self.send("GET", uri, "", &Value::Null)
    }

    fn post(&mut self, uri: &str, body: &Value) -> String {
        self.send("POST", uri, "application/json", body)
    }

    fn put(&mut self, uri: &str, body: &Value) -> String {
        self.send("PUT", uri, "application/json", body)
    }

    fn delete(&mut self, uri: &str, body: &Value) -> String {
        self.send("DELETE", uri, "application/json", body)
    }

    fn patch(&mut self, uri: &str, media_type: &str, body: &Value) -> String {
        self.send("PATCH", uri, media_type, body)
    }

    fn send(&mut self, method: &str, uri: &str, media_type: &str, body: &Value) -> String {
        let token = self.token.clone();
        let (code, answer) = self.cluster.send(&token, method, uri, media_type, body);
        let message = answer["message"].as_str().unwrap_or("");
        let shorten = |text: String, (long, short): &(&str, &str)| text.replace(long, short);
        let message = SHORT.iter().fold(message.to_owned(), shorten);
        format!("{code} {message}").trim_end().to_owned()
    }
}

fn seal_key() -> Value {
    let metadata = json!({ "name": "kubefox-seal-key", "finalizers": ["kubefox.io/seal-key"] });
    with(secret("kubefox-seal-key"), "metadata", metadata)
}

fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
        "metadata": { "name": name }, "data": { "key": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=" },
    })
}

fn account_token(name: &str) -> Value {
    let annotations = json!({ "kubernetes.io/service-account.name": "default" });
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "immutable": true,
        "metadata": { "name": name, "annotations": annotations },
    })
}

fn committed(name: &str, immutable: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": immutable,
        "metadata": { "name": name, "annotations": { "kubefox.io/life-id": "x" } },
    })
}

fn delete_only(uid: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"], "gracePeriodSeconds": 0,
        "preconditions": { "uid": uid },
    })
}

fn event() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "kubefox.1" },
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Unsealed", "action": "Unseal",
        "reportingController": "kubefox.io/controller", "reportingInstance": "kubefox-0", "note": "x",
        "regarding": { "kind": "Pod", "namespace": "kubefox", "name": "kubefox-0" },
    })
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn without(mut object: Value, field: &str) -> Value {
    object.as_object_mut().expect("an object").remove(field);
    object
}
