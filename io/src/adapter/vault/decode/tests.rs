mod certificates;

use super::*;
use crate::adapter::certificate::tests::Authority;
use crate::adapter::vault::encode;
use crate::keyring::Keyring;
use kubefox_core::vault::{
    Account, AuthRole, CertificateRequest, Mount, NatsKey, PkiRole, Setting, StoredJwt,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const TOKEN: Secret = Secret::Own(Own::ControllerToken);
const JWT: Secret = Secret::Own(Own::VaultJwt);
const INTO: Secret = Secret::Own(Own::SetupToken);
const UNSEAL_KEY: Secret = Secret::Own(Own::UnsealKey);
const ROOT_TOKEN: Secret = Secret::Own(Own::RootToken);

const DENIED: &str = r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
const BARE: &str = r#"{"errors":["permission denied"]}"#;
const ABSENT: &str = r#"{"errors":[]}"#;
const CAS: &str = r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
const SEALED: &str = r#"{"errors":["Vault is sealed"]}"#;
const UPGRADING: &str = r#"{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."]}"#;
const NO_ROUTE: &str = r#"{"errors":["no handler for route \"pki/roles/x\". route entry not found."]}"#;
const DELETED: &str = r#"{"request_id":"8ea09509","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":null,"metadata":{"created_time":"2026-11-23T21:02:20.925925809Z","custom_metadata":null,"deletion_time":"2026-11-23T21:02:20.962943489Z","destroyed":false,"version":1}},"wrap_info":null,"warnings":null,"auth":null}"#;
const UNSEALED: &str = r#"{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1,"progress":0,"nonce":"","recovery_seal":false,"version":"2.7.2","commit_date":"2026-10-26T20:32:27Z","migration":false,"cluster_name":"vault-cluster-d9e03026","cluster_id":"57608459","storage_type":"raft"}"#;
const INITIALIZED: &str = r#"{"keys":["00c0ffee"],"keys_base64":["AMD/7g=="],"root_token":"s.root"}"#;
const LOGIN: &str = r#"{"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,"auth":{"client_token":"b.batch","accessor":"","policies":["component"],"token_policies":["component"],"metadata":{"role":"component","service_account_name":"app.x","service_account_namespace":"team0","service_account_secret_name":"","service_account_uid":"2864c500"},"lease_duration":120,"renewable":false,"entity_id":"e","token_type":"batch","orphan":true,"mfa_requirement":null,"num_uses":0}}"#;

#[test]
fn seal_and_initialization_are_read_without_a_token() {
    let uninitialized = r#"{"type":"shamir","initialized":false,"sealed":true,"t":0,"n":0,"progress":0,"nonce":"","recovery_seal":false,"version":"2.7.2","commit_date":"2026-10-26T20:32:27Z","migration":false,"storage_type":"raft"}"#;
    let status = |initialized, sealed, keys| SealStatus {
        shamir: true,
        initialized,
        sealed,
        shares: keys,
        threshold: keys,
        version: "2.7.2".to_owned(),
    };
    let no_seal = r#"{"errors":["core: no seal configuration found"]}"#;
    check(&[
        (Call::SealStatus, 200, uninitialized, ok(Reply::SealStatus(status(false, true, 0)))),
        (Call::SealStatus, 200, UNSEALED, ok(Reply::SealStatus(status(true, false, 1)))),
        (Call::SealStatus, 500, "", Outcome::Unknown(Lost::ServerError)),
        (Call::InitStatus, 200, r#"{"initialized":false}"#, ok(Reply::InitStatus(InitStatus::Uninitialized))),
        (Call::InitStatus, 200, r#"{"initialized":true}"#, ok(Reply::InitStatus(InitStatus::Initialized))),
        (Call::InitStatus, 500, no_seal, ok(Reply::InitStatus(InitStatus::NoSealConfiguration))),
        (Call::InitStatus, 500, r#"{"errors":["other"]}"#, Outcome::Unknown(Lost::ServerError)),
        (Call::InitStatus, 200, "<html>", Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn health_is_a_status_with_a_body_that_agrees() {
    let body = |initialized, sealed, standby| {
        json!({"initialized": initialized, "sealed": sealed, "standby": standby, "version": "2.7.2"})
            .to_string()
    };
    let (active, standby) = (body(true, false, false), body(true, false, true));
    let (sealed, uninitialized) = (body(true, true, true), body(false, true, true));
    check(&[
        (Call::Health, 200, &active, ok(Reply::Health(Health::Active))),
        (Call::Health, 429, &standby, ok(Reply::Health(Health::Standby))),
        (Call::Health, 473, &standby, ok(Reply::Health(Health::Standby))),
        (Call::Health, 501, &uninitialized, ok(Reply::Health(Health::Uninitialized))),
        (Call::Health, 503, &sealed, ok(Reply::Health(Health::Sealed))),
        (Call::Health, 200, &sealed, Outcome::Unknown(Lost::Garbled)),
        (Call::Health, 501, "no such endpoint", Outcome::Unknown(Lost::Garbled)),
        (Call::Health, 503, "<html>upstream</html>", Outcome::Unknown(Lost::Garbled)),
        (Call::Health, 500, "", Outcome::Unknown(Lost::ServerError)),
    ]);
}

#[test]
fn an_initialization_fills_both_slots() {
    let (outcome, slots) = decoded(&Call::Initialize, 200, INITIALIZED);
    assert_eq!(outcome, ok(Reply::Initialized));
    assert_eq!(slots.expose(UNSEAL_KEY), Ok(&b"00c0ffee"[..]));
    assert_eq!(slots.expose(ROOT_TOKEN), Ok(&b"s.root"[..]));
}

#[test]
fn an_initialization_that_was_not_ours_fills_nothing() {
    let cases = [
        (400, r#"{"errors":["Vault is already initialized"]}"#, ok(Reply::AlreadyInitialized)),
        (
            400,
            r#"{"errors":["could not bootstrap clustered storage: error bootstrapping cluster: cluster already has state"]}"#,
            ok(Reply::HalfInitialized),
        ),
        (
            400,
            r#"{"errors":["Vault is being initialized on another node"]}"#,
            Outcome::Refused(Refusal::NotReady),
        ),
        (400, r#"{"errors":["invalid seal configuration"]}"#, Outcome::Refused(Refusal::Invalid)),
        (500, r#"{"errors":["barrier"]}"#, Outcome::Unknown(Lost::ServerError)),
        (200, r#"{"keys":[],"root_token":"s.root"}"#, Outcome::Unknown(Lost::Garbled)),
        (200, r#"{"keys":["00","01"],"root_token":"s.root"}"#, Outcome::Unknown(Lost::Garbled)),
        (200, r#"{"keys":["00"],"root_token":""}"#, Outcome::Unknown(Lost::Garbled)),
    ];
    for (status, body, expected) in cases {
        let (outcome, slots) = decoded(&Call::Initialize, status, body);
        assert_eq!(outcome, expected, "{body}");
        assert!(slots.expose(UNSEAL_KEY).is_err() && slots.expose(ROOT_TOKEN).is_err());
    }
}

#[test]
fn a_wrong_key_is_an_answer() {
    let wrong = r#"{"errors":["unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message authentication failed"]}"#;
    let call = || Call::Unseal { key: UNSEAL_KEY };
    let still_sealed = UNSEALED.replace(r#""sealed":false"#, r#""sealed":true"#);
    check(&[
        (call(), 200, UNSEALED, ok(Reply::Unsealed)),
        (call(), 400, wrong, ok(Reply::WrongKey)),
        (call(), 500, wrong, ok(Reply::WrongKey)),
        (call(), 400, r#"{"errors":["Vault is not initialized"]}"#, Outcome::Refused(Refusal::NotReady)),
        (call(), 400, r#"{"errors":["'key' must be specified"]}"#, Outcome::Refused(Refusal::Invalid)),
        (call(), 200, &still_sealed, Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn tokens_are_looked_up_and_revoked() {
    let root = logical(
        r#"{"accessor":"C3eo","creation_time":1795467738,"creation_ttl":0,"display_name":"root","entity_id":"","expire_time":null,"explicit_max_ttl":0,"id":"s.root","meta":null,"num_uses":0,"orphan":true,"path":"auth/token/root","policies":["root","a"],"ttl":0,"type":"service"}"#,
    );
    let facts =
        TokenFacts { path: "auth/token/root".to_owned(), policies: vec!["a".to_owned(), "root".to_owned()] };
    let gone = r#"{"errors":["1 error occurred:\n\t* invalid accessor\n\n"]}"#;
    let warned = r#"{"request_id":"5d","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":["No token found with this accessor"],"auth":null}"#;
    let self_ = || Call::LookupSelf { token: TOKEN };
    let lookup = || Call::LookupAccessor { token: TOKEN, accessor: accessor("C3eo") };
    let revoke = || Call::RevokeAccessor { token: TOKEN, accessor: accessor("C3eo") };
    check(&[
        (self_(), 200, &root, ok(Reply::Token(facts.clone()))),
        (self_(), 403, BARE, Outcome::Refused(Refusal::Unauthenticated)),
        (self_(), 403, DENIED, Outcome::Refused(Refusal::Denied)),
        (lookup(), 200, &root, ok(Reply::Token(facts))),
        (lookup(), 400, gone, ok(Reply::NoToken)),
        (revoke(), 204, "", ok(Reply::Revoked)),
        (revoke(), 200, warned, ok(Reply::Revoked)),
        (revoke(), 400, gone, ok(Reply::Revoked)),
        (Call::RevokeSelf { token: TOKEN }, 204, "", ok(Reply::Revoked)),
        (Call::RevokeSelf { token: TOKEN }, 403, BARE, Outcome::Refused(Refusal::Unauthenticated)),
    ]);
}

#[test]
fn an_empty_list_of_accessors_is_a_404_without_errors() {
    let call = || Call::ListAccessors { token: TOKEN };
    let two = logical(r#"{"keys":["C3eodIcH","Y1OcmYsG"]}"#);
    let both = vec![accessor("C3eodIcH"), accessor("Y1OcmYsG")];
    let smuggled = logical(r#"{"keys":["../../sys/seal"]}"#);
    check(&[
        (call(), 200, &two, ok(Reply::Accessors(both))),
        (call(), 404, ABSENT, ok(Reply::Accessors(vec![]))),
        (call(), 404, NO_ROUTE, Outcome::Refused(Refusal::Invalid)),
        (call(), 404, "404 page not found", Outcome::Refused(Refusal::Invalid)),
        (call(), 200, &smuggled, Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn a_login_fills_the_slot_and_says_who_it_is() {
    let (outcome, slots) = decoded(&login(), 200, LOGIN);
    let identity = Identity {
        namespace: Namespace::parse("team0").expect("a namespace"),
        service_account: ServiceAccount::parse("app.x").expect("a service account"),
    };
    assert_eq!(outcome, ok(Reply::LoggedIn(Login { identity, lease_s: 120 })));
    assert_eq!(slots.expose(INTO), Ok(&b"b.batch"[..]));
}

#[test]
fn a_login_is_refused_for_good_only_by_a_text_that_names_the_cause() {
    let text = |text: &str| json!({ "errors": [text] }).to_string();
    let causes = [
        ("service account name not authorized", Refusal::Denied),
        ("namespace not authorized", Refusal::Denied),
        (
            "invalid audience (aud) claim: audience claim does not match any expected audience",
            Refusal::Unauthenticated,
        ),
        ("invalid expiration time (exp) claim: token is expired", Refusal::Unauthenticated),
    ];
    for (cause, refusal) in causes {
        assert_eq!(decoded(&login(), 403, &text(cause)).0, Outcome::Refused(refusal), "{cause}");
    }
    let unknown_role = text("invalid role name \"nope\"");
    let unconfigured = text("could not load backend configuration");
    check(&[
        (login(), 403, BARE, Outcome::Refused(Refusal::Unclear)),
        (login(), 403, "", Outcome::Refused(Refusal::Unclear)),
        (login(), 400, &unknown_role, Outcome::Refused(Refusal::Invalid)),
        (login(), 500, &unconfigured, Outcome::Unknown(Lost::ServerError)),
        (login(), 503, SEALED, Outcome::Refused(Refusal::NotReady)),
        (login(), 200, &LOGIN.replace("b.batch", "b.\\n"), Outcome::Unknown(Lost::Garbled)),
        (login(), 200, &LOGIN.replace("team0", "../team0"), Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn settings_are_reduced_to_the_members_that_count() {
    let auth = logical(
        r#"{"kubernetes/":{"accessor":"auth_kubernetes_0b5a14c9","config":{"default_lease_ttl":0},"deprecation_status":"supported","local":false,"options":{},"type":"kubernetes","uuid":"de6dc0b6"},"token/":{"accessor":"auth_token_9c3a48de","config":{},"options":null,"type":"token"}}"#,
    );
    let mounts = logical(
        r#"{"nats-jwt/":{"accessor":"kv_1","config":{"default_lease_ttl":0,"force_no_cache":false,"max_lease_ttl":0},"options":{"version":"2"},"type":"kv"},"pki/":{"accessor":"pki_890ea427","config":{"default_lease_ttl":0,"force_no_cache":false,"max_lease_ttl":315360000},"options":null,"type":"pki"}}"#,
    );
    let policy = logical(
        r#"{"allow_slashes_in_identity_templates":false,"cas_required":false,"modified":"2026-11-23T21:02:20.305887675Z","name":"nats","policy":"path \"x\" {}","version":1}"#,
    );
    let config = r#"{"disable_iss_validation":true,"disable_local_ca_jwt":false,"issuer":"","kubernetes_ca_cert":"x","kubernetes_host":"https://127.0.0.1:1","pem_keys":[],"token_reviewer_jwt_set":false}"#;
    let issuers = logical(
        r#"{"key_info":{"acdc2bff":{"is_default":true,"issuer_name":"root-1","key_id":"c950b431","serial_number":"6d:c9"}},"keys":["acdc2bff"]}"#,
    );
    let key = logical(
        r#"{"allow_plaintext_backup":false,"deletion_allowed":false,"derived":false,"exportable":false,"keys":{"1":{"certificate_chain":"","creation_time":"2026-11-23T21:02:20.479409841Z","name":"ed25519","public_key":"6cMegKG8P1k72Y03Tu64rJ5KTE4skyk8bbNtJcoi49g="}},"latest_version":1,"name":"operator","type":"ed25519"}"#,
    );
    let read = |setting| Call::Read { token: TOKEN, setting };
    let stands = |value: Value| ok(Reply::Setting(Some(value)));
    let parsed: Value = serde_json::from_str(config).expect("it is JSON");
    check(&[
        (
            read(Setting::KubernetesAuth),
            200,
            &auth,
            stands(json!({"type": "kubernetes", "accessor": "auth_kubernetes_0b5a14c9"})),
        ),
        (
            read(Setting::Mount(Mount::NatsJwt)),
            200,
            &mounts,
            stands(
                json!({"type": "kv", "options": {"version": "2"}, "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0}}),
            ),
        ),
        (
            read(Setting::Mount(Mount::Pki)),
            200,
            &mounts,
            stands(
                json!({"type": "pki", "options": null, "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 315_360_000}}),
            ),
        ),
        (read(Setting::Mount(Mount::Systems)), 200, &mounts, ok(Reply::Setting(None))),
        (read(Setting::Policy(AuthRole::Nats)), 200, &policy, stands(json!({"policy": "path \"x\" {}"}))),
        (read(Setting::KubernetesAuthConfig), 200, &logical(config), stands(parsed)),
        (read(Setting::RootCertificate), 200, &issuers, stands(json!({"issuers": ["root-1"]}))),
        (
            read(Setting::NatsKey(NatsKey::Operator)),
            200,
            &key,
            stands(
                json!({"type": "ed25519", "latest_version": 1, "public_key": "6cMegKG8P1k72Y03Tu64rJ5KTE4skyk8bbNtJcoi49g="}),
            ),
        ),
    ]);
}

#[test]
fn a_setting_that_does_not_exist_is_told_from_a_refusal() {
    let no_policy = r#"{"errors":["1 error occurred:\n\t* policy does not exist\n\n"]}"#;
    let read = |setting| Call::Read { token: TOKEN, setting };
    check(&[
        (read(Setting::PkiRole(PkiRole::Nats)), 404, ABSENT, ok(Reply::Setting(None))),
        (read(Setting::RootCertificate), 404, ABSENT, ok(Reply::Setting(None))),
        (read(Setting::PasswordPolicy), 404, no_policy, ok(Reply::Setting(None))),
        (read(Setting::PkiRole(PkiRole::Nats)), 404, NO_ROUTE, Outcome::Refused(Refusal::Invalid)),
        (read(Setting::PkiRole(PkiRole::Nats)), 403, DENIED, Outcome::Refused(Refusal::Denied)),
        (read(Setting::PkiRole(PkiRole::Nats)), 200, &logical("[]"), Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn a_write_that_was_refused_says_why() {
    let write =
        || Call::Write { token: TOKEN, setting: Setting::Mount(Mount::Pki), body: json!({"type": "pki"}) };
    check(&[
        (write(), 204, "", ok(Reply::Written)),
        (write(), 200, &logical("{}"), ok(Reply::Written)),
        (write(), 200, "", Outcome::Unknown(Lost::Garbled)),
        (
            write(),
            400,
            r#"{"errors":["path is already in use at pki/"]}"#,
            Outcome::Refused(Refusal::Conflict),
        ),
        (write(), 400, r#"{"errors":["issuer name already in use"]}"#, Outcome::Refused(Refusal::Conflict)),
        (
            write(),
            400,
            r#"{"errors":["'policy' parameter not supplied or empty"]}"#,
            Outcome::Refused(Refusal::Invalid),
        ),
        (write(), 403, DENIED, Outcome::Refused(Refusal::Denied)),
        (write(), 403, BARE, Outcome::Refused(Refusal::Unauthenticated)),
        (
            write(),
            403,
            r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#,
            Outcome::Refused(Refusal::Unauthenticated),
        ),
        (write(), 403, r#"{"errors":["a new text"]}"#, Outcome::Refused(Refusal::Unclear)),
        (write(), 413, "", Outcome::Refused(Refusal::Invalid)),
        (
            write(),
            429,
            r#"{"errors":["request path \"x\": rate limit quota exceeded"]}"#,
            Outcome::Refused(Refusal::Busy),
        ),
        (write(), 307, "", Outcome::Refused(Refusal::NotReady)),
        (write(), 500, r#"{"errors":["internal error"]}"#, Outcome::Unknown(Lost::ServerError)),
        (write(), 503, SEALED, Outcome::Refused(Refusal::NotReady)),
        (
            write(),
            503,
            r#"{"errors":["no active Vault instance found"]}"#,
            Outcome::Refused(Refusal::NotReady),
        ),
        (write(), 503, "<html>", Outcome::Unknown(Lost::ServerError)),
        (write(), 302, "", Outcome::Unknown(Lost::Garbled)),
    ]);
}

#[test]
fn documents_are_absent_stored_or_deleted() {
    let jwt =
        logical(r#"{"data":{"jwt":"a.b.c"},"metadata":{"created_time":"x","deletion_time":"","version":1}}"#);
    let account = logical(r#"{"data":{"username":"admin","password":"canary"},"metadata":{"version":1}}"#);
    let boot = logical(r#"{"data":{"generation":7},"metadata":{"version":3}}"#);
    let read_jwt = || Call::ReadJwt { token: TOKEN, jwt: StoredJwt::Operator };
    let read_account = || Call::ReadAccount { token: TOKEN, account: Account::Admin };
    let read_boot = || Call::ReadGeneration { token: TOKEN };
    let write_jwt = || Call::WriteJwt { token: TOKEN, jwt: StoredJwt::Operator, text: "a.b.c".to_owned() };
    check(&[
        (read_jwt(), 200, &jwt, ok(Reply::Jwt(Some("a.b.c".to_owned())))),
        (read_jwt(), 404, ABSENT, ok(Reply::Jwt(None))),
        (read_jwt(), 400, UPGRADING, Outcome::Refused(Refusal::NotReady)),
        (read_jwt(), 404, DELETED, Outcome::Refused(Refusal::Invalid)),
        (read_jwt(), 200, &account, Outcome::Unknown(Lost::Garbled)),
        (read_account(), 200, &account, ok(Reply::Account { exists: true })),
        (read_account(), 404, ABSENT, ok(Reply::Account { exists: false })),
        (read_account(), 200, &jwt, Outcome::Unknown(Lost::Garbled)),
        (read_boot(), 200, &boot, ok(Reply::Generation(Some(Generation { version: 3, generation: 7 })))),
        (read_boot(), 404, ABSENT, ok(Reply::Generation(None))),
        (read_boot(), 404, NO_ROUTE, ok(Reply::Generation(None))),
        (read_boot(), 404, DELETED, Outcome::Refused(Refusal::Invalid)),
        (read_boot(), 403, DENIED, Outcome::Refused(Refusal::Denied)),
        (read_boot(), 400, UPGRADING, Outcome::Refused(Refusal::NotReady)),
        (write_jwt(), 200, &logical(r#"{"version":1}"#), ok(Reply::Written)),
        (write_jwt(), 400, CAS, Outcome::Refused(Refusal::Conflict)),
        (write_jwt(), 400, UPGRADING, Outcome::Refused(Refusal::NotReady)),
        (
            Call::WriteGeneration { token: TOKEN, cas: 1, generation: 2 },
            400,
            CAS,
            Outcome::Refused(Refusal::Conflict),
        ),
    ]);
}

#[test]
fn a_generated_password_goes_into_its_slot() {
    let call = Call::GeneratePassword { token: TOKEN, into: INTO };
    let (outcome, slots) = decoded(&call, 200, &logical(r#"{"password":"accbaccacb"}"#));
    assert_eq!(outcome, ok(Reply::Password));
    assert_eq!(slots.expose(INTO), Ok(&b"accbaccacb"[..]));
}

#[test]
fn a_signature_is_64_bytes_of_the_first_version() {
    let call = || Call::Sign { token: TOKEN, key: NatsKey::Operator, input: b"hi".to_vec() };
    let text = "7jKTf33vR07ZsKCqOUEubGON2egvzZn3wj5DM+SV4m9OP8G1BxYLQSfEiMYR8f4tvgI9mfl1mhjeZfu4n/D2Cg==";
    let signed =
        |prefix: &str, text: &str| logical(&json!({"signature": format!("{prefix}{text}")}).to_string());
    let raw = BASE64.decode(text.as_bytes()).expect("base64");
    check(&[
        (call(), 200, &signed("vault:v1:", text), ok(Reply::Signature(raw.try_into().expect("64 bytes")))),
        (call(), 200, &signed("vault:v2:", text), Outcome::Unknown(Lost::Garbled)),
        (call(), 200, &signed("vault:v1:", "AA=="), Outcome::Unknown(Lost::Garbled)),
        (call(), 400, r#"{"errors":["signing key not found"]}"#, Outcome::Refused(Refusal::Invalid)),
    ]);
}

#[test]
fn no_secret_is_in_an_outcome() {
    let authority = Authority::new("root", 2026, 2036);
    let key = "-----BEGIN PRIVATE KEY-----\ncanary";
    let secretive = [
        (Call::Initialize, INITIALIZED.replace("00c0ffee", "canary").replace("s.root", "s.canary")),
        (login(), LOGIN.replace("b.batch", "b.canary")),
        (Call::GeneratePassword { token: TOKEN, into: INTO }, logical(r#"{"password":"canary"}"#)),
        (
            Call::ReadAccount { token: TOKEN, account: Account::Admin },
            logical(r#"{"data":{"username":"canary","password":"canary"},"metadata":{"version":1}}"#),
        ),
        (issue(), issued_body(&authority.issue(2026, 2027), &authority.pem(), key)),
    ];
    for (call, body) in secretive {
        let whole = body.clone();
        let shortened = body[..body.len() - 1].to_owned();
        let retyped = body.replace("\"canary", "1,\"canary").replace("\"s.canary", "1,\"canary");
        for (status, body) in
            [(200, whole), (200, shortened), (200, retyped), (403, body.clone()), (500, body)]
        {
            let (outcome, _slots) = decoded(&call, status, &body);
            assert!(!format!("{outcome:?}").contains("canary"), "{call:?}");
        }
    }
}

#[test]
fn every_call_can_be_encoded_and_fails_the_same_way_when_vault_is_sealed() {
    let mut slots = Keyring::default();
    for name in [TOKEN, JWT, INTO, UNSEAL_KEY] {
        slots.fill(name, Zeroizing::new(b"x".to_vec()));
    }
    for call in all() {
        assert!(encode(&call, &slots).is_ok(), "{call:?}");
        let expected = if call == Call::Health {
            Outcome::Unknown(Lost::Garbled)
        } else {
            Outcome::Refused(Refusal::NotReady)
        };
        assert_eq!(decoded(&call, 503, SEALED).0, expected, "{call:?}");
    }
}

proptest! {
    #[test]
    fn no_response_panics(status in 100_u16..1000, body in any::<Vec<u8>>(), call in 0..all().len()) {
        decode(&all()[call], response(status, body), &mut Keyring::default());
    }

    #[test]
    fn no_damaged_response_panics(status in 100_u16..1000, cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let authority = logical(r#"{"data":{"jwt":"a"},"keys":{"1":{}},"key_info":{},"metadata":{"version":1},"latest_version":2,"type":"x"}"#);
        for body in [LOGIN, INITIALIZED, UNSEALED, DELETED, DENIED, &authority] {
            for call in all() {
                let mut body = body.as_bytes().to_vec();
                let at = cut.index(body.len());
                body[at] = byte;
                decode(&call, response(status, body), &mut Keyring::default());
            }
        }
    }
}

fn check(rows: &[(Call, u16, &str, Outcome<Reply>)]) {
    for (call, status, body, expected) in rows {
        assert_eq!(&decoded(call, *status, body).0, expected, "{call:?} {status} {body}");
    }
}

fn ok(reply: Reply) -> Outcome<Reply> {
    Outcome::Ok(reply)
}

fn decoded(call: &Call, status: u16, body: &str) -> (Outcome<Reply>, Keyring) {
    let mut slots = Keyring::default();
    let outcome = decode(call, response(status, body.as_bytes().to_vec()), &mut slots);
    (outcome, slots)
}

fn response(status: u16, body: Vec<u8>) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body).expect("three digits are a status")
}

/// A success as the server envelopes it.
fn logical(data: &str) -> String {
    format!(
        r#"{{"request_id":"ea5f7fb1","lease_id":"","renewable":false,"lease_duration":0,"data":{data},"wrap_info":null,"warnings":null,"auth":null}}"#
    )
}

fn accessor(text: &str) -> Accessor {
    Accessor::parse(text).expect("an accessor")
}

fn login() -> Call {
    Call::Login { role: AuthRole::Component, jwt: JWT, into: INTO }
}

fn issue() -> Call {
    Call::Issue { token: TOKEN, request: request(), into: INTO }
}

fn sign_certificate() -> Call {
    Call::SignCertificate { token: TOKEN, request: request(), csr: csr() }
}

fn csr() -> Csr {
    Csr::parse(include_str!("../../csr/plain.pem")).expect("a request")
}

fn request() -> CertificateRequest {
    CertificateRequest {
        role: PkiRole::Nats,
        common_name: Some("nats.kubefox.svc".to_owned()),
        dns_names: vec![],
        uri: "spiffe://cluster.local/ns/kubefox/sa/nats".to_owned(),
        ttl_s: 3_600,
    }
}

/// Vault's PEM has no line break at its end.
fn issued_body(leaf: &Pem, ca: &Pem, key: &str) -> String {
    let data = json!({
        "ca_chain": [ca.as_str().trim_end()], "certificate": leaf.as_str().trim_end(), "expiration": 1,
        "issuing_ca": ca.as_str().trim_end(), "not_before": 1, "private_key": key, "private_key_type": "ec",
        "serial_number": "6d:c9",
    });
    logical(&data.to_string())
}

/// One of each call, and a read of each setting.
fn all() -> Vec<Call> {
    let body = json!({});
    let mut calls = vec![
        Call::SealStatus,
        Call::InitStatus,
        Call::Health,
        Call::Initialize,
        Call::Unseal { key: UNSEAL_KEY },
        Call::LookupSelf { token: TOKEN },
        Call::RevokeSelf { token: TOKEN },
        Call::ListAccessors { token: TOKEN },
        Call::LookupAccessor { token: TOKEN, accessor: accessor("a") },
        Call::RevokeAccessor { token: TOKEN, accessor: accessor("a") },
        login(),
        Call::Write { token: TOKEN, setting: Setting::RootCertificate, body },
        Call::ReadJwt { token: TOKEN, jwt: StoredJwt::Operator },
        Call::WriteJwt { token: TOKEN, jwt: StoredJwt::Operator, text: String::new() },
        Call::ReadAccount { token: TOKEN, account: Account::Admin },
        Call::GeneratePassword { token: TOKEN, into: INTO },
        Call::WriteAccount { token: TOKEN, account: Account::Admin, password: INTO },
        Call::ReadGeneration { token: TOKEN },
        Call::WriteGeneration { token: TOKEN, cas: 0, generation: 1 },
        issue(),
        sign_certificate(),
        Call::Sign { token: TOKEN, key: NatsKey::Operator, input: vec![] },
    ];
    let settings = [
        Setting::KubernetesAuth,
        Setting::KubernetesAuthConfig,
        Setting::Policy(AuthRole::Nats),
        Setting::AuthRole(AuthRole::Nats),
        Setting::Mount(Mount::Pki),
        Setting::RootCertificate,
        Setting::PkiRole(PkiRole::Nats),
        Setting::NatsKey(NatsKey::Operator),
        Setting::PasswordPolicy,
    ];
    calls.extend(settings.map(|setting| Call::Read { token: TOKEN, setting }));
    calls
}
