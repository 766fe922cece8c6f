//! The life and the death of service-account tokens.

use data_encoding::BASE64URL_NOPAD;
use kubefox_core::time::Unix;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::{Value, json};

use super::{Cluster, ISSUER, NOON, PODS, REVIEWS, text, token_request, token_review};
use crate::fake::kubernetes::Kubernetes;
use crate::fake::review::{Review, Reviewer};

const AUDIENCE: &str = "kubefox.kubefox";
const ACCOUNTS: &str = "/api/v1/namespaces/team0/serviceaccounts";

#[test]
fn a_token_verifies_with_the_published_keys_and_says_what_a_bound_token_says() {
    let mut cluster = Cluster::platform();
    let (_, pod) = cluster.admin("GET", "/api/v1/namespaces/team0/pods/component-a-0", &Value::Null);
    let (_, account) = cluster.admin("GET", &format!("{ACCOUNTS}/component-a"), &Value::Null);

    let token = cluster.token("team0", "component-a", AUDIENCE);

    let (_, keys) = cluster.admin("GET", "/openid/v1/jwks", &Value::Null);
    let (header, mut claims) = verified(&token, &keys["keys"][0]);
    assert_eq!(header, json!({ "alg": "ES256", "kid": keys["keys"][0]["kid"] }));
    let jti = claims.as_object_mut().expect("claims").remove("jti").expect("a jti");
    assert_eq!(text(&jti).len(), 36);
    assert_eq!(
        claims,
        json!({
            "aud": [AUDIENCE], "exp": NOON.0 + 600, "iat": NOON.0, "nbf": NOON.0, "iss": ISSUER,
            "sub": "system:serviceaccount:team0:component-a",
            "kubernetes.io": {
                "namespace": "team0",
                "pod": { "name": "component-a-0", "uid": pod["metadata"]["uid"] },
                "serviceaccount": { "name": "component-a", "uid": account["metadata"]["uid"] },
            },
        })
    );
}

#[test]
fn a_review_says_whose_token_it_is_and_for_which_of_the_audiences() {
    let mut cluster = Cluster::platform();
    let (_, pod) = cluster.admin("GET", "/api/v1/namespaces/team0/pods/component-a-0", &Value::Null);
    let (_, account) = cluster.admin("GET", &format!("{ACCOUNTS}/component-a"), &Value::Null);
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let jti = payload(&token)["jti"].clone();
    let review = json!({ "spec": { "token": token, "audiences": ["another", AUDIENCE] } });

    let (code, answer) = cluster.admin("POST", REVIEWS, &review);

    assert_eq!(code, 201);
    assert_eq!(
        answer["status"],
        json!({
            "authenticated": true,
            "audiences": [AUDIENCE],
            "user": {
                "username": "system:serviceaccount:team0:component-a",
                "uid": account["metadata"]["uid"],
                "groups": ["system:serviceaccounts", "system:serviceaccounts:team0", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": [format!("JTI={}", text(&jti))],
                    "authentication.kubernetes.io/pod-name": ["component-a-0"],
                    "authentication.kubernetes.io/pod-uid": [pod["metadata"]["uid"]],
                },
            },
        })
    );
}

#[test]
fn a_token_for_another_audience_is_refused_in_reviews_and_at_the_api() {
    let mut cluster = Cluster::platform();
    let token = cluster.token("kubefox", "kubefox", "kubefox-vault");

    let status = cluster.review(&token, AUDIENCE);
    let (code, answer) = cluster.call(&token, "POST", REVIEWS, &token_review(&token, "kubefox-vault"));

    let words = "[invalid bearer token, token audiences [\"kubefox-vault\"] is invalid for the target audiences \
                 [\"kubefox.kubefox\"]]";
    assert_eq!(status, json!({ "user": {}, "error": words }));
    let unauthorized = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    });
    assert_eq!((code, answer), (401, unauthorized));
}

#[test]
fn forged_tokens_are_refused() {
    let mut cluster = Cluster::platform();
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let mut claims = payload(&token);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, _, signature] = parts.as_slice() else { panic!("a token has three parts") };
    claims["sub"] = json!("system:serviceaccount:kubefox:kubefox");
    let tampered = format!("{header}.{}.{signature}", encoded(&claims));
    let unsigned = format!("{}.{}.", encoded(&json!({ "alg": "none", "typ": "JWT" })), encoded(&claims));
    claims["iss"] = json!("https://elsewhere");
    let other_issuer = format!("{header}.{}.{signature}", encoded(&claims));
    let mut other_cluster = Cluster { server: Kubernetes::new(8), ..Cluster::platform() };
    create_component(&mut other_cluster);
    let foreign = other_cluster.token("team0", "component-a", AUDIENCE);

    let said: Vec<Value> = [&tampered, &unsigned, &other_issuer, &foreign, "junk"]
        .into_iter()
        .map(|forged| cluster.review(forged, AUDIENCE))
        .collect();

    let refused = |words: &str| json!({ "user": {}, "error": words });
    assert_eq!(
        said,
        [
            refused("[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"),
            refused("[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]"),
            refused("invalid bearer token"),
            refused("[invalid bearer token, invalid signature, no keys found]"),
            refused("invalid bearer token"),
        ]
    );
    assert_eq!(cluster.review(&token, AUDIENCE)["authenticated"], json!(true));
}

#[test]
fn a_token_lives_from_its_first_to_its_last_second_and_a_minute_of_leeway() {
    let mut cluster = Cluster::platform();
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let mut error_at = |seconds: u64| {
        cluster.now = Unix(seconds);
        cluster.review(&token, AUDIENCE)["error"].clone()
    };

    assert_eq!(error_at(NOON.0 - 61), "[invalid bearer token, service account token is not valid yet]");
    assert_eq!(error_at(NOON.0 - 60), Value::Null);
    assert_eq!(error_at(NOON.0 + 660), Value::Null);
    assert_eq!(error_at(NOON.0 + 661), "[invalid bearer token, service account token has expired]");
}

#[test]
fn a_token_dies_with_its_pod_and_the_next_pod_does_not_revive_it() {
    let mut cluster = Cluster::platform();
    let token = cluster.controller_token();
    let own = format!("{PODS}/kubefox-0");

    let (deleted, _) = cluster.admin("DELETE", &own, &json!({ "gracePeriodSeconds": 0 }));
    let gone = cluster.review(&token, ISSUER);
    let next = cluster.pod("kubefox", "kubefox", "kubefox-0");
    let replaced = cluster.review(&token, ISSUER);
    let (at_the_api, _) = cluster.call(&token, "GET", "/openid/v1/jwks", &Value::Null);

    let old = text(&payload(&token)["kubernetes.io"]["pod"]["uid"]);
    let words = format!(
        "[invalid bearer token, pod UID ({next}) does not match service account pod ref claim ({old})]"
    );
    assert_eq!(deleted, 200);
    assert_eq!(gone["error"], "[invalid bearer token, service account token has been invalidated]");
    assert_eq!(replaced, json!({ "user": {}, "error": words }));
    assert_eq!(at_the_api, 401);
}

#[test]
fn a_terminating_pod_keeps_its_token_for_a_minute() {
    let mut cluster = Cluster::platform();
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let pod = "/api/v1/namespaces/team0/pods/component-a-0";
    let finalizer = json!({ "metadata": { "finalizers": ["kubefox.io/test"] } });
    let admin = cluster.server.admin_token().to_owned();
    let (held, _) = cluster.send(&admin, "PATCH", pod, "application/merge-patch+json", &finalizer);
    let (deleted, _) = cluster.admin("DELETE", pod, &Value::Null);

    cluster.now = Unix(NOON.0 + 60);
    let terminating = cluster.review(&token, AUDIENCE);
    cluster.now = Unix(NOON.0 + 61);
    let dead = cluster.review(&token, AUDIENCE);

    assert_eq!((held, deleted), (200, 200));
    assert_eq!(terminating["authenticated"], json!(true));
    assert_eq!(dead["error"], "[invalid bearer token, service account token has been invalidated]");
}

#[test]
fn a_recreated_service_account_is_another_account() {
    let mut cluster = Cluster::platform();
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let path = format!("{ACCOUNTS}/component-a");
    let (_, old) = cluster.admin("DELETE", &path, &Value::Null);

    let gone = cluster.review(&token, AUDIENCE);
    let (_, new) = cluster.admin("POST", ACCOUNTS, &json!({ "metadata": { "name": "component-a" } }));
    let recreated = cluster.review(&token, AUDIENCE);

    let (old, new) = (text(&old["metadata"]["uid"]), text(&new["metadata"]["uid"]));
    assert_eq!(gone["error"], "[invalid bearer token, serviceaccounts \"component-a\" not found]");
    assert_eq!(
        recreated["error"],
        format!("[invalid bearer token, service account UID ({new}) does not match claim ({old})]")
    );
}

#[test]
fn a_token_request_must_name_a_decent_lifetime_and_the_right_pod() {
    let mut cluster = Cluster::platform();
    let path = format!("{ACCOUNTS}/component-a/token");
    let mut said = |spec: Value| {
        let (code, answer) = cluster.admin("POST", &path, &token_request(&spec));
        (code, text(&answer["message"]))
    };
    let bound = |name: &str, uid: &str| {
        let reference = json!({ "kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid });
        json!({ "boundObjectRef": reference })
    };

    let short = said(json!({ "expirationSeconds": 599 }));
    let long = said(json!({ "expirationSeconds": 4_294_967_297_u64 }));
    let stale = said(bound("component-a-0", "none"));
    let absent = said(bound("component-a-1", ""));
    let of_another = said(bound("component-b-0", ""));
    let extended = said(json!({ "expirationSeconds": 3607 }));

    let lifetime =
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: ";
    assert_eq!(short, (422, format!("{lifetime}599: may not specify a duration less than 10 minutes")));
    assert_eq!(
        long,
        (422, format!("{lifetime}4294967297: may not specify a duration larger than 2^32 seconds"))
    );
    let words = "Operation cannot be fulfilled on Pod \"component-a-0\": the UID in the bound object reference (none) \
                 does not match the UID in record. The object might have been deleted and then recreated";
    assert_eq!(stale, (409, words.to_owned()));
    assert_eq!(absent, (404, "pods \"component-a-1\" not found".to_owned()));
    let words = "cannot bind token for serviceaccount \"component-a\" to pod running with different serviceaccount name.";
    assert_eq!(of_another, (400, words.to_owned()));
    assert_eq!(extended.0, 501);
}

#[test]
fn vault_reviews_with_the_rights_of_its_reviewer() {
    let mut cluster = Cluster::platform();
    let (_, account) = cluster.admin("GET", &format!("{ACCOUNTS}/component-a"), &Value::Null);
    let reviewer = cluster.controller_token();
    let powerless = cluster.token("kubefox", "nats", ISSUER);
    let token = cluster.token("team0", "component-a", AUDIENCE);
    let audiences = [AUDIENCE.to_owned()];

    let reviewed = cluster.server.review(NOON, &reviewer, &token, &audiences);
    let refused = cluster.server.review(NOON, &reviewer, &token, &["another".to_owned()]);
    let by_powerless = cluster.server.review(NOON, &powerless, &token, &audiences);
    let by_nobody = cluster.server.review(NOON, "", &token, &audiences);
    let by_the_dead = cluster.server.review(Unix(NOON.0 + 661), &reviewer, &token, &audiences);

    assert_eq!(
        reviewed,
        Review::Authenticated {
            username: "system:serviceaccount:team0:component-a".to_owned(),
            uid: text(&account["metadata"]["uid"]),
            audiences: audiences.to_vec(),
        }
    );
    let error = "[invalid bearer token, token audiences [\"kubefox.kubefox\"] is invalid for the target audiences \
                 [\"another\"]]";
    assert_eq!(refused, Review::Refused { error: error.to_owned() });
    assert_eq!([by_powerless, by_nobody, by_the_dead], [const { Review::Unavailable }; 3]);
}

/// Just enough of another cluster for a token of `team0/component-a`.
fn create_component(cluster: &mut Cluster) {
    let name = |name: &str| json!({ "metadata": { "name": name } });
    cluster.admin("POST", "/api/v1/namespaces", &name("team0"));
    cluster.admin("POST", ACCOUNTS, &name("component-a"));
    cluster.pod("team0", "component-a", "component-a-0");
}

/// Header and claims of a token whose signature the published key verifies.
fn verified(token: &str, key: &Value) -> (Value, Value) {
    let coordinate = |name: &str| BASE64URL_NOPAD.decode(text(&key[name]).as_bytes()).expect("base64url");
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let key = VerifyingKey::from_sec1_bytes(&point).expect("a point on the curve");
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    let signature = Signature::from_slice(&signature).expect("r and s");
    key.verify(signed.as_bytes(), &signature).expect("the signature verifies");
    let header = signed.split('.').next().expect("a header");
    (decoded(header), payload(token))
}

fn payload(token: &str) -> Value {
    decoded(token.split('.').nth(1).expect("a payload"))
}

fn decoded(segment: &str) -> Value {
    let json = BASE64URL_NOPAD.decode(segment.as_bytes()).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

fn encoded(content: &Value) -> String {
    BASE64URL_NOPAD.encode(content.to_string().as_bytes())
}
