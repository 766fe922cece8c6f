//! Getting the serving certificate, publishing it with its authority, and showing it.
//!
//! ```text
//! ReadingApiToken → Issuing → ReadingTrust ── absent ──> CreatingTrust ── written ──> Presenting → Probing → serve
//!                                ^  │ └───── same CA ──> UpdatingTrust ──────┘
//!                                │  └ another CA → TrustReplaced │
//!                                └────── a moment later ─────────┴ conflict
//! ```
//!
//! A published authority that is not Vault's is never overwritten: clients would follow whoever wrote last. That a
//! certificate was given to the server is not yet that it is shown: the server's own port is asked, and only what it shows
//! counts.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::calls::{Call, Notice, Reply};
use super::table::Wait;
use super::turn::{Context, Lease, Turn};
use crate::documents::certificate::{request, ttl_s};
use crate::documents::setting::platform_identity;
use crate::fatal::Fatal;
use crate::kubernetes::{self, PublishedTrust, Trust};
use crate::listener;
use crate::machine::{Outcome, Refusal};
use crate::names::{LifeId, ResourceVersion};
use crate::phases::phases;
use crate::retry::renewal_s;
use crate::secret::{Own, Secret};
use crate::vault::{self, AuthRole, Certificate, PkiRole};
use crate::volume::{self, Token, TokenFile};

/// A local read.
const LOCAL_MS: u64 = 2_000;
/// One request to Vault or the API server.
const REMOTE_MS: u64 = 10_000;
/// Opening a port, or a handshake with it.
const LISTEN_MS: u64 = 5_000;
/// Pause after somebody else wrote `kubefox-trust` first, before it is read again.
const CONFLICT_PAUSE_MS: u64 = 200;
/// Which stream of renewals the serving certificate draws from.
const RENEWAL_OF_CERTIFICATE: u64 = 1;
/// A renewed certificate that lives shorter than this is not worth presenting.
const LIFE_S_MIN: u64 = 60;

/// Certification under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Certify {
    /// Without it nothing can be published, and a renewal comes long after the last survey read it.
    ReadingApiToken,
    /// A certificate is asked for.
    Issuing,
    /// What is published is read.
    ReadingTrust(Certificate),
    /// Nothing was published.
    CreatingTrust(Certificate),
    /// The certificate of another time was published.
    UpdatingTrust(Certificate, ResourceVersion),
    /// It is about to be shown.
    Presenting(Certificate),
    /// The port at this address is asked what it shows.
    Probing(Certificate, String),
}

const KEY: Secret = Secret::Own(Own::ServingKey);

impl Certify {
    pub(super) const fn begin() -> Self {
        Self::ReadingApiToken
    }

    pub(super) fn ask(&self, context: &Context<'_>) -> (Call, u64) {
        match self {
            Self::ReadingApiToken => {
                let into = Secret::Own(Own::ApiJwt);
                (Call::Volume(volume::Call::ReadToken { token: Token::Api, into }), LOCAL_MS)
            }
            Self::Issuing => {
                let identity = platform_identity(AuthRole::Controller, &context.config.namespace)
                    .expect("the controller has an account of its own");
                let role = PkiRole::Controller;
                let request = request(role, &identity, &context.config.trust_domain, ttl_s(role));
                let token = Secret::Own(Own::ControllerToken);
                (Call::Vault(vault::Call::Issue { token, request, into: KEY }), REMOTE_MS)
            }
            Self::ReadingTrust(_) => (Call::Kubernetes(kubernetes::Call::ReadTrust), REMOTE_MS),
            Self::CreatingTrust(certificate) => {
                let (life, trust) = (life(context), trust(certificate));
                (Call::Kubernetes(kubernetes::Call::CreateTrust { life, trust }), REMOTE_MS)
            }
            Self::UpdatingTrust(certificate, version) => {
                let (life, trust, version) = (life(context), trust(certificate), version.clone());
                (Call::Kubernetes(kubernetes::Call::UpdateTrust { life, version, trust }), REMOTE_MS)
            }
            Self::Presenting(certificate) => {
                let (leaf, ca) = (certificate.leaf.clone(), certificate.ca.clone());
                (Call::Listener(listener::Call::Present { leaf, ca, key: KEY }), LISTEN_MS)
            }
            Self::Probing(certificate, _) => {
                (Call::Listener(listener::Call::Probe { leaf: certificate.leaf.clone() }), LISTEN_MS)
            }
        }
    }

    phases! {
        pub(super) fn phase(&self) match (self) {
            Self::ReadingApiToken => "Certify::ReadingApiToken",
            Self::Issuing => "Certify::Issuing",
            Self::ReadingTrust(_) => "Certify::ReadingTrust",
            Self::CreatingTrust(_) => "Certify::CreatingTrust",
            Self::UpdatingTrust(..) => "Certify::UpdatingTrust",
            Self::Presenting(_) => "Certify::Presenting",
            Self::Probing(..) => "Certify::Probing",
        }
    }

    pub(super) fn done(self, outcome: Outcome<Reply>, context: &mut Context<'_>) -> Turn<Self> {
        match self {
            Self::ReadingApiToken => match outcome {
                Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read))) => Turn::Ask(Self::Issuing),
                Outcome::Ok(Reply::Volume(volume::Reply::Token(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => Turn::Wait(Wait::ApiToken),
                Outcome::Ok(reply) => panic!("the driver answered ReadingApiToken with {reply:?}"),
            },
            Self::Issuing => match outcome {
                Outcome::Ok(Reply::Vault(vault::Reply::Certificate(certificate)))
                    if certificate.not_after.0 >= context.now.unix.0 + LIFE_S_MIN =>
                {
                    Turn::Ask(Self::ReadingTrust(certificate))
                }
                Outcome::Ok(Reply::Vault(vault::Reply::Certificate(_)))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => Turn::Wait(Wait::Configuration),
                Outcome::Ok(reply) => panic!("the driver answered Issuing with {reply:?}"),
            },
            Self::ReadingTrust(certificate) => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Trust(published))) => {
                    compare(certificate, published)
                }
                Outcome::Ok(reply) => panic!("the driver answered ReadingTrust with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::ApiServer),
            },
            Self::CreatingTrust(certificate) | Self::UpdatingTrust(certificate, _) => match outcome {
                Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Created | kubernetes::Reply::Updated)) => {
                    Turn::Ask(Self::Presenting(certificate))
                }
                Outcome::Ok(reply) => panic!("the driver answered a write of kubefox-trust with {reply:?}"),
                Outcome::Refused(Refusal::Conflict) => {
                    Turn::Pause(Self::ReadingTrust(certificate), CONFLICT_PAUSE_MS, Wait::Conflict)
                }
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::ApiServer),
            },
            Self::Presenting(certificate) => match outcome {
                Outcome::Ok(Reply::Listener(listener::Reply::Presented { address })) => {
                    Turn::Ask(Self::Probing(certificate, address))
                }
                Outcome::Ok(reply) => panic!("the driver answered Presenting with {reply:?}"),
                Outcome::Refused(_) | Outcome::Unknown(_) => Turn::Wait(Wait::Listener),
            },
            Self::Probing(certificate, address) => match outcome {
                Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown: true })) => {
                    let not_after = certificate.not_after;
                    let life_s = not_after.0.saturating_sub(context.now.unix.0);
                    let renewal_s = renewal_s(context.seed, RENEWAL_OF_CERTIFICATE, life_s);
                    context.memory.certificate = Some(Lease::new(context.now, renewal_s, life_s));
                    context.notices.extend([Notice::Certified { not_after }, Notice::Serving { address }]);
                    Turn::Serve
                }
                Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown: false }))
                | Outcome::Refused(_)
                | Outcome::Unknown(_) => Turn::Wait(Wait::Listener),
                Outcome::Ok(reply) => panic!("the driver answered Probing with {reply:?}"),
            },
        }
    }
}

fn compare(certificate: Certificate, published: Option<PublishedTrust>) -> Turn<Certify> {
    let Some(published) = published else {
        return Turn::Ask(Certify::CreatingTrust(certificate));
    };
    match published.trust {
        Some(trust) if trust.ca.is_same(&certificate.ca) => {
            Turn::Ask(Certify::UpdatingTrust(certificate, published.version))
        }
        Some(_) | None => Turn::Stop(Fatal::TrustReplaced),
    }
}

fn trust(certificate: &Certificate) -> Trust {
    Trust { certificate: certificate.leaf.clone(), ca: certificate.ca.clone() }
}

fn life(context: &Context<'_>) -> LifeId {
    context.memory.life.clone().expect("row 20 names the life before anything is certified")
}
