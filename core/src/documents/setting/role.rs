//! The roles: who may log in as what (`auth/kubernetes/role`), and what certificates may say (`pki/roles`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Plan, ROOT_ISSUER};
use crate::documents::certificate::{BROKER_DNS_NAME, Usage, service_dns_name, ttl_s, usage};
use crate::names::{Accessor, Identity, Namespace, ServiceAccount, caller_audience};
use crate::vault::{AuthRole, PkiRole};

/// Audience of the token with which the controller logs in to configure Vault.
pub const AUDIENCE_SETUP: &str = "kubefox-setup";
/// Audience of the token with which the controller logs in to serve.
pub const AUDIENCE_CONTROLLER: &str = "kubefox-vault";

/// Life of the token that configures Vault.
pub const SETUP_TOKEN_TTL_S: u64 = 5 * 60;
/// Life of the controller's own token.
pub const CONTROLLER_TOKEN_TTL_S: u64 = 15 * 60;
/// Life of the token that a caller's token is exchanged for: as long as one session may take.
pub const CALLER_TOKEN_TTL_S: u64 = 2 * 60;

/// The one service account of the platform that may log in as this role; a component may have any name.
#[must_use]
const fn platform_service_account(role: AuthRole) -> Option<&'static str> {
    match role {
        AuthRole::ControllerSetup | AuthRole::Controller => Some("kubefox"),
        AuthRole::Nats => Some("nats"),
        AuthRole::Opensearch => Some("opensearch"),
        AuthRole::Collector => Some("collector"),
        AuthRole::Agent => Some("agent"),
        AuthRole::Component => None,
    }
}

/// Who logs in as this role, in the platform's namespace; a component may be anybody.
///
/// # Panics
/// Never: the names are lower-case letters, which are a service account's.
#[must_use]
pub fn platform_identity(role: AuthRole, namespace: &Namespace) -> Option<Identity> {
    let name = platform_service_account(role)?;
    let service_account = ServiceAccount::parse(name).expect("lower-case letters are a name");
    Some(Identity { namespace: namespace.clone(), service_account })
}

/// The body of `auth/kubernetes/role/<name>`. Batch tokens: nothing stores them, so that a crash-looping pod costs
/// Vault no storage. The alias is the account's uid, so that an account of the same name made later is another.
pub(super) fn auth_role(role: AuthRole, plan: &Plan) -> Value {
    let (audience, ttl_s) = match role {
        AuthRole::ControllerSetup => (AUDIENCE_SETUP.to_string(), SETUP_TOKEN_TTL_S),
        AuthRole::Controller => (AUDIENCE_CONTROLLER.to_string(), CONTROLLER_TOKEN_TTL_S),
        AuthRole::Nats
        | AuthRole::Opensearch
        | AuthRole::Collector
        | AuthRole::Agent
        | AuthRole::Component => (caller_audience(&plan.installation), CALLER_TOKEN_TTL_S),
    };
    let (service_account, namespaces) = match platform_service_account(role) {
        Some(name) => (name, vec![&plan.platform_namespace]),
        None => {
            let mut namespaces: Vec<_> = plan.tenant_namespaces.iter().collect();
            namespaces.sort();
            namespaces.dedup();
            ("*", namespaces)
        }
    };
    json!({
        "bound_service_account_names": [service_account],
        "bound_service_account_namespaces": namespaces,
        "audience": audience,
        "alias_name_source": "serviceaccount_uid",
        "token_policies": [role.as_str()],
        "token_type": "batch",
        "token_no_default_policy": true,
        "token_ttl": ttl_s,
        "token_max_ttl": ttl_s,
    })
}

/// The body of `pki/roles/<name>`. Every default that would allow more is said to be off, and the URI follows from
/// the caller's own login: a certificate can only say who asked for it.
pub(super) fn pki_role(role: PkiRole, plan: &Plan, accessor: &Accessor) -> Value {
    let Usage { server, client } = usage(role);
    json!({
        "allow_localhost": false,
        "allow_bare_domains": true,
        "allow_subdomains": false,
        "allow_glob_domains": false,
        "allow_wildcard_certificates": false,
        "allow_any_name": false,
        "allow_ip_sans": false,
        "enforce_hostnames": true,
        "allowed_domains": domains(role, plan),
        "allowed_uri_sans_template": true,
        "allowed_uri_sans": [uri_template(role, plan, accessor)],
        "require_cn": false,
        "use_csr_common_name": false,
        "use_csr_sans": false,
        "key_type": "ec",
        "key_bits": 256,
        "key_usage": ["DigitalSignature"],
        "server_flag": server,
        "client_flag": client,
        "organization": ["kubefox"],
        "ou": [role.as_str()],
        "issuer_ref": ROOT_ISSUER,
        "not_before_duration": 60,
        "max_ttl": ttl_s(role),
        "no_store": true,
        "generate_lease": false,
    })
}

fn domains(role: PkiRole, plan: &Plan) -> Vec<String> {
    if role == PkiRole::Component {
        return vec![BROKER_DNS_NAME.to_string()];
    }
    service_dns_name(role, &plan.platform_namespace).into_iter().collect()
}

/// The SPIFFE id of whoever asks, as [`crate::documents::certificate::uri`] writes it.
fn uri_template(role: PkiRole, plan: &Plan, accessor: &Accessor) -> String {
    let metadata = format!("identity.entity.aliases.{accessor}.metadata");
    let suffix = if role == PkiRole::Runtime { "/runtime" } else { "" };
    format!(
        "spiffe://{}/ns/{{{{{metadata}.service_account_namespace}}}}/sa/{{{{{metadata}.service_account_name}}}}{suffix}",
        plan.trust_domain
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Installation, Namespace, TrustDomain};

    #[test]
    fn components_log_in_from_tenant_namespaces() {
        assert_eq!(
            auth_role(AuthRole::Component, &plan()),
            json!({
                "bound_service_account_names": ["*"],
                "bound_service_account_namespaces": ["team0", "team1"],
                "audience": "kubefox.blue",
                "alias_name_source": "serviceaccount_uid",
                "token_policies": ["component"],
                "token_type": "batch",
                "token_no_default_policy": true,
                "token_ttl": 120,
                "token_max_ttl": 120,
            })
        );
    }

    #[test]
    fn the_platform_logs_in_from_its_own_namespace() {
        let facts = |role| {
            let body = auth_role(role, &plan());
            let text = |member: &str| body[member].to_string();
            [
                text("bound_service_account_names"),
                text("bound_service_account_namespaces"),
                text("audience"),
                text("token_policies"),
                text("token_ttl"),
            ]
            .join(" ")
        };
        assert_eq!(
            facts(AuthRole::ControllerSetup),
            r#"["kubefox"] ["platform"] "kubefox-setup" ["controller-setup"] 300"#
        );
        assert_eq!(
            facts(AuthRole::Controller),
            r#"["kubefox"] ["platform"] "kubefox-vault" ["controller"] 900"#
        );
        for role in [AuthRole::Nats, AuthRole::Opensearch, AuthRole::Collector, AuthRole::Agent] {
            let name = role.as_str();
            assert_eq!(facts(role), format!(r#"["{name}"] ["platform"] "kubefox.blue" ["{name}"] 120"#));
        }
    }

    #[test]
    fn a_component_may_be_itself_to_its_runtime_and_to_nats() {
        assert_eq!(
            pki_role(PkiRole::Component, &plan(), &accessor()),
            json!({
                "allow_localhost": false, "allow_bare_domains": true, "allow_subdomains": false,
                "allow_glob_domains": false, "allow_wildcard_certificates": false, "allow_any_name": false,
                "allow_ip_sans": false, "enforce_hostnames": true, "require_cn": false,
                "use_csr_common_name": false, "use_csr_sans": false, "key_type": "ec", "key_bits": 256,
                "key_usage": ["DigitalSignature"], "no_store": true, "generate_lease": false,
                "issuer_ref": "root-1", "not_before_duration": 60, "organization": ["kubefox"],
                "ou": ["component"], "allowed_domains": ["broker.kubefox.internal"],
                "allowed_uri_sans_template": true,
                "allowed_uri_sans": [concat!(
                    "spiffe://example.org/ns/{{identity.entity.aliases.auth_kubernetes_1a.metadata.service_account_namespace}}",
                    "/sa/{{identity.entity.aliases.auth_kubernetes_1a.metadata.service_account_name}}"
                )],
                "max_ttl": 14_400, "server_flag": true, "client_flag": true,
            })
        );
    }

    #[test]
    fn each_role_is_for_its_own_names_and_uses() {
        let facts = |role| {
            let body = pki_role(role, &plan(), &accessor());
            let text = |member: &str| body[member].to_string();
            [text("ou"), text("allowed_domains"), text("max_ttl"), text("server_flag"), text("client_flag")]
                .join(" ")
        };
        assert_eq!(
            PkiRole::ALL.map(facts),
            [
                r#"["controller"] ["kubefox.platform.svc"] 86400 true false"#,
                r#"["nats"] ["nats.platform.svc"] 2592000 true false"#,
                r#"["opensearch"] ["opensearch.platform.svc"] 2592000 true true"#,
                r#"["collector"] ["collector.platform.svc"] 2592000 true false"#,
                r#"["agent"] [] 2592000 false true"#,
                r#"["component"] ["broker.kubefox.internal"] 14400 true true"#,
                r#"["runtime"] [] 14400 false true"#,
            ]
        );
    }

    #[test]
    fn only_a_runtime_is_below_its_component() {
        for role in PkiRole::ALL {
            let body = pki_role(role, &plan(), &accessor());
            let uri = body["allowed_uri_sans"][0].as_str().expect("one pattern");
            assert_eq!(uri.ends_with("}}/runtime"), role == PkiRole::Runtime, "{role:?}");
            assert!(!uri.contains('*'), "{role:?}");
        }
    }

    fn plan() -> Plan {
        let namespace = |name| Namespace::parse(name).expect("a name");
        Plan {
            installation: Installation::parse("blue").expect("a name"),
            trust_domain: TrustDomain::parse("example.org").expect("a name"),
            platform_namespace: namespace("platform"),
            tenant_namespaces: ["team1", "team0", "team1"].map(namespace).to_vec(),
            kubernetes_host: "https://10.0.0.1:443".into(),
            kubernetes_ca: "-----BEGIN CERTIFICATE-----\n".into(),
        }
    }

    fn accessor() -> Accessor {
        Accessor::parse("auth_kubernetes_1a").expect("an accessor")
    }
}
