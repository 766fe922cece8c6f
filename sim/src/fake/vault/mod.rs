//! A Vault (OpenBao 2.7, one node on raft) as a pure function: `handle(now, request) → response`.
//!
//! It makes no connection, reads no clock and no entropy; what it mints is a function of its seed and of what it is
//! asked. It is strict: policies are evaluated, tokens expire, service-account tokens are reviewed, certificates are
//! real. What it does not implement is a 501 that names the request.

use std::collections::BTreeMap;

use http::{Method, Request, Response};
use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};

use self::answer::{Answer, Refusal};
use self::mint::Mint;
use self::mounts::Engine;
use self::shared::Shared;
use self::storage::Storage;
use crate::fake::review::Reviewer;

mod acl;
mod answer;
mod canonical;
mod certificate;
mod fields;
mod hcl;
mod identity;
mod kubernetes_auth;
mod kubernetes_role;
mod kv;
mod mint;
mod mounts;
mod password;
mod pki;
mod pki_issue;
mod pki_role;
mod pki_sign;
mod policies;
mod policy_parse;
mod request;
mod route;
mod seal;
mod service_account_token;
mod shared;
mod spoil;
mod storage;
mod token;
mod transit;

pub use self::mint::SECRET_MARK;
pub use self::policy_parse::{Capability, Parameters, Policy, Rule, Unparsable};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;

/// One server with its disk. It holds secrets: never formatted.
#[derive(Clone, Serialize, Deserialize)]
pub struct Vault {
    mint: Mint,
    disk: Disk,
    sealed: bool,
    /// The shares of the unseal key given so far.
    progress: Vec<Vec<u8>>,
    upgrading: u8,
    /// Statistics, no part of the state.
    #[serde(skip)]
    requests: BTreeMap<(String, String), u64>,
}

/// What surrounds the server: the API server that it asks about tokens, and its pod.
pub struct Host<'a> {
    /// Reviews service-account tokens.
    pub reviewer: &'a mut dyn Reviewer,
    /// The pod's own service-account token as it is now; `None` if the pod has none.
    pub reviewer_token: Option<&'a str>,
}

/// What the storage is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Service tokens; root tokens are among them.
    pub service_tokens: usize,
    /// Batch tokens that have not expired.
    pub batch_tokens: usize,
    /// Leases: service tokens that will expire.
    pub leases: usize,
    /// Who ever logged in.
    pub entities: usize,
    /// Certificates that were kept, which grow for ever.
    pub certificates: u64,
    /// Versions of secrets ever written.
    pub secret_versions: u64,
}

#[derive(Clone, Serialize, Deserialize)]
enum Disk {
    Empty,
    /// Killed inside its own initialization: says "uninitialized", refuses to be initialized.
    HalfInitialized,
    Initialized(Shared<Storage>),
}

impl Vault {
    /// A server that was never initialized.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            mint: Mint::new(seed),
            disk: Disk::Empty,
            sealed: true,
            progress: Vec::new(),
            upgrading: 0,
            requests: BTreeMap::new(),
        }
    }

    /// Answers one request to `/v1/…` as the real server would: <https://openbao.org/api-docs/>.
    pub fn handle(
        &mut self,
        now: Unix,
        request: &Request<Vec<u8>>,
        host: &mut Host<'_>,
    ) -> Response<Vec<u8>> {
        let counted = (request.method().to_string(), request.uri().path().to_owned());
        *self.requests.entry(counted).or_default() += 1;
        let mut response = match request::Request::parse(now, request, self.mint) {
            Err(refusal) => refusal.into_response(),
            Ok(parsed) => {
                let id = parsed.id.clone();
                let answer = self.answer(parsed, host);
                answer.map_or_else(Refusal::into_response, |answer| answer.into_response(&id))
            }
        };
        if request.method() == Method::HEAD {
            response.body_mut().clear();
        }
        response
    }

    fn answer(&mut self, request: request::Request, host: &mut Host<'_>) -> Result<Answer, Refusal> {
        if let Some(answer) = seal::handle(self, &request) {
            return answer;
        }
        let upgrading = self.upgrading;
        let (Disk::Initialized(storage), false) = (&mut self.disk, self.sealed) else {
            return Err(Refusal::new(http::StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed"));
        };
        let storage = storage.own();
        if storage.tokens.is_stale(request.now) {
            storage.tokens.own().expire(request.now);
        }
        route::route(storage, request, host, upgrading).answer(|| self.sealed = true)
    }

    /// The process ended and began again: sealed, its memory gone. Tokens survive; so do batch tokens, which on the
    /// real server carry all they are themselves.
    pub fn restart(&mut self) {
        self.seal();
    }

    /// An operator sealed it.
    pub fn seal(&mut self) {
        self.sealed = true;
        self.progress.clear();
    }

    /// Its storage was lost; the next initialization makes another Vault.
    pub fn wipe(&mut self) {
        self.seal();
        self.disk = Disk::Empty;
        self.mint.begin_another_life();
    }

    /// It was killed inside its own initialization of raft and started again.
    pub fn kill_inside_init(&mut self) {
        self.wipe();
        self.disk = Disk::HalfInitialized;
    }

    /// How many accesses to a K/V mount made from now on are answered with a 400 "Upgrading…" before it works.
    pub fn set_upgrading(&mut self, accesses: u8) {
        self.upgrading = accesses;
    }

    /// What the server says its version is.
    #[must_use]
    pub const fn version() -> &'static str {
        seal::VERSION
    }

    /// Whether there is a Vault on the disk.
    #[must_use]
    pub const fn is_initialized(&self) -> bool {
        matches!(self.disk, Disk::Initialized(_))
    }

    /// Whether an initialization ever began on this storage.
    #[must_use]
    pub const fn was_begun(&self) -> bool {
        !matches!(self.disk, Disk::Empty)
    }

    /// Whether it has to be unsealed before it works; true before the initialization, too.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether this is a share of the unseal key, in hexadecimal as `sys/init` answered it: whether whoever holds it can
    /// open the storage.
    #[must_use]
    pub fn is_unseal_key(&self, key: &[u8]) -> bool {
        let is_it = |share: &Vec<u8>| data_encoding::HEXLOWER.encode(share).as_bytes() == key;
        self.storage().is_some_and(|storage| storage.keys.shares.iter().any(is_it))
    }

    /// The accessors of all tokens that may do everything and have not expired.
    #[must_use]
    pub fn live_root_tokens(&self, now: Unix) -> Vec<&str> {
        self.storage().into_iter().flat_map(|storage| storage.tokens.live_roots(now)).collect()
    }

    /// The certificates of all issuers of all PKI mounts, PEM.
    #[must_use]
    pub fn issuer_certificates(&self) -> Vec<String> {
        let mounts = self.storage().into_iter().flat_map(|storage| storage.mounts.values());
        let issuers = mounts.flat_map(|mount| match &mount.engine {
            Engine::Pki(pki) => pki.certificates().collect(),
            Engine::Kv(_) | Engine::Transit(_) | Engine::Opaque => Vec::new(),
        });
        issuers.collect()
    }

    /// The accessor of an auth method; the path ends with a slash.
    #[must_use]
    pub fn auth_accessor(&self, path: &str) -> Option<&str> {
        Some(self.storage()?.auth.get(path)?.description.accessor())
    }

    /// How full the storage is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Some(storage) = self.storage() else {
            return Counts::default();
        };
        let (service_tokens, batch_tokens, leases) = storage.tokens.count();
        let stored = |mount: &mounts::SecretMount| match &mount.engine {
            Engine::Pki(pki) => pki.stored,
            Engine::Kv(_) | Engine::Transit(_) | Engine::Opaque => 0,
        };
        Counts {
            service_tokens,
            batch_tokens,
            leases,
            entities: storage.entities.len(),
            certificates: storage.mounts.values().map(stored).sum(),
            secret_versions: storage.count_kv_versions(),
        }
    }

    /// How often each method and path was asked since this value was made or read; not kept on disk.
    #[must_use]
    pub const fn requests(&self) -> &BTreeMap<(String, String), u64> {
        &self.requests
    }

    /// Counts anew from here on.
    pub fn forget_requests(&mut self) {
        self.requests.clear();
    }

    fn storage(&self) -> Option<&Storage> {
        match &self.disk {
            Disk::Initialized(storage) => Some(storage),
            Disk::Empty | Disk::HalfInitialized => None,
        }
    }
}
