//! Everything that a component holds is renewed under its messages.

use serde_json::json;

use crate::run::Run;

#[test]
fn a_renewal_loses_no_message_whoever_made_the_keys() {
    for origin in ["vault", "pod"] {
        let state = tempfile::tempdir().expect("a temporary directory");

        let run = Run::of(state.path(), &["--renew", "2", "--key-origin", origin]);

        assert_renewed(&run, 2);
    }
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_renewal_loses_no_message() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let run = Run::of(state.path(), &["--real", "--renew", "5"]);

    assert_renewed(&run, 5);
}

fn assert_renewed(run: &Run, times: u64) {
    assert_eq!(*run.get("/renewal/times"), json!(times));
    let messages = run.get("/renewal/messages").as_u64().expect("a number");
    assert!(messages > 10 * times, "messages pass all the time: {messages}");
}
