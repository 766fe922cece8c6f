//! A request as the handlers see it: what is to be done, where, with which parameters, by whom.

use http::StatusCode;
use http::header::AUTHORIZATION;
use kubefox_core::time::Unix;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::mint::Mint;

/// The largest body that is read, as on the real server, in bytes.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// What a request does to its path. Whether a write creates or updates is only known once the path was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    List,
    Create,
    Update,
    Delete,
}

/// A parsed request. It may hold secrets: never formatted.
pub(super) struct Request {
    /// The wall clock of this moment.
    pub(super) now: Unix,
    pub(super) operation: Operation,
    /// Below `/v1/`; a LIST ends in a slash.
    pub(super) path: String,
    /// The body's object, or the query of a GET.
    pub(super) data: Map<String, Value>,
    pub(super) token: Option<String>,
    /// The `request_id` of the answer.
    pub(super) id: String,
    /// For whatever the request makes.
    pub(super) mint: Mint,
}

impl Request {
    /// # Errors
    ///
    /// 400 for a body that is not a JSON object or a path with relative segments, 413 for a large body, 501 for
    /// methods and headers of the real server that the fake does not know.
    pub(super) fn parse(now: Unix, request: &http::Request<Vec<u8>>, mint: Mint) -> Result<Self, Refusal> {
        let path = parse_path(request)?;
        refuse_unknown_headers(request)?;
        if request.body().len() > MAX_BODY_BYTES {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large"));
        }

        let mut query = parse_query(request.uri().query().unwrap_or_default())?;
        let list = query.remove("list").is_some_and(|list| list != "false");
        let method = request.method().as_str();
        let operation = match method {
            "LIST" => Operation::List,
            "GET" if list => Operation::List,
            "GET" => Operation::Read,
            "HEAD" if path == "sys/health" => Operation::Read,
            "PUT" | "POST" => Operation::Update,
            "DELETE" => Operation::Delete,
            _ => return Err(Refusal::not_implemented(format_args!("{method} {path}"))),
        };
        let data = match operation {
            Operation::Read | Operation::List | Operation::Delete => query,
            Operation::Create | Operation::Update => parse_body(request.body())?,
        };
        let path = if operation == Operation::List && !path.ends_with('/') { path + "/" } else { path };
        let token = token(request);
        let details = [
            &now.0.to_be_bytes(),
            method.as_bytes(),
            path.as_bytes(),
            token.as_deref().unwrap_or_default().as_bytes(),
            request.body(),
        ];
        let id = mint.uuid("request", &details);
        Ok(Self { now, operation, path, data, token, id, mint })
    }

    /// The moment as bytes, for the mint.
    pub(super) const fn moment(&self) -> [u8; 8] {
        self.now.0.to_be_bytes()
    }

    /// The parameter of a reading request that nobody here would look at; the version of a value is looked at.
    pub(super) fn surplus_query(&self) -> Option<&str> {
        let is_query = match self.operation {
            Operation::Read | Operation::List | Operation::Delete => true,
            Operation::Create | Operation::Update => false,
        };
        self.data.keys().map(String::as_str).find(|name| is_query && *name != "version")
    }

    /// The refusal of an operation that the path of a handler does not have.
    pub(super) fn unsupported<T>(&self) -> Result<T, Refusal> {
        Err(Refusal::unsupported_operation())
    }

    /// The refusal of a path or operation that the fake does not have.
    pub(super) fn not_implemented<T>(&self) -> Result<T, Refusal> {
        let method = match self.operation {
            Operation::Read => "GET",
            Operation::List => "LIST",
            Operation::Create | Operation::Update => "POST",
            Operation::Delete => "DELETE",
        };
        Err(Refusal::not_implemented(format_args!("{method} {}", self.path)))
    }
}

fn parse_path(request: &http::Request<Vec<u8>>) -> Result<String, Refusal> {
    let path = request.uri().path();
    let Some(path) = path.strip_prefix("/v1/") else {
        return Err(Refusal::not_found());
    };
    if path.contains('%') {
        return Err(Refusal::not_implemented(format_args!("escapes in the path {path}")));
    }
    if path.split('/').any(|segment| segment == ".." || segment == ".") || path.contains("//") {
        return Err(Refusal::invalid("relative paths not supported"));
    }
    Ok(path.to_owned())
}

/// Namespaces and response wrapping change what a request means, so they are not ignored.
fn refuse_unknown_headers(request: &http::Request<Vec<u8>>) -> Result<(), Refusal> {
    const UNKNOWN: [&str; 3] = ["x-vault-namespace", "x-vault-wrap-ttl", "x-vault-wrap-format"];
    let is_set = |name: &&str| request.headers().get(*name).is_some_and(|value| !value.is_empty());
    match UNKNOWN.iter().find(|name| is_set(name)) {
        Some(name) => Err(Refusal::not_implemented(format_args!("the header {name}"))),
        None => Ok(()),
    }
}

fn parse_query(query: &str) -> Result<Map<String, Value>, Refusal> {
    if query.contains(['%', '+']) {
        return Err(Refusal::not_implemented(format_args!("escapes in the query {query}")));
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    Ok(split.map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

fn parse_body(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_eof() { "unexpected EOF" } else { "invalid JSON" };
        Refusal::invalid(format!("failed to decode JSON input: {what}"))
    })
}

fn token(request: &http::Request<Vec<u8>>) -> Option<String> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = || header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    header("x-vault-token").or_else(bearer).filter(|token| !token.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_method_or_a_query_and_ends_in_a_slash() {
        let method = parse("LIST", "/v1/pki/issuers", "").unwrap_or_else(|_| panic!("a request"));
        let query = parse("GET", "http://127.0.0.1:8200/v1/pki/issuers?list=true", "")
            .unwrap_or_else(|_| panic!("a request"));

        for request in [method, query] {
            assert_eq!((request.operation, request.path.as_str()), (Operation::List, "pki/issuers/"));
            assert!(request.data.is_empty());
        }
    }

    #[test]
    fn put_is_post_and_its_body_is_the_data() {
        let put = parse("PUT", "/v1/x", "{\"a\": 1}").unwrap_or_else(|_| panic!("a request"));

        assert_eq!((put.operation, put.data.get("a")), (Operation::Update, Some(&Value::from(1))));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(status("POST", "/v1/x", "{"), 400);
        assert_eq!(status("POST", "/v1/x", "[1]"), 400);
        assert_eq!(status("GET", "/v1/a/../b", ""), 400);
        assert_eq!(status("GET", "/ui/", ""), 404);
        assert_eq!(status("PATCH", "/v1/x", ""), 501);
        assert_eq!(status("GET", "/v1/a%2Fb", ""), 501);
    }

    fn status(method: &str, uri: &str, body: &str) -> u16 {
        parse(method, uri, body).err().map_or(200, |refusal| refusal.into_response().status().as_u16())
    }

    fn parse(method: &str, uri: &str, body: &str) -> Result<Request, Refusal> {
        let request = http::Request::builder().method(method).uri(uri).body(body.as_bytes().to_vec());
        Request::parse(Unix(0), &request.expect("a request"), Mint::new(1))
    }
}
