//! What each role may do in Vault, as policies in HCL.
//!
//! The texts are the files in `policy/`. Two words in them are placeholders: `ACCESSOR`, of the Kubernetes auth
//! method, by which Vault finds the caller's namespace and service account, and `NAMESPACE`, the platform's own.
//! <https://openbao.org/docs/concepts/policies/>

use alloc::string::String;

use crate::names::{Accessor, Namespace};
use crate::vault::AuthRole;

/// The policy of a role, which has the role's name. Neither placeholder's value can end a string of HCL.
#[must_use]
pub fn policy(role: AuthRole, accessor: &Accessor, platform_namespace: &Namespace) -> String {
    // In this order: a namespace is in lower case and cannot spell the other placeholder.
    template(role).replace("NAMESPACE", platform_namespace.as_str()).replace("ACCESSOR", accessor.as_str())
}

const fn template(role: AuthRole) -> &'static str {
    match role {
        AuthRole::ControllerSetup => include_str!("policy/controller-setup.hcl"),
        AuthRole::Controller => include_str!("policy/controller.hcl"),
        AuthRole::Nats => include_str!("policy/nats.hcl"),
        AuthRole::Opensearch => include_str!("policy/opensearch.hcl"),
        AuthRole::Collector => include_str!("policy/collector.hcl"),
        AuthRole::Agent => include_str!("policy/agent.hcl"),
        AuthRole::Component => include_str!("policy/component.hcl"),
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_role_has_a_policy_with_nothing_left_to_fill_in() {
        for role in AuthRole::ALL {
            let text = text(role);
            assert!(!text.contains("ACC") && !text.contains("NAMESPACE"), "{role:?}");
            assert!(!rules(&text).is_empty(), "{role:?}");
        }
    }

    #[test]
    fn a_certificate_is_bound_to_its_service() {
        for (role, name) in [
            (AuthRole::Controller, "kubefox.platform.svc"),
            (AuthRole::Nats, "nats.platform.svc"),
            (AuthRole::Opensearch, "opensearch.platform.svc"),
            (AuthRole::Collector, "collector.platform.svc"),
        ] {
            assert!(text(role).contains(&format!(r#""common_name"        = ["{name}"]"#)), "{role:?}");
        }
        assert!(!text(AuthRole::Component).contains("common_name"));
        assert!(!text(AuthRole::Agent).contains("common_name"));
    }

    /// What may be said is the same, but for who makes the key; so is what must be.
    #[test]
    fn a_caller_s_key_may_be_its_own_and_gets_no_more_for_it() {
        for role in AuthRole::ALL {
            let (issued, signed) = (stanzas(&text(role), "issue"), stanzas(&text(role), "sign"));
            match role {
                // Its one certificate is on a key that Vault makes; setup asks for none.
                AuthRole::Controller | AuthRole::ControllerSetup => assert!(signed.is_empty()),
                AuthRole::Nats
                | AuthRole::Opensearch
                | AuthRole::Collector
                | AuthRole::Agent
                | AuthRole::Component => {
                    assert!(!signed.is_empty());
                    assert_eq!(signed, issued, "{role:?}");
                }
            }
        }
    }

    #[test]
    fn a_component_owns_what_has_its_name_and_nothing_that_begins_with_it() {
        let alias = "identity.entity.aliases.auth_kubernetes_1a2b3c4d.metadata";
        let namespace = format!("{{{{{alias}.service_account_namespace}}}}");
        let name = format!("{{{{{alias}.service_account_name}}}}");

        let rules = rules(&text(AuthRole::Component));

        let expected = [
            ("pki/issue/component".into(), "update"),
            ("pki/sign/component".into(), "update"),
            ("pki/issue/runtime".into(), "update"),
            ("pki/sign/runtime".into(), "update"),
            (format!("nats/keys/user.{namespace}.{name}"), "read,update"),
            (format!("nats/sign/user.{namespace}.{name}"), "update"),
            (format!("environments/data/{namespace}/*"), "read"),
        ];
        assert_eq!(rules, expected.map(|(path, may)| (path, String::from(may))).into_iter().collect());
    }

    #[test]
    fn setup_cannot_write_its_own_policy_nor_its_own_role() {
        let rules = rules(&text(AuthRole::ControllerSetup));

        assert_eq!(rules.get("sys/policies/acl/controller-setup"), None);
        assert_eq!(rules["sys/policies/acl/+"], "read");
        assert_eq!(rules["auth/kubernetes/role/controller-setup"], "read");
        assert_eq!(rules["auth/kubernetes/config"], "read");
        for role in AuthRole::ALL.into_iter().filter(|role| *role != AuthRole::ControllerSetup) {
            assert_eq!(rules[&format!("sys/policies/acl/{}", role.as_str())], "read,update", "{role:?}");
        }
    }

    #[test]
    fn only_setup_writes_configuration() {
        for role in AuthRole::ALL.into_iter().filter(|role| *role != AuthRole::ControllerSetup) {
            for (path, may) in rules(&text(role)) {
                let configuration = ["sys/", "auth/kubernetes/", "pki/roles", "pki/root", "nats-jwt/"];
                if configuration.iter().any(|prefix| path.starts_with(prefix)) {
                    assert!(may == "read" || may == "list", "{role:?} may {may} {path}");
                }
            }
        }
    }

    #[test]
    fn no_wildcard_covers_a_key() {
        for role in AuthRole::ALL {
            for path in rules(&text(role)).into_keys().filter(|path| path.starts_with("nats/")) {
                assert!(!path.contains(['*', '+']), "{role:?}: {path}");
                assert!(!path.ends_with("/config") && !path.starts_with("nats/export"), "{role:?}: {path}");
            }
        }
    }

    /// The names below `pki/<engine>/` with their rules, less what says who makes the key.
    fn stanzas(text: &str, engine: &str) -> BTreeMap<String, Vec<String>> {
        let begins = format!("path \"pki/{engine}/");
        let rules = text.split(begins.as_str()).skip(1).map(|rest| {
            let (name, rest) = rest.split_once('"').expect("a path ends");
            let (rule, _) = rest.split_once("\n}").expect("a rule ends");
            let lines = rule.lines().map(|line| line.replace(' ', "").replace("\"csr\",", ""));
            let says_whose_key =
                |line: &String| line.starts_with("\"csr\"") || line.starts_with("\"private_key_format\"");
            (name.into(), lines.filter(|line| !says_whose_key(line)).collect())
        });
        rules.collect()
    }

    fn text(role: AuthRole) -> String {
        let accessor = Accessor::parse("auth_kubernetes_1a2b3c4d").expect("an accessor");
        policy(role, &accessor, &Namespace::parse("platform").expect("a namespace"))
    }

    /// Each path with its capabilities, by commas.
    fn rules(text: &str) -> BTreeMap<String, String> {
        let code: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
        let code = code.join("\n");
        let mut rules = BTreeMap::new();
        for rule in code.split("path \"").skip(1) {
            let (path, body) = rule.split_once('"').expect("a path ends");
            let (_, capabilities) = body.split_once("capabilities").expect("a rule has capabilities");
            let (_, capabilities) = capabilities.split_once('[').expect("they are a list");
            let (capabilities, _) = capabilities.split_once(']').expect("the list ends");
            let earlier = rules.insert(path.into(), capabilities.replace(['"', ' '], ""));
            assert_eq!(earlier, None, "{path} stands twice");
        }
        rules
    }
}
