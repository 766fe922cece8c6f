//! `sys/init`, `sys/unseal`, `sys/seal-status`, `sys/health`: what needs no token and answers without an envelope.
//!
//! ```text
//!              init                  unseal
//! uninitialized ──────► sealed ◄──────────────► unsealed
//!   │                     ▲      seal, restart
//!   │ killed inside init  │
//!   └──► half-initialized │  (says "uninitialized", refuses every init)
//!                         wipe leads back to uninitialized
//! ```

use http::StatusCode;
use kubefox_core::time::Unix;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::request::{Operation, Request};
use super::shared::Shared;
use super::storage::{Storage, UnsealKeys};
use super::{Disk, Vault};

/// What the version says when asked; the suffix tells people that this is no real server.
pub(super) const VERSION: &str = "2.7.2-fake";

/// When the imitated version was made.
const COMMIT_DATE: &str = "2026-10-26T20:32:27Z";

/// The most shares a key may be split into.
const MAX_SHARES: i64 = 255;

/// Length of the unseal key in bytes; each share of a split key has one more.
const KEY_BYTES: usize = 32;

/// Bounds of what is accepted as a key at all, in bytes.
const ACCEPTED_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=KEY_BYTES + 1;

/// Answers a request that works in every state; `None` if it is none of these.
pub(super) fn handle(vault: &mut Vault, request: &Request) -> Option<Handled> {
    let reads = request.operation == Operation::Read;
    let writes = request.operation == Operation::Update;
    let answer = match request.path.as_str() {
        "sys/init" if reads => Ok(bare(json!({ "initialized": vault.is_initialized() }))),
        "sys/init" if writes => initialize(vault, request),
        "sys/seal-status" if reads => Ok(bare(status(vault))),
        "sys/unseal" if writes => unseal(vault, request),
        "sys/health" if reads => health(vault, request),
        // With a token it is a request like others; a sealed server has nobody to ask.
        "sys/seal" if writes && vault.is_initialized() && vault.is_sealed() => Ok(Answer::done()),
        "sys/init" | "sys/seal-status" | "sys/unseal" | "sys/health" => Err(Refusal::method_not_allowed()),
        _ => return None,
    };
    Some(answer)
}

const fn bare(body: Value) -> Answer {
    Answer::Bare { status: StatusCode::OK, body }
}

fn initialize(vault: &mut Vault, request: &Request) -> Handled {
    const UNIMPLEMENTED: [&str; 6] = [
        "pgp_keys",
        "root_token_pgp_key",
        "recovery_shares",
        "recovery_threshold",
        "recovery_pgp_keys",
        "stored_shares",
    ];
    let fields = Fields(&request.data);
    fields.refuse(&UNIMPLEMENTED)?;
    let shares = fields.whole("secret_shares")?.unwrap_or(0);
    let threshold = fields.whole("secret_threshold")?.unwrap_or(0);
    match vault.disk {
        Disk::Initialized(_) => return Err(Refusal::invalid("Vault is already initialized")),
        Disk::Empty | Disk::HalfInitialized => check_shares(shares, threshold)?,
    }
    if matches!(vault.disk, Disk::HalfInitialized) {
        return Err(Refusal::invalid(
            "could not bootstrap clustered storage: error bootstrapping cluster: cluster already has state",
        ));
    }

    let moment = request.moment();
    let share = |at: i64| {
        let mut share = request.mint.key("unseal key", &[&moment, &at.to_be_bytes()]).to_vec();
        if shares > 1 {
            share.push(u8::try_from(at).expect("at most 255 shares"));
        }
        share
    };
    let threshold = usize::try_from(threshold).expect("it was checked");
    let keys = UnsealKeys { shares: (1..=shares).map(share).collect(), threshold };
    let texts = |encoding: &data_encoding::Encoding| {
        keys.shares.iter().map(|share| encoding.encode(share)).collect::<Vec<_>>()
    };
    let (hex, base64) = (texts(&data_encoding::HEXLOWER), texts(&data_encoding::BASE64));
    let mut storage = Storage::new(request.now, request.mint, keys);
    let root = storage.tokens.own().make_root(request.now, request.mint);
    vault.disk = Disk::Initialized(Shared::new(storage));
    Ok(bare(json!({ "keys": hex, "keys_base64": base64, "root_token": root.0 })))
}

fn check_shares(shares: i64, threshold: i64) -> Result<(), Refusal> {
    let problem = match (shares, threshold) {
        (..=0, _) => "shares must be at least one",
        (_, ..=0) => "threshold must be at least one",
        (2.., 1) => "threshold must be greater than one for multiple shares",
        (shares, _) if shares > MAX_SHARES => "shares must be less than 256",
        (shares, threshold) if threshold > shares => "threshold cannot be larger than shares",
        (_, _) => return Ok(()),
    };
    Err(Refusal::invalid(format!("invalid seal configuration: {problem}")))
}

fn unseal(vault: &mut Vault, request: &Request) -> Handled {
    let fields = Fields(&request.data);
    fields.refuse(&["migrate"])?;
    let key = fields.text("key")?.unwrap_or_default();
    let reset = fields.flag("reset")?.unwrap_or(false);
    if key.is_empty() && !reset {
        return Err(Refusal::invalid(
            "'key' must be specified in request body as JSON, or 'reset' set to true",
        ));
    }
    if reset {
        if !vault.is_sealed() {
            return Err(Refusal::invalid("vault is unsealed"));
        }
        vault.progress.clear();
        return Ok(bare(status(vault)));
    }
    let key = decode_key(&key)?;
    let Disk::Initialized(storage) = &vault.disk else {
        return Err(Refusal::invalid("Vault is not initialized"));
    };
    if vault.sealed {
        if !vault.progress.contains(&key) {
            vault.progress.push(key);
        }
        if vault.progress.len() >= storage.keys.threshold {
            let given = core::mem::take(&mut vault.progress);
            if !given.iter().all(|share| storage.keys.shares.contains(share)) {
                return Err(Refusal::invalid(
                    "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: \
                     cipher: message authentication failed",
                ));
            }
            vault.sealed = false;
        }
    }
    Ok(bare(status(vault)))
}

fn decode_key(text: &str) -> Result<Vec<u8>, Refusal> {
    let hex = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let decoded = hex.or_else(|_| data_encoding::BASE64.decode(text.as_bytes()));
    let key = decoded.map_err(|_| Refusal::invalid("'key' must be a valid hex or base64 string"))?;
    if key.len() < *ACCEPTED_KEY_BYTES.start() {
        return Err(Refusal::invalid("invalid key: key is shorter than minimum 16 bytes"));
    }
    if key.len() > *ACCEPTED_KEY_BYTES.end() {
        return Err(Refusal::invalid("invalid key: key is longer than maximum 33 bytes"));
    }
    Ok(key)
}

fn status(vault: &Vault) -> Value {
    let keys = match &vault.disk {
        Disk::Initialized(storage) => Some(&storage.keys),
        Disk::Empty | Disk::HalfInitialized => None,
    };
    // The nonce names the attempt, which begins with the first share.
    let nonce = vault.progress.first().map(|share| vault.mint.uuid("unseal attempt", &[share]));
    let mut status = json!({
        "type": "shamir", "initialized": vault.is_initialized(), "sealed": vault.is_sealed(),
        "t": keys.map_or(0, |keys| keys.threshold), "n": keys.map_or(0, |keys| keys.shares.len()),
        "progress": vault.progress.len(), "nonce": nonce.unwrap_or_default(), "recovery_seal": false,
        "version": VERSION, "commit_date": COMMIT_DATE, "migration": false, "storage_type": "raft",
    });
    name_cluster(vault, &mut status);
    status
}

fn health(vault: &Vault, request: &Request) -> Handled {
    const UNIMPLEMENTED: [&str; 5] = ["standbyok", "activecode", "standbycode", "sealedcode", "uninitcode"];
    Fields(&request.data).refuse(&UNIMPLEMENTED)?;
    let status = match (vault.is_initialized(), vault.is_sealed()) {
        (false, _) => StatusCode::NOT_IMPLEMENTED,
        (true, true) => StatusCode::SERVICE_UNAVAILABLE,
        (true, false) => StatusCode::OK,
    };
    let Unix(now) = request.now;
    let (performance, recovery) =
        if vault.is_sealed() { ("unknown", "unknown") } else { ("primary", "disabled") };
    let mut body = json!({
        "initialized": vault.is_initialized(), "sealed": vault.is_sealed(), "standby": vault.is_sealed(),
        "replication_performance_mode": performance, "replication_dr_mode": recovery,
        "server_time_utc": now, "version": VERSION,
    });
    name_cluster(vault, &mut body);
    Ok(Answer::Bare { status, body })
}

/// An unsealed server knows which cluster it is.
fn name_cluster(vault: &Vault, status: &mut Value) {
    let (Disk::Initialized(storage), false) = (&vault.disk, vault.sealed) else {
        return;
    };
    let status: &mut Map<_, _> = status.as_object_mut().expect("a status is an object");
    status.insert("cluster_name".into(), format!("vault-cluster-{}", &storage.cluster_id[..8]).into());
    status.insert("cluster_id".into(), storage.cluster_id.clone().into());
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, text};
    use super::*;

    #[test]
    fn an_uninitialized_server_says_so_everywhere() {
        let mut trial = Trial::new();

        assert_eq!(trial.call("GET", "sys/init", None, &json!({})), (200, json!({"initialized": false})));
        assert_eq!(trial.call("GET", "sys/health", None, &json!({})).0, 501);
        assert_eq!(trial.raw("HEAD", "sys/health", None, &json!({})), (501, Vec::new()));
        let (_, status) = trial.call("GET", "sys/seal-status", None, &json!({}));
        assert_eq!(
            (&status["initialized"], &status["sealed"], &status["n"]),
            (&json!(false), &json!(true), &json!(0))
        );
        assert_eq!(trial.refused("GET", "sys/mounts", "x", &json!({})), (503, "Vault is sealed".into()));
        let key = json!({"key": "00".repeat(32)});
        assert_eq!(trial.refused("PUT", "sys/unseal", "", &key), (400, "Vault is not initialized".into()));
    }

    #[test]
    fn only_one_initialization_succeeds_and_only_its_key_opens() {
        let (mut trial, _) = Trial::unsealed();
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        trial.vault.seal();

        let second = trial.refused("PUT", "sys/init", "", &shares);
        let wrong = trial.refused("PUT", "sys/unseal", "", &json!({"key": "00".repeat(32)}));

        assert_eq!(second, (400, "Vault is already initialized".into()));
        let expected = "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: \
                        message authentication failed";
        assert_eq!(wrong, (400, expected.into()));
        assert!(trial.vault.is_sealed());
    }

    #[test]
    fn keys_that_are_none_are_named() {
        let (mut trial, _) = Trial::unsealed();
        let mut refusal = |key: &str| trial.refused("PUT", "sys/unseal", "", &json!({"key": key})).1;

        assert_eq!(refusal(""), "'key' must be specified in request body as JSON, or 'reset' set to true");
        assert_eq!(refusal("zz"), "'key' must be a valid hex or base64 string");
        assert_eq!(refusal("0011"), "invalid key: key is shorter than minimum 16 bytes");
        assert_eq!(refusal(&"00".repeat(40)), "invalid key: key is longer than maximum 33 bytes");
        assert_eq!(refusal(&"00".repeat(32)), "", "an unsealed server checks no key");
    }

    #[test]
    fn a_split_key_needs_its_threshold_of_shares() {
        let mut trial = Trial::new();
        let shares = json!({"secret_shares": 3, "secret_threshold": 2});
        let (_, made) = trial.call("PUT", "sys/init", None, &shares);
        let keys: Vec<_> = (0..3).map(|at| json!({"key": text(&made["keys_base64"][at])})).collect();

        let (_, first) = trial.call("PUT", "sys/unseal", None, &keys[0]);
        let (_, again) = trial.call("PUT", "sys/unseal", None, &keys[0]);
        let (_, second) = trial.call("PUT", "sys/unseal", None, &keys[2]);

        assert_eq!((&first["progress"], &first["sealed"], &first["t"]), (&json!(1), &json!(true), &json!(2)));
        assert_eq!((&again["progress"], &again["nonce"]), (&json!(1), &first["nonce"]));
        assert_eq!(
            (&second["progress"], &second["sealed"], &second["nonce"]),
            (&json!(0), &json!(false), &json!(""))
        );
    }

    #[test]
    fn impossible_seals_are_refused() {
        let mut trial = Trial::new();
        let mut refusal = |shares: i64, threshold: i64| {
            let wanted = json!({"secret_shares": shares, "secret_threshold": threshold});
            trial.refused("PUT", "sys/init", "", &wanted).1
        };
        let problems =
            [(0, 0), (1, 0), (2, 1), (2, 3), (300, 2)].map(|(shares, threshold)| refusal(shares, threshold));

        let expected = [
            "shares must be at least one",
            "threshold must be at least one",
            "threshold must be greater than one for multiple shares",
            "threshold cannot be larger than shares",
            "shares must be less than 256",
        ];
        assert_eq!(problems, expected.map(|problem| format!("invalid seal configuration: {problem}")));
    }

    #[test]
    fn killed_inside_its_initialization_it_can_never_be_initialized() {
        let mut trial = Trial::new();
        trial.vault.kill_inside_init();

        let refusal =
            trial.refused("PUT", "sys/init", "", &json!({"secret_shares": 1, "secret_threshold": 1}));

        assert_eq!(refusal.0, 400);
        assert!(refusal.1.starts_with("could not bootstrap clustered storage: "));
        assert!(refusal.1.ends_with("cluster already has state"));
        assert_eq!(trial.call("GET", "sys/init", None, &json!({})), (200, json!({"initialized": false})));
    }

    #[test]
    fn lost_storage_means_another_vault() {
        let (mut trial, root) = Trial::unsealed();
        let status = trial.call("GET", "sys/seal-status", None, &json!({})).1;
        trial.vault.wipe();

        let (_, keys) =
            trial.call("PUT", "sys/init", None, &json!({"secret_shares": 1, "secret_threshold": 1}));
        trial.call("PUT", "sys/unseal", None, &json!({"key": keys["keys"][0]}));

        assert_ne!(text(&keys["root_token"]), root);
        assert_ne!(
            trial.call("GET", "sys/seal-status", None, &json!({})).1["cluster_id"],
            status["cluster_id"]
        );
        assert_eq!(trial.status("GET", "auth/token/lookup-self", &root, &json!({})), 403);
    }

    #[test]
    fn sealing_needs_the_right_to_and_ends_all_other_answers() {
        let (mut trial, root) = Trial::unsealed();
        let update = "path \"sys/seal\" { capabilities = [\"update\"] }";
        let token = trial.token_with_policy(&root, update);
        assert_eq!(trial.status("PUT", "sys/seal", &token, &json!({})), 403, "without sudo");

        assert_eq!(trial.status("PUT", "sys/seal", &root, &json!({})), 204);

        assert!(trial.vault.is_sealed());
        assert_eq!(trial.call("GET", "sys/health", None, &json!({})).0, 503);
        assert_eq!(trial.status("PUT", "sys/seal", &root, &json!({})), 204, "again changes nothing");
    }
}
