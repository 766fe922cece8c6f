//! The calls of a role to its own server.

use kubefox_core::listener::{Call, Reply};
use kubefox_core::machine::{Lost, Outcome};
use zeroize::Zeroizing;

use crate::adapter::{Slots, Unencodable, certificate};
use crate::exchange::{ListenerRequest, Presentation, Response};

/// What the server is to do.
pub(super) fn listener_request(call: &Call, slots: &dyn Slots) -> Result<ListenerRequest, Unencodable> {
    Ok(match call {
        Call::Present { leaf, ca, key } => {
            let key = Zeroizing::new(slots.expose(*key)?.to_vec());
            ListenerRequest::Present(Presentation { leaf: leaf.clone(), ca: ca.clone(), key })
        }
        Call::Probe { .. } => ListenerRequest::Probe,
    })
}

/// What it did. A response to something else says nothing of what happened.
pub(super) fn listener_outcome(call: &Call, response: Response) -> Outcome<Reply> {
    match (call, response) {
        (Call::Present { .. }, Response::Listening(address)) => Outcome::Ok(Reply::Presented { address }),
        (Call::Probe { leaf }, Response::Shown(shown)) => match certificate::der(leaf) {
            Ok(leaf) => Outcome::Ok(Reply::Probed { shown: leaf == shown }),
            Err(certificate::NotACertificate) => Outcome::Unknown(Lost::Garbled),
        },
        (Call::Present { .. } | Call::Probe { .. }, _) => Outcome::Unknown(Lost::Garbled),
    }
}

#[cfg(test)]
mod tests {
    use kubefox_core::secret::{Own, Secret};

    use super::*;
    use crate::adapter::certificate::tests::Authority;

    #[test]
    fn only_the_certificate_that_was_asked_about_counts_as_shown() {
        let authority = Authority::new("root", 0, 10);
        let (leaf, other) = (authority.issue(0, 10), authority.issue(0, 10));
        let call = Call::Probe { leaf: leaf.clone() };
        let der = |pem| certificate::der(pem).expect("rcgen writes certificates");

        for (shown, expected) in [(der(&leaf), true), (der(&other), false), (Vec::new(), false)] {
            let outcome = listener_outcome(&call, Response::Shown(shown));
            assert_eq!(outcome, Outcome::Ok(Reply::Probed { shown: expected }));
        }
    }

    #[test]
    fn a_response_to_another_request_proves_nothing() {
        let authority = Authority::new("root", 0, 10);
        let (leaf, ca) = (authority.issue(0, 10), authority.pem());
        let listening = || Response::Listening("127.0.0.1:8443".to_owned());
        let present = Call::Present { leaf: leaf.clone(), ca, key: Secret::Own(Own::ServingKey) };

        let address = "127.0.0.1:8443".to_owned();
        assert_eq!(listener_outcome(&present, listening()), Outcome::Ok(Reply::Presented { address }));
        assert_eq!(listener_outcome(&present, Response::Shown(vec![])), Outcome::Unknown(Lost::Garbled));
        assert_eq!(listener_outcome(&Call::Probe { leaf }, listening()), Outcome::Unknown(Lost::Garbled));
    }
}
