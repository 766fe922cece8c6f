//! Once callers are served, no token with the policy `root` lives.

use super::SecondStart;
use crate::model::world::{Rest, World};

pub(super) fn check(world: &World, rest: Rest, _second: Option<&SecondStart>) -> Result<(), String> {
    let roots = world.vault.live_root_tokens(world.now.unix).len();
    match rest {
        Rest::Serving if roots > 0 => Err(format!("{roots} root tokens live")),
        Rest::Serving | Rest::Stopped(_) | Rest::Restless => Ok(()),
    }
}
