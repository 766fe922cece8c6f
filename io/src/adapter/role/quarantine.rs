//! The quarantine's calls: `boot.state`, the token, the Kubernetes API and the volume with Vault's data.

use kubefox_core::machine::{Lost, Outcome, Ticket};
use kubefox_core::names::{Installation, Namespace};
use kubefox_core::quarantine::{Answer, Call, Quarantine, Reply};

use crate::adapter::{Adapter, Encoded, Entropy, Slots, Unencodable, kubernetes, state, storage, volume};
use crate::exchange::{Request, Response};

/// Adapter of the quarantine.
#[derive(Clone)]
pub struct QuarantineAdapter {
    kubernetes: kubernetes::Context,
    state: state::Context,
}

impl QuarantineAdapter {
    /// For the installation of that name in that namespace.
    #[must_use]
    pub const fn new(installation: Installation, namespace: Namespace) -> Self {
        Self { kubernetes: kubernetes::Context { namespace }, state: state::Context { installation } }
    }
}

impl Adapter<Quarantine> for QuarantineAdapter {
    type Rendered = std::convert::Infallible;

    fn encode(
        &mut self,
        call: &Call,
        slots: &mut dyn Slots,
        entropy: &mut dyn Entropy,
    ) -> Result<Encoded<Reply>, Unencodable> {
        let request = match call {
            Call::State(call) => Request::Disk(state::encode(call, &self.state, slots, entropy)?),
            Call::Volume(call) => Request::Disk(volume::encode(call, slots)?),
            Call::Kubernetes(call) => Request::Kubernetes(kubernetes::encode(call, &self.kubernetes, slots)?),
            Call::Storage(call) => Request::Disk(storage::encode(call)),
        };
        Ok(Encoded::Request(Box::new(request)))
    }

    fn decode(&mut self, call: &Call, response: Response, slots: &mut dyn Slots) -> Outcome<Reply> {
        match (call, response) {
            (Call::State(call), Response::Disk(response)) => {
                state::decode(call, &self.state, response, slots).map(Reply::State)
            }
            (Call::Volume(call), Response::Disk(response)) => {
                volume::decode(call, response, slots).map(Reply::Volume)
            }
            (Call::Kubernetes(call), Response::Http(response)) => {
                kubernetes::decode(call, response).map(Reply::Kubernetes)
            }
            (Call::Storage(call), Response::Disk(response)) => {
                storage::decode(call, &response).map(Reply::Storage)
            }
            // A shell that answers with another system's response: nothing is known of what happened.
            (Call::State(_) | Call::Volume(_) | Call::Kubernetes(_) | Call::Storage(_), _) => {
                Outcome::Unknown(Lost::Garbled)
            }
        }
    }

    fn render(&mut self, _ticket: Ticket, answer: Answer, _slots: &dyn Slots) -> Self::Rendered {
        match answer {}
    }
}
