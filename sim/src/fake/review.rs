//! The seam between the fake Vault and the fake Kubernetes: Vault's Kubernetes login asks the API server to review
//! the caller's token.

use kubefox_core::time::Unix;

/// Reviews service-account tokens as `authentication.k8s.io/v1` TokenReview does.
pub trait Reviewer {
    /// Reviews `token` for `audiences` (the API server's own if empty), authorized by `reviewer_token`.
    fn review(&mut self, now: Unix, reviewer_token: &str, token: &str, audiences: &[String]) -> Review;
}

/// What the API server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// The token is genuine, alive and meant for one of the audiences.
    Authenticated {
        /// `system:serviceaccount:<namespace>:<name>`.
        username: String,
        /// The ServiceAccount's uid.
        uid: String,
        /// The intersection of the asked audiences and the token's.
        audiences: Vec<String>,
    },
    /// The token is not accepted.
    Refused {
        /// The server's words.
        error: String,
    },
    /// The reviewer may not review, or nobody answered.
    Unavailable,
}
