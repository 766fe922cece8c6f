//! Searching for secrets where none may be.
//!
//! Every secret that a fake mints is marked ([`SECRET_MARK`]), private keys are PEM, service-account tokens have one
//! header: so a handful of patterns finds any of them, raw, in hexadecimal, and in the three alignments of base64.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use memchr::memmem::Finder;

use crate::fake::vault::SECRET_MARK;

/// Patterns, any of which is a secret.
pub struct Search(Vec<Finder<'static>>);

impl Search {
    /// What fakes mint; private keys as PEM; service-account tokens of the fake cluster, which are JWTs with a header of
    /// ES256 and a key id.
    #[must_use]
    pub fn for_marks() -> Self {
        let mut search = Self(Vec::new());
        search.pattern(b"PRIVATE KEY");
        search.pattern(b"eyJhbGciOiJFUzI1NiIs");
        search.add(SECRET_MARK);
        search
    }

    /// Adds a secret in all its writings.
    pub fn add(&mut self, secret: &[u8]) {
        self.pattern(secret);
        self.pattern(HEXLOWER.encode(secret).as_bytes());
        self.pattern(HEXUPPER.encode(secret).as_bytes());
        for skipped in 0..3 {
            for base64 in [BASE64_NOPAD, BASE64URL_NOPAD] {
                self.pattern(aligned(
                    &base64.encode(&[&vec![0; skipped], secret].concat()),
                    skipped,
                    secret.len(),
                ));
            }
        }
    }

    /// The first pattern that occurs.
    #[must_use]
    pub fn first_in(&self, bytes: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|finder| finder.find(bytes).is_some()).map(Finder::needle)
    }

    fn pattern(&mut self, pattern: &[u8]) {
        if !self.0.iter().any(|finder| finder.needle() == pattern) {
            self.0.push(Finder::new(pattern).into_owned());
        }
    }
}

/// Of the base64 of `skipped` other bytes and a secret, the characters that the secret alone decides.
fn aligned(encoded: &str, skipped: usize, secret_bytes: usize) -> &[u8] {
    let first = (skipped * 8).div_ceil(6);
    let last = (skipped + secret_bytes) * 8 / 6;
    &encoded.as_bytes()[first..last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_writing() {
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
                assert!(search.first_in(written.as_bytes()).is_some(), "{written}");
            }
        }
        assert_eq!(search.first_in(b"{\"message\":\"Serving\",\"address\":\"127.0.0.1:1\"}"), None);
    }
}
