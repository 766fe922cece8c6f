//! Making settings so: read each, compare, write only what differs. Configured is what Vault says, never a flag.
//!
//! ```text
//! Reading ── stands ──────────────> the next setting
//!   ^  └─── absent or differs ──> Writing ─┐
//!   └──────────────────────────────────────┘ written, refused as a conflict, or unknown: look again
//! ```

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Turn};
use crate::documents::nkey::{Prefix, PublicKey};
use crate::documents::setting::{Wanted, bootstrap_settings, differences, platform_settings, wanted};
use crate::fatal::Fatal;
use crate::machine::{Outcome, Refusal};
use crate::names::Accessor;
use crate::secret::Secret;
use crate::vault::{self, NatsKey, Setting};

/// One request to Vault.
const REMOTE_MS: u64 = 10_000;
/// A K/V engine is upgrading for some tens of milliseconds after it was mounted.
const UPGRADING_PAUSE_MS: u64 = 25;
/// How often in a row one setting is looked at again before the world is surveyed: Vault may have been sealed.
const PAUSES_MAX: u8 = 40;
/// How often one setting may be written, and not stand, before it counts as something that does not stay.
const WRITES_MAX: u8 = 3;

/// Which settings, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Scope {
    /// What root makes.
    Bootstrap,
    /// What `controller-setup` makes.
    Platform,
}

/// Settings being made so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Apply {
    scope: Scope,
    token: Secret,
    may_write: bool,
    index: usize,
    step: Step,
    /// Confirmed writes of the setting at `index`.
    tries: u8,
    pauses: u8,
    writes: u32,
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
    /// All settings stand.
    Done {
        /// Requests that changed something.
        writes: u32,
        /// The public keys of NATS, in the order of the settings; empty for [`Scope::Bootstrap`].
        keys: Vec<PublicKey>,
    },
}

impl Apply {
    pub(super) fn begin(scope: Scope, token: Secret, may_write: bool) -> Self {
        let (step, keys) = (Step::Reading, Vec::new());
        Self { scope, token, may_write, index: 0, step, tries: 0, pauses: 0, writes: 0, keys }
    }

    /// Whose token makes the settings so, and whether it may.
    pub(super) const fn authority(&self) -> (Secret, bool) {
        (self.token, self.may_write)
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        let (token, setting) = (self.token, self.setting());
        let call = match self.step {
            Step::Reading => vault::Call::Read { token, setting },
            Step::Writing => {
                let body = self.wanted(context).body;
                vault::Call::Write { token, setting, body }
            }
        };
        (Call::Vault(call), REMOTE_MS)
    }

    pub(super) const fn phase(&self) -> &'static str {
        match (self.scope, self.step) {
            (Scope::Bootstrap, Step::Reading) => "SetUp::ReadingSetting",
            (Scope::Bootstrap, Step::Writing) => "SetUp::WritingSetting",
            (Scope::Platform, Step::Reading) => "Configure::ReadingSetting",
            (Scope::Platform, Step::Writing) => "Configure::WritingSetting",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Applied {
        match self.step {
            Step::Reading => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Setting(standing))) => self.compare(standing, context),
                Outcome::Ok(reply) => panic!("the driver answered Reading with {reply:?}"),
                Outcome::Refused(Refusal::NotReady) => self.look_again(),
                Outcome::Refused(_) | Outcome::Unknown(_) => Applied::Turn(Turn::Wait(Wait::Configuration)),
            },
            Step::Writing => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Written)) => {
                    context.notices.push(Notice::Wrote(self.setting()));
                    let (writes, tries) = (self.writes + 1, self.tries + 1);
                    Applied::Turn(Turn::Ask(Self { step: Step::Reading, writes, tries, ..self }))
                }
                Outcome::Ok(reply) => panic!("the driver answered Writing with {reply:?}"),
                Outcome::Refused(Refusal::Conflict | Refusal::NotReady) | Outcome::Unknown(_) => {
                    self.look_again()
                }
                Outcome::Refused(_) => Applied::Turn(Turn::Wait(Wait::Configuration)),
            },
        }
    }

    fn compare(mut self, standing: Option<Value>, context: &mut Context<'_>) -> Applied {
        let setting = self.setting();
        if setting == Setting::KubernetesAuth
            && let Some(standing) = &standing
        {
            let accessor = standing.get("accessor").and_then(Value::as_str).map(Accessor::parse);
            let Some(Ok(accessor)) = accessor else {
                context.notices.push(Notice::Drift(setting));
                return Applied::Turn(Turn::Stop(Fatal::ForeignConfiguration));
            };
            context.memory.accessor = Some(accessor);
        }
        let wanted = self.wanted(context);
        let stands =
            standing.as_ref().is_some_and(|standing| differences(standing, &wanted.stands).is_empty());
        if stands {
            if let Setting::NatsKey(key) = &setting {
                match public_key(key, standing.as_ref()) {
                    Some(key) => self.keys.push(key),
                    None => {
                        context.notices.push(Notice::Drift(setting));
                        return Applied::Turn(Turn::Stop(Fatal::ForeignConfiguration));
                    }
                }
            }
            return self.next();
        }
        if standing.is_some() && !wanted.overwrite {
            context.notices.push(Notice::Drift(setting));
            return Applied::Turn(Turn::Stop(Fatal::ForeignConfiguration));
        }
        if !self.may_write {
            context.notices.push(Notice::Drift(setting));
            return match standing {
                Some(_) => self.next(),
                None => Applied::Turn(Turn::Wait(Wait::VaultToken)),
            };
        }
        if self.tries == WRITES_MAX {
            context.notices.push(Notice::Drift(setting));
            return Applied::Turn(Turn::Stop(Fatal::ForeignConfiguration));
        }
        Applied::Turn(Turn::Ask(Self { step: Step::Writing, ..self }))
    }

    fn look_again(self) -> Applied {
        if self.pauses == PAUSES_MAX {
            return Applied::Turn(Turn::Wait(Wait::Configuration));
        }
        let pauses = self.pauses + 1;
        let again = Self { step: Step::Reading, pauses, ..self };
        Applied::Turn(Turn::Pause(again, UPGRADING_PAUSE_MS, Wait::Configuration))
    }

    fn next(self) -> Applied {
        let index = self.index + 1;
        if index == self.settings().len() {
            return Applied::Done { writes: self.writes, keys: self.keys };
        }
        Applied::Turn(Turn::Ask(Self { index, step: Step::Reading, tries: 0, pauses: 0, ..self }))
    }

    fn settings(&self) -> Vec<Setting> {
        match self.scope {
            Scope::Bootstrap => bootstrap_settings(),
            Scope::Platform => {
                // The auth method is root's; its accessor is what policies name, so it is read first here too.
                let mut settings = Vec::from([Setting::KubernetesAuth]);
                settings.extend(platform_settings());
                // The role that only reads may not see how credentials are made either.
                settings.retain(|setting| self.may_write || *setting != Setting::PasswordPolicy);
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

fn public_key(key: &NatsKey, standing: Option<&Value>) -> Option<PublicKey> {
    let text = standing?.get("public_key")?.as_str()?;
    PublicKey::from_base64(Prefix::of(key), text).ok()
}
