//! TokenReview: whom a token speaks for, asked by those who may ask.

use http::{StatusCode, header};
use kubefox_core::time::Unix;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Kubernetes;
use super::incoming;
use super::objects::Asked;
use super::request::JSON;
use super::status::{Answer, Refusal};
use super::token::{ISSUER, Unacceptable};
use crate::fake::review::{Review, Reviewer};

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    token: Option<String>,
    audiences: Option<Vec<String>>,
}

impl Kubernetes {
    pub(super) fn review_token(&self, asked: &Asked) -> Result<Answer, Refusal> {
        let spec = incoming::spec(asked.request, "authentication.k8s.io/v1", "TokenReview")?;
        // serde's own text would quote the token.
        let spec: Spec = Spec::deserialize(spec)
            .map_err(|_| Refusal::bad_request("the spec of the TokenReview cannot be read"))?;
        let token = spec.token.unwrap_or_default();
        if token.is_empty() {
            return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
        }
        let asked_for = spec.audiences.filter(|audiences| !audiences.is_empty());
        let audiences = asked_for.clone().unwrap_or_else(|| vec![ISSUER.to_owned()]);
        let status = self.review_status(asked.now, &token, &audiences);
        let mut spec = json!({ "token": token });
        if let Some(audiences) = asked_for {
            spec["audiences"] = json!(audiences);
        }
        Ok(Answer::created(&json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {}, "spec": spec, "status": status,
        })))
    }

    fn review_status(&self, now: Unix, token: &str, audiences: &[String]) -> Value {
        match self.identify(now, token, audiences) {
            Ok((user, audiences)) => json!({
                "authenticated": true,
                "user": { "username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra },
                "audiences": audiences,
            }),
            Err(Unacceptable::Foreign) => json!({ "user": {}, "error": "invalid bearer token" }),
            Err(Unacceptable::Because(words)) => {
                json!({ "user": {}, "error": format!("[invalid bearer token, {words}]") })
            }
        }
    }
}

/// The same request as over HTTP, so that the reviewer is authenticated and authorized alike.
impl Reviewer for Kubernetes {
    fn review(&mut self, now: Unix, reviewer_token: &str, token: &str, audiences: &[String]) -> Review {
        let body = json!({ "metadata": {}, "spec": { "token": token, "audiences": audiences } });
        let request = http::Request::post(PATH)
            .header(header::AUTHORIZATION, format!("Bearer {reviewer_token}"))
            .header(header::CONTENT_TYPE, JSON)
            .body(body.to_string().into_bytes());
        // A reviewer token that is no header value never reaches a server.
        let Ok(request) = request else {
            return Review::Unavailable;
        };
        let response = self.handle(now, &request);
        if response.status() != StatusCode::CREATED {
            return Review::Unavailable;
        }
        let review: Value = serde_json::from_slice(response.body()).expect("a TokenReview is JSON");
        let status = &review["status"];
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        if status["authenticated"] != true {
            return Review::Refused { error: text(&status["error"]) };
        }
        Review::Authenticated {
            username: text(&status["user"]["username"]),
            uid: text(&status["user"]["uid"]),
            audiences: status["audiences"].as_array().into_iter().flatten().map(text).collect(),
        }
    }
}
