//! Calls become requests.

use std::collections::BTreeMap;

use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod as PodObject, Secret as SecretObject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::Request as Api;
use kube::core::params::{DeleteParams, GetParams, PostParams, Preconditions};
use kubefox_core::kubernetes::{
    COMMITTED, Call, LIFE_ANNOTATION, SEAL_KEY, SEAL_KEY_FINALIZER, TRUST, Trust,
};
use kubefox_core::names::{LifeId, Namespace, ResourceVersion};
use kubefox_core::secret::{Own, Secret};
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

use super::{CA_MEMBER, CERTIFICATE_MEMBER, SEAL_KEY_MEMBER};
use crate::adapter::{Slots, Unencodable, text};

/// Every request is authorized with this token.
const CREDENTIAL: Secret = Secret::Own(Own::ApiJwt);
const UNBUILDABLE: Unencodable = Unencodable::Unbuildable("Kubernetes' request types refused the call");
/// Where the API server shows the keys that sign service-account tokens, whatever its discovery document says.
/// Source: <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/>, "Service account issuer
/// discovery".
const SIGNERS_PATH: &str = "/openid/v1/jwks";
/// Room for the largest body, two certificates, so that none is copied, unwiped, while it grows.
const BODY_BYTES: usize = 16 * 1024;

/// What every call shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// The controller's namespace, where all its objects are.
    pub namespace: Namespace,
}

/// The request of a call.
///
/// # Errors
/// [`Unencodable`] if a secret is not there or cannot be sent.
pub fn encode(call: &Call, context: &Context, slots: &dyn Slots) -> Result<Request<Vec<u8>>, Unencodable> {
    let secrets = Api::new(SecretObject::url_path(&(), Some(context.namespace.as_str())));
    let config_maps = Api::new(ConfigMap::url_path(&(), Some(context.namespace.as_str())));
    let request = match call {
        Call::CreateSealKey { life, key } => {
            let mut object = seal_key(life, slots.expose(*key)?);
            let body = json(&object);
            object.data.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.0.zeroize());
            secrets.create(&PostParams::default(), body?)
        }
        Call::ReadSealKey => secrets.get(SEAL_KEY, &GetParams::default()),
        Call::CreateCommitted { life } => config_maps.create(&PostParams::default(), json(&committed(life))?),
        Call::ReadCommitted => config_maps.get(COMMITTED, &GetParams::default()),
        Call::ReadTrust => secrets.get(TRUST, &GetParams::default()),
        Call::CreateTrust { life, trust } => {
            secrets.create(&PostParams::default(), json(&trust_object(life, None, trust))?)
        }
        Call::UpdateTrust { life, version, trust } => {
            let object = trust_object(life, Some(version), trust);
            secrets.replace(TRUST, &PostParams::default(), json(&object)?)
        }
        Call::DeletePod { pod } => {
            let pods = Api::new(PodObject::url_path(&(), Some(context.namespace.as_str())));
            let uid = Some(pod.uid.as_str().to_owned());
            let preconditions = Some(Preconditions { uid, resource_version: None });
            pods.delete(pod.name.as_str(), &DeleteParams { preconditions, ..DeleteParams::default() })
        }
        Call::ReadSigners => {
            return authorize(Request::get(SIGNERS_PATH).body(Vec::new()).map_err(|_| UNBUILDABLE)?, slots);
        }
        Call::ReviewToken { token, audience } => {
            let mut object = review(&text(*token, slots)?, audience);
            let body = json(&object);
            object.spec.token.zeroize();
            Api::new(TokenReview::url_path(&(), None)).create(&PostParams::default(), body?)
        }
    };
    authorize(request.map_err(|_| UNBUILDABLE)?, slots)
}

fn authorize(mut request: Request<Vec<u8>>, slots: &dyn Slots) -> Result<Request<Vec<u8>>, Unencodable> {
    let bearer = Zeroizing::new(format!("Bearer {}", *text(CREDENTIAL, slots)?));
    let mut value = HeaderValue::from_str(&bearer).map_err(|_| UNBUILDABLE)?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(request)
}

fn json(object: &impl Serialize) -> Result<Vec<u8>, Unencodable> {
    let mut body = Vec::with_capacity(BODY_BYTES);
    serde_json::to_writer(&mut body, object).map_err(|_| UNBUILDABLE)?;
    Ok(body)
}

fn seal_key(life: &LifeId, key: &[u8]) -> SecretObject {
    SecretObject {
        metadata: ObjectMeta {
            finalizers: Some(vec![SEAL_KEY_FINALIZER.to_owned()]),
            ..metadata(SEAL_KEY, life)
        },
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(SEAL_KEY_MEMBER.to_owned(), ByteString(key.to_vec()))])),
        ..SecretObject::default()
    }
}

fn committed(life: &LifeId) -> ConfigMap {
    ConfigMap { metadata: metadata(COMMITTED, life), immutable: Some(true), ..ConfigMap::default() }
}

fn trust_object(life: &LifeId, version: Option<&ResourceVersion>, trust: &Trust) -> SecretObject {
    let pem = |pem: &kubefox_core::names::Pem| ByteString(pem.as_str().as_bytes().to_vec());
    SecretObject {
        metadata: ObjectMeta {
            resource_version: version.map(|version| version.as_str().to_owned()),
            ..metadata(TRUST, life)
        },
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([
            (CERTIFICATE_MEMBER.to_owned(), pem(&trust.certificate)),
            (CA_MEMBER.to_owned(), pem(&trust.ca)),
        ])),
        ..SecretObject::default()
    }
}

fn metadata(name: &str, life: &LifeId) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        annotations: Some(BTreeMap::from([(LIFE_ANNOTATION.to_owned(), life.as_str().to_owned())])),
        ..ObjectMeta::default()
    }
}

fn review(token: &str, audience: &str) -> TokenReview {
    TokenReview {
        spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![audience.to_owned()]) },
        ..TokenReview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Empty;
    use crate::keyring::Keyring;
    use kubefox_core::kubernetes::Pod;
    use kubefox_core::names::{Pem, PodName, Uid};

    const KEY: Secret = Secret::Own(Own::MintedSealKey);
    const JWT: Secret = Secret::Own(Own::CallerJwt);

    #[test]
    fn each_call_is_the_documented_request() {
        let secrets = "/api/v1/namespaces/kubefox/secrets";
        let golden = [
            (
                Call::CreateSealKey { life: life(), key: KEY },
                format!(
                    r#"POST {secrets}? {{"apiVersion":"v1","kind":"Secret","data":{{"key":"AAECAw=="}},"immutable":true,"metadata":{{"annotations":{{"kubefox.io/life-id":"0123456789abcdef"}},"finalizers":["kubefox.io/seal-key"],"name":"kubefox-seal-key"}},"type":"Opaque"}}"#
                ),
            ),
            (Call::ReadSealKey, format!("GET {secrets}/kubefox-seal-key")),
            (
                Call::CreateCommitted { life: life() },
                r#"POST /api/v1/namespaces/kubefox/configmaps? {"apiVersion":"v1","kind":"ConfigMap","immutable":true,"metadata":{"annotations":{"kubefox.io/life-id":"0123456789abcdef"},"name":"kubefox-committed"}}"#.to_owned(),
            ),
            (Call::ReadCommitted, "GET /api/v1/namespaces/kubefox/configmaps/kubefox-committed".to_owned()),
            (Call::ReadTrust, format!("GET {secrets}/kubefox-trust")),
            (
                Call::CreateTrust { life: life(), trust: trust() },
                format!(
                    r#"POST {secrets}? {{"apiVersion":"v1","kind":"Secret","data":{{"ca.crt":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tMg==","tls.crt":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tMQ=="}},"metadata":{{"annotations":{{"kubefox.io/life-id":"0123456789abcdef"}},"name":"kubefox-trust"}},"type":"Opaque"}}"#
                ),
            ),
            (
                Call::UpdateTrust { life: life(), version: ResourceVersion::parse("17").expect("a version"), trust: trust() },
                format!(
                    r#"PUT {secrets}/kubefox-trust? {{"apiVersion":"v1","kind":"Secret","data":{{"ca.crt":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tMg==","tls.crt":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tMQ=="}},"metadata":{{"annotations":{{"kubefox.io/life-id":"0123456789abcdef"}},"name":"kubefox-trust","resourceVersion":"17"}},"type":"Opaque"}}"#
                ),
            ),
            (
                Call::DeletePod { pod: Pod { name: PodName::parse("kubefox-0").expect("a pod name"), uid: Uid::parse("3f1c").expect("a uid") } },
                r#"DELETE /api/v1/namespaces/kubefox/pods/kubefox-0? {"preconditions":{"uid":"3f1c"}}"#.to_owned(),
            ),
            (Call::ReadSigners, "GET /openid/v1/jwks".to_owned()),
            (
                Call::ReviewToken { token: JWT, audience: "kubefox.kubefox".to_owned() },
                r#"POST /apis/authentication.k8s.io/v1/tokenreviews? {"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","metadata":{},"spec":{"audiences":["kubefox.kubefox"],"token":"a.b.c"}}"#.to_owned(),
            ),
        ];
        for (call, line) in golden {
            assert_eq!(shown(&call), line);
        }
    }

    #[test]
    fn an_empty_or_unsendable_token_is_named_and_not_quoted() {
        let mut slots = keyring();
        slots.fill(JWT, Zeroizing::new(b"canary\n".to_vec()));
        let call = Call::ReviewToken { token: JWT, audience: "kubefox.kubefox".to_owned() };
        let error = encode(&call, &context(), &slots).expect_err("a line break is no part of a token");
        assert_eq!(error, Unencodable::Unsendable(JWT, "it is not visible ASCII"));
        assert!(!format!("{error} {error:?}").contains("canary"));

        slots.forget(CREDENTIAL);
        let error = encode(&Call::ReadTrust, &context(), &slots).expect_err("there is no credential");
        assert_eq!(error, Unencodable::Empty(Empty(CREDENTIAL)));
    }

    fn shown(call: &Call) -> String {
        let request = encode(call, &context(), &keyring()).expect("all secrets are there");
        let credential = &request.headers()[AUTHORIZATION];
        assert_eq!(credential, "Bearer api.j.wt");
        assert!(credential.is_sensitive());
        assert_eq!(request.headers().contains_key("content-type"), !request.body().is_empty());
        let head = format!("{} {}", request.method(), request.uri());
        match request.body().is_empty() {
            true => head,
            false => format!("{head} {}", core::str::from_utf8(request.body()).expect("JSON is UTF-8")),
        }
    }

    fn keyring() -> Keyring {
        let mut slots = Keyring::default();
        slots.fill(CREDENTIAL, Zeroizing::new(b"api.j.wt".to_vec()));
        slots.fill(JWT, Zeroizing::new(b"a.b.c".to_vec()));
        slots.fill(KEY, Zeroizing::new(vec![0, 1, 2, 3]));
        slots
    }

    fn context() -> Context {
        Context { namespace: Namespace::parse("kubefox").expect("a namespace") }
    }

    fn life() -> LifeId {
        LifeId::parse("0123456789abcdef").expect("a life id")
    }

    fn trust() -> Trust {
        let pem =
            |number: u8| Pem::parse(&format!("-----BEGIN CERTIFICATE-----{number}")).expect("it begins so");
        Trust { certificate: pem(1), ca: pem(2) }
    }
}
