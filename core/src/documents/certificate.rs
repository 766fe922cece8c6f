//! What each kind of certificate says: names, use and lifetime, and the request that asks for it.
//!
//! The names are fixed by PKI roles ([`crate::documents::setting`]) and policies ([`crate::documents::policy`]);
//! a request that says anything else is refused by Vault.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::names::{Identity, Namespace, TrustDomain};
use crate::vault::{CertificateRequest, PkiRole};

/// The name that every broker shows to the runtime beside it.
pub const BROKER_DNS_NAME: &str = "broker.kubefox.internal";

/// Life of the controller's serving certificate.
pub const CONTROLLER_TTL_S: u64 = 24 * 3_600;
/// Life of the certificates of NATS, OpenSearch, the collector and the agents, which nobody renews while they run.
pub const SERVER_TTL_S: u64 = 30 * 86_400;
/// Life of the certificates of brokers and runtimes.
pub const COMPONENT_TTL_S: u64 = 4 * 3_600;
/// Limit of the PKI engine: no certificate lives longer.
pub const PKI_MAX_TTL_S: u64 = 10 * 365 * 86_400;
/// Life of the root certificate: an hour within the limit of its engine, so that it is never cut short.
pub const ROOT_TTL_S: u64 = PKI_MAX_TTL_S - 3_600;

/// The life that a certificate of this role gets, and the longest it may get.
#[must_use]
pub const fn ttl_s(role: PkiRole) -> u64 {
    match role {
        PkiRole::Controller => CONTROLLER_TTL_S,
        PkiRole::Nats | PkiRole::Opensearch | PkiRole::Collector | PkiRole::Agent => SERVER_TTL_S,
        PkiRole::Component | PkiRole::Runtime => COMPONENT_TTL_S,
    }
}

/// What a certificate may be shown for; each says exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// By a server.
    pub server: bool,
    /// By a client.
    pub client: bool,
}

/// What a certificate of this role is for. A broker serves its runtime and is a client of NATS; the nodes of OpenSearch
/// are clients of each other.
#[must_use]
pub const fn usage(role: PkiRole) -> Usage {
    match role {
        PkiRole::Controller | PkiRole::Nats | PkiRole::Collector => Usage { server: true, client: false },
        PkiRole::Opensearch | PkiRole::Component => Usage { server: true, client: true },
        PkiRole::Agent | PkiRole::Runtime => Usage { server: false, client: true },
    }
}

/// The name under which clients verify a service of the platform: `<service>.<platform's namespace>.svc`. Agents
/// and runtimes serve nobody, and a broker serves as [`BROKER_DNS_NAME`].
#[must_use]
pub fn service_dns_name(role: PkiRole, platform_namespace: &Namespace) -> Option<String> {
    let service = match role {
        PkiRole::Controller => "kubefox",
        PkiRole::Nats => "nats",
        PkiRole::Opensearch => "opensearch",
        PkiRole::Collector => "collector",
        PkiRole::Agent | PkiRole::Component | PkiRole::Runtime => return None,
    };
    Some(format!("{service}.{platform_namespace}.svc"))
}

/// The URI of a certificate: the SPIFFE id of the identity. A runtime's is below that of its component, so that
/// neither passes for the other.
#[must_use]
pub fn uri(role: PkiRole, identity: &Identity, trust_domain: &TrustDomain) -> String {
    let id = identity.spiffe_id(trust_domain);
    match role {
        PkiRole::Runtime => format!("{id}/runtime"),
        PkiRole::Controller
        | PkiRole::Nats
        | PkiRole::Opensearch
        | PkiRole::Collector
        | PkiRole::Agent
        | PkiRole::Component => id,
    }
}

/// Asks for a certificate of this role for this identity. Vault adds the common name to the DNS names, so that a
/// service's request needs none of its own.
#[must_use]
pub fn request(
    role: PkiRole,
    identity: &Identity,
    trust_domain: &TrustDomain,
    ttl_s: u64,
) -> CertificateRequest {
    CertificateRequest {
        role,
        common_name: service_dns_name(role, &identity.namespace),
        dns_names: if role == PkiRole::Component { vec![BROKER_DNS_NAME.to_string()] } else { Vec::new() },
        uri: uri(role, identity, trust_domain),
        ttl_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_asks_for_its_names() {
        let trust_domain = TrustDomain::parse("cluster.local").expect("a trust domain");
        let asked = |role, namespace: &str, service_account: &str| {
            let username = format!("system:serviceaccount:{namespace}:{service_account}");
            let identity = Identity::parse_username(&username).expect("an identity");
            let request = request(role, &identity, &trust_domain, ttl_s(role));
            assert_eq!(request.role, role);
            (request.common_name, request.dns_names.join(","), request.uri, request.ttl_s)
        };
        let says = |common_name: Option<&str>, dns_names: &str, uri: &str, ttl_s| {
            (
                common_name.map(String::from),
                dns_names.to_string(),
                format!("spiffe://cluster.local/{uri}"),
                ttl_s,
            )
        };

        assert_eq!(
            asked(PkiRole::Controller, "kubefox", "kubefox"),
            says(Some("kubefox.kubefox.svc"), "", "ns/kubefox/sa/kubefox", 86_400)
        );
        assert_eq!(
            asked(PkiRole::Nats, "platform", "nats"),
            says(Some("nats.platform.svc"), "", "ns/platform/sa/nats", 2_592_000)
        );
        assert_eq!(
            asked(PkiRole::Opensearch, "kubefox", "opensearch"),
            says(Some("opensearch.kubefox.svc"), "", "ns/kubefox/sa/opensearch", 2_592_000)
        );
        assert_eq!(
            asked(PkiRole::Collector, "kubefox", "collector"),
            says(Some("collector.kubefox.svc"), "", "ns/kubefox/sa/collector", 2_592_000)
        );
        assert_eq!(
            asked(PkiRole::Agent, "kubefox", "agent"),
            says(None, "", "ns/kubefox/sa/agent", 2_592_000)
        );
        assert_eq!(
            asked(PkiRole::Component, "team0", "app"),
            says(None, "broker.kubefox.internal", "ns/team0/sa/app", 14_400)
        );
        assert_eq!(
            asked(PkiRole::Runtime, "team0", "app"),
            says(None, "", "ns/team0/sa/app/runtime", 14_400)
        );
    }
}
