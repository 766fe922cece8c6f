//! A strict fake of kube-apiserver 1.36: pure, deterministic, with real access control and real tokens.
//!
//! ```text
//!   request ─► authenticate ─► authorize ─► defaults ─► validate ─► admit ─► store ─► answer
//!              401             403          400, 403    422         403, 422 409
//! ```
//!
//! Absent, and answered with a loud 501: list, watch, server-side apply, every kind and parameter that is not
//! named in these files. Stricter than the real server: unknown fields are always a 400, deletions and new policies
//! count at once (a real server caches for some seconds).

mod admission;
mod authenticate;
mod authorize;
mod canonical;
mod discovery;
mod incoming;
mod issue;
mod kind;
mod mint;
mod objects;
mod request;
mod review;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod validate;

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use kubefox_core::time::Unix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::kind::Kind;
use self::mint::{Mint, Revision};
use self::objects::Asked;
use self::request::{Request, Resource, Target, Verb};
use self::status::{Answer, Refusal};
use self::store::{Object, Store};
use self::token::Signer;

/// One API server with its store. Worlds fork it, `up --state` keeps it. It holds Secrets: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Kubernetes {
    admin_token: String,
    signer: Signer,
    mint: Mint,
    revision: Revision,
    store: Store,
}

/// What every cluster has before anybody creates anything.
const FIRST_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl Kubernetes {
    /// An empty cluster. Everything it will ever make up is a function of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut mint = Mint::new(seed);
        let signer = Signer::new(&mut mint);
        let admin_token = format!("admin.{}", BASE64URL_NOPAD.encode(&mint.draw::<32>()));
        let mut cluster = Self { admin_token, signer, mint, revision: Revision(0), store: Store::default() };
        for name in FIRST_NAMESPACES {
            cluster.found(Kind::Namespace, "", name);
            cluster.found(Kind::ServiceAccount, name, "default");
        }
        cluster
    }

    /// Answers one request at one moment: the API server's whole interface.
    pub fn handle(&mut self, now: Unix, request: &http::Request<Vec<u8>>) -> http::Response<Vec<u8>> {
        let answer = self.answer(now, request).unwrap_or_else(Answer::from);
        answer.into_response(now)
    }

    /// A bearer token that may do everything. It stands for the administrator's client certificate.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// What `/version` says, as `gitVersion`.
    #[must_use]
    pub fn version() -> &'static str {
        "v1.36.3-fake"
    }

    /// One object as the API would show it, read past all access control. `namespace` is empty for kinds without.
    #[must_use]
    pub fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.store.find(kind, namespace, name).map(Object::render)
    }

    /// Whether there is such an object, read past all access control.
    #[must_use]
    pub fn exists(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.store.find(kind, namespace, name).is_some()
    }

    /// All objects of a kind in the order of namespace and name, read past all access control.
    pub fn objects(&self, kind: Kind) -> impl Iterator<Item = Value> {
        self.store.all(kind).map(Object::render)
    }

    /// Removes an object past all access control and finalizers: what no request can do.
    pub fn erase(&mut self, kind: Kind, namespace: &str, name: &str) {
        if let Some(object) = self.store.find(kind, namespace, name).cloned() {
            self.store.remove(&object);
        }
    }

    /// The kubelet's view of a Secret: what a volume shows of it. None if there is no such Secret.
    #[must_use]
    pub fn secret_data(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let secret = self.store.find(Kind::Secret, namespace, name)?;
        let decoded = |(key, value): (&String, &Value)| {
            let text = value.as_str().expect("a stored Secret's values are strings");
            (key.clone(), BASE64.decode(text.as_bytes()).expect("a stored Secret's values are base64"))
        };
        let data = secret.field("data").and_then(Value::as_object);
        Some(data.into_iter().flatten().map(decoded).collect())
    }

    /// The kubelet's view of a pod: its uid. None if there is no pod of that name.
    #[must_use]
    pub fn pod_uid(&self, namespace: &str, name: &str) -> Option<&str> {
        self.store.find(Kind::Pod, namespace, name).map(|pod| pod.uid.as_str())
    }

    fn answer(&mut self, now: Unix, http: &http::Request<Vec<u8>>) -> Result<Answer, Refusal> {
        let request = Request::parse(http)?;
        if http.headers().keys().any(|name| name.as_str().starts_with("impersonate-")) {
            return Err(Refusal::not_implemented(&request.line(), "impersonation"));
        }
        let user = self.authenticate(now, http.headers())?;
        self.authorize(&user, &request.target)?;
        if !request.accepts_json() {
            return Err(Refusal::not_acceptable());
        }
        let resource = match &request.target {
            Target::Path { method, path } => return self.answer_path(&request, method, path),
            Target::Resource(resource) => resource,
        };
        self.answer_resource(now, &user, &request, resource)
    }

    fn answer_resource(
        &mut self,
        now: Unix,
        user: &authenticate::User,
        request: &Request,
        resource: &Resource,
    ) -> Result<Answer, Refusal> {
        let served = |group: &str, name: &str, verb: Verb| {
            resource.group == group
                && resource.version == "v1"
                && resource.resource == name
                && resource.verb == verb
        };
        let kind = Kind::served_at(&resource.group, &resource.version, &resource.resource);
        let subresource = resource.subresource.as_deref();
        let is_list = matches!(resource.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
        // Lists come with parameters of their own; the refusal is to name the list.
        let dry_run = if is_list { false } else { request.is_dry_run()? };
        let asked = Asked { now, user, request, resource, dry_run };
        let before = self.mint.clone();
        let answer = match (kind, subresource) {
            (Some(Kind::ServiceAccount), Some("token")) if resource.verb == Verb::Create => {
                self.issue_token(&asked)
            }
            (None, None) if served("authentication.k8s.io", "tokenreviews", Verb::Create) => {
                self.review_token(&asked)
            }
            (Some(kind), None) => self.answer_object(&asked, kind),
            (Some(_) | None, Some(_) | None) => Err(asked.not_implemented(&resource.what())),
        };
        if dry_run {
            self.mint = before;
        }
        answer
    }

    /// An object from before the first request.
    fn found(&mut self, kind: Kind, namespace: &str, name: &str) {
        let object = Object {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: self.mint.uid(),
            revision: None,
            created: Unix(0),
            deleted: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            finalizers: Vec::new(),
            fields: Map::new(),
        };
        self.persist(false, object);
    }
}
