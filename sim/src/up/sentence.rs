//! What the machines tell, as sentences for the timeline. `None` is what the timeline need not show.

use kubefox_core::bootstrap::Method;
use kubefox_core::controller::table::{Decision, Verdict};
use kubefox_core::{broker, controller, initializer, quarantine};
use kubefox_io::adapter::storage::QUARANTINE;

/// A notice of the controller.
#[must_use]
pub(super) fn of_controller(notice: &controller::Notice) -> Option<String> {
    use controller::{Lapse, Notice};
    let sentence = match notice {
        Notice::Decided(Decision { row, verdict }) => {
            format!("row {row:>2} of the boot table: {}", decided(verdict))
        }
        Notice::Initialized { .. } => "Vault is initialized, its unseal key sealed on the disk".to_owned(),
        Notice::EnvelopeNotWritten => {
            "the only copy of the unseal key is in memory: the envelope could not be written yet".to_owned()
        }
        Notice::Unsealed => "Vault is unsealed and active".to_owned(),
        Notice::Drift(setting) => {
            format!(
                "Vault's setting {setting:?} differs, and is not mended by writing or nobody gave the right to"
            )
        }
        Notice::ForeignJwt(jwt) => {
            format!("the stored JWT {jwt:?} is not about the keys of NATS that Vault holds")
        }
        Notice::RolledBack { disk, recorded } => {
            format!(
                "boot.state is of generation {disk}, and Vault has recorded {recorded}: an old one was put back"
            )
        }
        Notice::EnvelopeUnread => {
            "boot.state cannot be read, or holds no envelope: do not restart Vault".to_owned()
        }
        Notice::CommittedMissing => {
            "somebody deleted ConfigMap kubefox-committed; it is made again".to_owned()
        }
        Notice::SealKeyDeletion => {
            "somebody asked for the deletion of Secret kubefox-seal-key; its finalizer still keeps it"
                .to_owned()
        }
        Notice::RootRevoked => "the root token is dead: looked up, revoked, looked up again".to_owned(),
        Notice::RootFound { accessor } => {
            format!("a token with the policy root lives, accessor {accessor}; it is revoked")
        }
        Notice::TooManyTokens { found } => {
            format!("{found} tokens live in Vault, too many to search for those with the policy root")
        }
        Notice::Swept => "searched: no token with the policy root lives".to_owned(),
        Notice::Configured { .. } => "Vault's settings and documents stand".to_owned(),
        Notice::Serving { address } => format!("serves callers on {address}"),
        Notice::Rejected { identity, method, rejection } => {
            let who = identity.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
            format!("refused {who} {}: {}", asked(*method), rejection.cause())
        }
        Notice::LoginStranded { role } => {
            format!("Vault refuses the login as {} although the API server accepts the token", role.as_str())
        }
        Notice::Found { what, remedy, .. } => format!("{what} {remedy}"),
        Notice::Lapsed(Lapse::Token) => "its token for Vault has ended: nobody is served".to_owned(),
        Notice::Lapsed(Lapse::Certificate) => {
            "its serving certificate has ended: nobody is served".to_owned()
        }
        // Settings are many, and who was served says so itself.
        Notice::Wrote(_)
        | Notice::Stored(_)
        | Notice::GenerationRecorded { .. }
        | Notice::Certified { .. }
        | Notice::Served { .. } => return None,
    };
    Some(sentence)
}

/// A notice of what runs before Vault in a new pod.
#[must_use]
pub(super) fn of_quarantine(notice: &quarantine::Notice) -> Option<String> {
    use quarantine::Notice;
    Some(match notice {
        // Nearly every start is one of these.
        Notice::NotMarked => return None,
        Notice::Marked { recoveries, .. } => {
            format!(
                "Vault's data is marked as an interrupted initialization's; moved aside {recoveries} times before"
            )
        }
        Notice::Waiting(wait) => format!("waits: {}", wait.sentence()),
        Notice::MovedAside { at } => format!("Vault's data lies in {QUARANTINE}{}", at.0),
    })
}

/// A notice of the initializer of NATS.
#[must_use]
pub(super) fn of_initializer(notice: &initializer::Notice) -> String {
    use initializer::Notice;
    match notice {
        Notice::Waiting(wait) => format!("waits: {}", wait.sentence()),
        Notice::Bootstrapped { .. } => "got its certificate and three JWTs for its token".to_owned(),
        Notice::Written => "nats.conf and the certificate are on the shared volume".to_owned(),
    }
}

/// A notice of a component's broker.
#[must_use]
pub(super) fn of_broker(notice: &broker::Notice) -> String {
    use broker::Notice;
    match notice {
        Notice::Waiting(wait) => format!("its broker waits: {}", wait.sentence()),
        Notice::Bootstrapped { .. } => "its broker got two certificates and a JWT for its token".to_owned(),
        Notice::Written => "the runtime's certificate is on the shared volume".to_owned(),
        Notice::Serving { address } => format!("its broker serves the runtime on {address}"),
        Notice::Connected => "its broker is connected to NATS, the nonce signed in Vault".to_owned(),
        Notice::Succeeded => "its connection to NATS was replaced by one with the new JWT".to_owned(),
        Notice::Lapsed => "its documents have ended before they could be renewed".to_owned(),
    }
}

fn decided(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Wait(wait) => wait.sentence().to_owned(),
        Verdict::Stop(fatal) => format!("stop with {fatal:?}"),
        Verdict::Begin => "nothing is there: begin a new life".to_owned(),
        Verdict::CreateSealKey { .. } => "make the seal key and store it in the cluster".to_owned(),
        Verdict::Initialize { attempt: 0 | 1, .. } => "initialize Vault".to_owned(),
        Verdict::Initialize { .. } => "initialize Vault again".to_owned(),
        Verdict::Mark { .. } => "mark what the interrupted initialization left in Vault's data".to_owned(),
        Verdict::ReplacePod => {
            "delete this pod: the next one moves the marked data aside before Vault starts".to_owned()
        }
        Verdict::Commit { otherwise: None, .. } => {
            "tell the cluster that the envelope is on the disk".to_owned()
        }
        Verdict::Commit { otherwise: Some(_), .. } => {
            "tell the cluster once more that the envelope is on the disk".to_owned()
        }
        Verdict::Unseal => "unseal Vault".to_owned(),
        Verdict::FinishSetUp { .. } => "finish what needs the root token, then let it die".to_owned(),
        Verdict::LogIn { .. } => "log in, configure, serve".to_owned(),
    }
}

const fn asked(method: Method) -> &'static str {
    match method {
        Method::BootstrapNats => "the documents of NATS",
        Method::BootstrapComponent => "a component's documents",
        Method::SignNonce => "a signed nonce",
    }
}
