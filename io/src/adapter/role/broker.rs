//! The broker's calls: mounts, the controller, NATS and the own server.

use kubefox_core::broker::{Answer, Broker, Call, Reply};
use kubefox_core::documents::subject;
use kubefox_core::machine::{Lost, Outcome, Ticket};
use kubefox_core::nats;
use zeroize::Zeroizing;

use super::listener::{listener_outcome, listener_request};
use crate::adapter::{Adapter, Encoded, Entropy, Slots, Unencodable, bootstrap, keys, volume};
use crate::exchange::{NatsRequest, Presentation, Request, Response};

/// Adapter of the broker.
pub struct BrokerAdapter {
    /// What its certificates must say.
    pub bootstrap: bootstrap::Context,
}

/// What goes back to the runtime or to the NATS client. Nothing in it is secret: a signature serves one connection.
pub type BrokerAnswer = Answer;

impl Adapter<Broker> for BrokerAdapter {
    type Rendered = BrokerAnswer;

    fn encode(
        &mut self,
        call: &Call,
        slots: &mut dyn Slots,
        entropy: &mut dyn Entropy,
    ) -> Result<Encoded<Reply>, Unencodable> {
        let request = match call {
            Call::Volume(call) => Request::Disk(volume::encode(call, slots)?),
            Call::Bootstrap(call) => bootstrap::encode(call, slots)?,
            Call::Keys(call) => return Ok(Encoded::Done(keys::done(call, slots, entropy)?.map(Reply::Keys))),
            Call::Listener(call) => Request::Listener(listener_request(call, slots)?),
            Call::Nats(call) => Request::Nats(nats_request(call, slots)?),
        };
        Ok(Encoded::Request(Box::new(request)))
    }

    fn decode(&mut self, call: &Call, response: Response, slots: &mut dyn Slots) -> Outcome<Reply> {
        match (call, response) {
            (Call::Volume(call), Response::Disk(response)) => {
                volume::decode(call, response, slots).map(Reply::Volume)
            }
            (Call::Bootstrap(call), Response::Bootstrap(response)) => {
                bootstrap::decode(call, response, &self.bootstrap, slots).map(Reply::Bootstrap)
            }
            (Call::Listener(call), response) => listener_outcome(call, response).map(Reply::Listener),
            (Call::Nats(_), Response::Nats(Err(refusal))) => Outcome::Refused(refusal),
            (Call::Nats(nats::Call::Connect { .. }), Response::Nats(Ok(()))) => {
                Outcome::Ok(Reply::Nats(nats::Reply::Connected))
            }
            (Call::Nats(nats::Call::Publish { .. }), Response::Nats(Ok(()))) => {
                Outcome::Ok(Reply::Nats(nats::Reply::Published))
            }
            // A shell that answers with another system's response: nothing is known of what happened.
            (Call::Volume(_) | Call::Bootstrap(_) | Call::Keys(_) | Call::Nats(_), _) => {
                Outcome::Unknown(Lost::Garbled)
            }
        }
    }

    fn render(&mut self, _ticket: Ticket, answer: Answer, _slots: &dyn Slots) -> Self::Rendered {
        answer
    }
}

fn nats_request(call: &nats::Call, slots: &dyn Slots) -> Result<NatsRequest, Unencodable> {
    Ok(match call {
        nats::Call::Connect { user, ca, leaf, key } => NatsRequest::Connect {
            inbox_prefix: subject::inbox_prefix(user),
            presentation: Presentation {
                leaf: leaf.clone(),
                ca: ca.clone(),
                key: Zeroizing::new(slots.expose(*key)?.to_vec()),
            },
        },
        nats::Call::Publish { subject, payload } => {
            let payload = Zeroizing::new(slots.expose(*payload)?.to_vec());
            NatsRequest::Publish { subject: subject.clone(), payload }
        }
    })
}
