//! A caller's end: calls become messages, responses outcomes.

use kubefox_core::bootstrap::{Call, ComponentDocuments, NatsDocuments, Rejection, Reply};
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::names::Pem;
use kubefox_core::secret::Secret;
use kubefox_core::time::Unix;
use kubefox_core::vault::Certificate;
use kubefox_proto::bootstrap::v1 as proto;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use zeroize::Zeroizing;

use super::DOMAIN;
use crate::adapter::{Slots, Unencodable, certificate, text};
use crate::exchange::{BootstrapRequest, BootstrapResponse, Request};

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The message of a call, with the authority its receiver must show.
///
/// # Errors
/// [`Unencodable`] if the token is not there or cannot be sent.
pub fn encode(call: &Call, slots: &dyn Slots) -> Result<Request, Unencodable> {
    let (ca, message) = match call {
        Call::Nats { ca, token, key: _ } => {
            let token = own(text(*token, slots)?);
            (ca, BootstrapRequest::Nats(proto::NatsBootstrapRequest { token }))
        }
        Call::Component { ca, token, key: _, runtime_key: _ } => {
            let token = own(text(*token, slots)?);
            (ca, BootstrapRequest::Component(proto::ComponentBootstrapRequest { token }))
        }
        Call::SignNonce { ca, token, nonce } => {
            let (token, nonce) = (own(text(*token, slots)?), nonce.to_string());
            (ca, BootstrapRequest::SignNonce(proto::SignNonceRequest { token, nonce }))
        }
    };
    Ok(Request::Bootstrap { ca: ca.clone(), message })
}

/// The same memory, no longer wiped: messages are made of plain strings.
fn own(mut text: Zeroizing<String>) -> String {
    core::mem::take(&mut *text)
}

/// The outcome of a call whose response came. The tables are in the module's documentation.
pub fn decode(
    call: &Call,
    response: Result<BootstrapResponse, Status>,
    slots: &mut dyn Slots,
) -> Outcome<Reply> {
    let reply = match (call, response) {
        (_, Err(status)) => return rejected(&status),
        (Call::Nats { ca: _, token: _, key }, Ok(BootstrapResponse::Nats(response))) => {
            nats(response, *key, slots).map(Reply::Nats)
        }
        (
            Call::Component { ca: _, token: _, key, runtime_key },
            Ok(BootstrapResponse::Component(response)),
        ) => component(response, *key, *runtime_key, slots).map(Reply::Component),
        (Call::SignNonce { ca: _, token: _, nonce: _ }, Ok(BootstrapResponse::SignNonce(response))) => {
            (response.signature.len() == SIGNATURE_BYTES).then_some(Reply::Signature(response.signature))
        }
        (
            Call::Nats { .. } | Call::Component { .. } | Call::SignNonce { .. },
            Ok(
                BootstrapResponse::Nats(_)
                | BootstrapResponse::Component(_)
                | BootstrapResponse::SignNonce(_),
            ),
        ) => None,
    };
    reply.map_or(Outcome::Unknown(Lost::Garbled), Outcome::Ok)
}

fn nats(response: proto::NatsBootstrapResponse, key: Secret, slots: &mut dyn Slots) -> Option<NatsDocuments> {
    let (certificate, private_key) = issued(response.certificate?)?;
    slots.fill(key, private_key);
    Some(NatsDocuments {
        operator: response.operator_jwt,
        system_account: response.system_account_jwt,
        platform_account: response.platform_account_jwt,
        certificate,
    })
}

fn component(
    response: proto::ComponentBootstrapResponse,
    key: Secret,
    runtime_key: Secret,
    slots: &mut dyn Slots,
) -> Option<ComponentDocuments> {
    let user = PublicKey::parse_as(Prefix::User, &response.user).ok()?;
    let (certificate, own_private_key) = issued(response.certificate?)?;
    let (runtime, runtime_private_key) = issued(response.runtime_certificate?)?;
    slots.fill(key, own_private_key);
    slots.fill(runtime_key, runtime_private_key);
    Some(ComponentDocuments {
        user,
        user_jwt: response.user_jwt,
        user_jwt_expires: Unix(response.user_jwt_expires_unix_s),
        certificate,
        runtime,
    })
}

/// A certificate and its key, if the one is signed by its authority, ends when it is said to, and the other is there.
fn issued(message: proto::Certificate) -> Option<(Certificate, Zeroizing<Vec<u8>>)> {
    let key = Zeroizing::new(message.key.into_bytes());
    let (leaf, ca) = (Pem::parse(&message.leaf).ok()?, Pem::parse(&message.ca).ok()?);
    let chain = certificate::verify_chain(&leaf, &ca).ok()?;
    if key.is_empty() || chain.leaf.not_after != Unix(message.not_after_unix_s) {
        return None;
    }
    Some((Certificate { leaf, ca, not_after: chain.leaf.not_after }, key))
}

fn rejected(status: &Status) -> Outcome<Reply> {
    let rejection = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .and_then(|info| Rejection::from_reason(&info.reason));
    if let Some(rejection) = rejection {
        return Outcome::Ok(Reply::Rejected(rejection));
    }
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::Unknown => Outcome::Unknown(Lost::Connection),
        Code::DeadlineExceeded => Outcome::Unknown(Lost::Deadline),
        Code::Internal | Code::DataLoss => Outcome::Unknown(Lost::ServerError),
        Code::Ok => Outcome::Unknown(Lost::Garbled),
        Code::Unauthenticated => Outcome::Refused(Refusal::Unauthenticated),
        Code::PermissionDenied => Outcome::Refused(Refusal::Denied),
        Code::ResourceExhausted => Outcome::Refused(Refusal::Busy),
        Code::Aborted | Code::AlreadyExists => Outcome::Refused(Refusal::Conflict),
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Outcome::Refused(Refusal::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::bootstrap::render;
    use crate::adapter::certificate::tests::Authority;
    use crate::adapter::{Empty, bootstrap::DOMAIN};
    use crate::keyring::Keyring;
    use kubefox_core::bootstrap::Answer;
    use kubefox_core::machine::Ticket;
    use kubefox_core::names::Nonce;
    use kubefox_core::secret::{Asker, Own};
    use proptest::prelude::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    const TOKEN: Secret = Secret::Own(Own::CallerJwt);
    const KEY: Secret = Secret::Own(Own::ServingKey);
    const RUNTIME_KEY: Secret = Secret::Own(Own::RuntimeKey);
    const TICKET: Ticket = Ticket(7);

    #[test]
    fn each_call_is_a_message_to_the_controller_under_its_authority() {
        let (ca, _) = certificate();
        let [nats, component, sign_nonce] = calls(&ca).map(|call| {
            let Ok(Request::Bootstrap { ca: expected, message }) = encode(&call, &keyring()) else {
                panic!("a call is a message to the controller");
            };
            assert_eq!(expected, ca);
            message
        });
        let BootstrapRequest::Nats(nats) = nats else { panic!("a message to NATS' method") };
        assert_eq!(nats.token, "a.b.c");
        let BootstrapRequest::Component(component) = component else {
            panic!("a message to the component's")
        };
        assert_eq!(component.token, "a.b.c");
        let BootstrapRequest::SignNonce(sign_nonce) = sign_nonce else { panic!("a message to the nonce's") };
        assert_eq!((sign_nonce.token.as_str(), sign_nonce.nonce.as_str()), ("a.b.c", "abcDEF012345-_x"));

        for call in calls(&ca) {
            let error = encode(&call, &Keyring::default()).err();
            assert_eq!(error, Some(Unencodable::Empty(Empty(TOKEN))));
        }
    }

    #[test]
    fn what_the_controller_answers_is_what_the_caller_gets() {
        let (ca, certificate) = certificate();
        let nats = NatsDocuments {
            operator: "o".to_owned(),
            system_account: "s".to_owned(),
            platform_account: "p".to_owned(),
            certificate: certificate.clone(),
        };
        let component = ComponentDocuments {
            user: PublicKey::encode(Prefix::User, &[7; 32]),
            user_jwt: "u".to_owned(),
            user_jwt_expires: Unix(1_795_467_738),
            certificate: certificate.clone(),
            runtime: certificate,
        };
        let answers = [
            (Answer::Nats(nats.clone()), Reply::Nats(nats)),
            (Answer::Component(component.clone()), Reply::Component(component)),
            (Answer::Signature(vec![7; 64]), Reply::Signature(vec![7; 64])),
        ];
        for (call, (answer, reply)) in calls(&ca).into_iter().zip(answers) {
            let mut slots = Keyring::default();
            let outcome = decode(&call, render(TICKET, &answer, &keyring()), &mut slots);
            assert_eq!(outcome, Outcome::Ok(reply));
            assert!(!format!("{outcome:?}").contains("canary"));
            let filled = !matches!(answer, Answer::Signature(_));
            assert_eq!(slots.expose(KEY).ok(), filled.then_some(&b"canary 1"[..]));
            let filled = matches!(answer, Answer::Component(_));
            assert_eq!(slots.expose(RUNTIME_KEY).ok(), filled.then_some(&b"canary 2"[..]));
        }
    }

    #[test]
    fn an_answer_without_its_key_is_an_internal_error() {
        let (ca, certificate) = certificate();
        let nats = NatsDocuments {
            operator: String::new(),
            system_account: String::new(),
            platform_account: String::new(),
            certificate,
        };
        let response = render(TICKET, &Answer::Nats(nats), &Keyring::default());
        assert_eq!(response.as_ref().err().map(Status::code), Some(Code::Internal));
        let [call, _, _] = calls(&ca);
        assert_eq!(decode(&call, response, &mut Keyring::default()), Outcome::Unknown(Lost::ServerError));
    }

    #[test]
    fn every_rejection_comes_through() {
        let [call, _, _] = calls(&certificate().0);
        for rejection in Rejection::ALL {
            let response = render(TICKET, &Answer::Rejected(rejection), &keyring());
            let outcome = decode(&call, response, &mut Keyring::default());
            assert_eq!(outcome, Outcome::Ok(Reply::Rejected(rejection)));
        }
    }

    #[test]
    fn a_status_that_is_not_the_controllers_is_judged_by_its_code() {
        let [call, _, _] = calls(&certificate().0);
        let rows = [
            (Code::Unavailable, Outcome::Unknown(Lost::Connection)),
            (Code::Cancelled, Outcome::Unknown(Lost::Connection)),
            (Code::Unknown, Outcome::Unknown(Lost::Connection)),
            (Code::DeadlineExceeded, Outcome::Unknown(Lost::Deadline)),
            (Code::Internal, Outcome::Unknown(Lost::ServerError)),
            (Code::DataLoss, Outcome::Unknown(Lost::ServerError)),
            (Code::Ok, Outcome::Unknown(Lost::Garbled)),
            (Code::Unauthenticated, Outcome::Refused(Refusal::Unauthenticated)),
            (Code::PermissionDenied, Outcome::Refused(Refusal::Denied)),
            (Code::ResourceExhausted, Outcome::Refused(Refusal::Busy)),
            (Code::Aborted, Outcome::Refused(Refusal::Conflict)),
            (Code::AlreadyExists, Outcome::Refused(Refusal::Conflict)),
            (Code::InvalidArgument, Outcome::Refused(Refusal::Invalid)),
            (Code::NotFound, Outcome::Refused(Refusal::Invalid)),
            (Code::FailedPrecondition, Outcome::Refused(Refusal::Invalid)),
            (Code::OutOfRange, Outcome::Refused(Refusal::Invalid)),
            (Code::Unimplemented, Outcome::Refused(Refusal::Invalid)),
        ];
        for (code, expected) in rows {
            let foreign = ErrorDetails::with_error_info("BUSY", "example.com", HashMap::new());
            let unknown = ErrorDetails::with_error_info("SOMETHING_NEW", DOMAIN, HashMap::new());
            for status in [
                Status::new(code, "canary"),
                Status::with_error_details(code, "canary", foreign),
                Status::with_error_details(code, "canary", unknown),
            ] {
                assert_eq!(decode(&call, Err(status), &mut Keyring::default()), expected, "{code:?}");
            }
        }
    }

    #[test]
    fn a_damaged_response_is_garbled_and_fills_nothing() {
        let (ca, certificate) = certificate();
        let good = proto::Certificate {
            leaf: certificate.leaf.to_string(),
            key: "canary".to_owned(),
            ca: certificate.ca.to_string(),
            not_after_unix_s: certificate.not_after.0,
        };
        let other = Authority::new("kubefox root", 2026, 2036).pem().to_string();
        let bad = [
            None,
            Some(proto::Certificate { key: String::new(), ..good.clone() }),
            Some(proto::Certificate { leaf: "x".to_owned(), ..good.clone() }),
            Some(proto::Certificate { ca: other, ..good.clone() }),
            Some(proto::Certificate { not_after_unix_s: 1, ..good.clone() }),
        ];
        let user = PublicKey::encode(Prefix::User, &[7; 32]).to_string();
        let account = PublicKey::encode(Prefix::Account, &[7; 32]).to_string();
        let component =
            |user: &str, certificate: &Option<proto::Certificate>, runtime: &Option<proto::Certificate>| {
                BootstrapResponse::Component(proto::ComponentBootstrapResponse {
                    user: user.to_owned(),
                    user_jwt: "u".to_owned(),
                    user_jwt_expires_unix_s: 1,
                    certificate: certificate.clone(),
                    runtime_certificate: runtime.clone(),
                })
            };
        let short = || BootstrapResponse::SignNonce(proto::SignNonceResponse { signature: vec![7; 63] });
        let good = Some(good);
        let mut responses = vec![short(), component(&account, &good, &good)];
        for bad in bad {
            responses.push(component(&user, &bad, &good));
            responses.push(component(&user, &good, &bad));
        }
        for response in responses {
            let [_, call, sign_nonce] = calls(&ca);
            let call = if matches!(response, BootstrapResponse::SignNonce(_)) { sign_nonce } else { call };
            let mut slots = Keyring::default();
            assert_eq!(decode(&call, Ok(response), &mut slots), Outcome::Unknown(Lost::Garbled));
            assert!(slots.expose(KEY).is_err() && slots.expose(RUNTIME_KEY).is_err());
        }
        let [nats, _, _] = calls(&ca);
        let other_answer = Ok(component(&user, &good, &good));
        assert_eq!(decode(&nats, other_answer, &mut Keyring::default()), Outcome::Unknown(Lost::Garbled));
    }

    proptest! {
        #[test]
        fn no_status_panics(code in 0_i32..20, details in any::<Vec<u8>>()) {
            let [call, _, _] = calls(&Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so"));
            let status = Status::with_details(Code::from(code), "canary", details.into());
            let outcome = decode(&call, Err(status), &mut Keyring::default());
            let shown = format!("{outcome:?}");
            prop_assert!(!shown.contains("canary"));
        }
    }

    fn calls(ca: &Pem) -> [Call; 3] {
        let nonce = Nonce::parse("abcDEF012345-_x").expect("a nonce");
        [
            Call::Nats { ca: ca.clone(), token: TOKEN, key: KEY },
            Call::Component { ca: ca.clone(), token: TOKEN, key: KEY, runtime_key: RUNTIME_KEY },
            Call::SignNonce { ca: ca.clone(), token: TOKEN, nonce },
        ]
    }

    fn certificate() -> (Pem, Certificate) {
        let authority = Authority::new("kubefox root", 2026, 2036);
        let certificate = Certificate {
            leaf: authority.issue(2026, 2027),
            ca: authority.pem(),
            not_after: Unix(1_798_761_600),
        };
        (authority.pem(), certificate)
    }

    fn keyring() -> Keyring {
        let mut slots = Keyring::default();
        for (name, bytes) in [
            (TOKEN, "a.b.c"),
            (Secret::Of(TICKET, Asker::IssuedKey), "canary 1"),
            (Secret::Of(TICKET, Asker::RuntimeKey), "canary 2"),
        ] {
            slots.fill(name, Zeroizing::new(bytes.as_bytes().to_vec()));
        }
        slots
    }
}
