//! A policy's text, and the rules it stands for.
//!
//! Language: <https://openbao.org/docs/concepts/policies/>. What is legal there and not known here is refused as not
//! implemented, so that no rule is ever silently weaker or stronger than it reads.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::hcl::{self, Content, Item};
use super::identity;

/// What a rule lets its bearer do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the words of the language")]
pub enum Capability {
    Deny,
    Create,
    Read,
    Update,
    Delete,
    List,
    Patch,
    Sudo,
}

/// One `path` block.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written, without a leading slash; may hold templates, `+` segments and a `*` at the end.
    pub path: String,
    /// `capabilities`; [`Capability::Deny`] stands alone.
    pub capabilities: BTreeSet<Capability>,
    /// `allowed_parameters`; empty if any may be given.
    pub allowed: Parameters,
    /// `denied_parameters`.
    pub denied: Parameters,
    /// `required_parameters`.
    pub required: Vec<String>,
}

/// Names of parameters in small letters, with the values that count; none means any.
pub type Parameters = BTreeMap<String, Vec<Value>>;

/// A parsed policy; stored as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Policy {
    pub(super) text: String,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// Why a text is no policy.
#[derive(Debug)]
pub enum Unparsable {
    /// The real server would refuse it, too.
    Malformed(String),
    /// The real server knows it, the fake does not.
    NotImplemented(String),
}

impl Policy {
    /// Reads the language of policies: <https://openbao.org/docs/concepts/policies/>.
    ///
    /// # Errors
    /// [`Unparsable`] says whether the real server would refuse it, too.
    pub fn parse(text: &str) -> Result<Self, Unparsable> {
        if text.trim_start().starts_with('{') {
            return Err(Unparsable::NotImplemented("policies as JSON".into()));
        }
        let items = hcl::parse(text).map_err(Unparsable::Malformed)?;
        let rules = items.into_iter().map(parse_rule).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), rules })
    }
}

impl From<Unparsable> for Refusal {
    fn from(unparsable: Unparsable) -> Self {
        match unparsable {
            Unparsable::Malformed(why) => Self::invalid(format!("failed to parse policy: {why}")),
            Unparsable::NotImplemented(what) => Self::new(
                StatusCode::NOT_IMPLEMENTED,
                format!("the fake Vault does not implement {what} in a policy"),
            ),
        }
    }
}

impl TryFrom<String> for Policy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|unparsable| match unparsable {
            Unparsable::Malformed(why) | Unparsable::NotImplemented(why) => why,
        })
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.text
    }
}

/// Attributes of the real language whose meaning the fake does not have.
const NOT_IMPLEMENTED: [&str; 9] = [
    "policy",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "mfa_methods",
    "control_group",
    "pagination_limit",
    "expiration",
    "comment",
    "response_keys_filter_path",
];

fn parse_rule(item: Item) -> Result<Rule, Unparsable> {
    let invalid = |key: &str, line: usize| {
        Unparsable::Malformed(format!("1 error occurred:\n\t* invalid key \"{key}\" on line {line}\n\n"))
    };
    let Content::Block(attributes) = item.content else {
        return Err(invalid(&item.key, item.line));
    };
    if item.key != "path" {
        return Err(invalid(&item.key, item.line));
    }
    let [path] = item.labels.as_slice() else {
        return Err(Unparsable::Malformed("a path block has one path".into()));
    };
    let within = |why: &str| Unparsable::Malformed(format!("path {}: {why}", Value::from(path.as_str())));
    if path.contains("+*") {
        return Err(within("invalid use of wildcards ('+*' is forbidden)"));
    }
    identity::check(path).map_err(Unparsable::NotImplemented)?;

    let mut rule = Rule {
        path: path.strip_prefix('/').unwrap_or(path).to_owned(),
        capabilities: BTreeSet::new(),
        allowed: Parameters::new(),
        denied: Parameters::new(),
        required: Vec::new(),
    };
    for attribute in attributes {
        let (key, line) = (attribute.key, attribute.line);
        let Content::Attribute(value) = attribute.content else {
            return Err(invalid(&key, line));
        };
        match key.as_str() {
            "capabilities" => {
                rule.capabilities = parse_capabilities(&value)
                    .map_err(|why| within(&format!("path {}: {why}", Value::from(path.as_str()))))?
            }
            "allowed_parameters" => {
                rule.allowed = parse_parameters(&key, value).map_err(|why| within(&why))?
            }
            "denied_parameters" => rule.denied = parse_parameters(&key, value).map_err(|why| within(&why))?,
            "required_parameters" => rule.required = parse_names(&key, &value).map_err(|why| within(&why))?,
            other if NOT_IMPLEMENTED.contains(&other) => return Err(Unparsable::NotImplemented(key)),
            other => {
                let why = format!("1 error occurred:\n\t* invalid key \"{other}\" on line {line}\n\n");
                return Err(within(&why));
            }
        }
    }
    Ok(rule)
}

fn parse_capabilities(value: &Value) -> Result<BTreeSet<Capability>, String> {
    let names = parse_names("capabilities", value)?;
    let mut capabilities = BTreeSet::new();
    for name in names {
        capabilities.insert(match name.as_str() {
            "deny" => Capability::Deny,
            "create" => Capability::Create,
            "read" => Capability::Read,
            "update" => Capability::Update,
            "delete" => Capability::Delete,
            "list" => Capability::List,
            "patch" => Capability::Patch,
            "sudo" => Capability::Sudo,
            _ => return Err(format!("invalid capability \"{name}\"")),
        });
    }
    // Deny together with anything else is deny.
    if capabilities.contains(&Capability::Deny) {
        capabilities = [Capability::Deny].into();
    }
    Ok(capabilities)
}

fn parse_parameters(key: &str, value: Value) -> Result<Parameters, String> {
    let Value::Object(members) = value else {
        return Err(format!("{key} is not a map"));
    };
    let parse = |(name, values): (String, Value)| match values {
        Value::Array(values) => Ok((name.to_lowercase(), values)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(format!("the values of {name} in {key} are not a list"))
        }
    };
    members.into_iter().map(parse).collect()
}

fn parse_names(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let names = value.as_array().and_then(|values| {
        values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    names.ok_or_else(|| format!("{key} is not a list of strings"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_has_capabilities_and_parameters() {
        let policy = parse(
            "path \"/pki/issue/x\" {\n  capabilities = [\"update\", \"read\"]\n  \
             allowed_parameters = { \"TTL\" = [], \"format\" = [\"pem\"] }\n  \
             denied_parameters = { \"csr\" = [] }\n  required_parameters = [\"ttl\"]\n}",
        )
        .unwrap_or_else(|_| panic!("it parses"));

        let [rule] = policy.rules.as_slice() else { panic!("one rule") };
        assert_eq!(rule.path, "pki/issue/x");
        assert!(rule.capabilities == [Capability::Read, Capability::Update].into());
        assert_eq!(
            rule.allowed,
            [("ttl".to_owned(), vec![]), ("format".to_owned(), vec![json!("pem")])].into()
        );
        assert_eq!((rule.denied.len(), rule.required.as_slice()), (1, &["ttl".to_owned()][..]));
    }

    #[test]
    fn malformed_policies_are_refused_in_the_real_server_s_words() {
        let texts = [
            "path",
            "path \"a\" { capabilities=[\"reax\"] }",
            "path \"a\" { capabilites=[\"read\"] }",
            "path \"a/+*\" { capabilities=[\"read\"] }",
        ];
        assert_eq!(
            texts.map(|text| parse(text).err()),
            [
                "At 1:1: illegal char",
                "path \"a\": path \"a\": invalid capability \"reax\"",
                "path \"a\": 1 error occurred:\n\t* invalid key \"capabilites\" on line 1\n\n",
                "path \"a/+*\": invalid use of wildcards ('+*' is forbidden)",
            ]
            .map(|why| Some((false, why.to_owned())))
        );
    }

    #[test]
    fn what_the_fake_does_not_know_is_refused_loudly() {
        let texts = [
            "path \"a\" { policy = \"read\" }",
            "path \"a\" { capabilities = [\"read\"] min_wrapping_ttl = \"1s\" }",
            "path \"a/{{identity.entity.name}}\" { capabilities = [\"read\"] }",
            "{\"path\": {}}",
        ];
        assert_eq!(
            texts.map(|text| parse(text).err()),
            ["policy", "min_wrapping_ttl", "the template {{identity.entity.name}}", "policies as JSON"]
                .map(|what| Some((true, what.to_owned())))
        );
    }

    /// The error with whether the fake is at fault.
    fn parse(text: &str) -> Result<Policy, (bool, String)> {
        Policy::parse(text).map_err(|unparsable| match unparsable {
            Unparsable::Malformed(why) => (false, why),
            Unparsable::NotImplemented(what) => (true, what),
        })
    }
}
