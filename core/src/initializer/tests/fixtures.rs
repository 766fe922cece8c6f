//! What the tests of the initializer begin with.

pub(super) use crate::documents::nkey::{Prefix, PublicKey};
pub(super) use crate::kubernetes::Trust;
pub(super) use crate::vault::Certificate;
pub(super) use crate::volume::MountedTrust;

use alloc::format;
use alloc::string::String;

use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::documents::jwt;
use crate::names::Csr;
use crate::signature::Signature;

pub(super) const UNIX: u64 = 1_800_000_000;
pub(super) const START: Now = Now { mono: Mono(0), unix: Unix(UNIX) };
pub(super) const SEED: Seed = Seed([7; 32]);
pub(super) const CONFIG: Config = Config {
    listen: String::new(),
    directory: String::new(),
    ports_file_dir: None,
    key_origin: KeyOrigin::Vault,
    mount_grace_ms: 5_200,
    give_up_ms: 300_000,
};
pub(super) const READ_TRUST: Call = Call::Volume(volume::Call::ReadTrust);
pub(super) const READ_TOKEN: Call =
    Call::Volume(volume::Call::ReadToken { token: volume::Token::Caller, into: TOKEN });

/// A machine, its clock and its effects.
pub(super) struct Bench {
    pub(super) machine: Initializer,
    pub(super) now: Now,
    out: Out<Initializer>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    ReadingTrust,
    ReadingToken,
    Bootstrapping,
    WritingBundle,
}

/// Which mount is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Trust,
    Token,
}

impl Bench {
    pub(super) fn start(config: Config) -> (Self, Vec<Effect<Initializer>>) {
        let mut out = Out::default();
        let machine = Initializer::start(config, SEED, START, &mut out);
        let mut bench = Self { machine, now: START, out, last: 0 };
        let effects = bench.take();
        (bench, effects)
    }

    /// A machine that went to this phase without a detour.
    pub(super) fn at(phase: Phase) -> Self {
        let (mut bench, _) = Self::start(CONFIG);
        bench.forward_to(match phase {
            Phase::ReadingTrust => "ReadingTrust",
            Phase::ReadingToken => "ReadingToken",
            Phase::Bootstrapping => "Bootstrapping",
            Phase::WritingBundle => "WritingBundle",
        });
        bench
    }

    /// Answers well until the machine is in this phase.
    pub(super) fn forward_to(&mut self, phase: &str) {
        while self.machine.phase() != phase {
            let outcome = match self.machine.phase() {
                "ReadingTrust" => trust(TrustFiles::Read(mounted())),
                "ReadingToken" => token(TokenFile::Read),
                "MintingKey" => minted(),
                "Bootstrapping" => documents(sent()),
                other => panic!("no way from {other} to {phase}"),
            };
            self.done(self.last, outcome);
        }
    }

    /// Answers what is read from the mounts, one of which is late.
    pub(super) fn read_the_mounts(&mut self, late: Late) -> Vec<Effect<Initializer>> {
        if late == Late::Trust {
            return self.done(self.last, trust(TrustFiles::Missing(TrustFile::Authority)));
        }
        self.done(self.last, trust(TrustFiles::Read(mounted())));
        self.done(self.last, token(TokenFile::Missing))
    }

    pub(super) fn done(&mut self, id: u64, outcome: Outcome<Reply>) -> Vec<Effect<Initializer>> {
        self.event(Event::Done { id: CallId(id), outcome })
    }

    pub(super) fn event(&mut self, event: Event<Initializer>) -> Vec<Effect<Initializer>> {
        self.machine.handle_event(self.now, event, &mut self.out);
        self.take()
    }

    pub(super) fn timeout(&mut self) -> Vec<Effect<Initializer>> {
        self.machine.handle_timeout(self.now, &mut self.out);
        self.take()
    }

    pub(super) fn pass_to(&mut self, at: Mono) {
        self.now.unix.0 += (at.0 - self.now.mono.0) / 1_000;
        self.now.mono = at;
    }

    pub(super) const fn last_call(&self) -> u64 {
        self.last
    }

    fn take(&mut self) -> Vec<Effect<Initializer>> {
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
pub(super) const fn call(id: u64, by: u64, call: Call) -> Effect<Initializer> {
    Effect::Call { id: CallId(id), by: Mono(by), behalf: None, call }
}

pub(super) const fn notice(notice: Notice) -> Effect<Initializer> {
    Effect::Notice(notice)
}

pub(super) fn ask_the_controller() -> Call {
    ask_the_controller_with(None)
}

pub(super) fn ask_the_controller_with(csr: Option<Csr>) -> Call {
    Call::Bootstrap(bootstrap::Call::Nats { ca: mounted().trust.ca, token: TOKEN, key: KEY, csr })
}

pub(super) fn csr() -> Csr {
    Csr::parse("-----BEGIN CERTIFICATE REQUEST-----").expect("it begins so")
}

pub(super) fn minted() -> Outcome<Reply> {
    Outcome::Ok(Reply::Keys(keys::Reply::CertificateKey(csr())))
}

pub(super) const fn write(files: Vec<File>) -> Call {
    Call::Volume(volume::Call::WriteBundle { files })
}

pub(super) const fn trust(files: TrustFiles) -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Trust(files)))
}

pub(super) const fn token(file: TokenFile) -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Token(file)))
}

pub(super) const fn documents(documents: NatsDocuments) -> Outcome<Reply> {
    Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Nats(documents)))
}

pub(super) const fn rejected_with(rejection: Rejection) -> Outcome<Reply> {
    Outcome::Ok(Reply::Bootstrap(bootstrap::Reply::Rejected(rejection)))
}

pub(super) const fn written() -> Outcome<Reply> {
    Outcome::Ok(Reply::Volume(volume::Reply::Written))
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
        not_after: Unix(UNIX + 86_400),
    }
}

pub(super) fn sent() -> NatsDocuments {
    let operator = PublicKey::encode(Prefix::Operator, &[1; 32]);
    NatsDocuments {
        operator: operator_naming(&system()),
        system_account: system_signed_by(&operator),
        platform_account: platform_signed_by(&operator),
        certificate: Certificate { leaf: pem("nats"), ca: pem("root"), not_after: Unix(UNIX + 86_400) },
    }
}

pub(super) fn bundle() -> Vec<File> {
    let sent = sent();
    let configuration = nats_conf(
        &sent.operator,
        (&system(), &sent.system_account),
        (&platform(), &sent.platform_account),
        &CONFIG.listen,
        &CONFIG.directory,
        None,
    );
    let file = |name: &str, content| File { name: name.into(), content };
    vec![
        file("nats.conf", Piece::text(configuration)),
        file("tls.crt", Piece::text(pem("nats").as_str())),
        file("tls.key", vec![Piece::Secret(KEY)]),
        file("ca.crt", Piece::text(pem("root").as_str())),
    ]
}

pub(super) fn operator_naming(system_account: &PublicKey) -> String {
    let operator = PublicKey::encode(Prefix::Operator, &[1; 32]);
    jwt::operator(&operator, system_account, "kubefox", Unix(UNIX)).signed(&Signature([0; 64]))
}

/// Only an operator of its own making is one.
pub(super) fn operator_signed_by(issuer: &PublicKey) -> String {
    let own = sent().operator;
    let parts: Vec<&str> = own.split('.').collect();
    let payload = BASE64URL_NOPAD.decode(parts[1].as_bytes()).expect("base64url");
    let payload = String::from_utf8(payload).expect("JSON");
    let operator = PublicKey::encode(Prefix::Operator, &[1; 32]);
    let payload = payload.replace(&format!(r#""iss":"{operator}""#), &format!(r#""iss":"{issuer}""#));
    format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(payload.as_bytes()), parts[2])
}

pub(super) fn system_signed_by(operator: &PublicKey) -> String {
    jwt::system_account(&system(), operator, Unix(UNIX)).signed(&Signature([0; 64]))
}

pub(super) fn platform_signed_by(operator: &PublicKey) -> String {
    let signer = PublicKey::encode(Prefix::Account, &[4; 32]);
    jwt::platform_account(&platform(), operator, &signer, Unix(UNIX)).signed(&Signature([0; 64]))
}

pub(super) fn pem(name: &str) -> Pem {
    let text = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
    Pem::parse(&text).expect("it begins as PEM does")
}

fn system() -> PublicKey {
    PublicKey::encode(Prefix::Account, &[2; 32])
}

fn platform() -> PublicKey {
    PublicKey::encode(Prefix::Account, &[3; 32])
}
