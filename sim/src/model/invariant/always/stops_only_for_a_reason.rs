//! The controller stops only for a reason that is true of the world. Checked at the moment when it stops.

use kubefox_core::fatal::Fatal;
use kubefox_core::machine::Standing;
use kubefox_core::state::{RECOVERIES_MAX, State};
use kubefox_core::storage::Data;

use crate::model::boot_state::boot_state;
use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    let Standing::Stopped(fatal) = world.standing() else { return Ok(()) };
    if !world.has_just_stopped() || is_true(world, fatal) {
        return Ok(());
    }
    Err(format!("it stopped as {fatal:?}, and that is not so"))
}

/// What each reason claims, said of the world itself.
fn is_true(world: &World, fatal: Fatal) -> bool {
    let vault = &world.vault;
    let state = || boot_state(world).0;
    match fatal {
        Fatal::InitInterrupted => {
            vault.is_initialized() && vault.is_sealed() && matches!(state(), State::Sent { .. })
        }
        Fatal::RecoveryExhausted => {
            let recovered = |recoveries| vault.was_begun() && recoveries >= RECOVERIES_MAX;
            matches!(state(), State::Sent { recoveries, .. } | State::Recover { recoveries, .. } if recovered(recoveries))
        }
        Fatal::HalfInitialized => vault.was_begun() && !vault.is_initialized(),
        Fatal::ForeignInit => world.forestalled,
        Fatal::SealKeyMissing => !world.seal_key_shown,
        // Vault's refusals are not the world's: the search makes them up, and time passes in it. But it asked an
        // unsealed Vault, with a key that is safe.
        Fatal::SetupStranded => !vault.is_sealed() && matches!(state(), State::Envelope { .. }),
        Fatal::StorageLost => world.storage_was_lost && !vault.was_begun(),
        Fatal::EarlierLife => world.storage_was_lost && !vault.was_begun(),
        // The search makes up that the system refuses.
        Fatal::QuarantineRefused => world.disk.volume.data != Data::Empty,
        // Nobody touches the disk, the objects or Vault in these worlds but the controller.
        Fatal::StateNotPersistent
        | Fatal::EnvelopeCorrupt
        | Fatal::EnvelopeMissing
        | Fatal::WrongInstallation
        | Fatal::ForeignSeal
        | Fatal::DiskRolledBack
        | Fatal::SealKeyMalformed
        | Fatal::SealKeyReplaced
        | Fatal::WrongVault
        | Fatal::ForeignConfiguration
        | Fatal::QuarantineMissing
        | Fatal::TrustReplaced => false,
        // Those of initializers and brokers.
        Fatal::VolumesApart
        | Fatal::TrustMissing
        | Fatal::TrustNotPem
        | Fatal::TrustExpired
        | Fatal::TrustForeign
        | Fatal::TokenMissing
        | Fatal::TokenMalformed
        | Fatal::TokenRefused
        | Fatal::NotEntitled
        | Fatal::DocumentsMalformed
        | Fatal::VolumeNotWritable
        | Fatal::GaveUp
        | Fatal::UserKeyForeign => false,
    }
}
