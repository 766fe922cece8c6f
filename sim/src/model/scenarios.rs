//! Named stories: what an operator or a cluster may do to a controller, and what it gets for it. The machine and the
//! adapters are the production's, the servers are the fakes.

use std::collections::BTreeMap;

use http::Method;
use kubefox_core::controller::{Finding, Notice};
use kubefox_core::fatal::Fatal;
use kubefox_core::names::{Installation, PodName};
use kubefox_io::disk::{Folder, Request as DiskRequest};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::world::{Fate, PLATFORM, Rest, World};
use crate::fake::disk::Holder;

#[test]
fn empty_disks_come_up() {
    assert_eq!(World::new(1).settle(), Rest::Serving);
}

#[test]
fn a_pod_of_another_ordinal_stands_by_and_asks_nobody_anything() {
    let mut world = World::new(1);
    world.config_mut().pod = PodName::parse("kubefox-1").expect("a pod name");
    world.restart_controller();

    assert_eq!(world.settle(), Rest::Restless);
    assert_eq!(world.phase(), "StandingBy");
    assert!(world.next_call().is_none() && !world.vault.is_initialized());
}

#[test]
fn a_state_directory_that_is_no_volume_is_refused_unless_allowed() {
    let mut world = World::new(1);
    world.disk.mount(Folder::State, false);
    assert_eq!(world.settle(), Rest::Stopped(Fatal::StateNotPersistent));
    assert!(!world.vault.is_initialized());

    world.config_mut().allow_plain_state_dir = true;
    world.restart_controller();
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn a_seal_key_that_is_not_mounted_is_waited_for_and_then_missing() {
    let mut world = serving();
    world.show_seal_key(false);
    restart_both(&mut world);

    world.live_ms(60_000);
    assert_eq!(waits_for(&mut world), "waiting for the Secret kubefox-seal-key to appear in its volume");
    assert_eq!(world.settle(), Rest::Stopped(Fatal::SealKeyMissing));

    world.show_seal_key(true);
    world.restart_controller();
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn an_initialized_vault_without_an_envelope_is_never_touched() {
    let mut world = serving();
    world.disk.project(Folder::State, BTreeMap::new());
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::EnvelopeMissing));
}

#[test]
fn an_envelope_without_its_vault_is_never_initialized_over() {
    let mut world = serving();
    world.vault.wipe();
    world.restart_controller();

    assert_eq!(world.settle(), Rest::Stopped(Fatal::StorageLost));
    assert!(!world.vault.is_initialized());
}

#[test]
fn objects_of_an_earlier_life_keep_a_new_one_from_beginning() {
    let mut world = serving();
    world.vault.wipe();
    world.disk.project(Folder::State, BTreeMap::new());
    world.restart_controller();

    assert_eq!(world.settle(), Rest::Stopped(Fatal::EarlierLife));
    assert!(!world.vault.is_initialized());
}

#[test]
fn somebody_who_initializes_first_is_noticed_and_remembered() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    world.initialize_by_somebody();

    assert_eq!(world.settle(), Rest::Stopped(Fatal::ForeignInit));

    world.restart_controller();
    assert_eq!(world.settle(), Rest::Stopped(Fatal::ForeignInit));
}

#[test]
fn a_vault_killed_inside_its_own_initialization_is_named() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    world.vault.kill_inside_init();

    assert_eq!(world.settle(), Rest::Stopped(Fatal::HalfInitialized));
}

#[test]
fn the_remedy_of_an_interrupted_initialization_works() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    world.take(Fate::KilledAfter);
    assert_eq!(world.settle(), Rest::Stopped(Fatal::InitInterrupted));

    world.vault.wipe(); // Its data directory was moved aside; boot.state was kept.
    world.restart_controller();
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn a_disk_from_before_the_commit_is_noticed() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    let sent = world.disk.file(Folder::State, "boot.state").expect("Sent is written").to_vec();
    assert_eq!(world.settle(), Rest::Serving);

    world.disk.project(Folder::State, BTreeMap::from([("boot.state".to_owned(), sent)]));
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::DiskRolledBack));
}

#[test]
fn an_older_envelope_of_the_same_life_is_noticed() {
    let mut world = World::new(1);
    world.reach("SetUp::WritingEnvelope");
    let with_root = world.disk.file(Folder::State, "boot.state").expect("the first envelope").to_vec();
    assert_eq!(world.settle(), Rest::Serving);
    let newest = world.disk.file(Folder::State, "boot.state").expect("the second envelope").to_vec();

    for restarts in [restart_both as fn(&mut World), World::restart_controller] {
        put_back(&mut world, &with_root);
        restarts(&mut world);

        assert_eq!(world.settle(), Rest::Stopped(Fatal::DiskRolledBack));
        assert!(world.notices.contains(&Notice::RolledBack { disk: 1, recorded: 2 }));
        let untouched = world.disk.file(Folder::State, "boot.state") == Some(with_root.as_slice());
        assert!(untouched, "no new envelope hides what was done");
    }

    put_back(&mut world, &newest);
    world.restart_controller();
    assert_eq!(world.settle(), Rest::Serving, "the remedy works");
}

#[test]
fn an_older_envelope_that_is_put_back_while_callers_are_served_is_an_alarm() {
    let mut world = World::new(1);
    world.reach("SetUp::WritingEnvelope");
    let with_root = world.disk.file(Folder::State, "boot.state").expect("the first envelope").to_vec();
    assert_eq!(world.settle(), Rest::Serving);
    put_back(&mut world, &with_root);

    world.live_ms(900_000);

    assert!(world.notices.contains(&Notice::RolledBack { disk: 1, recorded: 2 }));
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn a_set_up_cut_off_after_the_revocation_is_no_rollback() {
    let mut world = World::new(1);
    world.reach("SetUp::WritingEnvelope");
    world.take(Fate::KilledBefore);

    world.reach("SetUp::ReadingGeneration");
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn state_of_another_installation_is_refused() {
    let mut world = serving();
    world.config_mut().installation = Installation::parse("another").expect("a name");
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::WrongInstallation));
}

#[test]
fn a_changed_envelope_is_corrupt() {
    let mut world = serving();
    let mut state = world.disk.file(Folder::State, "boot.state").expect("an envelope").to_vec();
    let text = String::from_utf8(state.clone()).expect("JSON");
    let at = text.find("\"ciphertext\"").expect("an envelope has a ciphertext") + 20;
    state[at] = if state[at] == b'A' { b'B' } else { b'A' };
    world.disk.project(Folder::State, BTreeMap::from([("boot.state".to_owned(), state)]));
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::EnvelopeCorrupt));
}

#[test]
fn a_resealed_vault_is_unsealed_again() {
    let mut world = serving();
    world.notices.clear();
    world.vault.seal();

    world.live_ms(10_000);

    assert!(!world.vault.is_sealed());
    assert!(world.notices.contains(&Notice::Unsealed));
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn a_held_seal_stays_until_the_file_goes() {
    let mut world = serving();
    let hold =
        DiskRequest::Replace { folder: Folder::State, name: "hold-seal", bytes: Zeroizing::new(Vec::new()) };
    world.disk.perform(Holder::NONE, hold);
    world.vault.seal();

    world.live_ms(120_000);
    assert!(world.vault.is_sealed());
    let waits_for = waits_for(&mut world);
    assert!(waits_for.contains("hold-seal"), "{waits_for}");

    let state = world.disk.file(Folder::State, "boot.state").expect("an envelope").to_vec();
    world.disk.project(Folder::State, BTreeMap::from([("boot.state".to_owned(), state)]));
    assert_eq!(world.settle(), Rest::Serving);
    assert!(!world.vault.is_sealed());
}

#[test]
fn a_published_authority_that_is_not_vaults_is_never_overwritten() {
    let mut world = serving();
    let path = format!("/api/v1/namespaces/{PLATFORM}/secrets/kubefox-trust");
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "kubefox-trust", "namespace": PLATFORM}, "data": {"ca.crt": "eA==", "tls.crt": "eA=="}});
    assert!(world.administer(Method::PUT, &path, &foreign).is_success());
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Stopped(Fatal::TrustReplaced));
    assert_eq!(world.published_ca(), Some(b"x".to_vec()));
}

#[test]
fn without_its_setup_token_a_converged_platform_still_serves() {
    let mut world = serving();
    world.grant_setup_token(false);
    restart_both(&mut world);

    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn an_hour_of_renewals_goes_by_without_a_write() {
    let mut world = serving();
    world.notices.clear();

    world.live_ms(3_600_000);

    let logins = world.notices.iter().filter(|notice| matches!(notice, Notice::Configured { .. })).count();
    assert!(logins >= 5, "the token of 15 minutes was renewed {logins} times");
    let wrote = |notice: &Notice| {
        matches!(
            notice,
            Notice::Wrote(_) | Notice::Stored(_) | Notice::GenerationRecorded { .. } | Notice::Drift(_)
        )
    };
    assert!(!world.notices.iter().any(wrote));
    assert_eq!(world.settle(), Rest::Serving);
}

#[test]
fn what_the_next_unseal_would_miss_is_told_within_an_hour_and_takes_nothing_away() {
    let mut world = serving();
    world.disk.project(Folder::State, BTreeMap::new());
    world.show_seal_key(false);
    let namespace = format!("/api/v1/namespaces/{PLATFORM}");
    for object in ["configmaps/kubefox-committed", "secrets/kubefox-seal-key"] {
        let path = format!("{namespace}/{object}");
        delete(&mut world, &path);
    }
    world.notices.clear();

    world.live_ms(3_700_000);

    let found: Vec<Finding> = world.notices.iter().filter_map(finding).collect();
    assert_eq!(found, [Finding::EnvelopeMissing, Finding::SecretDeleting]);
    assert_eq!(world.settle(), Rest::Serving);
    assert!(!world.vault.is_sealed());
}

#[test]
fn a_record_of_the_commit_that_somebody_deleted_is_made_again_within_an_hour() {
    let mut world = serving();
    let path = format!("/api/v1/namespaces/{PLATFORM}/configmaps/kubefox-committed");
    delete(&mut world, &path);
    world.notices.clear();

    world.live_ms(3_700_000);

    let found: Vec<Finding> = world.notices.iter().filter_map(finding).collect();
    assert_eq!(found, [Finding::CommittedMissing]);
    assert!(world.administer(Method::GET, &path, &Value::Null).is_success());
    assert_eq!(world.settle(), Rest::Serving);
}

const fn finding(notice: &Notice) -> Option<Finding> {
    if let Notice::Found { finding, .. } = notice { Some(*finding) } else { None }
}

#[test]
fn forks_of_a_world_share_nothing_and_go_the_same_way() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    let before = picture(&world);

    let [mut one, mut other] = [world.clone(), world.clone()];
    assert_eq!(one.settle(), Rest::Serving);
    assert_eq!(picture(&world), before, "what one fork does is not seen in the world that it came from");
    assert_eq!(other.settle(), Rest::Serving);

    assert_eq!(picture(&one), picture(&other));
    assert_ne!(picture(&one), before);
}

/// Everything that lasts in a world.
fn picture(world: &World) -> Value {
    let files: Vec<_> =
        world.disk.files().map(|(folder, name, bytes)| (format!("{folder:?}"), name, bytes)).collect();
    json!({
        "now": world.now, "vault": world.vault, "kubernetes": world.kubernetes, "disk": files, "notices": world.notices,
    })
}

fn serving() -> World {
    let mut world = World::new(1);
    assert_eq!(world.settle(), Rest::Serving);
    world
}

fn put_back(world: &mut World, boot_state: &[u8]) {
    let files = BTreeMap::from([("boot.state".to_owned(), boot_state.to_vec())]);
    world.disk.project(Folder::State, files);
}

fn restart_both(world: &mut World) {
    world.restart_vault();
    world.restart_controller();
}

/// What the controller waits for once it has nothing under way.
fn waits_for(world: &mut World) -> &'static str {
    while world.next_call().is_some() {
        world.take(Fate::Answered);
    }
    world.waits_for()
}

/// The administrator deletes an object.
fn delete(world: &mut World, path: &str) {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    let status = world.administer(Method::DELETE, path, &options);
    assert!(status.is_success(), "{path}: {status}");
}
