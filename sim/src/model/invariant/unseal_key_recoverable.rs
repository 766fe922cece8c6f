//! Where callers are served, Vault and the controller may both be killed: the next start unseals by itself.

use kubefox_core::controller::Notice;
use kubefox_core::controller::table::Verdict;

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
    match next.settle() {
        Rest::Serving => {}
        rest @ (Rest::Stopped(_) | Rest::Restless) => {
            return Err(format!("after a restart of both it came to rest as {rest:?}: {}", next.waits_for()));
        }
    }
    let unsealed = next.notices.iter().any(|notice| match notice {
        Notice::Decided(decision) => decision.verdict == Verdict::Unseal,
        _other => false,
    });
    if !unsealed {
        return Err("after a restart of both it served without having unsealed".to_owned());
    }
    if next.published_ca() != world.published_ca() {
        return Err("after a restart of both another root certificate was published".to_owned());
    }
    Ok(())
}
