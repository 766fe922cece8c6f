//! Everything the server makes up: uids, suffixes of generated names, keys. All of it is a function of the seed
//! and of how much was made up before.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::fake::uuid::hyphenated;

/// An object's `metadata.uid`, or a token's `jti`: a random UUID (RFC 9562, version 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uid(String);

/// The store's revision; `metadata.resourceVersion` is that of the object's last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Revision(pub(super) u64);

/// A source of bytes that starts where it stopped when it is stored and loaded.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Mint {
    seed: u64,
    drawn: Drawn,
}

/// How many draws there were.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Drawn(u64);

/// The letters of generated names: no vowels, nothing that looks like something else.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;

impl Mint {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: Drawn(0) }
    }

    pub(super) fn uid(&mut self) -> Uid {
        let mut bytes: [u8; 16] = self.draw();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uid(hyphenated(&bytes))
    }

    pub(super) fn suffix(&mut self) -> String {
        let bytes: [u8; SUFFIX_LENGTH] = self.draw();
        bytes
            .iter()
            .map(|byte| char::from(SUFFIX_LETTERS[usize::from(*byte) % SUFFIX_LETTERS.len()]))
            .collect()
    }

    /// Each draw has a stream of its own, so that its length does not matter to the next one.
    pub(super) fn draw<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let mut random = ChaCha12Rng::seed_from_u64(self.seed);
        random.set_stream(self.drawn.0);
        self.drawn.0 += 1;
        let mut bytes = [0; LENGTH];
        random.fill_bytes(&mut bytes);
        bytes
    }
}

impl Uid {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_uuids_and_no_two_alike() {
        let (mut one, mut other) = (Mint::new(7), Mint::new(7));

        let uids = [one.uid(), one.uid()];

        assert_eq!(uids, [other.uid(), other.uid()]);
        assert_ne!(uids[0], uids[1]);
        assert_ne!(uids[0], Mint::new(8).uid());
        let parts: Vec<usize> = uids[0].as_str().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(uids[0].as_str().as_bytes()[14], b'4');
    }
}
