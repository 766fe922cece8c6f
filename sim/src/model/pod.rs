//! The pod of Vault and the controller as a whole: deleted, it is made again, and nothing of it but its volume lasts.
//!
//! ```text
//! Vault, controller ── the pod is deleted ─> init container ── it has finished ─> Vault, controller
//!                                               ^    │
//!                                               └────┘ killed: the kubelet runs it again
//! ```

use kubefox_core::fatal::Fatal;
use kubefox_core::machine::{Lost, Machine as _, Outcome, Seed, Standing};
use kubefox_core::names::Uid;
use kubefox_core::quarantine::{Call, Config, Quarantine};
use kubefox_core::storage::Data;
use kubefox_core::time::{Now, Unix};
use kubefox_io::adapter::Entropy as _;
use kubefox_io::adapter::role::QuarantineAdapter;
use kubefox_io::disk;
use kubefox_io::exchange::{Request, Response};

use super::cluster::make_pod;
use super::process::Process;
use super::world::{EXCHANGE_MS, Fate, PLATFORM, World};

/// The pod's first init container: `kubefox init vault`.
pub type Init = Process<Quarantine, QuarantineAdapter>;

impl World {
    /// Whether the controller may have its pod replaced, from its next start on.
    pub fn allow_recovery(&mut self, allowed: bool) {
        let uid = || Uid::parse(&self.pod).expect("the API server gives uids");
        let pod = allowed.then(uid);
        self.config_mut().recover_interrupted_init = pod;
    }

    /// Whether somebody has deleted the pod: its object is gone, and its containers are to end.
    #[must_use]
    pub fn is_pod_deleted(&self) -> bool {
        self.kubernetes.pod_uid(PLATFORM, "kubefox-0") != Some(&self.pod)
    }

    /// A new pod in place of the one that was deleted. Every process of the old one has ended, and with Vault's what it
    /// had not answered yet. The first init container of the new one starts.
    pub fn replace_pod(&mut self) {
        if self.frozen {
            // Quarantines bear the name of their second, and here all seconds are one.
            self.disk.volume.quarantines.clear();
        }
        self.pod = make_pod(&mut self.kubernetes, self.now.unix);
        self.allow_recovery(self.config.recover_interrupted_init.is_some());
        self.tokens_made = Unix(0);
        self.kubelet();
        self.vault.restart();
        self.late.retain(|late| !late.is_to_vault());
        self.restart_controller();
        self.start_init();
    }

    /// The init container's call whose fate is next to be decided.
    #[must_use]
    pub fn next_init_call(&self) -> Option<&Call> {
        self.init.as_ref()?.next_call()
    }

    /// How far the init container is; `None` while there is none.
    #[must_use]
    pub fn init_standing(&self) -> Option<Standing> {
        self.init.as_ref().map(|init| init.machine().standing())
    }

    /// What the init container waits for; `None` while there is none.
    #[must_use]
    pub fn init_waits_for(&self) -> Option<&'static str> {
        self.init.as_ref().map(|init| init.machine().waits_for())
    }

    /// Decides the fate of the init container's next call, or passes the time that it waits for. When it has finished,
    /// Vault and the controller start.
    pub fn take_init(&mut self, fate: Fate) {
        self.kubelet();
        let Some(mut init) = self.init.take() else { return };
        let deadline = init.deadline();
        if let Some(request) = init.encode(self.now, &mut self.dice) {
            match fate {
                Fate::Answered => {
                    let response = self.carry_out(request);
                    self.pass(EXCHANGE_MS);
                    init.answer(self.now, response);
                }
                Fate::RequestLost | Fate::ReplyLost => {
                    if fate == Fate::ReplyLost {
                        self.carry_out(request);
                    }
                    self.pass(deadline.map_or(0, |at| at.0.saturating_sub(self.now.mono.0)));
                    init.lose(self.now, Lost::Deadline);
                }
                Fate::Refused(refusal) => init.conclude(self.now, Outcome::Refused(refusal)),
                Fate::KilledBefore => return self.start_init(),
                Fate::KilledAfter => {
                    self.carry_out(request);
                    return self.start_init();
                }
                Fate::Late
                | Fate::KilledLate
                | Fate::VaultKilledInside
                | Fate::Forestalled
                | Fate::Resealed
                | Fate::TokensEnded
                | Fate::NotShown => panic!("no init container meets {fate:?} in this model"),
            }
        } else if let Some((at, _)) = init.machine().poll_timeout() {
            self.pass(at.0.saturating_sub(self.now.mono.0));
            init.timeout(Now { mono: self.now.mono.max(at), unix: self.now.unix });
        }
        match init.machine().standing() {
            Standing::Finished => {
                self.disk.volume.data = Data::Present; // Vault lays files there as soon as it starts.
                self.restart_controller();
            }
            Standing::Starting | Standing::Ready | Standing::Stopped(_) => self.init = Some(init),
        }
    }

    /// What the kubelet does if the pod was deleted, without faults, until Vault and the controller run again.
    ///
    /// # Errors
    /// The reason for which the init container refuses.
    pub fn renew_pod(&mut self) -> Result<(), Fatal> {
        if self.init.is_none() && self.is_pod_deleted() {
            self.replace_pod();
        }
        while let Some(standing) = self.init_standing() {
            if let Standing::Stopped(fatal) = standing {
                return Err(fatal);
            }
            self.take_init(Fate::Answered);
        }
        Ok(())
    }

    /// The container starts: with the pod, or again after it ended otherwise than well.
    pub(super) fn start_init(&mut self) {
        let mut seed = [0; 32];
        self.dice.fill(&mut seed);
        let adapter = QuarantineAdapter::new(self.config.installation.clone(), self.config.namespace.clone());
        self.init = Some(Process::start(Config, Seed(seed), adapter, self.now));
        self.renew_holder();
    }

    /// Moving Vault's data directory aside is what takes its storage from Vault.
    fn carry_out(&mut self, request: Request) -> Response {
        let moves = matches!(request, Request::Disk(disk::Request::MoveData { .. }));
        let response = self.carry(request);
        if moves && matches!(response, Response::Disk(disk::Response::Done)) {
            self.vault.wipe();
            if self.frozen {
                self.vault.mint_as_before(); // Nobody who lives remembers what the interrupted one minted.
            }
        }
        response
    }
}
