//! What the server keeps. Fields that the server owns are typed; the rest of an object is the JSON it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubefox_core::time::Unix;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::mint::{Revision, Uid};
use crate::fake::timestamp;

/// A stored object. It may hold a Secret's data, hence no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// Empty for kinds that live in no namespace.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uid,
    /// The write that made it what it is; none if a dry run made it.
    pub(super) revision: Option<Revision>,
    pub(super) created: Unix,
    /// When somebody deleted it; it stays until its finalizers are gone.
    pub(super) deleted: Option<Unix>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) finalizers: Vec<String>,
    /// Everything but `apiVersion`, `kind` and `metadata`.
    pub(super) fields: Map<String, Value>,
}

/// All objects. Copies share what they have in common, so that a world forks cheaply.
#[derive(Clone, Default)]
pub(super) struct Store {
    objects: Arc<BTreeMap<Key, Arc<Object>>>,
}

type Key = (Kind, String, String);

impl Store {
    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.objects.get(&key).map(AsRef::as_ref)
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let first = (kind, String::new(), String::new());
        self.objects
            .range(first..)
            .take_while(move |(key, _)| key.0 == kind)
            .map(|(_, object)| object.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn put(&mut self, object: Object) {
        Arc::make_mut(&mut self.objects).insert(object.key(), Arc::new(object));
    }

    pub(super) fn remove(&mut self, object: &Object) {
        Arc::make_mut(&mut self.objects).remove(&object.key());
    }
}

/// A list of objects: JSON has no maps with such keys.
impl Serialize for Store {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.objects.values().map(AsRef::<Object>::as_ref))
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<Object>::deserialize(deserializer)?;
        let objects = list.into_iter().map(|object| (object.key(), Arc::new(object))).collect();
        Ok(Self { objects: Arc::new(objects) })
    }
}

impl Object {
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    pub(super) fn is_immutable(&self) -> bool {
        self.field("immutable") == Some(&Value::Bool(true))
    }

    /// Whether it was deleted more than `leeway_s` seconds ago, finalizers or not.
    pub(super) fn is_deleted_since(&self, now: Unix, leeway_s: u64) -> bool {
        self.deleted.is_some_and(|deleted| deleted.0.saturating_add(leeway_s) < now.0)
    }

    pub(super) fn resource_version(&self) -> String {
        self.revision.map_or_else(String::new, |revision| revision.0.to_string())
    }

    /// The object as the API shows it.
    pub(super) fn render(&self) -> Value {
        let mut metadata = json!({
            "name": self.name, "uid": self.uid.as_str(), "creationTimestamp": timestamp::rfc3339(self.created),
        });
        let mut set = |name: &str, value: Value| metadata[name] = value;
        if !self.namespace.is_empty() {
            set("namespace", json!(self.namespace));
        }
        if self.revision.is_some() {
            set("resourceVersion", json!(self.resource_version()));
        }
        if let Some(deleted) = self.deleted {
            set("deletionTimestamp", json!(timestamp::rfc3339(deleted)));
            set("deletionGracePeriodSeconds", json!(0));
        }
        if !self.labels.is_empty() {
            set("labels", json!(self.labels));
        }
        if !self.annotations.is_empty() {
            set("annotations", json!(self.annotations));
        }
        if !self.finalizers.is_empty() {
            set("finalizers", json!(self.finalizers));
        }
        let mut object = self.fields.clone();
        object.insert("apiVersion".to_owned(), json!(self.kind.api_version()));
        object.insert("kind".to_owned(), json!(self.kind.name()));
        object.insert("metadata".to_owned(), metadata);
        Value::Object(object)
    }

    fn key(&self) -> Key {
        (self.kind, self.namespace.clone(), self.name.clone())
    }
}
