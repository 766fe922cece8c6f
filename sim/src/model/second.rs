//! A second controller on the same disk, Vault and cluster: an old container that is still ending, or a person who runs
//! the program. The pod of the first one may also be in its init container: then that is the first.

use kubefox_core::controller::table::Wait;
use kubefox_core::controller::{Call, Controller, Notice};
use kubefox_core::machine::{Machine as _, Seed};
use kubefox_core::{quarantine, state};
use kubefox_io::adapter::role::ControllerAdapter;
use kubefox_io::disk::Folder;

use super::process::Process;
use super::world::{Fate, World};
use crate::fake::disk::Holder;

/// Its own: it takes nothing from the dice of the world, in which the first goes on as if it were alone.
const SEED: Seed = Seed([2; 32]);

/// The second controller.
#[derive(Clone)]
pub(super) struct Second {
    process: Process<Controller, ControllerAdapter>,
    holder: Holder,
    shown: Vec<u8>,
    notices: Vec<Notice>,
}

impl Second {
    /// Starts it.
    pub(super) fn start(world: &mut World) -> Self {
        let config = world.config.as_ref().clone();
        let adapter = ControllerAdapter::new(config.installation.clone(), config.namespace.clone());
        let process = Process::start(config, SEED, adapter, world.now);
        Self { process, holder: world.new_holder(), shown: Vec::new(), notices: Vec::new() }
    }

    /// Its next call is answered, or its pause is over. False if it waits for nothing.
    pub(super) fn go_on(&mut self, world: &mut World) -> bool {
        self.change_places(world);
        let goes_on = if world.next_call().is_some() {
            world.take(Fate::Answered);
            true
        } else {
            world.idle()
        };
        self.change_places(world);
        goes_on
    }

    /// What it waits for.
    pub(super) fn waits_for(&self) -> &'static str {
        self.process.machine().waits_for()
    }

    /// The name of the state it is in.
    pub(super) fn phase(&self) -> &'static str {
        self.process.machine().phase()
    }

    /// Each is where the other was: whatever a world does with its controller it does with this one.
    fn change_places(&mut self, world: &mut World) {
        std::mem::swap(&mut self.process, &mut world.process);
        std::mem::swap(&mut self.holder, &mut world.holder);
        std::mem::swap(&mut self.shown, &mut world.shown);
        std::mem::swap(&mut self.notices, &mut world.notices);
    }
}

/// Starts a second controller in a fork of the world, lets it take so many steps, and compares.
///
/// Whoever asks for nothing but the claim reaches neither Vault nor the cluster, so only the disk has to be compared.
///
/// # Errors
/// If the first one has gone on without the state directory being its own, if the second asks for anything but the claim
/// or does not wait for it, or if the state directory or Vault's data is not what it was.
pub(super) fn second_controller_changes_nothing(world: &World, steps: u32) -> Result<(), String> {
    if !world.disk.is_held_by(world.holder) {
        return if claims_next(world) { Ok(()) } else { Err("it goes on without its claim".to_owned()) };
    }
    let mut fork = world.clone();
    // What its pauses take is not what is looked at.
    fork.frozen = true;
    let mut second = Second::start(&mut fork);
    for _ in 0..steps {
        if !matches!(second.process.next_call(), None | Some(Call::State(state::Call::Claim))) {
            break;
        }
        second.go_on(&mut fork);
    }
    if second.waits_for() != Wait::StateHeld.sentence() {
        return Err(format!("a second one does not wait: it is in {}", second.phase()));
    }
    if !fork.disk.is_held_by(world.holder) || state_files(&fork) != state_files(world) {
        return Err("a second one changed the state directory".to_owned());
    }
    match fork.disk.volume == world.disk.volume {
        true => Ok(()),
        false => Err("a second one moved Vault's data".to_owned()),
    }
}

/// Whether the running process asks for the state directory before it asks for anything else.
fn claims_next(world: &World) -> bool {
    if world.init.is_some() {
        let call = world.next_init_call();
        return matches!(call, None | Some(quarantine::Call::State(state::Call::Claim)));
    }
    matches!(world.next_call(), None | Some(Call::State(state::Call::Claim)))
}

/// What lies in the state directory. The other volumes are the kubelet's to write.
fn state_files(world: &World) -> Vec<(&str, &[u8])> {
    let files = world.disk.files().filter(|(folder, ..)| *folder == Folder::State);
    files.map(|(_, name, bytes)| (name, bytes)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kubefox_core::state::State;

    use super::super::boot_state::boot_state;
    use super::super::invariant::always;
    use super::super::planted::Bug;
    use super::super::world::Rest;
    use super::*;

    /// Twenty surveys; it ends in a pause.
    const STEPS: u32 = 39;

    /// What an installation is known by.
    #[derive(Debug, PartialEq, Eq)]
    struct Identity {
        seal_key: Option<Vec<u8>>,
        ca: Option<Vec<u8>>,
        /// Every byte of the state directory.
        files: Vec<(String, Vec<u8>)>,
    }

    fn identity(world: &World) -> Identity {
        let files = state_files(world).into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        Identity { seal_key: world.stored_seal_key(), ca: world.published_ca(), files: files.collect() }
    }

    #[test]
    fn a_second_controller_waits_before_each_call_of_a_first_boot_and_the_boot_is_the_same() {
        let mut alone = World::frozen(1);
        assert_eq!(alone.settle(), Rest::Serving);

        let mut world = World::frozen(1);
        world.take(Fate::Answered); // The first one claims the directory.
        let mut second = Second::start(&mut world);
        let mut calls = 0;
        while !world.waits_for_nothing() {
            if calls % 16 == 0 {
                assert_eq!(second_controller_changes_nothing(&world, STEPS), Ok(()), "{}", world.phase());
            }
            second.go_on(&mut world);
            assert_eq!(second.waits_for(), Wait::StateHeld.sentence(), "{}", world.phase());
            if world.next_call().is_some() {
                world.take(Fate::Answered);
                calls += 1;
            } else {
                assert!(world.idle(), "{}", world.phase());
            }
        }

        assert!(calls > 100, "{calls}");
        assert_eq!(world.settle(), Rest::Serving);
        assert_eq!(identity(&world), identity(&alone));
        assert_eq!(always::check(&world), Ok(()));
    }

    #[test]
    fn where_the_first_is_killed_the_second_takes_over_as_the_first_would_have_started_again() {
        for fate in [Fate::KilledBefore, Fate::KilledAfter] {
            let mut world = World::frozen(1);
            world.take(Fate::Answered);
            let mut met = BTreeSet::new();
            while !world.waits_for_nothing() {
                if world.next_call().is_none() {
                    assert!(world.idle(), "{}", world.phase());
                } else {
                    if met.insert(world.phase()) {
                        assert_takes_over(&world, fate);
                    }
                    world.take(Fate::Answered);
                }
            }
            assert!(met.len() > 30, "{met:?}");
        }
    }

    fn assert_takes_over(world: &World, fate: Fate) {
        let mut world = world.clone();
        let phase = world.phase();
        let mut second = Second::start(&mut world);
        second.go_on(&mut world);
        assert_eq!(second.waits_for(), Wait::StateHeld.sentence(), "{phase}");
        world.take(fate);
        let mut again = world.clone();
        let restarted = again.settle();

        // What the kubelet started again is gone too: only the second one is left.
        second.change_places(&mut world);
        let rest = world.settle();

        assert_eq!(rest, restarted, "{phase} {fate:?}");
        assert_eq!(always::check(&world), Ok(()), "{phase} {fate:?}");
    }

    #[test]
    fn the_init_container_keeps_a_controller_waiting_too() {
        let mut world = World::frozen(1);
        world.reach("Initialize::Initializing");
        world.allow_recovery(true);
        world.take(Fate::KilledAfter);
        while !world.is_pod_deleted() {
            if world.next_call().is_some() {
                world.take(Fate::Answered);
            } else {
                assert!(world.idle(), "{}", world.phase());
            }
        }
        world.replace_pod();
        world.take_init(Fate::Answered);
        let mut calls = 0;
        while world.init.is_some() {
            assert_eq!(second_controller_changes_nothing(&world, STEPS), Ok(()));
            world.take_init(Fate::Answered);
            calls += 1;
        }

        assert!(calls > 5, "{calls}");
        assert_eq!(world.settle(), Rest::Serving);
    }

    #[test]
    fn without_the_lock_the_older_of_two_controllers_would_lose_the_key() {
        let mut world = World::frozen(1);
        world.plant(Bug::IgnoresLock);
        world.reach("Initialize::WritingSent");
        let mut second = Second::start(&mut world);
        while second.phase() != "Initialize::WritingSent" {
            assert!(second.go_on(&mut world), "{}", second.phase());
        }
        assert_eq!(world.settle(), Rest::Serving);
        assert!(boot_state(&world).1.is_some(), "the envelope opens");

        second.go_on(&mut world);

        assert!(matches!(boot_state(&world), (State::Sent { .. }, None)), "nothing opens Vault any more");
        let Err((broken, _)) = always::check(&world) else { panic!("that is found") };
        assert_eq!(broken, "nothing is initialized over an earlier life");
    }

    #[test]
    fn whoever_ignores_the_lock_breaks_the_invariant_of_its_name() {
        let mut world = World::frozen(1);
        Bug::IgnoresLock.plant(&mut world);
        world.take(Fate::Answered);

        let broken = always::check(&world);

        let how = "a second one does not wait: it is in Survey::ReadingState".to_owned();
        assert_eq!(broken, Err((Bug::IgnoresLock.breaks(), how)));
    }
}
