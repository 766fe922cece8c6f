//! What the API server or Vault refused, kept for some seconds by the digest of the token that was refused.
//!
//! Any pod of the cluster may have a genuine token for the controller projected. If it may have nothing here, asking on
//! and on costs two reviews and one login at most in [`KEPT_S`], and not each time. The price: whoever is let in by now
//! is told no for those seconds still.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Answer, Ask, Rejection};
use crate::caller::Caller;
use crate::controller::session::role;
use crate::names::TokenDigest;
use crate::retry::Due;
use crate::time::Now;
use crate::vault::AuthRole;

/// For how long one is kept. The controller itself learns of a new tenant no sooner than its pod starts again.
const KEPT_S: u64 = 10;
/// Refusals kept. Beyond that the oldest goes.
pub(in crate::controller) const KEPT_MAX: usize = 512;

/// All of them, by token and by the role that it was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Refusals(BTreeMap<(TokenDigest, AuthRole), Refused>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Refused {
    rejection: Rejection,
    over: Due,
}

impl Refusals {
    /// What this caller was told a moment ago.
    pub(super) fn find(&self, caller: &Caller, ask: &Ask, now: Now) -> Option<Rejection> {
        let refused = self.0.get(&(caller.digest.clone(), role(ask)))?;
        (!refused.over.is_due(now)).then_some(refused.rejection)
    }

    /// This caller was told so. Kept is what stays true of the token, and none of what passes.
    pub(super) fn told(&mut self, caller: &Caller, ask: &Ask, answer: &Answer, now: Now) {
        let Answer::Rejected(rejection @ (Rejection::NotEntitled | Rejection::TokenRefused)) = answer else {
            return;
        };
        let refused = Refused { rejection: *rejection, over: Due::in_s(now, KEPT_S) };
        self.0.insert((caller.digest.clone(), role(ask)), refused);
        if self.0.len() > KEPT_MAX {
            let oldest = self.0.iter().min_by_key(|(_, refused)| refused.over).map(|(key, _)| key.clone());
            self.0.remove(&oldest.expect("there are more than none"));
        }
    }

    /// Forgets what is over.
    pub(super) fn lapse(&mut self, now: Now) {
        self.0.retain(|_, refused| !refused.over.is_due(now));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
