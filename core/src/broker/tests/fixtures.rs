//! What the tests of the broker begin with.

pub(super) use crate::documents::nkey::{Prefix, PublicKey};
pub(super) use crate::kubernetes::Trust;
pub(super) use crate::vault::Certificate;
pub(super) use crate::volume::MountedTrust;

use alloc::format;
use alloc::string::String;

use super::*;
use crate::documents::jwt;
use crate::names::{Csr, Identity, Nonce, SubjectTail};
use crate::signature::Signature;

pub(super) const UNIX: u64 = 1_800_000_000;
pub(super) const START: Now = Now { mono: Mono(0), unix: Unix(UNIX) };
pub(super) const SEED: Seed = Seed([7; 32]);
pub(super) const CONFIG: Config =
    Config { key_origin: KeyOrigin::Vault, mount_grace_ms: 5_200, give_up_ms: 0 };
pub(super) const ADDRESS: &str = "127.0.0.1:8444";
/// Lives, in seconds.
pub(super) const JWT_S: u64 = 3_600;
pub(super) const CERTIFICATE_S: u64 = 4 * 3_600;
pub(super) const READ_TRUST: Call = Call::Volume(volume::Call::ReadTrust);
pub(super) const READ_TOKEN: Call =
    Call::Volume(volume::Call::ReadToken { token: volume::Token::Caller, into: TOKEN });
/// The phases with a call in flight, in order.
pub(super) const PHASES: [&str; 6] =
    ["ReadingTrust", "ReadingToken", "Bootstrapping", "WritingBundle", "Presenting", "Connecting"];

/// A machine, its clock and its effects.
pub(super) struct Bench {
    pub(super) machine: Broker,
    pub(super) now: Now,
    /// The name of the leaves that the controller issues next.
    pub(super) leaf: &'static str,
    out: Out<Broker>,
    last: u64,
}

impl Bench {
    pub(super) fn start(config: Config) -> (Self, Vec<Effect<Broker>>) {
        let mut out = Out::default();
        let machine = Broker::start(config, SEED, START, &mut out);
        let mut bench = Self { machine, now: START, leaf: "a", out, last: 0 };
        let effects = bench.take();
        (bench, effects)
    }

    /// A machine that went to this phase without a detour.
    pub(super) fn at(phase: &str) -> Self {
        let (mut bench, _) = Self::start(CONFIG);
        bench.forward_to(phase);
        bench
    }

    /// Answers well until the machine is in this phase.
    pub(super) fn forward_to(&mut self, phase: &str) {
        while self.machine.phase() != phase {
            let outcome = match self.machine.phase() {
                "ReadingTrust" => trust(TrustFiles::Read(mounted())),
                "ReadingToken" => token(TokenFile::Read),
                "MintingKeys" => minted("any"),
                "Bootstrapping" => documents(sent(self.leaf, self.now.unix.0)),
                "WritingBundle" => written(),
                "Presenting" => presented(),
                "Connecting" => connected(),
                other => panic!("no way from {other} to {phase}"),
            };
            self.done(self.last, outcome);
        }
    }

    /// A broker that serves, at the moment when its renewal begins.
    pub(super) fn renewing() -> Self {
        Self::renewing_with(CONFIG)
    }

    pub(super) fn renewing_with(config: Config) -> Self {
        let (mut bench, _) = Self::start(config);
        bench.forward_to("Serving");
        bench.pass_looks_until("ReadingTrust");
        bench.leaf = "b";
        bench
    }

    /// Time passes from look to look until the machine is in this phase.
    pub(super) fn pass_looks_until(&mut self, phase: &str) {
        while self.machine.phase() != phase {
            let (at, _) = self.machine.poll_timeout().expect("it looks each minute");
            self.pass_to(at);
            self.timeout();
        }
    }

    pub(super) fn done(&mut self, id: u64, outcome: Outcome<Reply>) -> Vec<Effect<Broker>> {
        self.event(Event::Done { id: CallId(id), outcome })
    }

    pub(super) fn ask(&mut self, ticket: u64, by: Mono, ask: Ask) -> Vec<Effect<Broker>> {
        self.event(Event::Asked { ticket: Ticket(ticket), by, ask })
    }

    pub(super) fn link(&mut self, link: Link) -> Vec<Effect<Broker>> {
        self.event(Event::Signal(Signal::Link(link)))
    }

    pub(super) fn renew(&mut self) -> Vec<Effect<Broker>> {
        self.event(Event::Signal(Signal::Renew))
    }

    /// The newest documents that the machine took.
    pub(super) fn machine_holds(&self) -> ComponentDocuments {
        self.machine.held().documents.clone()
    }

    pub(super) fn event(&mut self, event: Event<Broker>) -> Vec<Effect<Broker>> {
        self.machine.handle_event(self.now, event, &mut self.out);
        self.take()
    }

    pub(super) fn timeout(&mut self) -> Vec<Effect<Broker>> {
        self.machine.handle_timeout(self.now, &mut self.out);
        self.take()
    }

    pub(super) fn pass_to(&mut self, at: Mono) {
        self.now.unix.0 += at.0 / 1_000 - self.now.mono.0 / 1_000;
        self.now.mono = at;
    }

    pub(super) const fn last_call(&self) -> u64 {
        self.last
    }

    fn take(&mut self) -> Vec<Effect<Broker>> {
        let effects = self.out.take();
        for effect in &effects {
            if let Effect::Call { id, .. } = effect {
                self.last = id.0;
            }
        }
        effects
    }
}

/// A call that must be answered at `by` on the monotonic clock.
pub(super) const fn call(id: u64, by: u64, call: Call) -> Effect<Broker> {
    Effect::Call { id: CallId(id), by: Mono(by), behalf: None, call }
}

/// The same on behalf of a question.
pub(super) const fn call_for(ticket: u64, id: u64, by: u64, call: Call) -> Effect<Broker> {
    Effect::Call { id: CallId(id), by: Mono(by), behalf: Some(Ticket(ticket)), call }
}

pub(super) const fn answer(ticket: u64, answer: Answer) -> Effect<Broker> {
    Effect::Answer { ticket: Ticket(ticket), answer }
}

pub(super) const fn notice(notice: Notice) -> Effect<Broker> {
    Effect::Notice(notice)
}

pub(super) fn ask_the_controller() -> Call {
    ask_the_controller_with(None)
}

pub(super) fn ask_the_controller_with(csrs: Option<Csrs>) -> Call {
    let ca = mounted().trust.ca;
    Call::Bootstrap(bootstrap::Call::Component { ca, token: TOKEN, key: KEY, runtime_key: RUNTIME_KEY, csrs })
}

pub(super) fn csr(name: &str) -> Csr {
    Csr::parse(&format!("-----BEGIN CERTIFICATE REQUEST-----\n{name}")).expect("it begins so")
}

pub(super) fn minted(name: &str) -> Outcome<Reply> {
    Outcome::Ok(Reply::Keys(keys::Reply::CertificateKey(csr(name))))
}

pub(super) fn write(sent: &ComponentDocuments) -> Call {
    let file = |name: &str, content| File { name: name.into(), content };
    let files = vec![
        file("tls.crt", Piece::text(sent.runtime.leaf.as_str())),
        file("tls.key", vec![Piece::Secret(RUNTIME_KEY)]),
        file("ca.crt", Piece::text(sent.runtime.ca.as_str())),
    ];
    Call::Volume(volume::Call::WriteBundle { files })
}

pub(super) fn present(sent: &ComponentDocuments) -> Call {
    let Certificate { leaf, ca, .. } = sent.certificate.clone();
    Call::Listener(listener::Call::Present { leaf, ca, key: KEY })
}

pub(super) fn connect(sent: &ComponentDocuments) -> Call {
    let Certificate { leaf, ca, .. } = sent.certificate.clone();
    Call::Nats(nats::Call::Connect { user: own(), ca, leaf, key: KEY })
}

pub(super) fn sign_nonce() -> Ask {
    Ask::SignNonce { nonce: nonce() }
}

pub(super) fn publish() -> Ask {
    Ask::Publish { to: PublicKey::encode(Prefix::User, &[6; 32]), tail: tail() }
}

pub(super) fn nonce() -> Nonce {
    Nonce::parse("abcDEF012345-_x").expect("15 characters")
}

pub(super) fn tail() -> SubjectTail {
    SubjectTail::parse("orders.created").expect("two tokens")
}

pub(super) fn own() -> PublicKey {
    PublicKey::encode(Prefix::User, &[5; 32])
}

pub(super) const fn trust(files: TrustFiles) -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Trust(files)))
}

pub(super) const fn token(file: TokenFile) -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Token(file)))
}

pub(super) const fn documents(documents: ComponentDocuments) -> Outcome<Reply> {
    Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Component(documents)))
}

pub(super) const fn rejected_with(rejection: Rejection) -> Outcome<Reply> {
    Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Rejected(rejection)))
}

pub(super) fn signature() -> Outcome<Reply> {
    Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Signature(Signature([1; 64]))))
}

pub(super) const fn written() -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Written))
}

pub(super) fn presented() -> Outcome<Reply> {
    Outcome::Ok(Reply::Listener(listener::Reply::Presented { address: ADDRESS.into() }))
}

pub(super) const fn connected() -> Outcome<Reply> {
    Outcome::Ok(Reply::Nats(nats::Reply::Connected))
}

pub(super) const fn published() -> Outcome<Reply> {
    Outcome::Ok(Reply::Nats(nats::Reply::Published))
}

/// Every way to get no answer, but for the one that the shared volume counts.
pub(super) fn doubts() -> Vec<Outcome<Reply>> {
    let refused = [
        Refusal::Denied,
        Refusal::Unauthenticated,
        Refusal::Unclear,
        Refusal::Conflict,
        Refusal::Invalid,
        Refusal::NotReady,
        Refusal::Busy,
    ];
    let lost = [Lost::Deadline, Lost::Connection, Lost::ServerError, Lost::Garbled, Lost::Stranger];
    refused.map(Outcome::Refused).into_iter().chain(lost.map(Outcome::Unknown)).collect()
}

/// What each of them, and a no without a reason, says of a controller that was asked.
pub(super) fn unanswered() -> Vec<(Outcome<Reply>, NoAnswer)> {
    bootstrap::tests::unanswered(doubts(), Reply::Bootstrap(bootstrap::Reply::Unexplained))
}

pub(super) fn mounted() -> MountedTrust {
    MountedTrust {
        trust: Trust { certificate: pem("controller"), ca: pem("root") },
        not_before: Unix(UNIX - 60),
        not_after: Unix(UNIX + 7 * 86_400),
    }
}

/// What the controller issues at `unix`; `leaf` tells one issue from another.
pub(super) fn sent(leaf: &str, unix: u64) -> ComponentDocuments {
    let user_jwt_expires = Unix(unix + JWT_S);
    let certificate = |name: String| Certificate {
        leaf: pem(&name),
        ca: pem("root"),
        not_after: Unix(unix + CERTIFICATE_S),
    };
    ComponentDocuments {
        user: own(),
        user_jwt: user_jwt(user_jwt_expires),
        user_jwt_expires,
        certificate: certificate(format!("component {leaf}")),
        runtime: certificate(format!("runtime {leaf}")),
    }
}

pub(super) fn user_jwt(expires: Unix) -> String {
    let identity = Identity::parse_username("system:serviceaccount:team0:app").expect("an identity");
    let [signer, account] = [4, 3].map(|byte| PublicKey::encode(Prefix::Account, &[byte; 32]));
    jwt::user(&own(), &signer, &account, &identity, Unix(UNIX), expires).signed(&Signature([0; 64]))
}

pub(super) fn account_jwt() -> String {
    let account = PublicKey::encode(Prefix::Account, &[3; 32]);
    let operator = PublicKey::encode(Prefix::Operator, &[1; 32]);
    jwt::system_account(&account, &operator, Unix(UNIX)).signed(&Signature([0; 64]))
}

pub(super) fn pem(name: &str) -> Pem {
    let text = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    Pem::parse(&text).expect("it begins as PEM does")
}
