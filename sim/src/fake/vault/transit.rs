//! Keys that never leave Vault: `<mount>/keys/…`, `<mount>/sign/…`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::certificate::PrivateKey;
use super::fields::Fields;
use super::request::{Operation, Request};
use super::shared::Shared;
use crate::fake::timestamp::rfc3339;

/// One mounted engine.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Transit {
    keys: BTreeMap<String, Key>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Key {
    kind: Kind,
    /// The Ed25519 seed, or the bytes of the AES key.
    secret: PrivateKey,
    created: Unix,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Ed25519,
    Aes256Gcm96,
}

/// Key types of the real server that the fake does not have.
const UNIMPLEMENTED_KINDS: [&str; 11] = [
    "aes128-gcm96",
    "chacha20-poly1305",
    "xchacha20-poly1305",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "hmac",
    "managed_key",
];

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Aes256Gcm96 => "aes256-gcm96",
        }
    }
}

impl Key {
    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(self.secret.bytes())
    }

    fn describe(&self, name: &str) -> Value {
        let signs = self.kind == Kind::Ed25519;
        let version = match self.kind {
            Kind::Ed25519 => json!({
                "certificate_chain": "", "creation_time": rfc3339(self.created), "name": "ed25519",
                "public_key": BASE64.encode(self.signing_key().verifying_key().as_bytes()),
            }),
            Kind::Aes256Gcm96 => self.created.0.into(),
        };
        json!({
            "allow_plaintext_backup": false, "auto_rotate_period": 0, "deletion_allowed": false, "derived": false,
            "exportable": false, "imported_key": false, "keys": { "1": version }, "latest_version": 1,
            "min_available_version": 0, "min_decryption_version": 1, "min_encryption_version": 0, "name": name,
            "soft_deleted": false, "supports_decryption": !signs, "supports_derivation": true,
            "supports_encryption": !signs, "supports_signing": signs, "type": self.kind.as_str(),
        })
    }
}

/// `<mount>/<rest>`.
pub(super) fn handle(transit: &mut Shared<Transit>, request: &Request, rest: &str) -> Handled {
    let name =
        |prefix: &str| rest.strip_prefix(prefix).filter(|name| !name.is_empty() && !name.contains('/'));
    if rest == "keys/" && request.operation == Operation::List {
        return Answer::keys(&transit.keys.keys().collect::<Vec<_>>());
    }
    if let Some(name) = name("keys/") {
        return match request.operation {
            Operation::Read => read(transit, name),
            Operation::Update => create(transit, request, name),
            Operation::List | Operation::Create => request.unsupported(),
            Operation::Delete => delete(transit, request, name),
        };
    }
    if let Some(name) = name("export/signing-key/")
        && request.operation == Operation::Read
        && transit.keys.contains_key(name)
    {
        // Every key of the fake is so.
        return Err(Refusal::invalid("private key material is not exportable"));
    }
    if let Some(name) = name("sign/") {
        return match request.operation {
            Operation::Update => sign(transit, request, name),
            Operation::Read | Operation::List | Operation::Create | Operation::Delete => {
                request.unsupported()
            }
        };
    }
    request.not_implemented()
}

fn read(transit: &Transit, name: &str) -> Handled {
    let key = transit.keys.get(name).ok_or_else(Refusal::not_found)?;
    Ok(Answer::data(key.describe(name)))
}

/// No key of the fake may be deleted: that would have to be configured first.
fn delete(transit: &Transit, request: &Request, name: &str) -> Handled {
    if !transit.keys.contains_key(name) {
        return request.not_implemented();
    }
    let why = format!("error deleting policy {name}: deletion is not allowed for this key");
    Err(Refusal::invalid(why))
}

/// Creating what exists changes nothing, whatever is asked for.
fn create(transit: &mut Shared<Transit>, request: &Request, name: &str) -> Handled {
    const UNIMPLEMENTED: [&str; 9] = [
        "external_key_ref",
        "derived",
        "exportable",
        "allow_plaintext_backup",
        "convergent_encryption",
        "context",
        "auto_rotate_period",
        "key_size",
        "managed_key_name",
    ];
    let fields = Fields(&request.data);
    let warnings = fields.warn_unknown(&["type"], &UNIMPLEMENTED)?;
    let kind = fields.text("type")?.filter(|kind| !kind.is_empty());
    let kind = match kind.as_deref() {
        Some("ed25519") => Kind::Ed25519,
        None | Some("aes256-gcm96") => Kind::Aes256Gcm96,
        Some(kind) if UNIMPLEMENTED_KINDS.contains(&kind) => {
            return Err(Refusal::not_implemented(format_args!("transit keys of type {kind}")));
        }
        Some(kind) => return Err(Refusal::invalid(format!("unknown key type {kind}"))),
    };
    if !transit.keys.contains_key(name) {
        let details = [request.path.as_bytes(), &request.moment()];
        let secret = PrivateKey::new(request.mint.key("transit key", &details));
        transit.own().keys.insert(name.to_owned(), Key { kind, secret, created: request.now });
    }
    Ok(Answer::Data { data: transit.keys[name].describe(name), warnings })
}

/// Ed25519 over the input as it is, without a hash of our own.
fn sign(transit: &Transit, request: &Request, name: &str) -> Handled {
    const UNIMPLEMENTED: [&str; 10] = [
        "algorithm",
        "urlalgorithm",
        "prehashed",
        "hash_algorithm",
        "marshaling_algorithm",
        "signature_algorithm",
        "key_version",
        "context",
        "salt_length",
        "batch_input",
    ];
    let fields = Fields(&request.data);
    let warnings = fields.warn_unknown(&["input"], &UNIMPLEMENTED)?;
    let key = transit.keys.get(name).ok_or_else(|| Refusal::invalid("signing key not found"))?;
    if key.kind != Kind::Ed25519 {
        return Err(Refusal::invalid(format!("key type {} does not support signing", key.kind.as_str())));
    }
    let input = fields.text("input")?.unwrap_or_default();
    let input = BASE64.decode(input.as_bytes()).map_err(|error| {
        let at = error.position;
        Refusal::invalid(format!("unable to decode input as base64: illegal base64 data at input byte {at}"))
    })?;
    let signature = BASE64.encode(&key.signing_key().sign(&input).to_bytes());
    let data = json!({ "key_version": 1, "signature": format!("vault:v1:{signature}") });
    Ok(Answer::Data { data, warnings })
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, text};
    use super::*;

    #[test]
    fn creating_a_key_again_changes_nothing() {
        let (mut trial, root) = with_transit();
        let first = trial.must("POST", "nats/keys/user.a.b", &root, &json!({"type": "ed25519"}));

        let again = trial.must("POST", "nats/keys/user.a.b", &root, &json!({"type": "aes256-gcm96"}));
        let read = trial.must("GET", "nats/keys/user.a.b", &root, &json!({}));

        assert_eq!((&first["data"], &first["data"]), (&again["data"], &read["data"]));
        assert_eq!((&read["data"]["type"], &read["data"]["latest_version"]), (&json!("ed25519"), &json!(1)));
        let public = BASE64.decode(text(&read["data"]["keys"]["1"]["public_key"]).as_bytes());
        assert_eq!(public.map(|public| public.len()), Ok(32));
    }

    #[test]
    fn a_missing_type_makes_an_aes_key_which_signs_nothing() {
        let (mut trial, root) = with_transit();

        let made = trial.must("POST", "nats/keys/x", &root, &json!({}));

        assert_eq!(made["data"]["type"], "aes256-gcm96");
        let refusal = trial.refused("POST", "nats/sign/x", &root, &json!({"input": "eA=="}));
        assert_eq!(refusal, (400, "key type aes256-gcm96 does not support signing".into()));
    }

    #[test]
    fn what_cannot_be_signed_is_named() {
        let (mut trial, root) = with_transit();
        trial.must("POST", "nats/keys/x", &root, &json!({"type": "ed25519"}));
        let mut sign =
            |name: &str, body: Value| trial.refused("POST", &format!("nats/sign/{name}"), &root, &body);

        assert_eq!(sign("nope", json!({"input": "eA=="})), (400, "signing key not found".into()));
        let illegal = "unable to decode input as base64: illegal base64 data at input byte 0";
        assert_eq!(sign("x", json!({"input": "***"})), (400, illegal.into()));
        assert_eq!(sign("x", json!({"input": "eA==", "prehashed": true})).0, 501);
    }

    #[test]
    fn what_would_take_a_key_out_is_not_there() {
        let (mut trial, root) = with_transit();
        trial.must("POST", "nats/keys/x", &root, &json!({"type": "ed25519"}));
        let refusals = [
            ("GET", "nats/export/signing-key/x", "private key material is not exportable"),
            ("DELETE", "nats/keys/x", "error deleting policy x: deletion is not allowed for this key"),
        ];
        for (method, path, why) in refusals {
            assert_eq!(trial.refused(method, path, &root, &json!({})), (400, why.into()), "{method} {path}");
        }
        let requests =
            [("GET", "nats/backup/x"), ("POST", "nats/keys/x/config"), ("POST", "nats/keys/x/rotate")];
        for (method, path) in requests {
            assert_eq!(trial.status(method, path, &root, &json!({})), 501, "{method} {path}");
        }
        let exportable = json!({"type": "ed25519", "exportable": true});
        assert_eq!(trial.status("POST", "nats/keys/y", &root, &exportable), 501);
        assert_eq!(
            trial.refused("POST", "nats/keys/y", &root, &json!({"type": "x"})),
            (400, "unknown key type x".into())
        );
    }

    fn with_transit() -> (Trial, String) {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/mounts/nats", &root, &json!({"type": "transit"}));
        (trial, root)
    }
}
