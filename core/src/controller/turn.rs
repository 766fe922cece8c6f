//! How a phase hands control back: phases compute, the controller branches.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calls::{Config, Lapse, NatsKeys, Notice};
use super::login::Refusals;
use super::table::{Decision, Facts, Wait};
use crate::fatal::Fatal;
use crate::machine::Seed;
use crate::names::{Accessor, LifeId};
use crate::retry::Due;
use crate::time::{Mono, Now};

/// What follows from an answer. `S` is the phase.
pub(super) enum Turn<S> {
    /// Ask what the new state of the phase asks.
    Ask(S),
    /// The same after a pause; the keys in memory must not be lost by surveying anew.
    Pause(S, u64, Wait),
    /// A deed is done: look at the world again at once. The next back-off begins anew.
    Survey,
    /// The survey is complete: apply the boot table to what it found.
    Decide(Box<Facts>),
    /// A row could not be carried out, and what follows then is decided already.
    Follow(Decision),
    /// Look at the world again after a back-off, and say meanwhile what is waited for.
    Wait(Wait),
    /// Log in, configure, and renew what is due.
    Configure,
    /// Configured: certify and serve.
    Certify,
    /// Everything stands.
    Serve,
    /// A person must act.
    Stop(Fatal),
}

impl<S> Turn<S> {
    /// The same turn of an enclosing phase.
    pub(super) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Turn<T> {
        match self {
            Self::Ask(state) => Turn::Ask(wrap(state)),
            Self::Pause(state, pause_ms, wait) => Turn::Pause(wrap(state), pause_ms, wait),
            Self::Survey => Turn::Survey,
            Self::Decide(facts) => Turn::Decide(facts),
            Self::Follow(decision) => Turn::Follow(decision),
            Self::Wait(wait) => Turn::Wait(wait),
            Self::Configure => Turn::Configure,
            Self::Certify => Turn::Certify,
            Self::Serve => Turn::Serve,
            Self::Stop(fatal) => Turn::Stop(fatal),
        }
    }
}

/// What a phase may look at and leave behind.
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) seed: Seed,
    pub(super) now: Now,
    pub(super) memory: &'a mut Memory,
    pub(super) notices: &'a mut Vec<Notice>,
}

/// What the controller remembers between phases. All of it can be found out again. It is kept small: what a decision was
/// made from is forgotten with the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The life that is served, known from row 20 on.
    pub(super) life: Option<LifeId>,
    /// The accessor of the Kubernetes auth mount, which policies name.
    pub(super) accessor: Option<Accessor>,
    /// The public keys of NATS.
    pub(super) keys: Option<NatsKeys>,
    /// Which role's login Vault refuses although the API server accepts the token.
    pub(super) refusals: Refusals,
    /// Since when the mounted seal key has been absent or another than the envelope's.
    pub(super) key_missing_since: Option<Mono>,
    /// Whether callers are served: everything stands, and Vault was not seen sealed since.
    pub(super) serving: bool,
    /// How many looks at Vault's seal in a row brought no answer.
    pub(super) silent_looks: u8,
    /// The own Vault token, while it lives.
    pub(super) token: Option<Lease>,
    /// The certificate that was proved to be shown, while it lives.
    pub(super) certificate: Option<Lease>,
    /// When it is next looked at what the next unseal needs; `None` until something is served, and while it is looked.
    pub(super) audit: Option<Due>,
}

/// Something that ends, and is renewed before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Lease {
    renewal: Due,
    end: Due,
}

impl Lease {
    /// Of `life_s` seconds, renewed after `renewal_s` of them.
    pub(super) const fn new(now: Now, renewal_s: u64, life_s: u64) -> Self {
        Self { renewal: Due::in_s(now, renewal_s), end: Due::in_s(now, life_s) }
    }

    /// Whether it is time to renew it.
    pub(super) fn is_due(self, now: Now) -> bool {
        self.renewal.is_due(now)
    }

    fn has_ended(self, now: Now) -> bool {
        self.end.is_due(now)
    }
}

/// So many looks at Vault's seal in a row may stay without an answer before nobody is served any more. One lost
/// answer is no outage; with a look every two seconds this is six.
pub(super) const SILENT_LOOKS_MAX: u8 = 3;

impl Memory {
    /// Whether callers may be served at this moment: nobody is with a token or a certificate that has ended, even before
    /// [`Memory::lapse`] was called.
    pub(super) fn serves(&self, now: Now) -> bool {
        let lives = |lease: Option<Lease>| lease.is_some_and(|lease| !lease.has_ended(now));
        self.serving && lives(self.token) && lives(self.certificate)
    }

    /// Forgets what has ended, and takes readiness away with it. Gives what callers miss by it.
    pub(super) fn lapse(&mut self, now: Now) -> Vec<Lapse> {
        let served = self.serving;
        let mut lapses = Vec::new();
        for (lease, lapse) in [(&mut self.token, Lapse::Token), (&mut self.certificate, Lapse::Certificate)] {
            if lease.is_some_and(|lease| lease.has_ended(now)) {
                *lease = None;
                self.serving = false;
                lapses.push(lapse);
            }
        }
        if served { lapses } else { Vec::new() }
    }

    /// Whether the own token or certificate is missing or to be renewed.
    pub(super) fn is_renewal_due(&self, now: Now) -> bool {
        [self.token, self.certificate].into_iter().any(|lease| lease.is_none_or(|lease| lease.is_due(now)))
    }

    /// Vault's seal was looked at: whether it is open, or `None` if no answer came. Takes readiness away where it has
    /// to be; only [`Turn::Serve`] gives it.
    pub(super) fn looked_at_seal(&mut self, open: Option<bool>) {
        match open {
            Some(open) => {
                self.silent_looks = 0;
                self.serving &= open;
            }
            None if self.serving => {
                self.silent_looks += 1;
                if self.silent_looks == SILENT_LOOKS_MAX {
                    (self.silent_looks, self.serving) = (0, false);
                }
            }
            // There is nothing left to take away, so nothing to count.
            None => {}
        }
    }
}
