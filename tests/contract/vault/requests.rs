//! Certificates on keys that were made elsewhere: each role's own, and what the engine makes of bad requests.

use kubefox_core::documents::setting::platform_identity;
use kubefox_core::machine::Outcome;
use kubefox_core::names::Csr;
use kubefox_core::secret::Secret;
use kubefox_core::vault::{AuthRole, Call, CertificateRequest, PkiRole, Reply};
use serde_json::json;

use super::certificates::{Change, assert_says_its_role, own};
use super::platform::{COMPONENT, CONTROLLER, DEAD, NATS, SETUP, caller_logs_in, component, set_up};
use crate::stage::{PLATFORM, ROOT, Stage, TENANT, caller, identity, namespace};

const OTHER: Secret = caller(4);

pub(super) const PLAIN: &str = include_str!("../../../io/src/adapter/csr/plain.pem");
const COMMON_NAME: &str = include_str!("../../../io/src/adapter/csr/common-name.pem");
const AUTHORITY: &str = include_str!("../../../io/src/adapter/csr/authority.pem");
const FOREIGN_NAMES: &str = include_str!("../../../io/src/adapter/csr/foreign-names.pem");
const RSA: &str = include_str!("../../../io/src/adapter/csr/rsa.pem");
const P384: &str = include_str!("../../../io/src/adapter/csr/p384.pem");
const ED25519: &str = include_str!("../../../io/src/adapter/csr/ed25519.pem");
const BROKEN_SIGNATURE: &str = include_str!("../../../io/src/adapter/csr/broken-signature.pem");

pub(super) fn each_role(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    for (auth, pki) in [
        (AuthRole::Nats, PkiRole::Nats),
        (AuthRole::Opensearch, PkiRole::Opensearch),
        (AuthRole::Collector, PkiRole::Collector),
        (AuthRole::Agent, PkiRole::Agent),
    ] {
        let who = platform_identity(auth, &namespace(PLATFORM)).expect("it has an account");
        caller_logs_in(stage, &platform, auth, &who, &format!("{}-8", auth.as_str()), OTHER);
        let issued = sign(stage, &format!("{pki:?}, its own"), OTHER, own(&platform, pki, &who), PLAIN);
        assert_says_its_role(pki, &issued);
        let of_component = own(&platform, PkiRole::Component, &component());
        sign(stage, &format!("{pki:?}, a component's"), OTHER, of_component, PLAIN);
    }
    let controller = identity(PLATFORM, "kubefox");
    sign(stage, "the controller's own", CONTROLLER, own(&platform, PkiRole::Controller, &controller), PLAIN);
    for role in [PkiRole::Component, PkiRole::Runtime] {
        let own = || own(&platform, role, &component());
        let issued = sign(stage, &format!("{role:?}, its own"), COMPONENT, own(), PLAIN);
        assert_says_its_role(role, &issued);
        for (who, token) in [
            ("the controller", CONTROLLER),
            ("setup", SETUP),
            ("root", ROOT),
            ("NATS", NATS),
            ("nobody", DEAD),
        ] {
            sign(stage, &format!("{role:?}, by {who}"), token, own(), PLAIN);
        }
    }
}

pub(super) fn bad(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    let own = |role| own(&platform, role, &component());
    for (title, csr) in [
        ("that wants a common name", COMMON_NAME),
        ("that wants to be an authority", AUTHORITY),
        ("that wants foreign names", FOREIGN_NAMES),
        ("for an RSA key", RSA),
        ("for a P-384 key", P384),
        ("for an Ed25519 key", ED25519),
        ("with a broken signature", BROKEN_SIGNATURE),
        ("without content", "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"),
        ("that ends early", &PLAIN[..200]),
        (
            "that is no request",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ),
        ("with another behind it", &format!("{PLAIN}{RSA}")),
    ] {
        sign(stage, title, COMPONENT, own(PkiRole::Component), csr);
    }
    sign(stage, "for the runtime, that wants foreign names", COMPONENT, own(PkiRole::Runtime), FOREIGN_NAMES);
    let variants: [(&str, Change); 6] = [
        ("as another component", |asked| asked.uri = asked.uri.replace("component-a", "component-b")),
        ("with a common name", |asked| asked.common_name = Some("broker.kubefox.internal".to_owned())),
        ("with a foreign name", |asked| asked.dns_names = vec!["kubefox.kubefox.svc".to_owned()]),
        ("with two identities", |asked| asked.uri.push_str(",spiffe://cluster.local/ns/kubefox/sa/kubefox")),
        ("for longer than the role allows", |asked| asked.ttl_s = 400 * 86_400),
        ("for a role that it may not", |asked| asked.role = PkiRole::Nats),
    ];
    for (title, change) in variants {
        let mut asked = own(PkiRole::Component);
        change(&mut asked);
        sign(stage, title, COMPONENT, asked, PLAIN);
    }
    let mut foreign = own(PkiRole::Component);
    foreign.uri = format!("spiffe://cluster.local/ns/{TENANT}/sa/component-b");
    sign(stage, "as another, with a broken signature", COMPONENT, foreign, BROKEN_SIGNATURE);
    stage.other("a role that is none", "POST", "pki/sign/nobody", ROOT, &json!({"csr": PLAIN}));
    stage.other("without a request", "POST", "pki/sign/component", ROOT, &json!({}));
}

pub(super) fn sign(
    stage: &mut Stage<'_>,
    title: &str,
    token: Secret,
    asked: CertificateRequest,
    csr: &str,
) -> Outcome<Reply> {
    let csr = Csr::parse(csr).expect("it begins like one");
    stage.vault(title, &Call::SignCertificate { token, request: asked, csr })
}
