//! `kubefox-committed` exists only if an envelope lies on the disk: what it promises is true.

use kubefox_io::disk::Folder;

use super::SecondStart;
use crate::fake::kubernetes::Kind;
use crate::model::world::{PLATFORM, Rest, World};

pub(super) fn check(world: &World, _rest: Rest, _second: Option<&SecondStart>) -> Result<(), String> {
    let committed = world.kubernetes.object(Kind::ConfigMap, PLATFORM, "kubefox-committed").is_some();
    let state = world.disk.file(Folder::State, "boot.state").unwrap_or_default();
    let envelope = String::from_utf8_lossy(state).contains("Envelope");
    if committed && !envelope {
        Err("the cluster says committed, and there is no envelope".to_owned())
    } else {
        Ok(())
    }
}
