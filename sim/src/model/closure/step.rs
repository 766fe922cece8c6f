//! What can happen next in a world, and making it happen.

use kubefox_core::machine::Standing;
use kubefox_core::secret::{Own, Secret};
use kubefox_io::adapter::Slots as _;

use super::calls::{self, Kind};
use super::key::effect;
use crate::model::late::LateRequest;
use crate::model::world::{Fate, World};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The fate of the call under way is decided.
    Call(Fate),
    /// A pause is over.
    PauseEnds,
    /// The process is killed, or has stopped, and starts again.
    Restart,
    /// So much time passes that whatever is renewed is due.
    TimePasses,
    /// Time passes, and the own token is due; the certificate is not.
    TokenFallsDue,
    /// The pod was deleted, and the next one begins: with `kubefox init vault`, before Vault starts.
    PodIsReplaced,
    /// The fate of the init container's call is decided.
    Init(Fate),
    /// A pause of the init container is over.
    InitPauseEnds,
    /// Vault's disk is lost.
    StorageIsLost,
    /// The late request of this number is carried out. That it never is needs no step: it was lost then.
    LateArrives(u8),
}

/// What to explore beside the fates of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alphabet {
    /// Requests that may be late at the same time.
    pub late_max: usize,
    /// Whether Vault is sealed before any request.
    pub reseals: bool,
    /// Whether tokens end before any request that shows one.
    pub tokens_end: bool,
    /// Whether the seal key's volume shows nothing at any look.
    pub key_volume: bool,
    /// Whether long times pass.
    pub time: bool,
    /// Whether an interrupted initialization may be recovered: by a new pod, and by what runs in it before Vault.
    pub recovery: bool,
    /// Whether Vault's disk is lost.
    pub disaster: bool,
}

impl Alphabet {
    /// Everything that a boot has to come through, with one request late at a time.
    pub const FAULTS: Self = Self {
        late_max: 1,
        reseals: true,
        tokens_end: true,
        key_volume: true,
        time: true,
        recovery: true,
        disaster: false,
    };

    /// What becomes of calls, and nothing else.
    pub const CALLS: Self = Self {
        late_max: 0,
        reseals: false,
        tokens_end: false,
        key_volume: false,
        time: false,
        recovery: false,
        disaster: false,
    };
}

impl Alphabet {
    /// What has to happen in a search, beside the fates of the controller's calls.
    #[must_use]
    pub fn events(self) -> Vec<Step> {
        let mut events = vec![Step::PauseEnds, Step::Restart];
        if self.time {
            events.extend([Step::TimePasses, Step::TokenFallsDue]);
        }
        if self.recovery {
            events.extend([Step::PodIsReplaced, Step::InitPauseEnds]);
            events.extend(calls::fates_of_init().into_iter().map(Step::Init));
        }
        if self.disaster {
            events.push(Step::StorageIsLost);
        }
        events.extend(
            (0..self.late_max).map(|number| Step::LateArrives(u8::try_from(number).unwrap_or(u8::MAX))),
        );
        events
    }
}

/// From now on whatever is renewed is due.
const LONG_S: u64 = 17 * 3_600;
/// Longer than two thirds of the life of the own token, and nothing to a certificate.
const TOKEN_S: u64 = 11 * 60;

/// Everything that can happen next; first what happens if nothing goes wrong, unless the world is at rest.
pub(super) fn steps(world: &World, alphabet: Alphabet) -> Vec<Step> {
    let mut steps = Vec::with_capacity(24);
    if world.init.is_some() {
        init_steps(world, &mut steps);
    } else {
        controller_steps(world, alphabet, &mut steps);
    }
    if alphabet.disaster && world.vault.is_initialized() && !world.storage_was_lost {
        steps.push(Step::StorageIsLost);
    }
    for number in 0..world.late.len() {
        let number = u8::try_from(number).expect("few requests are late at the same time");
        steps.push(Step::LateArrives(number));
    }
    steps
}

fn controller_steps(world: &World, alphabet: Alphabet, steps: &mut Vec<Step>) {
    if world.is_pod_deleted() {
        steps.push(Step::PodIsReplaced);
    }
    if let Some(call) = world.next_call() {
        steps.push(Step::Call(Fate::Answered));
        let room = world.late.len() < alphabet.late_max;
        let possible = |fate: &Fate| match fate {
            Fate::VaultKilledInside | Fate::Forestalled => !world.vault.was_begun(),
            Fate::Late | Fate::KilledLate => room,
            Fate::Resealed => alphabet.reseals && !world.vault.is_sealed(),
            Fate::TokensEnded => alphabet.tokens_end && holds_live_token(world),
            Fate::NotShown => alphabet.key_volume && world.stored_seal_key().is_some(),
            Fate::Answered
            | Fate::RequestLost
            | Fate::ReplyLost
            | Fate::Refused(_)
            | Fate::KilledBefore
            | Fate::KilledAfter => true,
        };
        steps.extend(Kind::of(call).faults().into_iter().filter(possible).map(Step::Call));
        return;
    }
    let standing = world.standing();
    match standing {
        Standing::Stopped(_) | Standing::Finished => steps.push(Step::Restart),
        Standing::Starting | Standing::Ready => {
            steps.extend([Step::PauseEnds, Step::Restart]);
            if alphabet.time {
                steps.push(Step::TimePasses);
            }
            if alphabet.time && standing == Standing::Ready {
                steps.push(Step::TokenFallsDue);
            }
        }
    }
}

fn init_steps(world: &World, steps: &mut Vec<Step>) {
    if let Some(call) = world.next_init_call() {
        steps.push(Step::Init(Fate::Answered));
        steps.extend(calls::faults_of_init(call).into_iter().map(Step::Init));
    } else if world.standing() == Standing::Starting {
        steps.extend([Step::InitPauseEnds, Step::Restart]);
    } else {
        steps.push(Step::Restart);
    }
}

fn holds_live_token(world: &World) -> bool {
    [Own::ControllerToken, Own::SetupToken].into_iter().any(|token| {
        let token = world.process.keyring().expose(Secret::Own(token));
        token.is_ok_and(|token| world.vault.policies_of(token).is_some())
    })
}

/// Makes it happen.
pub(super) fn take(world: &mut World, step: Step) {
    world.notices.clear();
    world.vault.forget_requests();
    // What the volume shows is decided at each look.
    world.show_seal_key(true);
    world.had_stopped = matches!(world.standing(), Standing::Stopped(_));
    match step {
        Step::Call(fate) => world.take(fate),
        Step::PauseEnds => assert!(world.idle(), "whoever has no call under way waits for a time-out"),
        Step::Restart if world.init.is_some() => world.start_init(),
        Step::Restart => world.restart_controller(),
        Step::TimePasses => world.age_s(LONG_S),
        Step::TokenFallsDue => world.age_s(TOKEN_S),
        Step::PodIsReplaced => world.replace_pod(),
        Step::Init(fate) => world.take_init(fate),
        Step::InitPauseEnds => world.take_init(Fate::Answered),
        Step::StorageIsLost => world.lose_storage(),
        Step::LateArrives(number) => {
            let request = world.late.remove(usize::from(number));
            drop(world.carry(request.into_request()));
        }
    }
    world.pass_over_settings();
    if !world.late.is_empty() {
        drop_spent(world);
    }
}

/// Forgets late requests that can no longer change anything.
fn drop_spent(world: &mut World) {
    let late = std::mem::take(&mut world.late);
    let kept = late.into_iter().filter(|late| may_matter(world, late)).collect();
    world.late = kept;
}

fn may_matter(world: &World, late: &LateRequest) -> bool {
    // An unseal may matter again once Vault is sealed again, and everything else once a sealed Vault is unsealed.
    if late.is_to_vault() && (late.is_unseal() || world.vault.is_sealed()) {
        return world.vault.is_initialized() || !late.is_unseal();
    }
    let before = effect(world);
    let mut fork = world.clone();
    drop(fork.carry(late.clone().into_request()));
    effect(&fork) != before
}
