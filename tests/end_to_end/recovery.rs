//! An initialization of Vault whose answer was lost is recovered by the flag and the pod's init container, on the disks
//! of the run that was interrupted.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::{Run, finish, text, up};
use crate::running::Running;

/// A real control plane and an initialization on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at a log.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The production binary, whose controller stands still when Vault's unseal key is on its way to it.
const STANDS_STILL: &str = r#"#!/bin/sh
case "$1" in
    controller) exec "$KUBEFOX_UNDER_TEST" "$@" --halt-at Initialize::Initializing ;;
    *) exec "$KUBEFOX_UNDER_TEST" "$@" ;;
esac
"#;

#[test]
fn an_interrupted_initialization_stops_by_name_and_comes_up_with_the_flag() {
    interrupted_and_recovered(&[]);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_servers_come_up_with_the_flag_after_an_interrupted_initialization() {
    interrupted_and_recovered(&["--real"]);
}

fn interrupted_and_recovered(flags: &[&str]) {
    let state = tempfile::tempdir().expect("a temporary directory");
    interrupt(state.path(), flags);

    let output = finish(up().args(["--once", "--state"]).arg(state.path()).args(flags));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("InitInterrupted"), "{}", text(&output.stderr));
    assert_eq!(quarantines(state.path()), Vec::<PathBuf>::new(), "nothing moves without the flag");

    let recovered = Run::of(state.path(), &[flags, &["--recover-interrupted-init"]].concat());
    assert_eq!(*recovered.get("/boot/path"), json!("initialize"));
    assert_eq!(*recovered.get("/roots_found"), json!(0));
    let kept = quarantines(state.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(std::fs::read_dir(&kept[0]).expect("a directory").next().is_some(), "the old data is kept");

    let next = Run::of(state.path(), &[flags, &["--recover-interrupted-init"]].concat());
    assert_eq!([next.get("/boot/path"), next.get("/boot/writes")], [&json!("unseal"), &json!(0)]);
    assert_eq!(next.get("/ca"), recovered.get("/ca"));
    assert_eq!(quarantines(state.path()), kept, "nothing moves once a key is safe");
}

/// Leaves the disks of a first start that was killed when Vault had answered and the controller had not heard it.
#[expect(clippy::disallowed_methods, reason = "no role runs on the thread of this test")]
fn interrupt(state: &Path, flags: &[&str]) {
    let program = state.join("stands-still");
    std::fs::write(&program, STANDS_STILL).expect("a temporary file");
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("it is ours");
    let mut command = up();
    command.args(["--once", "--state"]).arg(state).arg("--kubefox").arg(&program).args(flags);
    command.env("KUBEFOX_UNDER_TEST", env!("CARGO_BIN_EXE_kubefox-under-test"));
    let mut running = Running::of(command.stdout(Stdio::null()));
    let log = state.join("logs/controller.log");
    let until = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("Halted") {
        assert!(Instant::now() < until && running.is_there(), "the controller never stood still");
        std::thread::sleep(LOOK_EVERY);
    }
    running.interrupt();
}

fn quarantines(state: &Path) -> Vec<PathBuf> {
    let volume = std::fs::read_dir(state.join("pods/controller/state")).expect("the volume");
    let paths = volume.map(|entry| entry.expect("it can be read").path());
    paths.filter(|path| path.display().to_string().contains("/quarantine-")).collect()
}
