use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use kubefox_core::fatal::Fatal;
use kubefox_core::machine::{CallId, Lost, Out, Seed};
use kubefox_core::time::Mono;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[test]
fn each_step_publishes_what_the_machine_is_in() {
    let (mut tap, snapshots) = LogTap::<Toy>::new("toy");
    assert_eq!(*snapshots.borrow(), Snapshot::before_start("toy"));

    tap.step(at(10), &Cause::Start, &[], &Toy::Waiting);
    tap.step(at(20), &Cause::Timeout, &[], &Toy::Waiting);

    let expected = Snapshot {
        role: "toy",
        phase: "Waiting",
        since: Unix(10),
        waits_for: "a friend",
        standing: Standing::Starting,
        steps: 2,
        root_token_since: None,
    };
    assert_eq!(*snapshots.borrow(), expected);
    tap.step(at(30), &Cause::Timeout, &[], &Toy::Serving);
    let ready =
        Snapshot { phase: "Serving", since: Unix(30), standing: Standing::Ready, steps: 3, ..expected };
    assert_eq!(*snapshots.borrow(), ready);
}

#[test]
fn a_step_is_one_line_and_a_new_phase_another() {
    let (mut tap, _snapshots) = LogTap::<Toy>::new("toy");

    let log = Log::of("debug", || {
        tap.step(at(1), &Cause::Start, &[call("hello")], &Toy::Waiting);
        let done = Event::Done { id: CallId(3), outcome: Outcome::Unknown(Lost::Deadline) };
        let notices = [Effect::Notice(Told::Alone), Effect::Notice(Told::Found { friend: "B".to_owned() })];
        tap.step(at(2), &Cause::Event(done), &notices, &Toy::Waiting);
    });

    let messages: Vec<&str> = log.iter().map(|line| line["message"].as_str().expect("a message")).collect();
    assert_eq!(messages, ["Step", "Phase", "Step", "Alone", "Found"]);
    assert_eq!(
        (&log[0]["before"], &log[0]["after"], &log[0]["cause"], &log[0]["effects"]),
        (&"NotStarted".into(), &"Waiting".into(), &"start".into(), &"call 7 \"hello\"".into())
    );
    assert_eq!(log[2]["cause"], "done 3 unknown Deadline");
    assert_eq!((&log[3]["level"], &log[3]["facts"]), (&"INFO".into(), &"{}".into()));
    assert_eq!((&log[4]["level"], &log[4]["facts"]), (&"INFO".into(), &r#"{"friend":"B"}"#.into()));
}

#[test]
fn the_phases_of_one_deed_are_one_line() {
    let (mut tap, snapshots) = LogTap::<Toy>::new("toy");

    let log = Log::of("debug", || {
        for machine in [Toy::Waiting, Toy::WaitingLonger, Toy::Serving] {
            tap.step(at(1), &Cause::Timeout, &[], &machine);
        }
    });

    let lines = log.iter().filter(|line| line["message"] != "Step");
    let phases: Vec<_> = lines.map(|line| (line["message"].clone(), line["phase"].clone())).collect();
    let line = |message: &str, phase: serde_json::Value| (message.into(), phase);
    let null = serde_json::Value::Null;
    assert_eq!(
        phases,
        [line("Phase", "Waiting".into()), line("Phase", "Serving".into()), line("Ready", null)]
    );
    assert_eq!(snapshots.borrow().phase, "Serving");
}

#[test]
fn the_last_words_name_cause_remedy_and_what_was_waited_for() {
    let folder = TempDir::new().expect("a temporary directory");
    let path = folder.path().join("termination-log");
    let (tap, _snapshots) = LogTap::<Toy>::new("toy");
    let mut tap = tap.termination_log(path.clone());

    let log = Log::of("info", || tap.step(at(1), &Cause::Timeout, &[], &Toy::Stopped));

    let last = log.last().expect("a line");
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"Stopped".into()));
    assert_eq!((&last["fatal"], &last["exit_code"]), (&"GaveUp".into(), &50.into()));
    let written = fs::read_to_string(path).expect("written");
    let (cause, remedy) = (Fatal::GaveUp.cause(), Fatal::GaveUp.remedy());
    assert_eq!(written, format!("GaveUp: {cause}\nRemedy: {remedy}\nLast: a friend\n"));
}

#[test]
fn a_root_token_that_does_not_die_is_an_alarm_and_once() {
    let (tap, snapshots) = LogTap::<Toy>::new("toy");
    let mut tap = tap.root_token(|told| match told {
        Told::Alone => Some(RootToken::Dead),
        Told::Found { friend } => (friend == "root").then_some(RootToken::Alive),
    });
    let found = |friend: &str| [Effect::Notice(Told::Found { friend: friend.to_owned() })];
    let mut since = Vec::new();

    let log = Log::of("error", || {
        for (second, effects) in [
            (1_000, &found("B")),
            (1_001, &found("root")),
            (1_002, &found("root")),
            (1_600, &found("B")),
            (1_601, &found("B")),
            (1_602, &found("B")),
            (1_603, &[Effect::Notice(Told::Alone)]),
        ] {
            tap.step(at(second), &Cause::Timeout, effects, &Toy::Waiting);
            since.push(snapshots.borrow().root_token_since);
        }
    });

    let alive = Some(Unix(1_001));
    assert_eq!(since, [None, alive, alive, alive, alive, alive, None]);
    let lines: Vec<_> = log.iter().map(|line| (line["message"].clone(), line["alive_s"].clone())).collect();
    assert_eq!(lines, [("RootTokenAlive".into(), 600.into())]);
}

#[test]
fn a_long_call_is_cut() {
    let effects: [Effect<Toy>; 1] = [call(&"ä".repeat(1_000))];

    let text = effects_text(&effects);

    assert_eq!(text.chars().count(), "call 7 ".len() + DETAIL_CHARS_MAX + 1);
    assert!(text.ends_with("ä…"), "{text}");
}

#[test]
fn libraries_are_capped_whatever_is_chosen() {
    for levels in ["trace", "trace,h2=trace", "info,kubefox_io=trace"] {
        let filter = filter(levels).expect("levels");
        assert!(filter.would_enable("kubefox_io::driver", &Level::TRACE), "{levels}");
        assert!(!filter.would_enable("h2::codec", &Level::DEBUG), "{levels}");
        assert!(filter.would_enable("h2::codec", &Level::INFO), "{levels}");
        assert!(!filter.would_enable("async_nats::connector", &Level::ERROR), "{levels}");
    }
    let quiet = filter("warn").expect("a level");
    assert!(!quiet.would_enable("kubefox_core", &Level::INFO));
    assert!(!quiet.would_enable("hyper", &Level::INFO));
    assert_eq!(filter("kubefox=loud").err(), Some(NotLogging::Filter));
}

/// What the machine tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Told {
    Alone,
    Found { friend: String },
}

/// A machine that is whatever a test says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Toy {
    Waiting,
    WaitingLonger,
    Serving,
    Stopped,
}

impl Machine for Toy {
    type Config = ();
    type Call = String;
    type Reply = String;
    type Ask = String;
    type Answer = String;
    type Notice = Told;
    type Signal = String;

    fn start((): (), _: Seed, _: Now, _: &mut Out<Self>) -> Self {
        Self::Waiting
    }

    fn handle_event(&mut self, _: Now, _: Event<Self>, _: &mut Out<Self>) {}

    fn handle_timeout(&mut self, _: Now, _: &mut Out<Self>) {}

    fn poll_timeout(&self) -> Option<(Mono, &'static str)> {
        None
    }

    fn phase(&self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::WaitingLonger => "Waiting::Longer",
            Self::Serving => "Serving",
            Self::Stopped => "Stopped",
        }
    }

    fn phases() -> BTreeSet<&'static str> {
        [Self::Waiting, Self::WaitingLonger, Self::Serving, Self::Stopped].map(|toy| toy.phase()).into()
    }

    fn waits_for(&self) -> &'static str {
        "a friend"
    }

    fn standing(&self) -> Standing {
        match self {
            Self::Waiting | Self::WaitingLonger => Standing::Starting,
            Self::Serving => Standing::Ready,
            Self::Stopped => Standing::Stopped(Fatal::GaveUp),
        }
    }
}

fn at(unix: u64) -> Now {
    Now { mono: Mono(0), unix: Unix(unix) }
}

fn call(text: &str) -> Effect<Toy> {
    Effect::Call { id: CallId(7), by: Mono(0), behalf: None, call: text.to_owned() }
}

/// Log lines as they are written in production.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The lines of a story.
    pub(crate) fn of(levels: &str, story: impl FnOnce()) -> Vec<serde_json::Value> {
        let log = Self::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(log.clone()).json().flatten_event(true);
        let subscriber = tracing_subscriber::registry().with(filter(levels).expect("levels")).with(layer);
        tracing::subscriber::with_default(subscriber, story);
        let written = log.0.lock().expect("no panic before");
        let lines = std::str::from_utf8(&written).expect("UTF-8").lines();
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic before").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_level_that_is_none_is_refused() {
    for wrong in ["nonsense", "inof", "info,nonsense", "kubefox_io=loud"] {
        assert_eq!(filter(wrong).map(drop), Err(NotLogging::Filter), "{wrong}");
    }
    for right in ["info", "debug", "warn,kubefox_io=trace", "INFO"] {
        assert!(filter(right).is_ok(), "{right}");
    }
}
