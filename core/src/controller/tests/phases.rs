//! The list of the states is the machine's own.

use alloc::collections::BTreeSet;

use super::fixtures::*;

#[test]
fn every_state_that_a_controller_comes_to_is_on_the_list_once() {
    let listed = Controller::phases();
    let mut met = BTreeSet::new();
    for world in [World::default(), World { sealed: true, ..World::converged() }] {
        let (mut bench, _) = Bench::start(config(), world);
        while bench.machine.phase() != "Serving" {
            met.insert(bench.machine.phase());
            bench.step();
        }
        bench.stop();
        met.insert(bench.machine.phase());
    }

    assert_eq!(met.difference(&listed).collect::<Vec<_>>(), Vec::<&&str>::new());
    // Where no deed is under way there is no answer to await either.
    let resting: Vec<_> = listed.iter().filter(|name| !name.contains("::")).copied().collect();
    assert_eq!(resting, ["Finished", "Serving", "StandingBy", "Stopped", "Waiting"]);
}

#[test]
fn the_states_of_a_part_that_two_deeds_share_are_listed_with_both() {
    let listed = Controller::phases();

    for shared in ["Login::ReadingControllerJwt", "Sweep::Revoking", "SetUp::ReadingSetting"] {
        assert!(listed.contains(shared), "{shared}");
    }
}
