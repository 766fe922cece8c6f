//! What the controller and its world say to each other.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::audit::Finding;
use super::table::Decision;
use crate::documents::nkey::PublicKey;
use crate::documents::setting::Plan;
use crate::names::{Accessor, Identity, Installation, LifeId, Namespace, PodName, TrustDomain, Uid};
use crate::time::Unix;
use crate::vault::{Account, AuthRole, Setting, StoredJwt};
use crate::{bootstrap, keys, kubernetes, listener, state, vault, volume};

/// What the operator chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// The pod's own name; its ordinal decides whether it may initialize.
    pub pod: PodName,
    /// The name of the installation, part of every caller's audience.
    pub installation: Installation,
    /// Of every SPIFFE id.
    pub trust_domain: TrustDomain,
    /// Where the controller and the platform's services run.
    pub namespace: Namespace,
    /// The namespaces whose service accounts may be components.
    pub tenant_namespaces: Vec<Namespace>,
    /// The API server as Vault reaches it.
    pub kubernetes_host: String,
    /// The API server's certificate authority, PEM.
    pub kubernetes_ca: String,
    /// Accept a state directory that is not a volume of its own.
    pub allow_plain_state_dir: bool,
    /// For how long the seal key's volume may be late, in milliseconds.
    pub seal_key_grace_ms: u64,
    /// The uid of the own pod, if the pod may be replaced to recover an interrupted initialization; else a person must.
    pub recover_interrupted_init: Option<Uid>,
}

impl Config {
    /// What Vault's configuration follows from.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            installation: self.installation.clone(),
            trust_domain: self.trust_domain.clone(),
            platform_namespace: self.namespace.clone(),
            tenant_namespaces: self.tenant_namespaces.clone(),
            kubernetes_host: self.kubernetes_host.clone(),
            kubernetes_ca: self.kubernetes_ca.clone(),
        }
    }
}

/// One request to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// To Vault.
    Vault(vault::Call),
    /// To the Kubernetes API.
    Kubernetes(kubernetes::Call),
    /// To the state directory.
    State(state::Call),
    /// To a mounted volume.
    Volume(volume::Call),
    /// To the keyring.
    Keys(keys::Call),
    /// To the own gRPC server.
    Listener(listener::Call),
}

/// What it brought back; each variant answers the [`Call`] of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// From Vault.
    Vault(vault::Reply),
    /// From the Kubernetes API.
    Kubernetes(kubernetes::Reply),
    /// From the state directory.
    State(state::Reply),
    /// From a mounted volume.
    Volume(volume::Reply),
    /// From the keyring.
    Keys(keys::Reply),
    /// From the own gRPC server.
    Listener(listener::Reply),
}

/// What callers ask.
pub type Ask = bootstrap::Ask;
/// What callers get.
pub type Answer = bootstrap::Answer;

/// A fact worth a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notice {
    /// The survey is complete, and this row of the boot table applies.
    Decided(Decision),
    /// Vault is initialized, and the envelope is on the disk.
    Initialized {
        /// The new life.
        life: LifeId,
    },
    /// An envelope was not written as it should be: the only copy of the unseal key may be in memory. Repeated until
    /// it was.
    EnvelopeNotWritten,
    /// Vault is unsealed and active.
    Unsealed,
    /// A setting was missing or differed, and was written.
    Wrote(Setting),
    /// A setting differs, and writing does not repair it or nobody has the authority to write it.
    Drift(Setting),
    /// A stored JWT is not about the keys of NATS that Vault holds.
    ForeignJwt(StoredJwt),
    /// A document that is written once was missing, and was written.
    Stored(Document),
    /// Vault learned the generation of the envelope.
    GenerationRecorded {
        /// The disk's.
        generation: u64,
    },
    /// Vault knows of a newer envelope than the disk's: somebody put an old one back.
    RolledBack {
        /// The disk's generation.
        disk: u64,
        /// The one that Vault recorded.
        recorded: u64,
    },
    /// While callers are served `boot.state` could not be read, or holds no envelope: Vault must not be restarted.
    EnvelopeUnread,
    /// `kubefox-committed` was missing and was made again: somebody deleted it.
    CommittedMissing,
    /// Somebody asked for the deletion of the seal key; its finalizer still keeps it.
    SealKeyDeletion,
    /// The root token of the initialization is dead.
    RootRevoked,
    /// A root token lives that should not; its revocation is about to leave.
    RootFound {
        /// Of the token. It opens nothing, and leads to who made it in Vault's audit log.
        accessor: Accessor,
    },
    /// More tokens live than are searched for those of root.
    TooManyTokens {
        /// How many.
        found: usize,
    },
    /// No root token lives any more.
    Swept,
    /// All settings stand.
    Configured {
        /// The public keys of NATS.
        keys: NatsKeys,
    },
    /// A certificate was issued for the own server.
    Certified {
        /// When it ends.
        not_after: Unix,
    },
    /// The own server answers.
    Serving {
        /// Where.
        address: String,
    },
    /// Vault has refused this role's login for long, although the API server accepts the token. What is served already is
    /// served on for as long as the own token and certificate live; told once until the login works again.
    LoginStranded {
        /// The role.
        role: AuthRole,
    },
    /// While serving, something was found that the next unseal would miss. Told again every hour while it is so.
    Found {
        /// What.
        finding: Finding,
        /// The same, as a sentence for a person.
        what: String,
        /// What that person does about it.
        remedy: String,
    },
    /// Something that callers need has ended before it could be renewed: nobody is served until it is.
    Lapsed(Lapse),
    /// A caller got what it asked for.
    Served {
        /// Who.
        identity: Identity,
        /// What it asked for.
        method: bootstrap::Method,
    },
    /// A caller got nothing.
    Rejected {
        /// Who, as the API server has signed it; `None` if it has not, or nobody looked.
        identity: Option<Identity>,
        /// What it asked for.
        method: bootstrap::Method,
        /// Why not.
        rejection: bootstrap::Rejection,
    },
}

/// What is stored in Vault once and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Document {
    /// A JWT of NATS.
    Jwt(StoredJwt),
    /// The credentials of an account of OpenSearch.
    Account(Account),
}

/// What of the controller's own ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lapse {
    /// Its token for Vault.
    Token,
    /// Its serving certificate.
    Certificate,
}

/// The public keys of NATS' operator and accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NatsKeys {
    /// `O…`
    pub operator: PublicKey,
    /// `A…`
    pub system_account: PublicKey,
    /// `A…`
    pub platform_account: PublicKey,
    /// `A…`: the scoped key that signs users.
    pub platform_signer: PublicKey,
}

/// What the world tells unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// Finish what must not be cut short, then end.
    Stop,
}
