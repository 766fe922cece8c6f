//! A world with few settings: those that the controller itself needs are made as everywhere; looks at all others are
//! answered as if they stood as they should, and are no step of their own.
//!
//! What the controller does with a setting does not depend on which one it is. With few, everything that can happen can
//! happen together.

use kubefox_core::controller::{Call, Reply};
use kubefox_core::documents::setting::wanted;
use kubefox_core::machine::Outcome;
use kubefox_core::names::Accessor;
use kubefox_core::vault::{self, AuthRole, Mount, PkiRole, Setting};

use super::world::World;

impl World {
    /// From the next step on only those settings count that the controller itself needs.
    #[must_use]
    pub fn with_few_settings(mut self) -> Self {
        self.few_settings = true;
        self
    }

    /// Answers looks at settings that do not count.
    pub(super) fn pass_over_settings(&mut self) {
        while self.few_settings
            && let Some(Call::Vault(vault::Call::Read { setting, .. })) = self.process.next_call()
            && !counts(setting)
        {
            let accessor = self.vault.auth_accessor("kubernetes/").expect("root has made it");
            let accessor = Accessor::parse(accessor).expect("Vault gives accessors");
            let stands = wanted(setting, &self.config.plan(), &accessor).stands;
            let reply = Reply::Vault(vault::Reply::Setting(Some(stands)));
            self.process.conclude(self.now, Outcome::Ok(reply));
        }
    }
}

/// Whether the controller could not work without it.
fn counts(setting: &Setting) -> bool {
    match setting {
        Setting::KubernetesAuth
        | Setting::KubernetesAuthConfig
        | Setting::RootCertificate
        | Setting::NatsKey(_)
        | Setting::PasswordPolicy => true,
        Setting::Policy(role) | Setting::AuthRole(role) => {
            matches!(role, AuthRole::Controller | AuthRole::ControllerSetup)
        }
        Setting::Mount(mount) => *mount != Mount::Environments,
        Setting::PkiRole(role) => matches!(role, PkiRole::Controller),
    }
}
