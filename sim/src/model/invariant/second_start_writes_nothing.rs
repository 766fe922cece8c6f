//! A start on a converged world writes no setting, no object that is made once, and no state.

use kubefox_core::controller::Notice;
use kubefox_io::disk::Folder;

use crate::model::world::{Rest, World};

pub(super) fn check(world: &World, rest: Rest) -> Result<(), String> {
    match rest {
        Rest::Serving => {}
        Rest::Stopped(_) | Rest::Restless => return Ok(()),
    }
    let mut next = world.clone();
    next.notices.clear();
    next.restart_vault();
    next.restart_controller();
    if next.settle() != Rest::Serving {
        return Ok(()); // What it means that it does not come up again, another invariant says.
    }
    for notice in &next.notices {
        if let Notice::Wrote(setting) = notice {
            return Err(format!("{setting:?} was written again"));
        }
        if let Notice::Configured { writes, .. } = notice
            && *writes > 0
        {
            return Err(format!("{writes} requests changed something"));
        }
    }
    let state = |world: &World| world.disk.file(Folder::State, "boot.state").map(<[u8]>::to_vec);
    if state(&next) != state(world) {
        return Err("boot.state was written again".to_owned());
    }
    if next.stored_seal_key() != world.stored_seal_key() {
        return Err("the seal key was written again".to_owned());
    }
    Ok(())
}
