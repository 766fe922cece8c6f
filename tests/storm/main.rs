//! NATS restarts under two hundred brokers, each a process with a pod, an identity and a nonce of its own.
//!
//! A test program of its own, so that nothing else of this repository runs beside it.

#![forbid(unsafe_code)]

use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Beside those of the two components.
const BROKERS: u64 = 200;
/// From the death of NATS to the moment when the last broker is connected again.
const BACK_WITHIN_MS: u64 = 10_000;

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_restart_of_nats_under_two_hundred_brokers_locks_nobody_out() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let mut up = Command::new(env!("CARGO_BIN_EXE_up-under-test"));
    up.args(["--once", "--json", "--real", "--storm", &BROKERS.to_string(), "--state"]).arg(state.path());

    let output = up.stdin(Stdio::null()).output().expect("the program was built with the tests");

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let storm = &report["storm"];
    assert_eq!(storm["brokers"], json!(BROKERS + 2));
    let restarts = storm["restarts"].as_array().expect("a list");
    let kept: Vec<&Value> = restarts.iter().map(|restart| &restart["logins_kept"]).collect();
    assert_eq!(kept, [&json!(true), &json!(false)]);
    for restart in restarts {
        let all_ms = restart["all_ms"].as_u64().expect("a time");
        assert!(all_ms < BACK_WITHIN_MS, "{restart}");
    }
    assert_eq!(report["proof"]["returned"], json!(true), "messages pass again");
}
