//! The world of one controller: Vault, the cluster and the disk of its pod, and whether it is running.

use std::sync::Arc;

use http::{Method, Request as HttpRequest, StatusCode};
use kubefox_core::controller::{Call, Config, Controller, Notice};
use kubefox_core::fatal::Fatal;
use kubefox_core::keys;
use kubefox_core::machine::{Lost, Machine as _, Outcome, Refusal, Seed, Standing};
use kubefox_core::names::{Installation, Namespace, PodName, TrustDomain};
use kubefox_core::storage::Data;
use kubefox_core::time::{Mono, Now, Unix};
use kubefox_io::adapter::Entropy;
use kubefox_io::adapter::certificate::der;
use kubefox_io::adapter::role::ControllerAdapter;
use kubefox_io::disk::Folder;
use kubefox_io::exchange::{ListenerRequest, Request, Response};
use serde_json::{Value, json};

use super::cluster::{administer, lay_out, make_pod};
use super::dice::Dice;
use super::late::LateRequest;
use super::monitor::Monitor;
use super::planted::{Bug, Planted};
use super::pod::Init;
use super::process::Process;
use crate::fake::disk::{Disk, Holder};
use crate::fake::kubernetes::Kubernetes;
use crate::fake::vault::{Host, Vault};

/// When the model's clock starts: 2026-01-01T00:00:00Z.
pub(super) const EPOCH: Unix = Unix(1_767_225_600);
/// What the monotonic clock of a frozen world shows: nothing else in a machine is near this number.
const FROZEN_AT: Mono = Mono(1_000_000_000_000);
/// What an exchange takes.
pub(super) const EXCHANGE_MS: u64 = 1;
/// A world that takes more steps than this never comes to rest.
const STEPS_MAX: u32 = 20_000;

/// The platform's namespace, which is also the name of the installation.
pub const PLATFORM: &str = "kubefox";

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is carried out, and the answer arrives.
    Answered,
    /// It never arrives, and its deadline passes.
    RequestLost,
    /// It is carried out, and its deadline passes without an answer.
    ReplyLost,
    /// Its deadline passes, and it may be carried out at any later moment, or never.
    Late,
    /// The far side says no, and nothing happened there.
    Refused(Refusal),
    /// The process dies before it leaves.
    KilledBefore,
    /// It is carried out, and the process dies before it hears of it.
    KilledAfter,
    /// The process dies, and the request may be carried out at any later moment, or never.
    KilledLate,
    /// Vault is killed while it initializes itself.
    VaultKilledInside,
    /// Somebody else initializes Vault just before.
    Forestalled,
    /// Vault was sealed just before: by a person, or because it was restarted.
    Resealed,
    /// Vault's batch tokens ended just before.
    TokensEnded,
    /// The volume shows nothing: the kubelet is late.
    NotShown,
}

impl Fate {
    /// The faults of a call that needs no more than one process and one wire.
    pub const FAULTS: [Self; 4] = [Self::RequestLost, Self::ReplyLost, Self::KilledBefore, Self::KilledAfter];
}

/// Where a world comes to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    /// Callers are served.
    Serving,
    /// The controller has stopped for a reason.
    Stopped(Fatal),
    /// It goes on for ever without getting anywhere.
    Restless,
}

/// The world.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub now: Now,
    /// Vault.
    pub vault: Vault,
    /// The API server.
    pub kubernetes: Kubernetes,
    /// The directories of the controller's pod.
    pub disk: Disk,
    pub(super) dice: Dice,
    pub(super) pod: String,
    pub(super) tokens_made: Unix,
    setup_token_granted: bool,
    pub(super) seal_key_shown: bool,
    pub(super) config: Arc<Config>,
    pub(super) process: Process<Controller, ControllerAdapter>,
    /// The running process, to the kernel: the controller, or the init container while there is one.
    pub(super) holder: Holder,
    /// So many processes have started.
    processes: u64,
    /// What the running controller's server shows, DER; empty while nothing listens.
    pub(super) shown: Vec<u8>,
    /// The first init container of the pod, while it runs: Vault and the controller start after it.
    pub(super) init: Option<Init>,
    /// What the controller has told so far, over all its lives.
    pub notices: Vec<Notice>,
    /// Requests that were given up and may still arrive.
    pub(super) late: Vec<LateRequest>,
    /// Exchanges and pauses take no time.
    pub(super) frozen: bool,
    /// Looks at most settings are answered as if they stood as they should: see `few.rs`.
    pub(super) few_settings: bool,
    /// Somebody else initialized this Vault.
    pub(super) forestalled: bool,
    /// Vault's disk was lost while it held something.
    pub(super) storage_was_lost: bool,
    /// The controller had stopped before the last step.
    pub(super) had_stopped: bool,
    /// What invariants remember.
    pub(super) monitor: Monitor,
    /// What is wrong with this world on purpose.
    pub(super) planted: Option<Planted>,
}

impl World {
    /// Empty disks, a cluster with `deploy/` applied, and the controller just started.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let now = Now { mono: Mono(0), unix: EPOCH };
        let mut kubernetes = Kubernetes::new(seed);
        lay_out(&mut kubernetes, now.unix);
        let pod = make_pod(&mut kubernetes, now.unix);
        let mut disk = Disk::default();
        disk.mount(Folder::State, true);
        disk.mount(Folder::SealKey, true);
        disk.volume.data = Data::Present; // Vault has started on it.
        let config = config();
        let mut dice = Dice::new(seed);
        let process = start(&config, &mut dice, now);
        let mut world = Self {
            now,
            vault: Vault::new(seed),
            kubernetes,
            disk,
            dice,
            pod,
            tokens_made: Unix(0),
            setup_token_granted: true,
            seal_key_shown: true,
            config: Arc::new(config),
            process,
            holder: Holder(1),
            processes: 1,
            shown: Vec::new(),
            init: None,
            notices: Vec::new(),
            late: Vec::new(),
            frozen: false,
            few_settings: false,
            forestalled: false,
            storage_was_lost: false,
            had_stopped: false,
            monitor: Monitor::default(),
            planted: None,
        };
        world.kubelet();
        world
    }

    /// The same world with its clocks standing still: exchanges and pauses take no time, nothing ends by itself.
    #[must_use]
    pub fn frozen(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.frozen = true;
        world.now.mono = FROZEN_AT;
        world.restart_controller();
        world
    }

    /// Everything that the controller remembers is so many seconds older.
    pub(super) fn age_s(&mut self, seconds: u64) {
        self.process.age_s(self.now, seconds);
    }

    /// The call whose fate is next to be decided.
    #[must_use]
    pub fn next_call(&self) -> Option<&Call> {
        self.process.next_call()
    }

    /// The name of the state the controller is in.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.process.machine().phase()
    }

    /// How far the pod is: the init container while there is one, then the controller.
    pub(super) fn standing(&self) -> Standing {
        self.init_standing().unwrap_or_else(|| self.process.machine().standing())
    }

    /// What the controller waits for.
    #[must_use]
    pub fn waits_for(&self) -> &'static str {
        self.process.machine().waits_for()
    }

    /// Whether the controller is where it should be, or will never be.
    #[must_use]
    pub fn waits_for_nothing(&self) -> bool {
        match self.process.machine().standing() {
            Standing::Starting => false,
            Standing::Ready | Standing::Stopped(_) | Standing::Finished => true,
        }
    }

    /// Kills the controller and starts it again: memory gone, everything else as it is.
    pub fn restart_controller(&mut self) {
        if let Some(planted) = &mut self.planted {
            planted.process_ends(&mut self.disk);
        }
        self.process = start(&self.config, &mut self.dice, self.now);
        self.renew_holder();
        self.shown = Vec::new();
    }

    /// The running process has ended, and another starts in its place.
    pub(super) fn renew_holder(&mut self) {
        self.disk.end(self.holder);
        self.holder = self.new_holder();
    }

    /// A process starts.
    pub(super) fn new_holder(&mut self) -> Holder {
        self.processes += 1;
        Holder(self.processes)
    }

    /// The installation's name.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.config.installation
    }

    /// Whether the last step made the controller, or the init container, stop for a reason.
    pub(super) fn has_just_stopped(&self) -> bool {
        matches!(self.standing(), Standing::Stopped(_)) && !self.had_stopped
    }

    /// Whether the controller's process and what it has just told are the same as in a world that has become of the same one.
    pub(super) fn has_process_like(&self, other: &Self) -> bool {
        self.process.is_like(&other.process) && self.notices == other.notices
    }

    /// The pod starts again, and Vault's disk is an empty one. What was under way to the old Vault died with it.
    pub fn lose_storage(&mut self) {
        self.late.retain(|late| !late.is_to_vault());
        self.vault.wipe();
        self.storage_was_lost = true;
        self.restart_controller();
    }

    /// Somebody else initializes Vault and keeps the key.
    pub fn initialize_by_somebody(&mut self) {
        let body = json!({"secret_shares": 1, "secret_threshold": 1});
        let request = HttpRequest::builder()
            .method(Method::PUT)
            .uri("/v1/sys/init")
            .body(body.to_string().into_bytes());
        let status = self.ask_vault(&request.expect("a well-formed request"));
        assert!(status.is_success(), "{status}");
        self.forestalled = true;
    }

    /// Kills Vault and starts it again: sealed.
    pub fn restart_vault(&mut self) {
        self.vault.restart();
    }

    /// Goes on without faults for so long.
    pub fn live_ms(&mut self, milliseconds: u64) {
        let until = self.now.mono.after_ms(milliseconds);
        while self.now.mono < until {
            if self.process.next_call().is_some() {
                self.take(Fate::Answered);
            } else if !self.idle() {
                return;
            }
        }
    }

    /// Whether the kubelet shows the seal key from now on.
    pub fn show_seal_key(&mut self, shown: bool) {
        self.seal_key_shown = shown;
    }

    /// The configuration with which the controller starts from now on.
    pub fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    /// Whether the controller's pod has the token with which it configures Vault.
    pub fn grant_setup_token(&mut self, granted: bool) {
        self.setup_token_granted = granted;
        self.tokens_made = Unix(0);
    }

    /// Somebody sends a request to Vault.
    pub fn ask_vault(&mut self, request: &HttpRequest<Vec<u8>>) -> StatusCode {
        self.converse_with_vault(request).0
    }

    /// The same, with what Vault answers.
    pub fn converse_with_vault(&mut self, request: &HttpRequest<Vec<u8>>) -> (StatusCode, Value) {
        let mut host = Host { reviewer: &mut self.kubernetes, reviewer_token: None };
        let response = self.vault.handle(self.now.unix, request, &mut host);
        (response.status(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
    }

    /// Somebody sends a request to the API server as its administrator.
    pub fn administer(&mut self, method: Method, path: &str, body: &Value) -> StatusCode {
        administer(&mut self.kubernetes, self.now.unix, method, path, body).0
    }

    /// Plants a bug.
    pub fn plant(&mut self, bug: Bug) {
        self.planted = Some(Planted::new(bug));
    }

    /// Decides the fate of the next call.
    pub fn take(&mut self, fate: Fate) {
        self.kubelet();
        if Planted::interferes(self, fate) {
            self.kubelet();
            return self.listen();
        }
        let deadline = self.process.deadline();
        let Some(request) = self.encode() else {
            // Keys are minted inside the process: its death is all that can go wrong there.
            if matches!(fate, Fate::KilledBefore | Fate::KilledAfter) {
                self.restart_controller();
            }
            return self.listen();
        };
        match fate {
            Fate::Answered => self.carry_and_answer(request),
            Fate::RequestLost => self.let_deadline_pass(deadline),
            Fate::ReplyLost => {
                self.carry(request);
                self.let_deadline_pass(deadline);
            }
            Fate::Late => {
                self.late.extend(LateRequest::new(request));
                self.let_deadline_pass(deadline);
            }
            Fate::Refused(refusal) => self.process.conclude(self.now, Outcome::Refused(refusal)),
            Fate::KilledBefore => self.restart_controller(),
            Fate::KilledAfter => {
                self.carry(request);
                self.restart_controller();
            }
            Fate::KilledLate => {
                self.late.extend(LateRequest::new(request));
                self.restart_controller();
            }
            Fate::VaultKilledInside => {
                self.vault.kill_inside_init();
                self.process.lose(self.now, Lost::Connection);
            }
            Fate::Forestalled => {
                self.initialize_by_somebody();
                self.carry_and_answer(request);
            }
            Fate::Resealed => {
                self.vault.seal();
                self.carry_and_answer(request);
            }
            Fate::TokensEnded => {
                self.vault.end_batch_tokens();
                self.carry_and_answer(request);
            }
            Fate::NotShown => {
                self.show_seal_key(false);
                self.kubelet();
                self.carry_and_answer(request);
            }
        }
        self.kubelet();
        self.listen();
    }

    fn carry_and_answer(&mut self, request: Request) {
        let response = self.carry(request);
        self.pass(EXCHANGE_MS);
        self.process.answer(self.now, response);
    }

    /// Goes on without faults until the world is at rest.
    pub fn settle(&mut self) -> Rest {
        for _ in 0..STEPS_MAX {
            if let Err(fatal) = self.renew_pod() {
                return Rest::Stopped(fatal);
            }
            match self.process.machine().standing() {
                Standing::Ready => return Rest::Serving,
                Standing::Stopped(fatal) => return Rest::Stopped(fatal),
                Standing::Starting | Standing::Finished => {}
            }
            if self.process.next_call().is_some() {
                self.take(Fate::Answered);
            } else if !self.idle() {
                return Rest::Restless;
            }
        }
        Rest::Restless
    }

    /// Goes on without faults until the controller is in that state.
    ///
    /// # Panics
    /// If it never is.
    pub fn reach(&mut self, phase: &str) {
        for _ in 0..STEPS_MAX {
            if self.phase() == phase {
                return;
            }
            if self.process.next_call().is_some() {
                self.take(Fate::Answered);
            } else {
                assert!(self.idle(), "{phase} is never reached");
            }
        }
        panic!("{phase} is never reached; it is {}", self.phase());
    }

    /// Jumps to the machine's next time-out. False if it waits for none.
    pub fn idle(&mut self) -> bool {
        let Some((at, _)) = self.process.machine().poll_timeout() else { return false };
        self.pass(at.0.saturating_sub(self.now.mono.0));
        self.process.timeout(Now { mono: self.now.mono.max(at), unix: self.now.unix });
        self.listen();
        true
    }

    /// The request of the call under way; `None` if it was answered inside the process.
    pub(super) fn encode(&mut self) -> Option<Request> {
        let mints = matches!(self.process.next_call(), Some(Call::Keys(keys::Call::MintSealKey { .. })));
        self.dice.mark(mints);
        self.process.encode(self.now, &mut self.dice)
    }

    pub(super) fn let_deadline_pass(&mut self, deadline: Option<Mono>) {
        let at = deadline.unwrap_or(self.now.mono);
        self.pass(at.0.saturating_sub(self.now.mono.0));
        self.process.lose(self.now, Lost::Deadline);
    }

    pub(super) fn pass(&mut self, milliseconds: u64) {
        if self.frozen {
            return;
        }
        self.now.mono = self.now.mono.after_ms(milliseconds);
        self.now.unix = Unix(EPOCH.0 + self.now.mono.0 / 1_000);
    }

    pub(super) fn listen(&mut self) {
        self.notices.extend(self.process.take_notices());
    }

    pub(super) fn carry(&mut self, request: Request) -> Response {
        if let Some(planted) = &self.planted {
            planted.before_carrying(&request, &mut self.kubernetes, &mut self.disk);
        }
        let response = match request {
            Request::Vault(request) => {
                let token = self.disk.file(Folder::Tokens, "token").map(<[u8]>::to_vec);
                let reviewer_token = token.as_deref().and_then(|token| std::str::from_utf8(token).ok());
                let mut host = Host { reviewer: &mut self.kubernetes, reviewer_token };
                Response::Http(self.vault.handle(self.now.unix, &request, &mut host))
            }
            Request::Kubernetes(request) => Response::Http(self.kubernetes.handle(self.now.unix, &request)),
            Request::Disk(request) => Response::Disk(self.disk.perform(self.holder, request)),
            Request::Listener(request) => self.listener(request),
            Request::Bootstrap { .. } | Request::Nats(_) => panic!("a controller has no such peer"),
        };
        self.monitor.observe(&self.vault, &self.disk);
        response
    }

    /// The controller's own server: it shows what it was last given.
    fn listener(&mut self, request: ListenerRequest) -> Response {
        match request {
            ListenerRequest::Present(presentation) => {
                self.shown = der(&presentation.leaf).expect("Vault issues one certificate in PEM");
                Response::Listening("127.0.0.1:8443".to_owned())
            }
            ListenerRequest::Probe => Response::Shown(self.shown.clone()),
        }
    }

    /// The seal key as the cluster stores it.
    #[must_use]
    pub fn stored_seal_key(&self) -> Option<Vec<u8>> {
        self.kubernetes.secret_data(PLATFORM, "kubefox-seal-key")?.remove("key")
    }

    /// The root certificate as it is published, PEM.
    #[must_use]
    pub fn published_ca(&self) -> Option<Vec<u8>> {
        self.kubernetes.secret_data(PLATFORM, "kubefox-trust")?.remove("ca.crt")
    }
}

fn start(config: &Config, dice: &mut Dice, now: Now) -> Process<Controller, ControllerAdapter> {
    let mut seed = [0; 32];
    dice.fill(&mut seed);
    let adapter = ControllerAdapter::new(config.installation.clone(), config.namespace.clone());
    Process::start(config.clone(), Seed(seed), adapter, now)
}

fn config() -> Config {
    let namespace = Namespace::parse(PLATFORM).expect("letters are a namespace");
    Config {
        pod: PodName::parse("kubefox-0").expect("a pod name"),
        installation: Installation::parse(PLATFORM).expect("letters are a name"),
        trust_domain: TrustDomain::parse("cluster.local").expect("a trust domain"),
        namespace,
        tenant_namespaces: vec![Namespace::parse("team0").expect("a namespace")],
        kubernetes_host: "https://10.0.0.1:443".to_owned(),
        kubernetes_ca: "-----BEGIN CERTIFICATE-----\nMODEL\n-----END CERTIFICATE-----\n".to_owned(),
        allow_plain_state_dir: false,
        seal_key_grace_ms: 180_000,
        recover_interrupted_init: None,
    }
}
