//! Certificates: whose, on which key, and until when.

use super::*;

#[test]
fn an_issued_certificate_ends_when_it_says_itself() {
    let authority = Authority::new("kubefox root", 2026, 2036);
    let ((leaf, key), ca) = (authority.issue_with_key(2026, 2027), authority.pem());
    let (outcome, slots) = decoded(&issue(), 200, &issued_body(&leaf, &ca, &key));
    assert_eq!(
        outcome,
        ok(Reply::Certificate(Certificate { leaf, ca, not_after: kubefox_core::time::Unix(1_798_761_600) }))
    );
    assert_eq!(slots.expose(INTO), Ok(key.as_bytes()));
}

#[test]
fn a_certificate_of_another_authority_or_use_or_key_or_beyond_its_authority_is_garbled() {
    let (ours, other) = (Authority::new("root", 2026, 2036), Authority::new("root", 2026, 2036));
    let (leaf, key) = ours.issue_with_key(2026, 2027);
    let (longer, key_of_longer) = ours.issue_with_key(2026, 2037);
    let key_of_wider = rcgen::KeyPair::generate().expect("ring makes P-256 keys");
    let wider = ours.issue_as(&key_of_wider, |params| {
        params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    });
    for body in [
        issued_body(&leaf, &other.pem(), &key),
        issued_body(&leaf, &ours.pem(), "-----BEGIN EC PRIVATE KEY-----\nx"),
        issued_body(&leaf, &ours.pem(), &ours.issue_with_key(2026, 2027).1),
        issued_body(&longer, &ours.pem(), &key_of_longer),
        issued_body(&wider, &ours.pem(), &key_of_wider.serialize_pem()),
    ] {
        let (outcome, slots) = decoded(&issue(), 200, &body);
        assert_eq!(outcome, Outcome::Unknown(Lost::Garbled));
        assert!(slots.expose(INTO).is_err());
    }
}

#[test]
fn a_signed_request_is_answered_by_a_certificate_on_its_key_and_fills_nothing() {
    let authority = Authority::new("kubefox root", 2026, 2036);
    let der = csr::der(&csr()).expect("one request");
    let request = csr::parse(&der).expect("it parses");
    let key = rcgen::SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .expect("P-256");
    let (leaf, ca) = (authority.issue_on(2026, 2027, &key), authority.pem());
    let body =
        |leaf: &Pem| logical(&json!({"certificate": leaf.as_str(), "issuing_ca": ca.as_str()}).to_string());

    let (outcome, slots) = decoded(&sign_certificate(), 200, &body(&leaf));
    let not_after = kubefox_core::time::Unix(1_798_761_600);
    assert_eq!(outcome, ok(Reply::Certificate(Certificate { leaf, ca: ca.clone(), not_after })));
    assert!(slots.expose(INTO).is_err());

    for other in [authority.issue(2026, 2027), authority.issue_on(2026, 2037, &key)] {
        assert_eq!(decoded(&sign_certificate(), 200, &body(&other)).0, Outcome::Unknown(Lost::Garbled));
    }
}
