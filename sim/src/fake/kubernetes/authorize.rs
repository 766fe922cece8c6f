//! Whether they may: role-based access control, evaluated from the roles and bindings in the store.
//!
//! Source: Kubernetes documentation, "Using RBAC Authorization", including its default bindings.

use serde::Deserialize;

use super::Kubernetes;
use super::authenticate::{AUTHENTICATED, SERVICE_ACCOUNTS, UNAUTHENTICATED, User, service_account_name};
use super::kind::{Kind, RBAC};
use super::request::{Resource, Target};
use super::status::Refusal;
use super::store::Object;

/// One rule of a Role or ClusterRole.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule<'a> {
    #[serde(borrow)]
    verbs: Vec<&'a str>,
    #[serde(borrow, default)]
    api_groups: Vec<&'a str>,
    #[serde(borrow, default)]
    resources: Vec<&'a str>,
    #[serde(borrow, default)]
    resource_names: Vec<&'a str>,
    #[serde(borrow, default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<&'a str>,
}

/// What a binding grants.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoleRef<'a> {
    pub(super) api_group: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

/// Whom a binding grants it to.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subject<'a> {
    pub(super) kind: &'a str,
    #[serde(borrow, default)]
    pub(super) api_group: Option<&'a str>,
    pub(super) name: &'a str,
    #[serde(borrow, default)]
    pub(super) namespace: Option<&'a str>,
}

/// Paths that every API server lets these groups read.
const OPEN_PATHS: [(&str, &[&str]); 3] = [
    (UNAUTHENTICATED, &["/healthz", "/livez", "/readyz", "/version", "/version/"]),
    (
        AUTHENTICATED,
        &[
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ],
    ),
    (
        SERVICE_ACCOUNTS,
        &[
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ],
    ),
];

/// Resources that everybody authenticated may create: questions about oneself.
const OPEN_RESOURCES: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

impl Kubernetes {
    /// Nothing, or the 403.
    pub(super) fn authorize(&self, user: &User, target: &Target) -> Result<(), Refusal> {
        if user.is_master() {
            return Ok(());
        }
        match target {
            Target::Path { method, path } => self.authorize_path(user, method, path),
            Target::Resource(resource) => self.authorize_resource(user, resource),
        }
    }

    fn authorize_path(&self, user: &User, method: &str, path: &str) -> Result<(), Refusal> {
        let open = |(group, paths): &(&str, &[&str])| {
            method == "get" && user.groups.iter().any(|own| own == group) && covers_path(paths, path)
        };
        if OPEN_PATHS.iter().any(open) {
            return Ok(());
        }
        let allows = |rule: &Rule| covers(&rule.verbs, method) && covers_path(&rule.non_resource_urls, path);
        if self.cluster_roles(user).any(|role| any_rule(role, allows)) {
            return Ok(());
        }
        Err(Refusal::forbidden_path(format!(
            "forbidden: User \"{}\" cannot {method} path \"{path}\"",
            user.name
        )))
    }

    fn authorize_resource(&self, user: &User, asked: &Resource) -> Result<(), Refusal> {
        let verb = asked.verb.name();
        let asks_about_itself = OPEN_RESOURCES.contains(&(&asked.group, &asked.resource));
        if asks_about_itself && verb == "create" && user.groups.iter().any(|group| group == AUTHENTICATED) {
            return Ok(());
        }
        let allows = |rule: &Rule| rule.allows(asked);
        let mut roles = self.cluster_roles(user).chain(self.namespace_roles(user, &asked.namespace));
        if roles.any(|role| any_rule(role, allows)) {
            return Ok(());
        }
        let scope = match asked.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let why = format!(
            "User \"{}\" cannot {verb} resource \"{}\" in API group \"{}\" {scope}",
            user.name,
            asked.with_subresource(),
            asked.group
        );
        Err(Refusal::forbidden(&asked.group, &asked.resource, &asked.name, &why))
    }

    fn cluster_roles<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Object> {
        let bindings = self.store.all(Kind::ClusterRoleBinding).filter(move |binding| binds(binding, user));
        bindings.filter_map(|binding| self.role_of(binding))
    }

    fn namespace_roles<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Object> {
        let here = self.store.all(Kind::RoleBinding).filter(move |binding| binding.namespace == namespace);
        here.filter(move |binding| binds(binding, user)).filter_map(|binding| self.role_of(binding))
    }

    fn role_of(&self, binding: &Object) -> Option<&Object> {
        let role = RoleRef::deserialize(binding.field("roleRef")?).ok()?;
        match role.kind {
            "ClusterRole" => self.store.find(Kind::ClusterRole, "", role.name),
            "Role" => self.store.find(Kind::Role, &binding.namespace, role.name),
            _ => None,
        }
    }
}

impl Rule<'_> {
    fn allows(&self, asked: &Resource) -> bool {
        let names_it = self.resource_names.is_empty() || self.resource_names.contains(&asked.name.as_str());
        covers(&self.verbs, asked.verb.name())
            && covers(&self.api_groups, &asked.group)
            && self.resources.iter().any(|resource| covers_resource(resource, asked))
            && names_it
    }

    /// What the API server finds wrong with the rule when a role is written.
    pub(super) fn defects(&self) -> Vec<(&'static str, &'static str)> {
        let mut defects = Vec::new();
        if self.verbs.is_empty() {
            defects.push(("verbs", "verbs must contain at least one value"));
        }
        let is_about_resources = self.non_resource_urls.is_empty();
        if is_about_resources && self.api_groups.is_empty() {
            defects.push(("apiGroups", "resource rules must supply at least one api group"));
        }
        if is_about_resources && self.resources.is_empty() {
            defects.push(("resources", "resource rules must supply at least one resource"));
        }
        defects
    }
}

fn any_rule(role: &Object, allows: impl Fn(&Rule) -> bool) -> bool {
    let rules = role.field("rules").and_then(|rules| Vec::<Rule>::deserialize(rules).ok());
    rules.unwrap_or_default().iter().any(allows)
}

fn binds(binding: &Object, user: &User) -> bool {
    let subjects = binding.field("subjects").and_then(|subjects| Vec::<Subject>::deserialize(subjects).ok());
    subjects.unwrap_or_default().iter().any(|subject| subject.is(user))
}

impl Subject<'_> {
    fn is(&self, user: &User) -> bool {
        match (self.kind, self.namespace) {
            ("User", _) => self.name == user.name,
            ("Group", _) => user.groups.iter().any(|group| group == self.name),
            ("ServiceAccount", Some(namespace)) => service_account_name(namespace, self.name) == user.name,
            _ => false,
        }
    }

    /// What the API server finds wrong with the subject when a binding is written.
    pub(super) fn defect(&self) -> Option<(&'static str, &'static str)> {
        match (self.kind, self.api_group, self.namespace) {
            ("ServiceAccount", None | Some(""), Some(_)) => None,
            ("ServiceAccount", None | Some(""), None) => Some(("namespace", "")),
            ("User" | "Group", None | Some(RBAC), None) => None,
            _ => Some(("kind", "must be a ServiceAccount, or a User or Group of rbac.authorization.k8s.io")),
        }
    }
}

fn covers(granted: &[&str], asked: &str) -> bool {
    granted.iter().any(|one| *one == "*" || *one == asked)
}

/// `*`, `secrets`, `pods/exec` or `*/scale`.
fn covers_resource(granted: &str, asked: &Resource) -> bool {
    let of_any = |subresource: &str| granted.strip_prefix("*/") == Some(subresource);
    granted == "*" || granted == asked.with_subresource() || asked.subresource.as_deref().is_some_and(of_any)
}

fn covers_path(granted: &[&str], asked: &str) -> bool {
    let one_covers = |one: &&str| match one.strip_suffix('*') {
        Some(prefix) => asked.starts_with(prefix),
        None => *one == asked,
    };
    granted.iter().any(one_covers)
}
