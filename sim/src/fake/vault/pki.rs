//! The certificate authority: issuers, the root, roles. Issuing and signing have files of their own.

use std::collections::BTreeMap;

use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::certificate::{self, Common, PrivateKey, Serial};
use super::fields::{Fields, print_duration};
use super::identity::Known;
use super::mounts::Description;
use super::pki_issue;
use super::pki_role::{Role, check_key};
use super::pki_sign;
use super::request::{Operation, Request};
use super::shared::Shared;

/// How long before its making a root certificate begins to be valid, in seconds.
const ROOT_NOT_BEFORE_S: u64 = 30;

const NO_AIA: &str = "This mount hasn't configured any authority information access (AIA) fields; this may make it \
     harder for systems to find missing certificates in the chain or to validate revocation status of certificates. \
     Consider updating /config/urls or the newly generated issuer with this information.";

/// What is asked of a root.
const ROOT_FIELDS: [&str; 6] = ["common_name", "issuer_name", "key_name", "key_type", "key_bits", "ttl"];

/// What a root could be asked beyond that.
const UNIMPLEMENTED_ROOT_FIELDS: [&str; 27] = [
    "ext_key_usage",
    "ext_key_usage_oids",
    "external_key_ref",
    "key_ref",
    "key_usage",
    "not_before",
    "postal_code",
    "serial_number",
    "street_address",
    "alt_names",
    "ip_sans",
    "uri_sans",
    "other_sans",
    "format",
    "private_key_format",
    "max_path_length",
    "exclude_cn_from_sans",
    "use_pss",
    "permitted_dns_domains",
    "ou",
    "organization",
    "country",
    "locality",
    "province",
    "not_before_duration",
    "not_after",
    "signature_bits",
];

/// One mounted engine.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Pki {
    /// By id.
    issuers: BTreeMap<String, Issuer>,
    default_issuer: Option<String>,
    pub(super) roles: BTreeMap<String, Role>,
    /// How many certificates were kept, which grows for ever unless roles say `no_store`.
    pub(super) stored: u64,
}

/// A certificate that signs others.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Issuer {
    name: String,
    key_id: String,
    key_name: String,
    pub(super) key: PrivateKey,
    pub(super) common_name: String,
    serial: Serial,
    pub(super) not_after: Unix,
    pem: String,
}

impl Issuer {
    pub(super) fn pem(&self) -> String {
        self.pem.clone()
    }
}

impl Pki {
    /// The issuer of that name or id; `default` is the first that was made.
    pub(super) fn issuer(&self, reference: &str) -> Option<&Issuer> {
        if reference == "default" {
            return self.issuers.get(self.default_issuer.as_ref()?);
        }
        let named = || self.issuers.values().find(|issuer| issuer.name == reference);
        self.issuers.get(reference).or_else(named)
    }

    /// The certificates of all issuers, PEM.
    pub(super) fn certificates(&self) -> impl Iterator<Item = String> {
        self.issuers.values().map(Issuer::pem)
    }
}

/// Whether anybody may read the path, token or not.
pub(super) fn is_public(operation: Operation, rest: &str) -> bool {
    match operation {
        Operation::List => rest == "issuers/",
        Operation::Read => {
            let of_issuer = rest.strip_prefix("issuer/").and_then(|issuer| issuer.split_once('/'));
            matches!(rest, "ca" | "ca/pem" | "ca_chain" | "crl" | "crl/pem")
                || of_issuer.is_some_and(|(_, form)| matches!(form, "pem" | "der" | "json"))
        }
        Operation::Create | Operation::Update | Operation::Delete => false,
    }
}

/// `<mount>/<rest>`.
pub(super) fn handle(
    pki: &mut Shared<Pki>,
    mount: &Description,
    request: &Request,
    rest: &str,
    known: Known<'_>,
) -> Handled {
    let reads = request.operation == Operation::Read;
    let writes = request.operation == Operation::Update;
    let after =
        |prefix: &str| rest.strip_prefix(prefix).filter(|name| !name.is_empty() && !name.contains('/'));
    match rest {
        "ca/pem" if reads => Ok(file(pki.issuer("default").map(Issuer::pem).unwrap_or_default())),
        "issuers/" if request.operation == Operation::List => list_issuers(pki),
        "issuers" => request.unsupported(),
        "root/generate/internal" if writes => generate_root(pki, mount, request),
        "root/generate/internal" => request.unsupported(),
        "roles/" if request.operation == Operation::List => {
            Answer::keys(&pki.roles.keys().collect::<Vec<_>>())
        }
        _ => {
            if let Some(name) = after("roles/") {
                return role(pki, request, name);
            }
            if let Some(name) = after("issue/") {
                return if writes {
                    pki_issue::issue(pki, mount, request, name, known)
                } else {
                    request.unsupported()
                };
            }
            if let Some(name) = after("sign/") {
                return if writes {
                    pki_sign::sign(pki, mount, request, name, known)
                } else {
                    request.unsupported()
                };
            }
            let issuer = rest.strip_prefix("issuer/").and_then(|rest| rest.strip_suffix("/pem"));
            match issuer.filter(|_| reads) {
                Some(reference) => {
                    let missing =
                        || Refusal::invalid(format!("unable to find PKI issuer for reference: {reference}"));
                    Ok(file(pki.issuer(reference).ok_or_else(missing)?.pem() + "\n"))
                }
                None => request.not_implemented(),
            }
        }
    }
}

const fn file(pem: String) -> Answer {
    Answer::File { content_type: "application/pem-certificate-chain", body: pem.into_bytes() }
}

fn list_issuers(pki: &Pki) -> Handled {
    if pki.issuers.is_empty() {
        return Err(Refusal::not_found());
    }
    let describe = |(id, issuer): (&String, &Issuer)| {
        let facts = json!({
            "is_default": pki.default_issuer.as_ref() == Some(id), "issuer_name": issuer.name,
            "key_id": issuer.key_id, "serial_number": issuer.serial.print(),
        });
        (id.clone(), facts)
    };
    let facts: Map<_, _> = pki.issuers.iter().map(describe).collect();
    Ok(Answer::data(json!({ "key_info": facts, "keys": pki.issuers.keys().collect::<Vec<_>>() })))
}

fn role(pki: &mut Shared<Pki>, request: &Request, name: &str) -> Handled {
    match request.operation {
        Operation::Read => {
            let role = pki.roles.get(name).ok_or_else(Refusal::not_found)?;
            Ok(Answer::data(role.describe()))
        }
        Operation::Update => {
            let (role, mut warnings) = Role::parse(&request.data)?;
            let reference = role.text("issuer_ref");
            if pki.issuer(reference).is_none() {
                warnings.insert(0, warn_of_missing_issuer(reference));
            }
            let data = role.describe();
            pki.own().roles.insert(name.to_owned(), role);
            Ok(Answer::Data { data, warnings })
        }
        Operation::List | Operation::Create => request.unsupported(),
        Operation::Delete => {
            pki.own().roles.remove(name);
            Ok(Answer::done())
        }
    }
}

fn warn_of_missing_issuer(reference: &str) -> String {
    if reference == "default" {
        return "Issuing Certificate was set to default, but no default issuing certificate (configurable at \
                /config/issuers) is currently set"
            .to_owned();
    }
    format!("Issuing Certificate was set to {reference} but no issuing certificate currently has that name")
}

fn generate_root(pki: &mut Shared<Pki>, mount: &Description, request: &Request) -> Handled {
    let fields = Fields(&request.data);
    let unknown = fields.warn_unknown(&ROOT_FIELDS, &UNIMPLEMENTED_ROOT_FIELDS)?;
    let name = |field| Ok::<_, Refusal>(fields.text(field)?.unwrap_or_default());
    let (issuer_name, key_name) = (name("issuer_name")?, name("key_name")?);
    check_names(pki, &issuer_name, &key_name)?;
    let key_type = fields.text("key_type")?.unwrap_or_else(|| "rsa".to_owned());
    let key_bits = check_key(&key_type, fields.whole("key_bits")?.unwrap_or(0))?;
    let common_name = name("common_name")?;
    if (key_type.as_str(), key_bits) != ("ec", 256) || common_name.is_empty() {
        return Err(Refusal::not_implemented("roots on other keys than P-256, or without a common name"));
    }

    let mut warnings = Vec::new();
    let wanted_s = fields.seconds("ttl")?.filter(|ttl_s| *ttl_s > 0);
    let ttl_s = cap_ttl(
        wanted_s.unwrap_or_else(|| mount.default_lease_ttl_s()),
        mount.max_lease_ttl_s(),
        &mut warnings,
    );
    warnings.push(NO_AIA.to_owned());
    warnings.extend(unknown);

    let made = pki.issuers.len().to_be_bytes();
    let details = [mount.accessor().as_bytes(), &request.moment(), &made];
    let mint = request.mint;
    let common = Common {
        serial: Serial::new(mint.bytes("root serial", &details)),
        common_name: Some(common_name.clone()),
        not_before: Unix(request.now.0.saturating_sub(ROOT_NOT_BEFORE_S)),
        not_after: Unix(request.now.0.saturating_add(ttl_s)),
    };
    let key = PrivateKey::new(mint.key("root key", &details));
    let pem = certificate::pem(&certificate::root(&common, &key));
    let issuer = Issuer {
        name: issuer_name,
        key_id: mint.uuid("root key id", &details),
        key_name,
        key,
        common_name,
        serial: common.serial,
        not_after: common.not_after,
        pem,
    };
    let id = mint.uuid("issuer id", &details);
    let data = describe_root(&id, &issuer);
    let pki = pki.own();
    pki.default_issuer.get_or_insert_with(|| id.clone());
    pki.issuers.insert(id, issuer);
    Ok(Answer::Data { data, warnings })
}

fn check_names(pki: &Pki, issuer_name: &str, key_name: &str) -> Result<(), Refusal> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if issuer_name == "default" {
        return Err(Refusal::invalid("reserved keyword 'default' can not be used as issuer name"));
    }
    if !issuer_name.chars().all(is_allowed) {
        return Err(Refusal::invalid("issuer name contained invalid characters"));
    }
    if !key_name.chars().all(is_allowed) || key_name == "default" {
        return Err(Refusal::invalid("key name contained invalid characters"));
    }
    let is_taken = |name: &str, of: fn(&Issuer) -> &str| {
        !name.is_empty() && pki.issuers.values().any(|issuer| of(issuer) == name)
    };
    if is_taken(issuer_name, |issuer| &issuer.name) {
        return Err(Refusal::invalid("issuer name already in use"));
    }
    if is_taken(key_name, |issuer| &issuer.key_name) {
        return Err(Refusal::invalid("key name already in use"));
    }
    Ok(())
}

fn describe_root(id: &str, issuer: &Issuer) -> Value {
    json!({
        "certificate": issuer.pem(), "expiration": issuer.not_after.0, "issuer_id": id, "issuer_name": issuer.name,
        "issuing_ca": issuer.pem(), "key_id": issuer.key_id, "key_name": issuer.key_name,
        "serial_number": issuer.serial.print(),
    })
}

/// The life that is granted, in seconds, with a warning if it is shorter than what was asked for.
pub(super) fn cap_ttl(wanted_s: u64, max_s: u64, warnings: &mut Vec<String>) -> u64 {
    if wanted_s <= max_s {
        return wanted_s;
    }
    let (wanted, max) = (print_duration(wanted_s), print_duration(max_s));
    warnings
        .push(format!("TTL \"{wanted}\" is longer than permitted maxTTL \"{max}\", so maxTTL is being used"));
    max_s
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, root_certificate, text};
    use super::*;

    #[test]
    fn a_named_root_is_made_once() {
        let (mut trial, root) = with_pki();
        assert_eq!(trial.status("LIST", "pki/issuers", &root, &json!({})), 404);
        assert_eq!(trial.raw("GET", "pki/ca/pem", None, &json!({})), (204, Vec::new()));
        let made = trial.must("POST", "pki/root/generate/internal", &root, &root_certificate());
        let mut renamed = root_certificate();
        renamed["issuer_name"] = "root-2".into();

        let again = trial.refused("POST", "pki/root/generate/internal", &root, &root_certificate());
        let other = trial.refused("POST", "pki/root/generate/internal", &root, &renamed);

        assert_eq!(again, (400, "issuer name already in use".into()));
        assert_eq!(other, (400, "key name already in use".into()));
        let (_, issuers) = trial.call("LIST", "pki/issuers", None, &json!({}));
        let id = text(&made["data"]["issuer_id"]);
        let facts = json!({"is_default": true, "issuer_name": "root-1", "key_id": made["data"]["key_id"],
            "serial_number": made["data"]["serial_number"]});
        assert_eq!(issuers["data"], json!({"keys": [id], "key_info": {id.as_str(): facts}}));
        let (_, pem) = trial.raw("GET", "pki/issuer/root-1/pem", None, &json!({}));
        assert_eq!(String::from_utf8_lossy(&pem), text(&made["data"]["certificate"]) + "\n");
        assert!(made["data"]["private_key"].is_null(), "it stays inside");
    }

    #[test]
    fn a_root_lives_no_longer_than_its_mount_allows() {
        let (mut trial, root) = with_pki();
        let mut wanted = root_certificate();
        wanted["ttl"] = "400000h".into();

        let made = trial.must("POST", "pki/root/generate/internal", &root, &wanted);

        assert_eq!(made["data"]["expiration"], trial.now.0 + 315_360_000);
        let warning =
            "TTL \"400000h0m0s\" is longer than permitted maxTTL \"87600h0m0s\", so maxTTL is being used";
        assert_eq!(made["warnings"], json!([warning, NO_AIA]));
    }

    #[test]
    fn impossible_roots_are_refused() {
        let (mut trial, root) = with_pki();
        let mut with = |field: &str, value: Value| {
            let mut wanted = root_certificate();
            wanted[field] = value;
            trial.refused("POST", "pki/root/generate/internal", &root, &wanted)
        };

        let reserved = "reserved keyword 'default' can not be used as issuer name";
        assert_eq!(with("issuer_name", json!("default")), (400, reserved.into()));
        assert_eq!(
            with("issuer_name", json!("a b")),
            (400, "issuer name contained invalid characters".into())
        );
        assert_eq!(with("key_bits", json!(255)), (400, "unsupported bit length for EC key: 255".into()));
        assert_eq!(with("key_type", json!("rsa")).0, 400, "256 bits are no RSA key");
        assert_eq!(with("key_bits", json!(384)).0, 501);
        assert_eq!(with("max_path_length", json!(1)).0, 501);
    }

    #[test]
    fn a_role_is_replaced_as_a_whole() {
        let (mut trial, root) = with_pki();
        let first = json!({"key_type": "ec", "allow_any_name": true, "issuer_ref": "root-1"});
        let (_, written) = trial.call("POST", "pki/roles/x", Some(&root), &first);
        trial.must("POST", "pki/roles/x", &root, &json!({"key_type": "ec"}));

        let read = trial.must("GET", "pki/roles/x", &root, &json!({}));

        let warning =
            "Issuing Certificate was set to root-1 but no issuing certificate currently has that name";
        assert_eq!(written["warnings"], json!([warning]));
        assert_eq!(
            (&read["data"]["allow_any_name"], &read["data"]["issuer_ref"]),
            (&json!(false), &json!("default"))
        );
        assert_eq!(trial.must("LIST", "pki/roles", &root, &json!({}))["data"]["keys"], json!(["x"]));
        assert_eq!(trial.status("GET", "pki/roles/y", &root, &json!({})), 404);
    }

    fn with_pki() -> (Trial, String) {
        let (mut trial, root) = Trial::unsealed();
        let config = json!({"max_lease_ttl": 315_360_000});
        trial.must("POST", "sys/mounts/pki", &root, &json!({"type": "pki", "config": config}));
        (trial, root)
    }
}
