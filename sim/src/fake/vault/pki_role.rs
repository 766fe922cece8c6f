//! What a PKI role is: its fields, their defaults, and how it is written.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::fields::Fields;

/// A role as it is read back: every field has a value.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role(Map<String, Value>);

/// The form and default of a field.
enum Kind {
    Flag(bool),
    Text(&'static str),
    List(&'static [&'static str]),
    Whole(i64),
    Seconds(u64),
}

/// All fields of a role: <https://openbao.org/api-docs/secret/pki/#create-update-role>.
const FIELDS: [(&str, Kind); 47] = [
    ("allow_any_name", Kind::Flag(false)),
    ("allow_bare_domains", Kind::Flag(false)),
    ("allow_glob_domains", Kind::Flag(false)),
    ("allow_globs_in_identity_templates", Kind::Flag(false)),
    ("allow_ip_sans", Kind::Flag(true)),
    ("allow_localhost", Kind::Flag(true)),
    ("allow_subdomains", Kind::Flag(false)),
    ("allow_token_displayname", Kind::Flag(false)),
    ("allow_wildcard_certificates", Kind::Flag(true)),
    ("allowed_domains", Kind::List(&[])),
    ("allowed_domains_template", Kind::Flag(false)),
    ("allowed_ip_sans_cidr", Kind::List(&[])),
    ("allowed_other_sans", Kind::List(&[])),
    ("allowed_serial_numbers", Kind::List(&[])),
    ("allowed_uri_sans", Kind::List(&[])),
    ("allowed_uri_sans_template", Kind::Flag(false)),
    ("allowed_user_ids", Kind::List(&[])),
    ("basic_constraints_valid_for_non_ca", Kind::Flag(false)),
    ("client_flag", Kind::Flag(true)),
    ("cn_validations", Kind::List(&["email", "hostname"])),
    ("code_signing_flag", Kind::Flag(false)),
    ("country", Kind::List(&[])),
    ("email_protection_flag", Kind::Flag(false)),
    ("enforce_hostnames", Kind::Flag(true)),
    ("ext_key_usage", Kind::List(&[])),
    ("ext_key_usage_oids", Kind::List(&[])),
    ("generate_lease", Kind::Flag(false)),
    ("issuer_ref", Kind::Text("default")),
    ("key_bits", Kind::Whole(0)),
    ("key_type", Kind::Text("rsa")),
    ("key_usage", Kind::List(&["DigitalSignature", "KeyAgreement", "KeyEncipherment"])),
    ("locality", Kind::List(&[])),
    ("max_ttl", Kind::Seconds(0)),
    ("no_store", Kind::Flag(false)),
    ("not_after", Kind::Text("")),
    ("not_after_bound", Kind::Text("permit")),
    ("not_before", Kind::Text("")),
    ("not_before_bound", Kind::Text("permit")),
    ("not_before_duration", Kind::Seconds(30)),
    ("organization", Kind::List(&[])),
    ("ou", Kind::List(&[])),
    ("policy_identifiers", Kind::List(&[])),
    ("postal_code", Kind::List(&[])),
    ("province", Kind::List(&[])),
    ("require_cn", Kind::Flag(true)),
    ("server_flag", Kind::Flag(true)),
    ("ttl", Kind::Seconds(0)),
];

/// The fields whose meaning the fake does not have: a role may not set them.
const UNIMPLEMENTED: [&str; 17] = [
    "allow_token_displayname",
    "allowed_domains_template",
    "allowed_ip_sans_cidr",
    "allowed_other_sans",
    "allowed_serial_numbers",
    "allowed_user_ids",
    "basic_constraints_valid_for_non_ca",
    "country",
    "ext_key_usage",
    "ext_key_usage_oids",
    "locality",
    "policy_identifiers",
    "postal_code",
    "province",
    "generate_lease",
    "not_after",
    "not_before",
];

/// Fields that only matter to `sign`, with their defaults.
const OF_SIGNING: [(&str, Kind); 5] = [
    ("signature_bits", Kind::Whole(0)),
    ("street_address", Kind::List(&[])),
    ("use_csr_common_name", Kind::Flag(true)),
    ("use_csr_sans", Kind::Flag(true)),
    ("use_pss", Kind::Flag(false)),
];

impl Role {
    /// Reads a whole role; every write replaces all of it. Says which parameters no role has.
    pub(super) fn parse(data: &Map<String, Value>) -> Result<(Self, Vec<String>), Refusal> {
        let fields = Fields(data);
        let all = || FIELDS.iter().chain(&OF_SIGNING);
        let known: Vec<_> = all().map(|(name, _)| *name).collect();
        let warnings = fields.warn_unknown(&known, &UNIMPLEMENTED)?;
        fields.refuse(&["street_address", "signature_bits", "use_pss"])?;
        let mut role = Map::new();
        for (name, kind) in all() {
            role.insert((*name).to_owned(), kind.read(fields, name)?);
        }
        let mut role = Self(role);
        role.check()?;
        Ok((role, warnings))
    }

    /// As it is read back.
    pub(super) fn describe(&self) -> Value {
        Value::Object(self.0.clone())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).expect("every role has all its flags")
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).expect("every role has all its texts")
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).expect("every role has all its numbers")
    }

    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let list = self.0.get(name).and_then(Value::as_array).expect("every role has all its lists");
        list.iter().filter_map(Value::as_str).collect()
    }

    fn check(&mut self) -> Result<(), Refusal> {
        let (ttl, max_ttl) = (self.number("ttl"), self.number("max_ttl"));
        if max_ttl != 0 && ttl > max_ttl {
            return Err(Refusal::invalid("\"ttl\" value must be less than \"max_ttl\" value"));
        }
        let bits = self.0.get("key_bits").and_then(Value::as_i64).unwrap_or_default();
        let bits = check_key(self.text("key_type"), bits)?;
        self.0.insert("key_bits".to_owned(), bits.into());
        if self.list("cn_validations") != ["email", "hostname"] {
            return Err(Refusal::not_implemented("other cn_validations than the default"));
        }
        if self.text("not_before_bound") != "permit" || self.text("not_after_bound") != "permit" {
            return Err(Refusal::not_implemented("bounds of not_before and not_after"));
        }
        Ok(())
    }
}

/// The number of bits of a key of that type, if `bits` is 0 or one of those it may have.
pub(super) fn check_key(kind: &str, bits: i64) -> Result<i64, Refusal> {
    match (kind, bits) {
        ("rsa", 0) => Ok(2_048),
        ("rsa", 2_048 | 3_072 | 4_096) => Ok(bits),
        ("rsa", _) => Err(Refusal::invalid(format!("unsupported bit length for RSA key: {bits}"))),
        ("ec", 0) => Ok(256),
        ("ec", 224 | 256 | 384 | 521) => Ok(bits),
        ("ec", _) => Err(Refusal::invalid(format!("unsupported bit length for EC key: {bits}"))),
        ("ed25519" | "any", _) => Ok(0),
        (kind, _) => Err(Refusal::invalid(format!("unknown key type {kind}"))),
    }
}

impl Kind {
    fn read(&self, fields: Fields<'_>, name: &str) -> Result<Value, Refusal> {
        Ok(match self {
            Self::Flag(default) => fields.flag(name)?.unwrap_or(*default).into(),
            Self::Text(default) => fields.text(name)?.unwrap_or_else(|| (*default).to_owned()).into(),
            Self::Whole(default) => fields.whole(name)?.unwrap_or(*default).into(),
            Self::Seconds(default) => fields.seconds(name)?.unwrap_or(*default).into(),
            Self::List(default) => {
                let entries = fields.list(name)?;
                entries.unwrap_or_else(|| default.iter().map(|entry| (*entry).to_owned()).collect()).into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_without_fields_has_the_real_server_s_defaults() {
        let (role, warnings) = parse(json!({})).unwrap_or_else(|_| panic!("a role"));

        assert_eq!(warnings, [""; 0]);
        assert_eq!(role.0.len(), 52);
        assert_eq!((role.text("key_type"), role.number("key_bits")), ("rsa", 2_048));
        assert!(role.flag("server_flag") && role.flag("client_flag") && role.flag("require_cn"));
        assert!(!role.flag("no_store") && !role.flag("allow_any_name"));
        assert_eq!(role.list("key_usage"), ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]);
    }

    #[test]
    fn values_are_normalized_and_unknown_fields_warned_of() {
        let fields =
            json!({"key_type": "ec", "max_ttl": "1h", "organization": "a,b", "require_cn": 0, "nope": 1});
        let (role, warnings) = parse(fields).unwrap_or_else(|_| panic!("a role"));

        assert_eq!((role.number("key_bits"), role.number("max_ttl")), (256, 3_600));
        assert_eq!((role.list("organization"), role.flag("require_cn")), (vec!["a", "b"], false));
        assert_eq!(warnings, ["Endpoint ignored these unrecognized parameters: [nope]"]);
    }

    #[test]
    fn impossible_roles_are_400_and_unimplemented_ones_501() {
        let status = |fields| parse(fields).err().map(|refusal| refusal.into_response().status().as_u16());

        assert_eq!(status(json!({"ttl": "2h", "max_ttl": "1h"})), Some(400));
        assert_eq!(status(json!({"key_type": "nope"})), Some(400));
        assert_eq!(status(json!({"key_type": "ec", "key_bits": 255})), Some(400));
        assert_eq!(status(json!({"country": ["x"]})), Some(501));
        assert_eq!(status(json!({"generate_lease": true})), Some(501));
    }

    fn parse(fields: Value) -> Result<(Role, Vec<String>), Refusal> {
        Role::parse(fields.as_object().expect("an object"))
    }
}
