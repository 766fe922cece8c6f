//! No secret is written in the clear: not in the machine, its notices and its state file, nor in the cluster's objects,
//! but for the one that is there to hold the seal key.

use std::sync::LazyLock;

use kubefox_core::machine::Machine as _;
use kubefox_io::disk::Folder;

use crate::fake::kubernetes::Kind;
use crate::model::world::{PLATFORM, World};
use crate::secrecy::Search;

static SEARCH: LazyLock<Search> = LazyLock::new(Search::for_marks);

pub(super) fn check(world: &World) -> Result<(), String> {
    let machine = world.process.machine();
    let image = serde_json::to_vec(&(machine, &world.notices)).expect("a machine is data");
    clean(&image, "the machine or its notices")?;
    clean(machine.waits_for().as_bytes(), "what the machine says that it waits for")?;
    for (folder, name, bytes) in world.disk.files() {
        if folder == Folder::State {
            clean(bytes, name)?;
        }
    }
    for (kind, name) in [
        (Kind::Secret, "kubefox-seal-key"),
        (Kind::Secret, "kubefox-trust"),
        (Kind::ConfigMap, "kubefox-committed"),
    ] {
        let Some(mut object) = world.kubernetes.object(kind, PLATFORM, name) else { continue };
        if name == "kubefox-seal-key" {
            object["data"]["key"].take();
        }
        clean(object.to_string().as_bytes(), name)?;
    }
    Ok(())
}

fn clean(bytes: &[u8], place: &str) -> Result<(), String> {
    match SEARCH.first_in(bytes) {
        Some(pattern) => Err(format!("{place} holds a secret: {}", String::from_utf8_lossy(pattern))),
        None => Ok(()),
    }
}
