//! A start on a converged world writes no setting, no object that is made once, and no state.

use kubefox_core::controller::Notice;
use kubefox_io::disk::Folder;

use super::SecondStart;
use crate::model::world::{Rest, World};

pub(super) fn check(world: &World, second: &SecondStart) -> Result<(), String> {
    // What it means if it does not come up again, another invariant says.
    let SecondStart { world: next, rest: Rest::Serving } = second else { return Ok(()) };
    for notice in &next.notices {
        if let Notice::Wrote(setting) = notice {
            return Err(format!("{setting:?} was written again"));
        }
        if let Notice::Stored(_) | Notice::GenerationRecorded { .. } = notice {
            return Err(format!("something was written again: {notice:?}"));
        }
    }
    let state = |world: &World| world.disk.file(Folder::State, "boot.state").map(<[u8]>::to_vec);
    if state(next) != state(world) {
        return Err("boot.state was written again".to_owned());
    }
    if next.stored_seal_key() != world.stored_seal_key() {
        return Err("the seal key was written again".to_owned());
    }
    Ok(())
}
