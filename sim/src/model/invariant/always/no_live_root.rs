//! Once callers are served, no token with the policy `root` lives.

use kubefox_core::machine::{Machine as _, Standing};

use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    match world.process.machine().standing() {
        Standing::Ready => {}
        Standing::Starting | Standing::Stopped(_) | Standing::Finished => return Ok(()),
    }
    match world.vault.live_root_tokens(world.now.unix).len() {
        0 => Ok(()),
        roots => Err(format!("{roots} root tokens live")),
    }
}
