//! Logins with service-account tokens: `auth/kubernetes/…`.
//!
//! What the token says is checked first and named in the refusal; whether it is true only Kubernetes' review knows,
//! and whatever goes wrong there is the same bare 403.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Host;
use super::answer::{Answer, Auth, Handled, Refusal};
use super::fields::Fields;
use super::identity::Entity;
use super::kubernetes_role::Role;
use super::mounts::{AuthMount, Method};
use super::request::{Operation, Request};
use super::service_account_token::Claims;
use super::shared::Shared;
use super::storage::Storage;
use super::token::{BatchToken, TokenId};
use crate::fake::review::Review;

/// One mounted method.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct KubernetesAuth {
    config: Option<Config>,
    roles: BTreeMap<String, Role>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Config {
    host: String,
    ca_cert: String,
    issuer: String,
    /// Authorizes reviews; `None`: the pod's own token does.
    reviewer_jwt: Option<String>,
    disable_local_ca_jwt: bool,
}

impl KubernetesAuth {
    /// Whether a write to the path would be an update. `None` for paths that are only ever updated.
    pub(super) fn exists(&self, rest: &str) -> Option<bool> {
        rest.strip_prefix("role/").map(|name| self.roles.contains_key(&name.to_lowercase()))
    }
}

/// `auth/<mount>/<rest>`, except the login.
pub(super) fn handle(
    method: &mut Shared<KubernetesAuth>,
    request: &Request,
    rest: &str,
    host: &Host<'_>,
) -> Handled {
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    match rest {
        "config" if request.operation == Operation::Read => read_config(method),
        "config" if writes => write_config(method, request, host),
        "role/" if request.operation == Operation::List => {
            Answer::keys(&method.roles.keys().collect::<Vec<_>>())
        }
        "config" | "role" => request.unsupported(),
        _ => match rest.strip_prefix("role/") {
            Some(name) if name.ends_with('/') && writes => {
                Err(Refusal::invalid("cannot write to a path ending in '/'"))
            }
            Some(name) if !name.contains('/') => role(method, request, &name.to_lowercase()),
            Some(_) | None => request.not_implemented(),
        },
    }
}

fn read_config(method: &KubernetesAuth) -> Handled {
    let config = method.config.as_ref().ok_or_else(Refusal::not_found)?;
    Ok(Answer::data(json!({
        "disable_iss_validation": true, "disable_local_ca_jwt": config.disable_local_ca_jwt,
        "issuer": config.issuer, "kubernetes_ca_cert": config.ca_cert, "kubernetes_host": config.host,
        "pem_keys": [], "token_reviewer_jwt_set": config.reviewer_jwt.is_some(),
    })))
}

/// Every write replaces all of it.
fn write_config(method: &mut Shared<KubernetesAuth>, request: &Request, host: &Host<'_>) -> Handled {
    let fields = Fields(&request.data);
    fields.refuse(&["pem_keys"])?;
    let text = |name| Ok::<_, Refusal>(fields.text(name)?.unwrap_or_default());
    let kubernetes_host = text("kubernetes_host")?;
    if kubernetes_host.is_empty() {
        return Err(Refusal::invalid("no host provided"));
    }
    if fields.flag("disable_iss_validation")? == Some(false) {
        return Err(Refusal::not_implemented("the validation of issuers"));
    }
    let ca_cert = text("kubernetes_ca_cert")?;
    let disable_local_ca_jwt = fields.flag("disable_local_ca_jwt")?.unwrap_or(false);
    if ca_cert.is_empty() && disable_local_ca_jwt {
        let why = "kubernetes_ca_cert must be given when disable_local_ca_jwt is true";
        return Err(Refusal::invalid(why));
    }
    if ca_cert.is_empty() && host.reviewer_token.is_none() {
        let path = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
        return Err(Refusal::invalid(format!("open {path}: no such file or directory")));
    }
    let reviewer_jwt = fields.text("token_reviewer_jwt")?.filter(|jwt| !jwt.is_empty());
    let config = Config {
        host: kubernetes_host,
        ca_cert,
        issuer: text("issuer")?,
        reviewer_jwt,
        disable_local_ca_jwt,
    };
    method.own().config = Some(config);
    Ok(Answer::done())
}

fn role(method: &mut Shared<KubernetesAuth>, request: &Request, name: &str) -> Handled {
    match request.operation {
        Operation::Read => {
            let role = method.roles.get(name).ok_or_else(Refusal::not_found)?;
            Ok(Answer::data(role.describe()))
        }
        Operation::Create | Operation::Update => {
            let role = method.roles.get(name).cloned().unwrap_or_default().written(Fields(&request.data))?;
            method.own().roles.insert(name.to_owned(), role);
            Ok(Answer::done())
        }
        Operation::Delete => {
            method.own().roles.remove(name);
            Ok(Answer::done())
        }
        Operation::List => request.unsupported(),
    }
}

/// `POST auth/<mount>/login`; `mount` ends in a slash.
pub(super) fn log_in(storage: &mut Storage, request: &Request, mount: &str, host: &mut Host<'_>) -> Handled {
    let Some(AuthMount { description, method: Method::Kubernetes(method) }) = storage.auth.get(mount) else {
        unreachable!("the request was routed to this mount");
    };
    if request.operation != Operation::Update {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported operation"));
    }
    let fields = Fields(&request.data);
    let warnings = fields.warn_unknown(&["role", "jwt"], &[])?;
    let field = |name: &str| {
        let value = fields.text(name)?.filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::invalid(format!("missing {name}")))
    };
    let (role_name, jwt) = (field("role")?.to_lowercase(), field("jwt")?);
    let unknown = || Refusal::invalid(format!("invalid role name \"{role_name}\""));
    let role = method.roles.get(&role_name).ok_or_else(unknown)?;
    let config = method.config.as_ref().ok_or_else(|| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "could not load backend configuration")
    })?;
    if role.token_type() != "batch" {
        return Err(Refusal::not_implemented("logins that make service tokens"));
    }
    let claims = Claims::parse(&jwt)?;
    claims.check(request, role)?;
    review(request, config, role, &claims, &jwt, host)?;

    let alias_name = role.alias_name(&claims.namespace, &claims.name, &claims.uid);
    let accessor = description.accessor();
    let details = [accessor.as_bytes(), alias_name.as_bytes()];
    let entity_id = request.mint.uuid("entity", &details);
    let metadata = claims.metadata(&role_name);
    let entity = Entity {
        mount_accessor: accessor.to_owned(),
        alias_id: request.mint.uuid("alias", &details),
        alias_name,
        metadata: metadata.clone(),
    };
    let method_name = mount.trim_end_matches('/');
    let token = BatchToken {
        policies: role.policies(),
        path: format!("auth/{mount}login"),
        display_name: format!("{method_name}-{}-{}", claims.namespace, claims.name),
        created: request.now,
        ttl_s: role.ttl_s(description.default_lease_ttl_s(), description.max_lease_ttl_s()),
        entity: entity_id.clone(),
        metadata,
    };
    storage.entities.own().insert(entity_id, entity);
    let id = request.mint.batch_token(&[request.id.as_bytes(), jwt.as_bytes()]);
    let auth = Box::new(describe_login(&id, &token));
    storage.tokens.own().remember(TokenId(id), token);
    Ok(Answer::Token { auth, warnings })
}

fn describe_login(id: &str, token: &BatchToken) -> Auth {
    Auth {
        client_token: id.to_owned(),
        accessor: String::new(),
        policies: token.policies.clone(),
        token_policies: token.policies.clone(),
        metadata: json!(token.metadata),
        lease_duration: token.ttl_s,
        renewable: false,
        entity_id: token.entity.clone(),
        token_type: "batch",
        orphan: true,
        mfa_requirement: None,
        num_uses: 0,
    }
}

/// The API server must know the token, and know it as the account that it says it is.
fn review(
    request: &Request,
    config: &Config,
    role: &Role,
    claims: &Claims,
    jwt: &str,
    host: &mut Host<'_>,
) -> Result<(), Refusal> {
    let audiences = match role.audience() {
        "" => claims.audiences.clone(),
        audience => vec![audience.to_owned()],
    };
    let reviewer = match &config.reviewer_jwt {
        Some(reviewer) => reviewer.as_str(),
        // Without a reviewer of its own the method reviews with the very token that is to be reviewed.
        None if config.disable_local_ca_jwt => jwt,
        None => host.reviewer_token.ok_or_else(Refusal::unknown_caller)?,
    };
    let review = host.reviewer.review(request.now, reviewer, jwt, &audiences);
    let expected = format!("system:serviceaccount:{}:{}", claims.namespace, claims.name);
    match review {
        Review::Authenticated { username, uid, audiences: confirmed }
            if username == expected
                && uid == claims.uid
                && confirmed.iter().any(|audience| audiences.contains(audience)) =>
        {
            Ok(())
        }
        Review::Authenticated { .. } | Review::Refused { .. } | Review::Unavailable => {
            Err(Refusal::unknown_caller())
        }
    }
}

#[cfg(test)]
mod tests {
    use kubefox_core::time::Unix;
    use serde_json::Value;

    use super::super::trial::{START, Trial, auth_role, text};
    use super::*;

    const AUDIENCE: &str = "kubefox.kubefox";

    #[test]
    fn a_login_gives_a_batch_token_that_knows_whose_it_is() {
        let (mut trial, _) = with_roles();
        let jwt = trial.account_token("team0", "app", AUDIENCE);

        let (status, answer) = trial.log_in("component", &jwt);

        assert_eq!(status, 200);
        let auth = &answer["auth"];
        let metadata = json!({"role": "component", "service_account_name": "app",
            "service_account_namespace": "team0", "service_account_secret_name": "",
            "service_account_uid": "uid-team0-app"});
        assert_eq!((&auth["policies"], &auth["metadata"]), (&json!(["component"]), &metadata));
        assert_eq!((&auth["token_type"], &auth["lease_duration"]), (&json!("batch"), &json!(120)));
        assert_eq!((&auth["accessor"], &auth["renewable"]), (&json!(""), &json!(false)));
        assert!(text(&auth["client_token"]).starts_with("b."));
        assert_eq!(trial.vault.counts().batch_tokens, 1);
    }

    #[test]
    fn a_batch_token_is_forgotten_once_it_expired() {
        let (mut trial, _) = with_roles();
        let token = trial.logged_in("component", "team0", "app", AUDIENCE);
        let mut look = |now| {
            trial.now = Unix(now);
            trial.refused("GET", "auth/token/lookup-self", &token, &json!({})).1
        };

        assert_eq!(look(START.0 + 119), "1 error occurred:\n\t* permission denied\n\n");
        assert_eq!(look(START.0 + 120), "permission denied");
        assert_eq!(look(START.0), "permission denied", "even if the clock goes back");
        assert_eq!(trial.vault.counts().batch_tokens, 0);
    }

    #[test]
    fn what_the_token_says_is_checked_and_named() {
        let (mut trial, _) = with_roles();
        let mut refusal = |role: &str, namespace: &str, name: &str, audience: &str| {
            let jwt = trial.account_token(namespace, name, audience);
            let (status, answer) = trial.log_in(role, &jwt);
            (status, text(&answer["errors"][0]))
        };
        let audience = "invalid audience (aud) claim: audience claim does not match any expected audience";

        assert_eq!(refusal("component", "team0", "app", "another"), (403, audience.into()));
        assert_eq!(refusal("component", "team1", "app", AUDIENCE), (403, "namespace not authorized".into()));
        assert_eq!(refusal("nats", "team0", "nats", AUDIENCE), (403, "namespace not authorized".into()));
        assert_eq!(
            refusal("nats", "kubefox", "stranger", AUDIENCE),
            (403, "service account name not authorized".into())
        );
        assert_eq!(refusal("nope", "team0", "app", AUDIENCE), (400, "invalid role name \"nope\"".into()));
    }

    #[test]
    fn expired_malformed_and_missing_tokens_are_refused() {
        let (mut trial, _) = with_roles();
        let jwt = trial.account_token("team0", "app", AUDIENCE);
        let mut refusal = |now, body: Value| {
            trial.now = Unix(now);
            let (status, answer) = trial.call("POST", "auth/kubernetes/login", None, &body);
            (status, text(&answer["errors"][0]))
        };

        let expired = refusal(START.0 + 661, json!({"role": "component", "jwt": jwt}));
        assert_eq!(expired, (403, "invalid expiration time (exp) claim: token is expired".into()));
        assert_eq!(
            refusal(START.0, json!({"role": "component", "jwt": "abc"})),
            (403, "permission denied".into())
        );
        assert_eq!(refusal(START.0, json!({"jwt": jwt})), (400, "missing role".into()));
        assert_eq!(refusal(START.0, json!({"role": "component"})), (400, "missing jwt".into()));
        assert_eq!(trial.call("GET", "auth/kubernetes/login", None, &json!({})).0, 405);
    }

    #[test]
    fn whatever_goes_wrong_in_the_review_is_the_same_bare_refusal() {
        let (mut trial, _) = with_roles();
        let known = trial.account_token("team0", "app", AUDIENCE);
        let forged = trial.unknown_token("team0", "nats", AUDIENCE);
        let bare = |answer: (u16, Value)| {
            (answer.0, text(&answer.1["errors"][0])) == (403, "permission denied".into())
        };

        assert!(bare(trial.log_in("component", &forged)), "unknown to Kubernetes");
        trial.kubernetes.is_down = true;
        assert!(bare(trial.log_in("component", &known)), "the API server is down");
        trial.kubernetes.is_down = false;
        trial.pod_token = Some("another pod's".into());
        assert!(bare(trial.log_in("component", &known)), "the reviewer may not review");
        trial.pod_token = None;
        assert!(bare(trial.log_in("component", &known)), "there is no reviewer");
        assert_eq!(trial.vault.counts().batch_tokens, 0);
    }

    #[test]
    fn a_stored_reviewer_comes_before_the_pod_s_own_token() {
        let (mut trial, root) = with_roles();
        let jwt = trial.account_token("team0", "app", AUDIENCE);
        let config = json!({"kubernetes_host": "https://kubernetes", "kubernetes_ca_cert": "x",
            "token_reviewer_jwt": "dead", "disable_local_ca_jwt": true});
        trial.must("POST", "auth/kubernetes/config", &root, &config);

        assert_eq!(trial.log_in("component", &jwt).0, 403, "nobody logs in once the stored one is dead");
        let read = trial.must("GET", "auth/kubernetes/config", &root, &json!({}))["data"].clone();
        assert_eq!(read["token_reviewer_jwt_set"], true);
        assert!(!read.to_string().contains("dead"), "it cannot be read back");
    }

    #[test]
    fn a_configuration_needs_a_host_and_a_certificate() {
        let (mut trial, root) = with_roles();
        trial.pod_token = None;
        let mut refusal = |body: Value| trial.refused("POST", "auth/kubernetes/config", &root, &body);

        assert_eq!(refusal(json!({})), (400, "no host provided".into()));
        let needed = "kubernetes_ca_cert must be given when disable_local_ca_jwt is true";
        assert_eq!(
            refusal(json!({"kubernetes_host": "x", "disable_local_ca_jwt": true})),
            (400, needed.into())
        );
        assert!(refusal(json!({"kubernetes_host": "x"})).1.ends_with("ca.crt: no such file or directory"));
        assert_eq!(
            refusal(json!({"kubernetes_host": "x", "kubernetes_ca_cert": "x", "pem_keys": ["x"]})).0,
            501
        );
    }

    #[test]
    fn a_role_is_created_or_updated_as_the_policy_says() {
        let (mut trial, root) = with_roles();
        let policy = "path \"auth/kubernetes/role/+\" { capabilities = [\"create\", \"read\"] }";
        let token = trial.token_with_policy(&root, policy);
        let role = auth_role(&["x"], &["y"], AUDIENCE, 60, "z");

        assert_eq!(trial.status("POST", "auth/kubernetes/role/New", &token, &role), 204);
        assert_eq!(trial.status("POST", "auth/kubernetes/role/new", &token, &role), 403);
        let read = trial.must("GET", "auth/kubernetes/role/new", &token, &json!({}))["data"].clone();
        let wanted = role.as_object().expect("an object");
        assert!(wanted.iter().all(|(name, value)| read.get(name) == Some(value)), "{read}");
        let listed = trial.must("LIST", "auth/kubernetes/role", &root, &json!({}));
        assert_eq!(listed["data"]["keys"], json!(["component", "nats", "new"]));
    }

    fn with_roles() -> (Trial, String) {
        let (mut trial, root, _) = Trial::with_login();
        let component = auth_role(&["*"], &["team0"], AUDIENCE, 120, "component");
        let nats = auth_role(&["nats"], &["kubefox"], AUDIENCE, 120, "nats");
        trial.must("POST", "auth/kubernetes/role/component", &root, &component);
        trial.must("POST", "auth/kubernetes/role/nats", &root, &nats);
        (trial, root)
    }
}
