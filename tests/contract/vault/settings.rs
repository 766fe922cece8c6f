//! Every setting of the platform: absent, made, made again, and made by who may not.

use kubefox_core::documents::setting::{bootstrap_settings, platform_settings};
use kubefox_core::vault::{AuthRole, Call, Mount, NatsKey, PkiRole, Setting};
use serde_json::{Value, json};

use super::platform::{
    COMPONENT, CONTROLLER, DEAD, Platform, SETUP, bootstrapped, must_write, read_accessor, set_up, unsealed,
};
use crate::stage::{ROOT, Stage, accessor};

/// Root makes the login and the controller's roles.
pub(super) fn of_root(stage: &mut Stage<'_>) {
    let plan = unsealed(stage);
    let mut platform = Platform { plan, accessor: accessor("unknown") };
    for setting in bootstrap_settings() {
        let title = title(&setting);
        stage.vault(&format!("{title}, absent"), &read(&setting));
        stage.vault(&title, &platform.write(ROOT, setting.clone()));
        if setting == Setting::KubernetesAuth {
            platform.accessor = read_accessor(stage);
        }
        stage.vault(&format!("{title}, made"), &read(&setting));
        stage.vault(&format!("{title}, again"), &platform.write(ROOT, setting));
    }
}

/// The role `controller-setup` makes everything else.
pub(super) fn of_setup(stage: &mut Stage<'_>) {
    let platform = bootstrapped(stage);
    for setting in platform_settings() {
        let title = title(&setting);
        stage.vault(&format!("{title}, absent"), &read_as(SETUP, &setting));
        stage.vault(&title, &platform.write(SETUP, setting.clone()));
        if let Setting::Mount(mount) = &setting
            && !matches!(mount, Mount::Pki | Mount::Nats)
        {
            stage.await_engine(mount.as_str());
        }
        let reader = if setting == Setting::PasswordPolicy { SETUP } else { CONTROLLER };
        stage.vault(&format!("{title}, made"), &read_as(reader, &setting));
        stage.vault(&format!("{title}, again"), &platform.write(SETUP, setting));
    }
}

/// A setting of each kind is refused to a dead token, to the serving controller and to a component.
pub(super) fn of_others(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    for setting in one_of_each() {
        let title = title(&setting);
        for (who, token) in [("dead token", DEAD), ("component", COMPONENT)] {
            stage.vault(&format!("{title}, {who}"), &read_as(token, &setting));
            stage.vault(&format!("{title}, {who}"), &platform.write(token, setting.clone()));
        }
        stage.vault(&format!("{title}, controller"), &platform.write(CONTROLLER, setting));
    }
    for setting in [
        Setting::KubernetesAuth,
        Setting::KubernetesAuthConfig,
        Setting::Policy(AuthRole::ControllerSetup),
        Setting::AuthRole(AuthRole::ControllerSetup),
    ] {
        stage.vault(&format!("{}, setup", title(&setting)), &platform.write(SETUP, setting));
    }
}

/// Bodies that Vault refuses, whoever sends them.
pub(super) fn malformed(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let without = |setting: &Setting, member: &str| {
        let mut body = platform.body(setting);
        body.as_object_mut().expect("every body is an object").remove(member);
        body
    };
    let with = |setting: &Setting, member: &str, value: Value| {
        let mut body = platform.body(setting);
        body[member] = value;
        body
    };
    let auth_role = Setting::AuthRole(AuthRole::Component);
    let pki_role = Setting::PkiRole(PkiRole::Component);
    let policy = Setting::Policy(AuthRole::Component);
    let cases = [
        ("another kind of login", Setting::KubernetesAuth, json!({"type": "nobody-knows"})),
        (
            "no authority",
            Setting::KubernetesAuthConfig,
            with(&Setting::KubernetesAuthConfig, "kubernetes_ca_cert", "".into()),
        ),
        (
            "no host",
            Setting::KubernetesAuthConfig,
            without(&Setting::KubernetesAuthConfig, "kubernetes_host"),
        ),
        ("empty policy", policy.clone(), json!({"policy": ""})),
        ("unknown capability", policy.clone(), json!({"policy": "path \"a\" { capabilities = [\"do\"] }"})),
        ("unknown member", policy.clone(), json!({"policy": "path \"a\" { capabilites = [\"read\"] }"})),
        ("both wildcards", policy.clone(), json!({"policy": "path \"a/+*\" { capabilities = [\"read\"] }"})),
        ("no HCL", policy, json!({"policy": "path"})),
        ("no accounts", auth_role.clone(), with(&auth_role, "bound_service_account_names", json!([]))),
        ("no namespaces", auth_role.clone(), with(&auth_role, "bound_service_account_namespaces", json!([]))),
        ("batch tokens with uses", auth_role.clone(), with(&auth_role, "token_num_uses", 1.into())),
        ("batch tokens with a period", auth_role.clone(), with(&auth_role, "token_period", 60.into())),
        ("life beyond its maximum", auth_role.clone(), with(&auth_role, "token_ttl", 900.into())),
        ("unknown alias", auth_role.clone(), with(&auth_role, "alias_name_source", "pod".into())),
        ("unknown engine", Setting::Mount(Mount::Nats), json!({"type": "nobody-knows"})),
        ("another engine at a path in use", Setting::Mount(Mount::Nats), json!({"type": "pki"})),
        ("life of a role beyond its maximum", pki_role.clone(), with(&pki_role, "ttl", 1_000_000.into())),
        ("unknown kind of key", pki_role.clone(), with(&pki_role, "key_type", "dsa".into())),
        ("unknown usage", pki_role, with(&Setting::PkiRole(PkiRole::Component), "key_bits", 17.into())),
        ("no name", Setting::RootCertificate, without(&Setting::RootCertificate, "common_name")),
        ("password of no length", Setting::PasswordPolicy, json!({"policy": "length = 0"})),
        ("no password policy", Setting::PasswordPolicy, json!({"policy": "nothing"})),
    ];
    for (title, setting, body) in cases {
        stage.vault(title, &Call::Write { token: ROOT, setting, body });
    }
    must_write(stage, &platform.write(ROOT, auth_role));
}

fn one_of_each() -> [Setting; 9] {
    [
        Setting::KubernetesAuth,
        Setting::KubernetesAuthConfig,
        Setting::Policy(AuthRole::Component),
        Setting::AuthRole(AuthRole::Component),
        Setting::Mount(Mount::Systems),
        Setting::RootCertificate,
        Setting::PkiRole(PkiRole::Component),
        Setting::NatsKey(NatsKey::Operator),
        Setting::PasswordPolicy,
    ]
}

fn read(setting: &Setting) -> Call {
    read_as(ROOT, setting)
}

fn read_as(token: kubefox_core::secret::Secret, setting: &Setting) -> Call {
    Call::Read { token, setting: setting.clone() }
}

fn title(setting: &Setting) -> String {
    format!("{setting:?}")
}
