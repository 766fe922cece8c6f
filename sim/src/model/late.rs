//! A request that its sender has given up and that is still under way: it may be carried out at any later moment, whoever
//! is alive by then, and nobody will hear the answer.

use http::Request as HttpRequest;
use kubefox_io::exchange::Request;

/// The request, as it left.
#[derive(Clone)]
pub(super) enum LateRequest {
    /// To Vault.
    Vault(HttpRequest<Vec<u8>>),
    /// To the API server.
    Kubernetes(HttpRequest<Vec<u8>>),
}

impl LateRequest {
    /// `None` for what cannot be late: the disk, the volumes and the own server are in the same machine, and what the
    /// process has asked of them is done or not when it dies.
    pub(super) fn new(request: Request) -> Option<Self> {
        match request {
            Request::Vault(request) => Some(Self::Vault(request)),
            Request::Kubernetes(request) => Some(Self::Kubernetes(request)),
            Request::Disk(_) | Request::Listener(_) | Request::Bootstrap { .. } | Request::Nats(_) => None,
        }
    }

    /// Whether it dies with Vault's process.
    pub(super) const fn is_to_vault(&self) -> bool {
        matches!(self, Self::Vault(_))
    }

    /// Whether it may unseal Vault.
    pub(super) fn is_unseal(&self) -> bool {
        matches!(self, Self::Vault(request) if request.uri().path() == "/v1/sys/unseal")
    }

    /// The same request, to be carried.
    pub(super) fn into_request(self) -> Request {
        match self {
            Self::Vault(request) => Request::Vault(request),
            Self::Kubernetes(request) => Request::Kubernetes(request),
        }
    }
}
