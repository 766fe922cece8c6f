//! Where things are in Vault. Each segment is a constant, an enum or a parsed name: none can hold a slash.

use kubefox_core::vault::{NatsKey, Setting, StoredJwt};

/// The mount of the Kubernetes auth method.
pub(super) const KUBERNETES: &str = "kubernetes";
/// The password policy of OpenSearch's accounts.
pub(super) const PASSWORD_POLICY: &str = "opensearch";
/// The envelope's generation, in the K/V engine of systems.
pub(super) const GENERATION: &str = "kubefox/boot";

/// Where a setting is written.
pub(super) fn of_setting(setting: &Setting) -> String {
    match setting {
        Setting::KubernetesAuth => format!("sys/auth/{KUBERNETES}"),
        Setting::KubernetesAuthConfig => format!("auth/{KUBERNETES}/config"),
        Setting::Policy(role) => format!("sys/policies/acl/{}", role.as_str()),
        Setting::AuthRole(role) => format!("auth/{KUBERNETES}/role/{}", role.as_str()),
        Setting::Mount(mount) => format!("sys/mounts/{}", mount.as_str()),
        Setting::RootCertificate => "pki/root/generate/internal".to_owned(),
        Setting::PkiRole(role) => format!("pki/roles/{}", role.as_str()),
        Setting::NatsKey(key) => format!("nats/keys/{}", of_key(key)),
        Setting::PasswordPolicy => format!("sys/policies/password/{PASSWORD_POLICY}"),
    }
}

/// The name of a transit key. A namespace holds no dot, so no two users share a name.
pub(super) fn of_key(key: &NatsKey) -> String {
    match key {
        NatsKey::Operator => "operator".to_owned(),
        NatsKey::SystemAccount => "account.system".to_owned(),
        NatsKey::PlatformAccount => "account.platform".to_owned(),
        NatsKey::PlatformSigner => "signer.platform".to_owned(),
        NatsKey::User(identity) => format!("user.{}.{}", identity.namespace, identity.service_account),
    }
}

/// Where a document of NATS is within its K/V engine.
pub(super) const fn of_jwt(jwt: StoredJwt) -> &'static str {
    match jwt {
        StoredJwt::Operator => "operator",
        StoredJwt::SystemAccount => "account/system",
        StoredJwt::PlatformAccount => "account/platform",
    }
}
