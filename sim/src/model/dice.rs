//! Randomness of a world.

use kubefox_io::adapter::Entropy;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

use crate::fake::vault::SECRET_MARK;

/// Randomness that a world carries with it.
#[derive(Clone)]
pub(super) struct Dice {
    generator: ChaCha8Rng,
    /// What is drawn is a secret, and is marked as one.
    marks: bool,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), marks: false }
    }

    /// Whether what is drawn from here on is a secret, to be marked as one.
    pub(super) const fn mark(&mut self, marks: bool) {
        self.marks = marks;
    }

    /// Begins anew: whatever was drawn is drawn again.
    pub(super) fn rewind(&mut self) {
        *self = Self::new(0);
    }
}

impl Entropy for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.fill_bytes(bytes);
        if self.marks {
            bytes[..SECRET_MARK.len()].copy_from_slice(SECRET_MARK);
        }
    }
}
