//! Settings as they are read: which request, and which members of its answer count ([`Setting`] names them).

use std::collections::BTreeMap;

use kubefox_core::vault::Setting;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::{Answer, Credential, Failure};
use super::path;

/// What stands, `None` if it does not exist.
pub(super) fn read(setting: &Setting, answer: &Answer) -> Result<Option<Value>, Failure> {
    if answer.is_absent() || (*setting == Setting::PasswordPolicy && is_no_policy(answer)) {
        return Ok(None);
    }
    match setting {
        Setting::KubernetesAuth => listed(answer, path::KUBERNETES, &["type", "accessor"]),
        Setting::Mount(mount) => listed(answer, mount.as_str(), &["type", "options", "config"]),
        Setting::Policy(_) | Setting::PasswordPolicy => members(answer, &["policy"]).map(Some),
        Setting::KubernetesAuthConfig | Setting::AuthRole(_) | Setting::PkiRole(_) => {
            as_it_stands(answer).map(Some)
        }
        Setting::RootCertificate => issuers(answer),
        Setting::NatsKey(_) => transit_key(answer).map(Some),
    }
}

/// A missing password policy is a 404 with a text, unlike everything else that is missing.
fn is_no_policy(answer: &Answer) -> bool {
    answer.status == 404 && answer.says("policy does not exist")
}

fn as_it_stands(answer: &Answer) -> Result<Value, Failure> {
    answer.data::<Map<String, Value>>(Credential::Token).map(Value::Object)
}

fn members(answer: &Answer, names: &[&str]) -> Result<Value, Failure> {
    pick(answer.data(Credential::Token)?, names)
}

/// One entry of the list of mounts or of auth methods; reading one by one is not allowed to the controller.
fn listed(answer: &Answer, name: &str, names: &[&str]) -> Result<Option<Value>, Failure> {
    let mut list: BTreeMap<String, Map<String, Value>> = answer.data(Credential::Token)?;
    list.remove(&format!("{name}/")).map(|entry| pick(entry, names)).transpose()
}

fn pick(mut from: Map<String, Value>, names: &[&str]) -> Result<Value, Failure> {
    names
        .iter()
        .map(|name| from.remove_entry(*name).ok_or(Failure::GARBLED))
        .collect::<Result<Map<_, _>, _>>()
        .map(Value::Object)
}

fn issuers(answer: &Answer) -> Result<Option<Value>, Failure> {
    #[derive(Deserialize)]
    struct Issuers {
        key_info: BTreeMap<String, Issuer>,
    }
    #[derive(Deserialize)]
    struct Issuer {
        issuer_name: String,
    }
    let issuers: Issuers = answer.data(Credential::Token)?;
    let mut names: Vec<String> = issuers.key_info.into_values().map(|issuer| issuer.issuer_name).collect();
    names.sort_unstable();
    Ok((!names.is_empty()).then(|| json!({ "issuers": names })))
}

/// The public key is that of the latest version; a key of another kind than Ed25519 has none that counts.
fn transit_key(answer: &Answer) -> Result<Value, Failure> {
    #[derive(Deserialize)]
    struct Key {
        #[serde(rename = "type")]
        kind: String,
        latest_version: u64,
        keys: BTreeMap<String, Value>,
    }
    let key: Key = answer.data(Credential::Token)?;
    let latest = key.keys.get(&key.latest_version.to_string()).ok_or(Failure::GARBLED)?;
    let public_key = latest.get("public_key").cloned().unwrap_or(Value::Null);
    Ok(json!({ "type": key.kind, "latest_version": key.latest_version, "public_key": public_key }))
}
