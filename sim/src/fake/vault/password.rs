//! Password policies: `sys/policies/password/…`.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::hcl::{self, Content, Item};
use super::mint::{SECRET_MARK, pick};
use super::request::{Operation, Request};
use super::storage::Storage;

/// Bounds of the length of a password.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=100;

/// How many passwords are made up before the rules count as impossible to meet.
const MAX_ATTEMPTS: u32 = 1_000;

/// How a password is made; stored as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct PasswordPolicy {
    text: String,
    length: usize,
    charsets: Vec<Charset>,
}

#[derive(Clone)]
struct Charset {
    characters: Vec<u8>,
    /// How many of the password's characters are out of this set at least.
    min_chars: usize,
}

impl PasswordPolicy {
    fn parse(text: &str) -> Result<Self, String> {
        let items = hcl::parse(text).map_err(|why| format!("unable to decode: {why}"))?;
        let mut length = 0;
        let mut charsets = Vec::new();
        for item in items {
            match (item.key.as_str(), item.labels.as_slice(), item.content) {
                ("length", [], Content::Attribute(value)) => length = small(&value)?,
                ("rule", [kind], Content::Block(members)) if kind == "charset" => {
                    charsets.push(parse_charset(members)?)
                }
                (key, _, _) => return Err(format!("the fake Vault does not implement {key}")),
            }
        }
        let listed = |why: String| Err(format!("1 error occurred:\n\t* {why}\n\n"));
        if charsets.is_empty() {
            return listed("no charset specified".to_owned());
        }
        if !LENGTHS.contains(&length) {
            return listed(format!("length must be between {} and {}", LENGTHS.start(), LENGTHS.end()));
        }
        let needed: usize = charsets.iter().map(|charset| charset.min_chars).sum();
        if needed > length {
            return listed(format!(
                "specified rules require at least {needed} characters but {length} is specified"
            ));
        }
        Ok(Self { text: text.to_owned(), length, charsets })
    }

    /// A password that meets the rules. It begins with the mark of secrets if the rules allow that.
    /// No counter is kept; what else distinguishes two requests of one second is what was written between them.
    fn generate(&self, request: &Request, writes: u64) -> Option<String> {
        let mut alphabet: Vec<u8> =
            self.charsets.iter().flat_map(|charset| charset.characters.clone()).collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        let details = [request.id.as_bytes(), self.text.as_bytes(), &writes.to_be_bytes()];
        let mut stream = request.mint.stream("password", &details);
        let is_markable = SECRET_MARK.len() < self.length && SECRET_MARK.iter().all(|c| alphabet.contains(c));
        let mark = if is_markable { &SECRET_MARK[..] } else { &[] };
        for _ in 0..MAX_ATTEMPTS {
            let mut password = mark.to_vec();
            password.resize_with(self.length, || alphabet[pick(&mut stream, alphabet.len())]);
            let meets = |charset: &Charset| {
                password.iter().filter(|c| charset.characters.contains(c)).count() >= charset.min_chars
            };
            if self.charsets.iter().all(meets) {
                return Some(password.into_iter().map(char::from).collect());
            }
        }
        None
    }
}

impl TryFrom<String> for PasswordPolicy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<PasswordPolicy> for String {
    fn from(policy: PasswordPolicy) -> Self {
        policy.text
    }
}

fn parse_charset(members: Vec<Item>) -> Result<Charset, String> {
    let mut charset = Charset { characters: Vec::new(), min_chars: 0 };
    for member in members {
        match (member.key.as_str(), member.content) {
            ("charset", Content::Attribute(Value::String(text))) if text.is_ascii() => {
                charset.characters = text.into_bytes();
            }
            ("min-chars", Content::Attribute(value)) => charset.min_chars = small(&value)?,
            (key, _) => return Err(format!("the fake Vault does not implement {key} in a charset")),
        }
    }
    if charset.characters.is_empty() { Err("charset cannot be empty".to_owned()) } else { Ok(charset) }
}

fn small(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("{value} is not a length"))
}

/// `sys/policies/password/<rest>`.
pub(super) fn handle(storage: &mut Storage, request: &Request, rest: &str) -> Handled {
    let absent = || Refusal::listed(StatusCode::NOT_FOUND, "policy does not exist");
    if rest.is_empty() {
        return match request.operation {
            Operation::List => Answer::keys(&storage.passwords.keys().collect::<Vec<_>>()),
            Operation::Read | Operation::Create | Operation::Update | Operation::Delete => {
                request.unsupported()
            }
        };
    }
    if let Some(name) = rest.strip_suffix("/generate") {
        if request.operation != Operation::Read {
            return request.unsupported();
        }
        let password =
            storage.passwords.get(name).ok_or_else(absent)?.generate(request, storage.count_kv_versions());
        let impossible = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed to generate password");
        return Ok(Answer::data(json!({ "password": password.ok_or_else(impossible)? })));
    }
    if rest.contains('/') {
        return request.not_implemented();
    }
    match request.operation {
        Operation::Read => {
            let policy = storage.passwords.get(rest).ok_or_else(absent)?;
            Ok(Answer::data(json!({ "policy": policy.text })))
        }
        Operation::Update => {
            let text = Fields(&request.data).text("policy")?.filter(|text| !text.is_empty());
            let refuse = |why: &str| Refusal::listed(StatusCode::BAD_REQUEST, why);
            let text = text.ok_or_else(|| refuse("missing policy"))?;
            let policy = PasswordPolicy::parse(&text);
            let policy = policy.map_err(|why| refuse(&format!("invalid password policy: {why}")))?;
            storage.passwords.own().insert(rest.to_owned(), policy);
            Ok(Answer::done())
        }
        Operation::List | Operation::Create => request.unsupported(),
        Operation::Delete => request.not_implemented(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, text};
    use super::*;

    const PATH: &str = "sys/policies/password/opensearch";

    #[test]
    fn passwords_meet_the_rules_and_differ_once_something_was_written() {
        let (mut trial, root) = Trial::unsealed();
        trial.must("POST", "sys/mounts/kv", &root, &json!({"type": "kv-v2"}));
        let charset = "rule \"charset\" { charset = \"abcdefghijklmnopqrstuvwxyz\" min-chars = 8 }\n\
                       rule \"charset\" { charset = \"0123456789\" min-chars = 10 }";
        trial.must("POST", PATH, &root, &json!({"policy": format!("length = 30\n{charset}")}));
        let mut generate = || {
            let made = trial.must("GET", &format!("{PATH}/generate"), &root, &json!({}));
            trial.must("POST", "kv/data/x", &root, &json!({"data": {}}));
            text(&made["data"]["password"])
        };

        let (first, second) = (generate(), generate());

        assert_ne!(first, second);
        assert_eq!(first.len(), 30);
        assert!(first.chars().filter(char::is_ascii_lowercase).count() >= 8, "{first}");
        assert!(first.chars().filter(char::is_ascii_digit).count() >= 10, "{first}");
    }

    #[test]
    fn a_policy_reads_back_and_a_missing_one_is_named() {
        let (mut trial, root) = Trial::unsealed();
        let missing = (404, "1 error occurred:\n\t* policy does not exist\n\n".to_owned());
        assert_eq!(trial.refused("GET", PATH, &root, &json!({})), missing);
        assert_eq!(trial.refused("GET", &format!("{PATH}/generate"), &root, &json!({})), missing);
        let policy = "length = 8\nrule \"charset\" { charset = \"ab\" }\n";

        trial.must("POST", PATH, &root, &json!({"policy": policy}));

        assert_eq!(trial.must("GET", PATH, &root, &json!({}))["data"], json!({"policy": policy}));
    }

    #[test]
    fn impossible_policies_are_refused_in_the_real_server_s_words() {
        let charset = "rule \"charset\" { charset=\"abc\" min-chars=11 }";
        let failures = ["nope", "length=20", &format!("length=10\n{charset}")];
        let errors = failures.map(|text| PasswordPolicy::parse(text).err().unwrap_or_default());

        assert_eq!(
            errors,
            [
                "unable to decode: At 1:1: illegal char",
                "1 error occurred:\n\t* no charset specified\n\n",
                "1 error occurred:\n\t* specified rules require at least 11 characters but 10 is specified\n\n",
            ]
        );
        assert!(PasswordPolicy::parse(&format!("length=3\n{charset}")).is_err());
    }
}
