//! Each invariant on a world that was spoiled on purpose: one that cannot bite proves nothing.

use std::collections::BTreeMap;

use http::Method;
use kubefox_io::disk::Folder;
use serde_json::json;

use super::*;
use crate::model::world::{Fate, PLATFORM, Rest};

#[test]
fn a_world_that_serves_keeps_all_of_them() {
    assert_eq!(check(&serving()), Ok(()));
}

#[test]
fn a_root_token_that_lives_while_callers_are_served_is_found() {
    let (mut world, mut earlier) = (serving(), World::new(1));
    earlier.reach("SetUp::Revoking");
    world.vault = earlier.vault;

    assert_eq!(no_live_root::check(&world), Err("1 root tokens live".to_owned()));
    assert!(root_token_is_held::check(&world).is_err_and(|how| how.starts_with("a root token lives")));
}

#[test]
fn another_published_root_is_found() {
    let mut world = serving();
    let path = format!("/api/v1/namespaces/{PLATFORM}/secrets/kubefox-trust");
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "kubefox-trust", "namespace": PLATFORM}, "data": {"ca.crt": "eA=="}});
    assert!(world.administer(Method::PUT, &path, &foreign).is_success());

    let broken = one_root_of_trust::check(&world);

    assert_eq!(broken, Err("another root certificate is published".to_owned()));
}

#[test]
fn a_lost_envelope_is_found() {
    let mut world = serving();
    world.disk.project(Folder::State, BTreeMap::new());

    let unrecoverable = unseal_key_recoverable::check(&world);
    let untrue = committed_only_when_safe::check(&world);

    let expected = "no envelope opens Vault, and nothing recovers it; boot.state is Absent";
    assert_eq!(unrecoverable, Err(expected.to_owned()));
    let expected = "the cluster says committed, and no envelope opens; boot.state is Absent";
    assert_eq!(untrue, Err(expected.to_owned()));
}

#[test]
fn a_promise_before_the_envelope_is_found() {
    let mut world = World::new(1);
    world.reach("Initialize::Initializing");
    let path = format!("/api/v1/namespaces/{PLATFORM}/configmaps");
    let promise = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kubefox-committed", "namespace": PLATFORM}});
    assert!(world.administer(Method::POST, &path, &promise).is_success());

    assert!(committed_only_when_safe::check(&world).is_err());
    assert!(nothing_over_an_earlier_life::check(&world).is_err());
}

#[test]
fn a_document_that_was_written_again_is_found() {
    let mut world = serving();
    world.vault.rewrite("nats-jwt/");

    assert!(written_once::check(&world).is_err_and(|how| how.ends_with("was written again")));
}

#[test]
fn an_envelope_with_the_nonce_of_another_is_found() {
    let mut world = serving();
    let state = world.disk.file(Folder::State, "boot.state").expect("an envelope").to_vec();
    let text = String::from_utf8(state).expect("JSON");
    let other = text.replace("\"generation\": 2", "\"generation\": 3");
    assert_ne!(text, other);
    world.disk.project(Folder::State, BTreeMap::from([("boot.state".to_owned(), other.into_bytes())]));
    world.restart_controller();
    world.take(Fate::Answered);

    assert_eq!(fresh_nonces::check(&world), Err("two envelopes share key, salt and nonce".to_owned()));
}

#[test]
fn a_seal_key_beside_its_place_is_found() {
    let mut world = serving();
    let key = world.stored_seal_key().expect("it is stored");
    let files = BTreeMap::from([("hold-seal".to_owned(), key)]);
    world.disk.project(Folder::State, files);

    assert!(
        no_secret_in_the_clear::check(&world).is_err_and(|how| how.starts_with("hold-seal holds a secret"))
    );
}

#[test]
fn a_stop_without_its_reason_is_found() {
    let mut world = serving();
    world.disk.project(Folder::State, BTreeMap::new());
    world.restart_controller();
    assert!(matches!(world.settle(), Rest::Stopped(_)));

    let broken = stops_only_for_a_reason::check(&world);

    assert_eq!(broken, Err("it stopped as EnvelopeMissing, and that is not so".to_owned()));
}

fn serving() -> World {
    let mut world = World::new(1);
    assert_eq!(world.settle(), Rest::Serving);
    world
}
