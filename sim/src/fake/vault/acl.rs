//! Decides whether a token's policies allow a request.
//!
//! Of all rules that match a path exactly one counts: the exact one; else, by the real server's order, the one whose
//! first wildcard comes latest, then one without `*` at the end, then the one with fewest `+`, then the longest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::identity::{self, Known};
use super::policy_parse::{Capability, Parameters, Policy, Rule};
use super::request::Operation;

/// Values with these characters would widen a templated path, so they drop it.
const BLOCKED_IN_PATHS: [char; 3] = ['/', '*', '+'];

/// The merged rules of one caller.
pub(super) struct Acl {
    /// By path, templates filled.
    rules: BTreeMap<String, Permissions>,
}

#[derive(Default)]
struct Permissions {
    capabilities: BTreeSet<Capability>,
    allowed: Parameters,
    denied: Parameters,
    required: Vec<String>,
}

impl Acl {
    /// Rules of the same path add up, unless one denies.
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Policy>, known: Known<'_>) -> Self {
        let mut rules = BTreeMap::<String, Permissions>::new();
        for rule in policies.flat_map(|policy| &policy.rules) {
            let path = if identity::is_template(&rule.path) {
                identity::fill(&rule.path, known, &BLOCKED_IN_PATHS)
            } else {
                Some(rule.path.clone())
            };
            if let Some(path) = path {
                rules.entry(path).or_default().add(rule);
            }
        }
        Self { rules }
    }

    /// Whether the rules allow the operation with these parameters; `sudo` if the path is protected.
    pub(super) fn allows(
        &self,
        operation: Operation,
        path: &str,
        data: &Map<String, Value>,
        sudo: bool,
    ) -> bool {
        let Some(permissions) = self.find(operation, path) else {
            return false;
        };
        let needed = match operation {
            Operation::Read => Capability::Read,
            Operation::List => Capability::List,
            Operation::Create => Capability::Create,
            Operation::Update => Capability::Update,
            Operation::Delete => Capability::Delete,
        };
        let has = |capability| permissions.capabilities.contains(&capability);
        if has(Capability::Deny) || !has(needed) || (sudo && !has(Capability::Sudo)) {
            return false;
        }
        match operation {
            Operation::Read | Operation::Create | Operation::Update => permissions.allow_parameters(data),
            Operation::List | Operation::Delete => true,
        }
    }

    fn find(&self, operation: Operation, path: &str) -> Option<&Permissions> {
        let exact = |path: &str| self.rules.get(path).filter(|_| !is_pattern(path));
        let listed = || exact(path.trim_end_matches('/')).filter(|_| operation == Operation::List);
        let trimmed =
            || self.find_pattern(path.trim_end_matches('/')).filter(|_| operation == Operation::List);
        exact(path).or_else(listed).or_else(|| self.find_pattern(path)).or_else(trimmed)
    }

    fn find_pattern(&self, path: &str) -> Option<&Permissions> {
        let patterns = self.rules.iter().filter(|(pattern, _)| is_pattern(pattern) && matches(pattern, path));
        patterns.max_by_key(|(pattern, _)| rank(pattern)).map(|(_, permissions)| permissions)
    }
}

impl Permissions {
    fn add(&mut self, rule: &Rule) {
        if self.capabilities.contains(&Capability::Deny) {
            return;
        }
        if rule.capabilities.contains(&Capability::Deny) {
            *self = Self { capabilities: [Capability::Deny].into(), ..Self::default() };
            return;
        }
        self.capabilities.extend(rule.capabilities.iter().copied());
        merge(&mut self.allowed, &rule.allowed);
        merge(&mut self.denied, &rule.denied);
        self.required.extend(rule.required.iter().cloned());
    }

    /// Required parameters count for reads as well, which have none in a body: a trap of the real server.
    fn allow_parameters(&self, data: &Map<String, Value>) -> bool {
        if !self.required.iter().all(|name| data.contains_key(&name.to_lowercase())) {
            return false;
        }
        data.is_empty() || (!self.deny_any(data) && self.allow_all(data))
    }

    fn deny_any(&self, data: &Map<String, Value>) -> bool {
        let denies = |(name, value): (&String, &Value)| {
            self.denied.get(&name.to_lowercase()).is_some_and(|values| is_among(value, values))
        };
        self.denied.contains_key("*") || data.iter().any(denies)
    }

    fn allow_all(&self, data: &Map<String, Value>) -> bool {
        let any_name = self.allowed.contains_key("*");
        let allows = |(name, value): (&String, &Value)| {
            self.allowed.get(&name.to_lowercase()).map_or(any_name, |values| is_among(value, values))
        };
        self.allowed.is_empty() || data.iter().all(allows)
    }
}

/// Values of the same parameter add up; no values mean any, which wins.
fn merge(into: &mut Parameters, from: &Parameters) {
    for (name, values) in from {
        match into.get_mut(name) {
            Some(present) if present.is_empty() || values.is_empty() => present.clear(),
            Some(present) => present.extend(values.iter().cloned()),
            None => {
                into.insert(name.clone(), values.clone());
            }
        }
    }
}

/// Whether the value is in the list; a text there may begin or end with `*`. An empty list has everything. A number is
/// in no list: the real server reads those of a policy and those of a request as different types.
fn is_among(value: &Value, list: &[Value]) -> bool {
    let is = |wanted: &Value| match (value.as_str(), wanted.as_str()) {
        (Some(value), Some(pattern)) => glob(pattern, value),
        (_, _) => value == wanted && !value.is_number(),
    };
    list.is_empty() || list.iter().any(is)
}

/// Whether the text is what the pattern says, whose every `*` stands for any text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn is_pattern(path: &str) -> bool {
    path.ends_with('*') || has_segment_wildcard(path)
}

fn has_segment_wildcard(path: &str) -> bool {
    path == "+" || path.starts_with("+/") || path.contains("/+")
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, is_prefix) = strip_star(pattern);
    if !has_segment_wildcard(pattern) {
        return is_prefix && path.starts_with(pattern);
    }
    let wanted: Vec<_> = pattern.split('/').collect();
    let segments: Vec<_> = path.split('/').collect();
    if segments.len() < wanted.len() || (!is_prefix && segments.len() != wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    let fits = |(at, (wanted, segment)): (usize, (&&str, &&str))| {
        let may_go_on = is_prefix && at == last;
        *wanted == "+" || wanted == segment || (may_go_on && segment.starts_with(wanted))
    };
    wanted.iter().zip(&segments).enumerate().all(fits)
}

fn strip_star(pattern: &str) -> (&str, bool) {
    pattern.strip_suffix('*').map_or((pattern, false), |prefix| (prefix, true))
}

/// The greater, the more specific.
fn rank(pattern: &str) -> (usize, bool, Reverse<usize>, usize, &str) {
    let (path, is_prefix) = strip_star(pattern);
    let plus = if has_segment_wildcard(path) { path.find('+') } else { None };
    let wildcards =
        if plus.is_some() { path.split('/').filter(|segment| *segment == "+").count() } else { 0 };
    (plus.unwrap_or(path.len()), !is_prefix, Reverse(wildcards), path.len(), path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_most_specific_rule_decides_alone() {
        let policy = "path \"a/+\" { capabilities = [\"read\"] }\n path \"a/x\" { capabilities = [\"update\"] }\n\
                      path \"a/*\" { capabilities = [\"delete\"] }\n path \"b/+/y\" { capabilities = [\"read\"] }\n\
                      path \"b/z/*\" { capabilities = [\"deny\"] }\n path \"c/*\" { capabilities = [\"read\"] }\n\
                      path \"c/d/*\" { capabilities = [\"update\"] }\n path \"+/e/f\" { capabilities = [\"update\"] }\n\
                      path \"g/+/e/*\" { capabilities = [\"read\"] }\n path \"g/d/e/*\" { capabilities = [\"list\"] }";
        let allowed = |operation, path| allows(policy, operation, path, &json!({}));

        assert!(allowed(Operation::Update, "a/x") && !allowed(Operation::Read, "a/x"));
        assert!(allowed(Operation::Read, "a/y") && !allowed(Operation::Delete, "a/y"));
        assert!(allowed(Operation::Delete, "a/y/z") && !allowed(Operation::Read, "a/y/z"));
        assert!(allowed(Operation::Read, "b/x/y") && !allowed(Operation::Read, "b/z/y"));
        assert!(allowed(Operation::Update, "c/d/x") && !allowed(Operation::Read, "c/d/x"));
        assert!(allowed(Operation::Update, "x/e/f") && !allowed(Operation::Update, "x/e/g"));
        assert!(allowed(Operation::List, "g/d/e/b") && !allowed(Operation::Read, "g/d/e/b"));
        assert!(allowed(Operation::Read, "g/x/e/b") && !allowed(Operation::Read, "nothing"));
    }

    #[test]
    fn a_list_needs_no_trailing_slash_in_the_rule() {
        for path in ["m/metadata", "m/metadata/", "m/metadata/*"] {
            let policy = format!("path \"{path}\" {{ capabilities = [\"list\"] }}");
            assert!(allows(&policy, Operation::List, "m/metadata/", &json!({})), "{path}");
        }
    }

    #[test]
    fn rules_of_one_path_add_up_unless_one_denies() {
        let two = "path \"a\" { capabilities = [\"read\"] }\n path \"a\" { capabilities = [\"update\"] }";
        let denied = format!("{two}\n path \"a\" {{ capabilities = [\"deny\"] }}");

        assert!(
            allows(two, Operation::Read, "a", &json!({})) && allows(two, Operation::Update, "a", &json!({}))
        );
        assert!(!allows(&denied, Operation::Read, "a", &json!({})));
    }

    #[test]
    fn protected_paths_need_sudo() {
        let with = "path \"a\" { capabilities = [\"list\", \"sudo\"] }";
        let without = "path \"a\" { capabilities = [\"list\"] }";
        let sudo = |policy| acl(policy).allows(Operation::List, "a/", &Map::new(), true);

        assert!(sudo(with) && !sudo(without));
    }

    #[test]
    fn required_parameters_block_even_reads() {
        let policy = "path \"a\" { capabilities = [\"read\", \"update\"] required_parameters = [\"data\"] }";

        assert!(allows(policy, Operation::Update, "a", &json!({"data": {}})));
        assert!(!allows(policy, Operation::Update, "a", &json!({"options": {}})));
        assert!(!allows(policy, Operation::Read, "a", &json!({})));
    }

    #[test]
    fn allowed_parameters_name_what_may_be_given() {
        let policy = "path \"a\" { capabilities = [\"update\"] allowed_parameters = { \"type\" = [\"ed25519\", \"aes*\"] } }";
        let update = |data: Value| allows(policy, Operation::Update, "a", &data);

        assert!(update(json!({"type": "ed25519"})) && update(json!({"TYPE": "aes256"})) && update(json!({})));
        assert!(!update(json!({"type": "rsa"})) && !update(json!({"type": "ed25519", "exportable": true})));
        assert!(!update(json!({"type": "ED25519"})));
    }

    #[test]
    fn denied_parameters_win() {
        let policy = "path \"a\" { capabilities = [\"read\", \"update\"] allowed_parameters = { \"*\" = [], \"type\" = [\"x\"] }\n\
                      denied_parameters = { \"derived\" = [], \"exportable\" = [true] } }";
        let update = |data: Value| allows(policy, Operation::Update, "a", &data);

        assert!(update(json!({"type": "x", "other": 1, "exportable": false})));
        assert!(
            !update(json!({"type": "y"}))
                && !update(json!({"derived": false}))
                && !update(json!({"exportable": true}))
        );
    }

    #[test]
    fn a_number_is_in_no_list() {
        let allowed = "path \"a\" { capabilities = [\"update\"] allowed_parameters = { \"ttl\" = [1] } }";
        let denied = "path \"a\" { capabilities = [\"update\"] denied_parameters = { \"ttl\" = [1] } }";

        assert!(!allows(allowed, Operation::Update, "a", &json!({"ttl": 1})));
        assert!(allows(denied, Operation::Update, "a", &json!({"ttl": 1})));
    }

    #[test]
    fn a_list_may_fit_a_wildcard_without_its_trailing_slash() {
        let policy = "path \"a/+\" { capabilities = [\"list\", \"read\"] }";

        assert!(allows(policy, Operation::List, "a/b/", &json!({})));
        assert!(!allows(policy, Operation::Read, "a/b/", &json!({})));
    }

    #[test]
    fn globs_match_at_every_star() {
        let cases = [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("a", "ab", false),
            ("*b*", "abc", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    fn allows(policy: &str, operation: Operation, path: &str, data: &Value) -> bool {
        acl(policy).allows(operation, path, data.as_object().expect("an object"), false)
    }

    fn acl(policy: &str) -> Acl {
        let policy = Policy::parse(policy).unwrap_or_else(|_| panic!("it parses"));
        Acl::new([&policy].into_iter(), None)
    }
}
