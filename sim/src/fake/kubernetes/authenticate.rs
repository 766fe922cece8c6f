//! Who asks: the administrator's token, a service account's token meant for the API server, or nobody.

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use kubefox_core::time::Unix;
use subtle::ConstantTimeEq as _;

use super::Kubernetes;
use super::kind::Kind;
use super::status::Refusal;
use super::token::{Bound, Claims, ISSUER, Unacceptable};

/// Clocks may differ by this much before a token counts as expired or as from the future, and for so long the token
/// of an object that is being deleted still counts.
/// Source: go-jose `jwt.DefaultLeeway`, used by the API server's claim validation.
const LEEWAY_S: u64 = 60;

/// Members of this group may do everything, whatever the roles say.
pub(super) const MASTERS: &str = "system:masters";
pub(super) const AUTHENTICATED: &str = "system:authenticated";
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
pub(super) const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

const EXTRA: &str = "authentication.kubernetes.io";

/// An authenticated user, as TokenReview describes it.
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

impl Kubernetes {
    /// The user a request comes from. A token that is not accepted is a 401; no token is the anonymous user.
    pub(super) fn authenticate(&self, now: Unix, headers: &HeaderMap) -> Result<User, Refusal> {
        let Some(token) = bearer_token(headers) else {
            return Ok(User::anonymous());
        };
        if bool::from(token.as_bytes().ct_eq(self.admin_token.as_bytes())) {
            return Ok(User::administrator());
        }
        let (user, _) =
            self.identify(now, token, &[ISSUER.to_owned()]).map_err(|_| Refusal::unauthorized())?;
        Ok(user)
    }

    /// The service account a token speaks for, and which of `audiences` the token is meant for.
    pub(super) fn identify(
        &self,
        now: Unix,
        token: &str,
        audiences: &[String],
    ) -> Result<(User, Vec<String>), Unacceptable> {
        let claims = self.signer.verify(token)?;
        let common: Vec<String> = claims.aud.iter().filter(|aud| audiences.contains(aud)).cloned().collect();
        if common.is_empty() {
            let words = format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&claims.aud),
                quoted(audiences)
            );
            return Err(Unacceptable::Because(words));
        }
        check_times(now, &claims).map_err(|words| Unacceptable::Because(words.to_owned()))?;
        self.check_bound(now, &claims.kubernetes).map_err(Unacceptable::Because)?;
        Ok((User::service_account(claims), common))
    }

    /// A token dies with its service account and with its pod; an object of the same name is another object.
    fn check_bound(&self, now: Unix, bound: &Bound) -> Result<(), String> {
        let account = &bound.serviceaccount;
        let Some(found) = self.store.find(Kind::ServiceAccount, &bound.namespace, &account.name) else {
            return Err(format!("serviceaccounts \"{}\" not found", account.name));
        };
        if found.is_deleted_since(now, LEEWAY_S) {
            return Err("service account token has been invalidated".to_owned());
        }
        if found.uid.as_str() != account.uid {
            return Err(format!(
                "service account UID ({}) does not match claim ({})",
                found.uid.as_str(),
                account.uid
            ));
        }
        let Some(pod) = &bound.pod else { return Ok(()) };
        let found = self.store.find(Kind::Pod, &bound.namespace, &pod.name);
        let Some(found) = found.filter(|found| !found.is_deleted_since(now, LEEWAY_S)) else {
            return Err("service account token has been invalidated".to_owned());
        };
        if found.uid.as_str() != pod.uid {
            return Err(format!(
                "pod UID ({}) does not match service account pod ref claim ({})",
                found.uid.as_str(),
                pod.uid
            ));
        }
        Ok(())
    }
}

impl User {
    fn administrator() -> Self {
        let groups = vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()];
        Self { name: "kubernetes-admin".to_owned(), uid: String::new(), groups, extra: BTreeMap::new() }
    }

    fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self { name: "system:anonymous".to_owned(), uid: String::new(), groups, extra: BTreeMap::new() }
    }

    fn service_account(claims: Claims) -> Self {
        let bound = claims.kubernetes;
        let mut extra =
            BTreeMap::from([(format!("{EXTRA}/credential-id"), vec![format!("JTI={}", claims.jti)])]);
        if let Some(pod) = bound.pod {
            extra.insert(format!("{EXTRA}/pod-name"), vec![pod.name]);
            extra.insert(format!("{EXTRA}/pod-uid"), vec![pod.uid]);
        }
        let groups = vec![
            SERVICE_ACCOUNTS.to_owned(),
            format!("{SERVICE_ACCOUNTS}:{}", bound.namespace),
            AUTHENTICATED.to_owned(),
        ];
        let name = service_account_name(&bound.namespace, &bound.serviceaccount.name);
        Self { name, uid: bound.serviceaccount.uid, groups, extra }
    }

    pub(super) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// The user name of a service account.
pub(super) fn service_account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn check_times(now: Unix, claims: &Claims) -> Result<(), &'static str> {
    if now.0.saturating_add(LEEWAY_S) < claims.nbf {
        return Err("service account token is not valid yet");
    }
    if now.0 > claims.exp.saturating_add(LEEWAY_S) {
        return Err("service account token has expired");
    }
    if now.0.saturating_add(LEEWAY_S) < claims.iat {
        return Err("service account token is issued in the future");
    }
    Ok(())
}

/// The token of `Authorization: Bearer …`; other schemes are as good as none.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A list of strings as Go's `%q` writes it.
fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
