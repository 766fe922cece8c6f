//! The way in: a gRPC handler or NATS' auth callback asks through a [`Door`], the driver answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kubefox_core::machine::{Machine, Ticket};
use kubefox_core::secret::Asker;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Questions that wait for the driver; beyond that the asker is told at once that the role is busy.
pub const QUESTIONS_WAITING_MAX: usize = 256;

/// The machine's time for a question ends by so much before the asker stops listening, so that an answer that says why
/// there is no better one is still heard.
pub const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// What comes in through a door.
pub enum Inbound<M: Machine, R> {
    /// A question.
    Asked(Question<M, R>),
    /// Its asker went away.
    Withdrawn(Ticket),
}

/// One question and the way back.
pub struct Question<M: Machine, R> {
    /// Its name.
    pub ticket: Ticket,
    /// Until when it is to be answered: a margin before the asker stops listening.
    pub until: Instant,
    /// The question.
    pub ask: M::Ask,
    /// What the asker showed, for its slots.
    pub secrets: Vec<(Asker, Zeroizing<Vec<u8>>)>,
    /// The way back.
    pub reply: oneshot::Sender<R>,
}

impl<M: Machine, R> Question<M, R> {
    /// How long the answer may still take; the time in the queue is gone already.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Where questions are asked. Cheap to clone.
pub struct Door<M: Machine, R> {
    questions: mpsc::Sender<Question<M, R>>,
    /// Has no limit of its own, and so cannot be full: a question is withdrawn once at most, and the driver takes every
    /// withdrawal before the next question. So there are never more than questions that wait and questions that the
    /// machine has open, and both have a limit.
    withdrawals: mpsc::UnboundedSender<Ticket>,
    tickets: Arc<AtomicU64>,
}

impl<M: Machine, R> Clone for Door<M, R> {
    fn clone(&self) -> Self {
        let (questions, withdrawals) = (self.questions.clone(), self.withdrawals.clone());
        Self { questions, withdrawals, tickets: Arc::clone(&self.tickets) }
    }
}

/// The driver's end of a door.
pub struct DoorEnd<M: Machine, R> {
    questions: mpsc::Receiver<Question<M, R>>,
    withdrawals: mpsc::UnboundedReceiver<Ticket>,
}

impl<M: Machine, R> DoorEnd<M, R> {
    /// What comes in next, withdrawals first; `None` once nobody can ask any more. Nothing is lost if the future is
    /// dropped.
    pub async fn recv(&mut self) -> Option<Inbound<M, R>> {
        tokio::select! {
            biased;
            Some(ticket) = self.withdrawals.recv() => Some(Inbound::Withdrawn(ticket)),
            question = self.questions.recv() => question.map(Inbound::Asked),
        }
    }
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many questions wait.
    #[error("too many questions wait for an answer")]
    Busy,
    /// The asker's time was up.
    #[error("no answer came in time")]
    Late,
    /// The role is stopping.
    #[error("the role is stopping")]
    Stopping,
}

impl<M: Machine, R> Door<M, R> {
    /// A door and the driver's end of it.
    #[must_use]
    pub fn new() -> (Self, DoorEnd<M, R>) {
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let (withdrawals, withdrawn) = mpsc::unbounded_channel();
        let door = Self { questions, withdrawals, tickets: Arc::new(AtomicU64::new(1)) };
        (door, DoorEnd { questions: asked, withdrawals: withdrawn })
    }

    /// Returns when nobody answers any more: the driver has ended.
    pub async fn closed(&self) {
        self.questions.closed().await;
    }

    /// Asks and waits for the answer. Dropping the future withdraws the question.
    ///
    /// # Errors
    /// [`Unanswered`] says why there is no answer.
    pub async fn ask(
        &self,
        ask: M::Ask,
        secrets: Vec<(Asker, Zeroizing<Vec<u8>>)>,
        within: Duration,
    ) -> Result<R, Unanswered> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let asked = Instant::now();
        // Of a short time a quarter, so that most of it is left.
        let until = asked + within - ANSWER_MARGIN.min(within / 4);
        let question = Question { ticket, until, ask, secrets, reply };
        self.questions.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Stopping,
        })?;
        let mut waiting = Waiting { withdrawals: &self.withdrawals, ticket, answer, answered: false };
        let answer = tokio::time::timeout_at(asked + within, &mut waiting.answer).await;
        waiting.answered = matches!(answer, Ok(Ok(_)));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unanswered::Stopping),
            Err(_) => Err(Unanswered::Late),
        }
    }
}

/// Withdraws its question unless it was answered.
struct Waiting<'a, R> {
    withdrawals: &'a mpsc::UnboundedSender<Ticket>,
    ticket: Ticket,
    answer: oneshot::Receiver<R>,
    answered: bool,
}

impl<R> Drop for Waiting<'_, R> {
    fn drop(&mut self) {
        if !self.answered {
            // First, because the withdrawal may be taken before the question: a question whose answer nobody can hear is
            // dropped when it is taken.
            self.answer.close();
            // Without a driver there is nothing to withdraw it from.
            let _ = self.withdrawals.send(self.ticket);
        }
    }
}

#[cfg(test)]
mod tests;
