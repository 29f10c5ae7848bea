//! One side of a synthetic book: levels that persist from message to message, so that changes can be sent as diffs.

use crossbook_engine::book::BookSide;
use crossbook_engine::event::Level;
use crossbook_engine::instrument::{Side, TickRule};
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, Qty};

use super::spec::BookSpec;

/// Levels of one side, best first, on the grid of prices, never more than the specification says.
pub(super) struct Ladder {
    side: BookSide,
    levels: Vec<Level>,
    /// As it was in the last message.
    sent: Vec<Level>,
    scratch: Vec<Level>,
}

/// What both sides of a book draw their levels from.
pub(super) struct Shape {
    tick: TickRule,
    count: usize,
    gap_ratio: f64,
    /// Median quantity of each level, in 1e-8.
    medians: Vec<f64>,
    qty_sigma: f64,
    qty_step: i64,
    /// `refresh` as a share of all 64-bit numbers.
    refresh_below: u64,
    refresh_always: bool,
    rng: Rng,
}

impl Shape {
    pub(super) fn new(spec: &BookSpec, tick: TickRule, rng: Rng) -> Shape {
        let mut median = spec.top_qty.raw() as f64;
        let mut medians = Vec::with_capacity(spec.levels);
        for _ in 0..spec.levels {
            medians.push(median);
            median *= spec.growth;
        }
        Shape {
            tick,
            count: spec.levels,
            gap_ratio: spec.gap_bps * 1e-4,
            medians,
            qty_sigma: spec.qty_sigma,
            qty_step: spec.qty_step.raw(),
            refresh_below: (spec.refresh * 18_446_744_073_709_551_616.0) as u64,
            refresh_always: spec.refresh >= 1.0,
            rng,
        }
    }

    pub(super) fn tick(&self) -> &TickRule {
        &self.tick
    }

    pub(super) fn refreshes(&mut self) -> bool {
        self.refresh_always || self.rng.next_u64() < self.refresh_below
    }

    /// A log-normal factor around one.
    pub(super) fn factor(&mut self, sigma: f64) -> f64 {
        if sigma == 0.0 {
            1.0
        } else {
            self.rng.lognormal(1.0, sigma)
        }
    }

    fn qty(&mut self, index: usize) -> Qty {
        let median = self.medians[index.min(self.medians.len() - 1)];
        let raw = median * self.factor(self.qty_sigma);
        whole_steps(raw, self.qty_step)
    }

    /// The next price away from the market: one tick at least, an exponential gap on average as configured.
    fn beyond(&mut self, price: Price, side: BookSide) -> Option<Price> {
        let next_down = Price::from_raw(price.raw() - 1).ok();
        let tick = match side {
            BookSide::Bid => self.tick.tick_at(next_down?),
            BookSide::Ask => self.tick.tick_at(price),
        };
        let tick = tick.raw();
        let mean_ticks = price.raw() as f64 * self.gap_ratio / tick as f64;
        let extra = if mean_ticks > 1.0 {
            self.rng.exponential(mean_ticks - 1.0) as i64
        } else {
            0
        };
        let away = tick.checked_mul(extra.checked_add(1)?)?;
        match side {
            BookSide::Bid => self
                .tick
                .round_limit(Price::from_raw(price.raw() - away).ok()?, Side::Buy),
            BookSide::Ask => self
                .tick
                .round_limit(Price::from_raw(price.raw().checked_add(away)?).ok()?, Side::Sell),
        }
    }
}

/// Largest quantity of a level, in 1e-8: far enough from the end of the range that a book of them can be added up.
const LARGEST_QTY: f64 = 1e16;

/// A quantity in whole steps, at least one of them, and about [`LARGEST_QTY`] at most.
pub(super) fn whole_steps(raw: f64, step: i64) -> Qty {
    let steps = ((raw.min(LARGEST_QTY) / step as f64 + 0.5) as i64).max(1);
    Qty::from_raw(steps.saturating_mul(step)).unwrap_or(Qty::ZERO)
}

impl Ladder {
    pub(super) fn new(side: BookSide) -> Ladder {
        Ladder {
            side,
            levels: Vec::new(),
            sent: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Moves the side so that `best` (on the grid) is its best price: levels better than it vanish, the room up to
    /// the levels that stay is filled, and the far end is cut or extended to the number of levels.
    pub(super) fn move_to(&mut self, best: Price, shape: &mut Shape) {
        let side = self.side;
        let kept_from = self.levels.partition_point(|level| better(side, level.price, best));
        let kept = &self.levels[kept_from..];
        let levels = &mut self.scratch;
        levels.clear();
        let mut next = Some(best);
        while let Some(price) = next
            && levels.len() < shape.count
            && kept.first().is_none_or(|level| better(side, price, level.price))
        {
            let qty = shape.qty(levels.len());
            levels.push(Level { price, qty });
            next = shape.beyond(price, side);
        }
        let room = shape.count - levels.len();
        levels.extend(kept.iter().take(room));
        while levels.len() < shape.count
            && let Some(price) = levels.last().and_then(|level| shape.beyond(level.price, side))
        {
            let qty = shape.qty(levels.len());
            levels.push(Level { price, qty });
        }
        std::mem::swap(&mut self.levels, &mut self.scratch);
    }

    /// Gives each level a new quantity with the configured chance.
    pub(super) fn refresh(&mut self, shape: &mut Shape) {
        for index in 0..self.levels.len() {
            if shape.refreshes() {
                self.levels[index].qty = shape.qty(index);
            }
        }
    }

    /// Takes up to `wanted` from the best level, but leaves it one step, so that the best price stands until the next
    /// message. Gives price and quantity taken, or `None` when there is nothing to take.
    pub(super) fn take(&mut self, wanted: Qty, shape: &Shape) -> Option<Level> {
        let best = self.levels.first_mut()?;
        let spare = best.qty.raw() - shape.qty_step;
        let taken = Qty::from_raw(wanted.raw().min(spare))
            .ok()
            .filter(|qty| !qty.is_zero())?;
        best.qty = best.qty.saturating_sub(taken);
        Some(Level {
            price: best.price,
            qty: taken,
        })
    }

    /// Writes what has changed since the last message: new absolute quantities, zero for a level that is gone.
    pub(super) fn changes(&mut self, out: &mut Vec<Level>) {
        let (mut old, mut new) = (self.sent.iter().peekable(), self.levels.iter().peekable());
        loop {
            match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(was), Some(is)) if was.price == is.price => {
                    if was.qty != is.qty {
                        out.push(**is);
                    }
                    old.next();
                    new.next();
                }
                (Some(was), is) if is.is_none_or(|is| better(self.side, was.price, is.price)) => {
                    out.push(Level {
                        price: was.price,
                        qty: Qty::ZERO,
                    });
                    old.next();
                }
                (_, Some(is)) => {
                    out.push(**is);
                    new.next();
                }
                (Some(_), None) => unreachable!("a level without a counterpart is gone"),
            }
        }
        self.mark_sent();
    }

    /// Takes what there is as known to the receiver.
    pub(super) fn mark_sent(&mut self) {
        self.sent.clone_from(&self.levels);
    }
}

fn better(side: BookSide, a: Price, b: Price) -> bool {
    match side {
        BookSide::Bid => a > b,
        BookSide::Ask => a < b,
    }
}
