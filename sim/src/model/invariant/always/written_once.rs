//! The JWTs of NATS and the credentials of OpenSearch are written once: whoever was first wins, the bytes never change.

use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let rewritten = world.vault.rewritten(&["nats-jwt/", "opensearch/"]);
    match rewritten.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{first} was written again")),
    }
}
