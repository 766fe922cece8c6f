//! Surplus parameters, which no endpoint knows: whether the request is carried out nevertheless, and what is said of it.

use kubefox_core::documents::setting::AUDIENCE_CONTROLLER;
use kubefox_core::vault::{AuthRole, Mount, PkiRole, Setting};
use serde_json::{Map, Value, json};

use super::platform::set_up;
use crate::stage::{PLATFORM, ROOT, Stage, identity};

/// Every endpoint that the product or a story writes to, each with one parameter too many.
pub(super) fn parameters(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let pod = stage.pod(&identity(PLATFORM, "kubefox"), "kubefox-1");
    let jwt = stage.token(&pod, AUDIENCE_CONTROLLER);
    let mut root = platform.body(&Setting::RootCertificate);
    root["issuer_name"] = "other".into();
    root["key_name"] = "other".into();
    let made = stage.as_root("POST", "auth/token/create", &json!({"policies": ["component"]}));
    let accessor = json!({"accessor": made["auth"]["accessor"]});
    for (path, body) in [
        ("sys/auth/other", json!({"type": "kubernetes"})),
        ("auth/kubernetes/config", platform.body(&Setting::KubernetesAuthConfig)),
        ("auth/kubernetes/role/other", platform.body(&Setting::AuthRole(AuthRole::Component))),
        ("auth/kubernetes/login", json!({"role": "controller", "jwt": jwt})),
        ("sys/policies/acl/other", json!({"policy": "#"})),
        ("sys/policies/password/other", platform.body(&Setting::PasswordPolicy)),
        ("sys/mounts/other", platform.body(&Setting::Mount(Mount::Systems))),
        ("sys/mounts/other/tune", json!({"description": "other"})),
        ("pki/roles/other", platform.body(&Setting::PkiRole(PkiRole::Component))),
        ("pki/root/generate/internal", root),
        ("nats/keys/other", json!({"type": "ed25519"})),
        ("nats/sign/other", json!({"input": "eA=="})),
        ("systems/data/other", json!({"data": {}})),
        ("auth/token/create", json!({"policies": ["component"]})),
        ("auth/token/lookup-accessor", accessor.clone()),
        ("auth/token/revoke-accessor", accessor),
        ("auth/token/revoke-accessor", json!({"accessor": "nobody"})),
        ("auth/token/lookup-accessor", json!({"accessor": "nobody"})),
    ] {
        write(stage, path, path, &body);
    }
    for (title, path, body) in [
        (
            "in an engine's configuration",
            "sys/mounts/second",
            json!({"type": "kv", "config": {"surplus": 1}}),
        ),
        ("in an engine's options", "sys/mounts/third", json!({"type": "kv", "options": {"surplus": "1"}})),
        (
            "in a login's configuration",
            "sys/auth/second",
            json!({"type": "kubernetes", "config": {"surplus": 1}}),
        ),
    ] {
        write(stage, title, path, &body);
    }
}

/// In a password policy the unknown is ignored, but for the rules.
pub(super) fn in_password_policies(stage: &mut Stage<'_>) {
    const PATH: &str = "sys/policies/password/other";
    set_up(stage);
    let charset = "rule \"charset\" { charset = \"abcdef\" min-chars = 5 }";
    let rule = |members: &str| format!("length = 20\nrule \"charset\" {{ {members} }}");
    for (title, policy) in [
        ("an attribute", format!("length = 20\nsurplus = 1\n{charset}")),
        ("a block", format!("length = 20\nsurplus \"x\" {{}}\n{charset}")),
        ("another rule", format!("length = 20\nrule \"surplus\" {{ x = 1 }}\n{charset}")),
        ("an attribute of a rule", rule("charset = \"abc\" surplus = 1")),
        ("an empty charset", rule("charset = \"\"")),
        ("no charset", rule("min-chars = 1")),
        ("a minimum that is no number", rule("charset = \"abc\" min-chars = \"2\"")),
        ("a negative minimum", rule("charset = \"abc\" min-chars = -1")),
        ("a minimum beyond the length", rule("charset = \"abc\" min-chars = 21")),
        ("no length", charset.to_owned()),
        ("a length that is no number", format!("length = \"20\"\n{charset}")),
        ("a length that is true", format!("length = true\n{charset}")),
        ("a negative length", format!("length = -1\n{charset}")),
        ("no length and no charset", "length = 0".to_owned()),
        ("too short", "length = 3\nrule \"charset\" { charset = \"ab\" }".to_owned()),
        ("shortest", "length = 4\nrule \"charset\" { charset = \"ab\" }".to_owned()),
        ("longest", format!("length = 100\n{charset}")),
        ("too long", format!("length = 101\n{charset}")),
    ] {
        stage.other(title, "POST", PATH, ROOT, &json!({ "policy": policy }));
    }
    stage.other("made", "GET", &format!("{PATH}/generate"), ROOT, &Value::Null);
    stage.other("deleted", "DELETE", PATH, ROOT, &Value::Null);
    stage.other("gone", "GET", PATH, ROOT, &Value::Null);
    stage.other("deleted again", "DELETE", PATH, ROOT, &Value::Null);
}

fn write(stage: &mut Stage<'_>, title: &str, path: &str, body: &Value) {
    let mut body: Map<String, Value> = body.as_object().expect("an object").clone();
    body.insert("surplus".to_owned(), 1.into());
    let (status, answer) = stage.send("POST", path, ROOT, &Value::Object(body));
    stage.saw(title, &json!([status, answer.get("errors"), answer.get("warnings")]));
}
