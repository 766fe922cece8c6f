//! What Vault's configuration should be, piece by piece, and how what stands differs from it.
//!
//! Each piece is one request ([`Setting`]). Configured is what Vault says: read, compare, write only what differs.

mod role;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::role::{
    AUDIENCE_CONTROLLER, AUDIENCE_SETUP, CALLER_TOKEN_TTL_S, CONTROLLER_TOKEN_TTL_S, SETUP_TOKEN_TTL_S,
    platform_identity,
};
use crate::documents::certificate::{PKI_MAX_TTL_S, ROOT_TTL_S};
use crate::documents::policy::policy;
use crate::names::{Accessor, Installation, Namespace, TrustDomain};
use crate::vault::{AuthRole, Mount, NatsKey, PkiRole, Setting};

/// The name of the one root certificate: of issuer and key, which makes a second one impossible.
pub const ROOT_ISSUER: &str = "root-1";

/// Of what OpenSearch's passwords are: 32 letters and digits, about 190 bits.
pub const PASSWORD_POLICY: &str = r#"length = 32
rule "charset" {
  charset   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
  min-chars = 8
}
"#;

/// What the operator chose: the configuration follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// Its name is in the audience of every caller's token.
    pub installation: Installation,
    /// Of every SPIFFE id.
    pub trust_domain: TrustDomain,
    /// Where the platform's own service accounts are.
    pub platform_namespace: Namespace,
    /// Where components may run; at least one. Order and repetition do not matter.
    pub tenant_namespaces: Vec<Namespace>,
    /// URL of the Kubernetes API, as Vault reaches it.
    pub kubernetes_host: String,
    /// Certificate authority of the Kubernetes API, PEM; not empty.
    pub kubernetes_ca: String,
}

/// What one setting should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// The body of the request that makes it so.
    pub body: Value,
    /// The members that must be seen when it is read back; others are not looked at.
    pub stands: Value,
    /// Whether writing repairs a difference. If not, what differs is foreign.
    pub overwrite: bool,
}

/// What root makes, in order; after it the controller can log in with either of its roles.
#[must_use]
pub fn bootstrap_settings() -> Vec<Setting> {
    let mut settings = Vec::from([Setting::KubernetesAuth, Setting::KubernetesAuthConfig]);
    for role in [AuthRole::ControllerSetup, AuthRole::Controller] {
        settings.extend([Setting::Policy(role), Setting::AuthRole(role)]);
    }
    settings
}

/// What the role `controller-setup` makes, in order: everything but what decides about that role itself.
#[must_use]
pub fn platform_settings() -> Vec<Setting> {
    let roles = || AuthRole::ALL.into_iter().filter(|role| *role != AuthRole::ControllerSetup);
    let keys = [NatsKey::Operator, NatsKey::SystemAccount, NatsKey::PlatformAccount, NatsKey::PlatformSigner];
    let mut settings = Vec::new();
    settings.extend(Mount::ALL.map(Setting::Mount));
    settings.extend(roles().map(Setting::Policy));
    settings.extend(roles().map(Setting::AuthRole));
    settings.push(Setting::RootCertificate);
    settings.extend(PkiRole::ALL.map(Setting::PkiRole));
    settings.extend(keys.map(Setting::NatsKey));
    settings.push(Setting::PasswordPolicy);
    settings
}

/// What a setting should be. `accessor` is that of the Kubernetes auth method; it means nothing to
/// [`Setting::KubernetesAuth`] itself, which it is read from.
#[must_use]
pub fn wanted(setting: &Setting, plan: &Plan, accessor: &Accessor) -> Wanted {
    match setting {
        Setting::KubernetesAuth => Wanted::fixed(json!({"type": "kubernetes"})),
        Setting::KubernetesAuthConfig => Wanted::repaired(json!({
            "kubernetes_host": plan.kubernetes_host,
            "kubernetes_ca_cert": plan.kubernetes_ca,
            // Without a reviewer's token of its own Vault reviews with its pod's, which it reads again as it rotates.
            "disable_local_ca_jwt": false,
        })),
        Setting::Policy(role) => {
            Wanted::repaired(json!({"policy": policy(*role, accessor, &plan.platform_namespace)}))
        }
        Setting::AuthRole(role) => Wanted::repaired(role::auth_role(*role, plan)),
        Setting::Mount(mount) => Wanted::fixed(mount_body(*mount)),
        Setting::RootCertificate => {
            Wanted { body: root_certificate(), stands: json!({"issuers": [ROOT_ISSUER]}), overwrite: false }
        }
        Setting::PkiRole(role) => Wanted::repaired(role::pki_role(*role, plan, accessor)),
        Setting::NatsKey(_) => nats_key(),
        Setting::PasswordPolicy => Wanted::repaired(json!({"policy": PASSWORD_POLICY})),
    }
}

/// What each key of NATS should be.
#[must_use]
pub fn nats_key() -> Wanted {
    Wanted {
        body: json!({"type": "ed25519"}),
        stands: json!({"type": "ed25519", "latest_version": 1}),
        overwrite: false,
    }
}

/// The members of `stands` that `have` does not show, with dots between levels; empty if it stands. Null is the
/// same as absent, a list is compared as a whole.
#[must_use]
pub fn differences(have: &Value, stands: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_differences(have, stands, "", &mut found);
    found
}

fn collect_differences(have: &Value, stands: &Value, path: &str, found: &mut Vec<String>) {
    let Value::Object(members) = stands else {
        if have != stands {
            found.push(path.into());
        }
        return;
    };
    for (name, member) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect_differences(have.get(name).unwrap_or(&Value::Null), member, &path, found);
    }
}

impl Wanted {
    /// Read back as it is written; a difference is repaired by writing it again.
    fn repaired(body: Value) -> Self {
        Self { stands: body.clone(), body, overwrite: true }
    }

    /// Read back as it is written; a difference is foreign.
    fn fixed(body: Value) -> Self {
        Self { stands: body.clone(), body, overwrite: false }
    }
}

fn mount_body(mount: Mount) -> Value {
    match mount {
        Mount::Systems | Mount::Environments | Mount::Opensearch | Mount::NatsJwt => {
            json!({"type": "kv", "options": {"version": "2"}, "config": {}})
        }
        Mount::Pki => json!({"type": "pki", "options": null, "config": {"max_lease_ttl": PKI_MAX_TTL_S}}),
        Mount::Nats => json!({"type": "transit", "options": null, "config": {}}),
    }
}

fn root_certificate() -> Value {
    json!({
        "common_name": "kubefox root",
        "issuer_name": ROOT_ISSUER,
        "key_name": ROOT_ISSUER,
        "key_type": "ec",
        "key_bits": 256,
        "ttl": ROOT_TTL_S,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::names::Identity;

    #[test]
    fn every_setting_stands_as_it_was_written() {
        let plan = plan();
        for setting in all_settings() {
            let wanted = wanted(&setting, &plan, &accessor());

            assert!(wanted.body.is_object() && wanted.stands.is_object(), "{setting:?}");
            if !matches!(setting, Setting::RootCertificate | Setting::NatsKey(_)) {
                assert_eq!(differences(&wanted.body, &wanted.stands), Vec::<String>::new(), "{setting:?}");
            }
            assert_ne!(differences(&json!({}), &wanted.stands), Vec::<String>::new(), "{setting:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_again_is_not_overwritten() {
        let plan = plan();
        for setting in all_settings() {
            let create_only = matches!(
                setting,
                Setting::KubernetesAuth | Setting::Mount(_) | Setting::RootCertificate | Setting::NatsKey(_)
            );
            assert_eq!(wanted(&setting, &plan, &accessor()).overwrite, !create_only, "{setting:?}");
        }
    }

    #[test]
    fn root_makes_just_enough_to_log_in() {
        assert_eq!(
            bootstrap_settings(),
            [
                Setting::KubernetesAuth,
                Setting::KubernetesAuthConfig,
                Setting::Policy(AuthRole::ControllerSetup),
                Setting::AuthRole(AuthRole::ControllerSetup),
                Setting::Policy(AuthRole::Controller),
                Setting::AuthRole(AuthRole::Controller),
            ]
        );
    }

    #[test]
    fn setup_makes_each_setting_once_and_never_decides_about_itself() {
        let settings = platform_settings();

        let mut unique = settings.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), settings.len());
        assert_eq!(settings.len(), 6 + 6 + 6 + 1 + 7 + 4 + 1);
        assert!(!settings.contains(&Setting::Policy(AuthRole::ControllerSetup)));
        assert!(!settings.contains(&Setting::AuthRole(AuthRole::ControllerSetup)));
        let position = |wanted: &Setting| settings.iter().position(|setting| setting == wanted);
        assert!(position(&Setting::Mount(Mount::Pki)) < position(&Setting::RootCertificate));
        assert!(position(&Setting::RootCertificate) < position(&Setting::PkiRole(PkiRole::Controller)));
        assert!(position(&Setting::Mount(Mount::Nats)) < position(&Setting::NatsKey(NatsKey::Operator)));
    }

    #[test]
    fn what_is_written_once_is_this() {
        let body = |setting| wanted(&setting, &plan(), &accessor()).body;

        assert_eq!(
            body(Setting::KubernetesAuthConfig),
            json!({
                "kubernetes_host": "https://10.0.0.1:443",
                "kubernetes_ca_cert": "-----BEGIN CERTIFICATE-----\n",
                "disable_local_ca_jwt": false,
            })
        );
        assert_eq!(
            body(Setting::Mount(Mount::NatsJwt)),
            json!({"type": "kv", "options": {"version": "2"}, "config": {}})
        );
        assert_eq!(
            body(Setting::Mount(Mount::Pki)),
            json!({"type": "pki", "options": null, "config": {"max_lease_ttl": 315_360_000}})
        );
        assert_eq!(
            body(Setting::RootCertificate),
            json!({
                "common_name": "kubefox root", "issuer_name": "root-1", "key_name": "root-1",
                "key_type": "ec", "key_bits": 256, "ttl": 315_356_400,
            })
        );
        assert_eq!(body(Setting::NatsKey(NatsKey::Operator)), json!({"type": "ed25519"}));
    }

    #[test]
    fn members_that_nobody_asked_for_do_not_count() {
        let stands = json!({"type": "pki", "options": null, "config": {"max_lease_ttl": 5}});
        let have = json!({
            "type": "pki", "accessor": "pki_1", "local": false,
            "config": {"max_lease_ttl": 5, "default_lease_ttl": 0},
        });
        assert_eq!(differences(&have, &stands), Vec::<String>::new());
    }

    #[test]
    fn a_difference_is_named_where_it_is() {
        let stands = json!({"a": 1, "b": {"c": {"d": [1, 2]}, "e": true}, "f": null, "g": {"h": 1}});

        let differing = |have: Value| differences(&have, &stands);

        assert_eq!(
            differing(json!({"a": "1", "b": {"c": {"d": [2, 1]}, "e": true}, "f": {}, "g": 1})),
            ["a", "b.c.d", "f", "g.h"]
        );
        assert_eq!(differing(json!({"a": 1, "b": {"e": true}, "g": {"h": 1}})), ["b.c.d"]);
        assert_eq!(differing(json!(null)), ["a", "b.c.d", "b.e", "g.h"]);
        assert_eq!(differences(&json!([1]), &json!([2])), [""]);
    }

    fn all_settings() -> Vec<Setting> {
        let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
        let mut settings = bootstrap_settings();
        settings.extend(platform_settings());
        settings.push(Setting::NatsKey(NatsKey::User(identity)));
        settings
    }

    fn plan() -> Plan {
        Plan {
            installation: Installation::parse("blue").expect("a name"),
            trust_domain: TrustDomain::parse("cluster.local").expect("a name"),
            platform_namespace: Namespace::parse("kubefox").expect("a name"),
            tenant_namespaces: vec![Namespace::parse("team0").expect("a name")],
            kubernetes_host: "https://10.0.0.1:443".into(),
            kubernetes_ca: "-----BEGIN CERTIFICATE-----\n".into(),
        }
    }

    fn accessor() -> Accessor {
        Accessor::parse("auth_kubernetes_1a2b3c4d").expect("an accessor")
    }
}
