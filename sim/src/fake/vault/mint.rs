//! Everything the fake makes up: keys, tokens, ids, serial numbers.
//!
//! Each value is a function of the seed and of what it is made for. No generator state is kept, so two worlds that
//! were asked the same questions are equal, and a request that changes nothing leaves no trace.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fake::uuid::hyphenated;

/// Every secret that the fake mints begins with these bytes (tokens: after their prefix), so that a search for a few
/// patterns finds any of them wherever it should not be.
pub const SECRET_MARK: &[u8; 8] = b"kfSecret";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of a token or accessor after its prefix, as on the real server.
const TOKEN_LENGTH: usize = 24;

/// Characters of a batch token after its prefix: about what the real one's ciphertext takes.
const BATCH_TOKEN_LENGTH: usize = 424;

/// Makes values out of the seed, the life of the storage and what they are for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Mint {
    seed: u64,
    /// Counts how often the storage was lost: a Vault that starts anew has other keys.
    life: u64,
}

impl Mint {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, life: 0 }
    }

    pub(super) const fn begin_another_life(&mut self) {
        self.life += 1;
    }

    pub(super) const fn repeat_life(&mut self) {
        self.life = 0;
    }

    /// Bytes that anybody may see.
    pub(super) fn bytes<const N: usize>(self, purpose: &str, details: &[&[u8]]) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream(purpose, details).fill_bytes(&mut bytes);
        bytes
    }

    /// A secret key: 32 bytes, marked.
    pub(super) fn key(self, purpose: &str, details: &[&[u8]]) -> [u8; 32] {
        let mut bytes = self.bytes(purpose, details);
        bytes[..SECRET_MARK.len()].copy_from_slice(SECRET_MARK);
        bytes
    }

    /// An id in the form of a UUID.
    pub(super) fn uuid(self, purpose: &str, details: &[&[u8]]) -> String {
        hyphenated(&self.bytes(purpose, details))
    }

    /// The eight hexadecimal digits at the end of a mount's accessor.
    pub(super) fn short_hex(self, purpose: &str, details: &[&[u8]]) -> String {
        data_encoding::HEXLOWER.encode(&self.bytes::<4>(purpose, details))
    }

    /// `s.…`, marked.
    pub(super) fn service_token(self, details: &[&[u8]]) -> String {
        format!("s.{}", self.marked(TOKEN_LENGTH, "service token", details))
    }

    /// `b.…`, marked.
    pub(super) fn batch_token(self, details: &[&[u8]]) -> String {
        format!("b.{}", self.marked(BATCH_TOKEN_LENGTH, "batch token", details))
    }

    pub(super) fn accessor(self, details: &[&[u8]]) -> String {
        self.characters(BASE62, TOKEN_LENGTH, "accessor", details)
    }

    /// `length` characters out of `alphabet`.
    pub(super) fn characters(
        self,
        alphabet: &[u8],
        length: usize,
        purpose: &str,
        details: &[&[u8]],
    ) -> String {
        let mut stream = self.stream(purpose, details);
        (0..length).map(|_| char::from(alphabet[pick(&mut stream, alphabet.len())])).collect()
    }

    fn marked(self, length: usize, purpose: &str, details: &[&[u8]]) -> String {
        let mark = SECRET_MARK.map(char::from);
        let rest = self.characters(BASE62, length - mark.len(), purpose, details);
        mark.into_iter().chain(rest.chars()).collect()
    }

    /// A stream of its own for this purpose and these details.
    pub(super) fn stream(self, purpose: &str, details: &[&[u8]]) -> ChaCha20Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.life.to_be_bytes());
        for part in core::iter::once(purpose.as_bytes()).chain(details.iter().copied()) {
            // Lengths keep ("ab", "c") and ("a", "bc") apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        ChaCha20Rng::from_seed(hash.finalize().into())
    }
}

/// An index below `bound`, which is small: the bias of the remainder is below 2⁻⁵⁶.
pub(super) fn pick(stream: &mut ChaCha20Rng, bound: usize) -> usize {
    usize::try_from(stream.next_u64() % bound as u64).expect("it is below a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer_and_any_other_another() {
        let mint = Mint::new(7);
        let mut later = mint;
        later.begin_another_life();

        let key = mint.key("a key", &[b"ab", b"c"]);

        assert_eq!(key, Mint::new(7).key("a key", &[b"ab", b"c"]));
        assert_ne!(key, mint.key("a key", &[b"a", b"bc"]));
        assert_ne!(key, mint.key("another", &[b"ab", b"c"]));
        assert_ne!(key, Mint::new(8).key("a key", &[b"ab", b"c"]));
        assert_ne!(key, later.key("a key", &[b"ab", b"c"]));
    }

    #[test]
    fn secrets_have_the_lengths_of_the_real_ones_and_carry_the_mark() {
        let mint = Mint::new(7);
        let service = mint.service_token(&[]);
        let batch = mint.batch_token(&[]);

        assert_eq!((service.len(), batch.len(), mint.accessor(&[]).len()), (26, 426, 24));
        assert!(service.starts_with("s.kfSecret"));
        assert!(batch.starts_with("b.kfSecret"));
        assert!(mint.key("a key", &[]).starts_with(SECRET_MARK));
    }
}
