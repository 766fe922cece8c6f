//! However `up` ends, no process of it is left, and no directory that it made for itself.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::running::{Running, signal};

/// A server that ignores SIGTERM is killed after five seconds, one after the other.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// How `up` ends that was interrupted before its proof was complete.
const INTERRUPTED: i32 = 130;
/// And after that.
const DONE: i32 = 0;

#[test]
fn an_interrupt_at_any_moment_leaves_nothing() {
    // Serving the API, initializing Vault, starting NATS.
    for moment in ["answers on", "begin a new life", "nats.conf"] {
        interrupt_at(moment, &[], &[INTERRUPTED]);
    }
    // Starting the brokers, which is so near to the proof that the signal may come behind it.
    interrupt_at("component-a", &[], &[INTERRUPTED, DONE]);
}

#[test]
fn an_interrupt_after_the_proof_is_the_ordinary_end() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut running = Running::start(temporary.path(), &[]);
    running.read_until("Ctrl-C ends it");

    assert_eq!(running.interrupt().code(), Some(DONE));
    assert_nothing_is_left(temporary.path());
}

#[test]
fn a_killed_up_takes_its_roles_with_it() {
    killed(&[], &["controller", "broker", "runtime"]);
}

#[test]
fn a_role_that_dies_ends_everything_with_its_last_words() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut running = Running::start(temporary.path(), &[]);
    running.read_until("Ctrl-C ends it");
    let roles = processes_naming(temporary.path());
    let controller = roles.iter().find(|(_, command)| command.contains(" controller ")).expect("it runs");

    signal("-KILL", controller.0);

    let output = running.end();
    assert_eq!(output.code(), Some(1));
    let kept = std::fs::read_dir(temporary.path()).expect("it exists").count();
    assert_eq!(kept, 1, "the disks of a failed run are kept");
    assert!(processes_naming(temporary.path()).is_empty());
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_servers_do_not_outlive_an_interrupt() {
    // The API server is up, OpenBao initializes, nats-server is about to start.
    for moment in ["answers on", "begin a new life", "initialize Vault", "nats.conf"] {
        interrupt_at(moment, &["--real"], &[INTERRUPTED]);
    }
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_servers_do_not_outlive_a_killed_up() {
    killed(&["--real"], &["controller", "broker", "runtime", "kube up", "bao server", "nats-server -c"]);
}

fn interrupt_at(moment: &str, flags: &[&str], ends: &[i32]) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut running = Running::start(temporary.path(), flags);
    running.read_until(moment);

    let code = running.interrupt().code().expect("no signal ended it");

    assert!(ends.contains(&code), "interrupted at `{moment}`: {code}");
    assert_nothing_is_left(temporary.path());
}

#[expect(clippy::disallowed_methods, reason = "no role runs on the thread of this test")]
fn killed(flags: &[&str], programs: &[&str]) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let mut running = Running::start(temporary.path(), flags);
    running.read_until("Ctrl-C ends it");
    let roles = processes_naming(temporary.path());
    for program in programs {
        assert!(
            roles.iter().any(|(_, command)| command.contains(program)),
            "{program} is not among {roles:?}"
        );
    }

    signal("-KILL", running.child.id());
    running.end();

    let until = Instant::now() + GONE_WITHIN;
    while Instant::now() < until && !processes_naming(temporary.path()).is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(processes_naming(temporary.path()), []);
}

fn assert_nothing_is_left(temporary: &Path) {
    assert_eq!(processes_naming(temporary), []);
    let left: Vec<_> = std::fs::read_dir(temporary).expect("it exists").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Living processes that were started, at whatever remove, by an `up` with that directory, and their command lines.
fn processes_naming(temporary: &Path) -> Vec<(u32, String)> {
    let mark = format!("KUBEFOX_TEST_MARK={}", temporary.display());
    let has_mark = |process: u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let names_directory = |command: &str| command.contains(&temporary.display().to_string());
    let entries = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .filter_map(|process| {
            let command = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            (has_mark(process) || names_directory(&command)).then_some((process, command))
        })
        .collect()
}
