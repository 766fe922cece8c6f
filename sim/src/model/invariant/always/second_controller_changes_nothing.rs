//! Whoever starts a second controller on the state directory of one that lives changes nothing by it: it waits.
//!
//! The second one asks for the directory and is told that it is another's. What it would ask next does not depend on
//! anything else in the world, so its first two surveys stand for all: the stories in `second.rs` show more of them. Two
//! make a search about an eighth slower, so they are looked at in every state.

use crate::model::second::second_controller_changes_nothing;
use crate::model::world::World;

/// A claim, a pause, and the same again: it ends in a pause.
const STEPS: u32 = 3;

pub(super) fn check(world: &World) -> Result<(), String> {
    second_controller_changes_nothing(world, STEPS)
}
