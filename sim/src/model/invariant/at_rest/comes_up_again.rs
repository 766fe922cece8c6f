//! Where callers are served, Vault and the controller may both be killed: the next start unseals by itself.

use kubefox_core::controller::Notice;
use kubefox_core::controller::table::Verdict;

use super::SecondStart;
use crate::model::world::{Rest, World};

pub(super) fn check(world: &World, second: &SecondStart) -> Result<(), String> {
    let SecondStart { world: next, rest } = second;
    if *rest != Rest::Serving {
        return Err(format!("after a restart of both it came to rest as {rest:?}: {}", next.waits_for()));
    }
    let unsealed =
        |notice: &Notice| matches!(notice, Notice::Decided(decision) if decision.verdict == Verdict::Unseal);
    if !next.notices.iter().any(unsealed) {
        return Err("after a restart of both it served without having unsealed".to_owned());
    }
    if next.published_ca() != world.published_ca() {
        return Err("after a restart of both another root certificate was published".to_owned());
    }
    Ok(())
}
