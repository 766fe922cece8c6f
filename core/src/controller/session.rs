//! Serving one question: who asks was proved once when the question arrived (`callers/arrival.rs`), and is proved twice
//! more here; everything is read and issued with the caller's own authority.
//!
//! ```text
//! ReadingApiToken → Reviewing → ExchangingToken, or the token of an earlier login
//!   NATS:       → ReadingJwt ×3 → IssuingNats → answer            (Issuing…: on a key of Vault's, or on the caller's own)
//!   component:  → ReadingUserKey → SigningUser → IssuingComponent → IssuingRuntime → answer
//!                   ^  └ absent → WritingUserKey ─┐
//!                   └─────────────────────────────┘
//!   nonce:      → SigningNonce → answer
//!                   └ no such key → ReadingUserKey (as above) → SigningNonce
//! ```
//!
//! If Vault refuses the token of an earlier login, the session begins afresh with a review.
//!
//! The identity comes from the controller's own review and from Vault's login, never from the question; both must agree
//! with the token's signed claims. The caller's batch token stays here. The one thing signed with the controller's authority is the user's
//! JWT, by a scoped signing key that grants only what its template says.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calls::{Answer, Ask, Call, Config, NatsKeys, Notice, Reply};
use crate::bootstrap::{ComponentDocuments, KeyOrigin, NatsDocuments, Rejection};
use crate::caller::Caller;
use crate::documents::certificate::{request, ttl_s};
use crate::documents::jwt::{self, Unsigned};
use crate::documents::nkey::{Prefix, PublicKey};
use crate::documents::setting::{differences, nats_key};
use crate::kubernetes::{self, Pod, Review};
use crate::machine::{CallId, Lost, Outcome, Refusal, Seed, Ticket};
use crate::names::{Csr, Identity, Nonce, caller_audience};
use crate::retry::{Stream, draw};
use crate::secret::{Asker, Own, Secret};
use crate::time::{Mono, Now, Unix};
use crate::vault::{self, AuthRole, Certificate, NatsKey, PkiRole, Setting, StoredJwt};
use crate::volume::{self, Token, TokenFile};

/// No single request of a session takes longer, however long the caller listens.
const REQUEST_MS: u64 = 5_000;
/// The shortest life of a user's JWT at NATS: an hour less a tenth.
const USER_JWT_S_MIN: u64 = 3_240;
/// By so much it is spread, so that renewals do not fall on one moment: up to an hour and a tenth.
const USER_JWT_S_SPREAD: u64 = 720;

/// One question being served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Session {
    ticket: Ticket,
    by: Mono,
    ask: Ask,
    /// Who asks, as the API server has signed it.
    caller: Caller,
    /// Who asks, once the API server has said so of a pod that lives.
    identity: Option<Identity>,
    /// The question whose login filled the slot of Vault's token.
    login: Ticket,
    state: State,
    call: Option<CallId>,
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum State {
    ReadingApiToken,
    Reviewing,
    ExchangingToken,
    /// The JWTs that were read so far, in the order of [`StoredJwt::ALL`].
    ReadingJwt(Vec<String>),
    ReadingUserKey {
        /// Vault has confirmed that it made the key.
        written: bool,
    },
    WritingUserKey,
    SigningUser(User, Unsigned),
    IssuingNats([String; 3]),
    IssuingComponent(User),
    IssuingRuntime(User, Certificate),
    SigningNonce {
        nonce: Nonce,
        key_ensured: bool,
    },
}

/// A component's user at NATS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct User {
    key: PublicKey,
    jwt: String,
    expires: Unix,
}

/// What follows from a step of a session.
pub(super) enum Verdict {
    /// Ask on.
    Ask(Session),
    /// The same, and it is a login.
    LogIn(Session),
    /// The same, and the slot of Vault's token is filled for so many seconds.
    LoggedIn(Session, u64),
    /// The same, and the token of that login is worth nothing any more.
    Afresh(Session, Ticket),
    /// Answer, and tell.
    Answer(Box<Answered>),
}

/// A session at its end.
pub(super) struct Answered {
    pub(super) session: Session,
    pub(super) answer: Answer,
    pub(super) notice: Notice,
}

/// What a session may look at.
pub(super) struct View<'a> {
    pub(super) config: &'a Config,
    pub(super) keys: &'a NatsKeys,
    pub(super) seed: Seed,
    pub(super) now: Now,
    /// Whether callers are served at this moment.
    pub(super) serves: bool,
}

/// Vault's role that answers a question.
pub(super) const fn role(ask: &Ask) -> AuthRole {
    match ask {
        Ask::Nats(_) => AuthRole::Nats,
        Ask::Component(_) | Ask::SignNonce { .. } => AuthRole::Component,
    }
}

impl Session {
    /// Begins with the token of that earlier login of the same caller, or with a review.
    pub(super) fn begin(
        ticket: Ticket,
        by: Mono,
        ask: Ask,
        caller: Caller,
        login: Option<Ticket>,
    ) -> Verdict {
        let state = State::ReadingApiToken;
        let session = Self { ticket, by, ask, caller, identity: None, login: ticket, state, call: None };
        match login {
            Some(login) => {
                let identity = Some(session.caller.identity.clone());
                Self { identity, login, ..session }.read_documents()
            }
            None => Verdict::Ask(session),
        }
    }

    pub(super) const fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) const fn asks(&self) -> &Ask {
        &self.ask
    }

    pub(super) fn is_of(&self, pod: &Pod) -> bool {
        self.caller.pod.uid == pod.uid
    }

    /// Whether it uses the Vault token of that login.
    pub(super) fn logged_in_as(&self, login: Ticket) -> bool {
        self.login == login
    }

    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.call == Some(id)
    }

    pub(super) fn await_call(&mut self, id: CallId) {
        self.call = Some(id);
    }

    /// The request whose answer is awaited, and until when.
    pub(super) fn ask(&self, view: &View<'_>) -> (Call, Mono) {
        let by = self.by.min(view.now.in_ms(REQUEST_MS));
        let (jwt, token) = (self.slot(Asker::CallerJwt), self.token());
        let call = match &self.state {
            State::ReadingApiToken => {
                Call::Volume(volume::Call::ReadToken { token: Token::Api, into: Secret::Own(Own::ApiJwt) })
            }
            State::Reviewing => {
                let audience = caller_audience(&view.config.installation);
                Call::Kubernetes(kubernetes::Call::ReviewToken { token: jwt, audience })
            }
            State::ExchangingToken => {
                Call::Vault(vault::Call::Login { role: role(&self.ask), jwt, into: token })
            }
            State::ReadingJwt(read) => {
                Call::Vault(vault::Call::ReadJwt { token, jwt: StoredJwt::ALL[read.len()] })
            }
            State::ReadingUserKey { .. } => {
                Call::Vault(vault::Call::Read { token, setting: self.user_key_setting() })
            }
            State::WritingUserKey => {
                let setting = self.user_key_setting();
                Call::Vault(vault::Call::Write { token, setting, body: nats_key().body })
            }
            State::SigningUser(_, unsigned) => Call::Vault(vault::Call::Sign {
                token: Secret::Own(Own::ControllerToken),
                key: NatsKey::PlatformSigner,
                input: unsigned.signing_input().into(),
            }),
            State::IssuingNats(_) => self.issue(PkiRole::Nats, Asker::IssuedKey, view),
            State::IssuingComponent(_) => self.issue(PkiRole::Component, Asker::IssuedKey, view),
            State::IssuingRuntime(..) => self.issue(PkiRole::Runtime, Asker::RuntimeKey, view),
            State::SigningNonce { nonce, .. } => Call::Vault(vault::Call::Sign {
                token,
                key: NatsKey::User(self.known_identity().clone()),
                input: nonce.as_str().into(),
            }),
        };
        (call, by)
    }

    /// Takes the answer.
    pub(super) fn done(self, outcome: Outcome<Reply>, view: &View<'_>) -> Verdict {
        match self.state.clone() {
            State::ReadingApiToken => self.read_api_token(outcome),
            State::Reviewing => self.reviewed(outcome),
            State::ExchangingToken => self.exchanged(outcome, view),
            State::ReadingJwt(read) => self.read_jwt(read, outcome),
            State::ReadingUserKey { written } => self.read_user_key(written, outcome, view),
            State::WritingUserKey => self.wrote_user_key(outcome),
            State::SigningUser(user, unsigned) => self.signed_user(user, &unsigned, outcome),
            State::IssuingNats(jwts) => {
                self.issued(outcome, |session, certificate| session.answer_nats(jwts, certificate))
            }
            State::IssuingComponent(user) => self.issued(outcome, |session, certificate| {
                session.then(State::IssuingRuntime(user, certificate))
            }),
            State::IssuingRuntime(user, certificate) => {
                self.issued(outcome, |session, runtime| session.answer_component(user, certificate, runtime))
            }
            State::SigningNonce { key_ensured, .. } => self.signed_nonce(key_ensured, outcome),
        }
    }

    fn read_api_token(self, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Volume(volume::Reply::Token(TokenFile::Read))) => self.then(State::Reviewing),
            Outcome::Ok(Reply::Volume(volume::Reply::Token(_)))
            | Outcome::Refused(_)
            | Outcome::Unknown(_) => self.reject(Rejection::ReviewUnavailable),
            Outcome::Ok(reply) => panic!("the driver answered ReadingApiToken with {reply:?}"),
        }
    }

    fn reviewed(mut self, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Review(Review::Authenticated {
                identity,
                pod,
            }))) => {
                // A review that differs from the signed claims is of another token.
                if identity != self.caller.identity || pod.as_ref() != Some(&self.caller.pod) {
                    return self.reject(Rejection::TokenRefused);
                }
                self.identity = Some(identity);
                Verdict::LogIn(Self { state: State::ExchangingToken, call: None, ..self })
            }
            Outcome::Ok(Reply::Kubernetes(kubernetes::Reply::Review(Review::Refused))) => {
                self.reject(Rejection::TokenRefused)
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => self.reject(Rejection::ReviewUnavailable),
            Outcome::Ok(reply) => panic!("the driver answered Reviewing with {reply:?}"),
        }
    }

    fn exchanged(self, outcome: Outcome<Reply>, view: &View<'_>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::LoggedIn(login))) => {
                if login.identity != *self.known_identity() {
                    return self.reject(Rejection::NotEntitled);
                }
                Verdict::LoggedIn(self.at_documents(), login.lease_s)
            }
            Outcome::Refused(Refusal::Denied) => self.reject(Rejection::NotEntitled),
            // It was good when the question came, and ended on the way.
            Outcome::Refused(Refusal::Unauthenticated) if self.caller.expires <= view.now.unix => {
                self.reject(Rejection::TokenExpired)
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => self.reject(Rejection::VaultUnavailable),
            Outcome::Ok(reply) => panic!("the driver answered ExchangingToken with {reply:?}"),
        }
    }

    fn read_documents(self) -> Verdict {
        Verdict::Ask(self.at_documents())
    }

    /// Vault's token is there: what is asked for comes next.
    fn at_documents(self) -> Self {
        let state = match &self.ask {
            Ask::Nats(_) => State::ReadingJwt(Vec::new()),
            Ask::Component(_) => State::ReadingUserKey { written: false },
            Ask::SignNonce { nonce } => State::SigningNonce { nonce: nonce.clone(), key_ensured: false },
        };
        Self { state, call: None, ..self }
    }

    fn read_jwt(self, mut read: Vec<String>, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Jwt(Some(text)))) => {
                read.push(text);
                match <[String; 3]>::try_from(read) {
                    Ok(all) => self.then(State::IssuingNats(all)),
                    Err(read) => self.then(State::ReadingJwt(read)),
                }
            }
            Outcome::Ok(Reply::Vault(vault::Reply::Jwt(None))) => self.reject(Rejection::VaultUnavailable),
            outcome @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.refused_by_vault(outcome)
            }
        }
    }

    fn read_user_key(self, written: bool, outcome: Outcome<Reply>, view: &View<'_>) -> Verdict {
        let standing = match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Setting(Some(standing)))) => standing,
            // Vault confirmed the write and does not show it: the caller asks again later, this session does not.
            Outcome::Ok(Reply::Vault(vault::Reply::Setting(None))) if written => {
                return self.reject(Rejection::VaultUnavailable);
            }
            Outcome::Ok(Reply::Vault(vault::Reply::Setting(None))) => {
                return self.then(State::WritingUserKey);
            }
            outcome @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                return self.refused_by_vault(outcome);
            }
        };
        if !differences(&standing, &nats_key().stands).is_empty() {
            return self.reject(Rejection::UserKeyForeign);
        }
        let text = standing.get("public_key").and_then(serde_json::Value::as_str).unwrap_or_default();
        let Ok(key) = PublicKey::from_base64(Prefix::User, text) else {
            return self.reject(Rejection::VaultUnavailable);
        };
        if let Ask::SignNonce { nonce } = &self.ask {
            let nonce = nonce.clone();
            return self.then(State::SigningNonce { nonce, key_ensured: true });
        }
        let issued = view.now.unix;
        let spread_s = draw(view.seed, Stream::UserJwt, self.ticket.0) % (USER_JWT_S_SPREAD + 1);
        let expires = Unix(issued.0 + USER_JWT_S_MIN + spread_s);
        let NatsKeys { platform_signer, platform_account, .. } = view.keys;
        let unsigned =
            jwt::user(&key, platform_signer, platform_account, self.known_identity(), issued, expires);
        self.then(State::SigningUser(User { key, jwt: String::new(), expires }, unsigned))
    }

    fn wrote_user_key(self, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Written)) => {
                self.then(State::ReadingUserKey { written: true })
            }
            outcome @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.refused_by_vault(outcome)
            }
        }
    }

    fn signed_user(self, user: User, unsigned: &Unsigned, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Signature(signature))) => {
                self.then(State::IssuingComponent(User { jwt: unsigned.signed(&signature), ..user }))
            }
            // The controller's own authority is at stake here, not the caller's.
            Outcome::Refused(_) | Outcome::Unknown(_) => self.reject(Rejection::VaultUnavailable),
            Outcome::Ok(reply) => panic!("the driver answered SigningUser with {reply:?}"),
        }
    }

    fn signed_nonce(self, key_ensured: bool, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Signature(signature))) => {
                self.answer(Answer::Signature(signature))
            }
            // Vault says 400 for a key that does not exist, as before this identity's first bootstrap, and for one that
            // signs nothing; what comes from a key that was rotated is not a signature of its first version.
            Outcome::Refused(Refusal::Invalid) | Outcome::Unknown(Lost::Garbled) if !key_ensured => {
                self.then(State::ReadingUserKey { written: false })
            }
            outcome @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.refused_by_vault(outcome)
            }
        }
    }

    fn issued(self, outcome: Outcome<Reply>, then: impl FnOnce(Self, Certificate) -> Verdict) -> Verdict {
        match outcome {
            Outcome::Ok(Reply::Vault(vault::Reply::Certificate(certificate))) => then(self, certificate),
            outcome @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                self.refused_by_vault(outcome)
            }
        }
    }

    fn answer_nats(self, jwts: [String; 3], certificate: Certificate) -> Verdict {
        let [operator, system_account, platform_account] = jwts;
        let documents = NatsDocuments { operator, system_account, platform_account, certificate };
        let origin = self.key_origin();
        self.answer(Answer::Nats(origin, documents))
    }

    fn answer_component(self, user: User, certificate: Certificate, runtime: Certificate) -> Verdict {
        let documents = ComponentDocuments {
            user: user.key,
            user_jwt: user.jwt,
            user_jwt_expires: user.expires,
            certificate,
            runtime,
        };
        let origin = self.key_origin();
        self.answer(Answer::Component(origin, documents))
    }

    /// Vault did not do what the caller's own token asked it to.
    fn refused_by_vault(self, outcome: Outcome<Reply>) -> Verdict {
        match outcome {
            // It may be the token that is refused, and not what was asked with it.
            Outcome::Refused(Refusal::Denied | Refusal::Unauthenticated | Refusal::Unclear)
                if self.login != self.ticket =>
            {
                self.begin_afresh()
            }
            Outcome::Refused(Refusal::Denied) => self.reject(Rejection::NotEntitled),
            Outcome::Refused(_) | Outcome::Unknown(_) => self.reject(Rejection::VaultUnavailable),
            Outcome::Ok(reply) => panic!("the driver answered {:?} with {reply:?}", self.state),
        }
    }

    fn begin_afresh(self) -> Verdict {
        let (login, ticket) = (self.login, self.ticket);
        let state = State::ReadingApiToken;
        Verdict::Afresh(Self { login: ticket, identity: None, state, call: None, ..self }, login)
    }

    fn then(self, state: State) -> Verdict {
        Verdict::Ask(Self { state, call: None, ..self })
    }

    fn answer(self, answer: Answer) -> Verdict {
        let notice = Notice::Served { identity: self.known_identity().clone(), method: self.ask.method() };
        Verdict::Answer(Box::new(Answered { session: self, answer, notice }))
    }

    fn reject(self, rejection: Rejection) -> Verdict {
        let identity = Some(self.caller.identity.clone());
        let notice = Notice::Rejected { identity, method: self.ask.method(), rejection };
        let answer = Answer::Rejected(rejection);
        Verdict::Answer(Box::new(Answered { session: self, answer, notice }))
    }

    /// On the key that the caller made in its pod, or else on one that Vault makes. Its names are the same.
    fn issue(&self, role: PkiRole, into: Asker, view: &View<'_>) -> Call {
        let request = request(role, self.known_identity(), &view.config.trust_domain, ttl_s(role));
        let token = self.token();
        Call::Vault(match self.csr(role) {
            Some(csr) => vault::Call::SignCertificate { token, request, csr: csr.clone() },
            None => vault::Call::Issue { token, request, into: self.slot(into) },
        })
    }

    const fn key_origin(&self) -> KeyOrigin {
        match &self.ask {
            Ask::Nats(Some(_)) | Ask::Component(Some(_)) => KeyOrigin::Pod,
            Ask::Nats(None) | Ask::Component(None) | Ask::SignNonce { .. } => KeyOrigin::Vault,
        }
    }

    fn csr(&self, role: PkiRole) -> Option<&Csr> {
        match &self.ask {
            Ask::Nats(csr) => csr.as_ref(),
            Ask::Component(csrs) if role == PkiRole::Runtime => csrs.as_ref().map(|csrs| &csrs.runtime),
            Ask::Component(csrs) => csrs.as_ref().map(|csrs| &csrs.broker),
            Ask::SignNonce { .. } => None,
        }
    }

    /// The slot of Vault's token.
    const fn token(&self) -> Secret {
        Secret::Caller(self.login)
    }

    fn user_key_setting(&self) -> Setting {
        Setting::NatsKey(NatsKey::User(self.known_identity().clone()))
    }

    const fn slot(&self, name: Asker) -> Secret {
        Secret::Of(self.ticket, name)
    }

    fn known_identity(&self) -> &Identity {
        self.identity.as_ref().expect("no state after Reviewing is entered without an identity")
    }
}
