//! Decides on a CONNECT, in nats-server's order, so that the first thing wrong is the reason.
//!
//! The client hears `Authorization Violation` whatever the reason is; the reason is for the log.
//! Source: nats-server `auth.go`, `processClientOrLeafAuthentication`.

use super::claims::{self, Claims, ClaimsError, UserLimits};
use super::configuration::Configuration;
use super::permission::{PermissionError, Permissions, Subject};
use super::trust::{Account, Signer, limit};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use kubefox_core::time::Unix;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

/// What a client says in CONNECT; what it does not say has nats-server's defaults.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub(super) struct ConnectOptions {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    pub(super) protocol: i64,
    pub(super) account: String,
    pub(super) new_account: bool,
    jwt: String,
    sig: String,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            account: String::new(),
            new_account: false,
            jwt: String::new(),
            sig: String::new(),
        }
    }
}

/// Who a connection is, once CONNECT was accepted.
#[derive(Clone)]
pub(super) struct User {
    pub(super) key: String,
    pub(super) account: String,
    pub(super) expires: Option<Unix>,
    pub(super) permissions: Permissions,
    pub(super) subscriptions_max: Option<u64>,
    pub(super) payload_bytes_max: u64,
}

/// Why a CONNECT was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `jwt`.
    #[error("authentication requires a user JWT")]
    NoJwt,
    /// It does not decode, or its issuer did not sign it.
    #[error("user JWT not valid: {0}")]
    Jwt(#[from] ClaimsError),
    /// `exp` has passed.
    #[error("user JWT no longer valid: it expired at {0}")]
    Expired(u64),
    /// `nbf` has not come.
    #[error("user JWT not yet valid: not before {0}")]
    NotYetValid(u64),
    /// `resolver_pinned_accounts` does not list the account.
    #[error("account {0} not listed as operator pinned account")]
    NotPinned(String),
    /// The account is not in `resolver_preload`. A user by a signing key without `issuer_account` ends here too.
    #[error("account {0} is not preloaded")]
    UnknownAccount(String),
    /// The account does not know the key that signed the user.
    #[error("user JWT issuer {0} is not known")]
    UnknownSigner(String),
    /// A scoped key signed it, and it has permissions or limits of its own.
    #[error("scoped users require no permissions or limits set")]
    ScopedUserWithLimits,
    /// Its permissions cannot be evaluated.
    #[error("user JWT generated invalid permissions: {0}")]
    Permissions(#[from] PermissionError),
    /// The account's own JWT has expired.
    #[error("account JWT has expired")]
    AccountExpired,
    /// The account says `disallow_bearer`.
    #[error("account does not allow bearer tokens")]
    BearerDisallowed,
    /// Only a connection type other than STANDARD is allowed.
    #[error("connection type not allowed")]
    ConnectionType,
    /// No `sig`.
    #[error("signature missing")]
    NoSignature,
    /// Neither unpadded base64url nor standard base64.
    #[error("signature not valid base64")]
    SignatureEncoding,
    /// Not this user's signature of this connection's nonce.
    #[error("signature not verified")]
    Signature,
    /// `account` or `new_account` in CONNECT.
    #[error("a CONNECT must not designate an account")]
    AccountDesignated,
    /// Something other than CONNECT came first.
    #[error("another operation came before CONNECT")]
    NotConnect,
    /// A claim that the real server would enforce.
    #[error("user JWT: {0} is not implemented by this fake")]
    NotImplemented(&'static str),
}

/// The user that `options` prove, or the first reason not to believe them.
pub(super) fn admit(
    configuration: &Configuration,
    options: &ConnectOptions,
    nonce: &str,
    now: Unix,
) -> Result<User, Refusal> {
    let claims = current_claims(&options.jwt, now)?;
    let account = account_of(configuration, &claims)?;
    let limits = limits_of(account, &claims)?;
    let permissions = permissions_of(account, &claims, &limits)?;
    if account.expires.is_some_and(|expires| expires <= now) {
        return Err(Refusal::AccountExpired);
    }
    if limits.bearer_token && account.bearer_is_disallowed {
        return Err(Refusal::BearerDisallowed);
    }
    check_connection_types(limits.allowed_connection_types.as_deref().unwrap_or_default())?;
    if let Some(claim) = limits.unimplemented() {
        return Err(Refusal::NotImplemented(claim));
    }
    check_signature(&claims.standard.subject, nonce, &options.sig)?;
    if options.new_account || !options.account.is_empty() {
        return Err(Refusal::AccountDesignated);
    }

    let least = |first: Option<u64>, second: Option<u64>| first.into_iter().chain(second).min();
    let payload = least(limit(limits.payload), account.limits.payload_bytes);
    Ok(User {
        key: claims.standard.subject,
        account: account.key.clone(),
        expires: (claims.standard.expires != 0).then_some(Unix(claims.standard.expires)),
        permissions,
        subscriptions_max: least(limit(limits.subs), account.limits.subscriptions),
        payload_bytes_max: least(payload, Some(configuration.payload_bytes_max))
            .expect("the configuration always limits payloads"),
    })
}

fn current_claims(jwt: &str, now: Unix) -> Result<Claims<claims::User>, Refusal> {
    if jwt.is_empty() {
        return Err(Refusal::NoJwt);
    }
    let claims = claims::user(jwt)?;
    let (expires, not_before) = (claims.standard.expires, claims.standard.not_before);
    if expires > 0 && now.0 > expires {
        return Err(Refusal::Expired(expires));
    }
    if not_before > now.0 {
        return Err(Refusal::NotYetValid(not_before));
    }

    Ok(claims)
}

fn account_of<'a>(
    configuration: &'a Configuration,
    claims: &Claims<claims::User>,
) -> Result<&'a Account, Refusal> {
    let key = match claims.nats.issuer_account.as_str() {
        "" => claims.standard.issuer.as_str(),
        account => account,
    };
    if configuration.pinned.as_ref().is_some_and(|pinned| !pinned.contains(key)) {
        return Err(Refusal::NotPinned(key.to_owned()));
    }

    configuration.accounts.get(key).ok_or_else(|| Refusal::UnknownAccount(key.to_owned()))
}

/// The template of a scoped key, or what the user says itself.
fn limits_of(account: &Account, claims: &Claims<claims::User>) -> Result<UserLimits, Refusal> {
    let issuer = &claims.standard.issuer;
    let own = &claims.nats.limits;
    match account.signer(issuer) {
        None => Err(Refusal::UnknownSigner(issuer.clone())),
        Some(Signer::Plain) => Ok(own.clone()),
        Some(Signer::Scoped(_)) if *own != UserLimits::default() => Err(Refusal::ScopedUserWithLimits),
        Some(Signer::Scoped(template)) => Ok(UserLimits::clone(template)),
    }
}

fn permissions_of(
    account: &Account,
    claims: &Claims<claims::User>,
    limits: &UserLimits,
) -> Result<Permissions, Refusal> {
    let user = Subject {
        name: &claims.standard.name,
        key: &claims.standard.subject,
        account_name: &account.name,
        account_key: &account.key,
    };
    let permissions = Permissions::for_user(&limits.permissions(), &user)?;
    if permissions.are_empty() {
        return Ok(account.default_permissions.clone());
    }

    Ok(permissions)
}

/// No list allows every type; a list must name the one that this server speaks.
fn check_connection_types(allowed: &[String]) -> Result<(), Refusal> {
    if allowed.is_empty() || allowed.iter().any(|kind| kind.eq_ignore_ascii_case("STANDARD")) {
        return Ok(());
    }

    Err(Refusal::ConnectionType)
}

fn check_signature(user: &str, nonce: &str, signature: &str) -> Result<(), Refusal> {
    if signature.is_empty() {
        return Err(Refusal::NoSignature);
    }
    let bytes = BASE64URL_NOPAD
        .decode(signature.as_bytes())
        .or_else(|_| BASE64.decode(signature.as_bytes()))
        .map_err(|_| Refusal::SignatureEncoding)?;
    let key = KeyPair::from_public_key(user).map_err(|_| Refusal::Signature)?;
    if key.key_pair_type() != KeyPairType::User {
        return Err(Refusal::Signature);
    }

    key.verify(nonce.as_bytes(), &bytes).map_err(|_| Refusal::Signature)
}

#[cfg(test)]
mod tests {
    use super::super::minting::{Key, Platform, corrupted, jwt};
    use super::*;
    use serde_json::{Value, json};

    const NOW: Unix = Unix(1_000);
    const NONCE: &str = "abcdefghijklmno";

    #[test]
    fn a_user_of_the_scoped_key_is_admitted_with_what_the_template_says() {
        let (platform, user) = (Platform::new(), Key::user(5));

        let admitted = admitted(&platform, &platform.user_jwt(&user, 2_000), &user).expect("admitted");

        assert_eq!((admitted.key, admitted.account), (user.public(), platform.platform.public()));
        assert_eq!(admitted.expires, Some(Unix(2_000)));
        assert_eq!((admitted.subscriptions_max, admitted.payload_bytes_max), (Some(1000), 1 << 20));
        assert!(admitted.permissions.may_publish(&format!("kf.UB.in.{}.x", user.public())));
        assert!(!admitted.permissions.may_publish("kf.UB.in.UC.x"));
    }

    #[test]
    fn times_are_checked_to_the_second() {
        let (platform, user) = (Platform::new(), Key::user(5));
        let from_later = issued(&platform, &user, json!({"nbf": 1_001}), json!({}));

        assert!(admitted(&platform, &platform.user_jwt(&user, 1_000), &user).is_ok());
        assert_eq!(refused(&platform, &platform.user_jwt(&user, 999), &user), Refusal::Expired(999));
        assert_eq!(refused(&platform, &from_later, &user), Refusal::NotYetValid(1_001));
    }

    #[test]
    fn a_jwt_that_nobody_here_trusts_is_refused() {
        let (platform, user) = (Platform::new(), Key::user(5));
        let good = platform.user_jwt(&user, 0);
        let stranger = Platform { signer: Key::account(9), ..Platform::new() };
        let foreign = Platform { platform: Key::account(9), ..Platform::new() };
        let without_account = jwt(&platform.signer, &user, json!({}), &json!({"type": "user", "version": 2}));

        assert_eq!(refused(&platform, "", &user), Refusal::NoJwt);
        assert_eq!(refused(&platform, &corrupted(&good), &user), Refusal::Jwt(ClaimsError::Signature));
        assert_eq!(
            refused(&platform, &stranger.user_jwt(&user, 0), &user),
            Refusal::UnknownSigner(stranger.signer.public())
        );
        assert_eq!(
            refused(&platform, &foreign.user_jwt(&user, 0), &user),
            Refusal::NotPinned(foreign.platform.public())
        );
        assert_eq!(refused(&platform, &without_account, &user), Refusal::NotPinned(platform.signer.public()));
    }

    #[test]
    fn without_pinned_accounts_an_account_must_still_be_preloaded() {
        let (platform, user) = (Platform::new(), Key::user(5));
        let foreign = Platform { platform: Key::account(9), ..Platform::new() };
        let pinned = format!("resolver_pinned_accounts: [ {} ]", platform.platform.public());
        let text = platform.nats_conf().replace(&pinned, "");
        let configuration = Configuration::parse(&text).expect("starts");
        let connect = options(&foreign.user_jwt(&user, 0), user.signature(NONCE));

        let refusal = admit(&configuration, &connect, NONCE, NOW).err();

        assert_eq!(refusal, Some(Refusal::UnknownAccount(foreign.platform.public())));
    }

    #[test]
    fn a_user_of_a_scoped_key_may_say_nothing_about_itself() {
        let (platform, user) = (Platform::new(), Key::user(5));

        for own in [json!({"subs": 5}), json!({"pub": {"allow": [">"]}}), json!({"bearer_token": true})] {
            let token = issued(&platform, &user, json!({}), own);
            assert_eq!(refused(&platform, &token, &user), Refusal::ScopedUserWithLimits);
        }
    }

    #[test]
    fn a_user_of_the_account_key_has_its_own_permissions_or_the_default() {
        let (platform, user) = (Platform::new(), Key::user(5));
        let by_account = |own: Value| {
            let mut nats = own;
            nats["type"] = json!("user");
            nats["version"] = json!(2);
            jwt(&platform.platform, &user, json!({}), &nats)
        };

        let own = admitted(&platform, &by_account(json!({"pub": {"allow": ["a"]}, "subs": -1})), &user);
        let default = admitted(&platform, &by_account(json!({"subs": -1})), &user).expect("admitted");

        assert!(own.expect("admitted").permissions.may_publish("a"));
        assert!(!default.permissions.may_publish("a"));
        let bearer = by_account(json!({"bearer_token": true}));
        assert_eq!(refused(&platform, &bearer, &user), Refusal::BearerDisallowed);
        let sources = by_account(json!({"src": ["10.0.0.0/8"]}));
        assert_eq!(refused(&platform, &sources, &user), Refusal::NotImplemented("src"));
    }

    #[test]
    fn other_connection_types_do_not_get_in() {
        let mut platform = Platform::new();
        platform.template["allowed_connection_types"] = json!(["WEBSOCKET", "MQTT"]);
        let user = Key::user(5);

        assert_eq!(refused(&platform, &platform.user_jwt(&user, 0), &user), Refusal::ConnectionType);
    }

    #[test]
    fn the_nonce_is_signed_by_the_user_itself_in_either_base64() {
        let (platform, user) = (Platform::new(), Key::user(5));
        let token = platform.user_jwt(&user, 0);
        let with = |sig: String| admit_with(&platform, &token, sig).err();
        let standard = BASE64.encode(&user.sign(NONCE.as_bytes()));

        assert_eq!(with(user.signature(NONCE)), None);
        assert_eq!(with(standard), None);
        assert_eq!(with(String::new()), Some(Refusal::NoSignature));
        assert_eq!(with("not base64!".to_owned()), Some(Refusal::SignatureEncoding));
        assert_eq!(with(user.signature("another nonce00")), Some(Refusal::Signature));
        assert_eq!(with(Key::user(6).signature(NONCE)), Some(Refusal::Signature));
        assert_eq!(with(BASE64URL_NOPAD.encode(&[0; 64])), Some(Refusal::Signature));
    }

    #[test]
    fn an_expired_account_admits_nobody() {
        let (good, user) = (Platform::new(), Key::user(5));
        let text = good.nats_conf();
        let nats = json!({
            "limits": {"conn": -1, "subs": -1, "payload": -1},
            "signing_keys": [good.signer.public()], "type": "account", "version": 2,
        });
        let expiring = jwt(&good.operator, &good.platform, json!({"exp": NOW.0}), &nats);
        let configuration =
            Configuration::parse(&text.replace(&good.platform_jwt(), &expiring)).expect("starts");

        let refusal =
            admit(&configuration, &options(&good.user_jwt(&user, 0), user.signature(NONCE)), NONCE, NOW);

        assert_eq!(refusal.err(), Some(Refusal::AccountExpired));
    }

    fn issued(platform: &Platform, user: &Key, standard: Value, own: Value) -> String {
        let mut nats = own;
        nats["issuer_account"] = json!(platform.platform.public());
        nats["type"] = json!("user");
        nats["version"] = json!(2);
        jwt(&platform.signer, user, standard, &nats)
    }

    fn admitted(platform: &Platform, token: &str, user: &Key) -> Result<User, Refusal> {
        admit_with(platform, token, user.signature(NONCE))
    }

    fn refused(platform: &Platform, token: &str, user: &Key) -> Refusal {
        admitted(platform, token, user).err().expect("refused")
    }

    fn admit_with(platform: &Platform, token: &str, sig: String) -> Result<User, Refusal> {
        let configuration = Configuration::parse(&platform.nats_conf()).expect("starts");
        admit(&configuration, &options(token, sig), NONCE, NOW)
    }

    fn options(token: &str, sig: String) -> ConnectOptions {
        ConnectOptions { jwt: token.to_owned(), sig, ..ConnectOptions::default() }
    }
}
