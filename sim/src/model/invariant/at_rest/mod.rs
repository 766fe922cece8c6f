//! What must hold in a world that has come to rest. One file each.

mod comes_up_again;
mod second_start_writes_nothing;

use crate::model::world::{Rest, World};

/// A property of a world at rest.
pub struct AtRest {
    /// Its name, as it is reported.
    pub name: &'static str,
    /// `Err` says how it is broken.
    pub check: fn(&World, &SecondStart) -> Result<(), String>,
}

/// What becomes of a world that serves if Vault and the controller are both killed and start again.
pub struct SecondStart {
    /// The world after it.
    pub world: World,
    /// Where it came to rest.
    pub rest: Rest,
}

impl SecondStart {
    /// `None` for a world that does not serve.
    #[must_use]
    pub fn of(world: &World, rest: Rest) -> Option<Self> {
        match rest {
            Rest::Serving => {}
            Rest::Stopped(_) | Rest::Restless => return None,
        }
        let mut world = world.clone();
        world.notices.clear();
        world.restart_vault();
        world.restart_controller();
        let rest = world.settle();
        Some(Self { world, rest })
    }
}

/// All of them.
pub const ALL: [AtRest; 2] = [
    AtRest { name: "whoever serves comes up again by itself", check: comes_up_again::check },
    AtRest { name: "a second start writes nothing", check: second_start_writes_nothing::check },
];

/// Each on a world that was spoiled on purpose: one that cannot bite proves nothing.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kubefox_core::controller::Notice;
    use kubefox_io::disk::Folder;

    use super::*;

    #[test]
    fn a_world_that_serves_keeps_all_of_them() {
        let (world, second) = serving();

        let broken = ALL.map(|invariant| (invariant.check)(&world, &second));

        assert_eq!(broken, [const { Ok(()) }; 2]);
    }

    #[test]
    fn a_lost_envelope_is_found() {
        let (mut world, _) = serving();
        world.disk.project(Folder::State, BTreeMap::new());
        let second = SecondStart::of(&world, Rest::Serving).expect("it serves");

        let broken = comes_up_again::check(&world, &second);

        let stopped = "after a restart of both it came to rest as Stopped(EnvelopeMissing)";
        assert!(broken.is_err_and(|broken| broken.starts_with(stopped)));
    }

    #[test]
    fn a_second_start_that_writes_is_found() {
        let (world, mut told) = serving();
        let (_, mut kept) = serving();
        let clean = second_start_writes_nothing::check(&world, &kept);

        told.world.notices.push(Notice::Wrote(kubefox_core::vault::Setting::PasswordPolicy));
        kept.world.disk.project(Folder::State, BTreeMap::new());

        assert_eq!(clean, Ok(()));
        let written_again = second_start_writes_nothing::check(&world, &told);
        assert_eq!(written_again, Err("PasswordPolicy was written again".to_owned()));
        let written_again = second_start_writes_nothing::check(&world, &kept);
        assert_eq!(written_again, Err("boot.state was written again".to_owned()));
    }

    fn serving() -> (World, SecondStart) {
        let mut world = World::new(1);
        assert_eq!(world.settle(), Rest::Serving);
        let second = SecondStart::of(&world, Rest::Serving).expect("it serves");
        (world, second)
    }
}
