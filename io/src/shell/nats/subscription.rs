//! Subscriptions that go on when a connection takes the place of another.
//!
//! Both connections are subscribed for a moment, so that nothing is missed. What came through the old one is known by its
//! number, and passed over when it comes through the new one as well.

use std::collections::BTreeSet;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, Message, Subscriber};
use data_encoding::BASE64URL_NOPAD;
use futures::future::OptionFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use kubefox_core::machine::Lost;
use tokio::sync::{mpsc, oneshot};

use super::{NUMBER_BYTES, REPLACED_FOR, echo};
use crate::shell::broker_server::Delivery;

/// Connections that a subscription may be behind. A runtime that does not read for that long loses it.
const MOVES_WAITING_MAX: usize = 16;

/// Messages that may be known. More come in the moment of a change only under a flood, and some of those come twice.
const KNOWN_MAX: usize = 4_096;

/// The number of a message. What a sender wrote in another form is no number, however long it is.
type Number = [u8; NUMBER_BYTES];

/// A subscription, for whoever changes the connection.
#[derive(Clone)]
pub(super) struct Seat {
    subject: String,
    moves: mpsc::Sender<oneshot::Receiver<Subscriber>>,
}

/// A seat of which messages may come twice from now on.
struct Moving {
    subject: String,
    there: oneshot::Sender<Subscriber>,
}

/// The messages of a subscription, from connection to connection.
pub(super) struct Follower {
    moves: mpsc::Receiver<oneshot::Receiver<Subscriber>>,
    moving: Option<oneshot::Receiver<Subscriber>>,
    /// What is left of the connection before.
    left: Option<Subscriber>,
    current: Option<Subscriber>,
    /// What came while both were subscribed.
    known: BTreeSet<Number>,
}

impl Seat {
    pub(super) fn new(subject: String) -> (Self, Follower) {
        let (sender, moves) = mpsc::channel(MOVES_WAITING_MAX);
        let follower = Follower { moves, moving: None, left: None, current: None, known: BTreeSet::new() };
        (Self { subject, moves: sender }, follower)
    }

    /// Whether nobody listens any more.
    pub(super) fn is_left(&self) -> bool {
        self.moves.is_closed()
    }

    /// Tells the follower first: whatever it takes from now on may come again.
    fn stir(&self) -> Option<Moving> {
        let (there, arrival) = oneshot::channel();
        self.moves.try_send(arrival).ok()?;
        Some(Moving { subject: self.subject.clone(), there })
    }
}

/// Subscribes all of them on the new connection, and lets them go there when everything is here that came through the old
/// one, if that stands.
pub(super) async fn carry_over(seats: &[Seat], new: &Client, old: Option<&Client>) -> Result<(), Lost> {
    let moving: Vec<_> = seats.iter().filter_map(Seat::stir).collect();
    let subscribed = tokio::time::timeout(REPLACED_FOR, subscribe(moving, new)).await;
    let arrivals = subscribed.unwrap_or(Err(Lost::Connection))?;
    if let Some(old) = old {
        // What it sent to the old connection before that is here. If that one is lost, so is what was on its way.
        let _ = tokio::time::timeout(REPLACED_FOR, echo(old)).await;
    }
    for (there, subscriber) in arrivals {
        // Whoever left meanwhile wants nothing of it.
        let _ = there.send(subscriber);
    }
    Ok(())
}

/// Returns when the server knows of them.
async fn subscribe(
    moving: Vec<Moving>,
    new: &Client,
) -> Result<Vec<(oneshot::Sender<Subscriber>, Subscriber)>, Lost> {
    let mut arrivals = Vec::new();
    for Moving { subject, there } in moving {
        let subscriber = new.subscribe(subject).await.map_err(|_| Lost::Connection)?;
        arrivals.push((there, subscriber));
    }
    if !arrivals.is_empty() {
        echo(new).await?;
    }
    Ok(arrivals)
}

impl Follower {
    /// The messages, from this subscriber on.
    pub(super) fn follow(mut self, subscriber: Subscriber) -> BoxStream<'static, Delivery> {
        self.current = Some(subscriber);
        let messages = stream::unfold(self, async |mut follower| Some((follower.next().await?, follower)));
        messages
            .map(|message| Delivery { subject: message.subject.to_string(), payload: message.payload })
            .boxed()
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take_what_is_left() {
                return Some(message);
            }
            let message = tokio::select! {
                biased;
                Some(arrived) = OptionFuture::from(self.moving.as_mut()) => {
                    self.moving = None;
                    // Dropped: the new connection was given up, and the old one stands or the next one comes.
                    if let Ok(successor) = arrived {
                        self.left = self.current.replace(successor);
                    }
                    continue;
                }
                moving = self.moves.recv(), if self.moving.is_none() => {
                    // Without a sender there will be no connection any more.
                    self.moving = Some(moving?);
                    self.known.clear();
                    continue;
                }
                Some(message) = OptionFuture::from(self.current.as_mut().map(StreamExt::next)) => message,
            };
            let Some(message) = message else {
                self.current = None;
                continue;
            };
            let Some(number) = number(&message) else { return Some(message) };
            if self.moving.is_some() {
                self.know(number);
            } else if self.known.remove(&number) {
                continue;
            }
            return Some(message);
        }
    }

    /// Everything that the connection before had sent is here already.
    fn take_what_is_left(&mut self) -> Option<Message> {
        // Within the budget of a task a full channel says that it is empty once in a while.
        let message = tokio::task::unconstrained(self.left.as_mut()?.next()).now_or_never().flatten();
        match &message {
            Some(message) => number(message).into_iter().for_each(|number| self.know(number)),
            None => self.left = None,
        }
        message
    }

    fn know(&mut self, number: Number) {
        if self.known.len() < KNOWN_MAX {
            self.known.insert(number);
        }
    }
}

/// What its sender's broker numbered it with.
fn number(message: &Message) -> Option<Number> {
    let text = message.headers.as_ref()?.get(NATS_MESSAGE_ID)?.as_str();
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}
