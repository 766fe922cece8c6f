//! The life of objects: compare-and-set, immutability, finalizers, dry runs, forks.

use serde_json::{Value, json};

use super::{CONFIG_MAPS, Cluster, PODS, SECRETS, config_map, text};
use crate::fake::kubernetes::{Kind, Kubernetes};

const MERGE_PATCH: &str = "application/merge-patch+json";

#[test]
fn a_secret_is_shown_as_it_was_created() {
    let mut cluster = Cluster::platform();
    let secret = json!({
        "metadata": { "name": "s", "labels": { "a": "b" } }, "data": { "one": "MQ==" }, "stringData": { "two": "2" },
    });

    let (code, created) = cluster.admin("POST", SECRETS, &secret);

    let metadata = &created["metadata"];
    assert_eq!(code, 201);
    assert_eq!(
        created,
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": { "one": "MQ==", "two": "Mg==" },
            "metadata": {
                "name": "s", "namespace": "kubefox", "labels": { "a": "b" },
                "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
                "creationTimestamp": "2026-11-23T20:20:34Z",
            },
        })
    );
    assert_eq!(cluster.admin("GET", &format!("{SECRETS}/s"), &Value::Null), (200, created.clone()));
    assert_eq!(cluster.server.object(Kind::Secret, "kubefox", "s"), Some(created));
}

#[test]
fn a_second_create_conflicts_and_an_absent_namespace_is_not_found() {
    let mut cluster = Cluster::platform();
    let map = config_map("m", &json!({}));
    cluster.admin("POST", CONFIG_MAPS, &map);

    let again = cluster.admin("POST", CONFIG_MAPS, &map);
    let (nowhere, answer) = cluster.admin("POST", "/api/v1/namespaces/nowhere/configmaps", &map);

    let conflict = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "configmaps \"m\" already exists", "reason": "AlreadyExists",
        "details": { "name": "m", "kind": "configmaps" }, "code": 409,
    });
    assert_eq!(again, (409, conflict));
    assert_eq!((nowhere, &answer["message"]), (404, &json!("namespaces \"nowhere\" not found")));
}

#[test]
fn updates_are_compare_and_set() {
    let mut cluster = Cluster::platform();
    let path = format!("{CONFIG_MAPS}/m");
    let (_, first) = cluster.admin("POST", CONFIG_MAPS, &config_map("m", &json!({ "k": "1" })));
    let mut second = first.clone();
    second["data"]["k"] = json!("2");
    let mut other_uid = second.clone();
    other_uid["metadata"]["uid"] = json!("none");

    let (updated, now) = cluster.admin("PUT", &path, &second);
    let (stale, answer) = cluster.admin("PUT", &path, &second);
    let (unconditional, last) = cluster.admin("PUT", &path, &config_map("m", &json!({ "k": "3" })));
    let (unchanged, same) = cluster.admin("PUT", &path, &config_map("m", &json!({ "k": "3" })));
    let (mistaken, _) = cluster.admin("PUT", &path, &other_uid);
    let absent = format!("{CONFIG_MAPS}/absent");
    let (missing, _) = cluster.admin("PUT", &absent, &config_map("absent", &json!({})));

    assert_eq!(
        (updated, &now["data"]["k"], &now["metadata"]["uid"]),
        (200, &json!("2"), &first["metadata"]["uid"])
    );
    assert_ne!(now["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let words = "Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please apply your \
                 changes to the latest version and try again";
    assert_eq!((stale, &answer["message"], &answer["reason"]), (409, &json!(words), &json!("Conflict")));
    assert_eq!((unconditional, unchanged, last), (200, 200, same));
    assert_eq!((mistaken, missing), (409, 404));
}

#[test]
fn immutable_data_stays_and_labels_may_change() {
    let mut cluster = Cluster::platform();
    let path = format!("{SECRETS}/s");
    let metadata = json!({ "name": "s" });
    let secret = |immutable: bool, data: &str| {
        let data = json!({ "k": data });
        json!({ "metadata": metadata, "immutable": immutable, "data": data })
    };
    cluster.admin("POST", SECRETS, &secret(true, "MQ=="));
    let mut labelled = secret(true, "MQ==");
    labelled["metadata"]["labels"] = json!({ "a": "b" });

    let (changed, answer) = cluster.admin("PUT", &path, &secret(true, "Mg=="));
    let (unlocked, _) = cluster.admin("PUT", &path, &secret(false, "MQ=="));
    let (relabelled, now) = cluster.admin("PUT", &path, &labelled);

    let words = "Secret \"s\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
    assert_eq!((changed, &answer["message"]), (422, &json!(words)));
    assert_eq!(answer["details"]["causes"][0]["field"], "data");
    assert_eq!((unlocked, relabelled), (422, 200));
    assert_eq!((&now["metadata"]["labels"], &now["data"]), (&json!({ "a": "b" }), &json!({ "k": "MQ==" })));
}

#[test]
fn a_finalizer_keeps_a_deleted_secret_readable_and_nobody_takes_the_deletion_back() {
    let mut cluster = Cluster::platform();
    let path = format!("{SECRETS}/s");
    let held = json!({ "metadata": { "name": "s", "finalizers": ["kubefox.io/seal-key"] }, "data": { "k": "MQ==" } });
    cluster.admin("POST", SECRETS, &held);

    let (deleted, marked) = cluster.admin("DELETE", &path, &Value::Null);
    let (again, _) = cluster.admin("DELETE", &path, &Value::Null);
    let (kept, taken_back) = cluster.admin("PUT", &path, &held);
    let (created, answer) = cluster.admin("POST", SECRETS, &held);
    let mut added = held.clone();
    added["metadata"]["finalizers"] = json!(["kubefox.io/seal-key", "kubefox.io/more"]);
    let (more, _) = cluster.admin("PUT", &path, &added);

    assert_eq!((deleted, again, kept, more), (200, 200, 200, 422));
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-11-23T20:20:34Z");
    assert_eq!(taken_back, marked);
    let words = "object is being deleted: secrets \"s\" already exists";
    assert_eq!((created, &answer["message"]), (409, &json!(words)));
    assert!(cluster.server.secret_data("kubefox", "s").is_some());

    let admin = cluster.server.admin_token().to_owned();
    let release = json!({ "metadata": { "finalizers": null } });
    let (released, _) = cluster.send(&admin, "PATCH", &path, MERGE_PATCH, &release);
    assert_eq!((released, cluster.admin("GET", &path, &Value::Null).0), (200, 404));
}

#[test]
fn a_deletion_without_finalizers_is_immediate() {
    let mut cluster = Cluster::platform();
    let (_, map) = cluster.admin("POST", CONFIG_MAPS, &config_map("m", &json!({})));
    let (path, pod) = (format!("{CONFIG_MAPS}/m"), format!("{PODS}/nats-0"));

    let (stale, _) = cluster.admin("DELETE", &path, &json!({ "preconditions": { "resourceVersion": "1" } }));
    let deleted = cluster.admin("DELETE", &path, &Value::Null);
    let (pod_deleted, shown) = cluster.admin("DELETE", &pod, &Value::Null);

    let success = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": { "name": "m", "kind": "configmaps", "uid": map["metadata"]["uid"] },
    });
    assert_eq!(stale, 409);
    assert_eq!(deleted, (200, success));
    assert_eq!((pod_deleted, &shown["kind"]), (200, &json!("Pod")));
    assert_eq!(
        (cluster.admin("GET", &path, &Value::Null).0, cluster.admin("GET", &pod, &Value::Null).0),
        (404, 404)
    );
}

#[test]
fn a_dry_run_answers_like_a_run_and_leaves_no_trace() {
    let mut cluster = Cluster::platform();
    cluster.admin("POST", CONFIG_MAPS, &config_map("m", &json!({})));
    let before = stored(&cluster.server);
    let path = format!("{CONFIG_MAPS}/m?dryRun=All");

    let (created, shown) =
        cluster.admin("POST", &format!("{CONFIG_MAPS}?dryRun=All"), &config_map("n", &json!({})));
    let (again, _) =
        cluster.admin("POST", &format!("{CONFIG_MAPS}?dryRun=All"), &config_map("m", &json!({})));
    let (updated, _) = cluster.admin("PUT", &path, &config_map("m", &json!({ "k": "v" })));
    let (deleted, _) = cluster.admin("DELETE", &path, &Value::Null);
    let (namespace, _) =
        cluster.admin("POST", "/api/v1/namespaces?dryRun=All", &json!({ "metadata": { "name": "n" } }));
    let (unknown, _) = cluster.admin("DELETE", &format!("{CONFIG_MAPS}/m?dryRun=Some"), &Value::Null);

    assert_eq!((created, again, updated, deleted, namespace, unknown), (201, 409, 200, 200, 201, 422));
    assert_eq!(shown["metadata"].get("resourceVersion"), None);
    assert_eq!(stored(&cluster.server), before);
}

#[test]
fn a_stored_cluster_goes_on_where_it_was() {
    let mut cluster = Cluster::platform();
    let text_of_it = stored(&cluster.server);
    let server = serde_json::from_str(&text_of_it).expect("a cluster can be read back");
    let mut revived = Cluster { server, now: cluster.now };

    assert_eq!(stored(&revived.server), text_of_it);
    assert_eq!(revived.controller_token(), cluster.controller_token());
    let map = config_map("m", &json!({}));
    assert_eq!(revived.admin("POST", CONFIG_MAPS, &map), cluster.admin("POST", CONFIG_MAPS, &map));
}

#[test]
fn a_fork_lives_its_own_life() {
    let mut cluster = Cluster::platform();
    let before = stored(&cluster.server);
    let mut fork = Cluster { server: cluster.server.clone(), now: cluster.now };

    fork.admin("POST", CONFIG_MAPS, &config_map("m", &json!({})));

    assert_eq!(stored(&cluster.server), before);
    assert_eq!(cluster.admin("GET", &format!("{CONFIG_MAPS}/m"), &Value::Null).0, 404);
    assert_eq!(
        fork.server.objects(Kind::ConfigMap).map(|map| text(&map["metadata"]["name"])).collect::<Vec<_>>(),
        ["m"]
    );
}

#[test]
fn events_vanish_after_an_hour() {
    let mut cluster = Cluster::platform();
    let path = "/apis/events.k8s.io/v1/namespaces/kubefox/events";
    let event = |name: &str| {
        json!({
            "metadata": { "name": name }, "eventTime": "2026-11-23T20:20:34.000000Z", "type": "Warning",
            "reason": "Sealed", "action": "Wait", "reportingController": "kubefox.io/controller",
            "reportingInstance": "kubefox-0", "regarding": { "kind": "Pod", "namespace": "kubefox", "name": "x" },
        })
    };
    let (first, _) = cluster.admin("POST", path, &event("e1"));
    cluster.now = super::Unix(cluster.now.0 + 3_601);

    let (second, _) = cluster.admin("POST", path, &event("e2"));

    let names: Vec<String> =
        cluster.server.objects(Kind::Event).map(|e| text(&e["metadata"]["name"])).collect();
    assert_eq!((first, second, names), (201, 201, vec!["e2".to_owned()]));
}

fn stored(server: &Kubernetes) -> String {
    serde_json::to_string(server).expect("a cluster can be written")
}
