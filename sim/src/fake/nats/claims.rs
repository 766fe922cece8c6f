//! Decodes NATS' JSON Web Tokens and verifies that their issuer signed them.
//!
//! Stricter than the original: a claim that this fake would have to act on and does not know is refused by name.
//! Source: `github.com/nats-io/jwt/v2`, `decoder.go`, `*_claims.go`; version 2 only.

use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What the official library accepts at most.
const TOKEN_BYTES_MAX: usize = 1 << 20;
/// The one version of the claims' form that this fake reads.
const VERSION: i64 = 2;

/// Why a text is no JWT of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Longer than 1 MiB.
    #[error("the JWT is larger than 1 MiB")]
    TooLarge,
    /// Not three parts of unpadded base64url.
    #[error("the JWT is not three parts of unpadded base64url")]
    NotThreeParts,
    /// Another algorithm than `ed25519-nkey`.
    #[error("the JWT's header is not typ JWT, alg ed25519-nkey")]
    Header,
    /// The claims are not JSON, or hold what this fake does not implement.
    #[error("the JWT's claims are not what this fake implements: {0}")]
    Json(String),
    /// An operator, account or user was wanted and something else given.
    #[error("the JWT is of type {found:?}, {wanted} was expected")]
    Kind {
        /// `nats.type` as it should be.
        wanted: &'static str,
        /// `nats.type` as it is.
        found: String,
    },
    /// Not version 2.
    #[error("the JWT's claims have version {0}, this fake reads 2")]
    Version(i64),
    /// The issuer did not sign this, or is no key.
    #[error("the JWT's signature is not its issuer's")]
    Signature,
    /// Operators and accounts are issued by operators, users by accounts.
    #[error("the JWT's issuer or subject is a key of the wrong kind")]
    KeyKind,
}

/// A verified token: its standard claims and what NATS adds.
#[derive(Clone, Debug)]
pub(super) struct Claims<N> {
    pub(super) standard: Standard,
    pub(super) nats: N,
}

/// RFC 7519's claims, in NATS' use of them. Times are seconds since 1970; 0 means never.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Standard {
    #[serde(default, rename = "exp")]
    pub(super) expires: u64,
    #[serde(default, rename = "nbf")]
    pub(super) not_before: u64,
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(rename = "sub")]
    pub(super) subject: String,
}

/// `nats` of an operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operator {
    #[serde(default)]
    pub(super) signing_keys: Vec<String>,
    #[serde(default)]
    pub(super) system_account: String,
    #[serde(default)]
    pub(super) strict_signing_key_usage: bool,
}

/// `nats` of an account. Imports, exports, mappings, revocations and JetStream are not implemented.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    #[serde(default)]
    pub(super) limits: AccountLimits,
    #[serde(default)]
    pub(super) signing_keys: Vec<Value>,
    #[serde(default)]
    pub(super) default_permissions: Permissions,
    #[serde(default, rename = "authorization")]
    _authorization: NoAuthorizationCallout,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, rename = "info_url")]
    _info_url: String,
}

/// −1 is unlimited, absent is zero.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountLimits {
    pub(super) subs: i64,
    #[serde(rename = "data")]
    _data: i64,
    pub(super) payload: i64,
    #[serde(rename = "imports")]
    _imports: i64,
    #[serde(rename = "exports")]
    _exports: i64,
    #[serde(rename = "wildcards")]
    _wildcards: bool,
    pub(super) disallow_bearer: bool,
    pub(super) conn: i64,
    #[serde(rename = "leaf")]
    _leaf: i64,
}

/// `authorization: {}`: anything in it would be an authorization callout, which is not implemented.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoAuthorizationCallout {}

/// An entry of `signing_keys` that is an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopedKey {
    pub(super) kind: String,
    pub(super) key: String,
    #[serde(default, rename = "role")]
    _role: String,
    #[serde(default)]
    pub(super) template: UserLimits,
    #[serde(default, rename = "description")]
    _description: String,
}

/// `pub`, `sub` and `resp`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Permissions {
    #[serde(rename = "pub")]
    pub(super) publish: Subjects,
    #[serde(rename = "sub")]
    pub(super) subscribe: Subjects,
    #[serde(rename = "resp")]
    pub(super) respond: Option<Value>,
}

/// Which subjects, by pattern.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Subjects {
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Option<Vec<String>>,
}

/// What a user or a scoped key's template may say about permissions and limits.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserLimits {
    #[serde(rename = "pub")]
    pub(super) publish: Subjects,
    #[serde(rename = "sub")]
    pub(super) subscribe: Subjects,
    #[serde(rename = "resp")]
    pub(super) respond: Option<Value>,
    pub(super) src: Option<Value>,
    pub(super) times: Option<Value>,
    pub(super) times_location: String,
    pub(super) subs: i64,
    pub(super) data: i64,
    pub(super) payload: i64,
    pub(super) bearer_token: bool,
    pub(super) proxy_required: bool,
    pub(super) allowed_connection_types: Option<Vec<String>>,
}

impl UserLimits {
    /// `pub`, `sub` and `resp` alone.
    pub(super) fn permissions(&self) -> Permissions {
        Permissions {
            publish: self.publish.clone(),
            subscribe: self.subscribe.clone(),
            respond: self.respond.clone(),
        }
    }

    /// The first claim in use that this fake cannot enforce, by its name.
    pub(super) fn unimplemented(&self) -> Option<&'static str> {
        let in_use = [
            ("src", self.src.is_some()),
            ("times", self.times.is_some() || !self.times_location.is_empty()),
            ("proxy_required", self.proxy_required),
            ("bearer_token", self.bearer_token),
        ];
        in_use.into_iter().find_map(|(claim, used)| used.then_some(claim))
    }
}

/// `nats` of a user.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) issuer_account: String,
    pub(super) limits: UserLimits,
}

/// A verified operator JWT.
pub(super) fn operator(token: &str) -> Result<Claims<Operator>, ClaimsError> {
    let (standard, nats) = verified(token, "operator", KeyPairType::Operator, KeyPairType::Operator)?;
    Ok(Claims { standard, nats: typed(nats)? })
}

/// A verified account JWT; who trusts its issuer is the caller's question.
pub(super) fn account(token: &str) -> Result<Claims<Account>, ClaimsError> {
    let (standard, nats) = verified(token, "account", KeyPairType::Operator, KeyPairType::Account)?;
    Ok(Claims { standard, nats: typed(nats)? })
}

/// A verified user JWT; who trusts its issuer is the caller's question.
pub(super) fn user(token: &str) -> Result<Claims<User>, ClaimsError> {
    let (standard, mut nats) = verified(token, "user", KeyPairType::Account, KeyPairType::User)?;
    let issuer_account = match nats.as_object_mut().and_then(|object| object.remove("issuer_account")) {
        Some(account) => typed(account)?,
        None => String::new(),
    };

    Ok(Claims { standard, nats: User { issuer_account, limits: typed(nats)? } })
}

/// A scoped signing key of an account.
pub(super) fn scoped_key(entry: Value) -> Result<ScopedKey, ClaimsError> {
    typed(entry)
}

/// The standard claims and the rest of `nats`, in the order in which the official library looks at a token.
fn verified(
    token: &str,
    wanted: &'static str,
    issuer: KeyPairType,
    subject: KeyPairType,
) -> Result<(Standard, Value), ClaimsError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(ClaimsError::TooLarge);
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(ClaimsError::NotThreeParts);
    };
    check_header(&base64(header)?)?;
    let claims: Value = serde_json::from_slice(&base64(claims)?).map_err(json)?;
    let (standard, nats) = split(claims)?;
    let nats = check_kind(nats, wanted)?;
    let signed = token.rsplit_once('.').expect("three parts have two dots").0;
    let signer = KeyPair::from_public_key(&standard.issuer).map_err(|_| ClaimsError::Signature)?;
    signer.verify(signed.as_bytes(), &base64(signature)?).map_err(|_| ClaimsError::Signature)?;
    if signer.key_pair_type() != issuer || !is_key(&standard.subject, &subject) {
        return Err(ClaimsError::KeyKind);
    }

    Ok((standard, nats))
}

/// Whether `text` is a public key of this kind.
pub(super) fn is_key(text: &str, kind: &KeyPairType) -> bool {
    KeyPair::from_public_key(text).is_ok_and(|key| key.key_pair_type() == *kind)
}

fn check_header(header: &[u8]) -> Result<(), ClaimsError> {
    #[derive(Deserialize)]
    struct Header {
        typ: String,
        alg: String,
    }
    let header: Header = serde_json::from_slice(header).map_err(json)?;
    if !header.typ.eq_ignore_ascii_case("JWT") || !header.alg.eq_ignore_ascii_case("ed25519-nkey") {
        return Err(ClaimsError::Header);
    }

    Ok(())
}

fn split(mut claims: Value) -> Result<(Standard, Value), ClaimsError> {
    const KNOWN: [&str; 8] = ["aud", "exp", "jti", "iat", "iss", "name", "nbf", "sub"];
    let Some(object) = claims.as_object_mut() else {
        return Err(ClaimsError::Json("not an object".to_owned()));
    };
    let nats = object.remove("nats").unwrap_or_default();
    if let Some(unknown) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(ClaimsError::Json(format!("unknown standard claim `{unknown}`")));
    }

    Ok((typed(claims)?, nats))
}

/// `nats` without `type` and `version`, which every kind has, and without tags, which nothing here reads.
fn check_kind(mut nats: Value, wanted: &'static str) -> Result<Value, ClaimsError> {
    let Some(object) = nats.as_object_mut() else {
        return Err(ClaimsError::Json("`nats` is missing".to_owned()));
    };
    object.remove("tags");
    let version = object.remove("version").and_then(|version| version.as_i64()).unwrap_or(0);
    if version != VERSION {
        return Err(ClaimsError::Version(version));
    }
    let found = object.remove("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    if found != wanted {
        return Err(ClaimsError::Kind { wanted, found });
    }

    Ok(nats)
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ClaimsError> {
    serde_json::from_value(value).map_err(json)
}

fn base64(part: &str) -> Result<Vec<u8>, ClaimsError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| ClaimsError::NotThreeParts)
}

fn json(error: serde_json::Error) -> ClaimsError {
    ClaimsError::Json(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::minting::{Key, corrupted, jwt};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_decoded_when_its_issuer_signed_it() {
        let (account, user_key) = (Key::account(1), Key::user(2));
        let token = jwt(&account, &user_key, json!({"exp": 99, "name": "web"}), &user_claims());

        let claims = user(&token).expect("well signed");

        assert_eq!(claims.standard.issuer, account.public());
        assert_eq!(claims.standard.subject, user_key.public());
        assert_eq!((claims.standard.expires, claims.standard.name.as_str()), (99, "web"));
        assert_eq!(claims.nats.limits, UserLimits::default());
    }

    #[test]
    fn a_token_that_is_wrong_in_one_way_is_refused_for_that() {
        let (account, user_key) = (Key::account(1), Key::user(2));
        let good = jwt(&account, &user_key, json!({}), &user_claims());
        let by_operator = jwt(&Key::operator(3), &user_key, json!({}), &user_claims());
        let about_account = jwt(&account, &Key::account(4), json!({}), &user_claims());
        let newer = jwt(&account, &user_key, json!({}), &json!({"type": "user", "version": 3}));
        let unknown = jwt(&account, &user_key, json!({}), &json!({"type": "user", "version": 2, "magic": 1}));

        let kind = ClaimsError::Kind { wanted: "account", found: "user".to_owned() };
        assert_eq!(account_error(&good), kind);
        assert_eq!(user_error(&corrupted(&good)), ClaimsError::Signature);
        assert_eq!(user_error(&by_operator), ClaimsError::KeyKind);
        assert_eq!(user_error(&about_account), ClaimsError::KeyKind);
        assert_eq!(user_error(&newer), ClaimsError::Version(3));
        assert!(matches!(user_error(&unknown), ClaimsError::Json(text) if text.contains("magic")));
        assert_eq!(user_error("a.b"), ClaimsError::NotThreeParts);
        assert_eq!(user_error(&"x".repeat(TOKEN_BYTES_MAX + 1)), ClaimsError::TooLarge);
    }

    fn user_claims() -> Value {
        json!({"type": "user", "version": 2})
    }

    fn user_error(token: &str) -> ClaimsError {
        user(token).expect_err("refused")
    }

    fn account_error(token: &str) -> ClaimsError {
        super::account(token).expect_err("refused")
    }
}
