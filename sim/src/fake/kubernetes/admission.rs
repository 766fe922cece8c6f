//! The one ValidatingAdmissionPolicy of the platform: what the controller may create.
//!
//! CEL is not evaluated. The rule is implemented here natively, and applies while both the policy and its binding
//! exist with exactly the text that was implemented; any other policy is refused loudly when it is created.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Kubernetes;
use super::authenticate::User;
use super::incoming::Incoming;
use super::kind::Kind;
use super::request::Request;
use super::status::Refusal;
use super::store::Object;

const POLICY: &str = "kubefox-controller-creates";

/// The rule in CEL, with white space as single spaces. [`permits`] is its translation.
const EXPRESSION: &str = "request.resource.resource == 'secrets' ? object.type == 'Opaque' && \
     (object.metadata.name == 'kubefox-trust' || (object.metadata.name == 'kubefox-seal-key' && \
     has(object.immutable) && object.immutable)) : object.metadata.name == 'kubefox-committed' && \
     has(object.immutable) && object.immutable";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicySpec {
    failure_policy: String,
    match_constraints: MatchConstraints,
    match_conditions: [MatchCondition; 1],
    validations: [Validation; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchConstraints {
    resource_rules: [ResourceRule; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceRule {
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    operations: Vec<String>,
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MatchCondition {
    #[serde(rename = "name")]
    _name: String,
    expression: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Validation {
    message: String,
    reason: Option<String>,
    expression: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BindingSpec {
    policy_name: String,
    validation_actions: Vec<String>,
}

/// The policy as far as it varies.
struct Policy {
    /// Whose creations it limits.
    username: String,
    message: String,
    forbids: bool,
}

/// Refuses a policy or a binding whose meaning is not implemented.
pub(super) fn understand(
    request: &Request,
    kind: Kind,
    name: &str,
    object: &Incoming,
) -> Result<(), Refusal> {
    let understood = match kind {
        Kind::ValidatingAdmissionPolicy => name == POLICY && policy(&object.fields).is_some(),
        Kind::ValidatingAdmissionPolicyBinding => name == POLICY && binds(&object.fields),
        Kind::Namespace
        | Kind::ServiceAccount
        | Kind::Pod
        | Kind::Secret
        | Kind::ConfigMap
        | Kind::Event
        | Kind::ClusterRole
        | Kind::ClusterRoleBinding
        | Kind::Role
        | Kind::RoleBinding => true,
    };
    if understood {
        return Ok(());
    }
    let what = format!("the {} {name:?} as it was sent: only {POLICY:?} with the text it knows", kind.name());
    Err(Refusal::not_implemented(&request.line(), &what))
}

impl Kubernetes {
    /// Refuses what the policy forbids this user to create.
    pub(super) fn admit(
        &self,
        user: &User,
        kind: Kind,
        name: &str,
        object: &Incoming,
    ) -> Result<(), Refusal> {
        if !matches!(kind, Kind::Secret | Kind::ConfigMap) {
            return Ok(());
        }
        let Some(policy) = self.active_policy() else {
            return Ok(());
        };
        if policy.username != user.name || permits(kind, name, &object.fields) {
            return Ok(());
        }
        let why = format!(
            "ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request: {}",
            policy.message
        );
        let refusal = Refusal::forbidden(kind.group(), kind.resource(), name, &why).with_cause(&why);
        Err(if policy.forbids { refusal } else { refusal.into_invalid() })
    }

    fn active_policy(&self) -> Option<Policy> {
        self.store.find(Kind::ValidatingAdmissionPolicyBinding, "", POLICY)?;
        let stored: &Object = self.store.find(Kind::ValidatingAdmissionPolicy, "", POLICY)?;
        policy(&stored.fields)
    }
}

/// [`EXPRESSION`] for a Secret or ConfigMap.
fn permits(kind: Kind, name: &str, fields: &Map<String, Value>) -> bool {
    let immutable = fields.get("immutable") == Some(&Value::Bool(true));
    if kind != Kind::Secret {
        return name == "kubefox-committed" && immutable;
    }
    let opaque = fields.get("type").is_some_and(|kind| kind == "Opaque");
    opaque && (name == "kubefox-trust" || (name == "kubefox-seal-key" && immutable))
}

fn policy(fields: &Map<String, Value>) -> Option<Policy> {
    let spec = PolicySpec::deserialize(fields.get("spec")?).ok()?;
    let [rule] = spec.match_constraints.resource_rules;
    let [condition] = spec.match_conditions;
    let [validation] = spec.validations;
    let matches_creates = rule.api_groups == [""]
        && rule.api_versions == ["v1"]
        && rule.operations == ["CREATE"]
        && rule.resources == ["secrets", "configmaps"];
    let forbids = match validation.reason.as_deref() {
        Some("Forbidden") => true,
        None => false,
        Some(_) => return None,
    };
    let known =
        spec.failure_policy == "Fail" && matches_creates && one_spaced(&validation.expression) == EXPRESSION;
    let username = condition.expression.strip_prefix("request.userInfo.username == '")?.strip_suffix('\'')?;
    let literal = !username.contains(['\'', '\\']);
    (known && literal).then(|| Policy { username: username.to_owned(), message: validation.message, forbids })
}

fn binds(fields: &Map<String, Value>) -> bool {
    let spec = fields.get("spec").and_then(|spec| BindingSpec::deserialize(spec).ok());
    spec.is_some_and(|spec| spec.policy_name == POLICY && spec.validation_actions == ["Deny"])
}

/// White space means nothing in CEL outside of string literals, and the literals here have none.
fn one_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
