//! The administrator's and the kubelet's side of the Kubernetes API, embedded or real.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use http::{Method, Request, header};
use kubefox_core::names::Identity;
use kubefox_io::shell::http::Http;
use serde_json::{Value, json};

use crate::manifest::{self, BoundTo, Object, TOKEN_LIFE_S, objects};

/// The API server's own audience.
pub const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
/// Life of a projected token, the shortest that the API server grants.
pub const TOKEN_LIFE: Duration = Duration::from_secs(TOKEN_LIFE_S);
/// An API server on this machine answers sooner.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// An API server with an administrator's credential.
pub struct Cluster {
    http: Http,
    bearer: Option<String>,
    /// How others reach it.
    pub url: String,
    /// Its certificate authority, PEM.
    pub ca: String,
}

/// A pod that exists.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Under whose ServiceAccount it runs.
    pub identity: Identity,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Cluster {
    /// With a client that authenticates by itself, or with a bearer token.
    #[must_use]
    pub const fn new(http: Http, bearer: Option<String>, url: String, ca: String) -> Self {
        Self { http, bearer, url, ca }
    }

    /// Creates every object of a YAML text; what exists already stays as it is.
    pub async fn apply(&self, manifest: &str) -> Result<()> {
        for Object { collection, title, body } in objects(manifest)? {
            let (status, answer) = self.request(Method::POST, &collection, Some(&body)).await?;
            if !matches!(status, 201 | 409) {
                bail!("the API server refused {title} with {status}: {}", message(&answer));
            }
        }
        Ok(())
    }

    /// The pod of that name, made if it is not there. Nothing schedules it: it only gives tokens a pod to be bound to.
    pub async fn pod(&self, identity: &Identity, name: &str) -> Result<Pod> {
        let Object { collection, body, .. } = manifest::pod(identity, name);
        let (status, mut answer) = self.request(Method::POST, &collection, Some(&body)).await?;
        if status == 409 {
            answer = self.request(Method::GET, &format!("{collection}/{name}"), None).await?.1;
        } else if status != 201 {
            bail!("the API server refused pod {name} with {status}: {}", message(&answer));
        }
        let uid = answer.pointer("/metadata/uid").and_then(Value::as_str).context("a pod has a uid")?;
        Ok(Pod { identity: identity.clone(), name: name.to_owned(), uid: uid.to_owned() })
    }

    /// The uid of the pod of that name; `None` if there is none.
    pub(super) async fn pod_uid(&self, namespace: &str, name: &str) -> Result<Option<String>> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let (status, answer) = self.request(Method::GET, &path, None).await?;
        match status {
            200 => {
                let uid =
                    answer.pointer("/metadata/uid").and_then(Value::as_str).context("a pod has a uid")?;
                Ok(Some(uid.to_owned()))
            }
            404 => Ok(None),
            other => bail!("reading pod {name} was answered with {other}: {}", message(&answer)),
        }
    }

    /// What the kubelet asks for a projected token.
    pub async fn token(&self, pod: &Pod, audience: &str) -> Result<String> {
        let bound_to = BoundTo { name: &pod.name, uid: &pod.uid };
        let Object { collection, body, .. } =
            manifest::token_request(&pod.identity, audience, Some(bound_to));
        let (status, answer) = self.request(Method::POST, &collection, Some(&body)).await?;
        if status != 201 {
            bail!("the API server refused a token of {} with {status}: {}", pod.identity, message(&answer));
        }
        let token =
            answer.pointer("/status/token").and_then(Value::as_str).context("an answer with a token")?;
        Ok(token.to_owned())
    }

    /// What a volume of that Secret would show; `None` if there is none.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let (status, answer) = self.request(Method::GET, &path, None).await?;
        match status {
            200 => {}
            404 => return Ok(None),
            other => bail!("reading Secret {name} was answered with {other}: {}", message(&answer)),
        }
        let mut files = BTreeMap::new();
        for (key, value) in answer.get("data").and_then(Value::as_object).into_iter().flatten() {
            let text = value.as_str().context("a Secret's values are strings")?;
            files
                .insert(key.clone(), BASE64.decode(text.as_bytes()).context("a Secret's values are base64")?);
        }
        Ok(Some(files))
    }

    /// Deletes an object with whatever finalizers it has, as an administrator does who wants a new life. That it is
    /// not there is as good.
    pub async fn delete(&self, namespace: &str, plural: &str, name: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
        let without_finalizers = json!({"metadata": {"finalizers": null}});
        let (status, answer) = self.request(Method::PATCH, &path, Some(&without_finalizers)).await?;
        match status {
            200 => {}
            404 => return Ok(()),
            other => bail!("the API server refused to patch {name} with {other}: {}", message(&answer)),
        }
        let (status, answer) = self.request(Method::DELETE, &path, None).await?;
        if !matches!(status, 200 | 404) {
            bail!("the API server refused to delete {name} with {status}: {}", message(&answer));
        }
        Ok(())
    }

    /// What the server says its version is.
    pub async fn version(&self) -> Result<String> {
        let (_, answer) = self.request(Method::GET, "/version", None).await?;
        Ok(answer.get("gitVersion").and_then(Value::as_str).unwrap_or("unknown").to_owned())
    }

    /// Asks the API server, as the administrator: status, and the body or null.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let mut request =
            Request::builder().method(&method).uri(path).header(header::ACCEPT, "application/json");
        if body.is_some() {
            let patches = method == Method::PATCH;
            let kind = if patches { "application/merge-patch+json" } else { "application/json" };
            request = request.header(header::CONTENT_TYPE, kind);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let carried = self.http.carry(request.body(body).context("a well-formed request")?);
        let response = tokio::time::timeout(REQUEST_WITHIN, carried)
            .await
            .with_context(|| format!("the API server did not answer {method} {path}"))?
            .map_err(|lost| anyhow::anyhow!("{method} {path} got no answer: {lost:?}"))?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(response.body()).unwrap_or(Value::Null)))
    }
}

fn message(answer: &Value) -> &str {
    answer.get("message").and_then(Value::as_str).unwrap_or("no message")
}
