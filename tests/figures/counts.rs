//! What OpenBao itself counts: how many requests of which kind came for which mount.

use std::collections::BTreeMap;

use serde::Serialize;

/// Before the operation and the mount of a counter, and behind them.
const PREFIX: &str = "vault_route_";
const SUFFIX: &str = "_count";

/// Requests by operation and mount, `update_pki` for example.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Counts(BTreeMap<String, f64>);

impl Counts {
    /// From the text of `/v1/sys/metrics`.
    pub(crate) fn parse(metrics: &str) -> Self {
        let counter = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            let kind = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.trim_end_matches('_');
            Some((kind.to_owned(), value.trim().parse().ok()?))
        };
        Self(metrics.lines().filter_map(counter).collect())
    }

    /// What came since then.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let grown = |(kind, count): (&String, &f64)| {
            let grown = count - before.0.get(kind).copied().unwrap_or_default();
            (grown > 0.0).then(|| (kind.clone(), grown))
        };
        Self(self.0.iter().filter_map(grown).collect())
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (kind, count) in &more.0 {
            *self.0.entry(kind.clone()).or_default() += count;
        }
    }

    /// So many for each of so many things done, to the thousandth.
    pub(crate) fn for_each_of(&self, done: usize) -> Self {
        let done = u32::try_from(done).map_or(f64::NAN, f64::from);
        let each =
            |(kind, count): (&String, &f64)| (kind.clone(), (count / done * 1_000.0).round() / 1_000.0);
        Self(self.0.iter().map(each).filter(|(_, count)| *count > 0.0).collect())
    }

    /// The kinds of which one side asked more than the other, by more than what is read once in a while explains.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let kinds = self.0.keys().chain(other.0.keys());
        let of = |counts: &Self, kind: &String| counts.0.get(kind).copied().unwrap_or_default();
        let mut differ: Vec<String> =
            kinds.filter(|kind| (of(self, kind) - of(other, kind)).abs() > TOLERANCE).cloned().collect();
        differ.dedup();
        differ
    }
}

/// In a window of one caller, a login a minute is some thousandths of a request for each thing done.
const TOLERANCE: f64 = 0.05;
