//! The part of the table that does not depend on the call: statuses and texts that are no success.

use http::Response;
use kubefox_core::machine::{Lost, Outcome, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// [`Outcome::Refused`].
    Refused(Refusal),
    /// [`Outcome::Unknown`].
    Unknown(Lost),
}

impl Failure {
    /// An answer that cannot be understood.
    pub(super) const GARBLED: Self = Self::Unknown(Lost::Garbled);

    /// The outcome.
    pub(super) fn into_outcome<R>(self) -> Outcome<R> {
        match self {
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::Unknown(lost) => Outcome::Unknown(lost),
        }
    }
}

/// With what a call was made: it decides what a bare `permission denied` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// Nothing: whatever denies it is not Vault's policy.
    Nothing,
    /// A service-account token: Vault hides the cause if its own review fails.
    Jwt,
    /// A token of Vault.
    Token,
}

/// A response, its body to be wiped.
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
    /// The texts of an error; `None` if there is no such body.
    errors: Option<Vec<String>>,
}

impl From<Response<Vec<u8>>> for Answer {
    fn from(response: Response<Vec<u8>>) -> Self {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        let (head, body) = response.into_parts();
        let (status, body) = (head.status.as_u16(), Zeroizing::new(body));
        let errors = match status {
            0..400 => None,
            _ => serde_json::from_slice::<Errors>(&body).ok().map(|body| body.errors),
        };
        Self { status, body, errors }
    }
}

impl Answer {
    /// The body as `T`. What serde has to say is dropped: it quotes values.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::GARBLED)
    }

    /// Member `data` of a successful logical response.
    pub(super) fn data<T: DeserializeOwned>(&self, credential: Credential) -> Result<T, Failure> {
        #[derive(Deserialize)]
        struct Logical<T> {
            data: T,
        }
        match self.status {
            200 => self.body::<Logical<T>>().map(|logical| logical.data),
            _ => Err(self.failure(credential)),
        }
    }

    /// A definite "there is no such thing".
    pub(super) fn is_absent(&self) -> bool {
        self.status == 404 && self.errors.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether an error says so.
    pub(super) fn says(&self, text: &str) -> bool {
        self.errors.iter().flatten().any(|error| error.contains(text))
    }

    /// What a status that is no success means where the call has no row of its own.
    pub(super) fn failure(&self, credential: Credential) -> Failure {
        match self.status {
            307 => Failure::Refused(Refusal::NotReady),
            400 => Failure::Refused(self.bad_request()),
            403 => Failure::Refused(self.forbidden(credential)),
            429 => Failure::Refused(Refusal::Busy),
            401..500 => Failure::Refused(Refusal::Invalid),
            503 if self.says("Vault is sealed")
                || self.says("not active")
                || self.says("no active Vault") =>
            {
                Failure::Refused(Refusal::NotReady)
            }
            500.. => Failure::Unknown(Lost::ServerError),
            _ => Failure::GARBLED,
        }
    }

    fn bad_request(&self) -> Refusal {
        const TAKEN: [&str; 3] =
            ["check-and-set parameter did not match", "already in use", "existing mount at"];
        if TAKEN.iter().any(|text| self.says(text)) {
            return Refusal::Conflict;
        }
        if self.says("Upgrading") {
            return Refusal::NotReady;
        }
        Refusal::Invalid
    }

    fn forbidden(&self, credential: Credential) -> Refusal {
        match credential {
            Credential::Nothing => Refusal::Unclear,
            Credential::Jwt if self.says("not authorized") => Refusal::Denied,
            Credential::Jwt if self.says(") claim: ") => Refusal::Unauthenticated,
            Credential::Jwt => Refusal::Unclear,
            Credential::Token if self.is_dead_token() => Refusal::Unauthenticated,
            Credential::Token if self.says("permission denied") => Refusal::Denied,
            Credential::Token => Refusal::Unclear,
        }
    }

    /// OpenBao says it bare, newer Vaults add a second error.
    fn is_dead_token(&self) -> bool {
        let bare = self.errors.iter().flatten().any(|error| error == "permission denied");
        bare || self.says("invalid token") || self.says("bad token")
    }
}
