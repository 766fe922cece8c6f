//! What OpenBao was asked, by its audit log: how many requests of which kind for each thing that was done.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Serialize;

/// In a window of one caller, a login a minute is some thousandths of a request for each thing done.
const TOLERANCE: f64 = 0.05;
/// Each caller has a key of its own below these, and all of them are one kind.
const KEYS_OF_USERS: [&str; 2] = ["nats/keys/user.", "nats/sign/user."];

/// Requests by operation and path, `update pki/issue/component` for example.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<String, u64>);

/// The same for each thing that was done, to the thousandth.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Each(BTreeMap<String, f64>);

impl Counts {
    pub(crate) fn add(&mut self, requests: BTreeMap<String, u64>) {
        for (kind, count) in requests {
            *self.0.entry(kind_of(&kind)).or_default() += count;
        }
    }

    /// Of nothing there is no each.
    pub(crate) fn for_each_of(self, done: usize) -> Result<Each> {
        ensure!(done > 0, "nothing was done");
        ensure!(!self.0.is_empty(), "by its audit log, OpenBao was asked nothing");
        let done = f64::from(u32::try_from(done)?);
        let mut each = BTreeMap::new();
        for (kind, count) in self.0 {
            each.insert(kind, (f64::from(u32::try_from(count)?) / done * 1_000.0).round() / 1_000.0);
        }
        Ok(Each(each))
    }
}

impl Each {
    /// The kinds of which one side asked more than the other, by more than what is read once in a while explains.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<String> {
        let of = |each: &Self, kind: &String| each.0.get(kind).copied().unwrap_or_default();
        let kinds = self.0.keys().chain(other.0.keys());
        kinds.filter(|kind| (of(self, kind) - of(other, kind)).abs() > TOLERANCE).cloned().collect()
    }
}

fn kind_of(request: &str) -> String {
    let of_a_user = KEYS_OF_USERS.into_iter().find_map(|keys| {
        let (before, _) = request.split_once(keys)?;
        Some(format!("{before}{keys}…"))
    });
    of_a_user.unwrap_or_else(|| request.to_owned())
}
