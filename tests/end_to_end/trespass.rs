//! What a component can do with all that the platform gives it: be itself, and nothing else.
//!
//! How NATS treats documents that the platform would never sign, `contract/nats` shows; here they are the platform's own,
//! by its controller and Vault.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use kubefox_core::vault::{AuthRole, PkiRole};
use kubefox_proto::bootstrap::v1::ComponentBootstrapResponse;
use kubefox_sim::up::stand::caller::{Caller, NONCE, expected};
use serde_json::{Value, json};

use crate::caller::{Platform, presentation};
use crate::connection::{Connection, Server};

/// A user's JWT lasts an hour, a tenth more or less.
const JWT_LIFE_S: std::ops::RangeInclusive<u64> = 3_240..=3_960;
const VIOLATION: &str = "-ERR 'Authorization Violation'";

#[test]
fn a_component_is_itself_and_nobody_else() {
    tell(&[]);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_component_is_itself_and_nobody_else() {
    tell(&["--real"]);
}

fn tell(flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let platform = Platform::start(folder.path(), flags);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing that a process lacks");
    runtime.block_on(async {
        let (alice, bob) = (platform.caller("component-a"), platform.caller("component-b"));
        let (alice, bob) = (Holder::of(&platform, alice).await, Holder::of(&platform, bob).await);
        claims_an_hour_and_no_rights(&alice);
        nobody_connects_as_another(&alice, &bob).await;
        nobody_speaks_or_listens_for_another(&alice, &bob).await;
        nobody_signs_with_the_key_of_another(&platform, &alice.caller.token).await;
    });
    platform.interrupt();
}

fn claims_an_hour_and_no_rights(alice: &Holder) {
    let claims = alice.documents.user_jwt.split('.').nth(1).expect("a JWT has three parts");
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let moment = |name: &str| claims[name].as_u64().expect("a moment");
    let life_s = moment("exp") - moment("iat");
    assert!(JWT_LIFE_S.contains(&life_s), "{life_s} s");
    let account = claims["nats"]["issuer_account"].clone();
    assert_ne!(claims["iss"], account, "the account's own key signs nobody");
    let expected = json!({"pub": {}, "sub": {}, "issuer_account": account, "type": "user", "version": 2});
    assert_eq!(claims["nats"], expected, "its rights are those of the key that signed it");
}

async fn nobody_connects_as_another(alice: &Holder, bob: &Holder) {
    let own = alice.documents.user_jwt.as_str();
    let others = bob.documents.user_jwt.as_str();
    let mut earlier = None;
    let mut connection = alice
        .connect(Some(own), async |nonce| {
            earlier = Some(alice.sign(&nonce).await);
            earlier.clone()
        })
        .await;
    assert_eq!(connection.hear().await, [""; 0], "as itself");
    let earlier = earlier.expect("the nonce was signed");

    let sign = async |nonce: String| Some(alice.sign(&nonce).await);
    let refused = [
        ("another's JWT", alice.connect(Some(others), sign).await),
        ("no JWT", alice.connect(None, sign).await),
        ("its JWT as a bearer", alice.connect(Some(own), async |_| None).await),
        ("the signature of an earlier nonce", alice.connect(Some(own), async |_| Some(earlier)).await),
    ];
    for (shows, mut connection) in refused {
        assert_eq!(connection.hear_to_the_end().await, [VIOLATION], "who shows {shows}");
    }
}

async fn nobody_speaks_or_listens_for_another(alice: &Holder, bob: &Holder) {
    let (a, b) = (&alice.documents.user, &bob.documents.user);
    let mut speaks = alice.enter().await;
    let mut hears = bob.enter().await;
    // Its own broker and runtime are alive, and talk in its inbox; this is nobody's but ours.
    hears.say(&format!("SUB kf.{b}.in.*.x 1\r\n")).await;
    assert_eq!(hears.hear().await, [""; 0]);

    for subject in [
        format!("kf.{b}.in.>"),
        format!("kf.{b}.in._inbox.>"),
        format!("kf.{b}.>"),
        "kf.*.in.>".to_owned(),
        "_INBOX.>".to_owned(),
        "$SYS.>".to_owned(),
        ">".to_owned(),
    ] {
        speaks.say(&format!("SUB {subject} 2\r\n")).await;
        let refused = format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'");
        assert_eq!(speaks.hear().await, [refused]);
    }
    for subject in [
        format!("kf.{b}.in.{b}.x"),
        format!("kf.{b}.in.x"),
        format!("kf.{b}.out.{a}.x"),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "x".to_owned(),
    ] {
        speaks.say(&format!("PUB {subject} 2\r\nhi\r\n")).await;
        let refused = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'");
        assert_eq!(speaks.hear().await, [refused]);
        assert_eq!(hears.hear().await, [""; 0], "{subject}");
    }
    // What it may: its own name is a part of the subject.
    speaks.say(&format!("PUB kf.{b}.in.{a}.x 2\r\nhi\r\n")).await;
    assert_eq!(speaks.hear().await, [""; 0]);
    assert_eq!(hears.hear().await, [format!("MSG kf.{b}.in.{a}.x 1 2"), "hi".to_owned()]);
}

/// Vault is asked itself, as by somebody who has got as far as its port.
async fn nobody_signs_with_the_key_of_another(platform: &Platform, token: &str) {
    let mounted = platform.directory.join("pods/controller/tokens/vault");
    let mounted = std::fs::read_to_string(mounted).expect("it is mounted");
    let component = platform.login("component", token).await;
    let controller = platform.login("controller", &mounted).await;
    let keys = [
        "user.team0.component-a",
        "user.team0.component-b",
        "signer.platform",
        "account.platform",
        "account.system",
        "operator",
    ];
    let body = json!({"input": BASE64.encode(NONCE.as_bytes())});
    let mut statuses = Vec::new();
    for vault_token in [&component, &controller] {
        for key in keys {
            let path = format!("/v1/nats/sign/{key}");
            statuses.push(platform.vault("POST", &path, vault_token, &body).await.0);
        }
    }
    assert_eq!(statuses[..6], [200, 403, 403, 403, 403, 403], "a component: its own key");
    assert_eq!(statuses[6..], [403, 403, 200, 403, 403, 403], "the controller: the scoped key");
}

/// A component, and what it got for its token.
struct Holder {
    caller: Caller,
    documents: ComponentBootstrapResponse,
    nats: String,
}

impl Holder {
    async fn of(platform: &Platform, caller: Caller) -> Self {
        let documents = caller.bootstrap().await.expect("its documents are its own");
        Self { caller, documents, nats: platform.nats.clone() }
    }

    async fn connect(
        &self,
        jwt: Option<&str>,
        sign: impl AsyncFnOnce(String) -> Option<Vec<u8>>,
    ) -> Connection {
        let expected = expected(PkiRole::Nats, AuthRole::Nats);
        let server = Server { address: &self.nats, ca: &self.caller.ca, expected: &expected };
        let certificate = presentation(&self.documents);
        Connection::open(&server, Some(&certificate), jwt, sign).await.expect("its certificate is good")
    }

    async fn sign(&self, nonce: &str) -> Vec<u8> {
        self.caller.sign(nonce).await.expect("its key is its own")
    }

    /// As itself.
    async fn enter(&self) -> Connection {
        let sign = async |nonce: String| Some(self.sign(&nonce).await);
        self.connect(Some(&self.documents.user_jwt), sign).await
    }
}
