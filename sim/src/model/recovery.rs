//! Stories of an interrupted initialization: when it is recovered, when it is not, and that no death on the way loses
//! anything.

use http::{Method, Request};
use kubefox_core::fatal::Fatal;
use kubefox_core::machine::Standing;
use kubefox_core::names::{Installation, LifeId, Uid};
use kubefox_core::quarantine::Call as InitCall;
use kubefox_core::state::Call;
use kubefox_core::storage::Data;
use kubefox_io::adapter;
use kubefox_io::disk::Folder;
use kubefox_io::keyring::Keyring;
use kubefox_io::shell::entropy::OsEntropy;
use serde_json::{Value, json};

use super::world::{Fate, PLATFORM, Rest, World};
use crate::fake::disk::Holder;

/// More steps than a way from an interrupted initialization to the new one has.
const STEPS_MAX: u32 = 400;

#[test]
fn an_interrupted_initialization_recovers_and_is_recovered_once() {
    let mut world = interrupted();
    allow_recovery(&mut world);
    assert_eq!(world.settle(), Rest::Serving);
    assert_eq!(world.disk.volume.quarantines.len(), 1);
    assert!(world.vault.live_root_tokens(world.now.unix).is_empty());

    let ca = world.published_ca();
    delete_pod(&mut world);
    assert_eq!(world.settle(), Rest::Serving);
    assert_eq!((world.published_ca(), world.disk.volume.quarantines.len()), (ca, 1));
}

#[test]
fn a_vault_killed_inside_its_own_initialization_recovers() {
    let mut world = half_initialized();
    allow_recovery(&mut world);
    assert_eq!(world.settle(), Rest::Serving);
    assert_eq!(world.disk.volume.quarantines.len(), 1);
}

#[test]
fn without_the_flag_nothing_is_moved_however_often_the_pod_is_made_again() {
    for (mut world, fatal) in
        [(interrupted(), Fatal::InitInterrupted), (half_initialized(), Fatal::HalfInitialized)]
    {
        for _ in 0..3 {
            delete_pod(&mut world);
            assert_eq!(world.settle(), Rest::Stopped(fatal));
        }
        assert!(world.disk.volume.quarantines.is_empty());
    }
}

#[test]
fn a_committed_vault_is_never_moved_aside() {
    let mut committed = World::new(1);
    reach(&mut committed, "Initialize::Initializing");
    assert_eq!(committed.settle(), Rest::Serving);
    let life = life(&committed);
    let sent = Call::WriteSent { life: life.clone(), attempt: 1, recoveries: 0 };
    let pod = Uid::parse("3f1c").expect("a uid");
    let marked = Call::WriteRecover { life, attempt: 1, recoveries: 0, pod };

    for (write, by_init) in [(sent, false), (marked, true)] {
        let mut world = committed.clone();
        roll_back(&mut world, &write);
        allow_recovery(&mut world);
        delete_pod(&mut world);

        assert_eq!(world.settle(), Rest::Stopped(Fatal::DiskRolledBack));
        assert_eq!(world.init_standing().is_some(), by_init, "who refuses");
        assert!(world.vault.is_initialized() && world.disk.volume.quarantines.is_empty());
    }
}

#[test]
fn not_a_fourth_time() {
    let mut world = interrupted();
    for recoveries in 1..=3 {
        allow_recovery(&mut world);
        reach(&mut world, "Recover::DeletingPod");
        take(&mut world, Fate::Answered);
        assert_eq!(world.renew_pod(), Ok(()));
        reach(&mut world, "Initialize::Initializing");
        world.take(Fate::KilledAfter);
        assert_eq!(world.disk.volume.quarantines.len(), recoveries);
    }
    assert_eq!(world.settle(), Rest::Stopped(Fatal::RecoveryExhausted));
    assert_eq!(world.disk.volume.quarantines.len(), 3);
}

#[test]
fn killed_at_every_call_of_a_recovery_it_still_ends_in_serving() {
    let mut deaths = 0;
    for mut world in [interrupted(), half_initialized()] {
        allow_recovery(&mut world);
        let mut calls = 0;
        while !is_sent_again(&world) {
            for fate in Fate::FAULTS {
                let mut fork = world.clone();
                take(&mut fork, fate);
                assert_eq!(fork.settle(), Rest::Serving, "{fate:?} at call {calls}");
                assert_eq!(fork.disk.volume.quarantines.len(), 1, "{fate:?} at call {calls}");
                deaths += 1;
            }
            take(&mut world, Fate::Answered);
            calls += 1;
            assert!(calls < STEPS_MAX, "the way has an end");
        }
    }
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_pod_lost_at_every_call_of_a_recovery_ends_in_serving_as_well() {
    let mut world = interrupted();
    allow_recovery(&mut world);
    while !is_sent_again(&world) {
        let mut fork = world.clone();
        delete_pod(&mut fork);
        fork.replace_pod();
        assert_eq!(fork.settle(), Rest::Serving);
        assert_eq!(fork.disk.volume.quarantines.len(), 1);
        take(&mut world, Fate::Answered);
    }
}

#[test]
fn somebody_elses_unsealed_vault_is_never_moved_aside() {
    let mut world = World::new(1);
    allow_recovery(&mut world);
    reach(&mut world, "Initialize::Initializing");
    world.take(Fate::KilledBefore);
    initialize_and_unseal_by_somebody(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::ForeignInit));
    assert!(world.vault.is_initialized() && !world.vault.is_sealed());
    assert!(world.disk.volume.quarantines.is_empty());
}

#[test]
fn while_the_api_server_is_silent_nothing_is_touched_and_the_sentence_says_why() {
    let mut world = interrupted();
    allow_recovery(&mut world);
    reach(&mut world, "Recover::DeletingPod");
    world.take(Fate::Answered);
    assert!(world.is_pod_deleted());
    world.replace_pod();

    for _ in 0..200 {
        let asks_the_cluster = matches!(world.next_init_call(), Some(InitCall::Kubernetes(_)));
        world.take_init(if asks_the_cluster { Fate::RequestLost } else { Fate::Answered });
        assert_eq!(world.init_standing(), Some(Standing::Starting));
    }
    let waits_for = world.init_waits_for().expect("it waits");
    assert!(waits_for.contains("kubefox-committed"), "{waits_for}");
    assert!(world.vault.is_initialized() && world.disk.volume.quarantines.is_empty());
    assert_eq!(world.disk.volume.data, Data::Present);

    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn data_of_another_file_system_is_not_touched() {
    let mut world = interrupted();
    world.disk.volume.one_file_system = false;
    allow_recovery(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::VolumesApart));
    assert!(world.vault.is_initialized() && world.disk.volume.quarantines.is_empty());
}

/// The operator sets the flag, which starts the controller anew.
fn allow_recovery(world: &mut World) {
    world.allow_recovery(true);
    world.restart_controller();
}

/// The request to initialize was carried out, and the process died before it heard the keys.
fn interrupted() -> World {
    let mut world = World::new(1);
    reach(&mut world, "Initialize::Initializing");
    world.take(Fate::KilledAfter);
    assert_eq!(world.settle(), Rest::Stopped(Fatal::InitInterrupted));
    world
}

/// Vault was killed within the request.
fn half_initialized() -> World {
    let mut world = World::new(1);
    reach(&mut world, "Initialize::Initializing");
    world.vault.kill_inside_init();
    assert_eq!(world.settle(), Rest::Stopped(Fatal::HalfInitialized));
    world
}

/// What `boot.state` says.
fn state(world: &World) -> Value {
    let bytes = world.disk.file(Folder::State, "boot.state").expect("a life has begun");
    serde_json::from_slice(bytes).expect("JSON")
}

fn life(world: &World) -> LifeId {
    LifeId::parse(state(world)["life"].as_str().expect("text")).expect("a life id")
}

/// Whether Vault's data was moved aside once, and Vault is about to be initialized again.
fn is_sent_again(world: &World) -> bool {
    let state = state(world);
    state["state"] == "Sent" && state["recoveries"] == 1
}

/// The disk is what it was when this had been written.
fn roll_back(world: &mut World, write: &Call) {
    let installation = Installation::parse(PLATFORM).expect("a name");
    let context = adapter::state::Context { installation };
    let request = adapter::state::encode(write, &context, &Keyring::default(), &mut OsEntropy);
    world.disk.perform(Holder::NONE, request.expect("there is no secret in it"));
}

/// One step of whichever process of the pod runs; the kubelet replaces a pod that was deleted.
fn take(world: &mut World, fate: Fate) {
    if world.init_standing().is_none() && world.is_pod_deleted() {
        world.replace_pod();
    }
    if world.init_standing().is_some() {
        world.take_init(fate);
    } else if world.next_call().is_some() {
        world.take(fate);
    } else {
        assert!(world.idle(), "it waits for nothing: {}", world.waits_for());
    }
}

fn reach(world: &mut World, phase: &str) {
    for _ in 0..STEPS_MAX {
        if world.init_standing().is_none() && world.phase() == phase {
            return;
        }
        take(world, Fate::Answered);
    }
    panic!("{phase} is never reached; it is {}", world.phase());
}

fn delete_pod(world: &mut World) {
    let path = format!("/api/v1/namespaces/{PLATFORM}/pods/kubefox-0");
    if !world.is_pod_deleted() {
        assert!(world.administer(Method::DELETE, &path, &json!({})).is_success());
    }
}

fn initialize_and_unseal_by_somebody(world: &mut World) {
    let ask = |path: &str, body: &Value| {
        let request = Request::builder().method(Method::PUT).uri(format!("/v1/sys/{path}"));
        request.body(body.to_string().into_bytes()).expect("a well-formed request")
    };
    let (status, answer) =
        world.converse_with_vault(&ask("init", &json!({"secret_shares": 1, "secret_threshold": 1})));
    assert!(status.is_success(), "{status}");
    let (status, _) = world.converse_with_vault(&ask("unseal", &json!({"key": answer["keys"][0]})));
    assert!(status.is_success(), "{status}");
}
