//! Pure adapters: a call of a machine becomes a request, a response becomes an outcome.
//!
//! Nothing here does IO, waits or retries, so the exhaustive simulator runs the very code that production runs. One
//! module per outside system holds its table *status and body → `Ok` / `Refused` / `Unknown`*; one module per role
//! ([`role`]) says which system each of its calls goes to.

pub mod bootstrap;
pub mod certificate;
pub mod csr;
pub mod envelope;
mod keys;
pub mod kubernetes;
pub mod role;
pub mod service_account;
pub mod state;
pub mod storage;
pub mod vault;
pub mod volume;

use kubefox_core::machine::{Machine, Outcome, Ticket};
use kubefox_core::secret::Secret;
use zeroize::Zeroizing;

use crate::exchange::{Request, Response};

/// Where the bytes of secrets rest. Adapters see only this.
pub trait Slots {
    /// The bytes of a secret, for one exchange.
    ///
    /// # Errors
    /// [`Empty`] if nothing was filled in, or it was forgotten.
    fn expose(&self, name: Secret) -> Result<&[u8], Empty>;
    /// Puts bytes in, replacing what was there.
    fn fill(&mut self, name: Secret, bytes: Zeroizing<Vec<u8>>);
    /// Wipes a secret.
    fn forget(&mut self, name: Secret);
}

/// A slot that should hold a secret holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the slot {0:?} is empty")]
pub struct Empty(pub Secret);

/// A secret as text that a header, a JSON string and a message can hold as it is: visible ASCII, and some of it.
fn text(name: Secret, slots: &dyn Slots) -> Result<Zeroizing<String>, Unencodable> {
    const UNSENDABLE: &str = "it is not visible ASCII";
    let bytes = slots.expose(name)?;
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(Unencodable::Unsendable(name, UNSENDABLE));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| Unencodable::Unsendable(name, UNSENDABLE))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Where randomness for salts, nonces and keys comes from: the operating system, or the simulator.
pub trait Entropy: Send {
    /// Fills `bytes` with random ones.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A call that cannot become a request: a mistake of ours. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// A secret it needs is not there.
    #[error(transparent)]
    Empty(#[from] Empty),
    /// A secret does not have the form that the request needs. The secret is named, never quoted.
    #[error("the secret in slot {0:?} cannot be sent: {1}")]
    Unsendable(Secret, &'static str),
    /// The library that builds the request refused.
    #[error("the request could not be built: {0}")]
    Unbuildable(&'static str),
}

/// How the calls of one role become requests, and responses outcomes.
pub trait Adapter<M: Machine>: Send {
    /// What goes back to whoever asked.
    type Rendered: Send + 'static;

    /// The request of a call, or its outcome where nothing has to leave the process.
    fn encode(
        &mut self,
        call: &M::Call,
        slots: &mut dyn Slots,
        entropy: &mut dyn Entropy,
    ) -> Result<Encoded<M::Reply>, Unencodable>;

    /// The outcome of a call whose response came.
    fn decode(&mut self, call: &M::Call, response: Response, slots: &mut dyn Slots) -> Outcome<M::Reply>;

    /// The answer to a question in the form of its transport.
    fn render(&mut self, ticket: Ticket, answer: M::Answer, slots: &dyn Slots) -> Self::Rendered;
}

/// What encoding a call gave.
pub enum Encoded<R> {
    /// It must leave the process.
    Request(Box<Request>),
    /// It is answered already: keys are minted in the loop.
    Done(Outcome<R>),
}
