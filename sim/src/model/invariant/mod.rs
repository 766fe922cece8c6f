//! What must hold in a world that has come to rest, whatever happened in it. One file each.

mod committed_only_when_safe;
mod no_live_root;
mod one_root_of_trust;
mod second_start_writes_nothing;
mod unseal_key_recoverable;

use super::world::{Rest, World};

/// A property of a world at rest.
pub struct Invariant {
    /// Its name, as it is reported.
    pub name: &'static str,
    /// `Err` says how it is broken.
    pub check: fn(&World, Rest, Option<&SecondStart>) -> Result<(), String>,
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
pub const ALL: [Invariant; 5] = [
    Invariant { name: "no live root token once serving", check: no_live_root::check },
    Invariant { name: "one root of trust per installation", check: one_root_of_trust::check },
    Invariant { name: "the unseal key is recoverable", check: unseal_key_recoverable::check },
    Invariant { name: "a second start writes nothing", check: second_start_writes_nothing::check },
    Invariant { name: "committed only when the unseal key is safe", check: committed_only_when_safe::check },
];

/// Each invariant on a world that was spoiled on purpose: one that cannot bite proves nothing.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Method;
    use kubefox_core::controller::Notice;
    use kubefox_io::disk::Folder;
    use serde_json::json;

    use super::super::world::{Fate, PLATFORM};
    use super::*;

    #[test]
    fn a_world_that_serves_keeps_all_of_them() {
        let world = serving();
        let second = SecondStart::of(&world, Rest::Serving);

        let broken = ALL.map(|invariant| (invariant.check)(&world, Rest::Serving, second.as_ref()));

        assert_eq!(broken, [const { Ok(()) }; 5]);
    }

    #[test]
    fn a_root_token_that_lives_while_callers_are_served_is_found() {
        let mut world = World::new(1);
        while world.vault.live_root_tokens(world.now.unix).is_empty() {
            step(&mut world);
        }

        let broken = no_live_root::check(&world, Rest::Serving, None);

        assert_eq!(broken, Err("1 root tokens live".to_owned()));
    }

    #[test]
    fn another_published_root_is_found() {
        let mut world = serving();
        let path = format!("/api/v1/namespaces/{PLATFORM}/secrets/kubefox-trust");
        let foreign = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "kubefox-trust", "namespace": PLATFORM}, "data": {"ca.crt": "eA=="}});
        assert!(world.administer(Method::PUT, &path, &foreign).is_success());

        let broken = one_root_of_trust::check(&world, Rest::Restless, None);

        assert_eq!(broken, Err("another root certificate is published".to_owned()));
    }

    #[test]
    fn a_lost_envelope_is_found() {
        let mut world = serving();
        world.disk.project(Folder::State, BTreeMap::new());

        let second = SecondStart::of(&world, Rest::Serving);
        let unrecoverable = unseal_key_recoverable::check(&world, Rest::Serving, second.as_ref());
        let untrue = committed_only_when_safe::check(&world, Rest::Serving, None);

        let stopped = "after a restart of both it came to rest as Stopped(EnvelopeMissing)";
        assert!(unrecoverable.is_err_and(|broken| broken.starts_with(stopped)));
        assert_eq!(untrue, Err("the cluster says committed, and there is no envelope".to_owned()));
    }

    #[test]
    fn a_promise_before_the_envelope_is_found() {
        let mut world = World::new(1);
        while world.phase() != "Initialize::Initializing" {
            step(&mut world);
        }
        let path = format!("/api/v1/namespaces/{PLATFORM}/configmaps");
        let promise = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kubefox-committed", "namespace": PLATFORM}});
        assert!(world.administer(Method::POST, &path, &promise).is_success());

        assert!(committed_only_when_safe::check(&world, Rest::Restless, None).is_err());
    }

    #[test]
    fn a_second_start_that_writes_is_found() {
        let world = serving();
        let second = || SecondStart::of(&world, Rest::Serving).expect("it serves");
        let check =
            |second: SecondStart| second_start_writes_nothing::check(&world, Rest::Serving, Some(&second));

        let mut told = second();
        told.world.notices.push(Notice::Wrote(kubefox_core::vault::Setting::PasswordPolicy));
        let mut kept = second();
        kept.world.disk.project(Folder::State, BTreeMap::new());

        assert_eq!(check(second()), Ok(()));
        assert_eq!(check(told), Err("PasswordPolicy was written again".to_owned()));
        assert_eq!(check(kept), Err("boot.state was written again".to_owned()));
    }

    fn serving() -> World {
        let mut world = World::new(1);
        assert_eq!(world.settle(), Rest::Serving);
        world
    }

    fn step(world: &mut World) {
        if world.next_call().is_some() {
            world.take(Fate::Answered);
        } else {
            assert!(world.idle(), "it never comes there; it is {}", world.phase());
        }
    }
}
