//! What a handler decides, and how it looks on the wire.
//!
//! Shapes and texts are those of the real server: <https://openbao.org/api-docs/>.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a handler answers: an [`Answer`], or why not.
pub(super) type Handled = Result<Answer, Refusal>;

/// A request that was carried out.
pub(super) enum Answer {
    /// 204, or 200 with the warnings if there are any.
    Done { warnings: Vec<String> },
    /// 200 with `data` in the envelope.
    Data { data: Value, warnings: Vec<String> },
    /// 200 with `data` in the envelope and once more beside it, as the older endpoints of `sys/` do.
    DataTwice(Map<String, Value>),
    /// 200 with `auth` in the envelope: a token was made.
    Token { auth: Box<Auth>, warnings: Vec<String> },
    /// JSON without envelope.
    Bare { status: StatusCode, body: Value },
    /// A body that is not JSON; an empty one makes it 204.
    File { content_type: &'static str, body: Vec<u8> },
    /// 404 with an envelope: the path is not one of this engine's, and the warning says which would be.
    Misplaced { warning: &'static str },
    /// 404 with `data` in the envelope: what was there is deleted.
    Gone(Value),
}

impl Answer {
    pub(super) const fn done() -> Self {
        Self::Done { warnings: Vec::new() }
    }

    pub(super) const fn data(data: Value) -> Self {
        Self::Data { data, warnings: Vec::new() }
    }

    /// The answer to LIST; an empty list is a 404.
    pub(super) fn keys<K: Serialize>(keys: &[K]) -> Handled {
        if keys.is_empty() { Err(Refusal::not_found()) } else { Ok(Self::data(json!({ "keys": keys }))) }
    }

    /// As JSON or file on the wire; `request_id` goes into the envelope.
    pub(super) fn into_response(self, request_id: &str) -> Response<Vec<u8>> {
        let envelope = Envelope::new(request_id);
        match self {
            Self::Done { warnings } if warnings.is_empty() => {
                respond(StatusCode::NO_CONTENT, JSON, Vec::new())
            }
            Self::Done { warnings } => {
                respond_json(StatusCode::OK, &Envelope { warnings: Some(warnings), ..envelope })
            }
            Self::Data { data, warnings } => {
                let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
                respond_json(StatusCode::OK, &Envelope { data, warnings, ..envelope })
            }
            Self::DataTwice(data) => {
                let envelope = Envelope { data: Value::Object(data.clone()), ..envelope };
                respond_json(StatusCode::OK, &Twice { data, envelope })
            }
            Self::Token { auth, warnings } => {
                let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
                respond_json(StatusCode::OK, &Envelope { auth: Some(auth), warnings, ..envelope })
            }
            Self::Bare { status, body } => respond_json(status, &body),
            Self::File { content_type, body } if body.is_empty() => {
                respond(StatusCode::NO_CONTENT, content_type, body)
            }
            Self::File { content_type, body } => respond(StatusCode::OK, content_type, body),
            Self::Gone(data) => respond_json(StatusCode::NOT_FOUND, &Envelope { data, ..envelope }),
            Self::Misplaced { warning } => {
                let warnings = Some(vec![warning.to_owned()]);
                respond_json(StatusCode::NOT_FOUND, &Envelope { warnings, ..envelope })
            }
        }
    }
}

/// A request that was not carried out: the status and the entries of `errors`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }

    /// 400.
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// An error in the form that the real server gives to those it collects in a list.
    pub(super) fn listed(status: StatusCode, error: &str) -> Self {
        Self::new(status, format!("1 error occurred:\n\t* {error}\n\n"))
    }

    /// 403 to a valid token whose policies do not allow the request.
    pub(super) fn denied() -> Self {
        Self::listed(StatusCode::FORBIDDEN, "permission denied")
    }

    /// 403 to no token or a dead one, and to a login whose reason is not told.
    pub(super) fn unknown_caller() -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission denied")
    }

    /// 404: nothing is there.
    pub(super) const fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, errors: Vec::new() }
    }

    /// 405: the path exists, but not for this method.
    pub(super) fn unsupported_operation() -> Self {
        Self::listed(StatusCode::METHOD_NOT_ALLOWED, "unsupported operation")
    }

    /// 405 of those endpoints that answer without an envelope.
    pub(super) const fn method_not_allowed() -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, errors: Vec::new() }
    }

    /// 501: the real server may do this, the fake does not.
    pub(super) fn not_implemented(what: impl core::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("the fake Vault does not implement {what}"))
    }

    pub(super) fn into_response(self) -> Response<Vec<u8>> {
        respond_json(self.status, &json!({ "errors": self.errors }))
    }
}

/// The `auth` member of an envelope. It holds a token: never formatted.
#[derive(Serialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    pub(super) accessor: String,
    pub(super) policies: Vec<String>,
    pub(super) token_policies: Vec<String>,
    pub(super) metadata: Value,
    pub(super) lease_duration: u64,
    pub(super) renewable: bool,
    pub(super) entity_id: String,
    pub(super) token_type: &'static str,
    pub(super) orphan: bool,
    pub(super) mfa_requirement: Option<()>,
    pub(super) num_uses: u64,
}

#[derive(Serialize)]
struct Envelope<'a> {
    request_id: &'a str,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: Value,
    wrap_info: Option<()>,
    warnings: Option<Vec<String>>,
    auth: Option<Box<Auth>>,
}

impl<'a> Envelope<'a> {
    const fn new(request_id: &'a str) -> Self {
        Self {
            request_id,
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data: Value::Null,
            wrap_info: None,
            warnings: None,
            auth: None,
        }
    }
}

#[derive(Serialize)]
struct Twice<'a> {
    #[serde(flatten)]
    data: Map<String, Value>,
    #[serde(flatten)]
    envelope: Envelope<'a>,
}

const JSON: &str = "application/json";

/// JSON as Go's encoder writes it: `<`, `>` and `&` are escaped and a newline ends it.
fn respond_json(status: StatusCode, body: &impl Serialize) -> Response<Vec<u8>> {
    let text = serde_json::to_string(body).expect("the answers are plain JSON");
    let mut bytes = Vec::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                bytes.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes.push(b'\n');
    respond(status, JSON, bytes)
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .body(body)
        .expect("a status and two constant headers make a response")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_the_members_of_the_real_one_in_their_order() {
        let response = Answer::data(json!({"b": "<&>", "a": 1})).into_response("id");

        assert_eq!(
            String::from_utf8_lossy(response.body()),
            "{\"request_id\":\"id\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\
             \"data\":{\"a\":1,\"b\":\"\\u003c\\u0026\\u003e\"},\"wrap_info\":null,\"warnings\":null,\"auth\":null}\n"
        );
    }

    #[test]
    fn an_empty_list_is_a_404_without_errors() {
        let response = Answer::keys::<String>(&[]).err().map(Refusal::into_response).expect("refused");

        assert_eq!(
            (response.status().as_u16(), response.body().as_slice()),
            (404, b"{\"errors\":[]}\n".as_slice())
        );
    }

    #[test]
    fn done_is_204_unless_there_is_a_warning() {
        let quiet = Answer::done().into_response("id");
        let loud = Answer::Done { warnings: vec!["careful".into()] }.into_response("id");

        assert_eq!((quiet.status().as_u16(), quiet.body().len()), (204, 0));
        assert_eq!(loud.status().as_u16(), 200);
        assert!(
            String::from_utf8_lossy(loud.body())
                .contains("\"data\":null,\"wrap_info\":null,\"warnings\":[\"careful\"]")
        );
    }
}
