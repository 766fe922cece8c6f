//! The contract that every machine keeps and every driver relies on.
//!
//! Laws, asserted by the drivers:
//!
//! 1. One event in, the effects of that step out. Nothing waits inside the machine.
//! 2. Every [`Effect::Call`] gets exactly one [`Event::Done`], no later than `by`, unless the process dies.
//!    The driver turns a passed deadline into [`Outcome::Unknown`].
//! 3. Nothing is read: time, seed and configuration are arguments. Mounts and tokens are read by a call, on
//!    need or on a timer, so that every wait is a visible [`Machine::poll_timeout`] reason. A token is read
//!    right before every login.
//! 4. [`Machine::start`] is the only way in: boot, restart, upgrade and recovery are one path.
//! 5. One call is one request to the outside. No adapter retries, loops or combines. (async-nats reconnects by
//!    itself: the one exception; each reconnect asks the machine.)
//! 6. A machine never holds a secret, only its name ([`crate::secret::Secret`]).
//! 7. Every remote write is compare-and-set, create-only, or named so that doing it twice is doing it once;
//!    the call's doc says which (a message of a runtime is the one exception: at most once, never repeated). After [`Outcome::Unknown`] the machine looks, then repeats *that* write. A
//!    request may be applied *after* its caller gave up or died, so looking first is not enough by itself. On a
//!    write-once path a repeated write is refused; after an unknown that means *look again*.
//! 8. Every [`Event::Asked`] gets exactly one [`Effect::Answer`] by its deadline, unless [`Event::Withdrawn`]
//!    came first. Closing a ticket aborts its calls and empties its slots; later fills of a closed ticket are
//!    dropped.
//! 9. A [`Event::Done`] for an id no longer awaited is ignored.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::fatal::Fatal;
use crate::time::{Mono, Now};

/// What crosses the boundary of a machine: it can be compared, hashed, printed, stored and replayed.
pub trait Data:
    Clone + Debug + PartialEq + Eq + Hash + Serialize + DeserializeOwned + Send + 'static
{
}
impl<T: Clone + Debug + PartialEq + Eq + Hash + Serialize + DeserializeOwned + Send + 'static> Data for T {}

/// A role of the platform as a sans-IO state machine. The laws are in the module's documentation.
pub trait Machine: Data {
    /// What the operator chose: names, lifetimes, switches.
    type Config: Data;
    /// Something only the world can do, answered by a [`Machine::Reply`].
    type Call: Data;
    /// What a call brought back.
    type Reply: Data;
    /// A question from outside, answered by a [`Machine::Answer`].
    type Ask: Data;
    /// The answer to a [`Machine::Ask`].
    type Answer: Data;
    /// Something to tell the world, never answered.
    type Notice: Data;
    /// Something the world tells the machine unasked.
    type Signal: Data;

    /// Begins: boot, restart, upgrade and recovery alike.
    fn start(config: Self::Config, seed: Seed, now: Now, out: &mut Out<Self>) -> Self;
    /// Takes one event and writes the effects of this step to `out`.
    fn handle_event(&mut self, now: Now, event: Event<Self>, out: &mut Out<Self>);
    /// Called once [`Machine::poll_timeout`]'s time has come; calling it early changes nothing.
    fn handle_timeout(&mut self, now: Now, out: &mut Out<Self>);
    /// When [`Machine::handle_timeout`] is due next, and what is waited for, in words for a person.
    fn poll_timeout(&self) -> Option<(Mono, &'static str)>;
    /// The name of the state the machine is in, as a person would search for it in the code.
    fn phase(&self) -> &'static str;
    /// Every name that [`Machine::phase`] can give.
    fn phases() -> BTreeSet<&'static str>;
    /// What the machine waits for, in one sentence for a person.
    fn waits_for(&self) -> &'static str;
    /// How far the role has come.
    fn standing(&self) -> Standing;
}

/// How far a role has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// On the way; [`Machine::waits_for`] says to what.
    Starting,
    /// Does what it is for.
    Ready,
    /// Has done what it was for and can end: exit code 0.
    Finished,
    /// Cannot go on; a person must act.
    Stopped(Fatal),
}

/// What a step asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Effect<M: Machine> {
    /// One request to the outside.
    Call {
        /// The id under which its [`Event::Done`] comes back.
        id: CallId,
        /// When the answer is worth nothing any more.
        by: Mono,
        /// The question on whose behalf it is made; closing that ticket aborts the call.
        behalf: Option<Ticket>,
        /// The request itself.
        call: M::Call,
    },
    /// The one answer to [`Event::Asked`].
    Answer {
        /// Which question is answered.
        ticket: Ticket,
        /// The answer.
        answer: M::Answer,
    },
    /// Something to tell the world.
    Notice(M::Notice),
}

/// What the world brings to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum Event<M: Machine> {
    /// A call has ended, one way or another.
    Done {
        /// The id of [`Effect::Call`].
        id: CallId,
        /// How it ended.
        outcome: Outcome<M::Reply>,
    },
    /// A question from outside.
    Asked {
        /// Names the question until it is answered.
        ticket: Ticket,
        /// When the asker stops listening.
        by: Mono,
        /// The question.
        ask: M::Ask,
    },
    /// The asker went away; no answer is wanted any more.
    Withdrawn {
        /// The question that was withdrawn.
        ticket: Ticket,
    },
    /// Something the world tells unasked.
    Signal(M::Signal),
}

/// How a call ended. Nearly every deep bug of a bootstrap is an `Unknown` treated as one of the other two.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome<R> {
    /// The far side answered.
    Ok(R),
    /// The far side said no: nothing happened there.
    Refused(Refusal),
    /// No usable answer: it may have happened, or may happen yet.
    Unknown(Lost),
}

impl<R> Outcome<R> {
    /// The same outcome with its reply put into another.
    pub fn map<T>(self, wrap: impl FnOnce(R) -> T) -> Outcome<T> {
        match self {
            Self::Ok(reply) => Outcome::Ok(wrap(reply)),
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::Unknown(lost) => Outcome::Unknown(lost),
        }
    }
}

/// Why the far side said no. Adapters map status and body to these; see the table in each adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// The credential does not allow this (403), and the cause is named by the far side.
    Denied,
    /// The credential itself is missing, expired or revoked (401, or Vault's 403 for a dead token).
    Unauthenticated,
    /// Refused without a cause that can be told from an outage behind the far side.
    Unclear,
    /// A compare-and-set, create-only or precondition failed (409, Vault's 400 for `cas`).
    Conflict,
    /// The request is wrong in itself (400, 422): repeating it cannot help.
    Invalid,
    /// The far side is sealed, not initialized, in standby or not ready yet (503, 429, `Upgrading`).
    NotReady,
    /// The far side asks for patience (429 with or without a delay).
    Busy,
    /// The local system said no: permission, missing directory, full disk.
    Local,
}

/// Why an answer is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lost {
    /// The deadline passed.
    Deadline,
    /// The connection failed or broke.
    Connection,
    /// The far side reported an error of its own (5xx that is not a documented refusal).
    ServerError,
    /// An answer came and could not be understood.
    Garbled,
    /// The far side did not prove to be who it must be. It was told nothing.
    Stranger,
}

/// Names a call until it is done. Unique within one life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId(pub u64);

/// Names a question until it is answered or withdrawn. Given out by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// 256 bits from the operating system at start: jitter and life ids are functions of it. Not a secret: keys are
/// minted by calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed(pub [u8; 32]);

/// Collects the effects of steps and hands out call ids. It lives as long as its machine.
#[derive(Clone, Debug)]
pub struct Out<M: Machine> {
    next: u64,
    effects: Vec<Effect<M>>,
}

impl<M: Machine> Default for Out<M> {
    fn default() -> Self {
        Self { next: 0, effects: Vec::new() }
    }
}

impl<M: Machine> Out<M> {
    /// For a machine that is taken up again in the middle of its life, as a replay does: the next call gets this id.
    #[must_use]
    pub fn continuing(next: CallId) -> Self {
        Self { next: next.0, effects: Vec::new() }
    }

    /// Asks the world for something, to be answered by `by`.
    pub fn call(&mut self, by: Mono, call: M::Call) -> CallId {
        self.push(by, None, call)
    }

    /// The same on behalf of a question: the call ends with its ticket.
    pub fn call_for(&mut self, ticket: Ticket, by: Mono, call: M::Call) -> CallId {
        self.push(by, Some(ticket), call)
    }

    /// Answers a question.
    pub fn answer(&mut self, ticket: Ticket, answer: M::Answer) {
        self.effects.push(Effect::Answer { ticket, answer });
    }

    /// Tells the world something.
    pub fn notice(&mut self, notice: M::Notice) {
        self.effects.push(Effect::Notice(notice));
    }

    /// The effects of this step, in order; the driver's to take.
    pub fn take(&mut self) -> Vec<Effect<M>> {
        core::mem::take(&mut self.effects)
    }

    fn push(&mut self, by: Mono, behalf: Option<Ticket>, call: M::Call) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.effects.push(Effect::Call { id, by, behalf, call });
        id
    }
}
