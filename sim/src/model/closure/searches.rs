//! The searches that together are the proof of the controller's boot, each until nothing new is found.
//!
//! | search | settings | what happens |
//! |---|---|---|
//! | settings | all | everything that can become of a call |
//! | time | few | the same, and: Vault sealed, tokens ended, the volume late, hours pass |
//! | late | few | as in time, but recovery and requests that are late instead of hours |
//!
//! A request is late by minutes, and time passes by hours: whoever waits that long finds none under way. A recovery ends
//! before anything is there that falls due in hours. What the controller does with a setting does not depend on which one it is (`model/few.rs`).

use super::Alphabet;
use crate::model::world::World;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What can happen in it.
    pub alphabet: Alphabet,
    few_settings: bool,
}

/// All of them, the shortest first.
pub const ALL: [Search; 3] = [
    Search {
        name: "settings",
        about: "every setting; everything that can become of a call",
        alphabet: Alphabet::CALLS,
        few_settings: false,
    },
    Search {
        name: "time",
        about: "few settings; calls, Vault sealed, tokens ended, the volume late, hours pass",
        alphabet: Alphabet { late_max: 0, recovery: false, ..Alphabet::FAULTS },
        few_settings: true,
    },
    Search {
        name: "late",
        about: "few settings; calls, Vault sealed, tokens ended, the volume late, recovery, requests late",
        alphabet: Alphabet { time: false, ..Alphabet::FAULTS },
        few_settings: true,
    },
];

impl Search {
    /// The world in which it begins: empty disks, and clocks that stand still.
    #[must_use]
    pub fn first(&self, seed: u64) -> World {
        let world = World::frozen(seed);
        if self.few_settings { world.with_few_settings() } else { world }
    }
}
