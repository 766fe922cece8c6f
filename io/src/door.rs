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
    /// Until when the asker listens.
    pub until: Instant,
    /// The question.
    pub ask: M::Ask,
    /// What the asker showed, for its slots.
    pub secrets: Vec<(Asker, Zeroizing<Vec<u8>>)>,
    /// The way back.
    pub reply: oneshot::Sender<R>,
}

impl<M: Machine, R> Question<M, R> {
    /// For how long the asker still listens; the time in the queue is gone already.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Where questions are asked. Cheap to clone.
pub struct Door<M: Machine, R> {
    questions: mpsc::Sender<Inbound<M, R>>,
    tickets: Arc<AtomicU64>,
}

impl<M: Machine, R> Clone for Door<M, R> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone(), tickets: Arc::clone(&self.tickets) }
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
    pub fn new() -> (Self, mpsc::Receiver<Inbound<M, R>>) {
        let (questions, receiver) = mpsc::channel(QUESTIONS_WAITING_MAX);
        (Self { questions, tickets: Arc::new(AtomicU64::new(1)) }, receiver)
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
        let until = Instant::now() + within;
        let question = Question { ticket, until, ask, secrets, reply };
        self.questions.try_send(Inbound::Asked(question)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
            mpsc::error::TrySendError::Closed(_) => Unanswered::Stopping,
        })?;
        let mut asked = Asked { questions: &self.questions, ticket, answered: false };
        let answer = tokio::time::timeout_at(until, answer).await;
        asked.answered = matches!(answer, Ok(Ok(_)));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unanswered::Stopping),
            Err(_) => Err(Unanswered::Late),
        }
    }
}

/// Withdraws its question unless it was answered.
struct Asked<'a, M: Machine, R> {
    questions: &'a mpsc::Sender<Inbound<M, R>>,
    ticket: Ticket,
    answered: bool,
}

impl<M: Machine, R> Drop for Asked<'_, M, R> {
    fn drop(&mut self) {
        if !self.answered {
            // A full queue means that the driver finds the reply's channel closed when it answers.
            let _ = self.questions.try_send(Inbound::Withdrawn(self.ticket));
        }
    }
}

#[cfg(test)]
mod tests;
