//! Password policies: `sys/policies/password/…`.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Handled, Refusal};
use super::fields::Fields;
use super::hcl::{self, Content, Item};
use super::mint::{SECRET_MARK, pick};
use super::policy_parse::Unparsable;
use super::request::{Operation, Request};
use super::storage::Storage;

/// Bounds of the length of a password.
const LENGTHS: std::ops::RangeInclusive<i64> = 4..=100;

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
    /// What the real server does not know in a policy it ignores, and so does this.
    fn parse(text: &str) -> Result<Self, Unparsable> {
        if text.trim_start().starts_with('{') {
            return Err(Unparsable::NotImplemented("a password policy as JSON".into()));
        }
        let items = hcl::parse(text).map_err(|why| invalid(&format!("unable to decode: {why}")))?;
        let length = whole(&items, "length", "failed to decode configuration")?;
        let rules = items.into_iter().filter(|item| item.key == "rule");
        let charsets = rules.map(parse_rule).collect::<Result<Vec<_>, _>>()?;
        check(length, &charsets)?;
        let length = usize::try_from(length).expect("it is within the bounds");
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
        Self::parse(&text).map_err(|unparsable| match unparsable {
            Unparsable::Malformed(why) | Unparsable::NotImplemented(why) => why,
        })
    }
}

impl From<PasswordPolicy> for String {
    fn from(policy: PasswordPolicy) -> Self {
        policy.text
    }
}

fn parse_rule(rule: Item) -> Result<Charset, Unparsable> {
    let (kind, members) = match (rule.labels.as_slice(), rule.content) {
        ([kind], Content::Block(members)) => (kind, members),
        (_, Content::Attribute(_) | Content::Block(_)) => {
            return Err(Unparsable::NotImplemented("a rule that is not a block with one name".into()));
        }
    };
    let unable = |why: &str| format!("unable to parse rules: unable to parse rule {kind}: {why}");
    if kind != "charset" {
        return Err(invalid(&unable(&format!("unrecognized rule type {kind}"))));
    }
    let min_chars = whole(&members, "min-chars", &unable("failed to parse charset restriction"))?;
    let characters = match only(&members, "charset")? {
        None => Vec::new(),
        Some(Value::String(text)) if text.is_ascii() => text.as_bytes().to_vec(),
        Some(other) => return Err(Unparsable::NotImplemented(format!("the charset {other}"))),
    };
    // A negative number demands nothing.
    Ok(Charset { characters, min_chars: usize::try_from(min_chars).unwrap_or(0) })
}

/// The bounds of the real server, in its words.
fn check(length: i64, charsets: &[Charset]) -> Result<(), Unparsable> {
    let needed: usize = charsets.iter().map(|charset| charset.min_chars).sum();
    let mut problems = Vec::new();
    if length <= 0 {
        problems.push("length must be > 0".to_owned());
    } else if usize::try_from(length).is_ok_and(|length| needed > length) {
        let why = format!("specified rules require at least {needed} characters but {length} is specified");
        problems.push(why);
    }
    if charsets.iter().all(|charset| charset.characters.is_empty()) {
        problems.push("no charset specified".to_owned());
    }
    if !problems.is_empty() {
        return Err(invalid(&list(&problems)));
    }
    if !LENGTHS.contains(&length) {
        let (least, most) = (LENGTHS.start(), LENGTHS.end());
        let why = format!("passwords must be between {least} and {most} characters");
        return Err(Unparsable::Malformed(list(&[why])));
    }
    Ok(())
}

/// The number of that name, or zero.
fn whole(items: &[Item], name: &str, unable: &str) -> Result<i64, Unparsable> {
    let kind = match only(items, name)? {
        None => return Ok(0),
        Some(Value::String(_)) => "string",
        Some(Value::Bool(_)) => "bool",
        Some(other) => {
            let number = other.as_i64();
            return number.ok_or_else(|| Unparsable::NotImplemented(format!("the {name} {other}")));
        }
    };
    Err(invalid(&format!(
        "{unable}: decoding failed due to the following error(s):\n\n\
         '{name}' expected type 'int', got unconvertible type '{kind}'"
    )))
}

/// The one attribute of that name. The real server reads its name in any case, and one that comes twice; this does not.
fn only<'a>(items: &'a [Item], name: &str) -> Result<Option<&'a Value>, Unparsable> {
    let found: Vec<_> = items.iter().filter(|item| item.key.eq_ignore_ascii_case(name)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [Item { key, content: Content::Attribute(value), .. }] if key == name => Ok(Some(value)),
        [..] => Err(Unparsable::NotImplemented(format!("{name} in another form than as one attribute"))),
    }
}

fn invalid(why: &str) -> Unparsable {
    Unparsable::Malformed(list(&[format!("invalid password policy: {why}")]))
}

/// Errors as the real server lists them.
fn list(errors: &[String]) -> String {
    let head = if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) };
    let lines: String = errors.iter().map(|error| format!("\t* {error}\n")).collect();
    format!("{head} occurred:\n{lines}\n")
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
            let text = text.ok_or_else(|| Refusal::listed(StatusCode::BAD_REQUEST, "missing policy"))?;
            let policy = PasswordPolicy::parse(&text).map_err(|unparsable| match unparsable {
                Unparsable::Malformed(why) => Refusal::invalid(why),
                Unparsable::NotImplemented(what) => {
                    Refusal::not_implemented(format_args!("{what} in a password policy"))
                }
            })?;
            storage.passwords.own().insert(rest.to_owned(), policy);
            Ok(Answer::done())
        }
        Operation::Delete => {
            storage.passwords.own().remove(rest);
            Ok(Answer::done())
        }
        Operation::List | Operation::Create => request.unsupported(),
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
    fn what_only_the_real_server_knows_is_501() {
        let (mut trial, root) = Trial::unsealed();
        let charset = "rule \"charset\" { charset=\"abc\" }";
        for policy in [
            "{\"length\": 20}".to_owned(),
            format!("Length=20\n{charset}"),
            format!("length=20\nlength=21\n{charset}"),
            format!("length=20.5\n{charset}"),
            "length=20\nrule { charset=\"abc\" }".to_owned(),
            "length=20\nrule \"charset\" { charset=\"äöü\" }".to_owned(),
        ] {
            let body = json!({ "policy": policy });
            assert_eq!(trial.status("POST", PATH, &root, &body), 501, "{policy}");
        }
    }
}
