//! A Vault under test, beside a Kubernetes that follows a script.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use http::Request;
use kubefox_core::documents::setting::{Plan, wanted};
use kubefox_core::names::{Accessor, Installation, Namespace, TrustDomain};
use kubefox_core::time::Unix;
use kubefox_core::vault::{PkiRole, Setting};
use serde_json::{Value, json};

use super::{Host, Vault};
use crate::fake::review::{Review, Reviewer};

/// The token that authorizes reviews.
pub(super) const POD_TOKEN: &str = "the pod's own token";

/// When every trial begins.
pub(super) const START: Unix = Unix(1_795_466_813);

pub(super) struct Trial {
    pub(super) vault: Vault,
    pub(super) now: Unix,
    pub(super) kubernetes: Script,
    pub(super) pod_token: Option<String>,
}

/// Knows tokens and who may ask about them.
pub(super) struct Script {
    tokens: BTreeMap<String, (String, String, Vec<String>)>,
    pub(super) is_down: bool,
}

impl Reviewer for Script {
    fn review(&mut self, _now: Unix, reviewer_token: &str, token: &str, audiences: &[String]) -> Review {
        if self.is_down || reviewer_token != POD_TOKEN {
            return Review::Unavailable;
        }
        let Some((username, uid, of_token)) = self.tokens.get(token) else {
            return Review::Refused { error: "invalid bearer token".into() };
        };
        let audiences = audiences.iter().filter(|audience| of_token.contains(audience)).cloned().collect();
        Review::Authenticated { username: username.clone(), uid: uid.clone(), audiences }
    }
}

impl Trial {
    /// A Vault that was never initialized.
    pub(super) fn new() -> Self {
        let kubernetes = Script { tokens: BTreeMap::new(), is_down: false };
        Self { vault: Vault::new(7), now: START, kubernetes, pod_token: Some(POD_TOKEN.to_owned()) }
    }

    /// A Vault that works, and its root token.
    pub(super) fn unsealed() -> (Self, String) {
        let mut trial = Self::new();
        let (_, keys) =
            trial.call("PUT", "sys/init", None, &json!({"secret_shares": 1, "secret_threshold": 1}));
        let unsealed = trial.call("PUT", "sys/unseal", None, &json!({"key": keys["keys"][0]}));
        assert_eq!(unsealed.0, 200);
        let root = text(&keys["root_token"]);
        (trial, root)
    }

    /// A Vault with the Kubernetes login, its root token, and the accessor of the login's mount.
    pub(super) fn with_login() -> (Self, String, String) {
        let (mut trial, root) = Self::unsealed();
        trial.must("POST", "sys/auth/kubernetes", &root, &json!({"type": "kubernetes"}));
        let config = json!({"kubernetes_host": "https://kubernetes.default.svc", "kubernetes_ca_cert": "a certificate"});
        trial.must("POST", "auth/kubernetes/config", &root, &config);
        let mounts = trial.must("GET", "sys/auth", &root, &json!({}));
        let accessor = text(&mounts["data"]["kubernetes/"]["accessor"]);
        (trial, root, accessor)
    }

    /// Status and body; `Null` for no body.
    pub(super) fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> (u16, Value) {
        let (status, bytes) = self.raw(method, path, token, body);
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        (status, body)
    }

    pub(super) fn raw(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> (u16, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(format!("/v1/{path}"));
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token);
        }
        let has_body = matches!(method, "POST" | "PUT");
        let bytes = if has_body { serde_json::to_vec(body).expect("JSON") } else { Vec::new() };
        let request = request.body(bytes).expect("a request");
        let mut host = Host { reviewer: &mut self.kubernetes, reviewer_token: self.pod_token.as_deref() };
        let response = self.vault.handle(self.now, &request, &mut host);
        (response.status().as_u16(), response.into_body())
    }

    /// The body of what has to succeed.
    pub(super) fn must(&mut self, method: &str, path: &str, token: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, Some(token), body);
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {}", answer["errors"]);
        answer
    }

    /// Status and first error of what has to fail; 200 with nothing if it does not.
    pub(super) fn refused(&mut self, method: &str, path: &str, token: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.call(method, path, Some(token), body);
        (status, text(&answer["errors"][0]))
    }

    pub(super) fn status(&mut self, method: &str, path: &str, token: &str, body: &Value) -> u16 {
        self.call(method, path, Some(token), body).0
    }

    /// A service-account token that Kubernetes knows, alive for ten minutes.
    pub(super) fn account_token(&mut self, namespace: &str, name: &str, audience: &str) -> String {
        let uid = format!("uid-{namespace}-{name}");
        let token = self.unknown_token(namespace, name, audience);
        let username = format!("system:serviceaccount:{namespace}:{name}");
        self.kubernetes.tokens.insert(token.clone(), (username, uid, vec![audience.to_owned()]));
        token
    }

    /// A token that says the same, but that Kubernetes does not know.
    pub(super) fn unknown_token(&self, namespace: &str, name: &str, audience: &str) -> String {
        let claims = json!({
            "aud": [audience], "exp": self.now.0 + 600, "nbf": self.now.0,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": format!("uid-{namespace}-{name}")},
            },
        });
        let payload = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        format!("e30.{payload}.c2lnbmF0dXJl")
    }

    pub(super) fn log_in(&mut self, role: &str, jwt: &str) -> (u16, Value) {
        self.call("POST", "auth/kubernetes/login", None, &json!({"role": role, "jwt": jwt}))
    }

    /// Vault's token for that account.
    pub(super) fn logged_in(&mut self, role: &str, namespace: &str, name: &str, audience: &str) -> String {
        let jwt = self.account_token(namespace, name, audience);
        let (status, answer) = self.log_in(role, &jwt);
        assert_eq!(status, 200, "{}", answer["errors"]);
        text(&answer["auth"]["client_token"])
    }

    /// A token with these policies alone, made from one text.
    pub(super) fn token_with_policy(&mut self, root: &str, policy: &str) -> String {
        self.must("POST", "sys/policies/acl/p", root, &json!({"policy": policy}));
        let wanted = json!({"policies": ["p"], "no_default_policy": true});
        let made = self.must("POST", "auth/token/create", root, &wanted);
        text(&made["auth"]["client_token"])
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A role with batch tokens.
pub(super) fn auth_role(
    names: &[&str],
    namespaces: &[&str],
    audience: &str,
    ttl_s: u64,
    policy: &str,
) -> Value {
    json!({
        "bound_service_account_names": names, "bound_service_account_namespaces": namespaces, "audience": audience,
        "alias_name_source": "serviceaccount_uid", "token_policies": [policy], "token_type": "batch",
        "token_no_default_policy": true, "token_ttl": ttl_s, "token_max_ttl": ttl_s,
    })
}

/// What the product makes its settings from.
pub(super) fn plan() -> Plan {
    Plan {
        installation: Installation::parse("kubefox").expect("a name"),
        trust_domain: TrustDomain::parse("cluster.local").expect("a name"),
        platform_namespace: Namespace::parse("kubefox").expect("a name"),
        tenant_namespaces: vec![Namespace::parse("team0").expect("a name")],
        kubernetes_host: "https://kubernetes.default.svc".to_owned(),
        kubernetes_ca: "a certificate".to_owned(),
    }
}

/// The PKI role of components, as the product writes it.
pub(super) fn component_pki_role(accessor: &str) -> Value {
    let accessor = Accessor::parse(accessor).expect("an accessor");
    wanted(&Setting::PkiRole(PkiRole::Component), &plan(), &accessor).body
}

/// The root certificate as the product asks for it.
pub(super) fn root_certificate() -> Value {
    let accessor = Accessor::parse("unknown").expect("it is a part of no certificate");
    wanted(&Setting::RootCertificate, &plan(), &accessor).body
}
