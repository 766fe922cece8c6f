//! `pki/sign/<role>`: a certificate on the key of a request (PKCS#10), within what the role allows.
//!
//! Absent: roles that take names from the request (`use_csr_common_name`, `use_csr_sans`), and roles for other keys than
//! those of elliptic curves.

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::identity::Known;
use super::mounts::Description;
use super::pki::Pki;
use super::pki_issue::{certify, check_format, issuer_of, names, not_after};
use super::pki_role::Role;
use super::request::Request;
use super::shared::Shared;

/// Bits of a coordinate of P-256.
const BITS_MIN: usize = 256;

/// Refuses in the order of the real server: the names come before the proof of possession.
pub(super) fn sign(
    pki: &mut Shared<Pki>,
    mount: &Description,
    request: &Request,
    name: &str,
    known: Known<'_>,
) -> Handled {
    const KNOWN: [&str; 8] =
        ["csr", "common_name", "alt_names", "ip_sans", "uri_sans", "ttl", "format", "exclude_cn_from_sans"];
    const UNIMPLEMENTED: [&str; 9] = [
        "other_sans",
        "not_after",
        "not_before",
        "serial_number",
        "user_ids",
        "remove_roots_from_chain",
        "issuer_ref",
        "signature_bits",
        "private_key_format",
    ];
    let role = pki.roles.get(name).ok_or_else(|| Refusal::invalid(format!("unknown role: {name}")))?;
    let fields = Fields(&request.data);
    let unknown = fields.warn_unknown(&KNOWN, &UNIMPLEMENTED)?;
    let issuer = issuer_of(pki, role)?;
    check_format(fields)?;
    check_role(role)?;
    let der = der(fields)?;
    let csr = parse(&der)?;
    let info = &csr.certification_request_info;
    check_key(&csr)?;
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_| Refusal::not_implemented("signing for other curves than P-256 and P-384"))?;
    let (common_name, leaf) = names(role, fields, known)?;
    let mut warnings = Vec::new();
    let not_after = not_after(role, mount, issuer, request, &mut warnings)?;
    csr.verify_signature().map_err(|_| Refusal::invalid("request signature invalid"))?;
    let constrains =
        |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::BasicConstraints(_));
    if csr.requested_extensions().is_some_and(|mut extensions| extensions.any(constrains)) {
        let ignored =
            "specified CSR contained a Basic Constraints extension that was ignored during issuance";
        warnings.push(ignored.to_owned());
    }
    warnings.extend(unknown);
    let data = certify(role, issuer, request, (common_name, not_after), &leaf, &key)?;
    if !role.flag("no_store") {
        pki.own().stored += 1;
    }
    Ok(Answer::Data { data, warnings })
}

fn check_role(role: &Role) -> Result<(), Refusal> {
    if role.flag("use_csr_common_name") || role.flag("use_csr_sans") {
        return Err(Refusal::not_implemented("names of a request"));
    }
    if (role.text("key_type"), role.number("key_bits")) != ("ec", 256) {
        return Err(Refusal::not_implemented("signing for other keys than P-256"));
    }
    Ok(())
}

/// The first block of the text; what stands behind it is ignored, and so is what it calls itself.
fn der(fields: Fields<'_>) -> Result<Vec<u8>, Refusal> {
    let text = fields.text("csr")?.unwrap_or_default();
    if text.is_empty() {
        return Err(Refusal::invalid("\"csr\" is empty"));
    }
    match parse_x509_pem(text.as_bytes()) {
        Ok((_, block)) => Ok(block.contents),
        Err(_) => Err(Refusal::invalid("csr contains no data")),
    }
}

fn parse(der: &[u8]) -> Result<X509CertificationRequest<'_>, Refusal> {
    match X509CertificationRequest::from_der(der) {
        Ok(([], csr)) => Ok(csr),
        // The real server goes on with what its parser of ASN.1 complains of.
        Ok(_) | Err(_) => Err(Refusal::invalid("certificate request could not be parsed")),
    }
}

/// A role for P-256 takes longer keys of its kind too.
fn check_key(csr: &X509CertificationRequest<'_>) -> Result<(), Refusal> {
    let Ok(PublicKey::EC(point)) = csr.certification_request_info.subject_pki.parsed() else {
        return Err(Refusal::invalid("role requires keys of type ec"));
    };
    let bits = point.key_size();
    if bits < BITS_MIN {
        let why = format!("role requires a minimum of a 256-bit key, but CSR's key is {bits} bits");
        return Err(Refusal::invalid(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::pki_issue::tests::{URI, with_component};
    use super::super::trial::text;

    const PLAIN: &str = include_str!("../../../../io/src/adapter/csr/plain.pem");
    const RSA: &str = include_str!("../../../../io/src/adapter/csr/rsa.pem");
    const BROKEN: &str = include_str!("../../../../io/src/adapter/csr/broken-signature.pem");

    /// What the real server says to the same requests.
    #[test]
    fn a_request_that_is_none_is_told_why() {
        let (mut trial, token, _) = with_component();
        let mut refusal = |body: Value| trial.refused("POST", "pki/sign/component", &token, &body);
        let asks = |csr: &str, uri: &str| json!({"csr": csr, "uri_sans": uri, "ttl": "1h"});

        assert_eq!(refusal(asks("", URI)), (400, "\"csr\" is empty".into()));
        assert_eq!(refusal(asks("x", URI)), (400, "csr contains no data".into()));
        let garbage = PLAIN.replace("MI", "AA");
        assert_eq!(refusal(asks(&garbage, URI)), (400, "certificate request could not be parsed".into()));
        assert_eq!(refusal(asks(RSA, "spiffe://x/y")), (400, "role requires keys of type ec".into()));
        assert_eq!(refusal(asks(BROKEN, URI)), (400, "request signature invalid".into()));
        let names =
            "URI Subject Alternative Names were provided via the API which are not valid for this role";
        assert_eq!(refusal(asks(BROKEN, "spiffe://x/y")), (400, names.into()), "names come first");
        assert_eq!(refusal(asks(PLAIN, URI)), (200, String::new()));
        assert_eq!(trial.refused("GET", "pki/sign/component", &token, &json!({})).0, 403);
    }

    #[test]
    fn what_a_request_asks_for_is_ignored() {
        let (mut trial, token, _) = with_component();
        let authority = include_str!("../../../../io/src/adapter/csr/authority.pem");
        let body = json!({"csr": authority, "uri_sans": URI, "ttl": "1h"});

        let signed = trial.must("POST", "pki/sign/component", &token, &body);

        let ignored =
            "specified CSR contained a Basic Constraints extension that was ignored during issuance";
        assert_eq!(signed["warnings"], json!([ignored]));
        assert!(signed["data"].get("private_key").is_none());
        assert!(text(&signed["data"]["certificate"]).starts_with("-----BEGIN CERTIFICATE-----"));
        assert_eq!(trial.vault.counts().certificates, 0);
    }
}
