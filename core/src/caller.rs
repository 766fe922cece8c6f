//! Who calls, by what its token says: the keys that sign service-account tokens, what one of them says once its
//! signature fits, and what is required of that before anybody outside is asked about it.
//!
//! This only keeps strangers out cheaply. A signature does not say that the pod still lives: that, the API server says
//! (`controller/session.rs`).
//!
//! | claim | required | otherwise |
//! |---|---|---|
//! | `iss` | the issuer of the controller's own token | `IssuerForeign` |
//! | `aud` | has `kubefox.<installation>` | `AudienceForeign` |
//! | `exp` − `iat` | at most an hour | `TokenLongLived` |
//! | `nbf` | not more than a minute ahead | `TokenNotYetValid` |
//! | `exp` | not over | `TokenExpired` |
//! | `kubernetes.io` | names a service account and a pod with its uid | `TokenUnbound` |
//!
//! Source: RFC 7519; <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>, "Schema for
//! service account private claims".

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bootstrap::Rejection;
use crate::kubernetes::Pod;
use crate::names::{Identity, TokenDigest};
use crate::time::Unix;

/// The longest life of a token: whoever steals one has it for so long at most. Projected tokens live for 10 minutes.
pub const TOKEN_LIFE_S_MAX: u64 = 3_600;
/// By so much the clocks of the API server and of this node may differ.
pub const LEEWAY_S: u64 = 60;
/// Keys that are kept of a key set; a cluster has one, and two or three while it changes them.
pub const SIGNERS_MAX: usize = 16;

/// A public key with which the API server signs service-account tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signer {
    /// What a token names it by (`kid`).
    pub id: String,
    /// The key.
    pub key: SignerKey,
}

/// The algorithms that can be checked (RFC 7518, section 3.1), and what each needs. All numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignerKey {
    /// `RS256`.
    Rsa {
        /// Modulus.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: Vec<u8>,
    },
    /// `ES256`: the point, uncompressed, 65 bytes.
    P256(Vec<u8>),
    /// `ES384`: the point, uncompressed, 97 bytes.
    P384(Vec<u8>),
}

impl SignerKey {
    /// The name of its algorithm, as a token's header has it.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
        }
    }

    /// Whether some key could be of that algorithm.
    #[must_use]
    pub fn is_algorithm(name: &str) -> bool {
        matches!(name, "RS256" | "ES256" | "ES384")
    }
}

/// What came of looking at a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Examined {
    /// Its header or its claims cannot be read.
    Malformed,
    /// Its header names no algorithm that proves anything: `none` is one of those.
    Unsigned,
    /// It names a key that is not among those that were looked at.
    UnknownKey,
    /// The key that it names did not sign it.
    Forged,
    /// The API server signed it, and it says this.
    Genuine(Claims),
}

/// What a token says whose signature fits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// Whether `iss` is that of the controller's own token.
    pub own_issuer: bool,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `iat`.
    pub issued: Unix,
    /// `nbf`.
    pub not_before: Unix,
    /// `exp`.
    pub expires: Unix,
    /// The service account.
    pub identity: Option<Identity>,
    /// The pod it is bound to.
    pub pod: Option<Pod>,
    /// Of the whole token.
    pub digest: TokenDigest,
}

/// A caller whose token the API server has signed. Whether it still lives is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// The service account.
    pub identity: Identity,
    /// The pod.
    pub pod: Pod,
    /// When the token ends.
    pub expires: Unix,
    /// Of the token.
    pub digest: TokenDigest,
}

impl Claims {
    /// The caller, if the claims are what they must be.
    ///
    /// # Errors
    /// The first row of the module's table that is not met.
    pub fn caller(self, audience: &str, now: Unix) -> Result<Caller, Rejection> {
        if !self.own_issuer {
            return Err(Rejection::IssuerForeign);
        }
        if !self.audiences.iter().any(|meant| meant == audience) {
            return Err(Rejection::AudienceForeign);
        }
        if self.expires.0.saturating_sub(self.issued.0) > TOKEN_LIFE_S_MAX {
            return Err(Rejection::TokenLongLived);
        }
        if self.not_before.0.max(self.issued.0) > now.0.saturating_add(LEEWAY_S) {
            return Err(Rejection::TokenNotYetValid);
        }
        if self.expires <= now {
            return Err(Rejection::TokenExpired);
        }
        let (identity, pod) = self.identity.zip(self.pod).ok_or(Rejection::TokenUnbound)?;
        Ok(Caller { identity, pod, expires: self.expires, digest: self.digest })
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use super::*;
    use crate::names::{PodName, Uid};

    const NOW: Unix = Unix(1_800_000_000);
    const AUDIENCE: &str = "kubefox.blue";

    #[test]
    fn every_claim_has_its_rejection_and_the_first_one_counts() {
        type Change = fn(&mut Claims);
        let changes: [(Change, Rejection); 11] = [
            (|claims| claims.own_issuer = false, Rejection::IssuerForeign),
            (|claims| claims.audiences = vec!["kubefox.green".to_owned()], Rejection::AudienceForeign),
            (|claims| claims.audiences = vec!["kubefox".to_owned()], Rejection::AudienceForeign),
            (|claims| claims.audiences = vec![], Rejection::AudienceForeign),
            (|claims| claims.expires.0 += 1, Rejection::TokenLongLived),
            (|claims| claims.expires = Unix(u64::MAX), Rejection::TokenLongLived),
            (|claims| claims.not_before = Unix(NOW.0 + LEEWAY_S + 1), Rejection::TokenNotYetValid),
            (|claims| claims.issued = Unix(NOW.0 + LEEWAY_S + 1), Rejection::TokenNotYetValid),
            (|claims| claims.expires = NOW, Rejection::TokenExpired),
            (|claims| claims.identity = None, Rejection::TokenUnbound),
            (|claims| claims.pod = None, Rejection::TokenUnbound),
        ];
        for (change, rejection) in changes {
            let mut claims = good();
            change(&mut claims);
            assert_eq!(claims.clone().caller(AUDIENCE, NOW), Err(rejection), "{claims:?}");
            claims.own_issuer = false;
            assert_eq!(claims.caller(AUDIENCE, NOW), Err(Rejection::IssuerForeign));
        }
    }

    #[test]
    fn a_good_token_is_its_caller_up_to_the_limits() {
        let caller = good().caller(AUDIENCE, NOW).expect("all claims are met");
        let Claims { identity, pod, expires, digest, .. } = good();
        let (identity, pod) = (identity.expect("one"), pod.expect("one"));
        assert_eq!(caller, Caller { identity, pod, expires, digest });

        let ahead = Unix(NOW.0 + LEEWAY_S);
        let claims = Claims { not_before: ahead, issued: ahead, expires: Unix(ahead.0 + 1), ..good() };
        assert!(claims.caller(AUDIENCE, NOW).is_ok(), "a clock may be a minute behind");
        let claims = Claims { expires: Unix(NOW.0 + 1), ..good() };
        assert!(claims.caller(AUDIENCE, NOW).is_ok(), "the last second counts");
        let audiences = vec!["https://kubernetes.default.svc".to_owned(), AUDIENCE.to_owned()];
        assert!(Claims { audiences, ..good() }.caller(AUDIENCE, NOW).is_ok(), "one of several is enough");
    }

    fn good() -> Claims {
        let (name, uid) = (PodName::parse("app-1").expect("a name"), Uid::parse("1-2").expect("a uid"));
        Claims {
            own_issuer: true,
            audiences: vec![AUDIENCE.to_owned()],
            issued: Unix(NOW.0 - 600),
            not_before: Unix(NOW.0 - 600),
            expires: Unix(NOW.0 - 600 + TOKEN_LIFE_S_MAX),
            identity: Identity::parse_username("system:serviceaccount:team0:app").ok(),
            pod: Some(Pod { name, uid }),
            digest: TokenDigest::parse(&"0f".repeat(32)).expect("64 digits"),
        }
    }
}
