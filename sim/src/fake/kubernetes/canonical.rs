//! What of an object decides what its readers will do.

use serde_json::Value;

use super::{Kind, Kubernetes};
use crate::canonical::Canonical;

impl Kubernetes {
    /// Writes whether there is such an object; and if so its annotations, whether somebody has deleted it, its version
    /// and its data. Versions and data are names: which of them are equal is all that counts.
    pub(crate) fn canonical(&self, kind: Kind, namespace: &str, name: &str, to: &mut Canonical) {
        let object = self.store.find(kind, namespace, name);
        to.flag(object.is_some());
        let Some(object) = object else { return };
        to.value(&object.annotations);
        to.flag(object.deleted.is_some());
        to.name(&object.revision.map_or(0, |revision| revision.0).to_le_bytes());
        for datum in
            object.field("data").and_then(Value::as_object).into_iter().flat_map(|data| data.values())
        {
            to.name(datum.as_str().unwrap_or_default().as_bytes());
        }
    }
}
