//! What every caller of the controller has: where the controller is, and what it shows to it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use kubefox_core::bootstrap::KeyOrigin;
use kubefox_core::documents::certificate::{service_dns_name, uri};
use kubefox_core::documents::setting::platform_identity;
use kubefox_core::names::{Namespace, TrustDomain};
use kubefox_core::vault::{AuthRole, PkiRole};

use super::Unusable;
use crate::adapter::bootstrap;
use crate::shell::bootstrap_client::{BootstrapClient, Controller};
use crate::shell::host::Host;
use crate::shell::tls::Expected;

/// What the operator chooses for every caller.
#[derive(Args)]
pub(super) struct Caller {
    /// Where the controller's API is, as HOST:PORT. Whatever is dialled, its certificate must be the controller's.
    #[arg(long, env = "KUBEFOX_CONTROLLER_ADDRESS", default_value = "kubefox.kubefox.svc:8443")]
    controller_address: String,
    /// The namespace of the platform; part of the names that its services must show.
    #[arg(long, env = "KUBEFOX_PLATFORM_NAMESPACE", default_value = "kubefox")]
    platform_namespace: Namespace,
    /// The trust domain of every SPIFFE id.
    #[arg(long, env = "KUBEFOX_TRUST_DOMAIN", default_value = "cluster.local")]
    trust_domain: TrustDomain,
    /// The volume of Secret kubefox-trust: `tls.crt` and `ca.crt`.
    #[arg(long, env = "KUBEFOX_TRUST_DIR", default_value = "/var/run/secrets/kubefox/trust")]
    pub(super) trust_dir: PathBuf,
    /// Holds the projected token `kubefox` of audience `kubefox.<installation>`.
    #[arg(long, env = "KUBEFOX_SERVICE_ACCOUNT_DIR", default_value = "/var/run/secrets/kubefox/tokens")]
    pub(super) service_account_dir: PathBuf,
    /// Where the private keys of the certificates are made: in Vault, which sends them, or in this pod, which they then
    /// never leave.
    #[arg(long, env = "KUBEFOX_KEY_ORIGIN", value_enum, default_value_t = Origin::Vault)]
    key_origin: Origin,
    /// For how long the mounts may be late, in seconds.
    #[arg(long, env = "KUBEFOX_MOUNT_GRACE_S", default_value_t = 180)]
    mount_grace_s: u32,
    /// After how long to give up, in seconds; 0 for never.
    #[arg(long, env = "KUBEFOX_GIVE_UP_AFTER_S", default_value_t = 600)]
    give_up_after_s: u32,
}

/// [`KeyOrigin`] on the command line.
#[derive(Clone, Copy, ValueEnum)]
enum Origin {
    Vault,
    Pod,
}

impl Caller {
    pub(super) const fn key_origin(&self) -> KeyOrigin {
        match self.key_origin {
            Origin::Vault => KeyOrigin::Vault,
            Origin::Pod => KeyOrigin::Pod,
        }
    }

    /// What the certificates that are asked for must say.
    pub(super) fn context(&self) -> bootstrap::Context {
        bootstrap::Context { trust_domain: self.trust_domain.clone() }
    }

    pub(super) fn mount_grace_ms(&self) -> u64 {
        u64::from(self.mount_grace_s) * 1_000
    }

    pub(super) fn give_up_ms(&self) -> u64 {
        u64::from(self.give_up_after_s) * 1_000
    }

    /// The client of the controller.
    pub(super) fn client(&self, host: Arc<dyn Host>) -> Result<BootstrapClient, Unusable> {
        let (name, port) = host_and_port("--controller-address", &self.controller_address)?;
        let expected = self.expected(PkiRole::Controller, AuthRole::Controller);
        Ok(BootstrapClient::new(host, Controller { host: name, port, expected }))
    }

    /// What the certificate of one of the platform's services must say.
    pub(super) fn expected(&self, role: PkiRole, account: AuthRole) -> Expected {
        let identity = platform_identity(account, &self.platform_namespace)
            .expect("the platform's services have accounts of their own");
        let dns =
            service_dns_name(role, &self.platform_namespace).expect("the platform's services have names");
        Expected { dns, spiffe: uri(role, &identity, &self.trust_domain) }
    }
}

/// Splits `HOST:PORT`; an IPv6 address stands in brackets.
pub(super) fn host_and_port(flag: &str, text: &str) -> Result<(String, u16), Unusable> {
    let wrong = || Unusable(format!("{flag} {text}: must be HOST:PORT, an IPv6 address in brackets"));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let split = |text| host_and_port("--x", text).map_err(|Unusable(reason)| reason);
        assert_eq!(split("kubefox.kubefox.svc:8443"), Ok(("kubefox.kubefox.svc".to_owned(), 8_443)));
        assert_eq!(split("[::1]:1"), Ok(("::1".to_owned(), 1)));
        for wrong in ["", "a", ":1", "a:", "a:x", "a:70000", "::1:1", "[::1:1"] {
            let reason = format!("--x {wrong}: must be HOST:PORT, an IPv6 address in brackets");
            assert_eq!(split(wrong), Err(reason));
        }
    }
}
