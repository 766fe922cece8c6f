//! The initializer's calls: mounts and the controller.

use kubefox_core::initializer::{Answer, Call, Initializer, Reply};
use kubefox_core::machine::{Lost, Outcome, Ticket};

use crate::adapter::{Adapter, Encoded, Entropy, Slots, Unencodable, bootstrap, keys, volume};
use crate::exchange::{Request, Response};

/// Adapter of the initializer.
pub struct InitializerAdapter {
    /// What its certificate must say.
    pub bootstrap: bootstrap::Context,
}

impl Adapter<Initializer> for InitializerAdapter {
    type Rendered = std::convert::Infallible;

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
            // A shell that answers with another system's response: nothing is known of what happened.
            (Call::Volume(_) | Call::Bootstrap(_) | Call::Keys(_), _) => Outcome::Unknown(Lost::Garbled),
        }
    }

    fn render(&mut self, _ticket: Ticket, answer: Answer, _slots: &dyn Slots) -> Self::Rendered {
        match answer {}
    }
}
