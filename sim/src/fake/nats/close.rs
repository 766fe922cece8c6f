//! Why the server ends a connection, and what the client hears of it.

use super::connect::Refusal;

/// The reason, for logs and traces; the client hears less, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// CONNECT was refused.
    #[error("authorization violation: {0}")]
    Authorization(Refusal),
    /// No CONNECT in time.
    #[error("no CONNECT within the authorization time-out")]
    AuthenticationTimeout,
    /// The user JWT's `exp` has come.
    #[error("the user JWT expired")]
    UserExpired,
    /// The account JWT's `exp` has come.
    #[error("the account JWT expired")]
    AccountExpired,
    /// The account's `conn`; 0 for the system account.
    #[error("the account has all the connections it may have")]
    AccountConnections,
    /// The user may not subscribe at all (`subs: 0`), which nats-server takes for an error.
    #[error("the user may have no subscriptions")]
    NoSubscriptions,
    /// CONNECT's `protocol` is neither 0 nor 1.
    #[error("invalid client protocol")]
    ClientProtocol,
    /// `no_responders` without `headers`.
    #[error("no_responders requires headers")]
    NoRespondersWithoutHeaders,
    /// CONNECT's argument is not JSON.
    #[error("CONNECT is not JSON")]
    ConnectJson,
    /// HPUB without `headers`.
    #[error("headers were not negotiated")]
    HeadersNotNegotiated,
    /// More payload than allowed.
    #[error("maximum payload exceeded")]
    Payload,
    /// A control line longer than allowed.
    #[error("maximum control line exceeded")]
    ControlLine,
    /// An operation that clients do not have.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// An operation with arguments that make no sense.
    #[error("the arguments of {0} make no sense")]
    Arguments(&'static str),
    /// Two pings were not answered.
    #[error("two pings were not answered")]
    Stale,
    /// The real server does something that this fake does not.
    #[error("not implemented by this fake: {0}")]
    NotImplemented(&'static str),
}

impl CloseReason {
    /// The text between the quotes of `-ERR '…'`; `None` if the connection just ends.
    pub(super) fn error(&self) -> Option<String> {
        let text = match self {
            Self::Authorization(_) => "Authorization Violation",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::UserExpired => "User Authentication Expired",
            Self::AccountExpired => "Account Authentication Expired",
            Self::AccountConnections => "maximum account active connections exceeded",
            Self::NoSubscriptions => "maximum subscriptions exceeded",
            Self::ClientProtocol => "invalid client protocol",
            Self::NoRespondersWithoutHeaders => "no responders requires headers support",
            Self::Payload => "Maximum Payload Violation",
            Self::ControlLine => "maximum control line exceeded",
            Self::UnknownOperation => "Unknown Protocol Operation",
            Self::Stale => "Stale Connection",
            Self::NotImplemented(what) => return Some(format!("Not Implemented By This Fake: {what}")),
            Self::ConnectJson | Self::HeadersNotNegotiated | Self::Arguments(_) => return None,
        };

        Some(text.to_owned())
    }
}
