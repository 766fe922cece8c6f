//! The controller's objects: made once, read, replaced by compare-and-set, and refused to others.

use http::Method;
use kubefox_core::kubernetes::{self, Call, Reply, SEAL_KEY, TRUST, Trust};
use kubefox_core::machine::Outcome;
use kubefox_core::names::{LifeId, Pem, PodName, ResourceVersion, Uid};
use kubefox_core::secret::{Own, Secret};
use kubefox_io::adapter::Slots as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::review::{API_JWT, controller};
use crate::stage::{API_AUDIENCE, PLATFORM, Pod, Stage, TENANT, identity};

const KEY: Secret = Secret::Own(Own::MintedSealKey);
const LIFE: &str = "00000000000000aa";
const OTHER_LIFE: &str = "00000000000000bb";

pub(super) fn seal_key(stage: &mut Stage<'_>) {
    controller(stage);
    mint(stage, 32);
    stage.kubernetes("absent", &Call::ReadSealKey);
    stage.kubernetes("first", &create_seal_key(LIFE));
    stage.kubernetes("first again", &create_seal_key(LIFE));
    stage.kubernetes("of another life", &create_seal_key(OTHER_LIFE));
    stage.kubernetes("made", &Call::ReadSealKey);
    let path = secret(SEAL_KEY);
    by_administrator(stage, "its key is changed", Method::PATCH, &path, &json!({"data": {"key": "AAAA"}}));
    by_administrator(stage, "it is made mutable", Method::PATCH, &path, &json!({"immutable": false}));
    let relabelled = json!({"metadata": {"annotations": {"kubefox.io/life-id": "nonsense"}}});
    by_administrator(stage, "its life is made nonsense", Method::PATCH, &path, &relabelled);
    stage.kubernetes("with a life that is none", &Call::ReadSealKey);
    by_administrator(stage, "it is deleted", Method::DELETE, &path, &Value::Null);
    stage.kubernetes("deleted, held by its finalizer", &Call::ReadSealKey);
    stage.kubernetes("while it is deleted", &create_seal_key(OTHER_LIFE));
    let released = json!({"metadata": {"finalizers": null}});
    by_administrator(stage, "it is released", Method::PATCH, &path, &released);
    stage.kubernetes("gone", &Call::ReadSealKey);
    mint(stage, 31);
    stage.kubernetes("a key of another length", &create_seal_key(LIFE));
    stage.kubernetes("a key of another length", &Call::ReadSealKey);
}

pub(super) fn committed(stage: &mut Stage<'_>) {
    controller(stage);
    let create = |text: &str| Call::CreateCommitted { life: life(text) };
    stage.kubernetes("absent", &Call::ReadCommitted);
    stage.kubernetes("first", &create(LIFE));
    stage.kubernetes("first again", &create(LIFE));
    stage.kubernetes("of another life", &create(OTHER_LIFE));
    stage.kubernetes("made", &Call::ReadCommitted);
    let path = format!("/api/v1/namespaces/{PLATFORM}/configmaps/kubefox-committed");
    by_administrator(stage, "it gets data", Method::PATCH, &path, &json!({"data": {"a": "b"}}));
    by_administrator(
        stage,
        "it loses its life",
        Method::PATCH,
        &path,
        &json!({"metadata": {"annotations": null}}),
    );
    stage.kubernetes("without a life", &Call::ReadCommitted);
    by_administrator(stage, "it is deleted", Method::DELETE, &path, &Value::Null);
    stage.kubernetes("gone", &Call::ReadCommitted);
}

pub(super) fn trust(stage: &mut Stage<'_>) {
    controller(stage);
    let create = |number: u8| Call::CreateTrust { life: life(LIFE), trust: pems(number) };
    let update = |version: &ResourceVersion, number: u8| Call::UpdateTrust {
        life: life(LIFE),
        version: version.clone(),
        trust: pems(number),
    };
    let never = ResourceVersion::parse("1").expect("a version");
    stage.kubernetes("absent", &Call::ReadTrust);
    stage.kubernetes("nothing to replace", &update(&never, 1));
    stage.kubernetes("first", &create(1));
    stage.kubernetes("first again", &create(1));
    let first = version(stage);
    stage.kubernetes("made", &Call::ReadTrust);
    stage.kubernetes("replaced", &update(&first, 2));
    let second = version(stage);
    stage.kubernetes("replaced", &Call::ReadTrust);
    stage.kubernetes("late", &update(&first, 3));
    stage.kubernetes("of a version that never was", &update(&never, 3));
    let path = secret(TRUST);
    by_administrator(
        stage,
        "one member is dropped",
        Method::PATCH,
        &path,
        &json!({"data": {"ca.crt": null}}),
    );
    stage.kubernetes("with one member", &Call::ReadTrust);
    stage.kubernetes("since somebody changed it", &update(&second, 4));
    by_administrator(stage, "no PEM", Method::PATCH, &path, &json!({"data": {"ca.crt": "AAAA"}}));
    let fourth = version(stage);
    stage.kubernetes("with a member that is no PEM", &Call::ReadTrust);
    stage.kubernetes("repaired", &update(&fourth, 5));
    by_administrator(stage, "it is made immutable", Method::PATCH, &path, &json!({"immutable": true}));
    let immutable = version(stage);
    stage.kubernetes("immutable", &update(&immutable, 6));
    by_administrator(stage, "it is deleted", Method::DELETE, &path, &Value::Null);
    stage.kubernetes("gone", &update(&immutable, 6));
    stage.kubernetes("gone", &Call::ReadTrust);
}

pub(super) fn own_pod(stage: &mut Stage<'_>) {
    let first = controller(stage);
    let other = Uid::parse("11111111-2222-3333-4444-555555555555").expect("a uid");
    stage.kubernetes("another uid", &delete(&first.name, other.clone()));
    stage.kubernetes("another pod", &delete("kubefox-1", other));
    let nats = stage.pod(&identity(PLATFORM, "nats"), "nats-0");
    stage.kubernetes("somebody else's", &delete_pod(&nats));
    // The token is of the pod that goes.
    let spare = stage.pod(&first.identity, "kubefox-9");
    let token = stage.token(&spare, API_AUDIENCE);
    stage.fill(API_JWT, &token);
    stage.kubernetes("its own", &delete_pod(&first));
    stage.kubernetes("its own, again", &delete_pod(&first));
    stage.pod(&first.identity, &first.name);
    stage.kubernetes("made again since", &delete_pod(&first));
}

/// Nobody but the controller, and nobody without a token.
pub(super) fn refused(stage: &mut Stage<'_>) {
    let controller = controller(stage);
    mint(stage, 32);
    let nats = stage.pod(&identity(PLATFORM, "nats"), "nats-0");
    let component = stage.pod(&identity(TENANT, "component-a"), "app-0");
    let tokens = [
        ("NATS", stage.token(&nats, API_AUDIENCE)),
        ("a component", stage.token(&component, API_AUDIENCE)),
        ("a token for Vault", stage.token(&controller, "kubefox-vault")),
        ("no token of this cluster", "e30.e30.c2ln".to_owned()),
        ("no token", "nothing".to_owned()),
    ];
    let calls = [
        create_seal_key(LIFE),
        Call::ReadSealKey,
        Call::CreateCommitted { life: life(LIFE) },
        Call::ReadCommitted,
        Call::ReadTrust,
        Call::CreateTrust { life: life(LIFE), trust: pems(1) },
        Call::UpdateTrust {
            life: life(LIFE),
            version: ResourceVersion::parse("1").expect("a version"),
            trust: pems(1),
        },
        delete_pod(&controller),
        Call::ReviewToken { token: API_JWT, audience: "kubefox.kubefox".to_owned() },
    ];
    for (who, token) in tokens {
        stage.fill(API_JWT, &token);
        for call in &calls {
            stage.kubernetes(who, call);
        }
    }
}

/// What the controller's access rules would let through, and the admission policy does not.
pub(super) fn forbidden(stage: &mut Stage<'_>) {
    controller(stage);
    let secrets = format!("/api/v1/namespaces/{PLATFORM}/secrets");
    let secret = |name: &str, kind: &str, immutable: Option<bool>| {
        let mut body =
            json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}});
        if let Some(immutable) = immutable {
            body["immutable"] = immutable.into();
        }
        body
    };
    let cases = [
        ("another Secret", secret("other", "Opaque", Some(true))),
        ("a seal key that can be changed", secret(SEAL_KEY, "Opaque", Some(false))),
        ("a seal key that does not say", secret(SEAL_KEY, "Opaque", None)),
        ("trust of another type", secret(TRUST, "example.com/other", None)),
    ];
    for (title, body) in cases {
        by_controller(stage, title, Method::POST, &secrets, &body);
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubefox-committed"}});
    by_controller(
        stage,
        "a commitment that can be changed",
        Method::POST,
        &format!("/api/v1/namespaces/{PLATFORM}/configmaps"),
        &map,
    );
    for path in [
        format!("{secrets}/other"),
        format!("/api/v1/namespaces/{TENANT}/secrets/{SEAL_KEY}"),
        format!("/api/v1/namespaces/{PLATFORM}/pods/kubefox-0"),
        format!("/api/v1/namespaces/{PLATFORM}/serviceaccounts/kubefox"),
    ] {
        by_controller(
            stage,
            &format!("reads {}", path.rsplit_once('/').expect("a path").1),
            Method::GET,
            &path,
            &Value::Null,
        );
    }
    by_controller(
        stage,
        "deletes its seal key",
        Method::DELETE,
        &format!("{secrets}/{SEAL_KEY}"),
        &Value::Null,
    );
}

fn by_administrator(stage: &mut Stage<'_>, title: &str, method: Method, path: &str, body: &Value) {
    let (status, answer) = stage.administrate(method, path, (!body.is_null()).then_some(body));
    stage.saw(title, &json!([status, answer.get("reason")]));
}

fn by_controller(stage: &mut Stage<'_>, title: &str, method: Method, path: &str, body: &Value) {
    let (status, answer) = stage.send_kubernetes(method, path, API_JWT, body);
    stage.saw(title, &json!([status, answer.get("reason")]));
}

/// The version of the trust Secret as it stands.
fn version(stage: &mut Stage<'_>) -> ResourceVersion {
    let read = stage.ask_kubernetes(&Call::ReadTrust);
    let Outcome::Ok(Reply::Trust(Some(trust))) = read else { panic!("it is there: {read:?}") };
    trust.version
}

fn mint(stage: &mut Stage<'_>, bytes: usize) {
    stage.slots.fill(KEY, Zeroizing::new(vec![7; bytes]));
}

fn create_seal_key(text: &str) -> Call {
    Call::CreateSealKey { life: life(text), key: KEY }
}

fn delete_pod(pod: &Pod) -> Call {
    delete(&pod.name, Uid::parse(&pod.uid).expect("a uid"))
}

fn delete(name: &str, uid: Uid) -> Call {
    Call::DeletePod { pod: kubernetes::Pod { name: PodName::parse(name).expect("a name"), uid } }
}

fn secret(name: &str) -> String {
    format!("/api/v1/namespaces/{PLATFORM}/secrets/{name}")
}

fn life(text: &str) -> LifeId {
    LifeId::parse(text).expect("a life id")
}

/// Two texts that begin as certificates do: the API server does not look further.
fn pems(number: u8) -> Trust {
    let pem = |what: &str| {
        Pem::parse(&format!("-----BEGIN CERTIFICATE-----\n{what} {number}\n")).expect("it begins so")
    };
    Trust { certificate: pem("leaf"), ca: pem("root") }
}
