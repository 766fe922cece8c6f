//! No secret is written where it does not belong: logs, state, volumes and what `up` prints are searched.
//!
//! The embedded Vault marks all that it mints, so that a handful of patterns finds its secrets raw, in hexadecimal and
//! in base64.

use std::path::{Path, PathBuf};

use kubefox_sim::fake::vault::SECRET_MARK;

use crate::run::{finish, text, up};

#[test]
fn a_whole_start_leaves_no_secret_in_logs_state_or_output() {
    let state = tempfile::tempdir().expect("a temporary directory");

    let output = finish(up().args(["--once", "--json", "--state"]).arg(state.path()));

    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut searched = 0;
    for folder in ["logs", "pods/controller/state"] {
        for file in files(&state.path().join(folder)) {
            let bytes = std::fs::read(&file).expect("a file that was just listed");
            assert_clean(&bytes, &file.display().to_string());
            searched += 1;
        }
    }
    assert!(searched >= 6, "the logs of five processes and boot.state, but only {searched} files");
    assert_clean(&output.stdout, "what up printed");
    assert_clean(&output.stderr, "what up printed as an error");
}

#[test]
fn the_search_finds_what_it_is_for() {
    let vault = std::str::from_utf8(SECRET_MARK).expect("the mark is ASCII");
    for secret in [
        format!("token s.{vault}abc"),
        format!("key {}", hex(SECRET_MARK)),
        "-----BEGIN PRIVATE KEY-----".to_owned(),
    ] {
        assert!(pattern_in(secret.as_bytes()).is_some(), "{secret}");
    }
}

fn assert_clean(bytes: &[u8], place: &str) {
    if let Some(pattern) = pattern_in(bytes) {
        panic!("{place} holds a secret: {}", String::from_utf8_lossy(&pattern));
    }
}

/// The first pattern of a secret that occurs.
fn pattern_in(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut patterns = vec![SECRET_MARK.to_vec(), hex(SECRET_MARK).into_bytes()];
    patterns.extend(base64(SECRET_MARK));
    // Private keys, and service-account tokens of the embedded cluster: a JWT header with ES256 and a key id.
    patterns.extend([b"PRIVATE KEY".to_vec(), b"eyJhbGciOiJFUzI1NiIs".to_vec()]);
    patterns.into_iter().find(|pattern| bytes.windows(pattern.len()).any(|window| window == pattern))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is certain of the base64 of a text that contains `bytes`, for each of the three alignments.
fn base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3)
        .map(|skipped| {
            let bits: Vec<u8> =
                bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
            // Bits before the first whole character belong to one that the byte before it decides, too.
            let first = (6 - skipped * 8 % 6) % 6;
            let whole = bits[first..].chunks_exact(6);
            whole
                .map(|six| ALPHABET[usize::from(six.iter().fold(0, |value, bit| value << 1 | bit))])
                .collect()
        })
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("up made the folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}
