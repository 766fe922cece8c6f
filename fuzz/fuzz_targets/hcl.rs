//! The fake Vault's parser of policies never panics, and what it accepts is stored and read again as the same rules.

#![no_main]

use std::collections::BTreeSet;

use kubefox_sim::fake::vault::{Capability, Policy, Rule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(text) else { return };
    for rule in &policy.rules {
        assert_sound(rule);
    }
    // A policy is stored as its text, and counts again after a restart.
    let stored = String::from(policy.clone());
    assert_eq!(stored, text);
    let read = Policy::try_from(stored).expect("it was accepted before");
    assert_same(&read.rules, &policy.rules);
    // Written by ourselves, without comments and spare white space, it grants the same.
    let written: String = policy.rules.iter().map(write).collect();
    let again = Policy::parse(&written).unwrap_or_else(|_| panic!("we wrote it: {written}"));
    assert_same(&again.rules, &policy.rules);
});

fn assert_sound(rule: &Rule) {
    assert!(!rule.path.contains("+*"));
    let denies = rule.capabilities.contains(&Capability::Deny);
    assert!(!denies || rule.capabilities.len() == 1, "deny stands alone");
    for name in rule.allowed.keys().chain(rule.denied.keys()) {
        assert_eq!(*name, name.to_lowercase());
    }
}

fn assert_same(one: &[Rule], other: &[Rule]) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn write(rule: &Rule) -> String {
    let capabilities: BTreeSet<String> =
        rule.capabilities.iter().map(|capability| format!("{capability:?}").to_lowercase()).collect();
    // One leading slash says nothing and is not kept.
    let mut text = format!("path {} {{\n", quote(&format!("/{}", rule.path)));
    text += &format!("capabilities = [{}]\n", list(capabilities.iter().map(String::as_str)));
    for (key, parameters) in [("allowed_parameters", &rule.allowed), ("denied_parameters", &rule.denied)] {
        let members: Vec<String> = parameters
            .iter()
            .map(|(name, values)| format!("{} = {}", quote(name), write_all(values)))
            .collect();
        text += &format!("{key} = {{ {} }}\n", members.join(", "));
    }
    text + &format!("required_parameters = [{}]\n}}\n", list(rule.required.iter().map(String::as_str)))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quote).collect::<Vec<_>>().join(", ")
}

fn write_all(values: &[serde_json::Value]) -> String {
    let values: Vec<String> = values.iter().map(write_value).collect();
    format!("[{}]", values.join(", "))
}

fn write_value(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::String(text) => quote(text),
        Value::Array(values) => write_all(values),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{} = {}", quote(name), write_value(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        // Numbers as HCL has them: digits, a sign and a point, without an exponent.
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => {
                let text = number.as_f64().expect("it was parsed as one").to_string();
                if text.contains('.') { text } else { text + ".0" }
            }
        },
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

/// A string with the escapes that the language has; a line break may not stand in one as it is.
fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
