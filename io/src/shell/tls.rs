//! TLS configurations. The provider is `ring`, given explicitly; between ourselves only TLS 1.3 is spoken.
//!
//! Whatever address is dialled, a peer of the platform must show *its* name: a chain to the one authority, the expected
//! DNS name, and exactly the expected SPIFFE id. The authority alone would let every component pose as every other.

use std::sync::Arc;

use kubefox_core::names::Pem;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};

use crate::exchange::Presentation;

/// HTTP/2, as ALPN calls it.
pub const ALPN_H2: &[u8] = b"h2";

/// HTTP/1.1, as ALPN calls it.
const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// Who the peer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// A DNS name of its certificate.
    pub dns: String,
    /// The one URI of its certificate.
    pub spiffe: String,
}

/// Who may connect to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedClient {
    /// The authority that must have signed the client's certificate.
    pub ca: Pem,
    /// The one URI of its certificate.
    pub spiffe: String,
}

/// Certificates, keys or names that cannot be used. Nothing of them is quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A certificate is not one.
    #[error("the {0} is not a certificate in PEM")]
    Certificate(&'static str),
    /// The leaf does not name exactly one URI.
    #[error("the certificate does not name exactly one URI")]
    Identity,
    /// The private key is not one, or not of this certificate.
    #[error("the private key is not PKCS#8 in PEM, or not the key of the certificate")]
    Key,
    /// The expected name is not a DNS name.
    #[error("the expected name of the peer is not a DNS name")]
    Name,
}

/// A client of the platform: TLS 1.3, the server must be `expected` under `ca`. The caller adds ALPN.
///
/// # Errors
/// [`Unusable`] says what cannot be used.
pub fn client(
    ca: &Pem,
    identity: Option<&Presentation>,
    expected: &Expected,
) -> Result<ClientConfig, Unusable> {
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
        .build()
        .map_err(|_| Unusable::Certificate("authority"))?;
    let dns = server_name(&expected.dns)?;
    let verifier = ExactServer { chain, dns, spiffe: expected.spiffe.clone() };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => {
            let (certificates, key) = chain_and_key(identity)?;
            builder.with_client_auth_cert(certificates, key).map_err(|_| Unusable::Key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A server of the platform: TLS 1.3, HTTP/2, clients as `clients` says.
///
/// # Errors
/// [`Unusable`] says what cannot be used.
pub fn server(
    presentation: &Presentation,
    clients: Option<&ExpectedClient>,
) -> Result<ServerConfig, Unusable> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites of TLS 1.3");
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(ExactClient::new(clients)?)),
        None => builder.with_no_client_auth(),
    };
    let (certificates, key) = chain_and_key(presentation)?;
    let mut config = builder.with_single_cert(certificates, key).map_err(|_| Unusable::Key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A resumed session shows no certificate: after a change the next handshake must show the new one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A client of the Kubernetes API: TLS 1.2 or newer, the ordinary check of the name that is dialled, HTTP/2 if the
/// server has it.
///
/// # Errors
/// [`Unusable::Certificate`].
pub fn kubernetes(ca: &Pem) -> Result<Arc<ClientConfig>, Unusable> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// A client that only looks which certificate is shown: any is taken, and the server must prove that it holds the key of
/// it. Nothing may be sent over such a connection.
#[must_use]
pub fn prober() -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider().signature_verification_algorithms)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// The SPIFFE id of a certificate: the one URI among its names.
///
/// # Errors
/// [`Unusable`] if it is no certificate, or names no URI or several.
pub fn spiffe_id(leaf: &Pem) -> Result<String, Unusable> {
    let leaf = CertificateDer::from_pem_slice(leaf.as_str().as_bytes());
    let leaf = leaf.map_err(|_| Unusable::Certificate("leaf"))?;
    the_uri(&leaf).ok_or(Unusable::Identity)
}

/// A DNS name or an address, as the handshake takes it.
///
/// # Errors
/// [`Unusable::Name`].
pub fn server_name(name: &str) -> Result<ServerName<'static>, Unusable> {
    ServerName::try_from(name.to_owned()).map_err(|_| Unusable::Name)
}

/// Verifies a server against the expected names, whatever name or address was dialled.
#[derive(Debug)]
struct ExactServer {
    chain: Arc<WebPkiServerVerifier>,
    dns: ServerName<'static>,
    spiffe: String,
}

impl ServerCertVerifier for ExactServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.chain.verify_server_cert(end_entity, intermediates, &self.dns, ocsp_response, now)?;
        require_uri(end_entity, &self.spiffe)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Takes every certificate, and no handshake that was not signed with its key.
#[derive(Debug)]
struct AnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Verifies the one client that a server is for.
#[derive(Debug)]
struct ExactClient {
    chain: Arc<dyn ClientCertVerifier>,
    spiffe: String,
}

impl ExactClient {
    fn new(expected: &ExpectedClient) -> Result<Self, Unusable> {
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&expected.ca)?), provider())
            .build()
            .map_err(|_| Unusable::Certificate("authority"))?;
        Ok(Self { chain, spiffe: expected.spiffe.clone() })
    }
}

impl ClientCertVerifier for ExactClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        require_uri(end_entity, &self.spiffe)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The peer is genuine and somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the peer's certificate is not the one of {0}")]
struct SomebodyElse(String);

fn require_uri(leaf: &CertificateDer<'_>, expected: &str) -> Result<(), Error> {
    if the_uri(leaf).as_deref() == Some(expected) {
        return Ok(());
    }
    let error = OtherError(Arc::new(SomebodyElse(expected.to_owned())));
    Err(Error::InvalidCertificate(CertificateError::Other(error)))
}

/// The only URI that a certificate names; a second one would make it ambiguous who it is
/// (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md> §2).
fn the_uri(leaf: &CertificateDer<'_>) -> Option<String> {
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let mut uris = leaf.valid_uri_names();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Some(uri.to_owned()),
        (None | Some(_), _) => None,
    }
}

fn roots(ca: &Pem) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "authority")? {
        roots.add(certificate).map_err(|_| Unusable::Certificate("authority"))?;
    }
    Ok(roots)
}

/// Leaf and authority, and the leaf's key.
fn chain_and_key(
    presentation: &Presentation,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unusable> {
    let mut chain = certificates(&presentation.leaf, "leaf")?;
    chain.extend(certificates(&presentation.ca, "authority")?);
    let key = PrivateKeyDer::from_pem_slice(&presentation.key).map_err(|_| Unusable::Key)?;
    Ok((chain, key))
}

fn certificates(pem: &Pem, which: &'static str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_str().as_bytes()).collect();
    let parsed = parsed.map_err(|_| Unusable::Certificate(which))?;
    if parsed.is_empty() { Err(Unusable::Certificate(which)) } else { Ok(parsed) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;

    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
        SanType,
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use zeroize::Zeroizing;

    use super::*;

    const DNS: &str = "kubefox.kubefox.svc";
    const URI: &str = "spiffe://cluster.local/ns/kubefox/sa/kubefox";
    const RUNTIME: &str = "spiffe://cluster.local/ns/team/sa/a/runtime";

    #[tokio::test]
    async fn the_right_name_and_the_right_id_are_accepted_whatever_is_dialled() {
        let authority = Authority::new();
        let server = server(&authority.issue(&[DNS], &[URI]), None).expect("usable");

        let outcome = handshake(client_of(&authority, None), server).await;

        assert!(outcome.is_ok(), "{outcome:?}");
    }

    #[tokio::test]
    async fn every_other_server_is_refused() {
        let (authority, other) = (Authority::new(), Authority::new());
        for (case, presentation) in [
            ("another id", authority.issue(&[DNS], &["spiffe://cluster.local/ns/kubefox/sa/nats"])),
            ("a second id", authority.issue(&[DNS], &[URI, "spiffe://cluster.local/ns/kubefox/sa/nats"])),
            ("no id", authority.issue(&[DNS], &[])),
            ("another name", authority.issue(&["nats.kubefox.svc"], &[URI])),
            ("the dialled name instead of the expected one", authority.issue(&["dialled.example"], &[URI])),
            ("another authority", other.issue(&[DNS], &[URI])),
        ] {
            let server = server(&presentation, None).expect("usable");

            let outcome = handshake(client_of(&authority, None), server).await;

            assert!(outcome.is_err(), "{case}");
        }
    }

    #[tokio::test]
    async fn tls_1_2_is_refused() {
        let authority = Authority::new();
        let (certificates, key) = chain_and_key(&authority.issue(&[DNS], &[URI])).expect("usable");
        let old = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12])
            .expect("ring has TLS 1.2")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("key and certificate fit");

        let outcome = handshake(client_of(&authority, None), old).await;

        assert!(outcome.is_err());
    }

    #[tokio::test]
    async fn a_server_for_one_client_takes_nobody_else() {
        let (authority, other) = (Authority::new(), Authority::new());
        let expected = ExpectedClient { ca: authority.pem(), spiffe: RUNTIME.to_owned() };
        for (case, identity, accepted) in [
            ("the one", Some(authority.issue(&[], &[RUNTIME])), true),
            (
                "the broker itself",
                Some(authority.issue(&[], &["spiffe://cluster.local/ns/team/sa/a"])),
                false,
            ),
            ("another authority", Some(other.issue(&[], &[RUNTIME])), false),
            ("nobody", None, false),
        ] {
            let server = server(&authority.issue(&[DNS], &[URI]), Some(&expected)).expect("usable");

            let outcome = handshake(client_of(&authority, identity.as_ref()), server).await;

            assert_eq!(outcome.is_ok(), accepted, "{case}: {outcome:?}");
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_unusable() {
        let authority = Authority::new();
        let mut presentation = authority.issue(&[DNS], &[URI]);
        presentation.key = authority.issue(&[DNS], &[URI]).key;

        assert_eq!(server(&presentation, None).err(), Some(Unusable::Key));
    }

    #[test]
    fn the_id_of_a_certificate_is_its_one_uri() {
        let authority = Authority::new();

        assert_eq!(spiffe_id(&authority.issue(&[DNS], &[URI]).leaf), Ok(URI.to_owned()));
        assert_eq!(spiffe_id(&authority.issue(&[DNS], &[]).leaf), Err(Unusable::Identity));
    }

    /// A certificate authority of one test.
    pub(crate) struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
    }

    impl Authority {
        pub(crate) fn new() -> Self {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let pem = params.self_signed(&key).expect("a root").pem();
            Self { issuer: Issuer::new(params, key), pem }
        }

        pub(crate) fn pem(&self) -> Pem {
            Pem::parse(&self.pem).expect("rcgen writes PEM")
        }

        pub(crate) fn issue(&self, dns: &[&str], uris: &[&str]) -> Presentation {
            let key = KeyPair::generate().expect("a key");
            let names: Vec<String> = dns.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(names).expect("DNS names");
            for uri in uris {
                params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("ASCII")));
            }
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let leaf = params.signed_by(&key, &self.issuer).expect("a leaf").pem();
            Presentation {
                leaf: Pem::parse(&leaf).expect("rcgen writes PEM"),
                ca: self.pem(),
                key: Zeroizing::new(key.serialize_pem().into_bytes()),
            }
        }
    }

    fn client_of(authority: &Authority, identity: Option<&Presentation>) -> ClientConfig {
        let expected = Expected { dns: DNS.to_owned(), spiffe: URI.to_owned() };
        client(&authority.pem(), identity, &expected).expect("usable")
    }

    /// A byte from the client to the server and back; the client's own view of a handshake is not enough, because the
    /// server judges its certificate afterwards.
    async fn handshake(client: ClientConfig, server: ServerConfig) -> io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (near, far) = tokio::io::duplex(16 * 1024);
        let served = async move {
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await?;
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
            stream.flush().await
        };
        let asked = async move {
            let dialled = server_name("dialled.example").expect("a name");
            let mut stream = TlsConnector::from(Arc::new(client)).connect(dialled, near).await?;
            stream.write_u8(7).await?;
            stream.flush().await?;
            stream.read_u8().await.map(|_| ())
        };
        let (served, asked) = tokio::join!(served, asked);
        served.and(asked)
    }
}
