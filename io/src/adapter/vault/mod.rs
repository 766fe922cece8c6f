//! Vault and OpenBao: calls become requests, responses outcomes.
//!
//! Requests are the request types of `vaultrs`, where it has them, and of `endpoints` where it has not;
//! their client is not used. URIs carry path and query only: scheme and authority are the shell's. Every
//! segment of a path is an enum or a parsed name.
//!
//! What a status and the texts of its body mean (the body of an error is `{"errors": [text, …]}`; texts stay
//! here):
//!
//! | status | text | call | outcome |
//! |---|---|---|---|
//! | 200, 204 | | any | `Ok`; a body that does not parse is `Unknown(Garbled)` |
//! | 200, 429, 473, 501, 503 | a body that agrees | `Health` | `Ok`: active, standby, standby, uninitialized, sealed |
//! | 307 | | any | `Refused(NotReady)`: a standby points to another server |
//! | 400 | already initialized | `Initialize` | `Ok(AlreadyInitialized)` |
//! | 400 | being initialized on another node | `Initialize` | `Refused(NotReady)` |
//! | 400 | cluster already has state | `Initialize` | `Ok(HalfInitialized)` |
//! | 400, 500 | invalid key | `Unseal` | `Ok(WrongKey)` |
//! | 400 | not initialized | `Unseal` | `Refused(NotReady)` |
//! | 400, 403, 404 | invalid accessor | `LookupAccessor`, `RevokeAccessor` | `Ok(NoToken)`, `Ok(Revoked)` |
//! | 400 | check-and-set parameter did not match; already in use; existing mount at | any | `Refused(Conflict)` |
//! | 400 | Upgrading | any | `Refused(NotReady)`: a K/V engine a moment after it was mounted |
//! | 403 | bare `permission denied`, or with `invalid token`, `bad token` | with a token | `Refused(Unauthenticated)`: the token is dead |
//! | 403 | `1 error occurred: … permission denied` | with a token | `Refused(Denied)`: a policy says no |
//! | 403 | … not authorized | `Login` | `Refused(Denied)`: the role is not for this service account |
//! | 403 | … (exp) claim: …, … (aud) claim: … | `Login` | `Refused(Unauthenticated)`: the token has ended, or is not meant for the role |
//! | 403 | anything else, bare `permission denied` at `Login` too | any | `Refused(Unclear)`: may be an outage behind Vault |
//! | 404 | no errors | reads, lists | `Ok`, empty |
//! | 404 | no handler for route | `ReadGeneration` | `Ok`, empty: its engine is not mounted yet |
//! | 404 | policy does not exist | `Read(PasswordPolicy)` | `Ok`, empty |
//! | 429 | | any | `Refused(Busy)` |
//! | other 4xx | | any | `Refused(Invalid)`; among them a 404 for an engine that is not mounted and for a deleted version |
//! | 500 | no seal configuration | `InitStatus` | `Ok(NoSealConfiguration)` |
//! | 503 | Vault is sealed; not active; no active Vault instance | any | `Refused(NotReady)` |
//! | other 5xx | | any | `Unknown(ServerError)` |
//! | anything else | | any | `Unknown(Garbled)` |
//!
//! Source: <https://openbao.org/api-docs/>, and the bodies of a running OpenBao, which are those of the
//! tests.

mod decode;
mod encode;
mod endpoints;
mod failure;
mod path;
mod setting;

pub use decode::decode;
pub use encode::encode;
