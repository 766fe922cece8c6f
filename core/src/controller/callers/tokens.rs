//! Vault's tokens of the callers, kept for a minute by the digest of the token that was exchanged for them.
//!
//! A broker asks for its documents, then for a signature at once; a pod that crashes in a loop asks again and again with
//! one and the same token. Both get by with one review and one login a minute. The price: what the API server or Vault
//! would refuse by now is served for that minute still. Nothing that is issued lives shorter.
//!
//! A name is entered here before a login can fill it, and it leaves when it is forgotten: whatever happens in between,
//! no token rests in the keyring that nobody knows of.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Effects;
use crate::bootstrap::Ask;
use crate::caller::Caller;
use crate::controller::calls::{Call, Reply};
use crate::controller::session::role;
use crate::keys;
use crate::machine::{CallId, Outcome, Ticket};
use crate::names::TokenDigest;
use crate::retry::Due;
use crate::secret::Secret;
use crate::time::{Now, Unix};
use crate::vault::AuthRole;

/// For how long at most one is used.
pub(super) const KEPT_S_MAX: u64 = 60;
/// By so much before Vault's own end of it it is not used any more: longer than any session lasts.
const MARGIN_S: u64 = 30;
/// Tokens kept, of some 500 bytes each. Beyond that the one that ends first goes.
pub(super) const KEPT_MAX: usize = 512;
/// The keyring does it at once.
const LOCAL_MS: u64 = 2_000;

/// All of them, by the ticket of the question that they were made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Tokens {
    named: BTreeMap<Ticket, Named>,
    forgetting: Option<Forgetting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Named {
    digest: TokenDigest,
    role: AuthRole,
    /// When the caller's own token ends.
    caller_ends: Unix,
    /// Until when it is used; `None` if the slot is empty, or what is in it is worth nothing.
    ends: Option<Due>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Forgetting {
    call: CallId,
    logins: Vec<Ticket>,
}

impl Tokens {
    /// The login whose token serves this caller.
    pub(super) fn find(&self, digest: &TokenDigest, ask: &Ask, now: Now) -> Option<Ticket> {
        let fits = |named: &Named| named.digest == *digest && named.role == role(ask) && named.is_alive(now);
        self.named.iter().find(|(_, named)| fits(named)).map(|(login, _)| *login)
    }

    /// This question is about to log in.
    pub(super) fn expect(&mut self, login: Ticket, caller: &Caller, ask: &Ask) {
        let (digest, caller_ends) = (caller.digest.clone(), caller.expires);
        self.named.insert(login, Named { digest, role: role(ask), caller_ends, ends: None });
    }

    /// It has, and Vault's token lives for so long.
    pub(super) fn fill(&mut self, login: Ticket, lease_s: u64, now: Now) {
        let Some(named) = self.named.get_mut(&login) else { return };
        let own_s = named.caller_ends.0.saturating_sub(now.unix.0);
        let kept_s = KEPT_S_MAX.min(lease_s.saturating_sub(MARGIN_S)).min(own_s);
        named.ends = Some(Due::in_s(now, kept_s));
        self.make_room();
    }

    /// Vault does not take it any more.
    pub(super) fn give_up(&mut self, login: Ticket) {
        if let Some(named) = self.named.get_mut(&login) {
            named.ends = None;
        }
    }

    /// Forgets what is not used any more: what has ended, was given up or never came, and is in nobody's use.
    pub(super) fn sweep(&mut self, now: Now, in_use: impl Fn(Ticket) -> bool, out: &mut Effects) {
        if self.forgetting.is_some() {
            return;
        }
        let over = self.named.iter().filter(|(login, named)| !named.is_alive(now) && !in_use(**login));
        let logins: Vec<Ticket> = over.map(|(login, _)| *login).collect();
        if logins.is_empty() {
            return;
        }
        let names = logins.iter().map(|login| Secret::Caller(*login)).collect();
        let call = out.call(now.in_ms(LOCAL_MS), Call::Keys(keys::Call::Forget { names }));
        self.forgetting = Some(Forgetting { call, logins });
    }

    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.forgetting.as_ref().is_some_and(|forgetting| forgetting.call == id)
    }

    /// The keyring has wiped them; if it did not say so, it is asked again.
    pub(super) fn forgotten(&mut self, outcome: &Outcome<Reply>) {
        let Some(Forgetting { logins, .. }) = self.forgetting.take() else { return };
        if *outcome == Outcome::Ok(Reply::Keys(keys::Reply::Forgotten)) {
            logins.iter().for_each(|login| drop(self.named.remove(login)));
        }
    }

    fn make_room(&mut self) {
        let alive = self.named.iter().filter_map(|(login, named)| Some((named.ends?, *login)));
        if alive.clone().count() > KEPT_MAX {
            let (_, first) = alive.min().expect("there are more than none");
            self.give_up(first);
        }
    }

    #[cfg(test)]
    pub(super) fn knows(&self, login: Ticket) -> bool {
        self.named.contains_key(&login)
    }

    #[cfg(test)]
    pub(super) fn call(&self) -> Option<CallId> {
        self.forgetting.as_ref().map(|forgetting| forgetting.call)
    }
}

impl Named {
    fn is_alive(&self, now: Now) -> bool {
        self.ends.is_some_and(|ends| !ends.is_due(now))
    }
}
