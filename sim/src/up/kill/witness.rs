//! Asks Vault and the disk themselves what is there: with the adapters that the controller uses, and a login of the
//! controller's own account.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use http::{Method, Request};
use kubefox_core::fatal::Fatal;
use kubefox_core::machine::Outcome;
use kubefox_core::names::Installation;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::state::{self, Opened, State};
use kubefox_core::vault::{AuthRole, Call, InitStatus, NatsKey, Reply, Setting};
use kubefox_io::adapter::state::Context;
use kubefox_io::adapter::{Slots as _, state as disk, vault};
use kubefox_io::keyring::Keyring;
use kubefox_io::shell::connector::Target;
use kubefox_io::shell::entropy::OsEntropy;
use kubefox_io::shell::files::{Claim, Directories, perform};
use kubefox_io::shell::host::Real;
use kubefox_io::shell::http::Http;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::platform::{CONTROLLER_SEAL_KEY, CONTROLLER_STATE, CONTROLLER_TOKENS, PLATFORM, Platform};

const JWT: Secret = Secret::Own(Own::VaultJwt);
const TOKEN: Secret = Secret::Own(Own::ControllerToken);
const SEAL_KEY: Secret = Secret::Own(Own::SealKey);
const ROOT: Secret = Secret::Own(Own::RootToken);

/// Looks into one Vault and one state directory.
pub(super) struct Witness {
    vault: Http,
    tokens: PathBuf,
    seal_key: PathBuf,
    state: Directories,
    context: Context,
}

/// What must not change, once it is there, and what must not live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// SHA-256 of the root certificate's PEM, in hexadecimal.
    pub(super) ca: Option<String>,
    /// The public key of NATS' operator, as Vault writes it.
    pub(super) operator: Option<String>,
    /// How many tokens with the policy root live; `None` where nobody may ask yet.
    pub(super) roots: Option<usize>,
}

/// Whether what Vault says now stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calm {
    /// It has nothing to do.
    Still,
    /// It was killed, or is still at work on what a controller asked that is gone.
    Unsettled,
}

/// What a controller that starts now must come to (§7.2): it serves, or stops with one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    may_serve: bool,
    stops: Vec<Fatal>,
}

impl Due {
    const fn serves() -> Self {
        Self { may_serve: true, stops: Vec::new() }
    }

    /// Whether it may come to that: `None` is serving.
    pub(super) fn allows(&self, fatal: Option<&str>) -> bool {
        match fatal {
            None => self.may_serve,
            Some(fatal) => self.stops.iter().any(|due| format!("{due:?}") == fatal),
        }
    }
}

impl Witness {
    pub(super) fn new(platform: &Platform, vault: &str) -> Result<Self> {
        let state = Some(platform.pod_volume(CONTROLLER_STATE));
        Ok(Self {
            vault: Http::new(Arc::new(Real), Target::vault(vault)?),
            tokens: platform.pod_volume(CONTROLLER_TOKENS),
            seal_key: platform.pod_volume(CONTROLLER_SEAL_KEY),
            state: Directories { state, ..Directories::default() },
            context: Context { installation: Installation::parse(PLATFORM)? },
        })
    }

    /// What stands in Vault now. A Vault that is sealed shows nothing, and one without the controller's role little.
    pub(super) async fn look(&self) -> Result<Seen> {
        let mut slots = Keyring::default();
        if !self.is_unsealed().await {
            return Ok(Seen::default());
        }
        let ca = self.ca().await?;
        let jwt = std::fs::read(self.tokens.join("vault")).context("the controller's token for Vault")?;
        slots.fill(JWT, Zeroizing::new(jwt));
        let login = Call::Login { role: AuthRole::Controller, jwt: JWT, into: TOKEN };
        let Outcome::Ok(_) = self.ask(&login, &mut slots).await? else {
            return Ok(Seen { ca, ..Seen::default() });
        };
        Ok(Seen { ca, operator: self.operator(&mut slots).await?, roots: self.roots(&mut slots).await? })
    }

    async fn ca(&self) -> Result<Option<String>> {
        // Whoever trusts the platform may read it without a token.
        let request = Request::builder().method(Method::GET).uri("/v1/pki/ca/pem").body(Vec::new())?;
        let response = self.carry(request).await?;
        let is_there = response.status() == 200 && !response.body().is_empty();
        Ok(is_there.then(|| HEXLOWER.encode(&Sha256::digest(response.body()))))
    }

    async fn operator(&self, slots: &mut Keyring) -> Result<Option<String>> {
        let call = Call::Read { token: TOKEN, setting: Setting::NatsKey(NatsKey::Operator) };
        let Outcome::Ok(Reply::Setting(Some(standing))) = self.ask(&call, slots).await? else {
            return Ok(None);
        };
        Ok(standing.get("public_key").and_then(Value::as_str).map(str::to_owned))
    }

    async fn roots(&self, slots: &mut Keyring) -> Result<Option<usize>> {
        let Outcome::Ok(Reply::Accessors(accessors)) =
            self.ask(&Call::ListAccessors { token: TOKEN }, slots).await?
        else {
            return Ok(None);
        };
        let mut roots = 0;
        for accessor in accessors {
            match self.ask(&Call::LookupAccessor { token: TOKEN, accessor }, slots).await? {
                Outcome::Ok(Reply::Token(facts)) => roots += usize::from(facts.is_root()),
                Outcome::Ok(_) => {}
                Outcome::Refused(_) | Outcome::Unknown(_) => return Ok(None),
            }
        }
        Ok(Some(roots))
    }

    /// Whether Vault answers and is open.
    pub(super) async fn is_unsealed(&self) -> bool {
        let seal = self.ask(&Call::SealStatus, &mut Keyring::default()).await;
        matches!(seal, Ok(Outcome::Ok(Reply::SealStatus(seal))) if seal.initialized && !seal.sealed)
    }

    /// What `boot.state` says.
    pub(super) fn boot_state(&self) -> Result<State> {
        match self.read(&state::Call::Read, &mut Keyring::default())? {
            Outcome::Ok(state::Reply::State(state)) => Ok(state),
            other @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                bail!("boot.state cannot be read: {other:?}")
            }
        }
    }

    /// What the table of the boot says of the disk and of Vault as they are now.
    pub(super) async fn due(&self, vault: Calm) -> Result<Due> {
        let stops = |fatal| Due { may_serve: false, stops: vec![fatal] };
        Ok(match self.boot_state()? {
            state @ (State::Sent { .. } | State::Recover { .. }) => {
                // Nobody initializes on what is marked, even if Vault says that it is empty.
                let is_marked = matches!(state, State::Recover { .. });
                let empty = if is_marked { stops(Fatal::HalfInitialized) } else { Due::serves() };
                match (self.ask(&Call::InitStatus, &mut Keyring::default()).await?, vault) {
                    (Outcome::Ok(Reply::InitStatus(InitStatus::Initialized)), _) => {
                        stops(Fatal::InitInterrupted)
                    }
                    (Outcome::Ok(Reply::InitStatus(InitStatus::NoSealConfiguration)), _) => {
                        stops(Fatal::HalfInitialized)
                    }
                    (Outcome::Ok(Reply::InitStatus(InitStatus::Uninitialized)), Calm::Still) => empty,
                    (Outcome::Ok(Reply::InitStatus(InitStatus::Uninitialized)), Calm::Unsettled) => {
                        let stops = vec![Fatal::HalfInitialized, Fatal::InitInterrupted];
                        Due { stops, ..empty }
                    }
                    (other @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)), _) => {
                        bail!("Vault does not say whether it is initialized: {other:?}")
                    }
                }
            }
            State::Foreign { .. } => stops(Fatal::ForeignInit),
            State::Absent | State::Intent { .. } | State::Envelope { .. } => Due::serves(),
            state @ (State::Corrupt | State::OtherInstallation) => {
                bail!("boot.state is {state:?}")
            }
        })
    }

    /// Makes another root token with the one in the envelope, as somebody could who had stolen it.
    pub(super) async fn make_second_root(&self) -> Result<()> {
        let mut slots = Keyring::default();
        let key = std::fs::read(self.seal_key.join("key")).context("the seal key is mounted")?;
        slots.fill(SEAL_KEY, Zeroizing::new(key));
        let opened = self.read(&state::Call::Open { key: SEAL_KEY }, &mut slots)?;
        let Outcome::Ok(state::Reply::Opened(Opened::Keys { root: true })) = opened else {
            bail!("there is no envelope with a root token: {opened:?}");
        };
        let mut token = http::HeaderValue::from_bytes(slots.expose(ROOT)?)?;
        token.set_sensitive(true);
        let body = json!({"policies": ["root"]}).to_string().into_bytes();
        let request = Request::builder().method(Method::POST).uri("/v1/auth/token/create-orphan");
        let response = self.carry(request.header("x-vault-token", token).body(body)?).await?;
        if response.status() != 200 {
            bail!("Vault made no second root token: {}", response.status());
        }
        Ok(())
    }

    /// Initializes Vault, as somebody does who is not our controller.
    pub(super) async fn initialize(&self) -> Result<()> {
        match self.ask(&Call::Initialize, &mut Keyring::default()).await? {
            Outcome::Ok(Reply::Initialized) => Ok(()),
            other @ (Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_)) => {
                bail!("Vault was not initialized: {other:?}")
            }
        }
    }

    fn read(&self, call: &state::Call, slots: &mut Keyring) -> Result<Outcome<state::Reply>> {
        let request = disk::encode(call, &self.context, slots, &mut OsEntropy)?;
        // It only reads, and a replaced file is whole at every moment: it claims nothing.
        let response = perform(&self.state, &mut Claim::default(), &request);
        Ok(disk::decode(call, &self.context, response, slots))
    }

    async fn ask(&self, call: &Call, slots: &mut Keyring) -> Result<Outcome<Reply>> {
        let response = self.carry(vault::encode(call, slots)?).await?;
        Ok(vault::decode(call, response, slots))
    }

    async fn carry(&self, request: Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>> {
        self.vault.carry(request).await.map_err(|lost| anyhow::anyhow!("Vault gave no answer: {lost:?}"))
    }
}
