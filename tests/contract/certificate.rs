//! What an issued certificate says, in full: whose name, for what use, for how long.

use kubefox_core::vault::Certificate;
use kubefox_io::adapter::certificate;
use serde_json::{Value, json};
use x509_parser::prelude::{ExtendedKeyUsage, FromDer as _, X509Certificate};

/// All of it but the keys, the number and the moments. Its life counts from the backdating on, so that the moment of the
/// request is left out.
pub(crate) fn facts(issued: &Certificate) -> Value {
    let [said, ca] =
        [&issued.leaf, &issued.ca].map(|pem| certificate::leaf_facts(pem).expect("the adapter verified it"));
    let der = certificate::der(&issued.leaf).expect("the adapter verified it");
    let (_, leaf) = X509Certificate::from_der(&der).expect("the adapter verified it");
    let key_usage = leaf.key_usage().expect("at most one such extension");
    let extended = leaf.extended_key_usage().expect("at most one such extension");
    json!({
        "subject": leaf.subject().to_string(),
        "dns_names": said.dns_names, "uris": said.uris,
        "key_usage": key_usage.map(|usage| usage.value.to_string()),
        "extended_key_usage": extended.map(|usage| purposes(usage.value)),
        "is_ca": leaf.is_ca(),
        "life_s": said.not_after.0 - said.not_before.0,
        "outlives_ca": said.not_after > ca.not_after,
    })
}

fn purposes(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        ("any", usage.any),
        ("server", usage.server_auth),
        ("client", usage.client_auth),
        ("code signing", usage.code_signing),
        ("email protection", usage.email_protection),
        ("time stamping", usage.time_stamping),
        ("OCSP signing", usage.ocsp_signing),
    ];
    let named = named.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned());
    named.chain(usage.other.iter().map(ToString::to_string)).collect()
}
