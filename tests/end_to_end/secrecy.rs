//! No secret is written where it does not belong: logs, state and what `up` prints are searched.
//!
//! The embedded Vault marks all that it mints, the cluster's tokens have a header that nothing else has, and the seal key is
//! read from where it belongs. The mark and the seal key are searched for raw, in hexadecimal and in the alignments of
//! base64.

use std::path::{Path, PathBuf};

use kubefox_sim::secrecy::Search;

use crate::run::{Run, finish, text, up};

/// So many bytes of a secret are enough to know it again.
const RECOGNIZED_BYTES: usize = 16;

#[test]
fn a_whole_start_leaves_no_secret_in_logs_state_or_output() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let output = finish(up().args(["--once", "--json", "--state"]).arg(state.path()));

    assert!(output.status.success(), "{}", text(&output.stderr));
    let pods = state.path().join("pods");
    let search = search_for_secrets_of(&pods);
    // The search finds each kind of secret where it does belong; otherwise its silence elsewhere proves nothing.
    for place in
        ["nats/shared/tls.key", "nats/tokens/kubefox", "controller/tokens/setup", "controller/seal-key/key"]
    {
        let bytes = std::fs::read(pods.join(place)).expect("it is mounted there");
        assert!(search.first_in(&bytes).is_some(), "{place} holds a secret");
    }
    assert!(
        search
            .first_in(&std::fs::read(pods.join("controller/state/vault/vault.json")).expect("Vault's disk"))
            .is_some()
    );
    let mut searched = Vec::new();
    for folder in [state.path().join("logs"), pods.join("controller/state/kubefox")] {
        for file in files(&folder) {
            assert_clean(
                &search,
                &std::fs::read(&file).expect("a file that was just listed"),
                &file.display().to_string(),
            );
            searched.push(file.file_name().expect("a file has a name").to_string_lossy().into_owned());
        }
    }
    searched.sort();
    let expected = [
        "boot.state",
        "component-a.log",
        "component-b.log",
        "controller.log",
        "init-nats.log",
        "runtime-component-a.log",
        "runtime-component-b.log",
    ];
    for name in expected {
        assert!(searched.iter().any(|searched| searched == name), "{name} is not among {searched:?}");
    }
    assert_clean(&search, &output.stdout, "what up printed");
    assert_clean(&search, &output.stderr, "what up printed as an error");
}

#[test]
fn a_recording_of_a_first_start_holds_no_secret() {
    let state = tempfile::tempdir().expect("a temporary directory");

    // All secrets of a first start have been there by then, and the root token is dead.
    Run::of(state.path(), &["--kill", "controller@Configure::WritingAccount"]);

    let search = search_for_secrets_of(&state.path().join("pods"));
    let recording = std::fs::read(state.path().join("recordings/trace.jsonl")).expect("it was taken");
    for call in ["Initialize", "WriteAccount", "Unseal"] {
        let call = format!("{{\"Vault\":{{\"{call}\"");
        let bare = call.replace("{\"Vault\":{", "{\"Vault\":");
        let text = text(&recording);
        assert!(text.contains(&call) || text.contains(&bare), "{call} is not in the recording");
    }
    assert_clean(&search, &recording, "the recording");
}

/// For what the embedded Vault mints, and for what lies in the volumes of these pods.
fn search_for_secrets_of(pods: &Path) -> Search {
    let mut search = Search::for_marks();
    let seal_key = std::fs::read(pods.join("controller/seal-key/key")).expect("the controller stored it");
    assert_eq!(seal_key.len(), 32);
    search.add(&seal_key[..RECOGNIZED_BYTES]);
    search
}

fn assert_clean(search: &Search, bytes: &[u8], place: &str) {
    if let Some(pattern) = search.first_in(bytes) {
        panic!("{place} holds a secret: {}", String::from_utf8_lossy(pattern));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("up made the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
