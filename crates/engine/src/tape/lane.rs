//! What the decisions of one route see: spreads at best prices, and in blocks the extremes that let a scan pass them by.

use std::sync::{Arc, OnceLock};

use super::fair::Track;
use super::logs::gallop;
use crate::order::Leg;
use crate::records::Direction;
use crate::risk::Reason;
use crate::spread::{FairPremium, Tops};
use crate::strategy::{Bounds, Range};
use crate::units::{Bps, TimestampNs};

/// Decisions in a block.
pub(super) const BLOCK: usize = 64;

/// The decisions of one route. See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) ts: Arc<[TimestampNs]>,
    /// Mid of A over mid of B, converted, minus one; any number where the route is not priced.
    premium: Vec<f64>,
    taking: Spreads,
    /// With A, or with B resting; made when first asked for.
    resting: [OnceLock<Spreads>; 2],
    /// Stretches of one answer to whether the route may be priced, by their first decision.
    runs: Vec<(usize, Option<Reason>)>,
    ranges: Vec<Ranges>,
}

/// Spreads to enter with, in 1e-4 bps and in the sign of selling A. Leaving, each is the other direction's.
#[derive(Debug, Default)]
pub(super) struct Spreads {
    /// What selling A and buying B gets; [`UNPRICED`] where the route is not priced.
    upper: Vec<i32>,
    /// What buying A and selling B pays.
    lower: Vec<i32>,
    /// Greatest `upper` and least `lower` of each block.
    extremes: Vec<(i32, i32)>,
    /// Some spread does not fit: nothing can be said from these.
    wide: bool,
}

/// Stands in `upper` for a decision that could not be priced; its `lower` is the greatest number.
const UNPRICED: i32 = i32::MIN;

/// Extremes of best prices over the priced decisions of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    /// Bid and ask of A, bid and ask of B.
    pub(super) prices: [Range; 4],
    /// Units of A's quote currency per unit of B's.
    pub(super) fx: Range,
}

impl Range {
    const EMPTY: Range = Range {
        low: f64::INFINITY,
        high: f64::NEG_INFINITY,
    };

    fn extend(&mut self, value: f64) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }
}

impl Spreads {
    /// The next decision's spreads, in 1e-4 bps; `None` when it is not priced.
    fn push(&mut self, spreads: Option<(i64, i64)>) {
        let (upper, lower) = match spreads {
            None => (UNPRICED, i32::MAX),
            Some((upper, lower)) => {
                let room = -i64::from(i32::MAX) + 1..i64::from(i32::MAX);
                self.wide |= !room.contains(&upper) || !room.contains(&lower);
                (upper as i32, lower as i32)
            }
        };
        if self.upper.len().is_multiple_of(BLOCK) {
            self.extremes.push((UNPRICED, i32::MAX));
        }
        if let Some(extremes) = self.extremes.last_mut() {
            *extremes = (extremes.0.max(upper), extremes.1.min(lower));
        }
        self.upper.push(upper);
        self.lower.push(lower);
    }

    fn shrink(&mut self) {
        self.upper.shrink_to_fit();
        self.lower.shrink_to_fit();
        self.extremes.shrink_to_fit();
    }

    fn bytes(&self) -> usize {
        (self.upper.len() + self.lower.len()) * size_of::<i32>() + self.extremes.len() * size_of::<(i32, i32)>()
    }

    #[inline]
    fn is_priced(&self, at: usize) -> bool {
        self.upper[at] != UNPRICED
    }

    /// The first decision from `from` on, before `to`, at which a spread reaches its bound; `to` when there is none.
    fn scan(&self, bounds: &Bounds, fair: i64, from: usize, to: usize) -> usize {
        let (upper, lower) = (bounds.upper + fair, bounds.lower + fair);
        let mut at = from;
        while at < to {
            let end = (at - at % BLOCK + BLOCK).min(to);
            let (high, low) = self.extremes[at / BLOCK];
            if i64::from(high) >= upper || i64::from(low) <= lower {
                for at in at..end {
                    if i64::from(self.upper[at]) >= upper || i64::from(self.lower[at]) <= lower {
                        return at;
                    }
                }
            }
            at = end;
        }
        to
    }
}

impl Lane {
    /// The spreads that a route's bounds are about; `None` when some do not fit. `tops` makes those of resting legs.
    pub(super) fn spreads(
        &self,
        resting: Option<Leg>,
        tops: impl FnMut(TimestampNs) -> Option<Tops>,
    ) -> Option<&Spreads> {
        let spreads = match resting {
            None => &self.taking,
            Some(leg) => self.resting[leg as usize].get_or_init(|| self.resting_spreads(leg, tops)),
        };
        (!spreads.wide && !self.taking.wide).then_some(spreads)
    }

    fn resting_spreads(&self, leg: Leg, mut tops: impl FnMut(TimestampNs) -> Option<Tops>) -> Spreads {
        let mut spreads = Spreads::default();
        for (at, &ts) in self.ts.iter().enumerate() {
            let tops = tops(ts).filter(|_| self.taking.is_priced(at));
            spreads.push(tops.map(|tops| {
                let upper = tops.open_resting(Direction::SellA, leg);
                (upper.raw(), (-tops.open_resting(Direction::BuyA, leg)).raw())
            }));
        }
        spreads.shrink();
        spreads
    }

    #[inline]
    pub(super) fn is_priced(&self, at: usize) -> bool {
        self.taking.is_priced(at)
    }

    /// Premium of a priced decision.
    #[inline]
    pub(super) fn premium(&self, at: usize) -> f64 {
        self.premium[at]
    }

    pub(super) fn len(&self) -> usize {
        self.ts.len()
    }

    /// The first decision from `from` on that is not before an instant.
    #[inline]
    pub(super) fn at(&self, ts: TimestampNs, from: usize) -> usize {
        gallop(&self.ts, from, |&decision| decision < ts)
    }

    /// When a decision is; the end of time behind the last.
    #[inline]
    pub(super) fn time(&self, at: usize) -> TimestampNs {
        self.ts.get(at).copied().unwrap_or(TimestampNs::MAX)
    }

    /// Why the decision is not priced, and the first behind it of another answer.
    #[inline]
    pub(super) fn run(&self, at: usize) -> (Option<Reason>, usize) {
        let next = self.runs.partition_point(|&(first, _)| first <= at);
        let end = self.runs.get(next).map_or(self.len(), |&(first, _)| first);
        (next.checked_sub(1).and_then(|run| self.runs[run].1), end)
    }

    /// The first priced decision from here on.
    pub(super) fn next_priced(&self, mut at: usize) -> usize {
        while at < self.len()
            && let (Some(_), end) = self.run(at)
        {
            at = end;
        }
        at
    }

    /// The newest priced decision before this one.
    pub(super) fn last_priced(&self, before: usize) -> Option<usize> {
        let last = before.checked_sub(1)?;
        if self.is_priced(last) {
            return Some(last);
        }
        let run = self.runs.partition_point(|&(first, _)| first <= last) - 1;
        // Stretches of different reasons may follow each other.
        let priced = self.runs[..run].iter().rposition(|(_, reason)| reason.is_none())?;
        Some(self.runs[priced + 1].0 - 1)
    }

    pub(super) fn ranges(&self, block: usize) -> &Ranges {
        &self.ranges[block]
    }

    /// The first decision in a stretch at which a spread reaches its bound, the fair premium being constant.
    pub(super) fn scan(&self, spreads: &Spreads, bounds: &Bounds, fair: Bps, from: usize, to: usize) -> usize {
        spreads.scan(bounds, fair.raw(), from, to)
    }

    /// The same with a fair premium that moves, and stands at `fair` before `from`. `joined` becomes the beginning of the
    /// first block from which on it is that of the track, if that is found.
    #[allow(clippy::too_many_arguments)] // a stretch, what to look for, and what is known of the fair premium
    pub(super) fn scan_moving(
        &self,
        spreads: &Spreads,
        bounds: &Bounds,
        fair: &FairPremium,
        track: &Track,
        joined: &mut Option<usize>,
        from: usize,
        to: usize,
    ) -> usize {
        let mut fair = fair.clone();
        let mut at = from;
        while at < to {
            if at.is_multiple_of(BLOCK) && (joined.is_some_and(|joined| joined <= at) || track.is_at(self, at, &fair)) {
                joined.get_or_insert(at);
                let mut block = at / BLOCK;
                while block * BLOCK < to {
                    let (high, low) = spreads.extremes[block];
                    let (least, most) = track.extremes(block);
                    if i64::from(high) >= bounds.upper + i64::from(least)
                        || i64::from(low) <= bounds.lower + i64::from(most)
                    {
                        break;
                    }
                    block += 1;
                }
                at = block * BLOCK;
                if at >= to {
                    return to;
                }
                track.set(self, at, &mut fair);
            }
            let end = (at - at % BLOCK + BLOCK).min(to);
            for at in at..end {
                if self.is_priced(at) {
                    let fair = fair.observe(self.ts[at], self.premium[at]).raw();
                    if i64::from(spreads.upper[at]) >= bounds.upper + fair
                        || i64::from(spreads.lower[at]) <= bounds.lower + fair
                    {
                        return at;
                    }
                }
            }
            at = end;
        }
        to
    }

    /// Bytes beside the decision times if those are shared.
    pub(super) fn bytes(&self, shared: &Arc<[TimestampNs]>) -> usize {
        let times = if Arc::ptr_eq(&self.ts, shared) {
            0
        } else {
            self.ts.len()
        };
        let resting: usize = self.resting.iter().filter_map(OnceLock::get).map(Spreads::bytes).sum();
        times * size_of::<TimestampNs>()
            + self.premium.len() * size_of::<f64>()
            + self.taking.bytes()
            + resting
            + self.runs.len() * size_of::<(usize, Option<Reason>)>()
            + self.ranges.len() * size_of::<Ranges>()
    }
}

/// Writes a lane, decision by decision.
#[derive(Debug, Default)]
pub(super) struct LaneWriter {
    ts: Vec<TimestampNs>,
    premium: Vec<f64>,
    taking: Spreads,
    runs: Vec<(usize, Option<Reason>)>,
    ranges: Vec<Ranges>,
}

impl LaneWriter {
    /// The next decision: what it sees of spreads, or why it cannot; the best prices of A and B, and the rate.
    pub(super) fn push(&mut self, now: TimestampNs, seen: Result<(Tops, f64), Reason>, prices: [[i64; 2]; 2]) {
        let at = self.ts.len();
        let reason = seen.as_ref().err().copied();
        if self.runs.last().is_none_or(|&(_, last)| last != reason) {
            self.runs.push((at, reason));
        }
        if at.is_multiple_of(BLOCK) {
            self.ranges.push(Ranges {
                prices: [Range::EMPTY; 4],
                fx: Range::EMPTY,
            });
        }
        self.ts.push(now);
        self.premium
            .push(seen.as_ref().map_or(0.0, |(tops, _)| tops.premium_ratio()));
        if let (Ok((_, fx)), Some(ranges)) = (&seen, self.ranges.last_mut()) {
            ranges.fx.extend(*fx);
            for (range, &price) in ranges.prices.iter_mut().zip(prices.iter().flatten()) {
                range.extend(price as f64);
            }
        }
        self.taking.push(seen.ok().map(|(tops, _)| {
            let lower = -tops.open_bound(Direction::BuyA);
            (tops.open_bound(Direction::SellA).raw(), lower.raw())
        }));
    }

    /// The lane, sharing `awake` if those are its decisions too.
    pub(super) fn finish(mut self, awake: &Arc<[TimestampNs]>) -> Lane {
        let ts = if self.ts.len() == awake.len() {
            Arc::clone(awake)
        } else {
            self.ts.into()
        };
        self.premium.shrink_to_fit();
        self.taking.shrink();
        self.ranges.shrink_to_fit();
        Lane {
            ts,
            premium: self.premium,
            taking: self.taking,
            resting: Default::default(),
            runs: self.runs,
            ranges: self.ranges,
        }
    }
}
