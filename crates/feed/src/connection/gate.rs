//! How many connections may be made: one gate for all sockets of a venue, because venues count by address.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::venue::{Protocol, VenueConfig};

/// Lets so many through in any window of time, and nobody while the venue told us to wait.
#[derive(Debug)]
pub struct Gate {
    most: usize,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last `most` went through, oldest first.
    passed: VecDeque<Instant>,
    held_until: Option<Instant>,
}

impl Gate {
    /// The gate of a venue: its own limit times `headroom_percent`, at least one.
    ///
    /// Sources: Upbit 5 connections a second by address (developer docs v1.6.4); Binance 300 in 5 minutes by address
    /// (binance-spot-api-docs a5e0bc3; USD-M documents the same). Read 2026-11-21.
    pub fn new(config: &VenueConfig) -> Gate {
        let (most, window_s) = match config.protocol {
            Protocol::Upbit => (5, 1),
            Protocol::BinanceSpot | Protocol::BinanceUsdm => (300, 300),
        };
        let share = usize::from(config.rest.headroom_percent.min(100));
        Gate {
            most: (most * share / 100).max(1),
            window: Duration::from_secs(window_s),
            state: Mutex::default(),
        }
    }

    /// Nobody passes until this time from now is over.
    pub fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_until = Some(state.held_until.map_or(until, |held| held.max(until)));
    }

    /// Waits for a place. Giving up waiting costs none.
    pub async fn pass(&self) {
        while let Err(until) = self.try_pass(Instant::now()) {
            sleep_until(until).await;
        }
    }

    fn try_pass(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.held_until.filter(|&until| until > now) {
            return Err(until);
        }
        if state.passed.len() >= self.most {
            if let Some(until) = state.passed.front().map(|&first| first + self.window)
                && until > now
            {
                return Err(until);
            }
            state.passed.pop_front();
        }
        state.passed.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gate(most: usize, window: Duration) -> Gate {
        Gate {
            most,
            window,
            state: Mutex::default(),
        }
    }

    proptest! {
        /// However attempts come, no window has more than the limit, and a free place is given at once.
        #[test]
        fn f10_no_window_has_more_than_its_limit(most in 1usize..6, steps in prop::collection::vec(0u64..400, 1..200)) {
            let window = Duration::from_millis(1_000);
            let gate = gate(most, window);
            let mut now = Instant::now();
            let mut passed: Vec<Instant> = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                let recent = passed.iter().filter(|&&at| now - at < window).count();
                match gate.try_pass(now) {
                    Ok(()) => {
                        prop_assert!(recent < most);
                        passed.push(now);
                    }
                    Err(until) => {
                        prop_assert_eq!(recent, most);
                        prop_assert!(until > now && until <= now + window);
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn f10_nobody_passes_while_the_venue_told_us_to_wait() {
        let gate = gate(2, Duration::from_secs(1));
        let start = Instant::now();
        gate.pass().await;
        gate.hold(Duration::from_secs(60));
        gate.hold(Duration::from_secs(30));
        gate.pass().await;
        assert_eq!(start.elapsed().as_secs(), 60, "the longer wait counts");
        gate.pass().await;
        gate.pass().await;
        assert_eq!(start.elapsed().as_secs(), 61);
    }
}
