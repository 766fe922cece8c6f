//! The Kubernetes API as a pod reaches it.

use std::path::Path;

use kubefox_core::names::Pem;

use super::Unusable;
use crate::shell::connector::Target;
use crate::shell::tls;

/// The API server.
pub(super) struct Cluster {
    /// Its URL.
    pub(super) url: String,
    /// Its authority, PEM.
    pub(super) ca: String,
    /// How it is connected to.
    pub(super) target: Target,
}

impl Cluster {
    /// At the URL that was given, or that of the pod's environment; its authority lies in `service_account_dir`.
    pub(super) fn find(url: Option<String>, service_account_dir: &Path) -> Result<Self, Unusable> {
        let url = match url {
            Some(url) => url,
            None => url_of_this_pod()?,
        };
        let path = service_account_dir.join("ca.crt");
        let unusable = |error: &dyn std::fmt::Display| Unusable(format!("{}: {error}", path.display()));
        let ca = std::fs::read_to_string(&path).map_err(|error| {
            Unusable(format!(
                "{}: {error}; project kube-root-ca.crt into --service-account-dir",
                path.display()
            ))
        })?;
        let pem = Pem::parse(&ca).map_err(|error| unusable(&error))?;
        let trust = tls::kubernetes(&pem).map_err(|error| unusable(&error))?;
        let target = Target::kubernetes(&url, trust)
            .map_err(|error| Unusable(format!("--kubernetes-url {url}: {error}")))?;
        Ok(Self { url, ca, target })
    }
}

/// Every pod finds it in its environment.
fn url_of_this_pod() -> Result<String, Unusable> {
    let variable = |name: &str| {
        std::env::var(name)
            .map_err(|_| Unusable(format!("neither --kubernetes-url nor {name} is set: is this a pod?")))
    };
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    Ok(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
}
