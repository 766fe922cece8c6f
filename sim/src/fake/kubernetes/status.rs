//! What the API server answers: objects, and the `Status` objects of its refusals with their exact words.
//!
//! Source: API conventions, "Response Status Kind"; texts as kube-apiserver 1.36 writes them.

use http::{Response, StatusCode, header};
use kubefox_core::time::Unix;
use serde_json::{Value, json};

use super::kind::{Kind, qualified};
use crate::fake::timestamp;

/// An answer that did what was asked.
pub(super) struct Answer {
    code: StatusCode,
    content_type: &'static str,
    cache_control: &'static str,
    body: Vec<u8>,
}

/// An answer that did nothing.
pub(super) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
}

/// What is wrong with one field of an object.
pub(super) struct FieldError {
    field: String,
    reason: &'static str,
    message: String,
}

impl Answer {
    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, "application/json", body)
    }

    pub(super) fn created(body: &Value) -> Self {
        Self::json(StatusCode::CREATED, "application/json", body)
    }

    /// A public document that may be kept for an hour.
    pub(super) fn cacheable(content_type: &'static str, body: &Value) -> Self {
        Self { cache_control: "public, max-age=3600", ..Self::json(StatusCode::OK, content_type, body) }
    }

    pub(super) fn text(body: &str) -> Self {
        Self {
            code: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            cache_control: "no-cache, private",
            body: body.as_bytes().to_vec(),
        }
    }

    /// The `Status` of a deletion that removed the object.
    pub(super) fn deleted(kind: Kind, name: &str, uid: &str) -> Self {
        let mut details = details(kind.group(), kind.resource(), name);
        details["uid"] = json!(uid);
        Self::ok(&json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
        }))
    }

    fn json(code: StatusCode, content_type: &'static str, body: &Value) -> Self {
        let mut text = body.to_string().into_bytes();
        text.push(b'\n');
        Self { code, content_type, cache_control: "no-cache, private", body: text }
    }

    pub(super) fn into_response(self, now: Unix) -> Response<Vec<u8>> {
        Response::builder()
            .status(self.code)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CACHE_CONTROL, self.cache_control)
            .header(header::DATE, timestamp::http_date(now))
            .body(self.body)
            .expect("the status and the headers are ours and well-formed")
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": refusal.message, "reason": refusal.reason, "code": refusal.code.as_u16(),
        });
        if let Some(details) = refusal.details {
            status["details"] = details;
        }
        Self::json(refusal.code, "application/json", &status)
    }
}

impl Refusal {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "BadRequest", message.into())
    }

    pub(super) fn unauthorized() -> Self {
        Self::plain(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized".to_owned())
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        let code = StatusCode::METHOD_NOT_ALLOWED;
        Self { details: Some(json!({})), ..Self::plain(code, "MethodNotAllowed", message) }
    }

    pub(super) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::plain(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message.to_owned())
    }

    pub(super) fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(super) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::plain(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(super) fn storage_full() -> Self {
        let message = "etcdserver: mvcc: database space exceeded";
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message.to_owned())
    }

    /// Something a real API server does and this one does not. Whoever meets it must hear of it.
    pub(super) fn not_implemented(request: &str, what: &str) -> Self {
        let message = format!("{request}: the fake API server does not implement {what}");
        Self::plain(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    pub(super) fn forbidden_path(message: String) -> Self {
        Self { details: Some(json!({})), ..Self::plain(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    /// `why` follows `secrets "x" is forbidden: `.
    pub(super) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {why}", qualified(group, resource)),
            name => format!("{} \"{name}\" is forbidden: {why}", qualified(group, resource)),
        };
        let details = Some(details(group, resource, name));
        Self { details, ..Self::plain(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    /// A policy's refusal repeats its words as the cause.
    pub(super) fn with_cause(mut self, cause: &str) -> Self {
        if let Some(details) = &mut self.details {
            details["causes"] = json!([{ "message": cause }]);
        }
        self
    }

    /// The same refusal as a 422 of an admission policy that names no reason.
    pub(super) fn into_invalid(self) -> Self {
        Self { code: StatusCode::UNPROCESSABLE_ENTITY, reason: "Invalid", ..self }
    }

    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(kind.group(), kind.resource()));
        let details = Some(details(kind.group(), kind.resource(), name));
        Self { details, ..Self::plain(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    pub(super) fn already_exists(kind: Kind, name: &str, being_deleted: bool) -> Self {
        let prefix = if being_deleted { "object is being deleted: " } else { "" };
        let message =
            format!("{prefix}{} \"{name}\" already exists", qualified(kind.group(), kind.resource()));
        let details = Some(details(kind.group(), kind.resource(), name));
        Self { details, ..Self::plain(StatusCode::CONFLICT, "AlreadyExists", message) }
    }

    /// `resource` is the plural for writes, and the kind's name for preconditions: the server is that inconsistent.
    pub(super) fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(group, resource));
        let details = Some(details(group, resource, name));
        Self { details, ..Self::plain(StatusCode::CONFLICT, "Conflict", message) }
    }

    pub(super) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let texts: Vec<String> =
            errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| json!({ "reason": error.reason, "message": error.message, "field": error.field }))
            .collect();
        let mut details = details(group, kind, name);
        details["causes"] = json!(causes);
        let message = format!("{} \"{name}\" is invalid: {list}", qualified(group, kind));
        let details = Some(details);
        Self { details, ..Self::plain(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message) }
    }

    fn plain(code: StatusCode, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: None }
    }
}

impl FieldError {
    pub(super) fn required(field: &str, detail: &str) -> Self {
        let message =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { field: field.to_owned(), reason: "FieldValueRequired", message }
    }

    /// `value` is shown as the server shows it: never pass a secret.
    pub(super) fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { field: field.to_owned(), reason: "FieldValueInvalid", message }
    }

    pub(super) fn forbidden(field: &str, detail: &str) -> Self {
        let message = format!("Forbidden: {detail}");
        Self { field: field.to_owned(), reason: "FieldValueForbidden", message }
    }

    pub(super) fn too_long(field: &str, limit_bytes: usize) -> Self {
        let message = format!("Too long: may not be more than {limit_bytes} bytes");
        Self { field: field.to_owned(), reason: "FieldValueTooLong", message }
    }

    pub(super) fn unsupported(field: &str, value: &Value, supported: &str) -> Self {
        let message = format!("Unsupported value: {value}: supported values: {supported}");
        Self { field: field.to_owned(), reason: "FieldValueNotSupported", message }
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({ "kind": kind });
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    if !name.is_empty() {
        details["name"] = json!(name);
    }
    details
}
