//! The key of a world: its canonical form. What is not written here makes no difference to what the world will do.

use std::cell::RefCell;
use std::collections::HashMap;

use data_encoding::BASE64;
use http::Method;
use kubefox_core::names::KeyId;
use kubefox_core::secret::{Own, Secret};
use kubefox_io::adapter::envelope::key_id;
use serde_json::Value;

use crate::canonical::{Canonical, Key};
use crate::fake::kubernetes::Kind;
use crate::model::boot_state::boot_state;
use crate::model::keyring::Keyring;
use crate::model::late::LateRequest;
use crate::model::pod::Init;
use crate::model::world::{PLATFORM, World};

/// The key of a world.
pub(super) fn key(world: &World) -> Key {
    let mut canonical = Canonical::at(world.now);
    write(world, &mut canonical);
    canonical.key()
}

/// The key of what a controller could change outside, beside the disk.
pub(super) fn effect(world: &World) -> Key {
    let mut canonical = Canonical::timeless();
    world.vault.canonical(&mut canonical);
    cluster(world, &mut canonical);
    canonical.key()
}

fn write(world: &World, to: &mut Canonical) {
    world.vault.canonical(to);
    cluster(world, to);
    disk(world, to);
    to.flag(world.disk.is_held_by(world.holder));
    to.flag(world.forestalled);
    to.name(&world.shown);
    to.flag(world.storage_was_lost);
    to.value(&world.disk.volume.data);
    to.value(&world.init.as_ref().map(Init::machine));
    to.value(world.process.machine());
    for (name, bytes) in world.process.keyring().iter() {
        to.value(name);
        secret(world, *name, bytes, to);
    }
    // What invariants remember.
    to.flag(world.monitor.nonce_was_reused);
    if let Some(root) = &world.monitor.root_of_trust {
        to.name(root.trim().as_bytes());
    }
    for late in &world.late {
        late_request(world, late, to);
    }
}

/// The pod, and the three objects of an installation.
fn cluster(world: &World, to: &mut Canonical) {
    to.name(world.pod.as_bytes());
    to.flag(world.is_pod_deleted());
    for pem in world.vault.issuer_certificates() {
        to.name(pem.trim().as_bytes());
    }
    for (kind, name) in [
        (Kind::Secret, "kubefox-seal-key"),
        (Kind::ConfigMap, "kubefox-committed"),
        (Kind::Secret, "kubefox-trust"),
    ] {
        world.kubernetes.canonical(kind, PLATFORM, name, to);
    }
    if let Some(key) = world.stored_seal_key() {
        to.name(id_of(&key).as_str().as_bytes());
    }
    if let Some(root) = world.published_ca() {
        to.name(root.trim_ascii());
    }
}

/// What `boot.state` says, and what its envelope is worth.
fn disk(world: &World, to: &mut Canonical) {
    let (state, keys) = boot_state(world);
    to.value(&state);
    to.flag(keys.is_some());
    for (name, bytes) in keys.iter().flat_map(Keyring::iter) {
        to.value(name);
        secret(world, *name, bytes, to);
    }
}

/// What a secret is worth to whoever holds it.
fn secret(world: &World, name: Secret, bytes: &[u8], to: &mut Canonical) {
    let Secret::Own(own) = name else { return };
    match own {
        Own::MintedSealKey | Own::SealKey => to.name(id_of(bytes).as_str().as_bytes()),
        Own::UnsealKey => to.flag(world.vault.is_unseal_key(bytes)),
        Own::RootToken | Own::ControllerToken | Own::SetupToken => to.value(&world.vault.policies_of(bytes)),
        // Service-account tokens are read right before they are used; the others are made right before.
        Own::ApiJwt
        | Own::VaultJwt
        | Own::SetupJwt
        | Own::CallerJwt
        | Own::ServingKey
        | Own::RuntimeKey
        | Own::Password => {}
    }
}

/// A search meets few seal keys again and again, and an id is dear: so many are remembered.
const REMEMBERED_MAX: usize = 64;

thread_local! {
    static REMEMBERED: RefCell<HashMap<Vec<u8>, KeyId>> = RefCell::default();
}

/// The id of a seal key.
fn id_of(key: &[u8]) -> KeyId {
    REMEMBERED.with_borrow_mut(|remembered| {
        if let Some(id) = remembered.get(key) {
            return id.clone();
        }
        if remembered.len() == REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.entry(key.to_vec()).or_insert_with(|| key_id(key)).clone()
    })
}

fn late_request(world: &World, late: &LateRequest, to: &mut Canonical) {
    let request = match late {
        LateRequest::Vault(request) | LateRequest::Kubernetes(request) => request,
    };
    to.value(&request.method().as_str());
    to.value(&request.uri().path());
    if let Some(token) = request.headers().get("x-vault-token") {
        to.value(&world.vault.policies_of(token.as_bytes()));
    }
    if request.method() != Method::GET {
        body(&serde_json::from_slice(request.body()).unwrap_or(Value::Null), to);
    }
}

/// The same name as where it is stored; and of a seal key the name by which it is known anywhere else.
fn datum(name: &str, datum: &Value, to: &mut Canonical) {
    to.value(&name);
    let Some(text) = datum.as_str() else { return to.value(datum) };
    to.name(text.as_bytes());
    if name == "key"
        && let Ok(key) = BASE64.decode(text.as_bytes())
    {
        to.name(id_of(&key).as_str().as_bytes());
    }
}

/// A body, in which whatever is data is a name.
fn body(value: &Value, to: &mut Canonical) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                to.value(name);
                match (name.as_str(), member) {
                    ("data", Value::Object(data)) => {
                        data.iter().for_each(|(name, datum)| self::datum(name, datum, to));
                    }
                    ("resourceVersion" | "key", Value::String(text)) => to.name(text.as_bytes()),
                    (_, member) => body(member, to),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| body(element, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => to.value(value),
    }
}
