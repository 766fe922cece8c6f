//! Vault and OpenBao: what is asked of them and what they answer, as data.
//!
//! The requests are those of <https://openbao.org/api-docs/>; which status means what is the adapter's table.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{Accessor, Csr, Identity, Pem};
use crate::secret::Secret;
use crate::signature::Signature;
use crate::time::Unix;

/// One request to Vault. Unless said otherwise it only reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Call {
    /// `GET sys/seal-status`, needs no token. Answered by [`Reply::SealStatus`].
    SealStatus,
    /// `GET sys/init`, needs no token. Answered by [`Reply::InitStatus`].
    InitStatus,
    /// `GET sys/health`, needs no token. Answered by [`Reply::Health`].
    Health,
    /// `PUT sys/init` with one share: fills `UnsealKey` and `RootToken`. Create-only: a second one is
    /// [`Reply::AlreadyInitialized`]. Its one answer holds the only copy of the key.
    Initialize,
    /// `PUT sys/unseal`. Doing it twice is doing it once.
    Unseal {
        /// Holds the unseal key.
        key: Secret,
    },
    /// `GET auth/token/lookup-self`.
    LookupSelf {
        /// The token looked up.
        token: Secret,
    },
    /// `POST auth/token/revoke-self`. Doing it twice is doing it once.
    RevokeSelf {
        /// The token that dies.
        token: Secret,
    },
    /// `LIST auth/token/accessors`.
    ListAccessors {
        /// Authority.
        token: Secret,
    },
    /// `POST auth/token/lookup-accessor`.
    LookupAccessor {
        /// Authority.
        token: Secret,
        /// Whose token is looked up.
        accessor: Accessor,
    },
    /// `POST auth/token/revoke-accessor`. Doing it twice is doing it once.
    RevokeAccessor {
        /// Authority.
        token: Secret,
        /// Whose token dies.
        accessor: Accessor,
    },
    /// `POST auth/kubernetes/login`. Makes a batch token, which nothing stores and time ends: doing it twice costs one
    /// more of those.
    Login {
        /// The role asked for.
        role: AuthRole,
        /// Holds the service-account token.
        jwt: Secret,
        /// Filled with Vault's token.
        into: Secret,
    },
    /// Reads one setting as it stands.
    Read {
        /// Authority.
        token: Secret,
        /// Which setting.
        setting: Setting,
    },
    /// Makes one setting so. Doing it twice is doing it once; [`Setting`] says for each why.
    Write {
        /// Authority.
        token: Secret,
        /// Which setting.
        setting: Setting,
        /// The body of the request.
        body: Value,
    },
    /// `GET nats-jwt/data/…`.
    ReadJwt {
        /// Authority.
        token: Secret,
        /// Which document.
        jwt: StoredJwt,
    },
    /// `POST nats-jwt/data/…` with `cas=0`: create-only.
    WriteJwt {
        /// Authority.
        token: Secret,
        /// Which document.
        jwt: StoredJwt,
        /// Its text.
        text: String,
    },
    /// `GET opensearch/data/…`: whether the account has credentials. They stay in Vault.
    ReadAccount {
        /// Authority.
        token: Secret,
        /// Whose.
        account: Account,
    },
    /// `GET sys/policies/password/opensearch/generate`.
    GeneratePassword {
        /// Authority.
        token: Secret,
        /// Filled with the password.
        into: Secret,
    },
    /// `POST opensearch/data/…` with `cas=0`: create-only.
    WriteAccount {
        /// Authority.
        token: Secret,
        /// Whose.
        account: Account,
        /// Holds the password.
        password: Secret,
    },
    /// `GET systems/data/kubefox/boot`: the envelope's generation.
    ReadGeneration {
        /// Authority.
        token: Secret,
    },
    /// `POST systems/data/kubefox/boot` with `cas`: compare-and-set on the version, so that a late one changes nothing
    /// that came after it.
    WriteGeneration {
        /// Authority.
        token: Secret,
        /// The version that must stand: 0 if none was ever written.
        cas: u64,
        /// The generation to record.
        generation: u64,
    },
    /// `POST pki/issue/…`: a certificate and its key. Stores nothing (`no_store`), so each is independent.
    Issue {
        /// Authority.
        token: Secret,
        /// What is asked for.
        request: CertificateRequest,
        /// Filled with the private key, PKCS#8 PEM.
        into: Secret,
    },
    /// `POST pki/sign/…`: a certificate on the key of a request that was made elsewhere. Stores nothing (`no_store`), so
    /// each is independent.
    SignCertificate {
        /// Authority.
        token: Secret,
        /// What is asked for. Nothing of it is taken from the CSR.
        request: CertificateRequest,
        /// Holds the public key, and proves that its sender has the private one.
        csr: Csr,
    },
    /// `POST nats/sign/…`: Ed25519 over `input`. Changes nothing.
    Sign {
        /// Authority.
        token: Secret,
        /// Which key signs.
        key: NatsKey,
        /// The bytes to sign.
        input: Vec<u8>,
    },
}

/// What a [`Call`] brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::SealStatus`].
    SealStatus(SealStatus),
    /// To [`Call::InitStatus`].
    InitStatus(InitStatus),
    /// To [`Call::Health`].
    Health(Health),
    /// To [`Call::Initialize`]: both slots are filled.
    Initialized,
    /// To [`Call::Initialize`]: somebody was first. The key is not ours.
    AlreadyInitialized,
    /// To [`Call::Initialize`]: a server was killed inside its own initialization of raft.
    HalfInitialized,
    /// To [`Call::Unseal`].
    Unsealed,
    /// To [`Call::Unseal`]: this Vault has another key.
    WrongKey,
    /// To [`Call::LookupSelf`] and [`Call::LookupAccessor`].
    Token(TokenFacts),
    /// To [`Call::LookupAccessor`]: no such token lives.
    NoToken,
    /// To [`Call::RevokeSelf`] and [`Call::RevokeAccessor`].
    Revoked,
    /// To [`Call::ListAccessors`]; empty when nothing but batch tokens lives.
    Accessors(Vec<Accessor>),
    /// To [`Call::Login`]: the slot is filled.
    LoggedIn(Login),
    /// To [`Call::Read`]: what stands, reduced to what [`Setting`] says; `None` if it does not exist.
    Setting(Option<Value>),
    /// To every write.
    Written,
    /// To [`Call::ReadJwt`]; `None` if it was never written.
    Jwt(Option<String>),
    /// To [`Call::ReadAccount`].
    Account {
        /// Whether credentials are stored.
        exists: bool,
    },
    /// To [`Call::GeneratePassword`]: the slot is filled.
    Password,
    /// To [`Call::ReadGeneration`]; `None` if it was never written, or its engine is not mounted yet.
    Generation(Option<Generation>),
    /// To [`Call::Issue`], whose slot is filled, and to [`Call::SignCertificate`].
    Certificate(Certificate),
    /// To [`Call::Sign`].
    Signature(Signature),
}

/// What `sys/seal-status` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SealStatus {
    /// Whether the seal is Shamir's; any other is foreign to us.
    pub shamir: bool,
    /// Whether Vault says it has been initialized.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Key shares that exist (0 before initialization).
    pub shares: u32,
    /// Key shares that are needed (0 before initialization).
    pub threshold: u32,
    /// The server's version, for people.
    pub version: String,
}

/// What `GET sys/init` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InitStatus {
    /// Never initialized.
    Uninitialized,
    /// Initialized.
    Initialized,
    /// 500 "no seal configuration found": killed inside its own initialization.
    NoSealConfiguration,
}

/// What `sys/health` says by its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Health {
    /// 200: initialized, unsealed, active.
    Active,
    /// 429: unsealed standby; also for a moment after every unseal.
    Standby,
    /// 503.
    Sealed,
    /// 501.
    Uninitialized,
}

/// What a token may and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Where it was made: `auth/token/root` for the token of an initialization.
    pub path: String,
    /// Its policies, sorted.
    pub policies: Vec<String>,
}

impl TokenFacts {
    /// Whether the token may do everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }
}

/// What a login says beside the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Login {
    /// Who Vault says the caller is.
    pub identity: Identity,
    /// For how long the token works, in seconds.
    pub lease_s: u64,
}

/// The recorded generation of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// The K/V version, for compare-and-set.
    pub version: u64,
    /// The generation.
    pub generation: u64,
}

/// What is asked of `pki/issue/<role>` and `pki/sign/<role>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// The PKI role.
    pub role: PkiRole,
    /// The subject's common name; components have none.
    pub common_name: Option<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// The one URI name.
    pub uri: String,
    /// Life in seconds.
    pub ttl_s: u64,
}

/// A certificate as Vault issued it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The leaf.
    pub leaf: Pem,
    /// The authority that signed it.
    pub ca: Pem,
    /// When it ends.
    pub not_after: Unix,
}

/// The roles of `auth/kubernetes/login`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AuthRole {
    /// Writes engines, policies and roles: root-equivalent, used until converged.
    ControllerSetup,
    /// Serves and configures nothing.
    Controller,
    /// The NATS initializer.
    Nats,
    /// The OpenSearch initializer.
    Opensearch,
    /// The telemetry collector.
    Collector,
    /// The log agent on each node.
    Agent,
    /// Every component of the tenant namespaces.
    Component,
}

impl AuthRole {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ControllerSetup,
        Self::Controller,
        Self::Nats,
        Self::Opensearch,
        Self::Collector,
        Self::Agent,
        Self::Component,
    ];

    /// The name in Vault: of the role and of its policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControllerSetup => "controller-setup",
            Self::Controller => "controller",
            Self::Nats => "nats",
            Self::Opensearch => "opensearch",
            Self::Collector => "collector",
            Self::Agent => "agent",
            Self::Component => "component",
        }
    }
}

/// The roles of the PKI engine: one per kind of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PkiRole {
    /// The controller's serving certificate.
    Controller,
    /// NATS.
    Nats,
    /// OpenSearch.
    Opensearch,
    /// The telemetry collector.
    Collector,
    /// The log agent.
    Agent,
    /// A broker: server for its runtime, client of NATS.
    Component,
    /// A component's runtime: client of its broker.
    Runtime,
}

impl PkiRole {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Controller,
        Self::Nats,
        Self::Opensearch,
        Self::Collector,
        Self::Agent,
        Self::Component,
        Self::Runtime,
    ];

    /// The name in Vault, and the certificate's organizational unit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Nats => "nats",
            Self::Opensearch => "opensearch",
            Self::Collector => "collector",
            Self::Agent => "agent",
            Self::Component => "component",
            Self::Runtime => "runtime",
        }
    }
}

/// The secrets engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mount {
    /// K/V of systems and related resources.
    Systems,
    /// K/V of environments.
    Environments,
    /// K/V of OpenSearch credentials.
    Opensearch,
    /// Certificates.
    Pki,
    /// Transit keys of NATS.
    Nats,
    /// K/V of the operator's and the accounts' JWTs.
    NatsJwt,
}

impl Mount {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Systems, Self::Environments, Self::Opensearch, Self::Pki, Self::Nats, Self::NatsJwt];

    /// The path in Vault, without a slash.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Systems => "systems",
            Self::Environments => "environments",
            Self::Opensearch => "opensearch",
            Self::Pki => "pki",
            Self::Nats => "nats",
            Self::NatsJwt => "nats-jwt",
        }
    }
}

/// The transit keys of NATS. No private half ever leaves Vault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NatsKey {
    /// Signs accounts; used only while the platform is set up.
    Operator,
    /// The system account.
    SystemAccount,
    /// The platform's account; signs nothing.
    PlatformAccount,
    /// The scoped key that signs users.
    PlatformSigner,
    /// One component's user.
    User(Identity),
}

/// The stored documents of NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StoredJwt {
    /// The operator; names the system account.
    Operator,
    /// The system account.
    SystemAccount,
    /// The platform's account.
    PlatformAccount,
}

impl StoredJwt {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::SystemAccount, Self::PlatformAccount];
}

/// The accounts of OpenSearch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Account {
    /// May do everything.
    Admin,
    /// Writes telemetry.
    Collector,
    /// Reads.
    Viewer,
}

impl Account {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Collector, Self::Viewer];

    /// The name in Vault and in OpenSearch.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Collector => "collector",
            Self::Viewer => "viewer",
        }
    }
}

/// A piece of Vault's configuration. Reading one gives the members named here; [`crate::documents::setting`] says
/// what each should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Setting {
    /// `sys/auth/kubernetes`: `type`, `accessor`. Create-only.
    KubernetesAuth,
    /// `auth/kubernetes/config`, as it stands; every write replaces all of it.
    KubernetesAuthConfig,
    /// `sys/policies/acl/<name>`: `policy`. Overwritten.
    Policy(AuthRole),
    /// `auth/kubernetes/role/<name>`, as it stands. Overwritten.
    AuthRole(AuthRole),
    /// `sys/mounts/<path>`: `type`, `options`, `config`. Create-only.
    Mount(Mount),
    /// The root certificate: `issuers`, the names of all of them. Create-only, since issuer and key are named.
    RootCertificate,
    /// `pki/roles/<name>`, as it stands. Overwritten.
    PkiRole(PkiRole),
    /// `nats/keys/<name>`: `type`, `latest_version`, `public_key` (base64 of 32 bytes). Writing an existing key
    /// changes nothing.
    NatsKey(NatsKey),
    /// `sys/policies/password/opensearch`: `policy`. Overwritten.
    PasswordPolicy,
}
