//! A caller's end: calls become messages, responses outcomes.

use std::collections::BTreeSet;

use kubefox_core::bootstrap::{Call, ComponentDocuments, NatsDocuments, Rejection, Reply, Unfit};
use kubefox_core::documents::certificate::{request, ttl_s, usage};
use kubefox_core::documents::nkey::{Prefix, PublicKey};
use kubefox_core::machine::{Lost, Outcome};
use kubefox_core::names::{Pem, TrustDomain};
use kubefox_core::secret::Secret;
use kubefox_core::signature::Signature;
use kubefox_core::time::Unix;
use kubefox_core::vault::{Certificate, PkiRole};
use kubefox_proto::bootstrap::v1 as proto;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use zeroize::Zeroizing;

use super::DOMAIN;
use crate::adapter::certificate::{Facts, Flaw};
use crate::adapter::{Slots, Unencodable, certificate, service_account, text};
use crate::exchange::{BootstrapRequest, BootstrapResponse, Request};

/// What a caller knows of itself beside its token.
#[derive(Clone, Debug)]
pub struct Context {
    /// The trust domain of every SPIFFE id.
    pub trust_domain: TrustDomain,
}

/// The message of a call, with the authority its receiver must show.
///
/// # Errors
/// [`Unencodable`] if the token is not there or cannot be sent.
pub fn encode(call: &Call, slots: &dyn Slots) -> Result<Request, Unencodable> {
    let (ca, message) = match call {
        Call::Nats { ca, token, key: _, csr } => {
            let token = own(text(*token, slots)?);
            let csr = csr.as_ref().map(ToString::to_string).unwrap_or_default();
            (ca, BootstrapRequest::Nats(proto::NatsBootstrapRequest { token, csr }))
        }
        Call::Component { ca, token, key: _, runtime_key: _, csrs } => {
            let token = own(text(*token, slots)?);
            let csrs = csrs.as_ref().map(|csrs| (csrs.broker.to_string(), csrs.runtime.to_string()));
            let (csr, runtime_csr) = csrs.unwrap_or_default();
            let message = proto::ComponentBootstrapRequest { token, csr, runtime_csr };
            (ca, BootstrapRequest::Component(message))
        }
        Call::SignNonce { ca, token, nonce } => {
            let (token, nonce) = (own(text(*token, slots)?), nonce.to_string());
            (ca, BootstrapRequest::SignNonce(proto::SignNonceRequest { token, nonce }))
        }
    };
    Ok(Request::Bootstrap { ca: ca.clone(), message })
}

/// The same memory, no longer wiped: messages are made of plain strings.
fn own(mut text: Zeroizing<String>) -> String {
    core::mem::take(&mut *text)
}

/// The outcome of a call whose response came. The tables are in the module's documentation.
pub fn decode(
    call: &Call,
    response: Result<BootstrapResponse, Status>,
    context: &Context,
    slots: &mut dyn Slots,
) -> Outcome<Reply> {
    let reply = match (call, response) {
        (_, Err(status)) => return rejected(&status),
        (Call::Nats { ca: _, token, key, csr }, Ok(BootstrapResponse::Nats(response))) => {
            let asked = Asked { token: *token, on_own_keys: csr.is_some(), context };
            nats(response, &asked, *key, slots)
        }
        (
            Call::Component { ca: _, token, key, runtime_key, csrs },
            Ok(BootstrapResponse::Component(response)),
        ) => {
            let asked = Asked { token: *token, on_own_keys: csrs.is_some(), context };
            component(response, &asked, [*key, *runtime_key], slots)
        }
        (Call::SignNonce { ca: _, token: _, nonce: _ }, Ok(BootstrapResponse::SignNonce(response))) => {
            Signature::try_from(response.signature).map(Reply::Signature).map_err(|_| Misfit::Garbled)
        }
        (
            Call::Nats { .. } | Call::Component { .. } | Call::SignNonce { .. },
            Ok(
                BootstrapResponse::Nats(_)
                | BootstrapResponse::Component(_)
                | BootstrapResponse::SignNonce(_),
            ),
        ) => Err(Misfit::Garbled),
    };
    match reply {
        Ok(reply) => Outcome::Ok(reply),
        Err(Misfit::Garbled) => Outcome::Unknown(Lost::Garbled),
        Err(Misfit::Unfit(unfit)) => Outcome::Ok(Reply::Unfit(unfit)),
    }
}

/// Why a response is no answer.
enum Misfit {
    /// It cannot be understood.
    Garbled,
    /// It can, and a certificate in it is not what was asked for.
    Unfit(Unfit),
}

/// What the certificates of a response are compared with.
struct Asked<'a> {
    /// Holds the token of whoever asked.
    token: Secret,
    /// Whether the keys rest in their slots already, and none was to be sent.
    on_own_keys: bool,
    context: &'a Context,
}

fn nats(
    response: proto::NatsBootstrapResponse,
    asked: &Asked<'_>,
    key: Secret,
    slots: &mut dyn Slots,
) -> Result<Reply, Misfit> {
    let issued = asked.issued(PkiRole::Nats, response.certificate, key, slots)?;
    Ok(Reply::Nats(NatsDocuments {
        operator: response.operator_jwt,
        system_account: response.system_account_jwt,
        platform_account: response.platform_account_jwt,
        certificate: issued.keep(slots),
    }))
}

fn component(
    response: proto::ComponentBootstrapResponse,
    asked: &Asked<'_>,
    [key, runtime_key]: [Secret; 2],
    slots: &mut dyn Slots,
) -> Result<Reply, Misfit> {
    let user = PublicKey::parse_as(Prefix::User, &response.user).map_err(|_| Misfit::Garbled)?;
    let own = asked.issued(PkiRole::Component, response.certificate, key, slots)?;
    let runtime = asked.issued(PkiRole::Runtime, response.runtime_certificate, runtime_key, slots)?;
    Ok(Reply::Component(ComponentDocuments {
        user,
        user_jwt: response.user_jwt,
        user_jwt_expires: Unix(response.user_jwt_expires_unix_s),
        certificate: own.keep(slots),
        runtime: runtime.keep(slots),
    }))
}

/// A certificate that is what was asked for.
struct Issued {
    certificate: Certificate,
    /// Its key, if it was sent, and where it goes.
    key: Option<(Secret, Zeroizing<Vec<u8>>)>,
}

impl Issued {
    /// The keys go into their slots together, once every certificate fits.
    fn keep(self, slots: &mut dyn Slots) -> Certificate {
        if let Some((slot, key)) = self.key {
            slots.fill(slot, key);
        }
        self.certificate
    }
}

impl Asked<'_> {
    /// The certificate must be signed by its authority for the role's use and not outlive it, end when it is said to,
    /// be on its key, and name who asked.
    fn issued(
        &self,
        role: PkiRole,
        message: Option<proto::Certificate>,
        slot: Secret,
        slots: &dyn Slots,
    ) -> Result<Issued, Misfit> {
        let message = message.ok_or(Misfit::Garbled)?;
        let sent = Zeroizing::new(message.key.into_bytes());
        let pem = |text: &str| Pem::parse(text).map_err(|_| Misfit::Garbled);
        let (leaf, ca) = (pem(&message.leaf)?, pem(&message.ca)?);
        let chain = certificate::verify_chain(&leaf, &ca, usage(role)).map_err(|flaw| match flaw {
            Flaw::Leaf | Flaw::Authority => Misfit::Garbled,
            Flaw::OtherAuthority => Misfit::Unfit(Unfit::Chain),
            Flaw::OtherUse => Misfit::Unfit(Unfit::Use),
        })?;
        if chain.leaf.not_after != Unix(message.not_after_unix_s) {
            return Err(Misfit::Garbled);
        }
        if chain.outlives_authority() {
            return Err(Misfit::Unfit(Unfit::Chain));
        }
        // A controller that knows nothing of requests sends a key: nobody is to use one that others have seen.
        let own = if self.on_own_keys && sent.is_empty() { slots.expose(slot).ok() } else { None };
        let key = if self.on_own_keys { own } else { Some(sent.as_slice()) };
        if !key.is_some_and(|key| certificate::is_on_key(&chain.leaf, key)) {
            return Err(Misfit::Unfit(Unfit::Key));
        }
        if !self.names(role, &chain.leaf, slots) {
            return Err(Misfit::Unfit(Unfit::Names));
        }
        let certificate = Certificate { leaf, ca, not_after: chain.leaf.not_after };
        Ok(Issued { certificate, key: (!self.on_own_keys).then_some((slot, sent)) })
    }

    /// Whether the certificate has exactly the names that the controller asks Vault for.
    fn names(&self, role: PkiRole, leaf: &Facts, slots: &dyn Slots) -> bool {
        let Some(identity) = slots.expose(self.token).ok().and_then(service_account::said_identity) else {
            return false;
        };
        let asked = request(role, &identity, &self.context.trust_domain, ttl_s(role));
        let expected: BTreeSet<_> = asked.common_name.iter().chain(&asked.dns_names).collect();
        leaf.common_names.iter().eq(&asked.common_name)
            && leaf.uris == [asked.uri]
            && leaf.dns_names.iter().collect::<BTreeSet<_>>() == expected
            && !leaf.has_other_names
    }
}

fn rejected(status: &Status) -> Outcome<Reply> {
    let rejection = status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .and_then(|info| Rejection::from_reason(&info.reason));
    if let Some(rejection) = rejection {
        return Outcome::Ok(Reply::Rejected(rejection));
    }
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::Unknown => Outcome::Unknown(Lost::Connection),
        Code::DeadlineExceeded => Outcome::Unknown(Lost::Deadline),
        Code::Internal | Code::DataLoss => Outcome::Unknown(Lost::ServerError),
        // The client's own limit of a response: what is behind it may have been issued.
        Code::Ok | Code::OutOfRange => Outcome::Unknown(Lost::Garbled),
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::Unimplemented => Outcome::Ok(Reply::Unexplained),
    }
}

#[cfg(test)]
mod tests;
