//! The Kubernetes login: who comes in, and everybody who does not.

use http::Method;
use kubefox_core::documents::setting::{AUDIENCE_CONTROLLER, AUDIENCE_SETUP};
use kubefox_core::names::{Identity, caller_audience};
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, Setting};
use serde_json::{Value, json};

use super::platform::{Platform, bootstrapped, component, set_up};
use crate::forge;
use crate::stage::{API_AUDIENCE, PLATFORM, ROOT, Stage, TENANT, TOKEN_CACHE_S, caller, identity};

const JWT: Secret = Secret::Own(Own::CallerJwt);

pub(super) fn each_role(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let pod = stage.pod(&identity(PLATFORM, "kubefox"), "kubefox-1");
    for (role, audience) in
        [(AuthRole::ControllerSetup, AUDIENCE_SETUP), (AuthRole::Controller, AUDIENCE_CONTROLLER)]
    {
        let token = stage.token(&pod, audience);
        log_in(stage, &format!("{role:?}"), role, &token);
    }
    for role in [AuthRole::Nats, AuthRole::Opensearch, AuthRole::Collector, AuthRole::Agent] {
        let token = token_of(
            stage,
            &platform,
            &identity(PLATFORM, role.as_str()),
            &format!("{role:?}-1").to_lowercase(),
        );
        log_in(stage, &format!("{role:?}"), role, &token);
    }
    let token = token_of(stage, &platform, &component(), "app-1");
    log_in(stage, "Component", AuthRole::Component, &token);
    log_in(stage, "the same token again", AuthRole::Component, &token);
}

pub(super) fn of_others(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let app = token_of(stage, &platform, &component(), "app-1");
    log_in(stage, "a component as the platform", AuthRole::Nats, &app);
    log_in(stage, "a component as the controller", AuthRole::Controller, &app);
    let nats = token_of(stage, &platform, &identity(PLATFORM, "nats"), "nats-1");
    log_in(stage, "the platform as a component", AuthRole::Component, &nats);
    log_in(stage, "one of the platform as another", AuthRole::Opensearch, &nats);
    let pod = stage.pod(&identity(TENANT, "component-b"), "other-1");
    let token = stage.token(&pod, API_AUDIENCE);
    log_in(stage, "the API server's audience", AuthRole::Component, &token);
    let token = stage.token(&pod, AUDIENCE_CONTROLLER);
    log_in(stage, "the audience of another role", AuthRole::Component, &token);
    log_in(stage, "no JWT", AuthRole::Component, "nothing");
    log_in(stage, "no claims", AuthRole::Component, "e30.e30.c2ln");
    for (title, header, claims) in nobodys() {
        log_in(stage, title, AuthRole::Component, &forge::forged(&header, &claims));
    }
    log_in(stage, "a signature of other claims", AuthRole::Component, &forge::swapped(&app, &nats));
    stage.other(
        "unknown role",
        "POST",
        "auth/kubernetes/login",
        ROOT,
        &json!({"role": "nobody", "jwt": app}),
    );
    stage.other("no role", "POST", "auth/kubernetes/login", ROOT, &json!({"jwt": app}));
    stage.other("no token", "POST", "auth/kubernetes/login", ROOT, &json!({"role": "component"}));
    stage.other(
        "no such login",
        "POST",
        "auth/nobody/login",
        ROOT,
        &json!({"role": "component", "jwt": app}),
    );
}

/// Whose pod or account is gone. The API server remembers for some seconds that a token was genuine; whoever asks it
/// sooner is told so once more, which is left out here because the fake forgets at once.
pub(super) fn of_the_gone(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": TENANT}});
    let accounts = format!("/api/v1/namespaces/{TENANT}/serviceaccounts");
    let (lost, replaced) = (identity(TENANT, "lost"), identity(TENANT, "replaced"));
    for who in [&lost, &replaced] {
        let made = stage.administrate(Method::POST, &accounts, Some(&account(who.service_account.as_str())));
        assert_eq!(made.0, 201, "{}", made.1);
    }
    let of_pod = token_of(stage, &platform, &component(), "app-1");
    let of_replaced_pod = token_of(stage, &platform, &component(), "app-2");
    let of_account = token_of(stage, &platform, &lost, "lost-1");
    let of_replaced_account = token_of(stage, &platform, &replaced, "replaced-1");
    let tokens = [
        ("its pod is deleted", of_pod),
        ("its pod was made again", of_replaced_pod),
        ("its account is deleted", of_account),
        ("its account was made again", of_replaced_account),
    ];
    for (title, token) in &tokens {
        log_in(stage, &format!("before {title}"), AuthRole::Component, token);
    }
    for pod in ["app-1", "app-2", "lost-1", "replaced-1"] {
        stage.delete(&format!("/api/v1/namespaces/{TENANT}/pods/{pod}"));
    }
    for who in [&lost, &replaced] {
        stage.delete(&format!("{accounts}/{}", who.service_account));
    }
    stage.pod(&component(), "app-2");
    assert_eq!(stage.administrate(Method::POST, &accounts, Some(&account("replaced"))).0, 201);
    stage.wait(TOKEN_CACHE_S);
    for (title, token) in &tokens {
        log_in(stage, title, AuthRole::Component, token);
    }
    stage.delete(&format!("{accounts}/replaced"));
}

/// What a login says when Vault cannot ask, or is not configured.
pub(super) fn that_cannot_be_decided(stage: &mut Stage<'_>) {
    let platform = bootstrapped(stage);
    let pod = stage.pod(&identity(PLATFORM, "kubefox"), "kubefox-1");
    let token = stage.token(&pod, AUDIENCE_CONTROLLER);
    log_in(stage, "configured", AuthRole::Controller, &token);
    log_in(stage, "a role that is not made yet", AuthRole::Nats, &token);
    let mut body = platform.body(&Setting::KubernetesAuthConfig);
    body["token_reviewer_jwt"] = "nobody".into();
    let write = Call::Write { token: ROOT, setting: Setting::KubernetesAuthConfig, body };
    stage.vault("a reviewer who may not", &write);
    log_in(stage, "a reviewer who may not", AuthRole::Controller, &token);
    stage.vault("as it should be", &platform.write(ROOT, Setting::KubernetesAuthConfig));
    log_in(stage, "configured again", AuthRole::Controller, &token);
}

fn token_of(stage: &mut Stage<'_>, platform: &Platform, who: &Identity, pod: &str) -> String {
    let pod = stage.pod(who, pod);
    stage.token(&pod, &caller_audience(&platform.plan.installation))
}

fn log_in(stage: &mut Stage<'_>, title: &str, role: AuthRole, jwt: &str) {
    stage.fill(JWT, jwt);
    stage.vault(title, &Call::Login { role, jwt: JWT, into: caller(50) });
}

/// JWTs that nobody signed.
fn nobodys() -> [(&'static str, Value, Value); 4] {
    let claims = |exp: u64, nbf: u64| {
        json!({
            "aud": ["kubefox.kubefox"], "exp": exp, "iat": nbf, "nbf": nbf,
            "iss": API_AUDIENCE, "sub": "system:serviceaccount:team0:component-a",
            "kubernetes.io": {
                "namespace": TENANT,
                "serviceaccount": {"name": "component-a", "uid": "11111111-2222-3333-4444-555555555555"},
            },
        })
    };
    let (none, rs256) = (json!({"alg": "none"}), json!({"alg": "RS256", "kid": "nobody"}));
    // Vault looks at the times first, whoever signed.
    [
        ("unsigned", none, claims(4_000_000_000, 1)),
        ("signed by nobody", rs256.clone(), claims(4_000_000_000, 1)),
        ("expired", rs256.clone(), claims(1_000_000_000, 1)),
        ("not yet valid", rs256, claims(4_000_000_001, 4_000_000_000)),
    ]
}
