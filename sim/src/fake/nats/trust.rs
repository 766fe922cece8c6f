//! Which accounts this server serves and whom each trusts: the chain operator → account → signing key.
//!
//! The real server looks at accounts other than the system's when a user of theirs connects; here every preloaded
//! account is checked at start, so that a wrong one is found by whoever wrote it.

use super::claims::{self, Claims, ClaimsError, UserLimits};
use super::permission::{PermissionError, Permissions, Subject};
use kubefox_core::time::Unix;
use nkeys::KeyPairType;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An account whose JWT a trusted operator signed.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) expires: Option<Unix>,
    pub(super) limits: AccountLimits,
    pub(super) bearer_is_disallowed: bool,
    pub(super) default_permissions: Permissions,
    signers: BTreeMap<String, Signer>,
}

/// `None` is unlimited.
#[derive(Clone, Copy)]
pub(super) struct AccountLimits {
    pub(super) subscriptions: Option<u64>,
    pub(super) payload_bytes: Option<u64>,
    pub(super) connections: Option<u64>,
}

/// A key that may issue users of an account.
#[derive(Clone)]
pub(super) enum Signer {
    /// Its users say themselves what they may do.
    Plain,
    /// Its users say nothing; the template says all.
    Scoped(Box<UserLimits>),
}

/// What `trusted_accounts` yields.
pub(super) struct Trusted {
    pub(super) system_account: String,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) pinned: Option<BTreeSet<String>>,
}

/// Why the server does not start on these JWTs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The operator JWT.
    #[error("operator JWT: {0}")]
    Operator(ClaimsError),
    /// The official tools make self-signed operators only.
    #[error("the operator JWT is not self-signed")]
    OperatorNotSelfSigned,
    /// Time passes in nobody's tests of an operator; it must not expire.
    #[error("an operator JWT that expires is not implemented by this fake")]
    OperatorExpires,
    /// `system_account` here and in the operator JWT.
    #[error("system_account in config and operator JWT must be identical")]
    SystemAccountDiffers,
    /// The MEMORY resolver knows preloaded accounts only.
    #[error("error resolving system account: {0} is not in resolver_preload")]
    SystemAccountNotPreloaded(String),
    /// A preloaded JWT.
    #[error("invalid account JWT of {account}: {error}")]
    Account {
        /// Its key in `resolver_preload`.
        account: String,
        /// What is wrong.
        error: ClaimsError,
    },
    /// The preload names another account than the JWT.
    #[error("resolver_preload has the JWT of {subject} under {account}")]
    AccountKeyDiffers {
        /// Its key in `resolver_preload`.
        account: String,
        /// Whom the JWT is about.
        subject: String,
    },
    /// Not issued by the operator or one of its signing keys.
    #[error("account {0} is not signed by the trusted operator")]
    AccountNotTrusted(String),
    /// A signing key that is no account key, of a kind other than `user_scope`, or given twice.
    #[error(
        "account {account}: signing key {key:?} is not an account key, not of kind user_scope, or given twice"
    )]
    SigningKey {
        /// Whose.
        account: String,
        /// Which.
        key: String,
    },
    /// Default permissions or a template that cannot be evaluated.
    #[error("account {account}: {error}")]
    Permissions {
        /// Whose.
        account: String,
        /// What is wrong.
        error: PermissionError,
    },
    /// `src`, `times`, `proxy_required` and bearer tokens.
    #[error("account {account}: a template's {claim} is not implemented by this fake")]
    Template {
        /// Whose.
        account: String,
        /// Which claim.
        claim: &'static str,
    },
    /// In `resolver_pinned_accounts`.
    #[error("pinned account key {0:?} is not a valid public account nkey")]
    PinnedKey(String),
}

/// Follows the chain from the operator JWT to every preloaded account.
pub(super) fn trusted_accounts(
    operator: &str,
    system_account: Option<&str>,
    preload: &BTreeMap<String, String>,
    pinned: Option<&BTreeSet<String>>,
) -> Result<Trusted, TrustError> {
    let operator = claims::operator(operator).map_err(TrustError::Operator)?;
    if operator.standard.issuer != operator.standard.subject {
        return Err(TrustError::OperatorNotSelfSigned);
    }
    if operator.standard.expires != 0 {
        return Err(TrustError::OperatorExpires);
    }
    let system_account = agreed_system_account(&operator, system_account)?;
    if !preload.contains_key(&system_account) {
        return Err(TrustError::SystemAccountNotPreloaded(system_account));
    }
    let mut accounts = BTreeMap::new();
    for (key, token) in preload {
        accounts.insert(key.clone(), Account::verified(key, token, &operator)?);
    }
    let mut pinned = pinned.cloned();
    if let Some(pinned) = &mut pinned {
        if let Some(wrong) = pinned.iter().find(|key| !claims::is_key(key, &KeyPairType::Account)) {
            return Err(TrustError::PinnedKey(wrong.clone()));
        }
        pinned.insert(system_account.clone());
    }

    Ok(Trusted { system_account, accounts, pinned })
}

fn agreed_system_account(
    operator: &Claims<claims::Operator>,
    configured: Option<&str>,
) -> Result<String, TrustError> {
    let claimed = operator.nats.system_account.as_str();
    match configured {
        Some(configured) if claimed.is_empty() || configured == claimed => Ok(configured.to_owned()),
        Some(_) => Err(TrustError::SystemAccountDiffers),
        None => Ok(claimed.to_owned()),
    }
}

impl Account {
    /// Who may issue users of this account, by public key.
    pub(super) fn signer(&self, key: &str) -> Option<&Signer> {
        self.signers.get(key)
    }

    fn verified(key: &str, token: &str, operator: &Claims<claims::Operator>) -> Result<Self, TrustError> {
        let account =
            claims::account(token).map_err(|error| TrustError::Account { account: key.to_owned(), error })?;
        let Claims { standard, nats } = account;
        if standard.subject != key {
            return Err(TrustError::AccountKeyDiffers { account: key.to_owned(), subject: standard.subject });
        }
        let by_operator =
            !operator.nats.strict_signing_key_usage && standard.issuer == operator.standard.subject;
        if !by_operator && !operator.nats.signing_keys.contains(&standard.issuer) {
            return Err(TrustError::AccountNotTrusted(key.to_owned()));
        }
        let default_permissions = Permissions::of_account(&nats.default_permissions)
            .map_err(|error| TrustError::Permissions { account: key.to_owned(), error })?;
        let mut signers = signers(key, nats.signing_keys)?;
        if !operator.nats.strict_signing_key_usage {
            signers.insert(key.to_owned(), Signer::Plain);
        }

        Ok(Self {
            key: key.to_owned(),
            name: standard.name,
            expires: (standard.expires != 0).then_some(Unix(standard.expires)),
            limits: AccountLimits {
                subscriptions: limit(nats.limits.subs),
                payload_bytes: limit(nats.limits.payload),
                connections: limit(nats.limits.conn),
            },
            bearer_is_disallowed: nats.limits.disallow_bearer,
            default_permissions,
            signers,
        })
    }
}

/// Limits are numbers, and −1 for none.
pub(super) fn limit(claimed: i64) -> Option<u64> {
    u64::try_from(claimed).ok()
}

fn signers(account: &str, entries: Vec<Value>) -> Result<BTreeMap<String, Signer>, TrustError> {
    let mut signers = BTreeMap::new();
    for entry in entries {
        let (key, signer) = match entry {
            Value::String(key) => (key, Signer::Plain),
            scoped @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => scoped_signer(account, scoped)?,
        };
        if !claims::is_key(&key, &KeyPairType::Account) || signers.contains_key(&key) {
            return Err(TrustError::SigningKey { account: account.to_owned(), key });
        }
        signers.insert(key, signer);
    }

    Ok(signers)
}

fn scoped_signer(account: &str, entry: Value) -> Result<(String, Signer), TrustError> {
    let scoped = claims::scoped_key(entry)
        .map_err(|error| TrustError::Account { account: account.to_owned(), error })?;
    if scoped.kind != "user_scope" {
        return Err(TrustError::SigningKey { account: account.to_owned(), key: scoped.key });
    }
    if let Some(claim) = scoped.template.unimplemented() {
        return Err(TrustError::Template { account: account.to_owned(), claim });
    }
    let sample = Subject { name: "name", key: "user", account_name: "account", account_key: account };
    Permissions::for_user(&scoped.template.permissions(), &sample)
        .map_err(|error| TrustError::Permissions { account: account.to_owned(), error })?;

    Ok((scoped.key, Signer::Scoped(Box::new(scoped.template))))
}

#[cfg(test)]
mod tests {
    use super::super::configuration::{Configuration, StartError};
    use super::super::minting::{Key, Platform, corrupted, jwt};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_broken_chain_does_not_start() {
        let good = Platform::new();
        let text = good.nats_conf();
        let stranger = Platform { operator: Key::operator(9), ..Platform::new() };
        let platform = good.platform.public();

        assert_eq!(
            error(&text.replace(&good.operator_jwt(), &corrupted(&good.operator_jwt()))),
            TrustError::Operator(ClaimsError::Signature)
        );
        assert_eq!(
            error(&text.replace(&good.platform_jwt(), &corrupted(&good.platform_jwt()))),
            TrustError::Account { account: platform.clone(), error: ClaimsError::Signature }
        );
        assert_eq!(
            error(&text.replace(&good.platform_jwt(), &stranger.platform_jwt())),
            TrustError::AccountNotTrusted(platform.clone())
        );
        assert_eq!(
            error(&text.replace(&good.platform_jwt(), &good.system_jwt())),
            TrustError::AccountKeyDiffers { account: platform, subject: good.system.public() }
        );
    }

    #[test]
    fn the_system_account_is_one_and_preloaded() {
        let good = Platform::new();
        let (text, system) = (good.nats_conf(), good.system.public());

        let differs = format!("system_account: {}", good.platform.public());
        assert_eq!(
            error(&text.replace(&format!("system_account: {system}"), &differs)),
            TrustError::SystemAccountDiffers
        );
        assert_eq!(
            error(&text.replace(&format!("  {system}: {}\n", good.system_jwt()), "")),
            TrustError::SystemAccountNotPreloaded(system)
        );
    }

    #[test]
    fn an_operator_is_self_signed_and_does_not_expire() {
        let good = Platform::new();
        let nats = json!({"system_account": good.system.public(), "type": "operator", "version": 2});
        let by_another = jwt(&Key::operator(9), &good.operator, json!({}), &nats);
        let expiring = jwt(&good.operator, &good.operator, json!({"exp": 5}), &nats);

        let with = |operator: &str| error(&good.nats_conf().replace(&good.operator_jwt(), operator));

        assert_eq!(with(&by_another), TrustError::OperatorNotSelfSigned);
        assert_eq!(with(&expiring), TrustError::OperatorExpires);
    }

    #[test]
    fn a_template_that_cannot_be_evaluated_does_not_start() {
        let account = Platform::new().platform.public();
        let with = |template| error(&Platform { template, ..Platform::new() }.nats_conf());

        let respond = with(json!({"resp": {"max": 1, "ttl": 1}}));
        let placeholder = with(json!({"pub": {"allow": ["{{tag(a)}}"]}}));
        let sources = with(json!({"src": ["10.0.0.0/8"]}));

        let permissions = |error| TrustError::Permissions { account: account.clone(), error };
        assert_eq!(respond, permissions(PermissionError::Respond));
        assert_eq!(placeholder, permissions(PermissionError::Placeholder("tag(a)".to_owned())));
        assert_eq!(sources, TrustError::Template { account: account.clone(), claim: "src" });
    }

    #[test]
    fn accounts_with_claims_that_the_fake_would_ignore_do_not_start() {
        let good = Platform::new();
        let nats = json!({"revocations": {"*": 1}, "type": "account", "version": 2});
        let revoking = jwt(&good.operator, &good.platform, json!({}), &nats);

        let refused = error(&good.nats_conf().replace(&good.platform_jwt(), &revoking));

        assert!(matches!(
            refused,
            TrustError::Account { error: ClaimsError::Json(text), .. } if text.contains("revocations")
        ));
    }

    fn error(nats_conf: &str) -> TrustError {
        match Configuration::parse(nats_conf) {
            Err(StartError::Trust(error)) => error,
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("started"),
        }
    }
}
