//! Serves `kubefox.broker.v1.Broker` to the runtime of a component: questions at the broker's door, and the messages
//! of its subscription as they come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use kubefox_core::broker::{Answer, Ask};
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::documents::subject;
use kubefox_core::machine::{Lost, Machine};
use kubefox_core::names::SubjectTail;
use kubefox_core::secret::Asker;
use kubefox_proto::broker::v1 as proto;
use kubefox_proto::broker::v1::broker_server::{Broker, BrokerServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use crate::door::{Door, Unanswered};
use crate::shell::listener::Limits;

/// What a broker's server bears. Its one client is the runtime beside it, whose subscription lasts as long as the
/// runtime: no connection is too old.
pub const LIMITS: Limits = Limits { connections: 16, streams: 256, age: None };

/// Longest payload: what NATS allows for a message, less what its headers may take.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 20) - 1_024;

/// Longest message: a payload, a subject and a key.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 4 * 1024;

/// A question is answered within this time.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the broker is asked: by its runtime, and by the NATS client that needs a signature.
pub trait BrokerDoor: Send + Sync + 'static {
    /// Asks, with the payload where there is one; dropping the future withdraws the question.
    fn ask(
        &self,
        ask: Ask,
        payload: Option<Zeroizing<Vec<u8>>>,
        within: Duration,
    ) -> BoxFuture<'static, Asked>;
    /// Returns when nobody answers any more: the broker has ended.
    fn closed(&self) -> BoxFuture<'static, ()>;
}

/// How a question ended.
pub type Asked = Result<Answer, Unanswered>;

impl<M: Machine<Ask = Ask>> BrokerDoor for Door<M, Answer> {
    fn ask(
        &self,
        ask: Ask,
        payload: Option<Zeroizing<Vec<u8>>>,
        within: Duration,
    ) -> BoxFuture<'static, Asked> {
        let door = self.clone();
        let secrets = payload.map(|payload| (Asker::Payload, payload)).into_iter().collect();
        async move { Self::ask(&door, ask, secrets, within).await }.boxed()
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let door = self.clone();
        async move { Self::closed(&door).await }.boxed()
    }
}

/// Where messages come from: the NATS client.
pub trait Inbox: Send + Sync + 'static {
    /// The messages on `subject` from now on; the future is done when the server knows of the subscription. Whoever
    /// drops the stream ends it.
    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<'static, Delivery>, Lost>>;
}

/// One message as NATS delivers it.
pub struct Delivery {
    /// Its full subject.
    pub subject: String,
    /// Its payload.
    pub payload: Bytes,
}

/// The service, for a [`crate::shell::listener::Listener`] of [`crate::shell::listener::Clients::OwnRuntime`].
#[must_use]
pub fn routes(door: Arc<dyn BrokerDoor>, inbox: Arc<dyn Inbox>) -> Routes {
    Routes::new(BrokerServer::new(Service { door, inbox }).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

struct Service {
    door: Arc<dyn BrokerDoor>,
    inbox: Arc<dyn Inbox>,
}

#[tonic::async_trait]
impl Broker for Service {
    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let proto::PublishRequest { to, subject, payload } = request.into_inner();
        let payload = Zeroizing::new(payload);
        let to = PublicKey::parse_as(Prefix::User, &to).map_err(|invalid| malformed("to", &invalid))?;
        let tail = SubjectTail::parse(&subject).map_err(|invalid| malformed("subject", &invalid))?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Status::invalid_argument(format!("payload: not at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        let answer = self.ask(Ask::Publish { to, tail }, Some(payload)).await?;
        if answer != Answer::Published {
            return Err(no(&answer));
        }
        Ok(Response::new(proto::PublishResponse {}))
    }

    type SubscribeStream = BoxStream<'static, Result<proto::Message, Status>>;

    async fn subscribe(
        &self,
        _: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let subject = self.subject().await?;
        let deliveries = self.inbox.subscribe(subject).await;
        let deliveries =
            deliveries.map_err(|_| Status::unavailable("NATS did not take the subscription."))?;
        Ok(Response::new(messages(deliveries.take_until(self.door.closed()).boxed())))
    }

    async fn identify(
        &self,
        _: Request<proto::IdentifyRequest>,
    ) -> Result<Response<proto::IdentifyResponse>, Status> {
        let subject = self.subject().await?;
        let user = owner(&subject).ok_or_else(|| no_answer("another subject"))?;
        Ok(Response::new(proto::IdentifyResponse { user: user.as_str().to_owned() }))
    }
}

impl Service {
    /// What this component subscribes to.
    async fn subject(&self) -> Result<String, Status> {
        let answer = self.ask(Ask::Subscribe, None).await?;
        let Answer::Subscribed { subject } = answer else { return Err(no(&answer)) };
        Ok(subject)
    }

    async fn ask(&self, ask: Ask, payload: Option<Zeroizing<Vec<u8>>>) -> Result<Answer, Status> {
        self.door.ask(ask, payload, ANSWER_WITHIN).await.map_err(|unanswered| match unanswered {
            Unanswered::Busy => Status::resource_exhausted("Too many questions wait for the broker."),
            Unanswered::Late => Status::deadline_exceeded("The broker did not answer in time."),
            Unanswered::Stopping => Status::unavailable("The broker is stopping."),
        })
    }
}

/// The messages among what is delivered, each when the runtime is ready for it. Replies are none.
fn messages(deliveries: BoxStream<'static, Delivery>) -> BoxStream<'static, Result<proto::Message, Status>> {
    let ended = async { Err(Status::unavailable("The subscription has ended: subscribe again.")) };
    deliveries.filter_map(async |delivery| message(delivery).map(Ok)).chain(stream::once(ended)).boxed()
}

fn message(delivery: Delivery) -> Option<proto::Message> {
    let subject::Message { from, tail, .. } = subject::parse(&delivery.subject).ok()?;
    Some(proto::Message {
        from: from.as_str().to_owned(),
        subject: tail.as_str().to_owned(),
        payload: Vec::from(delivery.payload),
    })
}

/// Whose inbox it is; the inverse of [`subject::inbox`].
fn owner(inbox: &str) -> Option<PublicKey> {
    let user = inbox.strip_prefix("kf.")?.strip_suffix(".in.>")?;
    PublicKey::parse_as(Prefix::User, user).ok()
}

fn malformed(field: &str, invalid: &kubefox_core::names::Invalid) -> Status {
    Status::invalid_argument(format!("{field}: {invalid}"))
}

/// The status of an answer that is not the one asked for.
fn no(answer: &Answer) -> Status {
    match answer {
        Answer::Unavailable => Status::unavailable("NATS is not connected, or the broker is stopping."),
        Answer::Busy => Status::resource_exhausted("Too many messages are on their way."),
        Answer::Unknown => Status::unknown("The message may have been sent, or not."),
        Answer::Published | Answer::Subscribed { .. } | Answer::Signed { .. } | Answer::Unsigned(_) => {
            no_answer("another answer")
        }
    }
}

fn no_answer(what: &str) -> Status {
    Status::internal(format!("The broker gave {what}."))
}

#[cfg(test)]
mod tests;
