//! Requests for certificates (PKCS#10): what they say, and which certificate answers one.

use kubefox_core::names::{Csr, Pem};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::certificate;

/// Whether the certificate is on the key of the request.
#[must_use]
pub fn is_answered_by(csr: &Csr, leaf: &Pem) -> bool {
    let Some(der) = der(csr) else { return false };
    let Some(request) = parse(&der) else { return false };
    certificate::is_on(leaf, request.certification_request_info.subject_pki.raw)
}

/// The one request of a text, in DER.
pub(super) fn der(csr: &Csr) -> Option<Vec<u8>> {
    let (rest, block) = x509_parser::pem::parse_x509_pem(csr.as_str().as_bytes()).ok()?;
    (block.label == "CERTIFICATE REQUEST" && rest.trim_ascii().is_empty()).then_some(block.contents)
}

pub(super) fn parse(der: &[u8]) -> Option<X509CertificationRequest<'_>> {
    let ([], request) = X509CertificationRequest::from_der(der).ok()? else { return None };
    Some(request)
}
