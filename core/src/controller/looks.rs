//! Looking again: how often in a row one thing in Vault is looked at, and after which pauses, before the whole world is
//! surveyed.
//!
//! ```text
//! not ready, somebody was first, confirmed:  25 → 50 → 100 → 200 → 400 ms → survey
//! nobody knows:                                             200 → 400 ms → survey
//! ```

use serde::{Deserialize, Serialize};

/// The pauses before each look, in milliseconds. A K/V engine is upgrading for some tens of milliseconds after it was
/// mounted; what takes longer than all of these is no upgrade, and Vault may have been sealed.
const PAUSES_MS: [u64; 5] = [25, 50, 100, 200, 400];
/// With which pause it begins if nobody knows whether a write was carried out: an answer that got lost rarely comes
/// alone, and a late request needs some time to arrive. Two looks are left; then the survey says more than a third.
const FIRST_IN_DOUBT: u8 = 3;

/// How often in a row one thing was looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Looks(u8);

impl Looks {
    /// None yet.
    pub(super) const START: Self = Self(0);

    /// One look more, and after how many milliseconds; `None` if it is time for the survey.
    pub(super) fn again(self) -> Option<(Self, u64)> {
        let pause_ms = PAUSES_MS.get(usize::from(self.0))?;
        Some((Self(self.0 + 1), *pause_ms))
    }

    /// The same after a write of which nobody knows whether it was carried out.
    pub(super) fn in_doubt(self) -> Option<(Self, u64)> {
        Self(self.0.max(FIRST_IN_DOUBT)).again()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_pauses_grow_and_end() {
        assert_eq!(pauses(Looks::START, Looks::again), [25, 50, 100, 200, 400]);
    }

    #[test]
    fn after_a_doubt_two_looks_are_left_at_most() {
        assert_eq!(pauses(Looks::START, Looks::in_doubt), [200, 400]);
        let (later, _) = Looks(3).again().expect("a look is left");
        assert_eq!(pauses(later, Looks::in_doubt), [400]);
    }

    fn pauses(first: Looks, again: fn(Looks) -> Option<(Looks, u64)>) -> Vec<u64> {
        let mut looks = first;
        core::iter::from_fn(|| {
            let (next, pause_ms) = again(looks)?;
            looks = next;
            Some(pause_ms)
        })
        .collect()
    }
}
