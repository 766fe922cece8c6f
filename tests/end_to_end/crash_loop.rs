//! What a pod costs Vault that crashes in a loop, and one that asks on and on for what it may not have. The model tells of
//! the first at length (`sim/src/model/callers.rs`); here Vault's own books are read: the accessors of its tokens, the
//! index of its storage, and the audit log.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use kubefox_io::exchange::BootstrapRequest;
use kubefox_proto::bootstrap::v1::NatsBootstrapRequest;
use kubefox_sim::up::stand::audit::Audit;
use serde_json::{Value, json};
use tonic::Code;

use crate::caller::{Platform, Refused, refused};

const RESTARTS: u64 = 1_000;
/// What one restart asks of Vault, and nothing else.
const OF_A_RESTART: [&str; 4] = [
    "read nats/keys/user.team0.component-a",
    "update nats/sign/signer.platform",
    "update pki/issue/component",
    "update pki/issue/runtime",
];
const LOGIN: &str = "update auth/kubernetes/login";
/// The controller keeps a login for a minute.
const LOGIN_EVERY_S: u64 = 60;
/// And a refusal for ten seconds.
const REFUSED_EVERY_S: u64 = 10;
/// Vault writes something now and then for its own sake.
const OWN_WRITES_MAX: u64 = 20;

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_pod_that_crashes_in_a_loop_costs_vault_a_constant() {
    on_real_servers(async |platform| {
        restart(platform).await;
        let before = Books::of(platform).await;
        let mut audit = Audit::from_now_on(&platform.directory).expect("Vault audits");
        let begun = Instant::now();
        for _ in 0..RESTARTS {
            restart(platform).await;
        }
        let (mut asked, elapsed) = (audit.requests().expect("Vault audits"), begun.elapsed());
        let after = Books::of(platform).await;

        writeln!(
            std::io::stderr(),
            "{RESTARTS} restarts in {elapsed:?}: {before:?}, {after:?}, asked {asked:?}"
        )
        .expect("stderr is open");
        assert_eq!(after.tokens, before.tokens, "tokens that Vault stores");
        let written = after.storage_index - before.storage_index;
        assert!(
            written <= OWN_WRITES_MAX,
            "{written} writes to Vault's storage: no token, lease or certificate"
        );
        let logins = asked.remove(LOGIN).unwrap_or(0);
        let allowed = elapsed.as_secs() / LOGIN_EVERY_S + 1;
        assert!(logins <= allowed, "{logins} logins in {elapsed:?}");
        let expected: BTreeMap<_, _> = OF_A_RESTART.map(|of| (of.to_owned(), RESTARTS)).into();
        assert_eq!(asked, expected);
    });
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_pod_that_may_not_have_what_it_asks_for_costs_vault_one_login_in_ten_seconds() {
    on_real_servers(async |platform| {
        let pod = platform.caller("component-a");
        let mut audit = Audit::from_now_on(&platform.directory).expect("Vault audits");
        let begun = Instant::now();
        for _ in 0..RESTARTS {
            let message = NatsBootstrapRequest { token: pod.token.clone(), csr: String::new() };
            let refused = refused(&pod, BootstrapRequest::Nats(message)).await;
            let reason = "NOT_ENTITLED".to_owned();
            assert_eq!(refused, Refused { code: Code::PermissionDenied, reason });
        }
        let (asked, elapsed) = (audit.requests().expect("Vault audits"), begun.elapsed());

        writeln!(std::io::stderr(), "{RESTARTS} refusals in {elapsed:?}: asked {asked:?}")
            .expect("stderr is open");
        let paths: Vec<&str> = asked.keys().map(String::as_str).collect();
        assert_eq!(paths, [LOGIN]);
        let allowed = elapsed.as_secs() / REFUSED_EVERY_S + 1;
        assert!((1..=allowed).contains(&asked[LOGIN]), "{} logins in {elapsed:?}", asked[LOGIN]);
    });
}

/// Runs a story on a platform of its own.
fn on_real_servers(story: impl AsyncFnOnce(&Platform)) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let platform = Platform::start(folder.path(), &["--real"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing that a process lacks");
    runtime.block_on(story(&platform));
    platform.interrupt();
}

/// A new process has no connection yet.
async fn restart(platform: &Platform) {
    platform.caller("component-a").bootstrap().await.expect("its documents are its own");
}

/// What Vault has.
#[derive(Debug)]
struct Books {
    /// Tokens that are stored; batch tokens are not.
    tokens: usize,
    /// Grows with each write to the storage. A lease is one, and so is a certificate that is kept.
    storage_index: u64,
}

impl Books {
    async fn of(platform: &Platform) -> Self {
        let mounted = platform.directory.join("pods/controller/tokens/vault");
        let mounted = std::fs::read_to_string(mounted).expect("it is mounted");
        let token = platform.login("controller", &mounted).await;
        let nothing = json!({});
        let (_, accessors) = platform.vault("LIST", "/v1/auth/token/accessors", &token, &nothing).await;
        let (_, leader) = platform.vault("GET", "/v1/sys/leader", "", &nothing).await;
        Self {
            // With none it answers 404 and no list.
            tokens: accessors.pointer("/data/keys").and_then(Value::as_array).map_or(0, Vec::len),
            storage_index: leader["raft_applied_index"].as_u64().expect("its storage is raft"),
        }
    }
}
