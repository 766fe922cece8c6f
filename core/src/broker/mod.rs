//! The broker: keeps a component's documents fresh, serves its runtime, and connects it to NATS.
//!
//! ```text
//! start ─> ReadingTrust ─> ReadingToken ─> [MintingKeys ─>] Bootstrapping ─> WritingBundle ─> Presenting ─> Connecting ─> Serving
//!               ^                                                                 │                         ^
//!               │                                                                 └─ NATS has what is held ─┘
//!           BackingOff <── from each but Serving: not there yet, any doubt, any no that can pass
//!               └────────> Connecting again, if NATS alone is missing
//!
//! Serving ── two thirds of the shortest life are over, or SIGHUP ─────────> ReadingTrust
//! Serving ── NATS is lost and does not come back with what it was given ──> Connecting
//!
//! anywhere ── SIGTERM ──> Finished
//! anywhere, if nothing obtained before still works ── a no that cannot pass ──> Stopped
//! ```
//!
//! The first start and every renewal are the same way through the same states. While a renewal is under way
//! everything obtained before goes on working, and a renewal that fails takes nothing away: it begins again until
//! the documents have ended. NATS ends a connection with the JWT that it began with, so each renewal ends with a new
//! connection, which takes the place of the old one while that one stands.
//!
//! Beside it each question has a session of its own, which neither waits for a renewal nor delays one.

mod bootstrapping;
mod calls;
mod connecting;
mod minting_keys;
mod presenting;
mod publishing;
mod reading_token;
mod reading_trust;
mod serving;
mod sessions;
mod signing;
#[cfg(test)]
mod tests;
mod writing_bundle;

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::bootstrapping::Held;
pub use self::calls::{Answer, Ask, Call, Config, Notice, Reply, Signal, Unsigned, Wait};
pub use self::connecting::CONNECT_MS;
use self::signing::Signing;
use crate::bootstrap::{self, NoAnswer};
use crate::fatal::Fatal;
use crate::initializer::{
    self, LOOK_AGAIN_MS, Place, Verdict, WRITES_REFUSED_MAX, judge_token, judge_trust, rejected,
};
use crate::keys;
use crate::listener;
use crate::machine::{CallId, Event, Machine, Out, Outcome, Refusal, Seed, Standing, Ticket};
use crate::names::{Csr, Pem};
use crate::nats::{self, Link};
use crate::phases::phases;
use crate::retry::{Attempt, backoff};
use crate::secret::{Own, Secret};
use crate::time::{Mono, Now, Unix};
use crate::volume;

const TOKEN: Secret = Secret::Own(Own::CallerJwt);
const KEY: Secret = Secret::Own(Own::ServingKey);
const RUNTIME_KEY: Secret = Secret::Own(Own::RuntimeKey);

/// The broker. The picture is in the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Broker {
    config: Config,
    seed: Seed,
    first_start: FirstStart,
    /// Until then a mount may be late.
    grace_until: Mono,
    /// How often an attempt failed since the last success.
    attempt: Attempt,
    /// How often the shared volume refused the files since the last success.
    writes_refused: u8,
    /// What was waited for last and may still be missing.
    wait: Option<Wait>,
    /// The newest documents that fit together.
    held: Option<Held>,
    /// When the first of the documents ends that runtime and NATS work with. They are `held` once that is presented.
    in_use_until: Option<Unix>,
    /// Whether that has passed.
    lapsed: bool,
    link: Link,
    /// Why NATS' last nonce was not signed.
    unsigned: Option<Unsigned>,
    dialled: Dialled,
    state: State,
    signing: BTreeMap<Ticket, Signing>,
    publishing: BTreeMap<Ticket, CallId>,
}

/// What is awaited on the way to fresh documents in use, and what only that phase needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    ReadingTrust {
        call: CallId,
    },
    ReadingToken {
        call: CallId,
        ca: Pem,
    },
    /// The broker's key, or the runtime's once there is the request on the broker's.
    MintingKeys {
        call: CallId,
        ca: Pem,
        broker: Option<Csr>,
    },
    Bootstrapping {
        call: CallId,
        ca: Pem,
    },
    WritingBundle {
        call: CallId,
    },
    Presenting {
        call: CallId,
    },
    Connecting {
        call: CallId,
    },
    BackingOff {
        until: Mono,
        wait: Wait,
        resume: Resume,
    },
    Serving {
        look_at: Mono,
    },
    Finished,
    Stopped(Fatal),
}

/// Where an attempt goes on after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Resume {
    /// With the mounts.
    FromTheTop,
    /// With NATS alone: everything before is fresh and in use. Asking the controller again whenever NATS is late
    /// would multiply a restart of NATS into a storm on Vault.
    Connect,
}

/// Whether the broker has ever served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum FirstStart {
    /// Not yet; then the operator's bound is over, if there is one.
    Pending {
        give_up_at: Option<Mono>,
    },
    Over,
}

/// What the NATS client reconnects with by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Dialled {
    /// The certificate that is held now.
    Current,
    /// An older one, or none.
    Superseded,
}

impl Machine for Broker {
    type Config = Config;
    type Call = Call;
    type Reply = Reply;
    type Ask = Ask;
    type Answer = Answer;
    type Notice = Notice;
    type Signal = Signal;

    fn start(config: Config, seed: Seed, now: Now, out: &mut Out<Self>) -> Self {
        let give_up_at = (config.give_up_ms > 0).then(|| now.in_ms(config.give_up_ms));
        Self {
            first_start: FirstStart::Pending { give_up_at },
            grace_until: now.in_ms(config.mount_grace_ms),
            attempt: Attempt::default(),
            writes_refused: 0,
            wait: None,
            held: None,
            in_use_until: None,
            lapsed: false,
            link: Link::Down,
            unsigned: None,
            dialled: Dialled::Superseded,
            state: State::reading_trust(now, out),
            signing: BTreeMap::new(),
            publishing: BTreeMap::new(),
            config,
            seed,
        }
    }

    fn handle_event(&mut self, now: Now, event: Event<Self>, out: &mut Out<Self>) {
        self.look_at_the_clock(now, out);
        match event {
            Event::Done { id, outcome } => {
                if self.state.awaits() == Some(id) {
                    self.done(now, outcome, out);
                } else {
                    self.session_done(id, outcome, out);
                }
            }
            Event::Asked { ticket, by, ask } => self.admit(now, ticket, by, ask, out),
            Event::Withdrawn { ticket } => self.withdraw(ticket),
            Event::Signal(Signal::Link(Link::Up)) => self.link_up(out),
            Event::Signal(Signal::Link(Link::Down)) => self.link_down(out),
            Event::Signal(Signal::Renew) => self.renew(now, out),
            Event::Signal(Signal::Stop) => {
                if !self.state.is_final() {
                    self.end(State::Finished, out);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Out<Self>) {
        if self.poll_timeout().is_none_or(|(at, _)| now.mono < at) {
            return;
        }
        self.look_at_the_clock(now, out);
        if self.give_up_at().is_some_and(|at| at <= now.mono) {
            self.wait = self.wait.or_else(|| Some(self.state.doubt()));
            self.end(State::Stopped(Fatal::GaveUp), out);
            return;
        }
        match self.state {
            State::BackingOff { resume: Resume::FromTheTop, .. } => {
                self.state = State::reading_trust(now, out)
            }
            State::BackingOff { resume: Resume::Connect, .. } | State::Serving { .. } => self.serve(now, out),
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKeys { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::Presenting { .. }
            | State::Connecting { .. }
            | State::Finished
            | State::Stopped(_) => {}
        }
    }

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        let pause = match &self.state {
            State::BackingOff { until, wait, .. } => Some((*until, wait.sentence())),
            State::Serving { look_at } => Some((*look_at, "the next look at what needs renewal")),
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKeys { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::Presenting { .. }
            | State::Connecting { .. } => None,
            State::Finished | State::Stopped(_) => return None,
        };
        let bound = self.give_up_at().map(|at| (at, "the time that the operator allowed"));
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
        if self.standing() == Standing::Ready {
            return "nothing: the runtime is served and NATS is connected";
        }
        match self.state {
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKeys { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::Presenting { .. }
            | State::Connecting { .. } => self.wait.unwrap_or_else(|| self.state.doubt()).sentence(),
            State::Serving { .. } if self.lapsed => "the renewal of what has ended, at the next look",
            State::Serving { .. } => self.connection().sentence(),
            State::BackingOff { wait, .. } => wait.sentence(),
            State::Finished => "nothing: the pod ends",
            State::Stopped(Fatal::GaveUp) => self.wait.map_or(Fatal::GaveUp.cause(), Wait::sentence),
            State::Stopped(fatal) => fatal.cause(),
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::Finished => Standing::Finished,
            State::Stopped(fatal) => Standing::Stopped(fatal),
            State::ReadingTrust { .. }
            | State::ReadingToken { .. }
            | State::MintingKeys { .. }
            | State::Bootstrapping { .. }
            | State::WritingBundle { .. }
            | State::Presenting { .. }
            | State::Connecting { .. }
            | State::BackingOff { .. }
            | State::Serving { .. } => {
                if self.works() && self.link == Link::Up {
                    Standing::Ready
                } else {
                    Standing::Starting
                }
            }
        }
    }
}

impl State {
    phases! {
        fn phase(&self) match (self) {
            Self::ReadingTrust { .. } => "ReadingTrust",
            Self::ReadingToken { .. } => "ReadingToken",
            Self::MintingKeys { .. } => "MintingKeys",
            Self::Bootstrapping { .. } => "Bootstrapping",
            Self::WritingBundle { .. } => "WritingBundle",
            Self::Presenting { .. } => "Presenting",
            Self::Connecting { .. } => "Connecting",
            Self::BackingOff { .. } => "BackingOff",
            Self::Serving { .. } => "Serving",
            Self::Finished => "Finished",
            Self::Stopped(_) => "Stopped",
        }
    }
}

impl Broker {
    /// The call that the acquiring state awaits has ended.
    fn done(&mut self, now: Now, outcome: Outcome<Reply>, out: &mut Out<Self>) {
        use State::{Bootstrapping, Connecting, WritingBundle};

        match (self.state.clone(), outcome) {
            (
                Bootstrapping { .. },
                missing @ (Outcome::Refused(_)
                | Outcome::Unknown(_)
                | Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Unexplained))),
            ) => {
                let wait = initializer::Wait::Controller(NoAnswer::of(&missing));
                self.pause(Resume::FromTheTop, Wait::Bootstrap(wait), now, out);
            }
            (state, Outcome::Ok(reply)) => self.replied(now, state, reply, out),
            (WritingBundle { .. }, Outcome::Refused(Refusal::Local)) => {
                let verdict = self.write_refused();
                self.conclude(verdict, now, out);
            }
            (Connecting { .. }, Outcome::Refused(refusal)) => {
                self.pause(connecting::resume(refusal), self.connection(), now, out);
            }
            (Connecting { .. }, Outcome::Unknown(_)) => {
                self.pause(Resume::Connect, self.connection(), now, out);
            }
            (state, Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.pause(Resume::FromTheTop, state.doubt(), now, out);
            }
        }
    }

    /// The answer of the state's call is there.
    fn replied(&mut self, now: Now, state: State, reply: Reply, out: &mut Out<Self>) {
        use State::{
            Bootstrapping, Connecting, MintingKeys, Presenting, ReadingToken, ReadingTrust, WritingBundle,
        };

        let verdict = match (state, reply) {
            (ReadingTrust { .. }, Reply::Volume(volume::Reply::Trust(files))) => {
                judge_trust(files, now).map(|ca| State::reading_token(ca, now, out))
            }
            (ReadingToken { ca, .. }, Reply::Volume(volume::Reply::Token(file))) => {
                judge_token(file).map(|()| {
                    self.came(Place::Mounts);
                    State::at_keys(self.config.key_origin, ca, now, out)
                })
            }
            (MintingKeys { ca, broker, .. }, Reply::Keys(keys::Reply::CertificateKey(csr))) => {
                Verdict::Go(State::minted(ca, broker, csr, now, out))
            }
            (Bootstrapping { ca, .. }, Reply::Bootstrap(bootstrap::Reply::Component(documents))) => {
                let user = self.held.as_ref().map(|held| &held.documents.user);
                bootstrapping::judge(documents, &ca, user, self.seed, now).map(|held| {
                    self.came(Place::Controller);
                    self.hold(held, now, out)
                })
            }
            (Bootstrapping { .. }, Reply::Bootstrap(bootstrap::Reply::Rejected(rejection))) => {
                rejected(rejection)
            }
            (Bootstrapping { .. }, Reply::Bootstrap(bootstrap::Reply::Unfit(_))) => {
                Verdict::Stop(Fatal::DocumentsMalformed)
            }
            (WritingBundle { .. }, Reply::Volume(volume::Reply::Written)) => {
                out.notice(Notice::Written);
                Verdict::Go(State::presenting(self.held(), now, out))
            }
            (Presenting { .. }, Reply::Listener(listener::Reply::Presented { address })) => {
                out.notice(Notice::Serving { address });
                self.in_use_until = Some(self.held().expires());
                self.lapsed = false;
                self.serve(now, out);
                return;
            }
            (Connecting { .. }, Reply::Nats(nats::Reply::Connected)) => {
                self.dialled = Dialled::Current;
                match self.link {
                    Link::Up => out.notice(Notice::Succeeded),
                    Link::Down => self.link_up(out),
                }
                self.serve(now, out);
                return;
            }

            (state, reply) => panic!("the driver answered {state:?} with {reply:?}"),
        };
        self.conclude(verdict, now, out);
    }

    /// Documents are in use. Renews them if they are due already, connects NATS if it is not or is with older ones, or
    /// else is settled.
    fn serve(&mut self, now: Now, out: &mut Out<Self>) {
        if self.held().renew_at <= now.unix {
            self.begin_renewal(now, out);
            return;
        }
        if self.link == Link::Down || self.dialled == Dialled::Superseded {
            self.state = State::connecting(self.held(), now, out);
            return;
        }
        self.first_start = FirstStart::Over;
        self.attempt = Attempt::default();
        self.writes_refused = 0;
        self.wait = None;
        self.state = State::serving(self.held(), now);
    }

    /// Somebody wants new documents before the old ones come to an age. Whatever is under way brings them anyway.
    fn renew(&mut self, now: Now, out: &mut Out<Self>) {
        let State::Serving { .. } = self.state else { return };
        self.begin_renewal(now, out);
    }

    fn begin_renewal(&mut self, now: Now, out: &mut Out<Self>) {
        self.grace_until = now.in_ms(self.config.mount_grace_ms);
        self.state = State::reading_trust(now, out);
    }

    /// The volume says no: three times is for good.
    fn write_refused(&mut self) -> Verdict<State> {
        self.writes_refused = self.writes_refused.saturating_add(1).min(WRITES_REFUSED_MAX);
        if self.writes_refused < WRITES_REFUSED_MAX {
            return Verdict::Again(initializer::Wait::Volume);
        }
        Verdict::Stop(Fatal::VolumeNotWritable)
    }

    /// What `place` held back is there: nothing of it is waited for any more.
    fn came(&mut self, place: Place) {
        self.wait = self.wait.filter(|wait| match wait {
            Wait::Bootstrap(wait) => wait.place() > place,
            Wait::Listener | Wait::Nats | Wait::Unsigned(_) | Wait::Succession | Wait::Remedy(_) => true,
        });
    }

    fn conclude(&mut self, verdict: Verdict<State>, now: Now, out: &mut Out<Self>) {
        match verdict {
            Verdict::Go(state) => self.state = state,
            Verdict::Late { wait, .. } if now.mono < self.grace_until => {
                let until = now.in_ms(LOOK_AGAIN_MS).min(self.grace_until);
                self.back_off(until, Resume::FromTheTop, Wait::Bootstrap(wait), out);
            }
            Verdict::Again(wait) => self.pause(Resume::FromTheTop, Wait::Bootstrap(wait), now, out),
            Verdict::Late { fatal, .. } | Verdict::Stop(fatal) if self.works() => {
                self.pause(Resume::FromTheTop, Wait::Remedy(fatal), now, out);
            }
            Verdict::Late { fatal, .. } | Verdict::Stop(fatal) => self.end(State::Stopped(fatal), out),
        }
    }

    /// Backs off for longer each time.
    fn pause(&mut self, resume: Resume, wait: Wait, now: Now, out: &mut Out<Self>) {
        let until = backoff(self.seed, self.attempt, now).after_ms(wait.pause_ms());
        self.attempt = self.attempt.next();
        self.back_off(until, resume, wait, out);
    }

    fn back_off(&mut self, until: Mono, resume: Resume, wait: Wait, out: &mut Out<Self>) {
        if self.wait != Some(wait) {
            out.notice(Notice::Waiting(wait));
        }
        self.wait = Some(wait);
        self.state = State::BackingOff { until, wait, resume };
    }

    /// Whether there is something that a failed renewal must not take down.
    fn works(&self) -> bool {
        self.first_start == FirstStart::Over && !self.lapsed
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("documents are held from the first bundle on, and never given up")
    }

    const fn give_up_at(&self) -> Option<Mono> {
        match self.first_start {
            FirstStart::Pending { give_up_at } => give_up_at,
            FirstStart::Over => None,
        }
    }
}

impl State {
    /// The call whose end moves this state.
    const fn awaits(&self) -> Option<CallId> {
        match self {
            Self::ReadingTrust { call }
            | Self::ReadingToken { call, .. }
            | Self::MintingKeys { call, .. }
            | Self::Bootstrapping { call, .. }
            | Self::WritingBundle { call }
            | Self::Presenting { call }
            | Self::Connecting { call } => Some(*call),
            Self::BackingOff { .. } | Self::Serving { .. } | Self::Finished | Self::Stopped(_) => None,
        }
    }

    /// What is missing as long as the state does not move.
    const fn doubt(&self) -> Wait {
        match self {
            Self::ReadingTrust { .. } | Self::ReadingToken { .. } => {
                Wait::Bootstrap(initializer::Wait::Mounts)
            }
            Self::MintingKeys { .. } => Wait::Bootstrap(initializer::Wait::Keyring),
            Self::Bootstrapping { .. } => Wait::Bootstrap(initializer::Wait::Controller(NoAnswer::Silent)),
            Self::WritingBundle { .. } => Wait::Bootstrap(initializer::Wait::Volume),
            Self::Presenting { .. } => Wait::Listener,
            Self::Connecting { .. } | Self::Serving { .. } => Wait::Nats,
            Self::BackingOff { wait, .. } => *wait,
            Self::Finished | Self::Stopped(_) => panic!("a state that awaits nothing has no doubt"),
        }
    }

    const fn is_final(&self) -> bool {
        match self {
            Self::Finished | Self::Stopped(_) => true,
            Self::ReadingTrust { .. }
            | Self::ReadingToken { .. }
            | Self::MintingKeys { .. }
            | Self::Bootstrapping { .. }
            | Self::WritingBundle { .. }
            | Self::Presenting { .. }
            | Self::Connecting { .. }
            | Self::BackingOff { .. }
            | Self::Serving { .. } => false,
        }
    }
}
