//! A root token that lives is in the envelope or in the memory of the process: otherwise nobody could let it die.

use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::State;
use kubefox_io::adapter::Slots as _;

use crate::model::boot_state::boot_state;
use crate::model::keyring::Keyring;
use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    if world.forestalled || world.vault.live_root_tokens(world.now.unix).is_empty() {
        return Ok(());
    }
    let (state, envelope) = boot_state(world);
    if envelope.is_some_and(|keys| holds_root(world, &keys)) || holds_root(world, world.process.keyring()) {
        return Ok(());
    }
    // It dies with a Vault that nobody can unseal: what is in it is moved aside.
    if matches!(state, State::Sent { .. } | State::Recover { .. }) && world.vault.is_sealed() {
        return Ok(());
    }
    Err(format!("a root token lives, and nobody holds it; boot.state is {state:?}"))
}

fn holds_root(world: &World, keys: &Keyring) -> bool {
    let policies = |token| world.vault.policies_of(token).unwrap_or_default();
    keys.expose(Secret::Own(Own::RootToken)).is_ok_and(|token| policies(token) == ["root"])
}
