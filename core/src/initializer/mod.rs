//! The NATS initializer: exchanges the pod's token for what NATS starts on, writes it to the shared volume, ends.
//!
//! ```text
//! start ─> ReadingTrust ─> ReadingToken ──────────────────> Bootstrapping ─> WritingBundle ─> Finished
//!               ^               └─> MintingKey, if its origin is the pod ─┘
//!           BackingOff <── from each: not there yet, any doubt, any no that can pass
//!
//! anywhere ── a no that cannot pass, or the time is over ──> Stopped
//! ```
//!
//! Every attempt begins with the mounts: a token or a certificate that was replaced meanwhile is the one that is
//! used. Nothing is written before everything is there and fits together, and what is written is written as one, so
//! that a restart at any moment finds all of the files or none.

mod bootstrapping;
mod calls;
mod minting_key;
mod reading_token;
mod reading_trust;
#[cfg(test)]
mod tests;
mod verdict;
mod writing_bundle;

use alloc::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub(crate) use self::bootstrapping::{BOOTSTRAP_MS, is_usable, lives, rejected};
pub use self::calls::{Answer, Ask, Call, Config, Notice, Reply, Signal};
pub(crate) use self::minting_key::MINT_KEY_MS;
pub(crate) use self::reading_token::{READ_TOKEN_MS, judge as judge_token};
pub(crate) use self::reading_trust::{READ_TRUST_MS, judge as judge_trust};
pub use self::verdict::Wait;
pub(crate) use self::verdict::{LOOK_AGAIN_MS, Place, Verdict, WRITES_REFUSED_MAX};
pub(crate) use self::writing_bundle::{WRITE_BUNDLE_MS, file};
use crate::bootstrap::{self, KeyOrigin, NoAnswer};
use crate::fatal::Fatal;
use crate::keys;
use crate::machine::{CallId, Event, Machine, Out, Outcome, Refusal, Seed, Standing};
use crate::names::Pem;
use crate::phases::phases;
use crate::retry::{Attempt, backoff};
use crate::secret::{Own, Secret};
use crate::time::{Mono, Now};
use crate::volume;

const TOKEN: Secret = Secret::Own(Own::CallerJwt);
const KEY: Secret = Secret::Own(Own::ServingKey);

/// The NATS initializer. The picture is in the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Initializer {
    config: Config,
    seed: Seed,
    /// Until then a mount may be late.
    grace_until: Mono,
    /// Then the operator's bound is over, if there is one.
    give_up_at: Option<Mono>,
    /// How often an attempt failed.
    attempt: Attempt,
    /// How often the shared volume refused the files.
    writes_refused: u8,
    /// What was waited for last and may still be missing.
    wait: Option<Wait>,
    state: State,
}

/// What is awaited, and what only that phase needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    ReadingTrust { call: CallId },
    ReadingToken { call: CallId, ca: Pem },
    MintingKey { call: CallId, ca: Pem },
    Bootstrapping { call: CallId, ca: Pem },
    WritingBundle { call: CallId },
    BackingOff { until: Mono, wait: Wait },
    Finished,
    Stopped(Fatal),
}

impl Machine for Initializer {
    type Config = Config;
    type Call = Call;
    type Reply = Reply;
    type Ask = Ask;
    type Answer = Answer;
    type Notice = Notice;
    type Signal = Signal;

    fn start(config: Config, seed: Seed, now: Now, out: &mut Out<Self>) -> Self {
        Self {
            grace_until: now.in_ms(config.mount_grace_ms),
            give_up_at: (config.give_up_ms > 0).then(|| now.in_ms(config.give_up_ms)),
            attempt: Attempt::default(),
            writes_refused: 0,
            wait: None,
            state: State::reading_trust(now, out),
            config,
            seed,
        }
    }

    fn handle_event(&mut self, now: Now, event: Event<Self>, out: &mut Out<Self>) {
        match event {
            Event::Done { id, outcome } => {
                if self.state.awaits() == Some(id) {
                    self.done(now, outcome, out);
                }
            }
            Event::Asked { ask, .. } => match ask {},
            Event::Withdrawn { .. } => {}
            Event::Signal(Signal::Stop) => {
                if !self.state.is_final() {
                    self.give_up();
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Out<Self>) {
        if self.state.is_final() {
            return;
        }
        if self.give_up_at.is_some_and(|at| at <= now.mono) {
            self.give_up();
            return;
        }
        if let State::BackingOff { until, .. } = self.state
            && until <= now.mono
        {
            self.state = State::reading_trust(now, out);
        }
    }

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        if self.state.is_final() {
            return None;
        }
        let bound = self.give_up_at.map(|at| (at, "the time that the operator allowed"));
        let pause = match &self.state {
            State::BackingOff { until, wait } => Some((*until, wait.sentence())),
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKey { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::Finished
            | State::Stopped(_) => None,
        };
        [pause, bound].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn phase(&self) -> &'static str {
        self.state.phase()
    }

    fn phases() -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        State::add_phases(&mut names);
        names
    }

    fn waits_for(&self) -> &'static str {
        match self.state {
            State::ReadingTrust { .. } => self.wait.unwrap_or(Wait::Mounts).sentence(),
            State::ReadingToken { .. } => self.wait.unwrap_or(Wait::Mounts).sentence(),
            State::MintingKey { .. } => self.wait.unwrap_or(Wait::Keyring).sentence(),
            State::Bootstrapping { .. } => self.wait.unwrap_or_else(|| self.state.doubt()).sentence(),
            State::WritingBundle { .. } => self.wait.unwrap_or(Wait::Volume).sentence(),
            State::BackingOff { wait, .. } => wait.sentence(),
            State::Finished => "nothing: the files are written",
            State::Stopped(Fatal::GaveUp) => self.wait.map_or(Fatal::GaveUp.cause(), Wait::sentence),
            State::Stopped(fatal) => fatal.cause(),
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKey { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::BackingOff { .. } => Standing::Starting,
            State::Finished => Standing::Finished,
            State::Stopped(fatal) => Standing::Stopped(fatal),
        }
    }
}

impl State {
    phases! {
        fn phase(&self) match (self) {
            Self::ReadingTrust { .. } => "ReadingTrust",
            Self::ReadingToken { .. } => "ReadingToken",
            Self::MintingKey { .. } => "MintingKey",
            Self::Bootstrapping { .. } => "Bootstrapping",
            Self::WritingBundle { .. } => "WritingBundle",
            Self::BackingOff { .. } => "BackingOff",
            Self::Finished => "Finished",
            Self::Stopped(_) => "Stopped",
        }
    }
}

impl Initializer {
    /// The awaited call has ended.
    fn done(&mut self, now: Now, outcome: Outcome<Reply>, out: &mut Out<Self>) {
        use State::{Bootstrapping, MintingKey, ReadingToken, ReadingTrust, WritingBundle};

        let verdict = match (self.state.clone(), outcome) {
            (WritingBundle { .. }, Outcome::Refused(Refusal::Local)) => self.write_refused(),
            (
                Bootstrapping { .. },
                missing @ (Outcome::Refused(_)
                | Outcome::Unknown(_)
                | Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unexplained))),
            ) => Verdict::Again(Wait::Controller(NoAnswer::of(&missing))),
            (state, Outcome::Refused(_) | Outcome::Unknown(_)) => Verdict::Again(state.doubt()),

            (ReadingTrust { .. }, Outcome::Ok(Reply::Volume(volume::Reply::Trust(files)))) => {
                judge_trust(files, now).map(|ca| State::reading_token(ca, now, out))
            }
            (ReadingToken { ca, .. }, Outcome::Ok(Reply::Volume(volume::Reply::Token(file)))) => {
                judge_token(file).map(|()| {
                    self.came(Place::Mounts);
                    match self.config.key_origin {
                        KeyOrigin::Vault => State::bootstrapping(ca, None, now, out),
                        KeyOrigin::Pod => State::minting_key(ca, now, out),
                    }
                })
            }
            (MintingKey { ca, .. }, Outcome::Ok(Reply::Keys(keys::Reply::CertificateKey(csr)))) => {
                Verdict::Go(State::bootstrapping(ca, Some(csr), now, out))
            }
            (Bootstrapping { ca, .. }, Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Nats(documents)))) => {
                bootstrapping::judge(&documents, &ca, now).map(|fitting| {
                    self.came(Place::Controller);
                    out.notice(Notice::Bootstrapped { expires: documents.certificate.not_after });
                    State::writing_bundle(&documents, fitting, &self.config, now, out)
                })
            }
            (Bootstrapping { .. }, Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Rejected(rejection)))) => {
                rejected(rejection)
            }
            (Bootstrapping { .. }, Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unfit(_)))) => {
                Verdict::Stop(Fatal::DocumentsMalformed)
            }
            (WritingBundle { .. }, Outcome::Ok(Reply::Volume(volume::Reply::Written))) => {
                out.notice(Notice::Written);
                Verdict::Go(State::Finished)
            }

            (state, Outcome::Ok(reply)) => panic!("the driver answered {state:?} with {reply:?}"),
        };
        self.conclude(verdict, now, out);
    }

    /// The volume says no: three times is for good.
    fn write_refused(&mut self) -> Verdict<State> {
        self.writes_refused += 1;
        if self.writes_refused < WRITES_REFUSED_MAX {
            return Verdict::Again(Wait::Volume);
        }
        Verdict::Stop(Fatal::VolumeNotWritable)
    }

    /// Stops, and still knows what was waited for.
    fn give_up(&mut self) {
        self.wait = self.wait.or_else(|| Some(self.state.doubt()));
        self.state = State::Stopped(Fatal::GaveUp);
    }

    /// What `place` held back is there: nothing of it is waited for any more.
    fn came(&mut self, place: Place) {
        self.wait = self.wait.filter(|wait| wait.place() > place);
    }

    fn conclude(&mut self, verdict: Verdict<State>, now: Now, out: &mut Out<Self>) {
        match verdict {
            Verdict::Go(state) => self.state = state,
            Verdict::Late { wait, .. } if now.mono < self.grace_until => {
                self.back_off(now.in_ms(LOOK_AGAIN_MS).min(self.grace_until), wait, out);
            }
            Verdict::Late { fatal, .. } => self.state = State::Stopped(fatal),
            Verdict::Again(wait) => {
                let until = backoff(self.seed, self.attempt, now).after_ms(wait.pause_ms());
                self.attempt = self.attempt.next();
                self.back_off(until, wait, out);
            }
            Verdict::Stop(fatal) => self.state = State::Stopped(fatal),
        }
    }

    fn back_off(&mut self, until: Mono, wait: Wait, out: &mut Out<Self>) {
        if self.wait != Some(wait) {
            out.notice(Notice::Waiting(wait));
        }
        self.wait = Some(wait);
        self.state = State::BackingOff { until, wait };
    }
}

impl State {
    /// The call whose end moves this state.
    const fn awaits(&self) -> Option<CallId> {
        match self {
            Self::ReadingTrust { call }
            | Self::ReadingToken { call, .. }
            | Self::MintingKey { call, .. }
            | Self::Bootstrapping { call, .. }
            | Self::WritingBundle { call } => Some(*call),
            Self::BackingOff { .. } | Self::Finished | Self::Stopped(_) => None,
        }
    }

    /// What is missing if the awaited call brought no answer.
    const fn doubt(&self) -> Wait {
        match self {
            Self::ReadingTrust { .. } | Self::ReadingToken { .. } => Wait::Mounts,
            Self::MintingKey { .. } => Wait::Keyring,
            Self::Bootstrapping { .. } => Wait::Controller(NoAnswer::Silent),
            Self::WritingBundle { .. } => Wait::Volume,
            Self::BackingOff { wait, .. } => *wait,
            Self::Finished | Self::Stopped(_) => panic!("a state that awaits nothing has no doubt"),
        }
    }

    const fn is_final(&self) -> bool {
        match self {
            Self::Finished | Self::Stopped(_) => true,
            Self::ReadingTrust { .. }
            | Self::ReadingToken { .. }
            | Self::MintingKey { .. }
            | Self::Bootstrapping { .. }
            | Self::WritingBundle { .. }
            | Self::BackingOff { .. } => false,
        }
    }
}
