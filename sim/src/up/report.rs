//! What `up` shows: a timeline while things happen, then who holds what, or the same as JSON.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use kubefox_core::controller::Notice;
use kubefox_core::controller::table::Verdict;
use kubefox_core::{broker, initializer, quarantine};
use serde::Serialize;

use super::kill::Killed;
use super::renewal::Renewal;
use super::sentence;
use super::storm::Storm;
use super::story::Told;

/// Collects what happened.
pub(super) struct Report {
    started: Instant,
    json: bool,
    color: bool,
    facts: Facts,
}

/// What a program may rely on: the output of `--json`. What has not happened is null or empty.
#[derive(Default, Serialize)]
struct Facts {
    /// Everything is there and the message came back.
    ok: bool,
    /// Why not.
    error: Option<String>,
    /// `embedded` or `real`.
    servers: &'static str,
    /// By server: `vault`, `kubernetes`, `nats`.
    versions: BTreeMap<&'static str, String>,
    boot: Boot,
    /// How often the controller found a living token with the policy root where none should be.
    roots_found: Option<u32>,
    /// SHA-256 of the root certificate (DER), in hexadecimal.
    ca: Option<String>,
    /// Public key of NATS' operator, `O…`.
    operator: Option<String>,
    proof: Option<Proof>,
    /// What `--storm` came to.
    storm: Option<Storm>,
    /// What `--renew` came to.
    renewal: Option<Renewal>,
    /// What `--kill` came to.
    killed: Option<Killed>,
    holders: Vec<Holder>,
    /// From the start to the moment when everything served.
    ready_ms: Option<u64>,
    timeline: Vec<Moment>,
}

/// Which way the controller's boot took.
#[derive(Default, Serialize)]
struct Boot {
    /// The rows of the boot table that applied, in order.
    rows: Vec<u8>,
    /// `initialize` or `unseal`.
    path: Option<&'static str>,
    /// Requests that changed something in Vault's configuration, known once all of it stands.
    writes: Option<u32>,
    #[serde(skip)]
    writes_so_far: u32,
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
    /// From sending it to having it back, both ways together.
    pub(super) round_trip_us: u64,
}

/// Who holds what, until when.
#[derive(Clone, Serialize)]
pub(super) struct Holder {
    /// The pod or its container.
    pub(super) who: String,
    /// Its SPIFFE id.
    pub(super) identity: String,
    /// What it got.
    pub(super) holds: String,
    /// Until when, in seconds since 1970.
    pub(super) until_unix_s: u64,
}

/// One line of the timeline.
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
        let at_ms = self.elapsed_ms();
        let what = what.into();
        if self.facts.timeline.last().is_some_and(|last| last.who == who && last.what == what) {
            return; // A wait that goes on is told once.
        }
        if !self.json {
            let (dim, bold, plain) =
                if self.color { ("\x1b[2m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
            let (seconds, thousandths) = (at_ms / 1_000, at_ms % 1_000);
            say(&format!("{dim}{seconds:>3}.{thousandths:03} s{plain}  {bold}{who:<11}{plain}  {what}"));
        }
        self.facts.timeline.push(Moment { at_ms, who: who.to_owned(), what });
    }

    /// The controller told something: what people want to see is shown, what programs want to know is kept.
    pub(super) fn hear_controller(&mut self, told: &Told) {
        let Some(notice) = told.notice::<Notice>() else { return };
        self.remember(&notice);
        if let Some(what) = sentence::of_controller(&notice) {
            self.moment("controller", what);
        }
    }

    /// What runs before Vault in a new pod told something.
    pub(super) fn hear_quarantine(&mut self, told: &Told) {
        if let Some(what) =
            told.notice::<quarantine::Notice>().and_then(|notice| sentence::of_quarantine(&notice))
        {
            self.moment("init vault", what);
        }
    }

    /// The initializer of NATS told something.
    pub(super) fn hear_initializer(&mut self, told: &Told) {
        if let Some(notice) = told.notice::<initializer::Notice>() {
            self.moment("init nats", sentence::of_initializer(&notice));
        }
    }

    /// A component's broker told something.
    pub(super) fn hear_broker(&mut self, component: &str, told: &Told) {
        if let Some(notice) = told.notice::<broker::Notice>() {
            self.moment(component, sentence::of_broker(&notice));
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

    /// Who came back after NATS was restarted, and when.
    pub(super) fn storm(&mut self, storm: Storm) {
        self.facts.storm = Some(storm);
    }

    /// What passed while everything was renewed.
    pub(super) fn renewal(&mut self, renewal: Renewal) {
        self.facts.renewal = Some(renewal);
    }

    /// What was killed, and what came back.
    pub(super) fn killed(&mut self, killed: Killed) {
        self.facts.killed = Some(killed);
    }

    /// Who holds what.
    pub(super) fn holder(&mut self, holder: Holder) {
        self.facts.holders.push(holder);
    }

    /// Everything that serves is up.
    pub(super) fn ready(&mut self) {
        self.facts.ready_ms = Some(self.elapsed_ms());
        self.moment("up", "everything is ready");
    }

    /// A message went from one component to the other, and came back or did not.
    pub(super) fn proof(&mut self, proof: Proof) {
        let Proof { payload, delivered, returned, round_trip_us, .. } = &proof;
        if *delivered && *returned {
            let (bytes, milliseconds) = (payload.len() / 2, *round_trip_us as f64 / 1_000.0);
            self.moment("up", format!("{bytes} random bytes went A → B → A in {milliseconds:.1} ms"));
        }
        self.facts.proof = Some(proof);
    }

    /// Whether everything was there once.
    #[must_use]
    pub(super) const fn is_proved(&self) -> bool {
        self.facts.ok
    }

    /// Shows what there is to show at the end, if nothing is missing.
    ///
    /// # Errors
    /// Names what is missing.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.facts.check()?;
        self.facts.ok = true;
        self.show();
        Ok(())
    }

    /// Says as JSON how far it came; for people the error alone is enough.
    pub(super) fn fail(&mut self, error: &anyhow::Error) {
        self.facts.ok = false;
        self.facts.error = Some(format!("{error:#}"));
        if self.json {
            self.show();
        }
    }

    fn show(&self) {
        if self.json {
            return say(&serde_json::to_string_pretty(&self.facts).expect("plain facts are JSON"));
        }
        say("");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        for line in table(&self.facts.holders, now) {
            say(&line);
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let versions = self.facts.versions.iter().map(|(name, version)| format!("{name} {version}"));
        let versions = versions.collect::<Vec<_>>().join(" · ");
        say("");
        say(&format!("  root certificate  sha256:{}", text(&self.facts.ca)));
        say(&format!("  NATS operator     {}", text(&self.facts.operator)));
        say(&format!("  {:<16}  {versions}", format!("{} servers", self.facts.servers)));
    }

    fn remember(&mut self, notice: &Notice) {
        self.facts.boot.writes_so_far += u32::from(is_write(notice));
        match notice {
            Notice::Decided(decision) => {
                self.facts.boot.rows.push(decision.row);
                match decision.verdict {
                    Verdict::Initialize { .. } => self.facts.boot.path = Some("initialize"),
                    Verdict::Unseal => _ = self.facts.boot.path.get_or_insert("unseal"),
                    Verdict::Wait(_)
                    | Verdict::Stop(_)
                    | Verdict::Begin
                    | Verdict::CreateSealKey { .. }
                    | Verdict::Mark { .. }
                    | Verdict::ReplacePod
                    | Verdict::Commit { .. }
                    | Verdict::FinishSetUp { .. }
                    | Verdict::LogIn { .. } => {}
                }
            }
            Notice::RootFound { .. } => *self.facts.roots_found.get_or_insert(0) += 1,
            Notice::Swept => _ = self.facts.roots_found.get_or_insert(0),
            Notice::Configured { keys } => {
                self.facts.boot.writes = Some(self.facts.boot.writes_so_far);
                self.facts.operator = Some(keys.operator.as_str().to_owned());
            }
            Notice::Wrote(_)
            | Notice::Stored(_)
            | Notice::GenerationRecorded { .. }
            | Notice::Initialized { .. }
            | Notice::EnvelopeNotWritten
            | Notice::Unsealed
            | Notice::Drift(_)
            | Notice::ForeignJwt(_)
            | Notice::RolledBack { .. }
            | Notice::EnvelopeUnread
            | Notice::TooManyTokens { .. }
            | Notice::CommittedMissing
            | Notice::SealKeyDeletion
            | Notice::RootRevoked
            | Notice::Certified { .. }
            | Notice::LoginStranded { .. }
            | Notice::Found { .. }
            | Notice::Lapsed(_)
            | Notice::Serving { .. }
            | Notice::Served { .. }
            | Notice::Rejected { .. } => {}
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Facts {
    /// Names what is missing.
    fn check(&self) -> Result<()> {
        let Self { boot, roots_found, ca, operator, proof, ready_ms, .. } = self;
        let present = [
            ("the boot row that was taken", boot.path.is_some()),
            ("the number of Vault's settings that were written", boot.writes.is_some()),
            ("a search for root tokens", roots_found.is_some()),
            ("a root certificate", ca.is_some()),
            ("an operator of NATS", operator.is_some()),
            ("readiness", ready_ms.is_some()),
            ("the message there", proof.as_ref().is_some_and(|proof| proof.delivered)),
            ("the message back", proof.as_ref().is_some_and(|proof| proof.returned)),
        ];
        let missing: Vec<&str> =
            present.iter().filter(|(_, present)| !present).map(|(what, _)| *what).collect();
        if !missing.is_empty() {
            bail!("not everything is there: {} is missing", missing.join(", "));
        }
        if let Some(found @ 1..) = *roots_found {
            bail!("{found} tokens with the policy root lived besides the one of the initialization");
        }
        Ok(())
    }
}

/// Whether it tells of a request that changed something in Vault's configuration.
pub(super) const fn is_write(notice: &Notice) -> bool {
    matches!(notice, Notice::Wrote(_) | Notice::Stored(_) | Notice::GenerationRecorded { .. })
}

/// Who · identity · holds · until, each column as wide as its widest cell.
fn table(holders: &[Holder], now_unix_s: u64) -> Vec<String> {
    let head = ["who", "identity", "holds", "until"].map(str::to_owned);
    let row = |holder: &Holder| {
        let Holder { who, identity, holds, until_unix_s } = holder.clone();
        [who, identity, holds, format!("in {}", span(until_unix_s.saturating_sub(now_unix_s)))]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(holders.iter().map(row)).collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:<width$}"));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
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
    fn columns_are_as_wide_as_what_stands_in_them() {
        let holder = |who: &str, identity: &str, holds: &str| Holder {
            who: who.to_owned(),
            identity: identity.to_owned(),
            holds: holds.to_owned(),
            until_unix_s: 1_000_000 + 14_400,
        };
        let holders = [holder("a", "spiffe://of/a/very/long/name", "x"), holder("component", "b", "much")];

        let lines = table(&holders, 1_000_000);

        let expected = [
            "  who        identity                      holds  until",
            "  a          spiffe://of/a/very/long/name  x      in 4 h",
            "  component  b                             much   in 4 h",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_span_is_rounded_to_what_a_person_wants() {
        assert_eq!([span(3_599), span(14_400), span(2_592_000)], ["60 min", "4 h", "30 d"]);
    }

    #[test]
    fn anything_that_is_missing_is_an_error_that_names_it() {
        assert!(complete().check().is_ok());

        for (spoil, named) in [
            ((|facts| facts.roots_found = None) as fn(&mut Facts), "a search for root tokens is missing"),
            (|facts| facts.roots_found = Some(2), "2 tokens with the policy root lived"),
            (|facts| facts.operator = None, "an operator of NATS is missing"),
            (|facts| facts.boot.path = None, "the boot row that was taken is missing"),
            (|facts| facts.proof = None, "the message there, the message back is missing"),
        ] {
            let mut facts = complete();
            spoil(&mut facts);
            let error = facts.check().expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    fn complete() -> Facts {
        Facts {
            boot: Boot { rows: vec![18], path: Some("unseal"), writes: Some(0), writes_so_far: 0 },
            roots_found: Some(0),
            ca: Some("00".to_owned()),
            operator: Some("O".to_owned()),
            proof: Some(Proof {
                from: "UA".to_owned(),
                to: "UB".to_owned(),
                payload: "00".to_owned(),
                delivered: true,
                returned: true,
                round_trip_us: 1,
            }),
            ready_ms: Some(1),
            ..Facts::default()
        }
    }
}
