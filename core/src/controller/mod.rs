//! The controller beside Vault: brings Vault up from nothing, keeps it up, and gives every caller exactly its own.
//!
//! ```text
//!            ┌──────── a deed is done: at once · any doubt: after a back-off ─────────┐
//!            v                                                                        │
//! start ─> Survey ─> boot table ─> Begin · CreateKey · Initialize · Recover · Commit · Unseal · SetUp
//!           ^  ^         │
//!           │  │         └─ row 20 ─> Configure ─> Certify, if due ─> serving <───── unsealed ────┐
//!           │  │                       ^  │           │               │  │                        │
//!           │  │                       └──┼───────────┼─ renewal due ─┘  ├─ every two seconds ─> Watch
//!           │  └─ any doubt, a back-off ──┴───────────┘                  └─ every hour ─> Audit   │
//!           └──── sealed, or silent three times ──────────────────────────────────────────────────┘
//! ```
//!
//! Boot is recovery: whatever happened, the controller surveys the world, applies one row of the table ([`table`]),
//! does one deed and surveys again. A renewal is Configure anew, and goes back to the survey only if it fails. The boot
//! has one call in flight at a time. Beside it are the callers (`callers.rs`); each that is let in is a session
//! (`session.rs`) of its own.

mod apply;
mod audit;
mod begin;
mod callers;
mod calls;
mod certify;
mod commit;
mod configure;
mod create_key;
mod deed;
mod generation;
mod initialize;
mod keep;
mod login;
mod looks;
mod recover;
mod session;
mod set_up;
mod store;
mod survey;
mod sweep;
pub mod table;
mod turn;
mod unseal;
mod watch;

#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "world"))]
pub mod world;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use self::audit::Finding;
use self::audit::{AUDIT_S, Audit};
use self::begin::Begin;
use self::callers::Callers;
pub use self::callers::{CALLERS_MAX, SESSIONS_MAX, WAITING_PER_POD_MAX};
pub use self::calls::{Answer, Ask, Call, Config, Document, Lapse, NatsKeys, Notice, Reply, Signal};
use self::certify::Certify;
use self::commit::Commit;
use self::configure::Configure;
use self::create_key::CreateKey;
use self::deed::Deed;
use self::initialize::Initialize;
use self::recover::Recover;
use self::session::View;
use self::set_up::SetUp;
use self::survey::Survey;
use self::table::{Decision, Facts, Known, Terms, Verdict, Wait, decide};
use self::turn::{Context, Memory, Turn};
use self::unseal::Unseal;
use self::watch::{WATCH_MS, Watch, is_open};
use crate::bootstrap::Rejection;
use crate::fatal::Fatal;
use crate::machine::{CallId, Event, Machine, Out, Outcome, Seed, Standing, Ticket};
use crate::names::ordinal;
use crate::phases::phases;
use crate::retry::{Attempt, Due, backoff};
use crate::time::{Mono, Now};

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Controller {
    config: Config,
    seed: Seed,
    boot: Boot,
    /// How often in a row a wait followed a survey, since the last deed was done.
    attempt: Attempt,
    /// What the last survey led to, if it was a wait: still what a person wants to read while the next one is under way.
    waited_for: Option<Wait>,
    /// A stop was asked for while the only copy of the unseal key was in memory.
    stopping: bool,
    memory: Memory,
    callers: Callers,
}

/// Where the boot is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Boot {
    /// Another pod of the StatefulSet does it.
    StandingBy,
    /// One request is under way.
    Awaiting(CallId, Deed),
    /// The deed goes on after a pause.
    Pausing(Mono, Wait, Deed),
    /// The world is surveyed again after a back-off.
    Waiting(Mono, Wait),
    /// Everything stands.
    Serving(Mono),
    /// Ended as it was asked to.
    Finished,
    /// A person must act.
    Stopped(Fatal),
}

impl Machine for Controller {
    type Config = Config;
    type Call = Call;
    type Reply = Reply;
    type Ask = Ask;
    type Answer = Answer;
    type Notice = Notice;
    type Signal = Signal;

    fn start(config: Config, seed: Seed, now: Now, out: &mut Out<Self>) -> Self {
        let first = ordinal(&config.pod) == Some(0);
        let mut controller = Self {
            config,
            seed,
            boot: Boot::StandingBy,
            attempt: Attempt::default(),
            waited_for: None,
            stopping: false,
            memory: Memory::default(),
            callers: Callers::default(),
        };
        if first {
            controller.survey(now, out);
        }
        controller
    }

    fn handle_event(&mut self, now: Now, event: Event<Self>, out: &mut Out<Self>) {
        if self.has_ended() {
            // Its keyring goes with the process. Whoever still asks is told.
            if let Event::Asked { ticket, ask, .. } = event {
                callers::reject(ticket, None, &ask, Rejection::Stopping, out);
            }
            return;
        }
        match event {
            Event::Done { id, outcome } => self.done(id, outcome, now, out),
            Event::Asked { ticket, by, ask } => self.asked(ticket, by, ask, now, out),
            Event::Withdrawn { ticket } => self.attend(now, out, |callers, view, out| {
                callers.withdrawn(ticket, view, out);
            }),
            Event::Signal(Signal::Stop) => {
                self.stopping = true;
                self.stop_if_asked(out);
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Out<Self>) {
        if self.callers.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.attend(now, out, |callers, view, out| callers.handle_timeout(view, out));
        }
        match &self.boot {
            Boot::Waiting(until, _) if *until <= now.mono => self.survey(now, out),
            Boot::Serving(until) if *until <= now.mono => self.watch(now, out),
            Boot::Pausing(until, _, deed) if *until <= now.mono => {
                let deed = deed.clone();
                self.take(Turn::Ask(deed), now, out);
            }
            Boot::Waiting(..)
            | Boot::Serving(_)
            | Boot::Pausing(..)
            | Boot::StandingBy
            | Boot::Awaiting(..)
            | Boot::Finished
            | Boot::Stopped(_) => {}
        }
    }

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        let boot = match &self.boot {
            Boot::Waiting(until, wait) | Boot::Pausing(until, wait, _) => Some((*until, wait.sentence())),
            Boot::Serving(until) => Some((*until, "Vault's seal is looked at again")),
            Boot::StandingBy | Boot::Awaiting(..) | Boot::Finished | Boot::Stopped(_) => None,
        };
        let caller = self.callers.poll_timeout().map(|at| (at, "a caller is told that its time is up"));
        boot.into_iter().chain(caller).min_by_key(|(at, _)| *at)
    }

    fn phase(&self) -> &'static str {
        self.boot.phase()
    }

    fn phases() -> BTreeSet<&'static str> {
        let mut names = BTreeSet::new();
        Boot::add_phases(&mut names);
        names
    }

    fn waits_for(&self) -> &'static str {
        match &self.boot {
            Boot::StandingBy => "stands by: only the pod with ordinal 0 brings Vault up",
            Boot::Awaiting(_, Deed::Survey(_)) if let Some(wait) = self.waited_for => wait.sentence(),
            Boot::Awaiting(_, deed) => deed.waits_for(),
            Boot::Pausing(_, wait, _) | Boot::Waiting(_, wait) => wait.sentence(),
            Boot::Serving(_) => "waits for nothing: it serves",
            Boot::Finished => "has finished",
            Boot::Stopped(fatal) => fatal.cause(),
        }
    }

    fn standing(&self) -> Standing {
        match &self.boot {
            Boot::Finished => Standing::Finished,
            Boot::Stopped(fatal) => Standing::Stopped(*fatal),
            Boot::Serving(_) => Standing::Ready,
            Boot::Awaiting(..) | Boot::Pausing(..) | Boot::Waiting(..) if self.memory.serving => {
                Standing::Ready
            }
            Boot::StandingBy | Boot::Awaiting(..) | Boot::Pausing(..) | Boot::Waiting(..) => {
                Standing::Starting
            }
        }
    }
}

impl Boot {
    phases! {
        fn phase(&self) match (self) {
            Self::StandingBy => "StandingBy",
            Self::Awaiting(_, deed) | Self::Pausing(_, _, deed) => Deed(deed),
            Self::Waiting(..) => "Waiting",
            Self::Serving(_) => "Serving",
            Self::Finished => "Finished",
            Self::Stopped(_) => "Stopped",
        }
    }
}

impl Controller {
    fn done(&mut self, id: CallId, outcome: Outcome<Reply>, now: Now, out: &mut Out<Self>) {
        if let Boot::Awaiting(awaited, deed) = &self.boot
            && *awaited == id
        {
            let deed = deed.clone();
            let turn = self.with_context(now, out, |context| deed.done(outcome, context));
            self.take(turn, now, out);
            return;
        }
        if self.callers.awaits(id) {
            self.attend(now, out, |callers, view, out| callers.done(id, outcome, view, out));
        }
    }

    /// Carries out what a phase decided. The only place where the boot changes.
    fn take(&mut self, turn: Turn<Deed>, now: Now, out: &mut Out<Self>) {
        for lapse in self.memory.lapse(now) {
            out.notice(Notice::Lapsed(lapse));
        }
        self.attend(now, out, |callers, view, out| callers.lapse(view, out));
        self.boot = match turn {
            Turn::Ask(deed) => {
                if !matches!(deed, Deed::Survey(_)) {
                    self.waited_for = None;
                }
                let (call, within_ms) = self.with_context(now, out, |context| deed.ask(context));
                Boot::Awaiting(out.call(now.in_ms(within_ms), call), deed)
            }
            Turn::Pause(deed, pause_ms, wait) => Boot::Pausing(now.in_ms(pause_ms), wait, deed),
            Turn::Survey => {
                self.attempt = Attempt::default();
                self.waited_for = None;
                return self.survey(now, out);
            }
            Turn::Decide(facts) => return self.decide(*facts, now, out),
            Turn::Follow(decision) => return self.follow(decision, now, out),
            Turn::Configure => return self.take(Turn::Ask(Deed::Configure(Configure::begin())), now, out),
            Turn::Certify => {
                let fresh = self.memory.certificate.is_some_and(|lease| !lease.is_due(now));
                let turn = if fresh { Turn::Serve } else { Turn::Ask(Deed::Certify(Certify::begin())) };
                return self.take(turn, now, out);
            }
            Turn::Wait(wait) => {
                let until = backoff(self.seed, self.attempt, now);
                self.attempt = self.attempt.next();
                self.waited_for = Some(wait);
                Boot::Waiting(until, wait)
            }
            Turn::Serve if self.memory.token.is_none() || self.memory.certificate.is_none() => {
                return self.take(Turn::Wait(Wait::Renewal), now, out);
            }
            Turn::Serve => {
                self.attempt = Attempt::default();
                self.waited_for = None;
                self.memory.serving = true;
                self.memory.audit.get_or_insert_with(|| Due::in_s(now, AUDIT_S));
                Boot::Serving(now.in_ms(WATCH_MS))
            }
            Turn::Stop(fatal) => {
                self.turn_callers_away(out);
                Boot::Stopped(fatal)
            }
        };
        self.stop_if_asked(out);
    }

    fn survey(&mut self, now: Now, out: &mut Out<Self>) {
        self.take(Turn::Ask(Deed::Survey(Survey::begin())), now, out);
    }

    fn decide(&mut self, facts: Facts, now: Now, out: &mut Out<Self>) {
        let grace_ms = self.config.seal_key_grace_ms;
        let key_late =
            self.memory.key_missing_since.is_some_and(|since| now.mono >= since.after_ms(grace_ms));
        let terms = Terms {
            allow_plain: self.config.allow_plain_state_dir,
            key_late,
            recover: self.config.recover_interrupted_init.as_ref(),
        };
        let decision = decide(&facts, terms);
        if let Known::Fact(Some(secret)) = &facts.secret
            && secret.marked.deleting
        {
            out.notice(Notice::SealKeyDeletion);
        }
        let seal = match &facts.seal {
            Known::Fact(seal) => Some(is_open(seal)),
            Known::Unknown => None,
        };
        self.memory.looked_at_seal(seal);
        self.follow(decision, now, out);
    }

    /// Begins what the table says.
    fn follow(&mut self, decision: Decision, now: Now, out: &mut Out<Self>) {
        let verdict = decision.verdict.clone();
        if !self.memory.serving {
            out.notice(Notice::Decided(decision));
        }
        let deed = match verdict {
            Verdict::Wait(wait) => return self.take(Turn::Wait(wait), now, out),
            Verdict::Stop(fatal) => return self.take(Turn::Stop(fatal), now, out),
            Verdict::LogIn { life } => {
                self.memory.life = Some(life);
                return self.take(Turn::Configure, now, out);
            }
            Verdict::Begin => Deed::Begin(Begin::with_random_id(self.seed)),
            Verdict::CreateSealKey { life } => Deed::CreateKey(CreateKey::begin(life)),
            Verdict::Initialize { life, attempt, recoveries } => {
                Deed::Initialize(Initialize::begin(life, attempt, recoveries))
            }
            Verdict::Mark { life, attempt, recoveries } => {
                Deed::Recover(Recover::WritingMark { life, attempt, recoveries })
            }
            Verdict::ReplacePod => Deed::Recover(Recover::DeletingPod),
            Verdict::Commit { life, otherwise } => {
                let commit = Commit::begin(life, otherwise);
                if let Some(alarm) = commit.alarm() {
                    out.notice(alarm);
                }
                Deed::Commit(commit)
            }
            Verdict::Unseal => Deed::Unseal(Unseal::begin()),
            Verdict::FinishSetUp { life, generation } => Deed::SetUp(SetUp::begin(life, generation)),
        };
        self.take(Turn::Ask(deed), now, out);
    }

    /// Serving, and a timer is due: renew what ends, audit, or look at Vault's seal.
    fn watch(&mut self, now: Now, out: &mut Out<Self>) {
        let turn = if self.memory.is_renewal_due(now) {
            Turn::Configure
        } else if self.memory.audit.is_some_and(|due| due.is_due(now)) {
            self.memory.audit = None;
            Turn::Ask(Deed::Audit(Audit::begin()))
        } else {
            Turn::Ask(Deed::Watch(Watch::ReadingSealStatus))
        };
        self.take(turn, now, out);
    }

    /// Ends as soon as nothing is lost by it.
    fn stop_if_asked(&mut self, out: &mut Out<Self>) {
        let precious = match &self.boot {
            Boot::Awaiting(_, deed) | Boot::Pausing(_, _, deed) => deed.must_not_be_cut_short(),
            Boot::Stopped(_) | Boot::Finished => return,
            Boot::StandingBy | Boot::Waiting(..) | Boot::Serving(_) => false,
        };
        if self.stopping && !precious {
            self.boot = Boot::Finished;
            self.turn_callers_away(out);
        }
    }

    /// Nobody is served any more: this is the end.
    fn turn_callers_away(&mut self, out: &mut Out<Self>) {
        self.memory.serving = false;
        for ticket in self.callers.turn_away() {
            out.answer(ticket, Answer::Rejected(Rejection::Stopping));
        }
    }

    fn asked(&mut self, ticket: Ticket, by: Mono, ask: Ask, now: Now, out: &mut Out<Self>) {
        if !self.memory.serves(now) {
            let rejection = if self.stopping { Rejection::Stopping } else { Rejection::NotServing };
            return callers::reject(ticket, None, &ask, rejection, out);
        }
        self.attend(now, out, |callers, view, out| callers.asked(ticket, by, ask, view, out));
    }

    const fn has_ended(&self) -> bool {
        match self.boot {
            Boot::Finished | Boot::Stopped(_) => true,
            Boot::StandingBy
            | Boot::Awaiting(..)
            | Boot::Pausing(..)
            | Boot::Waiting(..)
            | Boot::Serving(_) => false,
        }
    }

    /// Turns to the callers. There are none before everything is configured.
    fn attend(
        &mut self,
        now: Now,
        out: &mut Out<Self>,
        act: impl FnOnce(&mut Callers, &View<'_>, &mut Out<Self>),
    ) {
        let Self { config, seed, memory, callers, .. } = self;
        let Some(keys) = &memory.keys else { return };
        act(callers, &View { config, keys, seed: *seed, now, serves: memory.serves(now) }, out);
    }

    fn with_context<T>(
        &mut self,
        now: Now,
        out: &mut Out<Self>,
        act: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        let mut notices = Vec::new();
        let (config, seed, memory) = (&self.config, self.seed, &mut self.memory);
        let result = act(&mut Context { config, seed, now, memory, notices: &mut notices });
        for notice in notices {
            out.notice(notice);
        }
        result
    }
}
