//! Responses become outcomes.

use http::Response;
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenReview, UserInfo};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Status;
use kubefox_core::kubernetes::{
    Call, LIFE_ANNOTATION, Marked, Pod, PublishedTrust, Reply, Review, SealKeyObject, Trust,
};
use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::names::{Identity, LifeId, Pem, PodName, ResourceVersion, Uid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{CA_MEMBER, CERTIFICATE_MEMBER};
use crate::adapter::envelope::{self, SEAL_KEY_BYTES};
use crate::adapter::service_account;

/// Extra attributes of a token that is bound to a pod.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The outcome of a call whose response came. The table is in the module's documentation.
pub fn decode(call: &Call, response: Response<Vec<u8>>) -> Outcome<Reply> {
    let (head, body) = response.into_parts();
    // The seal key is in the body of its own Secret.
    let answer = Answer { status: head.status.as_u16(), body: Zeroizing::new(body) };
    let reply = match call {
        Call::CreateSealKey { life: _, key: _ }
        | Call::CreateCommitted { life: _ }
        | Call::CreateTrust { life: _, trust: _ } => {
            answer.object().map(|Object { metadata: _ }| Reply::Created)
        }
        Call::UpdateTrust { life: _, version: _, trust: _ } if answer.status == 404 => {
            Err(No::Refused(Refusal::Conflict))
        }
        Call::UpdateTrust { life: _, version: _, trust: _ } => {
            answer.object().map(|Object { metadata: _ }| Reply::Updated)
        }
        // A 404 or a 409 says that this pod is gone: another may have its name, and that one is not touched.
        Call::DeletePod { pod: _ } if answer.is_not_found() || answer.status == 409 => Ok(Reply::PodDeleted),
        Call::DeletePod { pod: _ } => answer.accepted().map(|()| Reply::PodDeleted),
        Call::ReadSealKey => answer.found().map(|secret| Reply::SealKey(secret.map(seal_key))),
        Call::ReadCommitted => {
            answer.found().map(|object| Reply::Committed(object.map(|Object { metadata }| marked(&metadata))))
        }
        Call::ReadTrust => {
            answer.found().and_then(|secret| secret.map(published).transpose()).map(Reply::Trust)
        }
        Call::ReadSigners => answer
            .accepted()
            .and_then(|()| service_account::signers(&answer.body).map(Reply::Signers).ok_or(GARBLED)),
        Call::ReviewToken { token: _, audience } => {
            answer.object().and_then(|reviewed| review(reviewed, audience)).map(Reply::Review)
        }
    };
    match reply {
        Ok(reply) => Outcome::Ok(reply),
        Err(No::Refused(refusal)) => Outcome::Refused(refusal),
        Err(No::Unknown(lost)) => Outcome::Unknown(lost),
    }
}

/// Why there is no reply.
enum No {
    Refused(Refusal),
    Unknown(Lost),
}

const GARBLED: No = No::Unknown(Lost::Garbled);

struct Answer {
    status: u16,
    body: Zeroizing<Vec<u8>>,
}

/// What all objects have; their data is not looked at.
#[derive(Deserialize)]
struct Object {
    metadata: ObjectMeta,
}

impl Answer {
    fn object<T: DeserializeOwned>(&self) -> Result<T, No> {
        match self.status {
            200 | 201 => self.body(),
            _ => Err(self.failure()),
        }
    }

    /// `None` only if the API server itself says that there is no such object.
    fn found<T: DeserializeOwned>(&self) -> Result<Option<T>, No> {
        if self.is_not_found() {
            return Ok(None);
        }
        self.object().map(Some)
    }

    fn is_not_found(&self) -> bool {
        self.status == 404 && self.body::<Status>().is_ok_and(|status| status.reason == "NotFound")
    }

    /// A deletion answers the object or a Status, now or while the object is still going.
    fn accepted(&self) -> Result<(), No> {
        match self.status {
            200 | 202 => Ok(()),
            _ => Err(self.failure()),
        }
    }

    /// The body as `T`. What serde has to say is dropped: it quotes values.
    fn body<T: DeserializeOwned>(&self) -> Result<T, No> {
        serde_json::from_slice(&self.body).map_err(|_| GARBLED)
    }

    fn failure(&self) -> No {
        match self.status {
            401 => No::Refused(Refusal::Unauthenticated),
            403 => No::Refused(Refusal::Denied),
            409 => No::Refused(Refusal::Conflict),
            429 => No::Refused(Refusal::Busy),
            400..500 => No::Refused(Refusal::Invalid),
            500..600 => No::Unknown(Lost::ServerError),
            _ => GARBLED,
        }
    }
}

/// The seal key's Secret.
#[derive(Deserialize)]
struct SealKeySecret {
    metadata: ObjectMeta,
    data: Option<SealKeyData>,
}

#[derive(Deserialize)]
struct SealKeyData {
    key: Option<ByteString>,
}

/// What the Secret says of itself; its key is reduced to its id and wiped.
fn seal_key(secret: SealKeySecret) -> SealKeyObject {
    let key = secret.data.and_then(|data| data.key).map(|ByteString(key)| Zeroizing::new(key));
    SealKeyObject {
        marked: marked(&secret.metadata),
        key: key.filter(|key| key.len() == SEAL_KEY_BYTES).map(|key| envelope::key_id(&key)),
    }
}

fn marked(metadata: &ObjectMeta) -> Marked {
    Marked { life: life_of(metadata), deleting: metadata.deletion_timestamp.is_some() }
}

fn life_of(metadata: &ObjectMeta) -> Option<LifeId> {
    LifeId::parse(metadata.annotations.as_ref()?.get(LIFE_ANNOTATION)?).ok()
}

fn published(secret: SecretObject) -> Result<PublishedTrust, No> {
    let version = secret.metadata.resource_version.as_deref().ok_or(GARBLED)?;
    let version = ResourceVersion::parse(version).map_err(|_| GARBLED)?;
    let pem = |member: &str| {
        let bytes = &secret.data.as_ref()?.get(member)?.0;
        Pem::parse(core::str::from_utf8(bytes).ok()?).ok()
    };
    let trust =
        pem(CERTIFICATE_MEMBER).zip(pem(CA_MEMBER)).map(|(certificate, ca)| Trust { certificate, ca });
    Ok(PublishedTrust { life: life_of(&secret.metadata), version, trust })
}

/// A token that is genuine and not meant for `audience`, or not a ServiceAccount's, is as refused as a forged one.
fn review(review: TokenReview, audience: &str) -> Result<Review, No> {
    let status = review.status.ok_or(GARBLED)?;
    let meant = status.audiences.iter().flatten().any(|accepted| accepted == audience);
    if status.authenticated != Some(true) || !meant {
        return Ok(Review::Refused);
    }
    let user = status.user.ok_or(GARBLED)?;
    let Ok(identity) = Identity::parse_username(user.username.as_deref().unwrap_or_default()) else {
        return Ok(Review::Refused);
    };
    Ok(Review::Authenticated { identity, pod: pod_of(&user)? })
}

fn pod_of(user: &UserInfo) -> Result<Option<Pod>, No> {
    let extra = |name: &str| user.extra.as_ref()?.get(name);
    match (extra(POD_NAME).map(Vec::as_slice), extra(POD_UID).map(Vec::as_slice)) {
        (None, None) => Ok(None),
        (Some([name]), Some([uid])) => Ok(Some(Pod {
            name: PodName::parse(name).map_err(|_| GARBLED)?,
            uid: Uid::parse(uid).map_err(|_| GARBLED)?,
        })),
        (_, _) => Err(GARBLED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubefox_core::caller::{Signer, SignerKey};
    use kubefox_core::names::{KeyId, Namespace, ServiceAccount};
    use kubefox_core::secret::{Own, Secret};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const KEY: Secret = Secret::Own(Own::MintedSealKey);

    #[test]
    fn a_missing_object_is_a_404_of_the_api_server_and_nothing_else() {
        let missing = status(404, "NotFound", "secrets \"kubefox-seal-key\" not found");
        check(&[
            (Call::ReadSealKey, 404, missing.clone(), Outcome::Ok(Reply::SealKey(None))),
            (Call::ReadCommitted, 404, missing.clone(), Outcome::Ok(Reply::Committed(None))),
            (Call::ReadTrust, 404, missing, Outcome::Ok(Reply::Trust(None))),
            (Call::ReadSealKey, 404, json!("404 page not found"), Outcome::Refused(Refusal::Invalid)),
            (Call::ReadSealKey, 404, json!({}), Outcome::Refused(Refusal::Invalid)),
        ]);
    }

    #[test]
    fn an_object_says_whose_it_is_and_whether_it_is_being_deleted() {
        let life = LifeId::parse("0123456789abcdef").expect("a life id");
        let object = |annotations: Value, deleted: Value| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
                "metadata": {"name": "kubefox-committed", "uid": "7492e86a", "resourceVersion": "17",
                             "creationTimestamp": "2026-11-23T20:20:34Z", "annotations": annotations,
                             "deletionTimestamp": deleted},
            })
        };
        let annotation = |life: &str| json!({"kubefox.io/life-id": life});
        let ours = object(annotation("0123456789abcdef"), Value::Null);
        let deleted = object(annotation("0123456789abcdef"), json!("2026-11-23T20:20:34Z"));
        let nobody = object(annotation("X"), Value::Null);
        let marked = |life, deleting| Outcome::Ok(Reply::Committed(Some(Marked { life, deleting })));
        check(&[
            (Call::ReadCommitted, 200, ours, marked(Some(life.clone()), false)),
            (Call::ReadCommitted, 200, deleted, marked(Some(life), true)),
            (Call::ReadCommitted, 200, nobody, marked(None, false)),
            (Call::ReadCommitted, 200, object(Value::Null, Value::Null), marked(None, false)),
            (Call::ReadCommitted, 200, json!([]), Outcome::Unknown(Lost::Garbled)),
        ]);
    }

    #[test]
    fn a_seal_key_is_reduced_to_its_id() {
        let object = |data: Value| {
            let annotations = json!({"kubefox.io/life-id": "0123456789abcdef"});
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true, "data": data,
                   "metadata": {"name": "kubefox-seal-key", "annotations": annotations}})
        };
        let seal_key = |key: Option<KeyId>| {
            let marked = Marked { life: LifeId::parse("0123456789abcdef").ok(), deleting: false };
            Outcome::Ok(Reply::SealKey(Some(SealKeyObject { marked, key })))
        };
        let sound = json!({"key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="});
        check(&[
            (Call::ReadSealKey, 200, object(sound), seal_key(Some(envelope::key_id(&[7; 32])))),
            (Call::ReadSealKey, 200, object(json!({"key": "BwcH"})), seal_key(None)),
            (Call::ReadSealKey, 200, object(json!({"other": "BwcH"})), seal_key(None)),
            (Call::ReadSealKey, 200, object(Value::Null), seal_key(None)),
            (Call::ReadSealKey, 200, object(json!({"key": "canary!"})), Outcome::Unknown(Lost::Garbled)),
        ]);
    }

    #[test]
    fn published_trust_is_two_pem_texts_or_none() {
        let object = |data: Value| {
            json!({"metadata": {"name": "kubefox-trust", "resourceVersion": "17",
                                "annotations": {"kubefox.io/life-id": "0123456789abcdef"}}, "data": data})
        };
        let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tMQ==";
        let certificate = Pem::parse("-----BEGIN CERTIFICATE-----1").expect("it begins so");
        let both = Trust { certificate: certificate.clone(), ca: certificate };
        let trust = |trust: Option<Trust>| {
            Outcome::Ok(Reply::Trust(Some(PublishedTrust {
                life: LifeId::parse("0123456789abcdef").ok(),
                version: ResourceVersion::parse("17").expect("a version"),
                trust,
            })))
        };
        check(&[
            (Call::ReadTrust, 200, object(json!({"tls.crt": pem, "ca.crt": pem})), trust(Some(both))),
            (Call::ReadTrust, 200, object(json!({"tls.crt": pem, "ca.crt": "eA=="})), trust(None)),
            (Call::ReadTrust, 200, object(json!({"ca.crt": pem})), trust(None)),
            (Call::ReadTrust, 200, object(Value::Null), trust(None)),
            (Call::ReadTrust, 200, json!({"metadata": {}}), Outcome::Unknown(Lost::Garbled)),
        ]);
    }

    #[test]
    fn a_write_was_done_or_the_status_says_why_not() {
        let create =
            || Call::CreateSealKey { life: LifeId::parse("0123456789abcdef").expect("a life id"), key: KEY };
        let update = || {
            let pem = Pem::parse("-----BEGIN CERTIFICATE-----").expect("it begins so");
            Call::UpdateTrust {
                life: LifeId::parse("0123456789abcdef").expect("a life id"),
                version: ResourceVersion::parse("17").expect("a version"),
                trust: Trust { certificate: pem.clone(), ca: pem },
            }
        };
        let object = json!({"metadata": {"name": "x"}});
        let refused = |code, reason, refusal| {
            (create(), code, status(code, reason, "canary"), Outcome::Refused(refusal))
        };
        check(&[
            (create(), 201, object.clone(), Outcome::Ok(Reply::Created)),
            (create(), 201, json!(null), Outcome::Unknown(Lost::Garbled)),
            (update(), 200, object, Outcome::Ok(Reply::Updated)),
            (update(), 404, status(404, "NotFound", "gone"), Outcome::Refused(Refusal::Conflict)),
            (update(), 409, status(409, "Conflict", "modified"), Outcome::Refused(Refusal::Conflict)),
            refused(409, "AlreadyExists", Refusal::Conflict),
            refused(401, "Unauthorized", Refusal::Unauthenticated),
            refused(403, "Forbidden", Refusal::Denied),
            refused(404, "NotFound", Refusal::Invalid),
            refused(422, "Invalid", Refusal::Invalid),
            refused(429, "TooManyRequests", Refusal::Busy),
            (create(), 500, json!(null), Outcome::Unknown(Lost::ServerError)),
            (create(), 503, json!(null), Outcome::Unknown(Lost::ServerError)),
            (create(), 504, json!(null), Outcome::Unknown(Lost::ServerError)),
            (create(), 302, json!(null), Outcome::Unknown(Lost::Garbled)),
        ]);
    }

    #[test]
    fn the_keys_that_sign_tokens_are_a_key_set_or_there_is_an_outage() {
        let set = json!({"keys": [{"use": "sig", "kty": "RSA", "kid": "a", "alg": "RS256", "n": "AQAB", "e": "Aw"}]});
        let key = SignerKey::Rsa { modulus: vec![1, 0, 1], exponent: vec![3] };
        let signers = vec![Signer { id: "a".to_owned(), key }];
        check(&[
            (Call::ReadSigners, 200, set, Outcome::Ok(Reply::Signers(signers))),
            (Call::ReadSigners, 200, json!({"keys": []}), Outcome::Ok(Reply::Signers(vec![]))),
            (Call::ReadSigners, 200, json!({"key": []}), Outcome::Unknown(Lost::Garbled)),
            (
                Call::ReadSigners,
                403,
                status(403, "Forbidden", "cannot get path"),
                Outcome::Refused(Refusal::Denied),
            ),
            (Call::ReadSigners, 404, json!({}), Outcome::Refused(Refusal::Invalid)),
            (Call::ReadSigners, 503, json!({}), Outcome::Unknown(Lost::ServerError)),
        ]);
    }

    #[test]
    fn a_pod_is_deleted_once_however_often_it_is_asked_for() {
        let name = PodName::parse("kubefox-0").expect("a pod name");
        let pod = Pod { name, uid: Uid::parse("3f1c").expect("a uid") };
        let delete = || Call::DeletePod { pod: pod.clone() };
        let going = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "kubefox-0"}});
        check(&[
            (delete(), 200, going.clone(), Outcome::Ok(Reply::PodDeleted)),
            (delete(), 202, going, Outcome::Ok(Reply::PodDeleted)),
            (
                delete(),
                404,
                status(404, "NotFound", "pods \"kubefox-0\" not found"),
                Outcome::Ok(Reply::PodDeleted),
            ),
            (
                delete(),
                409,
                status(409, "Conflict", "the UID in the precondition"),
                Outcome::Ok(Reply::PodDeleted),
            ),
            (delete(), 404, json!("no such page"), Outcome::Refused(Refusal::Invalid)),
            (delete(), 403, status(403, "Forbidden", "pods is forbidden"), Outcome::Refused(Refusal::Denied)),
            (delete(), 504, json!(null), Outcome::Unknown(Lost::ServerError)),
        ]);
    }

    #[test]
    fn a_review_names_the_account_and_its_pod() {
        let user = json!({
            "username": "system:serviceaccount:team0:app.x", "uid": "2864c500",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=71e709bb-f243-40cf-b6cd-6cdd8b20e82b"],
                "authentication.kubernetes.io/pod-name": ["app-0"],
                "authentication.kubernetes.io/pod-uid": ["7492e86a-411b-44b5-9d05-a87afd7736b9"],
            },
        });
        let identity = Identity {
            namespace: Namespace::parse("team0").expect("a namespace"),
            service_account: ServiceAccount::parse("app.x").expect("a service account"),
        };
        let pod = Pod {
            name: PodName::parse("app-0").expect("a pod name"),
            uid: Uid::parse("7492e86a-411b-44b5-9d05-a87afd7736b9").expect("a uid"),
        };
        let mut unbound = user.clone();
        unbound["extra"] = json!({});
        let mut half = user.clone();
        half["extra"]["authentication.kubernetes.io/pod-uid"] = json!([]);
        let mut node = user.clone();
        node["username"] = json!("system:node:n1");
        let accepted =
            |user: &Value| json!({"authenticated": true, "audiences": ["kubefox.kubefox"], "user": user});
        let elsewhere = json!({"authenticated": true, "audiences": ["kubefox.other"], "user": user});
        let nowhere = json!({"authenticated": true, "user": user});
        let error = "[invalid bearer token, service account token has been invalidated]";
        let dead = json!({"authenticated": false, "user": {}, "error": error});
        let authenticated = |pod: Option<Pod>| {
            Outcome::Ok(Reply::Review(Review::Authenticated { identity: identity.clone(), pod }))
        };
        let refused = || Outcome::Ok(Reply::Review(Review::Refused));
        let row = |status: Value, outcome| {
            let call = Call::ReviewToken { token: KEY, audience: "kubefox.kubefox".to_owned() };
            (call, 201, json!({"metadata": {}, "spec": {"token": "canary"}, "status": status}), outcome)
        };
        check(&[
            row(accepted(&user), authenticated(Some(pod))),
            row(accepted(&unbound), authenticated(None)),
            row(accepted(&half), Outcome::Unknown(Lost::Garbled)),
            row(accepted(&node), refused()),
            row(elsewhere, refused()),
            row(nowhere, refused()),
            row(dead, refused()),
            row(Value::Null, Outcome::Unknown(Lost::Garbled)),
        ]);
    }

    proptest! {
        #[test]
        fn no_response_panics(status in 100_u16..1000, body in any::<Vec<u8>>(), json in "[\\[\\]{}\":,a-z0-9 ]{0,64}") {
            for call in [
                Call::ReadSealKey,
                Call::ReadTrust,
                Call::CreateCommitted { life: LifeId::parse("0123456789abcdef").expect("a life id") },
                Call::ReviewToken { token: KEY, audience: "a".to_owned() },
            ] {
                decode(&call, response(status, body.clone()));
                decode(&call, response(status, json.clone().into_bytes()));
            }
        }
    }

    fn check(rows: &[(Call, u16, Value, Outcome<Reply>)]) {
        for (call, status, body, expected) in rows {
            let outcome = decode(call, response(*status, body.to_string().into_bytes()));
            assert_eq!(&outcome, expected, "{call:?} {status} {body}");
            assert!(!format!("{outcome:?}").contains("canary"));
        }
    }

    fn response(status: u16, body: Vec<u8>) -> Response<Vec<u8>> {
        Response::builder().status(status).body(body).expect("three digits are a status")
    }

    fn status(code: u16, reason: &str, message: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
               "reason": reason, "details": {"name": "kubefox-seal-key", "kind": "secrets"}, "code": code})
    }
}
