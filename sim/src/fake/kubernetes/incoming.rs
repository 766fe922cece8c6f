//! An object as a client sends it: parsed once, with unknown fields refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::kind::Kind;
use super::request::{Request, Resource};
use super::status::Refusal;

/// What a client may say of an object.
#[derive(Clone)]
pub(super) struct Incoming {
    pub(super) metadata: Metadata,
    /// Everything but `apiVersion`, `kind` and `metadata`.
    pub(super) fields: Map<String, Value>,
}

/// The part of `metadata` that clients write, or send back as they got it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) generate_name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) finalizers: Option<Vec<String>>,
    pub(super) deletion_timestamp: Option<String>,
    /// The server's own; what a client sends is ignored, here as there.
    #[serde(rename = "creationTimestamp")]
    _creation_timestamp: Option<String>,
    #[serde(rename = "deletionGracePeriodSeconds")]
    _deletion_grace_period_seconds: Option<u64>,
    #[serde(rename = "managedFields")]
    _managed_fields: Option<Vec<Value>>,
}

impl Incoming {
    /// The object in the body of a create or an update.
    pub(super) fn parse(request: &Request, asked: &Resource, kind: Kind) -> Result<Self, Refusal> {
        Self::from_object(request, asked, kind, request.object()?)
    }

    pub(super) fn from_object(
        request: &Request,
        asked: &Resource,
        kind: Kind,
        mut object: Map<String, Value>,
    ) -> Result<Self, Refusal> {
        let (api_version, name) = (kind.api_version(), kind.name());
        check_type(&mut object, &api_version, name)?;
        let metadata = object
            .remove("metadata")
            .filter(|metadata| !metadata.is_null())
            .unwrap_or_else(|| Value::Object(Map::new()));
        if metadata.get("ownerReferences").is_some_and(|owners| !owners.is_null()) {
            return Err(Refusal::not_implemented(
                &request.line(),
                "metadata.ownerReferences and garbage collection",
            ));
        }
        let metadata =
            Metadata::deserialize(metadata).map_err(|error| strict(name, &format!("metadata: {error}")))?;
        object.retain(|_, value| !value.is_null());
        if let Some(unknown) = object.keys().find(|field| !kind.fields().contains(&field.as_str())) {
            return Err(strict(name, &format!("unknown field \"{unknown}\"")));
        }
        let parsed = Self { metadata, fields: object };
        parsed.check_place(asked)?;
        Ok(parsed)
    }

    fn check_place(&self, asked: &Resource) -> Result<(), Refusal> {
        let namespace = self.metadata.namespace.as_deref().unwrap_or("");
        if !namespace.is_empty() && namespace != asked.namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let name = self.metadata.name.as_deref().unwrap_or("");
        if !asked.name.is_empty() && name != asked.name {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                asked.name
            )));
        }
        Ok(())
    }
}

/// The spec of what is answered and never kept. What a client says of metadata and status has no meaning there.
pub(super) fn spec(request: &Request, api_version: &str, kind: &str) -> Result<Value, Refusal> {
    let mut object = request.object()?;
    check_type(&mut object, api_version, kind)?;
    let mut take = |member: &str| object.remove(member).filter(|value| !value.is_null());
    let spec = take("spec").unwrap_or_else(|| Value::Object(Map::new()));
    let (metadata, _) = (take("metadata"), take("status"));
    let parsed = metadata.map(Metadata::deserialize).transpose();
    parsed.map_err(|error| strict(kind, &format!("metadata: {error}")))?;
    match object.keys().next() {
        Some(unknown) => Err(strict(kind, &format!("unknown field \"{unknown}\""))),
        None => Ok(spec),
    }
}

/// `apiVersion` and `kind` may be missing; if they are there, they must be right.
pub(super) fn check_type(
    object: &mut Map<String, Value>,
    api_version: &str,
    kind: &str,
) -> Result<(), Refusal> {
    for (field, expected) in [("apiVersion", api_version), ("kind", kind)] {
        let given = object.remove(field).unwrap_or(Value::Null);
        if !given.is_null() && given != expected {
            return Err(Refusal::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): {field} is {given}, not {expected:?}"
            )));
        }
    }
    Ok(())
}

/// What the server says with `fieldValidation=Strict`, which is always on here.
fn strict(kind: &str, what: &str) -> Refusal {
    Refusal::bad_request(format!(
        "{kind} in version \"v1\" cannot be handled as a {kind}: strict decoding error: {what}"
    ))
}
