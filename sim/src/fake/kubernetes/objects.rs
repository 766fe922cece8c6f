//! Create, get, update, patch and delete: the life of a stored object.
//!
//! ```text
//!   create ──► alive ──delete──► gone
//!                │                ▲
//!                └─delete with    │ the last finalizer is removed
//!                  finalizers ──► being deleted (for ever: nobody can take it back)
//! ```

use kubefox_core::time::Unix;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::admission;
use super::authenticate::User;
use super::incoming::{Incoming, check_type};
use super::kind::Kind;
use super::request::{JSON, MERGE_PATCH, Request, Resource, Verb};
use super::status::{Answer, FieldError, Refusal};
use super::store::Object;
use super::validate;
use super::{Kubernetes, Revision};

/// The store's quota, in objects.
const OBJECTS_MAX: usize = 10_000;

/// Events vanish after this time (kube-apiserver `--event-ttl`).
const EVENT_TTL_S: u64 = 3_600;

/// A request for an object that may be answered: authenticated, authorized, with a known target.
pub(super) struct Asked<'a> {
    pub(super) now: Unix,
    pub(super) user: &'a User,
    pub(super) request: &'a Request<'a>,
    pub(super) resource: &'a Resource,
    pub(super) dry_run: bool,
}

/// The body of a deletion. `dryRun` was read before.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeleteOptions {
    #[serde(rename = "gracePeriodSeconds")]
    _grace_period_seconds: Option<u64>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Asked<'_> {
    pub(super) fn not_implemented(&self, what: &str) -> Refusal {
        Refusal::not_implemented(&self.request.line(), what)
    }
}

impl Kubernetes {
    pub(super) fn answer_object(&mut self, asked: &Asked, kind: Kind) -> Result<Answer, Refusal> {
        let namespace = asked.resource.namespace.as_str();
        let scope = if kind.is_namespaced() { namespace } else { "" };
        let misplaced = kind != Kind::Namespace && kind.is_namespaced() == namespace.is_empty();
        match asked.resource.verb {
            Verb::List | Verb::Watch | Verb::DeleteCollection => {
                Err(asked.not_implemented(&asked.resource.what()))
            }
            Verb::Create | Verb::Get | Verb::Update | Verb::Patch | Verb::Delete if misplaced => {
                Err(Refusal::method_not_allowed())
            }
            Verb::Create => self.create(asked, kind, scope),
            Verb::Get => Ok(Answer::ok(&self.existing(asked, kind, scope)?.render())),
            Verb::Update => self.update(asked, kind, scope),
            Verb::Patch => self.patch(asked, kind, scope),
            Verb::Delete => self.delete(asked, kind, scope),
        }
    }

    fn create(&mut self, asked: &Asked, kind: Kind, scope: &str) -> Result<Answer, Refusal> {
        if !asked.resource.name.is_empty() {
            return Err(Refusal::method_not_allowed());
        }
        let mut incoming = Incoming::parse(asked.request, asked.resource, kind)?;
        if !scope.is_empty() && self.store.find(Kind::Namespace, "", scope).is_none() {
            return Err(Refusal::not_found(Kind::Namespace, scope));
        }
        self.default_fields(asked.resource, kind, &mut incoming)?;
        let name = self.name_of(kind, &incoming)?;
        validate::check(kind, &name, &incoming)?;
        self.admit(asked.user, kind, &name, &incoming)?;
        if let Some(existing) = self.store.find(kind, scope, &name) {
            return Err(Refusal::already_exists(kind, &name, existing.deleted.is_some()));
        }
        check_supported(asked, kind, &name, &incoming)?;
        if kind == Kind::Event && !asked.dry_run {
            self.expire_events(asked.now);
        }
        if self.store.len() >= OBJECTS_MAX {
            return Err(Refusal::storage_full());
        }
        let mut object = self.born(kind, scope, &name, asked.now, incoming);
        if kind == Kind::Namespace {
            let label = "kubernetes.io/metadata.name".to_owned();
            object.labels.insert(label, name.clone());
        }
        let object = self.persist(asked.dry_run, object);
        if kind == Kind::Namespace {
            self.give_default_account(asked, &name);
        }
        Ok(Answer::created(&object.render()))
    }

    fn name_of(&mut self, kind: Kind, incoming: &Incoming) -> Result<String, Refusal> {
        let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        if let Some(name) = given(&incoming.metadata.name) {
            return Ok(name);
        }
        if let Some(prefix) = given(&incoming.metadata.generate_name) {
            return Ok(format!("{prefix}{}", self.mint.suffix()));
        }
        let error = FieldError::required("metadata.name", "name or generateName is required");
        Err(Refusal::invalid(kind.group(), kind.name(), "", &[error]))
    }

    fn born(&mut self, kind: Kind, scope: &str, name: &str, now: Unix, incoming: Incoming) -> Object {
        Object {
            kind,
            namespace: scope.to_owned(),
            name: name.to_owned(),
            uid: self.mint.uid(),
            revision: None,
            created: now,
            deleted: None,
            labels: incoming.metadata.labels.unwrap_or_default(),
            annotations: incoming.metadata.annotations.unwrap_or_default(),
            finalizers: incoming.metadata.finalizers.unwrap_or_default(),
            fields: incoming.fields,
        }
    }

    /// The work of the service-account controller.
    fn give_default_account(&mut self, asked: &Asked, namespace: &str) {
        let incoming = Incoming { metadata: Default::default(), fields: Map::new() };
        let account = self.born(Kind::ServiceAccount, namespace, "default", asked.now, incoming);
        self.persist(asked.dry_run, account);
    }

    fn update(&mut self, asked: &Asked, kind: Kind, scope: &str) -> Result<Answer, Refusal> {
        if !matches!(kind, Kind::Secret | Kind::ConfigMap) {
            return Err(asked.not_implemented(&asked.resource.what()));
        }
        let incoming = Incoming::parse(asked.request, asked.resource, kind)?;
        let old = self.existing(asked, kind, scope)?.clone();
        if let Some(uid) = incoming.metadata.uid.as_deref().filter(|uid| *uid != old.uid.as_str()) {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{scope}/{}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                kind.resource(),
                old.name,
                old.uid.as_str()
            );
            return Err(Refusal::conflict(kind.group(), kind.resource(), &old.name, &why));
        }
        self.replace(asked, old, incoming)
    }

    fn patch(&mut self, asked: &Asked, kind: Kind, scope: &str) -> Result<Answer, Refusal> {
        match asked.request.media_type() {
            MERGE_PATCH if matches!(kind, Kind::Secret | Kind::ConfigMap | Kind::Pod) => {}
            JSON => return Err(Refusal::unsupported_media_type(MERGE_PATCH)),
            other => return Err(asked.not_implemented(&format!("{} as {other}", asked.resource.what()))),
        }
        let patch = asked.request.object()?;
        let old = self.existing(asked, kind, scope)?.clone();
        let Value::Object(mut patched) = old.render() else {
            unreachable!("an object is rendered as an object")
        };
        merge(&mut patched, patch);
        let incoming = Incoming::from_object(asked.request, asked.resource, kind, patched)?;
        if incoming.metadata.uid.as_deref() != Some(old.uid.as_str()) {
            let error =
                FieldError::invalid("metadata.uid", &json!(incoming.metadata.uid), "field is immutable");
            return Err(Refusal::invalid(kind.group(), kind.name(), &old.name, &[error]));
        }
        self.replace(asked, old, incoming)
    }

    /// Compare and set: a resourceVersion, if one is sent, must be the stored one.
    fn replace(&mut self, asked: &Asked, old: Object, mut incoming: Incoming) -> Result<Answer, Refusal> {
        let (kind, name) = (old.kind, old.name.clone());
        let version = incoming.metadata.resource_version.as_deref().filter(|version| !version.is_empty());
        if version.is_some_and(|version| version != old.resource_version()) {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Refusal::conflict(kind.group(), kind.resource(), &name, why));
        }
        if let (None, Some(moment)) = (old.deleted, &incoming.metadata.deletion_timestamp) {
            let error =
                FieldError::invalid("metadata.deletionTimestamp", &json!(moment), "field is immutable");
            return Err(Refusal::invalid(kind.group(), kind.name(), &name, &[error]));
        }
        // A pod got its defaults when it was created; its service account may be gone since.
        if kind != Kind::Pod {
            self.default_fields(asked.resource, kind, &mut incoming)?;
        }
        validate::check(kind, &name, &incoming)?;
        let new = Object {
            labels: incoming.metadata.labels.unwrap_or_default(),
            annotations: incoming.metadata.annotations.unwrap_or_default(),
            finalizers: incoming.metadata.finalizers.unwrap_or_default(),
            fields: incoming.fields,
            ..old.clone()
        };
        validate::check_update(asked.request, &old, &new)?;
        if new.deleted.is_some() && new.finalizers.is_empty() {
            self.remove(asked.dry_run, &new);
            return Ok(Answer::ok(&new.render()));
        }
        // A write that changes nothing is none.
        let kept = if new == old { old } else { self.persist(asked.dry_run, new) };
        Ok(Answer::ok(&kept.render()))
    }

    fn delete(&mut self, asked: &Asked, kind: Kind, scope: &str) -> Result<Answer, Refusal> {
        if matches!(kind, Kind::Namespace | Kind::Event) {
            return Err(asked.not_implemented(&asked.resource.what()));
        }
        let options = DeleteOptions::parse(asked)?;
        let mut object = self.existing(asked, kind, scope)?.clone();
        options.preconditions.unwrap_or_default().check(&object)?;
        if object.finalizers.is_empty() {
            self.remove(asked.dry_run, &object);
            return Ok(match kind {
                Kind::ServiceAccount => Answer::ok(&object.render()),
                Kind::Pod => {
                    object.deleted = Some(asked.now);
                    Answer::ok(&object.render())
                }
                Kind::Namespace
                | Kind::Secret
                | Kind::ConfigMap
                | Kind::Event
                | Kind::ClusterRole
                | Kind::ClusterRoleBinding
                | Kind::Role
                | Kind::RoleBinding
                | Kind::ValidatingAdmissionPolicy
                | Kind::ValidatingAdmissionPolicyBinding => {
                    Answer::deleted(kind, &object.name, object.uid.as_str())
                }
            });
        }
        if object.deleted.is_none() {
            object.deleted = Some(asked.now);
            object = self.persist(asked.dry_run, object);
        }
        Ok(Answer::ok(&object.render()))
    }

    fn existing(&self, asked: &Asked, kind: Kind, scope: &str) -> Result<&Object, Refusal> {
        let name = &asked.resource.name;
        self.store.find(kind, scope, name).ok_or_else(|| Refusal::not_found(kind, name))
    }

    pub(super) fn persist(&mut self, dry_run: bool, mut object: Object) -> Object {
        if !dry_run {
            self.revision = Revision(self.revision.0 + 1);
            object.revision = Some(self.revision);
            self.store.put(object.clone());
        }
        object
    }

    fn remove(&mut self, dry_run: bool, object: &Object) {
        if !dry_run {
            self.revision = Revision(self.revision.0 + 1);
            self.store.remove(object);
        }
    }

    fn expire_events(&mut self, now: Unix) {
        let old = |event: &&Object| event.created.0.saturating_add(EVENT_TTL_S) < now.0;
        let expired: Vec<Object> = self.store.all(Kind::Event).filter(old).cloned().collect();
        for event in &expired {
            self.store.remove(event);
        }
    }
}

impl DeleteOptions {
    fn parse(asked: &Asked) -> Result<Self, Refusal> {
        let mut options = Self::default();
        if !asked.request.http.body().is_empty() {
            let mut object = asked.request.object()?;
            check_type(&mut object, "v1", "DeleteOptions")?;
            object.remove("dryRun");
            options = Self::deserialize(Value::Object(object))
                .map_err(|error| Refusal::bad_request(format!("the body is not a DeleteOptions: {error}")))?;
        }
        let in_query = asked.request.query.get("propagationPolicy").and_then(|values| values.first());
        let policy = options.propagation_policy.as_ref().or(in_query);
        if policy.is_some_and(|policy| policy != "Background") {
            return Err(asked.not_implemented("a propagation policy other than Background"));
        }
        Ok(options)
    }
}

impl Preconditions {
    fn check(&self, object: &Object) -> Result<(), Refusal> {
        let why = match (self.uid.as_deref(), self.resource_version.as_deref()) {
            (Some(uid), _) if uid != object.uid.as_str() => format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). \
                 The object might have been deleted and then recreated",
                object.uid.as_str()
            ),
            (_, Some(version)) if version != object.resource_version() => format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
                 ({}). The object might have been modified",
                object.resource_version()
            ),
            (Some(_) | None, Some(_) | None) => return Ok(()),
        };
        Err(Refusal::conflict(object.kind.group(), object.kind.name(), &object.name, &why))
    }
}

/// What passes every check of a real API server, and yet means something that this one does not do.
fn check_supported(asked: &Asked, kind: Kind, name: &str, incoming: &Incoming) -> Result<(), Refusal> {
    admission::understand(asked.request, kind, name, incoming)?;
    let fields = &incoming.fields;
    if kind == Kind::Secret && fields.get("type") != Some(&json!("Opaque")) {
        return Err(asked.not_implemented("Secrets of another type than Opaque"));
    }
    if kind == Kind::Pod && fields.get("spec").is_some_and(|spec| spec.get("nodeName").is_some()) {
        return Err(asked.not_implemented("pods on nodes"));
    }
    let is_rbac =
        matches!(kind, Kind::ClusterRole | Kind::ClusterRoleBinding | Kind::Role | Kind::RoleBinding);
    if is_rbac && !asked.user.is_master() {
        return Err(
            asked.not_implemented("the check of privilege escalation: only the administrator writes roles")
        );
    }
    Ok(())
}

/// JSON Merge Patch, RFC 7396.
fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(patch) => {
                let slot = target.entry(name).or_insert_with(|| json!({}));
                if !slot.is_object() {
                    *slot = json!({});
                }
                if let Value::Object(inner) = slot {
                    merge(inner, patch);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(name, value);
            }
        }
    }
}
