//! The fakes as a stage: no socket, no clock, no process.

use http::{Request, Response};
use kubefox_core::time::Unix;
use kubefox_sim::fake::kubernetes::Kubernetes;
use kubefox_sim::fake::vault::{Host, Vault};

/// 2026-11-23T20:46:53Z.
const BEGIN: Unix = Unix(1_795_466_813);
/// Whatever the fakes make up follows from it.
const SEED: u64 = 7;

/// The servers of one story, and the time.
pub(crate) struct Fakes {
    pub(crate) now: Unix,
    vault: Vault,
    kubernetes: Kubernetes,
    /// The token in Vault's pod.
    pub(crate) reviewer_token: Option<String>,
}

impl Fakes {
    /// A cluster with nothing in it and a Vault that was never initialized.
    pub(crate) fn new() -> Self {
        let (vault, kubernetes) = (Vault::new(SEED), Kubernetes::new(SEED));
        Self { now: BEGIN, vault, kubernetes, reviewer_token: None }
    }

    pub(crate) fn vault(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let mut host =
            Host { reviewer: &mut self.kubernetes, reviewer_token: self.reviewer_token.as_deref() };
        self.vault.handle(self.now, request, &mut host)
    }

    pub(crate) fn kubernetes(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        self.kubernetes.handle(self.now, request)
    }

    /// The bearer token that stands for the administrator's certificate.
    pub(crate) fn administrator(&self) -> String {
        self.kubernetes.admin_token().to_owned()
    }

    /// Vault's process ends and begins again.
    pub(crate) fn restart_vault(&mut self) {
        self.vault.restart();
    }
}
