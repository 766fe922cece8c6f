//! Two clocks, as plain numbers: they print, compare, serialise and replay.
//!
//! Back-off and deadlines use [`Mono`]; lifetimes of tokens and certificates use [`Unix`], which may jump.

use serde::{Deserialize, Serialize};

/// Milliseconds of a monotonic clock since some start that only the driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unix(pub u64);

/// Both clocks at the moment of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines and back-off.
    pub mono: Mono,
    /// For lifetimes.
    pub unix: Unix,
}

impl Mono {
    /// The moment `milliseconds` later.
    #[must_use]
    pub fn after_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

impl Now {
    /// The moment `milliseconds` from now on the monotonic clock.
    #[must_use]
    pub fn in_ms(self, milliseconds: u64) -> Mono {
        self.mono.after_ms(milliseconds)
    }

    /// When the wall clock will show `unix`, on the monotonic clock; at once if that has passed.
    #[must_use]
    pub fn mono_at(self, unix: Unix) -> Mono {
        self.in_ms(unix.0.saturating_sub(self.unix.0).saturating_mul(1_000))
    }
}
