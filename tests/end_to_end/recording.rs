//! Killing a controller where it stands still, and replaying what it and others recorded.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubefox_sim::replay::{Difference, replay};
use serde_json::json;

use crate::run::{Run, finish, kubefox, text, up};

/// A role writes its recording at once.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_killed_controller_comes_back_and_its_recording_replays_until_a_line_is_changed() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let run = Run::of(state.path(), &["--kill", "controller@Sweep::Listing"]);

    assert_eq!([run.get("/killed/killed"), run.get("/killed/total")], [&json!(1), &json!(1)]);
    assert_eq!(*run.get("/killed/kills/0/moment"), json!("Sweep::Listing"));
    assert_eq!(*run.get("/killed/kills/0/outcome"), json!("serves"));
    assert_eq!(*run.get("/proof/returned"), json!(true));
    let recording =
        std::fs::read_to_string(state.path().join("recordings/trace.jsonl")).expect("it was taken");
    let replayed = replay(&recording).expect("the same core does the same");
    assert_eq!((replayed.role.as_str(), replayed.phase.as_str()), ("controller", "Sweep::Listing"));
    let changed = recording.replacen(r#""sealed":false"#, r#""sealed":true"#, 1);
    assert_ne!(changed, recording, "the controller has looked at Vault's seal");
    let difference = replay(&changed).expect_err("with a sealed Vault it goes another way");
    assert!(matches!(difference, Difference::Step { part: "effects", .. }), "{difference}");
}

#[test]
fn a_state_that_is_none_is_refused_with_those_that_there_are() {
    let aim = finish(up().args(["--once", "--kill", "controller@Nowhere"]));
    let halt = finish(kubefox().args([
        "init",
        "nats",
        "--controller-address",
        "127.0.0.1:1",
        "--halt-at",
        "Nowhere",
    ]));

    for (output, known) in [(aim, "\n  Unseal::{AwaitingActive, Unsealing}"), (halt, "WritingBundle")] {
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains("there is no state \"Nowhere\"") && said.contains(known), "{said}");
    }
}

#[test]
fn a_user_signal_writes_what_a_role_has_done_so_far() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut role = waiting_initializer(folder.path());
    let trace = folder.path().join("trace.jsonl");

    // Before the role watches for it the signal would end it; the first wait is told later than that.
    wait_for(&folder.path().join("log"), "Waiting");
    let id = role.id().to_string();
    let sent = Command::new("kill").args(["-USR1", &id]).status().expect("kill is everywhere");
    assert!(sent.success());
    wait_for(&trace, "BackingOff");

    assert!(matches!(role.try_wait(), Ok(None)), "it goes on");
    role.kill().expect("it runs");
    role.wait().expect("it is a child of this test");
    let replayed = replay(&std::fs::read_to_string(&trace).expect("it is there")).expect("nothing differs");
    assert_eq!(replayed.role, "init nats");
}

/// An initializer without any mount, with everything it says in `log`.
fn waiting_initializer(folder: &Path) -> std::process::Child {
    let log = std::fs::File::create(folder.join("log")).expect("a temporary file");
    let mut command = kubefox();
    command.args(["init", "nats", "--controller-address", "127.0.0.1:1", "--status-listen", "127.0.0.1:0"]);
    for (flag, name) in [
        ("--service-account-dir", "tokens"),
        ("--trust-dir", "trust"),
        ("--output-dir", "shared"),
        ("--termination-log", "termination"),
        ("--record-dir", "."),
    ] {
        command.arg(flag).arg(folder.join(name));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("it was built with the tests")
}

#[expect(clippy::disallowed_methods, reason = "no role runs on the thread of this test")]
fn wait_for(file: &Path, words: &str) {
    let until = Instant::now() + WRITTEN_WITHIN;
    while !std::fs::read_to_string(file).is_ok_and(|said| said.contains(words)) {
        assert!(Instant::now() < until, "{} does not say {words}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}
