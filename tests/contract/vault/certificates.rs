//! Certificates: each role's own, and what the engine refuses.

use kubefox_core::documents::certificate::{request, ttl_s};
use kubefox_core::documents::setting::platform_identity;
use kubefox_core::names::Identity;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, CertificateRequest, PkiRole};
use serde_json::json;

use super::platform::{COMPONENT, CONTROLLER, Platform, SETUP, caller_logs_in, component, set_up};
use crate::stage::{PLATFORM, ROOT, Stage, TENANT, caller, identity, namespace};

const KEY: Secret = Secret::Own(Own::ServingKey);
const OTHER: Secret = caller(4);

pub(super) fn each_role(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    issue(
        stage,
        "the controller's own",
        CONTROLLER,
        own(&platform, PkiRole::Controller, &identity(PLATFORM, "kubefox")),
    );
    for (auth, pki) in [
        (AuthRole::Nats, PkiRole::Nats),
        (AuthRole::Opensearch, PkiRole::Opensearch),
        (AuthRole::Collector, PkiRole::Collector),
        (AuthRole::Agent, PkiRole::Agent),
    ] {
        let who = platform_identity(auth, &namespace(PLATFORM)).expect("it has an account");
        caller_logs_in(stage, &platform, auth, &who, &format!("{}-9", auth.as_str()), OTHER);
        issue(stage, &format!("{pki:?}, its own"), OTHER, own(&platform, pki, &who));
        issue(
            stage,
            &format!("{pki:?}, a component's"),
            OTHER,
            own(&platform, PkiRole::Component, &component()),
        );
        issue(stage, &format!("{pki:?}, the controller's"), OTHER, own(&platform, PkiRole::Controller, &who));
    }
    for role in [PkiRole::Component, PkiRole::Runtime] {
        issue(stage, &format!("{role:?}, its own"), COMPONENT, own(&platform, role, &component()));
        issue(stage, &format!("{role:?}, by the controller"), CONTROLLER, own(&platform, role, &component()));
        issue(stage, &format!("{role:?}, by setup"), SETUP, own(&platform, role, &component()));
        issue(stage, &format!("{role:?}, by root"), ROOT, own(&platform, role, &component()));
    }
}

/// What makes a request another one.
pub(super) type Change = fn(&mut CertificateRequest);

/// What a component asks for beyond itself.
pub(super) fn of_others(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let role = PkiRole::Component;
    let mine = own(&platform, role, &component());
    for who in
        [identity(TENANT, "component-b"), identity("team1", "component-a"), identity(PLATFORM, "kubefox")]
    {
        issue(stage, &format!("as {who}"), COMPONENT, own(&platform, role, &who));
    }
    let variants: [(&str, Change); 9] = [
        ("with a common name", |asked| asked.common_name = Some("broker.kubefox.internal".to_owned())),
        ("with a foreign name", |asked| asked.dns_names = vec!["kubefox.kubefox.svc".to_owned()]),
        ("with one name more", |asked| asked.dns_names.push("x.kubefox.internal".to_owned())),
        ("without a name", |asked| asked.dns_names.clear()),
        ("with two identities", |asked| asked.uri.push_str(",spiffe://cluster.local/ns/kubefox/sa/kubefox")),
        ("with something behind its identity", |asked| asked.uri.push_str("/x")),
        ("of another trust domain", |asked| asked.uri = asked.uri.replace("cluster.local", "example.org")),
        ("for longer than the role allows", |asked| asked.ttl_s = 400 * 86_400),
        ("for a second", |asked| asked.ttl_s = 1),
    ];
    for (title, change) in variants {
        let mut asked = mine.clone();
        change(&mut asked);
        issue(stage, title, COMPONENT, asked);
    }
    let mut of_runtime = mine;
    of_runtime.role = PkiRole::Runtime;
    of_runtime.dns_names.clear();
    issue(stage, "its own name for its runtime", COMPONENT, of_runtime);
    issue(
        stage,
        "a role that it may not",
        COMPONENT,
        own(&platform, PkiRole::Nats, &identity(PLATFORM, "nats")),
    );
    issue(
        stage,
        "the controller with another common name",
        CONTROLLER,
        CertificateRequest {
            common_name: Some("nats.kubefox.svc".to_owned()),
            ..own(&platform, PkiRole::Controller, &identity(PLATFORM, "kubefox"))
        },
    );
    issue(
        stage,
        "the controller without one",
        CONTROLLER,
        CertificateRequest {
            common_name: None,
            ..own(&platform, PkiRole::Controller, &identity(PLATFORM, "kubefox"))
        },
    );
}

/// What no adapter asks for: revocation, the CA itself.
pub(super) fn by_hand(stage: &mut Stage<'_>) {
    set_up(stage);
    stage.other("an unknown role", "POST", "pki/issue/nobody", ROOT, &json!({"common_name": "x"}));
    stage.other("without a token", "GET", "pki/ca/pem", super::platform::DEAD, &json!(null));
    for path in ["pki/root", "pki/roles/component", "pki/issuer/root-1"] {
        stage.other(&format!("a component deletes {path}"), "DELETE", path, COMPONENT, &json!(null));
    }
    for path in [
        "pki/revoke",
        "pki/root/sign-intermediate",
        "pki/sign-verbatim/component",
        "pki/root/generate/internal",
    ] {
        stage.other(&format!("a component at {path}"), "POST", path, COMPONENT, &json!({}));
        stage.other(&format!("the controller at {path}"), "POST", path, CONTROLLER, &json!({}));
    }
}

fn issue(stage: &mut Stage<'_>, title: &str, token: Secret, asked: CertificateRequest) {
    stage.vault(title, &Call::Issue { token, request: asked, into: KEY });
}

/// What that role asks for itself.
pub(super) fn own(platform: &Platform, role: PkiRole, who: &Identity) -> CertificateRequest {
    request(role, who, &platform.plan.trust_domain, ttl_s(role))
}
