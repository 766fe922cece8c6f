//! The state directory: calls become operations on the disk, their ends outcomes.
//!
//! | end | call | outcome |
//! |---|---|---|
//! | done, read | any | `Ok`; what a file says is `file`'s part |
//! | absent | `Claim`, `Read`, `Open`, `ReadHold` | `Ok`: missing, absent, no envelope, no hold |
//! | absent | others | `Refused(Local)`: the directory itself is missing |
//! | refused: too large | `Read`, `Open`, `ReadHold` | `Ok`: corrupt, no envelope, hold |
//! | refused otherwise | any | `Refused(Local)`: nothing has changed |
//! | failed | any | `Unknown(ServerError)`: what is on the disk is not known |

mod file;

use std::io::ErrorKind;

use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::names::{Installation, LifeId};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{Call, Claimed, Opened, Reply, State};
use zeroize::Zeroizing;

use self::file::{BootState, Unreadable};
use super::envelope::{self, Keys, Unopenable, Unsealable};
use super::{Entropy, Slots, Unencodable};
use crate::disk::{Folder, Request, Response};

/// The file that says how far the installation has come.
const BOOT_STATE: &str = "boot.state";
/// The file of the rehearsal, kept so that its space is there when the envelope needs it.
const RESERVE: &str = "reserve";
/// The file by which a person forbids unsealing.
const HOLD: &str = "hold-seal";
/// The largest `boot.state`: twice what an envelope of the longest secrets takes.
const BOOT_STATE_BYTES_MAX: u64 = 8 * 1024;
/// The size of the rehearsal: no envelope is larger.
const RESERVE_BYTES: usize = 4 * 1024;
/// Nobody reads what a person wrote into the hold; a longer one holds as well.
const HOLD_BYTES_MAX: u64 = 4 * 1024;

const UNSEAL_KEY: Secret = Secret::Own(Own::UnsealKey);
const ROOT_TOKEN: Secret = Secret::Own(Own::RootToken);

/// What every call shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// The installation that the file must belong to.
    pub installation: Installation,
}

/// The operation of a call.
///
/// # Errors
/// [`Unencodable`] if a secret is not there, or has a length that no such secret has.
pub fn encode(
    call: &Call,
    context: &Context,
    slots: &dyn Slots,
    entropy: &mut dyn Entropy,
) -> Result<Request, Unencodable> {
    let installation = context.installation.clone();
    match call {
        Call::Claim => Ok(Request::Claim(Folder::State)),
        Call::Read => Ok(read(BOOT_STATE, BOOT_STATE_BYTES_MAX)),
        Call::Open { key } => {
            slots.expose(*key)?;
            Ok(read(BOOT_STATE, BOOT_STATE_BYTES_MAX))
        }
        Call::ReadHold => Ok(read(HOLD, HOLD_BYTES_MAX)),
        Call::Rehearse => {
            // Random, so that no file system stores it in less space than an envelope.
            let mut bytes = Zeroizing::new(vec![0; RESERVE_BYTES]);
            entropy.fill(&mut bytes);
            Ok(replace(RESERVE, bytes))
        }
        Call::WriteIntent { life } => Ok(write(&BootState::Intent { installation, life: life.clone() })),
        Call::WriteSent { life, attempt, recoveries } => {
            let (life, attempt, recoveries) = (life.clone(), *attempt, *recoveries);
            Ok(write(&BootState::Sent { installation, life, attempt, recoveries }))
        }
        Call::WriteRecover { life, attempt, recoveries, pod } => {
            let (life, attempt, recoveries, pod) = (life.clone(), *attempt, *recoveries, pod.clone());
            Ok(write(&BootState::Recover { installation, life, attempt, recoveries, pod }))
        }
        Call::WriteForeign { life } => Ok(write(&BootState::Foreign { installation, life: life.clone() })),
        Call::WriteEnvelope { life, generation, key, root } => {
            write_envelope(&installation, life, *generation, *key, *root, slots, entropy)
        }
    }
}

/// The outcome of a call whose operation ended. The table is in the module's documentation.
pub fn decode(call: &Call, context: &Context, response: Response, slots: &mut dyn Slots) -> Outcome<Reply> {
    match (call, response) {
        (_, Response::Failed(_)) => Outcome::Unknown(Lost::ServerError),
        (Call::Claim, Response::Claimed(claimed)) => Outcome::Ok(Reply::Claimed(claimed)),
        (Call::Claim, Response::Absent) => Outcome::Ok(Reply::Claimed(Claimed::Missing)),
        (Call::Read, Response::Bytes(bytes)) => Outcome::Ok(Reply::State(state(&bytes, context))),
        (Call::Read, Response::Absent) => Outcome::Ok(Reply::State(State::Absent)),
        (Call::Read, Response::Refused(ErrorKind::FileTooLarge)) => Outcome::Ok(Reply::State(State::Corrupt)),
        (Call::Open { key }, Response::Bytes(bytes)) => open(&bytes, context, *key, slots),
        (Call::Open { key: _ }, Response::Absent | Response::Refused(ErrorKind::FileTooLarge)) => {
            Outcome::Ok(Reply::Opened(Opened::NoEnvelope))
        }
        (Call::ReadHold, Response::Bytes(_) | Response::Refused(ErrorKind::FileTooLarge)) => {
            Outcome::Ok(Reply::Hold(true))
        }
        (Call::ReadHold, Response::Absent) => Outcome::Ok(Reply::Hold(false)),
        (
            Call::Rehearse
            | Call::WriteIntent { life: _ }
            | Call::WriteSent { life: _, attempt: _, recoveries: _ }
            | Call::WriteRecover { life: _, attempt: _, recoveries: _, pod: _ }
            | Call::WriteForeign { life: _ }
            | Call::WriteEnvelope { life: _, generation: _, key: _, root: _ },
            Response::Done,
        ) => Outcome::Ok(Reply::Written),
        (_, Response::Refused(_) | Response::Absent) => Outcome::Refused(Refusal::Local),
        (
            _,
            Response::Claimed(_)
            | Response::Data(_)
            | Response::Bytes(_)
            | Response::Pair(_)
            | Response::Done,
        ) => Outcome::Unknown(Lost::Garbled),
    }
}

fn read(name: &'static str, limit_bytes: u64) -> Request {
    Request::Read { folder: Folder::State, name, limit_bytes }
}

fn replace(name: &'static str, bytes: Zeroizing<Vec<u8>>) -> Request {
    Request::Replace { folder: Folder::State, name, bytes }
}

fn write(state: &BootState) -> Request {
    replace(BOOT_STATE, Zeroizing::new(state.render()))
}

fn write_envelope(
    installation: &Installation,
    life: &LifeId,
    generation: u64,
    key: Secret,
    root: bool,
    slots: &dyn Slots,
    entropy: &mut dyn Entropy,
) -> Result<Request, Unencodable> {
    let own = |name| slots.expose(name).map(|bytes| Zeroizing::new(bytes.to_vec()));
    let keys = Keys { unseal_key: own(UNSEAL_KEY)?, root_token: root.then(|| own(ROOT_TOKEN)).transpose()? };
    let envelope = envelope::seal(&keys, slots.expose(key)?, installation, life, generation, entropy)
        .map_err(|reason| match reason {
            Unsealable::SealKey => Unencodable::Unsendable(key, "it is not of 32 bytes"),
            Unsealable::Secret => {
                Unencodable::Unsendable(UNSEAL_KEY, "it or the root token is empty or longer than 1024 bytes")
            }
        })?;
    Ok(write(&BootState::Envelope(envelope)))
}

fn state(bytes: &[u8], context: &Context) -> State {
    match BootState::parse(bytes, &context.installation) {
        Ok(BootState::Intent { installation: _, life }) => State::Intent { life },
        Ok(BootState::Sent { installation: _, life, attempt, recoveries }) => {
            State::Sent { life, attempt, recoveries }
        }
        Ok(BootState::Recover { installation: _, life, attempt, recoveries, pod }) => {
            State::Recover { life, attempt, recoveries, pod }
        }
        Ok(BootState::Foreign { installation: _, life }) => State::Foreign { life },
        Ok(BootState::Envelope(envelope)) => State::Envelope {
            life: envelope.header.life,
            generation: envelope.header.generation,
            key: envelope.header.key,
        },
        Err(Unreadable::Corrupt) => State::Corrupt,
        Err(Unreadable::OtherInstallation) => State::OtherInstallation,
    }
}

fn open(bytes: &[u8], context: &Context, key: Secret, slots: &mut dyn Slots) -> Outcome<Reply> {
    let Ok(BootState::Envelope(envelope)) = BootState::parse(bytes, &context.installation) else {
        return Outcome::Ok(Reply::Opened(Opened::NoEnvelope));
    };
    // Encoding has seen it: it was forgotten since, and nothing has changed.
    let Ok(seal_key) = slots.expose(key) else {
        return Outcome::Refused(Refusal::Local);
    };
    let opened = match envelope.open(seal_key) {
        Ok(Keys { unseal_key, root_token }) => {
            let root = root_token.is_some();
            slots.fill(UNSEAL_KEY, unseal_key);
            root_token.into_iter().for_each(|token| slots.fill(ROOT_TOKEN, token));
            Opened::Keys { root }
        }
        Err(Unopenable::OtherKey) => Opened::OtherKey,
        Err(Unopenable::Tampered) => Opened::Tampered,
    };
    Outcome::Ok(Reply::Opened(opened))
}

#[cfg(test)]
mod tests;
