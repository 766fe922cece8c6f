//! Every way to stop for good: a name, an exit code, a sentence of cause and one of remedy.

use serde::{Deserialize, Serialize};

/// Why a role stops and does not try again. Exit codes are stable; 0 to 2 and those from 124 on are the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fatal {
    /// The state directory is not a volume of its own.
    StateNotPersistent,
    /// `boot.state` or the envelope in it was changed.
    EnvelopeCorrupt,
    /// Vault is initialized and there is no envelope.
    EnvelopeMissing,
    /// State or Kubernetes objects belong to another installation or another life.
    WrongInstallation,
    /// Somebody else initialized this Vault.
    ForeignInit,
    /// Vault has another kind of seal, or more than one key share.
    ForeignSeal,
    /// Objects of an earlier life exist, and no state.
    EarlierLife,
    /// Vault was initialized for us and its data is gone.
    StorageLost,
    /// The cluster says committed, and the local state is from before.
    DiskRolledBack,
    /// An initialization was interrupted after the request left.
    InitInterrupted,
    /// Vault was killed inside its own initialization.
    HalfInitialized,
    /// The seal key is not mounted.
    SealKeyMissing,
    /// The mounted seal key is not 32 bytes.
    SealKeyMalformed,
    /// The mounted seal key is not the one of the envelope.
    SealKeyReplaced,
    /// Vault refuses the key of our envelope.
    WrongVault,
    /// Set-up cannot be finished: Vault refuses the login although the API server accepts the token.
    SetupStranded,
    /// Something in Vault is not what we made, and cannot be repaired by writing.
    ForeignConfiguration,
    /// The published root certificate is not Vault's.
    TrustReplaced,
    /// The controller's certificate or its authority's is not mounted.
    TrustMissing,
    /// One of them is not PEM.
    TrustNotPem,
    /// One of them is expired.
    TrustExpired,
    /// The controller's certificate was not signed by the mounted authority.
    TrustForeign,
    /// The service-account token is not mounted.
    TokenMissing,
    /// The service-account token file is empty or not a JWT.
    TokenMalformed,
    /// The controller refuses the token.
    TokenRefused,
    /// The controller refuses what was asked for to this service account.
    NotEntitled,
    /// What the controller sent does not fit together.
    DocumentsMalformed,
    /// The shared volume cannot be written.
    VolumeNotWritable,
    /// What was awaited did not come within the time the operator allowed.
    GaveUp,
}

impl Fatal {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::StateNotPersistent,
        Self::EnvelopeCorrupt,
        Self::EnvelopeMissing,
        Self::WrongInstallation,
        Self::ForeignInit,
        Self::ForeignSeal,
        Self::EarlierLife,
        Self::StorageLost,
        Self::DiskRolledBack,
        Self::InitInterrupted,
        Self::HalfInitialized,
        Self::SealKeyMissing,
        Self::SealKeyMalformed,
        Self::SealKeyReplaced,
        Self::WrongVault,
        Self::SetupStranded,
        Self::ForeignConfiguration,
        Self::TrustReplaced,
        Self::TrustMissing,
        Self::TrustNotPem,
        Self::TrustExpired,
        Self::TrustForeign,
        Self::TokenMissing,
        Self::TokenMalformed,
        Self::TokenRefused,
        Self::NotEntitled,
        Self::DocumentsMalformed,
        Self::VolumeNotWritable,
        Self::GaveUp,
    ];

    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::StateNotPersistent => 10,
            Self::EnvelopeCorrupt => 11,
            Self::EnvelopeMissing => 12,
            Self::WrongInstallation => 13,
            Self::ForeignInit => 14,
            Self::ForeignSeal => 15,
            Self::EarlierLife => 16,
            Self::StorageLost => 17,
            Self::DiskRolledBack => 18,
            Self::InitInterrupted => 19,
            Self::HalfInitialized => 20,
            Self::SealKeyMissing => 21,
            Self::SealKeyMalformed => 22,
            Self::SealKeyReplaced => 23,
            Self::WrongVault => 24,
            Self::SetupStranded => 25,
            Self::ForeignConfiguration => 26,
            Self::TrustReplaced => 27,
            Self::TrustMissing => 40,
            Self::TrustNotPem => 41,
            Self::TrustExpired => 42,
            Self::TrustForeign => 43,
            Self::TokenMissing => 44,
            Self::TokenMalformed => 45,
            Self::TokenRefused => 46,
            Self::NotEntitled => 47,
            Self::DocumentsMalformed => 48,
            Self::VolumeNotWritable => 49,
            Self::GaveUp => 50,
        }
    }

    /// What happened, in a sentence.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::StateNotPersistent => {
                "The state directory is not a volume of its own, so it would not survive the pod."
            }
            Self::EnvelopeCorrupt => {
                "boot.state is not what was written: it does not parse, or its seal is broken."
            }
            Self::EnvelopeMissing => "Vault is initialized and there is no boot.state to unseal it with.",
            Self::WrongInstallation => "The state or the cluster's objects belong to another installation.",
            Self::ForeignInit => "Somebody else initialized this Vault; its unseal key is not ours.",
            Self::ForeignSeal => "Vault has another seal than one Shamir key share.",
            Self::EarlierLife => {
                "Kubernetes objects of an earlier life exist, and the state that belongs to them does not."
            }
            Self::StorageLost => "Vault's storage is empty, and keys exist for a Vault that held data.",
            Self::DiskRolledBack => {
                "The cluster says that the unseal key was safe, and boot.state is from before that."
            }
            Self::InitInterrupted => {
                "Vault was initialized, and its answer with the unseal key was lost before it was safe."
            }
            Self::HalfInitialized => {
                "Vault was killed inside its own initialization and can neither finish nor repeat it."
            }
            Self::SealKeyMissing => "The Secret with the seal key is not mounted.",
            Self::SealKeyMalformed => "The mounted seal key is not 32 bytes.",
            Self::SealKeyReplaced => "The mounted seal key is not the one that the envelope is under.",
            Self::WrongVault => "Vault refuses the unseal key of our envelope: it is another Vault.",
            Self::SetupStranded => "Vault refuses our login although the API server accepts our token.",
            Self::ForeignConfiguration => {
                "Something in Vault is not as we made it and cannot be repaired by writing."
            }
            Self::TrustReplaced => "The published root certificate is not Vault's.",
            Self::TrustMissing => "The controller's certificate or its authority's is not mounted.",
            Self::TrustNotPem => "A mounted certificate is not PEM.",
            Self::TrustExpired => "A mounted certificate of the controller is expired.",
            Self::TrustForeign => "The controller's certificate was not signed by the mounted authority.",
            Self::TokenMissing => "The service-account token is not mounted.",
            Self::TokenMalformed => "The service-account token file is empty or not a JWT.",
            Self::TokenRefused => "The controller does not accept the service-account token.",
            Self::NotEntitled => "This service account may not have what it asked for.",
            Self::DocumentsMalformed => "What the controller sent does not fit together.",
            Self::VolumeNotWritable => "The shared volume cannot be written.",
            Self::GaveUp => "What this pod waits for did not come within the allowed time.",
        }
    }

    /// What a person does about it, in a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::StateNotPersistent => {
                "Mount a PersistentVolume at --state-dir, or allow a plain directory with --allow-plain-state-dir."
            }
            Self::EnvelopeCorrupt => {
                "Do not restart Vault if it is unsealed: take a snapshot first; then restore boot.state from a backup."
            }
            Self::EnvelopeMissing => {
                "Do not restart Vault if it is unsealed: take a snapshot first; then restore boot.state from a backup."
            }
            Self::WrongInstallation => "Mount the volume of this installation, or correct --installation.",
            Self::ForeignInit => {
                "Find out who reached Vault's API; remove its data and boot.state only if nothing in it is needed."
            }
            Self::ForeignSeal => {
                "Configure Vault without a seal stanza and let the controller initialize it."
            }
            Self::EarlierLife => {
                "Restore the volumes that belong to them, or delete kubefox-seal-key, kubefox-committed and kubefox-trust for a new life."
            }
            Self::StorageLost => {
                "Restore Vault's volume; only for a new, empty life delete boot.state and the three kubefox objects."
            }
            Self::DiskRolledBack => {
                "Restore the newer volume; do not restart Vault if it is unsealed, take a snapshot first."
            }
            Self::InitInterrupted => {
                "No data was ever stored: stop the pod, move Vault's data directory aside (keep boot.state), and start it again."
            }
            Self::HalfInitialized => {
                "No data was ever stored: stop the pod, move Vault's data directory aside (keep boot.state), and start it again."
            }
            Self::SealKeyMissing => {
                "Restore the Secret kubefox-seal-key; without it the envelope cannot be opened. Do not restart Vault if it is unsealed."
            }
            Self::SealKeyMalformed => {
                "Restore the Secret kubefox-seal-key from a backup. Do not restart Vault if it is unsealed."
            }
            Self::SealKeyReplaced => {
                "Restore the Secret kubefox-seal-key that belongs to this volume. Do not restart Vault if it is unsealed."
            }
            Self::WrongVault => "Mount the volume of Vault that belongs to this boot.state.",
            Self::SetupStranded => {
                "Check that Vault reaches the API server and may review tokens; its own pod's token must be mounted."
            }
            Self::ForeignConfiguration => {
                "Compare the setting named in the log with the documentation, and remove what was made by hand."
            }
            Self::TrustReplaced => {
                "Find out who wrote kubefox-trust; delete it only if every client may trust Vault's root instead."
            }
            Self::TrustMissing => {
                "Mount the Secret kubefox-trust; the controller publishes it when it is ready."
            }
            Self::TrustNotPem => {
                "Restore the Secret kubefox-trust; the controller publishes it again if it is deleted."
            }
            Self::TrustExpired => {
                "See why the controller does not renew its certificate, and check this node's clock."
            }
            Self::TrustForeign => "Mount ca.crt and tls.crt from the same Secret kubefox-trust.",
            Self::TokenMissing => {
                "Project a token with audience `kubefox.<installation>` into --service-account-dir as `kubefox`."
            }
            Self::TokenMalformed => {
                "Project a token with audience `kubefox.<installation>` into --service-account-dir as `kubefox`."
            }
            Self::TokenRefused => {
                "Check the token's audience `kubefox.<installation>`, and that the pod still exists."
            }
            Self::NotEntitled => {
                "Run the pod under the platform's service account, or list its namespace in --tenant-namespaces."
            }
            Self::DocumentsMalformed => {
                "Run the same version of kubefox everywhere; if that is so, report the log."
            }
            Self::VolumeNotWritable => "Mount a writable emptyDir with medium Memory as the shared volume.",
            Self::GaveUp => "The log and the termination message say what was waited for last.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_fatal_has_an_exit_code_of_its_own_and_two_sentences() {
        let codes: BTreeSet<u8> = Fatal::ALL.iter().map(|fatal| fatal.exit_code()).collect();
        assert_eq!(codes.len(), Fatal::ALL.len());
        assert!(codes.iter().all(|code| (3..124).contains(code)));
        let names: BTreeSet<Fatal> = Fatal::ALL.into_iter().collect();
        assert_eq!(names.len(), Fatal::ALL.len());
        for fatal in Fatal::ALL {
            assert!(fatal.cause().ends_with('.') && fatal.remedy().ends_with('.'), "{fatal:?}");
        }
    }
}
