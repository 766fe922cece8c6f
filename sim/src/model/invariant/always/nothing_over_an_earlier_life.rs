//! Where the disk or the cluster still knows of a life that was committed, no other one is begun.

use kubefox_core::state::State;

use crate::fake::kubernetes::Kind;
use crate::model::boot_state::boot_state;
use crate::model::world::{PLATFORM, World};

pub(super) fn check(world: &World) -> Result<(), String> {
    let Some(committed) = world.kubernetes.object(Kind::ConfigMap, PLATFORM, "kubefox-committed") else {
        return Ok(());
    };
    let committed = committed["metadata"]["annotations"]["kubefox.io/life-id"].as_str().map(str::to_owned);
    match boot_state(world).0 {
        State::Intent { life } | State::Sent { life, .. } | State::Recover { life, .. } => {
            Err(format!("{committed:?} was committed, and {life} is being initialized"))
        }
        State::Envelope { life, .. } if committed.as_deref() != Some(life.as_str()) => {
            Err(format!("{committed:?} was committed, and the envelope is {life}'s"))
        }
        State::Envelope { .. }
        | State::Absent
        | State::Foreign { .. }
        | State::Corrupt
        | State::OtherInstallation => Ok(()),
    }
}
