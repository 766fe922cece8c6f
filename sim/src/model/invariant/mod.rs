//! What must hold in a world that has come to rest, whatever happened in it. One file each.

mod committed_only_when_safe;
mod no_live_root;
mod one_root_of_trust;
mod second_start_writes_nothing;
mod unseal_key_recoverable;

use super::world::{Rest, World};

/// A property of a world at rest.
pub struct Invariant {
    /// Its name, as it is reported.
    pub name: &'static str,
    /// `Err` says how it is broken.
    pub check: fn(&World, Rest, Option<&SecondStart>) -> Result<(), String>,
}

/// What becomes of a world that serves if Vault and the controller are both killed and start again.
pub struct SecondStart {
    /// The world after it.
    pub world: World,
    /// Where it came to rest.
    pub rest: Rest,
}

impl SecondStart {
    /// `None` for a world that does not serve.
    #[must_use]
    pub fn of(world: &World, rest: Rest) -> Option<Self> {
        match rest {
            Rest::Serving => {}
            Rest::Stopped(_) | Rest::Restless => return None,
        }
        let mut world = world.clone();
        world.notices.clear();
        world.restart_vault();
        world.restart_controller();
        let rest = world.settle();
        Some(Self { world, rest })
    }
}

/// All of them.
pub const ALL: [Invariant; 5] = [
    Invariant { name: "no live root token once serving", check: no_live_root::check },
    Invariant { name: "one root of trust per installation", check: one_root_of_trust::check },
    Invariant { name: "the unseal key is recoverable", check: unseal_key_recoverable::check },
    Invariant { name: "a second start writes nothing", check: second_start_writes_nothing::check },
    Invariant { name: "committed only when the unseal key is safe", check: committed_only_when_safe::check },
];
