//! When to try again and when to renew: capped exponential back-off with jitter that is a function of seed and attempt,
//! never of generator state, so that equal states stay equal; and moments that come by either clock.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use serde::{Deserialize, Serialize};

use crate::machine::Seed;
use crate::time::{Mono, Now, Unix};

/// The first pause.
pub const BACKOFF_MS_MIN: u64 = 100;
/// No pause is longer, jitter included.
pub const BACKOFF_MS_MAX: u64 = 10_000;
/// From this attempt on the pause no longer grows; the counter saturates here.
pub const ATTEMPT_MAX: u8 = 8;

/// How often something failed in a row. Saturates, so that the state space of a machine stays finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt(pub u8);

impl Attempt {
    /// One failure more.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1).min(ATTEMPT_MAX))
    }
}

/// When to try again after `attempt` failures: 100 ms doubling up to 10 s, the upper half of it jittered.
#[must_use]
pub fn backoff(seed: Seed, attempt: Attempt, now: Now) -> Mono {
    let full_ms = (BACKOFF_MS_MIN << attempt.0.min(ATTEMPT_MAX)).min(BACKOFF_MS_MAX);
    let jitter_ms = draw(seed, Stream::Backoff, u64::from(attempt.0)) % (full_ms / 2 + 1);
    now.in_ms(full_ms / 2 + jitter_ms)
}

/// The purposes for which a seed is used. Each has a stream of its own, so that one draw never shifts another.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// Pauses between attempts.
    Backoff = 1,
    /// The random life id of an installation.
    LifeId = 2,
    /// Spread of renewals.
    Renewal = 3,
    /// Spread of the lifetimes of users' JWTs.
    UserJwt = 4,
}

/// The `index`th number of a stream.
#[must_use]
pub fn draw(seed: Seed, stream: Stream, index: u64) -> u64 {
    let mut generator = ChaCha8Rng::from_seed(seed.0);
    generator.set_stream(stream as u64);
    generator.set_word_pos(u128::from(index) * 2);
    generator.next_u64()
}

/// Two thirds of a lifetime, up to a twentieth earlier: renewals of many callers do not fall on one moment.
#[must_use]
pub fn renewal_s(seed: Seed, index: u64, lifetime_s: u64) -> u64 {
    let two_thirds_s = lifetime_s / 3 * 2;
    two_thirds_s - draw(seed, Stream::Renewal, index) % (lifetime_s / 20 + 1)
}

/// A moment that has come as soon as one of the two clocks says so: a wall clock that was set back does not put it off,
/// nor does a monotonic clock that stood still while the machine slept. In the order of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    mono: Mono,
    unix: Unix,
}

impl Due {
    /// The moment `seconds` from now.
    #[must_use]
    pub const fn in_s(now: Now, seconds: u64) -> Self {
        let mono = Mono(now.mono.0.saturating_add(seconds.saturating_mul(1_000)));
        Self { mono, unix: Unix(now.unix.0.saturating_add(seconds)) }
    }

    /// Whether it has come.
    #[must_use]
    pub fn is_due(self, now: Now) -> bool {
        now.mono >= self.mono || now.unix >= self.unix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { mono: Mono(1_000), unix: Unix(1_700_000_000) };

    #[test]
    fn a_pause_grows_to_its_limit_and_is_the_same_for_the_same_seed() {
        let seed = Seed([7; 32]);
        let mut attempt = Attempt::default();
        for _ in 0..20 {
            let until = backoff(seed, attempt, NOW);
            assert_eq!(until, backoff(seed, attempt, NOW));
            let full_ms = (BACKOFF_MS_MIN << attempt.0).min(BACKOFF_MS_MAX);
            assert!((full_ms / 2..=full_ms).contains(&(until.0 - NOW.mono.0)), "{until:?} after {attempt:?}");
            attempt = attempt.next();
        }
        assert_eq!(attempt, Attempt(ATTEMPT_MAX));
    }

    #[test]
    fn different_seeds_draw_different_numbers_and_streams_do_not_shift_each_other() {
        assert_ne!(draw(Seed([1; 32]), Stream::LifeId, 0), draw(Seed([2; 32]), Stream::LifeId, 0));
        assert_ne!(draw(Seed([1; 32]), Stream::LifeId, 0), draw(Seed([1; 32]), Stream::Backoff, 0));
        assert_ne!(draw(Seed([1; 32]), Stream::LifeId, 0), draw(Seed([1; 32]), Stream::LifeId, 1));
    }

    #[test]
    fn a_renewal_is_due_between_sixty_one_and_sixty_seven_percent_of_life() {
        for index in 0..100 {
            let at = renewal_s(Seed([3; 32]), index, 3_600);
            assert!((2_220..=2_400).contains(&at), "{at}");
        }
    }

    #[test]
    fn a_moment_comes_by_whichever_clock_gets_there_first() {
        let due = Due::in_s(NOW, 60);
        let at = |mono_ms, unix_s| Now { mono: Mono(mono_ms), unix: Unix(unix_s) };
        assert!(!due.is_due(at(60_999, 1_700_000_059)));
        assert!(due.is_due(at(61_000, 1_600_000_000)), "the wall clock was set back");
        assert!(due.is_due(at(1_000, 1_700_000_060)), "the monotonic clock slept");
        assert!(
            !Due::in_s(NOW, u64::MAX).is_due(at(u64::MAX - 1, u64::MAX - 1)),
            "no overflow is due at once"
        );
    }
}
