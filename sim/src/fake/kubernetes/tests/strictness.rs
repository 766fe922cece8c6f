//! What is refused: strangers, malformed requests, and everything that is not implemented.

use serde_json::{Value, json};

use super::{CONFIG_MAPS, Cluster, NOON, PODS, SECRETS, config_map, policy, text};

#[test]
fn nobody_sees_the_version_and_nothing_else() {
    let mut cluster = Cluster::platform();

    let (version, answer) = cluster.call("", "GET", "/version", &Value::Null);
    let ready = cluster.call("", "GET", "/readyz", &Value::Null);
    let (keys, path_answer) = cluster.call("", "GET", "/openid/v1/jwks", &Value::Null);
    let (secret, resource_answer) = cluster.call("", "GET", &format!("{SECRETS}/s"), &Value::Null);
    let (wrong, _) = cluster.call("wrong", "GET", "/version", &Value::Null);

    assert_eq!((version, &answer["gitVersion"]), (200, &json!("v1.36.3-fake")));
    assert_eq!(ready, (200, json!("ok")));
    let words = "forbidden: User \"system:anonymous\" cannot get path \"/openid/v1/jwks\"";
    assert_eq!((keys, &path_answer["message"]), (403, &json!(words)));
    let words = "secrets \"s\" is forbidden: User \"system:anonymous\" cannot get resource \"secrets\" in API group \
                 \"\" in the namespace \"kubefox\"";
    assert_eq!((secret, &resource_answer["message"]), (403, &json!(words)));
    assert_eq!(wrong, 401);
}

#[test]
fn what_is_not_implemented_says_so_and_names_the_request() {
    let mut cluster = Cluster::platform();
    let admin = cluster.server.admin_token().to_owned();
    let apply = "application/apply-patch+yaml";
    let tls = json!({ "metadata": { "name": "s" }, "type": "kubernetes.io/tls" });
    let owned = json!({ "metadata": { "name": "m", "ownerReferences": [{ "kind": "Pod" }] } });
    let scheduled = json!({
        "metadata": { "name": "p" }, "spec": { "nodeName": "n", "containers": [{ "name": "c", "image": "i" }] },
    });
    let nodes = cluster.admin("GET", "/api/v1/nodes", &Value::Null);
    let codes = [
        cluster.admin("GET", SECRETS, &Value::Null).0,
        cluster.admin("GET", &format!("{SECRETS}?watch=true"), &Value::Null).0,
        cluster.admin("DELETE", SECRETS, &Value::Null).0,
        cluster.send(&admin, "PATCH", &format!("{SECRETS}/s?fieldManager=x"), apply, &json!({})).0,
        cluster.admin("DELETE", "/api/v1/namespaces/kubefox", &Value::Null).0,
        cluster.admin("GET", &format!("{PODS}/nats-0/log"), &Value::Null).0,
        cluster.admin("GET", &format!("{PODS}/nats-0?resourceVersion=0"), &Value::Null).0,
        cluster.admin("POST", SECRETS, &tls).0,
        cluster.admin("POST", CONFIG_MAPS, &owned).0,
        cluster.admin("POST", PODS, &scheduled).0,
        cluster.admin("GET", "/openapi/v2", &Value::Null).0,
    ];

    let words = "GET /api/v1/nodes: the fake API server does not implement list nodes";
    assert_eq!((nodes.0, &nodes.1["message"]), (501, &json!(words)));
    assert_eq!(codes, [501; 11]);
}

#[test]
fn only_the_one_policy_is_understood() {
    let mut cluster = Cluster::empty();
    let mut other_name = policy().body;
    other_name["metadata"]["name"] = json!("another");
    let mut other_text = policy().body;
    other_text["spec"]["validations"][0]["expression"] = json!("true");
    let mut other_scope = policy().body;
    other_scope["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["*"]);

    let codes = [other_name, other_text, other_scope, policy().body]
        .map(|body| cluster.admin("POST", &policy().collection, &body).0);

    assert_eq!(codes, [501, 501, 501, 201]);
}

#[test]
fn a_policy_without_a_reason_answers_422_and_without_a_binding_nothing() {
    let mut cluster = Cluster::platform();
    let token = cluster.controller_token();
    let path = format!("{}/kubefox-controller-creates", policy().collection);
    let mut unreasoned = policy().body;
    unreasoned["spec"]["validations"][0].as_object_mut().expect("a validation").remove("reason");
    cluster.admin("DELETE", &path, &Value::Null);
    cluster.admin("POST", &policy().collection, &unreasoned);
    let other = config_map("other", &json!({}));

    let (unprocessable, answer) = cluster.call(&token, "POST", CONFIG_MAPS, &other);
    let binding = path.replace("policies/", "policybindings/");
    let (unbound, _) = cluster.admin("DELETE", &binding, &Value::Null);
    let (admitted, _) = cluster.call(&token, "POST", CONFIG_MAPS, &other);

    assert_eq!((unprocessable, &answer["reason"]), (422, &json!("Invalid")));
    assert_eq!((unbound, admitted), (200, 201));
}

#[test]
fn rights_end_with_their_binding() {
    let mut cluster = Cluster::platform();
    let token = cluster.controller_token();
    let path = format!("{SECRETS}/kubefox-trust");
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/kubefox/rolebindings/kubefox-controller";

    let (before, _) = cluster.call(&token, "GET", &path, &Value::Null);
    let (unbound, _) = cluster.admin("DELETE", binding, &Value::Null);
    let (after, _) = cluster.call(&token, "GET", &path, &Value::Null);

    assert_eq!((before, unbound, after), (404, 200, 403));
}

#[test]
fn bodies_are_json_of_the_right_kind_without_surprises() {
    let mut cluster = Cluster::platform();
    let admin = cluster.server.admin_token().to_owned();
    let name = json!({ "name": "x" });
    let mut code = |uri: &str, body: &Value| cluster.admin("POST", uri, body).0;

    let refused = [
        code(SECRETS, &json!({ "kind": "ConfigMap", "metadata": name })),
        code(SECRETS, &json!({ "metadata": name, "dtaa": {} })),
        code(SECRETS, &json!({ "metadata": { "name": "x", "nmae": "x" } })),
        code(SECRETS, &json!({ "metadata": name, "data": { "k": "no base64" } })),
        code(SECRETS, &json!({ "metadata": { "name": "x", "namespace": "team0" } })),
        code(SECRETS, &json!({ "metadata": { "name": "X" } })),
        code(SECRETS, &json!({ "metadata": {} })),
        code(SECRETS, &json!({ "metadata": { "name": "x", "finalizers": ["unqualified"] } })),
        code(CONFIG_MAPS, &json!({ "metadata": name, "data": { "k": 1 } })),
        code(CONFIG_MAPS, &json!({ "metadata": name, "data": { "a b": "" } })),
        code(CONFIG_MAPS, &json!({ "metadata": name, "data": { "k": "x".repeat(1024 * 1024 + 1) } })),
        code(PODS, &json!({ "metadata": name, "spec": { "containers": [] } })),
        code(PODS, &json!({ "metadata": name, "spec": { "serviceAccountName": "nobody" } })),
        code(&format!("{SECRETS}/x"), &json!({ "metadata": name })),
    ];
    let (yaml, answer) =
        cluster.send(&admin, "POST", SECRETS, "application/yaml", &json!({ "metadata": name }));

    assert_eq!(refused, [400, 400, 400, 400, 400, 422, 422, 422, 400, 422, 422, 422, 403, 405]);
    let words =
        "the body of the request was in an unknown format - accepted media types include: application/json";
    assert_eq!((yaml, &answer["message"]), (415, &json!(words)));
}

#[test]
fn no_refusal_repeats_the_data_of_a_secret() {
    let mut cluster = Cluster::platform();
    let admin = cluster.server.admin_token().to_owned();
    let secret = "c2VjcmV0!";
    let bodies = [
        json!({ "metadata": { "name": "x" }, "data": { "k": secret } }),
        json!({ "metadata": { "name": "x" }, "data": secret }),
        json!({ "metadata": { "name": "x" }, "data": { "k": [secret] } }),
    ];
    let raw = format!("{{\"data\": {{\"k\": \"{secret}\"}}, oops");
    let request = http::Request::post(SECRETS)
        .header("authorization", format!("Bearer {admin}"))
        .header("content-type", "application/json")
        .body(raw.into_bytes())
        .expect("a well-formed request");

    let mut answers = bodies.map(|body| cluster.admin("POST", SECRETS, &body).1.to_string()).to_vec();
    let broken = cluster.server.handle(NOON, &request);
    answers.push(String::from_utf8(broken.into_body()).expect("text"));

    for answer in answers {
        assert!(answer.contains("\"code\":400") && !answer.contains(secret), "{answer}");
    }
}

#[test]
fn roles_are_written_by_the_administrator_and_well_formed() {
    let mut cluster = Cluster::platform();
    let collection = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = |rules: Value| json!({ "metadata": { "name": "r" }, "rules": rules });
    let writer = json!([{ "apiGroups": ["*"], "resources": ["clusterroles"], "verbs": ["create"] }]);
    let binding = json!({
        "metadata": { "name": "writer" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r" },
        "subjects": [{ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:serviceaccounts" }],
    });

    let (empty, answer) = cluster.admin("POST", collection, &role(json!([{ "verbs": ["get"] }])));
    let (unknown, _) = cluster.admin("POST", collection, &role(json!([{ "verb": ["get"] }])));
    let (created, _) = cluster.admin("POST", collection, &role(writer));
    let (bound, _) = cluster.admin("POST", &collection.replace("roles", "rolebindings"), &binding);
    let token = cluster.controller_token();
    let (escalating, _) =
        cluster.call(&token, "POST", collection, &json!({ "metadata": { "name": "mine" } }));

    assert_eq!((empty, unknown, created, bound, escalating), (422, 400, 201, 201, 501));
    let words = "ClusterRole.rbac.authorization.k8s.io \"r\" is invalid: [rules[0].apiGroups: Required value: \
                 resource rules must supply at least one api group, rules[0].resources: Required value: \
                 resource rules must supply at least one resource]";
    assert_eq!(text(&answer["message"]), words);
}
