//! What a pod costs Vault that crashes in a loop. The model tells the same at length (`sim/src/model/callers.rs`); here
//! Vault's own books are read: the accessors of its tokens, the index of its storage, and the audit log.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use crate::caller::Platform;

const RESTARTS: u64 = 1_000;
/// Vault writes something now and then for its own sake.
const OWN_WRITES_MAX: u64 = 20;
/// The controller keeps a login for a minute.
const LOGIN_EVERY_S: u64 = 60;

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_pod_that_crashes_in_a_loop_costs_vault_a_constant() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let platform = Platform::start(folder.path(), &["--real"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing that a process lacks");
    runtime.block_on(async {
        let pod = platform.caller("component-a");
        pod.bootstrap().await;
        let (before, begun) = (Books::of(&platform).await, Instant::now());
        for _ in 0..RESTARTS {
            pod.bootstrap().await;
        }
        let (after, elapsed) = (Books::of(&platform).await, begun.elapsed());

        let asked = after.asked_since(&before);
        writeln!(
            std::io::stderr(),
            "{RESTARTS} restarts in {elapsed:?}: tokens {} and {}, index of the storage {} and {}, asked {asked:?}",
            before.tokens,
            after.tokens,
            before.storage_index,
            after.storage_index
        )
        .expect("stderr is open");
        assert_eq!(after.tokens, before.tokens, "tokens that Vault stores");
        let written = after.storage_index - before.storage_index;
        assert!(
            written <= OWN_WRITES_MAX,
            "{written} writes to Vault's storage: no token, lease or certificate"
        );
        let logins = asked.get("auth/kubernetes/login").copied().unwrap_or(0);
        // The test itself has logged in twice, to read the books.
        let allowed = elapsed.as_secs() / LOGIN_EVERY_S + 3;
        assert!(logins <= allowed, "{logins} logins in {elapsed:?}");
        for path in [
            "nats/keys/user.team0.component-a",
            "nats/sign/signer.platform",
            "pki/issue/component",
            "pki/issue/runtime",
        ] {
            assert_eq!(asked.get(path), Some(&RESTARTS), "{path}");
        }
    });
    platform.interrupt();
}

/// What Vault has, and what it was ever asked.
struct Books {
    /// Tokens that are stored; batch tokens are not.
    tokens: usize,
    /// Grows with each write to the storage. A lease is one, and so is a certificate that is kept.
    storage_index: u64,
    /// Requests by path.
    requests: BTreeMap<String, u64>,
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
            requests: requests(platform),
        }
    }

    fn asked_since(&self, before: &Self) -> BTreeMap<String, u64> {
        let since = |(path, count): (&String, &u64)| {
            (path.clone(), count - before.requests.get(path).copied().unwrap_or(0))
        };
        self.requests.iter().map(since).filter(|(_, count)| *count > 0).collect()
    }
}

/// What the audit log has, by path.
fn requests(platform: &Platform) -> BTreeMap<String, u64> {
    let log = std::fs::read_to_string(platform.directory.join("vault/audit.log")).expect("Vault audits");
    let mut requests = BTreeMap::new();
    for entry in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if let ("request", Some(path)) =
            (entry["type"].as_str().unwrap_or(""), entry["request"]["path"].as_str())
        {
            *requests.entry(path.to_owned()).or_default() += 1;
        }
    }
    requests
}
