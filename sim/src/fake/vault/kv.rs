//! K/V with versions: `<mount>/data/…`, `<mount>/metadata/…`.

use std::collections::{BTreeMap, BTreeSet};

use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::request::{Operation, Request};
use super::shared::Shared;
use crate::fake::timestamp::rfc3339;

/// How many versions of a secret are kept, as the real server does unless told otherwise.
const MAX_VERSIONS: usize = 10;

/// One mounted engine.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kv {
    secrets: BTreeMap<String, Secret>,
    /// How many more accesses answer that the mount is not ready, as the real server may just after mounting.
    upgrading: u8,
}

#[derive(Clone, Serialize, Deserialize)]
struct Secret {
    /// The number of the last version; the first is 1.
    current: u64,
    created: Unix,
    /// The last versions by number.
    versions: BTreeMap<u64, Version>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Version {
    data: Map<String, Value>,
    created: Unix,
    /// When somebody deleted it; it could be brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<Unix>,
}

impl Version {
    fn deletion_time(&self) -> String {
        self.deleted.map(rfc3339).unwrap_or_default()
    }

    fn describe(&self, number: u64) -> Value {
        json!({
            "created_time": rfc3339(self.created), "custom_metadata": null, "deletion_time": self.deletion_time(),
            "destroyed": false, "version": number,
        })
    }
}

impl Kv {
    pub(super) const fn new(upgrading: u8) -> Self {
        Self { secrets: BTreeMap::new(), upgrading }
    }

    /// How many versions were ever written.
    pub(super) fn count_versions(&self) -> u64 {
        self.secrets.values().map(|secret| secret.current).sum()
    }

    /// The paths of which more than one version was written.
    pub(super) fn rewritten(&self) -> Vec<String> {
        let rewritten = self.secrets.iter().filter(|(_, secret)| secret.current > 1);
        rewritten.map(|(path, _)| path.clone()).collect()
    }

    /// Whether a write to the path would be an update. `None` for paths that are only ever updated. The real server
    /// reads the parameters to find out, so that malformed ones are refused whoever sends them.
    pub(super) fn exists(&self, request: &Request, rest: &str) -> Result<Option<bool>, Refusal> {
        let is_data = rest.starts_with("data/");
        if is_data {
            let fields = Fields(&request.data);
            fields.object("options")?;
            fields.object("data")?;
        }
        let path = rest.strip_prefix("data/").or_else(|| rest.strip_prefix("metadata/"));
        Ok(path.map(|path| self.secrets.contains_key(path)))
    }
}

/// Writes the last version of everything once more.
pub(super) fn rewrite(kv: &mut Kv) {
    for secret in kv.secrets.values_mut() {
        if let Some(version) = secret.versions.get(&secret.current).cloned() {
            secret.current += 1;
            secret.versions.insert(secret.current, version);
        }
    }
}

/// `<mount>/<rest>`.
pub(super) fn handle(kv: &mut Shared<Kv>, request: &Request, rest: &str) -> Handled {
    if kv.upgrading > 0 {
        kv.own().upgrading -= 1;
        return Err(Refusal::invalid(
            "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period \
             and will resume service shortly.",
        ));
    }
    if let Some(path) = rest.strip_prefix("data/").filter(|path| !path.is_empty()) {
        return match request.operation {
            Operation::Read => read(kv, request, path),
            Operation::Create | Operation::Update => write(kv, request, path),
            Operation::List => request.unsupported(),
            Operation::Delete => Ok(delete(kv, request, path)),
        };
    }
    if let Some(path) = rest.strip_prefix("metadata/") {
        return match request.operation {
            Operation::List => list(kv, path),
            Operation::Read => read_metadata(kv, path),
            Operation::Delete if !path.is_empty() => Ok(destroy(kv, path)),
            Operation::Create | Operation::Update | Operation::Delete => request.not_implemented(),
        };
    }
    match (rest, request.operation) {
        ("config", Operation::Read) => Ok(Answer::data(json!({
            "cas_required": false, "delete_version_after": "0s", "max_versions": 0, "metadata_cas_required": false,
        }))),
        ("data" | "metadata", _) => Ok(Answer::Misplaced {
            warning: "Non-listing operations on the root of a K/V v2 mount are not supported.",
        }),
        ("data/", _) => Err(Refusal::not_found()),
        ("config", _) => request.not_implemented(),
        (rest, _)
            if ["delete/", "undelete/", "destroy/", "subkeys/"]
                .iter()
                .any(|prefix| rest.starts_with(prefix)) =>
        {
            request.not_implemented()
        }
        (_, _) => Ok(Answer::Misplaced {
            warning: "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API \
                      endpoints to use. If using the OpenBao CLI, use 'bao kv get' for this operation.",
        }),
    }
}

fn read(kv: &Kv, request: &Request, path: &str) -> Handled {
    let wanted = Fields(&request.data).whole("version")?.and_then(|version| u64::try_from(version).ok());
    let found = kv.secrets.get(path).and_then(|secret| {
        let number = wanted.filter(|version| *version > 0).unwrap_or(secret.current);
        secret.versions.get(&number).map(|version| (number, version))
    });
    let (number, version) = found.ok_or_else(Refusal::not_found)?;
    if version.deleted.is_some() {
        return Ok(Answer::Gone(json!({ "data": null, "metadata": version.describe(number) })));
    }
    Ok(Answer::data(json!({ "data": version.data, "metadata": version.describe(number) })))
}

/// Deletes the last version, which still counts for compare-and-set. That there is none is as good.
fn delete(kv: &mut Shared<Kv>, request: &Request, path: &str) -> Answer {
    if let Some(secret) = kv.own().secrets.get_mut(path)
        && let Some(version) = secret.versions.get_mut(&secret.current)
    {
        version.deleted.get_or_insert(request.now);
    }
    Answer::done()
}

/// Removes every version and the number of the last one.
fn destroy(kv: &mut Shared<Kv>, path: &str) -> Answer {
    kv.own().secrets.remove(path);
    Answer::done()
}

fn write(kv: &mut Shared<Kv>, request: &Request, path: &str) -> Handled {
    let fields = Fields(&request.data);
    let warnings = fields.warn_unknown(&["data", "options", "version"], &[])?;
    let options = fields.object("options")?;
    let cas = options.map(|options| Fields(options).whole("cas")).transpose()?.flatten();
    let data = fields.object("data")?.ok_or_else(|| Refusal::invalid("no data provided"))?;
    let current = kv.secrets.get(path).map_or(0, |secret| secret.current);
    if cas.is_some_and(|cas| u64::try_from(cas) != Ok(current)) {
        return Err(Refusal::invalid("check-and-set parameter did not match the current version"));
    }

    let now = request.now;
    let version = Version { data: data.clone(), created: now, deleted: None };
    let number = current + 1;
    let answer = version.describe(number);
    let new = || Secret { current: 0, created: now, versions: BTreeMap::new() };
    let secret = kv.own().secrets.entry(path.to_owned()).or_insert_with(new);
    secret.current = number;
    secret.versions.insert(number, version);
    while secret.versions.len() > MAX_VERSIONS {
        secret.versions.pop_first();
    }
    Ok(Answer::Data { data: answer, warnings })
}

/// The next segments below `path`; those that have some below themselves end in a slash.
fn list(kv: &Kv, path: &str) -> Handled {
    let below = kv.secrets.keys().filter_map(|key| key.strip_prefix(path));
    let next = below.map(|rest| rest.split_inclusive('/').next().unwrap_or_default().to_owned());
    Answer::keys(&next.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
}

fn read_metadata(kv: &Kv, path: &str) -> Handled {
    let secret = kv.secrets.get(path).ok_or_else(Refusal::not_found)?;
    let version = |(number, version): (&u64, &Version)| {
        let facts = json!({"created_time": rfc3339(version.created), "deletion_time": version.deletion_time(), "destroyed": false});
        (number.to_string(), facts)
    };
    let updated = secret.versions.last_key_value().map_or(secret.created, |(_, version)| version.created);
    let oldest = secret.versions.first_key_value().map_or(0, |(number, _)| *number);
    Ok(Answer::data(json!({
        "cas_required": false, "created_time": rfc3339(secret.created), "current_metadata_version": 0,
        "current_version": secret.current, "custom_metadata": null, "delete_version_after": "0s", "max_versions": 0,
        "metadata_cas_required": false, "oldest_version": if oldest > 1 { oldest } else { 0 },
        "updated_time": rfc3339(updated), "versions": secret.versions.iter().map(version).collect::<Map<_, _>>(),
    })))
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;

    #[test]
    fn compare_and_set_decides_between_writers() {
        let (mut trial, root) = with_kv();
        let write = |cas: Value| json!({"data": {"x": cas}, "options": {"cas": cas}});
        let conflict = (400, "check-and-set parameter did not match the current version".to_owned());
        let path = "systems/data/a/b";

        assert_eq!(trial.refused("POST", path, &root, &write(json!(1))), conflict);
        assert_eq!(trial.must("POST", path, &root, &write(json!(0)))["data"]["version"], 1);
        assert_eq!(trial.refused("POST", path, &root, &write(json!(0))), conflict);
        assert_eq!(trial.must("POST", path, &root, &write(json!("1")))["data"]["version"], 2);
        assert_eq!(trial.must("POST", path, &root, &json!({"data": {}}))["data"]["version"], 3);
        assert_eq!(trial.refused("POST", path, &root, &json!({})), (400, "no data provided".into()));
        assert_eq!(trial.vault.counts().secret_versions, 3);
    }

    #[test]
    fn versions_can_be_read_until_ten_newer_ones_exist() {
        let (mut trial, root) = with_kv();
        for number in 1..=11 {
            trial.must("POST", "systems/data/a", &root, &json!({"data": {"n": number}}));
        }

        let read = trial.must("GET", "systems/data/a", &root, &json!({}));
        let second = trial.must("GET", "systems/data/a?version=2", &root, &json!({}));
        let metadata = trial.must("GET", "systems/metadata/a", &root, &json!({}));

        let expected = json!({"created_time": "2026-11-23T20:46:53Z", "custom_metadata": null, "deletion_time": "",
            "destroyed": false, "version": 11});
        assert_eq!(read["data"], json!({"data": {"n": 11}, "metadata": expected}));
        assert_eq!(second["data"]["data"]["n"], 2);
        assert_eq!(trial.status("GET", "systems/data/a?version=1", &root, &json!({})), 404);
        assert_eq!(
            (&metadata["data"]["current_version"], &metadata["data"]["oldest_version"]),
            (&json!(11), &json!(2))
        );
    }

    #[test]
    fn a_list_shows_one_level() {
        let (mut trial, root) = with_kv();
        for path in ["a", "b/c", "b/d/e"] {
            trial.must("POST", &format!("systems/data/{path}"), &root, &json!({"data": {}}));
        }

        assert_eq!(
            trial.must("LIST", "systems/metadata", &root, &json!({}))["data"]["keys"],
            json!(["a", "b/"])
        );
        assert_eq!(
            trial.must("LIST", "systems/metadata/b", &root, &json!({}))["data"]["keys"],
            json!(["c", "d/"])
        );
        assert_eq!(
            trial.raw("LIST", "systems/metadata/x", Some(&root), &json!({})),
            (404, b"{\"errors\":[]}\n".to_vec())
        );
    }

    #[test]
    fn paths_without_data_are_pointed_out() {
        let (mut trial, root) = with_kv();

        let (status, answer) = trial.call("GET", "systems/a", Some(&root), &json!({}));

        assert_eq!(status, 404);
        let warning = answer["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.starts_with("Invalid path for a versioned K/V secrets engine."), "{warning}");
        assert_eq!(trial.status("POST", "systems/delete/a", &root, &json!({})), 501);
    }

    #[test]
    fn what_is_deleted_still_counts_and_what_is_destroyed_does_not() {
        let (mut trial, root) = with_kv();
        let (data, metadata) = ("systems/data/a", "systems/metadata/a");
        let write = |cas: u64| json!({"data": {"x": cas}, "options": {"cas": cas}});
        trial.must("POST", data, &root, &write(0));

        trial.must("DELETE", data, &root, &json!({}));

        let (status, answer) = trial.call("GET", data, Some(&root), &json!({}));
        assert_eq!((status, &answer["data"]["data"]), (404, &Value::Null));
        assert_eq!(answer["data"]["metadata"]["deletion_time"], rfc3339(trial.now));
        assert_eq!(trial.status("POST", data, &root, &write(0)), 400);
        assert_eq!(trial.status("POST", data, &root, &write(1)), 200);
        trial.must("DELETE", metadata, &root, &json!({}));
        assert_eq!(trial.refused("GET", data, &root, &json!({})), (404, String::new()));
        assert_eq!(trial.status("POST", data, &root, &write(0)), 200);
    }

    #[test]
    fn malformed_parameters_are_refused_before_policies_are_asked() {
        let (mut trial, root) = with_kv();
        let token = trial.token_with_policy(&root, "# nothing");
        let mut write = |body: Value| trial.status("POST", "systems/data/a", &token, &body);

        assert_eq!(
            (write(json!({"options": 1})), write(json!({"data": "x"})), write(json!({}))),
            (400, 400, 403)
        );
    }

    #[test]
    fn a_new_mount_may_need_a_moment() {
        let (mut trial, root) = Trial::unsealed();
        trial.vault.set_upgrading(2);
        trial.must("POST", "sys/mounts/systems", &root, &json!({"type": "kv-v2"}));

        let answers: Vec<_> =
            (0..3).map(|_| trial.refused("GET", "systems/data/a", &root, &json!({}))).collect();

        let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [400, 400, 404]);
        assert!(answers[0].1.starts_with("Upgrading from non-versioned to versioned data."));
    }

    #[test]
    fn a_write_to_what_exists_is_an_update() {
        let (mut trial, root) = with_kv();
        let policy = "path \"systems/data/a\" { capabilities = [\"create\"] }\n\
                      path \"systems/data/b\" { capabilities = [\"update\"] }";
        let token = trial.token_with_policy(&root, policy);
        let mut write = |path: &str| trial.status("POST", path, &token, &json!({"data": {}}));

        assert_eq!((write("systems/data/a"), write("systems/data/a")), (200, 403));
        assert_eq!(write("systems/data/b"), 403, "it does not exist yet");
        trial.must("POST", "systems/data/b", &root, &json!({"data": {}}));
        assert_eq!(trial.status("POST", "systems/data/b", &token, &json!({"data": {}})), 200);
    }

    fn with_kv() -> (Trial, String) {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/mounts/systems", &root, &json!({"type": "kv", "options": {"version": "2"}}));
        (trial, root)
    }
}
