//! Reads parameters as leniently as the real server does: numbers as text, comma-separated lists, Go's durations.

use serde_json::{Map, Value};

use super::answer::Refusal;

/// The longest duration that Go can count in nanoseconds, in seconds.
const MAX_DURATION_S: u64 = i64::MAX as u64 / 1_000_000_000;

/// The parameters of one request.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// The value unless it is absent or null.
    pub(super) fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Result<Option<String>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(value @ (Value::Null | Value::Array(_) | Value::Object(_))) => {
                Err(unconvertible(name, "string", value))
            }
        }
    }

    pub(super) fn flag(self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value {
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::Number(number) => Ok(Some(number.as_i64() != Some(0))),
            Value::String(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Ok(Some(false)),
                _ => Err(unconvertible(name, "bool", value)),
            },
            Value::Null | Value::Array(_) | Value::Object(_) => Err(unconvertible(name, "bool", value)),
        }
    }

    pub(super) fn whole(self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| unconvertible(name, "int", value))
    }

    /// A duration in seconds: a number of them, or text as Go writes it.
    pub(super) fn seconds(self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let seconds = match value {
            Value::Number(number) => {
                number.as_u64().ok_or_else(|| format!("cannot provide negative value '{number}'"))
            }
            Value::String(text) => parse_duration(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(unconvertible(name, "duration", value));
            }
        };
        let too_large =
            || "multiplication of durations resulted in overflow, one operand may be too large".to_owned();
        let seconds =
            seconds.and_then(|seconds| if seconds > MAX_DURATION_S { Err(too_large()) } else { Ok(seconds) });
        seconds.map(Some).map_err(|why| {
            let what = format!("error converting input for field \"{name}\": {why}");
            Refusal::invalid(format!("Field validation failed: {what}"))
        })
    }

    /// A list, or its entries in one text with commas between them.
    pub(super) fn list(self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                Ok(Some(entries.map(str::to_owned).collect()))
            }
            Some(value @ Value::Array(values)) => {
                let entries = values.iter().map(|value| value.as_str().map(str::to_owned));
                entries.collect::<Option<_>>().map(Some).ok_or_else(|| unconvertible(name, "[]string", value))
            }
            Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_))) => {
                Err(unconvertible(name, "[]string", value))
            }
        }
    }

    pub(super) fn object(self, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(value) => Err(unconvertible(name, "map[string]interface {}", value)),
        }
    }

    /// Refuses loudly the parameters that the real server knows and the fake does not, and names those that neither
    /// knows in the real server's warning. That server warns only in answers with a body: what it answers with 204 it
    /// ignores the unknown in silence, and [`Fields::refuse`] is enough.
    pub(super) fn warn_unknown(self, known: &[&str], unimplemented: &[&str]) -> Result<Vec<String>, Refusal> {
        self.refuse(unimplemented)?;
        let unknown = self
            .0
            .keys()
            .filter(|name| !known.contains(&name.as_str()) && !unimplemented.contains(&name.as_str()));
        let names = unknown.map(String::as_str).collect::<Vec<_>>().join(" ");
        let warning = || format!("Endpoint ignored these unrecognized parameters: [{names}]");
        Ok(if names.is_empty() { Vec::new() } else { vec![warning()] })
    }

    /// Refuses loudly the parameters that the fake does not implement.
    pub(super) fn refuse(self, unimplemented: &[&str]) -> Result<(), Refusal> {
        match unimplemented.iter().find(|name| self.value(name).is_some_and(is_meant)) {
            Some(name) => Err(Refusal::not_implemented(format_args!("the parameter {name}"))),
            None => Ok(()),
        }
    }
}

/// Whether a value differs from what the real server takes for an absent one.
fn is_meant(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Whole seconds of a Go duration (`1h30m`), of a number, or of days (`30d`).
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    if text.starts_with('-') {
        return Err(format!("cannot provide negative value '{text}'"));
    }
    if text.is_empty() {
        return Ok(0);
    }
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let invalid = || format!("time: invalid duration \"{text}\"");
    let mut rest = text;
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" if digits + letters == text.len() => 86_400_000,
            "" => return Err(invalid()),
            unit => return Err(format!("time: unknown unit \"{unit}\" in duration \"{text}\"")),
        };
        total_ms = total_ms.saturating_add(number.saturating_mul(unit_ms));
        rest = &rest[letters..];
    }
    Ok(total_ms / 1_000)
}

/// Seconds as Go prints a duration: `4h0m0s`.
pub(super) fn print_duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn unconvertible(name: &str, expected: &str, value: &Value) -> Refusal {
    let found = match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    Refusal::invalid(format!(
        "error converting input for field \"{name}\": '' expected type '{expected}', got unconvertible type '{found}'"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_go_s() {
        let read = ["", "0", "90", "1h30m", "5m", "30d", "1500ms"].map(parse_duration);

        assert_eq!(read, [0, 0, 90, 5_400, 300, 2_592_000, 1].map(Ok));
        assert_eq!(parse_duration("100y"), Err("time: unknown unit \"y\" in duration \"100y\"".into()));
        assert_eq!(parse_duration("nope"), Err("time: invalid duration \"nope\"".into()));
        assert_eq!(parse_duration("-1"), Err("cannot provide negative value '-1'".into()));
        assert_eq!([14_400, 61, 2].map(print_duration), ["4h0m0s", "1m1s", "2s"]);
    }

    #[test]
    fn values_are_converted_where_the_real_server_does() {
        let data = json!({"bits": "256", "any": "true", "cn": 0, "names": "a, b", "null": null});
        let data = data.as_object().expect("an object");
        let fields = Fields(data);

        assert!(fields.whole("bits").is_ok_and(|bits| bits == Some(256)));
        assert!(fields.flag("any").is_ok_and(|any| any == Some(true)));
        assert!(fields.flag("cn").is_ok_and(|cn| cn == Some(false)));
        assert!(fields.list("names").is_ok_and(|names| names == Some(vec!["a".into(), "b".into()])));
        assert!(fields.text("null").is_ok_and(|text| text.is_none()));
        assert!(fields.object("bits").is_err());
    }

    #[test]
    fn unknown_parameters_are_warned_of_and_unimplemented_ones_refused() {
        let data = json!({"ttl": 1, "nope": 1, "not_after": "2030-01-01T00:00:00Z", "ip": ""});
        let data = data.as_object().expect("an object");

        let warnings = Fields(data).warn_unknown(&["ttl", "not_after", "ip"], &["ip"]);
        let refusal = Fields(data).warn_unknown(&["ttl"], &["not_after"]).err();

        let text = "Endpoint ignored these unrecognized parameters: [nope]";
        assert!(warnings.is_ok_and(|warnings| warnings == [text]));
        assert_eq!(refusal.map(|refusal| refusal.into_response().status().as_u16()), Some(501));
    }
}
