//! `kubefox-committed` exists only if the unseal key is safe: on the disk, under the key that the cluster stores.

use crate::fake::kubernetes::Kind;
use crate::model::boot_state::boot_state;
use crate::model::world::{PLATFORM, World};

pub(super) fn check(world: &World) -> Result<(), String> {
    if !world.kubernetes.exists(Kind::ConfigMap, PLATFORM, "kubefox-committed") {
        return Ok(());
    }
    match boot_state(world) {
        (_, Some(_)) => Ok(()),
        (state, None) => {
            Err(format!("the cluster says committed, and no envelope opens; boot.state is {state:?}"))
        }
    }
}
