//! What the recorder keeps is what a replay needs, and a changed line is found.

use std::sync::{Arc, Mutex};

use kubefox_core::bootstrap::KeyOrigin;
use kubefox_core::initializer::Config;
use kubefox_core::machine::{CallId, Effect, Event, Outcome, Refusal, Seed};
use kubefox_core::quarantine;
use kubefox_core::time::{Mono, Now, Unix};
use kubefox_io::driver::Tap;
use kubefox_io::driver::halt::Halt;
use kubefox_io::telemetry::recorder::{Recorder, RecordingTap, STEPS_KEPT, TRACE, write_shared};

use super::*;

#[test]
fn a_recording_comes_out_as_it_was() {
    let recording = recording(10);

    assert_eq!(recording.lines().count(), 11, "a header and the steps");
    assert!(recording.starts_with(r#"{"role":"init nats","version":""#), "{recording}");
    let replayed = replay(&recording).expect("nothing differs");
    assert_eq!((replayed.role.as_str(), replayed.steps), ("init nats", 10));
}

#[test]
fn a_quarantine_is_replayed_as_well() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let seed = Seed([3; 32]);
    let recorder =
        Recorder::<Quarantine>::new("init vault", folder.path().to_owned(), quarantine::Config, seed);
    let recorder = Arc::new(Mutex::new(recorder));
    let now = Now { mono: Mono(0), unix: Unix(1_800_000_000) };
    let mut out = Out::default();
    let machine = Quarantine::start(quarantine::Config, seed, now, &mut out);
    RecordingTap::new(Arc::clone(&recorder), Silent).step(now, &Cause::Start, &out.take(), &machine);
    write_shared(Some(&recorder));
    let recording = std::fs::read_to_string(folder.path().join(TRACE)).expect("it was written");

    let replayed = replay(&recording).expect("nothing differs");

    let expected =
        Replayed { role: "init vault".to_owned(), steps: 1, phase: "ClaimingDirectory".to_owned() };
    assert_eq!(replayed, expected);
}

#[test]
fn what_is_kept_is_bounded_and_begins_with_the_machine_as_it_was() {
    let steps = 3 * STEPS_KEPT + 7;

    let recording = recording(steps);

    let kept = recording.lines().count() - 1;
    assert_eq!(kept, STEPS_KEPT + 7);
    let first: Step<Initializer> =
        line(recording.lines().nth(1).expect("a step"), 2, "step").expect("a step");
    assert_eq!(first.seq, 2 * STEPS_KEPT as u64);
    assert_eq!(replay(&recording).expect("nothing differs").steps, kept as u64);
}

#[test]
fn the_first_changed_line_is_named_with_what_differs() {
    let recording = recording(10);

    let (at, call) = changed(&recording, r#""effects":[{"Call":{"id":"#, r#""effects":[{"Call":{"id":1"#);
    assert!(matches!(call, Difference::Step { line, part: "effects", .. } if line == at), "{call}");
    let (at, state) = changed(&recording, r#""phase":"BackingOff""#, r#""phase":"Bootstrapping""#);
    let words = format!(
        "line {at}, step {}: the states differ\n  recorded  Bootstrapping\n  replayed  BackingOff",
        at - 2
    );
    assert_eq!(state.to_string(), words);
    let (line, missing) = changed(&recording, r#""seq":5"#, r#""seq":6"#);
    assert_eq!(missing, Difference::OutOfOrder { line, seq: 6, due: 5 });
    let (at, broken) = changed(&recording, r#""cause""#, r#""reason""#);
    assert!(matches!(broken, Difference::Unreadable { line, what: "step", .. } if line == at), "{broken}");
    let (_, role) = changed(&recording, "init nats", "gardener");
    assert_eq!(role, Difference::NoSuchRole("gardener".to_owned()));
    assert!(matches!(replay(""), Err(Difference::Unreadable { line: 1, .. })));
}

/// The number of the first line with these words, and what a replay says of the recording with them changed there.
fn changed(recording: &str, from: &str, to: &str) -> (usize, Difference) {
    let at = recording.lines().position(|line| line.contains(from)).expect("a line has these words") + 1;
    // The first occurrence of the words is in the first line that has them.
    (at, replay(&recording.replacen(from, to, 1)).expect_err("a line was changed"))
}

/// What is written of an initializer that finds no mounts, so many steps long.
fn recording(steps: usize) -> String {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        listen: "127.0.0.1:4222".to_owned(),
        directory: "/var/run/kubefox/nats".to_owned(),
        ports_file_dir: None,
        key_origin: KeyOrigin::Vault,
        mount_grace_ms: u64::MAX,
        give_up_ms: 0,
    };
    let seed = Seed([3; 32]);
    let recorder = Recorder::<Initializer>::new("init nats", folder.path().to_owned(), config.clone(), seed);
    let recorder = Arc::new(Mutex::new(recorder));
    let mut tap = RecordingTap::new(Arc::clone(&recorder), Silent);
    let mut now = Now { mono: Mono(0), unix: Unix(1_800_000_000) };
    let mut out = Out::default();
    let mut machine = Initializer::start(config, seed, now, &mut out);
    let mut cause = Cause::Start;
    for step in 1..=steps {
        let effects = out.take();
        tap.step(now, &cause, &effects, &machine);
        if step == steps {
            break;
        }
        cause = match awaited(&effects) {
            Some(id) => Cause::Event(Event::Done { id, outcome: Outcome::Refused(Refusal::Local) }),
            None => Cause::Timeout,
        };
        match cause.clone() {
            Cause::Event(event) => machine.handle_event(now, event, &mut out),
            Cause::Timeout | Cause::Start => {
                now.mono = machine.poll_timeout().expect("it waits").0;
                machine.handle_timeout(now, &mut out);
            }
        }
    }
    write_shared(Some(&recorder));
    std::fs::read_to_string(folder.path().join(TRACE)).expect("it was written")
}

fn awaited(effects: &[Effect<Initializer>]) -> Option<CallId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Call { id, .. } => Some(*id),
        Effect::Answer { .. } | Effect::Notice(_) => None,
    })
}

/// Tells nobody.
struct Silent;

impl<M: Machine> Tap<M> for Silent {
    fn step(&mut self, _: Now, _: &Cause<M>, _: &[Effect<M>], _: &M) {}
    fn halted(&mut self, _: Halt) {}
    fn missed(&mut self, _: Halt) {}
}
