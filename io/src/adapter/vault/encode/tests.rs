use super::*;
use crate::adapter::Empty;
use crate::keyring::Keyring;
use kubefox_core::names::{Accessor, Csr, Identity, Namespace, ServiceAccount};
use kubefox_core::secret::Own;
use kubefox_core::vault::{AuthRole, PkiRole};
use zeroize::Zeroizing;

const TOKEN: Secret = Secret::Own(Own::ControllerToken);
const KEY: Secret = Secret::Own(Own::UnsealKey);
const JWT: Secret = Secret::Own(Own::VaultJwt);
const PASSWORD: Secret = Secret::Own(Own::Password);

#[test]
fn calls_of_the_system_are_the_documented_requests() {
    let slots = keyring();
    let accessor = || Accessor::parse("C3eodIcHYSnD68iLKXozb7NT").expect("an accessor");
    let golden = [
        (Call::SealStatus, "GET /v1/sys/seal-status"),
        (Call::InitStatus, "GET /v1/sys/init"),
        (Call::Health, "GET /v1/sys/health"),
        (Call::Initialize, r#"POST /v1/sys/init {"secret_shares":1,"secret_threshold":1}"#),
        (Call::Unseal { key: KEY }, r#"PUT /v1/sys/unseal {"key":"00ff"}"#),
        (Call::LookupSelf { token: TOKEN }, "GET /v1/auth/token/lookup-self b.token"),
        (Call::RevokeSelf { token: TOKEN }, "POST /v1/auth/token/revoke-self b.token"),
        (Call::ListAccessors { token: TOKEN }, "LIST /v1/auth/token/accessors b.token"),
        (
            Call::LookupAccessor { token: TOKEN, accessor: accessor() },
            r#"POST /v1/auth/token/lookup-accessor b.token {"accessor":"C3eodIcHYSnD68iLKXozb7NT"}"#,
        ),
        (
            Call::RevokeAccessor { token: TOKEN, accessor: accessor() },
            r#"POST /v1/auth/token/revoke-accessor b.token {"accessor":"C3eodIcHYSnD68iLKXozb7NT"}"#,
        ),
        (
            Call::Login { role: AuthRole::ControllerSetup, jwt: JWT, into: TOKEN },
            r#"POST /v1/auth/kubernetes/login {"role":"controller-setup","jwt":"a.b.c"}"#,
        ),
    ];
    for (call, line) in golden {
        assert_eq!(shown(&call, &slots), line);
    }
}

#[test]
fn settings_are_read_where_the_policies_allow_it_and_written_whole() {
    let slots = keyring();
    let golden = [
        (Setting::KubernetesAuth, "GET /v1/sys/auth", "/v1/sys/auth/kubernetes"),
        (Setting::KubernetesAuthConfig, "GET /v1/auth/kubernetes/config", "/v1/auth/kubernetes/config"),
        (
            Setting::Policy(AuthRole::Component),
            "GET /v1/sys/policies/acl/component",
            "/v1/sys/policies/acl/component",
        ),
        (
            Setting::AuthRole(AuthRole::Nats),
            "GET /v1/auth/kubernetes/role/nats",
            "/v1/auth/kubernetes/role/nats",
        ),
        (Setting::Mount(Mount::NatsJwt), "GET /v1/sys/mounts", "/v1/sys/mounts/nats-jwt"),
        (Setting::RootCertificate, "LIST /v1/pki/issuers", "/v1/pki/root/generate/internal"),
        (Setting::PkiRole(PkiRole::Runtime), "GET /v1/pki/roles/runtime", "/v1/pki/roles/runtime"),
        (Setting::NatsKey(NatsKey::Operator), "GET /v1/nats/keys/operator", "/v1/nats/keys/operator"),
        (Setting::NatsKey(user()), "GET /v1/nats/keys/user.team0.app.x", "/v1/nats/keys/user.team0.app.x"),
        (
            Setting::PasswordPolicy,
            "GET /v1/sys/policies/password/opensearch",
            "/v1/sys/policies/password/opensearch",
        ),
    ];
    for (setting, read, path) in golden {
        let call = Call::Read { token: TOKEN, setting: setting.clone() };
        assert_eq!(shown(&call, &slots), format!("{read} b.token"));
        let body = json!({ "type": "x", "issuer_name": "root-1" });
        let call = Call::Write { token: TOKEN, setting, body };
        assert_eq!(
            shown(&call, &slots),
            format!(r#"POST {path} b.token {{"issuer_name":"root-1","type":"x"}}"#)
        );
    }
}

#[test]
fn documents_are_read_and_written_with_compare_and_set() {
    let slots = keyring();
    let golden = [
        (
            Call::ReadJwt { token: TOKEN, jwt: StoredJwt::SystemAccount },
            "GET /v1/nats-jwt/data/account/system b.token",
        ),
        (
            Call::WriteJwt { token: TOKEN, jwt: StoredJwt::Operator, text: "x.y.z".to_owned() },
            r#"POST /v1/nats-jwt/data/operator b.token {"data":{"jwt":"x.y.z"},"options":{"cas":0}}"#,
        ),
        (
            Call::WriteJwt { token: TOKEN, jwt: StoredJwt::PlatformAccount, text: "x".to_owned() },
            r#"POST /v1/nats-jwt/data/account/platform b.token {"data":{"jwt":"x"},"options":{"cas":0}}"#,
        ),
        (
            Call::ReadAccount { token: TOKEN, account: Account::Admin },
            "GET /v1/opensearch/data/admin b.token",
        ),
        (
            Call::GeneratePassword { token: TOKEN, into: PASSWORD },
            "GET /v1/sys/policies/password/opensearch/generate b.token",
        ),
        (
            Call::WriteAccount { token: TOKEN, account: Account::Viewer, password: PASSWORD },
            r#"POST /v1/opensearch/data/viewer b.token {"data":{"password":"hunter2","username":"viewer"},"options":{"cas":0}}"#,
        ),
        (Call::ReadGeneration { token: TOKEN }, "GET /v1/systems/data/kubefox/boot b.token"),
        (
            Call::WriteGeneration { token: TOKEN, cas: 3, generation: 7 },
            r#"POST /v1/systems/data/kubefox/boot b.token {"data":{"generation":7},"options":{"cas":3}}"#,
        ),
    ];
    for (call, line) in golden {
        assert_eq!(shown(&call, &slots), line);
    }
}

#[test]
fn a_certificate_is_asked_for_with_the_parameters_its_policy_allows_and_no_others() {
    let slots = keyring();
    let runtime = CertificateRequest {
        role: PkiRole::Runtime,
        common_name: None,
        dns_names: vec![],
        uri: "spiffe://cluster.local/ns/team0/sa/app/runtime".to_owned(),
        ttl_s: 14_400,
    };
    let controller = CertificateRequest {
        role: PkiRole::Controller,
        common_name: Some("kubefox.kubefox.svc".to_owned()),
        dns_names: vec!["kubefox.kubefox.svc".to_owned()],
        uri: "spiffe://cluster.local/ns/kubefox/sa/kubefox".to_owned(),
        ttl_s: 86_400,
    };
    let into = Secret::Own(Own::ServingKey);
    assert_eq!(
        shown(&Call::Issue { token: TOKEN, request: runtime, into }, &slots),
        r#"POST /v1/pki/issue/runtime b.token {"format":"pem","private_key_format":"pkcs8","ttl":"14400s","uri_sans":"spiffe://cluster.local/ns/team0/sa/app/runtime"}"#
    );
    assert_eq!(
        shown(&Call::Issue { token: TOKEN, request: controller, into }, &slots),
        r#"POST /v1/pki/issue/controller b.token {"alt_names":"kubefox.kubefox.svc","common_name":"kubefox.kubefox.svc","format":"pem","private_key_format":"pkcs8","ttl":"86400s","uri_sans":"spiffe://cluster.local/ns/kubefox/sa/kubefox"}"#
    );
}

#[test]
fn a_request_that_was_made_elsewhere_is_signed_within_the_same_parameters() {
    let request = CertificateRequest {
        role: PkiRole::Component,
        common_name: None,
        dns_names: vec!["broker.kubefox.internal".to_owned()],
        uri: "spiffe://cluster.local/ns/team0/sa/app".to_owned(),
        ttl_s: 14_400,
    };
    let csr = Csr::parse("-----BEGIN CERTIFICATE REQUEST-----\nAA==").expect("it begins so");
    assert_eq!(
        shown(&Call::SignCertificate { token: TOKEN, request, csr }, &keyring()),
        r#"POST /v1/pki/sign/component b.token {"alt_names":"broker.kubefox.internal","csr":"-----BEGIN CERTIFICATE REQUEST-----\nAA==","format":"pem","ttl":"14400s","uri_sans":"spiffe://cluster.local/ns/team0/sa/app"}"#
    );
}

#[test]
fn a_signature_is_asked_for_over_base64() {
    let call = Call::Sign { token: TOKEN, key: user(), input: b"abcDEF012345-_x".to_vec() };
    assert_eq!(
        shown(&call, &keyring()),
        r#"POST /v1/nats/sign/user.team0.app.x b.token {"input":"YWJjREVGMDEyMzQ1LV94"}"#
    );
}

#[test]
fn a_token_is_marked_sensitive() {
    let request = encode(&Call::LookupSelf { token: TOKEN }, &keyring()).expect("the token is there");
    assert!(request.headers()[TOKEN_HEADER].is_sensitive());
    assert!(!format!("{:?}", request.headers()).contains("b.token"));
}

#[test]
fn a_secret_that_no_header_can_hold_is_refused_and_not_quoted() {
    let mut slots = keyring();
    for bad in ["", "b.canary\n", "b. canary", "b.canary\u{e4}"] {
        slots.fill(TOKEN, Zeroizing::new(bad.as_bytes().to_vec()));
        slots.fill(JWT, Zeroizing::new(bad.as_bytes().to_vec()));
        for call in [
            Call::LookupSelf { token: TOKEN },
            Call::Login { role: AuthRole::Controller, jwt: JWT, into: PASSWORD },
        ] {
            let error = encode(&call, &slots).expect_err("it cannot be sent");
            assert!(
                matches!(error, Unencodable::Unsendable(TOKEN | JWT, "it is not visible ASCII")),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}

#[test]
fn an_empty_slot_is_named() {
    let error =
        encode(&Call::LookupSelf { token: TOKEN }, &Keyring::default()).expect_err("nothing is there");
    assert_eq!(error, Unencodable::Empty(Empty(TOKEN)));
}

#[test]
fn a_version_that_the_library_cannot_hold_is_refused() {
    let call = Call::WriteGeneration { token: TOKEN, cas: u64::MAX, generation: 1 };
    assert!(matches!(encode(&call, &keyring()), Err(Unencodable::Unbuildable(_))));
}

fn user() -> NatsKey {
    NatsKey::User(Identity {
        namespace: Namespace::parse("team0").expect("a namespace"),
        service_account: ServiceAccount::parse("app.x").expect("a service account"),
    })
}

fn keyring() -> Keyring {
    let mut slots = Keyring::default();
    for (name, text) in [(TOKEN, "b.token"), (KEY, "00ff"), (JWT, "a.b.c"), (PASSWORD, "hunter2")] {
        slots.fill(name, Zeroizing::new(text.as_bytes().to_vec()));
    }
    slots
}

/// Method, URI, token and body, each if there is one; the remaining headers are asserted here.
fn shown(call: &Call, slots: &Keyring) -> String {
    let request = encode(call, slots).expect("all secrets are there");
    assert_eq!(request.headers()["x-vault-request"], "true");
    assert_eq!(request.headers().contains_key(CONTENT_TYPE), !request.body().is_empty());
    let known = ["x-vault-request", "x-vault-token", "content-type"];
    assert!(request.headers().keys().all(|name| known.contains(&name.as_str())));
    let mut parts = vec![request.method().to_string(), request.uri().to_string()];
    if let Some(token) = request.headers().get(TOKEN_HEADER) {
        parts.push(token.to_str().expect("visible ASCII").to_owned());
    }
    if !request.body().is_empty() {
        parts.push(String::from_utf8(request.body().clone()).expect("JSON is UTF-8"));
    }
    parts.join(" ")
}
