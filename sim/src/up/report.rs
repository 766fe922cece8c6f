//! What `up` shows: a timeline while things happen, then who holds what, or the same as JSON.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::process::Told;

/// Collects what happened.
pub(super) struct Report {
    started: Instant,
    json: bool,
    color: bool,
    facts: Facts,
}

/// What a program may rely on: the output of `--json`.
#[derive(Default, Serialize)]
struct Facts {
    ok: bool,
    servers: &'static str,
    versions: BTreeMap<&'static str, String>,
    boot: Boot,
    roots_found: Option<u64>,
    ca: Option<String>,
    operator: Option<String>,
    proof: Option<Proof>,
    holders: Vec<Holder>,
    ready_ms: Option<u64>,
    timeline: Vec<Moment>,
}

/// Which way the controller's boot took.
#[derive(Default, Serialize)]
struct Boot {
    /// The rows of the boot table that applied, in order.
    rows: Vec<u64>,
    /// `initialize` or `unseal`.
    path: Option<&'static str>,
    /// Requests that changed something in Vault's configuration.
    writes: Option<u64>,
}

/// A message there and back.
#[derive(Clone, Serialize)]
pub(super) struct Proof {
    /// The key of the component that asked.
    pub(super) from: String,
    /// The key of the component that answered.
    pub(super) to: String,
    /// The random payload of this run, in hexadecimal.
    pub(super) payload: String,
    /// Whether it arrived there.
    pub(super) delivered: bool,
    /// Whether it came back.
    pub(super) returned: bool,
    /// Both ways together.
    pub(super) round_trip_ms: u64,
}

/// Who holds what, until when.
#[derive(Clone, Serialize)]
pub(super) struct Holder {
    /// The pod.
    pub(super) who: String,
    /// Its SPIFFE id.
    pub(super) identity: String,
    /// What it got.
    pub(super) holds: String,
    /// Until when, in seconds since 1970.
    pub(super) until_unix_s: Option<u64>,
}

#[derive(Serialize)]
struct Moment {
    at_ms: u64,
    who: String,
    what: String,
}

impl Report {
    /// Begins the clock.
    #[must_use]
    pub(super) fn begin(json: bool, real: bool) -> Self {
        let facts = Facts { servers: if real { "real" } else { "embedded" }, ..Facts::default() };
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { started: Instant::now(), json, color, facts }
    }

    /// Something happened.
    pub(super) fn moment(&mut self, who: &str, what: impl Into<String>) {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let what = what.into();
        if !self.json {
            let (dim, bold, plain) =
                if self.color { ("\x1b[2m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
            say(&format!("{dim}{:>7.3} s{plain}  {bold}{who:<11}{plain} {what}", at_ms as f64 / 1_000.0));
        }
        self.facts.timeline.push(Moment { at_ms, who: who.to_owned(), what });
    }

    /// A role told something: what people want to see is shown, what programs want to know is kept.
    pub(super) fn hear(&mut self, who: &str, told: &Told) {
        let facts = &told.facts;
        let number = |name: &str| facts.get(name).and_then(Value::as_u64);
        match told.message.as_str() {
            "Decided" => {
                let row = number("row").unwrap_or_default();
                let verdict = facts.get("verdict").map(verdict).unwrap_or_default();
                self.facts.boot.rows.push(row);
                match verdict.as_str() {
                    "Initialize" => self.facts.boot.path = Some("initialize"),
                    "Unseal" if self.facts.boot.path.is_none() => self.facts.boot.path = Some("unseal"),
                    _ => {}
                }
                self.moment(who, format!("row {row:>2} of the boot table: {verdict}"));
            }
            "Initialized" => self.moment(who, "Vault is initialized; its unseal key lies sealed on the disk"),
            "Unsealed" => self.moment(who, "Vault is unsealed and active"),
            "RootRevoked" => self.moment(who, "the root token is dead: looked up, revoked, looked up again"),
            "Swept" => {
                let found = number("roots_found");
                self.facts.roots_found = self.facts.roots_found.max(found);
                self.moment(
                    who,
                    format!("no token with policy root lives ({} found)", found.unwrap_or_default()),
                );
            }
            "Configured" => {
                self.facts.boot.writes = number("writes");
                let operator = facts.pointer("/keys/operator").and_then(Value::as_str);
                self.facts.operator = operator.map(str::to_owned);
                self.moment(
                    who,
                    format!("Vault's settings stand, {} written", number("writes").unwrap_or_default()),
                );
            }
            "Serving" => {
                let address = facts.get("address").and_then(Value::as_str).unwrap_or("?");
                self.moment(who, format!("serves on {address}"));
            }
            "Served" => {
                let asked = facts.get("ask").map(verdict).unwrap_or_default();
                let identity =
                    |part: &str| facts.pointer(part).and_then(Value::as_str).unwrap_or("?").to_owned();
                let (namespace, account) =
                    (identity("/identity/namespace"), identity("/identity/service_account"));
                self.moment(who, format!("gave {namespace}/{account} what it asked for: {asked}"));
            }
            "Rejected" | "Waiting" | "Drift" | "EnvelopeNotWritten" | "SealKeyDeletion"
            | "CommittedMissing" => {
                self.moment(who, format!("{}: {facts}", told.message));
            }
            "Written" => self.moment(who, "its files are on the shared volume"),
            "Connected" => self.moment(who, "is connected to NATS, its nonce signed in Vault"),
            _ => {}
        }
    }

    /// Versions of the servers.
    pub(super) fn versions(&mut self, versions: [(&'static str, String); 3]) {
        self.facts.versions = versions.into();
    }

    /// The fingerprint of the root certificate that is published.
    pub(super) fn ca(&mut self, fingerprint: String) {
        self.facts.ca = Some(fingerprint);
    }

    /// Who holds what.
    pub(super) fn holder(&mut self, holder: Holder) {
        self.facts.holders.push(holder);
    }

    /// Everything that serves is up.
    pub(super) fn ready(&mut self) {
        self.facts.ready_ms = u64::try_from(self.started.elapsed().as_millis()).ok();
        self.moment("up", "everything is ready");
    }

    /// The message went there and came back.
    pub(super) fn proof(&mut self, proof: Proof) {
        self.moment(
            "up",
            format!("{} random bytes went A → B → A in {} ms", proof.payload.len() / 2, proof.round_trip_ms),
        );
        self.facts.ok = proof.delivered && proof.returned && self.facts.roots_found == Some(0);
        self.facts.proof = Some(proof);
    }

    /// Shows what there is to show at the end.
    pub(super) fn finish(&self) {
        if self.json {
            say(&serde_json::to_string_pretty(&self.facts).expect("plain facts are JSON"));
            return;
        }
        say("");
        let row = |who: &str, identity: &str, holds: &str, until: &str| {
            say(&format!("  {who:<12} {identity:<52} {holds:<46} {until}"));
        };
        row("who", "identity", "holds", "until");
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        for Holder { who, identity, holds, until_unix_s } in &self.facts.holders {
            let until = until_unix_s.map_or_else(|| "-".to_owned(), |until| span(until.saturating_sub(now)));
            row(who, identity, holds, &until);
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        say("");
        say(&format!("  root certificate  sha256:{}", text(&self.facts.ca)));
        say(&format!("  NATS operator     {}", text(&self.facts.operator)));
        let versions = self.facts.versions.iter().map(|(name, version)| format!("{name} {version}"));
        say(&format!(
            "  servers           {} ({})",
            versions.collect::<Vec<_>>().join(" · "),
            self.facts.servers
        ));
    }
}

/// The name of an enum's variant in serde's form: `"Name"` or `{"Name": …}`, and what is within for waits and stops.
fn verdict(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(members) => match members.iter().next() {
            Some((name, Value::String(inner))) => format!("{name}: {inner}"),
            Some((name, _)) => name.clone(),
            None => String::new(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => String::new(),
    }
}

/// `4 h`, `30 d`, `59 min`.
fn span(seconds: u64) -> String {
    match seconds {
        172_800.. => format!("{} d", (seconds + 43_200) / 86_400),
        7_200.. => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} min", (seconds + 30) / 60),
    }
}

/// One line to whoever ran the command; if nobody listens any more, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_named_as_a_person_would() {
        assert_eq!(verdict(&serde_json::json!("Begin")), "Begin");
        assert_eq!(verdict(&serde_json::json!({"Initialize": {"attempt": 1}})), "Initialize");
        assert_eq!(verdict(&serde_json::json!({"Wait": "Vault"})), "Wait: Vault");
    }

    #[test]
    fn a_span_is_rounded_to_what_a_person_wants() {
        assert_eq!([span(3_599), span(14_400), span(2_592_000)], ["60 min", "4 h", "30 d"]);
    }
}
