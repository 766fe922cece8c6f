//! Asks the controller, and checks that what it sent fits together before any of it is used.

use serde::{Deserialize, Serialize};

use super::{Broker, Call, Dialled, KEY, Notice, RUNTIME_KEY, State, TOKEN};
use crate::bootstrap::{self, ComponentDocuments, Csrs};
use crate::documents::jwt::{self, Kind};
use crate::documents::nkey::PublicKey;
use crate::fatal::Fatal;
use crate::initializer::{BOOTSTRAP_MS, Verdict, is_usable, lives};
use crate::machine::{Out, Seed};
use crate::names::Pem;
use crate::retry::renewal_s;
use crate::time::{Now, Unix};

/// Documents that fit together, and when to replace them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) documents: ComponentDocuments,
    pub(super) renew_at: Unix,
}

impl Held {
    /// When the first of them ends.
    pub(super) fn expires(&self) -> Unix {
        first_end(&self.documents)
    }
}

impl State {
    pub(super) fn bootstrapping(ca: Pem, csrs: Option<Csrs>, now: Now, out: &mut Out<Broker>) -> Self {
        let call = bootstrap::Call::Component {
            ca: ca.clone(),
            token: TOKEN,
            key: KEY,
            runtime_key: RUNTIME_KEY,
            csrs,
        };
        Self::Bootstrapping { call: out.call(now.in_ms(BOOTSTRAP_MS), Call::Bootstrap(call)), ca }
    }
}

impl Broker {
    /// Adopts fresh documents: their JWT is shown from now on, their certificates go out next.
    pub(super) fn hold(&mut self, held: Held, now: Now, out: &mut Out<Self>) -> State {
        out.notice(Notice::Bootstrapped { expires: held.expires() });
        let next = State::writing_bundle(&held, now, out);
        self.held = Some(held);
        self.dialled = Dialled::Superseded;
        next
    }
}

/// The JWT must be the user's, the certificates of the authority that is mounted, and all three must live for long
/// enough, by which renewals are far enough apart. The user stays the same for the life of the process: subscriptions and
/// the connection are in its name.
pub(super) fn judge(
    documents: ComponentDocuments,
    ca: &Pem,
    user: Option<&PublicKey>,
    seed: Seed,
    now: Now,
) -> Verdict<Held> {
    let fits = is_of_the_user(&documents)
        && user.is_none_or(|user| *user == documents.user)
        && lives(documents.user_jwt_expires, now)
        && [&documents.certificate, &documents.runtime]
            .iter()
            .all(|certificate| is_usable(certificate, ca, now));
    if !fits {
        return Verdict::Stop(Fatal::DocumentsMalformed);
    }
    let life_s = first_end(&documents).0 - now.unix.0;
    let pause_s = renewal_s(seed, 0, life_s);
    Verdict::Go(Held { documents, renew_at: Unix(now.unix.0.saturating_add(pause_s)) })
}

fn is_of_the_user(documents: &ComponentDocuments) -> bool {
    jwt::decode(&documents.user_jwt).is_ok_and(|claims| {
        claims.kind == Kind::User
            && claims.subject == documents.user
            && claims.expires == Some(documents.user_jwt_expires)
    })
}

fn first_end(documents: &ComponentDocuments) -> Unix {
    documents.user_jwt_expires.min(documents.certificate.not_after).min(documents.runtime.not_after)
}
