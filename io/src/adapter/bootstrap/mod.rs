//! The controller's gRPC API, seen from both ends: a caller's calls become messages, responses outcomes; the
//! controller's answers become responses.
//!
//! An error carries `google.rpc.ErrorInfo` with a stable reason, which alone counts, and a code for everybody
//! else:
//!
//! | reason | code |
//! |---|---|
//! | `TOKEN_MALFORMED`, `NONCE_MALFORMED` | `INVALID_ARGUMENT` |
//! | `TOKEN_UNSIGNED`, `TOKEN_FORGED`, `ISSUER_FOREIGN`, `AUDIENCE_FOREIGN`, `TOKEN_LONG_LIVED`, `TOKEN_NOT_YET_VALID`, `TOKEN_EXPIRED`, `TOKEN_REFUSED`, `TOKEN_UNBOUND` | `UNAUTHENTICATED` |
//! | `CSR_MALFORMED`, `CSR_KEY_FOREIGN`, `CSR_FORGED`, `CSR_DEMANDING` | `INVALID_ARGUMENT` |
//! | `NOT_ENTITLED` | `PERMISSION_DENIED` |
//! | `USER_KEY_FOREIGN` | `FAILED_PRECONDITION` |
//! | `KEY_UNKNOWN`, `NOT_SERVING`, `STOPPING`, `REVIEW_UNAVAILABLE`, `VAULT_UNAVAILABLE` | `UNAVAILABLE`, with `RetryInfo` |
//! | `BUSY` | `RESOURCE_EXHAUSTED`, with `RetryInfo` |
//! | `LATE` | `DEADLINE_EXCEEDED`, with `RetryInfo` |
//! | `FAULTY` | `INTERNAL`, with `RetryInfo` |
//!
//! A caller takes a status *with* a reason of the domain for `Ok(Rejected)`. One *without* comes from a
//! library, a proxy or a controller of another version:
//!
//! | code | outcome |
//! |---|---|
//! | `UNAVAILABLE`, `CANCELLED`, `UNKNOWN` | `Unknown(Connection)` |
//! | `DEADLINE_EXCEEDED` | `Unknown(Deadline)` |
//! | `INTERNAL`, `DATA_LOSS` | `Unknown(ServerError)` |
//! | every other that is a no | `Ok(Unexplained)` |
//! | `OK` as an error, `OUT_OF_RANGE`, or a response that is no answer to the call | `Unknown(Garbled)` |
//!
//! Source: <https://grpc.io/docs/guides/status-codes/>, <https://google.aip.dev/193>.

mod answer;
mod call;

pub use answer::{rejected, render};
pub use call::{Context, decode, encode};

/// The domain of the reasons.
const DOMAIN: &str = "kubefox.io";
