//! A part of the storage that forked worlds share until one of them writes to it.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canonical::{Canonical, Key};

/// Copied on the first write after a fork; written and read as the value itself.
pub(super) struct Shared<T>(Arc<Part<T>>);

#[derive(Clone)]
struct Part<T> {
    value: T,
    /// Of the canonical form, once somebody has asked for it.
    key: OnceLock<Key>,
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Part { value, key: OnceLock::new() }))
    }

    /// Writes what stands for the canonical form of this part; it is made once for all worlds that share it.
    pub(super) fn canonical(&self, to: &mut Canonical, write: impl FnOnce(&T, &mut Canonical)) {
        let key = self.0.key.get_or_init(|| {
            let mut canonical = Canonical::timeless();
            write(&self.0.value, &mut canonical);
            canonical.key()
        });
        to.part(*key);
    }
}

impl<T: Clone> Shared<T> {
    /// The value, to be changed in this world alone.
    pub(super) fn own(&mut self) -> &mut T {
        let part = Arc::make_mut(&mut self.0);
        part.key.take();
        &mut part.value
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_in_one_fork_is_not_seen_in_the_other() {
        let mut left = Shared::new(vec![1]);
        let right = left.clone();

        left.own().push(2);

        assert_eq!((&*left, &*right), (&vec![1, 2], &vec![1]));
    }

    #[test]
    fn the_canonical_form_follows_every_write() {
        let key = |shared: &Shared<Vec<u8>>| {
            let mut canonical = Canonical::timeless();
            shared.canonical(&mut canonical, |value, to| to.value(value));
            canonical.key()
        };
        let mut left = Shared::new(vec![1]);
        let (right, before) = (left.clone(), key(&left));

        left.own().push(2);

        assert_ne!(key(&left), before);
        assert_eq!(key(&right), before);
        assert_eq!(key(&left), key(&Shared::new(vec![1, 2])));
    }
}
