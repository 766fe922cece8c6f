//! Every way to stop for good: a name, an exit code, a sentence of cause and one of remedy.

use serde::{Deserialize, Serialize};

use crate::bootstrap::Rejection;

macro_rules! fatals {
    ($($(#[$doc:meta])+ $name:ident = $exit_code:literal, $cause:expr, $remedy:expr;)+) => {
        /// Why a role stops and does not try again. Exit codes are stable; 0 to 2 and those from 124 on are the shell's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Fatal {
            $($(#[$doc])+ $name,)+
        }

        impl Fatal {
            /// All of them, by exit code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The process's exit code.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self {
                    $(Self::$name => $exit_code),+
                }
            }

            /// What happened, in a sentence.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self {
                    $(Self::$name => $cause),+
                }
            }

            /// What a person does about it, in a sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy),+
                }
            }
        }
    };
}

fatals! {
    /// The state directory is not a volume of its own.
    StateNotPersistent = 10,
        "The state directory is not a volume of its own, so it would not survive the pod.",
        "Mount a PersistentVolume at --state-dir, or allow a plain directory with --allow-plain-state-dir.";
    /// `boot.state` or the envelope in it was changed.
    EnvelopeCorrupt = 11,
        "boot.state is not what was written: it does not parse, or its seal is broken.",
        "Do not restart Vault if it is unsealed: take a snapshot first; then restore boot.state from a backup.";
    /// Vault is initialized and there is no envelope.
    EnvelopeMissing = 12,
        "Vault is initialized and there is no boot.state to unseal it with.",
        "Do not restart Vault if it is unsealed: take a snapshot first; then restore boot.state from a backup.";
    /// State or Kubernetes objects belong to another installation or another life.
    WrongInstallation = 13,
        "The state or the cluster's objects belong to another installation.",
        "Mount the volume of this installation, or correct --installation.";
    /// Somebody else initialized this Vault.
    ForeignInit = 14,
        "Somebody else initialized this Vault; its unseal key is not ours.",
        "Find out who reached Vault's API; remove its data and boot.state only if nothing in it is needed.";
    /// Vault has another kind of seal, or more than one key share.
    ForeignSeal = 15,
        "Vault has another seal than one Shamir key share.",
        "Configure Vault without a seal stanza and let the controller initialize it.";
    /// Objects of an earlier life exist, and no state.
    EarlierLife = 16,
        "Kubernetes objects of an earlier life exist, and the state that belongs to them does not.",
        "Restore the volumes that belong to them, or delete kubefox-seal-key, kubefox-committed and kubefox-trust for a new life.";
    /// Vault was initialized for us and its data is gone.
    StorageLost = 17,
        "Vault's storage is empty, and keys exist for a Vault that held data.",
        "Restore Vault's volume; only for a new, empty life delete boot.state and the three kubefox objects.";
    /// The cluster or Vault has recorded a later state than the local one.
    DiskRolledBack = 18,
        "boot.state is older than what the cluster or Vault has recorded of it.",
        "Restore the newer volume; do not restart Vault if it is unsealed, take a snapshot first.";
    /// An initialization was interrupted after the request left.
    InitInterrupted = 19,
        "Vault was initialized, and its answer with the unseal key was lost before it was safe.",
        "No data was ever stored: run the controller with --recover-interrupted-init, which starts over in a new pod and keeps the old data as quarantine-<time>.";
    /// Vault was killed inside its own initialization.
    HalfInitialized = 20,
        "Vault was killed inside its own initialization and can neither finish nor repeat it.",
        "No data was ever stored: run the controller with --recover-interrupted-init, which starts over in a new pod and keeps the old data as quarantine-<time>.";
    /// The seal key is not mounted.
    SealKeyMissing = 21,
        "The Secret with the seal key is not mounted.",
        "Restore the Secret kubefox-seal-key; without it the envelope cannot be opened. Do not restart Vault if it is unsealed.";
    /// The mounted seal key is not 32 bytes.
    SealKeyMalformed = 22,
        "The mounted seal key is not 32 bytes.",
        "Restore the Secret kubefox-seal-key from a backup. Do not restart Vault if it is unsealed.";
    /// The mounted seal key is not the one of the envelope.
    SealKeyReplaced = 23,
        "The mounted seal key is not the one that the envelope is under.",
        "Restore the Secret kubefox-seal-key that belongs to this volume. Do not restart Vault if it is unsealed.";
    /// Vault refuses the key of our envelope.
    WrongVault = 24,
        "Vault refuses the unseal key of our envelope: it is another Vault.",
        "Mount the volume of Vault that belongs to this boot.state.";
    /// Set-up cannot be finished: Vault refuses the login although the API server accepts the token.
    SetupStranded = 25,
        "Vault refuses our login although the API server accepts our token.",
        "Check that Vault reaches the API server and may review tokens; its own pod's token must be mounted.";
    /// Something in Vault is not what we made, and cannot be repaired by writing.
    ForeignConfiguration = 26,
        "Something in Vault is not as we made it and cannot be repaired by writing.",
        "Compare the setting named in the log with the documentation, and remove what was made by hand.";
    /// The published root certificate is not Vault's.
    TrustReplaced = 27,
        "The published root certificate is not Vault's.",
        "Find out who wrote kubefox-trust; delete it only if every client may trust Vault's root instead.";
    /// The initialization was interrupted again and again, although Vault's data was moved aside each time.
    RecoveryExhausted = 34,
        "Vault's initialization was interrupted again after its data was moved aside three times.",
        "See in Vault's log why it does not survive its own initialization; then delete boot.state, kubefox-seal-key and Vault's data directory for a new life.";
    /// Vault's data and the state are not on one file system.
    VolumesApart = 35,
        "Vault's data directory and the state directory are not on one file system, so they may not belong together.",
        "Mount the volume that holds both at --volume-dir, as `vault` and `kubefox` in it.";
    /// The system does not let Vault's data be moved aside.
    QuarantineRefused = 36,
        "The system does not allow that Vault's data directory is moved aside.",
        "Mount the whole volume, writable by this container's user or group, at --volume-dir; nothing may be mounted at `vault` in it.";
    /// The pod was replaced, and Vault's data was not moved aside before Vault started.
    QuarantineMissing = 37,
        "This pod replaces one whose Vault was interrupted in its initialization, and nothing moved that Vault's data aside.",
        "Run `kubefox init vault` as the pod's first init container, with the volume of this controller's --state-dir at its --volume-dir.";
    /// The controller's certificate or its authority's is not mounted.
    TrustMissing = 40,
        "The controller's certificate or its authority's is not mounted.",
        "Mount the Secret kubefox-trust; the controller publishes it when it is ready.";
    /// One of them is not PEM.
    TrustNotPem = 41,
        "A mounted certificate is not PEM.",
        "Restore the Secret kubefox-trust; the controller publishes it again if it is deleted.";
    /// One of them is expired.
    TrustExpired = 42,
        "A mounted certificate of the controller is expired.",
        "See why the controller does not renew its certificate, and check this node's clock.";
    /// The controller's certificate was not signed by the mounted authority.
    TrustForeign = 43,
        "The controller's certificate was not signed by the mounted authority.",
        "Mount ca.crt and tls.crt from the same Secret kubefox-trust.";
    /// The service-account token is not mounted.
    TokenMissing = 44,
        "The service-account token is not mounted.",
        "Project a token with audience `kubefox.<installation>` into --service-account-dir as `kubefox`.";
    /// The service-account token file is empty or not a JWT.
    TokenMalformed = 45,
        "The service-account token file is empty or not a JWT.",
        "Project a token with audience `kubefox.<installation>` into --service-account-dir as `kubefox`.";
    /// The controller refuses the token.
    TokenRefused = 46,
        "The controller does not accept the service-account token.",
        "Check the token's audience `kubefox.<installation>`, and that the pod still exists.";
    /// The controller refuses what was asked for to this service account.
    NotEntitled = 47,
        "This service account may not have what it asked for.",
        "Run the pod under the platform's service account, or list its namespace in --tenant-namespaces.";
    /// What the controller sent does not fit together.
    DocumentsMalformed = 48,
        "What the controller sent does not fit together.",
        "Run the same version of kubefox everywhere; if that is so, report the log.";
    /// The shared volume cannot be written.
    VolumeNotWritable = 49,
        "The shared volume cannot be written.",
        "Mount a writable emptyDir with medium Memory as the shared volume.";
    /// What was awaited did not come within the time the operator allowed.
    GaveUp = 50,
        "What this pod waits for did not come within the allowed time.",
        "The log and the termination message say what was waited for last.";
    /// Vault holds a key for this component's user at NATS that the controller did not make.
    UserKeyForeign = 51,
        Rejection::UserKeyForeign.cause(),
        Rejection::UserKeyForeign.remedy();
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
        for fatal in Fatal::ALL {
            assert!(fatal.cause().ends_with('.') && fatal.remedy().ends_with('.'), "{fatal:?}");
        }
    }
}
