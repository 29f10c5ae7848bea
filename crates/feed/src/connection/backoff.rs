//! How long to wait before the next attempt.

use std::time::Duration;

use crossbook_engine::rng::Rng;

use crate::venue::Timers;

/// Waits of 1, 2, 4 … up to 30 s (as the venue file has it), each lengthened by up to a quarter so that the sockets of
/// many processes do not come back together, and never shortened.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    /// Without a failure yet; `rng` draws what is added to each wait.
    pub fn new(timers: &Timers, rng: Rng) -> Backoff {
        Backoff {
            first: Duration::from_millis(timers.backoff_first_ms),
            most: Duration::from_millis(timers.backoff_most_ms),
            failures: 0,
            rng,
        }
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Another failure: the wait before the next attempt.
    pub fn fail(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.most);
        let quarter = u64::try_from(step.as_nanos() / 4).unwrap_or(u64::MAX - 1);
        step + Duration::from_nanos(self.rng.below(quarter + 1))
    }

    /// Things were well for long enough: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crossbook_engine::rng::Rng;

    proptest! {
        /// Whatever the timers and the seed: never below the step, never above it by more than a quarter.
        #[test]
        fn f04_a_wait_is_never_below_its_step(
            first in 0u64..100_000, most in 0u64..1_000_000, seed: u64, failures in 1usize..80,
        ) {
            let timers = Timers { backoff_first_ms: first, backoff_most_ms: most, ..Timers::default() };
            let mut backoff = Backoff::new(&timers, Rng::stream(seed, "test"));
            let mut step = u128::from(first);
            for failure in 1..=failures {
                let wait = backoff.fail();
                let least = Duration::from_millis(u64::try_from(step.min(u128::from(most))).unwrap());
                prop_assert!(wait >= least, "failure {failure}: {wait:?} below {least:?}");
                prop_assert!(wait <= least + least / 4, "failure {failure}: {wait:?} far above {least:?}");
                step = (step * 2).min(u128::from(u64::MAX));
            }
            prop_assert_eq!(backoff.failures(), u32::try_from(failures).unwrap());
            backoff.reset();
            prop_assert!(backoff.fail() <= Duration::from_millis(first.min(most)) * 5 / 4);
        }
    }

    #[test]
    fn f04_waits_are_1_2_4_to_30_seconds_and_differ_by_seed() {
        let waits = |seed| {
            let mut backoff = Backoff::new(&Timers::default(), Rng::stream(seed, "test"));
            (0..8).map(|_| backoff.fail()).collect::<Vec<_>>()
        };
        let steps = [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs);
        for (wait, step) in waits(1).into_iter().zip(steps) {
            assert!(wait > step && wait <= step * 5 / 4, "{wait:?} for {step:?}");
        }
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
