//! The server as a whole: it is a function of its seed, and data; and a name does not widen what it may.

use kubefox_core::documents::setting::wanted;
use kubefox_core::names::Accessor;
use kubefox_core::vault::{AuthRole, Setting};
use serde_json::json;

use super::Vault;
use super::pki_issue::tests::{URI, with_component};
use super::trial::{Trial, plan, text};

#[test]
fn the_same_seed_and_requests_give_the_same_bytes() {
    let run = || {
        let (mut trial, token, _) = with_component();
        let wanted = json!({"uri_sans": URI, "ttl": "1h"});
        let issued = trial.raw("POST", "pki/issue/component", Some(&token), &wanted);
        (issued, serde_json::to_string(&trial.vault).expect("it is data"))
    };

    assert_eq!(run(), run());
}

#[test]
fn a_vault_is_data_that_can_be_kept_and_forked() {
    let mut trial = Trial::new();
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    let (_, made) = trial.call("PUT", "sys/init", None, &shares);
    let (key, root) = (text(&made["keys"][0]), text(&made["root_token"]));
    assert_eq!(trial.call("PUT", "sys/unseal", None, &json!({"key": key})).0, 200);
    trial.must("POST", "sys/mounts/x", &root, &json!({"type": "transit"}));
    let fork = trial.vault.clone();
    let kept = serde_json::to_vec(&trial.vault).expect("it is data");

    trial.must("POST", "sys/mounts/y", &root, &json!({"type": "transit"}));
    let changed = serde_json::to_vec(&trial.vault).expect("it is data");

    assert_ne!(kept, changed);
    assert_eq!(kept, serde_json::to_vec(&fork).expect("it is data"));
    trial.vault = serde_json::from_slice::<Vault>(&kept).expect("it was kept");
    trial.vault.restart();
    assert_eq!(trial.call("PUT", "sys/unseal", None, &json!({"key": key})).0, 200);
    let mounts = ["x", "y"].map(|path| trial.status("GET", &format!("sys/mounts/{path}"), &root, &json!({})));
    assert_eq!(mounts, [200, 400]);
}

/// No API server lets such a name in, so that no story of the contract can show it.
#[test]
fn a_name_that_would_widen_a_path_drops_its_rule() {
    let (mut trial, root, accessor) = Trial::with_login();
    let accessor = Accessor::parse(&accessor).expect("an accessor");
    trial.must("POST", "sys/mounts/nats", &root, &json!({"type": "transit"}));
    for (path, setting) in [
        ("sys/policies/acl/component", Setting::Policy(AuthRole::Component)),
        ("auth/kubernetes/role/component", Setting::AuthRole(AuthRole::Component)),
    ] {
        trial.must("POST", path, &root, &wanted(&setting, &plan(), &accessor).body);
    }
    let mut statuses = |name: &str| {
        let token = trial.logged_in("component", "team0", name, "kubefox.kubefox");
        [name, "app"].map(|name| {
            let path = format!("nats/keys/user.team0.{name}");
            trial.status("POST", &path, &token, &json!({"type": "ed25519"}))
        })
    };

    assert_eq!([statuses("app"), statuses("app*")], [[200, 200], [403, 403]]);
}
