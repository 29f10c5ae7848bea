//! When a quiet route may want something: what a caller that has the spreads of a long stretch at hand needs in order to
//! leap over instants at which the route would want nothing.
//!
//! What always holds: an instant that these bounds rule out is one at which [`Route::decide`] gives `None`. The other way
//! round they may be wide: what they let through is decided by `decide` itself.

use super::{Route, State};
use crate::order::Leg;
use crate::records::Direction;
use crate::spread::{Executable, FairPremium};
use crate::units::TimestampNs;

/// Beyond this, in 1e-4 bps, the saturation of [`Bps`](crate::units::Bps) could matter to a sum.
const FAR: u64 = 1 << 60;

/// Spreads (in 1e-4 bps, in the sign of selling A) that a quiet route waits for, counted from the fair premium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The leg that an entry rests on, while that is what the route waits for: both spreads are those with it resting.
    pub(crate) resting: Option<Leg>,
    /// Something is wanted when the upper spread (selling A to enter) is at least this, …
    pub(crate) upper: i64,
    /// … or the lower one (buying A) at most this.
    pub(crate) lower: i64,
    /// Nothing is wanted before.
    pub(crate) not_before: TimestampNs,
    /// Something is wanted from here on, whatever the spread.
    pub(crate) at_latest: TimestampNs,
    /// Something is wanted when the result of closing reaches a limit: see [`Route::may_close`].
    pub(crate) closes: bool,
}

/// Least and greatest of some prices, or rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    /// The least.
    pub(crate) low: f64,
    /// The greatest.
    pub(crate) high: f64,
}

/// Prices at which a pair may be closed over a stretch: best ones, worst ones, and the rate between their moneys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// Best prices of A and B to close at.
    pub(crate) best: (f64, f64),
    /// No worse prices of A and B than these are walked to; `None` when what is held cannot be closed by its price at all.
    pub(crate) worst: Option<(f64, f64)>,
    /// Units of A's quote currency per unit of B's.
    pub(crate) fx: Range,
}

impl Bounds {
    const NEVER: Bounds = Bounds {
        resting: None,
        upper: i64::MAX / 2,
        lower: i64::MIN / 2,
        not_before: TimestampNs::MAX,
        at_latest: TimestampNs::MAX,
        closes: false,
    };
}

impl Route {
    /// What a quiet route waits for; `first` is the next instant at which it will be priced. `None` when it is not quiet,
    /// or the settings are too far from reason to say.
    pub(crate) fn bounds(&self, first: TimestampNs) -> Option<Bounds> {
        let strategy = &self.config.strategy;
        let numbers = [
            strategy.entry,
            strategy.exit,
            self.config.fees,
            strategy.slippage,
            self.fair.value(),
        ];
        if numbers.iter().any(|bps| bps.raw().unsigned_abs() > FAR / 8) {
            return None;
        }
        match self.state {
            State::Flat => {
                let hurdle = strategy.entry.raw() + self.config.fees.raw() + strategy.slippage.raw();
                Some(Bounds {
                    resting: strategy.maker,
                    upper: if strategy.sell_a { hurdle } else { Bounds::NEVER.upper },
                    lower: if strategy.buy_a { -hurdle } else { Bounds::NEVER.lower },
                    not_before: self.started.unwrap_or(first).plus(strategy.warmup_ns),
                    ..Bounds::NEVER
                })
            }
            // The last attempt could not close all of it: nothing until the timer.
            State::Open if self.leaving.is_some() => Some(Bounds::NEVER),
            State::Open => {
                let closes = strategy.take_profit.is_some() || strategy.stop.is_some();
                // An average of walked prices may lie a rounding beyond the best price; only then is it looked at alone.
                let slack = i64::from(closes);
                let exit = strategy.exit.raw() + slack;
                let (upper, lower) = match self.direction {
                    Direction::SellA => (Bounds::NEVER.upper, exit),
                    Direction::BuyA => (-exit, Bounds::NEVER.lower),
                };
                Some(Bounds {
                    upper,
                    lower,
                    not_before: TimestampNs::MIN,
                    at_latest: strategy
                        .max_hold_ns
                        .map_or(TimestampNs::MAX, |hold| self.trip.entry.ts.plus(hold)),
                    closes,
                    ..Bounds::NEVER
                })
            }
            State::Halted => Some(Bounds::NEVER),
            State::Entering | State::Exiting | State::Unwinding => None,
        }
    }

    /// Whether the open pair may reach its take-profit or its stop at prices like these.
    pub(crate) fn may_close(&self, closing: &Closing) -> bool {
        let strategy = &self.config.strategy;
        if !self.trip.is_markable() {
            return true;
        }
        let qty = self.held();
        let mark = |(a, b): (f64, f64), fx: f64| {
            (self.trip.mark_to_exit(self.direction, &Executable { qty, a, b }, fx) - self.config.fees).raw()
        };
        // One step of room: averages are rounded.
        let profits = strategy.take_profit.is_some_and(|limit| {
            let best = mark(closing.best, closing.fx.low).max(mark(closing.best, closing.fx.high));
            best >= limit.raw().saturating_sub(1)
        });
        profits
            || strategy.stop.is_some_and(|limit| {
                closing.worst.is_some_and(|worst| {
                    let worst = mark(worst, closing.fx.low).min(mark(worst, closing.fx.high));
                    worst <= limit.raw().saturating_neg().saturating_add(1)
                })
            })
    }

    /// Whether decisions at which nothing was wanted began at `first`, the first of them all.
    pub(crate) fn pass(&mut self, first: TimestampNs) {
        self.started.get_or_insert(first);
    }

    /// The fair premium.
    pub(crate) fn fair_premium(&self) -> &FairPremium {
        &self.fair
    }

    /// The fair premium, to be moved on.
    pub(crate) fn fair_premium_mut(&mut self) -> &mut FairPremium {
        &mut self.fair
    }
}
