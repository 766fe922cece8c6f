//! Making settings so: read each, compare, write only what differs. Configured is what Vault says, never a flag.
//!
//! ```text
//! Reading ── stands ──────────────> the next setting
//!   ^  ├─── absent or differs ──> Writing ─┐
//!   │  │                                   │
//!   └──┼───────────────────────────────────┘ written, refused as a conflict, or unknown: look again
//!      └─── differs, and writing does not repair it, or nobody may write: an alarm
//! ```
//!
//! Whoever may write stops at what writing cannot repair. Whoever may only read raises the alarm and goes on, whatever
//! differs: the platform stood when the right to write was taken away, and a stop would repair nothing.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::{Call, Notice, Reply};
use super::looks::Looks;
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::documents::nkey::{Prefix, PublicKey};
use crate::documents::setting::{Wanted, bootstrap_settings, differences, platform_settings, wanted};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::names::Accessor;
use crate::phases::phases;
use crate::secret::{Own, Secret};
use crate::vault::{self, NatsKey, Setting};

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// How often one setting may be written, and not stand, before it counts as something that does not stay.
const WRITES_MAX: u8 = 3;

/// By whom settings are made so, and thereby which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Authority {
    /// The root token of the initialization: just enough to log in.
    Root,
    /// `controller-setup`: all of the platform.
    Setup,
    /// `controller`, where the token of `controller-setup` was taken away: it sees and cannot write.
    Serving,
}

impl Authority {
    pub(super) const fn token(self) -> Secret {
        match self {
            Self::Root => Secret::Own(Own::RootToken),
            Self::Setup => Secret::Own(Own::SetupToken),
            Self::Serving => Secret::Own(Own::ControllerToken),
        }
    }

    pub(super) const fn may_write(self) -> bool {
        match self {
            Self::Root | Self::Setup => true,
            Self::Serving => false,
        }
    }
}

/// Settings being made so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Apply {
    authority: Authority,
    index: usize,
    step: Step,
    /// Confirmed writes of the setting at `index`.
    tries: u8,
    /// Looks at the setting at `index`.
    looks: Looks,
    keys: Vec<PublicKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Step {
    Reading,
    Writing,
}

/// What a step of [`Apply`] led to.
pub(super) enum Applied {
    /// More is to be done.
    Turn(Turn<Apply>),
    /// All settings stand, or what differs was told.
    Done {
        /// The public keys of NATS, in the order of the settings; empty for [`Authority::Root`].
        keys: Vec<PublicKey>,
    },
}

impl Apply {
    pub(super) const fn begin(authority: Authority) -> Self {
        Self { authority, index: 0, step: Step::Reading, tries: 0, looks: Looks::START, keys: Vec::new() }
    }

    pub(super) const fn authority(&self) -> Authority {
        self.authority
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        let (token, setting) = (self.authority.token(), self.setting());
        let call = match self.step {
            Step::Reading => vault::Call::Read { token, setting },
            Step::Writing => {
                let body = self.wanted(context).body;
                vault::Call::Write { token, setting, body }
            }
        };
        (Call::Vault(call), REMOTE_MS)
    }

    phases! {
        pub(super) fn phase(&self) match (self.authority, self.step) {
            (Authority::Root, Step::Reading) => "SetUp::ReadingSetting",
            (Authority::Root, Step::Writing) => "SetUp::WritingSetting",
            (Authority::Setup | Authority::Serving, Step::Reading) => "Configure::ReadingSetting",
            (Authority::Setup | Authority::Serving, Step::Writing) => "Configure::WritingSetting",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Applied {
        match self.step {
            Step::Reading => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Setting(standing))) => self.compare(standing, context),
                Outcome::Ok(reply) => panic!("the driver answered Reading with {reply:?}"),
                Outcome::Refused(Refusal::NotReady) => self.look(Looks::again),
                Outcome::Refused(_) | Outcome::Unknown(_) => Applied::Turn(Turn::Wait(Wait::Configuration)),
            },
            Step::Writing => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Written)) => {
                    context.notices.push(Notice::Wrote(self.setting()));
                    let tries = self.tries + 1;
                    Applied::Turn(Turn::Ask(Self { step: Step::Reading, tries, ..self }))
                }
                Outcome::Ok(reply) => panic!("the driver answered Writing with {reply:?}"),
                Outcome::Refused(Refusal::Conflict | Refusal::NotReady) => self.look(Looks::again),
                Outcome::Refused(_) => Applied::Turn(Turn::Wait(Wait::Configuration)),
                Outcome::Unknown(_) => self.look(Looks::in_doubt),
            },
        }
    }

    fn compare(mut self, standing: Option<Value>, context: &mut Context<'_>) -> Applied {
        let setting = self.setting();
        if let Some(standing) = &standing {
            // What comes later cannot do without these two.
            match &setting {
                Setting::KubernetesAuth => match accessor(standing) {
                    Some(accessor) => context.memory.accessor = Some(accessor),
                    None => return self.unusable(setting, context),
                },
                Setting::NatsKey(key) => match public_key(key, standing) {
                    Some(key) => self.keys.push(key),
                    None => return self.unusable(setting, context),
                },
                Setting::KubernetesAuthConfig
                | Setting::Policy(_)
                | Setting::AuthRole(_)
                | Setting::Mount(_)
                | Setting::RootCertificate
                | Setting::PkiRole(_)
                | Setting::PasswordPolicy => {}
            }
        }
        let wanted = self.wanted(context);
        if standing.as_ref().is_some_and(|standing| differences(standing, &wanted.stands).is_empty()) {
            return self.next();
        }
        if !self.authority.may_write() {
            context.notices.push(Notice::Drift(setting));
            return match standing {
                Some(_) => self.next(),
                None => Applied::Turn(Turn::Wait(Wait::VaultToken)),
            };
        }
        if (standing.is_some() && !wanted.overwrite) || self.tries == WRITES_MAX {
            context.notices.push(Notice::Drift(setting));
            return Applied::Turn(Turn::Stop(Fatal::ForeignConfiguration));
        }
        Applied::Turn(Turn::Ask(Self { step: Step::Writing, ..self }))
    }

    /// What stands lacks what must be known to go on.
    fn unusable(self, setting: Setting, context: &mut Context<'_>) -> Applied {
        context.notices.push(Notice::Drift(setting));
        Applied::Turn(if self.authority.may_write() {
            Turn::Stop(Fatal::ForeignConfiguration)
        } else {
            Turn::Wait(Wait::Configuration)
        })
    }

    fn look(self, next: fn(Looks) -> Option<(Looks, u64)>) -> Applied {
        Applied::Turn(match next(self.looks) {
            Some((looks, pause_ms)) => {
                Turn::Pause(Self { step: Step::Reading, looks, ..self }, pause_ms, Wait::Configuration)
            }
            None => Turn::Wait(Wait::Configuration),
        })
    }

    fn next(self) -> Applied {
        let index = self.index + 1;
        if index == self.settings().len() {
            return Applied::Done { keys: self.keys };
        }
        Applied::Turn(Turn::Ask(Self { index, step: Step::Reading, tries: 0, looks: Looks::START, ..self }))
    }

    fn settings(&self) -> Vec<Setting> {
        match self.authority {
            Authority::Root => bootstrap_settings(),
            Authority::Setup | Authority::Serving => {
                // The auth method is root's; its accessor is what policies name, so it is read first here too.
                let mut settings = Vec::from([Setting::KubernetesAuth]);
                settings.extend(platform_settings());
                // The role that only reads may not see how credentials are made either.
                settings.retain(|setting| self.authority.may_write() || *setting != Setting::PasswordPolicy);
                settings
            }
        }
    }

    fn setting(&self) -> Setting {
        self.settings().swap_remove(self.index)
    }

    fn wanted(&self, context: &Context<'_>) -> Wanted {
        let setting = self.setting();
        let accessor = match (&context.memory.accessor, &setting) {
            (Some(accessor), _) => accessor.clone(),
            (None, Setting::KubernetesAuth) => Accessor::parse("unread").expect("letters are an accessor"),
            (None, setting) => panic!("{setting:?} comes after the setting that tells the accessor"),
        };
        wanted(&setting, &context.config.plan(), &accessor)
    }
}

fn accessor(standing: &Value) -> Option<Accessor> {
    Accessor::parse(standing.get("accessor")?.as_str()?).ok()
}

fn public_key(key: &NatsKey, standing: &Value) -> Option<PublicKey> {
    let text = standing.get("public_key")?.as_str()?;
    PublicKey::from_base64(Prefix::of(key), text).ok()
}
