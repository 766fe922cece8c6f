//! Certificates: each role's own, and what the engine refuses.

use kubefox_core::documents::certificate::{PKI_MAX_TTL_S, ROOT_TTL_S, request, ttl_s};
use kubefox_core::documents::setting::platform_identity;
use kubefox_core::machine::Outcome;
use kubefox_core::names::Identity;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{AuthRole, Call, CertificateRequest, PkiRole, Reply, Setting};
use serde_json::json;

use super::platform::{COMPONENT, CONTROLLER, Platform, SETUP, caller_logs_in, component, set_up};
use super::requests::{PLAIN, sign};
use crate::certificate;
use crate::stage::{PLATFORM, ROOT, Stage, TENANT, caller, identity, namespace};

const KEY: Secret = Secret::Own(Own::ServingKey);
const OTHER: Secret = caller(4);

pub(super) fn each_role(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let asked = own(&platform, PkiRole::Controller, &identity(PLATFORM, "kubefox"));
    let issued = issue(stage, "the controller's own", CONTROLLER, asked);
    assert_says_its_role(PkiRole::Controller, &issued);
    for (auth, pki) in [
        (AuthRole::Nats, PkiRole::Nats),
        (AuthRole::Opensearch, PkiRole::Opensearch),
        (AuthRole::Collector, PkiRole::Collector),
        (AuthRole::Agent, PkiRole::Agent),
    ] {
        let who = platform_identity(auth, &namespace(PLATFORM)).expect("it has an account");
        caller_logs_in(stage, &platform, auth, &who, &format!("{}-9", auth.as_str()), OTHER);
        let issued = issue(stage, &format!("{pki:?}, its own"), OTHER, own(&platform, pki, &who));
        assert_says_its_role(pki, &issued);
        issue(
            stage,
            &format!("{pki:?}, a component's"),
            OTHER,
            own(&platform, PkiRole::Component, &component()),
        );
        issue(stage, &format!("{pki:?}, the controller's"), OTHER, own(&platform, PkiRole::Controller, &who));
    }
    for role in [PkiRole::Component, PkiRole::Runtime] {
        let asked = own(&platform, role, &component());
        let issued = issue(stage, &format!("{role:?}, its own"), COMPONENT, asked);
        assert_says_its_role(role, &issued);
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

/// A role that allows more than its authority has left: Vault refuses, and cuts nothing.
pub(super) fn beyond_the_authority(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let setting = Setting::PkiRole(PkiRole::Component);
    let mut body = platform.body(&setting);
    body["max_ttl"] = (2 * PKI_MAX_TTL_S).into();
    stage.vault("a role without end", &Call::Write { token: ROOT, setting, body });
    for (title, ttl_s) in [
        ("within the authority's life", ROOT_TTL_S - 3_600),
        ("for all of its life", ROOT_TTL_S),
        ("beyond its life", ROOT_TTL_S + 3_600),
        ("beyond the engine's limit", PKI_MAX_TTL_S + 3_600),
        ("beyond the role's limit", 3 * PKI_MAX_TTL_S),
    ] {
        let asked = CertificateRequest { ttl_s, ..own(&platform, PkiRole::Component, &component()) };
        sign(stage, title, COMPONENT, asked.clone(), PLAIN);
        issue(stage, title, COMPONENT, asked);
    }
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

fn issue(stage: &mut Stage<'_>, title: &str, token: Secret, asked: CertificateRequest) -> Outcome<Reply> {
    stage.vault(title, &Call::Issue { token, request: asked, into: KEY })
}

/// Whose certificate it is and what it is good for, whoever made the key: a component and its runtime have no common
/// name, a runtime is nobody's server, and nobody is an authority.
pub(super) fn assert_says_its_role(role: PkiRole, issued: &Outcome<Reply>) {
    let Outcome::Ok(Reply::Certificate(issued)) = issued else { panic!("{role:?}: {issued:?}") };
    let (subject, purposes): (_, &[&str]) = match role {
        PkiRole::Controller => ("O=kubefox, OU=controller, CN=kubefox.kubefox.svc", &["server"]),
        PkiRole::Nats => ("O=kubefox, OU=nats, CN=nats.kubefox.svc", &["server"]),
        PkiRole::Opensearch => ("O=kubefox, OU=opensearch, CN=opensearch.kubefox.svc", &["server", "client"]),
        PkiRole::Collector => ("O=kubefox, OU=collector, CN=collector.kubefox.svc", &["server"]),
        PkiRole::Agent => ("O=kubefox, OU=agent", &["client"]),
        PkiRole::Component => ("O=kubefox, OU=component", &["server", "client"]),
        PkiRole::Runtime => ("O=kubefox, OU=runtime", &["client"]),
    };
    let facts = certificate::facts(issued);
    let said = ["subject", "key_usage", "extended_key_usage", "is_ca"].map(|name| &facts[name]);
    let expected = [json!(subject), json!("Digital Signature"), json!(purposes), json!(false)];
    assert_eq!(said, expected.each_ref(), "{role:?}");
}

/// What that role asks for itself.
pub(super) fn own(platform: &Platform, role: PkiRole, who: &Identity) -> CertificateRequest {
    request(role, who, &platform.plan.trust_domain, ttl_s(role))
}
