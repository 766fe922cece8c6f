//! The whole flow of the platform's bootstrap, as its controller walks it.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use kubefox_core::time::Unix;
use rustls::pki_types::{CertificateDer, UnixTime};
use serde_json::{Map, Value, json};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};

use super::Vault;
use super::trial::{START, Trial, auth_role, pki_role, root_certificate, text};

const AUDIENCE: &str = "kubefox.kubefox";
const URI: &str = "spiffe://cluster.local/ns/team0/sa/app";

const SETUP: &str = r#"
path "sys/mounts"             { capabilities = ["read"] }
path "sys/mounts/+"           { capabilities = ["update"] }
path "sys/auth"               { capabilities = ["read"] }
path "sys/policies/acl"       { capabilities = ["list"] }
path "sys/policies/acl/+"     { capabilities = ["read", "update"] }
path "sys/policies/password/*" { capabilities = ["read", "update"] }
path "auth/kubernetes/config" { capabilities = ["read"] }
path "auth/kubernetes/role"   { capabilities = ["list"] }
path "auth/kubernetes/role/+" { capabilities = ["create", "read", "update"] }
path "pki/issuers"            { capabilities = ["list"] }
path "pki/root/generate/internal" { capabilities = ["update"] }
path "pki/roles/+"            { capabilities = ["read", "update"] }
path "nats/keys/+"            { capabilities = ["read", "update"] }
path "nats/sign/operator"     { capabilities = ["update"] }
path "nats-jwt/data/*"        { capabilities = ["create", "read"] }
path "opensearch/data/+"      { capabilities = ["create", "read"] }
"#;

const CONTROLLER: &str = r#"
path "auth/token/accessors"       { capabilities = ["list", "sudo"] }
path "auth/token/lookup-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
path "systems/data/kubefox/boot"  { capabilities = ["create", "read", "update"] }
path "auth/kubernetes/config"     { capabilities = ["read"] }
"#;

const COMPONENT: &str = r#"path "pki/issue/component" { capabilities = ["update"] }"#;

#[test]
fn the_platform_is_brought_up_restarted_and_found_as_it_was() {
    let mut trial = Trial::new();
    let (key, root) = initialize(&mut trial);
    let accessor = set_up_with_root(&mut trial, &root);
    let controller = trial.logged_in("controller", "kubefox", "kubefox", "kubefox-vault");
    close_root(&mut trial, &root, &controller);

    let setup = trial.logged_in("controller-setup", "kubefox", "kubefox", "kubefox-setup");
    assert!(configure(&mut trial, &setup, &accessor) > 0);
    assert_eq!(configure(&mut trial, &setup, &accessor), 0, "a second time writes nothing");
    check_generation(&mut trial, &controller);
    check_issue(&mut trial);
    let first = snapshot(&mut trial, &setup);

    trial.vault.restart();
    let sealed = trial.refused("GET", "nats/keys/operator", &controller, &json!({}));
    assert_eq!(sealed, (503, "Vault is sealed".into()));
    assert_eq!(trial.call("PUT", "sys/unseal", None, &json!({"key": key})).0, 200);
    assert_eq!(
        trial.status("GET", "auth/kubernetes/config", &controller, &json!({})),
        200,
        "batch tokens survive"
    );
    assert_eq!(snapshot(&mut trial, &setup), first);
    assert_eq!(configure(&mut trial, &setup, &accessor), 0, "a second start writes nothing");
    assert_eq!(trial.vault.live_root_tokens(trial.now), [""; 0]);

    trial.now = Unix(START.0 + 901);
    let expired = trial.refused("GET", "auth/kubernetes/config", &controller, &json!({}));
    assert_eq!(expired, (403, "permission denied".into()), "they end with time");
}

#[test]
fn the_same_seed_and_requests_give_the_same_bytes() {
    let run = || {
        let mut trial = Trial::new();
        let (_, root) = initialize(&mut trial);
        let accessor = set_up_with_root(&mut trial, &root);
        let setup = trial.logged_in("controller-setup", "kubefox", "kubefox", "kubefox-setup");
        configure(&mut trial, &setup, &accessor);
        let token = trial.logged_in("component", "team0", "app", AUDIENCE);
        let issued =
            trial.raw("POST", "pki/issue/component", Some(&token), &json!({"uri_sans": URI, "ttl": "1h"}));
        (issued, serde_json::to_string(&trial.vault).expect("it is data"))
    };

    assert_eq!(run(), run());
}

#[test]
fn a_vault_is_data_that_can_be_kept_and_forked() {
    let mut trial = Trial::new();
    let (key, root) = initialize(&mut trial);
    set_up_with_root(&mut trial, &root);
    let fork = trial.vault.clone();
    let kept = serde_json::to_vec(&trial.vault).expect("it is data");

    trial.must("POST", "sys/mounts/x", &root, &json!({"type": "transit"}));
    let changed = serde_json::to_vec(&trial.vault).expect("it is data");

    assert_ne!(kept, changed);
    assert_eq!(kept, serde_json::to_vec(&fork).expect("it is data"));
    trial.vault = serde_json::from_slice::<Vault>(&kept).expect("it was kept");
    trial.vault.restart();
    assert_eq!(trial.call("PUT", "sys/unseal", None, &json!({"key": key})).0, 200);
    assert_eq!(trial.status("GET", "auth/kubernetes/role/controller", &root, &json!({})), 200);
}

/// The unseal key and the root token.
fn initialize(trial: &mut Trial) -> (String, String) {
    assert_eq!(trial.call("GET", "sys/health", None, &json!({})).0, 501);
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    let (status, made) = trial.call("PUT", "sys/init", None, &shares);
    assert_eq!(status, 200);
    let (key, root) = (text(&made["keys"][0]), text(&made["root_token"]));
    assert_eq!((key.len(), root.len()), (64, 26));
    assert_eq!(trial.call("GET", "sys/health", None, &json!({})).0, 503);
    let (status, seal) = trial.call("PUT", "sys/unseal", None, &json!({"key": key}));
    assert_eq!((status, &seal["sealed"]), (200, &json!(false)));
    assert_eq!(trial.call("GET", "sys/health", None, &json!({})).0, 200);
    (key, root)
}

/// The accessor of the Kubernetes login.
fn set_up_with_root(trial: &mut Trial, root: &str) -> String {
    trial.must("POST", "sys/auth/kubernetes", root, &json!({"type": "kubernetes"}));
    let config =
        json!({"kubernetes_host": "https://kubernetes.default.svc", "kubernetes_ca_cert": "a certificate"});
    trial.must("POST", "auth/kubernetes/config", root, &config);
    for (name, policy) in [("controller-setup", SETUP), ("controller", CONTROLLER)] {
        trial.must("POST", &format!("sys/policies/acl/{name}"), root, &json!({"policy": policy}));
    }
    let setup = auth_role(&["kubefox"], &["kubefox"], "kubefox-setup", 300, "controller-setup");
    let controller = auth_role(&["kubefox"], &["kubefox"], "kubefox-vault", 900, "controller");
    trial.must("POST", "auth/kubernetes/role/controller-setup", root, &setup);
    trial.must("POST", "auth/kubernetes/role/controller", root, &controller);
    text(&trial.must("GET", "sys/auth", root, &json!({}))["data"]["kubernetes/"]["accessor"])
}

/// Root dies, and so does the orphan that it left behind.
fn close_root(trial: &mut Trial, root: &str, controller: &str) {
    let before = trial.must("GET", "auth/token/lookup-self", root, &json!({}));
    assert_eq!(before["data"]["path"], "auth/token/root");
    let orphan = json!({"policies": ["root"], "display_name": "planted"});
    let planted = trial.must("POST", "auth/token/create-orphan", root, &orphan);
    let planted = text(&planted["auth"]["client_token"]);
    assert_eq!(trial.status("POST", "auth/token/revoke-self", root, &json!({})), 204);
    let after = trial.refused("GET", "auth/token/lookup-self", root, &json!({}));
    assert_eq!(after, (403, "permission denied".into()));
    assert_eq!(trial.status("GET", "auth/token/lookup-self", &planted, &json!({})), 200);

    let accessors = trial.must("LIST", "auth/token/accessors", controller, &json!({}));
    let accessor = json!({"accessor": accessors["data"]["keys"][0]});
    assert_eq!(trial.vault.live_root_tokens(trial.now), [text(&accessor["accessor"])]);
    let facts = trial.must("POST", "auth/token/lookup-accessor", controller, &accessor);
    assert_eq!((&facts["data"]["policies"], &facts["data"]["id"]), (&json!(["root"]), &json!("")));
    assert_eq!(trial.status("POST", "auth/token/revoke-accessor", controller, &accessor), 204);
    assert_eq!(trial.status("GET", "auth/token/lookup-self", &planted, &json!({})), 403);

    let again = trial.refused("POST", "auth/token/lookup-accessor", controller, &accessor);
    assert_eq!(again, (400, "1 error occurred:\n\t* invalid accessor\n\n".into()));
    let (status, again) = trial.call("POST", "auth/token/revoke-accessor", Some(controller), &accessor);
    assert_eq!((status, &again["warnings"][0]), (200, &json!("No token found with this accessor")));
    let clean = trial.raw("LIST", "auth/token/accessors", Some(controller), &json!({}));
    assert_eq!(clean, (404, b"{\"errors\":[]}\n".to_vec()));
}

/// List, compare, write what differs; how much was written.
fn configure(trial: &mut Trial, token: &str, accessor: &str) -> usize {
    let mut writes = 0;
    let mounted = trial.must("GET", "sys/mounts", token, &json!({}))["data"].clone();
    for (path, kind, options, config) in mounts() {
        let have = &mounted[format!("{path}/")];
        if have.is_null() {
            let wanted = json!({"type": kind, "options": options, "config": config});
            trial.must("POST", &format!("sys/mounts/{path}"), token, &wanted);
            writes += 1;
        } else {
            assert_eq!((&have["type"], &have["options"]), (&json!(kind), &options));
            assert!(!differs(&have["config"], &config), "{path}");
        }
    }
    for (path, wanted) in settings(accessor) {
        writes += ensure(trial, token, &path, &wanted);
    }
    if trial.status("LIST", "pki/issuers", token, &json!({})) == 404 {
        trial.must("POST", "pki/root/generate/internal", token, &root_certificate());
        writes += 1;
    }
    for key in ["operator", "account.system"] {
        writes += ensure(trial, token, &format!("nats/keys/{key}"), &json!({"type": "ed25519"}));
    }
    writes + ensure_operator_jwt(trial, token) + ensure_accounts(trial, token)
}

fn mounts() -> [(&'static str, &'static str, Value, Value); 6] {
    let versioned = json!({"version": "2"});
    [
        ("systems", "kv", versioned.clone(), json!({})),
        ("environments", "kv", versioned.clone(), json!({})),
        ("opensearch", "kv", versioned.clone(), json!({})),
        ("pki", "pki", Value::Null, json!({"max_lease_ttl": 10 * 365 * 86_400})),
        ("nats", "transit", Value::Null, json!({})),
        ("nats-jwt", "kv", versioned, json!({})),
    ]
}

fn settings(accessor: &str) -> [(String, Value); 4] {
    let charset = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let password = format!("length = 32\nrule \"charset\" {{ charset = \"{charset}\" min-chars = 8 }}\n");
    [
        ("sys/policies/acl/component".into(), json!({"policy": COMPONENT})),
        ("auth/kubernetes/role/component".into(), auth_role(&["*"], &["team0"], AUDIENCE, 120, "component")),
        (
            "pki/roles/component".into(),
            pki_role("component", &["broker.kubefox.internal"], 4 * 3_600, (true, true), "", accessor),
        ),
        ("sys/policies/password/opensearch".into(), json!({"policy": password})),
    ]
}

fn ensure(trial: &mut Trial, token: &str, path: &str, wanted: &Value) -> usize {
    let (_, have) = trial.call("GET", path, Some(token), &json!({}));
    if !differs(&have["data"], wanted) {
        return 0;
    }
    trial.must("POST", path, token, wanted);
    1
}

fn differs(have: &Value, wanted: &Value) -> bool {
    let wanted = wanted.as_object().expect("an object");
    wanted.iter().any(|(key, value)| have.get(key) != Some(value))
}

/// Signed by a key that never leaves Vault, written once.
fn ensure_operator_jwt(trial: &mut Trial, token: &str) -> usize {
    if trial.status("GET", "nats-jwt/data/operator", token, &json!({})) == 200 {
        return 0;
    }
    let key = trial.must("GET", "nats/keys/operator", token, &json!({}));
    let public = BASE64.decode(text(&key["data"]["keys"]["1"]["public_key"]).as_bytes()).expect("base64");
    let signed = trial.must("POST", "nats/sign/operator", token, &json!({"input": BASE64.encode(b"claims")}));
    let signature = text(&signed["data"]["signature"]);
    let signature = BASE64.decode(signature.trim_start_matches("vault:v1:").as_bytes()).expect("base64");
    let public = VerifyingKey::from_bytes(&public.try_into().expect("32 bytes")).expect("a key");
    let signature = Signature::from_slice(&signature).expect("64 bytes");
    assert!(public.verify(b"claims", &signature).is_ok());

    let write = json!({"data": {"jwt": "a jwt"}, "options": {"cas": 0}});
    trial.must("POST", "nats-jwt/data/operator", token, &write);
    let again = trial.refused("POST", "nats-jwt/data/operator", token, &write);
    assert_eq!(again, (403, "1 error occurred:\n\t* permission denied\n\n".into()), "create is no update");
    1
}

/// Made by Vault, written once, and not equal.
fn ensure_accounts(trial: &mut Trial, token: &str) -> usize {
    let mut passwords = Vec::new();
    for account in ["admin", "collector", "viewer"] {
        let path = format!("opensearch/data/{account}");
        if trial.status("GET", &path, token, &json!({})) == 200 {
            continue;
        }
        let made = trial.must("GET", "sys/policies/password/opensearch/generate", token, &json!({}));
        let password = text(&made["data"]["password"]);
        let write = json!({"data": {"username": account, "password": password}, "options": {"cas": 0}});
        trial.must("POST", &path, token, &write);
        passwords.push(password);
    }
    let count = passwords.len();
    assert!(passwords.iter().all(|password| password.len() == 32));
    passwords.sort();
    passwords.dedup();
    assert_eq!(passwords.len(), count);
    count
}

fn check_generation(trial: &mut Trial, controller: &str) {
    for (cas, status) in [(0, 200), (0, 400), (1, 200)] {
        let write = json!({"data": {"generation": cas + 2}, "options": {"cas": cas}});
        assert_eq!(trial.status("POST", "systems/data/kubefox/boot", controller, &write), status);
    }
    let read = trial.must("GET", "systems/data/kubefox/boot", controller, &json!({}));
    assert_eq!(
        (&read["data"]["data"]["generation"], &read["data"]["metadata"]["version"]),
        (&json!(3), &json!(2))
    );
}

/// A certificate for the caller's own identity, under the published root.
fn check_issue(trial: &mut Trial) {
    let token = trial.logged_in("component", "team0", "app", AUDIENCE);
    let wanted = json!({"uri_sans": URI, "ttl": "1h", "alt_names": "broker.kubefox.internal",
        "format": "pem", "private_key_format": "pkcs8"});
    let issued = trial.must("POST", "pki/issue/component", &token, &wanted)["data"].clone();

    assert_eq!(issued["expiration"], START.0 + 3_600);
    assert!(text(&issued["private_key"]).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let (status, ca) = trial.raw("GET", "pki/ca/pem", None, &json!({}));
    assert_eq!((status, String::from_utf8(ca).expect("PEM")), (200, text(&issued["issuing_ca"])));
    assert_eq!(trial.vault.issuer_certificates(), [text(&issued["issuing_ca"])]);

    let root = CertificateDer::from(der(&text(&issued["issuing_ca"])));
    let leaf = CertificateDer::from(der(&text(&issued["certificate"])));
    let anchors = [anchor_from_trusted_cert(&root).expect("an anchor")];
    let certificate = EndEntityCert::try_from(&leaf).expect("a certificate");
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(START.0));
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        let algorithms = &[ring::ECDSA_P256_SHA256];
        let verified = certificate.verify_for_usage(algorithms, &anchors, &[], at, usage, None, None);
        assert!(verified.is_ok(), "{:?}", verified.err());
    }
    assert_eq!(certificate.valid_uri_names().collect::<Vec<_>>(), [URI]);
    assert_eq!(certificate.valid_dns_names().collect::<Vec<_>>(), ["broker.kubefox.internal"]);
}

fn der(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(base64.as_bytes()).expect("base64")
}

/// Everything that the setup role can read.
fn snapshot(trial: &mut Trial, token: &str) -> Map<String, Value> {
    let paths = [
        "sys/mounts",
        "sys/auth",
        "auth/kubernetes/config",
        "sys/policies/acl/component",
        "auth/kubernetes/role/component",
        "pki/roles/component",
        "nats/keys/operator",
        "nats-jwt/data/operator",
        "sys/policies/password/opensearch",
        "opensearch/data/admin",
    ];
    let read = |path: &&str| ((*path).to_owned(), trial.must("GET", path, token, &json!({}))["data"].clone());
    paths.iter().map(read).collect()
}
