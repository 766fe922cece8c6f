//! The tiny certificate authority of the embedded API server: it issues one server certificate, once, and forgets
//! its own key.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto};
use serde::{Deserialize, Serialize};

/// The names by which an API server is called, inside a cluster and on one machine.
const NAMES: [&str; 6] = [
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// A CA certificate, and a server certificate of it with its key, all as PEM. `up --state` keeps it between runs;
/// it holds a key: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Authority {
    ca: String,
    certificate: String,
    key: String,
}

/// Why there is no certificate, or no TLS with it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Making the certificates failed.
    #[error("the embedded API server's certificates could not be made; is there randomness?")]
    Making(#[from] rcgen::Error),
    /// A kept certificate or key is not PEM.
    #[error("a kept certificate or key of the embedded API server is not PEM; remove the state directory")]
    Kept(#[from] rustls::pki_types::pem::Error),
    /// Certificate and key do not fit together.
    #[error("the embedded API server's certificate and key are of no use to TLS; remove the state directory")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// A new authority. Its certificates are valid for as long as anybody may keep them; the state directory is
    /// their life.
    ///
    /// # Errors
    /// [`AuthorityError::Making`] without randomness.
    pub fn new() -> Result<Self, AuthorityError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "kubernetes");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
        Ok(Self { ca: ca_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The CA certificate that clients verify the server with, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// TLS for [`super::http::serve`], offering HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// If what was kept cannot be read, or does not fit together.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn a_kept_authority_still_serves_under_all_its_names() {
        let made = Authority::new().expect("certificates");
        let kept = serde_json::to_string(&made).expect("PEM can be written");

        let authority: Authority = serde_json::from_str(&kept).expect("PEM can be read");

        assert_eq!(authority.ca_pem(), made.ca_pem());
        assert!(authority.server_config().is_ok());
        let accepted = |name| is_accepted(&authority, name);
        assert!(NAMES.into_iter().all(accepted));
        assert!(!is_accepted(&authority, "elsewhere"));
    }

    #[test]
    fn a_damaged_authority_is_refused_with_a_remedy() {
        let mut authority = Authority::new().expect("certificates");
        authority.key = "nothing".to_owned();

        let error = authority.server_config().expect_err("there is no key");

        let words =
            "a kept certificate or key of the embedded API server is not PEM; remove the state directory";
        assert_eq!(error.to_string(), words);
    }

    fn is_accepted(authority: &Authority, name: &'static str) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(authority.ca.as_bytes()).expect("PEM");
        roots.add(ca).expect("a CA certificate");
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("roots");
        let certificate = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).expect("PEM");
        let name = ServerName::try_from(name).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_795_465_234));
        verifier.verify_server_cert(&certificate, &[], &name, &[], now).is_ok()
    }
}
