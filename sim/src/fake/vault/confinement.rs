//! What a component may ask for, and that it may nothing else.

use serde_json::{Value, json};

use super::trial::{Trial, auth_role, pki_role, root_certificate};

const AUDIENCE: &str = "kubefox.kubefox";
const URI: &str = "spiffe://cluster.local/ns/team0/sa/app";
const OWN_KEY: &str = "user.team0.app";

/// The platform's policy for components; `ACC` stands for the accessor of the login's mount.
const COMPONENT: &str = r#"
path "pki/issue/component" {
  capabilities        = ["update"]
  allowed_parameters  = { "uri_sans" = [], "ttl" = [], "alt_names" = ["broker.kubefox.internal"],
                          "format" = ["pem"], "private_key_format" = ["pkcs8"] }
  required_parameters = ["uri_sans", "ttl"]
}
path "pki/sign/component" {
  capabilities        = ["update"]
  allowed_parameters  = { "csr" = [], "uri_sans" = [], "ttl" = [], "alt_names" = ["broker.kubefox.internal"], "format" = ["pem"] }
  required_parameters = ["csr", "uri_sans", "ttl"]
}
path "nats/keys/user.{{identity.entity.aliases.ACC.metadata.service_account_namespace}}.{{identity.entity.aliases.ACC.metadata.service_account_name}}" {
  capabilities       = ["read", "update"]
  allowed_parameters = { "type" = ["ed25519"] }
}
path "nats/sign/user.{{identity.entity.aliases.ACC.metadata.service_account_namespace}}.{{identity.entity.aliases.ACC.metadata.service_account_name}}" {
  capabilities        = ["update"]
  allowed_parameters  = { "input" = [] }
  required_parameters = ["input"]
}
path "environments/data/{{identity.entity.aliases.ACC.metadata.service_account_namespace}}/*" {
  capabilities = ["read"]
}

path "pki/issue/runtime" {
  capabilities        = ["update"]
  allowed_parameters  = { "uri_sans" = [], "ttl" = [], "format" = ["pem"], "private_key_format" = ["pkcs8"] }
  required_parameters = ["uri_sans", "ttl"]
}
"#;

#[test]
fn a_component_may_what_it_needs() {
    let (mut trial, token) = component();
    let named = json!({"uri_sans": URI, "ttl": "1h", "alt_names": "broker.kubefox.internal", "format": "pem",
        "private_key_format": "pkcs8"});
    let runtime = json!({"uri_sans": format!("{URI}/runtime"), "ttl": "1h"});
    let input = json!({"input": "eA=="});
    let key = format!("nats/keys/{OWN_KEY}");
    let sign = format!("nats/sign/{OWN_KEY}");

    let requests = [
        ("POST", key.as_str(), json!({"type": "ed25519"}), 200),
        ("GET", key.as_str(), json!({}), 200),
        ("POST", sign.as_str(), input, 200),
        ("POST", "pki/issue/component", named, 200),
        ("POST", "pki/issue/component", json!({"uri_sans": URI, "ttl": "1h"}), 200),
        ("POST", "pki/issue/runtime", runtime, 200),
        ("GET", "environments/data/team0/x", json!({}), 404),
    ];
    for (method, path, body, status) in requests {
        assert_eq!(trial.status(method, path, &token, &body), status, "{method} {path}");
    }
}

#[test]
fn a_component_may_nothing_else() {
    let (mut trial, token) = component();

    for (method, path, body) in forbidden() {
        let refusal = trial.refused(method, &path, &token, &body);
        assert_eq!(
            refusal,
            (403, "1 error occurred:\n\t* permission denied\n\n".into()),
            "{method} {path} {body}"
        );
    }
}

#[test]
fn a_component_gets_certificates_for_itself_alone() {
    let (mut trial, token) = component();
    let uris = [
        "spiffe://cluster.local/ns/team0/sa/other".to_owned(),
        "spiffe://cluster.local/ns/kubefox/sa/kubefox".to_owned(),
        format!("{URI},spiffe://cluster.local/ns/kubefox/sa/kubefox"),
        format!("{URI}/x"),
    ];
    let wrong = (
        400,
        "URI Subject Alternative Names were provided via the API which are not valid for this role".into(),
    );

    for uri in uris {
        let wanted = json!({"uri_sans": uri, "ttl": "1h"});
        assert_eq!(trial.refused("POST", "pki/issue/component", &token, &wanted), wrong, "{uri}");
    }
    let wanted = json!({"uri_sans": URI, "ttl": "1h"});
    assert_eq!(
        trial.refused("POST", "pki/issue/runtime", &token, &wanted),
        wrong,
        "the broker's name for the runtime"
    );
}

#[test]
fn a_name_that_would_widen_a_path_drops_it() {
    let (mut trial, root, accessor) = Trial::with_login();
    prepare(&mut trial, &root, &accessor);
    let token = trial.logged_in("component", "team0", "app*", AUDIENCE);

    assert_eq!(trial.status("POST", "nats/keys/user.team0.app*", &token, &json!({"type": "ed25519"})), 403);
    assert_eq!(trial.status("POST", "nats/keys/user.team0.app", &token, &json!({"type": "ed25519"})), 403);
}

fn forbidden() -> Vec<(&'static str, String, Value)> {
    let none = || json!({});
    let input = || json!({"input": "eA=="});
    let issue = |more: Value| {
        let mut wanted = json!({"uri_sans": URI, "ttl": "1h"});
        wanted.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ("POST", "pki/issue/component".to_owned(), wanted)
    };
    let own = |suffix: &str| format!("nats/keys/{OWN_KEY}{suffix}");
    let mut requests = vec![
        ("POST", own(""), json!({"type": "aes256-gcm96"})),
        ("POST", own(""), json!({"type": "ed25519", "exportable": true})),
        ("POST", own("/config"), json!({"exportable": true})),
        ("POST", own("/rotate"), none()),
        ("DELETE", own(""), none()),
        issue(json!({"common_name": "broker.kubefox.internal"})),
        issue(json!({"alt_names": "kubefox.kubefox.svc"})),
        issue(json!({"ip_sans": "127.0.0.1"})),
        issue(json!({"ttl": null, "nope": 1})),
        ("POST", "pki/issue/component".into(), json!({"ttl": "1h"})),
        ("POST", "pki/issue/component".into(), json!({"uri_sans": URI})),
        (
            "POST",
            "pki/issue/nats".into(),
            json!({"uri_sans": URI, "ttl": "1h", "common_name": "nats.kubefox.svc"}),
        ),
        ("POST", "environments/data/team0/x".into(), json!({"data": {}})),
        ("POST", "nats/keys/user.team0.other".into(), json!({"type": "ed25519"})),
        ("POST", "sys/wrapping/wrap".into(), json!({"a": "b"})),
        ("POST", "auth/token/create".into(), none()),
        ("PUT", "sys/seal".into(), none()),
    ];
    let signers = ["user.team0.app.x", "operator", "signer.platform", "account.platform"];
    requests.extend(signers.map(|key| ("POST", format!("nats/sign/{key}"), input())));
    let reads = [
        "environments/data/team1/x",
        "systems/data/x",
        "nats/keys/user.team0.other",
        "nats/export/signing-key/user.team0.app",
        "nats/backup/user.team0.app",
        "nats/keys/operator",
        "nats-jwt/data/operator",
        "opensearch/data/admin",
        "sys/mounts",
        "sys/policies/acl/component",
        "auth/kubernetes/role/component",
        "auth/token/lookup-self",
        "identity/entity/id",
        "cubbyhole/x",
    ];
    requests.extend(reads.map(|path| ("GET", path.to_owned(), none())));
    let lists = ["environments/metadata/team0", "nats/keys", "auth/token/accessors"];
    requests.extend(lists.map(|path| ("LIST", path.to_owned(), none())));
    requests
}

/// A Vault with everything that a component uses, and the token of one.
fn component() -> (Trial, String) {
    let (mut trial, root, accessor) = Trial::with_login();
    prepare(&mut trial, &root, &accessor);
    let token = trial.logged_in("component", "team0", "app", AUDIENCE);
    (trial, token)
}

fn prepare(trial: &mut Trial, root: &str, accessor: &str) {
    for path in ["systems", "environments", "opensearch", "nats-jwt"] {
        trial.must(
            "POST",
            &format!("sys/mounts/{path}"),
            root,
            &json!({"type": "kv", "options": {"version": "2"}}),
        );
    }
    let config = json!({"max_lease_ttl": 10 * 365 * 86_400});
    trial.must("POST", "sys/mounts/pki", root, &json!({"type": "pki", "config": config}));
    trial.must("POST", "sys/mounts/nats", root, &json!({"type": "transit"}));
    trial.must("POST", "pki/root/generate/internal", root, &root_certificate());
    let component =
        pki_role("component", &["broker.kubefox.internal"], 4 * 3_600, (true, true), "", accessor);
    trial.must("POST", "pki/roles/component", root, &component);
    let runtime = pki_role("runtime", &[], 4 * 3_600, (false, true), "/runtime", accessor);
    trial.must("POST", "pki/roles/runtime", root, &runtime);
    let role = auth_role(&["*"], &["team0"], AUDIENCE, 120, "component");
    trial.must("POST", "auth/kubernetes/role/component", root, &role);
    let policy = COMPONENT.replace("ACC", accessor);
    trial.must("POST", "sys/policies/acl/component", root, &json!({"policy": policy}));
}
