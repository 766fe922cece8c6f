//! TokenRequest: the token of a service account, optionally bound to a pod, as the kubelet asks for it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use kubefox_core::time::Unix;

use super::Kubernetes;
use super::authenticate::service_account_name;
use super::incoming;
use super::kind::Kind;
use super::objects::Asked;
use super::status::{Answer, FieldError, Refusal};
use super::token::{Bound, Claims, ISSUER, Reference};
use crate::fake::timestamp;

const LIFETIME_S_DEFAULT: u64 = 3_600;
const LIFETIME_S_MIN: u64 = 600;
const LIFETIME_S_MAX: u64 = 1 << 32;

/// The kubelet's own default, which a real API server turns into a year.
const LIFETIME_S_EXTENDED: u64 = 3_607;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    audiences: Option<Vec<String>>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<BoundObject>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BoundObject {
    kind: Option<String>,
    api_version: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl Kubernetes {
    pub(super) fn issue_token(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        let (namespace, name) = (asked.resource.namespace.as_str(), asked.resource.name.as_str());
        let spec = Spec::parse(asked)?;
        let lifetime_s = spec.lifetime_s(asked)?;
        let account = self.store.find(Kind::ServiceAccount, namespace, name);
        let account = account.ok_or_else(|| Refusal::not_found(Kind::ServiceAccount, name))?;
        let serviceaccount = Reference { name: name.to_owned(), uid: account.uid.as_str().to_owned() };
        let pod = spec.bound_object_ref.as_ref().map(|bound| self.pod_to_bind(asked, bound)).transpose()?;
        let given = spec.audiences.filter(|audiences| !audiences.is_empty());
        let audiences = given.unwrap_or_else(|| vec![ISSUER.to_owned()]);
        let expires = Unix(asked.now.0.saturating_add(lifetime_s));
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires.0,
            iat: asked.now.0,
            iss: ISSUER.to_owned(),
            jti: self.mint.uid().as_str().to_owned(),
            kubernetes: Bound { namespace: namespace.to_owned(), pod, serviceaccount },
            nbf: asked.now.0,
            sub: service_account_name(namespace, name),
        };
        Ok(Answer::created(&json!({
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name, "namespace": namespace, "uid": self.mint.uid().as_str(), "creationTimestamp": timestamp::rfc3339(asked.now),
            },
            "spec": {
                "audiences": audiences, "expirationSeconds": lifetime_s, "boundObjectRef": spec.bound_object_ref,
            },
            "status": {
                "token": self.signer.sign(&claims), "expirationTimestamp": timestamp::rfc3339(expires),
            },
        })))
    }

    fn pod_to_bind(&self, asked: &Asked, bound: &BoundObject) -> Result<Reference, Refusal> {
        if (bound.kind.as_deref(), bound.api_version.as_deref()) != (Some("Pod"), Some("v1")) {
            return Err(asked.not_implemented("tokens bound to other objects than a v1 Pod"));
        }
        let name = bound.name.as_deref().unwrap_or("");
        let pod = self.store.find(Kind::Pod, &asked.resource.namespace, name);
        let pod = pod.ok_or_else(|| Refusal::not_found(Kind::Pod, name))?;
        let runs_as =
            pod.field("spec").and_then(|spec| spec.get("serviceAccountName")).and_then(Value::as_str);
        if runs_as != Some(asked.resource.name.as_str()) {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                asked.resource.name
            )));
        }
        let uid = pod.uid.as_str();
        if let Some(wished) = bound.uid.as_deref().filter(|wished| !wished.is_empty() && *wished != uid) {
            let why = format!(
                "the UID in the bound object reference ({wished}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            );
            return Err(Refusal::conflict("", "Pod", name, &why));
        }
        Ok(Reference { name: name.to_owned(), uid: uid.to_owned() })
    }
}

impl Spec {
    fn parse(asked: &Asked) -> Result<Self, Refusal> {
        let spec = incoming::spec(asked.request, "authentication.k8s.io/v1", "TokenRequest")?;
        Self::deserialize(spec)
            .map_err(|error| Refusal::bad_request(format!("the spec of a TokenRequest: {error}")))
    }

    fn lifetime_s(&self, asked: &Asked) -> Result<u64, Refusal> {
        let Some(wished) = self.expiration_seconds else {
            return Ok(LIFETIME_S_DEFAULT);
        };
        let invalid = |detail| {
            let error = FieldError::invalid("spec.expirationSeconds", &json!(wished), detail);
            Refusal::invalid("authentication.k8s.io", "TokenRequest", "", &[error])
        };
        match u64::try_from(wished) {
            Ok(LIFETIME_S_EXTENDED) => {
                Err(asked.not_implemented("the extended lifetime of tokens of 3607 seconds"))
            }
            Ok(seconds @ LIFETIME_S_MIN..=LIFETIME_S_MAX) => Ok(seconds),
            Ok(seconds) if seconds > LIFETIME_S_MAX => {
                Err(invalid("may not specify a duration larger than 2^32 seconds"))
            }
            Ok(_) | Err(_) => Err(invalid("may not specify a duration less than 10 minutes")),
        }
    }
}
