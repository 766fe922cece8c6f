//! Those who ask: pods of a tenant, each under a service account of its own, with the token that a kubelet would project.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use http::Method;
use kubefox_core::names::{Identity, Namespace, ServiceAccount};
use kubefox_sim::up::cluster::Cluster;
use serde_json::json;
use tokio::task::JoinSet;

/// The tenant that the platform of `up` lists.
const NAMESPACE: &str = "team0";
/// What the controller's callers have in their tokens.
pub(crate) const AUDIENCE: &str = "kubefox.kubefox";
/// Pods that are made beside each other.
const AT_ONCE: usize = 16;

/// One pod, by what it holds.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) identity: Identity,
    pub(crate) token: String,
}

/// So many pods that nobody has served yet.
pub(crate) async fn make(cluster: &Arc<Cluster>, name: &str, number: usize) -> Result<Vec<Holder>> {
    let mut callers = Vec::new();
    let mut making = JoinSet::new();
    for index in 0..number {
        if making.len() >= AT_ONCE {
            callers.push(making.join_next().await.context("there are some")???);
        }
        let (cluster, name) = (Arc::clone(cluster), format!("{name}-{index}"));
        making.spawn(async move { one(&cluster, &name).await });
    }
    while let Some(made) = making.join_next().await {
        callers.push(made??);
    }
    Ok(callers)
}

async fn one(cluster: &Cluster, name: &str) -> Result<Holder> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE}, "automountServiceAccountToken": false,
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let (status, answer) = cluster.request(Method::POST, &path, Some(&account)).await?;
    if status != 201 {
        bail!("the API server refused the service account {name} with {status}: {answer}");
    }
    let identity =
        Identity { namespace: Namespace::parse(NAMESPACE)?, service_account: ServiceAccount::parse(name)? };
    let pod = cluster.pod(&identity, name).await?;
    let token = cluster.token(&pod, AUDIENCE).await?;
    Ok(Holder { identity, token })
}
