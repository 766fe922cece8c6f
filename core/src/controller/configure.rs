//! Logging in as the one who serves and as the one who configures, and making every setting so.
//!
//! ```text
//! LoggingIn → Sweeping → LoggingInForSetup ── token ──> Applying → Comparing → Storing → Forgetting → certify
//!                              └ no such token: the same with the authority that only reads
//! ```
//!
//! The token of `controller-setup` is root-equivalent. It is used here and forgotten, with everything else that is not
//! needed to serve; where the hardened overlay has taken its projected token away, a difference is an alarm and neither
//! repaired nor fatal. A renewal of the own token is the same way again.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::apply::{Applied, Apply, Authority};
use super::calls::{Call, NatsKeys, Notice, Reply};
use super::generation::{CompareGeneration, Compared};
use super::login::{As, LoggedIn, Login};
use super::store::{Store, Stored};
use super::sweep::{Sweep, Swept};
use super::table::Wait;
use super::turn::{Context, Lease, Turn};
use crate::documents::nkey::PublicKey;
use crate::keys;
use crate::machine::Outcome;
use crate::phases::phases;
use crate::retry::renewal_s;
use crate::secret::{Own, Secret};

/// Configuration under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Configure {
    /// As the one who serves.
    LoggingIn(Login),
    /// Nobody else may be root.
    Sweeping(Sweep),
    /// As the one who configures.
    LoggingInForSetup(Login),
    /// Settings.
    Applying(Apply),
    /// The generation of the envelope; by that authority it goes on.
    Comparing(CompareGeneration, Authority),
    /// What is written once.
    Storing(Store),
    /// What was needed up to here, and is not needed to serve.
    Forgetting,
}

/// Wiping slots of the keyring.
const FORGET_MS: u64 = 1_000;
/// Which stream of renewals the controller's own token draws from.
const RENEWAL_OF_TOKEN: u64 = 0;

impl Configure {
    pub(super) const fn begin() -> Self {
        Self::LoggingIn(Login::begin(As::Controller))
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match self {
            Self::LoggingIn(login) | Self::LoggingInForSetup(login) => login.ask(),
            Self::Sweeping(sweep) => sweep.ask(),
            Self::Applying(apply) => apply.ask(context),
            Self::Comparing(compare, _) => compare.ask(),
            Self::Storing(store) => store.ask(context),
            Self::Forgetting => {
                let names = NOT_NEEDED_TO_SERVE.map(Secret::Own).into();
                (Call::Keys(keys::Call::Forget { names }), FORGET_MS)
            }
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self::LoggingIn(login) | Self::LoggingInForSetup(login) => Login(login),
            Self::Sweeping(sweep) => Sweep(sweep),
            Self::Applying(apply) => Apply(apply),
            Self::Comparing(compare, _) => CompareGeneration(compare),
            Self::Storing(store) => Store(store),
            Self::Forgetting => "Configure::Forgetting",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self {
            Self::LoggingIn(login) => match login.done(outcome, context) {
                LoggedIn::Turn(turn) => turn.map(Self::LoggingIn),
                LoggedIn::NoToken => Turn::Wait(Wait::VaultToken),
                LoggedIn::Done { lease_s } => {
                    let renewal_s = renewal_s(context.seed, RENEWAL_OF_TOKEN, lease_s);
                    context.memory.token = Some(Lease::new(context.now, renewal_s, lease_s));
                    context.memory.silent_looks = 0;
                    Turn::Ask(Self::Sweeping(Sweep::begin()))
                }
            },
            Self::Sweeping(sweep) => match sweep.done(outcome, context) {
                Swept::Turn(turn) => turn.map(Self::Sweeping),
                Swept::Clean => Turn::Ask(Self::LoggingInForSetup(Login::begin(As::Setup))),
            },
            Self::LoggingInForSetup(login) => match login.done(outcome, context) {
                LoggedIn::Turn(turn) => turn.map(Self::LoggingInForSetup),
                LoggedIn::NoToken => Turn::Ask(Self::Applying(Apply::begin(Authority::Serving))),
                LoggedIn::Done { .. } => Turn::Ask(Self::Applying(Apply::begin(Authority::Setup))),
            },
            Self::Applying(apply) => {
                let authority = apply.authority();
                match apply.done(outcome, context) {
                    Applied::Turn(turn) => turn.map(Self::Applying),
                    Applied::Done { keys } => {
                        context.memory.keys = Some(NatsKeys::from_settings(keys));
                        Turn::Ask(Self::Comparing(CompareGeneration::begin(), authority))
                    }
                }
            }
            Self::Comparing(compare, authority) => match compare.done(outcome, context) {
                Compared::Turn(turn) => turn.map(|compare| Self::Comparing(compare, authority)),
                Compared::Done => Turn::Ask(Self::Storing(Store::begin(authority))),
            },
            Self::Storing(store) => match store.done(outcome, context) {
                Stored::Turn(turn) => turn.map(Self::Storing),
                Stored::Done => {
                    let keys = context.memory.keys.clone().expect("they were kept when the settings stood");
                    context.notices.push(Notice::Configured { keys });
                    Turn::Ask(Self::Forgetting)
                }
            },
            Self::Forgetting => match outcome {
                Outcome::Ok(Reply::Keys(keys::Reply::Forgotten)) => Turn::Certify,
                Outcome::Ok(reply) => panic!("the driver answered Forgetting with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Keyring),
            },
        }
    }
}

/// Every slot that the controller ever fills but `ControllerToken`, `ServingKey` and `ApiJwt`. Whatever needs one of them
/// later fills it anew.
const NOT_NEEDED_TO_SERVE: [Own; 8] = [
    Own::MintedSealKey,
    Own::SealKey,
    Own::UnsealKey,
    Own::RootToken,
    Own::VaultJwt,
    Own::SetupJwt,
    Own::SetupToken,
    Own::Password,
];

impl NatsKeys {
    /// The keys in the order in which [`crate::documents::setting::platform_settings`] lists them.
    fn from_settings(keys: Vec<PublicKey>) -> Self {
        let [operator, system_account, platform_account, platform_signer] =
            <[_; 4]>::try_from(keys).expect("the settings list four keys");
        Self { operator, system_account, platform_account, platform_signer }
    }
}
