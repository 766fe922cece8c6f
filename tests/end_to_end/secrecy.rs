//! No secret is written where it does not belong: logs, state and what `up` prints are searched.
//!
//! The embedded Vault marks all that it mints; what others make (tokens of the cluster, the seal key) is read from where
//! it belongs. Each is searched for raw, in hexadecimal and in the alignments of base64.

use std::path::{Path, PathBuf};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use kubefox_sim::fake::vault::SECRET_MARK;

use crate::run::{Run, finish, text, up};

/// So many bytes of a secret are enough to know it again.
const RECOGNIZED_BYTES: usize = 16;

#[test]
fn a_whole_start_leaves_no_secret_in_logs_state_or_output() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let output = finish(up().args(["--once", "--json", "--state"]).arg(state.path()));

    assert!(output.status.success(), "{}", text(&output.stderr));
    let pods = state.path().join("pods");
    let search = Search::for_secrets_of(&pods);
    // The search finds each kind of secret where it does belong; otherwise its silence elsewhere proves nothing.
    for place in
        ["nats/shared/tls.key", "nats/tokens/kubefox", "controller/tokens/setup", "controller/seal-key/key"]
    {
        let bytes = std::fs::read(pods.join(place)).expect("it is mounted there");
        assert!(search.finds_in(&bytes), "{place} holds a secret");
    }
    assert!(search.finds_in(&std::fs::read(state.path().join("vault.json")).expect("Vault's disk")));
    let mut searched = Vec::new();
    for folder in [state.path().join("logs"), pods.join("controller/state")] {
        for file in files(&folder) {
            search.assert_clean(
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
    search.assert_clean(&output.stdout, "what up printed");
    search.assert_clean(&output.stderr, "what up printed as an error");
}

#[test]
fn a_recording_of_a_first_start_holds_no_secret() {
    let state = tempfile::tempdir().expect("a temporary directory");

    // All secrets of a first start have been there by then, and the root token is dead.
    Run::of(state.path(), &["--kill", "controller@Configure::WritingAccount"]);

    let search = Search::for_secrets_of(&state.path().join("pods"));
    let recording = std::fs::read(state.path().join("recordings/trace.jsonl")).expect("it was taken");
    for call in ["Initialize", "WriteAccount", "Unseal"] {
        let call = format!("{{\"Vault\":{{\"{call}\"");
        let bare = call.replace("{\"Vault\":{", "{\"Vault\":");
        let text = text(&recording);
        assert!(text.contains(&call) || text.contains(&bare), "{call} is not in the recording");
    }
    search.assert_clean(&recording, "the recording");
}

#[test]
fn the_search_finds_a_secret_in_every_writing() {
    let search = Search::for_marks();
    for before in ["", "a", "ab"] {
        let secret = [before.as_bytes(), SECRET_MARK, b"\xff\xfe and more"].concat();
        for written in [
            format!("token s.{}", String::from_utf8_lossy(&secret)),
            format!("key {}", HEXLOWER.encode(&secret)),
            format!("key {}", HEXUPPER.encode(&secret)),
            format!("key {}", BASE64_NOPAD.encode(&secret)),
            format!("key {}", BASE64URL_NOPAD.encode(&secret)),
        ] {
            assert!(search.finds_in(written.as_bytes()), "{written}");
        }
    }
    assert!(!search.finds_in(b"{\"message\":\"Serving\",\"address\":\"127.0.0.1:1\"}"));
}

/// Patterns, any of which is a secret.
struct Search(Vec<Vec<u8>>);

impl Search {
    /// What the embedded Vault mints; private keys as PEM; service-account tokens of the embedded cluster, which are
    /// JWTs with a header of ES256 and a key id.
    fn for_marks() -> Self {
        let mut search = Self(vec![b"PRIVATE KEY".to_vec(), b"eyJhbGciOiJFUzI1NiIs".to_vec()]);
        search.add(SECRET_MARK);
        search
    }

    /// Also what lies in the volumes of these pods.
    fn for_secrets_of(pods: &Path) -> Self {
        let mut search = Self::for_marks();
        let seal_key = std::fs::read(pods.join("controller/seal-key/key")).expect("the controller stored it");
        assert_eq!(seal_key.len(), 32);
        search.add(&seal_key[..RECOGNIZED_BYTES]);
        search
    }

    /// Adds a secret in all its writings.
    fn add(&mut self, secret: &[u8]) {
        self.0.extend([
            secret.to_vec(),
            HEXLOWER.encode(secret).into_bytes(),
            HEXUPPER.encode(secret).into_bytes(),
        ]);
        for skipped in 0..3 {
            self.0.push(aligned(BASE64_NOPAD.encode(&[&vec![0; skipped], secret].concat()), skipped, secret));
            self.0.push(aligned(
                BASE64URL_NOPAD.encode(&[&vec![0; skipped], secret].concat()),
                skipped,
                secret,
            ));
        }
    }

    fn finds_in(&self, bytes: &[u8]) -> bool {
        self.first_in(bytes).is_some()
    }

    fn first_in(&self, bytes: &[u8]) -> Option<&[u8]> {
        let occurs =
            |pattern: &&Vec<u8>| bytes.windows(pattern.len()).any(|window| window == pattern.as_slice());
        self.0.iter().find(occurs).map(Vec::as_slice)
    }

    fn assert_clean(&self, bytes: &[u8], place: &str) {
        if let Some(pattern) = self.first_in(bytes) {
            panic!("{place} holds a secret: {}", String::from_utf8_lossy(pattern));
        }
    }
}

/// Of the base64 of `skipped` other bytes and a secret, the characters that the secret alone decides.
fn aligned(encoded: String, skipped: usize, secret: &[u8]) -> Vec<u8> {
    let first = (skipped * 8).div_ceil(6);
    let last = (skipped + secret.len()) * 8 / 6;
    encoded.as_bytes()[first..last].to_vec()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("up made the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
