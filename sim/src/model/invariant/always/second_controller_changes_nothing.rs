//! Whoever starts a second controller on the state directory of one that lives changes nothing by it: it waits.
//!
//! The second one asks for the directory and is told that it is another's. What it asks for then does not depend on
//! anything else in the world, so its first survey stands for all; the stories in `second.rs` show more of them.

use crate::model::second::second_controller_changes_nothing;
use crate::model::world::World;

/// A claim, after which it waits.
const STEPS: u32 = 1;

pub(super) fn check(world: &World) -> Result<(), String> {
    second_controller_changes_nothing(world, STEPS)
}
