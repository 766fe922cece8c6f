//! Asks the controller, and checks that what it sent fits together before anything is written.

use super::{Call, Initializer, KEY, State, TOKEN, Verdict, Wait};
use crate::bootstrap::{self, NatsDocuments, Rejection};
use crate::documents::jwt::{self, Claims, Kind};
use crate::documents::nkey::PublicKey;
use crate::fatal::Fatal;
use crate::machine::Out;
use crate::names::{Csr, Pem};
use crate::time::{Now, Unix};
use crate::vault::Certificate;

/// What ends sooner would be gone before what is started on it works.
pub(crate) const LIFE_S_MIN: u64 = 60;

/// How long the controller may take: it asks the API server once and Vault several times.
pub(crate) const BOOTSTRAP_MS: u64 = 15_000;

impl State {
    pub(super) fn bootstrapping(ca: Pem, csr: Option<Csr>, now: Now, out: &mut Out<Initializer>) -> Self {
        let call = Call::Bootstrap(bootstrap::Call::Nats { ca: ca.clone(), token: TOKEN, key: KEY, csr });
        Self::Bootstrapping { call: out.call(now.in_ms(BOOTSTRAP_MS), call), ca }
    }
}

/// The keys that the documents name. Whoever holds it knows that they fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitting {
    pub(super) system_account: PublicKey,
    pub(super) platform_account: PublicKey,
}

/// The operator must have signed both accounts and name one of them as the system's, and the certificate must be
/// alive and of the authority that is mounted.
pub(super) fn judge(documents: &NatsDocuments, ca: &Pem, now: Now) -> Verdict<Fitting> {
    match fit(documents, ca, now) {
        Some(fitting) => Verdict::Go(fitting),
        None => Verdict::Stop(Fatal::DocumentsMalformed),
    }
}

fn fit(documents: &NatsDocuments, ca: &Pem, now: Now) -> Option<Fitting> {
    if !is_usable(&documents.certificate, ca, now) {
        return None;
    }
    let operator = living(&documents.operator, now)?;
    let system = living(&documents.system_account, now)?;
    let platform = living(&documents.platform_account, now)?;

    let Kind::Operator { system_account } = operator.kind else { return None };
    let fits = operator.issuer == operator.subject
        && [&system, &platform].iter().all(|account| account.kind == Kind::Account)
        && [&system, &platform].iter().all(|account| account.issuer == operator.subject)
        && system.subject == system_account
        && platform.subject != system_account;
    fits.then_some(Fitting { system_account, platform_account: platform.subject })
}

/// What a JWT says, unless it ends too soon.
fn living(text: &str, now: Now) -> Option<Claims> {
    let claims = jwt::decode(text).ok()?;
    claims.expires.is_none_or(|until| lives(until, now)).then_some(claims)
}

/// Whether a certificate lives for long enough and is of this authority. The end of a PEM file may or may not be a line
/// break.
pub(crate) fn is_usable(certificate: &Certificate, ca: &Pem, now: Now) -> bool {
    certificate.ca.is_same(ca) && lives(certificate.not_after, now)
}

/// Whether what ends then, a certificate or a JWT, lives for long enough.
pub(crate) fn lives(until: Unix, now: Now) -> bool {
    until.0 >= now.unix.0.saturating_add(LIFE_S_MIN)
}

/// What a no of the controller means for whoever wants to start.
pub(crate) fn rejected<T>(rejection: Rejection) -> Verdict<T> {
    match rejection {
        Rejection::KeyUnknown
        | Rejection::NotServing
        | Rejection::Stopping
        | Rejection::ReviewUnavailable
        | Rejection::VaultUnavailable
        | Rejection::Busy
        | Rejection::Late
        | Rejection::Faulty
        // The kubelet replaces the file, and clocks are set.
        | Rejection::TokenNotYetValid
        | Rejection::TokenExpired => Verdict::Again(Wait::Rejected(rejection)),
        Rejection::TokenMalformed => Verdict::Stop(Fatal::TokenMalformed),
        Rejection::TokenUnsigned
        | Rejection::TokenForged
        | Rejection::IssuerForeign
        | Rejection::AudienceForeign
        | Rejection::TokenLongLived
        | Rejection::TokenRefused
        | Rejection::TokenUnbound => Verdict::Stop(Fatal::TokenRefused),
        Rejection::NotEntitled => Verdict::Stop(Fatal::NotEntitled),
        Rejection::UserKeyForeign => Verdict::Stop(Fatal::UserKeyForeign),
        // No nonce was sent, and the requests are made as they should be: the controller speaks another language.
        Rejection::NonceMalformed
        | Rejection::CsrMalformed
        | Rejection::CsrKeyForeign
        | Rejection::CsrForged
        | Rejection::CsrDemanding => Verdict::Stop(Fatal::DocumentsMalformed),
    }
}
