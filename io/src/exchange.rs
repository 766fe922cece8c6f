//! What crosses the seam between the pure adapters and the world: requests and responses, one variant per outside
//! system.

use kubefox_core::machine::Refusal;
use kubefox_core::names::Pem;
use kubefox_proto::bootstrap::v1 as proto;
use zeroize::Zeroizing;

use crate::disk;

/// A request on its way out.
pub enum Request {
    /// To Vault, path and query only.
    Vault(http::Request<Vec<u8>>),
    /// To the Kubernetes API, path and query only.
    Kubernetes(http::Request<Vec<u8>>),
    /// To a local directory.
    Disk(disk::Request),
    /// To the controller's gRPC API.
    Bootstrap {
        /// The authority that must have signed the controller's certificate.
        ca: Pem,
        /// The message.
        message: BootstrapRequest,
    },
    /// To the own gRPC server.
    Listener(ListenerRequest),
    /// To the NATS client.
    Nats(NatsRequest),
}

/// A message to the controller.
pub enum BootstrapRequest {
    /// `BootstrapNATS`.
    Nats(proto::NatsBootstrapRequest),
    /// `BootstrapComponent`.
    Component(proto::ComponentBootstrapRequest),
    /// `SignNonce`.
    SignNonce(proto::SignNonceRequest),
}

/// A request to the own gRPC server.
pub enum ListenerRequest {
    /// Show this from now on.
    Present(Presentation),
    /// Connect to the own port, and look what is shown.
    Probe,
}

/// The certificate that a server is to show.
pub struct Presentation {
    /// The certificate, PEM.
    pub leaf: Pem,
    /// Its authority, PEM.
    pub ca: Pem,
    /// Its private key, PKCS#8 PEM.
    pub key: Zeroizing<Vec<u8>>,
}

/// A request to the NATS client.
pub enum NatsRequest {
    /// Connect, or replace the connection.
    Connect {
        /// Prefix of every inbox of this client.
        inbox_prefix: String,
        /// The client's certificate, and what the server's is verified against.
        presentation: Presentation,
    },
    /// Publish and wait for the server.
    Publish {
        /// Subject.
        subject: String,
        /// Payload.
        payload: Zeroizing<Vec<u8>>,
    },
}

/// A response on its way in.
pub enum Response {
    /// From Vault or the Kubernetes API.
    Http(http::Response<Vec<u8>>),
    /// From a local directory.
    Disk(disk::Response),
    /// From the controller.
    Bootstrap(Result<BootstrapResponse, tonic::Status>),
    /// The own server listens, as `ip:port`.
    Listening(String),
    /// The own server shows this certificate, DER, and has proved that it holds its key.
    Shown(Vec<u8>),
    /// The NATS client did it, or the server said no.
    Nats(Result<(), Refusal>),
}

/// A message from the controller.
pub enum BootstrapResponse {
    /// To `BootstrapNATS`.
    Nats(proto::NatsBootstrapResponse),
    /// To `BootstrapComponent`.
    Component(proto::ComponentBootstrapResponse),
    /// To `SignNonce`.
    SignNonce(proto::SignNonceResponse),
}
