//! Defaults and validation: what makes an object of a kind a 400 or a 422.
//!
//! Source: Kubernetes API reference, and the texts of apimachinery's and core's validation.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Kubernetes;
use super::authorize::{RoleRef, Rule, Subject};
use super::incoming::Incoming;
use super::kind::{Kind, RBAC};
use super::request::{Request, Resource};
use super::status::{FieldError, Refusal};
use super::store::Object;

/// All values of a Secret or ConfigMap together.
const DATA_BYTES_MAX: usize = 1024 * 1024;
const NAME_BYTES_MAX: usize = 253;
const NOTE_BYTES_MAX: usize = 1024;

const IMMUTABLE: &str = "field is immutable when `immutable` is set";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
     (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

impl Kubernetes {
    /// Fills in what a client may leave out. Refuses what cannot be read at all (400) and a pod whose service account
    /// does not exist (403).
    pub(super) fn default_fields(
        &self,
        asked: &Resource,
        kind: Kind,
        object: &mut Incoming,
    ) -> Result<(), Refusal> {
        let fields = &mut object.fields;
        match kind {
            Kind::Secret => default_secret(fields)?,
            Kind::ConfigMap => default_config_map(fields)?,
            Kind::Pod => self.default_pod(asked, object)?,
            Kind::Namespace => {
                fields.insert("spec".to_owned(), json!({ "finalizers": ["kubernetes"] }));
                fields.insert("status".to_owned(), json!({ "phase": "Active" }));
            }
            Kind::ServiceAccount
            | Kind::Event
            | Kind::ClusterRole
            | Kind::ClusterRoleBinding
            | Kind::Role
            | Kind::RoleBinding
            | Kind::ValidatingAdmissionPolicy
            | Kind::ValidatingAdmissionPolicyBinding => {}
        }
        Ok(())
    }

    /// The work of the admission plug-in `ServiceAccount`.
    fn default_pod(&self, asked: &Resource, object: &mut Incoming) -> Result<(), Refusal> {
        let spec = object.fields.entry("spec").or_insert_with(|| json!({}));
        let Value::Object(spec) = spec else {
            return Err(Refusal::bad_request("spec is not an object"));
        };
        let account = spec.entry("serviceAccountName").or_insert_with(|| json!("default")).clone();
        let account = account.as_str().unwrap_or("");
        if self.store.find(Kind::ServiceAccount, &asked.namespace, account).is_none() {
            let pod = object.metadata.name.clone().unwrap_or_default();
            let why = format!(
                "error looking up service account {}/{account}: serviceaccount \"{account}\" not found",
                asked.namespace
            );
            return Err(Refusal::forbidden("", "pods", &pod, &why));
        }
        spec.insert("serviceAccount".to_owned(), json!(account));
        object.fields.insert("status".to_owned(), json!({ "phase": "Pending" }));
        Ok(())
    }
}

/// Refuses a new object, or one that is about to replace another.
pub(super) fn check(kind: Kind, name: &str, object: &Incoming) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    check_name(kind, name, &mut errors);
    for (index, finalizer) in object.metadata.finalizers.iter().flatten().enumerate() {
        let qualified =
            finalizer.split_once('/').is_some_and(|(domain, rest)| is_subdomain(domain) && !rest.is_empty());
        if !qualified {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            let field = format!("metadata.finalizers[{index}]");
            errors.push(FieldError::invalid(&field, &json!(finalizer), detail));
        }
    }
    let fields = &object.fields;
    match kind {
        Kind::Secret => check_data(fields, &["data"], &mut errors),
        Kind::ConfigMap => check_data(fields, &["data", "binaryData"], &mut errors),
        Kind::Pod => check_pod(fields, &mut errors),
        Kind::Event => check_event(fields, &mut errors),
        Kind::ClusterRole | Kind::Role => check_rules(kind, fields, &mut errors)?,
        Kind::ClusterRoleBinding | Kind::RoleBinding => check_binding(kind, fields, &mut errors)?,
        Kind::Namespace
        | Kind::ServiceAccount
        | Kind::ValidatingAdmissionPolicy
        | Kind::ValidatingAdmissionPolicyBinding => {}
    }
    refuse(kind, name, &errors)
}

/// Refuses a replacement of `old` by `new` that changes what may not change.
pub(super) fn check_update(request: &Request, old: &Object, new: &Object) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    let added: Vec<&String> = new.finalizers.iter().filter(|one| !old.finalizers.contains(one)).collect();
    if old.deleted.is_some() && !added.is_empty() {
        let list: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            list.join(", ")
        );
        errors.push(FieldError::forbidden("metadata.finalizers", &detail));
    }
    if old.is_immutable() {
        if !new.is_immutable() {
            errors.push(FieldError::forbidden("immutable", IMMUTABLE));
        }
        let changed = |field: &&str| old.field(field) != new.field(field);
        errors.extend(
            ["data", "binaryData"].iter().filter(|f| changed(f)).map(|f| FieldError::forbidden(f, IMMUTABLE)),
        );
    }
    if old.field("type") != new.field("type") {
        let value = new.field("type").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid("type", value, "field is immutable"));
    }
    refuse(old.kind, &old.name, &errors)?;
    if old.kind == Kind::Pod && old.fields != new.fields {
        return Err(Refusal::not_implemented(&request.line(), "changes of a pod beyond its metadata"));
    }
    Ok(())
}

fn refuse(kind: Kind, name: &str, errors: &[FieldError]) -> Result<(), Refusal> {
    if errors.is_empty() {
        return Ok(());
    }
    // The server validates events of every group as those of the core group.
    let group = if kind == Kind::Event { "" } else { kind.group() };
    Err(Refusal::invalid(group, kind.name(), name, errors))
}

/// RBAC's names may hold almost anything; all others are DNS subdomains, a namespace's without dots.
fn check_name(kind: Kind, name: &str, errors: &mut Vec<FieldError>) {
    let right = match kind.group() {
        RBAC => !name.contains(['/', '%']) && name != "." && name != "..",
        _ => is_subdomain(name) && !(kind == Kind::Namespace && name.contains('.')),
    };
    if !right {
        errors.push(FieldError::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
}

fn is_subdomain(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
            && bytes.first().is_some_and(|byte| inner(*byte))
            && bytes.last().is_some_and(|byte| inner(*byte))
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(label)
}

/// `stringData` is a write-only way to say `data`.
fn default_secret(fields: &mut Map<String, Value>) -> Result<(), Refusal> {
    fields.entry("type").or_insert_with(|| json!("Opaque"));
    let mut data = strings("Secret", fields.remove("data"))?;
    for value in data.values() {
        if let Err(error) = BASE64.decode(value.as_str().unwrap_or("").as_bytes()) {
            return Err(Refusal::bad_request(format!(
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte {}",
                error.position
            )));
        }
    }
    for (key, value) in strings("Secret", fields.remove("stringData"))? {
        let text = value.as_str().unwrap_or("");
        data.insert(key, json!(BASE64.encode(text.as_bytes())));
    }
    fields.insert("data".to_owned(), Value::Object(data));
    drop_empty(fields, &["data"]);
    Ok(())
}

fn default_config_map(fields: &mut Map<String, Value>) -> Result<(), Refusal> {
    for name in ["data", "binaryData"] {
        let map = strings("ConfigMap", fields.remove(name))?;
        fields.insert(name.to_owned(), Value::Object(map));
    }
    drop_empty(fields, &["data", "binaryData"]);
    Ok(())
}

/// A map of strings; in Go a null value is an empty one.
fn strings(kind: &str, map: Option<Value>) -> Result<Map<String, Value>, Refusal> {
    let unreadable = || {
        Refusal::bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a {kind}: a value is no string"
        ))
    };
    let Value::Object(mut map) = map.unwrap_or_else(|| json!({})) else {
        return Err(unreadable());
    };
    for value in map.values_mut() {
        match value {
            Value::String(_) => {}
            Value::Null => *value = json!(""),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(unreadable());
            }
        }
    }
    Ok(map)
}

fn drop_empty(fields: &mut Map<String, Value>, names: &[&str]) {
    let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    fields.retain(|name, value| !(names.contains(&name.as_str()) && empty(value)));
}

fn check_data(fields: &Map<String, Value>, names: &[&str], errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    for name in names {
        for (key, value) in fields.get(*name).and_then(Value::as_object).into_iter().flatten() {
            if key.is_empty() || key.len() > NAME_BYTES_MAX || !key.chars().all(letter) {
                errors.push(FieldError::invalid(&format!("{name}[{key}]"), &json!(key), CONFIG_KEY));
            }
            bytes += value.as_str().map_or(0, str::len);
        }
    }
    if bytes > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
    }
    if fields.get("immutable").is_some_and(|flag| !flag.is_boolean()) {
        errors.push(FieldError::invalid("immutable", &fields["immutable"], "must be a boolean"));
    }
}

fn check_pod(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let containers = fields.get("spec").and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        errors.push(FieldError::required("spec.containers", ""));
        return;
    };
    for (index, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                errors.push(FieldError::required(&format!("spec.containers[{index}].{field}"), ""));
            }
        }
    }
}

fn check_event(fields: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for field in ["eventTime", "reportingController", "reportingInstance", "action", "reason"] {
        if fields.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            errors.push(FieldError::required(field, ""));
        }
    }
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("");
    if kind != "Normal" && kind != "Warning" {
        errors.push(FieldError::invalid("type", &json!(""), &format!("has invalid value: {kind}")));
    }
    let note = fields.get("note").and_then(Value::as_str).unwrap_or("");
    if note.len() > NOTE_BYTES_MAX {
        let detail = format!("can have at most {NOTE_BYTES_MAX} characters");
        errors.push(FieldError::invalid("message", &json!(""), &detail));
    }
}

fn check_rules(kind: Kind, fields: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Result<(), Refusal> {
    let rules = fields.get("rules").unwrap_or(&Value::Null);
    let rules = Option::<Vec<Rule>>::deserialize(rules).map_err(|error| unreadable(kind, "rules", &error))?;
    for (index, rule) in rules.iter().flatten().enumerate() {
        for (field, detail) in rule.defects() {
            errors.push(FieldError::required(&format!("rules[{index}].{field}"), detail));
        }
    }
    Ok(())
}

fn check_binding(
    kind: Kind,
    fields: &Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Result<(), Refusal> {
    let role = fields.get("roleRef").unwrap_or(&Value::Null);
    let role = RoleRef::deserialize(role).map_err(|error| unreadable(kind, "roleRef", &error))?;
    let grants_role = role.kind == "Role" && kind == Kind::RoleBinding;
    if role.api_group != RBAC {
        errors.push(FieldError::unsupported(
            "roleRef.apiGroup",
            &json!(role.api_group),
            "\"rbac.authorization.k8s.io\"",
        ));
    }
    if role.kind != "ClusterRole" && !grants_role {
        errors.push(FieldError::unsupported("roleRef.kind", &json!(role.kind), "\"ClusterRole\""));
    }
    if role.name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    let subjects = fields.get("subjects").unwrap_or(&Value::Null);
    let subjects = Option::<Vec<Subject>>::deserialize(subjects)
        .map_err(|error| unreadable(kind, "subjects", &error))?;
    for (index, subject) in subjects.iter().flatten().enumerate() {
        if let Some((field, detail)) = subject.defect() {
            errors.push(FieldError::required(&format!("subjects[{index}].{field}"), detail));
        }
    }
    Ok(())
}

fn unreadable(kind: Kind, field: &str, error: &serde_json::Error) -> Refusal {
    let kind = kind.name();
    Refusal::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: {field}: {error}"))
}
