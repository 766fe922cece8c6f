//! The one API of the platform, `kubefox.bootstrap.v1.Bootstrap`: what is asked and answered, seen from both ends.
//!
//! The controller gets [`Ask`]s and gives [`Answer`]s; initializers and brokers make [`Call`]s and get [`Reply`]s.
//! The caller's token and the keys that are issued travel beside them, in slots.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::documents::nkey::PublicKey;
use crate::machine::{Lost, Outcome};
use crate::names::{Csr, Nonce, Pem};
use crate::secret::Secret;
use crate::signature::Signature;
use crate::time::Unix;
use crate::vault::Certificate;

/// The keys that sign service-account tokens are read no more often than this, however many tokens name others.
pub const SIGNERS_PAUSE_MS: u64 = 10_000;

/// What a caller asks; its token is in `Of(ticket, CallerJwt)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// `BootstrapNATS`, with the request for a certificate if its key was born in the pod.
    Nats(Option<Csr>),
    /// `BootstrapComponent`, likewise.
    Component(Option<Csrs>),
    /// `SignNonce`.
    SignNonce {
        /// The nonce of the caller's connection to NATS.
        nonce: Nonce,
    },
}

impl Ask {
    /// The method of the API that asks it.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self {
            Self::Nats(_) => Method::BootstrapNats,
            Self::Component(_) => Method::BootstrapComponent,
            Self::SignNonce { .. } => Method::SignNonce,
        }
    }
}

/// A method of the API: a question without what is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// `BootstrapNATS`
    BootstrapNats,
    /// `BootstrapComponent`
    BootstrapComponent,
    /// `SignNonce`
    SignNonce,
}

/// The requests for the certificates of a component.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Csrs {
    /// Of the broker.
    pub broker: Csr,
    /// Of the runtime, which has a key of its own.
    pub runtime: Csr,
}

/// Where the private keys of a caller's certificates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyOrigin {
    /// In Vault, which forgets them; they come with the certificates.
    Vault,
    /// In the caller's pod, which they never leave.
    Pod,
}

/// What the caller gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Nats`]; the private key is in `Of(ticket, IssuedKey)`, if Vault made it.
    Nats(KeyOrigin, NatsDocuments),
    /// To [`Ask::Component`]; the keys are in `Of(ticket, IssuedKey)` and `Of(ticket, RuntimeKey)`, likewise.
    Component(KeyOrigin, ComponentDocuments),
    /// To [`Ask::SignNonce`].
    Signature(Signature),
    /// To any of them.
    Rejected(Rejection),
}

/// A request of an initializer or a broker. The server must show the exact name of the controller under `ca`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// `BootstrapNATS`. Each certificate is independent: doing it twice costs one more.
    Nats {
        /// The authority that must have signed the controller's certificate.
        ca: Pem,
        /// Holds the caller's token.
        token: Secret,
        /// Filled with the private key, or holds it already if there is a request for a certificate on it.
        key: Secret,
        /// That request.
        csr: Option<Csr>,
    },
    /// `BootstrapComponent`. Each certificate is independent, the user's key is made once.
    Component {
        /// The authority that must have signed the controller's certificate.
        ca: Pem,
        /// Holds the caller's token.
        token: Secret,
        /// Filled with the broker's private key, or holds it already if there are requests for certificates.
        key: Secret,
        /// The same for the runtime's.
        runtime_key: Secret,
        /// Those requests.
        csrs: Option<Csrs>,
    },
    /// `SignNonce`. Changes nothing.
    SignNonce {
        /// The authority that must have signed the controller's certificate.
        ca: Pem,
        /// Holds the caller's token.
        token: Secret,
        /// What is to be signed.
        nonce: Nonce,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Nats`]: the slot holds the certificate's key.
    Nats(NatsDocuments),
    /// To [`Call::Component`]: both slots hold the key of their certificate.
    Component(ComponentDocuments),
    /// To [`Call::SignNonce`].
    Signature(Signature),
    /// The controller said no, and why.
    Rejected(Rejection),
    /// What answered said no, and gave none of these reasons. Nothing happened there.
    Unexplained,
    /// A certificate that the controller sent is not what was asked for. No slot is filled.
    Unfit(Unfit),
}

/// Why a caller has no answer of the controller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoAnswer {
    /// Nothing came that could be understood.
    Silent,
    /// What answered did not prove to be the controller, and was told nothing.
    Stranger,
    /// What answered said no, and gave no reason of the controller's.
    Unexplained,
    /// The question could not be asked: a mistake of ours.
    Unasked,
}

impl NoAnswer {
    /// What a question that ended so is left with. An `Ok` that comes here is [`Reply::Unexplained`].
    #[must_use]
    pub const fn of<R>(outcome: &Outcome<R>) -> Self {
        match outcome {
            Outcome::Ok(_) => Self::Unexplained,
            Outcome::Refused(_) => Self::Unasked,
            Outcome::Unknown(Lost::Stranger) => Self::Stranger,
            Outcome::Unknown(Lost::Deadline | Lost::Connection | Lost::ServerError | Lost::Garbled) => {
                Self::Silent
            }
        }
    }

    /// Whether somebody else may be in the controller's place. A rollout heals; if this does not, a person must look.
    #[must_use]
    pub const fn deserves_a_look(self) -> bool {
        match self {
            Self::Stranger | Self::Unexplained => true,
            Self::Silent | Self::Unasked => false,
        }
    }

    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Silent => "the controller has not answered yet",
            Self::Stranger => {
                "what answers at --controller-address does not prove to be the controller: its certificate is not of the \
                 mounted authority, has ended or names somebody else"
            }
            Self::Unexplained => {
                "what answers at --controller-address refuses, for no reason that this version knows: the controller is of \
                 another version, or something stands before it"
            }
            Self::Unasked => {
                "the question to the controller could not be made: see CallNotEncoded in the log"
            }
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unfit {
    /// Its authority did not sign it, or ends before it.
    Chain,
    /// It is not on the key that belongs to it.
    Key,
    /// It does not name exactly who asked.
    Names,
    /// It is not for exactly the use that was asked for.
    Use,
}

/// What NATS starts on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NatsDocuments {
    /// JWT of the operator; names the system account.
    pub operator: String,
    /// JWT of the system account.
    pub system_account: String,
    /// JWT of the platform's account.
    pub platform_account: String,
    /// NATS' own certificate.
    pub certificate: Certificate,
}

/// What a component works with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ComponentDocuments {
    /// The component's user at NATS.
    pub user: PublicKey,
    /// Its JWT.
    pub user_jwt: String,
    /// When the JWT ends.
    pub user_jwt_expires: Unix,
    /// The broker's certificate: server for the runtime, client of NATS.
    pub certificate: Certificate,
    /// The runtime's certificate: client of the broker.
    pub runtime: Certificate,
}

/// Why the controller does not give what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rejection {
    /// The token is not a JWT of at most 8 KiB.
    TokenMalformed,
    /// The token names no algorithm that proves anything.
    TokenUnsigned,
    /// The API server did not sign the token.
    TokenForged,
    /// The token names a key that was not among the API server's when they were last read.
    KeyUnknown,
    /// Another cluster issued the token.
    IssuerForeign,
    /// The token is meant for somebody else.
    AudienceForeign,
    /// The token lives for more than an hour.
    TokenLongLived,
    /// The token counts only from some later moment on.
    TokenNotYetValid,
    /// The token has ended.
    TokenExpired,
    /// The token is genuine, and the API server does not accept it: its pod or its ServiceAccount is gone.
    TokenRefused,
    /// The token is genuine and not bound to a pod.
    TokenUnbound,
    /// The token is genuine and its ServiceAccount may not have this.
    NotEntitled,
    /// Vault's key of the caller's user at NATS is none that the controller makes.
    UserKeyForeign,
    /// The nonce is not 15 characters of base64url.
    NonceMalformed,
    /// The request for a certificate is not one, or one of the two that a component sends is missing.
    CsrMalformed,
    /// The request is for another kind of key than P-256, or for that of the other request.
    CsrKeyForeign,
    /// The key of the request has not signed it.
    CsrForged,
    /// The request asks for names or extensions.
    CsrDemanding,
    /// The controller does not serve yet, or not at the moment.
    NotServing,
    /// The controller is ending.
    Stopping,
    /// The API server does not answer.
    ReviewUnavailable,
    /// Vault is sealed, starting or does not answer.
    VaultUnavailable,
    /// Too many callers at once.
    Busy,
    /// The time of the question was over, and nothing had come of it.
    Late,
    /// The controller made a mistake: it has an answer, but not to this.
    Faulty,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::TokenMalformed,
        Self::TokenUnsigned,
        Self::TokenForged,
        Self::KeyUnknown,
        Self::IssuerForeign,
        Self::AudienceForeign,
        Self::TokenLongLived,
        Self::TokenNotYetValid,
        Self::TokenExpired,
        Self::TokenRefused,
        Self::TokenUnbound,
        Self::NotEntitled,
        Self::UserKeyForeign,
        Self::NonceMalformed,
        Self::CsrMalformed,
        Self::CsrKeyForeign,
        Self::CsrForged,
        Self::CsrDemanding,
        Self::NotServing,
        Self::Stopping,
        Self::ReviewUnavailable,
        Self::VaultUnavailable,
        Self::Busy,
        Self::Late,
        Self::Faulty,
    ];

    /// The stable reason of `google.rpc.ErrorInfo`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TokenMalformed => "TOKEN_MALFORMED",
            Self::TokenUnsigned => "TOKEN_UNSIGNED",
            Self::TokenForged => "TOKEN_FORGED",
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::IssuerForeign => "ISSUER_FOREIGN",
            Self::AudienceForeign => "AUDIENCE_FOREIGN",
            Self::TokenLongLived => "TOKEN_LONG_LIVED",
            Self::TokenNotYetValid => "TOKEN_NOT_YET_VALID",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenRefused => "TOKEN_REFUSED",
            Self::TokenUnbound => "TOKEN_UNBOUND",
            Self::NotEntitled => "NOT_ENTITLED",
            Self::UserKeyForeign => "USER_KEY_FOREIGN",
            Self::NonceMalformed => "NONCE_MALFORMED",
            Self::CsrMalformed => "CSR_MALFORMED",
            Self::CsrKeyForeign => "CSR_KEY_FOREIGN",
            Self::CsrForged => "CSR_FORGED",
            Self::CsrDemanding => "CSR_DEMANDING",
            Self::NotServing => "NOT_SERVING",
            Self::Stopping => "STOPPING",
            Self::ReviewUnavailable => "REVIEW_UNAVAILABLE",
            Self::VaultUnavailable => "VAULT_UNAVAILABLE",
            Self::Busy => "BUSY",
            Self::Late => "LATE",
            Self::Faulty => "FAULTY",
        }
    }

    /// The rejection of that reason.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rejection| rejection.reason() == reason)
    }

    /// What is wrong, in a sentence.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::TokenMalformed => "The token is not a JWT of at most 8 KiB.",
            Self::TokenUnsigned => "The token is not signed with RS256, ES256 or ES384.",
            Self::TokenForged => "The token was not signed by this cluster's API server.",
            Self::KeyUnknown => {
                "The token names a key that was not among the API server's when they were last read."
            }
            Self::IssuerForeign => "The token was issued by another cluster.",
            Self::AudienceForeign => "The token is meant for another audience.",
            Self::TokenLongLived => "The token lives for more than an hour.",
            Self::TokenNotYetValid => "The token is not valid yet.",
            Self::TokenExpired => "The token has expired.",
            Self::TokenRefused => {
                "The API server does not accept the token: its pod or its service account is gone, or was made again."
            }
            Self::TokenUnbound => "The token is not bound to a pod.",
            Self::NotEntitled => "This service account may not have what was asked for.",
            Self::UserKeyForeign => {
                "Vault's key of this service account's user at NATS is not ed25519, or was rotated."
            }
            Self::NonceMalformed => "The nonce is not 15 characters of base64url.",
            Self::CsrMalformed => {
                "The certificate request is not one PKCS#10 request in PEM of at most 4 KiB, or one of two is missing."
            }
            Self::CsrKeyForeign => "The certificate request is not for a P-256 key of its own.",
            Self::CsrForged => {
                "The certificate request was not signed by its own key with ECDSA and SHA-256."
            }
            Self::CsrDemanding => {
                "The certificate request asks for names or extensions; what a certificate says follows from who asks."
            }
            Self::NotServing => {
                "The controller does not serve now: something that it needs is not there yet."
            }
            Self::Stopping => "The controller is ending.",
            Self::ReviewUnavailable => "The Kubernetes API server does not answer the controller.",
            Self::VaultUnavailable => "Vault does not answer the controller, or is sealed.",
            Self::Busy => "The controller serves as many callers as it may.",
            Self::Late => "The controller could not answer in the time that there was.",
            Self::Faulty => "The controller made a mistake: what it has is no answer to this.",
        }
    }

    /// What a person does about it, in a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TokenMalformed => "Mount a projected service-account token and send the file as it is.",
            Self::TokenUnsigned | Self::TokenForged => {
                "Send the projected token of this pod, and read the file again at each attempt."
            }
            Self::KeyUnknown => "Try again after some seconds: the keys are read again then.",
            Self::IssuerForeign => "Use a token of the cluster that the controller runs in.",
            Self::AudienceForeign => "Project the token with audience `kubefox.<installation>`.",
            Self::TokenLongLived => "Project the token with `expirationSeconds` of at most 3600.",
            Self::TokenNotYetValid => "Set the clocks of the API server and of the controller's node.",
            Self::TokenExpired => {
                "Read the projected file again at each attempt; if it stays expired, see the kubelet and the clocks."
            }
            Self::TokenRefused => {
                "Read the projected file again at each attempt; a pod that is gone gets nothing."
            }
            Self::TokenUnbound => {
                "Use a projected token of a running pod, not one made by `kubectl create token`."
            }
            Self::NotEntitled => {
                "Run the pod under the platform's service account, or list its namespace in `--tenant-namespaces`."
            }
            Self::UserKeyForeign => {
                "Find out in Vault's audit log who wrote the key; then have Vault delete it from engine `nats` (it must allow that first), and start the service account's pods again: the key is made anew."
            }
            Self::NonceMalformed => "Send the `nonce` of NATS' INFO line unchanged.",
            Self::CsrMalformed => "Send one request for each certificate, or none, and Vault makes the keys.",
            Self::CsrKeyForeign => "Make a P-256 key (prime256v1) for each certificate.",
            Self::CsrForged => {
                "Sign the request with the private key that belongs to it, and send it unchanged."
            }
            Self::CsrDemanding => "Send a request with an empty subject and without attributes.",
            Self::NotServing => "Wait; the controller's /readyz says what it waits for.",
            Self::Stopping => "Wait; it is started again, and its /readyz says what it waits for then.",
            Self::ReviewUnavailable => {
                "Wait; if it lasts, check that the controller may create tokenreviews."
            }
            Self::VaultUnavailable => {
                "Wait; the controller unseals Vault by itself, its /readyz says what is missing."
            }
            Self::Busy => "Try again after a pause that grows.",
            Self::Late => "Try again after a pause that grows, and wait for ten seconds.",
            Self::Faulty => "Try again; if it lasts, report it as a bug.",
        }
    }

    /// Whether trying again later can help without anybody doing anything.
    #[must_use]
    pub const fn passes(self) -> bool {
        self.retry_ms().is_some()
    }

    /// After what time trying again is worth it; `None` if somebody has to do something first.
    #[must_use]
    pub const fn retry_ms(self) -> Option<u64> {
        match self {
            // For so long the keys are not read again.
            Self::KeyUnknown => Some(SIGNERS_PAUSE_MS),
            // Vault's seal is looked at every two seconds.
            Self::NotServing | Self::Stopping | Self::VaultUnavailable => Some(2_000),
            Self::ReviewUnavailable | Self::Busy | Self::Late => Some(1_000),
            // The kubelet replaces the file before its token ends; clocks are set.
            Self::TokenNotYetValid | Self::TokenExpired => Some(5_000),
            // The next question may go well; if none does, nobody is to be flooded with them.
            Self::Faulty => Some(5_000),
            Self::TokenMalformed
            | Self::TokenUnsigned
            | Self::TokenForged
            | Self::IssuerForeign
            | Self::AudienceForeign
            | Self::TokenLongLived
            | Self::TokenRefused
            | Self::TokenUnbound
            | Self::NotEntitled
            | Self::UserKeyForeign
            | Self::NonceMalformed
            | Self::CsrMalformed
            | Self::CsrKeyForeign
            | Self::CsrForged
            | Self::CsrDemanding => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec::Vec;

    use super::{NoAnswer, Outcome};
    use crate::machine::Lost;

    /// What each of these outcomes, and a no without a reason, says of a controller that was asked.
    pub(crate) fn unanswered<R: Clone>(
        doubts: Vec<Outcome<R>>,
        unexplained: R,
    ) -> Vec<(Outcome<R>, NoAnswer)> {
        let why = |doubt: &Outcome<R>| match doubt {
            Outcome::Ok(_) => NoAnswer::Unexplained,
            Outcome::Refused(_) => NoAnswer::Unasked,
            Outcome::Unknown(Lost::Stranger) => NoAnswer::Stranger,
            Outcome::Unknown(_) => NoAnswer::Silent,
        };
        let all = doubts.into_iter().chain([Outcome::Ok(unexplained)]);
        all.map(|doubt| (doubt.clone(), why(&doubt))).collect()
    }
}
