//! Everybody who asks, from the moment of asking to the answer.
//!
//! ```text
//! asked ─> arrival ── token examined ──> queue ── a place is free, and ──> session ──> answer
//!             │  ^                        first bootstraps, then renewals,    │
//!             v  │                        none of a pod that has a session ───┘
//!           signers, read anew when a token names a key that is not known
//! ```
//!
//! Until a token's signature was checked nobody outside is asked anything on its behalf, but for the keys themselves,
//! and those at most once in [`SIGNERS_PAUSE_MS`](crate::bootstrap::SIGNERS_PAUSE_MS). So what counts against a pod was
//! asked with a token that the API server has given to that pod, and nobody can use up another's share.
//!
//! Whoever asks again soon is served with the Vault token of the last time ([`tokens`]): no second review, no second
//! login. Whoever was refused for good is told so again without a question to anybody ([`refusals`]).

mod arrival;
mod queue;
mod refusals;
mod signers;
mod tokens;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::arrival::{Arrival, Arrived, Next};
use self::queue::{Applicant, Queue};
use self::refusals::Refusals;
use self::signers::{Read, Signers};
use self::tokens::Tokens;
use super::Controller;
use super::calls::{Answer, Ask, Notice, Reply};
use super::session::{Answered, Session, Verdict, View};
use crate::bootstrap::Rejection;
use crate::machine::{CallId, Out, Outcome, Ticket};
use crate::names::Identity;
use crate::time::Mono;

/// Callers served at the same time.
pub const SESSIONS_MAX: usize = 64;
/// Callers at all; beyond that one is told to come back. A platform of a thousand pods may start at once.
pub const CALLERS_MAX: usize = 1_088;
/// Questions of one pod that wait. A broker has two: a nonce, and what it renews.
pub const WAITING_PER_POD_MAX: usize = 2;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Callers {
    signers: Signers,
    arrivals: BTreeMap<Ticket, Arrival>,
    queue: Queue,
    sessions: BTreeMap<Ticket, Session>,
    tokens: Tokens,
    refusals: Refusals,
}

type Effects = Out<Controller>;

impl Callers {
    /// Somebody asks.
    pub(super) fn asked(&mut self, ticket: Ticket, by: Mono, ask: Ask, view: &View<'_>, out: &mut Effects) {
        if self.arrivals.len() + self.queue.len() + self.sessions.len() >= CALLERS_MAX {
            return reject(ticket, None, &ask, Rejection::Busy, out);
        }
        let arrival = Arrival::new(by, ask, view.now);
        self.arrive(ticket, arrival, Next::Examine, view, out);
    }

    /// The asker went away.
    pub(super) fn withdrawn(&mut self, ticket: Ticket, view: &View<'_>, out: &mut Effects) {
        self.arrivals.remove(&ticket);
        self.queue.remove(ticket);
        self.sessions.remove(&ticket);
        self.fill_places(view, out);
    }

    /// Whether one of them, or something that they share, awaits this call.
    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.signers.awaits(id)
            || self.tokens.awaits(id)
            || self.sessions.values().any(|session| session.awaits(id))
            || self.arrivals.values().any(|arrival| arrival.awaits(id))
    }

    /// That call has ended.
    pub(super) fn done(&mut self, id: CallId, outcome: Outcome<Reply>, view: &View<'_>, out: &mut Effects) {
        if self.signers.awaits(id) {
            match self.signers.done(outcome, view.now, out) {
                Read::Pending => {}
                Read::Done => self.resume(Next::Examine, view, out),
                Read::Failed => self.resume(Next::Reject(Rejection::ReviewUnavailable), view, out),
            }
        } else if self.tokens.awaits(id) {
            self.tokens.forgotten(&outcome);
        } else if let Some(ticket) = find(&self.arrivals, |arrival| arrival.awaits(id)) {
            let arrival = self.arrivals.remove(&ticket).expect("it was just found");
            match arrival.examined(outcome, &self.signers, view) {
                Arrived::Goes(arrival, next) => self.arrive(ticket, arrival, next, view, out),
                Arrived::Is(applicant) => self.line_up(ticket, applicant, out),
            }
        } else if let Some(ticket) = find(&self.sessions, |session| session.awaits(id)) {
            let session = self.sessions.remove(&ticket).expect("it was just found");
            let verdict = session.done(outcome, view);
            self.conclude(ticket, verdict, view, out);
        }
        self.fill_places(view, out);
    }

    /// The first moment at which somebody's time is up who is not being served yet.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let arriving = self.arrivals.values().map(|arrival| arrival.by);
        arriving.chain(self.queue.deadlines()).min()
    }

    /// Tells those whose time is up.
    pub(super) fn handle_timeout(&mut self, view: &View<'_>, out: &mut Effects) {
        let now = view.now.mono;
        let mut late = self.queue.take(|applicant| applicant.by <= now);
        for (ticket, arrival) in self.arrivals.extract_if(.., |_, arrival| arrival.by <= now) {
            reject(ticket, None, &arrival.ask, Rejection::ReviewUnavailable, out);
        }
        late.sort_unstable_by_key(|(ticket, _)| *ticket);
        for (ticket, applicant) in late {
            turn_down(ticket, &applicant, Rejection::Busy, out);
        }
    }

    /// Forgets what has ended.
    pub(super) fn lapse(&mut self, view: &View<'_>, out: &mut Effects) {
        let sessions = &self.sessions;
        let in_use = |login| sessions.values().any(|session| session.logged_in_as(login));
        self.tokens.sweep(view.now, in_use, out);
        self.refusals.lapse(view.now);
    }

    /// Nobody is served any more. Gives all who wait for an answer.
    pub(super) fn turn_away(&mut self) -> BTreeSet<Ticket> {
        let mut tickets: BTreeSet<Ticket> = core::mem::take(&mut self.arrivals).into_keys().collect();
        tickets.extend(core::mem::take(&mut self.sessions).into_keys());
        tickets.extend(self.queue.take(|_| true).into_iter().map(|(ticket, _)| ticket));
        tickets
    }

    fn arrive(
        &mut self,
        ticket: Ticket,
        mut arrival: Arrival,
        next: Next,
        view: &View<'_>,
        out: &mut Effects,
    ) {
        match next {
            Next::Examine if let Some(signers) = self.signers.known() => {
                arrival.examine(ticket, signers.to_vec(), view.now, out);
                self.arrivals.insert(ticket, arrival);
            }
            // None are known yet, or none that fits.
            Next::Examine | Next::AwaitSigners if self.signers.read(view.now, out) => {
                arrival.await_signers();
                self.arrivals.insert(ticket, arrival);
            }
            Next::Examine => reject(ticket, None, &arrival.ask, Rejection::ReviewUnavailable, out),
            Next::AwaitSigners => reject(ticket, None, &arrival.ask, Rejection::KeyUnknown, out),
            Next::Reject(rejection) => reject(ticket, None, &arrival.ask, rejection, out),
        }
    }

    /// The keys were read, or could not be.
    fn resume(&mut self, next: Next, view: &View<'_>, out: &mut Effects) {
        let waiting = self.arrivals.extract_if(.., |_, arrival| arrival.awaits_signers());
        // Some of them wait again at once.
        let waiting: Vec<(Ticket, Arrival)> = waiting.collect();
        for (ticket, arrival) in waiting {
            self.arrive(ticket, arrival, next, view, out);
        }
    }

    fn line_up(&mut self, ticket: Ticket, applicant: Applicant, out: &mut Effects) {
        if self.queue.waiting_of(&applicant.caller.pod) >= WAITING_PER_POD_MAX {
            return turn_down(ticket, &applicant, Rejection::Busy, out);
        }
        self.queue.push(ticket, applicant);
    }

    fn fill_places(&mut self, view: &View<'_>, out: &mut Effects) {
        while self.sessions.len() < SESSIONS_MAX {
            let sessions = &self.sessions;
            let is_free = |applicant: &Applicant| {
                !sessions.values().any(|session| session.is_of(&applicant.caller.pod))
            };
            let Some((ticket, applicant)) = self.queue.pop(is_free) else { break };
            if !view.serves {
                turn_down(ticket, &applicant, Rejection::NotServing, out);
                continue;
            }
            // Its time may be up before the machine was told so.
            if applicant.by <= view.now.mono {
                turn_down(ticket, &applicant, Rejection::Busy, out);
                continue;
            }
            if let Some(rejection) = self.refusals.find(&applicant.caller, &applicant.ask, view.now) {
                // The log was told the first time.
                out.answer(ticket, Answer::Rejected(rejection));
                continue;
            }
            let Applicant { by, ask, caller } = applicant;
            let login = self.tokens.find(&caller.digest, &ask, view.now);
            let verdict = Session::begin(ticket, by, ask, caller, login);
            self.conclude(ticket, verdict, view, out);
        }
        self.lapse(view, out);
    }

    /// Carries out what a session decided.
    fn conclude(&mut self, ticket: Ticket, verdict: Verdict, view: &View<'_>, out: &mut Effects) {
        match verdict {
            Verdict::Ask(mut session) => {
                let (call, by) = session.ask(view);
                session.await_call(out.call_for(ticket, by, call));
                self.sessions.insert(ticket, session);
            }
            Verdict::LogIn(session) => {
                self.tokens.expect(ticket, session.caller(), session.asks());
                self.conclude(ticket, Verdict::Ask(session), view, out);
            }
            Verdict::LoggedIn(session, lease_s) => {
                self.tokens.fill(ticket, lease_s, view.now);
                self.conclude(ticket, Verdict::Ask(session), view, out);
            }
            Verdict::Afresh(session, refused) => {
                self.tokens.give_up(refused);
                self.conclude(ticket, Verdict::Ask(session), view, out);
            }
            Verdict::Answer(answered) => {
                let Answered { session, answer, notice } = *answered;
                self.refusals.told(session.caller(), session.asks(), &answer, view.now);
                if !matches!(answer, Answer::Rejected(_)) {
                    self.queue.served(session.asks(), session.caller());
                }
                out.notice(notice);
                out.answer(ticket, answer);
            }
        }
    }
}

fn find<T>(among: &BTreeMap<Ticket, T>, test: impl Fn(&T) -> bool) -> Option<Ticket> {
    among.iter().find(|(_, one)| test(one)).map(|(ticket, _)| *ticket)
}

/// Turns somebody away who has lined up.
fn turn_down(ticket: Ticket, applicant: &Applicant, rejection: Rejection, out: &mut Effects) {
    reject(ticket, Some(applicant.caller.identity.clone()), &applicant.ask, rejection, out);
}

/// Turns somebody away, and tells.
pub(super) fn reject(
    ticket: Ticket,
    identity: Option<Identity>,
    ask: &Ask,
    rejection: Rejection,
    out: &mut Effects,
) {
    out.notice(Notice::Rejected { identity, method: ask.method(), rejection });
    out.answer(ticket, Answer::Rejected(rejection));
}

#[cfg(test)]
pub(super) use self::refusals::KEPT_MAX as REFUSALS_MAX;

#[cfg(test)]
impl Callers {
    pub(super) fn sessions(&self) -> &BTreeMap<Ticket, Session> {
        &self.sessions
    }

    /// All who have no answer yet.
    pub(super) fn tickets(&self) -> BTreeSet<Ticket> {
        self.clone().turn_away()
    }

    /// Whether this one waits for others, and nothing is under way for it alone.
    pub(super) fn is_waiting(&self, ticket: Ticket) -> bool {
        self.queue.holds(ticket) || self.arrivals.get(&ticket).is_some_and(Arrival::awaits_signers)
    }

    /// How many refusals are kept.
    pub(super) fn refused(&self) -> usize {
        self.refusals.len()
    }

    /// Whether the slot of that login's token will be wiped.
    pub(super) fn knows_token(&self, login: Ticket) -> bool {
        self.tokens.knows(login)
    }

    /// The calls that are nobody's alone.
    pub(super) fn shared_calls(&self) -> impl Iterator<Item = CallId> + use<> {
        self.signers.call().into_iter().chain(self.tokens.call())
    }
}
