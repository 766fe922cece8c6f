//! The controller's calls: Vault, the Kubernetes API, the state directory, mounts, the keyring and the own server.

use kubefox_core::controller::{Answer, Call, Controller, Reply};
use kubefox_core::machine::{Lost, Outcome, Ticket};
use kubefox_core::names::{Installation, Namespace};

use super::listener::{listener_outcome, listener_request};
use crate::adapter::{
    Adapter, Encoded, Entropy, Slots, Unencodable, bootstrap, keys, kubernetes, state, vault, volume,
};
use crate::exchange::{BootstrapResponse, Request, Response};

/// Adapter of the controller.
#[derive(Clone)]
pub struct ControllerAdapter {
    kubernetes: kubernetes::Context,
    state: state::Context,
}

impl ControllerAdapter {
    /// For the installation of that name in that namespace.
    #[must_use]
    pub const fn new(installation: Installation, namespace: Namespace) -> Self {
        Self { kubernetes: kubernetes::Context { namespace }, state: state::Context { installation } }
    }
}

impl Adapter<Controller> for ControllerAdapter {
    type Rendered = Result<BootstrapResponse, tonic::Status>;

    fn encode(
        &mut self,
        call: &Call,
        slots: &mut dyn Slots,
        entropy: &mut dyn Entropy,
    ) -> Result<Encoded<Reply>, Unencodable> {
        let request = match call {
            Call::Vault(call) => Request::Vault(vault::encode(call, slots)?),
            Call::Kubernetes(call) => Request::Kubernetes(kubernetes::encode(call, &self.kubernetes, slots)?),
            Call::State(call) => Request::Disk(state::encode(call, &self.state, slots, entropy)?),
            Call::Volume(call) => Request::Disk(volume::encode(call, slots)?),
            Call::Keys(call) => return Ok(Encoded::Done(keys::done(call, slots, entropy)?.map(Reply::Keys))),
            Call::Listener(call) => Request::Listener(listener_request(call, slots)?),
        };
        Ok(Encoded::Request(Box::new(request)))
    }

    fn decode(&mut self, call: &Call, response: Response, slots: &mut dyn Slots) -> Outcome<Reply> {
        match (call, response) {
            (Call::Vault(call), Response::Http(response)) => {
                vault::decode(call, response, slots).map(Reply::Vault)
            }
            (Call::Kubernetes(call), Response::Http(response)) => {
                kubernetes::decode(call, response).map(Reply::Kubernetes)
            }
            (Call::State(call), Response::Disk(response)) => {
                state::decode(call, &self.state, response, slots).map(Reply::State)
            }
            (Call::Volume(call), Response::Disk(response)) => {
                volume::decode(call, response, slots).map(Reply::Volume)
            }
            (Call::Listener(call), response) => listener_outcome(call, response).map(Reply::Listener),
            // A shell that answers with another system's response: nothing is known of what happened.
            (Call::Vault(_) | Call::Kubernetes(_) | Call::State(_) | Call::Volume(_) | Call::Keys(_), _) => {
                Outcome::Unknown(Lost::Garbled)
            }
        }
    }

    fn render(&mut self, ticket: Ticket, answer: Answer, slots: &dyn Slots) -> Self::Rendered {
        bootstrap::render(ticket, &answer, slots)
    }
}
