//! The rows of the matrix: every kind of call that a boot makes, and what can become of it.

use std::collections::BTreeSet;

use kubefox_core::controller::Call;
use kubefox_core::machine::Refusal;
use kubefox_core::{keys, kubernetes, listener, quarantine, state, vault, volume};

use super::step::Alphabet;
use crate::model::world::Fate;

macro_rules! kinds {
    ($($kind:ident: $called:pat,)+) => {
        /// A kind of call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", stringify!($called), "`")] $kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The kind of a call. A call without a kind does not compile.
            #[must_use]
            pub const fn of(call: &Call) -> Self {
                match call {
                    $($called => Self::$kind,)+
                }
            }
        }
    };
}

kinds! {
    SealStatus: Call::Vault(vault::Call::SealStatus),
    InitStatus: Call::Vault(vault::Call::InitStatus),
    Health: Call::Vault(vault::Call::Health),
    Initialize: Call::Vault(vault::Call::Initialize),
    Unseal: Call::Vault(vault::Call::Unseal { .. }),
    LookupSelf: Call::Vault(vault::Call::LookupSelf { .. }),
    RevokeSelf: Call::Vault(vault::Call::RevokeSelf { .. }),
    ListAccessors: Call::Vault(vault::Call::ListAccessors { .. }),
    LookupAccessor: Call::Vault(vault::Call::LookupAccessor { .. }),
    RevokeAccessor: Call::Vault(vault::Call::RevokeAccessor { .. }),
    Login: Call::Vault(vault::Call::Login { .. }),
    ReadSetting: Call::Vault(vault::Call::Read { .. }),
    WriteSetting: Call::Vault(vault::Call::Write { .. }),
    ReadJwt: Call::Vault(vault::Call::ReadJwt { .. }),
    WriteJwt: Call::Vault(vault::Call::WriteJwt { .. }),
    ReadAccount: Call::Vault(vault::Call::ReadAccount { .. }),
    GeneratePassword: Call::Vault(vault::Call::GeneratePassword { .. }),
    WriteAccount: Call::Vault(vault::Call::WriteAccount { .. }),
    ReadGeneration: Call::Vault(vault::Call::ReadGeneration { .. }),
    WriteGeneration: Call::Vault(vault::Call::WriteGeneration { .. }),
    Issue: Call::Vault(vault::Call::Issue { .. }),
    SignCertificate: Call::Vault(vault::Call::SignCertificate { .. }),
    Sign: Call::Vault(vault::Call::Sign { .. }),
    CreateSealKey: Call::Kubernetes(kubernetes::Call::CreateSealKey { .. }),
    ReadSealKey: Call::Kubernetes(kubernetes::Call::ReadSealKey),
    CreateCommitted: Call::Kubernetes(kubernetes::Call::CreateCommitted { .. }),
    ReadCommitted: Call::Kubernetes(kubernetes::Call::ReadCommitted),
    ReadTrust: Call::Kubernetes(kubernetes::Call::ReadTrust),
    CreateTrust: Call::Kubernetes(kubernetes::Call::CreateTrust { .. }),
    UpdateTrust: Call::Kubernetes(kubernetes::Call::UpdateTrust { .. }),
    ReadSigners: Call::Kubernetes(kubernetes::Call::ReadSigners),
    ReviewToken: Call::Kubernetes(kubernetes::Call::ReviewToken { .. }),
    DeletePod: Call::Kubernetes(kubernetes::Call::DeletePod { .. }),
    ClaimState: Call::State(state::Call::Claim),
    ReadState: Call::State(state::Call::Read),
    Rehearse: Call::State(state::Call::Rehearse),
    WriteIntent: Call::State(state::Call::WriteIntent { .. }),
    WriteSent: Call::State(state::Call::WriteSent { .. }),
    WriteRecover: Call::State(state::Call::WriteRecover { .. }),
    WriteForeign: Call::State(state::Call::WriteForeign { .. }),
    WriteEnvelope: Call::State(state::Call::WriteEnvelope { .. }),
    OpenEnvelope: Call::State(state::Call::Open { .. }),
    ReadHold: Call::State(state::Call::ReadHold),
    ReadToken: Call::Volume(volume::Call::ReadToken { .. }),
    ReadMountedKey: Call::Volume(volume::Call::ReadSealKey { .. }),
    ReadMountedTrust: Call::Volume(volume::Call::ReadTrust),
    WriteBundle: Call::Volume(volume::Call::WriteBundle { .. }),
    MintSealKey: Call::Keys(keys::Call::MintSealKey { .. }),
    MintCertificateKey: Call::Keys(keys::Call::MintCertificateKey { .. }),
    Forget: Call::Keys(keys::Call::Forget { .. }),
    Examine: Call::Keys(keys::Call::Examine { .. }),
    Present: Call::Listener(listener::Call::Present { .. }),
    Probe: Call::Listener(listener::Call::Probe { .. }),
}

/// Where a call goes, which decides what can become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Over a wire, to a server that may refuse, and which may carry it out late.
    Server,
    /// Over a wire, and it changes nothing that anybody could see later.
    Reader,
    /// To the disk, a volume or a port of the same machine: it may fail, and it is never late.
    Machine,
    /// Nowhere: it is done inside the process, which can only die.
    Process,
    /// A controller's boot never makes it.
    Nowhere,
}

impl Way {
    fn faults(self) -> Vec<Fate> {
        use Fate::{KilledAfter, KilledBefore, KilledLate, Late, Refused, ReplyLost, RequestLost};
        let mut faults = match self {
            Self::Server => vec![RequestLost, ReplyLost, Late, KilledBefore, KilledAfter, KilledLate],
            // Whether it arrived makes no difference to anybody.
            Self::Reader => vec![ReplyLost, KilledAfter],
            Self::Machine => vec![RequestLost, ReplyLost, KilledBefore, KilledAfter, Refused(Refusal::Local)],
            Self::Process => vec![KilledBefore],
            Self::Nowhere => Vec::new(),
        };
        if matches!(self, Self::Server | Self::Reader) {
            faults.extend(REFUSALS.iter().copied().map(Refused));
        }
        faults
    }
}

impl Kind {
    const fn way(self) -> Way {
        match self {
            Self::Initialize
            | Self::Unseal
            | Self::RevokeSelf
            | Self::RevokeAccessor
            | Self::WriteSetting
            | Self::WriteJwt
            | Self::WriteAccount
            | Self::WriteGeneration
            | Self::CreateSealKey
            | Self::CreateCommitted
            | Self::CreateTrust
            | Self::UpdateTrust
            | Self::DeletePod => Way::Server,
            Self::SealStatus
            | Self::InitStatus
            | Self::Health
            | Self::LookupSelf
            | Self::ListAccessors
            | Self::LookupAccessor
            | Self::Login
            | Self::ReadSetting
            | Self::ReadJwt
            | Self::ReadAccount
            | Self::GeneratePassword
            | Self::ReadGeneration
            | Self::Issue
            | Self::Sign
            | Self::ReadSealKey
            | Self::ReadCommitted
            | Self::ReadTrust
            | Self::ReviewToken => Way::Reader,
            Self::ClaimState
            | Self::ReadState
            | Self::Rehearse
            | Self::WriteIntent
            | Self::WriteSent
            | Self::WriteRecover
            | Self::WriteForeign
            | Self::WriteEnvelope
            | Self::OpenEnvelope
            | Self::ReadHold
            | Self::ReadToken
            | Self::ReadMountedKey
            | Self::Present
            | Self::Probe => Way::Machine,
            Self::MintSealKey | Self::Forget => Way::Process,
            // Those of initializers and brokers, and those that only callers cause.
            Self::ReadMountedTrust
            | Self::WriteBundle
            | Self::ReadSigners
            | Self::Examine
            | Self::MintCertificateKey
            | Self::SignCertificate => Way::Nowhere,
        }
    }

    /// Whether a boot makes such calls where this can happen.
    #[must_use]
    pub fn belongs_to_a_boot(self, alphabet: Alphabet) -> bool {
        let recovers = matches!(self, Self::WriteRecover | Self::DeletePod);
        self.way() != Way::Nowhere && (alphabet.recovery || !recovers)
    }

    /// What can become of such a call where this can happen, beside being answered.
    #[must_use]
    pub fn faults_in(self, alphabet: Alphabet) -> Vec<Fate> {
        let mut faults = self.faults();
        faults.retain(|fate| match fate {
            Fate::Late | Fate::KilledLate => alphabet.late_max > 0,
            Fate::Resealed => alphabet.reseals,
            Fate::TokensEnded => alphabet.tokens_end,
            Fate::NotShown => alphabet.key_volume,
            Fate::Answered
            | Fate::RequestLost
            | Fate::ReplyLost
            | Fate::Refused(_)
            | Fate::KilledBefore
            | Fate::KilledAfter
            | Fate::VaultKilledInside
            | Fate::Forestalled => true,
        });
        faults
    }

    /// Everything that can become of such a call, beside being answered.
    #[must_use]
    pub fn faults(self) -> Vec<Fate> {
        let mut faults = self.way().faults();
        if self == Self::Initialize {
            faults.extend([Fate::VaultKilledInside, Fate::Forestalled]);
        }
        if self == Self::ReadMountedKey {
            faults.push(Fate::NotShown);
        }
        if self.meets_unsealed_vault() {
            faults.push(Fate::Resealed);
        }
        if self.shows_batch_token() {
            faults.push(Fate::TokensEnded);
        }
        faults
    }

    /// Whether Vault is asked for it when it may be unsealed.
    const fn meets_unsealed_vault(self) -> bool {
        matches!(self, Self::SealStatus | Self::Health | Self::LookupSelf | Self::RevokeSelf | Self::Login)
            || self.shows_batch_token()
    }

    /// Whether Vault is shown a token that ends by itself.
    const fn shows_batch_token(self) -> bool {
        matches!(
            self,
            Self::ListAccessors
                | Self::LookupAccessor
                | Self::RevokeAccessor
                | Self::ReadSetting
                | Self::WriteSetting
                | Self::ReadJwt
                | Self::WriteJwt
                | Self::ReadAccount
                | Self::GeneratePassword
                | Self::WriteAccount
                | Self::ReadGeneration
                | Self::WriteGeneration
                | Self::Issue
                | Self::SignCertificate
                | Self::Sign
        )
    }
}

/// Everything that can become of a call of the pod's init container, beside being answered.
#[must_use]
pub fn faults_of_init(call: &quarantine::Call) -> Vec<Fate> {
    let way = match call {
        quarantine::Call::Kubernetes(_) => Way::Reader,
        quarantine::Call::State(_) | quarantine::Call::Volume(_) | quarantine::Call::Storage(_) => {
            Way::Machine
        }
    };
    way.faults()
}

/// Everything that can become of any call of the pod's init container.
pub(super) fn fates_of_init() -> BTreeSet<Fate> {
    let faults = [Way::Reader, Way::Machine].into_iter().flat_map(Way::faults);
    faults.chain([Fate::Answered]).collect()
}

macro_rules! refusals {
    ($($server:ident)+; $($machine:ident)+) => {
        /// What a server may answer instead of doing what it was asked.
        const REFUSALS: &[Refusal] = &[$(Refusal::$server),+];

        /// A refusal that is nobody's does not compile.
        const _: fn(Refusal) = |refusal| match refusal {
            $(Refusal::$server)|+ | $(Refusal::$machine)|+ => {}
        };
    };
}

refusals! {
    Denied Unauthenticated Unclear Conflict Invalid NotReady Busy;
    Local
}
