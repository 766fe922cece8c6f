//! One message of the runtime: sent at most once.

use alloc::string::String;

use super::{Answer, Broker, Call, Reply};
use crate::machine::{CallId, Out, Outcome, Ticket};
use crate::nats;
use crate::secret::{Asker, Secret};
use crate::time::{Mono, Now};

/// How many messages may be under way at once.
pub(super) const PUBLISHING_MAX: usize = 64;

/// How long the server may take to confirm a message.
const PUBLISH_MS: u64 = 5_000;

pub(super) fn publish(ticket: Ticket, subject: String, by: Mono, now: Now, out: &mut Out<Broker>) -> CallId {
    let call = nats::Call::Publish { subject, payload: Secret::Of(ticket, Asker::Payload) };
    out.call_for(ticket, by.min(now.in_ms(PUBLISH_MS)), Call::Nats(call))
}

/// What the runtime hears. Nothing is repeated here: the second message could be a second order.
pub(super) fn answer(outcome: Outcome<Reply>) -> Answer {
    match outcome {
        Outcome::Ok(Reply::Nats(nats::Reply::Published)) => Answer::Published,
        Outcome::Refused(_) => Answer::Unavailable,
        Outcome::Unknown(_) => Answer::Unknown,
        Outcome::Ok(reply) => panic!("the driver answered Publishing with {reply:?}"),
    }
}
