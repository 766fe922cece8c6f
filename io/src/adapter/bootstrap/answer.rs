//! The controller's end: answers become responses.

use std::collections::HashMap;
use std::time::Duration;

use kubefox_core::bootstrap::{Answer, KeyOrigin, Rejection};
use kubefox_core::machine::Ticket;
use kubefox_core::secret::{Asker, Secret};
use kubefox_core::vault::Certificate;
use kubefox_proto::bootstrap::v1 as proto;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::DOMAIN;
use crate::adapter::Slots;
use crate::exchange::BootstrapResponse;

/// The response to a question. The keys that Vault made for it are in its ticket's slots.
///
/// # Errors
/// The status of a rejection; it is [`Rejection::Faulty`] if a key is not there.
pub fn render(ticket: Ticket, answer: &Answer, slots: &dyn Slots) -> Result<BootstrapResponse, Status> {
    let certificate = |origin: KeyOrigin, certificate: &Certificate, key| {
        let key = (origin == KeyOrigin::Vault).then_some(Secret::Of(ticket, key));
        with_key(certificate, key, slots).map(Some)
    };
    match answer {
        Answer::Nats(origin, documents) => Ok(BootstrapResponse::Nats(proto::NatsBootstrapResponse {
            operator_jwt: documents.operator.clone(),
            system_account_jwt: documents.system_account.clone(),
            platform_account_jwt: documents.platform_account.clone(),
            certificate: certificate(*origin, &documents.certificate, Asker::IssuedKey)?,
        })),
        Answer::Component(origin, documents) => {
            Ok(BootstrapResponse::Component(proto::ComponentBootstrapResponse {
                user: documents.user.to_string(),
                user_jwt: documents.user_jwt.clone(),
                user_jwt_expires_unix_s: documents.user_jwt_expires.0,
                certificate: certificate(*origin, &documents.certificate, Asker::IssuedKey)?,
                runtime_certificate: certificate(*origin, &documents.runtime, Asker::RuntimeKey)?,
            }))
        }
        Answer::Signature(signature) => {
            Ok(BootstrapResponse::SignNonce(proto::SignNonceResponse { signature: signature.0.to_vec() }))
        }
        Answer::Rejected(rejection) => Err(rejected(*rejection)),
    }
}

fn with_key(
    certificate: &Certificate,
    key: Option<Secret>,
    slots: &dyn Slots,
) -> Result<proto::Certificate, Status> {
    let gone = || {
        tracing::error!("CertificateWithoutKey");
        rejected(Rejection::Faulty)
    };
    let key = key.map(|key| slots.expose(key).map_err(|_| gone())).transpose()?.unwrap_or_default();
    Ok(proto::Certificate {
        leaf: certificate.leaf.to_string(),
        key: core::str::from_utf8(key).map_err(|_| gone())?.to_owned(),
        ca: certificate.ca.to_string(),
        not_after_unix_s: certificate.not_after.0,
    })
}

/// The status of a rejection: code, cause, and in its details the stable reason and the remedy.
#[must_use]
pub fn rejected(rejection: Rejection) -> Status {
    let code = match rejection {
        Rejection::TokenMalformed
        | Rejection::NonceMalformed
        | Rejection::CsrMalformed
        | Rejection::CsrKeyForeign
        | Rejection::CsrForged
        | Rejection::CsrDemanding => Code::InvalidArgument,
        Rejection::TokenUnsigned
        | Rejection::TokenForged
        | Rejection::IssuerForeign
        | Rejection::AudienceForeign
        | Rejection::TokenLongLived
        | Rejection::TokenNotYetValid
        | Rejection::TokenExpired
        | Rejection::TokenRefused
        | Rejection::TokenUnbound => Code::Unauthenticated,
        Rejection::NotEntitled => Code::PermissionDenied,
        Rejection::UserKeyForeign => Code::FailedPrecondition,
        Rejection::KeyUnknown
        | Rejection::NotServing
        | Rejection::Stopping
        | Rejection::ReviewUnavailable
        | Rejection::VaultUnavailable => Code::Unavailable,
        Rejection::Busy => Code::ResourceExhausted,
        Rejection::Late => Code::DeadlineExceeded,
        Rejection::Faulty => Code::Internal,
    };
    let metadata = HashMap::from([("remedy".to_owned(), rejection.remedy().to_owned())]);
    let mut details = ErrorDetails::with_error_info(rejection.reason(), DOMAIN, metadata);
    if let Some(retry_ms) = rejection.retry_ms() {
        details.set_retry_info(Some(Duration::from_millis(retry_ms)));
    }
    Status::with_error_details(code, rejection.cause(), details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Keyring;
    use kubefox_core::signature::Signature;

    #[test]
    fn a_rejection_is_a_code_a_cause_a_reason_and_a_remedy() {
        let codes = [
            (Rejection::TokenMalformed, Code::InvalidArgument),
            (Rejection::TokenUnsigned, Code::Unauthenticated),
            (Rejection::TokenForged, Code::Unauthenticated),
            (Rejection::KeyUnknown, Code::Unavailable),
            (Rejection::IssuerForeign, Code::Unauthenticated),
            (Rejection::AudienceForeign, Code::Unauthenticated),
            (Rejection::TokenLongLived, Code::Unauthenticated),
            (Rejection::TokenNotYetValid, Code::Unauthenticated),
            (Rejection::TokenExpired, Code::Unauthenticated),
            (Rejection::TokenRefused, Code::Unauthenticated),
            (Rejection::TokenUnbound, Code::Unauthenticated),
            (Rejection::NotEntitled, Code::PermissionDenied),
            (Rejection::UserKeyForeign, Code::FailedPrecondition),
            (Rejection::NonceMalformed, Code::InvalidArgument),
            (Rejection::CsrMalformed, Code::InvalidArgument),
            (Rejection::CsrKeyForeign, Code::InvalidArgument),
            (Rejection::CsrForged, Code::InvalidArgument),
            (Rejection::CsrDemanding, Code::InvalidArgument),
            (Rejection::NotServing, Code::Unavailable),
            (Rejection::Stopping, Code::Unavailable),
            (Rejection::ReviewUnavailable, Code::Unavailable),
            (Rejection::VaultUnavailable, Code::Unavailable),
            (Rejection::Busy, Code::ResourceExhausted),
            (Rejection::Late, Code::DeadlineExceeded),
            (Rejection::Faulty, Code::Internal),
        ];
        assert_eq!(codes.map(|(rejection, _)| rejection), Rejection::ALL);
        for (rejection, code) in codes {
            let Err(status) = render(Ticket(1), &Answer::Rejected(rejection), &Keyring::default()) else {
                panic!("a rejection is an error");
            };
            assert_eq!((status.code(), status.message()), (code, rejection.cause()));
            let details = status.get_error_details();
            let info = details.error_info().expect("every rejection has a reason");
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (rejection.reason(), "kubefox.io"));
            assert_eq!(info.metadata["remedy"], rejection.remedy());
            let delay = details.retry_info().and_then(|retry| retry.retry_delay);
            assert_eq!(delay, rejection.retry_ms().map(Duration::from_millis));
            assert_eq!(
                delay.is_some(),
                rejection.passes(),
                "{rejection:?}: whoever may come again is told when"
            );
        }
    }

    #[test]
    fn a_signature_needs_no_slot() {
        let Ok(BootstrapResponse::SignNonce(response)) =
            render(Ticket(1), &Answer::Signature(Signature([7; 64])), &Keyring::default())
        else {
            panic!("a signature is a response");
        };
        assert_eq!(response.signature, [7; 64]);
    }
}
