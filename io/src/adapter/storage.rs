//! Vault's data directory: calls become operations on the volume, their ends outcomes.
//!
//! | end | outcome |
//! |---|---|
//! | inspected, done | `Ok` |
//! | refused: it exists | `Refused(Conflict)`: the name is taken, or the directory is there |
//! | absent, refused otherwise | `Refused(Local)`: nothing has changed |
//! | failed | `Unknown(ServerError)`: what is on the disk is not known |

use std::io::ErrorKind;

use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::storage::{Call, Reply};
use kubefox_core::time::Unix;

use crate::disk::{Request, Response};

/// What the name of a quarantine begins with; its second follows.
pub const QUARANTINE: &str = "quarantine-";

/// The operation of a call.
#[must_use]
pub fn encode(call: &Call) -> Request {
    match call {
        Call::Inspect => Request::InspectData,
        Call::MoveAside { at: Unix(seconds) } => Request::MoveData { to: format!("{QUARANTINE}{seconds}") },
        Call::Create => Request::CreateData,
    }
}

/// The outcome of a call whose operation ended. The table is in the module's documentation.
#[must_use]
pub fn decode(call: &Call, response: &Response) -> Outcome<Reply> {
    match (call, response) {
        (Call::Inspect, Response::Data(facts)) => Outcome::Ok(Reply::Inspected(*facts)),
        (Call::MoveAside { at: _ } | Call::Create, Response::Done) => Outcome::Ok(Reply::Done),
        (_, Response::Refused(ErrorKind::AlreadyExists)) => Outcome::Refused(Refusal::Conflict),
        (_, Response::Refused(_) | Response::Absent) => Outcome::Refused(Refusal::Local),
        (_, Response::Failed(_)) => Outcome::Unknown(Lost::ServerError),
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

#[cfg(test)]
mod tests {
    use super::*;
    use kubefox_core::storage::{Data, Facts};

    #[test]
    fn a_quarantine_is_named_after_its_second() {
        let request = encode(&Call::MoveAside { at: Unix(1_800_000_000) });
        assert!(matches!(request, Request::MoveData { to } if to == "quarantine-1800000000"));
    }

    #[test]
    fn every_end_has_its_outcome() {
        let facts = Facts { one_file_system: true, data: Data::Missing };
        let aside = Call::MoveAside { at: Unix(1) };
        for (call, response, outcome) in [
            (&Call::Inspect, Response::Data(facts), Outcome::Ok(Reply::Inspected(facts))),
            (&Call::Inspect, Response::Absent, Outcome::Refused(Refusal::Local)),
            (&Call::Inspect, Response::Done, Outcome::Unknown(Lost::Garbled)),
            (&aside, Response::Done, Outcome::Ok(Reply::Done)),
            (&aside, Response::Data(facts), Outcome::Unknown(Lost::Garbled)),
            (&aside, Response::Refused(ErrorKind::AlreadyExists), Outcome::Refused(Refusal::Conflict)),
            (&aside, Response::Refused(ErrorKind::ResourceBusy), Outcome::Refused(Refusal::Local)),
            (&Call::Create, Response::Done, Outcome::Ok(Reply::Done)),
            (&Call::Create, Response::Failed(ErrorKind::Other), Outcome::Unknown(Lost::ServerError)),
        ] {
            assert_eq!(decode(call, &response), outcome, "{call:?}");
        }
    }
}
