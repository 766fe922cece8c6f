//! The Kubernetes API: calls become requests, responses outcomes.
//!
//! Requests are those of `kube` and types those of `k8s-openapi`; their client, which retries by itself, is
//! not used. URIs carry path and query only: scheme and authority are the shell's.
//!
//! | status | reason | call | outcome |
//! |---|---|---|---|
//! | 200, 201 | | any | `Ok`; a body that does not parse is `Unknown(Garbled)` |
//! | 401 | | any | `Refused(Unauthenticated)` |
//! | 403 | | any | `Refused(Denied)`: RBAC or an admission policy says no |
//! | 404 | `NotFound` | reads | `Ok`, empty |
//! | 404 | | `UpdateTrust` | `Refused(Conflict)`: the version that must stand is gone |
//! | 200, 202 | | `DeletePod` | `Ok` |
//! | 404, 409 | `NotFound` for 404 | `DeletePod` | `Ok`: this pod is gone, another may have its name |
//! | 409 | | any other | `Refused(Conflict)` |
//! | 429 | | any | `Refused(Busy)` |
//! | other 4xx | | any | `Refused(Invalid)`; among them a 404 that is not the API server's own |
//! | 5xx | | any | `Unknown(ServerError)`: a 503 or 504 may come after the write |
//! | anything else | | any | `Unknown(Garbled)` |
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/>, and the statuses of the API
//! conventions.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::{Context, encode};

/// The one member of the seal key's Secret.
const SEAL_KEY_MEMBER: &str = "key";
/// The member of the trust Secret that is the controller's certificate.
const CERTIFICATE_MEMBER: &str = "tls.crt";
/// The member of the trust Secret that is the authority's certificate.
const CA_MEMBER: &str = "ca.crt";
