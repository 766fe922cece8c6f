//! `pki/issue/<role>`: a key and a certificate for it, within what the role allows. What a role allows is the same for
//! `pki/sign/<role>`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::StatusCode;
use kubefox_core::time::Unix;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, PublicKeyData};
use serde_json::{Value, json};

use super::acl::glob;
use super::answer::{Answer, Handled, Refusal};
use super::certificate::{self, Authority, BadName, Common, Leaf, PrivateKey, Serial};
use super::fields::Fields;
use super::identity::{self, Known};
use super::mounts::Description;
use super::pki::{Issuer, Pki, cap_ttl};
use super::pki_role::Role;
use super::request::Request;
use super::shared::Shared;
use crate::fake::timestamp::rfc3339;

/// The longest host name of DNS.
const MAX_HOST_NAME: usize = 253;

/// The longest label of a host name.
const MAX_LABEL: usize = 63;

/// A request to the same role with the same parameters by the same token within the same second gets the same
/// certificate again: the fake keeps no counter.
pub(super) fn issue(
    pki: &mut Shared<Pki>,
    mount: &Description,
    request: &Request,
    name: &str,
    known: Known<'_>,
) -> Handled {
    const KNOWN: [&str; 8] = [
        "common_name",
        "alt_names",
        "ip_sans",
        "uri_sans",
        "ttl",
        "format",
        "private_key_format",
        "exclude_cn_from_sans",
    ];
    const UNIMPLEMENTED: [&str; 10] = [
        "key_type",
        "key_bits",
        "other_sans",
        "not_after",
        "not_before",
        "serial_number",
        "user_ids",
        "remove_roots_from_chain",
        "issuer_ref",
        "signature_bits",
    ];
    let role = pki.roles.get(name).ok_or_else(|| Refusal::invalid(format!("unknown role: {name}")))?;
    let fields = Fields(&request.data);
    let unknown = fields.warn_unknown(&KNOWN, &UNIMPLEMENTED)?;
    let issuer = issuer_of(pki, role)?;
    check_format(fields)?;
    let is_pkcs8 = is_pkcs8(fields)?;
    let (common_name, leaf) = names(role, fields, known)?;
    if (role.text("key_type"), role.number("key_bits")) != ("ec", 256) {
        return Err(Refusal::not_implemented("issuing on other keys than P-256"));
    }
    let mut warnings = Vec::new();
    let not_after = not_after(role, mount, issuer, request, &mut warnings)?;
    warnings.extend(unknown);

    let key = PrivateKey::new(request.mint.key("issued key", &[request.id.as_bytes()]));
    let mut data = certify(role, issuer, request, (common_name, not_after), &leaf, &key.pair())?;
    data["private_key"] = if is_pkcs8 { key.pkcs8_pem() } else { key.sec1_pem() }.into();
    data["private_key_type"] = "ec".into();
    if !role.flag("no_store") {
        pki.own().stored += 1;
    }
    Ok(Answer::Data { data, warnings })
}

/// The certificate, and what the answer says of it.
pub(super) fn certify(
    role: &Role,
    issuer: &Issuer,
    request: &Request,
    (common_name, not_after): (Option<String>, Unix),
    leaf: &Leaf,
    key: &impl PublicKeyData,
) -> Result<Value, Refusal> {
    let common = Common {
        serial: Serial::new(request.mint.bytes("serial", &[request.id.as_bytes()])),
        common_name,
        not_before: Unix(request.now.0.saturating_sub(role.number("not_before_duration"))),
        not_after,
    };
    let authority = Authority { common_name: &issuer.common_name, key: &issuer.key };
    let der = certificate::leaf(&common, leaf, key, &authority);
    let der = der.map_err(|BadName(name)| Refusal::invalid(format!("{name} is not an ASCII name")))?;
    Ok(json!({
        "ca_chain": [issuer.pem()], "certificate": certificate::pem(&der), "expiration": common.not_after.0,
        "issuing_ca": issuer.pem(), "not_before": common.not_before.0,
        "serial_number": common.serial.print(),
    }))
}

pub(super) fn issuer_of<'a>(pki: &'a Pki, role: &Role) -> Result<&'a Issuer, Refusal> {
    let reference = role.text("issuer_ref");
    pki.issuer(reference).ok_or_else(|| {
        let why = if reference == "default" {
            "no default issuer currently configured".to_owned()
        } else {
            format!("unable to find PKI issuer for reference: {reference}")
        };
        let error = format!("could not fetch the CA certificate (was one set?): {why}");
        Refusal::listed(StatusCode::INTERNAL_SERVER_ERROR, &error)
    })
}

pub(super) fn check_format(fields: Fields<'_>) -> Result<(), Refusal> {
    let format = fields.text("format")?.unwrap_or_else(|| "pem".to_owned());
    if !matches!(format.as_str(), "pem" | "der" | "pem_bundle") {
        let why = "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"";
        return Err(Refusal::invalid(why));
    }
    if format != "pem" {
        return Err(Refusal::not_implemented(format_args!("the certificate format {format}")));
    }
    Ok(())
}

fn is_pkcs8(fields: Fields<'_>) -> Result<bool, Refusal> {
    match fields.text("private_key_format")?.as_deref() {
        None | Some("" | "der" | "pem") => Ok(false),
        Some("pkcs8") => Ok(true),
        Some(format) => Err(Refusal::not_implemented(format_args!("the private key format {format}"))),
    }
}

/// The subject and the alternative names, in the order in which the real server refuses them.
pub(super) fn names(
    role: &Role,
    fields: Fields<'_>,
    known: Known<'_>,
) -> Result<(Option<String>, Leaf), Refusal> {
    let common_name = fields.text("common_name")?.filter(|name| !name.is_empty());
    if common_name.is_none() && role.flag("require_cn") {
        return Err(Refusal::invalid(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to \
             true, unless \"require_cn\" is set to false",
        ));
    }
    let mut dns_names = BTreeSet::new();
    let mut addresses = Vec::new();
    if let Some(name) = common_name
        .as_ref()
        .filter(|_| !fields.flag("exclude_cn_from_sans").unwrap_or_default().unwrap_or(false))
    {
        sort_name(name, &mut dns_names, &mut addresses)?;
    }
    for name in fields.list("alt_names")?.unwrap_or_default() {
        sort_name(&name, &mut dns_names, &mut addresses)?;
    }
    if let Some(name) = common_name.as_ref().filter(|name| !is_allowed_name(role, name)) {
        return Err(Refusal::invalid(format!("common name {name} not allowed by this role")));
    }
    if let Some(name) = dns_names.iter().find(|name| !is_allowed_name(role, name)) {
        return Err(Refusal::invalid(format!("subject alternate name {name} not allowed by this role")));
    }
    if let Some(address) = addresses.first() {
        return Err(Refusal::invalid(format!("email address {address} not allowed by this role")));
    }
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let leaf = Leaf {
        organization: owned(role.list("organization")),
        organizational_unit: owned(role.list("ou")),
        dns_names: dns_names.into_iter().collect(),
        ip_addresses: ip_addresses(role, fields)?,
        uris: uris(role, fields, known)?,
        key_usages: role.list("key_usage").into_iter().filter_map(key_usage).collect(),
        extended_key_usages: extended_key_usages(role),
    };
    Ok((common_name, leaf))
}

/// A name becomes a DNS name or an e-mail address; what is neither is dropped, as on the real server.
fn sort_name(
    name: &str,
    dns_names: &mut BTreeSet<String>,
    addresses: &mut Vec<String>,
) -> Result<(), Refusal> {
    if name.contains('@') {
        addresses.push(name.to_owned());
        return Ok(());
    }
    if name.contains("..") || name.starts_with('.') {
        return Err(Refusal::invalid(format!("idna: invalid label \"{name}\"")));
    }
    if is_host_name(name) {
        dns_names.insert(name.to_owned());
    }
    Ok(())
}

fn is_host_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.chars().all(is_part)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_HOST_NAME && name.split('.').all(is_label)
}

fn is_allowed_name(role: &Role, name: &str) -> bool {
    let (plain, is_wildcard) = name.strip_prefix("*.").map_or((name, false), |plain| (plain, true));
    if is_wildcard && !role.flag("allow_wildcard_certificates") {
        return false;
    }
    if role.flag("enforce_hostnames") && !is_host_name(name) {
        return false;
    }
    if role.flag("allow_any_name") {
        return true;
    }
    if role.flag("allow_localhost") && matches!(name, "localhost" | "localdomain") {
        return true;
    }
    role.list("allowed_domains").into_iter().any(|domain| {
        let is_bare = plain == domain && !is_wildcard;
        let is_below = plain.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        (role.flag("allow_bare_domains") && is_bare)
            || (role.flag("allow_subdomains") && (is_below || (plain == domain && is_wildcard)))
            || (role.flag("allow_glob_domains") && domain.contains('*') && glob(domain, name))
    })
}

fn ip_addresses(role: &Role, fields: Fields<'_>) -> Result<Vec<IpAddr>, Refusal> {
    let texts = fields.list("ip_sans")?.unwrap_or_default();
    let parse = |text: &String| {
        text.parse().map_err(|_| Refusal::invalid(format!("the value \"{text}\" is not a valid IP address")))
    };
    let addresses = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if !addresses.is_empty() && !role.flag("allow_ip_sans") {
        return Err(Refusal::invalid(
            "IP Subject Alternative Names are not allowed in this role, but was provided via the API",
        ));
    }
    Ok(addresses)
}

fn uris(role: &Role, fields: Fields<'_>, known: Known<'_>) -> Result<Vec<String>, Refusal> {
    let uris = fields.list("uri_sans")?.unwrap_or_default();
    let allowed = role.list("allowed_uri_sans");
    if uris.is_empty() {
        return Ok(uris);
    }
    if allowed.is_empty() {
        return Err(Refusal::invalid(
            "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
        ));
    }
    // A value with a wildcard in it would widen the pattern.
    let blocked: &[char] = if role.flag("allow_globs_in_identity_templates") { &[] } else { &['*'] };
    let is_template = role.flag("allowed_uri_sans_template");
    let patterns: Vec<_> = allowed
        .into_iter()
        .filter_map(|pattern| {
            if is_template && identity::is_template(pattern) {
                identity::fill(pattern, known, blocked)
            } else {
                Some(pattern.to_owned())
            }
        })
        .collect();
    if !uris.iter().all(|uri| patterns.iter().any(|pattern| glob(pattern, uri))) {
        return Err(Refusal::invalid(
            "URI Subject Alternative Names were provided via the API which are not valid for this role",
        ));
    }
    Ok(uris)
}

fn key_usage(name: &str) -> Option<KeyUsagePurpose> {
    match name.to_ascii_lowercase().as_str() {
        "digitalsignature" => Some(KeyUsagePurpose::DigitalSignature),
        "contentcommitment" => Some(KeyUsagePurpose::ContentCommitment),
        "keyencipherment" => Some(KeyUsagePurpose::KeyEncipherment),
        "dataencipherment" => Some(KeyUsagePurpose::DataEncipherment),
        "keyagreement" => Some(KeyUsagePurpose::KeyAgreement),
        "certsign" => Some(KeyUsagePurpose::KeyCertSign),
        "crlsign" => Some(KeyUsagePurpose::CrlSign),
        _ => None,
    }
}

fn extended_key_usages(role: &Role) -> Vec<ExtendedKeyUsagePurpose> {
    let flags = [
        ("server_flag", ExtendedKeyUsagePurpose::ServerAuth),
        ("client_flag", ExtendedKeyUsagePurpose::ClientAuth),
        ("code_signing_flag", ExtendedKeyUsagePurpose::CodeSigning),
        ("email_protection_flag", ExtendedKeyUsagePurpose::EmailProtection),
    ];
    flags.into_iter().filter(|(flag, _)| role.flag(flag)).map(|(_, usage)| usage).collect()
}

pub(super) fn not_after(
    role: &Role,
    mount: &Description,
    issuer: &Issuer,
    request: &Request,
    warnings: &mut Vec<String>,
) -> Result<Unix, Refusal> {
    let or = |number: u64, other: u64| if number == 0 { other } else { number };
    let asked_s = Fields(&request.data).seconds("ttl")?.unwrap_or(0);
    let wanted_s = or(asked_s, or(role.number("ttl"), mount.default_lease_ttl_s()));
    let ttl_s = cap_ttl(wanted_s, or(role.number("max_ttl"), mount.max_lease_ttl_s()), warnings);
    let not_after = Unix(request.now.0.saturating_add(ttl_s));
    // The real server counts nanoseconds here and whole seconds there, so it refuses the very same second, too.
    if not_after >= issuer.not_after {
        let (end, ca_end) = (rfc3339(not_after), rfc3339(issuer.not_after));
        return Err(Refusal::invalid(format!(
            "cannot satisfy request, as TTL would result in notAfter of {end} that is beyond the expiration of the \
             CA certificate at {ca_end}"
        )));
    }
    Ok(not_after)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::trial::{Trial, auth_role, component_pki_role, root_certificate, text};
    use super::*;

    pub(in super::super) const URI: &str = "spiffe://cluster.local/ns/team0/sa/app";

    #[test]
    fn names_beyond_the_role_are_refused() {
        let (mut trial, token, _) = with_component();
        let mut refusal = |field: &str, value: &str| {
            let wanted = json!({"uri_sans": URI, "ttl": "1h", field: value});
            trial.refused("POST", "pki/issue/component", &token, &wanted)
        };

        assert_eq!(refusal("common_name", "a.b"), (400, "common name a.b not allowed by this role".into()));
        assert_eq!(
            refusal("common_name", "localhost"),
            (400, "common name localhost not allowed by this role".into())
        );
        let below = "subject alternate name x.broker.kubefox.internal not allowed by this role";
        assert_eq!(refusal("alt_names", "x.broker.kubefox.internal"), (400, below.into()));
        assert_eq!(
            refusal("alt_names", "me@x.y"),
            (400, "email address me@x.y not allowed by this role".into())
        );
        let address =
            "IP Subject Alternative Names are not allowed in this role, but was provided via the API";
        assert_eq!(refusal("ip_sans", "127.0.0.1"), (400, address.into()));
        assert_eq!(refusal("ip_sans", "x"), (400, "the value \"x\" is not a valid IP address".into()));
        assert_eq!(refusal("not_after", "2030-01-01T00:00:00Z").0, 501);
        assert_eq!(refusal("common_name", "broker.kubefox.internal"), (200, String::new()));
    }

    #[test]
    fn root_has_no_identity_to_fill_a_template() {
        let (mut trial, _, root) = with_component();

        let refusal =
            trial.refused("POST", "pki/issue/component", &root, &json!({"uri_sans": URI, "ttl": "1h"}));

        let why = "URI Subject Alternative Names were provided via the API which are not valid for this role";
        assert_eq!(refusal, (400, why.into()));
    }

    #[test]
    fn a_life_is_cut_to_the_role_s_with_a_warning() {
        let (mut trial, token, _) = with_component();

        let wanted = json!({"uri_sans": URI, "ttl": "5h", "nope": "x"});
        let issued = trial.must("POST", "pki/issue/component", &token, &wanted);

        assert_eq!(issued["data"]["expiration"], trial.now.0 + 4 * 3_600);
        assert_eq!(issued["data"]["not_before"], trial.now.0 - 60);
        let warnings = [
            "TTL \"5h0m0s\" is longer than permitted maxTTL \"4h0m0s\", so maxTTL is being used",
            "Endpoint ignored these unrecognized parameters: [nope]",
        ];
        assert_eq!(issued["warnings"], json!(warnings));
    }

    #[test]
    fn no_leaf_outlives_its_issuer() {
        let (mut trial, _, root) = with_component();
        trial.must(
            "POST",
            "pki/roles/long",
            &root,
            &json!({"key_type": "ec", "allow_any_name": true, "max_ttl": "87600h"}),
        );

        let refusal =
            trial.refused("POST", "pki/issue/long", &root, &json!({"common_name": "x.y", "ttl": "87600h"}));

        assert_eq!(refusal.0, 400);
        assert!(
            refusal.1.starts_with(
                "cannot satisfy request, as TTL would result in notAfter of 2036-11-20T20:46:53Z"
            )
        );
        assert!(
            refusal
                .1
                .ends_with("that is beyond the expiration of the CA certificate at 2036-11-20T19:46:53Z")
        );
    }

    #[test]
    fn roles_and_issuers_must_be_there() {
        let (mut trial, _, root) = with_component();
        trial.must("POST", "pki/roles/lost", &root, &json!({"key_type": "ec", "issuer_ref": "root-2"}));
        trial.must("POST", "pki/roles/rsa", &root, &json!({"allow_any_name": true}));
        let mut refusal = |role: &str| {
            trial.refused("POST", &format!("pki/issue/{role}"), &root, &json!({"common_name": "x"}))
        };

        assert_eq!(refusal("nope"), (400, "unknown role: nope".into()));
        let (status, why) = refusal("lost");
        assert!(status == 500 && why.contains("unable to find PKI issuer for reference: root-2"), "{why}");
        assert_eq!(refusal("rsa").0, 501);
    }

    #[test]
    fn certificates_are_kept_unless_the_role_says_otherwise() {
        let (mut trial, token, root) = with_component();
        trial.must("POST", "pki/roles/kept", &root, &json!({"key_type": "ec", "allow_any_name": true}));
        let before = serde_json::to_string(&trial.vault).expect("it is data");

        let issued =
            trial.must("POST", "pki/issue/component", &token, &json!({"uri_sans": URI, "ttl": "1h"}));
        assert!(text(&issued["data"]["private_key"]).starts_with("-----BEGIN EC PRIVATE KEY-----"));
        assert_eq!(
            serde_json::to_string(&trial.vault).expect("it is data"),
            before,
            "issuing leaves no trace"
        );

        trial.must("POST", "pki/issue/kept", &root, &json!({"common_name": "x.y"}));
        assert_eq!(trial.vault.counts().certificates, 1);
        let refusal = trial.refused("POST", "pki/issue/kept", &root, &json!({"alt_names": "x.y"}));
        assert!(refusal.1.starts_with("the common_name field is required, "), "{}", refusal.1);
    }

    /// A Vault, a component's token, and the root token.
    pub(in super::super) fn with_component() -> (Trial, String, String) {
        let (mut trial, root, accessor) = Trial::with_login();
        let config: Value = json!({"max_lease_ttl": 10 * 365 * 86_400});
        trial.must("POST", "sys/mounts/pki", &root, &json!({"type": "pki", "config": config}));
        trial.must("POST", "pki/root/generate/internal", &root, &root_certificate());
        trial.must("POST", "pki/roles/component", &root, &component_pki_role(&accessor));
        let policy = "path \"pki/+/component\" { capabilities = [\"update\"] }";
        trial.must("POST", "sys/policies/acl/component", &root, &json!({"policy": policy}));
        let role = auth_role(&["*"], &["team0"], "kubefox.kubefox", 120, "component");
        trial.must("POST", "auth/kubernetes/role/component", &root, &role);
        let token = trial.logged_in("component", "team0", "app", "kubefox.kubefox");
        (trial, token, root)
    }
}
