//! The quarantine: runs before Vault in each new pod, and moves Vault's data aside if, and only if, `boot.state` bears
//! the mark that it is what an interrupted initialization left.
//!
//! ```text
//! start ─> ClaimingDirectory
//!               v
//!          ReadingMark ─ marked ─> ReadingToken ─> ReadingCommitted ─> Inspecting
//!               │                                                         │   │   └─ empty ──────────────┐
//!               │                                    MovingAside <─ there ┘   └ missing ─┐               │
//!               │                                         └──────────────────────────────┴> Creating     │
//!               │                                                                              v         v
//!               └─ not marked ──────────────────────────────────────────────> Finished <────── WritingSent
//!
//! BackingOff ─> ClaimingDirectory  from each: not there yet, any doubt
//! anywhere ── a reason against it that does not pass ──> Stopped
//! ```
//!
//! Every attempt begins with claiming the state directory, as the controller does: nobody else reads or writes there as
//! long as this process lives. Then comes `boot.state`: killed at any point and run again, or in doubt whether something
//! was done, it looks and does what is left. Only definite facts count: silence of the API server is no 404. Nothing is
//! ever deleted: the data is renamed, and a person removes it. The mark is gone before Vault starts, so it never meets the
//! data of a Vault that was initialized since, and each recovery is counted exactly once.

mod calls;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::calls::{Answer, Ask, Call, Config, Notice, Reply, Signal};
use crate::controller::table;
use crate::fatal::Fatal;
use crate::machine::{CallId, Event, Machine, Out, Outcome, Refusal, Seed, Standing};
use crate::names::LifeId;
use crate::phases::phases;
use crate::retry::{Attempt, backoff};
use crate::secret::{Own, Secret};
use crate::state::{Claimed, RECOVERIES_MAX, State as BootState};
use crate::storage::{Data, Facts};
use crate::time::{Mono, Now, Unix};
use crate::volume::{Token, TokenFile};
use crate::{kubernetes, state, storage, volume};

/// A local read, or a rename.
const LOCAL_MS: u64 = 10_000;
/// A read from the API server.
const REMOTE_MS: u64 = 5_000;
/// How often the system may refuse to move the data aside, or to make the directory anew, before that is for good.
const REFUSED_MAX: u8 = 3;

/// The quarantine. The picture is in the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quarantine {
    seed: Seed,
    /// How often an attempt failed.
    attempt: Attempt,
    /// How often the system refused to change the volume.
    refused: u8,
    /// What was waited for last.
    wait: Option<Wait>,
    state: State,
}

/// What is awaited, and what only that phase needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    ClaimingDirectory { call: CallId },
    ReadingMark { call: CallId },
    ReadingToken { call: CallId, mark: Mark },
    ReadingCommitted { call: CallId, mark: Mark },
    Inspecting { call: CallId, mark: Mark },
    MovingAside { call: CallId, mark: Mark, at: Unix },
    Creating { call: CallId, mark: Mark },
    WritingSent { call: CallId },
    BackingOff { until: Mono, wait: Wait },
    Finished,
    Stopped(Fatal),
}

/// What `boot.state` says of the interrupted initialization.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Mark {
    life: LifeId,
    attempt: u32,
    recoveries: u32,
}

/// What comes after a phase.
enum Turn {
    Go(State),
    /// Begin again after a pause that grows.
    Again(Wait),
    /// The system refuses to change the volume.
    Refused,
    Stop(Fatal),
}

/// What is missing and may come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wait {
    /// The state directory cannot be inspected, or its lock not be opened.
    StateDirectory,
    /// Another process holds the state directory.
    StateHeld,
    /// The state directory's file system knows no locks.
    StateUnlockable,
    /// `boot.state` cannot be read.
    StateFile,
    /// The token for the Kubernetes API is not there.
    Token,
    /// The Kubernetes API does not answer, or does not allow what is needed.
    ApiServer,
    /// The volume cannot be inspected or changed.
    Volume,
    /// A quarantine of this second exists.
    Name,
    /// `boot.state` cannot be written.
    StateWrite,
}

impl Wait {
    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::StateDirectory => table::Wait::StateDirectory.sentence(),
            Self::StateHeld => table::Wait::StateHeld.sentence(),
            Self::StateUnlockable => table::Wait::StateUnlockable.sentence(),
            Self::StateFile => table::Wait::StateFile.sentence(),
            Self::Token => {
                "waiting for the projected token of the Kubernetes API: whether the key was safe is asked there"
            }
            Self::ApiServer => {
                "waiting for the Kubernetes API server to say whether kubefox-committed exists: without that nothing \
                 is moved aside"
            }
            Self::Volume => "waiting for the volume: Vault's data directory cannot be inspected or renamed",
            Self::Name => "waiting for the next second: a quarantine of this one exists",
            Self::StateWrite => table::Wait::StateWrite.sentence(),
        }
    }
}

impl Machine for Quarantine {
    type Config = Config;
    type Call = Call;
    type Reply = Reply;
    type Ask = Ask;
    type Answer = Answer;
    type Notice = Notice;
    type Signal = Signal;

    fn start(Config: Config, seed: Seed, now: Now, out: &mut Out<Self>) -> Self {
        let state = State::claiming(now, out);
        Self { seed, attempt: Attempt::default(), refused: 0, wait: None, state }
    }

    fn handle_event(&mut self, now: Now, event: Event<Self>, out: &mut Out<Self>) {
        match event {
            Event::Done { id, outcome } => {
                if self.state.awaits() == Some(id) {
                    let turn = self.state.clone().done(outcome, now, out);
                    self.take(turn, now, out);
                }
            }
            Event::Asked { ask, .. } => match ask {},
            Event::Withdrawn { .. } => {}
            Event::Signal(Signal::Stop) => match self.state {
                State::Finished | State::Stopped(_) => {}
                State::ClaimingDirectory { .. }
                | State::ReadingMark { .. }
                | State::ReadingToken { .. }
                | State::ReadingCommitted { .. }
                | State::Inspecting { .. }
                | State::MovingAside { .. }
                | State::Creating { .. }
                | State::WritingSent { .. }
                | State::BackingOff { .. } => self.state = State::Stopped(Fatal::GaveUp),
            },
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Out<Self>) {
        match self.state {
            State::BackingOff { until, .. } if until <= now.mono => {
                self.state = State::claiming(now, out);
            }
            State::BackingOff { .. }
            | State::ClaimingDirectory { .. }
            | State::ReadingMark { .. }
            | State::ReadingToken { .. }
            | State::ReadingCommitted { .. }
            | State::Inspecting { .. }
            | State::MovingAside { .. }
            | State::Creating { .. }
            | State::WritingSent { .. }
            | State::Finished
            | State::Stopped(_) => {}
        }
    }

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        match self.state {
            State::BackingOff { until, wait } => Some((until, wait.sentence())),
            State::ClaimingDirectory { .. }
            | State::ReadingMark { .. }
            | State::ReadingToken { .. }
            | State::ReadingCommitted { .. }
            | State::Inspecting { .. }
            | State::MovingAside { .. }
            | State::Creating { .. }
            | State::WritingSent { .. }
            | State::Finished
            | State::Stopped(_) => None,
        }
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
            State::ClaimingDirectory { .. } => self.wait.unwrap_or(Wait::StateDirectory).sentence(),
            State::ReadingMark { .. } => self.wait.unwrap_or(Wait::StateFile).sentence(),
            State::ReadingToken { .. } => self.wait.unwrap_or(Wait::Token).sentence(),
            State::ReadingCommitted { .. } => self.wait.unwrap_or(Wait::ApiServer).sentence(),
            State::Inspecting { .. } | State::MovingAside { .. } | State::Creating { .. } => {
                self.wait.unwrap_or(Wait::Volume).sentence()
            }
            State::WritingSent { .. } => self.wait.unwrap_or(Wait::StateWrite).sentence(),
            State::BackingOff { wait, .. } => wait.sentence(),
            State::Finished => "nothing: Vault may start",
            State::Stopped(Fatal::GaveUp) => self.wait.map_or(Fatal::GaveUp.cause(), Wait::sentence),
            State::Stopped(fatal) => fatal.cause(),
        }
    }

    fn standing(&self) -> Standing {
        match self.state {
            State::ClaimingDirectory { .. }
            | State::ReadingMark { .. }
            | State::ReadingToken { .. }
            | State::ReadingCommitted { .. }
            | State::Inspecting { .. }
            | State::MovingAside { .. }
            | State::Creating { .. }
            | State::WritingSent { .. }
            | State::BackingOff { .. } => Standing::Starting,
            State::Finished => Standing::Finished,
            State::Stopped(fatal) => Standing::Stopped(fatal),
        }
    }
}

impl State {
    phases! {
        fn phase(&self) match (self) {
            Self::ClaimingDirectory { .. } => "ClaimingDirectory",
            Self::ReadingMark { .. } => "ReadingMark",
            Self::ReadingToken { .. } => "ReadingToken",
            Self::ReadingCommitted { .. } => "ReadingCommitted",
            Self::Inspecting { .. } => "Inspecting",
            Self::MovingAside { .. } => "MovingAside",
            Self::Creating { .. } => "Creating",
            Self::WritingSent { .. } => "WritingSent",
            Self::BackingOff { .. } => "BackingOff",
            Self::Finished => "Finished",
            Self::Stopped(_) => "Stopped",
        }
    }
}

impl Quarantine {
    fn take(&mut self, turn: Turn, now: Now, out: &mut Out<Self>) {
        match turn {
            Turn::Go(state) => self.state = state,
            Turn::Again(wait) => self.back_off(wait, now, out),
            Turn::Refused => {
                self.refused += 1;
                if self.refused < REFUSED_MAX {
                    self.back_off(Wait::Volume, now, out);
                } else {
                    self.state = State::Stopped(Fatal::QuarantineRefused);
                }
            }
            Turn::Stop(fatal) => self.state = State::Stopped(fatal),
        }
    }

    fn back_off(&mut self, wait: Wait, now: Now, out: &mut Out<Self>) {
        if self.wait != Some(wait) {
            out.notice(Notice::Waiting(wait));
        }
        let until = backoff(self.seed, self.attempt, now);
        self.attempt = self.attempt.next();
        self.wait = Some(wait);
        self.state = State::BackingOff { until, wait };
    }
}

impl State {
    fn claiming(now: Now, out: &mut Out<Quarantine>) -> Self {
        Self::ClaimingDirectory { call: out.call(now.in_ms(LOCAL_MS), Call::State(state::Call::Claim)) }
    }

    fn reading_mark(now: Now, out: &mut Out<Quarantine>) -> Self {
        Self::ReadingMark { call: out.call(now.in_ms(LOCAL_MS), Call::State(state::Call::Read)) }
    }

    fn creating(mark: Mark, now: Now, out: &mut Out<Quarantine>) -> Self {
        Self::Creating { call: out.call(now.in_ms(LOCAL_MS), Call::Storage(storage::Call::Create)), mark }
    }

    fn writing_sent(mark: Mark, now: Now, out: &mut Out<Quarantine>) -> Self {
        let Mark { life, attempt, recoveries } = mark;
        let recoveries = recoveries.saturating_add(1);
        let call = Call::State(state::Call::WriteSent { life, attempt, recoveries });
        Self::WritingSent { call: out.call(now.in_ms(LOCAL_MS), call) }
    }

    /// The call whose end moves this state.
    const fn awaits(&self) -> Option<CallId> {
        match self {
            Self::ClaimingDirectory { call }
            | Self::ReadingMark { call }
            | Self::ReadingToken { call, .. }
            | Self::ReadingCommitted { call, .. }
            | Self::Inspecting { call, .. }
            | Self::MovingAside { call, .. }
            | Self::Creating { call, .. }
            | Self::WritingSent { call } => Some(*call),
            Self::BackingOff { .. } | Self::Finished | Self::Stopped(_) => None,
        }
    }

    /// The awaited call has ended.
    fn done(self, outcome: Outcome<Reply>, now: Now, out: &mut Out<Quarantine>) -> Turn {
        match self {
            Self::ClaimingDirectory { .. } => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Claimed(claimed))) => Self::claimed(claimed, now, out),
                Outcome::Ok(reply) => panic!("the driver answered ClaimingDirectory with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Again(Wait::StateDirectory),
            },
            Self::ReadingMark { .. } => match outcome {
                Outcome::Ok(Reply::State(state::Reply::State(found))) => marked(found, now, out),
                Outcome::Ok(reply) => panic!("the driver answered ReadingMark with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Again(Wait::StateFile),
            },
            Self::ReadingToken { mark, .. } => match outcome {
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read))) => {
                    let call = Call::Kubernetes(kubernetes::Call::ReadCommitted);
                    Turn::Go(Self::ReadingCommitted { call: out.call(now.in_ms(REMOTE_MS), call), mark })
                }
                Outcome::Ok(Reply::Volume(volume::Reply::Token(
                    TokenFile::Missing | TokenFile::Empty | TokenFile::Malformed,
                )))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => Turn::Again(Wait::Token),
                Outcome::Ok(reply) => panic!("the driver answered ReadingToken with {reply:?}"),
            },
            Self::ReadingCommitted { mark, .. } => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Committed(None))) => {
                    let call = Call::Storage(storage::Call::Inspect);
                    Turn::Go(Self::Inspecting { call: out.call(now.in_ms(LOCAL_MS), call), mark })
                }
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Committed(Some(committed)))) => {
                    Turn::Stop(beyond(committed.life == Some(mark.life)))
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingCommitted with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Again(Wait::ApiServer),
            },
            Self::Inspecting { mark, .. } => match outcome {
                Outcome::Ok(Reply::Storage(storage::Reply::Inspected(facts))) => {
                    inspected(facts, mark, now, out)
                }
                Outcome::Ok(reply) => panic!("the driver answered Inspecting with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Again(Wait::Volume),
            },
            Self::MovingAside { mark, at, .. } => match outcome {
                Outcome::Ok(Reply::Storage(storage::Reply::Done)) => {
                    out.notice(Notice::MovedAside { at });
                    Turn::Go(Self::creating(mark, now, out))
                }
                Outcome::Ok(reply) => panic!("the driver answered MovingAside with {reply:?}"),
                Outcome::Refused(Refusal::Conflict) => Turn::Again(Wait::Name),
                Outcome::Refused(_) => Turn::Refused,
                Outcome::Unknown(_) => Turn::Again(Wait::Volume),
            },
            Self::Creating { mark, .. } => match outcome {
                Outcome::Ok(Reply::Storage(storage::Reply::Done)) => {
                    Turn::Go(Self::writing_sent(mark, now, out))
                }
                Outcome::Ok(reply) => panic!("the driver answered Creating with {reply:?}"),
                // It is there: look what it holds.
                Outcome::Refused(Refusal::Conflict) | Outcome::Unknown(_) => Turn::Again(Wait::Volume),
                Outcome::Refused(_) => Turn::Refused,
            },
            Self::WritingSent { .. } => match outcome {
                Outcome::Ok(Reply::State(state::Reply::Written)) => Turn::Go(Self::Finished),
                Outcome::Ok(reply) => panic!("the driver answered WritingSent with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Again(Wait::StateWrite),
            },
            Self::BackingOff { .. } | Self::Finished | Self::Stopped(_) => {
                unreachable!("a state that awaits nothing gets no answer")
            }
        }
    }

    fn claimed(claimed: Claimed, now: Now, out: &mut Out<Quarantine>) -> Turn {
        match claimed {
            // Whether it is a volume of its own is the controller's to judge.
            Claimed::Ours { mount_point: _ } => Turn::Go(Self::reading_mark(now, out)),
            Claimed::Others => Turn::Again(Wait::StateHeld),
            Claimed::Unlockable => Turn::Again(Wait::StateUnlockable),
            // No installation has ever begun here.
            Claimed::Missing => marked(BootState::Absent, now, out),
        }
    }
}

/// What it means that an envelope was on the disk already, of this life or of another.
const fn beyond(ours: bool) -> Fatal {
    if ours { Fatal::DiskRolledBack } else { Fatal::EarlierLife }
}

/// Whether there is anything to do. What is wrong with a file that bears no mark is the controller's to say.
fn marked(found: BootState, now: Now, out: &mut Out<Quarantine>) -> Turn {
    match found {
        BootState::Absent
        | BootState::Intent { .. }
        | BootState::Sent { .. }
        | BootState::Foreign { .. }
        | BootState::Envelope { .. }
        | BootState::Corrupt
        | BootState::OtherInstallation => {
            out.notice(Notice::NotMarked);
            Turn::Go(State::Finished)
        }
        BootState::Recover { recoveries: RECOVERIES_MAX.., .. } => Turn::Stop(Fatal::RecoveryExhausted),
        BootState::Recover { life, attempt, recoveries, pod: _ } => {
            out.notice(Notice::Marked { life: life.clone(), recoveries });
            let mark = Mark { life, attempt, recoveries };
            let into = Secret::Own(Own::ApiJwt);
            let call = Call::Volume(volume::Call::ReadToken { token: Token::Api, into });
            Turn::Go(State::ReadingToken { call: out.call(now.in_ms(LOCAL_MS), call), mark })
        }
    }
}

fn inspected(facts: Facts, mark: Mark, now: Now, out: &mut Out<Quarantine>) -> Turn {
    let Facts { one_file_system, data } = facts;
    if !one_file_system {
        return Turn::Stop(Fatal::VolumesApart);
    }
    Turn::Go(match data {
        Data::Present => {
            let at = now.unix;
            let call = Call::Storage(storage::Call::MoveAside { at });
            State::MovingAside { call: out.call(now.in_ms(LOCAL_MS), call), mark, at }
        }
        // It was moved aside, and whoever did it died before this.
        Data::Missing => State::creating(mark, now, out),
        Data::Empty => State::writing_sent(mark, now, out),
    })
}
