//! No two envelopes are encrypted with the same key, salt and nonce: with AES-GCM that would give the key stream away.

use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    match world.monitor.nonce_was_reused {
        true => Err("two envelopes share key, salt and nonce".to_owned()),
        false => Ok(()),
    }
}
