//! On the real OpenBao, kube-apiserver with etcd, and nats-server.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::run::{Run, finish, text};

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_servers_come_up_from_empty_disks_and_again_from_their_own() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let first = Run::of(state.path(), &["--real"]);
    let second = Run::of(state.path(), &["--real"]);

    for run in [&first, &second] {
        assert_eq!(*run.get("/ok"), json!(true));
        assert_eq!(*run.get("/servers"), json!("real"));
        assert_eq!(*run.get("/roots_found"), json!(0));
        let vault = run.get("/versions/vault").as_str().expect("a version");
        assert!(vault.starts_with("OpenBao v2.7.2"), "{vault}");
        assert_eq!(*run.get("/versions/kubernetes"), json!("v1.36.3"));
        let nats = run.get("/versions/nats").as_str().expect("a version");
        assert!(nats.starts_with("v2.14."), "{nats}");
    }
    assert_eq!([first.get("/boot/path"), second.get("/boot/path")], [&json!("initialize"), &json!("unseal")]);
    assert_eq!(*second.get("/boot/writes"), json!(0));
    for same in ["/ca", "/operator", "/proof/from", "/proof/to"] {
        assert_eq!(first.get(same), second.get(same), "{same}");
    }

    check_jwts(&jwts_of(&state.path().join("pods/nats/shared/nats.conf")), state.path());
}

/// OpenBao signs the requests of both sides, nats-server and the runtimes work on keys that it has never seen.
#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_servers_work_on_keys_that_were_born_in_the_pods() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let run = Run::of(state.path(), &["--real", "--key-origin", "pod"]);

    assert_eq!(*run.get("/ok"), json!(true));
    assert_eq!([run.get("/proof/delivered"), run.get("/proof/returned")], [&json!(true), &json!(true)]);
}

/// The golden JWTs of core are what the official library accepts, a user's among them.
#[test]
#[ignore = "needs jwt-check of tests/peers/build"]
fn real_library_accepts_the_golden_jwts() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
    let names = ["operator.jwt", "account-system.jwt", "account-platform.jwt", "user.jwt"];
    let output = finish(Command::new(peer("jwt-check")).args(names.map(|name| golden.join(name))));

    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// The three JWTs that nats.conf carries.
fn jwts_of(conf: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(conf).expect("the initializer wrote it");
    let is_jwt = |word: &&str| word.starts_with("eyJ") && word.split('.').count() == 3;
    let words = text.split(|c: char| c == '"' || c.is_whitespace()).filter(is_jwt);
    words.map(str::to_owned).collect()
}

/// The official library decodes and validates what the platform signed.
fn check_jwts(jwts: &[String], folder: &Path) {
    assert_eq!(jwts.len(), 3, "operator, system account and platform account");
    let files: Vec<PathBuf> = (0..jwts.len()).map(|index| folder.join(format!("{index}.jwt"))).collect();
    for (file, jwt) in files.iter().zip(jwts) {
        std::fs::write(file, jwt).expect("a temporary file");
    }
    let output = finish(Command::new(peer("jwt-check")).args(&files));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn peer(name: &str) -> PathBuf {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/build");
    let output = finish(Command::new(build).arg("--where"));
    PathBuf::from(text(&output.stdout).trim()).join(name)
}
