//! What must hold in every state, also between two steps. One file each.

mod committed_only_when_safe;
mod fresh_nonces;
mod no_live_root;
mod no_secret_in_the_clear;
mod nothing_over_an_earlier_life;
mod one_root_of_trust;
mod root_token_is_held;
mod second_controller_changes_nothing;
mod stops_only_for_a_reason;
mod unseal_key_recoverable;
mod written_once;

use crate::model::world::World;

/// A property of every state.
pub struct Always {
    /// Its name, as it is reported.
    pub name: &'static str,
    /// `Err` says how it is broken.
    pub check: fn(&World) -> Result<(), String>,
}

/// All of them, the cheapest first.
pub const ALL: [Always; 11] = [
    Always { name: "it stops only for a reason that is true", check: stops_only_for_a_reason::check },
    Always { name: "no live root token once serving", check: no_live_root::check },
    Always {
        name: "nothing is initialized over an earlier life",
        check: nothing_over_an_earlier_life::check,
    },
    Always { name: "one root of trust, ever", check: one_root_of_trust::check },
    Always { name: "what is written once never changes", check: written_once::check },
    Always { name: "no nonce is used twice under one key", check: fresh_nonces::check },
    Always { name: "committed only when the unseal key is safe", check: committed_only_when_safe::check },
    Always { name: "the unseal key is recoverable", check: unseal_key_recoverable::check },
    Always {
        name: "a root token that lives is in the envelope or in memory",
        check: root_token_is_held::check,
    },
    Always { name: "no secret in the clear", check: no_secret_in_the_clear::check },
    Always { name: "a second controller changes nothing", check: second_controller_changes_nothing::check },
];

/// The first that does not hold: its name, and how.
///
/// # Errors
/// If one does not hold.
pub fn check(world: &World) -> Result<(), (&'static str, String)> {
    ALL.iter().try_for_each(|Always { name, check }| check(world).map_err(|how| (*name, how)))
}

#[cfg(test)]
mod tests;
