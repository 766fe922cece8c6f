//! What a Kubernetes service-account token says of itself.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde_json::Value;

use super::answer::Refusal;
use super::kubernetes_role::Role;
use super::request::Request;

/// How much the clocks of Vault and the token's issuer may differ, in seconds.
const CLOCK_SKEW_S: u64 = 60;

/// What a service-account token says. Nothing of it is true before the review.
pub(super) struct Claims {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) audiences: Vec<String>,
    expires: Option<u64>,
    not_before: Option<u64>,
}

impl Claims {
    /// Reads the claims without looking at the signature, which Vault has no key for.
    pub(super) fn parse(jwt: &str) -> Result<Self, Refusal> {
        let mut parts = jwt.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::unknown_caller());
        };
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok();
        let claims: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        claims.and_then(|claims| Self::read(&claims)).ok_or_else(Refusal::unknown_caller)
    }

    fn read(claims: &Value) -> Option<Self> {
        let kubernetes = claims.get("kubernetes.io")?;
        let account = kubernetes.get("serviceaccount")?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let audiences = match claims.get("aud")? {
            Value::Array(audiences) => {
                audiences.iter().map(|audience| text(Some(audience))).collect::<Option<_>>()?
            }
            audience @ Value::String(_) => vec![text(Some(audience))?],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        Some(Self {
            namespace: text(kubernetes.get("namespace"))?,
            name: text(account.get("name"))?,
            uid: text(account.get("uid"))?,
            audiences,
            expires: claims.get("exp").and_then(Value::as_u64),
            not_before: claims.get("nbf").and_then(Value::as_u64),
        })
    }

    /// What can be said without Kubernetes: whether the token could be one for this role.
    pub(super) fn check(&self, request: &Request, role: &Role) -> Result<(), Refusal> {
        let now = request.now.0;
        let refuse = |why: &str| Err(Refusal::new(StatusCode::FORBIDDEN, why));
        if self.expires.is_some_and(|expires| now > expires.saturating_add(CLOCK_SKEW_S)) {
            return refuse("invalid expiration time (exp) claim: token is expired");
        }
        if self.not_before.is_some_and(|begins| now.saturating_add(CLOCK_SKEW_S) < begins) {
            return refuse("invalid not before (nbf) claim: token not yet valid");
        }
        if !role.audience().is_empty() && !self.audiences.iter().any(|audience| audience == role.audience()) {
            return refuse(
                "invalid audience (aud) claim: audience claim does not match any expected audience",
            );
        }
        if !role.binds_name(&self.name) {
            return refuse("service account name not authorized");
        }
        if !role.binds_namespace(&self.namespace) {
            return refuse("namespace not authorized");
        }
        Ok(())
    }

    pub(super) fn metadata(&self, role: &str) -> BTreeMap<String, String> {
        let pairs = [
            ("role", role),
            ("service_account_name", self.name.as_str()),
            ("service_account_namespace", self.namespace.as_str()),
            ("service_account_secret_name", ""),
            ("service_account_uid", self.uid.as_str()),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_one_text_or_several() {
        let account = r#""kubernetes.io":{"namespace":"a","serviceaccount":{"name":"b","uid":"c"}}"#;
        let audiences = |aud: &str| {
            let payload = BASE64URL_NOPAD.encode(format!("{{\"aud\":{aud},{account}}}").as_bytes());
            Claims::parse(&format!("e30.{payload}.")).ok().map(|claims| claims.audiences)
        };

        assert_eq!(audiences("\"x\""), Some(vec!["x".into()]));
        assert_eq!(audiences("[\"x\",\"y\"]"), Some(vec!["x".into(), "y".into()]));
        assert_eq!(audiences("[1]"), None);
        assert_eq!(audiences("1"), None);
    }

    #[test]
    fn what_is_no_token_of_an_account_is_refused_without_a_reason() {
        let payload = BASE64URL_NOPAD.encode(b"{\"aud\":\"x\"}");
        for token in ["", "a.b", "a.b.c.d", "e30.!.x", &format!("e30.{payload}.x")] {
            assert!(
                Claims::parse(token).err().is_some_and(|refusal| refusal == Refusal::unknown_caller()),
                "{token}"
            );
        }
    }
}
