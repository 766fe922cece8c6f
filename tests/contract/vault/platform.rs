//! What a story begins with: an unsealed Vault, one that the controller can log in to, one with everything in it.

use kubefox_core::documents::policy::policy;
use kubefox_core::documents::setting::{
    AUDIENCE_CONTROLLER, AUDIENCE_SETUP, Plan, bootstrap_settings, platform_identity, platform_settings,
    wanted,
};
use kubefox_core::machine::Outcome;
use kubefox_core::names::{Accessor, Identity, Installation, TrustDomain, caller_audience};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, Mount, Reply, Setting};
use serde_json::Value;

use crate::stage::{PLATFORM, Pod, ROOT, Stage, TENANT, accessor, caller, identity, namespace};

pub(super) const SETUP: Secret = Secret::Own(Own::SetupToken);
pub(super) const CONTROLLER: Secret = Secret::Own(Own::ControllerToken);
/// Of the component `app` in [`TENANT`].
pub(super) const COMPONENT: Secret = caller(1);
/// Of the NATS initializer.
pub(super) const NATS: Secret = caller(2);
/// A Vault token that nobody ever made.
pub(super) const DEAD: Secret = caller(99);

/// The engines that need a moment after they were mounted.
const KV: [Mount; 4] = [Mount::Systems, Mount::Environments, Mount::Opensearch, Mount::NatsJwt];

/// What the settings follow from.
pub(super) struct Platform {
    pub(super) plan: Plan,
    pub(super) accessor: Accessor,
}

impl Platform {
    /// The body that makes a setting so.
    pub(super) fn body(&self, setting: &Setting) -> Value {
        wanted(setting, &self.plan, &self.accessor).body
    }

    pub(super) fn write(&self, token: Secret, setting: Setting) -> Call {
        let body = self.body(&setting);
        Call::Write { token, setting, body }
    }
}

/// An initialized Vault that is unsealed, and a pod of the controller that it runs in.
pub(super) fn unsealed(stage: &mut Stage<'_>) -> Plan {
    let pod = stage.pod(&identity(PLATFORM, "kubefox"), "kubefox-0");
    stage.place_vault_in(&pod);
    for (slot, audience) in [(Own::SetupJwt, AUDIENCE_SETUP), (Own::VaultJwt, AUDIENCE_CONTROLLER)] {
        let token = stage.token(&pod, audience);
        stage.fill(Secret::Own(slot), &token);
    }
    stage.fill(DEAD, "s.000000000000000000000000");
    assert_eq!(stage.ask_vault(&Call::Initialize), Outcome::Ok(Reply::Initialized));
    let unseal = Call::Unseal { key: Secret::Own(Own::UnsealKey) };
    assert_eq!(stage.ask_vault(&unseal), Outcome::Ok(Reply::Unsealed));
    stage.await_active();
    plan(stage)
}

/// With the Kubernetes login and the controller's two roles: what root makes.
pub(super) fn bootstrapped(stage: &mut Stage<'_>) -> Platform {
    let plan = unsealed(stage);
    let mut platform = Platform { plan, accessor: accessor("unknown") };
    must_write(stage, &platform.write(ROOT, Setting::KubernetesAuth));
    platform.accessor = read_accessor(stage);
    for setting in bootstrap_settings().into_iter().skip(1) {
        must_write(stage, &platform.write(ROOT, setting));
    }
    log_in(stage, AuthRole::ControllerSetup, Own::SetupJwt, SETUP);
    log_in(stage, AuthRole::Controller, Own::VaultJwt, CONTROLLER);
    platform
}

/// With every engine, policy, role and key, and the tokens of a component and of the NATS initializer.
pub(super) fn set_up(stage: &mut Stage<'_>) -> Platform {
    let platform = bootstrapped(stage);
    for setting in platform_settings() {
        if !matches!(setting, Setting::Mount(_)) {
            for mount in KV {
                stage.await_engine(mount.as_str());
            }
        }
        must_write(stage, &platform.write(SETUP, setting));
    }
    caller_logs_in(stage, &platform, AuthRole::Component, &component(), "app-0", COMPONENT);
    let nats = platform_identity(AuthRole::Nats, &namespace(PLATFORM)).expect("it has an account");
    caller_logs_in(stage, &platform, AuthRole::Nats, &nats, "nats-0", NATS);
    platform
}

/// The component of the stories.
pub(super) fn component() -> Identity {
    identity(TENANT, "component-a")
}

/// A pod of that account, logged in.
pub(super) fn caller_logs_in(
    stage: &mut Stage<'_>,
    platform: &Platform,
    role: AuthRole,
    who: &Identity,
    pod: &str,
    into: Secret,
) -> Pod {
    let pod = stage.pod(who, pod);
    let token = stage.token(&pod, &caller_audience(&platform.plan.installation));
    stage.fill(Secret::Own(Own::CallerJwt), &token);
    log_in(stage, role, Own::CallerJwt, into);
    pod
}

/// Logs in with what is in the slot `jwt`, which must succeed.
pub(super) fn log_in(stage: &mut Stage<'_>, role: AuthRole, jwt: Own, into: Secret) {
    let outcome = stage.ask_vault(&Call::Login { role, jwt: Secret::Own(jwt), into });
    assert!(matches!(outcome, Outcome::Ok(Reply::LoggedIn(_))), "{role:?}: {outcome:?}");
}

pub(super) fn must_write(stage: &mut Stage<'_>, call: &Call) {
    assert_eq!(stage.ask_vault(call), Outcome::Ok(Reply::Written), "{call:?}");
}

/// The accessor of the login's mount, masked from now on.
pub(super) fn read_accessor(stage: &mut Stage<'_>) -> Accessor {
    let read = stage.ask_vault(&Call::Read { token: ROOT, setting: Setting::KubernetesAuth });
    let Outcome::Ok(Reply::Setting(Some(auth))) = read else { panic!("the login is there: {read:?}") };
    let text = auth["accessor"].as_str().expect("it has an accessor");
    stage.masks.mask(text, "ACCESSOR");
    let accessor = accessor(text);
    for role in AuthRole::ALL {
        let text = policy(role, &accessor, &namespace(PLATFORM));
        stage.masks.mask(&text, &format!("THE-POLICY-OF-{}", role.as_str()));
    }
    accessor
}

fn plan(stage: &Stage<'_>) -> Plan {
    let (kubernetes_host, kubernetes_ca) = stage.api_server();
    Plan {
        installation: Installation::parse(PLATFORM).expect("a name"),
        trust_domain: TrustDomain::parse("cluster.local").expect("a name"),
        platform_namespace: namespace(PLATFORM),
        tenant_namespaces: vec![namespace(TENANT)],
        kubernetes_host,
        kubernetes_ca,
    }
}
