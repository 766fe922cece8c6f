//! What a request asks for, in the terms in which it is authorized: verb, resource, name.
//!
//! Source: Kubernetes documentation, "Determine the request verb"; apiserver's RequestInfo.

use std::collections::BTreeMap;

use http::{Method, header};
use serde_json::{Map, Value};

use super::kind::qualified;
use super::status::{FieldError, Refusal};

/// A request's body may have as many bytes as a real API server takes.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// Parameters that change nothing here: who writes, how strictly (always), how long it may take.
const HARMLESS_PARAMETERS: [&str; 4] = ["fieldManager", "fieldValidation", "pretty", "timeout"];

pub(super) struct Request<'a> {
    pub(super) target: Target,
    pub(super) http: &'a http::Request<Vec<u8>>,
    pub(super) query: BTreeMap<String, Vec<String>>,
}

pub(super) enum Target {
    Resource(Resource),
    Path { method: String, path: String },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) verb: Verb,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) subresource: Option<String>,
    /// Empty at the cluster scope.
    pub(super) namespace: String,
    /// Empty if the request names none.
    pub(super) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Get,
    List,
    Watch,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl<'a> Request<'a> {
    pub(super) fn parse(http: &'a http::Request<Vec<u8>>) -> Result<Self, Refusal> {
        if http.body().len() > BODY_BYTES_MAX {
            return Err(Refusal::too_large(BODY_BYTES_MAX));
        }
        let path = http.uri().path();
        let plain = |segment: &str| {
            !segment.is_empty() && segment != "." && segment != ".." && !segment.contains('%')
        };
        if !path.trim_matches('/').split('/').all(plain) {
            return Err(Refusal::bad_request(format!("{path:?} is not a canonical path")));
        }
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(http.uri().query().unwrap_or("").as_bytes()) {
            query.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        let target = target(http.method(), path, &query)?;
        Ok(Self { target, http, query })
    }

    /// Names the request in a refusal. Bodies and headers stay out of it: they may hold secrets.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.http.method(), self.http.uri())
    }

    /// Whether nothing may be kept of what the request does: `dryRun=All`, in the query or in a deletion's body.
    pub(super) fn is_dry_run(&self) -> Result<bool, Refusal> {
        let unknown = |name: &&String| {
            let here = matches!(name.as_str(), "dryRun" | "gracePeriodSeconds" | "propagationPolicy");
            !here && !HARMLESS_PARAMETERS.contains(&name.as_str())
        };
        if let Some(name) = self.query.keys().find(unknown) {
            return Err(Refusal::not_implemented(&self.line(), &format!("the parameter {name:?}")));
        }
        let in_query = self.query.get("dryRun").cloned().unwrap_or_default();
        let is_deletion = self.http.method() == Method::DELETE && !self.http.body().is_empty();
        let in_body = if is_deletion { self.object()?.remove("dryRun") } else { None };
        let in_body: Vec<String> =
            serde_json::from_value(in_body.unwrap_or_else(|| Value::Array(Vec::new())))
                .map_err(|_| Refusal::bad_request("dryRun must be a list of strings"))?;
        let wishes: Vec<String> = in_query.into_iter().chain(in_body).collect();
        if let Some(other) = wishes.iter().find(|wish| wish.as_str() != "All") {
            let error = FieldError::unsupported("dryRun", &serde_json::json!([other]), "\"All\"");
            return Err(Refusal::invalid("meta.k8s.io", "CreateOptions", "", &[error]));
        }
        Ok(!wishes.is_empty())
    }

    /// The body, a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Refusal> {
        let accepted = if self.http.method() == Method::PATCH { MERGE_PATCH } else { JSON };
        if self.media_type() != accepted {
            return Err(Refusal::unsupported_media_type(accepted));
        }
        // serde's own text quotes the value it stumbles over, which may be a secret.
        serde_json::from_slice(self.http.body()).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            Refusal::bad_request(format!("the body is not a JSON object: error at {place}"))
        })
    }

    pub(super) fn media_type(&self) -> &str {
        let header = self.http.headers().get(header::CONTENT_TYPE);
        let text = header.and_then(|value| value.to_str().ok()).unwrap_or(JSON);
        text.split(';').next().unwrap_or(text).trim()
    }

    pub(super) fn accepts_json(&self) -> bool {
        let accepted = |range: &str| {
            let media_type = range.split(';').next().unwrap_or(range).trim();
            let plain = !range.contains("as=");
            plain
                && matches!(
                    media_type,
                    JSON | "application/*" | "*/*" | "application/jwk-set+json" | "text/plain"
                )
        };
        let mut headers = self.http.headers().get_all(header::ACCEPT).iter().peekable();
        headers.peek().is_none()
            || headers.any(|value| value.to_str().is_ok_and(|v| v.split(',').any(accepted)))
    }
}

impl Resource {
    /// `pods/exec`, or `secrets`.
    pub(super) fn with_subresource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.clone(),
        }
    }

    /// `create tokenreviews.authentication.k8s.io`.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.verb.name(), qualified(&self.group, &self.with_subresource()))
    }
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

fn target(method: &Method, path: &str, query: &BTreeMap<String, Vec<String>>) -> Result<Target, Refusal> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, parts) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => {
            return Ok(Target::Path { method: method.as_str().to_lowercase(), path: path.to_owned() });
        }
    };
    let (namespace, parts) = match parts {
        // A Namespace's own path is authorized inside that namespace.
        ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => (*name, parts),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", parts),
    };
    let [resource, rest @ ..] = parts else {
        return Err(Refusal::bad_request("the path names no resource"));
    };
    let mut name = rest.first().copied().unwrap_or("").to_owned();
    let subresource = rest.get(1..).filter(|rest| !rest.is_empty()).map(|rest| rest.join("/"));
    let verb = verb(method, name.is_empty(), query)?;
    if let (Verb::List | Verb::Watch | Verb::DeleteCollection, Some(selected)) = (verb, selected_name(query))
    {
        name = selected;
    }
    Ok(Target::Resource(Resource {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        resource: (*resource).to_owned(),
        subresource,
        namespace: namespace.to_owned(),
        name,
    }))
}

fn verb(
    method: &Method,
    is_collection: bool,
    query: &BTreeMap<String, Vec<String>>,
) -> Result<Verb, Refusal> {
    let watches = || query.get("watch").is_some_and(|values| values.iter().any(|v| v == "1" || v == "true"));
    match (method, is_collection) {
        (&Method::POST, _) => Ok(Verb::Create),
        (&Method::GET, true) if watches() => Ok(Verb::Watch),
        (&Method::GET, true) => Ok(Verb::List),
        (&Method::GET, false) => Ok(Verb::Get),
        (&Method::PUT, false) => Ok(Verb::Update),
        (&Method::PATCH, false) => Ok(Verb::Patch),
        (&Method::DELETE, true) => Ok(Verb::DeleteCollection),
        (&Method::DELETE, false) => Ok(Verb::Delete),
        _ => Err(Refusal::method_not_allowed()),
    }
}

/// A list or watch of exactly one name is authorized by that name.
fn selected_name(query: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let [selector] = query.get("fieldSelector")?.as_slice() else {
        return None;
    };
    selector.strip_prefix("metadata.name=").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_one_name_is_authorized_by_that_name() {
        let found =
            resource("GET", "/api/v1/namespaces/kubefox/secrets?fieldSelector=metadata.name%3Dkubefox-trust");

        assert_eq!(found, expected(Verb::List, "", "secrets", None, "kubefox", "kubefox-trust"));
    }

    #[test]
    fn subresources_and_groups_are_told_apart() {
        let token = resource("POST", "/api/v1/namespaces/kubefox/serviceaccounts/nats/token");
        let review = resource("POST", "/apis/authentication.k8s.io/v1/tokenreviews");
        let namespace = resource("GET", "/api/v1/namespaces/kubefox");

        assert_eq!(token, expected(Verb::Create, "", "serviceaccounts", Some("token"), "kubefox", "nats"));
        assert_eq!(review, expected(Verb::Create, "authentication.k8s.io", "tokenreviews", None, "", ""));
        assert_eq!(namespace, expected(Verb::Get, "", "namespaces", None, "kubefox", "kubefox"));
    }

    #[test]
    fn a_path_that_is_not_canonical_is_refused() {
        for path in
            ["/api/v1/namespaces/../secrets", "/api/v1/namespaces/a%2Fb/secrets", "/api//v1/namespaces"]
        {
            let http = http::Request::get(path).body(Vec::new()).expect("a well-formed request");

            assert!(Request::parse(&http).is_err(), "{path}");
        }
    }

    fn resource(method: &str, uri: &str) -> Resource {
        let http =
            http::Request::builder().method(method).uri(uri).body(Vec::new()).expect("a well-formed request");
        match Request::parse(&http).map(|request| request.target) {
            Ok(Target::Resource(resource)) => resource,
            Ok(Target::Path { .. }) | Err(_) => panic!("{method} {uri} is no resource"),
        }
    }

    fn expected(
        verb: Verb,
        group: &str,
        resource: &str,
        sub: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Resource {
        Resource {
            verb,
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            subresource: sub.map(str::to_owned),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}
