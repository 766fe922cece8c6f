//! On the embedded servers.

use data_encoding::BASE64;
use kubefox_sim::fake::vault::SECRET_MARK;
use serde_json::json;

use crate::run::{Run, finish, text, up};

#[test]
fn the_first_start_initializes_and_the_second_unseals_the_same_platform() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let first = Run::of(state.path(), &[]);
    let second = Run::of(state.path(), &[]);

    for run in [&first, &second] {
        assert_eq!(*run.get("/ok"), json!(true));
        assert_eq!(*run.get("/servers"), json!("embedded"));
        assert_eq!(*run.get("/roots_found"), json!(0));
        assert_eq!([run.get("/proof/delivered"), run.get("/proof/returned")], [&json!(true), &json!(true)]);
    }
    assert_eq!([first.get("/boot/path"), second.get("/boot/path")], [&json!("initialize"), &json!("unseal")]);
    assert_eq!(*second.get("/boot/writes"), json!(0));
    for same in ["/ca", "/operator", "/proof/from", "/proof/to"] {
        assert_eq!(first.get(same), second.get(same), "{same}");
    }
    assert_ne!(
        first.get("/proof/payload"),
        second.get("/proof/payload"),
        "each run sends a message of its own"
    );
}

/// The embedded Vault marks every key that it makes. A second start, on a Vault that knows the platform, is no different.
#[test]
fn keys_are_made_where_they_are_told_to_be_and_the_platform_works_alike() {
    let state = tempfile::tempdir().expect("a temporary directory");
    for (origin, in_vault) in [("vault", true), ("pod", false)] {
        let run = Run::of(state.path(), &["--key-origin", origin]);

        assert_eq!(*run.get("/ok"), json!(true));
        assert_eq!([run.get("/proof/delivered"), run.get("/proof/returned")], [&json!(true), &json!(true)]);
        let keys = ["nats", "component-a", "component-b"].map(|pod| {
            let path = state.path().join(format!("pods/{pod}/shared/tls.key"));
            let text = std::fs::read_to_string(path).expect("the role wrote it");
            let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            BASE64.decode(base64.as_bytes()).expect("PEM is base64")
        });
        for key in &keys {
            let is_marked = key.windows(SECRET_MARK.len()).any(|window| window == SECRET_MARK);
            assert_eq!(is_marked, in_vault, "a key whose origin is the {origin}");
        }
        assert_ne!(keys[1], keys[2], "each has its own");
    }
}

#[test]
fn the_roles_run_as_the_production_binary() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let run = Run::of(state.path(), &["--kubefox", env!("CARGO_BIN_EXE_kubefox-under-test")]);

    assert_eq!(*run.get("/ok"), json!(true));
}

#[test]
fn a_real_server_that_is_missing_is_an_error_and_never_a_fall_back() {
    let (state, empty) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));

    let output =
        finish(up().args(["--once", "--real", "--state"]).arg(state.path()).arg("--peers").arg(empty.path()));

    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("run tests/peers/build, or say where it is with --peers"), "{said}");
}

#[test]
fn a_lost_envelope_stops_the_controller_by_name_and_nothing_is_initialized_again() {
    let state = tempfile::tempdir().expect("a temporary directory");
    Run::of(state.path(), &[]);
    std::fs::remove_file(state.path().join("pods/controller/state/kubefox/boot.state"))
        .expect("the envelope lies there");

    let output = finish(up().args(["--once", "--state"]).arg(state.path()));

    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("EnvelopeMissing"), "{said}");
    let last_words =
        std::fs::read_to_string(state.path().join("logs/controller-termination")).expect("last words");
    assert!(
        last_words.starts_with("EnvelopeMissing: Vault is initialized and there is no boot.state"),
        "{last_words}"
    );
    assert!(!state.path().join("pods/controller/state/kubefox/boot.state").exists(), "no new life was begun");
}
