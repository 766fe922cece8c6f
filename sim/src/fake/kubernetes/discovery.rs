//! What is read without naming an object: version, readiness, and how to verify the tokens.

use serde_json::json;

use super::Kubernetes;
use super::request::{JSON, Request};
use super::status::{Answer, Refusal};
use super::token::ISSUER;

impl Kubernetes {
    pub(super) fn answer_path(&self, request: &Request, method: &str, path: &str) -> Result<Answer, Refusal> {
        if method != "get" {
            return Err(Refusal::method_not_allowed());
        }
        match path.trim_end_matches('/') {
            "/version" => Ok(Answer::ok(&json!({
                "major": "1", "minor": "36", "gitVersion": Self::version(), "platform": "fake",
            }))),
            "/readyz" | "/livez" | "/healthz" => Ok(Answer::text("ok")),
            "/.well-known/openid-configuration" => Ok(Answer::cacheable(
                JSON,
                &json!({
                    "issuer": ISSUER,
                    "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                }),
            )),
            "/openid/v1/jwks" => Ok(Answer::cacheable("application/jwk-set+json", &self.signer.key_set())),
            other => Err(Refusal::not_implemented(&request.line(), &format!("the path {other}"))),
        }
    }
}
