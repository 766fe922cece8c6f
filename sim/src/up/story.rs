//! What a process has told: its facts as they come, and, when it has failed, why, for a person.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How many of its last lines are shown if a process ends without a reason.
const LAST_LINES: usize = 6;

/// A line of a process's log that tells a fact.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its constant name.
    pub(super) message: String,
    /// Its fields.
    pub(super) facts: Value,
}

impl Told {
    /// The notice of a machine that this line tells; `None` for every other line.
    #[must_use]
    pub(super) fn notice<N: DeserializeOwned>(&self) -> Option<N> {
        let name = Value::String(self.message.clone());
        // A variant without fields is its bare name.
        serde_json::from_value(json!({&self.message: &self.facts}))
            .or_else(|_| serde_json::from_value(name))
            .ok()
    }
}

/// What is known of one process.
pub(super) struct Story {
    name: String,
    log: PathBuf,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    last_lines: VecDeque<String>,
    waits_for: Option<String>,
    stopped: Option<Stopped>,
}

/// A role's last words.
struct Stopped {
    fatal: String,
    cause: String,
    remedy: String,
}

impl Story {
    /// Of a process that is about to start.
    #[must_use]
    pub(super) fn new(name: &str, log: &Path) -> Self {
        Self { name: name.to_owned(), log: log.to_owned(), heard: Mutex::default() }
    }

    /// It printed a line.
    pub(super) fn hear(&self, line: &str) -> Option<Told> {
        let parsed = serde_json::from_str(line).unwrap_or(Value::Null);
        let text = |name: &str| parsed.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut heard = self.heard();
        if heard.last_lines.len() == LAST_LINES {
            heard.last_lines.pop_front();
        }
        heard.last_lines.push_back(for_a_person(line, &parsed));
        if let Some(waits_for) = text("waits_for") {
            heard.waits_for = Some(waits_for);
        }
        if let (Some("Stopped"), Some(fatal), Some(cause), Some(remedy)) =
            (text("message").as_deref(), text("fatal"), text("cause"), text("remedy"))
        {
            heard.stopped = Some(Stopped { fatal, cause, remedy });
        }
        told(line, parsed)
    }

    /// Whether it has said why it stops.
    #[must_use]
    pub(super) fn has_stopped(&self) -> bool {
        self.heard().stopped.is_some()
    }

    /// Why it is not there any more.
    #[must_use]
    pub(super) fn end(&self) -> String {
        let heard = self.heard();
        match &heard.stopped {
            Some(Stopped { fatal, cause, remedy }) => format!(
                "{} stopped: {fatal}\n  cause   {cause}\n  remedy  {remedy}\n  log     {}",
                self.name,
                self.log.display()
            ),
            None => self.with_last_lines(format!("{} has ended", self.name), &heard),
        }
    }

    /// That it did not do something in time, and what it waited for.
    #[must_use]
    pub(super) fn late(&self, did_not: &str, within: Duration) -> String {
        let heard = self.heard();
        let mut text = format!("{} did not {did_not} within {} s", self.name, within.as_secs());
        if let Some(waits_for) = &heard.waits_for {
            let _ = write!(text, "\n  it was  {waits_for}"); // Writing to a String does not fail.
        }
        self.with_last_lines(text, &heard)
    }

    fn with_last_lines(&self, mut text: String, heard: &Heard) -> String {
        let _ = write!(text, "\n  log     {}, which ends with:", self.log.display());
        for line in &heard.last_lines {
            let _ = write!(text, "\n            {line}");
        }
        text
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JSON log line of a role: `message` is the name, `facts` the facts as JSON. Or the one line of `kube up`:
/// `READY name=value …`.
fn told(line: &str, parsed: Value) -> Option<Told> {
    if let Some(words) = line.strip_prefix("READY ") {
        let facts = words.split_whitespace().filter_map(|word| word.split_once('='));
        let facts = facts.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        return Some(Told { message: "READY".to_owned(), facts: Value::Object(facts) });
    }
    let message = parsed.get("message")?.as_str()?.to_owned();
    let facts = match parsed.get("facts").and_then(Value::as_str) {
        Some(facts) => serde_json::from_str(facts).ok()?,
        None => parsed,
    };
    Some(Told { message, facts })
}

/// A log line as a person wants it: of JSON the level, the message and what it is about.
fn for_a_person(line: &str, parsed: &Value) -> String {
    let text = |name: &str| parsed.get(name).and_then(Value::as_str);
    let Some(message) = text("message") else { return line.to_owned() };
    let about = ["error", "waits_for", "cause", "location", "facts"].into_iter().find_map(text);
    let about = about.map(|about| format!(": {about}")).unwrap_or_default();
    format!("{} {message}{about}", text("level").unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_stopped_says_its_name_its_cause_and_its_remedy() {
        let story = Story::new("controller", Path::new("logs/controller.log"));

        story.hear(r#"{"level":"INFO","message":"Phase","waits_for":"looks at Vault"}"#);
        assert!(!story.has_stopped());
        story.hear(
            r#"{"level":"ERROR","message":"Stopped","fatal":"EnvelopeMissing","cause":"It is gone.","remedy":"Restore it."}"#,
        );

        assert!(story.has_stopped());
        let words = "controller stopped: EnvelopeMissing\n  cause   It is gone.\n  remedy  Restore it.\n  log     \
                     logs/controller.log";
        assert_eq!(story.end(), words);
    }

    #[test]
    fn a_process_that_is_late_says_what_it_waits_for() {
        let story = Story::new("controller", Path::new("controller.log"));

        story.hear(r#"{"level":"INFO","message":"Phase","waits_for":"waiting for Vault to answer"}"#);
        story.hear("and so on");

        let words = "controller did not serve within 60 s\n  it was  waiting for Vault to answer\n  log     \
                     controller.log, which ends with:\n            INFO Phase: waiting for Vault to answer\n            \
                     and so on";
        assert_eq!(story.late("serve", Duration::from_secs(60)), words);
    }

    #[test]
    fn notices_with_and_without_fields_are_understood_and_nothing_else() {
        use kubefox_core::controller::Notice;
        let story = Story::new("controller", Path::new("controller.log"));
        let notice = |line: &str| story.hear(line).and_then(|told| told.notice::<Notice>());

        assert_eq!(
            [
                notice(r#"{"message":"TooManyTokens","facts":"{\"found\":2000}"}"#),
                notice(r#"{"message":"RootRevoked","facts":"{}"}"#),
                notice(r#"{"message":"Phase","waits_for":"has finished"}"#),
                notice("plain"),
            ],
            [Some(Notice::TooManyTokens { found: 2_000 }), Some(Notice::RootRevoked), None, None]
        );
    }
}
