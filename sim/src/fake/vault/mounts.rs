//! What is mounted where: `sys/mounts`, `sys/auth`.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::kubernetes_auth::KubernetesAuth;
use super::kv::Kv;
use super::mint::Mint;
use super::pki::Pki;
use super::request::{Operation, Request};
use super::shared::Shared;
use super::storage::Storage;
use super::token::DEFAULT_TTL_S;
use super::transit::Transit;

/// What the plugins say they are.
const PLUGIN_VERSION: &str = "v2.7.2+builtin.bao";

/// Engines of the real server that the fake does not have.
const UNIMPLEMENTED_ENGINES: [&str; 10] =
    ["ssh", "totp", "database", "rabbitmq", "ldap", "kubernetes", "userpass", "approle", "jwt", "cert"];

/// What else can be said of a mount, when it is made and later.
const UNIMPLEMENTED_TUNING: [&str; 12] = [
    "allowed_managed_keys",
    "allowed_response_headers",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "force_no_cache",
    "listing_visibility",
    "options",
    "passthrough_request_headers",
    "plugin_name",
    "plugin_version",
    "token_type",
    "user_lockout_config",
];

/// What every mount has.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Description {
    kind: String,
    accessor: String,
    uuid: String,
    text: String,
    /// As given: `null` stays `null`.
    options: Option<BTreeMap<String, String>>,
    default_lease_ttl_s: u64,
    max_lease_ttl_s: u64,
    built_in: bool,
}

/// A secrets engine at its path.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SecretMount {
    pub(super) description: Description,
    pub(super) engine: Engine,
}

/// The secrets engines.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Engine {
    Kv(Shared<Kv>),
    Pki(Shared<Pki>),
    Transit(Shared<Transit>),
    /// Mounted on every server or without versions: there, but not implemented beyond their names.
    Opaque,
}

/// An auth method at its path.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct AuthMount {
    pub(super) description: Description,
    pub(super) method: Method,
}

/// The auth methods.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Method {
    Token,
    Kubernetes(Shared<KubernetesAuth>),
}

impl Description {
    fn built_in(mint: Mint, kind: &str, accessor: &str, text: &str) -> Self {
        let made = Self::new(mint, &[kind.as_bytes()], kind, accessor, text, None);
        Self { built_in: true, ..made }
    }

    fn new(
        mint: Mint,
        details: &[&[u8]],
        kind: &str,
        accessor: &str,
        text: &str,
        options: Option<BTreeMap<String, String>>,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            accessor: format!("{accessor}_{}", mint.short_hex("mount accessor", details)),
            uuid: mint.uuid("mount", details),
            text: text.to_owned(),
            options,
            default_lease_ttl_s: 0,
            max_lease_ttl_s: 0,
            built_in: false,
        }
    }

    pub(super) fn accessor(&self) -> &str {
        &self.accessor
    }

    /// The longest life of what the mount hands out, in seconds.
    pub(super) const fn max_lease_ttl_s(&self) -> u64 {
        if self.max_lease_ttl_s == 0 { DEFAULT_TTL_S } else { self.max_lease_ttl_s }
    }

    /// The life of what is handed out to those who do not say, in seconds.
    pub(super) const fn default_lease_ttl_s(&self) -> u64 {
        if self.default_lease_ttl_s == 0 { DEFAULT_TTL_S } else { self.default_lease_ttl_s }
    }

    fn describe(&self) -> Value {
        let mut config = json!({
            "default_lease_ttl": self.default_lease_ttl_s, "force_no_cache": false,
            "max_lease_ttl": self.max_lease_ttl_s,
        });
        match self.kind.as_str() {
            "system" => config["passthrough_request_headers"] = json!(["Accept"]),
            "identity" => config["passthrough_request_headers"] = json!(["Authorization"]),
            _ => {}
        }
        let mut data = json!({
            "accessor": self.accessor, "config": config, "description": self.text,
            "external_entropy_access": false, "local": self.kind == "cubbyhole", "options": self.options,
            "plugin_version": "", "running_plugin_version": PLUGIN_VERSION, "running_sha256": "",
            "seal_wrap": self.kind == "system", "type": self.kind, "uuid": self.uuid,
        });
        if !self.built_in {
            data["deprecation_status"] = "supported".into();
        }
        data
    }

    fn describe_auth(&self) -> Value {
        let mut data = self.describe();
        data["config"]["token_type"] = "default-service".into();
        data
    }
}

impl SecretMount {
    pub(super) fn built_in(mint: Mint) -> BTreeMap<String, Self> {
        let mount = |kind: &str, text| {
            let description = Description::built_in(mint, kind, kind, text);
            Self { description, engine: Engine::Opaque }
        };
        [
            ("sys/".to_owned(), mount("system", "system endpoints used for control, policy and debugging")),
            ("identity/".to_owned(), mount("identity", "identity store")),
            ("cubbyhole/".to_owned(), mount("cubbyhole", "per-token private secret storage")),
        ]
        .into()
    }
}

impl AuthMount {
    pub(super) fn built_in(mint: Mint) -> BTreeMap<String, Self> {
        let description = Description::built_in(mint, "token", "auth_token", "token based credentials");
        [("token/".to_owned(), Self { description, method: Method::Token })].into()
    }
}

/// `sys/mounts[/…]`.
pub(super) fn handle_secrets(storage: &mut Storage, request: &Request, rest: &str, upgrading: u8) -> Handled {
    let reads = request.operation == Operation::Read;
    let writes = request.operation == Operation::Update;
    match rest.strip_prefix('/') {
        None if reads => {
            let mounts = storage.mounts.iter();
            Ok(Answer::DataTwice(
                mounts.map(|(path, mount)| (path.clone(), mount.description.describe())).collect(),
            ))
        }
        None => request.unsupported(),
        Some(path) if path.ends_with("/tune") => tune(storage, request, path.trim_end_matches("tune")),
        Some("") => request.not_implemented(),
        Some(path) if reads => {
            let path = with_slash(path);
            let mount = storage.mounts.get(&path);
            let mount = mount.ok_or_else(|| Refusal::invalid(format!("No secret engine mount at {path}")))?;
            Ok(twice(mount.description.describe()))
        }
        Some(path) if writes => mount_secrets(storage, request, with_slash(path), upgrading),
        Some(path) if request.operation == Operation::Delete => {
            storage
                .mounts
                .own()
                .retain(|mounted, mount| mount.description.built_in || *mounted != with_slash(path));
            Ok(Answer::done())
        }
        Some(_) => request.unsupported(),
    }
}

/// `sys/auth[/…]`.
pub(super) fn handle_auth(storage: &mut Storage, request: &Request, rest: &str) -> Handled {
    match (rest.strip_prefix('/'), request.operation) {
        (None, Operation::Read) => {
            let mounts = storage.auth.iter();
            let describe =
                |(path, mount): (&String, &AuthMount)| (path.clone(), mount.description.describe_auth());
            Ok(Answer::DataTwice(mounts.map(describe).collect()))
        }
        (None, _) => request.unsupported(),
        (Some(path), _) if path.is_empty() || path.ends_with("/tune") => request.not_implemented(),
        (Some(path), Operation::Read) => {
            let path = with_slash(path);
            let mount = storage.auth.get(&path);
            let mount = mount.ok_or_else(|| Refusal::invalid(format!("No auth engine at {path}")))?;
            Ok(twice(mount.description.describe_auth()))
        }
        (Some(path), Operation::Update) => mount_auth(storage, request, with_slash(path)),
        (Some(path), Operation::Delete) => {
            storage
                .auth
                .own()
                .retain(|mounted, mount| mount.description.built_in || *mounted != with_slash(path));
            Ok(Answer::done())
        }
        (Some(_), Operation::List | Operation::Create) => request.unsupported(),
    }
}

fn mount_secrets(storage: &mut Storage, request: &Request, path: String, upgrading: u8) -> Handled {
    let new = NewMount::parse(request)?;
    let taken = storage.mounts.keys().map(String::as_str).chain(["auth/"]);
    refuse_conflict(&path, taken)?;
    let (kind, versioned) = match new.kind.as_str() {
        "kv-v2" => ("kv", true),
        "kv" => ("kv", new.version() == Some("2")),
        other => (other, false),
    };
    if kind != "kv" && new.version().is_some() {
        return Err(Refusal::invalid(format!("secrets engine \"{kind}\" does not allow setting a version")));
    }
    let engine = match (kind, versioned) {
        ("kv", true) => Engine::Kv(Shared::new(Kv::new(upgrading))),
        ("kv", false) => Engine::Opaque,
        ("pki", _) => Engine::Pki(Shared::default()),
        ("transit", _) => Engine::Transit(Shared::default()),
        (kind, _) => return Err(no_plugin(kind)),
    };
    let mut options = new.options.clone();
    if new.kind == "kv-v2" {
        options = Some([("version".to_owned(), "2".to_owned())].into());
    }
    let details = [path.as_bytes(), &request.moment()];
    let made = Description::new(request.mint, &details, kind, kind, &new.text, options);
    let description = Description {
        default_lease_ttl_s: new.default_lease_ttl_s,
        max_lease_ttl_s: new.max_lease_ttl_s,
        ..made
    };
    storage.mounts.own().insert(path, SecretMount { description, engine });
    Ok(Answer::done())
}

fn mount_auth(storage: &mut Storage, request: &Request, path: String) -> Handled {
    let new = NewMount::parse(request)?;
    refuse_conflict(&path, storage.auth.keys().map(String::as_str))?;
    if new.kind != "kubernetes" {
        return Err(no_plugin(&new.kind));
    }
    let details = [path.as_bytes(), &request.moment()];
    let made =
        Description::new(request.mint, &details, "kubernetes", "auth_kubernetes", &new.text, new.options);
    let description = Description {
        default_lease_ttl_s: new.default_lease_ttl_s,
        max_lease_ttl_s: new.max_lease_ttl_s,
        ..made
    };
    let method = Method::Kubernetes(Shared::default());
    storage.auth.own().insert(path, AuthMount { description, method });
    Ok(Answer::done())
}

struct NewMount {
    kind: String,
    text: String,
    options: Option<BTreeMap<String, String>>,
    default_lease_ttl_s: u64,
    max_lease_ttl_s: u64,
}

impl NewMount {
    fn parse(request: &Request) -> Result<Self, Refusal> {
        let fields = Fields(&request.data);
        fields.refuse(&["local", "seal_wrap", "external_entropy_access", "plugin_name", "plugin_version"])?;
        let kind = fields.text("type")?.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| Refusal::invalid("backend type must be specified as a string"))?;
        let options = match request.data.get("options") {
            None => Some(BTreeMap::new()),
            Some(Value::Null) => None,
            Some(_) => {
                let members = fields.object("options")?.into_iter().flatten();
                let read = |(key, _): (&String, _)| {
                    let members = fields.object("options")?.expect("it is there");
                    Ok((key.clone(), Fields(members).text(key)?.unwrap_or_default()))
                };
                Some(members.map(read).collect::<Result<_, Refusal>>()?)
            }
        };
        let empty = Map::new();
        let config = Fields(fields.object("config")?.unwrap_or(&empty));
        config.refuse(&UNIMPLEMENTED_TUNING)?;
        Ok(Self {
            kind,
            text: fields.text("description")?.unwrap_or_default(),
            options,
            default_lease_ttl_s: config.seconds("default_lease_ttl")?.unwrap_or(0),
            max_lease_ttl_s: config.seconds("max_lease_ttl")?.unwrap_or(0),
        })
    }

    fn version(&self) -> Option<&str> {
        self.options.as_ref()?.get("version").map(String::as_str)
    }
}

/// `sys/mounts/<path>/tune`.
fn tune(storage: &mut Storage, request: &Request, path: &str) -> Handled {
    let Some(mount) = storage.mounts.get(path) else {
        return Err(Refusal::invalid(format!("cannot fetch sysview for path \"{path}\"")));
    };
    match request.operation {
        Operation::Read => Ok(twice(json!({
            "default_lease_ttl": mount.description.default_lease_ttl_s(),
            "description": mount.description.text, "force_no_cache": false,
            "max_lease_ttl": mount.description.max_lease_ttl_s(),
        }))),
        Operation::Update => {
            let fields = Fields(&request.data);
            fields.refuse(&UNIMPLEMENTED_TUNING)?;
            let default = fields.seconds("default_lease_ttl")?;
            let max = fields.seconds("max_lease_ttl")?;
            let text = fields.text("description")?;
            let mount = storage.mounts.own().get_mut(path).expect("it was just there");
            let description = &mut mount.description;
            description.default_lease_ttl_s = default.unwrap_or(description.default_lease_ttl_s);
            description.max_lease_ttl_s = max.unwrap_or(description.max_lease_ttl_s);
            description.text = text.unwrap_or_else(|| description.text.clone());
            Ok(Answer::done())
        }
        Operation::List | Operation::Create | Operation::Delete => request.unsupported(),
    }
}

fn refuse_conflict<'a>(path: &str, mut taken: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    match taken.find(|taken| path.starts_with(taken) || taken.starts_with(path)) {
        Some(taken) => Err(Refusal::invalid(format!("path is already in use at {taken}"))),
        None => Ok(()),
    }
}

fn no_plugin(kind: &str) -> Refusal {
    if UNIMPLEMENTED_ENGINES.contains(&kind) {
        return Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("the fake Vault has no engine {kind}"));
    }
    Refusal::invalid(format!("plugin not found in the catalog: {kind}"))
}

fn twice(data: Value) -> Answer {
    match data {
        Value::Object(data) => Answer::DataTwice(data),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("a mount is described by an object")
        }
    }
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, text};
    use super::*;

    #[test]
    fn a_mount_reads_back_as_it_was_asked_for() {
        let (mut trial, root) = Trial::unsealed();
        let kv = json!({"type": "kv", "options": {"version": "2"}, "config": {}});
        let pki = json!({"type": "pki", "options": null, "config": {"max_lease_ttl": "87600h"}});
        trial.must("POST", "sys/mounts/systems", &root, &kv);
        trial.must("POST", "sys/mounts/pki", &root, &pki);
        trial.must("POST", "sys/mounts/other", &root, &json!({"type": "transit"}));

        let mounts = trial.must("GET", "sys/mounts", &root, &json!({}));
        let read = |path: &str, what: &str| mounts["data"][path][what].clone();

        assert_eq!(
            (read("systems/", "type"), read("systems/", "options")),
            (json!("kv"), json!({"version": "2"}))
        );
        assert_eq!((read("pki/", "options"), read("other/", "options")), (Value::Null, json!({})));
        assert_eq!(read("pki/", "config")["max_lease_ttl"], 315_360_000);
        assert!(text(&read("pki/", "accessor")).starts_with("pki_"));
        assert_eq!(mounts["systems/"], mounts["data"]["systems/"], "once more at the top");
        assert_eq!(mounts["data"].as_object().map(Map::len), Some(6));
    }

    #[test]
    fn a_path_is_used_once_and_engines_must_exist() {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/mounts/systems", &root, &json!({"type": "kv-v2"}));
        trial.must("POST", "sys/auth/kubernetes", &root, &json!({"type": "kubernetes"}));
        let mut refusal = |path: &str, body: Value| trial.refused("POST", path, &root, &body);

        let taken = (400, "path is already in use at systems/".to_owned());
        assert_eq!(refusal("sys/mounts/systems", json!({"type": "kv"})), taken);
        assert_eq!(refusal("sys/mounts/systems/x", json!({"type": "kv"})), taken);
        assert_eq!(
            refusal("sys/auth/kubernetes", json!({"type": "kubernetes"})),
            (400, "path is already in use at kubernetes/".into())
        );
        assert_eq!(
            refusal("sys/mounts/x", json!({"type": "nope"})),
            (400, "plugin not found in the catalog: nope".into())
        );
        assert_eq!(
            refusal("sys/mounts/x", json!({})),
            (400, "backend type must be specified as a string".into())
        );
        let versioned = refusal("sys/mounts/x", json!({"type": "pki", "options": {"version": "2"}}));
        assert_eq!(versioned, (400, "secrets engine \"pki\" does not allow setting a version".into()));
        assert_eq!(refusal("sys/mounts/x", json!({"type": "database"})).0, 501);
        assert_eq!(
            refusal("sys/mounts/x", json!({"type": "kv", "config": {"listing_visibility": "unauth"}})).0,
            501
        );
    }

    #[test]
    fn tuning_changes_the_lives_of_what_is_handed_out() {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/mounts/pki", &root, &json!({"type": "pki"}));

        trial.must("POST", "sys/mounts/pki/tune", &root, &json!({"max_lease_ttl": "1h"}));

        let tuned = trial.must("GET", "sys/mounts/pki/tune", &root, &json!({}));
        assert_eq!(
            (&tuned["max_lease_ttl"], &tuned["data"]["default_lease_ttl"]),
            (&json!(3_600), &json!(2_764_800))
        );
    }

    #[test]
    fn what_is_unmounted_is_gone_and_what_is_built_in_stays() {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/auth/probe", &root, &json!({"type": "kubernetes"}));

        trial.must("DELETE", "sys/auth/probe", &root, &json!({}));
        trial.must("DELETE", "sys/auth/token", &root, &json!({}));

        assert_eq!(
            trial.refused("GET", "sys/auth/probe", &root, &json!({})),
            (400, "No auth engine at probe/".into())
        );
        assert_eq!(trial.status("GET", "sys/auth/token", &root, &json!({})), 200);
    }
}
