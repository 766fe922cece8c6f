//! Once Vault is initialized its unseal key is recoverable: from the envelope with the key that the cluster stores, or
//! from the memory of the process that is about to write it. Where it is not, no user data can be in Vault, and the
//! recovery of an interrupted initialization applies.

use kubefox_core::machine::Machine as _;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::State;
use kubefox_io::adapter::Slots as _;

use crate::fake::kubernetes::Kind;
use crate::model::boot_state::boot_state;
use crate::model::keyring::Keyring;
use crate::model::world::{PLATFORM, World};

pub(super) fn check(world: &World) -> Result<(), String> {
    // Somebody else's key is not ours to keep.
    if !world.vault.is_initialized() || world.forestalled {
        return Ok(());
    }
    let (state, envelope) = boot_state(world);
    let memory = world.process.keyring();
    let writes = world.process.machine().phase().starts_with("Initialize::");
    if envelope.as_ref().is_some_and(|keys| holds_key(world, keys)) || writes && holds_key(world, memory) {
        return Ok(());
    }
    let committed = world.kubernetes.exists(Kind::ConfigMap, PLATFORM, "kubefox-committed");
    let sent = matches!(state, State::Sent { .. } | State::Recover { .. });
    if sent && world.vault.is_sealed() && !committed {
        return Ok(());
    }
    Err(format!("no envelope opens Vault, and nothing recovers it; boot.state is {state:?}"))
}

fn holds_key(world: &World, keys: &Keyring) -> bool {
    keys.expose(Secret::Own(Own::UnsealKey)).is_ok_and(|key| world.vault.is_unseal_key(key))
}
