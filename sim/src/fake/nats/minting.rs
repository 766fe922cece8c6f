//! For tests: keys that are a function of a number, JWTs signed with them, and a whole operator-mode `nats.conf`.

use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde_json::{Value, json};

/// A key pair whose seed is one repeated byte.
pub(crate) struct Key(KeyPair);

impl Key {
    pub(crate) fn operator(number: u8) -> Self {
        Self::of(KeyPairType::Operator, number)
    }

    pub(crate) fn account(number: u8) -> Self {
        Self::of(KeyPairType::Account, number)
    }

    pub(crate) fn user(number: u8) -> Self {
        Self::of(KeyPairType::User, number)
    }

    pub(crate) fn public(&self) -> String {
        self.0.public_key()
    }

    /// The 64 bytes that async-nats wants.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).expect("the pair has its private half")
    }

    /// What goes into CONNECT as `sig`.
    pub(crate) fn signature(&self, nonce: &str) -> String {
        BASE64URL_NOPAD.encode(&self.sign(nonce.as_bytes()))
    }

    fn of(kind: KeyPairType, number: u8) -> Self {
        Self(KeyPair::new_from_raw(kind, [number; 32]).expect("32 bytes are a seed"))
    }
}

/// A JWT by `issuer` about `subject`; `standard` adds or replaces standard claims.
pub(crate) fn jwt(issuer: &Key, subject: &Key, standard: Value, nats: &Value) -> String {
    let mut claims = json!({"iat": 1, "iss": issuer.public(), "sub": subject.public(), "nats": nats});
    let object = claims.as_object_mut().expect("an object");
    for (key, value) in standard.as_object().expect("an object") {
        object.insert(key.clone(), value.clone());
    }
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// `token` with one bit of its signature turned over.
pub(crate) fn corrupted(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).expect("base64url");
    bytes[0] ^= 1;
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes))
}

/// An operator with a system account and a platform account, as the product makes them.
pub(crate) struct Platform {
    pub(crate) operator: Key,
    pub(crate) system: Key,
    pub(crate) platform: Key,
    pub(crate) signer: Key,
    pub(crate) template: Value,
    pub(crate) limits: Value,
    pub(crate) system_connections: i64,
    pub(crate) tls: &'static str,
}

impl Platform {
    pub(crate) fn new() -> Self {
        Self {
            operator: Key::operator(1),
            system: Key::account(2),
            platform: Key::account(3),
            signer: Key::account(4),
            template: json!({
                "pub": {"allow": ["kf.*.in.{{subject()}}.>", "kf.*.in._inbox.>"]},
                "sub": {"allow": ["kf.{{subject()}}.>"]},
                "subs": 1000, "data": -1, "payload": 1 << 20, "allowed_connection_types": ["STANDARD"],
            }),
            limits: json!({
                "subs": 1000, "data": -1, "payload": 1 << 20, "imports": 0, "exports": 0, "conn": 2048, "leaf": 0,
                "disallow_bearer": true,
            }),
            system_connections: 0,
            tls: "",
        }
    }

    pub(crate) fn nats_conf(&self) -> String {
        let (system, platform) = (self.system.public(), self.platform.public());
        format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \".\"\nserver_name: nats-0\noperator: {}\n\
             system_account: {system}\nresolver: MEMORY\nresolver_preload: {{\n  {system}: {}\n  {platform}: {}\n}}\n\
             resolver_pinned_accounts: [ {platform} ]\nauthorization {{ timeout: 6 }}\nmax_payload: 1MB\n\
             max_control_line: 4KB\n{}\n",
            self.operator_jwt(),
            self.system_jwt(),
            self.platform_jwt(),
            self.tls,
        )
    }

    pub(crate) fn operator_jwt(&self) -> String {
        let nats = json!({"system_account": self.system.public(), "type": "operator", "version": 2});
        jwt(&self.operator, &self.operator, json!({}), &nats)
    }

    pub(crate) fn system_jwt(&self) -> String {
        let nats = json!({
            "limits": {"subs": -1, "data": -1, "payload": -1, "imports": 0, "exports": 0,
                "conn": self.system_connections, "leaf": 0,
                "disallow_bearer": true},
            "default_permissions": {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}},
            "authorization": {}, "type": "account", "version": 2,
        });
        jwt(&self.operator, &self.system, json!({}), &nats)
    }

    pub(crate) fn platform_jwt(&self) -> String {
        let nats = json!({
            "limits": self.limits,
            "signing_keys": [{"kind": "user_scope", "key": self.signer.public(), "role": "component",
                "template": self.template}],
            "default_permissions": {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}},
            "authorization": {}, "type": "account", "version": 2,
        });
        jwt(&self.operator, &self.platform, json!({"name": "platform"}), &nats)
    }

    /// A user as the product issues them: nothing of its own, all of it from the template.
    pub(crate) fn user_jwt(&self, user: &Key, expires: u64) -> String {
        let nats = json!({"issuer_account": self.platform.public(), "type": "user", "version": 2});
        jwt(&self.signer, user, json!({"exp": expires}), &nats)
    }
}
